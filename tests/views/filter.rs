//! The filter on the screen: typed, taken, given up, and what it does to everything that is shown.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Size;
use ratatui::style::Modifier;
use tcptop::model::TcpState;
use tcptop::query::filter::{Filter, Numbers};
use tcptop::testkit;
use tcptop::tui::filter::FilterState;
use tcptop::tui::msg::Msg;
use tcptop::tui::screen::Screen;
use tcptop::tui::theme::{ASCII, Builtin, Theme};

use crate::rig::Rig;
use crate::worlds::{self, Machine, peers};

fn picture(name: &str, rig: &Rig) {
    let Size { width, height } = rig.app.size;
    insta::assert_snapshot!(format!("{name}_{width}x{height}"), rig.text());
}

fn ctrl(rig: &mut Rig, c: char) {
    rig.send(Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)));
}

/// The line in which the filter stands, and the one below it.
fn line(rig: &Rig) -> (String, String) {
    let lines = rig.lines();
    let at = lines.iter().rposition(|l| l.starts_with("/ ")).unwrap_or_else(|| panic!("{}", rig.text()));
    (lines[at].clone(), lines.get(at + 1).cloned().unwrap_or_default())
}

fn typed(text: &str) -> Rig {
    let mut rig = Rig::showing(80, 24, &worlds::busy(40));
    rig.keys("/");
    rig.keys(text);
    rig
}

#[test]
fn every_screen_and_every_total_is_of_the_matching_sockets() {
    let world = worlds::busy(40);
    for (width, height) in [(80, 24), (120, 40), (200, 50), (40, 10), (1, 1)] {
        let mut rig = Rig::showing(width, height, &world);
        rig.keys("/state close-wait or dst 10.0.4.9");
        rig.key(KeyCode::Enter);
        picture("filtered", &rig);
        if width < 80 {
            continue;
        }
        let lines = rig.lines();
        assert!(lines[0].contains("693 of 12 952 sockets"), "{}", lines[0]);
        assert!(lines[0].contains("filter state close-wait or "), "{}", lines[0]);
        assert!(
            rig.line_with("CLOSE_WAIT").contains("563") && rig.line_with("ESTABLISHED").contains(" 130 ")
        );
        for (screen, there, elsewhere) in [
            ("2", "10.0.9.9", "10.0.4.2"),
            ("3", "10.0.4.9:6379", ":3306"),
            ("4", "no listener matches the filter", "0.0.0.0:443"),
            ("6", "10.0.4.9:6379", "10.0.4.2:3306"),
        ] {
            rig.keys(screen);
            let text = rig.text();
            assert!(text.contains(there) && !text.contains(elsewhere), "screen {screen}: {text}");
        }
        rig.keys("3");
        assert!(rig.lines()[1].contains(" of 693 "), "{}", rig.lines()[1]);
    }
}

#[test]
fn a_mistake_is_pointed_at_and_the_last_filter_stays_in_force() {
    let mut rig = typed("dst 10.0.4.9 dprt");
    let (text, below) = line(&rig);
    assert_eq!(text, "/ dst 10.0.4.9 dprt");
    let at = text.find("dprt").unwrap();
    assert_eq!(below.find("^^^^"), Some(at), "{below}");
    let footer = rig.lines().pop().unwrap();
    assert!(footer.contains("expected a condition") && footer.contains("did you mean dport?"), "{footer}");
    assert!(rig.lines()[0].contains("130 of 12 952"), "what could be read is in force: {}", rig.lines()[0]);
    picture("filter_mistake", &rig);
    rig.key(KeyCode::Enter);
    assert!(line(&rig).1.contains('^'), "what is wrong cannot be taken");
    rig.key(KeyCode::Esc);
    assert!(rig.app.filter.line.is_none() && rig.app.filter.in_force.is_none());
    assert!(rig.lines()[0].contains(" 12 952 sockets") && !rig.lines()[0].contains(" of "));
}

