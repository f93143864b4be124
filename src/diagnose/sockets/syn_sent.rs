//! Connects that nobody answers.

use rustc_hash::FxHashSet;

use super::common::{float, grouped, numbers, sockets};
use crate::diagnose::finding::{Draft, Evidence, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};

/// The rule's id.
pub const ID: &str = "syn-sent-pileup";

numbers! { repeats: u8, to_one: u32, destinations: u32 }

/// SYNs repeated without an answer. What is refused never stays in this state.
pub struct SynSentPileup {
    numbers: Numbers,
}

impl SynSentPileup {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)? })
    }

    fn draft(context: &Context<'_>, subject: Subject, rows: &[u32], level: (usize, u32)) -> Option<Draft> {
        let levels = Levels { warning: Some(level.1.into()), ..Levels::default() };
        let severity = levels.grade(float(level.0), context.held.severity(ID, &subject))?;
        let most = context.rows(rows).map(|(_, r)| r.retrans).max().unwrap_or(0);
        let mut evidence = vec![sockets("syn_sent", rows.len())];
        evidence.push(Evidence::new("repeats", Value::Count(most.into()), Source::SockDiag));
        evidence.extend(context.processes(rows));
        Some(Draft { proof: context.proof(rows), ..Draft::new(severity, subject, evidence) })
    }
}

impl Rule for SynSentPileup {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let silent: Vec<u32> = context
            .rows(&context.survey.syn_sent.rows)
            .filter(|(_, row)| row.retrans >= self.numbers.repeats)
            .map(|(at, _)| at)
            .collect();
        let to_one = grouped(context.rows(&silent).map(|(at, row)| (row.peer_endpoint(), at)));
        let mut drafts: Vec<Draft> = to_one
            .iter()
            .filter_map(|(peer, rows)| {
                let subject = Subject::Destination { local: None, peer: *peer };
                Self::draft(context, subject, rows, (rows.len(), self.numbers.to_one))
            })
            .collect();
        // One cause, one finding: who opens connections to a hundred places is named, not the places.
        let by_holder = grouped(context.rows(&silent).map(|(at, row)| {
            let process = context.process(row);
            (process.map_or(Subject::Host, |p| Subject::Process { pid: p.pid, comm: p.comm.clone() }), at)
        }));
        for (subject, rows) in by_holder {
            let places: FxHashSet<_> = context.rows(&rows).map(|(_, row)| row.peer).collect();
            let Some(mut many) =
                Self::draft(context, subject, &rows, (places.len(), self.numbers.destinations))
            else {
                continue;
            };
            many.variant = Some("many");
            many.evidence.push(sockets("destinations", places.len()));
            many.explains = drafts.iter().map(|d| (ID, d.subject.clone())).collect();
            drafts.push(many);
        }
        Verdict::of(drafts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Severity;
    use crate::diagnose::testing::{Bench, drafts, owners};
    use crate::model::{Ip, SocketRow, TcpState};
    use crate::testkit::socket;

    fn rule() -> SynSentPileup {
        SynSentPileup::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn row(n: u8, repeats: u8) -> SocketRow {
        let mut r = socket(TcpState::SynSent, &format!("10.0.0.5:{}", 40_000 + u16::from(n)), "10.0.4.2:80");
        (r.retrans, r.timer_raw) = (repeats, 1);
        r.set_cookie(u32::from(n) + 1, 0);
        r
    }

    #[test]
    fn five_to_one_destination_after_two_repeats_are_a_warning() {
        let judged = |count, repeats| {
            let mut b = Bench::new();
            b.rows = (0..count).map(|n| row(n, repeats)).collect();
            b.judge(&mut rule())
        };
        assert_eq!(judged(4, 6), Verdict::Quiet);
        assert_eq!(judged(50, 1), Verdict::Quiet, "young ones, and those of happy eyeballs");
        let found = drafts(judged(5, 2));
        assert_eq!((found.len(), found[0].severity), (1, Severity::Warning));
        assert!(matches!(found[0].subject, Subject::Destination { local: None, .. }));
    }

    #[test]
    fn a_hundred_destinations_are_the_process_that_tries_them() {
        let judged = |count: u8| {
            let mut b = Bench::new();
            b.rows = (0..count).map(|n| row(n, 3)).collect();
            for (n, r) in (0..count).zip(&mut b.rows) {
                r.peer = Ip::from_v4_octets([10, 4, 4, n]);
                r.inode += u32::from(n);
            }
            b.owners = Some(owners(3, "crawler", 1024, &b.rows));
            b.judge(&mut rule())
        };
        assert_eq!(judged(99), Verdict::Quiet);
        let found = drafts(judged(100));
        assert_eq!(found[0].subject, Subject::Process { pid: 3, comm: "crawler".into() });
        assert_eq!(found[0].variant, Some("many"));
    }

    #[test]
    fn what_fired_stays_until_it_is_clearly_less() {
        let mut b = Bench::new();
        b.rows = (0..5).map(|n| row(n, 3)).collect();
        let subject = drafts(b.judge(&mut rule()))[0].subject.clone();
        b.hold(ID, subject, Severity::Warning);
        assert_eq!(drafts(b.judge(&mut rule())).len(), 1);
        b.rows.pop();
        assert_eq!(b.judge(&mut rule()), Verdict::Quiet);
    }
}
