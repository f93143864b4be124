//! What is wrong: on the first screen, in its table, and on the page of one finding.

use std::sync::Arc;
use std::time::Duration;

use ratatui::crossterm::event::KeyCode;
use tcptop::analysis::World;
use tcptop::diagnose::{
    Context, Draft, Evidence, Finding, Judge, Judged, Judgement, NotExamined, Rule, Severity, Source, Status,
    Subject, Value, Verdict,
};
use tcptop::engine::closer::Order;
use tcptop::model::{SocketRow, TcpState};
use tcptop::query::kill::meant;
use tcptop::tui::msg::{Effect, Msg};
use tcptop::tui::screen::Screen;

use crate::rig::Rig;
use crate::worlds;

const SIZES: [(u16, u16); 5] = [(80, 24), (120, 40), (200, 50), (40, 10), (1, 1)];

fn finding(rule: &'static str, severity: Severity, subject: Subject, evidence: Vec<Evidence>) -> Finding {
    Finding {
        rule,
        draft: Draft::new(severity, subject, evidence),
        since: Duration::ZERO,
        status: Status::Firing,
        history: Vec::new(),
        explained: Vec::new(),
        formerly: Vec::new(),
    }
}

fn java() -> Subject {
    Subject::Process { pid: 2211, comm: "ja\u{1b}[2Jva".into() }
}

/// A leak that has to come first, and a limit that comes second although it is told first.
fn two() -> Vec<Finding> {
    let count = |name, n| Evidence::new(name, Value::Count(n), Source::SockDiag);
    let orphans = vec![count("orphans", 40_000).of_host(), count("max", 131_072).of_host()];
    let leak = vec![
        count("close_wait", 563),
        Evidence::new("oldest_s", Value::Time(Duration::from_secs(2460)), Source::Observed),
        count("unread", 0),
        Evidence::new("top_peers", Value::Text("10.0.9.9 (563)".into()), Source::SockDiag),
    ];
    vec![
        finding("orphan-limit", Severity::Warning, Subject::Host, orphans),
        Finding {
            history: (0_u32..40).map(|n| f64::from(212 + n * 9)).collect(),
            explained: vec!["fd-exhaustion"],
            ..finding("close-wait-leak", Severity::Critical, java(), leak)
        },
    ]
}

/// The same, the leak proven by these sockets of the world.
fn proven(world: &World) -> Vec<Finding> {
    let rows = &world.snapshots[0].sample.table.rows;
    let leaked = rows.iter().filter(|r| r.state == TcpState::CloseWait);
    let mut found = two();
    found[1].draft.proof = leaked.map(SocketRow::cookie).collect();
    found
}

fn unjudged() -> Vec<NotExamined> {
    vec![NotExamined { rule: "kernel-log", reason: "/dev/kmsg: permission denied".into() }]
}

fn showing(width: u16, height: u16, findings: Vec<Finding>) -> Rig {
    let mut rig = Rig::new(width, height);
    let judgement = Judgement { findings, not_examined: unjudged(), ..Judgement::default() };
    rig.judgement(&worlds::busy(40), judgement);
    rig
}

#[test]
fn the_worst_finding_stands_at_the_top_of_the_first_screen() {
    for (width, height) in [(80, 24), (120, 40), (200, 50)] {
        let rig = showing(width, height, two());
        let (text, lines) = (rig.text(), rig.lines());
        assert!(lines[1].contains("Findings"), "{text}");
        assert!(lines[2].contains("✖ ja") && lines[2].contains("[2211]"), "{text}");
        let second = lines.iter().position(|l| l.contains("│ ▲ ")).unwrap();
        assert!(second < 6 && !lines[second - 1].contains('…'), "what has room is not cut: {text}");
        assert!(text.contains("Limits") && text.contains("REMOTE IP"), "nothing is pushed out: {text}");
        insta::assert_snapshot!(format!("findings_pane_{width}x{height}"), text);
    }
}

#[test]
fn where_nothing_is_wrong_the_pane_takes_no_room() {
    assert!(!showing(80, 24, Vec::new()).text().contains("─ Findings ─"));
}

#[test]
fn a_small_terminal_shows_the_finding_before_anything_else() {
    let lines = showing(40, 10, two()).lines();
    assert!(lines[1].contains("✖ ja"), "{lines:?}");
    showing(1, 1, two()).text();
}

