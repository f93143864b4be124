//! The UDP sockets that lose datagrams or do not read them, and what the kernel counts of UDP.

use rustc_hash::FxHashMap;

use crate::analysis::Snapshot;
use crate::model::{Endpoint, Reading, SocketRow};

/// The counters that tell of datagrams that reached nobody (`/proc/net/snmp` and `snmp6`).
pub const UDP_ERRORS: [&str; 6] =
    ["RcvbufErrors", "SndbufErrors", "MemErrors", "InCsumErrors", "NoPorts", "InErrors"];

/// A socket that has dropped datagrams, or has some that nobody has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Struggling {
    /// Its row.
    pub row: u32,
    /// How many datagrams it has dropped since the earlier look; `None` where that is not known.
    pub new_drops: Option<u32>,
}

/// The sockets that struggle, the worst first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StrugglingView {
    /// How many there are in all.
    pub matching: usize,
    /// The first of them.
    pub order: Vec<Struggling>,
    /// Sockets of which it is not known whether they dropped anything.
    pub untold: usize,
}

/// What a socket is known by from look to look; nothing for a socket of the kernel in a table without cookies.
const fn identity(row: &SocketRow) -> Option<(u64, u32)> {
    match (row.cookie(), row.inode) {
        (0, 0) => None,
        (0, inode) => Some((0, inode)),
        (cookie, _) => Some((cookie, 0)),
    }
}

/// The first `want` UDP sockets that struggle: those that drop most since `before`, an earlier look at the same namespace,
/// then those that dropped most since they were made, then those with most unread bytes.
#[must_use]
pub fn struggling(udp: &Snapshot, before: Option<&Snapshot>, want: usize) -> StrugglingView {
    let rows = || udp.sample.table.rows.iter().zip(&udp.sample.memory);
    let known: Option<FxHashMap<_, _>> = before.map(|before| {
        let rows = before.sample.table.rows.iter().zip(&before.sample.memory);
        rows.filter_map(|(row, memory)| Some((identity(row)?, memory.drops?))).collect()
    });
    // A socket that is new has dropped all of its drops since, if it would have been seen.
    let was_complete = before.is_some_and(|before| before.sample.completeness.is_complete());
    let new_drops = |row: &SocketRow, drops: Option<u32>| {
        let was = known.as_ref()?.get(&identity(row)?).copied();
        // The kernel counts in 32 bits (sk_drops in include/net/sock.h).
        Some(drops?.wrapping_sub(was.or_else(|| was_complete.then_some(0))?))
    };
    let mut found: Vec<_> = (0_u32..)
        .zip(rows())
        .filter(|(_, (row, memory))| memory.drops.is_some_and(|n| n > 0) || row.recv_q > 0)
        .map(|(at, (row, memory))| {
            let new_drops = new_drops(row, memory.drops);
            let place: (Endpoint, Endpoint) = (row.local_endpoint(), row.peer_endpoint());
            let worst = std::cmp::Reverse((new_drops, memory.drops, row.recv_q));
            ((worst, place, row.cookie()), Struggling { row: at, new_drops })
        })
        .collect();
    found.sort_unstable_by_key(|(key, _)| *key);
    StrugglingView {
        matching: found.len(),
        order: found.into_iter().take(want).map(|(_, socket)| socket).collect(),
        untold: rows().filter(|(_, memory)| memory.drops.is_none()).count(),
    }
}

/// A counter of UDP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatagramCounter<'a> {
    /// `Udp.RcvbufErrors`.
    pub name: &'a str,
    /// What it counted since the namespace was made.
    pub total: u64,
    /// What it counted since the first look.
    pub new: u64,
}

