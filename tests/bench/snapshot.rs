//! A whole look at many real sockets, against a bare drain of the same dump and against `ss`.
//!
//! `cargo bench --bench snapshot [-- SOCKETS…]`, as root; 100 000 and 500 000 sockets unless told otherwise. Runs are
//! interleaved and the best of each kind counts, because the machine may be shared.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first thing that is not as it should be")]

mod bare;
mod crowd;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tcptop::engine::Looker;
use tcptop::source::{Live, LiveOptions};
use tcptop::sys::diag::DiagSocket;

const RUNS: usize = 7;

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let result = work();
    (begun.elapsed(), result)
}

/// Resident memory of this process, KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn quiet(program: &str, args: &[&str]) {
    let status =
        Command::new(program).args(args).stdout(Stdio::null()).stdin(Stdio::null()).status().unwrap();
    assert!(status.success(), "{program}: {status}");
}

/// What is measured inside the namespace, best of the runs: drain, look of the live screen without and with BPF, look that
/// somebody waits for, report, ss; then the number of rows and bytes a row.
fn measure(empty: u64) -> ([Duration; 6], usize, f64) {
    let mut best = [Duration::MAX; 6];
    let mut socket = DiagSocket::open().unwrap();
    // As the screen looks: the first is a dump, the second a dump and the proof beside it.
    let mut looker = Looker::new(Live::open(LiveOptions { bpf: true, ..LiveOptions::default() }));
    let mut held = None;
    let mut rows = 0;
    let mut memory = 0;
    for _ in 0..RUNS {
        let (drained, _) = timed(|| bare::drain(&mut socket));
        let (direct, judged) = timed(|| looker.look().unwrap());
        rows = judged.world.snapshots[0].sample.table.rows.len();
        // The previous snapshot is still on the screen while the next one is made.
        memory = memory.max(resident_kib().saturating_sub(empty));
        held.replace(judged);
        let hurry = LiveOptions { hurry: true, ..LiveOptions::default() };
        let (hurried, _) = timed(|| Looker::new(Live::open(hurry)).look().unwrap());
        let (reported, ()) = timed(|| quiet(env!("CARGO_BIN_EXE_tcptop"), &["report"]));
        let (listed, ()) = timed(|| quiet("ss", &["-Htan"]));
        for (best, run) in best.iter_mut().zip([drained, Duration::MAX, direct, hurried, reported, listed]) {
            *best = (*best).min(run);
        }
    }
    drop((looker, held));
    let mut looker = Looker::new(Live::open(LiveOptions::default()));
    let mut held = None;
    for _ in 0..RUNS {
        let (look, judged) = timed(|| looker.look().unwrap());
        held.replace(judged);
        best[1] = best[1].min(look);
    }
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    let per_row = memory as f64 * 1024.0 / rows.max(1) as f64;
    (best, rows, per_row)
}

/// Resident memory of a program that has looked, twice, at nothing.
fn empty() -> u64 {
    let nothing = tcptop::lab::Host::new().unwrap();
    let look = || {
        let mut looker = Looker::new(Live::open(LiveOptions::default()));
        let held = [looker.look().unwrap(), looker.look().unwrap()];
        let memory = resident_kib();
        drop(held);
        memory
    };
    nothing.run(look).unwrap()
}

fn main() {
    if crowd::worked() {
        return;
    }
    // As the program does.
    tcptop::sys::memory::map_large_blocks();
    let empty = empty();
    println!("empty: {empty} KiB resident");
    let mut sizes: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100_000, 500_000];
    }
    println!(
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>11} {:>11} {:>11} {:>9}",
        "rows",
        "drain",
        "look",
        "with BPF",
        "in hurry",
        "report",
        "ss -Htan",
        "look/drain",
        "BPF/drain",
        "hurry/drain",
        "report/ss",
        "B/socket"
    );
    for size in sizes {
        let crowd = crowd::Crowd::new(size);
        let ([drain, look, direct, hurried, report, ss], rows, per_row) =
            crowd.host.run(|| measure(empty)).unwrap();
        let ms = |d: Duration| format!("{:.1} ms", d.as_secs_f64() * 1e3);
        println!(
            "{rows:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11.2} {:>11.2} {:>11.2} {:>11.2} {per_row:>9.0}",
            ms(drain),
            ms(look),
            ms(direct),
            ms(hurried),
            ms(report),
            ms(ss),
            look.as_secs_f64() / drain.as_secs_f64(),
            direct.as_secs_f64() / drain.as_secs_f64(),
            hurried.as_secs_f64() / drain.as_secs_f64(),
            report.as_secs_f64() / ss.as_secs_f64(),
        );
    }
}
