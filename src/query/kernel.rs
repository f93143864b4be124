//! The kernel of one namespace: its sysctls with what to think of them, and the counters that have moved.

use std::sync::Arc;

use super::cell::Cell;
use super::column::{Column, Sort, Spec};
use super::key::Key;
use crate::analysis::{CounterPast, Snapshot, World};
use crate::diagnose::{AuditRow, AuditVerdict, Evidence, Finding, Source, audit, watchers};
use crate::model::{ForeignText, Reading};

/// Which rows of which namespace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KernelScope {
    /// Inode of the network namespace; the first one that is examined if none is named.
    pub netns: Option<u64>,
    /// These names only.
    pub only: Option<Arc<[Box<str>]>>,
}

impl KernelScope {
    /// The namespace, and its place in the world.
    fn snapshot<'a>(&self, world: &'a World) -> Option<(u16, &'a Snapshot)> {
        let wanted = |s: &&Arc<Snapshot>| self.netns.is_none_or(|n| s.sample.netns.inode == n);
        let mut all = (0_u16..).zip(&world.snapshots);
        all.find(|(_, s)| wanted(s)).map(|(ns, s)| (ns, &**s))
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|n| **n == *name))
    }

    /// The namespace that is shown.
    #[must_use]
    pub fn netns<'a>(&self, world: &'a World) -> Option<&'a ForeignText> {
        self.snapshot(world).map(|(_, s)| &s.sample.netns.name)
    }
}

/// A column of the sysctls.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is explained by its help, which is one of its properties")]
pub enum SysctlColumn {
    Name,
    Value,
    Default,
    Verdict,
    Why,
    Scope,
}

impl Column for SysctlColumn {
    fn all() -> &'static [Self] {
        &[Self::Name, Self::Value, Self::Default, Self::Verdict, Self::Why, Self::Scope]
    }

    fn spec(self) -> Spec {
        match self {
            Self::Name => Spec::text("name", "SYSCTL", 20, 52).aliases(&["sysctl"]).help("Dotted name"),
            Self::Value => Spec::text("value", "VALUE", 8, 24).drop(1).help("What is set"),
            Self::Default => Spec::text("default", "DEFAULT", 8, 24)
                .drop(2)
                .help("What this kernel would have by itself on this machine"),
            Self::Verdict => Spec::text("verdict", "VERDICT", 10, 18)
                .descending()
                .help("harmful, doubtful, changed and harmless, default, or not there on this kernel"),
            Self::Why => Spec::text("why", "WHY", 20, 70).drop(8).help("What is wrong with the value"),
            Self::Scope => {
                Spec::text("scope", "SCOPE", 5, 9).drop(7).help("Whether each namespace has its own value")
            }
        }
    }
}

/// One sysctl, judged.
#[derive(Clone, PartialEq, Debug)]
pub struct SysctlRow {
    /// What the audit says.
    pub audit: AuditRow,
    /// The value as one line; none where it is not known.
    pub value: Option<ForeignText>,
    /// Index of its namespace into [`World::snapshots`].
    pub ns: u16,
}

impl SysctlRow {
    fn new(audit: AuditRow, ns: u16) -> Self {
        let line = |v: &str| ForeignText::from(&*v.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        let value = audit.value.known().map(|v| line(v));
        Self { audit, value, ns }
    }

    /// Whether this kernel, or this namespace, does not have it.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.audit.value == Reading::Absent
    }

    /// What matters most first: what is wrong, what was changed, what is not known, the rest, what is not there.
    fn rank(&self) -> u64 {
        match self.audit.verdict {
            _ if self.is_absent() => 0,
            AuditVerdict::Default => 1,
            AuditVerdict::Unknown => 2,
            AuditVerdict::Changed => 3,
            AuditVerdict::Doubtful => 4,
            AuditVerdict::Harmful => 5,
        }
    }

    fn sort_key(&self, column: SysctlColumn) -> Key {
        let text = |text: Option<&str>| Key::optional(text.map(Key::text));
        match column {
            SysctlColumn::Name => Key::text(short(self.audit.name)),
            SysctlColumn::Value => {
                let number = self.value.as_ref().and_then(|v| v.raw().split(' ').next()?.parse::<u64>().ok());
                Key::optional(number.map(Key::number))
            }
            SysctlColumn::Default => text(self.audit.default.as_deref()),
            SysctlColumn::Verdict => Key::number(self.rank()),
            SysctlColumn::Why => text(self.audit.why),
            SysctlColumn::Scope => Key::text(self.audit.scope.name()),
        }
    }
}

