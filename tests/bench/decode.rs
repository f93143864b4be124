//! Decode, push and count of one dumped row, as a look does it, duplicates looked for: time, and heap allocations.
//!
//! `cargo bench --bench decode`. The datagrams lie in memory that no cache holds, but for the one that says "as received".

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first thing that is not as it should be")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use tcptop::analysis::Analyzer;
use tcptop::model::{Sample, TableSource};
use tcptop::source::intake::Intake;
use tcptop::wire::netlink::Messages;

const ROWS: u32 = 100_000;
const PEERS: u32 = 5_000;

/// Datagrams as the kernel sends them for a root user: 124 bytes a socket, up to 261 of them each.
fn dump() -> Vec<Vec<u8>> {
    (0..ROWS)
        .collect::<Vec<_>>()
        .chunks(261)
        .map(|chunk| chunk.iter().flat_map(|n| message(*n)).collect())
        .collect()
}

fn message(n: u32) -> Vec<u8> {
    let mut m = Vec::with_capacity(124);
    m.extend(124u32.to_ne_bytes());
    m.extend(18u16.to_ne_bytes());
    m.extend([2, 0]);
    m.extend([0; 8]);
    m.extend([2, [1, 1, 1, 6, 8][n as usize % 5], 0, 0]);
    // Every second connection came in through a listener, the others went out from the ephemeral range.
    let (local, peer) = if n.is_multiple_of(2) { (443, 40_000) } else { (32_768 + (n % 28_000), 3306) };
    m.extend(u16::try_from(local).unwrap().to_be_bytes());
    m.extend(u16::try_from(peer).unwrap().to_be_bytes());
    m.extend([10, 0, 0, 5]);
    m.extend([0; 12]);
    m.extend((0x0a01_0000u32 + n.wrapping_mul(2_654_435_761) % PEERS).to_be_bytes());
    m.extend([0; 12]);
    for word in [0, n + 1, 0, 59_000, 0, 0, 33, n + 1] {
        m.extend(word.to_ne_bytes());
    }
    for (kind, value) in [(8u16, &[0u8][..]), (15, &[0; 4]), (21, &77u64.to_ne_bytes()), (22, &[0, 0])] {
        m.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
        m.extend(kind.to_ne_bytes());
        m.extend(value);
        m.resize(m.len().next_multiple_of(4), 0);
    }
    assert_eq!(m.len(), 124);
    m
}

fn read(datagram: &[u8], intake: &mut Intake) {
    for message in Messages::new(datagram) {
        intake.take(message.payload);
    }
}

fn decode(datagrams: &[Vec<u8>], intake: &mut Intake) {
    for datagram in datagrams {
        read(datagram, intake);
    }
}

/// The same as in a look, where the kernel has just put each datagram into one buffer: what that took is not in the time.
fn decode_as_received(datagrams: &[Vec<u8>], intake: &mut Intake) -> Duration {
    let mut buffer = vec![0; 65_536];
    let mut took = Duration::ZERO;
    for datagram in datagrams {
        buffer[..datagram.len()].copy_from_slice(datagram);
        let begun = Instant::now();
        read(black_box(&buffer[..datagram.len()]), intake);
        took += begun.elapsed();
    }
    took
}

fn sample(datagrams: &[Vec<u8>], room: usize) -> Sample {
    let mut intake = Intake::new(room);
    decode(datagrams, &mut intake);
    of(intake)
}

fn of(intake: Intake) -> Sample {
    let mut sample = tcptop::testkit::sample(Vec::new());
    sample.table = intake.table;
    // As after a walk of the listeners, of which there are none.
    sample.table.listening = Some(0);
    sample
}

fn main() {
    let datagrams = dump();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("per_row");
    group.throughput(Throughput::Elements(u64::from(ROWS)));
    group.bench_function("decode_and_push", |b| {
        b.iter_batched(
            || Intake::new(ROWS as usize),
            |mut intake| {
                decode(&datagrams, &mut intake);
                intake
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("decode_push_and_count_at_first", |b| {
        b.iter_batched(
            Analyzer::default,
            |mut analyzer| (analyzer.derive(sample(&datagrams, ROWS as usize)), analyzer),
            BatchSize::LargeInput,
        );
    });
    // Sockets without cookies cannot be matched with those of the look before: what is left is decoding, pushing and counting
    // by state, peer, listener and destination.
    let mut counter = Analyzer::default();
    group.bench_function("decode_push_and_count", |b| {
        b.iter(|| {
            let mut sample = sample(&datagrams, ROWS as usize);
            sample.completeness.source = TableSource::Procfs;
            black_box(counter.derive(sample))
        });
    });
    group.bench_function("decode_push_and_count_as_received", |b| {
        b.iter_custom(|times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                let mut intake = Intake::new(ROWS as usize);
                took += decode_as_received(&datagrams, &mut intake);
                let begun = Instant::now();
                let mut sample = of(intake);
                sample.completeness.source = TableSource::Procfs;
                black_box(counter.derive(sample));
                took += begun.elapsed();
            }
            took
        });
    });
    let mut analyzer = Analyzer::default();
    group.bench_function("decode_push_count_and_match", |b| {
        b.iter(|| black_box(analyzer.derive(sample(&datagrams, ROWS as usize))));
    });
    group.finish();
    criterion.final_summary();

    let made = allocation_counter::measure(|| {
        black_box(analyzer.derive(sample(&datagrams, ROWS as usize)));
    });
    println!("allocations for a look at {ROWS} rows: {} ({} bytes)", made.count_total, made.bytes_total);
    // The table, maps of peers and the snapshot itself; a single allocation per row would be 100 000.
    assert!(made.count_total < u64::from(ROWS) / 100, "{} allocations for {ROWS} rows", made.count_total);
}
