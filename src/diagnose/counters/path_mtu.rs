//! Large segments vanish and small ones arrive.

use rustc_hash::{FxHashMap, FxHashSet};

use super::moved::{Movement, Watch};
use crate::diagnose::finding::{Confidence, Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::model::{Ip, SocketRow, TcpState, TimerKind};

/// The rule's id.
pub const ID: &str = "path-mtu";

const PROBE_FAILED: &str = "TcpExt.TCPMTUPFail";
const PROBING: &str = "net.ipv4.tcp_mtu_probing";

/// Timeouts in a row before a segment counts as lost for its size.
const TIMEOUTS: u8 = 2;
/// No segment of full size is smaller (RFC 1122 3.3.3).
const SMALLEST_FULL: u32 = 536;
/// A peer that acknowledged this lately on another connection is alive, in milliseconds.
const ALIVE_MS: u64 = 5000;

/// How many stuck connections, and how many others of each of their peers, are asked for their `tcp_info`.
const MOST_STUCK: usize = 64;
const OTHERS: u32 = 4;

/// Segments of full size are sent again and again while small ones are acknowledged: a router drops what is too large for
/// it, and the ICMP message that would say so never comes (RFC 2923). To the connection its peer looks dead.
#[derive(Default)]
pub struct PathMtu {
    watch: Watch,
}

/// One connection that is stuck, and how sure it is that the size is the cause.
struct Stuck {
    cookie: u64,
    mss: u64,
    pmtu: Option<u64>,
    timeouts: u8,
    confidence: Confidence,
}

fn candidates<'a>(context: &'a Context<'_>) -> impl Iterator<Item = (u32, &'a SocketRow)> {
    let rows = &context.snapshot.sample.table.rows;
    context
        .survey
        .timed_out
        .rows
        .iter()
        .filter_map(|n| Some((*n, rows.get(*n as usize)?)))
        .filter(|(_, row)| row.retrans >= TIMEOUTS && row.send_q >= SMALLEST_FULL)
        .take(MOST_STUCK)
}

/// Other connections of these peers on which nothing is stuck.
fn others(context: &Context<'_>, peers: &FxHashSet<Ip>) -> Vec<(u32, Ip)> {
    let mut taken: FxHashMap<Ip, u32> = FxHashMap::default();
    let calm = |row: &SocketRow| {
        row.state == TcpState::Established && !(row.timer() == TimerKind::Retransmit && row.retrans > 0)
    };
    let rows = context.snapshot.sample.table.rows.iter().zip(0u32..);
    rows.filter(|(row, _)| calm(row) && peers.contains(&row.peer))
        .filter(|(row, _)| {
            let n = taken.entry(row.peer).or_default();
            *n += 1;
            *n <= OTHERS
        })
        .map(|(row, n)| (n, row.peer))
        .collect()
}

/// What one connection tells by itself and by the others of its peer; `None` if its size is not the cause, or if the
/// kernel does not tell.
fn stuck(context: &Context<'_>, row: &SocketRow, alive: &FxHashSet<Ip>) -> Option<Stuck> {
    let info = context.details.get(row.cookie())?.info()?;
    let mss = info.snd_mss().filter(|mss| *mss > 0)?;
    if u64::from(row.send_q) < mss {
        return None;
    }
    let never_full = info.bytes_acked()? < mss;
    let in_flight = info.unacked()?;
    // The small end of what was sent arrived out of order; had segments of full size, more would be acknowledged.
    let small_arrived = matches!(info.sacked()?, 1) && in_flight > 1;
    let confidence = match (small_arrived, never_full) {
        (true, true) => Confidence::High,
        (true, false) => Confidence::Medium,
        // It talked, but never in full segments, and its peer answers elsewhere.
        (false, true) if alive.contains(&row.peer) && info.bytes_received()? > 0 => Confidence::Medium,
        (false, _) => return None,
    };
    Some(Stuck { cookie: row.cookie(), mss, pmtu: info.pmtu(), timeouts: row.retrans, confidence })
}

