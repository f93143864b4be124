//! Ports below 1024 that clients must bind.

use rustc_hash::{FxHashMap, FxHashSet};

use super::common::{numbers, sockets};
use crate::diagnose::finding::{Draft, Evidence, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{Endpoint, Ip, TcpState};

/// The rule's id.
pub const ID: &str = "privileged-ports";

numbers! { ratio: f64, first_port: u16, narrow_first_port: u16 }

/// NFS and other users of reserved ports run out of them. A bind takes a port of an address for every destination; NFS
/// takes those from 665 on unless told otherwise (`xprt_min_resvport` in `net/sunrpc/xprtsock.c`).
pub struct PrivilegedPorts {
    numbers: Numbers,
}

impl PrivilegedPorts {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        let numbers: Numbers = thresholds.section(ID)?;
        Ok(Self { numbers })
    }
}

/// What one local address uses.
#[derive(Default)]
struct Use {
    ports: FxHashSet<u16>,
    waiting: usize,
    rows: Vec<u32>,
    to: FxHashMap<Endpoint, usize>,
}

impl Rule for PrivilegedPorts {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let mut uses: FxHashMap<Ip, Use> = FxHashMap::default();
        for (at, row) in context.rows(&context.survey.from_low_ports.rows) {
            if row.local_port < self.numbers.first_port {
                continue;
            }
            let place = uses.entry(row.local).or_default();
            place.ports.insert(row.local_port);
            place.waiting += usize::from(row.state == TcpState::TimeWait);
            place.rows.push(at);
            *place.to.entry(row.peer_endpoint()).or_default() += 1;
        }
        let levels = Levels { warning: Some(self.numbers.ratio), ..Levels::default() };
        let mut drafts = Vec::new();
        for (local, used) in uses {
            let most = used.to.iter().max_by_key(|(peer, n)| (**n, std::cmp::Reverse(**peer)));
            let Some((peer, _)) = most else { continue };
            let part = |first: u16| {
                let ports = used.ports.iter().filter(|p| **p >= first).count();
                let capacity = 1024 - usize::from(first.min(1023));
                (super::common::float(ports) / super::common::float(capacity), capacity)
            };
            let (all, narrow) = (part(self.numbers.first_port), part(self.numbers.narrow_first_port));
            let (ratio, capacity) = if narrow.0 > all.0 { narrow } else { all };
            let subject = Subject::Destination { local: Some(local), peer: *peer };
            let Some(severity) = levels.grade(ratio, context.held.severity(ID, &subject)) else { continue };
            let mut evidence = vec![
                Evidence::new("ratio", Value::Ratio(ratio), Source::SockDiag),
                sockets("used", used.ports.len()),
                sockets("capacity", capacity),
                sockets("time_wait", used.waiting),
                sockets("destinations", used.to.len()),
            ];
            evidence.extend(context.processes(&used.rows));
            drafts
                .push(Draft { proof: context.proof(&used.rows), ..Draft::new(severity, subject, evidence) });
        }
        drafts.sort_by(|a, b| a.subject.cmp(&b.subject));
        Verdict::of(drafts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, drafts};
    use crate::model::SocketRow;
    use crate::testkit::socket;

    fn rule() -> PrivilegedPorts {
        PrivilegedPorts::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn from(first: u16, count: u16, state: TcpState) -> Vec<SocketRow> {
        (first..first + count).map(|p| socket(state, &format!("10.0.0.5:{p}"), "10.0.4.2:2049")).collect()
    }

    fn judged(rows: Vec<SocketRow>) -> Verdict {
        let mut b = Bench::new();
        b.rows = rows;
        b.judge(&mut rule())
    }

    #[test]
    fn four_fifths_of_either_range_are_a_warning() {
        // 359 ports from 665 on, 512 from 512 on.
        assert_eq!(judged(from(665, 287, TcpState::Established)), Verdict::Quiet);
        let found = drafts(judged(from(665, 288, TcpState::Established)));
        assert!(matches!(found[0].subject, Subject::Destination { local: Some(_), .. }));
        assert_eq!(judged(from(512, 409, TcpState::TimeWait)), Verdict::Quiet);
        assert_eq!(drafts(judged(from(512, 410, TcpState::TimeWait))).len(), 1, "TIME_WAIT counts");
    }

    #[test]
    fn listeners_and_what_came_in_through_them_are_not_it() {
        let mut rows = from(665, 359, TcpState::Established);
        let ports: Vec<u16> = rows.iter().map(|r| r.local_port).collect();
        rows.extend(ports.iter().map(|p| socket(TcpState::Listen, &format!("0.0.0.0:{p}"), "")));
        assert_eq!(judged(rows), Verdict::Quiet);
    }

    #[test]
    fn lower_ports_are_no_clients_choice() {
        assert_eq!(judged(from(1, 511, TcpState::Established)), Verdict::Quiet);
    }
}
