//! What a socket has in each column of the socket table, to be shown and to be sorted by.

use super::cell::Cell;
use super::columns::ColumnId;
use super::key::Key;
use super::{options, owned};
use crate::analysis::{Age, Snapshot, Track};
use crate::model::{Keepalive, Protocol, RowFlags, SocketRow, TcpState, TimerKind};

use ColumnId as C;

/// A mini-socket: no owner, no file, no queues (`inet_timewait_sock`, `inet_reqsk_diag_fill`).
const fn is_mini(row: &SocketRow) -> bool {
    match row.state {
        TcpState::TimeWait => true,
        TcpState::SynRecv => row.inode == 0 && !row.flags.has(RowFlags::FULL),
        TcpState::FinWait2 => matches!(row.timer(), TimerKind::TimeWait),
        _ => false,
    }
}

/// Whether its timer is the one that `tcp_fin_timeout` sets.
pub(super) const fn runs_fin_timeout(row: &SocketRow) -> bool {
    matches!(row.state, TcpState::FinWait2)
        && row.inode == 0
        && matches!(row.timer(), TimerKind::Keepalive | TimerKind::TimeWait)
}

/// The local address and port, with the interface that the socket is bound to, as `ss` shows it.
pub(super) fn local<'a>(snapshot: &'a Snapshot, row: &SocketRow) -> Cell<'a> {
    let table = &snapshot.sample.table;
    match table.origin(row).ifindex {
        0 => Cell::Endpoint(row.local_endpoint()),
        n => Cell::Bound(row.local_endpoint(), n, table.interface(n)),
    }
}

/// Who owns a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// A user.
    User(u32),
    /// Nobody: a mini-socket.
    Nobody,
    /// The kernel does not tell.
    Untold,
}

/// The owner of a socket. Before Linux 6.15 the kernel says 0 for every socket without a file (`sock_i_uid`), which
/// is not root.
#[must_use]
pub fn owner(snapshot: &Snapshot, row: &SocketRow) -> Owner {
    if is_mini(row) {
        return Owner::Nobody;
    }
    match snapshot.sample.table.origin(row).uid {
        0 if row.has_no_file() => Owner::Untold,
        uid => Owner::User(uid),
    }
}

fn age(snapshot: &Snapshot, at: usize) -> Option<Age> {
    let age = snapshot.age(*snapshot.track.get(at)?);
    // One look says nothing about a socket that was already there.
    (!(age.at_least && age.seen.is_zero())).then_some(age)
}

fn keepalive(snapshot: &Snapshot, at: usize, row: &SocketRow) -> Option<Keepalive> {
    if snapshot.sample.protocol == Protocol::Udp {
        return None;
    }
    let seen = snapshot.track.get(at).copied().unwrap_or(Track::default()).keepalive(row)?;
    Some(match snapshot.options_of(row) {
        Some(Ok(options)) if options.keepalive => Keepalive::On,
        Some(Ok(_)) => Keepalive::Off,
        _ => seen,
    })
}

/// The send queue, or a listener's backlog; `None` where the table does not tell it.
fn send_q(snapshot: &Snapshot, row: &SocketRow) -> Option<u32> {
    let told = row.state != TcpState::Listen || snapshot.sample.completeness.source.tells_backlogs();
    told.then_some(row.send_q)
}

fn reading_order(state: TcpState) -> u64 {
    TcpState::ALL.iter().zip(0..).find(|(s, _)| **s == state).map_or(u64::MAX, |(_, n)| n)
}

