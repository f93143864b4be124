//! The peers table: connections by peer address or by network, over all namespaces.

use std::collections::HashMap;

use super::cell::Cell;
use super::column::{Column, Sort, Spec};
use super::key::Key;
use super::top::Top;
use crate::analysis::{Age, PeerAgg, Snapshot, World};
use crate::model::{Ip, StateCounts, TcpState};

/// A column of the peers table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is explained by its help, which is one of its properties")]
pub enum PeerColumn {
    Addr,
    Total,
    State(TcpState),
    NoKeepalive,
    RecvQ,
    SendQ,
    Oldest,
    Growth,
}

use PeerColumn as C;

impl Column for PeerColumn {
    fn all() -> &'static [Self] {
        &[
            C::Addr,
            C::Total,
            C::State(TcpState::Established),
            C::State(TcpState::SynSent),
            C::State(TcpState::SynRecv),
            C::State(TcpState::FinWait1),
            C::State(TcpState::FinWait2),
            C::State(TcpState::TimeWait),
            C::State(TcpState::CloseWait),
            C::State(TcpState::LastAck),
            C::State(TcpState::Closing),
            C::NoKeepalive,
            C::RecvQ,
            C::SendQ,
            C::Oldest,
            C::Growth,
        ]
    }

    fn spec(self) -> Spec {
        match self {
            C::Addr => Spec::text("addr", "REMOTE IP", 15, 24)
                .aliases(&["peer", "peer_addr", "remote", "dst"])
                .help("Peer address, or network"),
            C::Total => Spec::number("total", "TOTAL", 6, 7).aliases(&["count"]).help("Connections"),
            C::State(state) => state_spec(state),
            C::NoKeepalive => Spec::number("no_keepalive", "NO-KEEPALIVE", 7, 12)
                .aliases(&["no_ka"])
                .drop(2)
                .help("Connections known to be without keepalive"),
            C::RecvQ => Spec::number("recv_q", "RECV-Q", 6, 7)
                .aliases(&["recvq"])
                .drop(5)
                .help("Bytes that our programs have not read"),
            C::SendQ => Spec::number("send_q", "SEND-Q", 6, 7)
                .aliases(&["sendq"])
                .drop(4)
                .help("Bytes that the peer has not acknowledged"),
            C::Oldest => Spec::number("oldest", "OLDEST", 6, 7)
                .aliases(&["age"])
                .drop(3)
                .help("The connection that was seen longest in its state; ≥ if it was there before"),
            C::Growth => Spec::number("growth_per_min", "+/MIN", 5, 6)
                .aliases(&["growth"])
                .drop(1)
                .help("Growth of the number of connections per minute"),
        }
    }
}

/// The column of a state, as in every table that counts by state.
pub(super) const fn state_spec(state: TcpState) -> Spec {
    match state {
        TcpState::Established => {
            Spec::number("established", "ESTAB", 6, 7).aliases(&["estab"]).help("Open in both directions")
        }
        TcpState::SynSent => Spec::number("syn_sent", "SYN_S", 6, 7).drop(8).help("Our SYN is not answered"),
        TcpState::SynRecv => {
            Spec::number("syn_recv", "SYN_R", 6, 7).drop(6).help("Our SYN-ACK is not answered")
        }
        TcpState::FinWait1 => {
            Spec::number("fin_wait1", "FIN_W1", 6, 7).drop(9).help("Our FIN is not acknowledged")
        }
        TcpState::FinWait2 => {
            Spec::number("fin_wait2", "FIN_W2", 6, 7).drop(7).help("We closed, the peer has not")
        }
        TcpState::TimeWait => {
            Spec::number("time_wait", "TIME_W", 6, 7).help("Closed; the address pair is kept for 60 s")
        }
        TcpState::CloseWait => {
            Spec::number("close_wait", "CLOSE_W", 7, 7).help("The peer closed, our program has not")
        }
        TcpState::LastAck => {
            Spec::number("last_ack", "LAST_A", 6, 7).drop(10).help("Both closed, our FIN is not acknowledged")
        }
        TcpState::Closing => {
            Spec::number("closing", "CLOSING", 7, 7).drop(11).help("Both closed at the same time")
        }
        TcpState::Listen => Spec::number("listen", "LISTEN", 6, 7).drop(12).help("Listening sockets"),
        TcpState::BoundInactive => {
            Spec::number("bound_inactive", "BOUND", 6, 7).drop(12).help("Bound, not connected")
        }
        TcpState::Close => Spec::number("close", "CLOSE", 6, 7).drop(12).help("No connection"),
    }
}