#[test]
fn the_table_has_the_worst_first_and_last_what_could_not_be_judged() {
    for (width, height) in SIZES {
        let mut rig = showing(width, height, two());
        rig.keys("7");
        let text = rig.text();
        insta::assert_snapshot!(format!("findings_{width}x{height}"), text);
        if width < 40 {
            continue;
        }
        let at = |words: &str| {
            let found = rig.lines().iter().position(|l| l.contains(words));
            found.unwrap_or_else(|| panic!("{words}: {text}"))
        };
        assert!(rig.cursor_line().contains('✖'), "{text}");
        let (leak, orphans, unjudged) = (at("ja\\u{1b}"), at("▲"), at("kernel-log: /dev/km"));
        assert!(leak < orphans && orphans < unjudged, "{text}");
        assert!(!text.contains('\u{1b}'));
        if width >= 80 {
            assert!(rig.line_with("ja\\u{1b}").contains("✖ critical"), "{text}");
            assert!(rig.line_with("ja\\u{1b}").contains("39s") && rig.line_with("39s").contains("holds"));
            assert!(rig.line_with("kernel-log").contains("not judged"), "{text}");
        }
    }
}

#[test]
fn where_nothing_is_wrong_the_table_says_so() {
    let mut rig = Rig::new(80, 24);
    rig.judged(&worlds::busy(40), Vec::new());
    rig.keys("f");
    assert!(rig.text().contains("nothing was found to be wrong, and every rule was judged"));
    rig.key(KeyCode::Enter);
    assert_eq!(rig.app.screen, Screen::Findings, "there is nothing to open");
}

#[test]
fn the_order_can_be_chosen_as_in_other_tables() {
    let mut rig = showing(120, 30, two());
    rig.keys("7");
    assert!(rig.text().contains("SEV▾"));
    rig.keys("r");
    assert!(rig.cursor_line().contains('▲'), "the mildest first");
    rig.keys(">");
    assert!(rig.text().contains("FINDING▴"));
    assert!(rig.cursor_line().contains("40 000"), "by words: {}", rig.cursor_line());
}

#[test]
fn the_cursor_stays_on_its_finding() {
    let world = worlds::busy(40);
    let mut rig = showing(80, 24, two());
    rig.keys("7j");
    assert!(rig.cursor_line().contains("40 000"));
    let mut worse = two();
    worse[0].draft.severity = Severity::Critical;
    worse[0].since = Duration::ZERO;
    worse[1].draft.severity = Severity::Info;
    rig.judged(&world, worse);
    assert!(rig.cursor_line().contains("✖") && rig.cursor_line().contains("40 000"), "{}", rig.text());
}

#[test]
fn cursor_and_page_stay_with_a_finding_that_turns_out_to_be_about_somebody_else() {
    let world = worlds::busy(40);
    let mut rig = showing(80, 24, two());
    rig.keys("7");
    rig.keys("j");
    assert!(rig.cursor_line().contains("40 000"));
    let mut better = two();
    better[0].formerly = vec![better[0].draft.subject.clone()];
    better[0].draft.subject = Subject::Process { pid: 7, comm: "nginx".into() };
    better.swap(0, 1);
    rig.judged(&world, better.clone());
    assert!(rig.cursor_line().contains("40 000"), "{}", rig.text());
    let mut rig = showing(80, 24, two());
    rig.keys("7j");
    rig.key(KeyCode::Enter);
    assert!(rig.text().contains("seen for"), "{}", rig.text());
    rig.judged(&world, better);
    assert!(!rig.text().contains("Gone for") && rig.text().contains("seen for"), "{}", rig.text());
}

#[test]
fn the_page_has_evidence_past_meaning_and_what_to_do_and_goes_back_to_its_row() {
    let world = worlds::busy(40);
    for (width, height) in SIZES {
        let mut rig = Rig::new(width, height);
        rig.judged(&world, proven(&world));
        rig.keys("7");
        let table = rig.text();
        rig.key(KeyCode::Enter);
        let text = rig.text();
        insta::assert_snapshot!(format!("finding_{width}x{height}"), text);
        if width < 80 {
            continue;
        }
        for words in [
            "close-wait-leak: critical, confidence high, seen for 39s",
            "It accounts for:",
            "fd-exhaustion.",
            "sock_diag, namespace",
            "observed, namespace",
            "212 to 563 in 40 looks",
            "▁",
            "⏎ shows the 563 sockets that prove it.",
            "What it means",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}"), "{text}");
        rig.key(KeyCode::End);
        assert!(rig.text().contains("When it is harmless"), "{}", rig.text());
        rig.key(KeyCode::Esc);
        assert_eq!(rig.text(), table);
    }
}

