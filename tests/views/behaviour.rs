//! What keys, clicks and new looks do to the screen.

use std::sync::Arc;
use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEventKind};
use ratatui::layout::Size;
use tcptop::testkit;
use tcptop::tui::index::answer;
use tcptop::tui::msg::{Effect, Msg, Signal};
use tcptop::tui::screen::Screen;
use tcptop::tui::update::{INTERVALS, update};

use crate::rig::Rig;
use crate::worlds::{self, DATABASE, Machine, peers};

/// The peers on the screen, from the top.
fn shown_peers(rig: &Rig) -> Vec<String> {
    let lines = rig.lines();
    let words = lines.iter().flat_map(|l| l.split([' ', '│', '▌']).map(str::to_owned));
    words.filter(|w| w.starts_with("10.9.0.")).collect()
}

#[test]
fn the_order_is_chosen_by_keys() {
    let mut machine = Machine::new();
    let mut rig = Rig::showing(80, 24, &machine.look(peers(&[(1, 5), (2, 9), (3, 1)])));
    rig.keys("2");
    assert_eq!(shown_peers(&rig), ["10.9.0.2", "10.9.0.1", "10.9.0.3"], "most connections first");
    assert!(rig.text().contains("▾TOTAL"));
    rig.keys("r");
    assert_eq!(shown_peers(&rig), ["10.9.0.3", "10.9.0.1", "10.9.0.2"]);
    assert!(rig.text().contains("▴TOTAL"));
    rig.keys("<");
    assert_eq!(shown_peers(&rig), ["10.9.0.1", "10.9.0.2", "10.9.0.3"], "by address, the smallest first");
    assert!(rig.text().contains("REMOTE IP▴"));
    rig.keys(">>");
    assert!(rig.text().contains("▾ESTAB"));
    // A new look keeps the order.
    rig.look(&machine.look(peers(&[(1, 5), (2, 9), (3, 10)])));
    assert_eq!(shown_peers(&rig), ["10.9.0.3", "10.9.0.2", "10.9.0.1"]);
}

#[test]
fn the_order_is_chosen_by_clicks() {
    let mut machine = Machine::new();
    let mut rig = Rig::showing(80, 24, &machine.look(peers(&[(1, 5), (2, 9), (3, 1)])));
    rig.keys("2");
    let head = rig.lines().iter().position(|l| l.contains("REMOTE IP")).unwrap();
    let row = u16::try_from(head).unwrap();
    rig.click(4, row);
    assert_eq!(shown_peers(&rig), ["10.9.0.1", "10.9.0.2", "10.9.0.3"]);
    rig.click(4, row);
    assert_eq!(shown_peers(&rig), ["10.9.0.3", "10.9.0.2", "10.9.0.1"], "a second click reverses");
}

#[test]
fn enter_opens_the_sockets_of_a_peer_and_escape_returns_to_its_row() {
    let world = worlds::busy(40);
    let mut rig = Rig::showing(80, 24, &world);
    rig.keys("2");
    for _ in 0..30 {
        rig.key(KeyCode::Down);
    }
    rig.key(KeyCode::Home);
    rig.keys("jjj");
    let before = rig.text();
    assert!(rig.cursor_line().contains("10.5.5.5"));
    rig.key(KeyCode::Enter);
    assert!(rig.text().contains("Sockets of 10.5.5.5"));
    assert!(rig.text().contains(" of 31 "));
    let rows: Vec<_> = rig.lines().into_iter().filter(|l| l.contains("ESTABLISHED")).collect();
    assert!(rows.len() > 10 && rows.iter().all(|l| l.contains("10.5.5.5:")), "{rows:#?}");
    rig.key(KeyCode::Enter);
    assert!(rig.text().contains("─ Socket ─"));
    rig.key(KeyCode::Esc);
    rig.key(KeyCode::Esc);
    assert_eq!(rig.text(), before);
    rig.key(KeyCode::Esc);
    assert_eq!(rig.text(), before, "there is nothing behind a screen");
}

#[test]
fn every_table_opens_its_sockets() {
    let mut rig = Rig::showing(100, 30, &worlds::busy(40));
    rig.keys("6");
    rig.key(KeyCode::Enter);
    assert!(rig.text().contains(&format!("Sockets from 10.0.0.5 to {DATABASE}")));
    assert!(rig.text().contains(" of 3 963 "));
    rig.keys("4");
    rig.keys("j");
    assert!(rig.cursor_line().contains("0.0.0.0:443"));
    rig.key(KeyCode::Enter);
    assert!(rig.text().contains("Sockets of listener 0.0.0.0:443"));
    assert!(rig.lines().iter().filter(|l| l.contains("ESTABLISHED")).all(|l| l.contains("10.0.0.5:443")));
    rig.keys("2p");
    rig.key(KeyCode::End);
    rig.key(KeyCode::Home);
    rig.keys("j");
    rig.key(KeyCode::Enter);
    assert!(rig.lines()[1].contains("Sockets of 10.0.9.0/24"), "{}", rig.lines()[1]);
}