/// The part of a dotted name that tells sysctls apart: a key holds a few bytes only.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The value of a column for a sysctl.
#[must_use]
pub fn sysctl_cell(column: SysctlColumn, row: &SysctlRow) -> Cell<'_> {
    match column {
        SysctlColumn::Name => Cell::Word(row.audit.name),
        SysctlColumn::Value => match (&row.value, row.is_absent()) {
            (Some(value), _) if value.raw().is_empty() => Cell::Word("(empty)"),
            (Some(value), _) => Cell::Foreign(value),
            (None, true) => Cell::Absent,
            (None, false) => Cell::Unknown,
        },
        SysctlColumn::Default => match &row.audit.default {
            Some(default) if default.is_empty() => Cell::Word("(empty)"),
            Some(default) => Cell::Text((&**default).into()),
            None if row.is_absent() => Cell::Absent,
            None => Cell::Unknown,
        },
        SysctlColumn::Verdict => Cell::Verdict((!row.is_absent()).then_some(row.audit.verdict)),
        SysctlColumn::Why => row.audit.why.map_or(Cell::Absent, Cell::Word),
        SysctlColumn::Scope => Cell::Word(row.audit.scope.name()),
    }
}

/// What to show of the sysctls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SysctlQuery {
    /// Which, of which namespace.
    pub scope: KernelScope,
    /// In which order.
    pub sort: Sort<SysctlColumn>,
    /// How many of the first.
    pub want: usize,
}

/// The first rows of a table about the kernel.
#[derive(Clone, PartialEq, Debug)]
pub struct KernelView<R> {
    /// Which look at the world this is a view of.
    pub generation: u64,
    /// How many rows there are in all.
    pub matching: usize,
    /// The first of them, in order.
    pub rows: Vec<R>,
    /// How many are harmful and doubtful, or how many of the counters moved at this look.
    pub notable: [usize; 2],
}

/// The sysctls of a namespace in the order that was asked for.
#[must_use]
pub fn sysctls(world: &World, query: &SysctlQuery) -> KernelView<SysctlRow> {
    let all = query.scope.snapshot(world).map(|(ns, s)| {
        let rows = audit(&world.host, &s.sample.facts);
        let wanted = rows.into_iter().filter(|r| query.scope.wants(r.name));
        wanted.map(|row| SysctlRow::new(row, ns)).collect::<Vec<_>>()
    });
    let mut rows = all.unwrap_or_default();
    let Sort { column, descending } = query.sort;
    rows.sort_by_cached_key(|r| (r.sort_key(column).directed(descending), r.audit.name));
    let count = |verdict| rows.iter().filter(|r| r.audit.verdict == verdict).count();
    let notable = [count(AuditVerdict::Harmful), count(AuditVerdict::Doubtful)];
    let matching = rows.len();
    rows.truncate(query.want);
    KernelView { generation: world.generation, matching, rows, notable }
}

/// One sysctl.
#[must_use]
pub fn sysctl(world: &World, netns: Option<u64>, name: &str) -> Option<SysctlRow> {
    let (ns, snapshot) = KernelScope { netns, only: None }.snapshot(world)?;
    let row = audit(&world.host, &snapshot.sample.facts).into_iter().find(|r| r.name == name)?;
    Some(SysctlRow::new(row, ns))
}

/// A column of the counters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is explained by its help, which is one of its properties")]
pub enum CounterColumn {
    Name,
    Delta,
    Rate,
    SinceFirst,
    Moved,
    Scope,
    Rule,
    Past,
}