fn of_peer(peer: Ip, stuck: &[Stuck]) -> Option<Draft> {
    let worst = stuck.iter().max_by_key(|s| s.timeouts)?;
    let subject = Subject::Peer { addr: peer, prefix: None };
    let mut evidence = vec![
        Evidence::new("stuck", Value::Count(stuck.len() as u64), Source::TcpInfo),
        Evidence::new("timeouts", Value::Count(worst.timeouts.into()), Source::SockDiag),
        Evidence::new("mss", Value::Bytes(worst.mss), Source::TcpInfo),
    ];
    evidence.extend(worst.pmtu.map(|mtu| Evidence::new("path_mtu", Value::Bytes(mtu), Source::TcpInfo)));
    let mut draft = Draft::new(Severity::Warning, subject.clone(), evidence);
    draft.confidence = stuck.iter().map(|s| s.confidence).max()?;
    draft.variant = Some("black_hole");
    draft.proof = stuck.iter().map(|s| s.cookie).collect();
    draft.explains = vec![("dead-peer", subject.clone()), ("send-queue-stuck", subject)];
    Some(draft)
}

/// The kernel's own probes failed. Where it probes every connection that is how it finds the size, and nothing is wrong.
fn of_probes(context: &Context<'_>, failed: &Movement) -> Draft {
    let probing = context.snapshot.sample.facts.sysctls.number(PROBING);
    let severity = if probing == Some(2) { Severity::Info } else { failed.severity() };
    let mut evidence = vec![failed.evidence("probes_failed"), failed.rate()];
    evidence
        .extend(probing.map(|n| Evidence::new("probing", Value::Number(n), Source::Sysctl(PROBING.into()))));
    let mut draft = Draft::new(severity, Subject::Host, evidence);
    draft.variant = Some("probes");
    draft.confidence = Confidence::Medium;
    draft
}

impl Rule for PathMtu {
    fn wants(&mut self, context: &Context<'_>) -> Vec<u32> {
        let mut rows: Vec<u32> = candidates(context).map(|(n, _)| n).collect();
        if !rows.is_empty() {
            let peers = candidates(context).map(|(_, row)| row.peer).collect();
            rows.extend(others(context, &peers).iter().map(|(n, _)| n));
        }
        rows
    }

    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let moved = self.watch.named(context, &[PROBE_FAILED]);
        let mut drafts = Vec::new();
        if let Some(failed) = moved.as_ref().ok().and_then(|m| m.get(PROBE_FAILED)) {
            drafts.push(of_probes(context, failed));
        }
        let found: Vec<&SocketRow> = candidates(context).map(|(_, row)| row).collect();
        let mut by_peer: FxHashMap<Ip, Vec<Stuck>> = FxHashMap::default();
        if !found.is_empty() {
            let alive = alive(context, &found);
            for row in &found {
                if let Some(stuck) = stuck(context, row, &alive) {
                    by_peer.entry(row.peer).or_default().push(stuck);
                }
            }
        }
        drafts.extend(by_peer.into_iter().filter_map(|(peer, stuck)| of_peer(peer, &stuck)));
        if !drafts.is_empty() {
            return Verdict::Fires(drafts);
        }
        let told = |row: &&SocketRow| context.details.get(row.cookie()).is_some_and(|d| d.info().is_some());
        if !found.is_empty() && !found.iter().any(told) {
            return Verdict::NotExamined(
                "tcp_info of the connections that are stuck could not be read".into(),
            );
        }
        match moved {
            Err(ask @ Verdict::AskAgain(_)) => ask,
            _ => Verdict::Quiet,
        }
    }
}

