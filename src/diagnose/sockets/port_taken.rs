//! Outgoing connections on ports that a service needs.

use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};

use super::common::{grouped, sockets};
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::model::{ForeignText, SocketRow, TcpState};

/// The rule's id.
pub const ID: &str = "port-taken";

const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";

/// How many ports of listeners that are gone are remembered.
const GONE: usize = 1024;

/// An outgoing connection was given a port on which something listens, or listened a while ago: its next `bind` fails
/// with `EADDRINUSE` (`inet_csk_bind_conflict` in `net/ipv4/inet_connection_sock.c`). Or it was given the very port that
/// it connects to, and talks to itself.
#[derive(Default)]
pub struct PortTaken {
    listening: FxHashSet<u16>,
    /// Ports on which nobody listens any more, and since when.
    gone: FxHashMap<u16, Duration>,
}

impl PortTaken {
    fn remember(&mut self, context: &Context<'_>) {
        let now: FxHashSet<u16> = context.snapshot.listeners.iter().map(|l| l.local.port).collect();
        for port in self.listening.difference(&now) {
            if self.gone.len() < GONE {
                self.gone.insert(*port, context.snapshot.observed);
            }
        }
        self.gone.retain(|port, _| !now.contains(port));
        self.listening = now;
    }

    /// Connections that began after the listener on their port was gone: they went out.
    fn on_gone_ports(&self, context: &Context<'_>) -> Vec<u32> {
        if self.gone.is_empty() {
            return Vec::new();
        }
        let s = context.snapshot;
        let began = |at: usize| s.track.get(at).map(|t| s.observed.saturating_sub(s.age(*t).seen));
        let went_out = |at: usize, row: &SocketRow| {
            let open = matches!(row.state, TcpState::Established | TcpState::SynSent | TcpState::CloseWait);
            open && self.gone.get(&row.local_port).is_some_and(|gone| began(at).is_some_and(|b| b >= *gone))
                && s.track.get(at).is_some_and(|t| !t.from_start())
        };
        let rows = s.sample.table.rows.iter().enumerate().zip(0u32..);
        rows.filter(|((at, row), _)| went_out(*at, row)).map(|(_, n)| n).collect()
    }

    /// Connects that are on their way from a port on which something listens.
    fn on_listening_ports(context: &Context<'_>) -> Vec<u32> {
        let rows = context.rows(&context.survey.syn_sent.rows);
        rows.filter(|(_, row)| context.survey.listens_on(row.local_port)).map(|(at, _)| at).collect()
    }
}

impl Rule for PortTaken {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        self.remember(context);
        let to_itself = &context.survey.self_connected.rows;
        let mut taken: Vec<u32> = to_itself.clone();
        if context.no_identity().is_none() {
            taken.extend(self.on_gone_ports(context));
        }
        taken.extend(Self::on_listening_ports(context));
        taken.sort_unstable();
        taken.dedup();
        let of = |(at, row): (u32, &SocketRow)| {
            let own = row.is_self_connected();
            (
                (
                    Subject::Destination { local: Some(row.local), peer: row.peer_endpoint() },
                    row.local_port,
                    own,
                ),
                at,
            )
        };
        let drafts = grouped(context.rows(&taken).map(of)).into_iter().map(|((subject, port, own), rows)| {
            let reserved = context.snapshot.sample.facts.sysctls.reading(RESERVED).known();
            let reserved = reserved.map_or(Value::Unknown, |text| Value::Text(ForeignText::from(&**text)));
            let mut evidence = vec![
                Evidence::new("local_port", Value::Number(port.into()), Source::SockDiag),
                sockets("connections", rows.len()),
                Evidence::new("reserved", reserved, Source::Sysctl(RESERVED.into())),
            ];
            evidence.extend(context.processes(&rows));
            Draft {
                variant: own.then_some("self"),
                proof: context.proof(&rows),
                ..Draft::new(Severity::Warning, subject, evidence)
            }
        });
        // One destination can be reached from several such ports.
        let mut seen = FxHashSet::default();
        Verdict::of(drafts.filter(|d| seen.insert(d.subject.clone())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, drafts};
    use crate::testkit::socket;

    fn rule() -> PortTaken {
        PortTaken::default()
    }

    fn bench(rows: Vec<SocketRow>) -> Bench {
        let mut b = Bench::new();
        b.rows = rows;
        for (n, r) in (1..).zip(&mut b.rows) {
            r.set_cookie(n, 0);
        }
        b
    }

    fn out(port: u16) -> SocketRow {
        socket(TcpState::Established, &format!("10.0.0.5:{port}"), "10.0.4.2:443")
    }

    #[test]
    fn a_connection_to_itself_is_named_at_once() {
        let own = socket(TcpState::Established, "127.0.0.1:40000", "127.0.0.1:40000");
        let found = drafts(bench(vec![own]).judge(&mut rule()));
        assert_eq!((found[0].severity, found[0].variant), (Severity::Warning, Some("self")));
        assert_eq!(found[0].evidence[0].value, Value::Number(40_000));
    }

    #[test]
    fn the_port_of_a_service_that_stopped_is_taken_by_a_later_connection_only() {
        let listener = socket(TcpState::Listen, "0.0.0.0:40000", "");
        // This one came in through the listener and outlives it.
        let accepted = socket(TcpState::Established, "10.0.0.5:40000", "10.0.9.9:5555");
        let mut b = bench(vec![listener, accepted]);
        let mut rule = rule();
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        b.rows.remove(0);
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        let mut later = out(40_000);
        later.set_cookie(77, 0);
        b.rows.push(later);
        let found = drafts(b.judge(&mut rule));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].proof.cookies, [77]);
        // The service is back: nothing is taken from it.
        let mut listener = listener;
        listener.set_cookie(78, 0);
        b.rows.push(listener);
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
    }

    #[test]
    fn a_connect_from_a_listeners_port_is_going_out() {
        let mut syn = out(40_000);
        syn.state = TcpState::SynSent;
        let listener = socket(TcpState::Listen, "127.0.0.1:40000", "");
        assert_eq!(drafts(bench(vec![listener, syn]).judge(&mut rule())).len(), 1);
        let mut other = syn;
        other.local_port = 40_001;
        assert_eq!(bench(vec![listener, other]).judge(&mut rule()), Verdict::Quiet);
    }
}