impl Column for CounterColumn {
    fn all() -> &'static [Self] {
        &[
            Self::Name,
            Self::Delta,
            Self::Rate,
            Self::SinceFirst,
            Self::Moved,
            Self::Scope,
            Self::Rule,
            Self::Past,
        ]
    }

    fn spec(self) -> Spec {
        match self {
            Self::Name => {
                Spec::text("name", "COUNTER", 20, 40).aliases(&["counter"]).help("The kernel's name for it")
            }
            Self::Delta => {
                Spec::number("delta", "+", 5, 9).help("By how much it moved since the previous look")
            }
            Self::Rate => Spec::number("per_s", "PER S", 6, 9).aliases(&["rate"]).help("The same per second"),
            Self::SinceFirst => Spec::number("since_first", "SEEN", 6, 11)
                .drop(3)
                .help("By how much it moved since tcptop first looked"),
            Self::Moved => Spec::number("moved", "MOVED", 5, 6)
                .ascending()
                .drop(4)
                .help("How long ago it was last seen to move"),
            Self::Scope => Spec::text("scope", "SCOPE", 5, 9)
                .drop(1)
                .help("What it counts for: this namespace, or the whole host"),
            Self::Rule => Spec::text("rule", "WATCHED BY", 10, 24)
                .aliases(&["watched_by"])
                .drop(2)
                .help("The rule that looks at it; those come first"),
            Self::Past => Spec::text("past", "PAST", 10, 30)
                .descending()
                .drop(9)
                .help("Its rate at the last looks; sorted by the highest"),
        }
    }
}

/// A counter that has moved.
#[derive(Clone, PartialEq, Debug)]
pub struct CounterRow {
    /// What it did.
    pub past: CounterPast,
    /// Its value, where the kernel tells one: since boot, or since the namespace was made.
    pub value: Option<u64>,
    /// How long ago it moved, as seen here.
    pub rests: std::time::Duration,
    /// Index of its namespace into [`World::snapshots`].
    pub ns: u16,
}

impl CounterRow {
    /// The rules that look at it.
    #[must_use]
    pub fn watchers(&self) -> &'static [&'static str] {
        watchers(&self.past.name)
    }

    fn new(past: &CounterPast, ns: u16, snapshot: &Snapshot) -> Self {
        Self {
            past: past.clone(),
            value: snapshot.sample.facts.counters.known().and_then(|c| c.get(&past.name)),
            rests: snapshot.observed.saturating_sub(past.moved),
            ns,
        }
    }

    fn sort_key(&self, column: CounterColumn) -> Key {
        match column {
            CounterColumn::Name => Key::text(&self.past.name),
            CounterColumn::Delta => Key::number(self.past.delta),
            CounterColumn::Rate => Key::float(self.past.per_s),
            CounterColumn::SinceFirst => Key::number(self.past.since_first),
            CounterColumn::Moved => Key::number(u64::try_from(self.rests.as_millis()).unwrap_or(u64::MAX)),
            CounterColumn::Scope => Key::text(self.past.scope.name()),
            CounterColumn::Past => Key::float(self.past.past.iter().copied().fold(0.0, f32::max).into()),
            CounterColumn::Rule => Key::optional(self.watchers().first().map(|r| Key::text(r))),
        }
    }
}

/// The value of a column for a counter.
#[must_use]
pub fn counter_cell(column: CounterColumn, row: &CounterRow) -> Cell<'_> {
    match column {
        CounterColumn::Name => Cell::Text((&*row.past.name).into()),
        CounterColumn::Delta => Cell::Count(row.past.delta),
        CounterColumn::Rate => Cell::PerSecond(row.past.per_s),
        CounterColumn::SinceFirst => Cell::Count(row.past.since_first),
        CounterColumn::Moved if row.past.delta > 0 => Cell::Word("now"),
        CounterColumn::Moved => Cell::Seconds(row.rests.as_secs_f64().floor()),
        CounterColumn::Scope => Cell::Word(row.past.scope.name()),
        CounterColumn::Past => Cell::Past(&row.past.past),
        CounterColumn::Rule => row.watchers().first().map_or(Cell::Absent, |r| Cell::Word(r)),
    }
}

/// What to show of the counters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CounterQuery {
    /// Which, of which namespace.
    pub scope: KernelScope,
    /// In which order.
    pub sort: Sort<CounterColumn>,
    /// How many of the first.
    pub want: usize,
}

/// The counters of a namespace that have moved, in the order that was asked for.
#[must_use]
pub fn counters(world: &World, query: &CounterQuery) -> KernelView<CounterRow> {
    let all = query.scope.snapshot(world).map(|(ns, s)| {
        let wanted = s.moved.iter().filter(|p| query.scope.wants(&p.name));
        wanted.map(|p| CounterRow::new(p, ns, s)).collect::<Vec<_>>()
    });
    let mut rows = all.unwrap_or_default();
    let Sort { column, descending } = query.sort;
    rows.sort_by_cached_key(|r| (r.sort_key(column).directed(descending), Arc::clone(&r.past.name)));
    let moving = rows.iter().filter(|r| r.past.delta > 0).count();
    let matching = rows.len();
    rows.truncate(query.want);
    KernelView { generation: world.generation, matching, rows, notable: [moving, 0] }
}

