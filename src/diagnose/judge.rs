//! Runs the rules over one namespace, look by look, and remembers what holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::details::Details;
use super::finding::{Draft, Finding, NotExamined, Severity, Source, Status, Subject, Value};
use super::lineage::inherit;
use super::registry;
use super::rule::{Context, Family, Held, Rule, Verdict};
use super::survey::Survey;
use super::sysctls::LastAudit;
use crate::analysis::{Snapshot, World};
use crate::model::{Gap, Host, SocketDetail, SocketRow, TableSource};

/// How long a finding that cleared stays visible.
pub const LINGERS: Duration = Duration::from_secs(60);

/// How many values of a finding's main number are remembered.
const HISTORY: usize = 120;

/// How many sockets may be asked for their `tcp_info` at one look: at 2 to 2.5 µs each, a few milliseconds.
pub const DETAIL_BUDGET: usize = 4096;

/// What came of one look at one namespace.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Judgement {
    /// Findings, worst first, then oldest.
    pub findings: Vec<Finding>,
    /// Rules that could not be judged, and why.
    pub not_examined: Vec<NotExamined>,
    /// Rules that need a longer observation, and for what.
    pub ask_again: Vec<NotExamined>,
}

impl Judgement {
    /// Every rule that gave no answer, and why.
    pub fn unjudged(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let not_examined = self.not_examined.iter().map(|n| (n.rule, n.reason.clone()));
        let longer = |n: &NotExamined| (n.rule, format!("needs a longer observation: {}", n.reason));
        not_examined.chain(self.ask_again.iter().map(longer))
    }

    /// The worst severity among the findings that hold.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().filter(|f| f.status == Status::Firing).map(|f| f.draft.severity).max()
    }
}

/// A look at the machine, judged: what screen and reports show.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What was seen.
    pub world: Arc<World>,
    /// What follows for each namespace, in the order of [`World::snapshots`]; empty where nothing was judged.
    pub judgements: Vec<Judgement>,
}

impl Judged {
    /// The same, a namespace at a time.
    pub fn each(&self) -> impl Iterator<Item = Self> + '_ {
        self.world.snapshots.iter().enumerate().map(|(n, snapshot)| Self {
            world: Arc::new(World { snapshots: vec![Arc::clone(snapshot)], ..(*self.world).clone() }),
            judgements: self.judgements.get(n).cloned().into_iter().collect(),
        })
    }
}

