//! The columns of the socket table that tell who holds a socket.

use super::cell::Cell;
use super::columns::ColumnId;
use super::key::Key;
use super::values::{Owner, owner};
use crate::analysis::{Ownership, Snapshot, owner_of};
use crate::model::{Cgroup, ForeignText, Holder, Owners, Process, SocketRow};

use ColumnId as C;

/// Who holds a socket, and the map that says so.
struct Owned<'a> {
    snapshot: &'a Snapshot,
    row: &'a SocketRow,
    owners: Option<&'a Owners>,
    ownership: Ownership<'a>,
}

impl<'a> Owned<'a> {
    fn of(snapshot: &'a Snapshot, row: &'a SocketRow) -> Self {
        let owners = snapshot.owners.as_deref();
        Self { snapshot, row, owners, ownership: owner_of(row, snapshot, owners) }
    }

    const fn holders(&self) -> &'a [Holder] {
        match self.ownership {
            Ownership::Held(holders) => holders,
            _ => &[],
        }
    }

    fn process(&self) -> Option<&'a Process> {
        self.owners?.process(*self.holders().first()?)
    }

    /// What is told by a process; unknown if there must be one and it could not be found.
    fn told(&self, cell: impl FnOnce(&'a Process) -> Cell<'a>) -> Cell<'a> {
        match self.process() {
            Some(p) => cell(p),
            None if self.ownership.is_unknown() => Cell::Unknown,
            None => Cell::Absent,
        }
    }

    fn process_cell(&self) -> Cell<'a> {
        match self.ownership {
            Ownership::Held(holders) => self.told(|p| {
                let others = holders.chunk_by(|a, b| a.process == b.process).count().saturating_sub(1);
                Cell::Process { name: &p.comm, pid: p.pid, others: u32::try_from(others).unwrap_or(u32::MAX) }
            }),
            // The state says it already.
            Ownership::TimeWait | Ownership::Request => Cell::Absent,
            Ownership::Pending => Cell::Unknown,
            other => other.no_holder().map_or(Cell::Absent, |what| Cell::Word(what.label())),
        }
    }

    fn user(&self) -> Option<&'a ForeignText> {
        let Owner::User(uid) = owner(self.snapshot, self.row) else { return None };
        self.owners?.users.get(&uid)
    }

    /// The cgroup in which the socket was made, else that of the first process that holds it.
    fn cgroup(&self) -> Option<&'a Cgroup> {
        let of_holder = || self.process()?.cgroup.known().map(AsRef::as_ref);
        self.owners.and_then(|o| made_in(self.row, self.snapshot, o)).or_else(of_holder)
    }

    fn cgroup_text(&self, column: ColumnId) -> Option<&'a ForeignText> {
        let cgroup = self.cgroup()?;
        match column {
            C::Unit => cgroup.unit.as_ref(),
            C::Container => cgroup.container.as_ref().map(|c| &c.name),
            _ => Some(&cgroup.path),
        }
    }
}

/// The cgroup in which a socket was made. On a host whose controllers are all of v1, every socket is said to be of the
/// root of v2, which tells nothing.
pub(super) fn made_in<'a>(row: &SocketRow, snapshot: &Snapshot, owners: &'a Owners) -> Option<&'a Cgroup> {
    let id = snapshot.sample.table.origin(row).cgroup_id?;
    owners.cgroups.get(&id).map(AsRef::as_ref).filter(|c| c.path.raw() != "/")
}

/// A process that holds a socket, with the descriptor.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HeldBy<'a> {
    /// The process.
    pub process: &'a Process,
    /// The descriptor.
    pub fd: u32,
}

/// The processes that hold the socket of `row`, each descriptor one: `None` where there can be none, an error where they
/// could not be known.
#[must_use]
pub fn held_by<'a>(
    snapshot: &'a Snapshot,
    row: &'a SocketRow,
) -> Option<Result<Vec<HeldBy<'a>>, Ownership<'a>>> {
    let owned = Owned::of(snapshot, row);
    match owned.ownership {
        Ownership::Held(holders) => {
            let by = |h: &Holder| Some(HeldBy { process: owned.owners?.process(*h)?, fd: h.fd });
            Some(Ok(holders.iter().filter_map(by).collect()))
        }
        Ownership::Unheld => Some(Ok(Vec::new())),
        unknown if unknown.is_unknown() => Some(Err(unknown)),
        _ => None,
    }
}

/// The value of a column that tells who holds the socket of `row`.
pub(super) fn cell<'a>(column: ColumnId, snapshot: &'a Snapshot, row: &'a SocketRow) -> Cell<'a> {
    let owned = Owned::of(snapshot, row);
    match column {
        C::Process => owned.process_cell(),
        C::Pid => owned.told(|p| Cell::Count(p.pid.into())),
        C::Comm => owned.told(|p| Cell::Foreign(&p.comm)),
        C::Fd => owned.told(|_| owned.holders().first().map_or(Cell::Absent, |h| Cell::Count(h.fd.into()))),
        C::User => match (owner(snapshot, row), owned.user()) {
            (_, Some(name)) => Cell::Foreign(name),
            (Owner::User(uid), None) => Cell::Text(uid.to_string().into()),
            (Owner::Nobody, None) => Cell::Absent,
            (Owner::Untold, None) => Cell::Unknown,
        },
        _ => match (owned.cgroup(), owned.cgroup_text(column)) {
            (_, Some(text)) => Cell::Foreign(text),
            (Some(_), None) => Cell::Absent,
            (None, None) => {
                owned.told(|p| if p.cgroup.known().is_some() { Cell::Absent } else { Cell::Unknown })
            }
        },
    }
}

