//! Orders of a million rows: the first 200 by each column, a drill-down, peers by network.
//!
//! `cargo bench --bench query`

use std::hint::black_box;

use criterion::Criterion;
use tcptop::query::{
    Column as _, ColumnId, Grouping, PeerColumn, PeerQuery, Selection, SocketQuery, Sort, peers, sockets,
};
use tcptop::testkit;

const ROWS: u32 = 1_000_000;
const WANT: usize = 200;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let world = testkit::world_of(testkit::many(ROWS));
    let mut group = criterion.benchmark_group("first 200 of 1 000 000");
    for column in ColumnId::all() {
        let query = SocketQuery { select: Selection::All, sort: Sort::by(*column), want: WANT };
        group.bench_function(column.spec().name, |b| b.iter(|| black_box(sockets(&world, &query))));
    }
    let peer = Selection::Peer { addr: testkit::endpoint("10.1.7.0:0").addr, v4_len: 24, v6_len: 64 };
    let query = SocketQuery { select: peer, sort: Sort::by(ColumnId::RecvQ), want: WANT };
    group.bench_function("of one network", |b| b.iter(|| black_box(sockets(&world, &query))));
    for (name, group_by) in [("peers", Grouping::Address), ("networks", Grouping::NETWORK)] {
        let query = PeerQuery { group: group_by, sort: Sort::by(PeerColumn::Total), want: WANT };
        group.bench_function(name, |b| b.iter(|| black_box(peers(&world, &query))));
    }
    group.finish();
    criterion.final_summary();
}