/// One counter that has moved.
#[must_use]
pub fn counter(world: &World, netns: Option<u64>, name: &str) -> Option<CounterRow> {
    let (ns, snapshot) = KernelScope { netns, only: None }.snapshot(world)?;
    let past = snapshot.past(name)?;
    Some(CounterRow::new(past, ns, snapshot))
}

/// The counters, or the sysctls where there are none, that prove a finding.
#[must_use]
pub fn kernel_proof(finding: &Finding, netns: u64) -> Option<Result<CounterQuery, SysctlQuery>> {
    let named = |of: fn(&Source) -> Option<&str>| {
        let names = finding.draft.evidence.iter().filter_map(|e: &Evidence| of(&e.source).map(Box::from));
        let names: Arc<[Box<str>]> = names.collect();
        (!names.is_empty()).then_some(KernelScope { netns: Some(netns), only: Some(names) })
    };
    let want = usize::MAX;
    if let Some(scope) = named(|s| if let Source::Counter(name) = s { Some(name) } else { None }) {
        return Some(Ok(CounterQuery { scope, sort: Sort::by(CounterColumn::Rate), want }));
    }
    let scope = named(|s| if let Source::Sysctl(name) = s { Some(name) } else { None })?;
    Some(Err(SysctlQuery { scope, sort: Sort::by(SysctlColumn::Verdict), want }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::analysis::Analyzer;
    use crate::diagnose::{Draft, Severity, Status, Subject, Value};
    use crate::model::{CounterTable, Scope, Sysctls, sysctl::SPECS};
    use crate::testkit;

    fn world(values: &[(&str, &str)]) -> World {
        let mut sample = testkit::sample(Vec::new());
        let read = |name| match values.iter().find(|(n, _)| *n == name) {
            Some((_, "?")) => Reading::Unreadable("permission denied".into()),
            Some((_, value)) => Reading::Known((*value).into()),
            None => Reading::Absent,
        };
        sample.facts.sysctls = Sysctls::new(SPECS.iter().map(|s| read(s.name)).collect());
        testkit::world(vec![testkit::snapshot(sample)])
    }

    /// Looks a second apart with these counters.
    fn moving(looks: &[&[(&str, u64)]]) -> World {
        let mut analyzer = Analyzer::default();
        let mut last = None;
        for (second, pairs) in (0..).zip(looks) {
            let mut sample = testkit::sample(Vec::new());
            sample.taken.mono += Duration::from_secs(second);
            let table = CounterTable::from_pairs(pairs.iter().map(|(n, v)| ((*n).into(), *v)).collect());
            sample.facts.counters = Reading::Known(table);
            last = Some(analyzer.derive(sample));
        }
        testkit::world(last.map(Arc::unwrap_or_clone).into_iter().collect())
    }

    fn all_sysctls(world: &World, sort: Sort<SysctlColumn>) -> Vec<SysctlRow> {
        sysctls(world, &SysctlQuery { scope: KernelScope::default(), sort, want: 999 }).rows
    }

    #[test]
    fn every_sysctl_is_there_once_what_is_wrong_first_and_what_is_not_there_last() {
        let world = world(&[
            ("net.ipv4.tcp_fin_timeout", "5"),
            ("net.ipv4.tcp_sack", "1"),
            ("net.ipv4.tcp_synack_retries", "1"),
            ("net.ipv4.tcp_rmem", "4096\t131072\t6291456"),
            ("net.core.somaxconn", "?"),
        ]);
        let rows = all_sysctls(&world, Sort::by(SysctlColumn::Verdict));
        assert_eq!(rows.len(), SPECS.len());
        assert_eq!(rows[0].audit.name, "net.ipv4.tcp_fin_timeout");
        assert_eq!(rows[1].audit.name, "net.ipv4.tcp_synack_retries");
        let shown = |name: &str, column| {
            let row = rows.iter().find(|r| r.audit.name == name).unwrap();
            sysctl_cell(column, row).to_string()
        };
        assert_eq!(shown("net.ipv4.tcp_fin_timeout", SysctlColumn::Verdict), "harmful");
        assert_eq!(shown("net.ipv4.tcp_fin_timeout", SysctlColumn::Default), "60");
        assert_eq!(shown("net.ipv4.tcp_synack_retries", SysctlColumn::Verdict), "doubtful");
        assert_eq!(shown("net.ipv4.tcp_rmem", SysctlColumn::Value), "4096 131072 6291456");
        assert_eq!(shown("net.core.somaxconn", SysctlColumn::Value), "?", "there, and could not be read");
        assert_eq!(shown("net.ipv4.tcp_tw_recycle", SysctlColumn::Value), "-");
        assert_eq!(shown("net.ipv4.tcp_tw_recycle", SysctlColumn::Verdict), "not there");
        assert!(rows.last().unwrap().is_absent());
        let by_name = all_sysctls(&world, Sort::by(SysctlColumn::Name));
        assert!(by_name.iter().map(|r| short(r.audit.name)).is_sorted_by_key(|n| n.get(..17).unwrap_or(n)));
    }

    #[test]
    fn counters_that_moved_stay_the_watched_ones_first() {
        let world = moving(&[
            &[("Tcp.InSegs", 5), ("Tcp.OutSegs", 5), ("TcpExt.ListenOverflows", 7)],
            &[("Tcp.InSegs", 9), ("Tcp.OutSegs", 5), ("TcpExt.ListenOverflows", 9)],
            &[("Tcp.InSegs", 11), ("Tcp.OutSegs", 5), ("TcpExt.ListenOverflows", 9)],
        ]);
        let sort = Sort::by(CounterColumn::Rule);
        let view = counters(&world, &CounterQuery { scope: KernelScope::default(), sort, want: 99 });
        let shown = |at: usize, column| counter_cell(column, &view.rows[at]).to_string();
        assert_eq!((view.matching, view.notable[0]), (2, 1), "one has not moved, and one rests");
        assert_eq!(shown(0, CounterColumn::Name), "TcpExt.ListenOverflows");
        assert_eq!(shown(0, CounterColumn::Rule), "accept-queue-full");
        assert_eq!(
            (shown(0, CounterColumn::Delta), shown(0, CounterColumn::SinceFirst)),
            ("0".into(), "2".into())
        );
        assert_eq!(shown(0, CounterColumn::Moved), "1s");
        assert_eq!(
            (shown(1, CounterColumn::Delta), shown(1, CounterColumn::Moved)),
            ("2".into(), "now".into())
        );
        assert_eq!(view.rows[1].value, Some(11));
        assert_eq!(view.rows[1].past.scope, Scope::Namespace);
        assert!(counter(&world, None, "Tcp.OutSegs").is_none());
        assert!(counter(&world, Some(7), "Tcp.InSegs").is_none(), "no such namespace");
    }

    #[test]
    fn a_finding_is_proven_by_its_counters_else_by_its_sysctls() {
        let finding = |sources: Vec<Source>| Finding {
            rule: "receive-drops",
            draft: Draft::new(
                Severity::Info,
                Subject::Host,
                sources.into_iter().map(|s| Evidence::new("n", Value::Count(1), s)).collect(),
            ),
            since: Duration::ZERO,
            status: Status::Firing,
            history: Vec::new(),
            explained: Vec::new(),
            formerly: Vec::new(),
        };
        let sysctl = || Source::Sysctl("net.ipv4.tcp_sack".into());
        let counter = Source::Counter("Tcp.InSegs".into());
        let world = moving(&[&[("Tcp.InSegs", 5), ("Tcp.X", 1)], &[("Tcp.InSegs", 6), ("Tcp.X", 2)]]);
        let netns = world.snapshots[0].sample.netns.inode;
        let proof = kernel_proof(&finding(vec![sysctl(), counter]), netns).unwrap().unwrap();
        assert_eq!(counters(&world, &proof).rows.len(), 1);
        let proof = kernel_proof(&finding(vec![sysctl()]), netns).unwrap().unwrap_err();
        assert_eq!(sysctls(&world, &proof).rows.len(), 1);
        assert!(kernel_proof(&finding(vec![Source::Observed]), netns).is_none());
    }
}
