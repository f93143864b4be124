//! Peers whose receive window is closed and stays closed.

use std::time::Duration;

use super::common::numbers;
use super::still::Still;
use crate::diagnose::details::DetailEntry;
use crate::diagnose::finding::{Draft, Severity, Subject};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{SocketRow, TcpInfo, TimerKind};

/// The rule's id.
pub const ID: &str = "zero-window-stall";

/// A peer that acknowledged something this lately is there: retransmission timeouts grow to two minutes (`TCP_RTO_MAX`).
const YOUNG: Duration = Duration::from_secs(125);

numbers! { still_s: f64 }

/// The peer takes nothing: its program does not read. The persist timer alone proves nothing, because a slow download
/// sits in it most of the time and moves.
pub struct ZeroWindowStall {
    numbers: Numbers,
    still: Still,
}

impl ZeroWindowStall {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, still: Still::default() })
    }
}

/// Whether the peer's window is closed.
pub fn is_closed(row: &SocketRow, entry: &DetailEntry) -> bool {
    let told = |field: fn(&TcpInfo) -> Option<u64>| entry.info().and_then(field);
    let zero = told(TcpInfo::snd_wnd) == Some(0);
    match row.timer() {
        // The kernel probes, too, when this machine itself dropped the segment: then the window holds one, and is open.
        TimerKind::Probe => {
            let open = told(TcpInfo::snd_wnd).zip(told(TcpInfo::snd_mss)).is_some_and(|(w, mss)| w >= mss);
            zero || !open
        }
        // Data in flight when the window closed: the kernel keeps the retransmission timer
        // (`tcp_retransmit_timer` in net/ipv4/tcp_timer.c) and counts no timeout while the peer answers.
        TimerKind::Retransmit => {
            zero && row.retrans == 0 && entry.time(TcpInfo::last_ack_recv).is_some_and(|t| t < YOUNG)
        }
        _ => zero,
    }
}

impl Rule for ZeroWindowStall {
    fn wants(&mut self, context: &Context<'_>) -> Vec<u32> {
        let mut rows = self.still.candidates(context, &context.survey.sending.rows, |row| row.send_q);
        // Those in the persist timer first.
        rows.sort_by_key(|at| context.row(*at).is_none_or(|row| row.timer() != TimerKind::Probe));
        rows
    }

    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        if let Some(why) = context.no_identity() {
            return Verdict::NotExamined(why);
        }
        let enough = Duration::from_secs_f64(self.numbers.still_s);
        let mut again = false;
        let mut stuck = Vec::new();
        for (at, row) in context.rows(&context.survey.sending.rows) {
            let Some(entry) = context.detail(row) else {
                again |= row.timer() == TimerKind::Probe;
                continue;
            };
            match entry.nothing_acked_for() {
                Some(time) if is_closed(row, entry) && time >= enough => stuck.push((row.peer, at)),
                Some(_) => again |= is_closed(row, entry) && entry.watched() < enough,
                None => again |= row.timer() == TimerKind::Probe,
            }
        }
        let drafts = context.by_peer_or_process(stuck.into_iter()).into_iter().map(|(subject, rows)| {
            let still = |(_, row)| context.detail(row)?.nothing_acked_for();
            let longest = context.rows(&rows).filter_map(still).max().unwrap_or_default();
            let mut evidence = context.queued(&rows, longest).to_vec();
            evidence.extend(context.ends(&subject, &rows));
            Draft {
                variant: matches!(subject, Subject::Process { .. }).then_some("peers"),
                proof: context.proof(&rows),
                ..Draft::new(Severity::Warning, subject, evidence)
            }
        });
        let drafts: Vec<_> = drafts.collect();
        Verdict::of_or_again(
            drafts,
            again,
            "whether anything is acknowledged on connections with a closed window",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, detail, drafts};
    use crate::model::TcpState;
    use crate::testkit::socket;

