//! The findings table: what is wrong in every namespace, and after it the rules that could not be judged, with the reason.

use std::cmp::Reverse;
use std::time::Duration;

use super::cell::Cell;
use super::column::{Column, Sort, Spec};
use super::key::Key;
use super::process_groups::ProcessKey;
use super::selection::Selection;
use crate::analysis::{Age, Snapshot};
use crate::diagnose::knowledge::title;
use crate::diagnose::{Finding, Judged, Severity, Status, Subject, spec};
use crate::model::{ForeignText, Protocols, Span};

/// A column of the findings table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is explained by its help, which is one of its properties")]
pub enum FindingColumn {
    Severity,
    Title,
    Subject,
    Since,
    Status,
    Rule,
    Netns,
}

use FindingColumn as C;

impl Column for FindingColumn {
    fn all() -> &'static [Self] {
        &[C::Severity, C::Title, C::Subject, C::Since, C::Status, C::Rule, C::Netns]
    }

    fn spec(self) -> Spec {
        match self {
            C::Severity => Spec::text("severity", "SEV", 3, 10)
                .descending()
                .help("How bad it is: critical, warning, info; ? for a rule that could not be judged"),
            C::Title => Spec::text("title", "FINDING", 20, 110)
                .aliases(&["finding"])
                .help("What is wrong, or why a rule could not be judged"),
            C::Subject => Spec::text("subject", "SUBJECT", 12, 32).drop(8).help("Whom it is about"),
            C::Since => Spec::number("since", "SINCE", 5, 7)
                .aliases(&["age"])
                .drop(2)
                .help("For how long it has been seen"),
            C::Status => Spec::text("status", "STATUS", 10, 14)
                .drop(1)
                .help("Whether it holds, is over (and for how long), or cannot be examined now"),
            C::Rule => Spec::text("rule", "RULE", 10, 24).drop(9).help("The rule, as in tcptop explain RULE"),
            C::Netns => {
                Spec::text("netns", "NETNS", 5, 12).aliases(&["ns"]).drop(3).help("Network namespace")
            }
        }
    }
}

/// The identity of a row over time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FindingKey {
    /// Inode of the network namespace.
    pub netns: u64,
    /// The rule.
    pub rule: &'static str,
    /// Whom the finding is about; `None` for a rule that could not be judged.
    pub subject: Option<Subject>,
}

impl FindingKey {
    /// Which of these rows it names: a finding keeps its name when it turns out to be about somebody else.
    #[must_use]
    pub fn position(&self, rows: &[FindingRow]) -> Option<usize> {
        let here = |row: &FindingRow| row.key.netns == self.netns && row.key.rule == self.rule;
        let was = |row: &FindingRow| {
            here(row) && row.finding().zip(self.subject.as_ref()).is_some_and(|(f, s)| f.concerns(s))
        };
        rows.iter().position(|row| row.key == *self).or_else(|| rows.iter().position(was))
    }
}

/// What a rule came to.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// It found something.
    Found(Box<Finding>),
    /// It could not be judged.
    NotExamined,
    /// It needs a longer observation.
    AskAgain,
}

/// A row of the table.
#[derive(Clone, PartialEq, Debug)]
pub struct FindingRow {
    /// Which.
    pub key: FindingKey,
    /// Index of its namespace into [`World::snapshots`](crate::analysis::World::snapshots).
    pub ns: u16,
    /// Name of its namespace.
    pub netns: ForeignText,
    /// What is wrong, in words; of a rule that could not be judged, why.
    pub title: String,
    /// What the rule came to.
    pub outcome: Outcome,
    /// How long the namespace has been observed.
    pub observed: Duration,
}

