//! The rows that the rules of the socket tables look at, picked out in one pass: at a million sockets each rule must not
//! walk the table on its own.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::analysis::{PeerAgg, Snapshot};
use crate::model::{Ip, Keepalive, RowFlags, SocketRow, TcpState, TimerKind};

/// Rows of one kind, as indices into the table.
#[derive(Clone, Debug)]
pub struct Picked {
    /// Not all of them where there are very many, in the order of the table.
    pub rows: Vec<u32>,
    /// How many there are.
    pub total: u32,
    most: usize,
}

impl Default for Picked {
    fn default() -> Self {
        Self::at_most(Self::MAX)
    }
}

impl Picked {
    /// How many are kept of what is a fault in such numbers: every threshold is far below, and a quarter of a million rows
    /// take a megabyte.
    pub const MAX: usize = 1 << 18;

    /// How many are kept of what every busy machine has: at a million sockets judging must stay a small part of a look.
    pub const COMMON: usize = 1 << 16;

    const fn at_most(most: usize) -> Self {
        Self { rows: Vec::new(), total: 0, most }
    }

    /// One of what every busy machine has, with room for as many as are expected.
    fn common(expected: usize) -> Self {
        Self { rows: Vec::with_capacity(expected.min(Self::COMMON)), ..Self::at_most(Self::COMMON) }
    }

    #[inline]
    fn push(&mut self, row: u32) {
        self.total += 1;
        if self.rows.len() < self.most {
            self.rows.push(row);
        }
    }
}

/// A peer that holds many connections, and those of them that came in through one listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bunch {
    /// Index into [`Snapshot::listeners`].
    pub listener: u32,
    /// The peer.
    pub peer: Ip,
}

/// What one pass over the rows of a look found.
#[derive(Debug)]
pub struct Survey {
    /// `CLOSE_WAIT` with a file.
    pub close_wait: Picked,
    /// `FIN_WAIT2` with a file: held by a program.
    pub fin_wait2_held: Picked,
    /// `FIN_WAIT2` orphans that are full sockets still.
    pub fin_wait2_orphans: u32,
    /// `FIN_WAIT2` mini-sockets.
    pub fin_wait2_minis: u32,
    /// `LAST_ACK`, `CLOSING` and `FIN_WAIT1` without a file.
    pub closing: Picked,
    /// Half-open requests.
    pub syn_recv: Picked,
    /// Connects without an answer.
    pub syn_sent: Picked,
    /// Open, but without a file: waiting for `accept()`, or owned by the kernel.
    pub unaccepted: Picked,
    /// Open connections with at least one retransmission timeout in a row.
    pub timed_out: Picked,
    /// Open connections whose keepalive probes have no answer yet.
    pub unanswered: Picked,
    /// Open connections with something in the send queue.
    pub sending: Picked,
    /// Established connections with a file and something in the receive queue.
    pub unread: Picked,
    /// Established connections with a file that are known to be without keepalive.
    pub without_keepalive: Picked,
    /// Established connections whose keepalive timer runs.
    pub with_keepalive: Picked,
    /// Connections between a socket and itself.
    pub self_connected: Picked,
    /// Connections from ports below 1024 on which nobody listens.
    pub from_low_ports: Picked,
    /// Connections of peers elsewhere with at least [`Survey::MANY`] of them, by listener; closed ones and half-open ones left
    /// out. A machine that talks to itself leaks nothing that could be named by its address.
    pub bunches: FxHashMap<Bunch, Vec<u32>>,
    /// Ports of listeners to which this namespace has more connections than the listeners have from it.
    pub ports_in_excess: Vec<u16>,
    ports: PortSet,
    listeners: FxHashMap<u16, Vec<u32>>,
    listening_addresses: FxHashSet<Ip>,
}

impl Survey {
    /// From how many connections on a peer is counted listener by listener.
    pub const MANY: u32 = 200;

