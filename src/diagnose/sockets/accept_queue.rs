//! Accept queues: full ones, and those that overflow.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::common::{float, numbers, setting, sockets};
use crate::analysis::{ListenerAgg, Snapshot};
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};

/// The rule's id.
pub const ID: &str = "accept-queue-full";

/// Why a queue cannot be held against its limit.
pub(super) const UNTOLD: &str = "/proc/net/tcp does not tell the backlog of a listener";

const SOMAXCONN: &str = "net.core.somaxconn";
const OVERFLOWS: &str = "TcpExt.ListenOverflows";

/// How long an overflow is remembered, so that one that comes back every few seconds is not taken for one that ended.
const REMEMBERED: Duration = Duration::from_secs(10);

numbers! { warning_ratio: f64, apart_s: f64, smallest_backlog: u32 }

/// An accept queue that is full, stays half full, or overflows. It is full when it holds more than the backlog
/// (`sk_acceptq_is_full` in `include/net/sock.h`); the kernel then drops SYNs (`tcp_conn_request`), and each of those
/// clients waits a second.
///
/// One burst that did not fit is information, one that comes again a warning. Critical is a server that does not keep up:
/// its queue stays full, or is found filled while it drops again and again.
pub struct AcceptQueueFull {
    numbers: Numbers,
    queues: FxHashMap<u64, Queue>,
}

/// What is remembered of a listener's queue.
#[derive(Clone, Default, Debug)]
struct Queue {
    /// Since when it has been half full at every look.
    half: Option<Duration>,
    /// Since when it has been full at every look.
    full: Option<Duration>,
    /// When it overflowed lately, and by how much.
    overflows: VecDeque<(Duration, u64)>,
}

impl Queue {
    fn look(&mut self, now: Duration, half: bool, full: bool, dropped: u64) {
        self.half = half.then(|| self.half.unwrap_or(now));
        self.full = full.then(|| self.full.unwrap_or(now));
        self.overflows.extend((dropped > 0).then_some((now, dropped)));
        while self.overflows.front().is_some_and(|(at, _)| now.saturating_sub(*at) >= REMEMBERED) {
            self.overflows.pop_front();
        }
    }

    fn dropped(&self) -> u64 {
        self.overflows.iter().map(|(_, n)| n).sum()
    }

    /// Whether it overflowed at looks that are so far apart: one burst can straddle two looks.
    fn keeps_dropping(&self, apart: Duration) -> bool {
        let ends = self.overflows.front().zip(self.overflows.back());
        ends.is_some_and(|(first, last)| last.0.saturating_sub(first.0) >= apart)
    }
}

/// What a queue comes to: the severity and the title that goes with it.
type Judged = (Severity, Option<&'static str>);

impl AcceptQueueFull {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, queues: FxHashMap::default() })
    }

    fn severity(&self, queue: &Queue, now: Duration) -> Option<Judged> {
        let apart = Duration::from_secs_f64(self.numbers.apart_s);
        let lasts = |since: Option<Duration>| since.is_some_and(|at| now.saturating_sub(at) >= apart);
        let keeps = queue.keeps_dropping(apart);
        let filled = queue.full.is_some() || queue.half.is_some();
        if lasts(queue.full) || (keeps && filled) {
            return Some((Severity::Critical, Some("full")));
        }
        if keeps {
            return Some((Severity::Warning, Some("overflows")));
        }
        if lasts(queue.half) {
            return Some((Severity::Warning, None));
        }
        (queue.dropped() > 0).then_some((Severity::Info, Some("overflowed")))
    }
}

/// The subject of a listener.
pub fn subject(l: &ListenerAgg) -> Subject {
    Subject::Listener { local: l.local, cookie: l.cookie }
}

/// What comes of a queue: connections that wait in it, and those whose last ACK found no room, which have their end at the
/// client only. What is over explains neither.
fn explained(
    s: &Snapshot,
    l: &ListenerAgg,
    severity: Severity,
    filled: bool,
) -> Vec<(&'static str, Subject)> {
    if severity == Severity::Info {
        return Vec::new();
    }
    // Which of several listeners on one address a missing end was for is not known.
    let there = s.listeners.iter().filter(|other| other.local == l.local);
    let ghosts = there.map(|other| (super::ghosts::ID, subject(other)));
    let waiting = filled.then(|| (super::acceptor::ID, subject(l)));
    waiting.into_iter().chain(ghosts).collect()
}

