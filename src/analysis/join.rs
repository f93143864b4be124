//! Matching the rows of a dump with those of the one before, by cookie.
//!
//! The kernel walks its hash table in the same order each time, so two dumps are almost the same sequence with
//! insertions and deletions. Two cursors walk both; only what they cannot match goes through a hash map.

use rustc_hash::FxHashMap;

use super::{Held, Track};
use crate::model::{SocketRow, TcpState};

/// How far a cursor looks ahead for a match: a few hash chains.
const LOOK_AHEAD: usize = 12;
/// After this many rows without a match, the cursors are realigned by a map of the rows ahead.
const LOST_AFTER: usize = 32;
/// How many rows ahead that map covers.
const REALIGN: usize = 8192;

/// A socket that was in an earlier dump and is not in this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone {
    /// Its cookie.
    pub cookie: u64,
    /// The state in which it was last seen.
    pub state: TcpState,
    /// What was remembered of it.
    pub track: Track,
}

/// What came of the match.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Joined {
    /// Sockets of the earlier dump that are not in this one.
    pub gone: Vec<Gone>,
    /// How many sockets of this dump were not in the earlier one.
    pub new: u32,
}

/// The memory of a socket that stayed: the moment it entered its state, and whether keepalive was ever armed.
fn carry(row: &SocketRow, state: TcpState, track: Track, now_ds: u32) -> Track {
    let armed = track.keepalive_armed();
    if row.state == state {
        Track::new(track.since_ds(), track.from_start(), armed)
    } else {
        Track::new(now_ds, false, armed)
    }
}

/// The rows of an earlier dump, with what is known of each.
#[derive(Clone, Copy)]
pub struct Earlier<'a> {
    /// The rows.
    pub rows: &'a [SocketRow],
    /// What is remembered of each.
    pub track: &'a [Track],
    /// Who holds each; empty where that is not known.
    pub held: &'a [Held],
}

impl Earlier<'_> {
    /// Who holds the socket of `row`, if it is the one at this place and belongs to the same file.
    fn holder_at(&self, place: usize, row: &SocketRow) -> Held {
        let same = self.rows.get(place).is_some_and(|was| was.inode == row.inode);
        self.held.get(place).copied().filter(|_| same).unwrap_or(Held::UNSOUGHT)
    }
}

/// What is known of each row of a dump from an earlier one.
#[derive(Default)]
pub struct Carried {
    /// What is remembered of each.
    pub track: Vec<Track>,
    /// Who holds each, as far as that can be carried over; empty where it was not known of the earlier ones.
    pub held: Vec<Held>,
}

/// Carries what is known of the sockets of `earlier` over to the rows of `new`. `limbo` are the sockets that went away at
/// the previous look: a dump can miss a socket that never changed, and its age must survive that.
pub fn join(earlier: Earlier<'_>, limbo: &[Gone], new: &[SocketRow], now_ds: u32) -> (Joined, Carried) {
    let old = earlier.rows;
    let mut carried = Carried { track: Vec::with_capacity(new.len()), held: Vec::new() };
    let tells_holders = !earlier.held.is_empty();
    if tells_holders {
        carried.held.reserve_exact(new.len());
    }
    let out = &mut carried.track;
    let fresh = Track::new(now_ds, false, false);
    let track_at = |j: usize| earlier.track.get(j).copied().unwrap_or(fresh);
    let mut unmatched_new: Vec<u32> = Vec::new();
    let mut unmatched_old: Vec<u32> = Vec::new();
    let mut j = 0;
    let mut lost = 0;
    for (i, row) in new.iter().enumerate() {
        let cookie = row.cookie();
        let ahead = old.get(j..).unwrap_or_default();
        if let Some(k) = ahead.iter().take(LOOK_AHEAD).position(|r| r.cookie() == cookie) {
            unmatched_old.extend((j..j + k).filter_map(|n| u32::try_from(n).ok()));
            j += k;
            if let Some(was) = old.get(j) {
                out.push(carry(row, was.state, track_at(j), now_ds));
            }
            if tells_holders {
                carried.held.push(earlier.holder_at(j, row));
            }
            j += 1;
            lost = 0;
            continue;
        }
        out.push(fresh);
        if tells_holders {
            carried.held.push(Held::UNSOUGHT);
        }
        unmatched_new.push(u32::try_from(i).unwrap_or(u32::MAX));
        lost += 1;
        if lost % LOST_AFTER == 0
            && let Some(k) = realign(ahead, new.get(i + 1..).unwrap_or_default())
        {
            unmatched_old.extend((j..j + k).filter_map(|n| u32::try_from(n).ok()));
            j += k;
            lost = 0;
            continue;
        }
        let inserted = ahead
            .first()
            .is_none_or(|r| new.iter().skip(i + 1).take(LOOK_AHEAD).any(|n| n.cookie() == r.cookie()));
        if !inserted {
            unmatched_old.extend(u32::try_from(j));
            j += 1;
        }
    }
    unmatched_old.extend((j..old.len()).filter_map(|n| u32::try_from(n).ok()));
    let joined = settle(old, &track_at, limbo, new, now_ds, (&unmatched_old, &unmatched_new), out);
    (joined, carried)
}