#[test]
fn what_is_hardly_meant_so_is_in_force_with_a_remark() {
    let mut rig = typed("dst 10.0.4.9 or dport 70000");
    let (text, below) = line(&rig);
    assert_eq!(below.find("^^^^^"), text.find("70000"), "{below}");
    picture("filter_note", &rig);
    let said = "ports go from 0 to 65535; 130 of 12 952 sockets match";
    assert!(rig.text().contains(said) && rig.lines()[0].contains("130 of 12 952"), "{}", rig.text());
    rig.key(KeyCode::Enter);
    assert!(rig.app.filter.line.is_none(), "it can be taken");
    assert!(rig.lines()[0].contains("filter dst 10.0.4.9 or"), "{}", rig.lines()[0]);
}

#[test]
fn a_message_stands_where_there_is_room_for_it() {
    let long = "state established and ( dst 10.0.0.0/8 or dst 192.168.0.0/16 or dst 172.16.0.0/12 ) and dprt";
    let mut rig = typed(long);
    rig.app.size = Size { width: 120, height: 24 };
    let below = line(&rig).1;
    assert!(below.contains("expected a condition") && below.ends_with("^^^^"), "{below}");
    rig.app.size = Size { width: 40, height: 10 };
    let (text, below) = line(&rig);
    assert!(text.ends_with("dprt") && text.len() < 40 && below.ends_with("^^^^"), "{text}\n{below}");
    rig.key(KeyCode::Home);
    assert!(line(&rig).0.starts_with("/ state estab"), "the cursor is always seen");
}

#[test]
fn escape_brings_back_what_was_in_force_and_an_empty_filter_removes_it() {
    let mut rig = typed("dport 6379");
    rig.key(KeyCode::Enter);
    assert!(rig.app.filter.line.is_none());
    rig.keys("/");
    assert_eq!(line(&rig).0, "/ dport 6379", "the line opens with the last one");
    ctrl(&mut rig, 'u');
    rig.keys("dport 443");
    rig.key(KeyCode::Esc);
    assert!(rig.lines()[0].contains("filter dport = :6379"), "{}", rig.lines()[0]);
    rig.keys("/");
    ctrl(&mut rig, 'u');
    rig.key(KeyCode::Enter);
    assert!(!rig.lines()[0].contains("filter") && rig.lines()[0].contains(" 12 952 sockets"));
    rig.keys("/");
    assert_eq!(line(&rig).0, "/ dport 6379", "the one before is offered again");
}

#[test]
fn the_history_goes_back_and_forth_and_keeps_what_was_typed() {
    let mut rig = typed("");
    for text in ["dport 1", "dport 2", "dport 1"] {
        ctrl(&mut rig, 'u');
        rig.keys(text);
        rig.key(KeyCode::Enter);
        rig.keys("/");
    }
    ctrl(&mut rig, 'u');
    rig.keys("dpo");
    let mut seen = Vec::new();
    for code in [KeyCode::Up, KeyCode::Up, KeyCode::Up, KeyCode::Down, KeyCode::Down, KeyCode::Down] {
        rig.key(code);
        seen.push(line(&rig).0);
    }
    assert_eq!(seen, ["/ dport 1", "/ dport 2", "/ dport 2", "/ dport 1", "/ dpo", "/ dpo"]);
}

#[test]
fn tab_goes_through_words_and_values_that_are_seen() {
    let mut rig = typed("dst 10.0.4");
    assert!(rig.lines()[23].contains("Tab  10.0.4.2  10.0.4.9"), "{}", rig.lines()[23]);
    rig.key(KeyCode::Tab);
    assert_eq!(line(&rig).0, "/ dst 10.0.4.2");
    picture("filter_words", &rig);
    rig.key(KeyCode::Tab);
    assert_eq!(line(&rig).0, "/ dst 10.0.4.9");
    assert!(rig.lines()[0].contains("130 of"), "and it is in force");
    rig.key(KeyCode::Tab);
    rig.key(KeyCode::BackTab);
    assert_eq!(line(&rig).0, "/ dst 10.0.4.9");
    rig.keys(" and stat");
    rig.key(KeyCode::Tab);
    assert_eq!(line(&rig).0, "/ dst 10.0.4.9 and state");
}

