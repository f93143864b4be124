//! One socket as the kernel reported it, and the table of them.

use rustc_hash::FxHashMap;

use super::{Endpoint, ForeignText, Ip, TcpState};

/// What is pending on a socket, from `idiag_timer` (`inet_sk_diag_fill` in `net/ipv4/inet_diag.c`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TimerKind {
    /// Nothing is pending.
    None,
    /// Retransmission, loss probe or reordering timer; also every half-open request.
    Retransmit,
    /// Keepalive; on a `FIN_WAIT2` orphan the `tcp_fin_timeout` timer.
    Keepalive,
    /// The life of a `TIME_WAIT` or orphaned `FIN_WAIT2` mini-socket.
    TimeWait,
    /// Zero-window probe.
    Probe,
    /// Delayed ACK; reported by kernels newer than 6.19.
    DelayedAck,
    /// A number that this program does not know.
    Other(u8),
}

impl TimerKind {
    /// The kind of a kernel number.
    #[must_use]
    pub const fn from_kernel(n: u8) -> Self {
        match n {
            0 => Self::None,
            1 => Self::Retransmit,
            2 => Self::Keepalive,
            3 => Self::TimeWait,
            4 => Self::Probe,
            5 => Self::DelayedAck,
            n => Self::Other(n),
        }
    }

    /// The kernel's number.
    #[must_use]
    pub const fn to_kernel(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Retransmit => 1,
            Self::Keepalive => 2,
            Self::TimeWait => 3,
            Self::Probe => 4,
            Self::DelayedAck => 5,
            Self::Other(n) => n,
        }
    }

    /// The name in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Retransmit => "retransmit",
            Self::Keepalive => "keepalive",
            Self::TimeWait => "time_wait",
            Self::Probe => "probe",
            Self::DelayedAck => "delayed_ack",
            Self::Other(_) => "other",
        }
    }
}

/// Facts about a row that fit in a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct RowFlags(pub u8);

impl RowFlags {
    /// An `AF_INET6` socket.
    pub const V6: Self = Self(1);
    /// An `AF_INET6` socket that carries IPv4 (`::ffff:a.b.c.d`).
    pub const MAPPED: Self = Self(1 << 1);
    /// The peer's FIN arrived (`RCV_SHUTDOWN` in `INET_DIAG_SHUTDOWN`).
    pub const SHUT_RCV: Self = Self(1 << 2);
    /// Our FIN was sent (`SEND_SHUTDOWN`).
    pub const SHUT_SND: Self = Self(1 << 3);
    /// `IP_BIND_ADDRESS_NO_PORT` is set (`INET_DIAG_SOCKOPT`, Linux 5.10).
    pub const BIND_NO_PORT: Self = Self(1 << 4);
    /// An IPv6 socket that refuses IPv4 (`INET_DIAG_SKV6ONLY`, listeners only).
    pub const V6ONLY: Self = Self(1 << 5);
    /// A full socket: the kernel sent attributes with it. Mini-sockets (`TIME_WAIT`, requests) have none.
    pub const FULL: Self = Self(1 << 6);
    /// The kernel chose the local port, or does not know who did (mini-sockets). Told only where [`Table::autobound`] is set.
    pub const AUTOBOUND: Self = Self(1 << 7);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What this one look says about `SO_KEEPALIVE` (the selection order of `idiag_timer` decides what can be seen).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeepaliveSeen {
    /// The timer runs.
    Armed {
        /// When the kernel looks next, in milliseconds. Not the time to the next probe: traffic does not re-arm it.
        in_ms: u32,
        /// Probes without an answer so far.
        unanswered: u8,
    },
    /// No timer at all is pending, so keepalive is off.
    NotArmed,
    /// Another timer hides whether keepalive runs.
    Masked,
    /// A state in which keepalive says nothing (listeners, mini-sockets, half-open, orphans).
    NotApplicable,
}

/// Keepalive of a socket over time: once seen armed, it stays on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Keepalive {
    /// Seen armed, or read from the socket.
    On,
    /// Known to be off.
    Off,
    /// Another timer hid it at every look.
    Unknown,
}

impl Keepalive {
    /// The name in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unknown => "unknown",
        }
    }
}