/// How far `ahead` must be advanced so that its next row is one of the next rows of `new`.
fn realign(ahead: &[SocketRow], new: &[SocketRow]) -> Option<usize> {
    let places: FxHashMap<u64, usize> =
        ahead.iter().take(REALIGN).enumerate().map(|(k, r)| (r.cookie(), k)).collect();
    new.iter().take(LOOK_AHEAD).filter_map(|r| places.get(&r.cookie()).copied()).min()
}

/// Matches what the cursors could not.
fn settle(
    old: &[SocketRow],
    track_at: &impl Fn(usize) -> Track,
    limbo: &[Gone],
    new: &[SocketRow],
    now_ds: u32,
    (unmatched_old, unmatched_new): (&[u32], &[u32]),
    out: &mut [Track],
) -> Joined {
    let mut left: FxHashMap<u64, Gone> = FxHashMap::default();
    left.reserve(unmatched_old.len());
    for &n in unmatched_old {
        if let Some(r) = old.get(n as usize) {
            left.insert(r.cookie(), Gone { cookie: r.cookie(), state: r.state, track: track_at(n as usize) });
        }
    }
    let missed: FxHashMap<u64, Gone> = limbo.iter().map(|g| (g.cookie, *g)).collect();
    let mut joined = Joined::default();
    for &n in unmatched_new {
        let (Some(row), Some(place)) = (new.get(n as usize), out.get_mut(n as usize)) else { continue };
        let was = left.remove(&row.cookie());
        if was.is_none() {
            joined.new += 1;
        }
        if let Some(was) = was.or_else(|| missed.get(&row.cookie()).copied()) {
            *place = carry(row, was.state, was.track, now_ds);
        }
    }
    joined.gone = left.into_values().collect();
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, Ip};
    use proptest::prelude::*;
    use rustc_hash::FxHashSet;

    fn row(cookie: u32, state: TcpState) -> SocketRow {
        let end = Endpoint { addr: Ip::V4_ANY, port: 1 };
        let mut r = SocketRow::new(state, end, end);
        r.set_cookie(cookie, 0);
        r
    }

    fn rows(cookies: impl IntoIterator<Item = u32>) -> Vec<SocketRow> {
        cookies.into_iter().map(|c| row(c, TcpState::Established)).collect()
    }

    /// The same result the slow way.
    fn by_map(old: &[SocketRow], tracks: &[Track], new: &[SocketRow]) -> (Vec<Option<Track>>, usize, usize) {
        let map: FxHashMap<u64, Track> = old.iter().zip(tracks).map(|(r, t)| (r.cookie(), *t)).collect();
        let out: Vec<_> = new.iter().map(|r| map.get(&r.cookie()).copied()).collect();
        let new_count = out.iter().filter(|o| o.is_none()).count();
        let gone = old.len() - (new.len() - new_count);
        (out, new_count, gone)
    }

    fn check(old: &[SocketRow], new: &[SocketRow]) {
        let tracks: Vec<_> =
            (0..old.len()).map(|n| Track::new(u32::try_from(n).unwrap(), n % 3 == 0, n % 2 == 0)).collect();
        // Each socket is held by another process, and one in three had another file then.
        let held: Vec<_> = (0..old.len()).map(|n| Held::of_one(u32::try_from(n).unwrap())).collect();
        let mut old = old.to_vec();
        old.iter_mut().zip(0..).for_each(|(r, n)| r.inode = u32::from(n % 3 == 0));
        let old = &old[..];
        let of: FxHashMap<u64, Held> = old.iter().zip(&held).map(|(r, h)| (r.cookie(), *h)).collect();
        let filed: FxHashSet<u64> = old.iter().filter(|r| r.inode != 0).map(SocketRow::cookie).collect();
        let earlier = Earlier { rows: old, track: &tracks, held: &held };
        let (joined, Carried { track: out, held }) = join(earlier, &[], new, 99_999);
        let (want, new_count, gone) = by_map(old, &tracks, new);
        assert_eq!(out.len(), new.len());
        assert_eq!(held.len(), if old.is_empty() { 0 } else { new.len() });
        for (row, held) in new.iter().zip(held).filter(|(_, held)| *held != Held::UNSOUGHT) {
            assert_eq!(Some(&held), of.get(&row.cookie()));
            assert!(!filed.contains(&row.cookie()), "it has another file now");
        }
        for (got, want) in out.iter().zip(want) {
            assert_eq!(*got, want.unwrap_or(Track::new(99_999, false, false)));
        }
        assert_eq!((joined.new as usize, joined.gone.len()), (new_count, gone));
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_map(
            keep in proptest::collection::vec(0u8..4, 0..400),
            insert in proptest::collection::vec((0usize..400, 1u32..60), 0..8),
            swap in proptest::collection::vec((0usize..400, 0usize..400), 0..4),
        ) {
            let old = rows(1..=u32::try_from(keep.len()).unwrap());
            let mut new: Vec<_> = old.iter().zip(&keep).filter(|(_, k)| **k > 0).map(|(r, _)| *r).collect();
            let mut next = 10_000;
            for (at, n) in insert {
                let at = at.min(new.len());
                new.splice(at..at, rows(next..next + n));
                next += n;
            }
            if !new.is_empty() {
                for (a, b) in swap {
                    let len = new.len();
                    new.swap(a % len, b % len);
                }
            }
            check(&old, &new);
        }
    }

    #[test]
    fn a_large_block_that_goes_or_comes_is_stepped_over() {
        let old = rows(1..5000);
        check(&old, &rows((1..100).chain(3000..5000)));
        check(&rows((1..100).chain(3000..5000)), &old);
        check(&old, &rows(10_000..15_000));
        check(&[], &old);
        check(&old, &[]);
    }

    #[test]
    fn a_change_of_state_restarts_the_age_and_keeps_what_is_known_of_keepalive() {
        let old = [row(1, TcpState::Established), row(2, TcpState::Established)];
        let new = [row(1, TcpState::CloseWait), row(2, TcpState::Established)];
        let earlier = Earlier { rows: &old, track: &[Track::new(5, true, true); 2], held: &[] };
        let (_, carried) = join(earlier, &[], &new, 70);
        assert_eq!(carried.track, [Track::new(70, false, true), Track::new(5, true, true)]);
    }

    #[test]
    fn who_holds_a_socket_is_carried_over_while_it_has_the_same_file() {
        let old = rows([1, 2, 3]);
        let mut new = rows([1, 3, 4]);
        new[1].inode = 7;
        let held = [1, 2, 3].map(Held::of_one);
        let (_, carried) = join(Earlier { rows: &old, track: &[], held: &held }, &[], &new, 70);
        assert_eq!(carried.held, [Held::of_one(1), Held::UNSOUGHT, Held::UNSOUGHT]);
    }

    #[test]
    fn a_socket_that_one_dump_missed_keeps_its_age() {
        let old = rows([1]);
        let missed = Gone { cookie: 2, state: TcpState::Established, track: Track::new(3, false, true) };
        let earlier = Earlier { rows: &old, track: &[Track::new(0, true, false)], held: &[] };
        let (joined, carried) = join(earlier, &[missed], &rows([1, 2]), 70);
        assert_eq!(carried.track[1], Track::new(3, false, true));
        assert_eq!(joined.new, 1, "it was reported gone, so it is reported new");
    }
}
