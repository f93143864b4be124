//! What a state and a timer mean, in a sentence or two.

use crate::model::{SocketRow, TcpState, TimerKind};

/// What it means that a socket is in its state.
#[must_use]
pub const fn state(row: &SocketRow) -> &'static str {
    match row.state {
        TcpState::Established if row.has_no_file() => {
            "Open in both directions, but without a file: the handshake is done and the program has not called accept() \
             yet (or the connection belongs to the kernel)."
        }
        TcpState::Established => "Open in both directions.",
        TcpState::SynSent => {
            "This machine asked for a connection and has no answer yet. A refusal never lingers here: packets get lost, \
             or nobody has that address."
        }
        TcpState::SynRecv => {
            "A client asked for a connection, this machine answered, and the client's last step is missing. It is not in \
             the accept queue yet."
        }
        TcpState::FinWait1 if row.has_no_file() => {
            "The program closed. What it had sent, or the end itself, is not acknowledged yet. Without an answer the \
             kernel gives up by itself."
        }
        TcpState::FinWait1 => "This side has shut down sending; the peer has not acknowledged it yet.",
        TcpState::FinWait2 if matches!(row.timer(), TimerKind::TimeWait) => {
            "The program closed, the peer has acknowledged and not closed its side. The kernel drops what is left of the \
             connection when the timer ends (tcp_fin_timeout)."
        }
        TcpState::FinWait2 if row.has_no_file() => {
            "The program closed, the peer has acknowledged and not closed its side. A timer limits it (tcp_fin_timeout)."
        }
        TcpState::FinWait2 => {
            "This side has shut down sending and the program still holds the socket. No timeout ends it: it waits for the \
             peer to close, or for the program."
        }
        TcpState::TimeWait => {
            "Closed on both sides; this side closed first. The pair of addresses is kept for 60 s, so that late packets \
             cannot be taken for a new connection's. It costs almost nothing, except a port when this side is the client."
        }
        TcpState::CloseWait if row.has_no_file() => {
            "The peer has closed before the program called accept(): the accept queue is the place to look."
        }
        TcpState::CloseWait => {
            "The peer has closed, the program has not. No timer ends this: the program must close the socket. For long, \
             or in numbers, it is a leak in the program."
        }
        TcpState::LastAck => "The peer closed, then this side did; the last acknowledgement is missing.",
        TcpState::Closing => "Both sides closed at the same moment; the last acknowledgement is missing.",
        TcpState::Listen => {
            "Waits for connections. Recv-Q is the number that are done and wait for accept(), Send-Q the limit that \
             listen() fixed."
        }
        TcpState::BoundInactive => "Holds a port, and neither listens nor is connected.",
        TcpState::Close => "No connection.",
    }
}

/// What it means that a UDP socket is in its state.
#[must_use]
pub const fn datagram(row: &SocketRow) -> &'static str {
    match row.state {
        TcpState::Established => {
            "A UDP socket that is connected: it takes datagrams from its peer only. Nothing tells whether the peer is there."
        }
        _ => {
            "A UDP socket that is not connected: it takes datagrams from everybody. What comes while its receive buffer is \
             full is dropped and counted."
        }
    }
}

/// What the pending timer means.
#[must_use]
pub const fn timer(row: &SocketRow) -> &'static str {
    match row.timer() {
        TimerKind::None => match row.state {
            TcpState::CloseWait => {
                "Nothing is pending: nothing is in flight and keepalive is off. Nothing will end this but the program."
            }
            TcpState::Established => {
                "Nothing is pending: nothing is in flight and keepalive is off. If the peer vanishes, this side will not \
                 notice until it sends."
            }
            TcpState::FinWait2 => "Nothing is pending, and keepalive is off.",
            _ => "Nothing is pending.",
        },
        TimerKind::Retransmit if matches!(row.state, TcpState::SynRecv) => {
            "When it fires the SYN-ACK is sent again; the count says how often it was."
        }
        TimerKind::Retransmit if row.retrans == 0 => {
            "Something is in flight. Without an acknowledgement it is sent again when the timer fires. Nothing was \
             repeated so far: normal on a busy connection."
        }
        TimerKind::Retransmit => {
            "What was sent is not acknowledged; the count says how often in a row the timer ran out. The peer, or the way \
             to it, does not answer."
        }
        TimerKind::Keepalive if matches!(row.state, TcpState::FinWait2) && row.has_no_file() => {
            "This is not keepalive: it limits the life of a closed socket (tcp_fin_timeout)."
        }
        TimerKind::Keepalive if row.retrans > 0 => {
            "Keepalive probes are out and have no answer. The count says how many: the peer may be gone."
        }
        TimerKind::Keepalive => {
            "Keepalive is on. This is when the kernel looks next, not when a probe is sent: traffic does not restart it."
        }
        TimerKind::TimeWait => "When it ends the kernel forgets the connection.",
        TimerKind::Probe => {
            "The peer's window is closed: its program does not read. The kernel asks again when the timer fires; while the \
             peer answers, this can last for ever."
        }
        TimerKind::DelayedAck => "An acknowledgement waits a moment for data to travel with.",
        TimerKind::Other(_) => "A timer that this version does not know.",
    }
}