/// One socket of a dump. Flat, `Copy`, 68 bytes: a million of them are 68 MB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct SocketRow {
    cookie: [u32; 2],
    /// Local address.
    pub local: Ip,
    /// Peer address; the wildcard where there is none.
    pub peer: Ip,
    /// Local port, host order.
    pub local_port: u16,
    /// Peer port, host order, 0 where there is none.
    pub peer_port: u16,
    /// TCP state.
    pub state: TcpState,
    /// `idiag_timer`; see [`SocketRow::timer`].
    pub timer_raw: u8,
    /// `idiag_retrans`: consecutive timeouts, unanswered keepalive or window probes, or SYN-ACK repeats, by timer.
    pub retrans: u8,
    /// Bits.
    pub flags: RowFlags,
    /// Time until the timer fires, milliseconds.
    pub expires_ms: u32,
    /// Receive queue in bytes; for a listener the connections that wait for `accept()`.
    pub recv_q: u32,
    /// Send queue in bytes; for a listener the backlog that `listen()` fixed.
    pub send_q: u32,
    /// Socket inode, 0 for a socket without a file.
    pub inode: u32,
    /// Index into [`Table::origins`].
    pub origin: u32,
}

const _: () = assert!(size_of::<SocketRow>() == 68);

impl SocketRow {
    /// A row of a state between two endpoints, everything else empty.
    #[must_use]
    pub const fn new(state: TcpState, local: Endpoint, peer: Endpoint) -> Self {
        Self {
            cookie: [0; 2],
            local: local.addr,
            peer: peer.addr,
            local_port: local.port,
            peer_port: peer.port,
            state,
            timer_raw: 0,
            retrans: 0,
            flags: RowFlags(0),
            expires_ms: 0,
            recv_q: 0,
            send_q: 0,
            inode: 0,
            origin: 0,
        }
    }

    /// The socket's cookie: stable from `SYN_RECV` to `TIME_WAIT` and never reused (`sock_gen_cookie`).
    /// 0 where the source has none (`/proc/net/tcp`).
    #[must_use]
    #[inline]
    pub const fn cookie(&self) -> u64 {
        self.cookie[0] as u64 | (self.cookie[1] as u64) << 32
    }

    /// Sets the cookie.
    #[inline]
    pub const fn set_cookie(&mut self, lo: u32, hi: u32) {
        self.cookie = [lo, hi];
    }

    /// Local address and port.
    #[must_use]
    pub const fn local_endpoint(&self) -> Endpoint {
        Endpoint { addr: self.local, port: self.local_port }
    }

    /// Peer address and port.
    #[must_use]
    pub const fn peer_endpoint(&self) -> Endpoint {
        Endpoint { addr: self.peer, port: self.peer_port }
    }

    /// The pending timer.
    #[must_use]
    #[inline]
    pub const fn timer(&self) -> TimerKind {
        TimerKind::from_kernel(self.timer_raw)
    }

    /// Whether the connection finished its handshake and waits for `accept()`: open, but no file yet.
    /// A kernel-owned connection (NFS, iSCSI) looks the same; only the listener's queue tells.
    #[must_use]
    pub const fn has_no_file(&self) -> bool {
        self.inode == 0
    }

    /// What this look says about keepalive.
    #[must_use]
    #[inline]
    pub const fn keepalive_seen(&self) -> KeepaliveSeen {
        let applies = match self.state {
            TcpState::Established | TcpState::CloseWait => true,
            // Without a file it is an orphan, whose timer 2 is tcp_fin_timeout.
            TcpState::FinWait2 | TcpState::FinWait1 => self.inode != 0,
            _ => false,
        };
        if !applies {
            return KeepaliveSeen::NotApplicable;
        }
        match self.timer() {
            TimerKind::Keepalive => KeepaliveSeen::Armed { in_ms: self.expires_ms, unanswered: self.retrans },
            // The delayed-ACK timer is reported only after keepalive was ruled out.
            // A connection to itself never starts the timer, whatever SO_KEEPALIVE says.
            TimerKind::None | TimerKind::DelayedAck if !self.is_self_connected() => KeepaliveSeen::NotArmed,
            _ => KeepaliveSeen::Masked,
        }
    }

    /// Whether both ends are the same socket (simultaneous open with itself).
    #[must_use]
    #[inline]
    pub const fn is_self_connected(&self) -> bool {
        self.local_port == self.peer_port && self.local.bits() == self.peer.bits()
    }
}

/// What many sockets share; kept once and referred to by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Origin {
    /// Owner, as seen from the user namespace of the dump. Meaningless (0) for sockets without a file before Linux 6.15.
    pub uid: u32,
    /// Bound interface, 0 for none.
    pub ifindex: u32,
    /// `SO_MARK`; told to `CAP_NET_ADMIN` only.
    pub mark: Option<u32>,
    /// Cgroup v2 id of the socket's creation, Linux 5.8 (`INET_DIAG_CGROUP_ID`).
    pub cgroup_id: Option<u64>,
    /// Inode of the network namespace, 0 until [`Table::belongs_to`] was called.
    pub netns: u64,
}

