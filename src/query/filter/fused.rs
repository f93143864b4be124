//! Several conditions on the row alone, answered together without a branch.
//!
//! A row's answer to each condition is one bit of a number, and a table has the answer of the whole expression for every
//! such number. What costs time in a million rows is not a comparison but a branch that nobody can foretell: with early
//! exits seven conditions took 28 ns a row.

use super::ast::{Label, Op, Side};
use super::compile::{Masked, Node};
use super::scene::Truth;
use crate::model::{RowFlags, SocketRow, TimerKind};

/// More conditions than this are not fused: the table has a bit for each of their combinations.
pub(super) const MOST: usize = 10;

/// The numbers of a row that conditions compare.
#[derive(Clone, Copy, Debug)]
enum Column {
    LocalPort,
    PeerPort,
    SendQ,
    RecvQ,
    Retrans,
    Timer,
    V6,
}

/// Room for the columns, a power of two.
const COLUMNS: usize = 8;

#[inline]
fn columns(row: &SocketRow) -> [u64; COLUMNS] {
    let retrans = if row.timer_raw == TimerKind::None.to_kernel() { 0 } else { row.retrans };
    [
        row.local_port.into(),
        row.peer_port.into(),
        row.send_q.into(),
        row.recv_q.into(),
        retrans.into(),
        row.timer_raw.into(),
        (row.flags.0 & RowFlags::V6.0).into(),
        0,
    ]
}

/// A column lies in a range, both ends included.
#[derive(Clone, Copy, Debug)]
struct Range {
    column: Column,
    from: u64,
    to: u64,
}

impl Range {
    /// `column op n`, and whether it is the opposite of that range.
    const fn of(column: Column, op: Op, n: u64) -> (Self, bool) {
        let (from, to, not) = match op {
            Op::Eq => (n, n, false),
            Op::Ne => (n, n, true),
            Op::Ge => (n, u64::MAX, false),
            Op::Lt => (n, u64::MAX, true),
            Op::Le => (0, n, false),
            Op::Gt => (0, n, true),
        };
        (Self { column, from, to }, not)
    }
}

/// Conditions that were put together.
#[derive(Clone, Debug)]
pub(super) struct Fused {
    ranges: Box<[Range]>,
    networks: Box<[(Side, Masked)]>,
    states: Box<[u32]>,
    send_q: bool,
    /// A bit for each combination of answers: ranges first, then networks, then states.
    table: Box<[u64]>,
}

impl Fused {
    /// Puts the conditions of an expression together, if there are some, not too many, and each has an answer for every row.
    pub(super) fn of(node: &Node) -> Option<Self> {
        let mut leaves = Leaves::default();
        let tree = leaves.gather(node)?;
        let count = leaves.count();
        if !(2..=MOST).contains(&count) {
            return None;
        }
        let mut table = vec![0_u64; (1_usize << count).div_ceil(64)];
        for index in 0..1_usize << count {
            if tree.holds(index, &leaves)
                && let Some(word) = table.get_mut(index / 64)
            {
                *word |= 1 << (index % 64);
            }
        }
        Some(Self {
            send_q: leaves.ranges.iter().any(|range| matches!(range.column, Column::SendQ)),
            ranges: leaves.ranges.into(),
            networks: leaves.networks.into(),
            states: leaves.states.into(),
            table: table.into(),
        })
    }

    /// Whether one of the conditions is about the send queue.
    #[inline]
    pub(super) const fn compares_send_q(&self) -> bool {
        self.send_q
    }

    /// The answer for a row whose send queue is not known: that of every length, if they agree.
    pub(super) fn without_send_q(&self, row: &SocketRow) -> Truth {
        let on_send_q = self.ranges.iter().filter(|range| matches!(range.column, Column::SendQ));
        // Between two ends of ranges nothing changes.
        let lengths = on_send_q.flat_map(|range| [range.from, range.to.saturating_add(1)]);
        let mut row = *row;
        let mut with = |length: u64| {
            row.send_q = u32::try_from(length).unwrap_or(u32::MAX);
            self.truth(&row)
        };
        let first = with(0);
        if lengths.map(with).all(|other| other == first) { first } else { Truth::Unknown }
    }