#[test]
fn the_cursor_stays_on_its_row_while_others_move() {
    let mut machine = Machine::new();
    let mut rig = Rig::showing(80, 24, &machine.look(peers(&[(1, 5), (2, 9), (3, 3)])));
    rig.keys("2j");
    assert!(rig.cursor_line().contains("10.9.0.1"));
    rig.look(&machine.look(peers(&[(1, 5), (2, 9), (3, 7), (4, 12)])));
    assert_eq!(shown_peers(&rig)[3], "10.9.0.1", "it is last now");
    assert!(rig.cursor_line().contains("10.9.0.1"));
    rig.keys("r");
    assert_eq!(shown_peers(&rig)[0], "10.9.0.1");
    assert!(rig.cursor_line().contains("10.9.0.1"), "an order that the user changes moves it, too");
}

#[test]
fn at_the_top_the_cursor_stays_at_the_top() {
    let mut machine = Machine::new();
    let mut rig = Rig::showing(80, 24, &machine.look(peers(&[(1, 5), (2, 9)])));
    assert!(rig.cursor_line().contains("10.9.0.2"));
    rig.look(&machine.look(peers(&[(1, 15), (2, 9)])));
    assert!(rig.cursor_line().contains("10.9.0.1"));
    // Home lets go of a row.
    rig.keys("jg");
    rig.look(&machine.look(peers(&[(1, 15), (2, 99)])));
    assert!(rig.cursor_line().contains("10.9.0.2"));
}

#[test]
fn a_row_far_below_keeps_the_cursor() {
    let mut machine = Machine::new();
    let rows = || testkit::many(3_000);
    let mut rig = Rig::showing(80, 24, &machine.look(rows()));
    rig.keys("3G");
    assert!(rig.lines()[1].contains("3 000 of 3 000"), "{}", rig.lines()[1]);
    rig.keys("kk");
    let line = rig.cursor_line();
    rig.look(&machine.look(rows()));
    let peer = |l: &str| l.split_whitespace().find(|w| w.starts_with("10.1.")).unwrap().to_owned();
    assert_eq!(peer(&rig.cursor_line()), peer(&line));
    rig.key(KeyCode::PageUp);
    rig.key(KeyCode::PageDown);
    assert_eq!(peer(&rig.cursor_line()), peer(&line));
}

#[test]
fn a_selected_socket_that_ended_stays_for_a_moment() {
    let mut machine = Machine::new();
    let all = peers(&[(1, 3)]);
    let mut rig = Rig::showing(80, 24, &machine.look(all.clone()));
    rig.keys("3j");
    assert!(rig.cursor_line().contains("10.9.0.1:1001"));
    let without: Vec<_> = all.iter().copied().filter(|r| r.peer_port != 1001).collect();
    rig.look(&machine.look(without.clone()));
    let line = rig.cursor_line();
    assert!(line.contains("10.9.0.1:1001") && line.contains("closed just now"), "{line}");
    for _ in 0..3 {
        rig.look(&machine.look(without.clone()));
    }
    assert!(rig.cursor_line().contains("closed 3 s ago"));
    assert!(
        rig.text().contains("10.9.0.1:1000") && rig.text().contains("10.9.0.1:1002"),
        "the others are there"
    );
    for _ in 0..8 {
        rig.look(&machine.look(without.clone()));
    }
    assert!(!rig.text().contains("closed"), "not for ever");
    assert!(rig.cursor_line().contains("10.9.0.1:1002"), "the row that took its place");
}

#[test]
fn moving_away_from_a_socket_that_ended_forgets_it() {
    for (step, next) in [("j", "10.9.0.1:1002"), ("k", "10.9.0.1:1000")] {
        let mut machine = Machine::new();
        let all = peers(&[(1, 3)]);
        let mut rig = Rig::showing(80, 24, &machine.look(all.clone()));
        rig.keys("3j");
        rig.look(&machine.look(all.iter().copied().filter(|r| r.peer_port != 1001).collect()));
        assert!(rig.cursor_line().contains("closed"));
        rig.keys(step);
        assert!(rig.cursor_line().contains(next));
        assert!(!rig.text().contains("closed"));
    }
}

#[test]
fn the_detail_of_a_socket_that_ended_keeps_what_was_seen() {
    let mut machine = Machine::new();
    let mut rig = Rig::showing(80, 24, &machine.look(peers(&[(1, 3)])));
    rig.keys("3");
    rig.key(KeyCode::Enter);
    rig.look(&machine.look(peers(&[(2, 3)])));
    rig.look(&machine.look(peers(&[(2, 3)])));
    assert!(rig.text().contains("closed 1 s ago"));
    assert!(rig.text().contains("10.9.0.1:1000"));
}

