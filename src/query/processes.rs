//! The processes table: who holds the sockets, by process, command, user, systemd unit or container, over all namespaces.
//! Sockets that no process is known to hold have rows of their own, named for what they are.

use std::collections::HashMap;

use rustc_hash::FxHashMap;

use super::column::Sort;
use super::key::Key;
use super::process_columns::ProcessColumn;
use super::process_groups::{ProcessGrouping, ProcessKey, Unowned, container, unit};
use super::top::Top;
use crate::analysis::{NoHolder, Ownership, Snapshot, Tally, World, owner_of, tally};
use crate::model::{ForeignText, Owners, Process, Reading};

use ProcessColumn as C;

/// What to show of the processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcessQuery {
    /// By what they are put together.
    pub group: ProcessGrouping,
    /// In which order.
    pub sort: Sort<ProcessColumn>,
    /// How many of the first.
    pub want: usize,
}

/// A process, a group of processes, or sockets that no process is known to hold, over all namespaces.
#[derive(Clone, PartialEq, Debug)]
pub struct ProcessRow {
    /// Its identity, for [`Selection::Processes`](super::Selection::Processes).
    pub key: ProcessKey,
    /// What people call it; `None` for the processes that are in no unit or container that is known.
    pub name: Option<ForeignText>,
    /// Its process id; of a group with one process, that one's.
    pub pid: Option<u32>,
    /// Effective user, if all of the group have the same, with the name where `/etc/passwd` has one.
    pub user: Option<(u32, Option<ForeignText>)>,
    /// systemd unit, if all of the group have the same.
    pub unit: Option<ForeignText>,
    /// Container, if all of the group have the same.
    pub container: Option<ForeignText>,
    /// How many processes are in it.
    pub members: u32,
    /// How many more belong to it that could not be looked into: what they hold is not in its sums.
    pub unseen: u32,
    /// Sockets, peers, keepalive and queues.
    pub tally: Tally,
    /// Open descriptors; `None` if they could not be counted.
    pub fds: Option<u64>,
    /// Their soft limit; of a group, that of its fullest process.
    pub fd_limit: Option<u64>,
    /// The used part of the limit; of a group, that of its fullest process.
    pub fd_ratio: Option<f64>,
    /// Growth of the descriptors per minute; `None` until enough was observed.
    pub fd_growth_per_min: Option<f32>,
    /// Seconds until descriptors run out; of a group, at the first process.
    pub fds_exhausted_in_s: Option<f64>,
    /// TCP sockets that are in no table; `None` where that could not be known.
    pub unlisted: Option<u32>,
    /// Growth of that number per minute.
    pub unlisted_growth_per_min: Option<f32>,
}

fn user_name(uid: u32, users: &FxHashMap<u32, ForeignText>) -> ForeignText {
    users.get(&uid).cloned().unwrap_or_else(|| ForeignText::from(uid.to_string().as_str()))
}

impl ProcessRow {
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    fn of_process(p: &Process, group: ProcessGrouping, users: &FxHashMap<u32, ForeignText>) -> Self {
        let (fds, fd_limit) = (p.fds.known().copied(), p.fd_limit.known().copied());
        let user = users.get(&p.uid).cloned();
        let key = group.key(p);
        Self {
            name: match &key {
                ProcessKey::Pid(_) | ProcessKey::Command(_) => Some(p.comm.clone()),
                ProcessKey::User(uid) => Some(user_name(*uid, users)),
                ProcessKey::Unit(name) | ProcessKey::Container(name) => name.clone(),
                ProcessKey::Nobody(_) => None,
            },
            key,
            pid: Some(p.pid),
            user: Some((p.uid, user)),
            unit: unit(p).cloned(),
            container: container(p).cloned(),
            members: 1,
            unseen: 0,
            tally: Tally::default(),
            fds,
            fd_limit,
            fd_ratio: fds.zip(fd_limit).map(|(n, max)| if max == 0 { 1.0 } else { n as f64 / max as f64 }),
            fd_growth_per_min: None,
            fds_exhausted_in_s: None,
            unlisted: p.unlisted.known().copied(),
            unlisted_growth_per_min: None,
        }
    }

