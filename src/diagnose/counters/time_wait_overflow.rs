//! More connections in `TIME_WAIT` than there are buckets.

use super::moved::Watch;
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::diagnose::sockets::time_wait;
use crate::diagnose::sysctls::own_value;
use crate::model::TcpState;

/// The rule's id.
pub const ID: &str = "time-wait-overflow";

const COUNTER: &str = "TcpExt.TCPTimeWaitOverflow";
const BUCKETS: &str = "net.ipv4.tcp_max_tw_buckets";

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
        let minis = context.survey.fin_wait2_minis;
        let mut evidence = vec![overflow.evidence("overflowed"), overflow.rate(), overflow.window()];
        evidence.push(Evidence::new("fin_wait2", Value::Count(minis.into()), Source::SockDiag));
        let max = context.snapshot.sample.facts.sysctls.number(BUCKETS);
        if let Some(max) = max {
            evidence.push(Evidence::new("max", Value::Number(max), Source::Sysctl(BUCKETS.into())));
            evidence.push(Evidence::new("default", own_value(context, BUCKETS), Source::Observed));
        }
        let severity = overflow.up_to(Severity::Critical);
        let mut draft = Draft::new(severity, Subject::Host, evidence);
        // What closed first and waits for its peer's close shares the table.
        let orphans = max.is_some_and(|max| i64::from(minis) * 2 >= max.max(1));
        draft.variant = orphans.then_some("orphans");
        // Entries of both kinds are what fills the table; the more numerous kind shows whose they are.
        let state = if orphans { TcpState::FinWait2 } else { TcpState::TimeWait };
        let (most, proof) = time_wait::most(context, state);
        draft.evidence.extend(most);
        draft.proof = proof;
        draft.explains = vec![
            ("time-wait-pileup", Subject::Host),
            ("fin-wait2-pileup", Subject::Host),
            ("sysctl-tw-buckets", Subject::Sysctl { name: BUCKETS.into() }),
        ];
        Verdict::Fires(vec![draft])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, drafts};
    use crate::testkit::socket;

    #[test]
    fn fires_when_the_counter_moves_and_not_for_what_happened_since_boot() {
        let (mut b, mut rule) = (Bench::new(), TimeWaitOverflow::default());
        b.set_counter(COUNTER, 700);
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        b.set_counter(COUNTER, 701);
        assert_eq!(drafts(b.judge(&mut rule))[0].severity, Severity::Info, "it may be over");
        b.set_counter(COUNTER, 702);
        assert_eq!(drafts(b.judge(&mut rule))[0].severity, Severity::Critical);
    }

    #[test]
    fn orphans_that_fill_the_table_are_named_and_what_follows_is_explained() {
        let judged = |minis: u16| {
            let (mut b, mut rule) = (Bench::new(), TimeWaitOverflow::default());
            b.set_sysctl(BUCKETS, "100");
            b.rows = (0..minis)
                .map(|n| socket(TcpState::FinWait2, "10.0.0.1:80", &format!("10.0.9.9:{}", 2000 + n)))
                .collect();
            b.rows.iter_mut().for_each(|r| (r.inode, r.timer_raw) = (0, 3));
            for n in 0..2 {
                b.set_counter(COUNTER, n);
                b.judge(&mut rule);
            }
            b.set_counter(COUNTER, 3);
            drafts(b.judge(&mut rule)).remove(0)
        };
        assert_eq!((judged(49).variant, judged(50).variant), (None, Some("orphans")));
        assert_eq!((judged(49).proof.total, judged(50).proof.total), (0, 50));
        let explained: Vec<_> = judged(0).explains.into_iter().map(|(rule, _)| rule).collect();
        assert_eq!(explained, ["time-wait-pileup", "fin-wait2-pileup", "sysctl-tw-buckets"]);
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
