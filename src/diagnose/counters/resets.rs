//! Many more resets than a while ago, and many retransmissions.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;

use super::moved::{Movements, Watch};
use crate::analysis::CounterRate;
use crate::diagnose::finding::{Confidence, Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::diagnose::thresholds::{Section, ThresholdError, Thresholds, ascending};

/// Resets.
pub const RESETS: &str = "reset-storm";
/// Retransmissions.
pub const RETRANSMISSIONS: &str = "retransmission-storm";

/// The counters of resets, with their names as evidence.
const RESET_COUNTERS: [(&str, &str); 3] = [
    ("established_resets", "Tcp.EstabResets"),
    ("resets_sent", "Tcp.OutRsts"),
    ("failed_attempts", "Tcp.AttemptFails"),
];

/// How far back the usual rate is looked for.
const BASELINE: Duration = Duration::from_secs(60);
/// A storm that lasts this long is how this machine lives.
const ACCEPTED: Duration = Duration::from_secs(300);
/// Only what goes on for this long is a storm; one burst can straddle two looks.
const LASTS: Duration = Duration::from_millis(500);
/// How long a storm that is over stays in mind, so that one that comes and goes is not missed in a pause.
const REMEMBERED: Duration = Duration::from_secs(10);
/// A storm is over below this part of the rate at which it began.
const ENDS_AT: f64 = 0.5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetNumbers {
    factor: f64,
    min_per_s: f64,
}

impl Section for ResetNumbers {
    fn check(&self) -> Result<(), String> {
        ascending(&[("1", 1.0), ("factor", self.factor)])?;
        ascending(&[("0", 0.0), ("min_per_s", self.min_per_s)])
    }
}

/// Times at which a counter moved many times as fast as usual.
#[derive(Clone, Copy, Debug)]
struct Storm {
    since: Duration,
    last: Duration,
    running: bool,
    /// It went on over several looks.
    lasted: bool,
    usual: f64,
    peak: f64,
}

/// One counter's recent past.
#[derive(Default, Debug)]
struct Usual {
    /// Its rate at each look while there was no storm.
    rates: VecDeque<(Duration, f64)>,
    storm: Option<Storm>,
}

#[derive(Clone, Copy, Debug)]
enum Weather {
    Calm,
    /// A rate above the least that counts, as it always is.
    Steady(f64),
    Storm(Storm),
}

impl Usual {
    /// Takes the rate of one more look. The usual rate is the highest of the last minute; what comes in bursts of one look
    /// never lasts.
    fn look(&mut self, now: Duration, per_s: f64, n: &ResetNumbers) -> Weather {
        let running = self.storm.as_mut().filter(|s| s.running);
        if let Some(storm) = running {
            let ends = (storm.usual * n.factor).max(n.min_per_s) * ENDS_AT;
            let accepted = now.saturating_sub(storm.since) >= ACCEPTED;
            if per_s >= ends && !accepted {
                storm.last = now;
                storm.peak = storm.peak.max(per_s);
                storm.lasted |= now.saturating_sub(storm.since) >= LASTS;
                return Weather::Storm(*storm);
            }
            storm.running = false;
            if accepted {
                self.storm = None;
            }
        } else if let Some(usual) = self.highest()
            && per_s >= n.min_per_s
            && per_s >= usual * n.factor
        {
            let lasted = self.storm.is_some_and(|s| s.lasted);
            let storm = Storm { since: now, last: now, running: true, lasted, usual, peak: per_s };
            self.storm = Some(storm);
            return Weather::Storm(storm);
        }
        self.rates.push_back((now, per_s));
        while self.rates.front().is_some_and(|(at, _)| now.saturating_sub(*at) >= BASELINE) {
            self.rates.pop_front();
        }
        self.storm = self.storm.filter(|s| now.saturating_sub(s.last) < REMEMBERED);
        if let Some(storm) = self.storm {
            return Weather::Storm(storm);
        }
        let steady = self.rates.len() > 1 && self.rates.iter().rev().take(3).all(|(_, r)| *r >= n.min_per_s);
        if steady { Weather::Steady(per_s) } else { Weather::Calm }
    }

    fn highest(&self) -> Option<f64> {
        self.rates.iter().map(|(_, r)| *r).reduce(f64::max)
    }
}

/// Connections are reset, or refused, many times as often as a while ago. TCP health checks reset for ever, and at a
/// steady rate: that is information.
pub struct ResetStorm {
    numbers: ResetNumbers,
    usual: [Usual; RESET_COUNTERS.len()],
    watch: Watch,
}

impl ResetStorm {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        let numbers = thresholds.section(RESETS)?;
        Ok(Self { numbers, usual: Default::default(), watch: Watch::default() })
    }

    fn draft(weather: [Weather; 3], moved: &Movements) -> Option<Draft> {
        let storms = || {
            weather.iter().filter_map(|w| match w {
                Weather::Storm(storm) => Some(storm),
                _ => None,
            })
        };
        let steady = weather.iter().filter_map(|w| match w {
            Weather::Steady(per_s) => Some(*per_s),
            _ => None,
        });
        let lasted = storms().any(|s| s.lasted);
        let worst = storms().max_by(|a, b| a.peak.total_cmp(&b.peak));
        let fastest = worst.map_or_else(|| steady.reduce(f64::max), |s| Some(s.peak))?;
        let severity = if lasted { Severity::Warning } else { Severity::Info };
        let mut evidence = vec![Evidence::new("per_s", Value::PerSecond(fastest), Source::Observed)];
        evidence
            .extend(worst.map(|s| Evidence::new("usual_per_s", Value::PerSecond(s.usual), Source::Observed)));
        for (name, counter) in RESET_COUNTERS {
            evidence.extend(moved.get(counter).map(|m| m.evidence(name)));
        }
        for (name, counter) in [
            ("unread_data", "TcpExt.TCPAbortOnClose"),
            ("linger_zero", "TcpExt.TCPAbortOnData"),
            ("timeouts", "TcpExt.TCPAbortOnTimeout"),
        ] {
            evidence.extend(moved.get(counter).map(|m| m.evidence(name)));
        }
        let mut draft = Draft::new(severity, Subject::Host, evidence);
        draft.variant = Some(if worst.is_some() { "storm" } else { "steady" });
        if !lasted {
            draft.confidence = Confidence::Medium;
        }
        Some(draft)
    }
}

