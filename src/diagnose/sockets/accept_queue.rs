//! Accept queues: full ones, and those that nobody empties.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::common::{float, numbers, setting, sockets};
use crate::analysis::ListenerAgg;
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::TableSource;

/// The rule's id.
pub const ID: &str = "accept-queue-full";

const SOMAXCONN: &str = "net.core.somaxconn";
const OVERFLOWS: &str = "TcpExt.ListenOverflows";

numbers! { warning_ratio: f64, apart_s: f64, smallest_backlog: u32 }

/// An accept queue that is full or stays half full. It is full when it holds more than the backlog
/// (`sk_acceptq_is_full` in `include/net/sock.h`); the kernel then drops SYNs (`tcp_conn_request`).
pub struct AcceptQueueFull {
    numbers: Numbers,
    /// Since when each queue, by the listener's cookie, has been half full at every look.
    half_full: FxHashMap<u64, Duration>,
}

impl AcceptQueueFull {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, half_full: FxHashMap::default() })
    }

    fn severity(
        &self,
        l: &ListenerAgg,
        overflows: bool,
        since: Option<Duration>,
        now: Duration,
    ) -> Option<Severity> {
        // A listener's drops contain those of a full queue of requests, which move no ListenOverflows (tcp_conn_request).
        if l.queue > l.backlog || overflows && l.drops_delta.is_some_and(|d| d > 0) {
            return Some(Severity::Critical);
        }
        let apart = now.saturating_sub(since?) >= Duration::from_secs_f64(self.numbers.apart_s);
        apart.then_some(Severity::Warning)
    }
}

/// The subject of a listener.
pub fn subject(l: &ListenerAgg) -> Subject {
    Subject::Listener { local: l.local, cookie: l.cookie }
}

/// The listener's queue, beside what its length was asked to be.
fn evidence(context: &Context<'_>, l: &ListenerAgg) -> Vec<Evidence> {
    let mut evidence = vec![sockets("queue", l.queue as usize), sockets("backlog", l.backlog as usize)];
    if let Some(drops) = l.drops_delta {
        evidence.push(sockets("dropped", drops as usize));
    }
    if let Some(somaxconn) = setting(context, "somaxconn", SOMAXCONN) {
        // listen() takes the smaller of the two, so below somaxconn the backlog is what the program asked for.
        let asked = match somaxconn.value {
            Value::Number(max) if i64::from(l.backlog) < max => Value::Count(l.backlog.into()),
            _ => Value::Unknown,
        };
        evidence.push(somaxconn);
        evidence.push(Evidence::new("asked_backlog", asked, Source::SockDiag));
    }
    if let Some(n) = context.moved(OVERFLOWS) {
        evidence.push(Evidence::new("overflows", Value::Count(n), Source::Counter(OVERFLOWS.into())));
    }
    evidence.extend(context.processes(&[l.row]));
    evidence
}

impl Rule for AcceptQueueFull {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let s = context.snapshot;
        if s.sample.completeness.source == TableSource::Procfs {
            return Verdict::NotExamined("/proc/net/tcp does not tell the backlog of a listener".into());
        }
        let mut old = std::mem::take(&mut self.half_full);
        let mut drafts = Vec::new();
        let mut again = false;
        let overflows = context.moved(OVERFLOWS).is_some();
        for l in &s.listeners {
            let subject = subject(l);
            let levels = Levels { warning: Some(self.numbers.warning_ratio), ..Levels::default() };
            let ratio = float(l.queue as usize) / float(l.backlog.max(1) as usize);
            let half = l.backlog >= self.numbers.smallest_backlog
                && levels.grade(ratio, context.held.severity(ID, &subject)).is_some();
            let since = half.then(|| old.remove(&l.cookie).unwrap_or(s.observed));
            if let Some(since) = since {
                self.half_full.insert(l.cookie, since);
            }
            match self.severity(l, overflows, since, s.observed) {
                Some(severity) => {
                    let evidence = evidence(context, l);
                    drafts.push(Draft {
                        variant: (severity == Severity::Critical).then_some("full"),
                        proof: vec![l.cookie],
                        explains: vec![(super::acceptor::ID, subject.clone())],
                        ..Draft::new(severity, subject, evidence)
                    });
                }
                None => again |= half,
            }
        }
        if drafts.is_empty() && again {
            return Verdict::AskAgain("whether an accept queue stays half full");
        }
        Verdict::of(drafts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, drafts, owners};
    use crate::model::{ListenerDrops, TcpState};
    use crate::testkit::socket;