    /// A row for sockets whose process is not known, or that have none.
    fn of_nobody(key: &ProcessKey, users: &FxHashMap<u32, ForeignText>) -> Self {
        let named = |uid: u32| (uid, users.get(&uid).cloned());
        let (name, user) = match key {
            ProcessKey::User(uid) => (Some(user_name(*uid, users)), Some(named(*uid))),
            ProcessKey::Unit(name) | ProcessKey::Container(name) => (name.clone(), None),
            ProcessKey::Nobody(unowned) => (None, unowned.uid.map(named)),
            ProcessKey::Pid(_) | ProcessKey::Command(_) => (None, None),
        };
        Self {
            key: key.clone(),
            name,
            pid: None,
            user,
            unit: None,
            container: None,
            members: 0,
            unseen: 0,
            tally: Tally::default(),
            fds: None,
            fd_limit: None,
            fd_ratio: None,
            fd_growth_per_min: None,
            fds_exhausted_in_s: None,
            unlisted: None,
            unlisted_growth_per_min: None,
        }
    }

    /// What its sockets are, if no process holds them, or none that is known.
    #[must_use]
    pub const fn unowned(&self) -> Option<Unowned> {
        match self.key {
            ProcessKey::Nobody(unowned) => Some(unowned),
            _ => None,
        }
    }

    /// Whether there is no process behind it.
    #[must_use]
    pub const fn is_no_process(&self) -> bool {
        matches!(self.unowned(), Some(u) if !u.what.is_unknown())
    }

    /// Takes another process into the group; its sockets are counted apart.
    fn merge(&mut self, other: &Self) {
        fn same<T: PartialEq>(a: &mut Option<T>, b: Option<&T>) {
            if a.as_ref() != b {
                *a = None;
            }
        }
        fn sum<T: std::ops::Add<Output = T>>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a + b),
                (one, other) => one.or(other),
            }
        }
        self.pid = None;
        same(&mut self.user, other.user.as_ref());
        same(&mut self.unit, other.unit.as_ref());
        same(&mut self.container, other.container.as_ref());
        self.members += other.members;
        self.fds = sum(self.fds, other.fds);
        if other.fd_ratio > self.fd_ratio {
            (self.fd_ratio, self.fd_limit) = (other.fd_ratio, other.fd_limit);
        }
        self.fd_growth_per_min = sum(self.fd_growth_per_min, other.fd_growth_per_min);
        self.fds_exhausted_in_s = match (self.fds_exhausted_in_s, other.fds_exhausted_in_s) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        self.unlisted = sum(self.unlisted, other.unlisted);
        self.unlisted_growth_per_min = sum(self.unlisted_growth_per_min, other.unlisted_growth_per_min);
    }

    fn sort_key(&self, column: ProcessColumn) -> Key {
        let number = |n: u32| Key::number(n.into());
        let text = |t: &Option<ForeignText>| Key::optional(t.as_ref().map(|t| Key::text(t.raw())));
        let float = |n: Option<f64>| Key::optional(n.map(Key::float));
        match column {
            C::Name => match self.unowned() {
                Some(unowned) => Key::text(unowned.what.label()),
                None => text(&self.name),
            },
            C::Pid => Key::optional(self.pid.map(number)),
            C::User => Key::optional(self.user.as_ref().map(|(uid, name)| {
                name.as_ref().map_or_else(|| Key::text(&uid.to_string()), |n| Key::text(n.raw()))
            })),
            C::Unit => text(&self.unit),
            C::Container => text(&self.container),
            C::Members => number(self.members),
            C::Total => number(self.tally.counts.total()),
            C::State(state) => number(self.tally.counts[state]),
            C::Peers => number(self.tally.peers),
            C::NoKeepalive => number(self.tally.no_keepalive),
            C::RecvQ => Key::number(self.tally.recv_q),
            C::SendQ => Key::number(self.tally.send_q),
            C::Fds => Key::optional(self.fds.map(Key::number)),
            C::FdLimit => Key::optional(self.fd_limit.map(Key::number)),
            C::FdRatio => float(self.fd_ratio),
            C::FdGrowth => float(self.fd_growth_per_min.map(f64::from)),
            C::FdsExhausted => float(self.fds_exhausted_in_s),
            C::Unlisted => Key::optional(self.unlisted.map(number)),
            C::UnlistedGrowth => float(self.unlisted_growth_per_min.map(f64::from)),
        }
    }
}

