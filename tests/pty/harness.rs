//! A program in a terminal: what it draws is a screen, what is typed reaches it, and waiting has a deadline.

use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use vt100::{MouseProtocolMode, Parser, Screen};

/// How long anything may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(30);

struct Shared {
    parser: Parser,
    /// The reader shall end at its next chance.
    stop: bool,
}

pub struct Term {
    shared: Arc<(Mutex<Shared>, Condvar)>,
    master: Box<dyn MasterPty + Send>,
    writer: Option<Box<dyn Write + Send>>,
    reader: Option<JoinHandle<()>>,
    child: Box<dyn Child + Send + Sync>,
    /// The modes of the terminal before the program ran.
    pub before: String,
}

fn modes(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().unwrap())
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

/// The program under test.
fn tcptop() -> CommandBuilder {
    CommandBuilder::new(env!("CARGO_BIN_EXE_tcptop"))
}

/// A command line of the shell with jobs, in which `$0` is the program under test.
pub fn shell(line: &str) -> CommandBuilder {
    let mut command = CommandBuilder::new("/bin/sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_tcptop")]);
    command
}

impl Term {
    pub fn start(mut command: CommandBuilder, cols: u16, rows: u16) -> Self {
        for (name, value) in [
            ("TERM", "xterm-256color"),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", ""),
            ("NO_COLOR", ""),
            ("XDG_CONFIG_HOME", "/nonexistent"),
        ] {
            command.env(name, value);
        }
        let pair = native_pty_system().openpty(size(cols, rows)).unwrap();
        let mut from = pair.master.try_clone_reader().unwrap();
        let writer = pair.master.take_writer().unwrap();
        let before = modes(&*pair.master);
        let child = pair.slave.spawn_command(command).unwrap();
        let shared = Shared { parser: Parser::new(rows, cols, 0), stop: false };
        let shared = Arc::new((Mutex::new(shared), Condvar::new()));
        let to = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            // An error is the end of the terminal's other side.
            while let Ok(n @ 1..) = from.read(&mut bytes) {
                let mut shared = to.0.lock().unwrap();
                shared.parser.process(&bytes[..n]);
                to.1.notify_all();
                if shared.stop {
                    return;
                }
            }
        });
        Self { shared, master: pair.master, writer: Some(writer), reader: Some(reader), child, before }
    }

    /// The program under test on 80x24, with its first table on the screen.
    pub fn painted() -> Self {
        let term = Self::start(tcptop(), 80, 24);
        term.until("the first paint", |s| s.contents().contains("REMOTE IP"));
        term
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.process_id().unwrap().try_into().unwrap()).unwrap()
    }

    pub fn send(&mut self, text: &str) {
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        writer.flush().unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Sends a signal to the one child of the shell.
    pub fn signal_job(&self, signal: Signal) {
        let shell = self.pid().as_raw_pid();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let child = children.split_whitespace().next().unwrap().parse().unwrap();
        kill_process(Pid::from_raw(child).unwrap(), signal).unwrap();
    }

    pub fn resize(&self, cols: u16, rows: u16) {
        self.shared.0.lock().unwrap().parser.screen_mut().set_size(rows, cols);
        self.master.resize(size(cols, rows)).unwrap();
    }

    /// Waits until the screen is as it should be.
    pub fn until(&self, what: &str, ready: impl Fn(&Screen) -> bool) {
        let end = Instant::now() + DEADLINE;
        let mut shared = self.shared.0.lock().unwrap();
        while !ready(shared.parser.screen()) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not come:\n{}", shared.parser.screen().contents());
            shared = self.shared.1.wait_timeout(shared, left).unwrap().0;
        }
    }

    pub fn shows(&self, text: &str) -> bool {
        self.shared.0.lock().unwrap().parser.screen().contents().contains(text)
    }

    /// Waits for the end of the program.
    pub fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the program did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The modes of the terminal, as text.
    pub fn modes(&self) -> String {
        modes(&*self.master)
    }

    /// Fails unless the terminal is as a shell expects it.
    pub fn is_given_back(&self) {
        self.until("the terminal's return", |screen| {
            !screen.alternate_screen()
                && !screen.hide_cursor()
                && screen.mouse_protocol_mode() == MouseProtocolMode::None
        });
    }

    /// Fails unless the terminal is the program's.
    pub fn is_taken(&self) {
        self.until("the program's screen", |screen| {
            screen.alternate_screen()
                && screen.hide_cursor()
                && screen.mouse_protocol_mode() == MouseProtocolMode::PressRelease
        });
    }

    /// Takes the terminal away: nothing of its other side is left open.
    pub fn die(mut self) -> Box<dyn Child + Send + Sync> {
        self.shared.0.lock().unwrap().stop = true;
        // Something to draw lets the reader see that it shall end.
        self.send("?");
        self.reader.take().unwrap().join().unwrap();
        self.writer = None;
        self.child
    }
}

/// Waits until a process is gone, or only waits for its parent.
pub fn gone(pid: u32) {
    let end = Instant::now() + DEADLINE;
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(") ").next().and_then(|s| s.chars().next());
        if matches!(state, None | Some('Z' | 'X')) {
            return;
        }
        assert!(Instant::now() < end, "process {pid} is still there: {stat}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