    /// Looks through a snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut survey = Self::empty(snapshot);
        let many = |p: &&PeerAgg| p.counts.total() >= Self::MANY && !p.addr.is_loopback();
        let heavy: FxHashSet<Ip> = snapshot.peers.iter().filter(many).map(|p| p.addr).collect();
        let mut inner = Inner::default();
        let rows = snapshot.sample.table.rows.iter().zip(&snapshot.track).zip(0u32..);
        for ((row, track), at) in rows {
            survey.take(row, at);
            if !matches!(row.state, TcpState::Established | TcpState::CloseWait) {
                continue;
            }
            if row.state == TcpState::Established {
                match track.keepalive(row) {
                    Some(Keepalive::Off) if row.inode != 0 => survey.without_keepalive.push(at),
                    Some(Keepalive::On) => survey.with_keepalive.push(at),
                    _ => {}
                }
                survey.count_inner(row, &mut inner);
            }
            if !heavy.is_empty()
                && survey.ports.has(row.local_port)
                && heavy.contains(&row.peer)
                && let Some(listener) = survey.listener_of(snapshot, row)
            {
                survey.bunches.entry(Bunch { listener, peer: row.peer }).or_default().push(at);
            }
        }
        survey.ports_in_excess = inner.excess();
        survey
    }

    fn empty(snapshot: &Snapshot) -> Self {
        let mut ports = PortSet::default();
        let mut listeners: FxHashMap<u16, Vec<u32>> = FxHashMap::default();
        let mut listening_addresses = FxHashSet::default();
        for (l, at) in snapshot.listeners.iter().zip(0u32..) {
            ports.insert(l.local.port);
            listeners.entry(l.local.port).or_default().push(at);
            if !l.local.addr.is_unspecified() {
                listening_addresses.insert(l.local.addr);
            }
        }
        let of_peers = |n: fn(&PeerAgg) -> u32| snapshot.peers.iter().map(|p| n(p) as usize).sum::<usize>();
        Self {
            close_wait: Picked::default(),
            fin_wait2_held: Picked::default(),
            fin_wait2_orphans: 0,
            fin_wait2_minis: 0,
            closing: Picked::default(),
            syn_recv: Picked::default(),
            syn_sent: Picked::default(),
            unaccepted: Picked::default(),
            timed_out: Picked::default(),
            unanswered: Picked::default(),
            sending: Picked::at_most(Picked::COMMON),
            unread: Picked::at_most(Picked::COMMON),
            without_keepalive: Picked::common(of_peers(|p| p.no_keepalive)),
            with_keepalive: Picked::common(of_peers(|p| p.with_keepalive)),
            self_connected: Picked::default(),
            from_low_ports: Picked::default(),
            bunches: FxHashMap::default(),
            ports_in_excess: Vec::new(),
            ports,
            listeners,
            listening_addresses,
        }
    }

    #[inline]
    fn take(&mut self, row: &SocketRow, at: u32) {
        if !row.state.has_peer() {
            return;
        }
        if row.local_port < 1024 && !self.ports.has(row.local_port) {
            self.from_low_ports.push(at);
        }
        match row.state {
            TcpState::TimeWait => return,
            TcpState::SynRecv => return self.syn_recv.push(at),
            TcpState::SynSent => return self.syn_sent.push(at),
            TcpState::FinWait2 => {
                match (row.inode, row.timer()) {
                    (0, TimerKind::TimeWait) => self.fin_wait2_minis += 1,
                    (0, _) => self.fin_wait2_orphans += 1,
                    _ => self.fin_wait2_held.push(at),
                }
                return;
            }
            TcpState::LastAck | TcpState::Closing => return self.closing.push(at),
            TcpState::FinWait1 if row.inode == 0 => return self.closing.push(at),
            TcpState::Established | TcpState::CloseWait if row.inode == 0 => self.unaccepted.push(at),
            TcpState::CloseWait => self.close_wait.push(at),
            _ => {}
        }
        if row.state == TcpState::Established {
            if row.recv_q > 0 && row.inode != 0 {
                self.unread.push(at);
            }
            if row.is_self_connected() {
                self.self_connected.push(at);
            }
        }
        if row.send_q > 0 {
            self.sending.push(at);
        }
        match row.timer() {
            TimerKind::Retransmit if row.retrans > 0 => self.timed_out.push(at),
            TimerKind::Keepalive if row.retrans > 0 => self.unanswered.push(at),
            _ => {}
        }
    }

    /// Counts a connection between two addresses of this namespace at the end that it shows.
    #[inline]
    fn count_inner(&self, row: &SocketRow, inner: &mut Inner) {
        let (here, there) = (self.ports.has(row.local_port), self.ports.has(row.peer_port));
        if (here || there) && self.is_inner(row) {
            if there {
                *inner.at(row.peer_port) += 1;
            }
            if here {
                *inner.at(row.local_port) -= 1;
            }
        }
    }

    /// Whether both ends of a connection are surely in this namespace.
    #[must_use]
    pub fn is_inner(&self, row: &SocketRow) -> bool {
        row.peer == row.local || row.peer.is_loopback() || self.listening_addresses.contains(&row.peer)
    }

    /// Whether anybody listens on a port.
    #[must_use]
    pub fn listens_on(&self, port: u16) -> bool {
        self.ports.has(port)
    }

    /// The listener through which a connection came in, as an index into [`Snapshot::listeners`]; `None` if none can
    /// have taken it.
    #[must_use]
    pub fn listener_of(&self, snapshot: &Snapshot, row: &SocketRow) -> Option<u32> {
        self.listener_at(snapshot, row.local, row.local_port, row.flags.has(RowFlags::V6))
    }

    /// The listener that takes connections to this address and port. One on the very address comes before one on the
    /// wildcard, and of several on one address the first.
    #[must_use]
    pub fn listener_at(&self, snapshot: &Snapshot, addr: Ip, port: u16, v6: bool) -> Option<u32> {
        if !self.ports.has(port) {
            return None;
        }
        let on_port = self.listeners.get(&port)?;
        let with = |wanted: Ip| {
            let is = |n: &&u32| snapshot.listeners.get(**n as usize).is_some_and(|l| l.local.addr == wanted);
            on_port.iter().find(is).copied()
        };
        let any = if v6 { [Ip::V6_ANY, Ip::V4_ANY] } else { [Ip::V4_ANY, Ip::V6_ANY] };
        with(addr).or_else(|| with(any[0])).or_else(|| with(any[1]))
    }
}

