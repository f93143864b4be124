//! Which rules judge, and with which numbers.

use super::judge::Judge;
use super::registry;
use super::rule::RuleSpec;
use super::thresholds::{ThresholdError, Thresholds};
use crate::model::Protocols;

/// How many near names are offered for one that does not exist.
const NEAR: usize = 3;

/// From which likeness on a name is near.
pub(super) const LIKE: f64 = 0.8;

/// A rule id that does not exist.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no rule `{name}`; {}", hint(.nearest))]
pub struct UnknownRule {
    /// What was asked for.
    pub name: String,
    /// Names that are spelled like it, the nearest first.
    pub nearest: Vec<&'static str>,
}

fn hint(nearest: &[&str]) -> String {
    match nearest {
        [] => "`tcptop explain` lists all".to_owned(),
        nearest => format!("did you mean {}?", nearest.join(", ")),
    }
}

/// The rule of an id, or the names that are near.
///
/// # Errors
/// There is no such rule.
pub fn find(id: &str) -> Result<&'static RuleSpec, UnknownRule> {
    registry::spec(id).ok_or_else(|| {
        let mut near: Vec<_> = registry::all().map(|s| (strsim::jaro_winkler(id, s.id), s.id)).collect();
        near.retain(|(likeness, _)| *likeness >= LIKE);
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        UnknownRule { name: id.into(), nearest: near.into_iter().take(NEAR).map(|(_, id)| id).collect() }
    })
}

/// The rules that judge, with thresholds that were found to make sense.
#[derive(Clone, Debug)]
pub struct RuleBook {
    specs: Vec<&'static RuleSpec>,
    thresholds: Thresholds,
}

impl RuleBook {
    /// Every rule under these thresholds.
    ///
    /// # Errors
    /// A threshold makes no sense.
    pub fn new(thresholds: Thresholds) -> Result<Self, ThresholdError> {
        for spec in registry::all() {
            (spec.build)(&thresholds)?;
        }
        Ok(Self { specs: registry::all().collect(), thresholds })
    }

    /// Every rule under the default thresholds.
    ///
    /// # Errors
    /// Never, as a test proves.
    pub fn defaults() -> Result<Self, ThresholdError> {
        Self::new(Thresholds::defaults()?)
    }

    /// Keeps only the rules of `only`, if there are any, without those of `skip`; see [`find`] for names.
    #[must_use]
    pub fn choose(mut self, only: &[&RuleSpec], skip: &[&RuleSpec]) -> Self {
        let named = |specs: &[&RuleSpec], s: &RuleSpec| specs.iter().any(|n| n.id == s.id);
        self.specs.retain(|s| (only.is_empty() || named(only, s)) && !named(skip, s));
        self
    }

    /// Keeps only the rules that find faults of one of these protocols.
    #[must_use]
    pub fn about(mut self, protocols: Protocols) -> Self {
        self.specs.retain(|s| s.about.meet(protocols));
        self
    }

    /// The ids of the rules that judge.
    pub fn ids(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.specs.iter().map(|s| s.id)
    }

    /// A judge for one namespace.
    #[must_use]
    pub fn judge(&self) -> Judge {
        // `new` has built each of them with these very thresholds.
        Judge::new(self.specs.iter().filter_map(|s| Some((s.id, (s.build)(&self.thresholds).ok()?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(only: &[&str], skip: &[&str]) -> Vec<&'static str> {
        let specs = |ids: &[&str]| ids.iter().map(|id| find(id).unwrap()).collect::<Vec<_>>();
        RuleBook::defaults().unwrap().choose(&specs(only), &specs(skip)).ids().collect()
    }

    #[test]
    fn rules_can_be_chosen_and_left_out() {
        assert_eq!(ids(&[], &[]).len(), registry::all().count());
        assert_eq!(ids(&["orphan-limit"], &[]), ["orphan-limit"]);
        assert!(ids(&["orphan-limit"], &["orphan-limit"]).is_empty());
        assert!(!ids(&[], &["orphan-limit"]).contains(&"orphan-limit"));
    }

    #[test]
    fn rules_of_a_protocol_are_its_own_and_those_of_both() {
        let of = |p| RuleBook::defaults().unwrap().about(p).ids().collect::<Vec<_>>();
        let (tcp, udp) = (of(Protocols::TCP), of(Protocols::UDP));
        for (id, is_of_tcp, is_of_udp) in [
            ("close-wait-leak", true, false),
            ("udp-buffer-errors", false, true),
            ("conntrack-full", true, true),
        ] {
            assert_eq!((tcp.contains(&id), udp.contains(&id)), (is_of_tcp, is_of_udp), "{id}");
        }
        assert_eq!(of(Protocols::BOTH).len(), registry::all().count());
    }

    #[test]
    fn a_name_that_is_none_brings_the_nearest() {
        let e = find("orphans-limit").unwrap_err();
        assert_eq!(e.nearest.first(), Some(&"orphan-limit"));
        assert!(e.to_string().starts_with("there is no rule `orphans-limit`; did you mean orphan-limit"));
    }

    #[test]
    fn senseless_thresholds_are_refused_before_anything_is_judged() {
        let mut t = Thresholds::defaults().unwrap();
        t.set("orphan-limit.warning_ratio=0.9").unwrap();
        assert!(matches!(RuleBook::new(t), Err(ThresholdError::Senseless { .. })));
    }

    #[test]
    fn every_rule_gets_into_the_judge() {
        let book = RuleBook::defaults().unwrap();
        assert_eq!(book.judge().rule_count(), registry::all().count());
    }
}
