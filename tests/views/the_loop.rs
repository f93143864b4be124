//! The loop of the drawing thread, with a feed, a terminal and an engine that are played.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Size;
use ratatui::{Frame, Terminal};
use tcptop::analysis::World;
use tcptop::diagnose::Judged;
use tcptop::model::{Origin, SocketRow};
use tcptop::query::filter::Needs;
use tcptop::query::{RowId, Selection};
use tcptop::tui::app::App;
use tcptop::tui::index::Asker;
use tcptop::tui::msg::{Msg, Signal};
use tcptop::tui::runtime::{self, Wires, run_loop};
use tcptop::tui::theme::{Builtin, Theme, UNICODE};
use tcptop::tui::{Control, Error, Feed};

use crate::worlds::{Machine, peers};

const DEADLINE: Duration = Duration::from_secs(30);
const SIZE: Size = Size { width: 80, height: 24 };

/// What others see of the terminal.
#[derive(Default)]
struct Seen {
    text: String,
    frames: usize,
    wiped: usize,
    suspended: usize,
    retaken: usize,
    copied: String,
    lost: bool,
}

#[derive(Clone, Default)]
struct Shared(Arc<(Mutex<Seen>, Condvar)>);

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn until(&self, what: &str, ready: impl Fn(&Seen) -> bool) {
        let end = Instant::now() + DEADLINE;
        let mut seen = self.0.0.lock().unwrap();
        while !ready(&seen) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not come:\n{}", seen.text);
            seen = self.0.1.wait_timeout(seen, left).unwrap().0;
        }
    }
}

struct FakeTerminal {
    terminal: Terminal<TestBackend>,
    shared: Shared,
}

impl runtime::Terminal for FakeTerminal {
    fn size(&self) -> io::Result<Size> {
        Ok(SIZE)
    }

    fn draw(&mut self, wipe: bool, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        let Ok(_) = self.terminal.draw(render);
        let text = self.terminal.backend().to_string();
        self.shared.change(|seen| {
            seen.text = text;
            seen.frames += 1;
            seen.wiped += usize::from(wipe);
        });
        Ok(())
    }

    fn stop_job(&mut self) -> bool {
        false
    }

    fn suspend(&mut self) -> bool {
        self.shared.change(|seen| seen.suspended += 1);
        true
    }

    fn retake(&mut self) -> io::Result<()> {
        self.shared.change(|seen| seen.retaken += 1);
        Ok(())
    }

    fn copy(&mut self, text: &str) -> io::Result<()> {
        self.shared.change(|seen| seen.copied.push_str(text));
        Ok(())
    }

    fn is_ours(&self) -> bool {
        !self.shared.0.0.lock().unwrap().lost
    }
}

/// Writes down what the engine is asked for.
struct FakeEngine(Sender<String>);

impl Control for FakeEngine {
    fn set_interval(&self, interval: Duration) {
        self.0.send(format!("every {} ms", interval.as_millis())).unwrap();
    }

    fn watch_udp(&self, yes: bool) {
        self.0.send(format!("udp {yes}")).unwrap();
    }

    fn ask(&self, row: SocketRow, _: Origin) {
        self.0.send(format!("socket {}", row.peer_endpoint())).unwrap();
    }

    fn probe(&self, world: Arc<World>, id: RowId) {
        let row = &world.snapshots[usize::from(id.ns)].sample.table.rows[id.row as usize];
        self.0.send(format!("options of {}", row.peer_endpoint())).unwrap();
    }

    fn probe_those(&self, _: Arc<World>, select: Selection) {
        self.0.send(format!("keepalive of {select:?}")).unwrap();
    }

    fn need(&self, _: Needs) {}

    fn asker(&self) -> Option<Asker> {
        None
    }
}

struct Running {
    feed: Feed,
    keys: runtime::Sender,
    shared: Shared,
    asked: std::sync::mpsc::Receiver<String>,
    thread: thread::JoinHandle<Result<(), Error>>,
}

fn start() -> Running {
    let feed = Feed::default();
    let shared = Shared::default();
    let (engine, asked) = channel();
    let (to, from) = channel();
    let (theirs, seen) = (feed.clone(), shared.clone());
    let thread = thread::spawn(move || {
        let engine = FakeEngine(engine);
        let (wires, sender) = Wires::new(theirs, &engine).unwrap();
        to.send(sender).unwrap();
        let terminal = Terminal::new(TestBackend::new(SIZE.width, SIZE.height)).unwrap();
        let mut terminal = FakeTerminal { terminal, shared: seen };
        let mut app = App::new(SIZE, Duration::from_secs(1));
        let theme = Theme::builtin(Builtin::Dark, &UNICODE);
        run_loop(&mut app, &theme, wires, &mut terminal)
    });
    Running { feed, keys: from.recv().unwrap(), shared, asked, thread }
}

