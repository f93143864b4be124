//! Connections that are closed on this side and whose FIN nobody acknowledges.

use std::time::Duration;

use super::common::{float, grouped, numbers, sockets};
use crate::diagnose::finding::{Draft, Evidence, Source, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{TcpState, TimerKind};

/// The rule's id.
pub const ID: &str = "last-ack-pileup";

/// The part of them that one peer must hold to be named.
const ONE_PEER: f64 = 0.5;

numbers! { warning: u32, repeats: u8, old_s: f64 }

/// `LAST_ACK`, `CLOSING` and `FIN_WAIT1` without a file that wait for the peer in vain. They keep their send buffers.
pub struct LastAckPileup {
    numbers: Numbers,
}

impl LastAckPileup {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)? })
    }
}

impl Rule for LastAckPileup {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let n = self.numbers;
        let old = Duration::from_secs_f64(n.old_s);
        let known = context.no_identity().is_none();
        let waits = |(at, row): &(u32, &crate::model::SocketRow)| {
            (row.timer() == TimerKind::Retransmit && row.retrans >= n.repeats)
                || (known && context.seen_for(*at) >= old)
        };
        let rows: Vec<u32> =
            context.rows(&context.survey.closing.rows).filter(waits).map(|(at, _)| at).collect();
        let by_peer = grouped(context.rows(&rows).map(|(at, row)| (row.peer, at)));
        let subject = match by_peer.first() {
            Some((addr, most)) if float(most.len()) >= float(rows.len()) * ONE_PEER => {
                Subject::Peer { addr: *addr, prefix: None }
            }
            _ => Subject::Host,
        };
        let levels = Levels { warning: Some(n.warning.into()), ..Levels::default() };
        let Some(severity) = levels.grade(float(rows.len()), context.held.severity(ID, &subject)) else {
            return Verdict::Quiet;
        };
        let in_state = |state| context.rows(&rows).filter(|(_, r)| r.state == state).count();
        let bytes = context.rows(&rows).map(|(_, r)| u64::from(r.send_q)).sum();
        let mut evidence = vec![
            sockets("sockets", rows.len()),
            sockets("last_ack", in_state(TcpState::LastAck)),
            sockets("closing", in_state(TcpState::Closing)),
            sockets("fin_wait1", in_state(TcpState::FinWait1)),
            Evidence::new("queued", Value::Bytes(bytes), Source::SockDiag),
        ];
        evidence.extend(context.peers(&rows));
        Verdict::Fires(vec![Draft { proof: context.proof(&rows), ..Draft::new(severity, subject, evidence) }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Severity;
    use crate::diagnose::testing::{Bench, drafts};
    use crate::model::Ip;
    use crate::testkit::socket;

    fn rule() -> LastAckPileup {
        LastAckPileup::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn bench(count: u8, retrans: u8) -> Bench {
        let mut b = Bench::new();
        for n in 0..count {
            let state = [TcpState::LastAck, TcpState::Closing, TcpState::FinWait1][usize::from(n % 3)];
            let mut r = socket(state, "10.0.0.1:80", &format!("10.0.9.9:{}", 2000 + u16::from(n)));
            (r.inode, r.timer_raw, r.retrans) = (0, 1, retrans);
            r.set_cookie(1 + u32::from(n), 0);
            b.rows.push(r);
        }
        b
    }

    #[test]
    fn a_hundred_with_five_repeats_are_a_warning_about_their_peer() {
        let found = drafts(bench(100, 5).judge(&mut rule()));
        assert_eq!(found[0].severity, Severity::Warning);
        assert!(matches!(found[0].subject, Subject::Peer { .. }));
        assert_eq!(bench(99, 5).judge(&mut rule()), Verdict::Quiet);
        assert_eq!(bench(200, 4).judge(&mut rule()), Verdict::Quiet);
    }

    #[test]
    fn seen_for_half_a_minute_is_as_good() {
        let judged = |step| {
            let mut b = bench(100, 0);
            b.step = Duration::from_millis(step);
            let mut rule = rule();
            b.judge(&mut rule);
            b.judge(&mut rule)
        };
        assert_eq!(drafts(judged(30_000)).len(), 1);
        assert_eq!(judged(29_900), Verdict::Quiet);
    }

    #[test]
    fn many_peers_are_the_machines_matter_and_held_ones_another_rules() {
        let mut b = bench(120, 6);
        for (n, r) in (0..).zip(&mut b.rows) {
            r.peer = Ip::from_v4_octets([10, 9, 9, n]);
        }
        assert_eq!(drafts(b.judge(&mut rule()))[0].subject, Subject::Host);
        let mut b = bench(120, 6);
        b.rows.iter_mut().for_each(|r| (r.state, r.inode) = (TcpState::FinWait1, 7));
        assert_eq!(b.judge(&mut rule()), Verdict::Quiet);
    }

    #[test]
    fn repeats_are_proof_without_cookies_too() {
        let mut b = bench(100, 5);
        b.source = crate::model::TableSource::Procfs;
        assert_eq!(drafts(b.judge(&mut rule())).len(), 1);
    }
}