#[test]
fn a_frozen_screen_stands_still_and_then_shows_the_newest() {
    let mut machine = Machine::new();
    let mut rig = Rig::showing(80, 24, &machine.look(peers(&[(1, 5)])));
    rig.keys(" ");
    let frozen = rig.lines()[1..23].to_vec();
    assert!(rig.lines()[0].contains("FROZEN"));
    for count in 6..9 {
        rig.look(&machine.look(peers(&[(1, count), (2, 50)])));
    }
    assert_eq!(rig.lines()[1..23], frozen);
    assert!(rig.lines()[23].contains("frozen, 3s behind"), "{}", rig.lines()[23]);
    // Looking around in what is frozen works.
    rig.keys("2");
    assert_eq!(shown_peers(&rig), ["10.9.0.1"]);
    rig.keys(" ");
    assert_eq!(shown_peers(&rig), ["10.9.0.2", "10.9.0.1"]);
    assert!(!rig.text().contains("rozen") && !rig.text().contains("FROZEN"));
}

#[test]
fn the_interval_follows_the_keys_within_its_bounds() {
    let mut rig = Rig::new(80, 24);
    rig.keys("+++---");
    let asked: Vec<_> = rig
        .effects
        .iter()
        .filter_map(|e| if let Effect::SetInterval(i) = e { Some(i.as_millis()) } else { None })
        .collect();
    assert_eq!(asked, [2000, 5000, 10_000, 5000, 2000, 1000]);
    rig.keys(&"-".repeat(20));
    assert_eq!(rig.app.stream.interval, INTERVALS[0]);
    rig.keys(&"+".repeat(20));
    assert_eq!(Some(&rig.app.stream.interval), INTERVALS.last());
    assert!(INTERVALS.iter().all(|i| tcptop::engine::INTERVALS.contains(i)));
}

