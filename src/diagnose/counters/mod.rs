//! Rules about limits and counters.

mod time_wait_overflow;

use super::rule::{Family, Proven, RuleSpec};

/// The rules of this family.
pub const RULES: &[RuleSpec] = &[RuleSpec {
    id: time_wait_overflow::ID,
    family: Family::Counters,
    proven: Proven::Lab("time-wait-overflow"),
    build: |_| Ok(Box::new(time_wait_overflow::TimeWaitOverflow)),
}];
