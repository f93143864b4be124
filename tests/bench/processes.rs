//! Finding the processes of many real sockets, against `ss -p`, and following a process whose descriptors come and go.
//!
//! `cargo bench --bench processes [-- SOCKETS…]`, as root; 100 000 sockets unless told otherwise. Runs are interleaved and the
//! best of each kind counts, because the machine may be shared.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first thing that is not as it should be")]

mod crowd;

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tcptop::engine::Looker;
use tcptop::source::{Live, LiveOptions};

const RUNS: usize = 5;
/// Tells a child that it is the process whose descriptors come and go.
const CHURN: &str = "TCPTOP_BENCH_CHURN";
/// How many seconds it is followed.
const FOLLOWED: u32 = 10;

/// Best of the runs: the list with processes, the list without, `ss -Htanp`.
fn measure() -> [Duration; 3] {
    let tcptop = env!("CARGO_BIN_EXE_tcptop");
    let commands: [(&str, &[&str]); 3] = [
        (tcptop, &["list", "--columns", "local,peer,process"]),
        (tcptop, &["list", "--columns", "local,peer"]),
        ("ss", &["-Htanp"]),
    ];
    let mut best = [Duration::MAX; 3];
    for _ in 0..RUNS {
        for ((program, args), best) in commands.iter().zip(&mut best) {
            let mut command = Command::new(program);
            command.args(*args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let begun = Instant::now();
            assert!(command.status().unwrap().success(), "{program}");
            *best = begun.elapsed().min(*best);
        }
    }
    best
}

/// Opens and closes a thousand sockets a second until its input ends.
fn churn() {
    let ended = std::thread::spawn(|| std::io::stdin().read(&mut [0]));
    while !ended.is_finished() {
        let open: Vec<_> = (0..10).map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        std::thread::sleep(Duration::from_millis(10));
        drop(open);
    }
}

/// Processor time of this process.
fn used() -> Duration {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap())
}

/// The part of one core that looking once a second takes, with or without following the processes.
fn cost(follow: bool) -> f64 {
    let looker = Looker::new(Live::open(LiveOptions::default()));
    let mut looker = if follow { looker.followed_by_owners() } else { looker };
    // The first scan is of everything, and is paid for in the seconds after it.
    looker.look().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let (begun, before) = (Instant::now(), used());
    for second in 1..=FOLLOWED {
        looker.look().unwrap();
        std::thread::sleep((Duration::from_secs(1) * second).saturating_sub(begun.elapsed()));
    }
    used().saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64()
}

fn main() {
    if crowd::worked() {
        return;
    }
    if std::env::var_os(CHURN).is_some() {
        return churn();
    }
    let mut sizes: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100_000];
    }
    println!(
        "{:>9} {:>13} {:>13} {:>11} {:>14}",
        "sockets", "with process", "without", "ss -Htanp", "process/ss"
    );
    for size in sizes {
        let crowd = crowd::Crowd::new(size);
        let [with, without, ss] = crowd.host.run(measure).unwrap();
        let ms = |d: Duration| format!("{:.1} ms", d.as_secs_f64() * 1e3);
        let ratio = with.as_secs_f64() / ss.as_secs_f64();
        println!("{size:>9} {:>13} {:>13} {:>11} {ratio:>14.3}", ms(with), ms(without), ms(ss));
    }
    let crowd = crowd::Crowd::new(10_000);
    let start =
        || Command::new(std::env::current_exe().unwrap()).env(CHURN, "1").stdin(Stdio::piped()).spawn();
    let mut churning = crowd.host.run(start).unwrap().unwrap();
    let [plain, following] = crowd.host.run(|| [false, true].map(cost)).unwrap();
    drop(churning.stdin.take());
    churning.wait().unwrap();
    println!(
        "10 000 sockets and 1000 descriptors a second that come and go: looks {:.2} % of a core, with processes {:.2} %",
        plain * 100.0,
        following * 100.0
    );
}
