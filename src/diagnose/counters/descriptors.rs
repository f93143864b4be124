//! Descriptors run out.

use crate::analysis::{LimitId, ListenerAgg};
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{Blindness, Owners, Process};

/// The rule's id.
pub const ID: &str = "fd-exhaustion";

/// A process near its soft limit of descriptors, or the host near `file-max`. `accept()` takes a descriptor before it takes
/// the connection (`do_accept` in `net/socket.c`), so without one the accept queue fills: then this is the cause.
pub struct FdExhaustion {
    levels: Levels,
}

impl FdExhaustion {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { levels: Levels::of_ratios(thresholds, ID)? })
    }

    fn of_host(&self, context: &Context<'_>) -> Option<Draft> {
        let limit = context.snapshot.limits.iter().find(|l| l.id == LimitId::OpenFiles)?;
        let severity = self.levels.grade(limit.ratio(), context.held.severity(ID, &Subject::Host))?;
        let file = Source::File("/proc/sys/fs/file-nr".into());
        let evidence = vec![
            Evidence::new("ratio", Value::Ratio(limit.ratio()), Source::Observed).of_host(),
            Evidence::new("fds", Value::Count(limit.used), file.clone()).of_host(),
            Evidence::new("limit", Value::Count(limit.max), file).of_host(),
        ];
        let mut draft = Draft::new(severity, Subject::Host, evidence);
        draft.variant = Some("host");
        Some(draft)
    }

    fn of_process(&self, context: &Context<'_>, owners: &Owners, process: &Process) -> Option<Draft> {
        let ratio = ratio(process)?;
        let subject = Subject::Process { pid: process.pid, comm: process.comm.clone() };
        let severity = self.levels.grade(ratio, context.held.severity(ID, &subject))?;
        let file = |name: &str| Source::File(format!("/proc/{}/{name}", process.pid).into());
        let mut evidence = vec![
            Evidence::new("ratio", Value::Ratio(ratio), Source::Observed),
            Evidence::new("fds", count(process.fds.known()), file("fd")),
            Evidence::new("limit", count(process.fd_limit.known()), file("limits")),
        ];
        let mut explains = Vec::new();
        if severity == Severity::Critical {
            let full = fullest_queue(context, owners, process.pid, &mut explains);
            if let Some(listener) = full {
                let queue = |n| Value::Count(u64::from(n));
                evidence.push(Evidence::new("accept_queue", queue(listener.queue), Source::SockDiag));
                evidence
                    .extend(listener.backlog.map(|n| Evidence::new("backlog", queue(n), Source::SockDiag)));
            }
        }
        let mut draft = Draft::new(severity, subject, evidence);
        draft.variant = Some(if explains.is_empty() { "process" } else { "accept_queue" });
        draft.explains = explains;
        Some(draft)
    }
}

fn count(n: Option<&u64>) -> Value {
    n.map_or(Value::Unknown, |n| Value::Count(*n))
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn ratio(process: &Process) -> Option<f64> {
    let (fds, limit) = process.fds.known().zip(process.fd_limit.known())?;
    Some(if *limit == 0 { 1.0 } else { *fds as f64 / *limit as f64 })
}

/// The fullest accept queue of a process, and what is thereby explained: every listener of the process at which
/// connections wait.
fn fullest_queue<'a>(
    context: &Context<'a>,
    owners: &Owners,
    pid: u32,
    explains: &mut Vec<(&'static str, Subject)>,
) -> Option<&'a ListenerAgg> {
    let s = context.snapshot;
    let holds = |l: &&ListenerAgg| {
        let inode = s.sample.table.rows.get(l.row as usize).map_or(0, |row| row.inode);
        owners.holders(inode).iter().any(|h| owners.process(*h).is_some_and(|p| p.pid == pid))
    };
    let waiting: Vec<_> = s.listeners.iter().filter(|l| l.queue > 0).filter(holds).collect();
    for l in &waiting {
        let subject = || Subject::Listener { local: l.local, cookie: l.cookie };
        // With nobody able to accept, connections wait at a queue that is not full as well.
        explains.push(("accept-queue-full", subject()));
        explains.push(("listener-without-acceptor", subject()));
    }
    waiting.into_iter().max_by_key(|l| l.queue)
}

/// The processes that are near their limit and have a socket in this namespace.
fn near_limit<'a>(context: &Context<'_>, owners: &'a Owners, at_least: f64) -> Vec<&'a Process> {
    let netns = context.snapshot.sample.netns.inode;
    let near = owners.processes.iter().filter(|p| ratio(p).is_some_and(|r| r >= at_least));
    let near = near.filter(|p| {
        let talks = p.sockets.known().is_some_and(|s| !s.is_empty());
        let holds = context.snapshot.process(p.pid).is_some_and(|agg| agg.tally.counts.total() > 0);
        // A process whose last connection is just gone still belongs here if it lives here and talks at all.
        talks && (holds || p.netns.known() == Some(&netns))
    });
    near.collect()
}