#[test]
fn only_q_and_control_c_and_signals_quit() {
    let quits = |rig: &Rig| rig.effects.iter().any(|e| matches!(e, Effect::Quit));
    let mut rig = Rig::new(80, 24);
    for code in [KeyCode::Esc, KeyCode::Char('c'), KeyCode::Enter, KeyCode::Backspace] {
        rig.key(code);
    }
    assert!(!quits(&rig));
    rig.keys("q");
    assert!(quits(&rig));
    let mut rig = Rig::new(80, 24);
    rig.keys("?");
    rig.send(Msg::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    assert!(quits(&rig), "from the help, too");
    let mut rig = Rig::new(80, 24);
    rig.send(Msg::Signal(Signal::End));
    assert!(quits(&rig));
}

#[test]
fn stopping_is_left_to_the_terminal() {
    let mut rig = Rig::new(80, 24);
    rig.send(Msg::Key(KeyEvent::new(KeyCode::Char('z'), KeyModifiers::CONTROL)));
    rig.send(Msg::Signal(Signal::Stop));
    rig.send(Msg::Signal(Signal::Resume));
    assert!(
        matches!(rig.effects[..], [Effect::StopJob, Effect::Suspend, Effect::Retake]),
        "{:?}",
        rig.effects
    );
}

#[test]
fn screens_go_round_and_keep_their_places() {
    let mut rig = Rig::showing(100, 30, &worlds::busy(2));
    rig.keys("2jjjj");
    let place = rig.cursor_line();
    let mut seen = Vec::new();
    for _ in Screen::ALL {
        rig.key(KeyCode::Tab);
        seen.push(rig.app.screen);
    }
    let mut all = Screen::ALL.to_vec();
    all.rotate_left(Screen::Peers.index() + 1);
    assert_eq!(seen, all);
    assert_eq!(rig.cursor_line(), place);
    rig.key(KeyCode::BackTab);
    assert_eq!(rig.app.screen, Screen::Overview);
    // The tabs can be clicked.
    let row = u16::try_from(rig.lines().iter().position(|l| l.contains("4 Listeners")).unwrap()).unwrap();
    let column = rig.lines()[usize::from(row)].split("4 Listeners").next().unwrap().chars().count();
    rig.click(u16::try_from(column).unwrap(), row);
    assert_eq!(rig.app.screen, Screen::Listeners);
}

#[test]
fn clicks_select_and_open_and_the_wheel_scrolls() {
    let mut machine = Machine::new();
    let mut rig = Rig::showing(80, 24, &machine.look(peers(&[(1, 30), (2, 9), (3, 3)])));
    rig.keys("2");
    let row = rig.lines().iter().position(|l| l.contains("10.9.0.2")).unwrap();
    let row = u16::try_from(row).unwrap();
    rig.click(10, row);
    assert!(rig.cursor_line().contains("10.9.0.2"));
    rig.click(10, row);
    assert!(rig.text().contains("Sockets of 10.9.0.2"));
    rig.keys("3");
    for _ in 0..10 {
        rig.mouse(MouseEventKind::ScrollDown, 5, 5);
    }
    assert_eq!(rig.app.table().unwrap().cursor, 30);
    rig.mouse(MouseEventKind::ScrollUp, 5, 5);
    assert_eq!(rig.app.table().unwrap().cursor, 27);
}

#[test]
fn hidden_columns_can_be_scrolled_to() {
    let mut rig = Rig::showing(80, 24, &worlds::busy(2));
    rig.keys("3");
    assert!(!rig.text().contains("COOKIE"));
    for _ in 0..20 {
        rig.key(KeyCode::Right);
    }
    assert!(rig.text().contains("COOKIE"));
    assert!(rig.text().contains("STATE"), "what a row is stays");
    for _ in 0..20 {
        rig.key(KeyCode::Left);
    }
    assert!(rig.text().contains("PEER"));
}

#[test]
fn an_answer_to_an_old_question_is_not_shown() {
    let mut machine = Machine::new();
    let world = machine.look(peers(&[(1, 5), (2, 9)]));
    let mut rig = Rig::showing(80, 24, &world);
    rig.keys("2");
    // The answer to the first question comes when the order was changed again.
    let question = |effects: Vec<Effect>| {
        effects.into_iter().find_map(|e| if let Effect::Ask(q) = e { Some(q) } else { None }).unwrap()
    };
    let key = |c| Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
    let first = question(update(&mut rig.app, key('r')));
    assert!(rig.app.is_waiting());
    let second = question(update(&mut rig.app, key('<')));
    update(&mut rig.app, Msg::Answer(answer(first)));
    assert_eq!(shown_peers(&rig), ["10.9.0.2", "10.9.0.1"], "nothing has changed yet");
    assert!(rig.app.is_waiting());
    update(&mut rig.app, Msg::Answer(answer(second)));
    assert_eq!(shown_peers(&rig), ["10.9.0.1", "10.9.0.2"]);
    assert!(!rig.app.is_waiting());
}

#[test]
fn a_cursor_that_moved_while_the_index_worked_is_not_thrown_back() {
    let mut machine = Machine::new();
    let mut rig = Rig::showing(80, 24, &machine.look(peers(&[(1, 5), (2, 9), (3, 3)])));
    rig.keys("2j");
    let next = machine.look(peers(&[(1, 5), (2, 9), (3, 30)]));
    let judged = tcptop::diagnose::Judged { world: Arc::clone(&next), judgements: Vec::new() };
    let mut asked = update(&mut rig.app, Msg::Look(Ok(Arc::new(judged))));
    rig.keys("j");
    assert!(rig.cursor_line().contains("10.9.0.3"));
    let Some(Effect::Ask(question)) = asked.pop() else { panic!("{asked:?}") };
    rig.send(Msg::Answer(answer(question)));
    assert!(rig.cursor_line().contains("10.9.0.3"), "{}", rig.text());
    assert_eq!(shown_peers(&rig)[0], "10.9.0.3");
}

#[test]
fn silence_and_the_end_of_looking_are_said() {
    let mut machine = Machine::new();
    let mut rig = Rig::showing(80, 24, &machine.look(peers(&[(1, 5)])));
    rig.send(Msg::Tick(Duration::from_secs(2)));
    assert!(!rig.text().contains("nothing new"));
    rig.send(Msg::Tick(Duration::from_secs(9)));
    assert!(rig.text().contains("nothing new for 9 s"));
    rig.look(&machine.look(peers(&[(1, 6)])));
    assert!(!rig.text().contains("nothing new"));
    rig.send(Msg::FeedEnded);
    assert!(rig.text().contains("looking has stopped"));
}

#[test]
fn a_frame_is_drawn_for_news_only() {
    let mut machine = Machine::new();
    let mut rig = Rig::showing(80, 24, &machine.look(peers(&[(1, 5)])));
    let mut redraws = |msg| {
        rig.app.redraw = false;
        rig.send(msg);
        rig.app.redraw
    };
    assert!(!redraws(Msg::Tick(Duration::from_millis(10))));
    let unbound = KeyEvent::new(KeyCode::Char('§'), KeyModifiers::NONE);
    assert!(!redraws(Msg::Key(unbound)));
    assert!(redraws(Msg::Key(KeyEvent::new(KeyCode::Down, KeyModifiers::NONE))));
    assert!(redraws(Msg::Resize(Size { width: 81, height: 24 })));
}