impl FindingRow {
    /// The finding, if it is one.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        match &self.outcome {
            Outcome::Found(finding) => Some(finding),
            Outcome::NotExamined | Outcome::AskAgain => None,
        }
    }

    /// Whether it no longer holds.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.finding().is_some_and(|f| matches!(f.status, Status::Clearing(_)))
    }

    /// For how long a finding has been seen.
    #[must_use]
    pub fn held(&self) -> Option<Duration> {
        self.finding().map(|f| self.observed.saturating_sub(f.since))
    }

    fn found(finding: &Finding, ns: u16, snapshot: &Snapshot) -> Self {
        Self {
            key: FindingKey {
                netns: snapshot.sample.netns.inode,
                rule: finding.rule,
                subject: Some(finding.draft.subject.clone()),
            },
            ns,
            netns: snapshot.sample.netns.name.clone(),
            title: title(finding),
            outcome: Outcome::Found(Box::new(finding.clone())),
            observed: snapshot.observed,
        }
    }

    fn unjudged(rule: &'static str, why: &str, outcome: Outcome, ns: u16, snapshot: &Snapshot) -> Self {
        Self {
            key: FindingKey { netns: snapshot.sample.netns.inode, rule, subject: None },
            ns,
            netns: snapshot.sample.netns.name.clone(),
            title: format!("{rule}: {why}"),
            outcome,
            observed: snapshot.observed,
        }
    }

    fn sort_key(&self, column: FindingColumn) -> Key {
        let finding = self.finding();
        match column {
            C::Severity => Key::optional(finding.map(|f| Key::number(rank(f)))),
            C::Title => Key::text(&self.title),
            C::Subject => Key::optional(finding.map(|f| Key::text(&f.draft.subject.to_string()))),
            C::Since => Key::optional(self.held().map(millis)),
            C::Status => Key::text(&status(self)),
            C::Rule => Key::text(self.key.rule),
            C::Netns => Key::text(self.netns.raw()),
        }
    }
}

fn millis(time: Duration) -> Key {
    Key::number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// How much a finding matters: what is over less than anything that holds.
const fn rank(finding: &Finding) -> u64 {
    match (&finding.status, finding.draft.severity) {
        (Status::Clearing(_), _) => 0,
        (_, Severity::Info) => 1,
        (_, Severity::Warning) => 2,
        (_, Severity::Critical) => 3,
    }
}

/// What to show of the findings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FindingQuery {
    /// In which order.
    pub sort: Sort<FindingColumn>,
    /// How many of the first.
    pub want: usize,
}

/// The first findings in the order that was asked for.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct FindingView {
    /// Which look at the world this is a view of.
    pub generation: u64,
    /// How many rows there are in all.
    pub matching: usize,
    /// The first of them, in order.
    pub rows: Vec<FindingRow>,
}

/// The findings of all namespaces, the worst first, then the oldest, each with the snapshot that it is of.
#[must_use]
pub fn ranked(judged: &Judged) -> Vec<(&Finding, &Snapshot)> {
    let mut found: Vec<_> = judged
        .judgements
        .iter()
        .zip(&judged.world.snapshots)
        .flat_map(|(j, s)| j.findings.iter().map(move |f| (f, &**s)))
        .collect();
    found.sort_by_key(|(f, s)| (Reverse(rank(f)), Reverse(s.observed.saturating_sub(f.since))));
    found
}

/// The first rows in the order that was asked for; of two alike, the one that has been seen longer.
#[must_use]
pub fn findings(judged: &Judged, query: &FindingQuery) -> FindingView {
    let mut rows = rows(judged);
    let Sort { column, descending } = query.sort;
    rows.sort_by_cached_key(|row| {
        let longest = Key::optional(row.held().map(|t| millis(t).directed(true)));
        (row.sort_key(column).directed(descending), longest, row.ns, row.key.rule, row.key.subject.clone())
    });
    let matching = rows.len();
    rows.truncate(query.want);
    FindingView { generation: judged.world.generation, matching, rows }
}

/// One row, if it is still there.
#[must_use]
pub fn finding(judged: &Judged, key: &FindingKey) -> Option<FindingRow> {
    let rows = rows(judged);
    let at = key.position(&rows)?;
    rows.into_iter().nth(at)
}

fn rows(judged: &Judged) -> Vec<FindingRow> {
    let mut rows = Vec::new();
    for (ns, (judgement, snapshot)) in (0_u16..).zip(judged.judgements.iter().zip(&judged.world.snapshots)) {
        rows.extend(judgement.findings.iter().map(|f| FindingRow::found(f, ns, snapshot)));
        for (list, outcome) in
            [(&judgement.not_examined, Outcome::NotExamined), (&judgement.ask_again, Outcome::AskAgain)]
        {
            let row = |rule, why| FindingRow::unjudged(rule, why, outcome.clone(), ns, snapshot);
            rows.extend(list.iter().map(|n| row(n.rule, &n.reason)));
        }
    }
    rows
}

fn status(row: &FindingRow) -> String {
    match &row.outcome {
        Outcome::NotExamined => "not judged".to_owned(),
        Outcome::AskAgain => "watching".to_owned(),
        Outcome::Found(finding) => match &finding.status {
            Status::Firing => "holds".to_owned(),
            Status::Unknown(_) => "unknown".to_owned(),
            Status::Clearing(at) => {
                let over = row.observed.saturating_sub(*at).as_secs();
                format!("over {}", Span::from_millis(over * 1000))
            }
        },
    }
}

