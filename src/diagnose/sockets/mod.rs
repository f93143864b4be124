//! Rules about the socket tables.

mod accept_queue;
mod acceptor;
mod close_wait;
mod closing;
mod common;
mod concentration;
mod dead_peer;
mod ephemeral_ports;
mod fin_wait2;
mod ghosts;
mod no_keepalive;
mod no_table;
mod orphans;
mod port_taken;
mod privileged;
mod send_stuck;
mod slow_keepalive;
mod still;
mod syn_recv;
mod syn_sent;
pub(super) mod time_wait;
mod unread;
mod zero_window;

use super::rule::{Family, Proven, RuleSpec};
use crate::model::Protocols;

/// A rule of this family with thresholds.
macro_rules! rule {
    ($module:ident::$rule:ident, $proven:expr) => {
        RuleSpec {
            id: $module::ID,
            family: Family::Sockets,
            about: Protocols::TCP,
            proven: $proven,
            build: |t| Ok(Box::new($module::$rule::new(t)?)),
        }
    };
}

/// The rules of this family.
pub const RULES: &[RuleSpec] = &[
    rule!(close_wait::CloseWaitLeak, Proven::Lab("close-wait-read")),
    rule!(time_wait::TimeWaitPileup, Proven::Lab("time-wait-pileup")),
    rule!(ephemeral_ports::EphemeralPorts, Proven::Lab("ports-exhausted")),
    rule!(fin_wait2::FinWait2Pileup, Proven::Lab("fin-wait2-held")),
    rule!(orphans::OrphanLimit, Proven::Sample("tcp_max_orphans is a limit of the whole host")),
    rule!(closing::LastAckPileup, Proven::Lab("last-ack-pileup")),
    rule!(syn_recv::SynRecvPileup, Proven::Lab("syn-flood-cookies")),
    rule!(accept_queue::AcceptQueueFull, Proven::Lab("accept-queue-hang")),
    rule!(syn_sent::SynSentPileup, Proven::Lab("blackhole")),
    rule!(no_keepalive::NoKeepalive, Proven::Lab("no-keepalive")),
    rule!(slow_keepalive::KeepaliveTooSlow, Proven::Lab("keepalive-too-slow")),
    rule!(dead_peer::DeadPeer, Proven::Lab("peers-vanished-data")),
    rule!(zero_window::ZeroWindowStall, Proven::Lab("zero-window")),
    rule!(unread::UnreadReceiveQueue, Proven::Lab("stopped-reader")),
    rule!(send_stuck::SendQueueStuck, Proven::Lab("send-queue-stuck")),
    rule!(concentration::PeerConcentration, Proven::Lab("one-leaking-client")),
    RuleSpec {
        id: port_taken::ID,
        family: Family::Sockets,
        about: Protocols::TCP,
        proven: Proven::Lab("port-taken"),
        build: |_| Ok(Box::new(port_taken::PortTaken::default())),
    },
    rule!(no_table::SocketsInNoTable, Proven::Lab("sockets-in-no-table")),
    rule!(acceptor::WithoutAcceptor, Proven::Lab("listener-without-acceptor")),
    rule!(ghosts::GhostConnection, Proven::Lab("ghost-connection")),
    rule!(privileged::PrivilegedPorts, Proven::Lab("privileged-ports")),
];
