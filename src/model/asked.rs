//! What the kernel is asked to leave out of a dump.

use super::Ip;

/// A condition that the kernel can decide (`inet_diag_bc_run` in `net/ipv4/inet_diag.c`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// All of them.
    All(Vec<Condition>),
    /// One of them.
    Any(Vec<Condition>),
    /// The opposite.
    Not(Box<Condition>),
    /// A port of at least this; the peer's if the flag is set.
    AtLeast(bool, u16),
    /// A port of at most this.
    AtMost(bool, u16),
    /// An address, a port, or both.
    At {
        /// The peer's.
        peer: bool,
        /// Address and leading bits that count (of 32 for IPv4, of 128 for IPv6), and whether it is an IPv6 condition, which
        /// only IPv6 sockets meet. An IPv4 condition is also met by IPv6 sockets that carry IPv4.
        network: Option<(Ip, u8, bool)>,
        /// The port.
        port: Option<u16>,
    },
    /// The kernel chose the local port, or does not know who did.
    Autobound,
}

/// What a dump is asked for. Everything that it brings is to be checked again: it may bring more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// States, as a mask of [`TcpState::bit`](super::TcpState::bit).
    pub states: u32,
    /// A condition that all rows meet that are wanted.
    pub condition: Option<Condition>,
    /// Whether the rows have to say which ports the kernel chose.
    pub autobound: bool,
}

impl Default for Asked {
    /// Everything.
    fn default() -> Self {
        Self { states: u32::MAX, condition: None, autobound: false }
    }
}
