//! Rules about the socket tables.

mod accept_queue;
mod acceptor;
mod close_wait;
mod common;
mod ephemeral_ports;
mod orphans;
mod syn_recv;
mod syn_sent;
mod time_wait;

use super::rule::{Family, Proven, RuleSpec};

/// A rule of this family with thresholds.
macro_rules! rule {
    ($module:ident::$rule:ident, $proven:expr) => {
        RuleSpec {
            id: $module::ID,
            family: Family::Sockets,
            proven: $proven,
            build: |t| Ok(Box::new($module::$rule::new(t)?)),
        }
    };
}

/// The rules of this family.
pub const RULES: &[RuleSpec] = &[
    rule!(close_wait::CloseWaitLeak, Proven::Lab("close-wait-read")),
    rule!(time_wait::TimeWaitPileup, Proven::Lab("ports-exhausted")),
    rule!(ephemeral_ports::EphemeralPorts, Proven::Lab("ports-exhausted")),
    rule!(orphans::OrphanLimit, Proven::Sample("tcp_max_orphans is a limit of the whole host")),
    rule!(syn_recv::SynRecvPileup, Proven::Lab("syn-flood-cookies")),
    rule!(accept_queue::AcceptQueueFull, Proven::Lab("accept-queue-hang")),
    rule!(syn_sent::SynSentPileup, Proven::Lab("blackhole")),
    rule!(acceptor::WithoutAcceptor, Proven::Lab("close-wait-unaccepted")),
];
