//! Orphans: connections that their program has closed and that still hold memory.

use crate::analysis::LimitId;
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};

/// The rule's id.
pub const ID: &str = "orphan-limit";

/// Orphans near `tcp_max_orphans`. The kernel counts a suspicious orphan two or four times (`tcp_out_of_resources` in
/// `net/ipv4/tcp_timer.c`), so trouble begins at a quarter of the limit.
pub struct OrphanLimit {
    levels: Levels,
}

impl OrphanLimit {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { levels: Levels::of_ratios(thresholds, ID)? })
    }
}

impl Rule for OrphanLimit {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let s = context.snapshot;
        let aborts = s.rates.iter().find(|r| &*r.name == "TcpExt.TCPAbortOnMemory");
        let Some(limit) = s.limits.iter().find(|l| l.id == LimitId::Orphans) else {
            let why = s.limits_missing.iter().find(|m| m.id == LimitId::Orphans);
            return Verdict::NotExamined(
                why.map_or("orphans are not known here".into(), |m| m.why.to_string()),
            );
        };
        let by_count = self.levels.grade(limit.ratio(), context.held.severity(ID, &Subject::Host));
        let by_counter = aborts.map(|_| Severity::Critical);
        let Some(severity) = by_count.max(by_counter) else { return Verdict::Quiet };
        let mut evidence = vec![
            Evidence::new(
                "orphans",
                Value::Count(limit.used),
                Source::File("/proc/net/sockstat TCP orphan".into()),
            )
            .of_host(),
            Evidence::new("max", Value::Count(limit.max), Source::Sysctl("net.ipv4.tcp_max_orphans".into()))
                .of_host(),
        ];
        if let Some(rate) = aborts {
            evidence.push(Evidence::new(
                "aborted",
                Value::Count(rate.delta),
                Source::Counter(rate.name.clone()),
            ));
        }
        Verdict::Fires(vec![Draft::new(severity, Subject::Host, evidence)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::Bench;
    use crate::model::Reading;

    fn bench(orphans: u64) -> Bench {
        let mut b = Bench::new();
        b.set_sysctl("net.ipv4.tcp_max_orphans", "1000");
        b.facts.sockstat =
            Reading::Known(crate::model::Sockstat { tcp_orphan: Some(orphans), ..Default::default() });
        b
    }

    fn rule() -> OrphanLimit {
        OrphanLimit::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn severity(b: &mut Bench) -> Option<Severity> {
        match b.judge(&mut rule()) {
            Verdict::Fires(d) => Some(d[0].severity),
            Verdict::Quiet => None,
            other => panic!("{other:?}"),
        }
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
    fn a_connection_killed_for_memory_is_critical_at_any_count() {
        let mut b = bench(1);
        b.set_counter("TcpExt.TCPAbortOnMemory", 5);
        b.look();
        b.set_counter("TcpExt.TCPAbortOnMemory", 6);
        assert_eq!(severity(&mut b), Some(Severity::Critical));
    }

    #[test]
    fn in_a_namespace_without_the_limit_it_says_so() {
        let mut b = bench(1);
        b.unset_sysctl("net.ipv4.tcp_max_orphans");
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(_)));
    }
}