impl Rule for ResetStorm {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let names = RESET_COUNTERS.map(|(_, counter)| counter);
        let ours = |name: &str| names.contains(&name) || name.starts_with("TcpExt.TCPAbortOn");
        let moved = match self.watch.look(context, &names, ours) {
            Ok(moved) => moved,
            Err(verdict) => {
                self.usual = Default::default();
                return verdict;
            }
        };
        let s = context.snapshot;
        let per_s =
            |name: &str| s.rates.iter().find(|r| &*r.name == name).map_or(0.0, |r: &CounterRate| r.per_s);
        let rates = names.map(per_s);
        let mut weather = [Weather::Calm; 3];
        let slices_before = self.usual.iter().any(|u| !u.rates.is_empty() || u.storm.is_some());
        for ((w, usual), rate) in weather.iter_mut().zip(&mut self.usual).zip(rates) {
            *w = usual.look(s.observed, rate, &self.numbers);
        }
        if !slices_before {
            return Verdict::AskAgain("a rate to compare with");
        }
        Verdict::of(Self::draft(weather, &moved).into_iter().collect())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetransmissionNumbers {
    warning_ratio: f64,
    min_segments: u32,
    over_s: u32,
}

impl Section for RetransmissionNumbers {
    fn check(&self) -> Result<(), String> {
        ascending(&[("0", 0.0), ("warning_ratio", self.warning_ratio), ("1", 1.0)])?;
        if self.over_s == 0 { Err("over_s is 0".into()) } else { Ok(()) }
    }
}

const RETRANS_SEGS: &str = "Tcp.RetransSegs";
const OUT_SEGS: &str = "Tcp.OutSegs";
const SYN_RETRANS: &str = "TcpExt.TCPSynRetrans";
const DSACK: &str = "TcpExt.TCPDSACKRecv";

/// Too many of the segments that are sent are sent again. `RetransSegs` contains repeated SYNs and SYN-ACKs, which are a
/// matter of one peer, and probes that the receiver reports as needless (DSACK): both are taken off.
pub struct RetransmissionStorm {
    numbers: RetransmissionNumbers,
    /// When, segments retransmitted, segments sent, for the looks of the observation.
    looks: VecDeque<(Duration, u64, u64)>,
    /// Only asked whether the counters can be judged.
    watch: Watch,
}

impl RetransmissionStorm {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        let numbers = thresholds.section(RETRANSMISSIONS)?;
        Ok(Self { numbers, looks: VecDeque::new(), watch: Watch::default() })
    }
}