impl Rule for FdExhaustion {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let mut drafts: Vec<Draft> = self.of_host(context).into_iter().collect();
        if let Some(owners) = context.owners {
            // Low enough for what holds to be seen clearing.
            let at_least = self.levels.warning.unwrap_or(1.0) / 2.0;
            let near = near_limit(context, owners, at_least);
            drafts.extend(near.into_iter().filter_map(|p| self.of_process(context, owners, p)));
        }
        if !drafts.is_empty() {
            return Verdict::Fires(drafts);
        }
        match context.owners {
            None => Verdict::AskAgain("which process holds which socket"),
            Some(o) => match o.blindness() {
                Some(why @ Blindness::OtherUsers { .. }) => Verdict::NotExamined(why.to_string()),
                // What is not in this PID namespace is another one's to examine.
                Some(Blindness::PidNamespace) | None => Verdict::Quiet,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, fired};
    use crate::model::{FileNr, Privileges, Reading, TcpState};
    use crate::testkit;

    const LISTENER: u32 = 81;

    fn process(pid: u32, fds: u64, sockets: Vec<u32>) -> Process {
        Process {
            pid,
            start_time: 1,
            comm: "java".into(),
            uid: 0,
            ppid: 1,
            state: 'S',
            cgroup: Reading::Absent,
            netns: Reading::Absent,
            fds: Reading::Known(fds),
            fd_limit: Reading::Known(1000),
            sockets: Reading::Known(sockets.into()),
            unlisted: Reading::Absent,
        }
    }

    fn bench(fds: u64) -> Bench {
        let mut b = Bench::new();
        let mut row = testkit::socket(TcpState::Listen, "0.0.0.0:80", "");
        row.set_cookie(9, 0);
        (row.recv_q, row.send_q) = (6, 5);
        assert_eq!(row.inode, LISTENER);
        b.rows = vec![row];
        b.owners = Some(Owners::new(
            vec![process(7, fds, vec![LISTENER]), process(8, 1000, vec![5])],
            [(LISTENER, 7, 3)].into_iter(),
        ));
        b.facts.file_nr = Reading::Known(FileNr { allocated: 1, max: 1000 });
        b
    }

    fn rule() -> FdExhaustion {
        FdExhaustion::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    #[test]
    fn a_process_is_judged_by_its_soft_limit_if_it_has_sockets_here() {
        let severity = |fds| fired(&bench(fds).judge(&mut rule())).first().map(|d| d.severity);
        assert_eq!(severity(799), None, "the other process has no socket in this namespace");
        assert_eq!(severity(800), Some(Severity::Warning));
        assert_eq!(severity(950), Some(Severity::Critical));
    }

    #[test]
    fn it_explains_the_full_accept_queue_of_a_process_that_cannot_accept() {
        let drafts = fired(&bench(1000).judge(&mut rule()));
        let listener = Subject::Listener { local: testkit::endpoint("0.0.0.0:80"), cookie: 9 };
        assert!(drafts[0].explains.contains(&("accept-queue-full", listener)));
        assert!(drafts[0].evidence.iter().any(|e| e.name == "accept_queue" && e.value == Value::Count(6)));
        assert_eq!(drafts[0].variant, Some("accept_queue"));
        let drafts = fired(&bench(900).judge(&mut rule()));
        assert!(drafts[0].explains.is_empty(), "it still has descriptors");
    }

    #[test]
    fn the_host_has_a_limit_too() {
        let mut b = bench(1);
        b.facts.file_nr = Reading::Known(FileNr { allocated: 800, max: 1000 });
        let drafts = fired(&b.judge(&mut rule()));
        assert_eq!((drafts[0].severity, &drafts[0].subject), (Severity::Warning, &Subject::Host));
    }

    #[test]
    fn what_holds_stays_until_it_is_clearly_below() {
        let mut b = bench(740);
        b.hold(ID, Subject::Process { pid: 7, comm: "java".into() }, Severity::Warning);
        assert_eq!(fired(&b.judge(&mut rule())).len(), 1);
        let mut b = bench(700);
        b.hold(ID, Subject::Process { pid: 7, comm: "java".into() }, Severity::Warning);
        assert_eq!(b.judge(&mut rule()), Verdict::Quiet);
    }

    #[test]
    fn unknown_and_hidden_processes_are_no_silent_pass() {
        let mut b = bench(1);
        b.owners = None;
        assert!(matches!(b.judge(&mut rule()), Verdict::AskAgain(_)));
        let mut b = bench(1);
        b.host.privileges = Privileges { effective: u64::MAX, euid: 0 };
        b.owners.as_mut().unwrap().hidden = 3;
        b.owners.as_mut().unwrap().privileged = true;
        let verdict = b.judge(&mut rule());
        assert!(matches!(verdict, Verdict::NotExamined(why) if why.contains("not even by root")));
        b.host.privileges = Privileges::default();
        b.owners.as_mut().unwrap().privileged = false;
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(why) if why.contains('3')));
    }
}