/// The value of a column for a row.
#[must_use]
pub fn finding_cell(column: FindingColumn, row: &FindingRow) -> Cell<'_> {
    match column {
        C::Severity => Cell::Severity(row.finding().map(|f| f.draft.severity), row.is_over()),
        C::Title => Cell::Text(row.title.as_str().into()),
        C::Subject => row.finding().map_or(Cell::Absent, |f| Cell::Text(f.draft.subject.to_string().into())),
        // What was there at the first look may have been there before.
        C::Since => row.finding().zip(row.held()).map_or(Cell::Absent, |(finding, held)| {
            let seen = Duration::from_secs(held.as_secs());
            Cell::Age(Age { seen, at_least: finding.since.is_zero() })
        }),
        C::Status => Cell::Text(status(row).into()),
        C::Rule => Cell::Word(row.key.rule),
        C::Netns => Cell::Foreign(&row.netns),
    }
}

/// The UDP sockets that prove a finding; `None` for one that is not about sockets of UDP.
#[must_use]
pub fn proof_of_udp(finding: &Finding) -> Option<Selection> {
    let of_udp = spec(finding.rule).is_some_and(|rule| rule.about == Protocols::UDP);
    match finding.draft.subject {
        _ if !of_udp => None,
        Subject::Process { pid, .. } => Some(Selection::Processes(ProcessKey::Pid(pid))),
        // Its cookie is not known: the table has it among the first.
        Subject::Socket { .. } => Some(Selection::All),
        _ => None,
    }
}

