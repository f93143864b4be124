//! `TIME_WAIT`: harmless on servers, a shortage of ports on clients, a limit of buckets for all.

use super::common::{grouped, numbers, sockets};
use super::ephemeral_ports;
use crate::analysis::{Destination, LimitId, ListenerAgg};
use crate::diagnose::finding::{Draft, Evidence, Proof, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::sysctls::own_value;
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{Endpoint, Grouped, Ip, SocketRow, TcpState, TimerKind};

/// The rule's id.
pub const ID: &str = "time-wait-pileup";

const BUCKETS: &str = "net.ipv4.tcp_max_tw_buckets";
/// The rule that finds the limit itself too low: then that is why it is near.
const TW_BUCKETS: &str = "sysctl-tw-buckets";

numbers! { ports_ratio: f64, buckets_ratio: f64, server: u32 }

/// Connections that this machine closed first and that hold their pair of addresses for 60 s (`TCP_TIMEWAIT_LEN`).
pub struct TimeWaitPileup {
    numbers: Numbers,
}

impl TimeWaitPileup {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)? })
    }

    /// Destinations to which `TIME_WAIT` holds a large part of the ports. How bad that is follows from how many are left,
    /// which is for `ephemeral-ports` to say; this is its evidence.
    fn clients(&self, context: &Context<'_>) -> Vec<Draft> {
        let ports = &context.snapshot.ports;
        let levels = Levels { info: Some(self.numbers.ports_ratio), ..Levels::default() };
        let of = |d: &Destination| {
            let subject = ephemeral_ports::subject(d);
            let waiting = d.time_wait.saturating_sub(d.reusable);
            let ratio = f64::from(waiting) / f64::from(ports.usable.max(1));
            let severity = levels.grade(ratio, context.held.severity(ID, &subject))?;
            let evidence = vec![
                sockets("time_wait", d.time_wait as usize),
                Evidence::new("ratio", Value::Ratio(ratio), Source::SockDiag),
                Evidence::new("usable", Value::Count(ports.usable.into()), Source::SockDiag),
                sockets("reusable", d.reusable as usize),
            ];
            Some(Draft { variant: Some("client"), ..Draft::new(severity, subject, evidence) })
        };
        let (full, mut drafts): (Vec<&Destination>, Vec<Draft>) =
            ports.destinations.iter().filter_map(|d| Some((d, of(d)?))).unzip();
        for (draft, rows) in drafts.iter_mut().zip(ephemeral_ports::rows_to(context, &full, waits)) {
            draft.proof = context.proof(&rows);
        }
        drafts
    }

    /// All of them against the limit.
    fn buckets(&self, context: &Context<'_>) -> Option<Draft> {
        let s = context.snapshot;
        let limit = s.limits.iter().find(|l| l.id == LimitId::TimeWaitBuckets)?;
        let levels = Levels { warning: Some(self.numbers.buckets_ratio), ..Levels::default() };
        let severity = levels.grade(limit.ratio(), context.held.severity(ID, &Subject::Host))?;
        let mut evidence = vec![
            sockets("time_wait", usize::try_from(limit.used).unwrap_or(usize::MAX)),
            Evidence::new("max", Value::Count(limit.max), Source::Sysctl(BUCKETS.into())),
            Evidence::new("ratio", Value::Ratio(limit.ratio()), Source::SockDiag),
            Evidence::new("default", own_value(context, BUCKETS), Source::Observed),
        ];
        let (most, proof) = most(context, TcpState::TimeWait);
        evidence.extend(most);
        let explains = vec![(TW_BUCKETS, Subject::Sysctl { name: BUCKETS.into() })];
        let variant = Some("buckets");
        Some(Draft { variant, proof, explains, ..Draft::new(severity, Subject::Host, evidence) })
    }

    /// Listeners with many: said because people ask, not because anything is wrong.
    fn servers(&self, context: &Context<'_>) -> Vec<Draft> {
        let levels = Levels { info: Some(self.numbers.server.into()), ..Levels::default() };
        let s = context.snapshot;
        let of = |(l, at): (&ListenerAgg, u32)| {
            let subject = Subject::Listener { local: l.local, cookie: l.cookie };
            let waiting = l.counts[TcpState::TimeWait];
            let severity = levels.grade(waiting.into(), context.held.severity(ID, &subject))?;
            let evidence = vec![sockets("time_wait", waiting as usize)];
            let rows = s.sample.table.rows.iter();
            let here = rows.filter(|r| waits(r) && context.survey.listener_of(s, r) == Some(at));
            let proof = here.map(SocketRow::cookie).collect();
            Some(Draft { variant: Some("server"), proof, ..Draft::new(severity, subject, evidence) })
        };
        s.listeners.iter().zip(0u32..).filter_map(of).collect()
    }
}

