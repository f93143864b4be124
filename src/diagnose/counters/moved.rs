//! What counters did lately: the one way in which the rules of this family ask.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;

use crate::analysis::CounterRate;
use crate::diagnose::finding::{Evidence, Severity, Source, Value};
use crate::diagnose::rule::{Context, Verdict};
use crate::diagnose::thresholds::{Section, ascending};
use crate::model::{Facts, Reading, Scope};

/// How long a movement is remembered, so that a counter that moves every few seconds keeps moving however often it is
/// looked at.
const REMEMBERED: Duration = Duration::from_secs(10);

/// A counter keeps moving when it moved at two looks at least this far apart: one burst can straddle two looks.
const APART: Duration = Duration::from_millis(500);

const SECOND_LOOK: &str = "a second look at the counters";

/// The thresholds of a rule that has only a rate to judge by.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerSecond {
    /// From so many a second on it is a warning.
    pub warning_per_s: f64,
}

impl Section for PerSecond {
    fn check(&self) -> Result<(), String> {
        ascending(&[("0", 0.0), ("warning_per_s", self.warning_per_s)])
    }
}

/// A counter that moved within the time that is remembered.
#[derive(Clone, PartialEq, Debug)]
pub struct Movement {
    /// The kernel's name.
    pub name: Box<str>,
    /// Which part of the machine it counts.
    pub scope: Scope,
    /// By how much in [`Movement::over`].
    pub delta: u64,
    /// The time over which it was watched.
    pub over: Duration,
    /// It moved more than once.
    pub keeps: bool,
}

impl Movement {
    /// Once is information, again and again a warning.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.up_to(Severity::Warning)
    }

    /// Once is information, again and again `worst`.
    #[must_use]
    pub const fn up_to(&self, worst: Severity) -> Severity {
        if self.keeps { worst } else { Severity::Info }
    }

    /// Movements per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn per_s(&self) -> f64 {
        if self.over.is_zero() { 0.0 } else { self.delta as f64 / self.over.as_secs_f64() }
    }

    /// The count as evidence.
    #[must_use]
    pub fn evidence(&self, name: &'static str) -> Evidence {
        let source = Source::Counter(self.name.clone());
        Evidence { name, value: Value::Count(self.delta), source, scope: self.scope }
    }

    /// The rate as evidence, named `per_s`.
    #[must_use]
    pub fn rate(&self) -> Evidence {
        Evidence {
            name: "per_s",
            value: Value::PerSecond(self.per_s()),
            source: Source::Observed,
            scope: self.scope,
        }
    }

    /// The time over which both were counted, as evidence named `window`.
    #[must_use]
    pub fn window(&self) -> Evidence {
        Evidence::new("window", Value::Time(self.over), Source::Observed)
    }
}

/// A past look: when, since when, and what moved.
#[derive(Debug)]
struct Past {
    at: Duration,
    elapsed: Duration,
    moved: Vec<CounterRate>,
}

/// Remembers the movements of some counters over the last looks.
#[derive(Debug, Default)]
pub struct Watch {
    past: VecDeque<Past>,
    /// The counters could not be read at the last look: what they did since is not known.
    blind: bool,
}

/// What moved lately, by name.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Movements(Vec<Movement>);

impl Movements {
    /// What a counter did, `None` if it did not move.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Movement> {
        self.0.iter().find(|m| &*m.name == name)
    }

    /// By how much a counter moved.
    #[must_use]
    pub fn delta(&self, name: &str) -> u64 {
        self.get(name).map_or(0, |m| m.delta)
    }

    /// Everything that moved.
    pub fn iter(&self) -> impl Iterator<Item = &Movement> {
        self.0.iter()
    }

    /// The worst that any of them is by itself; `None` if nothing moved.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        self.0.iter().map(Movement::severity).max()
    }
}

