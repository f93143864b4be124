//! A hand-made namespace whose looks a rule can be shown.

use std::time::Duration;

use super::details::Details;
use super::finding::{Draft, Severity};
use super::judge::{Judge, Judgement};
use super::knowledge::assert_explained;
use super::registry;
use super::rule::{Context, Held, Rule, Verdict};
use super::survey::Survey;
use super::sysctls::audit;
use super::thresholds::Thresholds;
use crate::analysis::Analyzer;
use crate::model::{
    CounterTable, Facts, Gap, Host, ListenerDrops, Origin, Owners, Process, Reading, SocketDetail, SocketRow,
    Sysctls, TableSource, TcpInfo, sysctl,
};
use crate::testkit;

/// A namespace: set what it holds, then look.
pub struct Bench {
    /// Sockets.
    pub rows: Vec<SocketRow>,
    /// Everything beside them.
    pub facts: Facts,
    /// The machine.
    pub host: Host,
    /// Who holds which socket.
    pub owners: Option<Owners>,
    /// Answers to exact questions, by cookie; given to the rule for the rows that it wants.
    pub details: Vec<(u64, SocketDetail)>,
    /// Where the rows come from.
    pub source: TableSource,
    /// What is missing in the table.
    pub gaps: Vec<Gap>,
    /// Drops of listeners since they were made, by cookie, ascending.
    pub drops: Vec<ListenerDrops>,
    /// Time between looks.
    pub step: Duration,
    /// What the wall clock says; that of the looks if it is not set.
    pub wall: Option<Duration>,
    counters: Vec<(Box<str>, u64)>,
    sysctls: Vec<(String, String)>,
    /// What every file says instead of its contents.
    pub unread: Option<Unread>,
    now: Duration,
    analyzer: Analyzer,
    answered: Details,
    held: Held,
}

/// Why nothing can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unread {
    /// The files are not there.
    Absent,
    /// They may not be read; what is said.
    Refused(&'static str),
}

impl Unread {
    fn reading<T>(self) -> Reading<T> {
        match self {
            Self::Absent => Reading::Absent,
            Self::Refused(why) => Reading::Unreadable(why.into()),
        }
    }

    fn facts(self) -> Facts {
        Facts {
            counters: self.reading(),
            sockstat: self.reading(),
            softnet: self.reading(),
            interfaces: self.reading(),
            conntrack: self.reading(),
            file_nr: self.reading(),
            sysctls: Sysctls::new(sysctl::SPECS.iter().map(|_| self.reading()).collect()),
            rp_filters: self.reading(),
            neighbours: self.reading(),
            udp_drops: self.reading(),
            kernel_log: self.reading(),
            malformed: 0,
        }
    }
}

impl Bench {
    /// An empty namespace that is looked at each second.
    pub fn new() -> Self {
        Self {
            rows: Vec::new(),
            facts: Facts::default(),
            host: testkit::host(),
            owners: None,
            details: Vec::new(),
            source: TableSource::SockDiag,
            gaps: Vec::new(),
            drops: Vec::new(),
            step: Duration::from_secs(1),
            wall: None,
            counters: Vec::new(),
            sysctls: Vec::new(),
            unread: None,
            now: Duration::from_secs(100),
            analyzer: Analyzer::default(),
            answered: Details::default(),
            held: Held::default(),
        }
    }

    /// Sets a counter.
    pub fn set_counter(&mut self, name: &str, value: u64) {
        self.counters.retain(|(n, _)| &**n != name);
        self.counters.push((name.into(), value));
    }

    /// Sets a sysctl.
    pub fn set_sysctl(&mut self, name: &str, value: &str) {
        assert!(sysctl::SPECS.iter().any(|s| s.name == name), "{name} is not read");
        self.unset_sysctl(name);
        self.sysctls.push((name.into(), value.into()));
    }

    /// Takes a sysctl away.
    pub fn unset_sysctl(&mut self, name: &str) {
        self.sysctls.retain(|(n, _)| n != name);
    }

    /// Says at which severity a finding already holds.
    pub fn hold(&mut self, rule: &'static str, subject: super::finding::Subject, severity: Severity) {
        self.held.0.insert((rule, subject), severity);
    }

