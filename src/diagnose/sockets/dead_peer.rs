//! Peers that no longer answer.

use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::common::{float, grouped, numbers, peers_or_networks, sockets};
use crate::diagnose::finding::{Draft, Evidence, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds, ascending};
use crate::model::{Ip, SocketRow, TcpInfo, TcpState, TimerKind};

/// The rule's id.
pub const ID: &str = "dead-peer";

/// How many dead connections, and how many others of one peer, are asked.
const ASKED: usize = 256;
const OTHERS: usize = 8;

/// Another connection on which the peer acknowledged this lately shows that it lives.
const LIVES: Duration = Duration::from_secs(10);

numbers! {
    timeouts: u8, critical_timeouts: u8, probes: u8, warning: u32, critical: u32;
    n => ascending(&[("timeouts", n.timeouts.into()), ("critical_timeouts", n.critical_timeouts.into())])
        .and_then(|()| ascending(&[("warning", n.warning.into()), ("critical", n.critical.into())]))
}

/// Retransmissions, or keepalive probes, again and again without an answer.
pub struct DeadPeer {
    numbers: Numbers,
    /// Other connections of the silent peers, found at this look.
    others: FxHashMap<Ip, Vec<u32>>,
}

impl DeadPeer {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, others: FxHashMap::default() })
    }

    fn is_silent(&self, row: &SocketRow) -> bool {
        match row.timer() {
            TimerKind::Retransmit => row.retrans >= self.numbers.timeouts,
            // The first probe is on its way for a round trip, so one alone says nothing.
            TimerKind::Keepalive => row.retrans >= self.numbers.probes,
            _ => false,
        }
    }

    fn silent(&self, context: &Context<'_>) -> Vec<u32> {
        let candidates = [&context.survey.timed_out.rows, &context.survey.unanswered.rows];
        let rows = candidates.into_iter().flat_map(|rows| context.rows(rows));
        rows.filter(|(_, row)| self.is_silent(row)).map(|(at, _)| at).collect()
    }

    /// Some other connections of these peers; the table is walked only when a peer is silent.
    fn find_others(&mut self, context: &Context<'_>, silent: &[u32]) {
        self.others.clear();
        let peers: FxHashSet<Ip> = context.rows(silent).map(|(_, row)| row.peer).collect();
        if peers.is_empty() {
            return;
        }
        for (row, at) in context.snapshot.sample.table.rows.iter().zip(0u32..) {
            if row.state == TcpState::Established && peers.contains(&row.peer) && !self.is_silent(row) {
                let found = self.others.entry(row.peer).or_default();
                if found.len() < OTHERS {
                    found.push(at);
                }
            }
        }
    }

    /// Whether the peer answers on another connection; `None` if there is none that could tell.
    fn lives(&self, context: &Context<'_>, peer: Ip) -> Option<bool> {
        let others = self.others.get(&peer)?;
        let heard = |(_, row)| context.detail(row)?.time(TcpInfo::last_ack_recv);
        let ages: Vec<Duration> = context.rows(others).filter_map(heard).collect();
        (!ages.is_empty()).then(|| ages.iter().any(|age| *age < LIVES))
    }

    fn draft(
        &self,
        context: &Context<'_>,
        subject: Subject,
        peer: Option<Ip>,
        rows: &[u32],
    ) -> Option<Draft> {
        let n = self.numbers;
        let held = context.held.severity(ID, &subject);
        let long = context.rows(rows).filter(|(_, r)| r.retrans >= n.critical_timeouts).count();
        // One connection of one peer is a laptop that sleeps.
        let by_count = Levels { info: Some(1.0), warning: Some(n.warning.into()), critical: None };
        let by_time = Levels { critical: Some(n.critical.into()), ..Levels::default() };
        let severity = by_count.grade(float(rows.len()), held).max(by_time.grade(float(long), held))?;
        let by_timer = |kind| context.rows(rows).filter(|(_, r)| r.timer() == kind).count();
        let most = context.rows(rows).map(|(_, r)| r.retrans).max().unwrap_or(0);
        let mut evidence = vec![
            sockets("sockets", rows.len()),
            sockets("retransmitting", by_timer(TimerKind::Retransmit)),
            sockets("unanswered_probes", by_timer(TimerKind::Keepalive)),
            Evidence::new("timeouts", Value::Count(most.into()), Source::SockDiag),
        ];
        let heard = |(_, row)| context.detail(row)?.time(TcpInfo::last_ack_recv);
        let last = context.rows(rows).filter_map(heard).min();
        evidence.extend(last.map(|t| Evidence::new("heard_s", Value::Time(t), Source::TcpInfo)));
        let lives = peer.and_then(|peer| self.lives(context, peer));
        let others = peer.and_then(|p| self.others.get(&p)).map_or(0, Vec::len);
        evidence.push(sockets("others", others));
        evidence.extend(context.ends(&subject, rows));
        Some(Draft {
            variant: Some(match (peer, lives) {
                (None, _) => "network",
                // A NAT, a load balancer or a firewall has forgotten these connections.
                (_, Some(true)) => "forgotten",
                _ => "silent",
            }),
            proof: context.proof(rows),
            // What was closed meanwhile gets no answer either.
            explains: vec![(super::closing::ID, subject.clone())],
            ..Draft::new(severity, subject, evidence)
        })
    }
}

