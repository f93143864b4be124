//! The neighbour table is full.

use serde::Deserialize;

use super::moved::{Movements, Watch, known, went_back};
use crate::diagnose::finding::{Confidence, Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{Section, ThresholdError, Thresholds, ascending};
use crate::model::{NeighbourTable, Reading};

/// The rule's id.
pub const ID: &str = "neighbour-table-full";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    info_ratio: f64,
    warning_ratio: f64,
}

impl Section for Numbers {
    fn check(&self) -> Result<(), String> {
        ascending(&[("0", 0.0), ("info_ratio", self.info_ratio), ("warning_ratio", self.warning_ratio)])
    }
}

/// What belongs to one family.
struct Family {
    table: &'static str,
    fulls: &'static str,
    limit: &'static str,
}

const FAMILIES: [Family; 2] = [
    Family {
        table: "/proc/net/stat/arp_cache",
        fulls: "arp_cache.table_fulls",
        limit: "net.ipv4.neigh.default.gc_thresh3",
    },
    Family {
        table: "/proc/net/stat/ndisc_cache",
        fulls: "ndisc_cache.table_fulls",
        limit: "net.ipv6.neigh.default.gc_thresh3",
    },
];

/// A neighbour table is at `gc_thresh3`: addresses that are not in it yet cannot be reached (`neigh_alloc` in
/// `net/core/neighbour.c`). Table and limit are the host's. Permanent entries are listed and not limited, so the fill alone is
/// no proof; the overflow counter is.
pub struct NeighbourTableFull {
    levels: Levels,
    watch: Watch,
}

impl NeighbourTableFull {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        let n: Numbers = thresholds.section(ID)?;
        let levels = Levels { info: Some(n.info_ratio), warning: Some(n.warning_ratio), critical: None };
        Ok(Self { levels, watch: Watch::default() })
    }

    /// The state of one table: how bad, and the evidence.
    fn family(
        &self,
        context: &Context<'_>,
        family: &Family,
        table: &NeighbourTable,
        moved: &Movements,
    ) -> Option<(Severity, Vec<Evidence>)> {
        let limit = context.snapshot.sample.facts.sysctls.number(family.limit);
        let limit = limit.and_then(|n| u64::try_from(n).ok());
        let held = context.held.severity(ID, &Subject::Host);
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let ratio = limit.map(|max| if max == 0 { 1.0 } else { table.entries as f64 / max as f64 });
        let overflowed = moved.get(family.fulls);
        let by_counter = overflowed.map(|m| m.up_to(Severity::Critical));
        let severity = ratio.and_then(|r| self.levels.grade(r, held)).max(by_counter)?;
        let max = limit.map_or(Value::Unknown, Value::Count);
        let mut evidence = vec![
            Evidence::new("entries", Value::Count(table.entries), Source::File(family.table.into()))
                .of_host(),
            Evidence::new("max", max, Source::Sysctl(family.limit.into())).of_host(),
        ];
        evidence.extend(overflowed.map(|m| m.evidence("overflows")));
        Some((severity, evidence))
    }
}

impl Rule for NeighbourTableFull {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let facts = &context.snapshot.sample.facts;
        if facts.neighbours == Reading::Absent {
            return Verdict::NotExamined(
                "the neighbour tables are the host's, and not shown in this namespace".into(),
            );
        }
        let tables = match known(&facts.neighbours, FAMILIES[0].table) {
            Ok(tables) => tables,
            Err(why) => return Verdict::NotExamined(why),
        };
        let moved = self.watch.look(context, &[], |name| FAMILIES.iter().any(|f| f.fulls == name));
        let (moved, blind) = match moved {
            Ok(moved) => {
                (moved, went_back(context, "arp_cache").or_else(|| went_back(context, "ndisc_cache")))
            }
            Err(verdict) => (Movements::default(), Some(verdict)),
        };
        let [v4, v6] = &FAMILIES;
        let of_v4 = self.family(context, v4, &tables.v4, &moved);
        let of_v6 = tables.v6.as_ref().and_then(|t| self.family(context, v6, t, &moved));
        // The worse of both; they have one cure.
        let (variant, worst) = match (of_v4, of_v6) {
            (Some(a), Some(b)) if b.0 > a.0 => ("ipv6", Some(b)),
            (None, Some(b)) => ("ipv6", Some(b)),
            (a, _) => ("ipv4", a),
        };
        let Some((severity, evidence)) = worst else {
            return blind.unwrap_or(Verdict::Quiet);
        };
        let mut draft = Draft::new(severity, Subject::Host, evidence);
        draft.variant = Some(variant);
        if !draft.evidence.iter().any(|e| e.name == "overflows") {
            draft.confidence = Confidence::Medium;
        }
        Verdict::Fires(vec![draft])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, fired};
    use crate::model::{Neighbours, Scope};

    fn set(b: &mut Bench, entries: u64, fulls: u64) {
        let v4 = NeighbourTable { entries, table_fulls: Some(fulls), forced_gc_runs: 0 };
        let v6 = Some(NeighbourTable { entries: 4, ..v4 });
        b.facts.neighbours = Reading::Known(Neighbours { v4, v6 });
        b.set_sysctl(FAMILIES[0].limit, "1000");
        b.set_sysctl(FAMILIES[1].limit, "1000");
    }

    fn rule() -> NeighbourTableFull {
        NeighbourTableFull::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    #[test]
    fn the_fill_warns_and_the_overflow_proves() {
        let by_fill = |entries| {
            let mut b = Bench::new();
            set(&mut b, entries, 7);
            fired(&b.judge(&mut rule())).first().map(|d| (d.severity, d.confidence))
        };
        assert_eq!(by_fill(899), None);
        assert_eq!(by_fill(900), Some((Severity::Info, Confidence::Medium)));
        assert_eq!(by_fill(1000), Some((Severity::Warning, Confidence::Medium)));
        let (mut b, mut r) = (Bench::new(), rule());
        set(&mut b, 10, 7);
        assert!(matches!(b.judge(&mut r), Verdict::AskAgain(_)));
        assert_eq!(b.judge(&mut r), Verdict::Quiet);
        set(&mut b, 10, 8);
        let drafts = fired(&b.judge(&mut r));
        assert_eq!((drafts[0].severity, drafts[0].confidence), (Severity::Info, Confidence::High));
        set(&mut b, 10, 9);
        assert_eq!(fired(&b.judge(&mut r))[0].severity, Severity::Critical);
        assert!(drafts[0].evidence.iter().all(|e| e.scope == Scope::Host));
    }

    #[test]
    fn the_worse_family_is_named() {
        let (mut b, mut r) = (Bench::new(), rule());
        set(&mut b, 10, 0);
        b.set_sysctl(FAMILIES[1].limit, "4");
        assert_eq!(fired(&b.judge(&mut r))[0].variant, Some("ipv6"));
    }

    #[test]
    fn in_another_namespace_it_cannot_be_seen() {
        let mut b = Bench::new();
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(why) if why.contains("host")));
        b.facts.neighbours = Reading::Unreadable("no".into());
        assert_eq!(b.judge(&mut rule()), Verdict::NotExamined("no".into()));
    }
}
