//! The derived picture of one namespace, and of all that are examined.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::{CounterPast, Held, Limit, MissingLimit, PortUse, ProcessAgg};
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

/// The connections with one peer address (or one prefix). What each connection is counted in stands first and fills one
/// line of the cache.
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(C, align(64))]
pub struct PeerAgg {
    /// Connections by state.
    pub counts: StateCounts,
    /// Connections known to be without keepalive.
    pub no_keepalive: u32,
    /// Connections known to be with keepalive.
    pub with_keepalive: u32,
    /// The connection that was seen longest, in tenths of a second after the first sample, and whether it was there at the start.
    pub oldest: Track,
    /// Connections whose keepalive was never visible.
    pub unknown_keepalive: u32,
    /// The peer, or the first address of the prefix.
    pub addr: Ip,
    /// Sum of the receive queues, bytes.
    pub recv_q: u64,
    /// Sum of the send queues, bytes.
    pub send_q: u64,
    /// Growth of the count per minute over the last 30 to 60 s; `None` until enough was observed.
    pub growth_per_min: Option<f32>,
}

const _: () = assert!(std::mem::offset_of!(PeerAgg, unknown_keepalive) == 64, "the line is full");

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
    /// The backlog that `listen()` fixed; the queue is full when it holds one more. `None` where the source of the table
    /// does not tell ([`TableSource::tells_backlogs`](crate::model::TableSource::tells_backlogs)).
    pub backlog: Option<u32>,
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
    /// Where the namespace listens, if `listeners` are a part of that: a connection waits at its listener whether or not
    /// a filter shows it.
    pub listens_at: Option<Arc<[Endpoint]>>,
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
    /// Who holds the socket of each row, in the order of the rows; empty without owners.
    pub held: Vec<Held>,
    /// What came of asking sockets for their options, by cookie; empty where nobody asked.
    pub options: Arc<FxHashMap<u64, Probed>>,
    /// Processes that hold sockets, by pid; empty without owners.
    pub processes: Vec<ProcessAgg>,
    /// Limits that are known, in the order of [`LimitId`](super::LimitId).
    pub limits: Vec<Limit>,
    /// Limits that are not known here, with the reason, in the same order. One that does not apply (no listener, so no
    /// accept queue) is in neither list.
    pub limits_missing: Vec<MissingLimit>,
}

impl Snapshot {
    /// Where the namespace listens, a filter or not.
    pub fn listening(&self) -> impl Iterator<Item = Endpoint> + '_ {
        let whole = self.listens_at.as_deref();
        let own = self.listeners.iter().map(|l| l.local).filter(move |_| whole.is_none());
        whole.unwrap_or_default().iter().copied().chain(own)
    }

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