/// By what peers are put together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Grouping {
    /// By address.
    #[default]
    Address,
    /// By network.
    Prefix {
        /// Bits for IPv4.
        v4_len: u8,
        /// Bits for IPv6.
        v6_len: u8,
    },
}

impl Grouping {
    /// /24 and /64.
    pub const NETWORK: Self = Self::Prefix { v4_len: 24, v6_len: 64 };

    fn of(self, addr: Ip) -> Ip {
        match self {
            Self::Address => addr,
            Self::Prefix { v4_len, v6_len } => addr.prefix(v4_len, v6_len),
        }
    }

    fn len(self, addr: Ip) -> Option<u8> {
        match self {
            Self::Address => None,
            Self::Prefix { v4_len, v6_len } => {
                Some(if addr.is_v4() { v4_len.min(32) } else { v6_len.min(128) })
            }
        }
    }
}

/// What to show of the peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerQuery {
    /// By what they are put together.
    pub group: Grouping,
    /// In which order.
    pub sort: Sort<PeerColumn>,
    /// How many of the first.
    pub want: usize,
}

/// A peer, or a network of peers, over all namespaces.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PeerRow {
    /// The address, or the first of the network.
    pub addr: Ip,
    /// Length of the network in bits; `None` for an address.
    pub prefix_len: Option<u8>,
    /// How many peer addresses are in it (one in two namespaces counts twice).
    pub members: u32,
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
    /// How long the oldest connection has been seen in its state; `None` if one look cannot tell.
    pub oldest: Option<Age>,
    /// Growth of the count per minute; `None` until enough was observed.
    pub growth_per_min: Option<f32>,
}

impl PeerRow {
    fn new(snapshot: &Snapshot, peer: &PeerAgg, group: Grouping) -> Self {
        let age = snapshot.age(peer.oldest);
        Self {
            addr: group.of(peer.addr),
            prefix_len: group.len(peer.addr),
            members: 1,
            counts: peer.counts,
            no_keepalive: peer.no_keepalive,
            with_keepalive: peer.with_keepalive,
            unknown_keepalive: peer.unknown_keepalive,
            recv_q: peer.recv_q,
            send_q: peer.send_q,
            oldest: (!(age.at_least && age.seen.is_zero())).then_some(age),
            growth_per_min: peer.growth_per_min,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.members += other.members;
        self.counts += other.counts;
        self.no_keepalive += other.no_keepalive;
        self.with_keepalive += other.with_keepalive;
        self.unknown_keepalive += other.unknown_keepalive;
        self.recv_q += other.recv_q;
        self.send_q += other.send_q;
        self.oldest = self.oldest.max(other.oldest);
        self.growth_per_min = match (self.growth_per_min, other.growth_per_min) {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.or(other),
        };
    }

    fn key(&self, column: PeerColumn) -> Key {
        let number = |n: u32| Key::number(n.into());
        match column {
            C::Addr => Key::addr(self.addr),
            C::Total => number(self.counts.total()),
            C::State(state) => number(self.counts[state]),
            C::NoKeepalive => number(self.no_keepalive),
            C::RecvQ => Key::number(self.recv_q),
            C::SendQ => Key::number(self.send_q),
            C::Oldest => Key::optional(
                self.oldest.map(|a| Key::number(u64::try_from(a.seen.as_millis()).unwrap_or(u64::MAX))),
            ),
            C::Growth => Key::optional(self.growth_per_min.map(|g| Key::float(g.into()))),
        }
    }
}

/// The first peers in the order that was asked for.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct PeerView {
    /// Which look at the world this is a view of.
    pub generation: u64,
    /// How many peers or networks there are in all.
    pub matching: usize,
    /// The first of them, in order.
    pub rows: Vec<PeerRow>,
}

