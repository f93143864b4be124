//! The expression as a tree.

use crate::model::{Ip, Keepalive, TcpState};

/// A comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl Op {
    /// Whether `left op right` holds.
    #[must_use]
    #[inline]
    pub fn holds<T: Ord>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Eq => left == right,
            Self::Ne => left != right,
            Self::Lt => left < right,
            Self::Le => left <= right,
            Self::Gt => left > right,
            Self::Ge => left >= right,
        }
    }

    /// The operator in symbols.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }
}

/// An end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// This host's.
    Local,
    /// The other one.
    Peer,
}

/// A network of one family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// An address in it; IPv4 in mapped form, as everywhere.
    pub addr: Ip,
    /// It was written as an IPv6 address: only IPv6 sockets are in it, also those that carry IPv4.
    pub v6: bool,
    /// Leading bits that count: at most 32, or 128 for IPv6.
    pub len: u8,
}

impl Network {
    /// One address.
    #[must_use]
    pub const fn host(addr: Ip, v6: bool) -> Self {
        Self { addr, v6, len: if v6 { 128 } else { 32 } }
    }
}

/// Where an address has to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Anywhere.
    Any,
    /// In a network.
    In(Network),
    /// One of the addresses that a name had when the expression was read.
    Named(Box<str>, Vec<Network>),
}

/// `[FAMILY:]ADDRESS[:PORT]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// `inet:` or `inet6:`. As in `ss`, the last one of an expression restricts the whole expression to sockets of that
    /// family.
    pub family: Option<Label>,
    /// The address.
    pub place: Place,
    /// The port; `None` for any. As in `ss`, the number may be one that no port has.
    pub port: Option<i32>,
}

/// An address family by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Label {
    /// `inet`: IPv4 sockets.
    Inet,
    /// `inet6`: IPv6 sockets, those that carry IPv4 included.
    Inet6,
    /// `unix`: none of the sockets here, like those that follow.
    Unix,
    /// `link`: packet sockets.
    Link,
    /// `netlink`.
    Netlink,
    /// `vsock`.
    Vsock,
}

impl Label {
    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Inet6 => "inet6",
            Self::Unix => "unix",
            Self::Link => "link",
            Self::Netlink => "netlink",
            Self::Vsock => "vsock",
        }
    }

    /// Whether any socket here can be of that family.
    #[must_use]
    pub const fn is_here(self) -> bool {
        self.has(false) || self.has(true)
    }

    /// Whether a socket is of that family, which is IPv6 or else IPv4.
    #[must_use]
    #[inline]
    pub const fn has(self, v6: bool) -> bool {
        match self {
            Self::Inet => !v6,
            Self::Inet6 => v6,
            Self::Unix | Self::Link | Self::Netlink | Self::Vsock => false,
        }
    }
}

/// What has a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// A process that holds the socket.
    Pid,
    /// The owner.
    Uid,
    /// Time since data moved in either direction, microseconds.
    Idle,
    /// Time in the present state, as far as it was seen, microseconds.
    Age,
    /// Receive queue, bytes; of a listener, connections that wait.
    RecvQ,
    /// Send queue, bytes; of a listener, the backlog.
    SendQ,
    /// Repetitions of the pending timer.
    Retrans,
    /// Smoothed round-trip time, microseconds.
    Rtt,
}

/// What has a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// Command name of a process that holds the socket; `*` and `?` stand for anything and for one character.
    Comm,
    /// Network namespace, by name or inode.
    Netns,
    /// Container, by name or by the beginning of its id.
    Container,
}

/// How a condition on sockets of another family was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beyond {
    /// `src` or `dst`; the flag says "not".
    At(bool),
    /// `sport` or `dport`.
    Port(Op),
}

