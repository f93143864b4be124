//! The columns of the socket table.

use super::cell::Cell;
use super::column::{Column, Spec};
use super::key::Key;
use super::{options, owned};
use crate::analysis::{Age, Snapshot, Track};
use crate::model::{Keepalive, Protocol, Protocols, RowFlags, SocketRow, TcpState, TimerKind};

/// A column of the socket table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is explained by its help, which is one of its properties")]
pub enum ColumnId {
    Proto,
    Family,
    State,
    RecvQ,
    SendQ,
    Local,
    LocalAddr,
    LocalPort,
    Peer,
    PeerAddr,
    PeerPort,
    Timer,
    ExpiresMs,
    Retrans,
    Keepalive,
    Uid,
    Process,
    Pid,
    Comm,
    User,
    Fd,
    Cgroup,
    Unit,
    Container,
    Inode,
    Cookie,
    Interface,
    Mark,
    CgroupId,
    Netns,
    Age,
    KeepIdle,
    KeepInterval,
    KeepProbes,
    UserTimeout,
    Linger,
    DeadPeer,
    Unprobed,
    Drops,
    DropGrowth,
    RcvBuf,
    SndBuf,
}

use ColumnId as C;

impl ColumnId {
    /// What `list` shows when nothing else is asked for.
    pub const USUAL: &'static [Self] =
        &[C::State, C::RecvQ, C::SendQ, C::Local, C::Peer, C::Timer, C::Keepalive, C::Uid, C::Inode];

    /// The same for UDP sockets.
    const USUAL_OF_UDP: &'static [Self] =
        &[C::State, C::RecvQ, C::SendQ, C::RcvBuf, C::Drops, C::Local, C::Peer, C::Uid, C::Inode];

    /// The same for TCP and UDP sockets together.
    const USUAL_OF_BOTH: &'static [Self] =
        &[C::Proto, C::State, C::RecvQ, C::SendQ, C::Drops, C::Local, C::Peer, C::Timer, C::Uid, C::Inode];

    /// What `list` shows of these protocols, the namespace first where there are `several`.
    #[must_use]
    pub fn usual(protocols: Protocols, several: bool) -> Vec<Self> {
        let columns = match protocols {
            Protocols { tcp: true, udp: true } => Self::USUAL_OF_BOTH,
            Protocols { udp: true, .. } => Self::USUAL_OF_UDP,
            Protocols { .. } => Self::USUAL,
        };
        several.then_some(Self::Netns).into_iter().chain(columns.iter().copied()).collect()
    }

    /// Whether the processes must be looked at for it.
    #[must_use]
    pub const fn needs_owners(self) -> bool {
        matches!(self, C::Process | C::Pid | C::Comm | C::User | C::Fd | C::Cgroup | C::Unit | C::Container)
    }

    /// Whether the sockets must be asked for their options for it.
    #[must_use]
    pub const fn needs_options(self) -> bool {
        matches!(
            self,
            C::KeepIdle
                | C::KeepInterval
                | C::KeepProbes
                | C::UserTimeout
                | C::Linger
                | C::DeadPeer
                | C::Unprobed
        )
    }

    /// The same for several namespaces.
    pub const USUAL_OF_SEVERAL: &'static [Self] = &[
        C::Netns,
        C::State,
        C::RecvQ,
        C::SendQ,
        C::Local,
        C::Peer,
        C::Timer,
        C::Keepalive,
        C::Uid,
        C::Inode,
    ];
}

