//! Closing connections from the screen: what is meant, shown, asked, ordered and told.

use std::sync::Arc;

use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Size;
use tcptop::analysis::World;
use tcptop::engine::closer::{Answered, Order};
use tcptop::model::{SocketRow, TcpState};
use tcptop::query::kill::{Fate, Outcome, Plan, Reason, Session, meant, plan};
use tcptop::testkit;
use tcptop::tui::msg::{Effect, Msg};
use tcptop::tui::theme::{ASCII, Builtin, Theme};

use crate::rig::Rig;
use crate::worlds::{self, Machine, peers};

/// What was ordered last.
fn ordered(rig: &mut Rig) -> Order {
    let mut orders =
        rig.effects.drain(..).filter_map(|e| if let Effect::Order(order) = e { Some(order) } else { None });
    orders.next_back().expect("an order")
}

/// Plays the closing thread, in a session that runs over a connection with 10.9.0.1:1000.
fn answer(rig: &mut Rig) -> Arc<Plan> {
    let Order::Plan { id, world, meant: which, allow } = ordered(rig) else { panic!("no plan was ordered") };
    let session = Session {
        connections: vec![(testkit::endpoint("10.0.0.1:80"), testkit::endpoint("10.9.0.1:1000"))],
        inodes: Vec::new(),
        netns: 4_026_531_840,
    };
    let plan = Arc::new(plan(&world, &meant(&world, &which), &session, allow));
    let listed = Arc::new(plan.listed());
    rig.send(Msg::Answered(Answered::Planned { id, plan: Arc::clone(&plan), listed }));
    plan
}

fn ports(plan: &Plan) -> Vec<u16> {
    plan.targets.iter().map(|(t, _)| t.row.peer_port).collect()
}

fn rows() -> Vec<SocketRow> {
    let mut rows = peers(&[(1, 3), (2, 2)]);
    rows[1].state = TcpState::CloseWait;
    let mut listener = testkit::socket(TcpState::Listen, "0.0.0.0:80", "");
    listener.set_cookie(77, 77);
    rows.push(listener);
    rows
}

fn world() -> Arc<World> {
    Machine::new().look(rows())
}

fn picture(name: &str, rig: &Rig) {
    let Size { width, height } = rig.app.size;
    insta::assert_snapshot!(format!("{name}_{width}x{height}"), rig.text());
}

#[test]
fn what_is_shown_is_closed_and_nothing_else() {
    for (width, height) in [(80, 24), (120, 40), (40, 10), (1, 1)] {
        let mut rig = Rig::showing(width, height, &world());
        rig.keys("2K");
        assert!(width < 80 || rig.text().contains("looking which sockets"), "{}", rig.text());
        rig.keys("y");
        let plan = answer(&mut rig);
        assert_eq!(ports(&plan), [1001, 1002], "a y before it was shown confirms nothing");
        picture("closing", &rig);
        if width >= 80 {
            let text = rig.text();
            assert!(
                text.contains("Close 2 sockets? y closes them, n does not. 1 socket left alone."),
                "{text}"
            );
            assert!(
                text.contains("1 ESTABLISHED: the peer gets a reset; the program gets ECONNABORTED"),
                "{text}"
            );
            assert!(text.contains("1 CLOSE_WAIT: the peer gets a reset"), "{text}");
            assert!(text.contains("this session runs over it; o closes it, too"), "{text}");
            assert!(text.contains("10.0.0.1:80  10.9.0.1:1001  nginx[616]"), "{text}");
        }
        rig.keys("y");
        let Order::Close { id, plan: confirmed } = ordered(&mut rig) else { panic!("nothing is closed") };
        assert!(Arc::ptr_eq(&plan, &confirmed), "what was shown");
        rig.key(KeyCode::Esc);
        rig.keys("3");
        assert!(width < 80 || rig.text().contains("Close connections"), "what is under way is not left");
        let fates = plan.targets.iter().map(|(t, _)| *t);
        let fates = fates.zip([Fate::Closed, Fate::Remains(Reason::IgnoredOrphan)]).collect();
        let outcome = Ok(Arc::new(Outcome { fates }.listed()));
        rig.send(Msg::Answered(Answered::Closed { id, outcome }));
        picture("closed", &rig);
        if width >= 80 {
            let text = rig.text();
            assert!(text.contains("1 socket gone, 1 socket still there."), "{text}");
            assert!(text.contains("still there: the kernel said yes and did nothing"), "{text}");
        }
        rig.keys("y");
        assert!(rig.effects.is_empty(), "it is not closed twice");
        rig.key(KeyCode::Esc);
        assert!(rig.app.closing.is_none() && (width < 80 || rig.text().contains("REMOTE IP")));
    }
}

