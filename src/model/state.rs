//! TCP states by the kernel's numbers and the names of RFC 9293.

use std::ops::{AddAssign, Index, IndexMut};

/// A TCP state. Numbers are those of the kernel's `include/net/tcp_states.h`.
///
/// `TCP_NEW_SYN_RECV` (12) is folded into [`TcpState::SynRecv`]: the kernel itself reports request
/// sockets as 3 (`inet_req_diag_fill`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum TcpState {
    /// Open in both directions.
    Established = 1,
    /// Our SYN is out, nothing came back yet.
    SynSent = 2,
    /// A SYN came, our SYN-ACK is out, the final ACK is missing.
    SynRecv = 3,
    /// Our FIN is out, not acknowledged.
    FinWait1 = 4,
    /// Our FIN is acknowledged, the peer has not closed.
    FinWait2 = 5,
    /// Both closed; we closed first and keep the address pair for 60 s.
    TimeWait = 6,
    /// No connection. For UDP: not connected.
    Close = 7,
    /// The peer closed, this program has not.
    CloseWait = 8,
    /// The peer closed, then we did; our FIN is not acknowledged.
    LastAck = 9,
    /// Waiting for connections.
    Listen = 10,
    /// Both closed at the same time; our FIN is not acknowledged.
    Closing = 11,
    /// Bound to a port, neither listening nor connected. Since Linux 6.8 the kernel lists these
    /// when asked with bit 13 and reports them as state 7 (`net/ipv4/inet_diag.c`).
    BoundInactive = 13,
}

impl TcpState {
    /// Every state in the order in which people read them: open, opening, closing, passive.
    pub const ALL: [Self; 12] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::CloseWait,
        Self::LastAck,
        Self::Closing,
        Self::Listen,
        Self::BoundInactive,
        Self::Close,
    ];

    /// The state of a kernel number; `None` for a number that no kernel known to us uses.
    #[must_use]
    pub const fn from_kernel(n: u8) -> Option<Self> {
        Some(match n {
            1 => Self::Established,
            2 => Self::SynSent,
            3 | 12 => Self::SynRecv,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            13 => Self::BoundInactive,
            _ => return None,
        })
    }

    /// The name in the contract and on the screen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::BoundInactive => "BOUND_INACTIVE",
        }
    }

    /// This state's bit in an `idiag_states` mask.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }

    /// Whether a socket in this state has a peer.
    #[must_use]
    pub const fn has_peer(self) -> bool {
        !matches!(self, Self::Listen | Self::BoundInactive | Self::Close)
    }
}

/// A count for each state.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct StateCounts([u32; 13]);

/// Where a state is counted: the kernel begins with 1.
#[inline]
const fn place(state: TcpState) -> usize {
    state as usize - 1
}

impl StateCounts {
    /// Nothing counted.
    pub const ZERO: Self = Self([0; 13]);

    /// The sum over all states.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    /// The states that occur, with their counts, in reading order.
    pub fn present(&self) -> impl Iterator<Item = (TcpState, u32)> + '_ {
        TcpState::ALL.into_iter().map(|s| (s, self[s])).filter(|&(_, n)| n > 0)
    }

    /// Counts one socket.
    #[inline]
    pub fn bump(&mut self, state: TcpState) {
        self.0[place(state)] += 1;
    }
}

impl Index<TcpState> for StateCounts {
    type Output = u32;
    fn index(&self, s: TcpState) -> &u32 {
        &self.0[place(s)]
    }
}

impl IndexMut<TcpState> for StateCounts {
    fn index_mut(&mut self, s: TcpState) -> &mut u32 {
        &mut self.0[place(s)]
    }
}

impl AddAssign for StateCounts {
    fn add_assign(&mut self, other: Self) {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a += b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_survives_the_way_through_its_number() {
        for s in TcpState::ALL {
            assert_eq!(TcpState::from_kernel(s as u8), Some(s));
        }
        assert_eq!(TcpState::from_kernel(12), Some(TcpState::SynRecv));
        assert_eq!(TcpState::from_kernel(0), None);
        assert_eq!(TcpState::from_kernel(14), None);
    }
}
