//! The derived picture of one namespace, and of all that are examined.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::CounterPast;
use super::ProcessAgg;
use crate::model::{
    Endpoint, Host, Ip, Keepalive, KeepaliveSeen, Owners, Probed, Protocol, Protocols, Sample, Scope,
    SocketRow, StateCounts, TcpState, Unexamined,
};

/// What is remembered of a socket from sample to sample, in four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Track(u32);

impl Track {
    const ARMED: u32 = 1 << 31;
    const FROM_START: u32 = 1 << 30;
    const TIME: u32 = Self::FROM_START - 1;

    /// A socket first seen in its present state `since` after the first sample, in tenths of a second.
    #[must_use]
    pub const fn new(since_ds: u32, from_start: bool, armed: bool) -> Self {
        let mut bits = since_ds & Self::TIME;
        if from_start {
            bits |= Self::FROM_START;
        }
        if armed {
            bits |= Self::ARMED;
        }
        Self(bits)
    }

    /// Later than any socket.
    pub const NEWEST: Self = Self(Self::TIME);

    /// The same memory after another look at the socket.
    #[must_use]
    #[inline]
    pub const fn after_seeing(self, seen: KeepaliveSeen) -> Self {
        match seen {
            KeepaliveSeen::Armed { .. } => Self(self.0 | Self::ARMED),
            _ => self,
        }
    }

    /// When the socket was first seen in its present state, tenths of a second after the first sample.
    #[must_use]
    pub const fn since_ds(self) -> u32 {
        self.0 & Self::TIME
    }

    /// Whether it was already there at the first sample, so that its true age is unknown.
    #[must_use]
    pub const fn from_start(self) -> bool {
        self.0 & Self::FROM_START != 0
    }

    /// Whether keepalive was ever seen armed on this cookie.
    #[must_use]
    pub const fn keepalive_armed(self) -> bool {
        self.0 & Self::ARMED != 0
    }

    /// Keepalive of a socket over time; `None` where it does not apply.
    #[must_use]
    pub const fn keepalive(self, row: &SocketRow) -> Option<Keepalive> {
        self.keepalive_after(row.keepalive_seen())
    }

    /// The same with what the newest look says.
    #[must_use]
    #[inline]
    pub const fn keepalive_after(self, seen: KeepaliveSeen) -> Option<Keepalive> {
        match seen {
            KeepaliveSeen::NotApplicable => None,
            KeepaliveSeen::Armed { .. } => Some(Keepalive::On),
            _ if self.keepalive_armed() => Some(Keepalive::On),
            KeepaliveSeen::NotArmed => Some(Keepalive::Off),
            KeepaliveSeen::Masked => Some(Keepalive::Unknown),
        }
    }
}

/// How long something has been seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Age {
    /// The time over which it was seen.
    pub seen: Duration,
    /// It was there at the first look: the true age is at least this.
    pub at_least: bool,
}

/// Sockets by state.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StateSummary {
    /// Both families.
    pub all: StateCounts,
    /// `AF_INET` sockets.
    pub v4: StateCounts,
    /// `AF_INET6` sockets, those that carry IPv4 included.
    pub v6: StateCounts,
    /// Mini-sockets that count against `tcp_max_tw_buckets`: `TIME_WAIT` and orphaned `FIN_WAIT2`.
    pub time_wait_buckets: u32,
}

/// Sockets that came and went between two samples, by cookie.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Churn {
    /// Cookies that were not in the previous sample.
    pub new: u32,
    /// Cookies that are no longer there.
    pub gone: u32,
    /// New sockets per second.
    pub new_per_s: f64,
    /// Gone sockets per second.
    pub gone_per_s: f64,
}

/// A short past of the state counts, newest last.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct History {
    /// Counts by state at each sample, at most [`History::LEN`] of them.
    pub states: VecDeque<StateCounts>,
}

impl History {
    /// How many samples are remembered.
    pub const LEN: usize = 120;

    /// Adds the newest counts and forgets the oldest.
    pub fn push(&mut self, counts: StateCounts) {
        if self.states.len() == Self::LEN {
            self.states.pop_front();
        }
        self.states.push_back(counts);
    }

    /// The past counts of one state, oldest first.
    #[must_use]
    pub fn of(&self, state: TcpState) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.states.iter().map(move |c| c[state])
    }
}