/// One condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Is {
    /// In one of these states (a mask of [`TcpState::bit`]).
    State(u32),
    /// At an address. The flag says "not".
    At(Side, bool, Host),
    /// With a port; `None` for any. As in `ss`, the number may be one that no port has.
    Port(Side, Op, Option<Label>, Option<i32>),
    /// At an address, or with a port, of a family that none of the sockets here has: what was written behind the family.
    Beyond(Side, Beyond, Label, Box<str>),
    /// Bound to an interface: what was written, its index, and whether it must not be.
    Device(Box<str>, u32, bool),
    /// `mark & mask == value`, or not.
    Mark {
        /// The value.
        value: u32,
        /// The bits that count.
        mask: u32,
        /// Must not be.
        not: bool,
    },
    /// Made in a cgroup: its path, its id, and whether it must not be.
    Cgroup(Box<str>, u64, bool),
    /// The kernel chose the local port.
    Autobound,
    /// A number.
    Number(Field, Op, u64),
    /// A name, and whether it must not be.
    Text(Word, Box<str>, bool),
    /// What is known about keepalive, and whether it must not be so.
    Keepalive(Keepalive, bool),
    /// The pending timer by the kernel's number, and whether it must not be so.
    Timer(u8, bool),
    /// The socket's family, and whether it must not be so.
    Family(Label, bool),
}

/// What a comparison with a port comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Compared {
    /// A comparison with a port that can be.
    With(Op, u16),
    /// The same for every socket.
    Constant(bool),
}

impl Compared {
    /// `port op n`; any port is `None`.
    pub(super) fn new(op: Op, n: Option<i32>) -> Self {
        match (op, n) {
            (Op::Eq, None) => Self::Constant(true),
            // To ss itself any port is -1, to the kernel that it asks first the same in 16 bits, and it wants both.
            (Op::Ge, None) => Self::With(Op::Ge, u16::MAX),
            (_, None) => Self::Constant(false),
            // What no port has lies on the same side of all of them.
            (_, Some(n)) => {
                u16::try_from(n).map_or(Self::Constant(op.holds(&0, &n)), |port| Self::With(op, port))
            }
        }
    }
}

/// An expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expr {
    /// All of at least two; none of them is an `And`.
    And(Vec<Expr>),
    /// One of at least two; none of them is an `Or`.
    Or(Vec<Expr>),
    /// The opposite.
    Not(Box<Expr>),
    /// A condition.
    Is(Is),
}

/// Every state that a socket can be in, as a mask.
pub(super) const ALL_STATES: u32 = {
    let mut mask = 0;
    let mut at = 0;
    while at < TcpState::ALL.len() {
        mask |= TcpState::ALL[at].bit();
        at += 1;
    }
    mask
};

impl Expr {
    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::And(mut a), Self::And(b)) => {
                a.extend(b);
                Self::And(a)
            }
            (Self::And(mut a), b) => {
                a.push(b);
                Self::And(a)
            }
            (a, Self::And(b)) => Self::And(std::iter::once(a).chain(b).collect()),
            (a, b) => Self::And(vec![a, b]),
        }
    }

    /// At least one.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Or(mut a), Self::Or(b)) => {
                a.extend(b);
                Self::Or(a)
            }
            (Self::Or(mut a), b) => {
                a.push(b);
                Self::Or(a)
            }
            (a, Self::Or(b)) => Self::Or(std::iter::once(a).chain(b).collect()),
            (a, b) => Self::Or(vec![a, b]),
        }
    }

    /// The opposite.
    #[must_use]
    pub fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// The conditions from left to right.
    pub fn conditions(&self) -> impl Iterator<Item = &Is> {
        let mut open = vec![self];
        std::iter::from_fn(move || {
            loop {
                match open.pop()? {
                    Self::And(all) | Self::Or(all) => open.extend(all.iter().rev()),
                    Self::Not(inner) => open.push(inner),
                    Self::Is(is) => return Some(is),
                }
            }
        })
    }

    /// The family that the last `inet:`, `inet6:`, `unix:` and so on in front of an address or port restricts the whole to.
    #[must_use]
    pub fn family(&self) -> Option<Label> {
        self.conditions()
            .filter_map(|is| match is {
                Is::At(_, _, host) => host.family,
                Is::Port(_, _, family, _) => *family,
                Is::Beyond(_, _, family, _) => Some(*family),
                _ => None,
            })
            .last()
    }
}