impl Rule for RetransmissionStorm {
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        if let Err(verdict) = self.watch.named(context, &[RETRANS_SEGS]) {
            self.looks.clear();
            return verdict;
        }
        let s = context.snapshot;
        let delta = |name: &str| s.rates.iter().find(|r| &*r.name == name).map_or(0, |r| r.delta);
        let again = delta(RETRANS_SEGS).saturating_sub(delta(SYN_RETRANS)).saturating_sub(delta(DSACK));
        self.looks.push_back((s.observed, again, delta(OUT_SEGS)));
        let over = Duration::from_secs(self.numbers.over_s.into());
        while self.looks.len() > 1
            && self.looks.front().is_some_and(|(at, ..)| s.observed.saturating_sub(*at) >= over)
        {
            self.looks.pop_front();
        }
        let again: u64 = self.looks.iter().map(|(_, again, _)| again).sum();
        let sent: u64 = self.looks.iter().map(|(.., sent)| sent).sum();
        let ratio = if sent == 0 { 0.0 } else { again as f64 / sent as f64 };
        let levels =
            crate::diagnose::rule::Levels { warning: Some(self.numbers.warning_ratio), ..Default::default() };
        let severity = levels.grade(ratio, context.held.severity(RETRANSMISSIONS, &Subject::Host));
        let Some(severity) = severity.filter(|_| again >= self.numbers.min_segments.into()) else {
            return Verdict::Quiet;
        };
        let count =
            |name, n, counter: &str| Evidence::new(name, Value::Count(n), Source::Counter(counter.into()));
        let evidence = vec![
            Evidence::new("ratio", Value::Ratio(ratio), Source::Observed),
            count("retransmitted", again, RETRANS_SEGS),
            count("sent", sent, OUT_SEGS),
        ];
        Verdict::Fires(vec![Draft::new(severity, Subject::Host, evidence)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, fired};

    const INFO: Option<Severity> = Some(Severity::Info);
    const WARNING: Option<Severity> = Some(Severity::Warning);

    /// Judges looks at which a counter moved by these amounts.
    fn resets(counter: &str, amounts: &[u64]) -> Vec<Option<Severity>> {
        let (mut b, mut rule) = (Bench::new(), ResetStorm::new(&Thresholds::defaults().unwrap()).unwrap());
        let mut value = 1000;
        b.set_counter(counter, value);
        b.look();
        let mut judge = |n: &u64| {
            value += n;
            b.set_counter(counter, value);
            fired(&b.judge(&mut rule)).first().map(|d| d.severity)
        };
        amounts.iter().map(&mut judge).collect()
    }

    #[test]
    fn ten_times_the_usual_and_five_a_second_is_a_storm() {
        for (_, counter) in RESET_COUNTERS {
            assert_eq!(resets(counter, &[1, 1, 10, 10]), [None, None, INFO, WARNING], "{counter}");
        }
        assert_eq!(resets("Tcp.OutRsts", &[1, 1, 9, 9]), [None; 4], "nine times, and then it is usual");
        assert_eq!(resets("Tcp.OutRsts", &[0, 0, 5, 5]), [None, None, INFO, WARNING]);
        assert_eq!(resets("Tcp.OutRsts", &[0, 0, 4, 4]), [None; 4]);
    }

    #[test]
    fn health_checks_that_reset_for_ever_are_information() {
        for n in [30, 60, 90] {
            let got = resets("Tcp.OutRsts", &[n, n + 5, n, n - 9, n, n + 3, n]);
            assert!(got.iter().all(|s| *s != WARNING), "{got:?}");
            assert_eq!(got.last(), Some(&INFO));
        }
    }

    #[test]
    fn a_burst_that_ends_is_no_warning_and_regular_bursts_are_usual() {
        let got = resets("Tcp.AttemptFails", &[0, 0, 50, 0, 0, 0, 50, 0, 0]);
        assert!(got.iter().all(|s| *s != WARNING), "{got:?}");
    }

    #[test]
    fn a_storm_holds_until_it_ends_or_is_how_the_machine_lives() {
        let mut over = vec![1, 1, 100, 90, 80];
        over.resize(20, 4);
        let got = resets("Tcp.EstabResets", &over);
        assert_eq!(got[..5], [None, None, INFO, WARNING, WARNING]);
        assert_eq!((got[13], got[14]), (WARNING, None), "ten seconds after its last look");
        let mut long = vec![1, 1];
        long.resize(320, 100);
        let got = resets("Tcp.EstabResets", &long);
        assert_eq!((got[200], got[319]), (WARNING, INFO));
    }

    #[test]
    fn one_look_has_nothing_to_compare_with() {
        let (mut b, mut rule) = (Bench::new(), ResetStorm::new(&Thresholds::defaults().unwrap()).unwrap());
        assert!(matches!(b.judge(&mut rule), Verdict::NotExamined(_)));
        b.set_counter("Tcp.OutRsts", 1);
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        b.set_counter("Tcp.OutRsts", 100);
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)), "one slice");
        b.set_counter("Tcp.OutRsts", 50);
        assert!(matches!(b.judge(&mut rule), Verdict::NotExamined(_)));
    }

    /// Severity after one more look at which these moved.
    fn retransmitted(again: u64, sent: u64, syns: u64, needless: u64) -> Option<Severity> {
        let mut rule = RetransmissionStorm::new(&Thresholds::defaults().unwrap()).unwrap();
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

    #[test]
    fn a_kernel_without_the_counter_is_not_examined() {
        let mut rule = RetransmissionStorm::new(&Thresholds::defaults().unwrap()).unwrap();
        assert!(matches!(Bench::new().judge(&mut rule), Verdict::NotExamined(_)));
    }
}
