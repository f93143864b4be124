//! More connections in `TIME_WAIT` than there are buckets.

use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::model::Reading;

/// The rule's id.
pub const ID: &str = "time-wait-overflow";

const COUNTER: &str = "TcpExt.TCPTimeWaitOverflow";

/// `TCPTimeWaitOverflow` moves: at `tcp_max_tw_buckets` the kernel closes new connections without a `TIME_WAIT`
/// (`tcp_time_wait` in `net/ipv4/tcp_minisocks.c`). It logs nothing and purges nothing.
pub struct TimeWaitOverflow;

impl Rule for TimeWaitOverflow {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let s = context.snapshot;
        match &s.sample.facts.counters {
            Reading::Known(counters) if counters.get(COUNTER).is_none() => {
                return Verdict::NotExamined("this kernel has no TCPTimeWaitOverflow".into());
            }
            Reading::Known(_) => {}
            Reading::Absent => return Verdict::NotExamined("there is no /proc/net/netstat".into()),
            Reading::Unreadable(why) => return Verdict::NotExamined(why.clone()),
        }
        if s.counters_reset {
            return Verdict::NotExamined("counters went backwards".into());
        }
        if s.elapsed.is_none() {
            return Verdict::AskAgain("a second look at the counter");
        }
        let Some(rate) = s.rates.iter().find(|r| &*r.name == COUNTER) else { return Verdict::Quiet };
        let mut evidence = vec![
            Evidence::new("overflowed", Value::Count(rate.delta), Source::Counter(COUNTER.into())),
            Evidence::new("per_s", Value::PerSecond(rate.per_s), Source::Observed),
        ];
        if let Some(max) = s.sample.facts.sysctls.number("net.ipv4.tcp_max_tw_buckets") {
            let source = Source::Sysctl("net.ipv4.tcp_max_tw_buckets".into());
            evidence.push(Evidence::new("max", Value::Number(max), source));
        }
        Verdict::Fires(vec![Draft::new(Severity::Critical, Subject::Host, evidence)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::Bench;

    #[test]
    fn fires_when_the_counter_moves_and_not_for_what_happened_since_boot() {
        let mut b = Bench::new();
        b.set_counter(COUNTER, 700);
        assert!(matches!(b.judge(&mut TimeWaitOverflow), Verdict::AskAgain(_)));
        assert_eq!(b.judge(&mut TimeWaitOverflow), Verdict::Quiet);
        b.set_counter(COUNTER, 701);
        assert!(matches!(b.judge(&mut TimeWaitOverflow), Verdict::Fires(_)));
    }

    #[test]
    fn a_kernel_without_the_counter_and_a_counter_that_went_back_are_not_examined() {
        let mut b = Bench::new();
        assert!(matches!(b.judge(&mut TimeWaitOverflow), Verdict::NotExamined(_)));
        b.set_counter(COUNTER, 9);
        b.look();
        b.set_counter(COUNTER, 8);
        assert!(matches!(b.judge(&mut TimeWaitOverflow), Verdict::NotExamined(_)));
    }
}