/// The sockets that prove a finding: those that the rule named, else those of its subject. `None` where no socket proves
/// it: counters, sysctls, the machine as a whole.
#[must_use]
pub fn proof(finding: &Finding, netns: u64) -> Option<Selection> {
    let mut cookies: Vec<u64> = finding.draft.proof.cookies.iter().copied().filter(|c| *c != 0).collect();
    if let (true, Subject::Socket { cookie: cookie @ 1.., .. }) = (cookies.is_empty(), &finding.draft.subject)
    {
        cookies.push(*cookie);
    }
    if !cookies.is_empty() {
        cookies.sort_unstable();
        return Some(Selection::Cookies { netns, cookies: cookies.into() });
    }
    Some(match finding.draft.subject {
        Subject::Process { pid, .. } => Selection::Processes(ProcessKey::Pid(pid)),
        Subject::Peer { addr, prefix: None } => Selection::peer(addr),
        Subject::Peer { addr, prefix: Some(len) } => Selection::Peer { addr, v4_len: len, v6_len: len },
        Subject::Listener { local, .. } => Selection::Listener { netns, local },
        Subject::Destination { local: Some(local), peer } => Selection::Destination { netns, local, peer },
        Subject::Destination { local: None, peer } => Selection::peer(peer.addr),
        Subject::Socket { .. }
        | Subject::Host
        | Subject::Sysctl { .. }
        | Subject::Interface { .. }
        | Subject::Namespace { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnose::{Draft, Evidence, Judgement, NotExamined, Source, Value};
    use crate::query::{SocketQuery, sockets};
    use crate::testkit;

    fn finding_of(rule: &'static str, severity: Severity, since: u64) -> Finding {
        let evidence = vec![Evidence::new("orphans", Value::Count(3), Source::Observed)];
        Finding {
            rule,
            draft: Draft::new(severity, Subject::Host, evidence),
            since: Duration::from_secs(since),
            status: Status::Firing,
            history: Vec::new(),
            explained: Vec::new(),
            formerly: Vec::new(),
        }
    }

    fn judged(findings: Vec<Finding>) -> Judged {
        let mut world = testkit::world_of(testkit::many(2_000));
        let mut snapshot = (*world.snapshots[0]).clone();
        snapshot.observed = Duration::from_secs(100);
        world.snapshots = vec![Arc::new(snapshot)];
        let unjudged = |rule, reason: &str| NotExamined { rule, reason: reason.into() };
        let judgement = Judgement {
            findings,
            not_examined: vec![unjudged("conntrack-full", "no conntrack here")],
            ask_again: vec![unjudged("nic-drops", "a second look")],
        };
        Judged { world: Arc::new(world), judgements: vec![judgement] }
    }

    fn rules(judged: &Judged, sort: Sort<FindingColumn>) -> Vec<&'static str> {
        findings(judged, &FindingQuery { sort, want: 99 }).rows.iter().map(|r| r.key.rule).collect()
    }

    #[test]
    fn the_worst_come_first_then_the_oldest_and_what_could_not_be_judged_last() {
        let mut over = finding_of("path-mtu", Severity::Critical, 1);
        over.status = Status::Clearing(Duration::from_secs(70));
        let judged = judged(vec![
            over,
            finding_of("dead-peer", Severity::Warning, 50),
            finding_of("orphan-limit", Severity::Warning, 20),
            finding_of("tcp-memory", Severity::Critical, 90),
        ]);
        let worst = Sort::by(FindingColumn::Severity);
        let want = ["tcp-memory", "orphan-limit", "dead-peer", "path-mtu", "conntrack-full", "nic-drops"];
        assert_eq!(rules(&judged, worst), want);
        let back = rules(&judged, worst.reversed());
        assert_eq!(back[..4], ["path-mtu", "orphan-limit", "dead-peer", "tcp-memory"]);
        assert_eq!(back[4..], ["conntrack-full", "nic-drops"], "what has no severity is last either way");
        let oldest = rules(&judged, Sort::by(FindingColumn::Since));
        assert_eq!(oldest[..2], ["path-mtu", "orphan-limit"]);
        let pane: Vec<_> = ranked(&judged).iter().map(|(f, _)| f.rule).collect();
        assert_eq!(pane, want[..4], "the pane of the first screen has the same order");
    }

    #[test]
    fn a_row_says_whether_it_holds_and_why_it_could_not_be_judged() {
        let mut over = finding_of("orphan-limit", Severity::Warning, 40);
        over.status = Status::Clearing(Duration::from_secs(88));
        let judged = judged(vec![over]);
        let view = findings(&judged, &FindingQuery { sort: Sort::by(FindingColumn::Severity), want: 99 });
        let shown = |at: usize, column| finding_cell(column, &view.rows[at]).to_string();
        assert_eq!((shown(0, C::Severity).as_str(), shown(0, C::Status).as_str()), ("over", "over 12s"));
        assert_eq!(shown(0, C::Since), "1m00s");
        assert_eq!(shown(1, C::Title), "conntrack-full: no conntrack here");
        assert_eq!((shown(1, C::Severity).as_str(), shown(1, C::Since).as_str()), ("?", "-"));
        assert_eq!((shown(1, C::Status), shown(2, C::Status)), ("not judged".into(), "watching".into()));
    }

    #[test]
    fn a_row_is_found_again_by_its_key_and_not_after_it_went() {
        let judged = judged(vec![finding_of("orphan-limit", Severity::Warning, 40)]);
        let netns = judged.world.snapshots[0].sample.netns.inode;
        let key = |rule, subject| FindingKey { netns, rule, subject };
        assert!(finding(&judged, &key("orphan-limit", Some(Subject::Host))).is_some());
        assert!(finding(&judged, &key("orphan-limit", None)).is_none());
        let unjudged = finding(&judged, &key("nic-drops", None)).unwrap();
        assert_eq!(unjudged.outcome, Outcome::AskAgain);
        assert!(finding(&judged, &FindingKey { netns: 7, ..key("orphan-limit", None) }).is_none());
    }

    #[test]
    fn proof_is_the_sockets_that_the_rule_named_else_those_of_the_subject() {
        let judged = judged(Vec::new());
        let world = &judged.world;
        let netns = world.snapshots[0].sample.netns.inode;
        let count = |select| {
            let sort = Sort::by(crate::query::ColumnId::State);
            sockets(world, &SocketQuery { select, sort, want: 1 }).matching
        };
        let mut finding = finding_of("dead-peer", Severity::Warning, 0);
        assert_eq!(proof(&finding, netns), None, "a machine has no rows");
        finding.draft.proof = [0, 7, 3, 1_999_999].into_iter().collect();
        assert_eq!(count(proof(&finding, netns).unwrap()), 2, "those that are still there");
        assert_eq!(count(proof(&finding, netns + 1).unwrap()), 0, "cookies are of one namespace");
        let row = &world.snapshots[0].sample.table.rows[0];
        let subjects = [
            Subject::Peer { addr: row.peer, prefix: None },
            Subject::Destination { local: Some(row.local), peer: row.peer_endpoint() },
            Subject::Destination { local: None, peer: row.peer_endpoint() },
            Subject::Socket { cookie: row.cookie(), local: row.local_endpoint(), peer: row.peer_endpoint() },
        ];
        finding.draft.proof = crate::diagnose::Proof::default();
        for subject in subjects {
            finding.draft.subject = subject;
            assert!(count(proof(&finding, netns).unwrap()) >= 1, "{:?}", finding.draft.subject);
        }
    }
}
