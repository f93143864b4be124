//! The kernel: sysctls with verdicts, counters that moved, and what either means.

use std::sync::Arc;

use ratatui::crossterm::event::KeyCode;
use tcptop::analysis::World;
use tcptop::diagnose::{Draft, Evidence, Finding, Severity, Source, Status, Subject, Value};
use tcptop::model::{CounterTable, Reading, Sample, Sysctls, sysctl};

use crate::rig::Rig;
use crate::worlds::{Machine, peers};

const SIZES: [(u16, u16); 5] = [(80, 24), (120, 40), (200, 50), (40, 10), (1, 1)];

const SET: [(&str, &str); 8] = [
    ("net.ipv4.tcp_fin_timeout", "5"),
    ("net.ipv4.tcp_synack_retries", "1"),
    ("net.ipv4.tcp_sack", "1"),
    ("net.ipv4.tcp_keepalive_time", "7200"),
    ("net.ipv4.tcp_rmem", "4096\t131072\t33554432"),
    ("net.ipv4.tcp_tw_reuse", "1"),
    ("net.ipv4.ip_local_reserved_ports", ""),
    ("net.ipv4.tcp_congestion_control", "cu\u{1b}[2Jbic"),
];

fn with_facts(sample: &mut Sample, counters: &[(&str, u64)]) {
    let value = |name| match SET.iter().find(|(n, _)| *n == name) {
        Some((_, value)) => Reading::Known(Box::from(*value)),
        None if name == "net.core.somaxconn" => Reading::Unreadable("permission denied".into()),
        None => Reading::Absent,
    };
    sample.facts.sysctls = Sysctls::new(sysctl::SPECS.iter().map(|s| value(s.name)).collect());
    let pairs = counters.iter().map(|(name, n)| ((*name).into(), *n)).collect();
    sample.facts.counters = Reading::Known(CounterTable::from_pairs(pairs));
}

/// Three looks: segments move all the time, the accept queue overflowed at the second.
fn looks() -> [Arc<World>; 3] {
    let mut machine = Machine::new();
    let at = [(100, 4), (1_300, 7), (2_800, 7)];
    at.map(|(segments, overflows)| {
        let counters =
            [("Tcp.InSegs", segments), ("Tcp.PassiveOpens", 9), ("TcpExt.ListenOverflows", overflows)];
        machine.look_at(peers(&[(1, 5)]), |sample| with_facts(sample, &counters))
    })
}

fn showing(width: u16, height: u16) -> Rig {
    let mut rig = Rig::new(width, height);
    for world in &looks() {
        rig.look(world);
    }
    rig.keys("8");
    rig
}

#[test]
fn sysctls_come_with_their_verdicts_what_is_wrong_first() {
    for (width, height) in SIZES {
        let rig = showing(width, height);
        let text = rig.text();
        insta::assert_snapshot!(format!("kernel_{width}x{height}"), text);
        if width < 40 {
            continue;
        }
        assert!(rig.cursor_line().contains("tcp_fin_timeout"), "{text}");
        assert!(!text.contains('\u{1b}'));
        if width >= 80 {
            assert!(rig.cursor_line().contains("▲ harmful"), "{text}");
            assert!(rig.lines()[1].contains("Sysctls: 1 harmful, 1 doubtful"), "{text}");
            let words: Vec<_> = rig.cursor_line().split_whitespace().map(str::to_owned).collect();
            assert!(words.windows(2).any(|w| w == ["5", "60"]), "value and default: {words:?}");
            assert!(rig.line_with("tcp_synack_retries").contains("• doubtful"), "{text}");
            let lines = rig.lines();
            let at = |name: &str| lines.iter().position(|l| l.contains(name)).unwrap();
            assert!(
                at("tcp_tw_reuse ") < at("tcp_sack"),
                "what was changed comes before what was not: {text}"
            );
        }
    }
    let mut rig = showing(120, 120);
    assert_eq!(
        rig.lines().iter().filter(|l| l.contains("net.") || l.contains("fs.")).count(),
        sysctl::SPECS.len()
    );
    assert!(rig.line_with("net.ipv4.tcp_tw_recycle").contains("not there"));
    assert!(rig.line_with("net.core.somaxconn").contains('?'), "what could not be read is not a value");
    assert!(rig.line_with("tcp_congestion_control").contains("\\u{1b}"));
    rig.keys("r");
    assert!(rig.text().contains("VERDICT▴"));
}

#[test]
fn counters_that_moved_come_with_rate_delta_and_scope_the_watched_ones_first() {
    for (width, height) in SIZES {
        let mut rig = showing(width, height);
        rig.keys("p");
        let text = rig.text();
        insta::assert_snapshot!(format!("counters_{width}x{height}"), text);
        if width < 80 {
            continue;
        }
        assert!(rig.lines()[1].contains("Counters that moved: 1 at this look"), "{text}");
        assert!(rig.cursor_line().contains("TcpExt.ListenOverflows"), "{text}");
        assert!(rig.cursor_line().contains("namespace"), "{text}");
        let segments = rig.line_with("Tcp.InSegs");
        assert!(segments.contains("1 500"), "since the previous look: {segments}");
        assert!(!text.contains("PassiveOpens"), "what did not move is not there");
        if width >= 120 {
            assert!(rig.cursor_line().contains("accept-queue-full"), "{text}");
            assert!(segments.contains("2 700") && segments.contains("now"), "{segments}");
            assert!(rig.cursor_line().contains("1s"), "it rests: {text}");
        }
    }
    let mut rig = showing(120, 40);
    rig.keys("pp");
    assert!(rig.text().contains("SYSCTL"), "and back");
}