fn waits(row: &SocketRow) -> bool {
    row.state == TcpState::TimeWait
}

/// The listener, or the destination, that has most of the entries in this state of the table of `TIME_WAIT`, which holds
/// closed connections in `FIN_WAIT2`, too: with their number as evidence; and its entries are the proof.
pub(in crate::diagnose) fn most(context: &Context<'_>, state: TcpState) -> (Option<Evidence>, Proof) {
    let s = context.snapshot;
    let is_entry = |row: &SocketRow| row.state == state && (waits(row) || row.timer() == TimerKind::TimeWait);
    let rows = s.sample.table.rows.iter().zip(0u32..).filter(|(row, _)| is_entry(row));
    let keyed = rows.map(|(row, at)| (Whose::of(context, row), at));
    let Some((whose, rows)) = grouped(keyed).into_iter().next() else { return (None, Proof::default()) };
    let name = match whose {
        Whose::Served(local) => local.to_string(),
        Whose::Called(local, peer) => Subject::Destination { local: Some(local), peer }.to_string(),
    };
    let text = Value::Text(format!("{name} ({})", Grouped(rows.len() as u64)).as_str().into());
    (Some(Evidence::new("most_at", text, Source::SockDiag)), context.proof(&rows))
}

/// Where an entry comes from: clients of a service come from everywhere, a client comes from any port.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Whose {
    Served(Endpoint),
    Called(Ip, Endpoint),
}

impl Whose {
    fn of(context: &Context<'_>, row: &SocketRow) -> Self {
        let s = context.snapshot;
        let listener = context.survey.listener_of(s, row).and_then(|at| s.listeners.get(at as usize));
        let ephemeral = s.ports.range.as_ref().is_some_and(|r| r.contains(&row.local_port));
        match listener {
            Some(l) => Self::Served(l.local),
            None if ephemeral => Self::Called(row.local, row.peer_endpoint()),
            None => Self::Served(row.local_endpoint()),
        }
    }
}

impl Rule for TimeWaitPileup {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let mut drafts = self.clients(context);
        drafts.extend(self.buckets(context));
        drafts.extend(self.servers(context));
        let s = context.snapshot;
        if drafts.is_empty()
            && let Some(missing) = s.limits_missing.iter().find(|m| m.id == LimitId::TimeWaitBuckets)
        {
            return Verdict::NotExamined(missing.why.to_string());
        }
        if drafts.is_empty() && s.ports.range.is_none() {
            return Verdict::NotExamined("net.ipv4.ip_local_port_range could not be read".into());
        }
        debug_assert!(drafts.iter().all(|d| d.severity < Severity::Critical));
        Verdict::of(drafts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, drafts};
    use crate::testkit::socket;

