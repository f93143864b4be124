//! 200 namespaces with 50 sockets each: how long a look at all of them takes, and what it costs in memory and descriptors.
//!
//! `cargo bench --bench namespaces [-- LOOKS]`, as root; 10 looks unless told otherwise. With `-- --soak MINUTES` it looks
//! each second, and ends with an error if memory or descriptors grew in the second half.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first thing that is not as it should be")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tcptop::engine::Looker;
use tcptop::lab::Host;
use tcptop::source::{LiveOptions, Many, Source, Target};

const SPACES: usize = 200;
const LISTENERS: usize = 50;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What memory may grow in the second half of a soak: pages that the allocator keeps, a short past that still fills.
const SLACK_KIB: u64 = 2048;
/// What descriptors may differ by at two moments: those of a look that is under way.
const SLACK_DESCRIPTORS: usize = 4;

fn look<S: Source>(looker: &mut Looker<S>) -> usize {
    let judged = looker.look().unwrap();
    let sockets: usize = judged.world.snapshots.iter().map(|s| s.sample.table.rows.len()).sum();
    assert!(judged.world.snapshots.len() > SPACES && sockets >= SPACES * LISTENERS);
    sockets
}

/// Looks each second for so many minutes. Growth is judged by the most of the second and of the last quarter.
fn soak<S: Source>(looker: &mut Looker<S>, minutes: u64) {
    let begun = Instant::now();
    let length = Duration::from_secs(60 * minutes);
    let mut peaks = [(0_u64, 0_usize); 4];
    let (mut looks, mut said, mut slowest) = (0_u64, 0, Duration::ZERO);
    while begun.elapsed() < length {
        let at = Instant::now();
        look(looker);
        looks += 1;
        slowest = slowest.max(at.elapsed());
        let (memory, open) = (resident_kib(), descriptors());
        let quarter = usize::try_from(4 * at.duration_since(begun).as_millis() / length.as_millis()).unwrap();
        let peak = &mut peaks[quarter.min(3)];
        *peak = (peak.0.max(memory), peak.1.max(open));
        let minute = begun.elapsed().as_secs() / 60;
        if minute >= said {
            println!(
                "minute {minute}: {memory} KiB  {open} descriptors  {looks} looks, the slowest {slowest:.1?}"
            );
            said = minute + 1;
        }
        std::thread::sleep(Duration::from_secs(1).saturating_sub(at.elapsed()));
    }
    println!("most by quarter, KiB and descriptors: {peaks:?}; {looks} looks, the slowest {slowest:.1?}");
    let [_, second, _, last] = peaks;
    assert!(last.0 <= second.0 + SLACK_KIB, "memory grew from {} to {} KiB", second.0, last.0);
    assert!(last.1 <= second.1 + SLACK_DESCRIPTORS, "descriptors grew from {} to {}", second.1, last.1);
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |text: &String| text.parse::<u64>().ok();
    let minutes = arguments.iter().position(|a| a == "--soak").map(|at| {
        let minutes = arguments.get(at + 1).and_then(number).filter(|n| *n > 0);
        minutes.expect("--soak MINUTES")
    });
    let looks = arguments.iter().find_map(number).unwrap_or(10);
    let listen = || TcpListener::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).unwrap();
    let lifetime = (minutes.unwrap_or(10) * 60 + 600).to_string();
    let sleep = || Command::new("sleep").arg(&lifetime).stdin(Stdio::null()).spawn().unwrap();
    let mut held: Vec<_> = (0..SPACES)
        .map(|_| {
            let host = Host::new().unwrap();
            let listeners: Vec<_> = host.run(|| (0..LISTENERS).map(|_| listen()).collect()).unwrap();
            let sleeper = host.run(sleep).unwrap();
            (host, listeners, sleeper)
        })
        .collect();
    let mut looker = Looker::new(Many::new(Target::All, LiveOptions::default()));
    match minutes {
        Some(minutes) => soak(&mut looker, minutes),
        None => {
            for n in 1..=looks {
                let begun = Instant::now();
                let sockets = look(&mut looker);
                let took = begun.elapsed();
                println!(
                    "look {n}: {took:>10.1?}  {sockets} sockets  {} descriptors  {} KiB",
                    descriptors(),
                    resident_kib()
                );
            }
        }
    }
    for (_, _, sleeper) in &mut held {
        let _ = sleeper.kill();
        let _ = sleeper.wait();
    }
}