/// Connections inside the namespace by the listener's port: those seen from the client less those seen from the server.
#[derive(Default)]
struct Inner(FxHashMap<u16, i64>, Option<(u16, i64)>);

impl Inner {
    /// The balance of a port. Rows of one port mostly follow each other.
    #[inline]
    fn at(&mut self, port: u16) -> &mut i64 {
        match self.1 {
            Some((last, n)) if last != port => {
                self.0.insert(last, n);
                self.1 = None;
            }
            _ => {}
        }
        let known = &self.0;
        &mut self.1.get_or_insert_with(|| (port, known.get(&port).copied().unwrap_or(0))).1
    }

    fn excess(mut self) -> Vec<u16> {
        if let Some((port, n)) = self.1 {
            self.0.insert(port, n);
        }
        let mut ports: Vec<u16> = self.0.into_iter().filter(|(_, n)| *n > 0).map(|(port, _)| port).collect();
        ports.sort_unstable();
        ports
    }
}

/// A set of ports in 8 KiB.
#[derive(Debug)]
struct PortSet(Box<[u64]>);

impl Default for PortSet {
    fn default() -> Self {
        Self(vec![0; 1024].into())
    }
}

impl PortSet {
    #[inline]
    fn has(&self, port: u16) -> bool {
        self.0.get(usize::from(port / 64)).is_some_and(|word| word >> (port % 64) & 1 == 1)
    }

    fn insert(&mut self, port: u16) {
        if let Some(word) = self.0.get_mut(usize::from(port / 64)) {
            *word |= 1 << (port % 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{sample, snapshot, socket};

    #[test]
    fn a_listener_on_the_address_comes_before_the_wildcard() {
        let rows = vec![
            socket(TcpState::Listen, "0.0.0.0:80", ""),
            socket(TcpState::Listen, "10.0.0.1:80", ""),
            socket(TcpState::Listen, "[::]:443", ""),
        ];
        let snapshot = snapshot(sample(rows));
        let survey = Survey::of(&snapshot);
        let of =
            |local: &str| survey.listener_of(&snapshot, &socket(TcpState::Established, local, "10.9.9.9:5"));
        assert_eq!([of("10.0.0.1:80"), of("10.0.0.2:80"), of("10.0.0.2:443")], [Some(1), Some(0), Some(2)]);
        assert_eq!(of("10.0.0.2:81"), None);
    }

    #[test]
    fn inner_connections_are_balanced_by_port() {
        let server = socket(TcpState::Established, "127.0.0.1:80", "127.0.0.1:4000");
        let client = socket(TcpState::Established, "127.0.0.1:4000", "127.0.0.1:80");
        let ghost = socket(TcpState::Established, "127.0.0.1:4001", "127.0.0.1:80");
        let listener = socket(TcpState::Listen, "0.0.0.0:80", "");
        let outer = socket(TcpState::Established, "10.0.0.1:4000", "10.0.0.2:80");
        let excess = |rows: &[SocketRow]| Survey::of(&snapshot(sample(rows.to_vec()))).ports_in_excess;
        assert!(excess(&[listener, server, client, outer]).is_empty());
        assert_eq!(excess(&[listener, server, client, ghost]), [80]);
    }

    #[test]
    fn what_is_not_kept_is_counted() {
        let mut picked = Picked::at_most(2);
        (0..5).for_each(|row| picked.push(row));
        assert_eq!((&picked.rows[..], picked.total), (&[0, 1][..], 5));
    }

    #[test]
    fn each_row_is_picked_for_what_it_is() {
        let mut requested = socket(TcpState::FinWait2, "10.0.0.1:80", "10.0.0.2:1");
        (requested.inode, requested.timer_raw) = (0, 3);
        let mut orphan = requested;
        orphan.timer_raw = 2;
        let mut waiting = socket(TcpState::Established, "10.0.0.1:80", "10.0.0.2:2");
        waiting.inode = 0;
        let leaked = socket(TcpState::CloseWait, "10.0.0.1:80", "10.0.0.2:3");
        let low = socket(TcpState::Established, "10.0.0.1:700", "10.0.0.2:2049");
        let s = Survey::of(&snapshot(sample(vec![requested, orphan, waiting, leaked, low])));
        assert_eq!((s.fin_wait2_minis, s.fin_wait2_orphans), (1, 1));
        assert_eq!((&s.unaccepted.rows[..], &s.close_wait.rows[..]), (&[2][..], &[3][..]));
        // Nobody listens on port 80 here.
        assert_eq!(s.from_low_ports.total, 5);
        assert_eq!(s.without_keepalive.rows, [4]);
    }
}