#[test]
fn enter_shows_the_sockets_that_prove_it_and_follows_them() {
    let world = worlds::busy(40);
    let mut rig = Rig::new(100, 30);
    rig.judged(&world, proven(&world));
    rig.keys("7");
    rig.key(KeyCode::Enter);
    rig.key(KeyCode::Enter);
    assert!(rig.lines()[1].contains("Proof of close-wait-leak: ja\\u{1b}"), "{}", rig.text());
    assert!(rig.lines()[1].contains(" of 563 "), "{}", rig.text());
    let states =
        |rig: &Rig| rig.lines().iter().filter(|l| l.contains("10.0.9.9:")).cloned().collect::<Vec<_>>();
    assert!(states(&rig).len() > 20 && states(&rig).iter().all(|l| l.contains("CLOSE_WAIT")));
    // The next look proves it with fewer.
    let mut fewer = proven(&world);
    fewer[1].draft.proof = fewer[1].draft.proof.cookies.iter().copied().take(3).collect();
    rig.judged(&world, fewer);
    assert_eq!(states(&rig).len(), 3, "{}", rig.text());
    rig.key(KeyCode::Enter);
    assert!(rig.text().contains("─ Socket ─"), "{}", rig.text());
    rig.key(KeyCode::Esc);
    rig.key(KeyCode::Esc);
    assert!(rig.text().contains("─ Finding ─") && rig.text().contains("3 sockets that prove it"));
    // They can be closed together from there.
    rig.keys("K");
    let Some(Effect::Order(Order::Plan { world, meant: which, .. })) = rig.effects.last() else {
        panic!("{:?}", rig.effects)
    };
    assert_eq!(meant(world, which).len(), 3);
    assert!(rig.text().contains("Meant: the sockets that prove the finding"), "{}", rig.text());
}

#[test]
fn more_sockets_than_are_kept_are_said_to_be_more() {
    let world = worlds::busy(40);
    for (width, height) in SIZES {
        let mut rig = Rig::new(width, height);
        let mut found = proven(&world);
        found[1].draft.proof.total = 8112;
        rig.judged(&world, found.clone());
        rig.keys("7");
        rig.key(KeyCode::Enter);
        if width < 80 {
            rig.key(KeyCode::Enter);
            continue;
        }
        let pages = rig.text();
        rig.key(KeyCode::PageDown);
        let said = format!("{pages}{}", rig.text());
        assert!(said.contains("⏎ shows 563 of 8 112 sockets that prove it."), "{said}");
        rig.key(KeyCode::Enter);
        let title = "Proof of close-wait-leak, 563 of 8 112: ja";
        assert!(rig.lines()[1].contains(title), "{}", rig.text());
        // The title goes with the looks.
        found[1].draft.proof.total = 563;
        rig.judged(&world, found);
        assert!(rig.lines()[1].contains("Proof of close-wait-leak: ja"), "{}", rig.text());
    }
}

#[test]
fn a_finding_that_no_socket_proves_says_so_and_opens_nothing() {
    let mut rig = showing(80, 40, two());
    rig.keys("7j");
    rig.key(KeyCode::Enter);
    let page = rig.text();
    assert!(page.contains("No single row proves it"), "{page}");
    assert!(page.contains("40 000") && page.contains(", host"), "{page}");
    rig.key(KeyCode::Enter);
    assert_eq!(rig.text(), page);
}

#[test]
fn a_rule_that_could_not_be_judged_is_explained_with_the_reason() {
    let mut rig = showing(80, 40, two());
    rig.keys("7G");
    rig.key(KeyCode::Enter);
    let page = rig.text();
    for words in ["kernel-log: /dev/kmsg: permission denied", "could not be judged", "What it means"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("Evidence"), "{page}");
}

#[test]
fn evidence_is_that_of_the_newest_look() {
    let world = worlds::busy(40);
    let mut rig = showing(80, 40, two());
    rig.keys("7");
    rig.key(KeyCode::Enter);
    let mut more = two();
    more[1].draft.evidence[0].value = Value::Count(777);
    rig.judged(&world, more);
    assert!(rig.text().contains("777"), "{}", rig.text());
}

#[test]
fn a_finding_that_cleared_stays_greyed_and_says_so() {
    let mut over = two();
    over[1].status = Status::Clearing(Duration::from_secs(27));
    let mut rig = showing(100, 50, over);
    rig.keys("7");
    let line = rig.line_with("ja\\u{1b}");
    assert!(line.contains("– over") && line.contains("over 12s"), "{line}");
    let lines = rig.lines();
    let at = |words: &str| lines.iter().position(|l| l.contains(words)).unwrap();
    assert!(at("▲") < at("– over") && at("– over") < at("kernel-log"), "{}", rig.text());
    let y = u16::try_from(at("– over")).unwrap();
    let frame = rig.frame();
    let dim = rig.theme.style(tcptop::tui::theme::Role::Dim).fg;
    let cell = &frame.backend().buffer()[(20, y)];
    assert_eq!(Some(cell.fg), dim, "it is greyed");
    rig.keys("j");
    rig.key(KeyCode::Enter);
    assert!(rig.text().contains("over for 12s. It was critical"), "{}", rig.text());
    // When it is gone the page keeps what was seen.
    rig.judged(&worlds::busy(40), Vec::new());
    assert!(rig.text().contains("Gone for 0s; this is what was last seen"), "{}", rig.text());
    assert!(rig.text().contains("563"));
}

