//! An expression made ready to be asked about a million rows.
//!
//! Answers are three-valued: what cannot be known of a row is neither a match nor a match of the opposite.

use std::sync::Arc;

use super::ast::{
    ALL_STATES, Beyond, Compared, Expr, Field, Host, Is, Label, Network, Op, Place, Side, Word,
};
use super::error::{FilterError, Note};
use super::fused::{Fused, MOST, conditions};
use super::lookup::Lookup;
use super::parser::read;
use super::scene::{Scene, Truth};
use super::words::FIN_TIMEOUT;
use crate::model::{Keepalive, Process, RowFlags, SocketRow, TimerKind};
use crate::query::values::runs_fin_timeout;

/// What a filter has to know beyond the table of sockets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Needs {
    /// Who holds the sockets.
    pub owners: bool,
    /// `tcp_info` of the rows.
    pub info: bool,
    /// Which ports the kernel chose ([`Table::autobound`](crate::model::Table::autobound)).
    pub autobound: bool,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Filter {
    expr: Expr,
    node: Node,
    needs: Needs,
    states: u32,
    notes: Box<[Note]>,
}

/// Filters are equal when their expressions are.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

impl Eq for Filter {}

impl Filter {
    /// Reads and compiles; `None` for a text of nothing but white space.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse(text: &str, lookup: &dyn Lookup) -> Result<Option<Arc<Self>>, FilterError> {
        let (expr, notes) = read(text, lookup)?;
        Ok(expr.map(|expr| Arc::new(Self { notes: notes.into(), ..Self::new(expr) })))
    }

    /// Compiles an expression.
    #[must_use]
    pub fn new(expr: Expr) -> Self {
        let mut node = Node::of(&expr);
        if let Some(family) = expr.family() {
            node = Node::And([Node::Family(family, false), node].into());
        }
        let node = node.fused();
        let mut needs = Needs::default();
        for is in expr.conditions() {
            match is {
                Is::Autobound => needs.autobound = true,
                Is::Number(Field::Pid, ..) | Is::Text(Word::Comm | Word::Container, ..) => {
                    needs.owners = true;
                }
                Is::Number(Field::Idle | Field::Rtt, ..) => needs.info = true,
                _ => {}
            }
        }
        let elsewhere = expr.family().is_some_and(|family| !family.is_here());
        let states = if elsewhere { 0 } else { possible_states(&expr, false) };
        Self { expr, node, needs, states, notes: Box::default() }
    }

    /// The same without putting conditions together, and without looking at the state first.
    #[cfg(test)]
    pub(super) fn one_by_one(expr: Expr) -> Self {
        let mut node = Node::of(&expr);
        if let Some(family) = expr.family() {
            node = Node::And([Node::Family(family, false), node].into());
        }
        Self { node, states: u32::MAX, ..Self::new(expr) }
    }

    /// Whether all conditions were put together.
    #[cfg(test)]
    pub(super) const fn is_one(&self) -> bool {
        matches!(self.node, Node::Fused(_))
    }

    /// The expression.
    #[must_use]
    pub const fn expr(&self) -> &Expr {
        &self.expr
    }

    /// What is worth a remark about the text that it was read from.
    #[must_use]
    pub const fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// What it has to know beyond the table.
    #[must_use]
    pub const fn needs(&self) -> Needs {
        self.needs
    }

    /// The states in which a matching socket can be, as a mask.
    #[must_use]
    pub const fn states(&self) -> u32 {
        self.states
    }

    /// Whether a row matches for certain.
    #[must_use]
    #[inline]
    pub fn matches(&self, scene: &Scene<'_>, at: usize, row: &SocketRow) -> bool {
        self.truth(scene, at, row) == Truth::True
    }

    /// Whether row number `at` of the scene's table matches.
    #[must_use]
    #[inline]
    pub fn truth(&self, scene: &Scene<'_>, at: usize, row: &SocketRow) -> Truth {
        if row.state.bit() & self.states == 0 {
            return Truth::False;
        }
        self.node.truth(scene, at, row)
    }

    /// Whether the answer about a row hangs on its `tcp_info`, which was not asked for yet.
    #[must_use]
    pub fn wants_info(&self, scene: &Scene<'_>, at: usize, row: &SocketRow) -> bool {
        self.needs.info && scene.lacks_info(row) && self.truth(scene, at, row) == Truth::Unknown
    }
}