#[test]
fn n_and_escape_close_nothing() {
    for code in [KeyCode::Char('n'), KeyCode::Esc, KeyCode::Char('3'), KeyCode::Char('?')] {
        let mut rig = Rig::showing(80, 24, &world());
        rig.keys("2K");
        answer(&mut rig);
        rig.key(code);
        assert!(rig.app.closing.is_none(), "{code:?}");
        rig.keys("y");
        assert!(!rig.effects.iter().any(|e| matches!(e, Effect::Order(_))), "{code:?}");
    }
}

#[test]
fn every_kind_of_row_stands_for_its_sockets() {
    let world = world();
    let ports_of = |keys: &str| {
        let mut rig = Rig::showing(100, 30, &world);
        for c in keys.chars() {
            rig.key(if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) });
        }
        rig.keys("K");
        ports(&answer(&mut rig))
    };
    assert_eq!(ports_of("2j"), [1000, 1001], "the second peer");
    assert_eq!(ports_of("2p"), [1001, 1002, 1000, 1001], "a network");
    assert_eq!(ports_of("3jjj"), [1002], "one socket");
    assert_eq!(ports_of("3jjj\n"), [1002], "and its detail");
    assert_eq!(ports_of("4"), [1001, 1002, 1000, 1001], "a listener, with what came in through it");
    assert_eq!(ports_of("5"), [1001, 1002, 1000, 1001], "the process that holds them all");
    assert_eq!(ports_of("2j\nj"), [1001], "a socket of a peer");
}

#[test]
fn listeners_and_the_own_session_are_closed_only_when_they_are_meant() {
    let mut rig = Rig::showing(80, 24, &world());
    rig.keys("4K");
    assert_eq!(answer(&mut rig).refused.len(), 2);
    assert!(rig.text().contains("a listener; l closes it, too"), "{}", rig.text());
    rig.keys("l");
    assert_eq!(answer(&mut rig).refused.len(), 1);
    assert!(rig.text().contains("1 LISTEN: new connections are refused"), "{}", rig.text());
    rig.keys("o");
    assert_eq!(answer(&mut rig).refused.len(), 0);
    rig.keys("l");
    assert_eq!(answer(&mut rig).refused.len(), 1, "and what was meant can be taken back");
}

#[test]
fn marked_rows_are_closed_together() {
    let mut rig = Rig::showing(80, 24, &world());
    rig.keys("3tjt");
    assert!(rig.lines()[1].contains("2 marked"), "{}", rig.lines()[1]);
    assert_eq!(rig.lines().iter().filter(|l| l.starts_with("│◆")).count(), 2, "{}", rig.text());
    picture("marked", &rig);
    rig.keys("K");
    let plan = answer(&mut rig);
    assert_eq!(plan.targets.len() + plan.refused.len(), 2, "two, wherever the cursor is");
    assert!(rig.text().contains("Meant: 2 marked rows"), "{}", rig.text());
    rig.key(KeyCode::Esc);
    rig.keys("gt");
    assert!(rig.lines()[1].contains("1 marked"), "a second t takes the mark away: {}", rig.lines()[1]);
    rig.keys("K");
    answer(&mut rig);
    rig.keys("y");
    let Order::Close { id, .. } = ordered(&mut rig) else { panic!("nothing is closed") };
    rig.send(Msg::Answered(Answered::Closed { id, outcome: Ok(Arc::default()) }));
    rig.key(KeyCode::Esc);
    assert!(!rig.text().contains("marked"), "what was closed is not marked");
}