/// The connections with one peer address (or one prefix).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PeerAgg {
    /// The peer, or the first address of the prefix.
    pub addr: Ip,
    /// Connections by state.
    pub counts: StateCounts,
    /// Connections known to be without keepalive.
    pub no_keepalive: u32,
    /// Connections known to be with keepalive.
    pub with_keepalive: u32,
    /// Connections whose keepalive was never visible.
    pub unknown_keepalive: u32,
    /// Sum of the receive queues, bytes.
    pub recv_q: u64,
    /// Sum of the send queues, bytes.
    pub send_q: u64,
    /// The connection that was seen longest, in tenths of a second after the first sample, and whether it was there at the start.
    pub oldest: Track,
    /// Growth of the count per minute over the last 30 to 60 s; `None` until enough was observed.
    pub growth_per_min: Option<f32>,
}

/// A listening socket with its connections.
#[derive(Clone, PartialEq, Debug)]
pub struct ListenerAgg {
    /// Index of the listener's row.
    pub row: u32,
    /// Its cookie.
    pub cookie: u64,
    /// Address and port.
    pub local: Endpoint,
    /// Connections in the accept queue (the kernel's own count).
    pub queue: u32,
    /// The backlog that `listen()` fixed; the queue is full when it holds one more.
    pub backlog: u32,
    /// SYNs and ACKs that this listener dropped since it was made; `None` where the kernel does not tell.
    pub drops: Option<u32>,
    /// How many it dropped since the previous sample.
    pub drops_delta: Option<u32>,
    /// Connections that came in through this address, by state. With `SO_REUSEPORT` the kernel does not tell which
    /// of the listeners took a connection: all are counted at the first one.
    pub counts: StateCounts,
    /// Connections without a file: finished the handshake, not accepted (or kernel-owned).
    pub unaccepted: u32,
    /// The first listener on the same address and port, if this is not it.
    pub shares_with: Option<u32>,
    /// Connections known to be without keepalive.
    pub no_keepalive: u32,
    /// Connections known to be with keepalive.
    pub with_keepalive: u32,
}

/// Use of the ephemeral ports towards one destination from one local address.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Destination {
    /// Local address.
    pub local: Ip,
    /// Peer address and port.
    pub peer: Endpoint,
    /// Ports in use, `TIME_WAIT` included.
    pub used: u32,
    /// Those of them in `TIME_WAIT`.
    pub time_wait: u32,
    /// Those of them in `TIME_WAIT` that the kernel may already give away again (`tcp_tw_reuse`).
    pub reusable: u32,
    /// Change per second over the last 5 to 10 s; `None` until enough was observed.
    pub growth_per_s: Option<f32>,
}

/// Ephemeral ports of a namespace.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PortUse {
    /// `ip_local_port_range`; `None` if unknown.
    pub range: Option<RangeInclusive<u16>>,
    /// Ports of the range that `ip_local_reserved_ports` takes out.
    pub reserved: u32,
    /// Ports of the range, not reserved, that a listener or an explicit bind occupies for every destination.
    pub occupied: u32,
    /// Connected ports that look as if `bind` with port 0 had chosen them, without `IP_BIND_ADDRESS_NO_PORT`: the kernel
    /// then keeps them from every destination, and does not tell. `connect` tries ports of the parity of the range's
    /// start first, `bind` those of the other (`__inet_hash_connect` in `net/ipv4/inet_hashtables.c` and
    /// `inet_csk_find_open_port` in `net/ipv4/inet_connection_sock.c`, since Linux 4.2), so a port of the other parity
    /// towards a destination with many free ports was most likely bound. Not taken out of `usable`.
    pub suspected_binds: u32,
    /// What is left for each destination: range − reserved − occupied.
    pub usable: u32,
    /// Per (local address, peer address, peer port), fullest first; at most [`PortUse::KEEP`].
    pub destinations: Vec<Destination>,
    /// How many destinations there are in all.
    pub destination_count: u32,
}

impl PortUse {
    /// How many destinations are kept.
    pub const KEEP: usize = 256;

    /// The part of the usable ports that `d` has in use and that are not free again, 0 to 1 and beyond.
    #[must_use]
    pub fn ratio(&self, d: &Destination) -> f64 {
        let held = f64::from(d.used.saturating_sub(d.reusable));
        if self.usable == 0 { if held > 0.0 { 1.0 } else { 0.0 } } else { held / f64::from(self.usable) }
    }

