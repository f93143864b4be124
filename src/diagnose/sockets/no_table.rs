//! Descriptors of sockets that no table lists.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::common::{float, numbers};
use crate::diagnose::finding::{Draft, Evidence, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::Reading;

/// The rule's id.
pub const ID: &str = "sockets-in-no-table";

/// Three steps of growth need four scans.
const SCANS: usize = 4;

numbers! { sockets: u32 }

/// A process holds more and more TCP sockets that are in no table: a reset, or a keepalive probe that drew one, took
/// the connection out of the table, and the program never closed the descriptor.
pub struct SocketsInNoTable {
    numbers: Numbers,
    /// The scan of the processes that was counted last.
    scan: u64,
    /// Counts of each process, the oldest first, by pid and start.
    past: FxHashMap<(u32, u64), VecDeque<u32>>,
}

impl SocketsInNoTable {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, scan: 0, past: FxHashMap::default() })
    }

    /// Whether there were never fewer, and more in the end. A scan of the processes is slower than a look, so a step
    /// without growth does not end it.
    fn grows(past: &VecDeque<u32>) -> bool {
        past.len() == SCANS
            && past.iter().zip(past.iter().skip(1)).all(|(a, b)| a <= b)
            && past.front() < past.back()
    }
}

impl Rule for SocketsInNoTable {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let Some(owners) = context.owners else {
            return Verdict::AskAgain("a scan of the processes");
        };
        let known: Vec<_> = owners.processes.iter().filter_map(|p| Some((p, *p.unlisted.known()?))).collect();
        if known.is_empty() {
            let why = owners.processes.iter().find_map(|p| match &p.unlisted {
                Reading::Unreadable(why) => Some(why.clone()),
                _ => None,
            });
            return match why.or_else(|| owners.blindness().map(|b| b.to_string())) {
                Some(why) => Verdict::NotExamined(why),
                None => Verdict::AskAgain("a second scan of the processes"),
            };
        }
        let fresh = owners.generation != self.scan;
        self.scan = owners.generation;
        let mut old = std::mem::take(&mut self.past);
        let levels = Levels { warning: Some(self.numbers.sockets.into()), ..Levels::default() };
        let mut drafts = Vec::new();
        let mut again = false;
        for (p, count) in known {
            let key = (p.pid, p.start_time);
            let mut past = old.remove(&key).unwrap_or_default();
            if fresh {
                if past.len() == SCANS {
                    past.pop_front();
                }
                past.push_back(count);
            }
            let grows = Self::grows(&past);
            let first = past.front().copied().unwrap_or(count);
            let seen = past.len();
            self.past.insert(key, past);
            let subject = Subject::Process { pid: p.pid, comm: p.comm.clone() };
            let held = context.held.severity(ID, &subject);
            let Some(severity) = levels.grade(float(count as usize), held) else { continue };
            // What was found growing is a leak until it is closed.
            if !grows && held.is_none() {
                again |= seen < SCANS;
                continue;
            }
            let fd = || Source::File("/proc/PID/fd".into());
            let mut evidence = vec![
                Evidence::new("sockets", Value::Count(count.into()), fd()),
                Evidence::new("grown", Value::Count(count.saturating_sub(first).into()), Source::Observed),
            ];
            if let Some(fds) = p.fds.known() {
                evidence.push(Evidence::new("descriptors", Value::Count(*fds), fd()));
            }
            if let Some(limit) = p.fd_limit.known() {
                let source = Source::File("/proc/PID/limits".into());
                evidence.push(Evidence::new("limit", Value::Count(*limit), source));
            }
            drafts.push(Draft::new(severity, subject, evidence));
        }
        Verdict::of_or_again(drafts, again, "whether the sockets that no table lists become more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, drafts, process};
    use crate::model::Owners;

    fn rule() -> SocketsInNoTable {
        SocketsInNoTable::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    /// What scans of one process say, one look after the other.
    fn judged(rule: &mut SocketsInNoTable, counts: &[Reading<u32>]) -> Verdict {
        let mut b = Bench::new();
        let mut last = Verdict::Quiet;
        for (n, count) in (1..).zip(counts) {
            let mut p = process(9, "java", 1024);
            p.unlisted = count.clone();
            let mut owners = Owners::new(vec![p], std::iter::empty());
            owners.generation = n;
            b.owners = Some(owners);
            last = b.judge(rule);
        }
        last
    }

    fn known(counts: &[u32]) -> Vec<Reading<u32>> {
        counts.iter().map(|n| Reading::Known(*n)).collect()
    }

    #[test]
    fn more_at_each_scan_is_a_leak_of_that_process() {
        let found = drafts(judged(&mut rule(), &known(&[5, 6, 8, 20])));
        assert_eq!(found[0].subject, Subject::Process { pid: 9, comm: "java".into() });
        assert_eq!(found[0].evidence[0].value, Value::Count(20));
        assert_eq!(judged(&mut rule(), &known(&[5, 6, 8, 19])), Verdict::Quiet, "too few");
    }

    #[test]
    fn a_pool_of_unconnected_sockets_stays_as_it_is() {
        assert_eq!(judged(&mut rule(), &known(&[50, 50, 50, 50])), Verdict::Quiet);
        assert_eq!(judged(&mut rule(), &known(&[50, 60, 40, 70])), Verdict::Quiet);
        assert!(matches!(judged(&mut rule(), &known(&[50, 60])), Verdict::AskAgain(_)));
    }

    #[test]
    fn without_the_processes_it_asks_again_and_without_the_right_to_look_it_says_so() {
        assert!(matches!(Bench::new().judge(&mut rule()), Verdict::AskAgain(_)));
        let refused = [Reading::Unreadable("reading /proc/9/fd: permission denied".into())];
        assert!(matches!(judged(&mut rule(), &refused), Verdict::NotExamined(_)));
        assert!(matches!(judged(&mut rule(), &[Reading::Absent]), Verdict::AskAgain(_)));
    }
}