impl Column for ColumnId {
    fn all() -> &'static [Self] {
        &[
            C::Proto,
            C::Family,
            C::State,
            C::RecvQ,
            C::SendQ,
            C::Local,
            C::LocalAddr,
            C::LocalPort,
            C::Peer,
            C::PeerAddr,
            C::PeerPort,
            C::Timer,
            C::ExpiresMs,
            C::Retrans,
            C::Keepalive,
            C::Uid,
            C::Process,
            C::Pid,
            C::Comm,
            C::User,
            C::Fd,
            C::Cgroup,
            C::Unit,
            C::Container,
            C::Inode,
            C::Cookie,
            C::Interface,
            C::Mark,
            C::CgroupId,
            C::Netns,
            C::Age,
            C::KeepIdle,
            C::KeepInterval,
            C::KeepProbes,
            C::UserTimeout,
            C::Linger,
            C::DeadPeer,
            C::Unprobed,
            C::Drops,
            C::DropGrowth,
            C::RcvBuf,
            C::SndBuf,
        ]
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    fn spec(self) -> Spec {
        match self {
            C::Proto => Spec::text("proto", "PROTO", 5, 5)
                .aliases(&["netid", "protocol"])
                .drop(22)
                .help("Transport protocol"),
            C::Family => Spec::text("family", "FAMILY", 5, 6)
                .drop(21)
                .help("inet or inet6; an inet6 socket can carry IPv4"),
            C::State => {
                Spec::text("state", "STATE", 11, 14).aliases(&["st"]).help("TCP state, open ones first")
            }
            C::RecvQ => Spec::number("recv_q", "RECV-Q", 6, 7)
                .aliases(&["recvq", "rq", "rx_queue"])
                .drop(3)
                .help("Bytes that the program has not read; of a listener, connections that wait for accept()"),
            C::SendQ => Spec::number("send_q", "SEND-Q", 6, 7)
                .aliases(&["sendq", "sq", "tx_queue"])
                .drop(4)
                .help("Bytes that the peer has not acknowledged; of a listener, the backlog that listen() fixed"),
            C::Local => Spec::text("local", "LOCAL", 15, 28).aliases(&["src"]).help("Local address and port"),
            C::LocalAddr => Spec::text("local_addr", "LOCAL IP", 11, 22)
                .aliases(&["saddr", "local_address"])
                .drop(9)
                .help("Local address"),
            C::LocalPort => Spec::number("local_port", "LPORT", 5, 5)
                .aliases(&["sport", "lport"])
                .ascending()
                .drop(9)
                .help("Local port"),
            C::Peer => {
                Spec::text("peer", "PEER", 15, 28).aliases(&["dst", "remote"]).help("Peer address and port")
            }
            C::PeerAddr => Spec::text("peer_addr", "PEER IP", 11, 22)
                .aliases(&["daddr", "peer_address", "remote_addr"])
                .drop(9)
                .help("Peer address"),
            C::PeerPort => Spec::number("peer_port", "PPORT", 5, 5)
                .aliases(&["dport", "rport"])
                .ascending()
                .drop(9)
                .help("Peer port"),
            C::Timer => Spec::text("timer", "TIMER", 14, 20)
                .drop(2)
                .help("Pending timer, when it fires, and ×n repetitions or unanswered probes"),
            C::ExpiresMs => Spec::number("expires_ms", "EXPIRES", 7, 8)
                .aliases(&["expires"])
                .ascending()
                .drop(12)
                .help("Time until the timer fires"),
            C::Retrans => Spec::number("retrans", "RETR", 4, 4)
                .aliases(&["retransmits", "unanswered"])
                .drop(8)
                .help("Consecutive timeouts, unanswered probes or repeated SYN-ACKs, by the timer"),
            C::Keepalive => Spec::text("keepalive", "KEEPALIVE", 7, 9)
                .aliases(&["ka"])
                .drop(1)
                .help("SO_KEEPALIVE: on, off, or unknown because another timer hides it"),
            C::Uid => Spec::number("uid", "UID", 5, 6)
                .ascending()
                .drop(7)
                .help("Owner; unknown for a socket without a file before Linux 6.15"),
            C::Process => Spec::text("process", "PROCESS", 12, 20)
                .aliases(&["processes", "prog", "users"])
                .drop(6)
                .help("Process that holds the socket, name[pid], and +n others; what it is if none does"),
            C::Pid => Spec::number("pid", "PID", 5, 7)
                .ascending()
                .drop(18)
                .help("Process that holds the socket; the first if several do"),
            C::Comm => Spec::text("comm", "COMMAND", 8, 15)
                .aliases(&["command"])
                .drop(18)
                .help("Name of the process that holds the socket; of the first if several do"),
            C::User => Spec::text("user", "USER", 6, 10)
                .drop(13)
                .help("Name of the owner, out of /etc/passwd; else the user id"),
            C::Fd => Spec::number("fd", "FD", 3, 5)
                .ascending()
                .drop(20)
                .help("Descriptor in the process that holds the socket"),
            C::Cgroup => Spec::text("cgroup", "CGROUP", 10, 30)
                .drop(19)
                .help("Cgroup in which the socket was made (Linux 5.8), or that of its process"),
            C::Unit => Spec::text("unit", "UNIT", 10, 22).drop(16).help("systemd unit, out of the cgroup"),
            C::Container => {
                Spec::text("container", "CONTAINER", 10, 22).drop(16).help("Container, out of the cgroup")
            }
            C::Inode => Spec::number("inode", "INODE", 8, 10)
                .aliases(&["ino"])
                .ascending()
                .drop(10)
                .help("Inode of the socket's file"),
            C::Cookie => Spec::number("cookie", "COOKIE", 8, 12)
                .aliases(&["sk"])
                .ascending()
                .drop(15)
                .help("The kernel's identity of the socket, stable over all states and never reused"),
            C::Interface => Spec::text("interface", "DEV", 4, 8)
                .aliases(&["dev", "iface", "if"])
                .drop(14)
                .help("Interface that the socket is bound to"),
            C::Mark => Spec::number("mark", "MARK", 6, 10)
                .aliases(&["fwmark"])
                .ascending()
                .drop(16)
                .help("SO_MARK; needs CAP_NET_ADMIN"),
            C::CgroupId => Spec::number("cgroup_id", "CG-ID", 7, 8)
                .ascending()
                .drop(17)
                .help("Cgroup v2 in which the socket was made (Linux 5.8)"),
            C::Netns => Spec::text("netns", "NETNS", 5, 12)
                .aliases(&["ns", "namespace"])
                .drop(11)
                .help("Network namespace"),
            C::Age => Spec::number("age", "AGE", 5, 7)
                .aliases(&["seen"])
                .drop(5)
                .help("How long tcptop has seen the socket in this state; ≥ if it was there before"),
            C::KeepIdle => Spec::number("keep_idle_s", "KA-IDLE", 7, 8)
                .aliases(&["keepidle"])
                .drop(23)
                .help("TCP_KEEPIDLE: silence before the first probe; with --probe-options"),
            C::KeepInterval => Spec::number("keep_interval_s", "KA-INTVL", 8, 8)
                .aliases(&["keepintvl"])
                .drop(23)
                .help("TCP_KEEPINTVL: time between two probes; with --probe-options"),
            C::KeepProbes => Spec::number("keep_probes", "KA-CNT", 6, 6)
                .aliases(&["keepcnt"])
                .drop(23)
                .help("TCP_KEEPCNT: probes without an answer that end the connection; with --probe-options"),
            C::UserTimeout => Spec::number("user_timeout_ms", "USER-TMO", 8, 8)
                .aliases(&["user_timeout"])
                .drop(23)
                .help("TCP_USER_TIMEOUT, where it is set; with --probe-options"),
            C::Linger => Spec::number("linger_s", "LINGER", 6, 6)
                .aliases(&["linger"])
                .drop(23)
                .help("SO_LINGER, where it is on; 0 resets on close; with --probe-options"),
            C::DeadPeer => Spec::number("dead_peer_s", "DEAD-PEER", 9, 9)
                .aliases(&["dead_peer"])
                .drop(23)
                .help("When an idle connection notices that its peer has vanished; with --probe-options"),
            C::Unprobed => Spec::text("options_unknown", "OPTIONS UNKNOWN", 15, 40)
                .drop(24)
                .help("Why the socket could not be asked for its options; with --probe-options"),
            C::Drops => Spec::number("drops", "DROPS", 6, 9)
                .drop(2)
                .help("UDP: datagrams that the socket dropped since it was made, most often for want of room"),
            C::DropGrowth => Spec::number("drop_growth", "+/MIN", 5, 7)
                .aliases(&["drops_per_min"])
                .drop(3)
                .help("UDP: growth of the number of dropped datagrams per minute"),
            C::RcvBuf => Spec::number("rcvbuf", "RCVBUF", 6, 7)
                .aliases(&["rb"])
                .drop(8)
                .help("UDP: limit of the receive buffer (SO_RCVBUF as the kernel keeps it, doubled)"),
            C::SndBuf => Spec::number("sndbuf", "SNDBUF", 6, 7)
                .aliases(&["tb"])
                .drop(9)
                .help("UDP: limit of the send buffer (SO_SNDBUF as the kernel keeps it, doubled)"),
        }
    }
}

