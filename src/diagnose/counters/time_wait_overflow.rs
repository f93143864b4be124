//! More connections in `TIME_WAIT` than there are buckets.

use super::moved::Watch;
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};

/// The rule's id.
pub const ID: &str = "time-wait-overflow";

const COUNTER: &str = "TcpExt.TCPTimeWaitOverflow";

/// `TCPTimeWaitOverflow` moves: at `tcp_max_tw_buckets` the kernel closes new connections without a `TIME_WAIT`
/// (`tcp_time_wait` in `net/ipv4/tcp_minisocks.c`). It logs nothing and purges nothing.
#[derive(Default)]
pub struct TimeWaitOverflow(Watch);

impl Rule for TimeWaitOverflow {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let moved = match self.0.named(context, &[COUNTER]) {
            Ok(moved) => moved,
            Err(verdict) => return verdict,
        };
        let Some(overflow) = moved.get(COUNTER) else { return Verdict::Quiet };
        let mut evidence = vec![overflow.evidence("overflowed"), overflow.rate(), overflow.window()];
        if let Some(max) = context.snapshot.sample.facts.sysctls.number("net.ipv4.tcp_max_tw_buckets") {
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
        let (mut b, mut rule) = (Bench::new(), TimeWaitOverflow::default());
        b.set_counter(COUNTER, 700);
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        b.set_counter(COUNTER, 701);
        assert!(matches!(b.judge(&mut rule), Verdict::Fires(_)));
    }

    #[test]
    fn a_kernel_without_the_counter_and_a_counter_that_went_back_are_not_examined() {
        let (mut b, mut rule) = (Bench::new(), TimeWaitOverflow::default());
        assert!(matches!(b.judge(&mut rule), Verdict::NotExamined(_)));
        b.set_counter(COUNTER, 9);
        b.look();
        b.set_counter(COUNTER, 8);
        assert!(matches!(b.judge(&mut rule), Verdict::NotExamined(_)));
    }
}