    /// Seconds until the ports to `d` run out at its present growth; `None` if it does not grow.
    #[must_use]
    pub fn exhausted_in_s(&self, d: &Destination) -> Option<f64> {
        let growth = f64::from(d.growth_per_s.filter(|g| *g > 0.0)?);
        Some(f64::from(self.usable.saturating_sub(d.used - d.reusable.min(d.used))) / growth)
    }
}

/// The limits of the contract.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum LimitId {
    /// The worst destination's ports.
    EphemeralPorts,
    /// Conntrack entries.
    Conntrack,
    /// `TIME_WAIT` buckets.
    TimeWaitBuckets,
    /// Orphans.
    Orphans,
    /// TCP memory against the pressure threshold.
    TcpMemory,
    /// Open files of the host.
    OpenFiles,
    /// The worst accept queue.
    AcceptQueue,
    /// The worst process's descriptors.
    ProcessFds,
}

impl LimitId {
    /// The id in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EphemeralPorts => "ephemeral_ports",
            Self::Conntrack => "conntrack",
            Self::TimeWaitBuckets => "time_wait_buckets",
            Self::Orphans => "orphans",
            Self::TcpMemory => "tcp_memory",
            Self::OpenFiles => "open_files",
            Self::AcceptQueue => "accept_queue",
            Self::ProcessFds => "process_fds",
        }
    }
}

/// Whose limit it is, where a limit exists more than once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitSubject {
    /// There is only one.
    Only,
    /// Ports from a local address to a destination.
    Destination {
        /// Local address.
        local: Ip,
        /// Peer.
        peer: Endpoint,
    },
    /// A listener, by its row.
    Listener {
        /// Address and port.
        local: Endpoint,
        /// Cookie.
        cookie: u64,
    },
    /// A process.
    Process {
        /// Process id.
        pid: u32,
    },
}

/// A limit and how close it is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limit {
    /// Which.
    pub id: LimitId,
    /// In use.
    pub used: u64,
    /// The limit.
    pub max: u64,
    /// Whose.
    pub subject: LimitSubject,
    /// Which part of the machine the numbers speak for.
    pub scope: Scope,
}

impl Limit {
    /// Used part, 0 to 1 and beyond. A limit of 0 is full.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn ratio(&self) -> f64 {
        if self.max == 0 { 1.0 } else { self.used as f64 / self.max as f64 }
    }
}

/// A limit that is not known, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingLimit {
    /// Which.
    pub id: LimitId,
    /// Why, for people.
    pub why: Cow<'static, str>,
}

/// A counter that moved between two samples.
#[derive(Clone, PartialEq, Debug)]
pub struct CounterRate {
    /// `TcpExt.ListenDrops`, `softnet.dropped`, `dev.eth0.rx_drop` (the interface escaped), `conntrack.early_drop`.
    pub name: Box<str>,
    /// Which part of the machine it counts.
    pub scope: Scope,
    /// By how much since the previous sample.
    pub delta: u64,
    /// The same per second.
    pub per_s: f64,
}

/// What follows from a sample of one namespace and the one before it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What the kernel said.
    pub sample: Sample,
    /// Number of the snapshot, from 1.
    pub generation: u64,
    /// Time since the previous sample; `None` for the first.
    pub elapsed: Option<Duration>,
    /// Time since the first sample.
    pub observed: Duration,
    /// Memory of each row, in the order of the rows.
    pub track: Vec<Track>,
    /// The UDP sockets of the namespace, if they were asked for: a snapshot of their own, of which rows, memory of rows,
    /// drops and processes mean something.
    pub udp: Option<Arc<Self>>,
    /// Growth of the drops of each row per minute over the last 10 to 20 s, in the order of the rows; `None` until enough was
    /// observed. Empty where the sample tells of no drops.
    pub drop_growth_per_min: Vec<Option<f32>>,
    /// Sockets by state.
    pub states: StateSummary,
    /// Change of each state since the previous sample; `None` for the first.
    pub state_delta: Option<[i64; TcpState::ALL.len()]>,
    /// The past.
    pub history: History,
    /// Peers, in no order.
    pub peers: Vec<PeerAgg>,
    /// Listeners in the order of the dump.
    pub listeners: Vec<ListenerAgg>,
    /// Ephemeral ports.
    pub ports: PortUse,
    /// New and gone sockets; `None` for the first sample and for a source without cookies.
    pub churn: Option<Churn>,
    /// Counters that moved, by name. Empty for the first sample.
    pub rates: Vec<CounterRate>,
    /// Counters that have moved since the first sample, by name.
    pub moved: Arc<[CounterPast]>,
    /// Counters went backwards: another namespace, or a reset. No rate was computed.
    pub counters_reset: bool,
    /// Of what else the counters went backwards since the previous sample: `dev.eth0`, `softnet`, `arp_cache`.
    pub went_back: Vec<Box<str>>,
    /// Who holds the sockets, as of the newest scan of the processes; `None` until there was one.
    pub owners: Option<Arc<Owners>>,
    /// What came of asking sockets for their options, by cookie; empty where nobody asked.
    pub options: Arc<FxHashMap<u64, Probed>>,
    /// Processes that hold sockets, by pid; empty without owners.
    pub processes: Vec<ProcessAgg>,
    /// Limits that are known, in the order of [`LimitId`].
    pub limits: Vec<Limit>,
    /// Limits that are not known here, with the reason, in the same order. One that does not apply (no listener, so no
    /// accept queue) is in neither list.
    pub limits_missing: Vec<MissingLimit>,
}