/// A mini-socket: no owner, no file, no queues (`inet_timewait_sock`, `inet_reqsk_diag_fill`).
const fn is_mini(row: &SocketRow) -> bool {
    match row.state {
        TcpState::TimeWait => true,
        TcpState::SynRecv => row.inode == 0 && !row.flags.has(RowFlags::FULL),
        TcpState::FinWait2 => matches!(row.timer(), TimerKind::TimeWait),
        _ => false,
    }
}

const fn runs_fin_timeout(row: &SocketRow) -> bool {
    matches!(row.state, TcpState::FinWait2)
        && row.inode == 0
        && matches!(row.timer(), TimerKind::Keepalive | TimerKind::TimeWait)
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
        C::State if is_unconnected(snapshot, row) => {
            Cell::Named { people: "UNCONN", programs: row.state.name() }
        }
        C::State => Cell::Word(row.state.name()),
        C::RecvQ => queue(row.recv_q),
        C::SendQ => queue(row.send_q),
        C::Local => Cell::Endpoint(row.local_endpoint()),
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
            n => Cell::Interface(n),
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

/// A UDP socket that is not connected.
fn is_unconnected(snapshot: &Snapshot, row: &SocketRow) -> bool {
    row.state == TcpState::Close && snapshot.sample.protocol == Protocol::Udp
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
        C::SendQ => number(row.send_q),
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
    use crate::testkit;

    #[test]
    fn names_are_unique_and_every_column_explains_itself() {
        let mut names: Vec<&str> =
            ColumnId::all().iter().flat_map(|c| [&[c.spec().name], c.spec().aliases].concat()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for c in ColumnId::all() {
            let spec = c.spec();
            assert_eq!(ColumnId::from_name(spec.name), Ok(*c));
            assert!(!spec.help.is_empty() && spec.min_width <= spec.ideal_width, "{c:?}");
            assert!(spec.title.len() <= spec.ideal_width as usize, "{c:?}");
        }
    }

    #[test]
    fn a_name_that_nobody_knows_gets_the_nearest_and_the_list() {
        let error = ColumnId::from_name("recv_queue").unwrap_err().to_string();
        assert!(error.contains("did you mean recv_q?"), "{error}");
        assert!(error.contains("columns: proto, family, state,"), "{error}");
        assert!(!ColumnId::from_name("zzz").unwrap_err().to_string().contains("mean"));
        assert_eq!(ColumnId::from_name("Recv-Q"), Ok(C::RecvQ));
        assert_eq!(ColumnId::from_name("dport"), Ok(C::PeerPort));
    }

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
