//! The socket table: filter in one pass, keep the first rows, sort only those.

use std::hash::{BuildHasher, BuildHasherDefault};

use rustc_hash::FxHasher;

use super::column::Sort;
use super::columns::ColumnId;
use super::selection::Selection;
use super::top::Top;
use super::values;
use super::{RowId, SocketView};
use crate::analysis::{Snapshot, World};
use crate::model::{Protocol, SocketRow};

/// The identity of a socket over time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SocketKey {
    /// Inode of the network namespace.
    pub netns: u64,
    /// The cookie, or, where the source has none, a hash of the addresses and ports.
    pub id: u64,
}

impl SocketKey {
    /// The identity of a row.
    #[must_use]
    pub fn of(snapshot: &Snapshot, row: &SocketRow) -> Self {
        Self { netns: snapshot.sample.netns.inode, id: identity(row) }
    }
}

#[inline]
fn identity(row: &SocketRow) -> u64 {
    match row.cookie() {
        0 => BuildHasherDefault::<FxHasher>::default().hash_one((row.local_endpoint(), row.peer_endpoint())),
        cookie => cookie,
    }
}

/// What to show of the socket table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketQuery {
    /// Which sockets.
    pub select: Selection,
    /// In which order.
    pub sort: Sort<ColumnId>,
    /// How many of the first rows.
    pub want: usize,
}

/// The first rows of the socket table in the order that was asked for, and how many there are in all.
#[must_use]
pub fn sockets(world: &World, query: &SocketQuery) -> SocketView {
    first((0_u16..).zip(world.snapshots.iter().map(AsRef::as_ref)), world.generation, query)
}

/// The same of the UDP sockets. Their rows are numbered as [`World::snapshot`] has it.
#[must_use]
pub fn udp_sockets(world: &World, query: &SocketQuery) -> SocketView {
    first(world.of(Protocol::Udp), world.generation, query)
}