/// The value of a column for the socket in row `at`; absent for a row that is not there.
#[must_use]
pub fn cell(column: ColumnId, snapshot: &Snapshot, at: usize) -> Cell<'_> {
    let Some(row) = snapshot.sample.table.rows.get(at) else { return Cell::Absent };
    let origin = || snapshot.sample.table.origin(row);
    let if_peer = |cell| if row.state.has_peer() { cell } else { Cell::Absent };
    let if_timer = |cell| if row.timer() == TimerKind::None { Cell::Absent } else { cell };
    let queue = |n| {
        if row.state == TcpState::Listen { Cell::Count(u64::from(n)) } else { Cell::Bytes(u64::from(n)) }
    };
    match column {
        C::Proto => Cell::Word(snapshot.sample.protocol.name()),
        C::Family => Cell::Word(if row.flags.has(RowFlags::V6) { "inet6" } else { "inet" }),
        C::State => state_cell(snapshot.sample.protocol, row.state),
        C::RecvQ => queue(row.recv_q),
        C::SendQ => send_q(snapshot, row).map_or(Cell::Unknown, queue),
        C::Local => local(snapshot, row),
        C::LocalAddr => Cell::Addr(row.local),
        C::LocalPort => Cell::Count(row.local_port.into()),
        C::Peer => if_peer(Cell::Endpoint(row.peer_endpoint())),
        C::PeerAddr => if_peer(Cell::Addr(row.peer)),
        C::PeerPort => if_peer(Cell::Count(row.peer_port.into())),
        C::Timer => if_timer(Cell::Timer {
            kind: row.timer(),
            fin_timeout: runs_fin_timeout(row),
            expires_ms: row.expires_ms,
            retrans: row.retrans,
        }),
        C::ExpiresMs => if_timer(Cell::Millis(row.expires_ms)),
        C::Retrans => if_timer(Cell::Count(row.retrans.into())),
        C::Keepalive => keepalive(snapshot, at, row).map_or(Cell::Absent, |k| Cell::Word(k.name())),
        C::Uid => match owner(snapshot, row) {
            Owner::User(uid) => Cell::Count(uid.into()),
            Owner::Nobody => Cell::Absent,
            Owner::Untold => Cell::Unknown,
        },
        C::Process | C::Pid | C::Comm | C::User | C::Fd | C::Cgroup | C::Unit | C::Container => {
            owned::cell(column, snapshot, row)
        }
        C::Inode => match row.inode {
            0 => Cell::Absent,
            inode => Cell::Count(inode.into()),
        },
        C::Cookie => match row.cookie() {
            0 => Cell::Unknown,
            cookie => Cell::Count(cookie),
        },
        C::Interface => match origin().ifindex {
            0 => Cell::Absent,
            n => Cell::Interface(n, snapshot.sample.table.interface(n)),
        },
        C::Mark => {
            if is_mini(row) {
                Cell::Absent
            } else {
                origin().mark.map_or(Cell::Unknown, |m| Cell::Hex(m.into()))
            }
        }
        C::CgroupId => {
            if is_mini(row) {
                Cell::Absent
            } else {
                origin().cgroup_id.map_or(Cell::Unknown, Cell::Count)
            }
        }
        C::Netns => Cell::Foreign(&snapshot.sample.netns.name),
        C::Age => age(snapshot, at).map_or(Cell::Unknown, Cell::Age),
        C::KeepIdle
        | C::KeepInterval
        | C::KeepProbes
        | C::UserTimeout
        | C::Linger
        | C::DeadPeer
        | C::Unprobed => options::cell(column, snapshot, row),
        C::Drops | C::DropGrowth | C::RcvBuf | C::SndBuf => {
            let udp = snapshot.sample.protocol == Protocol::Udp;
            let untold = if udp { Cell::Unknown } else { Cell::Absent };
            memory(column, snapshot, at).map_or(untold, |value| match value {
                Memory::Count(n) => Cell::Count(n.into()),
                Memory::Bytes(n) => Cell::Bytes(n.into()),
                Memory::PerMinute(r) => Cell::Rate(r.into()),
            })
        }
    }
}

/// The state of a socket: people know a UDP socket that is not connected by another name than programs.
#[must_use]
pub const fn state_cell(protocol: Protocol, state: TcpState) -> Cell<'static> {
    match (protocol, state) {
        (Protocol::Udp, TcpState::Close) => Cell::Named { people: "UNCONN", programs: state.name() },
        _ => Cell::Word(state.name()),
    }
}

enum Memory {
    Count(u32),
    Bytes(u32),
    PerMinute(f32),
}

/// What is known of the buffers and drops of a row.
fn memory(column: ColumnId, snapshot: &Snapshot, at: usize) -> Option<Memory> {
    let mem = snapshot.sample.memory.get(at)?;
    // No socket has a buffer of nothing: /proc/net/udp does not tell.
    let limit = |n: u32| Some(Memory::Bytes(n)).filter(|_| n > 0);
    match column {
        C::Drops => mem.drops.map(Memory::Count),
        C::DropGrowth => snapshot.drop_growth_per_min.get(at).copied().flatten().map(Memory::PerMinute),
        C::RcvBuf => limit(mem.rcvbuf),
        C::SndBuf => limit(mem.sndbuf),
        _ => None,
    }
}

