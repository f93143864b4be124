//! The live screen over 10 000 real sockets: how soon its first frame is there, and what it costs at a look a second,
//! against a bare drain of the same tables at the same pace.
//!
//! `cargo bench --bench live [-- SOCKETS]`, as root. A dump at such a pace finds the sockets' memory cold, so most of the
//! cost is the kernel's: what a bare drain takes is the least that any program can take on that machine at that moment.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first thing that is not as it should be")]

mod bare;
mod crowd;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::time::{ClockId, clock_gettime};
use tcptop::sys::diag::DiagSocket;

const STARTS: usize = 7;
const PACE: Duration = Duration::from_secs(1);
const SECONDS: u32 = 20;

/// What only a whole first frame has on it.
const PAINTED: &[u8] = b"ESTABLISHED";

struct Screen {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    first_frame: Duration,
}

/// Starts the program in a terminal and waits for its first frame; the terminal is read on.
fn start() -> Screen {
    let pair = native_pty_system()
        .openpty(PtySize { rows: 50, cols: 200, pixel_width: 0, pixel_height: 0 })
        .unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tcptop"));
    command.env("TERM", "xterm-256color");
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    let mut from = pair.master.try_clone_reader().unwrap();
    let begun = Instant::now();
    let child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let (mut seen, mut bytes) = (Vec::new(), vec![0; 65_536]);
    while !seen.windows(PAINTED.len()).any(|w| w == PAINTED) {
        let n = from.read(&mut bytes).unwrap();
        assert_ne!(n, 0, "the program ended before its first frame");
        seen.extend_from_slice(&bytes[..n]);
    }
    let first_frame = begun.elapsed();
    // It ends with the terminal.
    std::thread::spawn(move || while matches!(from.read(&mut bytes), Ok(1..)) {});
    Screen { master: pair.master, child, first_frame }
}

impl Screen {
    /// Processor time that the program has used.
    fn used(&self) -> Duration {
        let pid = i32::try_from(self.child.process_id().unwrap()).unwrap();
        let stat = procfs::process::Process::new(pid).unwrap().stat().unwrap();
        Duration::from_secs(1) * u32::try_from(stat.utime + stat.stime).unwrap()
            / u32::try_from(procfs::ticks_per_second()).unwrap()
    }

    fn quit(mut self) {
        self.master.take_writer().unwrap().write_all(b"q").unwrap();
        self.child.wait().unwrap();
    }
}

fn duration(t: rustix::time::Timespec) -> Duration {
    Duration::new(u64::try_from(t.tv_sec).unwrap(), u32::try_from(t.tv_nsec).unwrap())
}

/// Part of a core that bare drains take at the pace of the screen.
fn alone() -> (f64, usize) {
    let mut socket = DiagSocket::open().unwrap();
    let mut rows = 0;
    let before = clock_gettime(ClockId::ThreadCPUTime);
    let begun = Instant::now();
    for n in 1..=SECONDS {
        rows = bare::drain(&mut socket);
        std::thread::sleep((PACE * n).saturating_sub(begun.elapsed()));
    }
    let used = duration(clock_gettime(ClockId::ThreadCPUTime)).saturating_sub(duration(before));
    (used.as_secs_f64() / begun.elapsed().as_secs_f64(), rows)
}

fn measure() {
    let mut first_frames: Vec<Duration> = (0..STARTS)
        .map(|_| {
            let screen = start();
            let first_frame = screen.first_frame;
            screen.quit();
            first_frame
        })
        .collect();
    first_frames.sort_unstable();
    println!("first frame: best {:.1?}, median {:.1?}", first_frames[0], first_frames[STARTS / 2]);

    let screen = start();
    // What starting costs is not what running costs.
    std::thread::sleep(PACE * 5);
    let (used, begun) = (screen.used(), Instant::now());
    std::thread::sleep(PACE * SECONDS);
    let live = screen.used().saturating_sub(used).as_secs_f64() / begun.elapsed().as_secs_f64();
    screen.quit();
    let (alone, rows) = alone();
    println!(
        "{rows} sockets, a look a second: {:.2} % of a core; bare drains alone {:.2} %",
        live * 100.0,
        alone * 100.0
    );
}

fn main() {
    if crowd::worked() {
        return;
    }
    let sockets = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(10_000);
    let crowd = crowd::Crowd::new(sockets);
    crowd.host.run(measure).unwrap();
}
