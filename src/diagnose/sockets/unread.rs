//! Receive queues that nobody reads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::common::{float, numbers, observed, sockets};
use super::still::Still;
use super::zero_window;
use crate::diagnose::counters::receive;
use crate::diagnose::details::DetailEntry;
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{Endpoint, Ip, SocketRow, TcpInfo};

/// The rule's id.
pub const ID: &str = "unread-receive-queue";

numbers! { still_s: f64, sockets: u32, full_ratio: f64 }

/// Data that a program has not read, and none comes or goes. A busy server shows the same Recv-Q at two looks, one
/// request's size, while everything moves: only bytes that no longer come prove it.
pub struct UnreadReceiveQueue {
    numbers: Numbers,
    still: Still,
    losses: VecDeque<Losses>,
}

/// What the kernel counted as thrown away between two looks, and what the sockets of whom threw away.
struct Losses {
    at: Duration,
    counted: u64,
    by: Vec<(Subject, u64)>,
}

/// How long losses are remembered: as long as `receive-drops` remembers them.
const REMEMBERED: Duration = Duration::from_secs(10);

impl UnreadReceiveQueue {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, still: Still::default(), losses: VecDeque::new() })
    }

    /// Whose sockets threw away at least half of what the kernel counts as thrown away: then that is no finding of its own.
    fn cause_of_drops(&mut self, context: &Context<'_>, by: Vec<(Subject, u64)>) -> Option<Subject> {
        let now = context.snapshot.observed;
        let counted = receive::lost(|name| context.moved(name).unwrap_or(0));
        self.losses.push_back(Losses { at: now, counted, by });
        while self.losses.front().is_some_and(|l| now.saturating_sub(l.at) >= REMEMBERED) {
            self.losses.pop_front();
        }
        let counted: u64 = self.losses.iter().map(|l| l.counted).sum();
        let mut of: BTreeMap<&Subject, u64> = BTreeMap::new();
        for (subject, dropped) in self.losses.iter().flat_map(|l| &l.by) {
            *of.entry(subject).or_default() += dropped;
        }
        let (worst, dropped) = of.into_iter().max_by_key(|(_, n)| *n)?;
        (counted > 0 && dropped.saturating_mul(2) >= counted).then(|| worst.clone())
    }

    /// Whether the peer cannot send any more.
    fn is_full(&self, entry: &DetailEntry) -> bool {
        let window = entry.info().and_then(TcpInfo::rcv_wnd);
        let part = entry.detail.mem.map(|m| f64::from(m.rmem_alloc) / f64::from(m.rcvbuf.max(1)));
        window == Some(0) || part.is_some_and(|p| p >= self.numbers.full_ratio)
    }
}

fn still_for(entry: &DetailEntry) -> Option<Duration> {
    let nothing_read = entry.asked.saturating_sub(entry.unread_since);
    Some(entry.nothing_received_for()?.min(nothing_read))
}

fn ends(row: &SocketRow) -> (Endpoint, Endpoint) {
    (row.local_endpoint(), row.peer_endpoint())
}

/// The ends, as their receivers have them, of the connections on which somebody here has something to send.
fn stalled_here(context: &Context<'_>) -> FxHashSet<(Endpoint, Endpoint)> {
    let sending = context.rows(&context.survey.sending.rows);
    sending.map(|(_, row)| (row.peer_endpoint(), row.local_endpoint())).collect()
}