    fn rule() -> TimeWaitPileup {
        TimeWaitPileup::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn waiting(count: u16, local: &str, peer: &str) -> Vec<SocketRow> {
        let row = |n: u16| {
            let mut r = socket(TcpState::TimeWait, local, peer);
            if r.local_port == 0 {
                r.local_port = 40_000 + n;
            } else {
                r.peer_port = 1000 + n;
            }
            r.set_cookie(u32::from(n) + 1, 0);
            r
        };
        (0..count).map(row).collect()
    }

    fn bench(rows: Vec<SocketRow>) -> Bench {
        let mut b = Bench::new();
        b.set_sysctl("net.ipv4.ip_local_port_range", "40000 40099");
        b.set_sysctl(BUCKETS, "1000");
        b.rows = rows;
        b
    }

    #[test]
    fn on_a_client_half_of_the_ports_is_evidence_for_the_rule_about_ports() {
        let quiet = bench(waiting(49, "10.0.0.5:0", "10.0.4.2:80")).judge(&mut rule());
        assert_eq!(quiet, Verdict::Quiet);
        let found = drafts(bench(waiting(50, "10.0.0.5:0", "10.0.4.2:80")).judge(&mut rule()));
        assert_eq!((found[0].severity, found[0].variant), (Severity::Info, Some("client")));
        assert_eq!(found[0].proof.total, 50);
        assert!(matches!(found[0].subject, Subject::Destination { .. }));
    }

    #[test]
    fn what_may_be_reused_is_free() {
        let mut b = bench(waiting(90, "10.0.0.5:0", "10.0.4.2:80"));
        b.set_sysctl("net.ipv4.tcp_tw_reuse", "1");
        b.rows.iter_mut().for_each(|r| r.expires_ms = 50_000);
        assert_eq!(b.judge(&mut rule()), Verdict::Quiet);
    }

    #[test]
    fn on_a_server_thousands_are_information_at_most() {
        let mut rows = waiting(10_000, "10.0.0.5:80", "10.0.4.2:0");
        rows.push(socket(TcpState::Listen, "0.0.0.0:80", ""));
        let mut b = bench(rows.clone());
        b.set_sysctl(BUCKETS, "131072");
        let found = drafts(b.judge(&mut rule()));
        assert_eq!((found.len(), found[0].severity, found[0].variant), (1, Severity::Info, Some("server")));
        assert_eq!((found[0].proof.cookies.len(), found[0].proof.total), (1000, 10_000));
        rows.drain(..1);
        let mut b = bench(rows);
        b.set_sysctl(BUCKETS, "131072");
        assert_eq!(b.judge(&mut rule()), Verdict::Quiet);
    }

    #[test]
    fn near_the_limit_of_buckets_it_is_a_warning() {
        let mut rows = waiting(800, "10.0.0.5:80", "10.0.4.2:0");
        rows.push(socket(TcpState::Listen, "0.0.0.0:80", ""));
        let found = drafts(bench(rows.clone()).judge(&mut rule()));
        assert_eq!((&found[0].subject, found[0].variant), (&Subject::Host, Some("buckets")));
        assert_eq!(found[0].explains, [(TW_BUCKETS, Subject::Sysctl { name: BUCKETS.into() })]);
        rows.drain(..1);
        assert_eq!(bench(rows).judge(&mut rule()), Verdict::Quiet);
    }

    #[test]
    fn who_has_most_of_a_full_table_is_named_and_proves_it() {
        let most = |served: u16, called: u16| {
            let mut rows = waiting(served, "10.0.0.5:80", "10.0.4.2:0");
            rows.extend(waiting(called, "10.0.0.5:0", "10.0.4.2:3306"));
            (1..).zip(&mut rows).for_each(|(n, r)| r.set_cookie(n, 0));
            rows.push(socket(TcpState::Listen, "0.0.0.0:80", ""));
            let mut b = bench(rows);
            b.set_sysctl("net.ipv4.ip_local_port_range", "1024 65535");
            let mut found = drafts(b.judge(&mut rule())).remove(0);
            assert_eq!(found.variant, Some("buckets"));
            let piece = found.evidence.pop().unwrap();
            assert_eq!(piece.name, "most_at");
            (piece.value.to_string(), found.proof.cookies[0], found.proof.total)
        };
        assert_eq!(most(500, 300), ("0.0.0.0:80 (500)".into(), 1, 500));
        assert_eq!(most(300, 500), ("10.0.0.5 → 10.0.4.2:3306 (500)".into(), 301, 500));
    }

    #[test]
    fn without_the_limit_it_says_so() {
        let mut b = bench(Vec::new());
        b.unset_sysctl(BUCKETS);
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(_)));
    }
}