#[test]
fn the_past_of_a_counter_is_drawn_where_nothing_is_cut_for_it() {
    for (width, drawn) in [(80, false), (120, true), (200, true)] {
        let mut rig = showing(width, 40);
        rig.keys("p");
        let line = rig.line_with("Tcp.InSegs");
        let heights = rig.theme.glyphs.spark;
        let is_height = |c: char| heights.iter().any(|h| h.starts_with(c));
        assert_eq!(line.chars().any(is_height), drawn, "{}", rig.text());
        assert_eq!(rig.text().contains("PAST"), drawn, "{}", rig.text());
        rig.keys("j");
        rig.key(KeyCode::Enter);
        assert!(rig.line_with("past ").contains("up to 1 500 per second in 2 looks"), "{}", rig.text());
    }
}

#[test]
fn enter_explains_a_sysctl_and_escape_returns_to_its_row() {
    let mut rig = showing(80, 50);
    rig.keys("j");
    let table = rig.text();
    rig.key(KeyCode::Enter);
    let page = rig.text();
    insta::assert_snapshot!("sysctl_80x50", page);
    for words in
        ["─ Sysctl ─", "net.ipv4.tcp_synack_retries", "Doubtful: ", "each network namespace", "What it means"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(rig.line_with("value ").contains('1') && rig.line_with("default ").contains('5'), "{page}");
    assert!(rig.line_with("judged by").contains("sysctl-synack-retries"), "{page}");
    rig.key(KeyCode::Enter);
    assert_eq!(rig.text(), page, "there is nothing behind it");
    rig.key(KeyCode::Esc);
    assert_eq!(rig.text(), table);
}

#[test]
fn a_sysctl_that_is_not_there_or_not_readable_says_why() {
    let mut rig = showing(100, 120);
    rig.key(KeyCode::End);
    rig.key(KeyCode::Enter);
    assert!(
        rig.text().contains("This kernel does not have it.")
            || rig.text().contains("not shown in this namespace")
    );
    rig.key(KeyCode::Esc);
    let y = rig.lines().iter().position(|l| l.contains("net.core.somaxconn")).unwrap();
    let y = u16::try_from(y).unwrap();
    rig.click(5, y);
    rig.click(5, y);
    assert!(rig.text().contains("It could not be read: permission denied."), "{}", rig.text());
}

#[test]
fn enter_explains_a_counter_by_the_rule_that_watches_it() {
    let mut rig = showing(80, 50);
    rig.keys("p");
    rig.key(KeyCode::Enter);
    let page = rig.text();
    insta::assert_snapshot!("counter_80x50", page);
    for words in [
        "TcpExt.ListenOverflows",
        "it rests",
        "+3 since tcptop first looked",
        "accept-queue-full",
        "What it means",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    rig.key(KeyCode::Esc);
    rig.keys("j");
    rig.key(KeyCode::Enter);
    assert!(rig.line_with("watched by").contains("no rule"), "{}", rig.text());
    assert!(rig.line_with("this look").contains("+1 500, 1 500 per second"), "{}", rig.text());
}

#[test]
fn a_finding_about_counters_shows_them_as_its_proof() {
    let worlds = looks();
    let overflows = Source::Counter("TcpExt.ListenOverflows".into());
    let finding = Finding {
        rule: "receive-drops",
        draft: Draft::new(
            Severity::Warning,
            Subject::Host,
            vec![Evidence::new("dropped", Value::Count(3), overflows)],
        ),
        since: std::time::Duration::ZERO,
        status: Status::Firing,
        history: vec![1.0, 3.0],
        explained: Vec::new(),
        formerly: Vec::new(),
    };
    let mut rig = Rig::new(100, 40);
    for world in &worlds {
        rig.judged(world, vec![finding.clone()]);
    }
    rig.keys("7");
    rig.key(KeyCode::Enter);
    assert!(rig.text().contains("⏎ shows the counters that prove it."), "{}", rig.text());
    rig.key(KeyCode::Enter);
    assert!(rig.lines()[1].contains("Proof of receive-drops"), "{}", rig.text());
    assert!(rig.cursor_line().contains("TcpExt.ListenOverflows") && !rig.text().contains("Tcp.InSegs"));
    rig.key(KeyCode::Enter);
    assert!(rig.text().contains("─ Counter ─"), "{}", rig.text());
}

#[test]
fn of_several_namespaces_the_first_is_shown_and_said() {
    let world = looks()[2].clone();
    let mut other = (*world.snapshots[0]).clone();
    other.sample.netns.inode += 1;
    other.sample.netns.name = "blue".into();
    let both =
        World { snapshots: vec![Arc::clone(&world.snapshots[0]), Arc::new(other)], ..(*world).clone() };
    let mut rig = Rig::showing(100, 30, &Arc::new(both));
    rig.keys("8");
    assert!(rig.lines()[1].contains("Sysctls in netns init, the first of 2 (n: the next)"), "{}", rig.text());
    rig.key(KeyCode::Enter);
    assert!(rig.line_with("namespace  ").contains("init"), "{}", rig.text());
}
