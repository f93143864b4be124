//! Connections that wait although there is room: nobody accepts, or not soon.

use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::accept_queue::subject;
use super::common::{grouped, numbers, observed, sockets};
use crate::analysis::ListenerAgg;
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{ForeignText, Process, TableSource, TcpInfo, TcpState};

/// The rule's id.
pub const ID: &str = "listener-without-acceptor";

/// How many of those that wait at one listener are asked.
const ASKED: usize = 8;

/// How long the same ones must have been watched.
const WATCHED: Duration = Duration::from_millis(900);

numbers! { waiting_s: f64, long_s: f64 }

/// The same connections wait in an accept queue that is not full. The queue is served in order
/// (`inet_csk_accept` in `net/ipv4/inet_connection_sock.c`), so while the oldest waits nobody accepts.
///
/// A server that does one thing after the other looks like that, too, while it answers somebody. So it is information
/// unless no program can be busy with a connection of this listener (none that was accepted is there, or every holder is
/// stopped), or the wait is longer than any client has patience.
pub struct WithoutAcceptor {
    numbers: Numbers,
    /// Who waited at each listener at the first look at which nobody left, and when that was.
    waiting: FxHashMap<u64, (Duration, Vec<u64>)>,
}

impl WithoutAcceptor {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, waiting: FxHashMap::default() })
    }

    fn groups(context: &Context<'_>) -> Vec<(u32, Vec<u32>)> {
        let of = |(at, row)| Some((context.survey.listener_of(context.snapshot, row)?, at));
        grouped(context.rows(&context.survey.unaccepted.rows).filter_map(of))
    }

    /// How long the oldest of these has waited, and who says so: nothing was ever sent on it, and the time since then
    /// counts from its beginning (`tcp_get_info` in `net/ipv4/tcp.c`).
    fn longest(context: &Context<'_>, rows: &[u32]) -> (Duration, Source) {
        let told = |row| Some((context.detail(row)?.time(TcpInfo::last_data_sent)?, Source::TcpInfo));
        let seen = |at| (context.seen_for(at), Source::Observed);
        let ages = context.rows(rows).flat_map(|(at, row)| [Some(seen(at)), told(row)]).flatten();
        ages.max_by_key(|(age, _)| *age).unwrap_or((Duration::ZERO, Source::Observed))
    }

    /// How long the queue has been watched without anybody leaving it.
    fn stands(&mut self, context: &Context<'_>, l: &ListenerAgg, rows: &[u32]) -> Duration {
        let now = context.snapshot.observed;
        let cookies: Vec<u64> = context.rows(rows).map(|(_, r)| r.cookie()).collect();
        let here: FxHashSet<u64> = cookies.iter().copied().collect();
        let entry = self.waiting.entry(l.cookie).or_insert_with(|| (now, cookies.clone()));
        if !entry.1.iter().all(|c| here.contains(c)) {
            *entry = (now, cookies);
        }
        now.saturating_sub(entry.0)
    }
}

/// Every process that is known to hold the listener.
fn holders<'a>(context: &Context<'a>, l: &ListenerAgg) -> Vec<&'a Process> {
    let Some((owners, row)) = context.owners.zip(context.row(l.row)) else { return Vec::new() };
    owners.holders(row.inode).iter().filter_map(|h| owners.process(*h)).collect()
}

/// How many connections through the listener a program has accepted and not closed.
fn accepted(l: &ListenerAgg) -> u32 {
    let open = l.counts[TcpState::Established] + l.counts[TcpState::CloseWait];
    open.saturating_sub(l.unaccepted)
}

/// The holders with their states.
fn named(holders: &[&Process]) -> Option<Evidence> {
    let names: Vec<String> =
        holders.iter().map(|p| format!("{}[{}] {}", p.comm.raw(), p.pid, state(p.state))).collect();
    let text = Value::Text(ForeignText::from(&*names.join(", ")));
    (!names.is_empty()).then(|| Evidence::new("holders", text, Source::File("/proc/PID/stat".into())))
}

const fn state(letter: char) -> &'static str {
    match letter {
        'R' => "running",
        'S' => "sleeping",
        'D' => "in uninterruptible sleep",
        'T' => "stopped",
        't' => "stopped by a debugger",
        'Z' => "zombie",
        _ => "in another state",
    }
}

