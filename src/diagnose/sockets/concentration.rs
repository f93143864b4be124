//! One peer that holds most of a listener's connections.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::common::{float, numbers, sockets};
use crate::diagnose::finding::{Confidence, Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::survey::{Bunch, Survey};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{ForeignText, Ip, TcpInfo, TcpState};

/// The rule's id.
pub const ID: &str = "peer-concentration";

/// How many connections of a peer are asked whether they are idle.
const SAMPLE: usize = 64;

/// Steps in which steady growth is measured.
const STEP: Duration = Duration::from_secs(60);
const STEPS: usize = 3;

numbers! { ratio: f64, connections: u32, idle_s: f64 }

/// One address holds at least half of a listener's connections, or more every minute: a client that leaks them, or a proxy.
pub struct PeerConcentration {
    numbers: Numbers,
    /// Counts a minute apart, the oldest first.
    past: FxHashMap<(u64, Ip), VecDeque<(Duration, usize)>>,
}

impl PeerConcentration {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        let numbers: Numbers = thresholds.section(ID)?;
        Ok(Self { numbers, past: FxHashMap::default() })
    }

    fn many(&self) -> usize {
        self.numbers.connections.max(Survey::MANY) as usize
    }

    /// Whether there were more at each of the last minutes, from many on.
    fn grows(&mut self, key: (u64, Ip), now: Duration, count: usize) -> bool {
        let many = self.many();
        let past = self.past.entry(key).or_default();
        if past.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= STEP) {
            past.push_back((now, count));
        }
        if past.len() > STEPS + 1 {
            past.pop_front();
        }
        past.len() > STEPS
            && past.front().is_some_and(|(_, n)| *n >= many)
            && past.iter().zip(past.iter().skip(1)).all(|(a, b)| a.1 < b.1)
    }

    /// The part of those that were asked that is idle; `None` if nothing is known.
    fn idle(&self, context: &Context<'_>, rows: &[u32]) -> Option<f64> {
        let idle = Duration::from_secs_f64(self.numbers.idle_s);
        let entries: Vec<_> = context.rows(rows).filter_map(|(_, row)| context.detail(row)).collect();
        let long = |e: &&&crate::diagnose::DetailEntry| {
            [TcpInfo::last_data_sent, TcpInfo::last_data_recv]
                .iter()
                .all(|field| e.time(field).is_some_and(|t| t >= idle))
        };
        (!entries.is_empty()).then(|| float(entries.iter().filter(long).count()) / float(entries.len()))
    }
}

/// Open connections of a listener.
fn open(context: &Context<'_>, listener: u32) -> usize {
    let states = [TcpState::Established, TcpState::CloseWait];
    let listener = context.snapshot.listeners.get(listener as usize);
    listener.map_or(0, |l| states.iter().map(|s| l.counts[*s] as usize).sum())
}

fn spread(rows: &[u32]) -> impl Iterator<Item = u32> + '_ {
    rows.iter().copied().step_by(rows.len().div_ceil(SAMPLE).max(1))
}

