//! Connections without keepalive: a peer that vanishes is never noticed.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::common::{float, looked_at, numbers, sockets};
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::TcpInfo;

/// The rule's id.
pub const ID: &str = "no-keepalive";

/// How many connections are asked how long they have been idle, those of all holders together: at 2 to 6 µs each, a
/// millisecond or three.
const SAMPLE: usize = 512;

/// How many of one holder are asked at least, however many holders there are.
const LEAST: usize = 32;

/// How often: idle minutes do not change in a second.
const EVERY: Duration = Duration::from_secs(15);

numbers! { connections: u32, idle_s: f64 }

type Groups = Vec<(Subject, Vec<u32>)>;

/// Established connections that are known to be without `SO_KEEPALIVE`. Only a socket without any timer proves it.
pub struct NoKeepalive {
    numbers: Numbers,
    asked: Option<Duration>,
    /// The holders of the look that is being judged, with its number: questions and judgement need the same.
    holders: Option<(u64, Groups)>,
    /// The part of each holder's connections that was idle when they were last asked.
    idle: FxHashMap<Subject, f64>,
}

impl NoKeepalive {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, asked: None, holders: None, idle: FxHashMap::default() })
    }

    /// Holders with enough connections to matter.
    fn groups(&self, context: &Context<'_>) -> Groups {
        // What holds goes on at nine tenths.
        let few = (self.numbers.connections as usize * 9).div_ceil(10);
        if context.survey.without_keepalive.rows.len() < few {
            return Vec::new();
        }
        // By listener first: that is where the option can be set for all of them (accepted sockets inherit it).
        context.by_listener(&context.survey.without_keepalive.rows, few)
    }

    /// Learns how many of those that were asked are idle: neither data nor an acknowledgement, in either direction.
    fn learn(&mut self, context: &Context<'_>, subject: &Subject, rows: &[u32]) {
        if context.details.is_empty() {
            return;
        }
        let long = Duration::from_secs_f64(self.numbers.idle_s);
        let entries: Vec<_> = context.rows(rows).filter_map(|(_, row)| context.detail(row)).collect();
        if entries.is_empty() {
            return;
        }
        let idle = entries.iter().filter(|e| {
            let fields = [TcpInfo::last_data_sent, TcpInfo::last_data_recv, TcpInfo::last_ack_recv];
            fields.iter().all(|f| e.time(f).is_some_and(|t| t >= long))
        });
        self.idle.insert(subject.clone(), float(idle.count()) / float(entries.len()));
    }

    /// How many run with keepalive, and for how many it was never seen.
    fn others(context: &Context<'_>, subject: &Subject) -> Vec<Evidence> {
        let Subject::Listener { cookie, .. } = subject else { return Vec::new() };
        let Some(l) = context.snapshot.listeners.iter().find(|l| l.cookie == *cookie) else {
            return Vec::new();
        };
        let all = l.counts[crate::model::TcpState::Established] as usize;
        let known = (l.no_keepalive + l.with_keepalive) as usize;
        vec![
            sockets("with_keepalive", l.with_keepalive as usize),
            sockets("unknown", all.saturating_sub(l.unaccepted as usize).saturating_sub(known)),
        ]
    }
}

impl Rule for NoKeepalive {
    fn wants(&mut self, context: &Context<'_>) -> Vec<u32> {
        let now = context.snapshot.observed;
        if self.asked.is_some_and(|at| now.saturating_sub(at) < EVERY) {
            return Vec::new();
        }
        let groups = self.groups(context);
        if !groups.is_empty() {
            self.asked = Some(now);
        }
        let share = (SAMPLE / groups.len().max(1)).max(LEAST);
        // Spread over the table, so that neither the oldest nor the newest alone are asked.
        let spread = |rows: &Vec<u32>| {
            let step = rows.len().div_ceil(share).max(1);
            rows.iter().copied().step_by(step).collect::<Vec<_>>()
        };
        let wanted = groups.iter().flat_map(|(_, rows)| spread(rows)).collect();
        self.holders = Some((context.snapshot.generation, groups));
        wanted
    }

    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let of_this_look = self.holders.take().filter(|(of, _)| *of == context.snapshot.generation);
        let groups = of_this_look.map_or_else(|| self.groups(context), |(_, groups)| groups);
        self.idle.retain(|subject, _| groups.iter().any(|(s, _)| s == subject));
        let few = f64::from(self.numbers.connections);
        let mut drafts = Vec::new();
        for (subject, rows) in groups {
            self.learn(context, &subject, &rows);
            let held = context.held.severity(ID, &subject);
            let idle = self.idle.get(&subject).map(|part| part * float(rows.len()));
            let inside = context.rows(&rows).all(|(_, row)| context.survey.is_inner(row));
            let by_count = Levels { info: Some(few), ..Levels::default() }.grade(float(rows.len()), held);
            // On one machine a peer cannot vanish unnoticed: its kernel closes what a dead process leaves.
            let idle_many = Levels { warning: Some(few), ..Levels::default() };
            let by_idle = idle.filter(|_| !inside).and_then(|n| idle_many.grade(n, held));
            let Some(severity) = by_count.max(by_idle) else { continue };
            let mut evidence = vec![sockets("without_keepalive", rows.len())];
            evidence.extend(looked_at(&context.survey.without_keepalive));
            evidence.extend(Self::others(context, &subject));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of sockets")]
            let count = idle.map_or(Value::Unknown, |n| Value::Count(n.round() as u64));
            evidence.push(Evidence::new("idle", count, Source::TcpInfo));
            evidence.extend(context.peers(&rows));
            drafts.push(Draft {
                variant: (severity >= Severity::Warning).then_some("idle"),
                proof: context.proof(&rows),
                ..Draft::new(severity, subject, evidence)
            });
        }
        Verdict::of(drafts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, detail, drafts, owners};
    use crate::model::TcpState;
    use crate::testkit::socket;

