//! Send queues from which nothing is acknowledged.

use std::time::Duration;

use super::common::{numbers, sockets};
use super::still::Still;
use super::zero_window;
use crate::diagnose::details::DetailEntry;
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{SocketRow, TcpInfo, TimerKind};

/// The rule's id.
pub const ID: &str = "send-queue-stuck";

/// From so many timeouts in a row on it is a dead peer.
const DEAD: u8 = 3;

numbers! { still_s: f64, sockets: u32 }

/// Something waits to be acknowledged and nothing is, for seconds, and neither a closed window nor a dead peer explains it.
pub struct SendQueueStuck {
    numbers: Numbers,
    still: Still,
}

impl SendQueueStuck {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, still: Still::default() })
    }
}

/// For how long nothing was acknowledged that should have been: as far as it was watched, or as the socket itself
/// knows. Sending, even again, renews `last_data_sent` (`tcp_event_data_sent` in `net/ipv4/tcp_output.c`).
fn stuck_for(entry: &DetailEntry) -> Duration {
    let watched = entry.nothing_acked_for().unwrap_or_default();
    let sent = entry.time(TcpInfo::last_data_sent).unwrap_or_default();
    let heard = entry.time(TcpInfo::last_ack_recv).unwrap_or_default();
    watched.max(sent.min(heard))
}

fn is_explained(row: &SocketRow, entry: &DetailEntry) -> bool {
    zero_window::is_closed(row, entry) || (row.timer() == TimerKind::Retransmit && row.retrans >= DEAD)
}

impl Rule for SendQueueStuck {
    fn wants(&mut self, context: &Context<'_>) -> Vec<u32> {
        self.still.candidates(context, &context.survey.sending.rows, |row| row.send_q)
    }

    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        if let Some(why) = context.no_identity() {
            return Verdict::NotExamined(why);
        }
        let enough = Duration::from_secs_f64(self.numbers.still_s);
        let mut again = false;
        let mut stuck = Vec::new();
        for (at, row) in context.rows(&context.survey.sending.rows) {
            let Some(entry) = context.detail(row).filter(|e| !is_explained(row, e)) else { continue };
            let time = stuck_for(entry);
            if time >= enough {
                stuck.push((row.peer, at));
            } else {
                // Nothing moved since the first look, which is not long enough ago.
                again |= !entry.watched().is_zero() && entry.nothing_acked_for() == Some(entry.watched());
            }
        }
        let few = self.numbers.sockets as usize;
        let groups = context.by_peer_or_process(stuck.into_iter());
        let drafts = groups.into_iter().filter(|(_, rows)| rows.len() >= few).map(|(subject, rows)| {
            let longest = context
                .rows(&rows)
                .filter_map(|(_, row)| context.detail(row))
                .map(stuck_for)
                .max()
                .unwrap_or_default();
            let repeated = context.rows(&rows).filter(|(_, r)| r.retrans > 0).count();
            let unsent = |(_, row)| context.detail(row)?.info()?.notsent_bytes();
            let unsent = context.rows(&rows).filter_map(unsent).sum();
            let mut evidence = context.queued(&rows, longest).to_vec();
            evidence.push(Evidence::new("unsent", Value::Bytes(unsent), Source::TcpInfo));
            evidence.push(sockets("retransmitting", repeated));
            evidence.extend(context.ends(&subject, &rows));
            let variant = match subject {
                Subject::Process { .. } => Some("peers"),
                _ => (repeated > 0).then_some("network"),
            };
            Draft { variant, proof: context.proof(&rows), ..Draft::new(Severity::Warning, subject, evidence) }
        });
        let drafts: Vec<_> = drafts.collect();
        Verdict::of_or_again(drafts, again, "whether anything is acknowledged within a few seconds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, detail, drafts};
    use crate::model::TcpState;
    use crate::testkit::socket;

    fn rule() -> SendQueueStuck {
        SendQueueStuck::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn bench(timer: u8, retrans: u8) -> Bench {
        let mut b = Bench::new();
        let mut r = socket(TcpState::Established, "10.0.0.5:80", "10.0.9.9:4000");
        (r.timer_raw, r.retrans, r.send_q) = (timer, retrans, 50_000);
        r.set_cookie(1, 0);
        b.rows = vec![r];
        b
    }

    fn tell(b: &mut Bench, fields: &[(&str, u64)]) {
        b.details = vec![(1, detail(b.rows[0], fields))];
    }

    fn judged(mut b: Bench, step_ms: u64, moved: u64, window: u64) -> Verdict {
        b.step = Duration::from_millis(step_ms);
        let mut rule = rule();
        tell(&mut b, &[("bytes_acked", 9), ("snd_wnd", window)]);
        b.judge(&mut rule);
        tell(&mut b, &[("bytes_acked", 9 + moved), ("snd_wnd", window)]);
        b.judge(&mut rule)
    }

    #[test]
    fn five_seconds_without_an_acknowledgement_are_a_warning() {
        assert_eq!(drafts(judged(bench(1, 1), 5000, 0, 9000))[0].severity, Severity::Warning);
        assert!(matches!(judged(bench(1, 1), 4999, 0, 9000), Verdict::AskAgain(_)));
        assert_eq!(judged(bench(1, 1), 5000, 1, 9000), Verdict::Quiet, "merely busy");
    }

    #[test]
    fn a_closed_window_and_a_dead_peer_are_other_rules() {
        assert_eq!(judged(bench(4, 0), 5000, 0, 0), Verdict::Quiet);
        assert_eq!(judged(bench(1, 3), 5000, 0, 9000), Verdict::Quiet);
        assert_eq!(drafts(judged(bench(1, 2), 5000, 0, 9000)).len(), 1);
    }

    #[test]
    fn one_look_proves_it_when_the_socket_knows() {
        let judged = |sent: u64, heard: u64| {
            let mut b = bench(1, 2);
            tell(&mut b, &[("snd_wnd", 9000), ("last_data_sent", sent), ("last_ack_recv", heard)]);
            b.judge(&mut rule())
        };
        assert_eq!(drafts(judged(5000, 6000)).len(), 1);
        assert_eq!(judged(4999, 6000), Verdict::Quiet);
        assert_eq!(judged(5, 3_600_000), Verdict::Quiet, "sent just now after an idle hour");
    }

    #[test]
    fn without_cookies_it_cannot_be_judged() {
        let mut b = bench(1, 1);
        b.source = crate::model::TableSource::Procfs;
        assert!(matches!(b.judge(&mut rule()), Verdict::NotExamined(_)));
    }
}