/// The states in which an expression, or its opposite, can be true.
fn possible_states(expr: &Expr, negated: bool) -> u32 {
    match (expr, negated) {
        (Expr::Is(Is::State(mask)), false) => *mask,
        (Expr::Is(Is::State(mask)), true) => ALL_STATES & !mask,
        (Expr::Is(_), _) => ALL_STATES,
        (Expr::Not(inner), _) => possible_states(inner, !negated),
        (Expr::And(all), false) | (Expr::Or(all), true) => {
            all.iter().fold(ALL_STATES, |mask, e| mask & possible_states(e, negated))
        }
        (Expr::Or(all), false) | (Expr::And(all), true) => {
            all.iter().fold(0, |mask, e| mask | possible_states(e, negated))
        }
    }
}

/// An address under a mask, as numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masked {
    value: u128,
    mask: u128,
    /// Only sockets of `AF_INET6`.
    v6: bool,
}

impl Masked {
    fn new(network: Network) -> Self {
        // IPv4 is kept as ::ffff:a.b.c.d, and IPv4 conditions take IPv6 sockets that carry it (inet_diag_bc_run).
        let len = u32::from(network.len) + if network.v6 { 0 } else { 96 };
        let mask = u128::MAX.checked_shl(128 - len).unwrap_or(0);
        Self { value: network.addr.bits() & mask, mask, v6: network.v6 }
    }

    #[inline]
    pub(super) const fn has(self, bits: u128, row: &SocketRow) -> bool {
        bits & self.mask == self.value && (!self.v6 || row.flags.has(RowFlags::V6))
    }
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Fused(Fused),
    And(Box<[Self]>),
    Or(Box<[Self]>),
    Not(Box<Self>),
    Always,
    State(u32),
    Port(Side, Op, u16),
    Net(Side, Masked),
    Device(u32, bool),
    Mark(u32, u32, bool),
    Cgroup(u64, bool),
    Autobound,
    Uid(Op, u64),
    Queue(Side, Op, u64),
    Retrans(Op, u64),
    Keepalive(Keepalive, bool),
    Timer(u8, bool),
    FinTimeout(bool),
    Family(Label, bool),
    Age(Op, u64),
    Idle(Op, u64),
    Rtt(Op, u64),
    Pid(Op, u64),
    Comm(Glob, bool),
    Container(Box<str>, bool),
    Netns(Box<str>, bool),
}

impl Node {
    fn of(expr: &Expr) -> Self {
        match expr {
            Expr::And(all) => Self::And(by_cost(all)),
            Expr::Or(all) => Self::Or(by_cost(all)),
            Expr::Not(inner) => Self::Not(Box::new(Self::of(inner))),
            Expr::Is(is) => Self::condition(is),
        }
    }

    fn condition(is: &Is) -> Self {
        match is {
            Is::State(mask) => Self::State(*mask),
            Is::At(side, not, host) => Self::host(*side, host).negated_if(*not),
            Is::Port(side, op, _, port) => Self::port(*side, *op, *port),
            Is::Beyond(_, Beyond::At(not), ..) => Self::Always.negated_if(!*not),
            Is::Beyond(_, Beyond::Port(op), ..) => Self::Always.negated_if(*op != Op::Ne),
            Is::Device(_, index, not) => Self::Device(*index, *not),
            Is::Mark { value, mask, not } => Self::Mark(*value, *mask, *not),
            Is::Cgroup(_, id, not) => Self::Cgroup(*id, *not),
            Is::Autobound => Self::Autobound,
            Is::Number(field, op, n) => match field {
                Field::Pid => Self::Pid(*op, *n),
                Field::Uid => Self::Uid(*op, *n),
                Field::Idle => Self::Idle(*op, *n),
                Field::Age => Self::Age(*op, *n),
                Field::RecvQ => Self::Queue(Side::Peer, *op, *n),
                Field::SendQ => Self::Queue(Side::Local, *op, *n),
                Field::Retrans => Self::Retrans(*op, *n),
                Field::Rtt => Self::Rtt(*op, *n),
            },
            Is::Text(Word::Comm, text, not) => Self::Comm(Glob::new(text), *not),
            Is::Text(Word::Container, text, not) => Self::Container(text.clone(), *not),
            Is::Text(Word::Netns, text, not) => Self::Netns(text.clone(), *not),
            Is::Keepalive(k, not) => Self::Keepalive(*k, *not),
            Is::Timer(FIN_TIMEOUT, not) => Self::FinTimeout(*not),
            Is::Timer(n, not) => Self::Timer(*n, *not),
            Is::Family(label, not) => Self::Family(*label, *not),
        }
    }

    fn port(side: Side, op: Op, port: Option<i32>) -> Self {
        match Compared::new(op, port) {
            Compared::With(op, port) => Self::Port(side, op, port),
            Compared::Constant(holds) => Self::Always.negated_if(!holds),
        }
    }

