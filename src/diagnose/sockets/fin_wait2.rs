//! Connections that this side has closed and the peer has not.

use std::time::Duration;

use super::common::{Grows, Growth, float, numbers, observed, setting, sockets};
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::sysctls::own_value;
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{TcpInfo, TcpState};

/// The rule's id.
pub const ID: &str = "fin-wait2-pileup";

const ASKED: usize = 512;
const BUCKETS: &str = "net.ipv4.tcp_max_tw_buckets";
const FIN_TIMEOUT: &str = "net.ipv4.tcp_fin_timeout";

numbers! { warning: u32, growing: u32, old_s: f64, orphans_ratio: f64 }

/// `FIN_WAIT2` of three kinds: held by a program, for which there is no timeout; orphans that are full sockets; and
/// orphans that are mini-sockets, which share the limit of `TIME_WAIT` (`tcp_time_wait` in `net/ipv4/tcp_minisocks.c`).
pub struct FinWait2Pileup {
    numbers: Numbers,
    grows: Grows,
}

impl FinWait2Pileup {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, grows: Grows::default() })
    }

    /// How long the peer has neither closed nor sent: what it sends is a half-close in use.
    fn age(context: &Context<'_>, at: u32) -> Duration {
        let seen = context.seen_for(at);
        let detail = context.row(at).and_then(|row| context.detail(row));
        match detail.and_then(|d| Some((d.time(TcpInfo::last_ack_recv)?, d.time(TcpInfo::last_data_recv)?))) {
            Some((ack, data)) => seen.max(ack).min(data),
            None => seen,
        }
    }

    fn kinds(context: &Context<'_>) -> Vec<Evidence> {
        let s = context.survey;
        let mut kinds = vec![
            sockets("held", s.fin_wait2_held.total as usize),
            sockets("orphans", s.fin_wait2_orphans as usize),
            sockets("minis", s.fin_wait2_minis as usize),
        ];
        kinds.extend(setting(context, "fin_timeout_s", FIN_TIMEOUT));
        kinds
    }

    fn held(&mut self, context: &Context<'_>) -> (Vec<Draft>, bool) {
        let n = self.numbers;
        let old = Duration::from_secs_f64(n.old_s);
        let groups = context.by_holder(&context.survey.fin_wait2_held.rows);
        self.grows.renew(context, &groups);
        let (mut drafts, mut again) = (Vec::new(), false);
        for (subject, rows) in groups {
            let aged: Vec<u32> = rows.iter().copied().filter(|at| Self::age(context, *at) >= old).collect();
            let levels = Levels { warning: Some(n.warning.into()), ..Levels::default() };
            let by_age = levels.grade(float(aged.len()), context.held.severity(ID, &subject));
            let growth = self.grows.of(&subject);
            let per_minute = growth.and_then(Growth::per_minute);
            // Turnover shows as many, never the same ones.
            let stays = growth.is_some_and(|g| g.kept().0 >= n.growing as usize && g.kept().1 >= 0.9);
            let by_growth = (per_minute.is_some() && stays).then_some(Severity::Warning);
            let Some(severity) = by_age.max(by_growth) else {
                again |= rows.len() >= n.warning as usize;
                continue;
            };
            let shown = if by_age.is_some() { aged } else { rows };
            let oldest = shown.iter().map(|at| Self::age(context, *at)).max().unwrap_or_default();
            let mut evidence = vec![sockets("fin_wait2", shown.len()), observed("oldest_s", oldest)];
            evidence
                .extend(per_minute.map(|g| Evidence::new("growth", Value::PerMinute(g), Source::Observed)));
            evidence.extend(Self::kinds(context));
            evidence.extend(context.peers(&shown));
            drafts.push(Draft {
                variant: Some("held"),
                proof: context.proof(&shown),
                ..Draft::new(severity, subject, evidence)
            });
        }
        (drafts, again)
    }

    fn orphaned(&self, context: &Context<'_>) -> Option<Draft> {
        let max =
            context.snapshot.sample.facts.sysctls.number(BUCKETS).and_then(|n| u32::try_from(n).ok())?;
        let minis = context.survey.fin_wait2_minis;
        let ratio = f64::from(minis) / f64::from(max.max(1));
        let levels = Levels { warning: Some(self.numbers.orphans_ratio), ..Levels::default() };
        let severity = levels.grade(ratio, context.held.severity(ID, &Subject::Host))?;
        let mut evidence = vec![
            sockets("fin_wait2", minis as usize),
            Evidence::new("ratio", Value::Ratio(ratio), Source::SockDiag),
            Evidence::new("max", Value::Count(max.into()), Source::Sysctl(BUCKETS.into())),
        ];
        evidence.extend(Self::kinds(context));
        evidence.push(Evidence::new("default", own_value(context, BUCKETS), Source::Observed));
        let (most, proof) = super::time_wait::most(context, TcpState::FinWait2);
        evidence.extend(most);
        Some(Draft {
            variant: Some("orphaned"),
            proof,
            // They are what fills the table of TIME_WAIT.
            explains: vec![
                (super::time_wait::ID, Subject::Host),
                ("sysctl-tw-buckets", Subject::Sysctl { name: BUCKETS.into() }),
            ],
            ..Draft::new(severity, Subject::Host, evidence)
        })
    }
}

