//! Ports for outgoing connections, per destination.

use std::time::Duration;

use super::common::{numbers, observed, sockets};
use crate::analysis::{Destination, PortUse};
use crate::diagnose::finding::{Draft, Evidence, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::sockets::time_wait;
use crate::diagnose::thresholds::{ThresholdError, Thresholds, ascending};
use crate::model::SocketRow;

/// The rule's id.
pub const ID: &str = "ephemeral-ports";

const RANGE: &str = "net.ipv4.ip_local_port_range";

numbers! {
    info_ratio: f64, warning_ratio: f64, critical_ratio: f64;
    n => ascending(&[
        ("info_ratio", n.info_ratio),
        ("warning_ratio", n.warning_ratio),
        ("critical_ratio", n.critical_ratio),
    ])
}

/// The ports to one destination from one address run out. From half of them on each `connect()` searches, because the
/// kernel tries the ports of one parity first (`__inet_hash_connect` in `net/ipv4/inet_hashtables.c`).
pub struct EphemeralPorts {
    levels: Levels,
}

impl EphemeralPorts {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        let n: Numbers = thresholds.section(ID)?;
        let levels = Levels {
            info: Some(n.info_ratio),
            warning: Some(n.warning_ratio),
            critical: Some(n.critical_ratio),
        };
        Ok(Self { levels })
    }
}

/// The subject of a destination.
pub fn subject(d: &Destination) -> Subject {
    Subject::Destination { local: Some(d.local), peer: d.peer }
}

impl Rule for EphemeralPorts {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let ports = &context.snapshot.ports;
        if ports.range.is_none() {
            return Verdict::NotExamined(format!("{RANGE} could not be read"));
        }
        let full: Vec<_> = ports
            .destinations
            .iter()
            .filter_map(|d| {
                let held = context.held.severity(ID, &subject(d));
                Some((d, self.levels.grade(ports.ratio(d), held)?))
            })
            .collect();
        let rows = rows_to(context, &full.iter().map(|(d, _)| *d).collect::<Vec<_>>(), |_| true);
        let drafts = full.iter().zip(rows).map(|((d, severity), rows)| Draft {
            proof: context.proof(&rows),
            explains: vec![(time_wait::ID, subject(d))],
            ..Draft::new(*severity, subject(d), evidence(context, ports, d, &rows))
        });
        Verdict::of(drafts.collect())
    }
}

fn evidence(context: &Context<'_>, ports: &PortUse, d: &Destination, rows: &[u32]) -> Vec<Evidence> {
    let mut evidence = vec![
        Evidence::new("ratio", Value::Ratio(ports.ratio(d)), Source::SockDiag),
        sockets("used", d.used as usize),
        Evidence::new("usable", Value::Count(ports.usable.into()), Source::Sysctl(RANGE.into())),
        sockets("time_wait", d.time_wait as usize),
        sockets("reusable", d.reusable as usize),
    ];
    if ports.suspected_binds > 0 {
        // Each costs every destination a port; only their parity tells.
        evidence.push(sockets("suspected_binds", ports.suspected_binds as usize));
    }
    if let Some(growth) = d.growth_per_s {
        evidence.push(Evidence::new("growth", Value::PerSecond(growth.into()), Source::Observed));
    }
    // Beyond a day it is no forecast.
    let left = ports.exhausted_in_s(d).filter(|s| *s < 86_400.0);
    evidence.extend(left.map(|s| observed("exhausted_in_s", Duration::from_secs_f64(s))));
    evidence.extend(context.processes(rows));
    evidence
}