    fn host(side: Side, host: &Host) -> Self {
        let place = match &host.place {
            Place::Any => None,
            Place::In(network) => Some(Self::Net(side, Masked::new(*network))),
            Place::Named(_, networks) => {
                Some(Self::Or(networks.iter().map(|n| Self::Net(side, Masked::new(*n))).collect()))
            }
        };
        let port = host.port.map(|port| Self::port(side, Op::Eq, Some(port)));
        match (port, place) {
            (Some(port), Some(place)) => Self::And([port, place].into()),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => Self::Always,
        }
    }

    fn negated_if(self, not: bool) -> Self {
        if not { Self::Not(Box::new(self)) } else { self }
    }

    /// The same with the conditions on the row alone put together, as far as that goes; they are asked first.
    fn fused(self) -> Self {
        if let Some(fused) = Fused::of(&self) {
            return Self::Fused(fused);
        }
        let join = |all: Box<[Self]>, join: fn(Box<[Self]>) -> Self| {
            let (mut groups, mut rest): (Vec<Vec<Self>>, Vec<Self>) = (Vec::new(), Vec::new());
            let mut room = 0;
            for node in all {
                match (conditions(&node).filter(|n| *n <= MOST), groups.last_mut()) {
                    (Some(n), Some(group)) if n <= room => {
                        room -= n;
                        group.push(node);
                    }
                    (Some(n), _) => {
                        room = MOST - n;
                        groups.push(vec![node]);
                    }
                    (None, _) => rest.push(node.fused()),
                }
            }
            let group = |mut nodes: Vec<Self>| {
                let node =
                    if nodes.len() > 1 { join(nodes.into()) } else { nodes.pop().unwrap_or(Self::Always) };
                Fused::of(&node).map_or(node, Self::Fused)
            };
            let mut nodes: Vec<Self> = groups.into_iter().map(group).chain(rest).collect();
            nodes.sort_by_key(Self::cost);
            join(nodes.into())
        };
        match self {
            Self::And(all) => join(all, Self::And),
            Self::Or(all) => join(all, Self::Or),
            Self::Not(inner) => Self::Not(Box::new(inner.fused())),
            other => other,
        }
    }

    /// What is cheap to answer is asked first.
    fn cost(&self) -> u8 {
        match self {
            Self::Fused(_) => 0,
            Self::And(all) | Self::Or(all) => all.iter().map(Self::cost).max().unwrap_or(0).saturating_add(1),
            Self::Not(inner) => inner.cost(),
            Self::Idle(..)
            | Self::Rtt(..)
            | Self::Pid(..)
            | Self::Comm(..)
            | Self::Container(..)
            | Self::Netns(..) => 200,
            Self::Net(..) => 2,
            Self::Keepalive(..) | Self::Autobound => 5,
            Self::Device(..) | Self::Mark(..) | Self::Cgroup(..) | Self::Uid(..) | Self::Age(..) => 10,
            _ => 1,
        }
    }

    #[inline]
    fn truth(&self, scene: &Scene<'_>, at: usize, row: &SocketRow) -> Truth {
        match self {
            Self::And(all) => {
                let mut truth = Truth::True;
                for node in all {
                    truth = truth.min(node.truth(scene, at, row));
                    if truth == Truth::False {
                        break;
                    }
                }
                truth
            }
            Self::Or(all) => {
                let mut truth = Truth::False;
                for node in all {
                    truth = truth.max(node.truth(scene, at, row));
                    if truth == Truth::True {
                        break;
                    }
                }
                truth
            }
            Self::Not(inner) => inner.truth(scene, at, row).negated(),
            Self::Fused(fused) if fused.compares_send_q() && scene.lacks_backlog(row) => {
                fused.without_send_q(row)
            }
            Self::Fused(fused) => fused.truth(row),
            Self::Always => Truth::True,
            Self::State(mask) => (row.state.bit() & mask != 0).into(),
            Self::Port(side, op, port) => {
                let is = if *side == Side::Local { row.local_port } else { row.peer_port };
                op.holds(&is, port).into()
            }
            Self::Net(side, masked) => {
                let bits = if *side == Side::Local { row.local.bits() } else { row.peer.bits() };
                masked.has(bits, row).into()
            }
            Self::Queue(Side::Local, ..) if scene.lacks_backlog(row) => Truth::Unknown,
            Self::Queue(side, op, n) => {
                let is = if *side == Side::Local { row.send_q } else { row.recv_q };
                op.holds(&u64::from(is), n).into()
            }
            Self::Retrans(op, n) => {
                let is = if row.timer() == TimerKind::None { 0 } else { u64::from(row.retrans) };
                op.holds(&is, n).into()
            }
            Self::Timer(n, not) => ((row.timer_raw == *n) != *not).into(),
            Self::Family(label, not) => (label.has(row.flags.has(RowFlags::V6)) != *not).into(),
            other => other.rare(scene, at, row),
        }
    }