/// The first peers in the order that was asked for, and how many there are in all.
#[must_use]
pub fn peers(world: &World, query: &PeerQuery) -> PeerView {
    let all = || world.snapshots.iter().flat_map(|s| s.peers.iter().map(|p| PeerRow::new(s, p, query.group)));
    let (matching, rows) = if query.group == Grouping::Address && world.snapshots.len() == 1 {
        first(all(), query)
    } else {
        // Peers choose their addresses: the default hasher is seeded.
        let mut merged: HashMap<Ip, PeerRow, foldhash::fast::RandomState> = HashMap::default();
        for row in all() {
            merged.entry(row.addr).and_modify(|r| r.merge(&row)).or_insert(row);
        }
        first(merged.into_values(), query)
    };
    PeerView { generation: world.generation, matching, rows }
}

fn first(rows: impl Iterator<Item = PeerRow>, query: &PeerQuery) -> (usize, Vec<PeerRow>) {
    let mut top = Top::new(query.want);
    let mut matching = 0;
    for row in rows {
        matching += 1;
        let key = row.key(query.sort.column).directed(query.sort.descending);
        top.push((key, row.addr), || row);
    }
    (matching, top.finish().map(|(_, row)| row).collect())
}

/// The value of a column for a peer.
#[must_use]
pub fn peer_cell(column: PeerColumn, peer: &PeerRow) -> Cell<'static> {
    match column {
        C::Addr => peer.prefix_len.map_or(Cell::Addr(peer.addr), |len| Cell::Network(peer.addr, len)),
        C::Total => Cell::Count(peer.counts.total().into()),
        C::State(state) => Cell::Count(peer.counts[state].into()),
        C::NoKeepalive => Cell::Count(peer.no_keepalive.into()),
        C::RecvQ => Cell::Bytes(peer.recv_q),
        C::SendQ => Cell::Bytes(peer.send_q),
        C::Oldest => peer.oldest.map_or(Cell::Unknown, Cell::Age),
        C::Growth => peer.growth_per_min.map_or(Cell::Unknown, |g| Cell::Rate(g.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{self, socket};

    fn world() -> World {
        let e = TcpState::Established;
        let first = vec![
            socket(e, "10.0.0.1:80", "10.9.9.1:5000"),
            socket(e, "10.0.0.1:80", "10.9.9.1:5001"),
            socket(TcpState::TimeWait, "10.0.0.1:80", "10.9.9.2:5000"),
            socket(e, "[2001:db8::1]:80", "[2001:db8::2]:5000"),
        ];
        let second =
            vec![socket(e, "10.0.0.1:80", "10.9.9.2:6000"), socket(e, "10.0.0.1:80", "10.9.9.2:6001")];
        testkit::world(
            vec![first, second].into_iter().map(|r| testkit::snapshot(testkit::sample(r))).collect(),
        )
    }

    fn shown(group: Grouping, sort: Sort<PeerColumn>) -> Vec<(String, u32)> {
        let view = peers(&world(), &PeerQuery { group, sort, want: 10 });
        assert_eq!(view.matching, view.rows.len());
        view.rows.iter().map(|r| (peer_cell(C::Addr, r).to_string(), r.counts.total())).collect()
    }

    #[test]
    fn an_address_in_two_namespaces_is_one_peer() {
        let rows = shown(Grouping::Address, Sort::by(C::Total));
        let want = [("10.9.9.2".to_owned(), 3), ("10.9.9.1".to_owned(), 2), ("2001:db8::2".to_owned(), 1)];
        assert_eq!(rows, want);
    }

    #[test]
    fn networks_sum_their_addresses() {
        let rows = shown(Grouping::NETWORK, Sort::by(C::Addr));
        assert_eq!(rows, [("10.9.9.0/24".to_owned(), 5), ("2001:db8::/64".to_owned(), 1)]);
    }

    #[test]
    fn the_first_are_the_first_of_all() {
        let world = testkit::world_of(testkit::many(20_000));
        for column in PeerColumn::all() {
            let sort = Sort::by(*column);
            let all = peers(&world, &PeerQuery { group: Grouping::Address, sort, want: usize::MAX });
            let few = peers(&world, &PeerQuery { group: Grouping::Address, sort, want: 7 });
            assert_eq!(all.matching, world.snapshots[0].peers.len());
            assert_eq!(few.rows, all.rows[..7]);
        }
    }

    #[test]
    fn every_state_with_a_peer_has_a_column() {
        for state in TcpState::ALL.into_iter().filter(|s| s.has_peer()) {
            assert!(PeerColumn::all().contains(&C::State(state)));
        }
        for c in PeerColumn::all() {
            assert_eq!(PeerColumn::from_name(c.spec().name), Ok(*c));
        }
    }
}