    fn rule() -> ZeroWindowStall {
        ZeroWindowStall::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn bench(timer: u8, retrans: u8) -> Bench {
        let mut b = Bench::new();
        let mut r = socket(TcpState::Established, "10.0.0.5:80", "10.0.9.9:4000");
        (r.timer_raw, r.retrans, r.send_q) = (timer, retrans, 50_000);
        r.set_cookie(1, 0);
        b.rows = vec![r];
        b
    }

    fn tell(b: &mut Bench, acked: u64, window: u64, heard: u64) {
        let fields = [("bytes_acked", acked), ("snd_wnd", window), ("last_ack_recv", heard)];
        b.details = vec![(1, detail(b.rows[0], &fields))];
    }

    /// Two looks so far apart, with so much acknowledged in between.
    fn judged(mut b: Bench, step_ms: u64, moved: u64, window: u64, heard: u64) -> Verdict {
        b.step = Duration::from_millis(step_ms);
        let mut rule = rule();
        tell(&mut b, 500, window, heard);
        b.judge(&mut rule);
        tell(&mut b, 500 + moved, window, heard);
        b.judge(&mut rule)
    }

    #[test]
    fn a_second_in_the_persist_timer_without_an_acknowledgement_is_a_stall() {
        let found = drafts(judged(bench(4, 2), 1000, 0, 0, 50));
        assert_eq!(found[0].severity, Severity::Warning);
        assert!(matches!(judged(bench(4, 2), 999, 0, 0, 50), Verdict::AskAgain(_)));
    }

    #[test]
    fn a_probe_into_an_open_window_is_not_the_peers_doing() {
        let fields = [("bytes_acked", 500), ("snd_wnd", 64_512), ("snd_mss", 1448), ("last_ack_recv", 50)];
        let mut b = bench(4, 2);
        b.step = Duration::from_secs(1);
        let mut rule = rule();
        b.details = vec![(1, detail(b.rows[0], &fields))];
        b.judge(&mut rule);
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
    }

    #[test]
    fn a_slow_download_moves() {
        assert_eq!(judged(bench(4, 2), 1000, 1, 0, 50), Verdict::Quiet);
    }

    #[test]
    fn a_shrunk_window_shows_the_retransmission_timer() {
        assert_eq!(drafts(judged(bench(1, 0), 1000, 0, 0, 50)).len(), 1);
        assert_eq!(judged(bench(1, 0), 1000, 0, 9000, 50), Verdict::Quiet, "an open window");
        assert_eq!(judged(bench(1, 3), 1000, 0, 0, 50), Verdict::Quiet, "a dead peer");
        assert_eq!(judged(bench(1, 0), 1000, 0, 0, 200_000), Verdict::Quiet, "not heard of for minutes");
    }

    #[test]
    fn without_tcp_info_it_asks_again() {
        let mut b = bench(4, 0);
        assert!(matches!(b.judge(&mut rule()), Verdict::AskAgain(_)));
    }

    /// Stalled connections of one program to these peers.
    fn stalled(peers: &[&str]) -> Vec<Draft> {
        let mut b = Bench::new();
        for (peer, n) in peers.iter().zip(1..) {
            let mut r = socket(TcpState::Established, "10.0.0.5:80", &format!("{peer}:4000"));
            (r.timer_raw, r.send_q, r.inode) = (4, 50_000, 100 + n);
            r.set_cookie(n, 0);
            b.details
                .push((n.into(), detail(r, &[("bytes_acked", 9), ("snd_wnd", 0), ("last_ack_recv", 10)])));
            b.rows.push(r);
        }
        b.owners = Some(crate::diagnose::testing::owners(7, "nginx", 1024, &b.rows));
        b.step = Duration::from_secs(1);
        let mut rule = rule();
        b.judge(&mut rule);
        drafts(b.judge(&mut rule))
    }

    #[test]
    fn many_peers_that_do_not_read_are_one_finding() {
        let subjects = |peers: &[&str]| stalled(peers).into_iter().map(|d| d.subject).collect::<Vec<_>>();
        let peer = |text: &str, prefix| {
            let addr = crate::testkit::endpoint(&format!("{text}:1")).addr;
            Subject::Peer { addr, prefix }
        };
        assert_eq!(subjects(&["10.1.0.1", "10.2.0.1"]), [peer("10.1.0.1", None), peer("10.2.0.1", None)]);
        assert_eq!(subjects(&["10.1.0.1", "10.1.0.2", "10.1.0.3"]), [peer("10.1.0.0", Some(24))]);
        let wide = stalled(&["10.1.0.1", "10.2.0.1", "10.3.0.1"]);
        assert_eq!(wide.len(), 1);
        assert_eq!(wide[0].subject, Subject::Process { pid: 7, comm: "nginx".into() });
        assert_eq!((wide[0].variant, wide[0].proof.total), (Some("peers"), 3));
        let counts_peers = |d: &Draft| d.evidence.iter().any(|e| e.name == "peers");
        assert!(counts_peers(&wide[0]) && counts_peers(&stalled(&["10.1.0.1", "10.1.0.2", "10.1.0.3"])[0]));
        assert!(!counts_peers(&stalled(&["10.1.0.1"])[0]), "its subject is the one peer");
    }
}
