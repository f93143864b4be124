//! Orphans: connections that their program has closed and that still hold memory.

use crate::analysis::LimitId;
use crate::diagnose::counters::limit;
use crate::diagnose::counters::moved::Watch;
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};

/// The rule's id.
pub const ID: &str = "orphan-limit";

const ABORTS: &str = "TcpExt.TCPAbortOnMemory";

/// Orphans near `tcp_max_orphans`. The kernel counts a suspicious orphan two or four times (`tcp_out_of_resources` in
/// `net/ipv4/tcp_timer.c`), so trouble begins at a quarter of the limit; then it resets connections and counts those of
/// each namespace.
pub struct OrphanLimit {
    levels: Levels,
    watch: Watch,
}

impl OrphanLimit {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { levels: Levels::of_ratios(thresholds, ID)?, watch: Watch::default() })
    }
}

impl Rule for OrphanLimit {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let moved = self.watch.named(context, &[ABORTS]);
        let aborts = moved.as_ref().ok().and_then(|m| m.get(ABORTS));
        let limit = limit(context, LimitId::Orphans, "orphans are not known here");
        let held = context.held.severity(ID, &Subject::Host);
        let by_count = limit.as_ref().ok().and_then(|l| self.levels.grade(l.ratio(), held));
        let Some(severity) = by_count.max(aborts.map(|m| m.up_to(Severity::Critical))) else {
            return match (limit, moved) {
                (Err(verdict), _) | (Ok(_), Err(verdict)) => verdict,
                _ => Verdict::Quiet,
            };
        };
        let mut evidence = Vec::new();
        if let Ok(limit) = limit {
            let file = Source::File("/proc/net/sockstat TCP orphan".into());
            let max = Source::Sysctl("net.ipv4.tcp_max_orphans".into());
            evidence.push(Evidence::new("orphans", Value::Count(limit.used), file).of_host());
            evidence.push(Evidence::new("max", Value::Count(limit.max), max).of_host());
        }
        evidence.extend(aborts.map(|m| m.evidence("aborted")));
        let variant = evidence.first().is_some_and(|e| e.name == "aborted").then_some("aborted");
        Verdict::Fires(vec![Draft { variant, ..Draft::new(severity, Subject::Host, evidence) }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, fired};
    use crate::model::Reading;

    fn bench(orphans: u64) -> Bench {
        let mut b = Bench::new();
        b.set_sysctl("net.ipv4.tcp_max_orphans", "1000");
        b.set_counter(ABORTS, 5);
        b.facts.sockstat =
            Reading::Known(crate::model::Sockstat { tcp_orphan: Some(orphans), ..Default::default() });
        b
    }

    fn rule() -> OrphanLimit {
        OrphanLimit::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn severity(b: &mut Bench) -> Option<Severity> {
        fired(&b.judge(&mut rule())).first().map(|d| d.severity)
    }

    #[test]
    fn fires_at_its_levels_and_not_below() {
        assert_eq!(severity(&mut bench(249)), None);
        assert_eq!(severity(&mut bench(250)), Some(Severity::Warning));
        assert_eq!(severity(&mut bench(500)), Some(Severity::Critical));
    }

    #[test]
    fn what_fired_stays_until_it_is_clearly_below() {
        let mut b = bench(240);
        b.hold(ID, Subject::Host, Severity::Warning);
        assert_eq!(severity(&mut b), Some(Severity::Warning));
        let mut b = bench(220);
        b.hold(ID, Subject::Host, Severity::Warning);
        assert_eq!(severity(&mut b), None);
    }

    #[test]
    fn connections_killed_for_memory_again_and_again_are_critical_at_any_count() {
        for limit_is_shown in [true, false] {
            let (mut b, mut rule) = (bench(1), rule());
            if !limit_is_shown {
                b.unset_sysctl("net.ipv4.tcp_max_orphans");
            }
            let mut judge = |n| {
                b.set_counter(ABORTS, n);
                match b.judge(&mut rule) {
                    Verdict::Fires(drafts) => Some(drafts[0].severity),
                    _ => None,
                }
            };
            judge(5);
            assert_eq!((judge(6), judge(7)), (Some(Severity::Info), Some(Severity::Critical)));
        }
    }

    #[test]
    fn in_a_namespace_without_the_limit_it_says_so() {
        let mut b = bench(1);
        b.unset_sysctl("net.ipv4.tcp_max_orphans");
        b.set_counter(ABORTS, 0);
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(_)));
    }
}
