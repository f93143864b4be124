//! The table of connection tracking.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::moved::{Movements, Watch};
use crate::analysis::{Limit, LimitId};
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::Endpoint;

/// The rule's id.
pub const FULL: &str = "conntrack-full";
/// The other rule's id.
pub const CLASH: &str = "conntrack-clash";

/// The rule about connects that nobody answers.
const SYN_SENT: &str = "syn-sent-pileup";

const DROP: &str = "conntrack.drop";
const EARLY_DROP: &str = "conntrack.early_drop";
const INSERT_FAILED: &str = "conntrack.insert_failed";
const COUNTERS: &[&str] = &[DROP, EARLY_DROP, INSERT_FAILED];

/// The fill of the table as evidence.
fn fill(limit: &Limit) -> [Evidence; 2] {
    let file = |name: &str| Source::Sysctl(format!("net.netfilter.{name}").into());
    [
        Evidence::new("entries", Value::Count(limit.used), file("nf_conntrack_count")),
        Evidence::new("max", Value::Count(limit.max), file("nf_conntrack_max")).of_host(),
    ]
}

fn limit<'a>(context: &Context<'a>) -> Result<&'a Limit, Verdict> {
    super::limit(context, LimitId::Conntrack, "connection tracking is not known here")
}

/// Whether the counters are there: without them the fill alone is judged, in this case for ever.
fn has_stats(context: &Context<'_>) -> bool {
    context.snapshot.sample.facts.conntrack.known().is_some_and(|c| c.stats.is_some())
}

/// The table is full or nearly so: new connections of every protocol are dropped (`__nf_conntrack_alloc` in
/// `net/netfilter/nf_conntrack_core.c`).
pub struct ConntrackFull {
    levels: Levels,
    watch: Watch,
}

impl ConntrackFull {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { levels: Levels::of_ratios(thresholds, FULL)?, watch: Watch::default() })
    }
}

impl Rule for ConntrackFull {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let limit = match limit(context) {
            Ok(limit) => limit,
            Err(verdict) => return verdict,
        };
        // Without the statistics, or at the first look, the fill alone is judged.
        let moved = self.watch.named(context, COUNTERS);
        let nothing = Movements::default();
        let m = moved.as_ref().unwrap_or(&nothing);
        // Every failed insert is counted as a drop too (nf_ct_resolve_clash): what is beyond was refused an entry.
        let refused = m.delta(DROP).saturating_sub(m.delta(INSERT_FAILED));
        let evicted = m.delta(EARLY_DROP);
        let by_fill = self.levels.grade(limit.ratio(), context.held.severity(FULL, &Subject::Host));
        let graded = |n, counter| m.get(counter).filter(|_| n > 0).map(|m| m.up_to(Severity::Critical));
        let by_counters = graded(refused, DROP).max(graded(evicted, EARLY_DROP));
        let Some(severity) = by_fill.max(by_counters) else {
            // What could not be seen of the counters stays unsaid only when the fill can be judged now.
            return match moved {
                Err(ask @ Verdict::AskAgain(_)) => ask,
                Err(why) if context.snapshot.elapsed.is_some() && has_stats(context) => why,
                _ => Verdict::Quiet,
            };
        };
        let mut evidence = vec![Evidence::new("ratio", Value::Ratio(limit.ratio()), Source::Observed)];
        evidence.extend(fill(limit));
        let counted =
            |name, n, counter: &str| Evidence::new(name, Value::Count(n), Source::Counter(counter.into()));
        if refused > 0 {
            evidence.push(counted("refused", refused, DROP));
        }
        if evicted > 0 {
            evidence.push(counted("early_drop", evicted, EARLY_DROP));
        }
        Verdict::Fires(vec![Draft::new(severity, Subject::Host, evidence)])
    }
}

/// How long repeated SYNs are remembered: as long as [`Watch`] remembers what failed.
const REMEMBERED: Duration = Duration::from_secs(10);

