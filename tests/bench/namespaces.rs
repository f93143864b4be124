//! 200 namespaces with 50 sockets each: how long a look at all of them takes, and what it costs in memory and descriptors.
//!
//! `cargo bench --bench namespaces [-- LOOKS]`, as root; 10 looks unless told otherwise.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first thing that is not as it should be")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Instant;

use tcptop::engine::Looker;
use tcptop::lab::Host;
use tcptop::source::{LiveOptions, Many, Target};

const SPACES: usize = 200;
const LISTENERS: usize = 50;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn main() {
    let looks = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(10);
    let listen = || TcpListener::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).unwrap();
    let sleep = || Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    let mut held: Vec<_> = (0..SPACES)
        .map(|_| {
            let host = Host::new().unwrap();
            let listeners: Vec<_> = host.run(|| (0..LISTENERS).map(|_| listen()).collect()).unwrap();
            let sleeper = host.run(sleep).unwrap();
            (host, listeners, sleeper)
        })
        .collect();
    let mut looker = Looker::new(Many::new(Target::All, LiveOptions::default()));
    for n in 1..=looks {
        let begun = Instant::now();
        let judged = looker.look().unwrap();
        let took = begun.elapsed();
        let sockets: usize = judged.world.snapshots.iter().map(|s| s.sample.table.rows.len()).sum();
        assert!(judged.world.snapshots.len() > SPACES && sockets >= SPACES * LISTENERS);
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
        println!(
            "look {n}: {took:>10.1?}  {sockets} sockets  {descriptors} descriptors  {} KiB",
            resident_kib()
        );
    }
    for (_, _, sleeper) in &mut held {
        let _ = sleeper.kill();
        let _ = sleeper.wait();
    }
}