impl Snapshot {
    /// How long a socket has been seen in its present state.
    #[must_use]
    pub fn age(&self, track: Track) -> Age {
        let since = Duration::from_millis(u64::from(track.since_ds()) * 100);
        Age { seen: self.observed.saturating_sub(since), at_least: track.from_start() }
    }

    /// What came of asking the socket of a row for its options; `None` if it was not asked, or has none to ask for.
    #[must_use]
    pub fn options_of(&self, row: &SocketRow) -> Option<&Probed> {
        if self.options.is_empty() { None } else { self.options.get(&row.cookie()) }
    }

    /// Change of a state since the previous sample.
    #[must_use]
    pub fn delta_of(&self, state: TcpState) -> Option<i64> {
        let at = TcpState::ALL.iter().position(|s| *s == state)?;
        self.state_delta.as_ref().and_then(|d| d.get(at)).copied()
    }
}

/// All namespaces that are examined, at one moment.
#[derive(Clone, Debug)]
pub struct World {
    /// Number of the look, from 1.
    pub generation: u64,
    /// The machine.
    pub host: Arc<Host>,
    /// One snapshot per namespace, never empty; the first is the one that was asked for.
    pub snapshots: Vec<Arc<Snapshot>>,
    /// Namespaces that could not be looked into.
    pub unexamined: Vec<Unexamined>,
    /// Processor time that this program used since the previous look, as a part of one core; `None` at the first.
    pub own_cpu: Option<f32>,
}

impl World {
    /// The snapshot of a number: first those of TCP, then in the same order those of UDP.
    #[must_use]
    pub fn snapshot(&self, number: u16) -> Option<&Snapshot> {
        let (at, count) = (usize::from(number), self.snapshots.len());
        match at.checked_sub(count) {
            None => self.snapshots.get(at).map(AsRef::as_ref),
            Some(at) => self.snapshots.get(at)?.udp.as_deref(),
        }
    }

    /// The snapshots of a protocol, with their numbers.
    pub fn of(&self, protocol: Protocol) -> impl Iterator<Item = (u16, &Snapshot)> {
        let count = u16::try_from(self.snapshots.len()).unwrap_or(u16::MAX);
        let numbers = match protocol {
            Protocol::Tcp => 0..count,
            Protocol::Udp => count..count.saturating_mul(2),
        };
        numbers.filter_map(|n| Some((n, self.snapshot(n)?)))
    }

    /// A world whose snapshots are those of these protocols, to be listed together.
    #[must_use]
    pub fn of_protocols(&self, protocols: Protocols) -> Self {
        let wanted = |s: &Arc<Snapshot>| {
            let udp = s.udp.clone().filter(|_| protocols.udp);
            protocols.tcp.then(|| Arc::clone(s)).into_iter().chain(udp).collect::<Vec<_>>()
        };
        Self { snapshots: self.snapshots.iter().flat_map(wanted).collect(), ..self.clone() }
    }

    /// Whether several namespaces are examined.
    #[must_use]
    pub fn has_several(&self) -> bool {
        let mut all = self.snapshots.iter().map(|s| s.sample.netns.inode);
        let first = all.next();
        all.any(|inode| Some(inode) != first)
    }

    /// Who holds the sockets; `None` until the processes were scanned. It is the same for every namespace.
    #[must_use]
    pub fn owners(&self) -> Option<&Owners> {
        self.snapshots.first()?.owners.as_deref()
    }
}