fn first<'a>(
    snapshots: impl Iterator<Item = (u16, &'a Snapshot)>,
    generation: u64,
    query: &SocketQuery,
) -> SocketView {
    let Sort { column, descending } = query.sort;
    let mut top = Top::new(query.want);
    let mut matching = 0;
    for (ns, snapshot) in snapshots {
        let wanted = query.select.compile(snapshot);
        for (row, socket) in (0_u32..).zip(&snapshot.sample.table.rows) {
            if !wanted.matches(socket) {
                continue;
            }
            matching += 1;
            let key = values::key(column, snapshot, row as usize, socket).directed(descending);
            top.push((key, ns, identity(socket), row), || ());
        }
    }
    let order = top.finish().map(|((_, ns, _, row), ())| RowId { ns, row }).collect();
    SocketView { generation, matching, order }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{RowFlags, TcpState};
    use crate::query::{Cell, Column as _, cell};
    use crate::testkit::{self, endpoint, socket};

    fn query(select: Selection, column: ColumnId, want: usize) -> SocketQuery {
        SocketQuery { select, sort: Sort::by(column), want }
    }

    fn rows(world: &World, query: &SocketQuery) -> Vec<u32> {
        sockets(world, query).order.iter().map(|r| r.row).collect()
    }

    proptest! {
        /// The order depends on the sockets alone: neither on their places in the dump nor on how many are wanted.
        #[test]
        fn orders_are_total(
            column in prop::sample::select(ColumnId::all()),
            descending: bool,
            want in 1usize..200,
            shuffled in Just(testkit::many(300)).prop_shuffle(),
        ) {
            let sort = Sort { column, descending };
            let cookies = |rows: Vec<SocketRow>, want| -> Vec<u64> {
                let world = testkit::world_of(rows);
                let view = sockets(&world, &SocketQuery { select: Selection::All, sort, want });
                assert_eq!(view.matching, 300);
                let table = &world.snapshots[0].sample.table.rows;
                view.order.iter().map(|r| table[r.row as usize].cookie()).collect()
            };
            let all = cookies(testkit::many(300), 300);
            let some = cookies(shuffled, want);
            prop_assert_eq!(&some[..], &all[..want]);
        }
    }

    #[test]
    fn largest_queues_come_first_and_what_is_missing_last() {
        let world = testkit::world_of(testkit::many(5_000));
        let table = &world.snapshots[0].sample.table.rows;
        let got: Vec<u32> = rows(&world, &query(Selection::All, ColumnId::RecvQ, 100))
            .iter()
            .map(|r| table[*r as usize].recv_q)
            .collect();
        let mut all: Vec<u32> = table.iter().map(|r| r.recv_q).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(got, all[..100]);

        for descending in [false, true] {
            let sort = Sort { column: ColumnId::Inode, descending };
            let view = sockets(&world, &SocketQuery { select: Selection::All, sort, want: usize::MAX });
            let missing: Vec<bool> = view
                .order
                .iter()
                .map(|r| cell(ColumnId::Inode, &world.snapshots[0], r.row as usize) == Cell::Absent)
                .collect();
            assert!(missing.is_sorted() && missing.contains(&true) && !missing[0]);
        }
    }

    /// The namespace of the test kit.
    const NETNS: u64 = 4_026_531_840;

    #[test]
    fn selections_take_what_they_name() {
        let world = testkit::world_of(vec![
            socket(TcpState::Listen, "0.0.0.0:80", ""),
            socket(TcpState::Listen, "10.0.0.1:80", ""),
            socket(TcpState::Established, "10.0.0.1:80", "10.9.9.1:5000"),
            socket(TcpState::Established, "10.0.0.2:80", "10.9.9.2:5000"),
            socket(TcpState::TimeWait, "10.0.0.2:4000", "10.8.8.8:443"),
            socket(TcpState::Established, "[2001:db8::1]:80", "[2001:db8::2]:5000"),
        ]);
        let take = |select| {
            let mut got = rows(&world, &query(select, ColumnId::Local, usize::MAX));
            got.sort_unstable();
            got
        };
        assert_eq!(take(Selection::All), [0, 1, 2, 3, 4, 5]);
        assert_eq!(take(Selection::peer(endpoint("10.9.9.2:0").addr)), [3]);
        let network = Selection::Peer { addr: endpoint("10.9.9.7:0").addr, v4_len: 24, v6_len: 0 };
        assert_eq!(take(network), [2, 3]);
        let any_v6 = Selection::Peer { addr: endpoint("[::]:0").addr, v4_len: 0, v6_len: 0 };
        assert_eq!(take(any_v6), [5]);
        assert_eq!(take(Selection::Listener { netns: NETNS, local: endpoint("0.0.0.0:80") }), [0, 3]);
        assert_eq!(take(Selection::Listener { netns: NETNS, local: endpoint("10.0.0.1:80") }), [1, 2]);
        let to = Selection::Destination {
            netns: NETNS,
            local: endpoint("10.0.0.2:0").addr,
            peer: endpoint("10.8.8.8:443"),
        };
        assert_eq!(take(to), [4]);
        let elsewhere = Selection::Listener { netns: NETNS + 1, local: endpoint("0.0.0.0:80") };
        let to_elsewhere = Selection::Destination {
            netns: NETNS + 1,
            local: endpoint("10.0.0.2:0").addr,
            peer: endpoint("10.8.8.8:443"),
        };
        assert!(take(to_elsewhere).is_empty());
        assert!(take(elsewhere).is_empty(), "a listener of the same address in another namespace");
        assert_eq!(take(Selection::States(TcpState::Listen.bit() | TcpState::TimeWait.bit())), [0, 1, 4]);
    }

    #[test]
    fn a_dual_stack_listener_takes_ipv4_unless_it_refuses_or_another_has_it() {
        let v6 = socket(TcpState::Listen, "[::]:80", "");
        let mut only = v6;
        only.flags = RowFlags::V6.with(RowFlags::V6ONLY);
        let v4 = socket(TcpState::Listen, "0.0.0.0:80", "");
        let client = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.1:5000");
        let takes = |listeners: &[SocketRow]| {
            let world = testkit::world_of([&[client], listeners].concat());
            let select = Selection::Listener { netns: NETNS, local: endpoint("[::]:80") };
            rows(&world, &query(select, ColumnId::Local, usize::MAX)).contains(&0)
        };
        assert!(takes(&[v6]));
        assert!(!takes(&[only]));
        assert!(!takes(&[v6, v4]));
    }

    #[test]
    fn sockets_without_a_cookie_still_have_an_identity() {
        let world = testkit::world_of(Vec::new());
        let of = |row: &SocketRow| SocketKey::of(&world.snapshots[0], row);
        let a = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.1:5000");
        let b = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.1:5001");
        assert_ne!(of(&a), of(&b));
        let later = socket(TcpState::CloseWait, "10.0.0.1:80", "10.9.9.1:5000");
        assert_eq!(of(&a), of(&later));
    }
}