    fn rule() -> AcceptQueueFull {
        AcceptQueueFull::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn bench(queue: u32, backlog: u32) -> Bench {
        let mut b = Bench::new();
        let mut l = socket(TcpState::Listen, "0.0.0.0:443", "");
        (l.recv_q, l.send_q) = (queue, backlog);
        l.set_cookie(9, 0);
        b.rows = vec![l];
        b
    }

    #[test]
    fn half_full_at_two_looks_half_a_second_apart_is_a_warning() {
        for (queue, step, want) in [(63, 500, false), (64, 500, true), (64, 499, false)] {
            let mut b = bench(queue, 128);
            b.step = Duration::from_millis(step);
            let mut rule = rule();
            let first = b.judge(&mut rule);
            assert_eq!(matches!(first, Verdict::AskAgain(_)), queue == 64);
            let second = b.judge(&mut rule);
            assert_eq!(matches!(second, Verdict::Fires(_)), want, "{queue} after {step} ms: {second:?}");
        }
    }

    #[test]
    fn a_burst_between_two_looks_is_quiet() {
        let mut b = bench(100, 128);
        let mut rule = rule();
        b.judge(&mut rule);
        b.rows[0].recv_q = 0;
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        b.rows[0].recv_q = 100;
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)), "it began anew");
    }

    #[test]
    fn one_more_than_the_backlog_is_full() {
        assert!(matches!(bench(128, 128).judge(&mut rule()), Verdict::AskAgain(_)));
        let found = drafts(bench(129, 128).judge(&mut rule()));
        assert_eq!((found[0].severity, found[0].variant), (Severity::Critical, Some("full")));
    }

    #[test]
    fn its_own_drops_are_critical_when_they_move() {
        let mut b = bench(0, 128);
        let mut rule = rule();
        b.drops = vec![ListenerDrops { cookie: 9, drops: 700 }];
        b.set_counter(OVERFLOWS, 700);
        assert_eq!(b.judge(&mut rule), Verdict::Quiet, "what happened before is history");
        b.drops = vec![ListenerDrops { cookie: 9, drops: 701 }];
        b.set_counter(OVERFLOWS, 701);
        assert_eq!(drafts(b.judge(&mut rule))[0].severity, Severity::Critical);
    }

    #[test]
    fn drops_of_a_full_queue_of_requests_are_another_rules() {
        let mut b = bench(0, 128);
        let mut rule = rule();
        b.drops = vec![ListenerDrops { cookie: 9, drops: 700 }];
        b.set_counter(OVERFLOWS, 5);
        b.judge(&mut rule);
        b.drops = vec![ListenerDrops { cookie: 9, drops: 900 }];
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
    }

    #[test]
    fn a_tiny_backlog_counts_only_when_it_is_full() {
        let mut b = bench(5, 5);
        let mut rule = rule();
        b.judge(&mut rule);
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        b.rows[0].recv_q = 6;
        assert_eq!(drafts(b.judge(&mut rule)).len(), 1);
    }

    #[test]
    fn what_the_program_asked_for_is_known_below_somaxconn_only() {
        let asked = |somaxconn: &str| {
            let mut b = bench(129, 128);
            b.set_sysctl(SOMAXCONN, somaxconn);
            b.owners = Some(owners(5, "nginx", 1024, &b.rows));
            let found = drafts(b.judge(&mut rule())).remove(0);
            let value = |name| found.evidence.iter().find(|e| e.name == name).unwrap().value.clone();
            assert_eq!(value("processes"), Value::Text("nginx[5]".into()));
            value("asked_backlog")
        };
        assert_eq!(asked("4096"), Value::Count(128));
        assert_eq!(asked("128"), Value::Unknown);
    }

    #[test]
    fn listeners_on_one_address_are_judged_apart() {
        let mut b = bench(129, 128);
        let mut other = b.rows[0];
        other.recv_q = 0;
        other.set_cookie(10, 0);
        b.rows.push(other);
        let found = drafts(b.judge(&mut rule()));
        assert_eq!(found.len(), 1);
        assert!(matches!(found[0].subject, Subject::Listener { cookie: 9, .. }));
    }

    #[test]
    fn without_sock_diag_the_backlog_is_not_known() {
        let mut b = bench(129, 128);
        b.source = TableSource::Procfs;
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(_)));
    }
}
