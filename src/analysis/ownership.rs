//! Who owns a socket, or what a socket is that nobody owns.

use super::Snapshot;
use crate::model::{Blindness, Holder, Owners, RowFlags, SocketRow, TcpState};

/// What a socket is that no process is known to hold: [`Ownership`] without its reasons, to count by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "each is explained by the ownership of the same name")]
pub enum NoHolder {
    TimeWait,
    Orphan,
    Request,
    NotAccepted,
    Kernel,
    Unheld,
    Hidden,
    Pending,
}

impl NoHolder {
    /// What stands in a table where a process would.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TimeWait => "(TIME_WAIT)",
            Self::Orphan => "(orphan)",
            Self::Request => "(half open)",
            Self::NotAccepted => "(not accepted)",
            Self::Kernel => "(kernel)",
            Self::Unheld => "(no process)",
            Self::Hidden => "(hidden)",
            Self::Pending => "(not searched yet)",
        }
    }

    /// Whether a process holds the socket and could not be found out.
    #[must_use]
    pub const fn is_unknown(self) -> bool {
        matches!(self, Self::Hidden | Self::Pending)
    }
}

/// Who owns a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ownership<'a> {
    /// Descriptors of processes; never empty.
    Held(&'a [Holder]),
    /// Closed by both ends; the kernel keeps the address pair for 60 s.
    TimeWait,
    /// Closed by its program; the kernel finishes the conversation.
    Orphan,
    /// A half-open connection: there is no socket yet.
    Request,
    /// The handshake is done and the program has not called `accept()`.
    NotAccepted,
    /// Open, without a file, and no listener to wait at: the kernel's own (NFS, iSCSI, SMB).
    Kernel,
    /// It has a file that no process holds: in flight between processes (`SCM_RIGHTS`), registered with `io_uring`, or of
    /// a kernel service.
    Unheld,
    /// It has a file, and the process that holds it is one that cannot be looked into, most likely.
    Hidden(Blindness),
    /// It has a file; the processes have not all been looked at since it came.
    Pending,
}

impl Ownership<'_> {
    /// One word, as in tables.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Held(_) => "process",
            Self::TimeWait => "time_wait",
            Self::Orphan => "orphan",
            Self::Request => "request",
            Self::NotAccepted => "not_accepted",
            Self::Kernel => "kernel",
            Self::Unheld => "unheld",
            Self::Hidden(_) => "hidden",
            Self::Pending => "pending",
        }
    }

    /// What the socket is if no process is known to hold it.
    #[must_use]
    pub const fn no_holder(&self) -> Option<NoHolder> {
        Some(match self {
            Self::Held(_) => return None,
            Self::TimeWait => NoHolder::TimeWait,
            Self::Orphan => NoHolder::Orphan,
            Self::Request => NoHolder::Request,
            Self::NotAccepted => NoHolder::NotAccepted,
            Self::Kernel => NoHolder::Kernel,
            Self::Unheld => NoHolder::Unheld,
            Self::Hidden(_) => NoHolder::Hidden,
            Self::Pending => NoHolder::Pending,
        })
    }

    /// Whether a process owns the socket and could not be found out.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        match self.no_holder() {
            Some(what) => what.is_unknown(),
            None => false,
        }
    }

    /// A sentence for people; with what would help where something is hidden.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Held(_) => "held by a process".into(),
            Self::TimeWait => "no process: closed by both ends, the kernel keeps the address pair for 60 s".into(),
            Self::Orphan => "no process: its program has closed it and the kernel finishes the conversation".into(),
            Self::Request => "no process yet: half open".into(),
            Self::NotAccepted => "no process yet: it waits for accept() in the queue of its listener".into(),
            Self::Kernel => "the kernel itself (NFS, iSCSI, SMB, …)".into(),
            Self::Unheld => {
                "no process: in flight between processes (SCM_RIGHTS), registered with io_uring, or of a kernel service".into()
            }
            Self::Hidden(why) => format!("unknown: {why}"),
            Self::Pending => "unknown: the processes have not all been looked at yet".into(),
        }
    }
}

/// Who owns the socket of `row`, a row of `snapshot`.
#[must_use]
pub fn owner_of<'a>(row: &SocketRow, snapshot: &Snapshot, owners: Option<&'a Owners>) -> Ownership<'a> {
    if row.inode == 0 {
        return without_file(row, snapshot);
    }
    let Some(owners) = owners else { return Ownership::Pending };
    match (owners.holders(row.inode), owners.blindness()) {
        ([], _) if !owners.unheld.contains(&row.inode) => Ownership::Pending,
        ([], Some(why)) => Ownership::Hidden(why),
        ([], None) => Ownership::Unheld,
        (held, _) => Ownership::Held(held),
    }
}

fn without_file(row: &SocketRow, snapshot: &Snapshot) -> Ownership<'static> {
    let waits_at_a_listener = || {
        snapshot.listening().any(|local| {
            local.port == row.local_port && (local.addr == row.local || local.addr.is_unspecified())
        })
    };
    match row.state {
        TcpState::TimeWait => Ownership::TimeWait,
        TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing | TcpState::LastAck => Ownership::Orphan,
        TcpState::SynRecv if !row.flags.has(RowFlags::FULL) => Ownership::Request,
        TcpState::Established | TcpState::CloseWait | TcpState::SynRecv if waits_at_a_listener() => {
            Ownership::NotAccepted
        }
        _ => Ownership::Kernel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{self, process, socket};

    fn of(row: SocketRow, others: &[SocketRow], owners: Option<&Owners>) -> &'static str {
        let world = testkit::world_of([&[row], others].concat());
        owner_of(&row, &world.snapshots[0], owners).word()
    }

    fn fileless(state: TcpState) -> SocketRow {
        let mut row = socket(state, "10.0.0.1:80", "10.9.9.9:5000");
        row.inode = 0;
        row
    }

    #[test]
    fn a_socket_without_a_file_is_named_for_what_it_is() {
        let listener = [socket(TcpState::Listen, "0.0.0.0:80", "")];
        let owners = Owners::default();
        let known = Some(&owners);
        assert_eq!(of(fileless(TcpState::TimeWait), &[], known), "time_wait");
        assert_eq!(of(fileless(TcpState::SynRecv), &listener, known), "request");
        for state in [TcpState::FinWait1, TcpState::FinWait2, TcpState::Closing, TcpState::LastAck] {
            assert_eq!(of(fileless(state), &listener, known), "orphan");
        }
        for state in [TcpState::Established, TcpState::CloseWait] {
            assert_eq!(of(fileless(state), &listener, known), "not_accepted");
            assert_eq!(of(fileless(state), &[], known), "kernel");
        }
    }

    #[test]
    fn a_file_that_was_not_found_is_unknown_until_everybody_was_asked() {
        let row = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000");
        assert_eq!(of(row, &[], None), "pending");
        let mut owners = Owners::new(vec![process(1, "a", &[])], std::iter::empty());
        assert_eq!(of(row, &[], Some(&owners)), "pending");
        owners.unheld.insert(row.inode);
        assert_eq!(of(row, &[], Some(&owners)), "unheld");
        owners.hidden = 1;
        assert_eq!(of(row, &[], Some(&owners)), "hidden");
        let owners = testkit::owners(&[(616, "nginx", &[(row.inode, 6)])]);
        assert_eq!(of(row, &[], Some(&owners)), "process");
    }
}