/// The rules with their memory, for one namespace.
pub struct Judge {
    rules: Rules,
    details: Details,
    audit: LastAudit,
    held: Held,
    findings: BTreeMap<(&'static str, Subject), Finding>,
}

impl Judge {
    /// A judge with these rules.
    pub fn new(rules: impl Iterator<Item = (&'static str, Box<dyn Rule>)>) -> Self {
        Self {
            rules: rules.collect(),
            details: Details::default(),
            audit: LastAudit::default(),
            held: Held::default(),
            findings: BTreeMap::new(),
        }
    }

    /// How many rules judge.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// Judges one look. `ask` answers an exact question about a socket; it is called for at most
    /// [`DETAIL_BUDGET`] of them.
    pub fn look(
        &mut self,
        host: &Host,
        snapshot: &Snapshot,
        ask: &mut dyn FnMut(&SocketRow) -> Option<SocketDetail>,
    ) -> Judgement {
        let survey = &Survey::of(snapshot);
        let owners = snapshot.owners.as_deref();
        let rows = &snapshot.sample.table.rows;
        let audit = self.audit.renew(host, &snapshot.sample.facts);
        let (details, held) = (&self.details, &self.held);
        let wanted =
            wants(&mut self.rules, &Context { host, snapshot, survey, owners, audit, details, held });
        let answers = wanted.iter().filter_map(|n| {
            let row = rows.get(*n as usize)?;
            Some((row.cookie(), ask(row)?))
        });
        self.details.renew(snapshot.observed, answers);
        let (details, held) = (&self.details, &self.held);
        let context = Context { host, snapshot, survey, owners, audit, details, held };
        let (drafts, judgement) = judge(&mut self.rules, &context);
        self.conclude(snapshot.observed, drafts, judgement)
    }

    pub(super) fn conclude(
        &mut self,
        now: Duration,
        mut drafts: Drafts,
        mut judgement: Judgement,
    ) -> Judgement {
        let folded = fold_explained(&mut drafts);
        self.settle(now, drafts, &folded, &judgement);
        judgement.findings = self.findings.values().cloned().collect();
        judgement.findings.sort_by(|a, b| {
            let key =
                |f: &Finding| (f.status != Status::Firing, std::cmp::Reverse(f.draft.severity), f.since);
            key(a).cmp(&key(b))
        });
        judgement
    }

    fn settle(&mut self, now: Duration, drafts: Drafts, folded: &Folded, judgement: &Judgement) {
        let mut firing = FxHashSet::default();
        self.held.0.clear();
        for (key, severity) in &folded.gone {
            // It goes on as a part of its cause, and is not over.
            self.findings.remove(key);
            self.held.0.insert(key.clone(), *severity);
        }
        inherit(&mut self.findings, &drafts, now);
        for (rule, draft) in drafts {
            let key = (rule, draft.subject.clone());
            self.held.0.insert(key.clone(), draft.severity);
            firing.insert(key.clone());
            let number = draft.evidence.first().and_then(|e| main_number(&e.value));
            let finding = self.findings.entry(key.clone()).or_insert_with(|| Finding {
                rule,
                draft: draft.clone(),
                since: now,
                status: Status::Firing,
                history: Vec::new(),
                explained: Vec::new(),
                formerly: Vec::new(),
            });
            if finding.status != Status::Firing {
                // What had cleared begins anew; what could not be examined goes on.
                if matches!(finding.status, Status::Clearing(_)) {
                    finding.since = now;
                }
                finding.status = Status::Firing;
            }
            finding.draft = draft;
            finding.explained = folded.into.get(&key).cloned().unwrap_or_default();
            if finding.history.len() == HISTORY {
                finding.history.remove(0);
            }
            finding.history.extend(number);
        }
        for (key, finding) in &mut self.findings {
            if firing.contains(key) {
                continue;
            }
            if let Some(why) = judgement.not_examined.iter().find(|n| n.rule == key.0) {
                if finding.status == Status::Firing {
                    finding.status = Status::Unknown(why.reason.clone());
                }
                // Hysteresis goes on where it stopped once it can be examined again.
                if matches!(finding.status, Status::Unknown(_)) {
                    self.held.0.insert(key.clone(), finding.draft.severity);
                }
            } else if !matches!(finding.status, Status::Clearing(_)) {
                finding.status = Status::Clearing(now);
            }
        }
        self.findings.retain(|_, f| match f.status {
            Status::Clearing(since) => now.saturating_sub(since) < LINGERS,
            Status::Firing | Status::Unknown(_) => true,
        });
    }
}

type Rules = Vec<(&'static str, Box<dyn Rule>)>;
pub(super) type Drafts = Vec<(&'static str, Draft)>;

/// Rows whose `tcp_info` the rules need, each once, at most [`DETAIL_BUDGET`].
fn wants(rules: &mut Rules, context: &Context<'_>) -> Vec<u32> {
    let wishes: Vec<Vec<u32>> = rules.iter_mut().map(|(_, r)| r.wants(context)).collect();
    // The first wish of every rule before the second of any: no rule can use up the budget alone.
    let mut chosen = Vec::new();
    let mut seen = FxHashSet::default();
    let longest = wishes.iter().map(Vec::len).max().unwrap_or(0);
    for n in 0..longest {
        for row in wishes.iter().filter_map(|w| w.get(n)) {
            if chosen.len() == DETAIL_BUDGET {
                return chosen;
            }
            if seen.insert(*row) {
                chosen.push(*row);
            }
        }
    }
    chosen
}

fn judge(rules: &mut Rules, context: &Context<'_>) -> (Drafts, Judgement) {
    let mut drafts = Vec::new();
    let mut judgement = Judgement::default();
    for (id, rule) in rules {
        match rule.judge(context) {
            Verdict::Quiet => {
                let reason = by_table(id).then(|| incomplete(context)).flatten();
                judgement.not_examined.extend(reason.map(|reason| NotExamined { rule: id, reason }));
            }
            Verdict::Fires(found) => drafts.extend(found.into_iter().map(|d| (*id, sourced(d, context)))),
            Verdict::AskAgain(what) => {
                judgement.ask_again.push(NotExamined { rule: id, reason: what.into() });
            }
            Verdict::NotExamined(reason) => judgement.not_examined.push(NotExamined { rule: id, reason }),
        }
    }
    (drafts, judgement)
}

/// A draft whose evidence of the socket table names where the table came from.
fn sourced(mut draft: Draft, context: &Context<'_>) -> Draft {
    let source = context.snapshot.sample.completeness.source;
    if source == TableSource::Procfs {
        for evidence in draft.evidence.iter_mut().filter(|e| e.source == Source::SockDiag) {
            evidence.source = Source::File(source.name().into());
        }
    }
    draft
}

/// Whether a rule finds what is in the socket table.
fn by_table(id: &str) -> bool {
    registry::spec(id).is_some_and(|spec| spec.family == Family::Sockets)
}

/// Why rows may be missing in the table, if they may: that nothing was found in it then proves nothing.
fn incomplete(context: &Context<'_>) -> Option<String> {
    let gaps = &context.snapshot.sample.completeness.gaps;
    // What these do not show is the rules' own business.
    let gap = gaps.iter().find(|gap| !matches!(gap, Gap::BoundInactiveHidden | Gap::NoSockDiag(_)))?;
    Some(format!("the socket table is incomplete: {gap}"))
}

/// What makes a finding the same from look to look.
pub(super) type Key = (&'static str, Subject);

/// Drafts that became part of another.
#[derive(Default)]
struct Folded {
    /// The rules that were folded into each finding.
    into: BTreeMap<Key, Vec<&'static str>>,
    /// What was folded, and how bad it was.
    gone: Vec<(Key, Severity)>,
}

/// Takes out the drafts that another explains.
fn fold_explained(drafts: &mut Drafts) -> Folded {
    let mut folded = Folded::default();
    let key = |(rule, d): &(&'static str, Draft)| (*rule, d.subject.clone());
    let explains = |(rule, d): &(&'static str, Draft)| {
        let cause = (*rule, d.subject.clone());
        d.explains.iter().map(|effect| (effect.clone(), cause.clone())).collect::<Vec<_>>()
    };
    let parts = drafts.iter().filter_map(|part| {
        let whole = drafts.iter().find(|(rule, _)| Some(*rule) == part.1.part_of)?;
        Some((key(part), key(whole)))
    });
    let causes: Vec<_> = drafts.iter().flat_map(explains).chain(parts).collect();
    let mut parent: BTreeMap<Key, Key> = BTreeMap::new();
    for (effect, mut cause) in causes {
        // Its cause may be a part of another by now; of two that explain each other the first holds.
        while let Some(whole) = parent.get(&cause) {
            cause = whole.clone();
        }
        if effect == cause {
            continue;
        }
        let at = drafts.iter().position(|(rule, d)| (*rule, &d.subject) == (effect.0, &effect.1));
        let Some((_, gone)) = at.map(|at| drafts.remove(at)) else { continue };
        // A cause is as bad as the worst that comes of it.
        if let Some((_, d)) = drafts.iter_mut().find(|(rule, d)| (*rule, &d.subject) == (cause.0, &cause.1)) {
            d.severity = d.severity.max(gone.severity);
        }
        let through = folded.into.remove(&effect).unwrap_or_default();
        folded.gone.push((effect.clone(), gone.severity));
        let explained = folded.into.entry(cause.clone()).or_default();
        explained.push(effect.0);
        explained.extend(through);
        parent.insert(effect, cause);
    }
    folded
}

#[expect(clippy::cast_precision_loss, reason = "a line for people")]
fn main_number(value: &Value) -> Option<f64> {
    Some(match value {
        Value::Count(n) | Value::Bytes(n) => *n as f64,
        Value::Number(n) => *n as f64,
        Value::Ratio(x) | Value::PerSecond(x) | Value::PerMinute(x) => *x,
        Value::Time(t) => t.as_secs_f64(),
        Value::Text(_) | Value::Unknown => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(severity: Severity, explains: &[&'static str]) -> Draft {
        let explains = explains.iter().map(|rule| (*rule, Subject::Host)).collect();
        Draft { explains, ..Draft::new(severity, Subject::Host, Vec::new()) }
    }

    #[test]
    fn a_cause_takes_its_effects_in_and_is_as_bad_as_the_worst_of_them() {
        let mut drafts = vec![
            ("root", draft(Severity::Info, &["middle", "absent", "root"])),
            ("middle", draft(Severity::Warning, &["end"])),
            ("end", draft(Severity::Critical, &[])),
            ("other", draft(Severity::Info, &[])),
        ];
        drafts.swap(0, 1);
        let folded = fold_explained(&mut drafts);
        let left: Vec<_> = drafts.iter().map(|(rule, d)| (*rule, d.severity)).collect();
        assert_eq!(left, [("root", Severity::Critical), ("other", Severity::Info)]);
        assert_eq!(folded.into[&("root", Subject::Host)], ["middle", "end"]);
        assert_eq!(folded.into.len(), 1);
        let gone: Vec<_> = folded.gone.iter().map(|((rule, _), severity)| (*rule, *severity)).collect();
        assert_eq!(gone, [("end", Severity::Critical), ("middle", Severity::Critical)]);
    }

    #[test]
    fn it_does_not_matter_which_link_of_a_chain_is_found_first() {
        let mut drafts = vec![
            ("root", draft(Severity::Info, &["middle"])),
            ("middle", draft(Severity::Warning, &["end"])),
            ("end", draft(Severity::Critical, &[])),
        ];
        let folded = fold_explained(&mut drafts);
        assert_eq!((drafts.len(), drafts[0].0, drafts[0].1.severity), (1, "root", Severity::Critical));
        assert_eq!(folded.into[&("root", Subject::Host)], ["middle", "end"]);
    }

    #[test]
    fn of_two_that_explain_each_other_one_is_left() {
        let mut drafts = vec![
            ("first", draft(Severity::Info, &["second"])),
            ("second", draft(Severity::Warning, &["first"])),
        ];
        let folded = fold_explained(&mut drafts);
        assert_eq!((drafts.len(), drafts[0].0, drafts[0].1.severity), (1, "first", Severity::Warning));
        assert_eq!(folded.into[&("first", Subject::Host)], ["second"]);
    }

    #[test]
    fn what_was_a_finding_before_its_cause_was_known_is_not_over_but_part_of_it() {
        let mut judge = Judge::new(std::iter::empty());
        let end = || vec![("end", draft(Severity::Warning, &[]))];
        let both = vec![("end", draft(Severity::Warning, &[])), ("root", draft(Severity::Info, &["end"]))];
        let mut at = 0;
        let mut conclude = |drafts| {
            at += 1;
            let judgement = judge.conclude(Duration::from_secs(at), drafts, Judgement::default());
            let held = judge.held.severity("end", &Subject::Host);
            (judgement.findings.iter().map(|f| (f.rule, f.status.clone())).collect::<Vec<_>>(), held)
        };
        assert_eq!(conclude(end()).0, [("end", Status::Firing)]);
        let held = Some(Severity::Warning);
        assert_eq!(conclude(both), (vec![("root", Status::Firing)], held), "and its hysteresis goes on");
    }

    #[test]
    fn what_says_the_same_of_somebody_else_is_part_of_it_while_it_holds() {
        let whole = Subject::Sysctl { name: "net.core.somaxconn".into() };
        let part = Draft { part_of: Some("whole"), ..draft(Severity::Warning, &[]) };
        let mut drafts =
            vec![("part", part.clone()), ("whole", Draft::new(Severity::Info, whole.clone(), Vec::new()))];
        assert_eq!(fold_explained(&mut drafts).into[&("whole", whole)], ["part"]);
        assert_eq!((drafts.len(), drafts[0].1.severity), (1, Severity::Warning));
        let mut alone = vec![("part", part)];
        assert!(fold_explained(&mut alone).gone.is_empty() && alone.len() == 1);
    }

    #[test]
    fn what_is_about_somebody_else_is_not_explained() {
        let local = Subject::Sysctl { name: "net.core.somaxconn".into() };
        let mut drafts = vec![
            ("root", draft(Severity::Warning, &["effect"])),
            ("effect", Draft::new(Severity::Info, local, Vec::new())),
        ];
        assert!(fold_explained(&mut drafts).gone.is_empty());
        assert_eq!(drafts.len(), 2);
    }
}
