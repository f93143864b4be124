//! Memory for TCP buffers.

use super::moved::{Movements, Watch};
use crate::analysis::LimitId;
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};

/// The rule's id.
pub const ID: &str = "tcp-memory";

const PRESSURES: &str = "TcpExt.TCPMemoryPressures";

/// TCP buffers of the whole host near the pressure threshold, `tcp_mem[1]`. Above it windows shrink and queues are pruned
/// (`tcp_enter_memory_pressure` in `net/ipv4/tcp.c`).
pub struct TcpMemory {
    levels: Levels,
    watch: Watch,
}

impl TcpMemory {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { levels: Levels::of_ratios(thresholds, ID)?, watch: Watch::default() })
    }
}

impl Rule for TcpMemory {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let s = context.snapshot;
        let moved = self.watch.named(context, &[PRESSURES]);
        let nothing = Movements::default();
        let entered = moved.as_ref().unwrap_or(&nothing).get(PRESSURES);
        let limit = super::limit(context, LimitId::TcpMemory, "the memory of TCP is not known here");
        let by_level = limit
            .as_ref()
            .ok()
            .and_then(|l| self.levels.grade(l.ratio(), context.held.severity(ID, &Subject::Host)));
        let by_counter = entered.map(|m| m.up_to(Severity::Critical));
        let Some(severity) = by_level.max(by_counter) else {
            return match limit {
                Err(verdict) => verdict,
                Ok(_) => moved.err().unwrap_or(Verdict::Quiet),
            };
        };
        let mut evidence = Vec::new();
        if let Ok(limit) = limit {
            let bytes = |pages: u64| Value::Bytes(pages.saturating_mul(context.host.page_size));
            let tcp_mem = Source::Sysctl("net.ipv4.tcp_mem".into());
            let used = Source::File("/proc/net/sockstat TCP mem".into());
            evidence.push(Evidence::new("ratio", Value::Ratio(limit.ratio()), Source::Observed).of_host());
            evidence.push(Evidence::new("used", bytes(limit.used), used).of_host());
            evidence.push(Evidence::new("pressure", bytes(limit.max), tcp_mem.clone()).of_host());
            let all = s.sample.facts.sysctls.numbers("net.ipv4.tcp_mem");
            if let Some(hard) = all.and_then(|v| u64::try_from(*v.get(2)?).ok()) {
                evidence.push(Evidence::new("hard_limit", bytes(hard), tcp_mem).of_host());
            }
        }
        evidence.extend(entered.map(|m| m.evidence("pressures")));
        let variant = evidence.first().is_some_and(|e| e.name == "pressures").then_some("pressures");
        Verdict::Fires(vec![Draft { variant, ..Draft::new(severity, Subject::Host, evidence) }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, fired};
    use crate::model::{Reading, Scope, Sockstat};

    fn bench(pages: u64) -> Bench {
        let mut b = Bench::new();
        b.set_sysctl("net.ipv4.tcp_mem", "500\t1000\t2000");
        b.set_counter(PRESSURES, 3);
        b.facts.sockstat = Reading::Known(Sockstat { tcp_mem_pages: Some(pages), ..Sockstat::default() });
        b
    }

    fn rule() -> TcpMemory {
        TcpMemory::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    #[test]
    fn fires_at_its_levels_and_not_below() {
        let severity = |pages| fired(&bench(pages).judge(&mut rule())).first().map(|d| d.severity);
        assert_eq!(severity(699), None);
        assert_eq!(severity(700), Some(Severity::Warning));
        assert_eq!(severity(1000), Some(Severity::Critical));
    }

    #[test]
    fn all_of_it_is_the_hosts_and_in_bytes() {
        let drafts = fired(&bench(700).judge(&mut rule()));
        let evidence = &drafts[0].evidence;
        assert!(evidence.iter().all(|e| e.scope == Scope::Host));
        assert_eq!(evidence[1].value, Value::Bytes(700 * 4096));
        assert_eq!(evidence[3].value, Value::Bytes(2000 * 4096));
    }

    #[test]
    fn pressure_that_passed_between_two_looks_is_information_and_critical_when_it_comes_again() {
        let (mut b, mut r) = (bench(10), rule());
        assert!(matches!(b.judge(&mut r), Verdict::AskAgain(_)));
        assert_eq!(b.judge(&mut r), Verdict::Quiet);
        b.set_counter(PRESSURES, 4);
        assert_eq!(fired(&b.judge(&mut r))[0].severity, Severity::Info);
        b.set_counter(PRESSURES, 5);
        assert_eq!(fired(&b.judge(&mut r))[0].severity, Severity::Critical);
    }

    #[test]
    fn a_namespace_without_the_limit_says_so_but_its_counter_still_counts() {
        let (mut b, mut r) = (bench(10), rule());
        b.unset_sysctl("net.ipv4.tcp_mem");
        assert!(matches!(b.judge(&mut r), Verdict::NotExamined(_)));
        b.set_counter(PRESSURES, 4);
        assert_eq!(fired(&b.judge(&mut r))[0].severity, Severity::Info);
    }
}
