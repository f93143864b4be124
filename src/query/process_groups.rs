//! By what processes are put together, and which sockets belong to which group.

use super::owned::made_in;
use super::values::{Owner, owner};
use crate::analysis::{NoHolder, Ownership, Snapshot, owner_of};
use crate::model::{ForeignText, Holder, Owners, Process, SocketRow};

/// By what processes are put together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum ProcessGrouping {
    /// Each for itself.
    #[default]
    Process,
    /// By name.
    Command,
    /// By effective user.
    User,
    /// By systemd unit.
    Unit,
    /// By container.
    Container,
}

impl ProcessGrouping {
    /// Every grouping, in the order in which a key goes through them.
    pub const ALL: [Self; 5] = [Self::Process, Self::Command, Self::User, Self::Unit, Self::Container];

    /// The word on the screen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Command => "command",
            Self::User => "user",
            Self::Unit => "unit",
            Self::Container => "container",
        }
    }

    /// The next one, around the end.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Process => Self::Command,
            Self::Command => Self::User,
            Self::User => Self::Unit,
            Self::Unit => Self::Container,
            Self::Container => Self::Process,
        }
    }

    pub(super) fn key(self, p: &Process) -> ProcessKey {
        match self {
            Self::Process => ProcessKey::Pid(p.pid),
            Self::Command => ProcessKey::Command(p.comm.clone()),
            Self::User => ProcessKey::User(p.uid),
            Self::Unit => ProcessKey::Unit(unit(p).cloned()),
            Self::Container => ProcessKey::Container(container(p).cloned()),
        }
    }

    /// Where a socket belongs that no process is known to hold. What the kernel says of the socket itself counts: its
    /// user, and the cgroup in which it was made.
    pub(super) fn key_of_unheld(
        self,
        what: NoHolder,
        row: &SocketRow,
        snapshot: &Snapshot,
        owners: &Owners,
    ) -> ProcessKey {
        let unowned = |uid| ProcessKey::Nobody(Unowned { group: self, what, uid });
        if !what.is_unknown() {
            return unowned(None);
        }
        let uid = match owner(snapshot, row) {
            Owner::User(uid) => Some(uid),
            Owner::Nobody | Owner::Untold => None,
        };
        let cgroup = made_in(row, snapshot, owners);
        match self {
            Self::User => uid.map(ProcessKey::User),
            Self::Unit => cgroup.and_then(|c| c.unit.clone()).map(|name| ProcessKey::Unit(Some(name))),
            Self::Container => {
                cgroup.and_then(|c| c.container.as_ref()).map(|c| ProcessKey::Container(Some(c.name.clone())))
            }
            Self::Process | Self::Command => None,
        }
        .unwrap_or_else(|| unowned(uid))
    }
}

/// Sockets that no process is known to hold, of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Unowned {
    /// In the table of which grouping.
    pub group: ProcessGrouping,
    /// What they are.
    pub what: NoHolder,
    /// Whose they are, if a process holds them that could not be found out.
    pub uid: Option<u32>,
}

/// The identity of a row of the table over time, and of the processes that it stands for.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ProcessKey {
    /// One process.
    Pid(u32),
    /// All that call themselves so.
    Command(ForeignText),
    /// All of a user.
    User(u32),
    /// All of a systemd unit, or of none that is known.
    Unit(Option<ForeignText>),
    /// All of a container, or of none that is known.
    Container(Option<ForeignText>),
    /// No process that is known.
    Nobody(Unowned),
}

impl ProcessKey {
    /// Whether the key stands for this process.
    #[must_use]
    pub fn covers(&self, p: &Process) -> bool {
        match self {
            Self::Pid(pid) => p.pid == *pid,
            Self::Command(comm) => p.comm == *comm,
            Self::User(uid) => p.uid == *uid,
            Self::Unit(name) => unit(p) == name.as_ref(),
            Self::Container(name) => container(p) == name.as_ref(),
            Self::Nobody(_) => false,
        }
    }

    /// The grouping of the table that has the key.
    #[must_use]
    pub const fn grouping(&self) -> ProcessGrouping {
        match self {
            Self::Pid(_) => ProcessGrouping::Process,
            Self::Command(_) => ProcessGrouping::Command,
            Self::User(_) => ProcessGrouping::User,
            Self::Unit(_) => ProcessGrouping::Unit,
            Self::Container(_) => ProcessGrouping::Container,
            Self::Nobody(unowned) => unowned.group,
        }
    }
}

/// The systemd unit of a process, if its cgroup tells.
#[must_use]
pub fn unit(p: &Process) -> Option<&ForeignText> {
    p.cgroup.known()?.unit.as_ref()
}

/// The name of the container of a process, if its cgroup tells.
#[must_use]
pub fn container(p: &Process) -> Option<&ForeignText> {
    p.cgroup.known()?.container.as_ref().map(|c| &c.name)
}

/// The sockets of a key, among those of one snapshot.
pub(super) struct Members<'a> {
    key: &'a ProcessKey,
    snapshot: &'a Snapshot,
    owners: Option<&'a Owners>,
    wanted: Vec<bool>,
}

impl<'a> Members<'a> {
    pub(super) fn new(key: &'a ProcessKey, snapshot: &'a Snapshot) -> Self {
        let owners = snapshot.owners.as_deref();
        let wanted = owners.iter().flat_map(|o| &o.processes).map(|p| key.covers(p)).collect();
        Self { key, snapshot, owners, wanted }
    }

    pub(super) fn matches(&self, row: &SocketRow) -> bool {
        let Some(owners) = self.owners else { return false };
        let wanted = |h: &Holder| self.wanted.get(h.process as usize).copied().unwrap_or_default();
        match owner_of(row, self.snapshot, Some(owners)) {
            Ownership::Held(holders) => holders.iter().any(wanted),
            other => other.no_holder().is_some_and(|what| {
                self.key.grouping().key_of_unheld(what, row, self.snapshot, owners) == *self.key
            }),
        }
    }
}