impl Rule for WithoutAcceptor {
    fn wants(&mut self, context: &Context<'_>) -> Vec<u32> {
        Self::groups(context).into_iter().flat_map(|(_, rows)| rows.into_iter().take(ASKED)).collect()
    }

    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        if context.snapshot.sample.completeness.source == TableSource::Procfs {
            return Verdict::NotExamined("/proc/net/tcp does not tell one connection from the next".into());
        }
        let patience = Duration::from_secs_f64(self.numbers.waiting_s);
        let groups = Self::groups(context);
        let mut drafts = Vec::new();
        let mut again = false;
        let mut present = FxHashSet::default();
        for (at, rows) in &groups {
            let Some(l) = context.snapshot.listeners.get(*at as usize) else { continue };
            // An empty queue: the kernel itself owns these (NFS, iSCSI). A full one is another rule's.
            if l.queue == 0 || l.is_full() {
                continue;
            }
            present.insert(l.cookie);
            let stood = self.stands(context, l, rows);
            let (longest, source) = Self::longest(context, rows);
            if stood < WATCHED || longest < patience {
                again = true;
                continue;
            }
            let holders = holders(context, l);
            let stopped = !holders.is_empty() && holders.iter().all(|p| matches!(p.state, 'T' | 't'));
            // Connections of all listeners on one address are counted at the first of them.
            let counted = l.shares_with.and_then(|n| context.snapshot.listeners.get(n as usize)).unwrap_or(l);
            let accepted = accepted(counted);
            let proven = stopped || accepted == 0 || longest >= Duration::from_secs_f64(self.numbers.long_s);
            let mut evidence = vec![
                sockets("waiting", l.queue as usize),
                Evidence::new("longest_s", Value::Time(longest), source),
                observed("watched_s", stood),
                sockets("accepted", accepted as usize),
            ];
            evidence.extend(l.backlog.map(|n| sockets("backlog", n as usize)));
            evidence.extend(named(&holders));
            drafts.push(Draft {
                variant: (!proven).then_some("busy"),
                proof: context.proof(rows),
                ..Draft::new(if proven { Severity::Warning } else { Severity::Info }, subject(l), evidence)
            });
        }
        self.waiting.retain(|cookie, _| present.contains(cookie));
        Verdict::of_or_again(drafts, again, "whether the connections that wait are accepted")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, detail, drafts, owners};
    use crate::testkit::socket;

    fn rule() -> WithoutAcceptor {
        WithoutAcceptor::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    /// Three that wait, so long, at a listener with room for ten.
    fn bench(waited_ms: u64) -> Bench {
        let mut b = Bench::new();
        let mut l = socket(TcpState::Listen, "0.0.0.0:80", "");
        (l.recv_q, l.send_q) = (3, 10);
        l.set_cookie(1, 0);
        b.rows.push(l);
        for n in 0..3u16 {
            let mut r = socket(TcpState::Established, "10.0.0.1:80", &format!("10.0.9.9:{}", 2000 + n));
            r.inode = 0;
            r.set_cookie(10 + u32::from(n), 0);
            b.details.push((r.cookie(), detail(r, &[("last_data_sent", waited_ms)])));
            b.rows.push(r);
        }
        b
    }

    #[test]
    fn the_same_ones_for_long_enough_are_a_warning_that_names_the_holders() {
        let mut b = bench(5000);
        let mut o = owners(4, "app", 1024, &b.rows[..1]);
        o.processes[0].state = 'T';
        b.owners = Some(o);
        let mut rule = rule();
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        let found = drafts(b.judge(&mut rule));
        assert_eq!((found[0].severity, found[0].proof.total), (Severity::Warning, 3));
        let holders = found[0].evidence.iter().find(|e| e.name == "holders").unwrap();
        assert_eq!(holders.value, Value::Text("app[4] stopped".into()));
    }

    #[test]
    fn a_server_that_is_busy_with_somebody_is_not_accused() {
        let judged = |waited_ms, state: Option<char>| {
            let mut b = bench(waited_ms);
            let mut served = socket(TcpState::Established, "10.0.0.1:80", "10.0.9.8:1999");
            served.set_cookie(99, 0);
            b.rows.push(served);
            b.owners = state.map(|state| {
                let mut o = owners(4, "app", 1024, &b.rows[..1]);
                o.processes[0].state = state;
                o
            });
            let mut rule = rule();
            b.judge(&mut rule);
            let found = drafts(b.judge(&mut rule)).remove(0);
            assert!(found.evidence.iter().any(|e| e.name == "accepted" && e.value == Value::Count(1)));
            assert!(found.evidence.iter().any(|e| e.name == "longest_s" && e.source == Source::TcpInfo));
            (found.severity, found.variant)
        };
        assert_eq!(judged(5000, None), (Severity::Info, Some("busy")));
        assert_eq!(judged(5000, Some('S')), (Severity::Info, Some("busy")));
        assert_eq!(judged(5000, Some('T')), (Severity::Warning, None), "a stopped process serves nobody");
        assert_eq!(judged(60_000, Some('S')), (Severity::Warning, None), "nobody waits that long");
    }

    #[test]
    fn shorter_waits_ask_again() {
        let mut b = bench(1000);
        let mut rule = rule();
        b.judge(&mut rule);
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
    }

    #[test]
    fn a_slow_queue_that_moves_is_no_fault() {
        let mut b = bench(6000);
        let mut rule = rule();
        for _ in 0..4 {
            assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
            // One is accepted at each look, and another comes.
            let last = b.rows.len() - 1;
            let cookie = b.rows[last].cookie();
            b.rows[1].set_cookie(u32::try_from(cookie).unwrap() + 1, 0);
            b.rows[1..].rotate_left(1);
        }
    }

    #[test]
    fn a_full_queue_and_connections_of_the_kernel_are_not_its_business() {
        for queue in [0, 11] {
            let mut b = bench(60_000);
            b.rows[0].recv_q = queue;
            let mut rule = rule();
            b.judge(&mut rule);
            assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        }
    }

    #[test]
    fn without_cookies_it_cannot_be_judged() {
        let mut b = bench(60_000);
        b.source = TableSource::Procfs;
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(_)));
    }
}