impl Rule for PeerConcentration {
    fn wants(&mut self, context: &Context<'_>) -> Vec<u32> {
        let bunches = context.survey.bunches.values();
        bunches.filter(|rows| rows.len() >= self.many()).flat_map(|rows| spread(rows)).collect()
    }

    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let mut bunches: Vec<(&Bunch, &Vec<u32>)> = context.survey.bunches.iter().collect();
        bunches.sort_by_key(|(b, rows)| (std::cmp::Reverse(rows.len()), b.peer, b.listener));
        let mut named = FxHashSet::default();
        let mut drafts = Vec::new();
        let mut again = false;
        let mut keys = FxHashSet::default();
        for (bunch, rows) in bunches {
            let Some(l) = context.snapshot.listeners.get(bunch.listener as usize) else { continue };
            let key = (l.cookie, bunch.peer);
            keys.insert(key);
            let grows = self.grows(key, context.snapshot.observed, rows.len());
            let total = open(context, bunch.listener);
            let subject = Subject::Peer { addr: bunch.peer, prefix: None };
            let part = float(rows.len()) / float(total.max(1));
            let levels = Levels { info: Some(self.numbers.ratio), ..Levels::default() };
            let held = context.held.severity(ID, &subject);
            let holds = total > rows.len() && levels.grade(part, held).is_some();
            if rows.len() < self.many() || !(holds || grows) || !named.insert(bunch.peer) {
                continue;
            }
            let idle = self.idle(context, rows);
            let severity = match idle {
                Some(part) if part > 0.5 => Severity::Warning,
                Some(_) => Severity::Info,
                None => {
                    again = true;
                    continue;
                }
            };
            let listener = ForeignText::from(&*l.local.to_string());
            let mut evidence = vec![
                sockets("connections", rows.len()),
                sockets("total", total),
                Evidence::new("ratio", Value::Ratio(part), Source::SockDiag),
                Evidence::new("port", Value::Number(l.local.port.into()), Source::SockDiag),
                Evidence::new("listener", Value::Text(listener), Source::SockDiag),
                Evidence::new("idle_ratio", idle.map_or(Value::Unknown, Value::Ratio), Source::TcpInfo),
            ];
            evidence.extend(context.processes(&[l.row]));
            drafts.push(Draft {
                variant: Some(if severity == Severity::Warning { "idle" } else { "busy" }),
                // A NAT gateway or a proxy looks the same.
                confidence: Confidence::Medium,
                proof: context.proof(rows),
                ..Draft::new(severity, subject, evidence)
            });
        }
        self.past.retain(|key, _| keys.contains(key));
        Verdict::of_or_again(
            drafts,
            again,
            "whether the connections of a peer that has most of them are idle",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, detail, drafts};
    use crate::testkit::socket;

    fn rule() -> PeerConcentration {
        PeerConcentration::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    /// A listener with so many connections of one peer and so many of others, idle for so long.
    fn bench(of_one: u16, of_others: u16, idle_ms: u64) -> Bench {
        let mut b = Bench::new();
        let mut l = socket(TcpState::Listen, "0.0.0.0:80", "");
        l.set_cookie(1, 0);
        b.rows.push(l);
        add(&mut b, "10.0.9.9", of_one, 10, idle_ms);
        for n in 0..of_others {
            add(&mut b, &format!("10.1.{}.{}", n / 250, n % 250 + 1), 1, 10_000 + u32::from(n), idle_ms);
        }
        b
    }

    fn add(b: &mut Bench, peer: &str, count: u16, cookie: u32, idle_ms: u64) {
        for n in 0..count {
            let mut r = socket(TcpState::Established, "10.0.0.1:80", &format!("{peer}:{}", 2000 + n));
            r.set_cookie(cookie + u32::from(n), 0);
            let fields = [("last_data_sent", idle_ms), ("last_data_recv", idle_ms)];
            b.details.push((r.cookie(), detail(r, &fields)));
            b.rows.push(r);
        }
    }

    fn severity(mut b: Bench) -> Option<Severity> {
        match b.judge(&mut rule()) {
            Verdict::Quiet => None,
            other => Some(drafts(other)[0].severity),
        }
    }

    #[test]
    fn half_of_a_listener_and_two_hundred_are_a_warning_when_idle_and_information_when_not() {
        assert_eq!(severity(bench(200, 200, 60_000)), Some(Severity::Warning));
        assert_eq!(severity(bench(200, 200, 59_999)), Some(Severity::Info));
        assert_eq!(severity(bench(199, 100, 60_000)), None);
        assert_eq!(severity(bench(200, 201, 60_000)), None);
    }

    #[test]
    fn the_only_client_of_a_listener_is_no_concentration() {
        assert_eq!(severity(bench(300, 0, 60_000)), None);
    }

    #[test]
    fn loopback_to_itself_is_no_leak() {
        let mut b = bench(0, 100, 60_000);
        add(&mut b, "127.0.0.1", 300, 10, 60_000);
        assert_eq!(severity(b), None);
    }

    #[test]
    fn steady_growth_over_three_minutes_is_said_of_the_only_client_too() {
        let mut b = bench(200, 0, 60_000);
        b.step = Duration::from_secs(60);
        let mut rule = rule();
        for n in 1..=3 {
            assert_eq!(b.judge(&mut rule), Verdict::Quiet);
            add(&mut b, "10.0.9.9", 10, 1000 * n, 60_000);
        }
        assert_eq!(drafts(b.judge(&mut rule))[0].severity, Severity::Warning);
    }

    #[test]
    fn without_tcp_info_it_asks_again() {
        let mut b = bench(200, 100, 0);
        b.details.clear();
        assert!(matches!(b.judge(&mut rule()), Verdict::AskAgain(_)));
    }
}