    /// What is asked seldom, out of the way of the rest.
    #[inline(never)]
    fn rare(&self, scene: &Scene<'_>, at: usize, row: &SocketRow) -> Truth {
        match self {
            Self::Device(index, not) => ((scene.origin(row).ifindex == *index) != *not).into(),
            Self::Mark(value, mask, not) => match scene.origin(row).mark {
                Some(is) => ((is & mask == *value) != *not).into(),
                None => Truth::Unknown,
            },
            // What has no cgroup (mini-sockets) is in none.
            Self::Cgroup(id, not) => ((scene.origin(row).cgroup_id == Some(*id)) != *not).into(),
            Self::FinTimeout(not) => (runs_fin_timeout(row) != *not).into(),
            Self::Autobound => scene.autobound(row),
            Self::Uid(op, n) => scene.uid(row, |uid| op.holds(&u64::from(uid), n)),
            Self::Keepalive(wanted, not) => scene.keepalive(at, row, *wanted, *not),
            Self::Age(op, n) => scene.age(at, *op, *n),
            Self::Idle(op, n) => scene.idle(row, *op, *n),
            Self::Rtt(op, n) => scene.info(row, |info| info.rtt().map(|us| op.holds(&us, n))),
            Self::Pid(Op::Ne, n) => scene.held(row, |p| u64::from(p.pid) == *n).negated(),
            Self::Pid(op, n) => scene.held(row, |p| op.holds(&u64::from(p.pid), n)),
            Self::Comm(glob, not) => scene.held(row, |p| glob.matches(p.comm.raw())).negated_if(*not),
            Self::Container(name, not) => scene.held(row, |p| in_container(p, name)).negated_if(*not),
            Self::Netns(name, not) => (scene.is_netns(name) != *not).into(),
            _ => Truth::Unknown,
        }
    }
}

fn by_cost(all: &[Expr]) -> Box<[Node]> {
    let mut nodes: Vec<Node> = all.iter().map(Node::of).collect();
    nodes.sort_by_key(Node::cost);
    nodes.into()
}

fn in_container(process: &Process, name: &str) -> bool {
    let Some(container) = process.cgroup.known().and_then(|c| c.container.as_ref()) else { return false };
    let (id, shown) = (container.id.raw(), container.name.raw());
    // As the tools of the runtimes do, the beginning of an id is enough.
    shown == name || shown.split_once(':').is_some_and(|(_, n)| n == name) || id.starts_with(name)
}

/// A pattern of a whole name in which `*` stands for anything and `?` for one character.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    /// The pieces between the stars; one piece is a pattern without a star.
    pieces: Box<[Box<str>]>,
}

impl Glob {
    fn new(pattern: &str) -> Self {
        Self { pieces: pattern.split('*').map(Box::from).collect() }
    }

    fn matches(&self, name: &str) -> bool {
        let (first, middle, last) = match &*self.pieces {
            [] => return name.is_empty(),
            [whole] => return prefix(name, whole).is_some_and(str::is_empty),
            [first, middle @ .., last] => (first, middle, last),
        };
        let Some(mut rest) = prefix(name, first) else { return false };
        for piece in middle {
            let Some(after) = find(rest, piece) else { return false };
            rest = after;
        }
        let Some(skip) = rest.chars().count().checked_sub(last.chars().count()) else { return false };
        let tail = rest.char_indices().nth(skip).map_or(Some(""), |(at, _)| rest.get(at..));
        tail.and_then(|tail| prefix(tail, last)).is_some_and(str::is_empty)
    }
}

/// What follows `piece` at the beginning of `name`.
fn prefix<'n>(name: &'n str, piece: &str) -> Option<&'n str> {
    let mut chars = name.chars();
    for wanted in piece.chars() {
        let is = chars.next()?;
        if wanted != '?' && wanted != is {
            return None;
        }
    }
    Some(chars.as_str())
}

/// What follows the first `piece` in `name`.
fn find<'n>(name: &'n str, piece: &str) -> Option<&'n str> {
    name.char_indices().map(|(at, _)| at).chain([name.len()]).find_map(|at| prefix(name.get(at..)?, piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let is = |pattern, name| Glob::new(pattern).matches(name);
        assert!(is("nginx", "nginx") && !is("nginx", "nginx2") && !is("nginx", "ngin"));
        assert!(is("ng*", "nginx") && is("*x", "nginx") && is("*", "") && is("n*i*x", "nginx"));
        assert!(!is("n*i*y", "nginx") && !is("*a*", "nginx") && !is("nginx*x", "nginx"));
        assert!(is("ngin?", "nginx") && !is("nginx?", "nginx") && is("a*a", "aa") && !is("a*a", "a"));
        assert!(is("日*本", "日本") && is("?本", "日本"));
    }
}