impl Running {
    fn look(&self, world: Arc<World>) {
        drop(self.feed.looks.post(Ok(Arc::new(Judged { world, judgements: Vec::new() }))));
    }

    fn keys(&self, text: &str) {
        for c in text.chars() {
            let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
            assert!(self.keys.send(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE))));
        }
    }

    fn quit(self) {
        self.keys("q");
        self.thread.join().unwrap().unwrap();
    }
}

#[test]
fn looks_become_frames_until_the_user_quits() {
    let running = start();
    running.shared.until("a first frame", |s| s.text.contains("reading the socket tables"));
    let mut machine = Machine::new();
    running.look(machine.look(peers(&[(1, 5)])));
    running.shared.until("the look", |s| s.text.contains("5 sockets") && s.text.contains("10.9.0.1"));
    running.look(machine.look(peers(&[(2, 7)])));
    running.shared.until("the next look", |s| s.text.contains("7 sockets") && s.text.contains("10.9.0.2"));
    running.quit();
}

#[test]
fn keys_typed_ahead_find_the_rows_that_they_are_meant_for() {
    let running = start();
    running.look(Machine::new().look(peers(&[(1, 5), (2, 3)])));
    running.shared.until("the look", |s| s.text.contains("8 sockets"));
    // Each opens a page whose rows are not there when the next key comes.
    running.keys("2j\nj\n");
    running.shared.until("a socket of the second peer", |s| {
        s.text.contains("─ Socket ─") && s.text.contains("10.9.0.2:1001")
    });
    assert_eq!(running.asked.recv_timeout(DEADLINE).unwrap(), "socket 10.9.0.2:1001");
    running.keys("+");
    assert_eq!(running.asked.recv_timeout(DEADLINE).unwrap(), "every 2000 ms");
    running.quit();
}

#[test]
fn frames_are_not_drawn_faster_than_they_can_be_seen() {
    let running = start();
    let mut machine = Machine::new();
    running.look(machine.look(peers(&[(1, 40)])));
    running.shared.until("the look", |s| s.text.contains("40 sockets"));
    let begun = Instant::now();
    for _ in 0..300 {
        running.keys("jk");
    }
    running.keys("?");
    running.shared.until("the help", |s| s.text.contains("Keys that are live here"));
    // Thirty a second at most, and a few for what came before.
    let most = 10 + begun.elapsed().as_millis() / 33;
    let frames = running.shared.0.0.lock().unwrap().frames as u128;
    assert!(frames <= most, "{frames} frames for 600 keys in {:?}", begun.elapsed());
    running.quit();
}

#[test]
fn a_stopped_program_draws_nothing_until_it_is_continued() {
    let running = start();
    let mut machine = Machine::new();
    running.look(machine.look(peers(&[(1, 5)])));
    running.shared.until("the look", |s| s.text.contains("5 sockets"));
    assert!(running.keys.send(Msg::Signal(Signal::Stop)));
    running.shared.until("the stop", |s| s.suspended == 1);
    running.look(machine.look(peers(&[(1, 6)])));
    running.keys("?");
    assert!(running.keys.send(Msg::Signal(Signal::Resume)));
    running.shared.until("the screen again", |s| s.retaken == 1 && s.text.contains("Keys that are live"));
    assert_eq!(running.shared.0.0.lock().unwrap().wiped, 1, "nothing is left of the frame before");
    running.quit();
}

#[test]
fn the_end_of_the_engine_is_said_and_the_last_look_stays() {
    let running = start();
    running.look(Machine::new().look(peers(&[(1, 5)])));
    running.shared.until("the look", |s| s.text.contains("5 sockets"));
    running.feed.looks.close();
    running
        .shared
        .until("the end", |s| s.text.contains("looking has stopped") && s.text.contains("10.9.0.1"));
    running.quit();
}

#[test]
fn when_a_panic_gave_the_terminal_back_nothing_more_is_drawn_on_it() {
    let running = start();
    running.look(Machine::new().look(peers(&[(1, 5)])));
    running.shared.until("the look", |s| s.text.contains("5 sockets"));
    running.shared.change(|s| s.lost = true);
    let frames = running.shared.0.0.lock().unwrap().frames;
    running.keys("?");
    assert!(matches!(running.thread.join().unwrap(), Err(Error::ThreadEnded(_))));
    assert_eq!(running.shared.0.0.lock().unwrap().frames, frames);
}

#[test]
fn what_is_shown_goes_to_the_clipboard_as_a_command() {
    let running = start();
    running.look(Machine::new().look(peers(&[(1, 5)])));
    running.shared.until("the look", |s| s.text.contains("5 sockets"));
    running.keys("2\ny");
    running.shared.until("the command", |s| {
        s.copied == "ss -tanoe 'dst 10.9.0.1'" && s.text.contains("ss -tanoe 'dst 10.9.0.1'")
    });
    running.quit();
}
