//! The rules: what is wrong, proven, with its subject.
//!
//! A rule is code that decides and a document that explains. It sees a [`Snapshot`](crate::analysis::Snapshot) and what goes with it, and
//! returns typed evidence; words are made of that elsewhere, from the document of the same id.

mod book;
mod counters;
mod details;
mod finding;
mod judge;
pub mod knowledge;
mod lineage;
mod registry;
mod rule;
mod sockets;
mod survey;
mod sysctls;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod thresholds;
mod watched;
mod words;

pub use book::{RuleBook, UnknownRule, find};
pub use details::{DetailEntry, Details};
pub use finding::{
    Confidence, Draft, Evidence, Finding, NotExamined, Proof, Severity, Source, Status, Subject, Value,
};
pub use judge::{DETAIL_BUDGET, Judge, Judged, Judgement, LINGERS};
pub use registry::{RULES, all, spec};
pub use rule::{Context, Family, Held, Levels, Proven, Rule, RuleSpec, Verdict};
pub use survey::{Bunch, Picked, Survey};
pub use sysctls::{AuditRow, AuditVerdict, audit};
pub use thresholds::{Section, ThresholdError, Thresholds, ascending};
pub use watched::watchers;
