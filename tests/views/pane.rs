//! The findings of the first screen, by keyboard.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, MouseEventKind};
use tcptop::diagnose::{Draft, Evidence, Finding, Severity, Source, Status, Subject, Value};
use tcptop::tui::screen::Screen;

use crate::rig::Rig;
use crate::worlds;

/// A finding about a process, which its number names.
fn finding(pid: u32, severity: Severity) -> Finding {
    let subject = Subject::Process { pid, comm: "java".into() };
    let evidence = vec![Evidence::new("close_wait", Value::Count(u64::from(pid)), Source::SockDiag)];
    Finding {
        rule: "close-wait-leak",
        draft: Draft::new(severity, subject, evidence),
        since: Duration::ZERO,
        status: Status::Firing,
        history: Vec::new(),
        explained: Vec::new(),
        formerly: Vec::new(),
    }
}

fn warnings(pids: impl IntoIterator<Item = u32>) -> Vec<Finding> {
    pids.into_iter().map(|pid| finding(pid, Severity::Warning)).collect()
}

fn showing(size: (u16, u16), findings: Vec<Finding>) -> Rig {
    let mut rig = Rig::new(size.0, size.1);
    rig.judged(&worlds::busy(40), findings);
    rig
}

/// The only line with a cursor.
fn at_cursor(rig: &Rig) -> String {
    let cursor = rig.theme.glyphs.cursor;
    let lines = rig.lines();
    // Bars are made of the same sign, and never begin at an edge.
    let edge = format!("│{cursor}");
    let mut with = lines.iter().filter(|l| l.starts_with(cursor) || l.contains(&edge));
    let line = with.next().unwrap_or_else(|| panic!("no cursor in\n{}", lines.join("\n"))).clone();
    assert_eq!(with.next(), None, "two cursors in\n{}", lines.join("\n"));
    line
}

const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (200, 50), (40, 14)];

#[test]
fn above_the_first_row_are_the_findings_and_enter_opens_one() {
    for size in SIZES {
        let mut rig = showing(size, warnings([11, 12]));
        let table = at_cursor(&rig);
        assert!(!table.contains("java["), "{}", rig.text());
        rig.key(KeyCode::Up);
        assert!(at_cursor(&rig).contains("java[12]"), "the nearest: {}", rig.text());
        if size.0 == 80 {
            insta::assert_snapshot!("pane_80x24", rig.text());
        }
        rig.keys("k");
        assert!(at_cursor(&rig).contains("java[11]"), "{}", rig.text());
        rig.key(KeyCode::Up);
        assert!(at_cursor(&rig).contains("java[11]"), "there is nothing above: {}", rig.text());
        let pane = rig.text();
        rig.key(KeyCode::Enter);
        assert!(rig.text().contains("java[11]") && !rig.text().contains("java[12]"), "{}", rig.text());
        rig.key(KeyCode::Esc);
        assert_eq!(rig.text(), pane, "back on the same finding");
        rig.keys("jj");
        assert_eq!(at_cursor(&rig), table, "and below the last one is the table");
        rig.keys("F");
        assert!(at_cursor(&rig).contains("java[11]"), "{}", rig.text());
        rig.key(KeyCode::Esc);
        assert_eq!(at_cursor(&rig), table);
    }
}

/// The lines of the pane, without what stands beside it.
fn pane(rig: &Rig) -> Vec<String> {
    let lines = rig.lines();
    let top = lines.iter().position(|l| l.contains("─ Findings ")).unwrap();
    let from = lines[top].split("─ Findings ").next().unwrap().chars().count() - 1;
    let inside = lines[top + 1..].iter().map(|l| l.chars().skip(from).collect::<String>());
    inside.take_while(|l| l.starts_with('│')).collect()
}