/// The first processes in the order that was asked for.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct ProcessView {
    /// Which look at the world this is a view of.
    pub generation: u64,
    /// How many processes or groups there are in all.
    pub matching: usize,
    /// The first of them, in order.
    pub rows: Vec<ProcessRow>,
    /// Why sockets or whole processes may be missing, with what would help; `None` when every process could be looked at.
    pub blind: Option<String>,
}

/// The first processes that hold sockets, in the order that was asked for, and how many there are in all. Empty until
/// the processes were scanned.
#[must_use]
pub fn processes(world: &World, query: &ProcessQuery) -> ProcessView {
    let generation = world.generation;
    let Some(owners) = world.owners() else {
        let blind = Some("the processes have not been looked at yet".into());
        return ProcessView { generation, blind, ..ProcessView::default() };
    };
    let rows = rows(world, owners, query.group);
    let blind = untold(owners, &rows);
    let matching = rows.len();
    let mut top = Top::new(query.want);
    for (at, row) in rows.iter().enumerate() {
        let key = row.sort_key(query.sort.column).directed(query.sort.descending);
        // What is no process comes last, whatever the order.
        top.push((row.is_no_process(), key, &row.key), || at);
    }
    let order: Vec<usize> = top.finish().map(|(_, at)| at).collect();
    let mut rows: Vec<Option<ProcessRow>> = rows.into_iter().map(Some).collect();
    let rows = order.into_iter().filter_map(|at| rows.get_mut(at)?.take()).collect();
    ProcessView { generation, matching, rows, blind }
}

/// What the rows do not say, and why.
fn untold(owners: &Owners, rows: &[ProcessRow]) -> Option<String> {
    let mut said: Vec<String> = owners.blindness().map(|b| b.to_string()).into_iter().collect();
    if rows.iter().any(|r| r.unseen > 0) {
        said.push("the sums of their groups are at least what is shown".into());
    }
    if rows.iter().any(|r| r.unowned().is_some_and(|u| u.what == NoHolder::Pending)) {
        let why =
            "not searched yet: the search for processes takes a fiftieth of a core at most, and goes on";
        said.push(why.into());
    }
    (!said.is_empty()).then(|| said.join("; "))
}

fn rows(world: &World, owners: &Owners, group: ProcessGrouping) -> Vec<ProcessRow> {
    let mut rows: Vec<ProcessRow> = Vec::new();
    let mut places: HashMap<ProcessKey, u32> = HashMap::new();
    // The group of each process that holds anything.
    let mut groups: Vec<Option<u32>> = vec![None; owners.processes.len()];
    for (agg, p) in world
        .snapshots
        .iter()
        .flat_map(|s| &s.processes)
        .filter_map(|a| Some((a, owners.processes.get(a.process as usize)?)))
    {
        let Some(place) = groups.get_mut(agg.process as usize) else { continue };
        if place.is_some() {
            // The same process in another namespace: only its sockets are others.
            continue;
        }
        let mut row = ProcessRow::of_process(p, group, &owners.users);
        row.fd_growth_per_min = agg.fd_growth_per_s.map(|g| g * 60.0);
        row.fds_exhausted_in_s = agg.fds_exhausted_in_s(owners);
        row.unlisted_growth_per_min = agg.unlisted_growth_per_min;
        let at =
            *places.entry(row.key.clone()).or_insert_with(|| u32::try_from(rows.len()).unwrap_or(u32::MAX));
        *place = Some(at);
        match rows.get_mut(at as usize) {
            Some(there) => there.merge(&row),
            None => rows.push(row),
        }
    }
    for snapshot in &world.snapshots {
        count(snapshot, owners, group, &groups, &mut rows, &mut places);
    }
    if group != ProcessGrouping::Process {
        for p in owners.processes.iter().filter(|p| matches!(p.sockets, Reading::Unreadable(_))) {
            let there = places.get(&group.key(p)).and_then(|at| rows.get_mut(*at as usize));
            if let Some(row) = there {
                row.unseen += 1;
            }
        }
    }
    rows
}