impl Watch {
    /// Looks at the counters that `watched` chooses. `names` are those that must be readable, in one file: where all of
    /// them are missing nothing can be judged, where some are this kernel does not count them.
    ///
    /// # Errors
    /// The verdict where nothing can be said: the file is not there or not readable, the counters went backwards, or this
    /// is the first look.
    pub fn look(
        &mut self,
        context: &Context<'_>,
        names: &[&str],
        watched: impl Fn(&str) -> bool,
    ) -> Result<Movements, Verdict> {
        let s = context.snapshot;
        if let Err(why) = readable(&s.sample.facts, names) {
            self.past.clear();
            self.blind = true;
            return Err(Verdict::NotExamined(why));
        }
        let was_blind = std::mem::take(&mut self.blind);
        if s.counters_reset {
            self.past.clear();
            return Err(Verdict::NotExamined("counters went backwards".into()));
        }
        if was_blind {
            return Err(Verdict::AskAgain(SECOND_LOOK));
        }
        let Some(elapsed) = s.elapsed else {
            return Err(Verdict::AskAgain(SECOND_LOOK));
        };
        if elapsed.is_zero() {
            // Times that were noted before are not of this clock.
            self.past.clear();
            return Err(Verdict::NotExamined(
                "no time passed between two looks: the clock stood or went back".into(),
            ));
        }
        let moved = s.rates.iter().filter(|r| watched(&r.name)).cloned().collect();
        self.past.push_back(Past { at: s.observed, elapsed, moved });
        let remembered = REMEMBERED.max(elapsed * 2);
        while self.past.front().is_some_and(|p| s.observed.saturating_sub(p.at) >= remembered) {
            self.past.pop_front();
        }
        Ok(self.movements())
    }

    /// [`Watch::look`] at counters that are known by name.
    ///
    /// # Errors
    /// As [`Watch::look`].
    pub fn named(&mut self, context: &Context<'_>, names: &[&str]) -> Result<Movements, Verdict> {
        self.look(context, names, |name| names.contains(&name))
    }

    fn movements(&self) -> Movements {
        let over = self.past.iter().map(|p| p.elapsed).sum();
        let mut found: Vec<(Movement, Duration, Duration)> = Vec::new();
        for (at, rate) in self.past.iter().flat_map(|p| p.moved.iter().map(|r| (p.at, r))) {
            if let Some((m, _, last)) = found.iter_mut().find(|(m, ..)| m.name == rate.name) {
                m.delta = m.delta.saturating_add(rate.delta);
                *last = at;
            } else {
                let (name, scope, delta) = (rate.name.clone(), rate.scope, rate.delta);
                found.push((Movement { name, scope, delta, over, keeps: false }, at, at));
            }
        }
        let keeps = |(m, first, last): (Movement, Duration, Duration)| Movement {
            keeps: last.saturating_sub(first) >= APART,
            ..m
        };
        Movements(found.into_iter().map(keeps).collect())
    }
}

/// The verdict on counters whose names begin like this if they went backwards at this look.
pub fn went_back(context: &Context<'_>, of: &str) -> Option<Verdict> {
    let names = &context.snapshot.went_back;
    let name = names.iter().find(|name| name.split('.').next() == Some(of))?;
    Some(Verdict::NotExamined(format!("counters of {name} went backwards")))
}

/// Whether the file of these counters was read and has any of them; the reason if not.
fn readable(facts: &Facts, names: &[&str]) -> Result<(), String> {
    let Some(first) = names.first() else { return Ok(()) };
    match first.split_once('.').map_or(*first, |(group, _)| group) {
        "softnet" => known(&facts.softnet, "/proc/net/softnet_stat").map(|_| ()),
        "dev" => known(&facts.interfaces, "/proc/net/dev").map(|_| ()),
        "conntrack" => match &facts.conntrack {
            Reading::Absent => Err("connection tracking is not loaded".into()),
            Reading::Unreadable(why) => Err(why.clone()),
            Reading::Known(c) if c.stats.is_none() => {
                Err("/proc/net/stat/nf_conntrack could not be read".into())
            }
            Reading::Known(_) => Ok(()),
        },
        _ => {
            let counters = known(&facts.counters, "/proc/net/netstat")?;
            if names.iter().any(|n| counters.get(n).is_some()) {
                Ok(())
            } else {
                Err(format!("this kernel does not count {}", names.join(", ")))
            }
        }
    }
}

