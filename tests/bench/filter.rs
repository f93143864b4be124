//! Filters: a million rows by a compound expression, and one port out of many real sockets by the kernel.
//!
//! `cargo bench --bench filter [-- SOCKETS]`, the second part as root; 500 000 sockets unless told otherwise, none with 0.
#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first thing that is not as it should be")]

mod crowd;

use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tcptop::engine::{Looker, SystemNames};
use tcptop::query::filter::{Filter, Narrower, Scene};
use tcptop::source::{Live, LiveOptions, Source as _};
use tcptop::testkit;

const EXPRESSIONS: [&str; 4] = [
    "dport = :443",
    "state established dst 10.1.0.0/20 and recvq > 1000",
    "state established state close-wait ( dst 10.1.4.0/24 or dport > 50000 ) and not ( sendq = 0 or retrans > 3 )",
    "exclude listening dst 10.1.0.0/16 and ( keepalive off or keepalive unknown ) and uid = 0 and recvq >= 64k",
];

fn best<T>(runs: usize, mut work: impl FnMut() -> T) -> Duration {
    let timed = |work: &mut dyn FnMut() -> T| {
        let begun = Instant::now();
        black_box(work());
        begun.elapsed()
    };
    (0..runs).map(|_| timed(&mut work)).min().unwrap()
}

/// What a piece of work takes of this thread's processor, so that others on a busy machine are not counted.
fn processor_time(work: impl FnOnce()) -> Duration {
    let now = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
    };
    let begun = now();
    work();
    now().checked_sub(begun).unwrap()
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn by_us() {
    const ROWS: u32 = 1_000_000;
    let snapshot = testkit::snapshot(testkit::sample(testkit::many(ROWS)));
    println!("{:>8} {:>12} {:>9}  expression, {ROWS} rows", "ns/row", "allocations", "match");
    for text in EXPRESSIONS {
        let filter = Filter::parse(text, &SystemNames).unwrap().unwrap();
        let scene = Scene::new(&snapshot);
        let rows = &snapshot.sample.table.rows;
        let count = || rows.iter().enumerate().filter(|(at, row)| filter.matches(&scene, *at, row)).count();
        let allocated = allocation_counter::measure(|| {
            black_box(count());
        });
        let took = (0..9)
            .map(|_| {
                processor_time(|| {
                    black_box(count());
                })
            })
            .min()
            .unwrap();
        let ns = took.as_nanos() as f64 / f64::from(ROWS);
        println!("{ns:>8.1} {:>12} {:>9}  {text}", allocated.count_total, count());
    }
}

/// A look at all and a choice, against a look for what is wanted: best of each.
fn measure() -> (Duration, Duration, usize, usize) {
    // Every look leaves out the same parts of the work: counters and sysctls are in both.
    let filter = Filter::parse("sport = :40000", &SystemNames).unwrap().unwrap();
    let mut all = Looker::new(Live::open(LiveOptions::default()));
    let mut some = Looker::new(Live::open(LiveOptions::default()));
    some.source().ask_for(filter.asked());
    let (mut took_all, mut took_some, mut rows, mut found) = (Duration::MAX, Duration::MAX, 0, 0);
    for _ in 0..7 {
        took_all = took_all.min(best(1, || {
            let world = all.look().unwrap();
            rows = world.world.snapshots[0].sample.table.rows.len();
            found = Narrower::new(filter.clone()).narrow(&world.world, None).world.snapshots[0]
                .states
                .all
                .total();
        }));
        took_some = took_some.min(best(1, || {
            let world = some.look().unwrap();
            let narrowed = Narrower::new(filter.clone()).narrow(&world.world, None);
            assert_eq!(narrowed.world.snapshots[0].states.all.total(), found, "the kernel and we agree");
        }));
    }
    (took_all, took_some, rows, found as usize)
}

fn main() {
    if crowd::worked() {
        return;
    }
    by_us();
    let sockets = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(500_000);
    if sockets == 0 {
        return;
    }
    let crowd = crowd::Crowd::new(sockets);
    let (all, some, rows, found) = crowd.host.run(measure).unwrap();
    let ratio = all.as_secs_f64() / some.as_secs_f64();
    println!(
        "{found} of {rows} sockets: take all and choose {all:.1?}, ask the kernel {some:.1?}, {ratio:.1} times faster"
    );
}
