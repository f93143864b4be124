//! What judging costs beside taking a look: every rule over a million rows, and the one pass that they share.
//!
//! Run with `cargo bench --bench judge`. Deriving the snapshot from the rows is measured beside it; the kernel's dump,
//! most of a look, is not in that figure, so the part of a whole look is smaller than the ratio of the two.

#![allow(missing_docs, reason = "the macros of criterion make public items")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use tcptop::analysis::Analyzer;
use tcptop::diagnose::{RuleBook, Survey};
use tcptop::model::{Sample, SocketRow, TcpState};
use tcptop::testkit;

const ROWS: u32 = 1_000_000;

/// A busy server, and one of its looks at a time.
fn sample(rows: &[SocketRow], second: u64) -> Sample {
    let mut sample = testkit::sample(rows.to_vec());
    sample.taken.mono = std::time::Duration::from_secs(second);
    sample
}

fn judging(criterion: &mut Criterion) {
    let mut rows = testkit::many(ROWS);
    rows.push(testkit::socket(TcpState::Listen, "0.0.0.0:443", ""));
    let host = testkit::host();
    let mut group = criterion.benchmark_group("a million rows");
    group.sample_size(10);

    let mut analyzer = Analyzer::default();
    let mut second = 0;
    group.bench_function("derive", |b| {
        b.iter_batched(
            || {
                second += 1;
                sample(&rows, second)
            },
            |sample| black_box(analyzer.derive(sample)),
            criterion::BatchSize::PerIteration,
        );
    });

    let snapshot = Arc::clone(&analyzer.derive(sample(&rows, second + 1)));
    group.bench_function("survey", |b| b.iter(|| black_box(Survey::of(&snapshot))));

    let mut judge = RuleBook::defaults().expect("the defaults make sense").judge();
    group.bench_function("survey and every rule", |b| {
        b.iter(|| black_box(judge.look(&host, &snapshot, &mut |_| None)));
    });
    group.finish();
}

criterion_group!(benches, judging);
criterion_main!(benches);