impl Rule for FinWait2Pileup {
    fn wants(&mut self, context: &Context<'_>) -> Vec<u32> {
        let rows = &context.survey.fin_wait2_held.rows;
        let few = self.numbers.growing as usize;
        if rows.len() < few { Vec::new() } else { rows.iter().copied().take(ASKED).collect() }
    }

    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        if let Some(why) = context.no_identity() {
            return Verdict::NotExamined(why);
        }
        let (mut drafts, again) = self.held(context);
        drafts.extend(self.orphaned(context));
        Verdict::of_or_again(
            drafts,
            again,
            "whether the same connections are still in FIN_WAIT2 after a minute",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, detail, drafts, owners};
    use crate::model::SocketRow;
    use crate::testkit::socket;

    fn rule() -> FinWait2Pileup {
        FinWait2Pileup::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn row(n: u16) -> SocketRow {
        let mut r = socket(TcpState::FinWait2, "10.0.0.1:80", &format!("10.0.9.9:{}", 2000 + n));
        r.set_cookie(1 + u32::from(n), 0);
        r
    }

    fn bench(count: u16, heard_ms: u64, received_ms: u64) -> Bench {
        let mut b = Bench::new();
        b.rows = (0..count).map(row).collect();
        let fields = [("last_ack_recv", heard_ms), ("last_data_recv", received_ms)];
        b.details = b.rows.iter().map(|r| (r.cookie(), detail(*r, &fields))).collect();
        b.owners = Some(owners(5, "app", 1024, &b.rows));
        b
    }

    #[test]
    fn a_hundred_old_ones_of_one_process_are_a_warning() {
        let found = drafts(bench(100, 60_000, 60_000).judge(&mut rule()));
        assert_eq!((found[0].severity, found[0].variant), (Severity::Warning, Some("held")));
        assert_eq!(found[0].subject, Subject::Process { pid: 5, comm: "app".into() });
        assert_eq!(bench(99, 60_000, 60_000).judge(&mut rule()), Verdict::Quiet);
        assert!(matches!(bench(100, 59_999, 60_000).judge(&mut rule()), Verdict::AskAgain(_)));
    }

    #[test]
    fn a_half_close_on_which_the_peer_still_sends_is_in_use() {
        assert!(!matches!(bench(200, 90_000, 1_000).judge(&mut rule()), Verdict::Fires(_)));
    }

    #[test]
    fn growth_of_the_same_ones_is_a_warning() {
        let mut b = bench(0, 0, 0);
        let mut rule = rule();
        for count in 20..23 {
            b.rows = (0..count).map(row).collect();
            assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        }
        b.rows = (0..23).map(row).collect();
        assert_eq!(drafts(b.judge(&mut rule))[0].severity, Severity::Warning);
    }

    #[test]
    fn orphans_are_told_apart_and_count_against_the_buckets() {
        let judged = |count: u16| {
            let mut b = bench(count, 0, 0);
            b.rows.iter_mut().for_each(|r| (r.inode, r.timer_raw) = (0, 3));
            b.set_sysctl(BUCKETS, "1000");
            b.judge(&mut rule())
        };
        assert_eq!(judged(499), Verdict::Quiet);
        let found = drafts(judged(500));
        assert_eq!((&found[0].subject, found[0].variant), (&Subject::Host, Some("orphaned")));
        assert_eq!(found[0].explains[0], (crate::diagnose::sockets::time_wait::ID, Subject::Host));
    }

    #[test]
    fn without_cookies_it_cannot_be_judged() {
        let mut b = bench(1, 0, 0);
        b.source = crate::model::TableSource::Procfs;
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(_)));
    }
}