#[test]
fn keys_that_outrun_the_reader_are_not_lost() {
    let mut rig = typed("");
    rig.unread = Some(Vec::new());
    rig.keys("dport 6379");
    rig.key(KeyCode::Enter);
    assert!(rig.app.filter.is_taking() && rig.app.holds_keys());
    let unread = rig.unread.take().unwrap();
    for reading in unread {
        rig.send(Msg::Read(tcptop::tui::filter::reader::read(&reading, &Numbers)));
    }
    assert!(rig.app.filter.line.is_none() && !rig.app.holds_keys());
    assert!(rig.lines()[0].contains("130 of 12 952"));
    // Tab before it is known what could stand there.
    rig.keys("/");
    ctrl(&mut rig, 'u');
    rig.unread = Some(Vec::new());
    rig.keys("keepal");
    rig.key(KeyCode::Tab);
    assert_eq!(line(&rig).0, "/ keepal");
    for reading in rig.unread.take().unwrap() {
        rig.send(Msg::Read(tcptop::tui::filter::reader::read(&reading, &Numbers)));
    }
    assert_eq!(line(&rig).0, "/ keepalive");
}

#[test]
fn a_name_is_asked_for_when_it_is_taken() {
    let mut rig = typed("dst db");
    assert!(line(&rig).1.contains("asks whether it is the name of a host"), "{}", line(&rig).1);
    rig.key(KeyCode::Enter);
    assert!(rig.lines()[23].contains("a name that resolves"), "there is no such host: {}", rig.text());
    assert!(!rig.app.filter.is_taking());
}

#[test]
fn what_cannot_be_known_to_match_is_told() {
    let rig = typed("rtt > 1ms");
    let footer = typed_and_taken("rtt > 1ms").lines().pop().unwrap();
    assert!(rig.lines()[0].contains("0 of 12 952"), "{}", rig.lines()[0]);
    assert!(footer.contains("left out: it is not known whether"), "{footer}");
}

fn typed_and_taken(text: &str) -> Rig {
    let mut rig = typed(text);
    rig.app.size = Size { width: 200, height: 50 };
    rig.key(KeyCode::Enter);
    rig
}

#[test]
fn a_program_that_starts_with_a_filter_shows_nothing_else() {
    let filter = Filter::parse("dport 6379", &Numbers).unwrap();
    let mut rig = Rig::new(120, 24);
    rig.app.filter = FilterState::starting_with(filter, "dport 6379");
    rig.look(&worlds::busy(40));
    assert!(rig.lines()[0].contains("130 of 12 952 sockets"), "{}", rig.lines()[0]);
    rig.keys("/");
    assert_eq!(line(&rig).0, "/ dport 6379");
    // A later look is narrowed, too, with the past of the matching sockets.
    rig.key(KeyCode::Esc);
    rig.look(&worlds::busy(39));
    assert!(rig.lines()[0].contains("130 of 12 9"), "{}", rig.lines()[0]);
    assert!(rig.lines()[0].contains("+0"), "nothing of it came or went: {}", rig.lines()[0]);
}

#[test]
fn a_socket_that_a_filter_hides_has_not_closed() {
    let mut machine = Machine::new();
    let mut rows = peers(&[(1, 3)]);
    let mut rig = Rig::showing(80, 24, &machine.look(rows.clone()));
    rig.keys("/state established");
    rig.key(KeyCode::Enter);
    rig.keys("3jj");
    rows[2].state = TcpState::CloseWait;
    rig.look(&machine.look(rows.clone()));
    assert!(!rig.text().contains("closed"), "it does not match any more: {}", rig.text());
    assert!(rig.cursor_line().contains("10.9.0.1:1001"));
    rows.remove(1);
    rig.look(&machine.look(rows.clone()));
    assert!(rig.cursor_line().contains("closed just now"), "this one has: {}", rig.text());
    // A detail stays open for a socket that does not match any more.
    rig.keys("k");
    rig.key(KeyCode::Enter);
    rows[0].state = TcpState::CloseWait;
    rig.look(&machine.look(rows));
    assert!(rig.text().contains("CLOSE_WAIT") && !rig.text().contains("closed just now"), "{}", rig.text());
}

