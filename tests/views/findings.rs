//! What is wrong, on the first screen and on its page.

use std::sync::Arc;
use std::time::Duration;

use ratatui::crossterm::event::KeyCode;
use tcptop::analysis::World;
use tcptop::diagnose::{Draft, Evidence, Finding, Severity, Source, Status, Subject, Value};

use crate::rig::Rig;
use crate::worlds;

fn finding(rule: &'static str, severity: Severity, subject: Subject, evidence: Vec<Evidence>) -> Finding {
    Finding {
        rule,
        draft: Draft::new(severity, subject, evidence),
        since: Duration::ZERO,
        status: Status::Firing,
        history: Vec::new(),
        explained: Vec::new(),
    }
}

/// A leak that has to come first, and a limit that comes second although it is told first.
fn two() -> Vec<Finding> {
    let count = |name, n| Evidence::new(name, Value::Count(n), Source::SockDiag);
    let orphans = vec![count("orphans", 40_000).of_host(), count("max", 131_072).of_host()];
    let leak = vec![count("close_wait", 563), count("unread", 0)];
    let java = Subject::Process { pid: 2211, comm: "ja\u{1b}[2Jva".into() };
    vec![
        finding("orphan-limit", Severity::Warning, Subject::Host, orphans),
        finding("close-wait-leak", Severity::Critical, java, leak),
    ]
}

fn showing(width: u16, height: u16, findings: Vec<Finding>) -> Rig {
    let world: Arc<World> = worlds::busy(40);
    let mut rig = Rig::new(width, height);
    rig.judged(&world, findings);
    rig
}

#[test]
fn the_worst_finding_stands_at_the_top_of_the_first_screen() {
    for (width, height) in [(80, 24), (120, 40), (200, 50)] {
        let rig = showing(width, height, two());
        let (text, lines) = (rig.text(), rig.lines());
        assert!(lines[1].contains("Findings"), "{text}");
        assert!(lines[2].contains("✖ ja") && lines[2].contains("[2211]"), "{text}");
        assert!(lines[3].contains('▲'), "{text}");
        assert!(text.contains("Limits") && text.contains("REMOTE IP"), "nothing is pushed out: {text}");
        insta::assert_snapshot!(format!("findings_pane_{width}x{height}"), text);
    }
}

#[test]
fn where_nothing_is_wrong_the_pane_takes_no_room() {
    assert!(!showing(80, 24, Vec::new()).text().contains("Findings ─"));
}

#[test]
fn a_small_terminal_shows_the_finding_before_anything_else() {
    let lines = showing(40, 10, two()).lines();
    assert!(lines[1].contains("✖ ja"), "{lines:?}");
    showing(1, 1, two()).text();
}

#[test]
fn the_page_has_evidence_meaning_and_what_to_do_and_can_be_left() {
    let mut rig = showing(100, 60, two());
    rig.keys("7");
    let text = rig.text();
    for words in ["close-wait-leak: critical", "563", "(sock_diag, namespace)", "What it means"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}"), "{text}");
    rig.key(KeyCode::End);
    assert!(rig.text().contains("orphan"), "{}", rig.text());
    rig.key(KeyCode::Esc);
    assert!(rig.text().contains("REMOTE IP"));
}

#[test]
fn a_finding_that_cleared_stays_and_says_so() {
    let mut over = two();
    over[1].status = Status::Clearing(Duration::ZERO);
    let mut rig = showing(100, 200, over);
    rig.keys("f");
    assert!(rig.text().contains("over for"), "{}", rig.text());
    let first = rig.lines().iter().position(|l| l.contains("orphan-limit")).unwrap();
    assert!(first < 5, "what holds comes before what is over");
}