/// The peers of these connections that answered lately on another one.
fn alive(context: &Context<'_>, stuck: &[&SocketRow]) -> FxHashSet<Ip> {
    let peers = stuck.iter().map(|row| row.peer).collect();
    let rows = &context.snapshot.sample.table.rows;
    let answered = |n: &u32| {
        let info = rows.get(*n as usize).and_then(|row| context.details.get(row.cookie()))?.info()?;
        info.last_ack_recv().filter(|ms| *ms < ALIVE_MS)
    };
    others(context, &peers).into_iter().filter(|(n, _)| answered(n).is_some()).map(|(_, peer)| peer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, detail, fired};
    use crate::testkit::{endpoint, socket};

    const MSS: u64 = 1448;

    fn stuck_row(send_q: u32) -> SocketRow {
        let mut row = socket(TcpState::Established, "10.0.0.1:443", "10.0.0.9:5000");
        row.set_cookie(1, 0);
        (row.timer_raw, row.retrans, row.send_q) = (1, TIMEOUTS, send_q);
        row
    }

    fn sibling() -> SocketRow {
        let mut row = socket(TcpState::Established, "10.0.0.1:443", "10.0.0.9:5001");
        row.set_cookie(2, 0);
        row
    }

    /// Judges one stuck connection with these fields, beside one that was acknowledged so long ago.
    fn judge(row: SocketRow, acked: u64, sacked: u64, other_ms: u64) -> Vec<Draft> {
        let mut b = Bench::new();
        b.rows = vec![row, sibling()];
        let fields = [
            ("snd_mss", MSS),
            ("bytes_acked", acked),
            ("sacked", sacked),
            ("unacked", 3),
            ("bytes_received", 90),
        ];
        b.details = vec![(1, detail(row, &fields)), (2, detail(sibling(), &[("last_ack_recv", other_ms)]))];
        fired(&b.judge(&mut PathMtu::default()))
    }

    #[test]
    fn a_small_end_that_arrives_while_the_full_segments_do_not_is_proof() {
        let drafts = judge(stuck_row(3000), 100, 1, 60_000);
        let subject = Subject::Peer { addr: endpoint("10.0.0.9:0").addr, prefix: None };
        assert_eq!((&drafts[0].subject, drafts[0].confidence), (&subject, Confidence::High));
        assert_eq!(drafts[0].severity, Severity::Warning);
        assert!(drafts[0].explains.contains(&("dead-peer", subject)));
        assert_eq!(drafts[0].proof.cookies, [1]);
        assert!(judge(stuck_row(3000), 100, 2, 60_000).is_empty(), "full segments arrive: plain loss");
    }

    #[test]
    fn a_peer_that_answers_elsewhere_and_never_had_a_full_segment_is_likely() {
        let drafts = judge(stuck_row(3000), MSS - 1, 0, ALIVE_MS - 1);
        assert_eq!(drafts[0].confidence, Confidence::Medium);
        assert!(judge(stuck_row(3000), MSS, 0, ALIVE_MS - 1).is_empty(), "full segments went through");
        assert!(judge(stuck_row(3000), MSS - 1, 0, ALIVE_MS).is_empty(), "a dead peer is another rule's");
    }

    #[test]
    fn little_data_and_a_first_timeout_are_not_its_business() {
        assert!(judge(stuck_row(1447), 100, 1, 0).is_empty());
        assert_eq!(judge(stuck_row(1448), 100, 1, 0).len(), 1);
        let mut once = stuck_row(3000);
        once.retrans = TIMEOUTS - 1;
        assert!(judge(once, 100, 1, 0).is_empty());
    }

    #[test]
    fn failed_probes_are_information_where_every_connection_is_probed() {
        let severity = |probing| {
            let (mut b, mut rule) = (Bench::new(), PathMtu::default());
            b.set_sysctl(PROBING, probing);
            for n in 5..8 {
                b.set_counter(PROBE_FAILED, n);
                b.judge(&mut rule);
            }
            fired(&b.judge(&mut rule))[0].severity
        };
        assert_eq!((severity("1"), severity("2")), (Severity::Warning, Severity::Info));
    }

    #[test]
    fn what_is_missing_is_said() {
        let (mut b, mut rule) = (Bench::new(), PathMtu::default());
        b.rows = vec![stuck_row(3000)];
        assert!(matches!(b.judge(&mut rule), Verdict::NotExamined(why) if why.contains("tcp_info")));
        let mut b = Bench::new();
        b.set_counter(PROBE_FAILED, 1);
        let mut rule = PathMtu::default();
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
    }
}
