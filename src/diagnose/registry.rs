//! The one list of rules: the list of names, thresholds, documents, `explain` and the completeness tests are made from it.

use super::rule::RuleSpec;
use super::{counters, sockets, sysctls};

/// Every rule, by family.
pub const RULES: &[&[RuleSpec]] = &[sockets::RULES, counters::RULES, sysctls::RULES];

/// All rules in one row.
pub fn all() -> impl Iterator<Item = &'static RuleSpec> {
    RULES.iter().copied().flatten()
}

/// The rule of an id.
#[must_use]
pub fn spec(id: &str) -> Option<&'static RuleSpec> {
    all().find(|s| s.id == id)
}

#[cfg(test)]
mod tests {
    use super::super::Thresholds;
    use super::*;

    #[test]
    fn ids_are_unique() {
        let mut ids: Vec<_> = all().map(|s| s.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn every_rule_can_be_built_with_the_defaults_and_every_threshold_has_a_rule() {
        let thresholds = Thresholds::defaults().unwrap();
        for s in all() {
            assert!((s.build)(&thresholds).is_ok(), "{}", s.id);
        }
        for rule in thresholds.rules() {
            assert!(spec(rule).is_some(), "{rule} has thresholds and no code");
        }
    }
}