/// The counters of UDP that have moved since the first look, and those of lost datagrams that ever did: errors first.
///
/// # Errors
/// Why they are not known.
pub fn datagram_counters(snapshot: &Snapshot) -> Result<Vec<DatagramCounter<'_>>, String> {
    let counters = match &snapshot.sample.facts.counters {
        Reading::Known(counters) => counters,
        Reading::Absent => return Err("there is no /proc/net/snmp".into()),
        Reading::Unreadable(why) => return Err(why.clone()),
    };
    let moved = |name: &str| snapshot.past(name).map_or(0, |past| past.since_first);
    let rank = |name: &str| {
        let counted = name.split_once('.').map_or(name, |(_, counted)| counted);
        UDP_ERRORS.iter().position(|error| *error == counted)
    };
    let mut found: Vec<_> = counters
        .iter()
        .filter(|(name, _)| name.starts_with("Udp.") || name.starts_with("Udp6."))
        .map(|(name, total)| (rank(name), DatagramCounter { name, total, new: moved(name) }))
        .filter(|(rank, counter)| counter.new > 0 || rank.is_some() && counter.total > 0)
        .collect();
    found.sort_by_key(|(rank, counter)| (rank.unwrap_or(usize::MAX), counter.name));
    Ok(found.into_iter().map(|(_, counter)| counter).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::analysis::Analyzer;
    use crate::model::{CounterTable, Gap, SkMemInfo, TcpState};
    use crate::testkit::{self, socket};

    /// A look at sockets by port: cookie, drops, unread bytes.
    fn look(sockets: &[(u16, u32, Option<u32>, u32)]) -> Snapshot {
        let row = |&(port, cookie, _, recv_q): &(u16, u32, Option<u32>, u32)| {
            let mut row = socket(TcpState::Close, &format!("127.0.0.1:{port}"), "");
            row.set_cookie(cookie, 0);
            row.inode = 0;
            row.recv_q = recv_q;
            row
        };
        let mut sample = testkit::sample(sockets.iter().map(row).collect());
        let memory = |s: &(u16, u32, Option<u32>, u32)| SkMemInfo { drops: s.2, ..SkMemInfo::default() };
        sample.memory = sockets.iter().map(memory).collect();
        testkit::snapshot(sample)
    }

    #[test]
    fn who_drops_now_comes_before_who_dropped_long_ago_and_who_only_reads_late() {
        let before =
            look(&[(1, 11, Some(900), 0), (2, 12, Some(0), 0), (3, 13, Some(5), 0), (5, 15, Some(7), 0)]);
        let now = look(&[
            (1, 11, Some(900), 0),
            (2, 12, Some(3), 0),
            (3, 13, Some(5), 0),
            (4, 14, Some(0), 4096),
            (5, 16, Some(2), 0),
            (6, 17, Some(0), 0),
        ]);
        let view = struggling(&now, Some(&before), 9);
        let got: Vec<_> = view.order.iter().map(|s| (s.row, s.new_drops)).collect();
        // The last but two has its port from another socket, whose drops are not its own.
        assert_eq!(got, [(1, Some(3)), (4, Some(2)), (0, Some(0)), (2, Some(0)), (3, Some(0))]);
        assert_eq!((view.matching, view.untold), (5, 0));
        assert_eq!(struggling(&now, Some(&before), 2).order.len(), 2);
    }

    #[test]
    fn what_was_not_seen_before_is_not_called_new() {
        let now = look(&[(1, 11, Some(900), 0), (2, 12, None, 10), (3, 0, Some(4), 0)]);
        let view = struggling(&now, None, 9);
        assert!(view.order.iter().all(|s| s.new_drops.is_none()), "one look tells of no growth");
        assert_eq!((view.matching, view.untold), (3, 1));
        let mut before = look(&[]);
        let of = |before: &Snapshot| -> Vec<_> {
            struggling(&now, Some(before), 9).order.iter().map(|s| (s.row, s.new_drops)).collect()
        };
        assert_eq!(of(&before), [(0, Some(900)), (2, None), (1, None)]);
        before.sample.completeness.gaps.push(Gap::Lost);
        assert_eq!(of(&before), [(0, None), (2, None), (1, None)], "it may have been there");
    }

    #[test]
    fn the_count_of_the_kernel_may_run_over() {
        let view = struggling(&look(&[(1, 11, Some(2), 0)]), Some(&look(&[(1, 11, Some(u32::MAX), 0)])), 9);
        assert_eq!(view.order[0].new_drops, Some(3));
    }

    #[test]
    fn counters_that_moved_and_errors_that_ever_happened_are_told_errors_first() {
        let mut analyzer = Analyzer::default();
        let mut at = |second, values: [u64; 5]| -> Arc<Snapshot> {
            let names =
                ["Udp.InDatagrams", "Udp.NoPorts", "Udp.OutDatagrams", "Udp6.RcvbufErrors", "Tcp.InSegs"];
            let mut sample = testkit::sample(Vec::new());
            sample.taken.mono = Duration::from_secs(second);
            let pairs = names.iter().zip(values).map(|(name, n)| (Box::from(*name), n)).collect();
            sample.facts.counters = Reading::Known(CounterTable::from_pairs(pairs));
            analyzer.derive(sample)
        };
        at(1, [10, 4, 50, 7, 1]);
        let snapshot = at(2, [15, 4, 50, 9, 2]);
        let got: Vec<_> =
            datagram_counters(&snapshot).unwrap().iter().map(|c| (c.name, c.total, c.new)).collect();
        assert_eq!(got, [("Udp6.RcvbufErrors", 9, 2), ("Udp.NoPorts", 4, 0), ("Udp.InDatagrams", 15, 5)]);
        let unknown = testkit::snapshot(testkit::sample(Vec::new()));
        assert!(datagram_counters(&unknown).is_err());
    }
}
