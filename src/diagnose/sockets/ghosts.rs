//! Connections whose server never knew of them.

use rustc_hash::FxHashSet;

use super::accept_queue::subject;
use super::common::{grouped, numbers, sockets};
use crate::diagnose::finding::{Confidence, Draft, Severity};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{Endpoint, Reading, RowFlags, SocketRow, TcpState};

/// The rule's id.
pub const ID: &str = "ghost-connection";

numbers! { connections: u32 }

/// Both ends of a connection are in this namespace, and one of them is in no table: the server answered with a syncookie
/// and dropped the last ACK because its accept queue was full (`tcp_v4_syn_recv_sock` in `net/ipv4/tcp_ipv4.c`).
pub struct GhostConnection {
    numbers: Numbers,
    /// Those that had no other end at the previous look: at the instant of a close there is none, either.
    previous: Option<FxHashSet<u64>>,
}

impl GhostConnection {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, previous: None })
    }

    /// Clients without a server. The table is walked only where the clients of a port are more than its servers.
    fn alone(context: &Context<'_>) -> Vec<u32> {
        let ports = &context.survey.ports_in_excess;
        if ports.is_empty() {
            return Vec::new();
        }
        let rows = &context.snapshot.sample.table.rows;
        let of_port = |port: u16| ports.binary_search(&port).is_ok();
        let servers: FxHashSet<(Endpoint, Endpoint)> = rows
            .iter()
            .filter(|r| r.state.has_peer() && of_port(r.local_port))
            .map(|r| (r.local_endpoint(), r.peer_endpoint()))
            .collect();
        let is_alone = |r: &SocketRow| {
            r.state == TcpState::Established
                && of_port(r.peer_port)
                && context.survey.is_inner(r)
                && !r.is_self_connected()
                && !servers.contains(&(r.peer_endpoint(), r.local_endpoint()))
        };
        rows.iter().zip(0u32..).filter(|(r, _)| is_alone(r)).map(|(_, at)| at).collect()
    }
}

impl Rule for GhostConnection {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let s = context.snapshot;
        if let Some(why) = context.no_identity() {
            return Verdict::NotExamined(why);
        }
        if !s.sample.completeness.is_complete() {
            return Verdict::NotExamined(
                "the socket table may be incomplete, so an end that is missing proves nothing".into(),
            );
        }
        let alone = Self::alone(context);
        let cookies = context.rows(&alone).map(|(_, r)| r.cookie()).collect();
        let Some(previous) = self.previous.replace(cookies) else {
            return if alone.is_empty() {
                Verdict::Quiet
            } else {
                Verdict::AskAgain("a second look at connections with one end")
            };
        };
        let both = context.rows(&alone).filter(|(_, r)| previous.contains(&r.cookie()));
        let of = |(at, r): (u32, &SocketRow)| {
            let v6 = r.flags.has(RowFlags::V6);
            Some((context.survey.listener_at(s, r.peer, r.peer_port, v6)?, at))
        };
        // Address translation between the ends gives the server another peer.
        let translated = matches!(&s.sample.facts.conntrack, Reading::Known(c) if c.count > 0);
        let drafts = grouped(both.filter_map(of)).into_iter().filter_map(|(at, rows)| {
            let l = s.listeners.get(at as usize)?;
            let mut evidence = vec![sockets("ghosts", rows.len()), sockets("queue", l.queue as usize)];
            evidence.extend(l.backlog.map(|n| sockets("backlog", n as usize)));
            evidence.extend(context.processes(&rows));
            let draft = Draft {
                // The burst that made them is over while they stay.
                explains: vec![(super::accept_queue::ID, subject(l))],
                confidence: if translated { Confidence::Low } else { Confidence::High },
                proof: context.proof(&rows),
                ..Draft::new(Severity::Warning, subject(l), evidence)
            };
            (rows.len() >= self.numbers.connections as usize).then_some(draft)
        });
        Verdict::of(drafts.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, drafts};
    use crate::model::Gap;
    use crate::testkit::socket;

    fn rule() -> GhostConnection {
        GhostConnection::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    /// A listener with a whole connection and so many with one end.
    fn bench(ghosts: u16) -> Bench {
        let mut b = Bench::new();
        b.rows.push(socket(TcpState::Listen, "0.0.0.0:80", ""));
        b.rows.push(socket(TcpState::Established, "127.0.0.1:80", "127.0.0.1:3999"));
        for n in 0..=ghosts {
            b.rows.push(socket(TcpState::Established, &format!("127.0.0.1:{}", 3999 + n), "127.0.0.1:80"));
        }
        for (n, r) in (1..).zip(&mut b.rows) {
            r.set_cookie(n, 0);
        }
        b
    }

    #[test]
    fn one_end_at_two_looks_is_a_ghost_of_the_listener() {
        let mut b = bench(3);
        let mut rule = rule();
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        let found = drafts(b.judge(&mut rule));
        assert!(matches!(found[0].subject, crate::diagnose::Subject::Listener { cookie: 1, .. }));
        assert_eq!((found[0].proof.total, found[0].confidence), (3, Confidence::High));
    }

    #[test]
    fn whole_connections_and_the_instant_of_a_close_are_no_ghosts() {
        let mut b = bench(0);
        let mut r = rule();
        assert_eq!([b.judge(&mut r), b.judge(&mut r)], [Verdict::Quiet, Verdict::Quiet]);
        let mut closing = bench(1);
        let mut r = rule();
        closing.judge(&mut r);
        // Another one each time.
        closing.rows[3].set_cookie(99, 0);
        closing.rows[3].local_port = 5000;
        assert_eq!(closing.judge(&mut r), Verdict::Quiet);
    }

    #[test]
    fn a_server_in_any_state_is_an_end() {
        let mut b = bench(1);
        b.rows.push(socket(TcpState::SynRecv, "127.0.0.1:80", "127.0.0.1:4000"));
        b.rows[4].set_cookie(50, 0);
        let mut r = rule();
        assert_eq!([b.judge(&mut r), b.judge(&mut r)], [Verdict::Quiet, Verdict::Quiet]);
    }

    #[test]
    fn connections_to_other_machines_have_their_other_end_there() {
        let mut b = bench(0);
        b.rows.push(socket(TcpState::Established, "10.0.0.1:5000", "10.0.0.2:80"));
        b.rows[3].set_cookie(50, 0);
        let mut r = rule();
        assert_eq!([b.judge(&mut r), b.judge(&mut r)], [Verdict::Quiet, Verdict::Quiet]);
    }

    #[test]
    fn with_an_incomplete_table_it_cannot_be_judged() {
        let mut b = bench(3);
        b.gaps = vec![Gap::Lost];
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(_)));
    }
}
