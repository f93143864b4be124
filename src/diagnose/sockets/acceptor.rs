//! Connections that wait although there is room: nobody accepts.

use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::accept_queue::subject;
use super::common::{grouped, numbers, observed, sockets};
use crate::analysis::ListenerAgg;
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{ForeignText, TableSource, TcpInfo};

/// The rule's id.
pub const ID: &str = "listener-without-acceptor";

/// How many of those that wait at one listener are asked.
const ASKED: usize = 8;

/// How long the same ones must have been watched.
const WATCHED: Duration = Duration::from_millis(900);

numbers! { waiting_s: f64 }

/// The same connections wait in an accept queue that is not full. The queue is served in order
/// (`inet_csk_accept` in `net/ipv4/inet_connection_sock.c`), so while the oldest waits nobody accepts.
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

    /// How long the oldest of these has waited: nothing was ever sent on it, and the time since then counts from its
    /// beginning (`tcp_get_info` in `net/ipv4/tcp.c`).
    fn longest(context: &Context<'_>, rows: &[u32]) -> Duration {
        let told = |row| context.detail(row)?.time(TcpInfo::last_data_sent);
        let ages =
            context.rows(rows).map(|(at, row)| told(row).unwrap_or_default().max(context.seen_for(at)));
        ages.max().unwrap_or_default()
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

/// Every process that holds the listener, with its state.
fn holders(context: &Context<'_>, l: &ListenerAgg) -> Option<Evidence> {
    let (owners, row) = (context.owners?, context.row(l.row)?);
    let names: Vec<String> = owners
        .holders(row.inode)
        .iter()
        .filter_map(|h| owners.process(*h))
        .map(|p| format!("{}[{}] {}", p.comm.raw(), p.pid, state(p.state)))
        .collect();
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
            let longest = Self::longest(context, rows);
            if stood < WATCHED || longest < patience {
                again = true;
                continue;
            }
            let mut evidence = vec![sockets("waiting", l.queue as usize), observed("longest_s", longest)];
            evidence.extend(l.backlog.map(|n| sockets("backlog", n as usize)));
            evidence.extend(holders(context, l));
            drafts.push(Draft {
                proof: context.proof(rows),
                ..Draft::new(Severity::Warning, subject(l), evidence)
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
    use crate::model::TcpState;
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