/// How many insertions failed between two looks, and how many SYNs were sent to whom without an answer.
struct Sent {
    at: Duration,
    failed: u64,
    syns: Vec<(Endpoint, u64)>,
}

/// The SYNs of this namespace that get no answer, beside the insertions that fail.
#[derive(Default)]
struct Unanswered {
    /// How often each connection had repeated its SYN at the look before.
    repeats: Option<FxHashMap<u64, u8>>,
    past: VecDeque<Sent>,
    /// How many connections wait for an answer of whom.
    waiting: BTreeMap<Endpoint, u64>,
}

impl Unanswered {
    fn look(&mut self, context: &Context<'_>, failed: u64) {
        let s = context.snapshot;
        let rows =
            || context.survey.syn_sent.rows.iter().filter_map(|at| s.sample.table.rows.get(*at as usize));
        let repeats = rows().map(|r| (r.cookie(), r.retrans)).collect();
        self.waiting.clear();
        for row in rows() {
            *self.waiting.entry(row.peer_endpoint()).or_default() += 1;
        }
        let previous = self.repeats.replace(repeats);
        let Some(previous) = previous else { return };
        let mut syns: BTreeMap<Endpoint, u64> = BTreeMap::new();
        for row in rows() {
            let sent = previous
                .get(&row.cookie())
                .map_or(row.retrans.saturating_add(1), |was| row.retrans.saturating_sub(*was));
            *syns.entry(row.peer_endpoint()).or_default() += u64::from(sent);
        }
        syns.retain(|_, n| *n > 0);
        self.past.push_back(Sent { at: s.observed, failed, syns: syns.into_iter().collect() });
        while self.past.front().is_some_and(|p| s.observed.saturating_sub(p.at) >= REMEMBERED) {
            self.past.pop_front();
        }
    }

    /// The destinations to which as many SYNs were sent as insertions failed, together or one alone: their packets are those
    /// that the clash dropped.
    fn of_the_clash(&self) -> Vec<Endpoint> {
        let failed: u64 = self.past.iter().map(|p| p.failed).sum();
        let mut to: BTreeMap<Endpoint, u64> = BTreeMap::new();
        for (peer, n) in self.past.iter().flat_map(|p| &p.syns) {
            *to.entry(*peer).or_default() += n;
        }
        // Table and counters are not read at the same instant: a SYN of each that waits may be in one and not in the other.
        let near = |sent: u64| failed > 0 && failed * 4 >= sent * 3 && failed * 2 <= sent * 3;
        let alike = |sent: u64, waiting: u64| near(sent) || near(sent + waiting);
        let all = alike(to.values().sum(), self.waiting.values().sum());
        let of = |peer: &Endpoint| to.get(peer).copied().unwrap_or(0);
        self.waiting.iter().filter(|(peer, n)| all || alike(of(peer), **n)).map(|(peer, _)| *peer).collect()
    }
}

/// Entries that could not be inserted though the table has room: two packets raced for one tuple, or a source NAT found
/// no free port (`__nf_conntrack_confirm`).
pub struct ConntrackClash {
    full: Levels,
    watch: Watch,
    unanswered: Unanswered,
}

impl ConntrackClash {
    /// The rule; a table that [`ConntrackFull`] warns about is not its business.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        let full = Levels::of_ratios(thresholds, FULL)?;
        Ok(Self { full, watch: Watch::default(), unanswered: Unanswered::default() })
    }
}

