//! Connections that the peer has closed and this side has not.

use std::time::Duration;

use super::common::{Grows, float, numbers, observed, sockets};
use crate::diagnose::finding::{Confidence, Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds, ascending};
use crate::model::TcpInfo;

/// The rule's id.
pub const ID: &str = "close-wait-leak";

/// How many sockets are asked at one look.
const ASKED: usize = 1024;

/// A half-close is served while something was sent as lately as this.
const SERVED: u64 = 5_000;

/// The part of the first look's sockets that must still be there for growth to be a leak: a pool's turnover shows as
/// many, never the same ones.
const KEPT: f64 = 0.9;

numbers! {
    warning: u32, critical: u32, critical_fd_ratio: f64, old_s: f64;
    n => ascending(&[("warning", n.warning.into()), ("critical", n.critical.into())])
}

/// The same sockets in `CLOSE_WAIT`, with a file, for a minute. No timer of the kernel ends this state.
pub struct CloseWaitLeak {
    numbers: Numbers,
    grows: Grows,
}

/// What is known of the sockets of one holder.
#[derive(Default)]
struct Found {
    /// Old, and nothing goes on.
    leaked: Vec<u32>,
    /// Still sends: a half-close that is served.
    served: usize,
    /// Neither known to be old nor to be served.
    undecided: usize,
    oldest: Duration,
}

impl CloseWaitLeak {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, grows: Grows::default() })
    }

    fn groups(context: &Context<'_>) -> Vec<(Subject, Vec<u32>)> {
        context.by_holder(&context.survey.close_wait.rows)
    }

    fn examine(&self, context: &Context<'_>, rows: &[u32]) -> Found {
        let old = Duration::from_secs_f64(self.numbers.old_s);
        let mut found = Found::default();
        for (at, row) in context.rows(rows) {
            let seen = context.seen_for(at);
            let Some(entry) = context.detail(row) else {
                // Not asked, for want of budget: its age decides.
                if seen >= old {
                    found.leaked.push(at);
                } else {
                    found.undecided += 1;
                }
                found.oldest = found.oldest.max(seen);
                continue;
            };
            // The clock of the last data starts with the connection: without a byte sent it is only its age.
            let silent = entry.info().and_then(TcpInfo::bytes_sent) == Some(0);
            let sent_lately =
                !silent && entry.info().and_then(TcpInfo::last_data_sent).is_some_and(|ms| ms < SERVED);
            if sent_lately || entry.acked_since > entry.first_asked {
                found.served += 1;
                continue;
            }
            // The FIN refreshed it, and nothing of the peer's can come after a FIN but acknowledgements.
            let age = seen.max(entry.time(TcpInfo::last_ack_recv).unwrap_or_default());
            found.oldest = found.oldest.max(age);
            if age >= old {
                found.leaked.push(at);
            } else {
                found.undecided += 1;
            }
        }
        found
    }

    fn levels(&self, limit: Option<u64>) -> Levels {
        #[expect(clippy::cast_precision_loss, reason = "a limit of descriptors")]
        let by_limit = limit.map_or(f64::INFINITY, |l| l as f64 * self.numbers.critical_fd_ratio);
        let warning = f64::from(self.numbers.warning);
        let critical = f64::from(self.numbers.critical).min(by_limit).max(warning);
        Levels { info: None, warning: Some(warning), critical: Some(critical) }
    }

    fn draft(&self, context: &Context<'_>, subject: &Subject, rows: &[u32], found: &Found) -> Option<Draft> {
        let limit = context.fd_limit(subject);
        let levels = self.levels(limit);
        let held = context.held.severity(ID, subject);
        let growth = self.grows.of(subject);
        let per_minute = growth.and_then(super::common::Growth::per_minute);
        let stays = growth.is_some_and(|g| g.kept().0 >= self.numbers.warning as usize && g.kept().1 >= KEPT);
        let alive = rows.len().saturating_sub(found.served);
        let by_age = levels.grade(float(found.leaked.len()), held);
        let by_growth = (per_minute.is_some() && stays).then(|| levels.grade(float(alive), held)).flatten();
        let severity = by_age.max(by_growth.map(|_| Severity::Warning))?;
        let shown = if by_age.is_some() { &found.leaked[..] } else { rows };
        let mut queues = [0usize; 3];
        for (_, row) in context.rows(shown) {
            queues[row.recv_q.min(2) as usize] += 1;
        }
        let [read, unseen, unread] = queues;
        let mut evidence = vec![sockets("close_wait", shown.len()), observed("oldest_s", found.oldest)];
        evidence.extend([("read", read), ("unseen", unseen), ("unread", unread)].map(|(n, c)| sockets(n, c)));
        evidence.extend(per_minute.map(|g| Evidence::new("growth", Value::PerMinute(g), Source::Observed)));
        evidence.extend(context.peers(shown));
        if let Some(limit) = limit {
            evidence.push(Evidence::new(
                "limit",
                Value::Count(limit),
                Source::File("/proc/PID/limits".into()),
            ));
        }
        let most = read.max(unseen).max(unread);
        Some(Draft {
            confidence: if by_age.is_some() { Confidence::High } else { Confidence::Medium },
            variant: Some(if most == read {
                "read"
            } else if most == unseen {
                "unseen"
            } else {
                "unread"
            }),
            proof: context.proof(shown),
            ..Draft::new(severity, subject.clone(), evidence)
        })
    }
}