/// The value of a reading, or the reason why there is none.
pub(super) fn known<'a, T>(reading: &'a Reading<T>, file: &str) -> Result<&'a T, String> {
    match reading {
        Reading::Known(value) => Ok(value),
        Reading::Absent => Err(format!("there is no {file}")),
        Reading::Unreadable(why) => Err(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::rule::Rule;
    use crate::diagnose::testing::Bench;

    /// Says what the counter did, as text.
    struct Probe(Watch);

    impl Rule for Probe {
        fn judge(&mut self, context: &Context<'_>) -> Verdict {
            match self.0.named(context, &["TcpExt.A", "TcpExt.B"]) {
                Ok(m) => Verdict::NotExamined(m.iter().fold(String::new(), |text, m| {
                    format!("{text}{}+{} in {:?} {};", m.name, m.delta, m.over, m.keeps)
                })),
                Err(verdict) => verdict,
            }
        }
    }

    fn said(b: &mut Bench, probe: &mut Probe) -> String {
        match b.judge(probe) {
            Verdict::NotExamined(text) => text,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn one_movement_is_remembered_for_ten_seconds_and_two_keep_moving() {
        let (mut b, mut probe) = (Bench::new(), Probe(Watch::default()));
        b.set_counter("TcpExt.A", 100);
        assert!(said(&mut b, &mut probe).contains("AskAgain"));
        b.set_counter("TcpExt.A", 103);
        assert_eq!(said(&mut b, &mut probe), "TcpExt.A+3 in 1s false;");
        assert_eq!(said(&mut b, &mut probe), "TcpExt.A+3 in 2s false;");
        b.set_counter("TcpExt.A", 104);
        assert_eq!(said(&mut b, &mut probe), "TcpExt.A+4 in 3s true;");
        for _ in 0..8 {
            said(&mut b, &mut probe);
        }
        assert_eq!(said(&mut b, &mut probe), "TcpExt.A+1 in 10s false;", "the first is forgotten");
        assert_eq!(said(&mut b, &mut probe).len(), 0);
    }

    #[test]
    fn a_burst_that_straddles_two_close_looks_moved_once() {
        let (mut b, mut probe) = (Bench::new(), Probe(Watch::default()));
        b.step = Duration::from_millis(250);
        for value in [5, 6, 7] {
            b.set_counter("TcpExt.A", value);
            said(&mut b, &mut probe);
        }
        assert!(said(&mut b, &mut probe).contains("false"));
        b.set_counter("TcpExt.A", 8);
        assert!(said(&mut b, &mut probe).contains("true"), "at 0.75 s it still moves");
    }

    #[test]
    fn rare_looks_still_compare_two() {
        let (mut b, mut probe) = (Bench::new(), Probe(Watch::default()));
        b.step = Duration::from_secs(60);
        for value in [5, 6, 7] {
            b.set_counter("TcpExt.A", value);
            said(&mut b, &mut probe);
        }
        b.set_counter("TcpExt.A", 8);
        assert_eq!(said(&mut b, &mut probe), "TcpExt.A+2 in 120s true;");
    }

    #[test]
    fn nothing_is_said_from_garbage_or_from_nothing() {
        let (mut b, mut probe) = (Bench::new(), Probe(Watch::default()));
        assert_eq!(said(&mut b, &mut probe), "this kernel does not count TcpExt.A, TcpExt.B");
        b.set_counter("TcpExt.B", 9);
        said(&mut b, &mut probe);
        b.set_counter("TcpExt.B", 8);
        assert_eq!(said(&mut b, &mut probe), "counters went backwards");
        b.set_counter("TcpExt.B", 9);
        assert_eq!(said(&mut b, &mut probe), "TcpExt.B+1 in 1s false;", "memory begins anew");
    }
}