#[test]
fn while_a_filter_is_typed_keys_are_text_and_the_screen_stays() {
    let mut rig = typed("q?123");
    assert!(rig.effects.iter().all(|e| !matches!(e, tcptop::tui::msg::Effect::Quit)));
    assert_eq!((line(&rig).0.as_str(), rig.app.screen), ("/ q?123", Screen::Overview));
    ctrl(&mut rig, 'c');
    assert!(matches!(rig.effects.last(), Some(tcptop::tui::msg::Effect::Quit)), "but Ctrl-C quits");
}

#[test]
fn the_cursor_is_seen_without_colours() {
    let mut rig = typed("dst");
    rig.theme = Theme::builtin(Builtin::Mono, &ASCII);
    let frame = rig.frame();
    let buffer = frame.backend().buffer();
    let row = rig.lines().iter().position(|l| l.starts_with("/ ")).unwrap();
    let cell = |x: usize| &buffer.content()[row * 80 + x];
    assert!(cell(5).modifier.contains(Modifier::REVERSED), "behind the text");
    assert!(!cell(4).modifier.contains(Modifier::REVERSED));
    assert!(rig.text().is_ascii(), "{}", rig.text());
}

#[test]
fn nothing_that_is_typed_or_offered_commands_the_terminal() {
    let mut machine = Machine::new();
    machine.host.hostname = "web-07".into();
    let rows = peers(&[(1, 3)]);
    let mut world = std::sync::Arc::unwrap_or_clone(machine.look(rows.clone()));
    let owners = testkit::owners(&[(9, "\u{1b}]52;c;x\u{7}\u{202e}", &[(rows[0].inode, 3)])]);
    let snapshot = std::sync::Arc::make_mut(&mut world.snapshots[0]);
    let sample = snapshot.sample.clone();
    world.snapshots[0] = tcptop::analysis::Analyzer::default().derive_owned(sample, Some(owners.into()));
    let mut rig = Rig::showing(120, 40, &world.into());
    rig.keys("/comm ");
    rig.key(KeyCode::Tab);
    rig.keys("\u{1b}\u{7}\u{202e}\u{9b}x");
    for code in [KeyCode::Char('\u{85}'), KeyCode::Char('\u{200b}')] {
        rig.key(code);
    }
    let text = rig.text();
    let wrong = text.chars().find(|c| *c != '\n' && tcptop::model::is_unprintable(*c));
    assert_eq!(wrong, None, "{text}");
    assert!(line(&rig).0.starts_with("/ comm ?]52;c;x??"), "{}", line(&rig).0);
    // Nor does a filter from the command line.
    let hostile = "comm \u{1b}[2J\u{202e}";
    let filter = Filter::parse(hostile, &Numbers).unwrap();
    rig.app.filter = FilterState::starting_with(filter, hostile);
    rig.look(&machine.look(rows));
    for keys in ["", "/"] {
        rig.keys(keys);
        let text = rig.text();
        assert!(!text.chars().any(|c| c != '\n' && tcptop::model::is_unprintable(c)), "{text}");
    }
}

#[test]
fn no_size_breaks_the_line() {
    let mut rig = Rig::showing(80, 24, &worlds::busy(2));
    rig.keys("/comm 日本語日本語日本語 and dprt");
    for width in (0..30).chain([60, 120]) {
        for height in (0..9).chain([24]) {
            rig.send(Msg::Resize(Size { width, height }));
            for code in [KeyCode::Home, KeyCode::Right, KeyCode::End, KeyCode::Tab] {
                rig.key(code);
                rig.frame();
            }
        }
    }
    rig.send(Msg::Resize(Size { width: 40, height: 2 }));
    assert!(rig.lines()[1].starts_with("/ "), "the text is seen as long as anything is: {}", rig.text());
}