/// The rows of this kind to each of these destinations; the table is walked only when there are any.
pub fn rows_to(
    context: &Context<'_>,
    destinations: &[&Destination],
    is: impl Fn(&SocketRow) -> bool,
) -> Vec<Vec<u32>> {
    let mut found = vec![Vec::new(); destinations.len()];
    if destinations.is_empty() {
        return found;
    }
    for (row, at) in context.snapshot.sample.table.rows.iter().zip(0u32..) {
        let to = |d: &&Destination| {
            row.peer_port == d.peer.port && row.peer == d.peer.addr && row.local == d.local
        };
        if is(row)
            && let Some(n) = destinations.iter().position(to)
            && let Some(place) = found.get_mut(n)
        {
            place.push(at);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Severity;
    use crate::diagnose::testing::{Bench, drafts, owners};
    use crate::model::{SocketRow, TcpState};
    use crate::testkit::socket;

    fn rule() -> EphemeralPorts {
        EphemeralPorts::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn row(state: TcpState, port: u16, peer: &str) -> SocketRow {
        let mut r = socket(state, &format!("10.0.0.5:{port}"), peer);
        r.set_cookie(u32::from(port), 0);
        r
    }

    /// A range of 20 ports, so many of which are in use to one destination.
    fn bench(used: u16) -> Bench {
        let mut b = Bench::new();
        b.set_sysctl(RANGE, "40000 40019");
        b.rows = (0..used).map(|n| row(TcpState::Established, 40_000 + n, "10.0.4.2:3306")).collect();
        b
    }

    fn severity(b: &mut Bench) -> Option<Severity> {
        match b.judge(&mut rule()) {
            Verdict::Quiet => None,
            other => Some(drafts(other)[0].severity),
        }
    }

    #[test]
    fn fires_at_its_levels_and_not_below() {
        let at = |used| severity(&mut bench(used));
        assert_eq!(
            [at(9), at(10), at(16), at(19)],
            [None, Some(Severity::Info), Some(Severity::Warning), Some(Severity::Critical)]
        );
    }

    #[test]
    fn it_is_never_a_percentage_of_all_connections() {
        let mut b = bench(9);
        let other = |n: u16| row(TcpState::Established, 40_000 + n, "10.0.4.3:3306");
        b.rows.extend((0..9).map(other));
        assert_eq!(severity(&mut b), None);
    }

    #[test]
    fn time_wait_counts_unless_it_is_free_again() {
        let with = |reuse: &str, age_ms: u32| {
            let mut b = bench(0);
            b.set_sysctl("net.ipv4.tcp_tw_reuse", reuse);
            b.rows = (0..19).map(|n| row(TcpState::TimeWait, 40_000 + n, "10.0.4.2:3306")).collect();
            b.rows.iter_mut().for_each(|r| r.expires_ms = 60_000 - age_ms);
            severity(&mut b)
        };
        assert_eq!(with("0", 30_000), Some(Severity::Critical));
        assert_eq!(with("2", 30_000), Some(Severity::Critical), "2 is for loopback only");
        assert_eq!(with("1", 30_000), None);
        assert_eq!(with("1", 500), Some(Severity::Critical), "younger than the delay");
    }

    #[test]
    fn names_the_destination_the_process_and_the_time_that_is_left() {
        let mut b = bench(10);
        b.step = Duration::from_secs(5);
        let mut rule = rule();
        b.judge(&mut rule);
        b.rows.extend((10..17).map(|n| row(TcpState::Established, 40_000 + n, "10.0.4.2:3306")));
        b.owners = Some(owners(7, "api", 1024, &b.rows));
        let found = drafts(b.judge(&mut rule));
        let [d] = &found[..] else { panic!("{found:?}") };
        assert_eq!(
            d.subject,
            Subject::Destination { local: Some(b.rows[0].local), peer: b.rows[0].peer_endpoint() }
        );
        let value = |name| d.evidence.iter().find(|e| e.name == name).map(|e| e.value.clone());
        assert_eq!(value("processes"), Some(Value::Text("api[7]".into())));
        assert_eq!(value("growth"), Some(Value::PerSecond(f64::from(1.4f32))));
        assert!(value("exhausted_in_s").is_some());
        assert_eq!(d.explains[0].0, time_wait::ID);
    }

    #[test]
    fn without_the_range_it_cannot_be_judged() {
        let mut b = bench(19);
        b.unset_sysctl(RANGE);
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(_)));
    }
}