#[test]
fn a_click_on_the_pane_opens_the_finding_and_on_its_frame_all_of_them() {
    for (width, height) in [(80, 24), (200, 50)] {
        let mut rig = showing(width, height, two());
        let lines = rig.lines();
        let y = lines.iter().position(|l| l.contains("▲ ")).unwrap();
        let x = lines[y].split("▲ ").next().unwrap().chars().count();
        let overview = rig.text();
        let [x, y] = [x + 3, y].map(|n| u16::try_from(n).unwrap());
        rig.click(x, y);
        assert!(rig.text().contains("orphan-limit: warning"), "{}", rig.text());
        rig.key(KeyCode::Esc);
        assert_eq!(rig.text(), overview, "and back");
        rig.click(x, 1);
        assert_eq!(rig.app.screen, Screen::Findings);
    }
}

#[test]
fn of_several_namespaces_each_finding_says_whose_it_is() {
    let world = worlds::busy(40);
    let mut other = (*world.snapshots[0]).clone();
    other.sample.netns.inode += 1;
    other.sample.netns.name = "blue".into();
    let both =
        World { snapshots: vec![Arc::clone(&world.snapshots[0]), Arc::new(other)], ..(*world).clone() };
    let judgement = |findings| Judgement { findings, ..Judgement::default() };
    let mut rig = Rig::new(100, 30);
    let judged = Judged { world: Arc::new(both), judgements: vec![judgement(Vec::new()), judgement(two())] };
    rig.send(Msg::Look(Ok(Arc::new(judged))));
    rig.keys("7");
    assert!(rig.text().contains("NETNS"), "{}", rig.text());
    assert!(rig.line_with("ja\\u{1b}").contains("blue"), "{}", rig.text());
    rig.key(KeyCode::Enter);
    assert!(rig.text().contains("close-wait-leak in network namespace blue"), "{}", rig.text());
}

#[test]
fn no_size_of_the_terminal_breaks_the_page() {
    let world = worlds::busy(40);
    for width in 1..50 {
        let mut rig = Rig::new(width, 12);
        rig.judged(&world, proven(&world));
        rig.keys("7");
        rig.key(KeyCode::Enter);
        rig.text();
        rig.key(KeyCode::End);
        rig.text();
    }
}

/// A rule that fires at its first looks.
struct Fires(u32);

impl Rule for Fires {
    fn judge(&mut self, _: &Context<'_>) -> Verdict {
        let Some(left) = self.0.checked_sub(1) else { return Verdict::Quiet };
        self.0 = left;
        let orphans = Evidence::new("orphans", Value::Count(40_000), Source::SockDiag).of_host();
        Verdict::Fires(vec![Draft::new(Severity::Warning, Subject::Host, vec![orphans])])
    }
}

#[test]
fn what_the_judge_no_longer_finds_stays_on_the_screen_for_a_minute() {
    let rule: Box<dyn Rule> = Box::new(Fires(2));
    let mut judge = Judge::new(std::iter::once(("orphan-limit", rule)));
    let world = worlds::busy(40);
    let mut rig = Rig::new(100, 30);
    rig.keys("7");
    let mut shown = Vec::new();
    for second in [0, 1, 2, 30, 61, 62] {
        let mut snapshot = (*world.snapshots[0]).clone();
        snapshot.observed = Duration::from_secs(second);
        let judgement = judge.look(&world.host, &snapshot, &mut |_| None);
        let at = Arc::new(World { snapshots: vec![Arc::new(snapshot)], ..(*world).clone() });
        rig.judgement(&at, judgement);
        let line = rig.lines().into_iter().find(|l| l.contains("orphaned")).unwrap_or_default();
        let status = ["holds", "over 0s", "over 28s", "over 59s"].into_iter().find(|s| line.contains(s));
        shown.push(status.unwrap_or("gone"));
    }
    assert_eq!(shown, ["holds", "holds", "over 0s", "over 28s", "over 59s", "gone"], "{}", rig.text());
}
