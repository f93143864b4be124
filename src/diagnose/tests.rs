//! Bad input, shown to all rules together: none makes a finding of it, and each says that it cannot examine, and why.

use std::collections::BTreeSet;
use std::time::Duration;

use super::book::RuleBook;
use super::finding::Status;
use super::judge::{Judge, Judgement};
use super::registry;
use super::rule::Family;
use super::testing::{Bench, Unread, detail};
use crate::model::{
    Conntrack, ConntrackStats, ForeignText, Gap, InterfaceRow, NeighbourTable, Neighbours, Reading,
    SocketRow, Sockstat, SoftnetRow, TableSource, TcpState,
};
use crate::testkit::socket;

/// What an empty table shows even where no file can be read and one connection cannot be told from the next: there is
/// nothing of the kind.
const BY_THE_TABLE_ALONE: &[&str] = &[
    "accept-queue-full",
    "dead-peer",
    "keepalive-too-slow",
    "last-ack-pileup",
    "no-keepalive",
    "path-mtu",
    "peer-concentration",
    "port-taken",
    "privileged-ports",
    "syn-sent-pileup",
];

/// Rules that cannot say that nothing is wrong without knowing what counters did.
const BY_COUNTERS: &[&str] = &[
    "backlog-drops",
    "conntrack-clash",
    "conntrack-full",
    "neighbour-table-full",
    "nic-drops",
    "orphan-limit",
    "paws-drops",
    "receive-drops",
    "reset-storm",
    "retransmission-storm",
    "reverse-path-drops",
    "syn-recv-pileup",
    "tcp-memory",
    "time-wait-overflow",
    "udp-buffer-errors",
];

/// Counters that these rules ask for.
const COUNTERS: &[&str] = &[
    "Tcp.AttemptFails",
    "Tcp.EstabResets",
    "Tcp.OutRsts",
    "Tcp.OutSegs",
    "Tcp.RetransSegs",
    "TcpExt.IPReversePathFilter",
    "TcpExt.ListenOverflows",
    "TcpExt.PAWSEstab",
    "TcpExt.SyncookiesSent",
    "TcpExt.TCPAbortOnMemory",
    "TcpExt.TCPMTUPFail",
    "TcpExt.TCPMemoryPressures",
    "TcpExt.TCPRcvQDrop",
    "TcpExt.TCPReqQFullDrop",
    "TcpExt.TCPTimeWaitOverflow",
    "Udp.RcvbufErrors",
];

fn judge() -> Judge {
    RuleBook::defaults().unwrap().judge()
}

/// A healthy namespace in which every counter has this value.
fn count(b: &mut Bench, n: u64) {
    for name in COUNTERS {
        b.set_counter(name, n);
    }
    let stats = ConntrackStats { drop: n, early_drop: n, insert_failed: 0, ..ConntrackStats::default() };
    b.facts.conntrack =
        Reading::Known(Conntrack { count: 10, max: 1000, stats: Some(stats), ..Conntrack::default() });
    let cpu = SoftnetRow { dropped: n, ..SoftnetRow::default() };
    b.facts.softnet = Reading::Known(vec![cpu]);
    let cable = InterfaceRow {
        name: ForeignText::from("cable"),
        rx_bytes: 0,
        rx_packets: 0,
        rx_errs: 0,
        rx_drop: n,
        rx_fifo: 0,
        tx_bytes: 0,
        tx_packets: 0,
        tx_errs: 0,
        tx_drop: 0,
        tx_fifo: 0,
    };
    b.facts.interfaces = Reading::Known(vec![cable]);
    let v4 = NeighbourTable { entries: 4, table_fulls: Some(n), forced_gc_runs: 0 };
    b.facts.neighbours = Reading::Known(Neighbours { v4, v6: None });
    let sockstat = Sockstat { tcp_orphan: Some(1), tcp_mem_pages: Some(1), ..Sockstat::default() };
    b.facts.sockstat = Reading::Known(sockstat);
    b.set_sysctl("net.ipv4.tcp_max_orphans", "100000");
    b.set_sysctl("net.ipv4.tcp_mem", "100000 200000 300000");
    b.set_sysctl("net.ipv4.neigh.default.gc_thresh3", "1024");
}

fn bench(n: u64) -> Bench {
    let mut b = Bench::new();
    b.rows.push(socket(TcpState::Listen, "0.0.0.0:443", ""));
    count(&mut b, n);
    b
}

/// The rules that did not say that they could not judge.
fn silent(judgement: &Judgement) -> BTreeSet<&'static str> {
    let said: BTreeSet<_> = judgement.unjudged().map(|(rule, _)| rule).collect();
    registry::all().map(|spec| spec.id).filter(|id| !said.contains(id)).collect()
}

fn reason<'a>(judgement: &'a Judgement, rule: &str) -> &'a str {
    let said = judgement.not_examined.iter().find(|n| n.rule == rule);
    said.map_or_else(|| panic!("{rule} says nothing: {judgement:#?}"), |n| n.reason.as_str())
}

fn firing(judgement: &Judgement) -> Vec<&'static str> {
    judgement.findings.iter().filter(|f| f.status == Status::Firing).map(|f| f.rule).collect()
}