    fn next(&mut self) -> std::sync::Arc<crate::analysis::Snapshot> {
        self.now += self.step;
        let mut sample = testkit::sample(self.rows.clone());
        sample.completeness.source = self.source;
        sample.completeness.gaps.clone_from(&self.gaps);
        sample.listener_drops.clone_from(&self.drops);
        sample.taken.mono = self.now;
        sample.taken.wall = self.wall.unwrap_or(self.now);
        self.facts.counters = Reading::Known(CounterTable::from_pairs(self.counters.clone()));
        let value = |name: &str| self.sysctls.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str().into());
        let values = sysctl::SPECS.iter().map(|s| value(s.name).map_or(Reading::Absent, Reading::Known));
        self.facts.sysctls = Sysctls::new(values.collect());
        sample.facts = self.unread.map_or_else(|| self.facts.clone(), Unread::facts);
        self.analyzer.derive_owned(sample, self.owners.clone().map(std::sync::Arc::new))
    }

    /// A look, judged by many rules with a memory of their own.
    pub fn judged(&mut self, judge: &mut Judge) -> Judgement {
        let snapshot = self.next();
        let details = self.details.clone();
        let mut ask =
            |row: &SocketRow| details.iter().find(|(c, _)| *c == row.cookie()).map(|(_, d)| d.clone());
        judge.look(&self.host, &snapshot, &mut ask)
    }

    /// A look that no rule judges.
    pub fn look(&mut self) {
        self.next();
    }

    /// A look, judged.
    pub fn judge(&mut self, rule: &mut dyn Rule) -> Verdict {
        let snapshot = self.next();
        let survey = Survey::of(&snapshot);
        let audit = audit(&self.host, &snapshot.sample.facts);
        let context = |details| Context {
            host: &self.host,
            snapshot: &snapshot,
            survey: &survey,
            owners: self.owners.as_ref(),
            audit: &audit,
            details,
            held: &self.held,
        };
        let wanted = rule.wants(&context(&self.answered));
        let rows = &snapshot.sample.table.rows;
        let answers = wanted.iter().filter_map(|n| {
            let cookie = rows.get(*n as usize)?.cookie();
            self.details.iter().find(|(c, _)| *c == cookie).cloned()
        });
        let mut answered = self.answered.clone();
        answered.renew(snapshot.observed, answers);
        let verdict = rule.judge(&context(&answered));
        if let Verdict::Fires(drafts) = &verdict {
            drafts.iter().for_each(assert_explained);
            let named = |d: &Draft| d.explains.iter().map(|(id, _)| *id).chain(d.part_of).collect::<Vec<_>>();
            let named = drafts.iter().flat_map(named);
            named.for_each(|id| assert!(registry::spec(id).is_some(), "{id} is no rule"));
        }
        self.answered = answered;
        verdict
    }
}

/// Some rules with the default thresholds.
pub fn built<'a>(ids: &'a [&'static str]) -> impl Iterator<Item = (&'static str, Box<dyn Rule>)> + use<'a> {
    let thresholds = Thresholds::defaults().unwrap();
    let build = move |id: &'static str| (id, (registry::spec(id).unwrap().build)(&thresholds).unwrap());
    ids.iter().copied().map(build)
}

/// An answer about a socket, with these fields of a `tcp_info` of today's length; the others are 0.
pub fn detail(row: SocketRow, fields: &[(&str, u64)]) -> SocketDetail {
    SocketDetail {
        row,
        origin: Origin::default(),
        info: Some(TcpInfo::of_fields(fields)),
        mem: None,
        congestion: None,
        ulp: None,
    }
}

/// What a verdict found; nothing where it is quiet or asks again.
///
/// # Panics
/// When the rule could not judge.
pub fn fired(verdict: &Verdict) -> Vec<Draft> {
    match verdict {
        Verdict::Fires(drafts) => drafts.clone(),
        Verdict::Quiet | Verdict::AskAgain(_) => Vec::new(),
        Verdict::NotExamined(why) => panic!("not examined: {why}"),
    }
}

/// What a rule found.
pub fn drafts(verdict: Verdict) -> Vec<Draft> {
    match verdict {
        Verdict::Fires(drafts) => drafts,
        other => panic!("{other:?}"),
    }
}

/// A process with this limit of descriptors.
pub fn process(pid: u32, comm: &str, limit: u64) -> Process {
    Process {
        pid,
        start_time: 1,
        comm: comm.into(),
        uid: 0,
        ppid: 1,
        state: 'S',
        cgroup: Reading::Absent,
        netns: Reading::Absent,
        fds: Reading::Known(10),
        fd_limit: Reading::Known(limit),
        sockets: Reading::Absent,
        unlisted: Reading::Absent,
    }
}

/// A process that holds all of these sockets.
pub fn owners(pid: u32, comm: &str, limit: u64, rows: &[SocketRow]) -> Owners {
    let inodes: Vec<u32> = rows.iter().map(|r| r.inode).filter(|i| *i != 0).collect();
    Owners::new(vec![process(pid, comm, limit)], inodes.into_iter().map(|i| (i, pid, 3)))
}
