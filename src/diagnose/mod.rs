//! The rules: what is wrong, proven, with its subject.
//!
//! A rule is code that decides and a document that explains. It sees a [`Snapshot`](crate::analysis::Snapshot) and what goes with it, and
//! returns typed evidence; words are made of that elsewhere, from the document of the same id.

mod counters;
mod finding;
mod judge;
mod registry;
mod rule;
mod sockets;
#[cfg(test)]
mod testing;
mod thresholds;

pub use finding::{
    Confidence, Draft, Evidence, Finding, NotExamined, Severity, Source, Status, Subject, Value,
};
pub use judge::{DETAIL_BUDGET, Judge, Judgement, LINGERS};
pub use registry::{RULES, all, spec};
pub use rule::{Context, DetailEntry, Details, Family, Held, Levels, Proven, Rule, RuleSpec, Verdict};
pub use thresholds::{Section, ThresholdError, Thresholds, ascending};