impl Rule for CloseWaitLeak {
    fn wants(&mut self, context: &Context<'_>) -> Vec<u32> {
        let few = self.numbers.warning as usize;
        if context.survey.close_wait.rows.len() < few / 2 {
            return Vec::new();
        }
        context.survey.close_wait.rows.iter().copied().take(ASKED).collect()
    }

    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        if let Some(why) = context.no_identity() {
            return Verdict::NotExamined(why);
        }
        let groups = Self::groups(context);
        self.grows.renew(context, &groups);
        let mut undecided = false;
        let mut drafts = Vec::new();
        for (subject, rows) in &groups {
            let found = self.examine(context, rows);
            match self.draft(context, subject, rows, &found) {
                Some(draft) => drafts.push(draft),
                None => undecided |= found.leaked.len() + found.undecided >= self.numbers.warning as usize,
            }
        }
        if drafts.is_empty() && undecided {
            return Verdict::AskAgain("whether the same connections are still in CLOSE_WAIT after a minute");
        }
        Verdict::of(drafts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, detail, drafts, owners};
    use crate::model::{SocketRow, TcpState};
    use crate::testkit::socket;

    fn rule() -> CloseWaitLeak {
        CloseWaitLeak::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn row(n: u16) -> SocketRow {
        let mut r = socket(TcpState::CloseWait, "10.0.0.1:8080", &format!("10.0.9.9:{}", 1000 + n));
        r.set_cookie(u32::from(n), 0);
        r
    }

    /// As many sockets whose last acknowledgement came so long ago, ms; each has sent something.
    fn bench(count: u16, last_ack_recv: u64, last_data_sent: u64) -> Bench {
        bench_of(
            count,
            &[("last_ack_recv", last_ack_recv), ("last_data_sent", last_data_sent), ("bytes_sent", 1)],
        )
    }

    fn bench_of(count: u16, fields: &[(&str, u64)]) -> Bench {
        let mut b = Bench::new();
        b.rows = (1..=count).map(row).collect();
        b.details = b.rows.iter().map(|r| (r.cookie(), detail(*r, fields))).collect();
        b
    }

    #[test]
    fn one_look_proves_the_age() {
        let found = drafts(bench(20, 60_000, 70_000).judge(&mut rule()));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Warning);
        assert_eq!(found[0].evidence[0].value, Value::Count(20));
        assert_eq!(found[0].proof.total, 20);
        assert_eq!(found[0].variant, Some("read"));
    }

    #[test]
    fn fewer_than_the_threshold_are_quiet_and_younger_ones_ask_again() {
        assert_eq!(bench(19, 60_000, 70_000).judge(&mut rule()), Verdict::Quiet);
        assert!(matches!(bench(20, 59_999, 70_000).judge(&mut rule()), Verdict::AskAgain(_)));
    }