impl Rule for DeadPeer {
    fn wants(&mut self, context: &Context<'_>) -> Vec<u32> {
        let mut rows = self.silent(context);
        self.find_others(context, &rows);
        rows.truncate(ASKED);
        rows.extend(self.others.values().flatten().copied().take(ASKED));
        rows
    }

    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let silent = self.silent(context);
        let by_peer = grouped(context.rows(&silent).map(|(at, row)| (row.peer, at)));
        let drafts = peers_or_networks(by_peer).into_iter().filter_map(|(subject, rows)| {
            let peer = match subject {
                Subject::Peer { addr, prefix: None } => Some(addr),
                _ => None,
            };
            self.draft(context, subject, peer, &rows)
        });
        Verdict::of(drafts.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Severity;
    use crate::diagnose::testing::{Bench, detail, drafts};
    use crate::testkit::{endpoint, socket};

    fn rule() -> DeadPeer {
        DeadPeer::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn row(n: u8, peer: &str, timer: u8, retrans: u8) -> SocketRow {
        let mut r = socket(TcpState::Established, &format!("10.0.0.5:{}", 4000 + u16::from(n)), peer);
        (r.timer_raw, r.retrans, r.send_q) = (timer, retrans, 100);
        r.set_cookie(u32::from(n) + 1, 0);
        r
    }

    fn bench(count: u8, timer: u8, retrans: u8) -> Bench {
        let mut b = Bench::new();
        b.rows = (0..count).map(|n| row(n, "10.0.9.9:80", timer, retrans)).collect();
        b
    }

    fn severity(mut b: Bench) -> Option<Severity> {
        match b.judge(&mut rule()) {
            Verdict::Quiet => None,
            other => Some(drafts(other)[0].severity),
        }
    }

    #[test]
    fn three_timeouts_on_two_connections_are_a_warning_and_six_on_ten_critical() {
        assert_eq!(severity(bench(20, 1, 2)), None);
        assert_eq!(severity(bench(2, 1, 3)), Some(Severity::Warning));
        assert_eq!(severity(bench(9, 1, 6)), Some(Severity::Warning));
        assert_eq!(severity(bench(10, 1, 5)), Some(Severity::Warning));
        assert_eq!(severity(bench(10, 1, 6)), Some(Severity::Critical));
        let found = drafts(bench(2, 1, 3).judge(&mut rule())).remove(0);
        assert_eq!(found.explains, [(crate::diagnose::sockets::closing::ID, found.subject.clone())]);
    }

    #[test]
    fn one_sleeping_laptop_is_information() {
        assert_eq!(severity(bench(1, 1, 9)), Some(Severity::Info));
    }

    #[test]
    fn keepalive_probes_without_an_answer_count_from_the_second() {
        assert_eq!(severity(bench(5, 2, 1)), None);
        assert_eq!(severity(bench(5, 2, 2)), Some(Severity::Warning));
    }

    #[test]
    fn a_zero_window_probe_is_another_rules() {
        assert_eq!(severity(bench(5, 4, 9)), None);
    }

    #[test]
    fn says_whether_the_peer_lives_on_other_connections() {
        let variant = |heard_ms: Option<u64>| {
            let mut b = bench(3, 1, 4);
            let other = row(99, "10.0.9.9:80", 0, 0);
            b.rows.push(other);
            b.details.extend(heard_ms.map(|ms| (other.cookie(), detail(other, &[("last_ack_recv", ms)]))));
            drafts(b.judge(&mut rule()))[0].variant
        };
        assert_eq!(variant(Some(9_999)), Some("forgotten"));
        assert_eq!(variant(Some(10_000)), Some("silent"));
        assert_eq!(variant(None), Some("silent"));
    }

    #[test]
    fn three_peers_of_one_network_are_one_finding() {
        let judged = |peers: u8| {
            let mut b = Bench::new();
            b.rows = (0..peers).map(|n| row(n, &format!("10.0.9.{}:80", n + 1), 1, 4)).collect();
            drafts(b.judge(&mut rule()))
        };
        assert_eq!(judged(2).len(), 2);
        let found = judged(3);
        assert_eq!(found.len(), 1);
        let addr = endpoint("10.0.9.0:0").addr;
        assert_eq!(found[0].subject, Subject::Peer { addr, prefix: Some(24) });
        assert_eq!(found[0].variant, Some("network"));
    }
}
