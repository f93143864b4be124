//! Many retransmissions.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;

use super::moved::Watch;
use crate::diagnose::finding::{Draft, Evidence, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{Section, ThresholdError, Thresholds, ascending};
use crate::model::{Ip, SocketRow, TableSource, TimerKind};

/// The rule's id.
pub const ID: &str = "retransmission-storm";

const DEAD_PEER: &str = "dead-peer";

const RETRANS_SEGS: &str = "Tcp.RetransSegs";
const OUT_SEGS: &str = "Tcp.OutSegs";
const SYN_RETRANS: &str = "TcpExt.TCPSynRetrans";
const DSACK: &str = "TcpExt.TCPDSACKRecv";

/// From so many timeouts in a row on a connection gets no answer at all; loss alone seldom comes so far.
const SILENT: u8 = 3;
/// From so many on nobody is there, however bad the way.
const DEAD: u8 = 6;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    warning_ratio: f64,
    min_segments: u32,
    over_s: u32,
}

impl Section for Numbers {
    fn check(&self) -> Result<(), String> {
        ascending(&[("0", 0.0), ("warning_ratio", self.warning_ratio), ("1", 1.0)])?;
        if self.over_s == 0 { Err("over_s is 0".into()) } else { Ok(()) }
    }
}

/// Too many of the segments that are sent are sent again. Taken off are repeated SYNs and SYN-ACKs, which `RetransSegs`
/// contains, probes that the receiver reports as needless (DSACK), and what is repeated to peers that do not answer at
/// all: those are findings of their own.
pub struct RetransmissionStorm {
    numbers: Numbers,
    looks: VecDeque<Look>,
    silence: Silence,
    /// Only asked whether the counters can be judged.
    watch: Watch,
}

/// What was sent until a look since the one before.
struct Look {
    at: Duration,
    again: u64,
    sent: u64,
    /// Of `again`, and of those before it, what was sent to peers that do not answer.
    in_vain: u64,
}

impl RetransmissionStorm {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        let numbers = thresholds.section(ID)?;
        Ok(Self { numbers, looks: VecDeque::new(), silence: Silence::default(), watch: Watch::default() })
    }
}

/// Counts what is sent again on connections that get no answer.
#[derive(Default)]
struct Silence {
    /// Timeouts in a row, by cookie, that are counted or were there before the observation.
    counted: Option<FxHashMap<u64, u8>>,
}

/// Segments sent again on connections that had no answer since.
#[derive(Clone, Copy, Default)]
struct Unanswered {
    /// In vain, and not counted at an earlier look.
    in_vain: u64,
    /// So far; the answer may come.
    undecided: u64,
}

impl Silence {
    fn look(&mut self, context: &Context<'_>) -> Unanswered {
        let mut unanswered = Unanswered::default();
        if context.snapshot.sample.completeness.source == TableSource::Procfs {
            // One connection cannot be told from the next.
            return unanswered;
        }
        let mut known = self.counted.take();
        let mut counted = FxHashMap::default();
        for row in repeating(context) {
            let before = match &mut known {
                Some(known) => known.remove(&row.cookie()).filter(|n| *n <= row.retrans).unwrap_or(0),
                None => row.retrans,
            };
            // The first time there was a tail loss probe as well (tcp_send_loss_probe).
            let again = u64::from(row.retrans - before) + u64::from(before == 0);
            if row.retrans == before {
                counted.insert(row.cookie(), before);
            } else if row.retrans >= SILENT {
                unanswered.in_vain += again;
                counted.insert(row.cookie(), row.retrans);
            } else {
                unanswered.undecided += again;
                counted.insert(row.cookie(), before);
            }
        }
        self.counted = Some(counted);
        unanswered
    }
}

/// Connections on which a timeout is waited for again, open ones and closing ones.
fn repeating<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a SocketRow> {
    let rows = &context.snapshot.sample.table.rows;
    let survey = context.survey;
    let picked = survey.timed_out.rows.iter().chain(&survey.closing.rows);
    picked
        .filter_map(|at| rows.get(*at as usize))
        .filter(|row| row.timer() == TimerKind::Retransmit && row.retrans > 0)
}