    #[test]
    fn the_same_ones_after_a_minute_are_a_leak_without_tcp_info_too() {
        let mut b = bench(25, 0, 70_000);
        b.details.clear();
        b.step = Duration::from_secs(60);
        let mut rule = rule();
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        assert_eq!(drafts(b.judge(&mut rule))[0].severity, Severity::Warning);
    }

    #[test]
    fn a_thousand_or_a_tenth_of_the_descriptors_are_critical() {
        let mut b = bench(1000, 90_000, 90_000);
        assert_eq!(drafts(b.judge(&mut rule()))[0].severity, Severity::Critical);
        let mut b = bench(102, 90_000, 90_000);
        b.owners = Some(owners(77, "java", 1024, &b.rows));
        assert_eq!(drafts(b.judge(&mut rule()))[0].severity, Severity::Warning);
        let mut b = bench(103, 90_000, 90_000);
        b.owners = Some(owners(77, "java", 1024, &b.rows));
        let found = drafts(b.judge(&mut rule()));
        assert_eq!(found[0].severity, Severity::Critical);
        assert_eq!(found[0].subject, Subject::Process { pid: 77, comm: "java".into() });
    }

    #[test]
    fn a_half_close_that_is_still_served_is_no_leak() {
        assert_eq!(bench(50, 90_000, 4_999).judge(&mut rule()), Verdict::Quiet);
        // Nothing was sent at either look, but something was acknowledged in between.
        let mut b = bench(50, 90_000, 90_000);
        let mut rule = rule();
        let acked = |b: &mut Bench, n| {
            for (_, d) in &mut b.details {
                *d = detail(
                    d.row,
                    &[("last_ack_recv", 90_000), ("last_data_sent", 90_000), ("bytes_acked", n)],
                );
            }
        };
        acked(&mut b, 1);
        b.judge(&mut rule);
        acked(&mut b, 2);
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
    }

    #[test]
    fn a_young_connection_that_never_sent_is_not_served() {
        let mut b = bench_of(50, &[("last_ack_recv", 60_000), ("last_data_sent", 1_000), ("bytes_sent", 0)]);
        assert_eq!(drafts(b.judge(&mut rule())).len(), 1);
    }

    #[test]
    fn what_nobody_accepted_is_another_rules() {
        let mut b = bench(100, 90_000, 90_000);
        b.rows.iter_mut().for_each(|r| r.inode = 0);
        assert_eq!(b.judge(&mut rule()), Verdict::Quiet);
    }

    #[test]
    fn growth_of_the_same_ones_is_a_leak_and_turnover_is_not() {
        let mut leak = Bench::new();
        let mut turnover = Bench::new();
        let (mut a, mut b) = (rule(), rule());
        for look in 0..3u16 {
            leak.rows = (1..=30 + look).map(row).collect();
            turnover.rows = (1 + look * 100..=30 + look * 101).map(row).collect();
            assert!(matches!(leak.judge(&mut a), Verdict::AskAgain(_)));
            turnover.judge(&mut b);
        }
        leak.rows = (1..=33).map(row).collect();
        turnover.rows = (301..=333).map(row).collect();
        let found = drafts(leak.judge(&mut a));
        assert_eq!((found[0].severity, found[0].confidence), (Severity::Warning, Confidence::Medium));
        assert!(matches!(turnover.judge(&mut b), Verdict::AskAgain(_)));
    }

    #[test]
    fn recv_q_says_how_it_leaks() {
        for (queue, variant) in [(0, "read"), (1, "unseen"), (500, "unread")] {
            let mut b = bench(30, 90_000, 90_000);
            b.rows.iter_mut().for_each(|r| r.recv_q = queue);
            assert_eq!(drafts(b.judge(&mut rule()))[0].variant, Some(variant));
        }
    }

    #[test]
    fn without_cookies_it_cannot_be_judged() {
        let mut b = bench(30, 90_000, 90_000);
        b.source = crate::model::TableSource::Procfs;
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(_)));
    }
}