impl Rule for ConntrackClash {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let limit = match limit(context) {
            Ok(limit) => limit,
            Err(verdict) => return verdict,
        };
        let rates = &context.snapshot.rates;
        let failed = rates.iter().find(|r| &*r.name == INSERT_FAILED).map_or(0, |r| r.delta);
        // Also at the first look, at which nothing can be said: what moves until the second is known then.
        self.unanswered.look(context, failed);
        let moved = match self.watch.named(context, COUNTERS) {
            Ok(moved) => moved,
            Err(verdict) => return verdict,
        };
        let Some(clashes) = moved.get(INSERT_FAILED) else { return Verdict::Quiet };
        if self.full.grade(limit.ratio(), None).is_some() || moved.delta(EARLY_DROP) > 0 {
            return Verdict::Quiet;
        }
        let mut evidence = vec![clashes.evidence("insert_failed"), clashes.rate(), clashes.window()];
        evidence.extend(fill(limit));
        let dropped = self.unanswered.of_the_clash().into_iter();
        let explains = dropped.map(|peer| (SYN_SENT, Subject::Destination { local: None, peer })).collect();
        Verdict::Fires(vec![Draft { explains, ..Draft::new(clashes.severity(), Subject::Host, evidence) }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::judge::Judge;
    use crate::diagnose::testing::{Bench, built, fired};
    use crate::model::{Conntrack, ConntrackStats, Reading, TcpState};
    use crate::testkit::socket;

    fn set(b: &mut Bench, count: u64, stats: impl Into<Option<ConntrackStats>>) {
        let stats = stats.into();
        b.facts.conntrack = Reading::Known(Conntrack { count, max: 1000, buckets: None, stats });
    }

    fn stats(drop: u64, early_drop: u64, insert_failed: u64) -> ConntrackStats {
        ConntrackStats { insert_failed, drop, early_drop, ..ConntrackStats::default() }
    }

    fn full() -> ConntrackFull {
        ConntrackFull::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn clash() -> ConntrackClash {
        ConntrackClash::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    #[test]
    fn the_table_is_judged_by_its_fill_at_the_first_look() {
        let by_fill = |count| {
            let mut b = Bench::new();
            set(&mut b, count, None);
            fired(&b.judge(&mut full())).first().map(|d| d.severity)
        };
        assert_eq!(by_fill(799), None);
        assert_eq!(by_fill(800), Some(Severity::Warning));
        assert_eq!(by_fill(950), Some(Severity::Critical));
    }

    #[test]
    fn entries_that_are_refused_or_evicted_again_and_again_are_critical_at_any_fill() {
        for (once, again) in [(stats(6, 5, 5), stats(7, 5, 5)), (stats(5, 6, 5), stats(5, 7, 5))] {
            let (mut b, mut rule) = (Bench::new(), full());
            set(&mut b, 10, stats(5, 5, 5));
            assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
            assert_eq!(b.judge(&mut rule), Verdict::Quiet);
            set(&mut b, 10, once);
            assert_eq!(fired(&b.judge(&mut rule))[0].severity, Severity::Info);
            set(&mut b, 10, again);
            assert_eq!(fired(&b.judge(&mut rule))[0].severity, Severity::Critical);
        }
    }

    #[test]
    fn drops_that_failed_inserts_explain_are_a_clash_and_no_full_table() {
        let (mut b, mut f, mut c) = (Bench::new(), full(), clash());
        set(&mut b, 10, stats(5, 0, 5));
        b.judge(&mut f);
        set(&mut b, 10, stats(9, 0, 9));
        assert_eq!(b.judge(&mut f), Verdict::Quiet);
        set(&mut b, 10, stats(9, 0, 9));
        assert!(matches!(Bench::new().judge(&mut c), Verdict::NotExamined(_)));
        let mut b = Bench::new();
        set(&mut b, 10, stats(0, 0, 0));
        assert!(matches!(b.judge(&mut c), Verdict::AskAgain(_)));
        set(&mut b, 10, stats(1, 0, 1));
        let once = fired(&b.judge(&mut c));
        assert_eq!((once[0].severity, &once[0].evidence[0].value), (Severity::Info, &Value::Count(1)));
        set(&mut b, 799, stats(2, 0, 2));
        assert_eq!(fired(&b.judge(&mut c))[0].severity, Severity::Warning);
        set(&mut b, 800, stats(3, 0, 3));
        assert_eq!(b.judge(&mut c), Verdict::Quiet, "a full table is another disease");
    }

    /// Looks at six connects to each of these ports, all of which repeat their SYN at every look while so many insertions
    /// fail; the findings at the end.
    fn unanswered(ports: &[u16], failed: u64) -> Vec<(&'static str, Vec<&'static str>)> {
        let mut b = Bench::new();
        for (n, port) in (0_u16..).zip(ports.iter().flat_map(|port| [*port; 6])) {
            let mut row =
                socket(TcpState::SynSent, &format!("10.0.0.5:{}", 40_000 + n), &format!("10.0.4.2:{port}"));
            row.set_cookie(u32::from(n) + 1, 0);
            b.rows.push(row);
        }
        let mut judge = Judge::new(built(&[CLASH, SYN_SENT]));
        let mut found = Vec::new();
        for look in 0..5 {
            set(&mut b, 10, stats(u64::from(look) * failed, 0, u64::from(look) * failed));
            b.rows.iter_mut().for_each(|row| row.retrans = 2 + look);
            found = b.judged(&mut judge).findings;
        }
        found.sort_by_key(|f| f.rule);
        found.into_iter().map(|f| (f.rule, f.explained)).collect()
    }

    #[test]
    fn connects_whose_syns_it_dropped_are_part_of_it() {
        assert_eq!(unanswered(&[443], 6), [(CLASH, vec![SYN_SENT])]);
        assert_eq!(unanswered(&[443, 80], 12), [(CLASH, vec![SYN_SENT, SYN_SENT])]);
    }

    #[test]
    fn a_batch_of_syns_between_the_table_and_the_counters_is_theirs_all_the_same() {
        let folded = |failed| {
            let mut b = Bench::new();
            for n in 0..6_u16 {
                let mut row = socket(TcpState::SynSent, &format!("10.0.0.5:{}", 40_000 + n), "10.0.4.2:443");
                row.set_cookie(u32::from(n) + 1, 0);
                row.retrans = 2;
                b.rows.push(row);
            }
            let mut judge = Judge::new(built(&[CLASH, SYN_SENT]));
            set(&mut b, 10, stats(0, 0, 0));
            b.judged(&mut judge);
            set(&mut b, 10, stats(failed, 0, failed));
            b.judged(&mut judge).findings.len() == 1
        };
        assert!(folded(6));
        assert!(!folded(1), "one failure is none of six connects that wait");
    }

    #[test]
    fn connects_that_another_drops_are_another_finding() {
        assert_eq!(unanswered(&[443], 2), [(CLASH, vec![]), (SYN_SENT, vec![])], "more SYNs than failures");
        assert_eq!(unanswered(&[443], 60), [(CLASH, vec![]), (SYN_SENT, vec![])], "more failures than SYNs");
        let both = unanswered(&[443, 80], 60);
        assert_eq!(both.len(), 3, "{both:?}");
        assert_eq!(unanswered(&[443], 0), [(SYN_SENT, vec![])]);
    }

    #[test]
    fn without_the_module_or_the_statistics_it_says_so() {
        let mut b = Bench::new();
        let why = Verdict::NotExamined("connection tracking is not loaded".into());
        assert_eq!(b.judge(&mut full()), why);
        assert_eq!(b.judge(&mut clash()), why);
        set(&mut b, 10, None);
        assert!(matches!(b.judge(&mut clash()), Verdict::NotExamined(_)));
    }

    #[test]
    fn statistics_that_went_back_are_not_judged() {
        let (mut b, mut rule) = (Bench::new(), clash());
        set(&mut b, 10, stats(5, 0, 5));
        b.look();
        set(&mut b, 10, stats(0, 0, 0));
        assert!(matches!(b.judge(&mut rule), Verdict::NotExamined(_)));
    }
}