/// Adds what the rows hold of one namespace. Sockets that no process is known to hold get rows of their own.
fn count(
    snapshot: &Snapshot,
    owners: &Owners,
    group: ProcessGrouping,
    groups: &[Option<u32>],
    rows: &mut Vec<ProcessRow>,
    places: &mut HashMap<ProcessKey, u32>,
) {
    let of = |process: u32| groups.get(process as usize).copied().flatten();
    let each_for_itself = group == ProcessGrouping::Process;
    if each_for_itself {
        for agg in &snapshot.processes {
            if let Some(row) = of(agg.process).and_then(|at| rows.get_mut(at as usize)) {
                row.tally += agg.tally;
            }
        }
    }
    // A socket that several processes of a group hold counts once, so the sums of the processes would be wrong.
    let sums =
        tally(&snapshot.sample.table.rows, &snapshot.track, rows.len(), |socket, within| {
            match owner_of(socket, snapshot, Some(owners)) {
                Ownership::Held(_) if each_for_itself => {}
                Ownership::Held(holders) => within.extend(holders.iter().filter_map(|h| of(h.process))),
                other => within.extend(other.no_holder().map(|what| {
                    let key = group.key_of_unheld(what, socket, snapshot, owners);
                    *places.entry(key).or_insert_with_key(|key| {
                        rows.push(ProcessRow::of_nobody(key, &owners.users));
                        u32::try_from(rows.len() - 1).unwrap_or(u32::MAX)
                    })
                })),
            }
        });
    for (row, sum) in rows.iter_mut().zip(sums) {
        row.tally += sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TcpState;
    use crate::query::{Selection, SocketQuery, process_cell, sockets};
    use crate::testkit::{self, socket};

    /// A listener that two processes of nginx hold, a connection of each, one of java, and one in flight between processes.
    fn world() -> World {
        let e = TcpState::Established;
        let mut rows = vec![
            socket(TcpState::Listen, "0.0.0.0:80", ""),
            socket(e, "10.0.0.1:80", "10.9.9.1:5000"),
            socket(e, "10.0.0.1:80", "10.9.9.1:5001"),
            socket(TcpState::CloseWait, "10.0.0.1:4000", "10.8.8.8:443"),
            socket(e, "10.0.0.1:4001", "10.8.8.8:443"),
        ];
        for (inode, row) in (1..).zip(&mut rows) {
            row.inode = inode;
            row.recv_q = 10;
        }
        let mut owners = testkit::owners(&[
            (10, "nginx", &[(1, 6), (2, 7)]),
            (11, "nginx", &[(1, 6), (3, 7)]),
            (20, "java", &[(4, 3)]),
        ]);
        owners.unheld.insert(5);
        testkit::world_owned(rows, owners)
    }

    fn shown(group: ProcessGrouping, column: ProcessColumn) -> Vec<(String, String)> {
        let view = processes(&world(), &ProcessQuery { group, sort: Sort::by(C::Total), want: 10 });
        let cell = |c, r| process_cell(c, r).to_string();
        view.rows.iter().map(|r| (cell(C::Name, r), cell(column, r))).collect()
    }

    fn pairs(want: &[(&str, &str)]) -> Vec<(String, String)> {
        want.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn a_shared_socket_counts_at_each_process_and_once_in_a_group() {
        let flying = ("(no process)", "1");
        let each = [("nginx", "2"), ("nginx", "2"), ("java", "1"), flying];
        assert_eq!(shown(ProcessGrouping::Process, C::Total), pairs(&each));
        assert_eq!(
            shown(ProcessGrouping::Command, C::Total),
            pairs(&[("nginx", "3"), ("java", "1"), flying])
        );
        assert_eq!(shown(ProcessGrouping::User, C::Total), pairs(&[("1000", "4"), flying]));
        assert_eq!(shown(ProcessGrouping::Command, C::State(TcpState::Listen))[0].1, "1");
    }

    #[test]
    fn the_queue_of_a_listener_is_not_bytes_and_peers_are_counted_once() {
        assert_eq!(shown(ProcessGrouping::Command, C::RecvQ)[0].1, "20");
        assert_eq!(shown(ProcessGrouping::Command, C::Peers)[0].1, "1");
        assert_eq!(shown(ProcessGrouping::Command, C::Members)[0].1, "2");
        assert_eq!(
            shown(ProcessGrouping::Command, C::Pid),
            pairs(&[("nginx", "-"), ("java", "20"), ("(no process)", "-")])
        );
    }

    #[test]
    fn descriptors_of_a_group_are_a_sum_and_their_limit_is_that_of_the_fullest() {
        assert_eq!(shown(ProcessGrouping::Command, C::Fds)[0].1, "128");
        assert_eq!(shown(ProcessGrouping::Command, C::FdRatio)[0].1, "6%");
        assert_eq!(shown(ProcessGrouping::Command, C::FdLimit)[0].1, "1024");
        assert_eq!(shown(ProcessGrouping::Command, C::FdGrowth)[0].1, "?", "one look says nothing of growth");
    }

    #[test]
    fn what_a_process_holds_that_cannot_be_looked_into_is_its_users() {
        let rows = vec![socket(TcpState::Established, "10.0.0.1:80", "10.9.9.1:5000")];
        let mut owners = testkit::owners(&[(10, "nginx", &[])]);
        owners.unheld.insert(rows[0].inode);
        owners.hidden = 1;
        let world = testkit::world_owned(rows, owners);
        let names = |group| {
            let view = processes(&world, &ProcessQuery { group, sort: Sort::by(C::Total), want: 10 });
            let cell = |c| process_cell(c, &view.rows[0]).to_string();
            (view.rows.len(), cell(C::Name), cell(C::Total), cell(C::Fds), cell(C::User))
        };
        let hidden = |name: &str| (1, name.to_owned(), "1".into(), "?".into(), "0".into());
        assert_eq!(names(ProcessGrouping::Process), hidden("(hidden)"));
        assert_eq!(names(ProcessGrouping::User), hidden("0"));
        assert_eq!(names(ProcessGrouping::Container), hidden("(hidden)"));
    }

    #[test]
    fn a_row_leads_to_its_sockets() {
        let world = world();
        let take = |key| {
            let select = Selection::Processes(key);
            let query = SocketQuery { select, sort: Sort::by(crate::query::ColumnId::Inode), want: 99 };
            sockets(&world, &query).order.iter().map(|r| r.row).collect::<Vec<_>>()
        };
        assert_eq!(take(ProcessKey::Pid(11)), [0, 2]);
        assert_eq!(take(ProcessKey::Command("nginx".into())), [0, 1, 2]);
        assert_eq!(take(ProcessKey::User(1000)), [0, 1, 2, 3]);
        assert_eq!(take(ProcessKey::Unit(None)), [0, 1, 2, 3]);
        assert!(take(ProcessKey::Pid(99)).is_empty());
        let flying = |group| ProcessKey::Nobody(Unowned { group, what: NoHolder::Unheld, uid: None });
        assert_eq!(take(flying(ProcessGrouping::Unit)), [4]);
    }

    #[test]
    fn the_sums_of_a_group_with_a_process_that_may_not_be_looked_into_are_at_least_so_much() {
        let mut world = world();
        let mut owners = (*world.snapshots[0].owners.clone().unwrap()).clone();
        let mut hidden = testkit::process(30, "nginx", &[]);
        hidden.sockets = Reading::Unreadable("permission denied".into());
        owners.processes.push(hidden);
        owners.unheld.clear();
        owners.hidden = 1;
        std::sync::Arc::make_mut(&mut world.snapshots[0]).owners = Some(owners.into());
        let view = |group| processes(&world, &ProcessQuery { group, sort: Sort::by(C::Total), want: 10 });
        let commands = view(ProcessGrouping::Command);
        let shown = |name: &str, column| {
            let row = commands.rows.iter().find(|r| process_cell(C::Name, r).to_string() == name).unwrap();
            process_cell(column, row).to_string()
        };
        assert_eq!([C::Members, C::Total].map(|c| shown("nginx", c)), ["≥2", "≥3"]);
        assert_eq!([C::Members, C::Total].map(|c| shown("java", c)), ["1", "1"]);
        let said = commands.blind.clone().unwrap();
        assert!(said.contains("CAP_SYS_PTRACE") && said.contains("at least"), "{said}");
        // A socket that was not looked for yet is said to be that, with the reason.
        assert_eq!(shown("(not searched yet)", C::Total), "1");
        assert!(said.contains("fiftieth of a core"), "{said}");
        let alone = view(ProcessGrouping::Process);
        assert!(!alone.blind.unwrap().contains("at least") && alone.rows.iter().all(|r| r.unseen == 0));
    }

    #[test]
    fn without_a_scan_the_table_is_empty_and_says_why() {
        let world = testkit::world_of(Vec::new());
        let query = ProcessQuery { group: ProcessGrouping::Process, sort: Sort::by(C::Total), want: 10 };
        let view = processes(&world, &query);
        assert!(view.rows.is_empty() && view.blind.is_some());
    }
}