/// What such a column sorts by.
pub(super) fn key(column: ColumnId, snapshot: &Snapshot, row: &SocketRow) -> Key {
    let owned = Owned::of(snapshot, row);
    let text = |t: Option<&ForeignText>| Key::optional(t.map(|t| Key::text(t.raw())));
    match column {
        C::Process | C::Comm => text(owned.process().map(|p| &p.comm)),
        C::Pid => Key::optional(owned.process().map(|p| Key::number(p.pid.into()))),
        C::Fd => Key::optional(owned.holders().first().map(|h| Key::number(h.fd.into()))),
        C::User => match (owner(snapshot, row), owned.user()) {
            (_, Some(name)) => Key::text(name.raw()),
            (Owner::User(uid), None) => Key::text(&uid.to_string()),
            _ => Key::MISSING,
        },
        _ => text(owned.cgroup_text(column)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Reading, TcpState};
    use crate::query::cell;
    use crate::testkit::{self, socket};

    fn row() -> SocketRow {
        let mut row = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.1:5000");
        row.inode = 7;
        row
    }

    fn shown(row: SocketRow, owners: Owners, column: ColumnId) -> String {
        cell(column, &testkit::world_owned(vec![row], owners).snapshots[0], 0).to_string()
    }

    fn prefork() -> Owners {
        let mut owners = testkit::owners(&[
            (618, "nginx", &[(7, 4), (7, 6)]),
            (616, "nginx", &[(7, 6)]),
            (617, "nginx", &[(7, 6)]),
        ]);
        owners.users = Arc::new([(0, "root".into())].into_iter().collect());
        owners
    }

    #[test]
    fn the_first_of_several_processes_is_shown_and_the_others_are_counted() {
        let of = |column| shown(row(), prefork(), column);
        assert_eq!(of(C::Process), "nginx[616]+2");
        assert_eq!((of(C::Pid), of(C::Comm), of(C::Fd)), ("616".into(), "nginx".into(), "6".into()));
        assert_eq!(of(C::User), "root");
        let world = testkit::world_owned(vec![row()], prefork());
        let all = held_by(&world.snapshots[0], &world.snapshots[0].sample.table.rows[0]).unwrap().unwrap();
        let all: Vec<_> = all.iter().map(|h| (h.process.pid, h.fd)).collect();
        assert_eq!(all, [(616, 6), (617, 6), (618, 4), (618, 6)]);
    }

    #[test]
    fn a_hostile_name_is_shown_harmless() {
        let owners = testkit::owners(&[(9, "\u{1b}[2J\n", &[(7, 1)])]);
        assert_eq!(shown(row(), owners, C::Process), "\\u{1b}[2J\\n[9]");
    }

    #[test]
    fn what_nobody_holds_is_named_and_what_is_not_known_is_unknown() {
        assert_eq!(shown(row(), Owners::default(), C::Process), "?");
        let mut owners = Owners::default();
        owners.unheld.insert(7);
        assert_eq!(shown(row(), owners.clone(), C::Process), "(no process)");
        assert_eq!(shown(row(), owners.clone(), C::Pid), "-");
        owners.hidden = 1;
        assert_eq!(shown(row(), owners.clone(), C::Process), "(hidden)");
        assert_eq!(shown(row(), owners.clone(), C::Pid), "?");
        let dead = socket(TcpState::TimeWait, "10.0.0.1:80", "10.9.9.1:5000");
        assert_eq!(shown(dead, owners, C::Process), "-");
    }

    #[test]
    fn the_cgroup_is_that_of_the_socket_before_that_of_its_process() {
        let cgroup = |path: &str| {
            let path = ForeignText::from(path);
            Arc::new(Cgroup { unit: Some(path.clone()), container: None, path })
        };
        let mut owners = prefork();
        for p in &mut owners.processes {
            p.cgroup = Reading::Known(cgroup("/of/process"));
        }
        owners.cgroups = Arc::new([(1, cgroup("/")), (5, cgroup("/of/socket"))].into_iter().collect());
        let with_id = |id| {
            let mut world = testkit::world_owned(vec![row()], owners.clone());
            let snapshot = Arc::make_mut(&mut world.snapshots[0]);
            let origin = crate::model::Origin { cgroup_id: id, ..Default::default() };
            snapshot.sample.table.rows[0].origin = snapshot.sample.table.intern(origin);
            [C::Cgroup, C::Unit, C::Container].map(|c| cell(c, snapshot, 0).to_string())
        };
        assert_eq!(with_id(Some(5)), ["/of/socket", "/of/socket", "-"]);
        // All that a v1 host can say.
        assert_eq!(with_id(Some(1)), ["/of/process", "/of/process", "-"]);
        assert_eq!(with_id(Some(99)), ["/of/process", "/of/process", "-"]);
        assert_eq!(with_id(None), ["/of/process", "/of/process", "-"]);
    }
}