    #[inline]
    pub(super) fn truth(&self, row: &SocketRow) -> Truth {
        let columns = columns(row);
        let (mut index, mut bit) = (0_usize, 1_usize);
        for range in &self.ranges {
            let is = columns[range.column as usize % COLUMNS];
            // One comparison for both ends.
            index |= bit * usize::from(is.wrapping_sub(range.from) <= range.to - range.from);
            bit <<= 1;
        }
        if !self.networks.is_empty() {
            let ends = [row.local.bits(), row.peer.bits()];
            for (side, masked) in &self.networks {
                index |= bit * usize::from(masked.has(ends[usize::from(*side == Side::Peer)], row));
                bit <<= 1;
            }
        }
        for states in &self.states {
            index |= bit * usize::from(row.state.bit() & states != 0);
            bit <<= 1;
        }
        let word = self.table.get(index / 64).copied().unwrap_or(0);
        (word >> (index % 64) & 1 == 1).into()
    }
}

/// How many conditions on the row alone a node is made of; `None` if it asks for more than the row.
pub(super) fn conditions(node: &Node) -> Option<usize> {
    let mut leaves = Leaves::default();
    leaves.gather(node)?;
    Some(leaves.count())
}

/// How the conditions are joined.
enum Tree {
    Range(usize),
    Network(usize),
    States(usize),
    Always,
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

impl Tree {
    fn not_if(self, not: bool) -> Self {
        if not { Self::Not(Box::new(self)) } else { self }
    }

    fn holds(&self, index: usize, leaves: &Leaves) -> bool {
        let bit = |at: usize| index >> at & 1 == 1;
        let networks = leaves.ranges.len();
        match self {
            Self::Range(at) => bit(*at),
            Self::Network(at) => bit(networks + at),
            Self::States(at) => bit(networks + leaves.networks.len() + at),
            Self::Always => true,
            Self::Not(inner) => !inner.holds(index, leaves),
            Self::And(all) => all.iter().all(|t| t.holds(index, leaves)),
            Self::Or(all) => all.iter().any(|t| t.holds(index, leaves)),
        }
    }
}

#[derive(Default)]
struct Leaves {
    ranges: Vec<Range>,
    networks: Vec<(Side, Masked)>,
    states: Vec<u32>,
}

impl Leaves {
    const fn count(&self) -> usize {
        self.ranges.len() + self.networks.len() + self.states.len()
    }

    /// The conditions below a node; `None` if one of them needs more than the row.
    fn gather(&mut self, node: &Node) -> Option<Tree> {
        let mut range = |column, op, n| {
            let (range, not) = Range::of(column, op, n);
            self.ranges.push(range);
            Some(Tree::Range(self.ranges.len() - 1).not_if(not))
        };
        match *node {
            Node::Port(Side::Local, op, port) => range(Column::LocalPort, op, port.into()),
            Node::Port(Side::Peer, op, port) => range(Column::PeerPort, op, port.into()),
            Node::Queue(Side::Local, op, n) => range(Column::SendQ, op, n),
            Node::Queue(Side::Peer, op, n) => range(Column::RecvQ, op, n),
            Node::Retrans(op, n) => range(Column::Retrans, op, n),
            Node::Timer(n, not) => range(Column::Timer, if not { Op::Ne } else { Op::Eq }, n.into()),
            Node::Family(label, not) => {
                let op = if (label == Label::Inet6) == not { Op::Eq } else { Op::Ne };
                range(Column::V6, op, 0)
            }
            Node::Net(side, masked) => {
                self.networks.push((side, masked));
                Some(Tree::Network(self.networks.len() - 1))
            }
            Node::State(mask) => {
                self.states.push(mask);
                Some(Tree::States(self.states.len() - 1))
            }
            Node::Always => Some(Tree::Always),
            Node::Not(ref inner) => Some(Tree::Not(Box::new(self.gather(inner)?))),
            Node::And(ref all) => Some(Tree::And(self.gather_all(all)?)),
            Node::Or(ref all) => Some(Tree::Or(self.gather_all(all)?)),
            _ => None,
        }
    }

    fn gather_all(&mut self, all: &[Node]) -> Option<Vec<Tree>> {
        all.iter().map(|n| self.gather(n)).collect()
    }
}
