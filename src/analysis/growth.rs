//! How fast a count grows, against what it was a while ago.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// Counts at two earlier moments, so that growth is always over at least one and at most two periods.
#[derive(Clone, Debug)]
pub struct Baseline<K> {
    period: Duration,
    older: Option<(Duration, PeerMap<K, u32>)>,
    newer: Option<(Duration, PeerMap<K, u32>)>,
}

impl<K: Eq + Hash> Baseline<K> {
    /// A baseline that is renewed each `period`.
    #[must_use]
    pub const fn new(period: Duration) -> Self {
        Self { period, older: None, newer: None }
    }

    /// Growth of `key` per second, now that it counts `count` at `now` (time since the first sample). A key that was not
    /// there then counted 0. `None` until a third of a period was observed.
    #[must_use]
    pub fn growth_per_s(&self, key: &K, count: u32, now: Duration) -> Option<f32> {
        let (at, counts) = self.older.as_ref().or(self.newer.as_ref())?;
        let span = now.saturating_sub(*at);
        if span < self.period / 3 {
            return None;
        }
        let was = counts.get(key).copied().unwrap_or(0);
        #[expect(clippy::cast_possible_truncation, reason = "a rate for people")]
        Some(((f64::from(count) - f64::from(was)) / span.as_secs_f64()) as f32)
    }

    /// The same for a key that was there then; `None` for one that was not.
    #[must_use]
    pub fn growth_of_known_per_s(&self, key: &K, count: u32, now: Duration) -> Option<f32> {
        let (_, counts) = self.older.as_ref().or(self.newer.as_ref())?;
        counts.contains_key(key).then(|| self.growth_per_s(key, count, now))?
    }

    /// Remembers the counts of `now` if a period has passed.
    pub fn renew(&mut self, now: Duration, counts: impl Iterator<Item = (K, u32)>) {
        let due = self.newer.as_ref().is_none_or(|(at, _)| now.saturating_sub(*at) >= self.period);
        if !due {
            return;
        }
        let mut map = peer_map();
        map.extend(counts);
        self.older = self.newer.replace((now, map));
    }
}

/// A map keyed by something that a remote peer chooses: seeded, so that it cannot choose colliding keys.
pub type PeerMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A fresh one.
#[must_use]
pub fn peer_map<K, V>() -> PeerMap<K, V> {
    HashMap::with_hasher(foldhash::fast::RandomState::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn growth_is_against_one_to_two_periods_ago() {
        let mut b = Baseline::new(S(30));
        b.renew(S(0), [("a", 10)].into_iter());
        assert_eq!(b.growth_per_s(&"a", 12, S(5)), None, "too early");
        assert_eq!(b.growth_per_s(&"a", 30, S(10)), Some(2.0));
        assert_eq!(b.growth_per_s(&"new", 10, S(10)), Some(1.0));
        b.renew(S(29), [("a", 1000)].into_iter());
        assert_eq!(b.growth_per_s(&"a", 40, S(30)), Some(1.0), "not renewed before its time");
        b.renew(S(30), [("a", 40)].into_iter());
        b.renew(S(60), [("a", 70)].into_iter());
        assert_eq!(b.growth_per_s(&"a", 160, S(90)), Some(2.0), "against the count at 30 s");
    }
}
