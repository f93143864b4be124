//! Many more resets than a while ago.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;

use super::moved::{Movements, Watch};
use crate::analysis::CounterRate;
use crate::diagnose::finding::{Confidence, Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::diagnose::thresholds::{Section, ThresholdError, Thresholds, ascending};

/// The rule's id.
pub const ID: &str = "reset-storm";

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
struct Numbers {
    factor: f64,
    min_per_s: f64,
}

impl Section for Numbers {
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
    fn look(&mut self, now: Duration, per_s: f64, n: &Numbers) -> Weather {
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
    numbers: Numbers,
    usual: [Usual; RESET_COUNTERS.len()],
    watch: Watch,
}

impl ResetStorm {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        let numbers = thresholds.section(ID)?;
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
}