/// The listener's queue, beside what its length was asked to be.
fn evidence(context: &Context<'_>, l: &ListenerAgg, backlog: u32, dropped: u64) -> Vec<Evidence> {
    let mut evidence = vec![sockets("queue", l.queue as usize), sockets("backlog", backlog as usize)];
    if l.drops_delta.is_some() {
        evidence.push(Evidence::new("dropped", Value::Count(dropped), Source::SockDiag));
    }
    evidence.extend(l.drops.map(|n| Evidence::new("drops", Value::Count(n.into()), Source::SockDiag)));
    if let Some(somaxconn) = setting(context, "somaxconn", SOMAXCONN) {
        // listen() takes the smaller of the two, so below somaxconn the backlog is what the program asked for.
        let asked = match somaxconn.value {
            Value::Number(max) if i64::from(backlog) < max => Value::Count(backlog.into()),
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
        let mut old = std::mem::take(&mut self.queues);
        let mut drafts = Vec::new();
        let mut again = false;
        let overflows = context.moved(OVERFLOWS).is_some();
        for l in &s.listeners {
            let Some(backlog) = l.backlog else { return Verdict::NotExamined(UNTOLD.into()) };
            let subject = subject(l);
            let levels = Levels { warning: Some(self.numbers.warning_ratio), ..Levels::default() };
            let ratio = float(l.queue as usize) / float(backlog.max(1) as usize);
            let half = backlog >= self.numbers.smallest_backlog
                && levels.grade(ratio, context.held.severity(ID, &subject)).is_some();
            let full = l.queue > backlog;
            // A listener's drops contain those of a full queue of requests, which move no ListenOverflows (tcp_conn_request).
            let dropped = l.drops_delta.filter(|_| overflows).map_or(0, u64::from);
            let mut queue = old.remove(&l.cookie).unwrap_or_default();
            queue.look(s.observed, half, full, dropped);
            if let Some((severity, variant)) = self.severity(&queue, s.observed) {
                let explains = explained(s, l, severity, half || full);
                drafts.push(Draft {
                    variant,
                    proof: std::iter::once(l.cookie).collect(),
                    explains,
                    ..Draft::new(severity, subject, evidence(context, l, backlog, queue.dropped()))
                });
            } else {
                again |= half || full;
            }
            self.queues.insert(l.cookie, queue);
        }
        Verdict::of_or_again(drafts, again, "whether an accept queue stays filled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::judge::Judge;
    use crate::diagnose::testing::{Bench, built, drafts, fired, owners};
    use crate::model::{ListenerDrops, TableSource, TcpState};
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
    fn one_more_than_the_backlog_at_two_looks_is_a_server_that_does_not_keep_up() {
        for (queue, step, want) in [(129, 500, true), (129, 499, false), (128, 500, false)] {
            let mut b = bench(queue, 128);
            b.step = Duration::from_millis(step);
            let mut rule = rule();
            assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)), "a burst fills it for a moment");
            let found = fired(&b.judge(&mut rule));
            let critical = found.first().is_some_and(|d| d.severity == Severity::Critical);
            assert_eq!(critical, want, "{queue} after {step} ms: {found:?}");
            assert!(!critical || found[0].variant == Some("full"));
        }
    }

    /// Judges looks 250 ms apart, at each of which the queue holds so many and has dropped so many more.
    fn overflowing(looks: &[(u32, u32)]) -> Vec<Option<(Severity, Option<&'static str>)>> {
        let mut b = bench(0, 128);
        b.step = Duration::from_millis(250);
        let mut rule = rule();
        let mut drops = 700;
        let mut judge = |(queue, dropped): &(u32, u32)| {
            drops += dropped;
            b.rows[0].recv_q = *queue;
            b.drops = vec![ListenerDrops { cookie: 9, drops }];
            b.set_counter(OVERFLOWS, drops.into());
            fired(&b.judge(&mut rule)).first().map(|d| (d.severity, d.variant))
        };
        looks.iter().map(&mut judge).collect()
    }

    #[test]
    fn a_burst_that_did_not_fit_is_information_for_ten_seconds() {
        let once = Some((Severity::Info, Some("overflowed")));
        let mut looks = vec![(0, 0), (0, 1), (0, 90)];
        looks.resize(45, (0, 0));
        let got = overflowing(&looks);
        assert_eq!(got[..3], [None, once, once], "what happened before is history");
        assert_eq!((got[41], got[42]), (once, None));
    }

    #[test]
    fn bursts_that_come_again_are_a_warning_and_critical_while_the_queue_is_filled() {
        let warning = Some((Severity::Warning, Some("overflows")));
        let got = overflowing(&[(0, 0), (0, 3), (0, 0), (0, 3), (63, 0), (64, 0), (64, 3)]);
        assert_eq!(got[3..5], [warning, warning], "half a second apart");
        assert_eq!(got[6], Some((Severity::Critical, Some("full"))));
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
    fn connections_that_only_their_clients_know_come_of_the_queue_that_has_no_room() {
        let rules = ["accept-queue-full", "ghost-connection"];
        let judged = |queue: u32, port: u16| {
            let mut b = bench(queue, 128);
            for n in 0..3 {
                let (local, peer) = (format!("127.0.0.1:{}", 4000 + n), format!("127.0.0.1:{port}"));
                b.rows.push(socket(TcpState::Established, &local, &peer));
            }
            let mut other = b.rows[0];
            (other.local_port, other.recv_q) = (80, 0);
            b.rows.push(other);
            (20..).zip(&mut b.rows[1..]).for_each(|(n, r)| r.set_cookie(n, 0));
            let mut judge = Judge::new(built(&rules));
            b.judged(&mut judge);
            let found = b.judged(&mut judge).findings;
            found.into_iter().map(|f| (f.rule, f.draft.severity, f.explained)).collect::<Vec<_>>()
        };
        let (critical, warning) = (Severity::Critical, Severity::Warning);
        assert_eq!(judged(129, 443), [(rules[0], critical, vec![rules[1]])]);
        assert_eq!(judged(0, 443), [(rules[1], warning, vec![])], "it is full no more");
        let apart = [(rules[0], critical, vec![]), (rules[1], warning, vec![])];
        assert_eq!(judged(129, 80), apart, "of another listener");
    }

    #[test]
    fn a_tiny_backlog_counts_only_when_it_is_full() {
        let mut b = bench(5, 5);
        let mut rule = rule();
        b.judge(&mut rule);
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        b.rows[0].recv_q = 6;
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        assert_eq!(drafts(b.judge(&mut rule)).len(), 1);
    }

    #[test]
    fn what_the_program_asked_for_is_known_below_somaxconn_only() {
        let asked = |somaxconn: &str| {
            let mut b = bench(129, 128);
            b.set_sysctl(SOMAXCONN, somaxconn);
            b.owners = Some(owners(5, "nginx", 1024, &b.rows));
            let mut rule = rule();
            b.judge(&mut rule);
            let found = drafts(b.judge(&mut rule)).remove(0);
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
        let mut rule = rule();
        b.judge(&mut rule);
        let found = drafts(b.judge(&mut rule));
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