#[test]
fn all_that_match_are_meant_only_while_a_filter_is_in_force() {
    let mut rig = Rig::showing(80, 24, &world());
    rig.keys("3K");
    answer(&mut rig);
    rig.keys("a");
    assert!(!rig.effects.iter().any(|e| matches!(e, Effect::Order(_))));
    assert!(rig.text().contains("all of what?"), "{}", rig.text());
    rig.key(KeyCode::Esc);
    rig.keys("/dst 10.9.0.2");
    rig.key(KeyCode::Enter);
    rig.keys("3K");
    assert_eq!(ports(&answer(&mut rig)).len(), 1);
    rig.keys("a");
    assert_eq!(ports(&answer(&mut rig)), [1000, 1001]);
    assert!(rig.text().contains("Meant: every socket that matches dst 10.9.0.2"), "{}", rig.text());
    // A row under a filter stands for its matching sockets.
    rig.key(KeyCode::Esc);
    rig.keys("4K");
    assert!(rig.text().contains("no row is chosen"), "no listener matches: {}", rig.text());
}

#[test]
fn what_cannot_be_done_is_said_beforehand() {
    let mut rig = Rig::showing(80, 24, &world());
    rig.app.read_only = true;
    rig.keys("3");
    assert!(
        !rig.lines()[23].contains("K close") && rig.lines()[23].contains("read-only"),
        "{}",
        rig.lines()[23]
    );
    rig.keys("K");
    assert!(rig.app.closing.is_none() && rig.text().contains("--read-only: no socket can be closed"));
    rig.keys("?");
    assert!(rig.text().contains("nothing: --read-only forbids"), "{}", rig.text());

    let mut machine = Machine::new();
    machine.host.privileges.effective = 0;
    let mut rig = Rig::showing(80, 24, &machine.look(rows()));
    rig.keys("3jK");
    answer(&mut rig);
    assert!(rig.text().contains("Not permitted: it takes root or CAP_NET_ADMIN."), "{}", rig.text());
    assert!(rig.text().contains("1 socket would be closed."), "{}", rig.text());
    rig.keys("y");
    assert!(rig.effects.is_empty(), "nothing is tried in vain");

    let mut rig = Rig::showing(80, 24, &Machine::new().look(Vec::new()));
    rig.keys("3K");
    assert!(rig.text().contains("no row is chosen") && rig.app.closing.is_none());
}

#[test]
fn a_long_list_is_scrolled_to_its_end() {
    let mut rig = Rig::showing(80, 24, &worlds::busy(40));
    rig.keys("2K");
    let plan = answer(&mut rig);
    assert!(plan.targets.len() > 3_900);
    assert!(rig.lines()[1].contains(" of 3 96"), "{}", rig.lines()[1]);
    let first = rig.text();
    rig.key(KeyCode::PageDown);
    assert!(rig.text().contains("Close 3 963 sockets?"), "the question stays: {}", rig.text());
    assert_ne!(rig.text(), first);
    rig.key(KeyCode::End);
    let end = rig.text();
    rig.key(KeyCode::Down);
    assert_eq!(rig.text(), end);
    let last = rig.lines()[21].clone();
    assert!(last.contains("10.0.4.2:3306"), "the last line is a socket: {end}");
    rig.keys("g");
    assert_eq!(rig.text(), first);
}

#[test]
fn no_size_and_no_name_breaks_the_dialog() {
    let rows = rows();
    let owners = testkit::owners(&[(9, "\u{1b}[2J\u{202e}", &[(rows[0].inode, 3), (rows[3].inode, 4)])]);
    let sample = testkit::sample(rows);
    let snapshot = tcptop::analysis::Analyzer::default().derive_owned(sample, Some(owners.into()));
    let world = testkit::world(vec![Arc::unwrap_or_clone(snapshot)]);
    let mut rig = Rig::showing(80, 24, &Arc::new(world));
    rig.theme = Theme::builtin(Builtin::Mono, &ASCII);
    rig.keys("2K");
    answer(&mut rig);
    let text = rig.text();
    assert!(text.contains("\\u{1b}[2J") && text.is_ascii(), "{text}");
    for width in (0..40).chain([80, 200]) {
        for height in (0..12).chain([24]) {
            rig.send(Msg::Resize(Size { width, height }));
            for code in [KeyCode::End, KeyCode::PageUp, KeyCode::Home] {
                rig.key(code);
                rig.frame();
            }
        }
    }
}