#[test]
fn a_long_finding_is_wrapped_where_no_other_needs_the_line() {
    for (size, room) in [((80, 24), 3), ((200, 50), 7)] {
        // As many as there are lines, and more: one line for each, and none is hidden for the words of another.
        for found in [room - 1, room, room + 1] {
            let rig = showing(size, warnings(1..=found));
            let pane = pane(&rig);
            assert!(pane.len() <= usize::try_from(room).unwrap(), "{}", rig.text());
            let named = pane.iter().filter(|l| l.contains("java[")).count();
            let shown = if found > room { room - 1 } else { found };
            assert_eq!(named, usize::try_from(shown).unwrap(), "{found}: {}", rig.text());
        }
    }
    let rig = showing((80, 24), warnings([11]));
    assert_eq!(pane(&rig).len(), 2, "no line for nothing: {}", rig.text());
    let words: Vec<String> = pane(&rig)
        .iter()
        .flat_map(|l| l.trim_matches('│').split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(words.join(" "), "▲ java[11] holds 11 connections that the peer has closed");
}

#[test]
fn each_line_of_a_wrapped_finding_is_its_own() {
    for line in [2, 3] {
        let mut rig = showing((80, 24), warnings([11, 12]));
        rig.click(50, line);
        assert!(
            rig.text().contains("java[11]") && !rig.text().contains("java[12]"),
            "{line}: {}",
            rig.text()
        );
    }
    let mut rig = showing((80, 24), warnings([11, 12]));
    rig.click(50, 4);
    assert!(rig.text().contains("java[12]") && !rig.text().contains("java[11]"), "{}", rig.text());
}

#[test]
fn the_cursor_stays_on_its_finding_and_goes_back_to_the_table_with_the_last_one() {
    let world = worlds::busy(40);
    let mut rig = showing((80, 24), warnings([11, 12]));
    rig.keys("k");
    assert!(at_cursor(&rig).contains("java[12]"));
    let worse = [finding(9, Severity::Critical)].into_iter().chain(warnings([11, 12])).collect();
    rig.judged(&world, worse);
    assert!(at_cursor(&rig).contains("java[12]"), "{}", rig.text());
    rig.judged(&world, warnings([11]));
    assert!(at_cursor(&rig).contains("java[11]"), "its own is gone: {}", rig.text());
    rig.judged(&world, Vec::new());
    assert!(rig.cursor_line().contains("10."), "{}", rig.text());
    rig.keys("F");
    assert!(rig.text().contains("nothing is found that is wrong"), "{}", rig.text());
    rig.keys("k");
    assert!(rig.cursor_line().contains("10."), "{}", rig.text());
}

#[test]
fn the_line_for_those_that_have_no_room_opens_all_of_them() {
    let mut rig = showing((80, 24), warnings(1..30));
    rig.key(KeyCode::Up);
    assert!(at_cursor(&rig).contains("more"), "{}", rig.text());
    rig.key(KeyCode::Enter);
    assert_eq!(rig.app.screen, Screen::Findings);
    rig.keys("1");
    assert!(!at_cursor(&rig).contains("java["), "{}", rig.text());
}

#[test]
fn keys_and_mouse_do_not_mean_what_the_cursor_is_not_on() {
    let mut rig = showing((120, 40), warnings([11, 12]));
    let sorted = rig.lines().into_iter().find(|l| l.contains("REMOTE")).unwrap();
    rig.keys("Fr>tK");
    assert!(rig.lines().contains(&sorted) && rig.effects.is_empty(), "{}", rig.text());
    assert!(at_cursor(&rig).contains("java[11]"));
    rig.mouse(MouseEventKind::ScrollDown, 60, 30);
    assert!(!at_cursor(&rig).contains("java["), "the wheel is for the rows: {}", rig.text());
    rig.keys("F");
    for (width, height) in [(1, 1), (40, 10), (20, 5), (200, 50), (0, 0)] {
        rig.send(tcptop::tui::msg::Msg::Resize(ratatui::layout::Size { width, height }));
        rig.text();
        rig.keys("kj");
    }
}