#[test]
fn what_is_not_there_or_may_not_be_read_is_said_by_every_rule() {
    const REFUSED: &str = "reading it: permission denied";
    for unread in [Unread::Absent, Unread::Refused(REFUSED)] {
        let (mut b, mut judge) = (Bench::new(), judge());
        b.unread = Some(unread);
        b.source = TableSource::Procfs;
        b.judged(&mut judge);
        let judgement = b.judged(&mut judge);
        assert!(judgement.findings.is_empty(), "{unread:?}: {judgement:#?}");
        let alone: BTreeSet<_> = BY_THE_TABLE_ALONE.iter().copied().collect();
        assert_eq!(silent(&judgement), alone, "{unread:?}");
        assert!(judgement.unjudged().all(|(_, why)| !why.is_empty()));
        for spec in registry::all().filter(|s| s.family == Family::Sysctls && unread != Unread::Absent) {
            assert_eq!(reason(&judgement, spec.id), REFUSED, "{}", spec.id);
        }
    }
}

#[test]
fn counters_that_went_backwards_prove_nothing() {
    let (mut b, mut judge) = (bench(1000), judge());
    b.judged(&mut judge);
    for n in [2000, 3000] {
        count(&mut b, n);
        b.judged(&mut judge);
    }
    count(&mut b, 4000);
    let before = firing(&b.judged(&mut judge));
    assert!(
        before.contains(&"paws-drops") && before.contains(&"nic-drops"),
        "it fires while they move: {before:?}"
    );
    count(&mut b, 10);
    let judgement = b.judged(&mut judge);
    for rule in BY_COUNTERS {
        let why = reason(&judgement, rule);
        assert!(why.contains("went backwards"), "{rule}: {why}");
    }
    assert_eq!(firing(&judgement), Vec::<&str>::new());
    let held = judgement.findings.iter().find(|f| f.rule == "paws-drops").unwrap();
    assert!(matches!(held.status, Status::Unknown(_)), "that it is over is not known: {:?}", held.status);
}

#[test]
fn counters_without_time_between_them_prove_nothing() {
    let (mut b, mut judge) = (bench(1000), judge());
    b.judged(&mut judge);
    b.step = Duration::ZERO;
    count(&mut b, 5000);
    let judgement = b.judged(&mut judge);
    for rule in BY_COUNTERS {
        let why = reason(&judgement, rule);
        assert!(why.contains("no time passed"), "{rule}: {why}");
    }
    assert_eq!(firing(&judgement), Vec::<&str>::new());
}

#[test]
fn a_wall_clock_that_jumps_is_nobodys_evidence() {
    let (mut b, mut judge) = (bench(1000), judge());
    // Connections that would be found old.
    b.rows.extend(close_wait(50));
    b.details =
        b.rows.iter().map(|r| (r.cookie(), detail(*r, &[("last_ack_recv", 1), ("bytes_sent", 0)]))).collect();
    for wall in [0, 1_000_000, 5, 2_000_000_000] {
        b.wall = Some(Duration::from_secs(wall));
        assert_eq!(firing(&b.judged(&mut judge)), Vec::<&str>::new());
    }
}

fn close_wait(count: u16) -> Vec<SocketRow> {
    let row = |n: u16| {
        let mut r = socket(TcpState::CloseWait, "10.0.0.1:443", &format!("10.0.9.9:{}", 1000 + n));
        r.set_cookie(u32::from(n) + 1, 0);
        r
    };
    (0..count).map(row).collect()
}

#[test]
fn a_table_with_gaps_proves_what_it_shows_and_not_what_it_lacks() {
    let gaps = [
        Gap::DumpFailed { what: "TCP dump", errno: 5 },
        Gap::Truncated,
        Gap::Interrupted,
        Gap::Lost,
        Gap::Malformed(1),
        Gap::TimedOut,
    ];
    for gap in gaps {
        let (mut b, mut judge) = (bench(1000), judge());
        b.rows.extend(close_wait(50));
        b.details = b
            .rows
            .iter()
            .map(|r| (r.cookie(), detail(*r, &[("last_ack_recv", 90_000), ("bytes_sent", 0)])))
            .collect();
        b.judged(&mut judge);
        b.gaps = vec![gap.clone()];
        let judgement = b.judged(&mut judge);
        assert_eq!(firing(&judgement), ["close-wait-leak"], "what is there is there: {gap:?}");
        b.rows.clear();
        let judgement = b.judged(&mut judge);
        let leak = judgement.findings.iter().find(|f| f.rule == "close-wait-leak").unwrap();
        assert!(matches!(leak.status, Status::Unknown(_)), "{gap:?}: {:?}", leak.status);
        for spec in registry::all().filter(|s| s.family == Family::Sockets) {
            let said = judgement.unjudged().any(|(rule, _)| rule == spec.id);
            assert!(said, "{} passes in silence with {gap:?}", spec.id);
        }
    }
}

#[test]
fn evidence_out_of_proc_does_not_say_that_it_came_from_sock_diag() {
    let (mut b, mut judge) = (bench(1000), judge());
    b.rows.extend((0..9u16).map(|n| {
        let mut r = socket(TcpState::SynSent, &format!("10.0.0.1:{}", 40_000 + n), "10.0.9.9:80");
        (r.timer_raw, r.retrans) = (1, 3);
        r
    }));
    b.source = TableSource::Procfs;
    b.judged(&mut judge);
    let judgement = b.judged(&mut judge);
    let found = judgement.findings.iter().find(|f| f.rule == "syn-sent-pileup").unwrap();
    let sources: Vec<&str> = found.draft.evidence.iter().map(|e| e.source.name()).collect();
    assert!(sources.contains(&"/proc/net/tcp") && !sources.contains(&"sock_diag"), "{sources:?}");
}

#[test]
fn what_this_kernel_can_never_show_is_no_gap() {
    let (mut b, mut judge) = (bench(1000), judge());
    b.gaps = vec![Gap::BoundInactiveHidden];
    b.judged(&mut judge);
    let judgement = b.judged(&mut judge);
    assert!(silent(&judgement).contains("close-wait-leak"), "{judgement:#?}");
}
