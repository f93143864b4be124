//! Rules about limits and counters. All of them ask for counters through [`moved::Watch`].

mod conntrack;
mod descriptors;
mod interfaces;
mod kernel_log;
mod memory;
pub(super) mod moved;
mod neighbours;
mod path_mtu;
mod paws;
pub(super) mod receive;
mod resets;
mod retransmissions;
mod time_wait_overflow;
mod udp;

pub(super) use interfaces::{interfaces_filtering, joined};

use super::rule::{Context, Family, Proven, RuleSpec, Verdict};
use crate::analysis::{Limit, LimitId};
use crate::model::Protocols;

const F: Family = Family::Counters;

/// The rules of this family.
pub const RULES: &[RuleSpec] = &[
    RuleSpec {
        id: descriptors::ID,
        family: F,
        about: Protocols::BOTH,
        proven: Proven::Lab("accept-queue-fds"),
        build: |t| Ok(Box::new(descriptors::FdExhaustion::new(t)?)),
    },
    RuleSpec {
        id: conntrack::FULL,
        family: F,
        about: Protocols::BOTH,
        proven: Proven::Lab("conntrack-full"),
        build: |t| Ok(Box::new(conntrack::ConntrackFull::new(t)?)),
    },
    RuleSpec {
        id: conntrack::CLASH,
        family: F,
        about: Protocols::BOTH,
        proven: Proven::Lab("conntrack-clash"),
        build: |t| Ok(Box::new(conntrack::ConntrackClash::new(t)?)),
    },
    RuleSpec {
        id: memory::ID,
        family: F,
        about: Protocols::TCP,
        proven: Proven::Sample("tcp_mem is a limit of the whole host"),
        build: |t| Ok(Box::new(memory::TcpMemory::new(t)?)),
    },
    RuleSpec {
        id: paws::ID,
        family: F,
        about: Protocols::TCP,
        proven: Proven::Lab("old-timestamps"),
        build: |t| Ok(Box::new(paws::PawsDrops::new(t)?)),
    },
    RuleSpec {
        id: interfaces::BACKLOG,
        family: F,
        about: Protocols::BOTH,
        proven: Proven::Sample(
            "the queue of a processor serves every namespace: to fill it drops the packets of others",
        ),
        build: |_| Ok(Box::new(interfaces::BacklogDrops::default())),
    },
    RuleSpec {
        id: interfaces::NIC,
        family: F,
        about: Protocols::BOTH,
        proven: Proven::Lab("mtu-mismatch"),
        build: |t| Ok(Box::new(interfaces::NicDrops::new(t)?)),
    },
    RuleSpec {
        id: interfaces::REVERSE_PATH,
        family: F,
        about: Protocols::BOTH,
        proven: Proven::Lab("rp-filter"),
        build: |_| Ok(Box::new(interfaces::ReversePathDrops::default())),
    },
    RuleSpec {
        id: resets::ID,
        family: F,
        about: Protocols::TCP,
        proven: Proven::Lab("reset-storm"),
        build: |t| Ok(Box::new(resets::ResetStorm::new(t)?)),
    },
    RuleSpec {
        id: retransmissions::ID,
        family: F,
        about: Protocols::TCP,
        proven: Proven::Lab("retransmission-storm"),
        build: |t| Ok(Box::new(retransmissions::RetransmissionStorm::new(t)?)),
    },
    RuleSpec {
        id: receive::ID,
        family: F,
        about: Protocols::TCP,
        proven: Proven::Lab("receive-drops"),
        build: |_| Ok(Box::new(receive::ReceiveDrops::default())),
    },
    RuleSpec {
        id: time_wait_overflow::ID,
        family: F,
        about: Protocols::TCP,
        proven: Proven::Lab("time-wait-overflow"),
        build: |_| Ok(Box::new(time_wait_overflow::TimeWaitOverflow::default())),
    },
    RuleSpec {
        id: path_mtu::ID,
        family: F,
        about: Protocols::TCP,
        proven: Proven::Lab("path-mtu"),
        build: |_| Ok(Box::new(path_mtu::PathMtu::default())),
    },
    RuleSpec {
        id: udp::ID,
        family: F,
        about: Protocols::UDP,
        proven: Proven::Lab("udp-overflow"),
        build: |_| Ok(Box::new(udp::UdpBufferErrors::default())),
    },
    RuleSpec {
        id: neighbours::ID,
        family: F,
        about: Protocols::BOTH,
        proven: Proven::Sample("the neighbour tables and their limit are the host's"),
        build: |t| Ok(Box::new(neighbours::NeighbourTableFull::new(t)?)),
    },
    RuleSpec {
        id: kernel_log::ID,
        family: F,
        about: Protocols::BOTH,
        proven: Proven::Lab("syn-flood-logged"),
        build: |_| Ok(Box::new(kernel_log::KernelLog::default())),
    },
];

/// A limit of the snapshot, or the verdict that says why it is not known.
pub(super) fn limit<'a>(context: &Context<'a>, id: LimitId, otherwise: &str) -> Result<&'a Limit, Verdict> {
    let s = context.snapshot;
    s.limits.iter().find(|l| l.id == id).ok_or_else(|| {
        let why = s.limits_missing.iter().find(|m| m.id == id);
        Verdict::NotExamined(why.map_or(otherwise.to_owned(), |m| m.why.to_string()))
    })
}