/// Peers to which some connections have come as far as silence while most of those that send get through: the way is bad,
/// and nobody is dead.
fn merely_lossy(context: &Context<'_>) -> Vec<(&'static str, Subject)> {
    let rows = &context.snapshot.sample.table.rows;
    let mut silent: FxHashMap<Ip, u32> = FxHashMap::default();
    let mut dead: FxHashSet<Ip> = FxHashSet::default();
    for row in repeating(context).filter(|row| row.retrans >= SILENT) {
        *silent.entry(row.peer).or_default() += 1;
        if row.retrans >= DEAD {
            dead.insert(row.peer);
        }
    }
    if silent.is_empty() {
        return Vec::new();
    }
    let mut sending: FxHashMap<Ip, u32> = FxHashMap::default();
    for row in context.survey.sending.rows.iter().filter_map(|at| rows.get(*at as usize)) {
        *sending.entry(row.peer).or_default() += 1;
    }
    let lossy =
        |(peer, n): &(Ip, u32)| !dead.contains(peer) && sending.get(peer).is_some_and(|all| n * 2 <= *all);
    let subject = |(peer, _)| (DEAD_PEER, Subject::Peer { addr: peer, prefix: None });
    silent.into_iter().filter(lossy).map(subject).collect()
}

impl Rule for RetransmissionStorm {
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let Unanswered { in_vain, undecided } = self.silence.look(context);
        if let Err(verdict) = self.watch.named(context, &[RETRANS_SEGS]) {
            self.looks.clear();
            return verdict;
        }
        let s = context.snapshot;
        let delta = |name: &str| s.rates.iter().find(|r| &*r.name == name).map_or(0, |r| r.delta);
        let again = delta(RETRANS_SEGS).saturating_sub(delta(SYN_RETRANS)).saturating_sub(delta(DSACK));
        self.looks.push_back(Look { at: s.observed, again, sent: delta(OUT_SEGS), in_vain });
        let over = Duration::from_secs(self.numbers.over_s.into());
        while self.looks.len() > 1
            && self.looks.front().is_some_and(|look| s.observed.saturating_sub(look.at) >= over)
        {
            self.looks.pop_front();
        }
        let total = |of: fn(&Look) -> u64| self.looks.iter().map(of).sum::<u64>();
        let in_vain = total(|l| l.in_vain);
        let again = total(|l| l.again).saturating_sub(in_vain);
        let sent = total(|l| l.sent);
        let ratio = |again: u64| if sent == 0 { 0.0 } else { again as f64 / sent as f64 };
        let levels = Levels { warning: Some(self.numbers.warning_ratio), ..Levels::default() };
        let held = context.held.severity(ID, &Subject::Host);
        let grade = |again: u64| {
            levels.grade(ratio(again), held).filter(|_| again >= self.numbers.min_segments.into())
        };
        let Some(severity) = grade(again) else { return Verdict::Quiet };
        if grade(again.saturating_sub(undecided)).is_none() {
            return Verdict::AskAgain("whether what is sent again gets an answer");
        }
        let ratio = ratio(again);
        let count =
            |name, n, counter: &str| Evidence::new(name, Value::Count(n), Source::Counter(counter.into()));
        let evidence = vec![
            Evidence::new("ratio", Value::Ratio(ratio), Source::Observed),
            count("retransmitted", again, RETRANS_SEGS),
            count("sent", sent, OUT_SEGS),
            Evidence::new("in_vain", Value::Count(in_vain), Source::SockDiag),
        ];
        let explains = merely_lossy(context);
        Verdict::Fires(vec![Draft { explains, ..Draft::new(severity, Subject::Host, evidence) }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Severity;
    use crate::diagnose::testing::{Bench, drafts, fired};
    use crate::model::TcpState;
    use crate::testkit::socket;

    const WARNING: Option<Severity> = Some(Severity::Warning);

    fn rule() -> RetransmissionStorm {
        RetransmissionStorm::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    /// Severity after one more look at which these moved.
    fn retransmitted(again: u64, sent: u64, syns: u64, needless: u64) -> Option<Severity> {
        let mut rule = rule();
        let mut b = Bench::new();
        for (name, by) in [(RETRANS_SEGS, 7), (OUT_SEGS, 7), (SYN_RETRANS, 7), (DSACK, 7)] {
            b.set_counter(name, by);
        }
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        for (name, by) in [(RETRANS_SEGS, again), (OUT_SEGS, sent), (SYN_RETRANS, syns), (DSACK, needless)] {
            b.set_counter(name, 7 + by);
        }
        fired(&b.judge(&mut rule)).first().map(|d| d.severity)
    }

    #[test]
    fn two_percent_and_fifty_segments_are_a_storm() {
        assert_eq!(retransmitted(50, 2500, 0, 0), WARNING);
        assert_eq!(retransmitted(49, 2000, 0, 0), None, "too few to say");
        assert_eq!(retransmitted(50, 2501, 0, 0), None);
        assert_eq!(retransmitted(80, 10_000, 0, 0), None, "the healthiest maximum: 0.8 %");
        assert_eq!(retransmitted(60, 2500, 11, 0), None, "SYNs are another matter");
        assert_eq!(retransmitted(60, 2500, 0, 11), None, "needless ones cost nothing");
        assert_eq!(retransmitted(10, 0, 0, 0), None);
    }

    fn row(n: u16, state: TcpState, timer: u8, retrans: u8) -> SocketRow {
        let mut r = socket(state, &format!("10.0.0.5:{}", 4000 + n), "10.0.9.9:80");
        (r.timer_raw, r.retrans, r.send_q) = (timer, retrans, 100);
        if state != TcpState::Established {
            r.inode = 0;
        }
        r.set_cookie(u32::from(n) + 1, 0);
        r
    }

    /// Severity at two looks: `before` and then `after` are the timeouts in a row of twenty connections, and in between so
    /// many segments of 1000 were sent again.
    fn beside_silence(state: TcpState, before: u8, after: u8, again: u64) -> Option<Severity> {
        let (mut b, mut rule) = (Bench::new(), rule());
        for (retrans, counted, sent) in [(before, 0, 0), (after, again, 1000)] {
            b.rows = (0..20).map(|n| row(n, state, 1, retrans)).collect();
            b.set_counter(RETRANS_SEGS, counted);
            b.set_counter(OUT_SEGS, sent);
            if retrans == before {
                b.judge(&mut rule);
            }
        }
        fired(&b.judge(&mut rule)).first().map(|d| d.severity)
    }

    #[test]
    fn what_is_sent_to_the_dead_is_a_matter_of_the_dead() {
        for state in [TcpState::Established, TcpState::LastAck] {
            // Three each and a tail loss probe each, since they were in order.
            assert_eq!(beside_silence(state, 0, 3, 80 + 49), None);
            assert_eq!(beside_silence(state, 0, 3, 80 + 50), WARNING, "and as many are lost elsewhere");
            // What was repeated before the observation is not in the counter.
            assert_eq!(beside_silence(state, 4, 6, 40 + 49), None);
            assert_eq!(beside_silence(state, 4, 6, 40 + 50), WARNING);
        }
    }

    #[test]
    fn what_has_no_answer_yet_is_waited_for() {
        // Two each and a tail loss probe each.
        assert_eq!(beside_silence(TcpState::Established, 0, 2, 60 + 49), None);
        assert_eq!(
            beside_silence(TcpState::Established, 0, 2, 60 + 50),
            WARNING,
            "as many elsewhere are loss"
        );
    }

    #[test]
    fn where_most_gets_through_nobody_is_dead() {
        let explained = |silent: u16, others: u16, timeouts| {
            let (mut b, mut rule) = (Bench::new(), rule());
            let state = TcpState::Established;
            b.rows = (0..silent).map(|n| row(n, state, 1, timeouts)).collect();
            b.rows.extend((silent..silent + others).map(|n| row(n, state, 1, 0)));
            for n in [0, 100] {
                b.set_counter(RETRANS_SEGS, n);
                b.set_counter(OUT_SEGS, n * 10);
                b.judge(&mut rule);
            }
            b.set_counter(RETRANS_SEGS, 200);
            !drafts(b.judge(&mut rule))[0].explains.is_empty()
        };
        assert!(explained(2, 2, 5));
        assert!(!explained(2, 1, 5), "most connections are silent");
        assert!(!explained(2, 9, 6), "six timeouts in a row are no loss");
    }

    #[test]
    fn a_kernel_without_the_counter_is_not_examined() {
        assert!(matches!(Bench::new().judge(&mut rule()), Verdict::NotExamined(_)));
    }
}