/// What `column` sorts by.
#[inline]
pub(super) fn key(column: ColumnId, snapshot: &Snapshot, at: usize, row: &SocketRow) -> Key {
    let number = |n: u32| Key::number(n.into());
    let some = |n: u64| if n == 0 { Key::MISSING } else { Key::number(n) };
    let if_peer = |key| if row.state.has_peer() { key } else { Key::MISSING };
    let if_timer = |key| if row.timer() == TimerKind::None { Key::MISSING } else { key };
    let origin = || snapshot.sample.table.origin(row);
    match column {
        C::Proto => Key::number(snapshot.sample.protocol as u64),
        C::Drops | C::DropGrowth | C::RcvBuf | C::SndBuf => {
            Key::optional(memory(column, snapshot, at).map(|value| match value {
                Memory::Count(n) | Memory::Bytes(n) => number(n),
                Memory::PerMinute(r) => Key::float(r.into()),
            }))
        }
        C::Family => Key::number((row.flags.0 & RowFlags::V6.0).into()),
        C::State => Key::number(reading_order(row.state)),
        C::RecvQ => number(row.recv_q),
        C::SendQ => Key::optional(send_q(snapshot, row).map(number)),
        C::Local => Key::endpoint(row.local, row.local_port),
        C::LocalAddr => Key::addr(row.local),
        C::LocalPort => Key::number(row.local_port.into()),
        C::Peer => if_peer(Key::endpoint(row.peer, row.peer_port)),
        C::PeerAddr => if_peer(Key::addr(row.peer)),
        C::PeerPort => if_peer(Key::number(row.peer_port.into())),
        // By kind, then by time: the soonest of a kind first.
        C::Timer => if_timer(Key::number(u64::from(row.timer_raw) << 32 | u64::from(row.expires_ms))),
        C::ExpiresMs => if_timer(number(row.expires_ms)),
        C::Retrans => if_timer(Key::number(row.retrans.into())),
        C::Keepalive => Key::optional(keepalive(snapshot, at, row).map(|k| Key::number(k as u64))),
        C::Uid => match owner(snapshot, row) {
            Owner::User(uid) => number(uid),
            Owner::Nobody | Owner::Untold => Key::MISSING,
        },
        C::Process | C::Pid | C::Comm | C::User | C::Fd | C::Cgroup | C::Unit | C::Container => {
            owned::key(column, snapshot, row)
        }
        C::Inode => some(row.inode.into()),
        C::Cookie => some(row.cookie()),
        C::Interface => some(origin().ifindex.into()),
        C::Mark => Key::optional(origin().mark.map(number)),
        C::CgroupId => Key::optional(origin().cgroup_id.map(Key::number)),
        C::Netns => Key::text(snapshot.sample.netns.name.raw()),
        C::Age => Key::optional(
            snapshot
                .track
                .get(at)
                .map(|t| Key::number(u64::try_from(snapshot.age(*t).seen.as_millis()).unwrap_or(u64::MAX))),
        ),
        C::KeepIdle
        | C::KeepInterval
        | C::KeepProbes
        | C::UserTimeout
        | C::Linger
        | C::DeadPeer
        | C::Unprobed => options::key(column, snapshot, row),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Column as _;
    use crate::testkit;

    fn shown(row: SocketRow, column: ColumnId) -> String {
        let world = testkit::world_of(vec![row]);
        cell(column, &world.snapshots[0], 0).to_string()
    }

    #[test]
    fn what_does_not_apply_is_absent_and_what_is_not_told_is_unknown() {
        let listener = testkit::socket(TcpState::Listen, "0.0.0.0:443", "");
        assert_eq!(shown(listener, C::Peer), "-");
        assert_eq!(shown(listener, C::Keepalive), "-");
        assert_eq!(shown(listener, C::Cookie), "?");
        let dead = testkit::socket(TcpState::TimeWait, "10.0.0.1:443", "10.0.0.2:5000");
        assert_eq!((shown(dead, C::Uid), shown(dead, C::Inode)), ("-".into(), "-".into()));
        let mut unaccepted = testkit::socket(TcpState::Established, "10.0.0.1:443", "10.0.0.2:5000");
        assert_eq!(shown(unaccepted, C::Uid), "0");
        unaccepted.inode = 0;
        assert_eq!(shown(unaccepted, C::Uid), "?");
        assert_eq!(shown(unaccepted, C::Age), "?");
    }

    #[test]
    fn the_backlog_of_a_listener_out_of_proc_is_unknown() {
        let listener = testkit::socket(TcpState::Listen, "0.0.0.0:443", "");
        let open = testkit::socket(TcpState::Established, "10.0.0.1:443", "10.0.0.2:5000");
        let mut sample = testkit::sample(vec![listener, open]);
        sample.completeness.source = crate::model::TableSource::Procfs;
        let snapshot = crate::analysis::Analyzer::default().derive(sample);
        assert_eq!(cell(C::SendQ, &snapshot, 0), Cell::Unknown);
        assert_eq!(cell(C::SendQ, &snapshot, 1), Cell::Bytes(0));
        let of_listener = |column| crate::query::listener_cell(column, &snapshot, 0);
        assert_eq!(of_listener(crate::query::ListenerColumn::Backlog), Cell::Unknown);
        assert_eq!(of_listener(crate::query::ListenerColumn::Fill), Cell::Unknown);
    }

    #[test]
    fn the_two_timers_of_a_closed_connection_keep_their_right_names() {
        let mut orphan = testkit::socket(TcpState::FinWait2, "10.0.0.1:443", "10.0.0.2:5000");
        (orphan.timer_raw, orphan.expires_ms) = (2, 40_000);
        assert_eq!(shown(orphan, C::Timer), "keepalive 40s");
        orphan.inode = 0;
        assert_eq!(shown(orphan, C::Timer), "fin_timeout 40s");
    }

    #[test]
    fn every_cell_of_a_row_that_is_not_there_is_absent() {
        let world = testkit::world_of(Vec::new());
        for c in ColumnId::all() {
            assert_eq!(cell(*c, &world.snapshots[0], 7), Cell::Absent);
        }
    }
}
