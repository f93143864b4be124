//! The counters that have moved since the first look, so that one that rests for a moment does not vanish.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Rates, Snapshot};
use crate::model::Scope;

/// A counter that moved at least once since the first look.
#[derive(Clone, PartialEq, Debug)]
pub struct CounterPast {
    /// As in [`CounterRate`](super::CounterRate).
    pub name: Arc<str>,
    /// Which part of the machine it counts.
    pub scope: Scope,
    /// By how much since the previous look; 0 while it rests.
    pub delta: u64,
    /// The same per second.
    pub per_s: f64,
    /// By how much since the first look.
    pub since_first: u64,
    /// When it last moved: time after the first look.
    pub moved: Duration,
    /// Its rate per second at the last looks, oldest first, at most [`CounterPast::LOOKS`]: from its first movement on.
    pub past: Vec<f32>,
}

impl CounterPast {
    /// How many rates are remembered.
    pub const LOOKS: usize = 60;

    fn remember(&mut self) {
        if self.past.len() == Self::LOOKS {
            self.past.remove(0);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a line for people")]
        self.past.push(self.per_s as f32);
    }
}

impl Snapshot {
    /// What is known of a counter that has moved since the first look.
    #[must_use]
    pub fn past(&self, counter: &str) -> Option<&CounterPast> {
        let at = self.moved.binary_search_by(|past| (*past.name).cmp(counter)).ok()?;
        self.moved.get(at)
    }
}

/// Remembers what moved, look by look.
#[derive(Debug, Default)]
pub(super) struct Moved(BTreeMap<Arc<str>, CounterPast>);

impl Moved {
    /// How many counters are remembered. The kernel has some hundreds; interfaces with names of their own come and go.
    const MAX: usize = 2048;

    /// Takes what moved between the previous look and the one at `observed`.
    pub fn look(&mut self, rates: &Rates, observed: Duration) -> Arc<[CounterPast]> {
        for past in self.0.values_mut() {
            (past.delta, past.per_s) = (0, 0.0);
        }
        for rate in &rates.moved {
            if !self.0.contains_key(&*rate.name) {
                let name: Arc<str> = Arc::from(&*rate.name);
                let past = CounterPast {
                    name: Arc::clone(&name),
                    scope: rate.scope,
                    delta: 0,
                    per_s: 0.0,
                    since_first: 0,
                    moved: observed,
                    past: Vec::new(),
                };
                self.0.insert(name, past);
            }
            if let Some(past) = self.0.get_mut(&*rate.name) {
                (past.delta, past.per_s, past.moved) = (rate.delta, rate.per_s, observed);
                past.since_first = past.since_first.saturating_add(rate.delta);
            }
        }
        self.forget();
        self.0.values_mut().for_each(CounterPast::remember);
        self.0.values().cloned().collect()
    }

    /// Forgets those that have rested longest, where there are too many.
    fn forget(&mut self) {
        while self.0.len() > Self::MAX {
            let Some(oldest) = self.0.values().min_by_key(|p| p.moved).map(|p| Arc::clone(&p.name)) else {
                return;
            };
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::CounterRate;

    fn rates(moved: &[(&str, u64)]) -> Rates {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let rate = |(name, delta): &(&str, u64)| CounterRate {
            name: (*name).into(),
            scope: Scope::Namespace,
            delta: *delta,
            per_s: *delta as f64 / 2.0,
        };
        Rates { moved: moved.iter().map(rate).collect(), ..Rates::default() }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_counter_that_rests_stays_with_what_it_did_before() {
        let mut moved = Moved::default();
        moved.look(&rates(&[("Tcp.B", 4), ("Tcp.A", 1)]), at(2));
        let seen = moved.look(&rates(&[("Tcp.B", 6)]), at(4));
        let told: Vec<_> = seen.iter().map(|p| (&*p.name, p.delta, p.since_first, p.moved)).collect();
        assert_eq!(told, [("Tcp.A", 0, 1, at(2)), ("Tcp.B", 6, 10, at(4))]);
        assert_eq!((&seen[0].past[..], &seen[1].past[..]), (&[0.5, 0.0][..], &[2.0, 3.0][..]));
        assert!((seen[1].per_s - 3.0).abs() < f64::EPSILON && seen[0].per_s == 0.0);
    }

    #[test]
    fn the_last_rates_are_kept() {
        let mut moved = Moved::default();
        for n in 1..=100 {
            moved.look(&rates(&[("Tcp.A", 2 * n)]), at(n));
        }
        let seen = moved.look(&rates(&[]), at(101));
        let past = &seen[0].past;
        assert_eq!((past.len(), past[0], past[58], past[59]), (CounterPast::LOOKS, 42.0, 100.0, 0.0));
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let mut moved = Moved::default();
        moved.look(&rates(&[("kept.first", 1)]), at(1));
        let names: Vec<String> = (0..Moved::MAX).map(|n| format!("dev.veth{n}.rx_bytes")).collect();
        let many: Vec<_> = names.iter().map(|n| (n.as_str(), 1)).collect();
        let seen = moved.look(&rates(&many), at(2));
        assert_eq!(seen.len(), Moved::MAX);
        assert!(seen.iter().all(|p| &*p.name != "kept.first"), "the one that rested longest went");
    }
}