/// The sockets of one dump, in the kernel's order.
#[derive(Clone, Default, Debug)]
pub struct Table {
    /// The sockets.
    pub rows: Vec<SocketRow>,
    /// What [`SocketRow::origin`] points at.
    pub origins: Vec<Origin>,
    /// The kernel was asked which ports it chose: [`RowFlags::AUTOBOUND`] means something.
    pub autobound: bool,
    /// How many rows the kernel told of when it was asked for listeners alone: none of the others is one. `None` where it was
    /// not asked so.
    pub listening: Option<u32>,
    /// What the interfaces are called that sockets are bound to, by index; those whose name could be had.
    pub interfaces: FxHashMap<u32, ForeignText>,
    index: FxHashMap<Origin, u32>,
    last: Option<(Origin, u32)>,
}

impl Drop for Table {
    fn drop(&mut self) {
        super::spare::keep(&mut self.rows);
    }
}

impl Table {
    /// An empty table with room for `n` rows.
    #[must_use]
    pub fn with_capacity(n: usize) -> Self {
        let mut table = Self::default();
        table.rows = super::spare::room_for(n);
        table
    }

    /// Says which network namespace the sockets are in. Nothing may be interned after this.
    pub fn belongs_to(&mut self, netns: u64) {
        for origin in &mut self.origins {
            origin.netns = netns;
        }
        self.index = FxHashMap::default();
        self.last = None;
    }

    /// The number under which `origin` is kept.
    #[inline]
    pub fn intern(&mut self, origin: Origin) -> u32 {
        if let Some((last, n)) = self.last
            && last == origin
        {
            return n;
        }
        let next = u32::try_from(self.origins.len()).unwrap_or(u32::MAX);
        let n = *self.index.entry(origin).or_insert(next);
        if n == next {
            self.origins.push(origin);
        }
        self.last = Some((origin, n));
        n
    }

    /// Another table of rows of this one.
    #[must_use]
    pub fn with_rows(&self, rows: Vec<SocketRow>) -> Self {
        let Self { origins, index, interfaces, .. } = self;
        let (origins, index, interfaces) = (origins.clone(), index.clone(), interfaces.clone());
        Self { rows, origins, index, interfaces, autobound: self.autobound, listening: None, last: None }
    }

    /// The name of an interface that a socket of this table is bound to, if it could be had.
    #[must_use]
    pub fn interface(&self, index: u32) -> Option<&ForeignText> {
        self.interfaces.get(&index)
    }

    /// The origin of a row; the default one for a row that was not made by this table.
    #[must_use]
    pub fn origin(&self, row: &SocketRow) -> Origin {
        self.origins.get(row.origin as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: TcpState, timer: u8, inode: u32) -> SocketRow {
        let a = Endpoint { addr: Ip::from_v4_octets([10, 0, 0, 1]), port: 1 };
        let b = Endpoint { addr: Ip::from_v4_octets([10, 0, 0, 2]), port: 2 };
        SocketRow { timer_raw: timer, inode, retrans: 3, expires_ms: 7, ..SocketRow::new(state, a, b) }
    }

    #[test]
    fn only_an_idle_timer_proves_that_keepalive_is_off() {
        use KeepaliveSeen::{Armed, Masked, NotApplicable, NotArmed};
        let e = TcpState::Established;
        assert_eq!(row(e, 0, 1).keepalive_seen(), NotArmed);
        assert_eq!(row(e, 5, 1).keepalive_seen(), NotArmed);
        assert_eq!(row(e, 1, 1).keepalive_seen(), Masked);
        assert_eq!(row(e, 4, 1).keepalive_seen(), Masked);
        assert_eq!(row(e, 77, 1).keepalive_seen(), Masked);
        assert_eq!(row(e, 2, 1).keepalive_seen(), Armed { in_ms: 7, unanswered: 3 });
        assert_eq!(row(TcpState::FinWait2, 2, 0).keepalive_seen(), NotApplicable);
        assert_eq!(row(TcpState::TimeWait, 3, 0).keepalive_seen(), NotApplicable);
    }

    #[test]
    fn a_connection_to_itself_proves_nothing() {
        let mut r = row(TcpState::Established, 0, 1);
        r.peer = r.local;
        r.peer_port = r.local_port;
        assert_eq!(r.keepalive_seen(), KeepaliveSeen::Masked);
    }

    #[test]
    fn equal_origins_are_kept_once() {
        let mut t = Table::default();
        let a = Origin { uid: 1, ..Origin::default() };
        let b = Origin { uid: 2, ..Origin::default() };
        assert_eq!([t.intern(a), t.intern(b), t.intern(a), t.intern(a)], [0, 1, 0, 0]);
        assert_eq!(t.origins, [a, b]);
    }
}