impl Rule for UnreadReceiveQueue {
    fn wants(&mut self, context: &Context<'_>) -> Vec<u32> {
        self.still.candidates(context, &context.survey.unread.rows, |row| row.recv_q)
    }

    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        if let Some(why) = context.no_identity() {
            return Verdict::NotExamined(why);
        }
        let enough = Duration::from_secs_f64(self.numbers.still_s);
        let mut young = 0;
        let mut still = Vec::new();
        for (at, row) in context.rows(&context.survey.unread.rows) {
            let Some(entry) = context.detail(row) else { continue };
            match still_for(entry) {
                Some(time) if time >= enough => still.push(at),
                Some(time) if time == entry.watched() => young += 1,
                _ => {}
            }
        }
        let levels = Levels { warning: Some(self.numbers.sockets.into()), ..Levels::default() };
        let mut drafts = Vec::new();
        let mut of_drafts = Vec::new();
        let mut losses = Vec::new();
        for (subject, rows) in context.by_holder(&still) {
            let entries = || context.rows(&rows).filter_map(|(_, row)| context.detail(row));
            losses.push((subject.clone(), entries().map(|e| u64::from(e.dropped)).sum()));
            let full = entries().filter(|e| self.is_full(e)).count();
            let many = levels.grade(float(rows.len()), context.held.severity(ID, &subject));
            if many.is_none() && full == 0 {
                continue;
            }
            let longest = entries().filter_map(still_for).max().unwrap_or_default();
            let bytes = context.rows(&rows).map(|(_, r)| u64::from(r.recv_q)).sum();
            let mut evidence = vec![
                sockets("sockets", rows.len()),
                observed("still_s", longest),
                Evidence::new("unread", Value::Bytes(bytes), Source::SockDiag),
                Evidence::new("full", Value::Count(full as u64), Source::TcpInfo),
            ];
            evidence.extend(context.peers(&rows));
            of_drafts.push(rows.clone());
            drafts.push(Draft {
                variant: (full > 0).then_some("full"),
                proof: context.proof(&rows),
                ..Draft::new(Severity::Warning, subject, evidence)
            });
        }
        let cause = self.cause_of_drops(context, losses);
        let stalled = if drafts.is_empty() { FxHashSet::default() } else { stalled_here(context) };
        for (draft, rows) in drafts.iter_mut().zip(of_drafts) {
            // Whoever sends to an address of this machine waits for a program of this machine.
            let ends = context.rows(&rows).filter(|(_, row)| stalled.contains(&ends(row)));
            let here: BTreeSet<Ip> = ends.map(|(_, row)| row.local).collect();
            let effect = |addr| (zero_window::ID, Subject::Peer { addr, prefix: None });
            draft.explains.extend(here.into_iter().map(effect));
        }
        if let Some(draft) = drafts.iter_mut().find(|d: &&mut Draft| Some(&d.subject) == cause.as_ref()) {
            draft.explains.push((receive::ID, Subject::Host));
        }
        if drafts.is_empty() && young >= self.numbers.sockets {
            return Verdict::AskAgain("whether anything is read from receive queues");
        }
        Verdict::of(drafts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::judge::Judge;
    use crate::diagnose::testing::{Bench, built, detail, drafts, owners};
    use crate::model::{SkMemInfo, TcpState};
    use crate::testkit::socket;

    fn rule() -> UnreadReceiveQueue {
        UnreadReceiveQueue::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn bench(count: u8) -> Bench {
        let mut b = Bench::new();
        for n in 0..count {
            let mut r =
                socket(TcpState::Established, "10.0.0.1:80", &format!("10.0.9.9:{}", 4000 + u16::from(n)));
            r.recv_q = 300;
            r.set_cookie(1 + u32::from(n), 0);
            b.rows.push(r);
        }
        b.owners = Some(owners(8, "worker", 1024, &b.rows));
        b
    }

    fn tell(b: &mut Bench, received: u64, window: u64) {
        let one =
            |r: &SocketRow| (r.cookie(), detail(*r, &[("bytes_received", received), ("rcv_wnd", window)]));
        b.details = b.rows.iter().map(one).collect();
    }

    fn judged(mut b: Bench, step_ms: u64, moved: u64, window: u64) -> Verdict {
        b.step = Duration::from_millis(step_ms);
        let mut rule = rule();
        tell(&mut b, 900, window);
        b.judge(&mut rule);
        tell(&mut b, 900 + moved, window);
        b.judge(&mut rule)
    }

    #[test]
    fn ten_that_nobody_reads_for_a_second_are_a_warning() {
        let found = drafts(judged(bench(10), 1000, 0, 500));
        assert_eq!(found[0].severity, Severity::Warning);
        assert_eq!(found[0].subject, Subject::Process { pid: 8, comm: "worker".into() });
        assert_eq!(judged(bench(9), 1000, 0, 500), Verdict::Quiet);
        assert!(matches!(judged(bench(10), 999, 0, 500), Verdict::AskAgain(_)));
    }

    #[test]
    fn a_busy_server_shows_the_same_queue_while_everything_moves() {
        assert_eq!(judged(bench(50), 1000, 300, 500), Verdict::Quiet);
    }

    #[test]
    fn one_with_a_full_buffer_is_enough() {
        assert_eq!(drafts(judged(bench(1), 1000, 0, 0))[0].variant, Some("full"));
        let mut b = bench(1);
        let mut rule = rule();
        let mem = SkMemInfo { rmem_alloc: 90, rcvbuf: 100, ..SkMemInfo::default() };
        tell(&mut b, 900, 500);
        b.details[0].1.mem = Some(mem);
        b.judge(&mut rule);
        assert_eq!(drafts(b.judge(&mut rule)).len(), 1);
    }

    /// Looks at three sockets that nobody reads, at each of which each has dropped so many segments more and the kernel has
    /// counted so many; the findings of both rules at the end.
    fn dropping(own: u32, counted: u64) -> Vec<(&'static str, Vec<&'static str>)> {
        let mut b = bench(3);
        let mut judge = Judge::new(built(&[ID, receive::ID]));
        let mut found = Vec::new();
        for look in 0..5 {
            tell(&mut b, 900, 0);
            for (_, d) in &mut b.details {
                d.mem = Some(SkMemInfo { drops: Some(7 + look * own), ..SkMemInfo::default() });
            }
            for name in ["TcpExt.TCPRcvQDrop", "TcpExt.RcvPruned", "TcpExt.PruneCalled"] {
                b.set_counter(name, 50 + u64::from(look) * counted);
            }
            found = b.judged(&mut judge).findings;
        }
        found.sort_by_key(|f| std::cmp::Reverse(f.rule));
        found.into_iter().map(|f| (f.rule, f.explained)).collect()
    }

    #[test]
    fn what_its_own_sockets_drop_is_its_proof_and_what_others_drop_is_not() {
        assert_eq!(dropping(1, 3), [(ID, vec![receive::ID])]);
        assert_eq!(dropping(1, 30), [(ID, vec![]), (receive::ID, vec![])], "others drop most of it");
        assert_eq!(dropping(0, 3), [(ID, vec![]), (receive::ID, vec![])]);
        assert_eq!(dropping(1, 0), [(ID, vec![])]);
    }

    #[test]
    fn that_its_sender_on_the_same_machine_stalls_is_the_same_finding() {
        let found = |sender: &str| {
            let mut b = bench(1);
            let mut stalled = socket(TcpState::Established, sender, "10.0.0.1:80");
            (stalled.timer_raw, stalled.send_q) = (4, 50_000);
            stalled.set_cookie(77, 0);
            tell(&mut b, 900, 0);
            let fields = [("bytes_acked", 5), ("snd_wnd", 0), ("last_ack_recv", 10)];
            b.details.push((77, detail(stalled, &fields)));
            b.rows.push(stalled);
            let mut judge = Judge::new(built(&[ID, zero_window::ID]));
            (0..4).for_each(|_| drop(b.judged(&mut judge)));
            b.judged(&mut judge).findings.len()
        };
        assert_eq!(found("10.0.9.9:4000"), 1);
        assert_eq!(found("10.0.9.9:4001"), 2, "another connection");
    }

    #[test]
    fn a_queue_that_gets_shorter_is_read() {
        let mut b = bench(20);
        let mut rule = rule();
        for queue in [900, 600, 300] {
            b.rows.iter_mut().for_each(|r| r.recv_q = queue);
            tell(&mut b, 900, 500);
            assert!(!matches!(b.judge(&mut rule), Verdict::Fires(_)));
        }
    }

    #[test]
    fn without_cookies_it_cannot_be_judged() {
        let mut b = bench(10);
        b.source = crate::model::TableSource::Procfs;
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(_)));
    }
}
