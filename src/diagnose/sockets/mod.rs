//! Rules about the socket tables.

mod orphans;

use super::rule::{Family, Proven, RuleSpec};

/// The rules of this family.
pub const RULES: &[RuleSpec] = &[RuleSpec {
    id: orphans::ID,
    family: Family::Sockets,
    proven: Proven::Sample("tcp_max_orphans is a limit of the whole host"),
    build: |t| Ok(Box::new(orphans::OrphanLimit::new(t)?)),
}];