    fn rule() -> NoKeepalive {
        NoKeepalive::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    /// So many connections to one listener, so many of them idle.
    fn bench(count: u16, idle: u16) -> Bench {
        let mut b = Bench::new();
        let mut l = socket(TcpState::Listen, "0.0.0.0:21", "");
        l.set_cookie(9999, 0);
        b.rows.push(l);
        for n in 0..count {
            let mut r = socket(TcpState::Established, "10.0.0.1:21", &format!("10.0.9.9:{}", 2000 + n));
            r.set_cookie(1 + u32::from(n), 0);
            b.rows.push(r);
            let ms = if n < idle { 300_000 } else { 299_999 };
            let fields = [("last_data_sent", ms), ("last_data_recv", 400_000), ("last_ack_recv", 400_000)];
            b.details.push((r.cookie(), detail(r, &fields)));
        }
        b
    }

    fn severity(mut b: Bench) -> Option<Severity> {
        match b.judge(&mut rule()) {
            Verdict::Quiet => None,
            other => Some(drafts(other)[0].severity),
        }
    }

    #[test]
    fn fifty_are_information_and_fifty_idle_ones_a_warning() {
        assert_eq!(severity(bench(49, 49)), None);
        assert_eq!(severity(bench(50, 49)), Some(Severity::Info));
        assert_eq!(severity(bench(50, 50)), Some(Severity::Warning));
    }

    #[test]
    fn a_timer_that_masks_keepalive_proves_nothing() {
        let mut b = bench(100, 100);
        b.rows.iter_mut().for_each(|r| r.timer_raw = 1);
        assert_eq!(severity(b), None);
    }

    #[test]
    fn a_socket_once_seen_with_keepalive_stays_with_it() {
        let mut b = bench(100, 100);
        b.rows[1..].iter_mut().for_each(|r| (r.timer_raw, r.expires_ms) = (2, 1000));
        let mut rule = rule();
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        b.rows[1..].iter_mut().for_each(|r| (r.timer_raw, r.expires_ms) = (0, 0));
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
    }

    #[test]
    fn connections_that_were_opened_here_are_named_by_their_process() {
        let mut b = bench(60, 0);
        b.rows.remove(0);
        b.owners = Some(owners(6, "pool", 1024, &b.rows));
        let found = drafts(b.judge(&mut rule()));
        assert_eq!(found[0].subject, Subject::Process { pid: 6, comm: "pool".into() });
    }

    #[test]
    fn of_very_many_a_part_is_looked_at_and_that_is_said() {
        let mut b = bench(60, 0);
        let one = b.rows[1];
        let most = u32::try_from(crate::diagnose::survey::Picked::COMMON).unwrap();
        for n in 100..100 + most {
            let mut row = one;
            row.set_cookie(n, 0);
            b.rows.push(row);
        }
        let found = drafts(b.judge(&mut rule()));
        let count = |name| found[0].evidence.iter().find(|e| e.name == name).map(|e| e.value.clone());
        assert_eq!(count("looked_at"), Some(Value::Count(most.into())));
        assert_eq!(count("of"), Some(Value::Count(u64::from(most) + 60)));
    }

    #[test]
    fn what_was_learnt_holds_between_questions() {
        let mut b = bench(60, 60);
        let mut rule = rule();
        assert_eq!(drafts(b.judge(&mut rule))[0].severity, Severity::Warning);
        assert_eq!(drafts(b.judge(&mut rule))[0].severity, Severity::Warning);
    }

    #[test]
    fn on_loopback_it_is_information_at_most() {
        let mut b = bench(60, 60);
        for r in &mut b.rows[1..] {
            r.peer = crate::testkit::endpoint("127.0.0.1:1").addr;
        }
        assert_eq!(severity(b), Some(Severity::Info));
    }
}
