//! Connections by peer address.

use super::growth::{PeerMap, peer_map};
use super::{BLOCK, NOWHERE, PeerAgg, Track};
use crate::model::{Ip, Keepalive, SocketRow, StateCounts};

impl PeerAgg {
    /// An empty aggregate of an address.
    #[must_use]
    pub const fn new(addr: Ip) -> Self {
        Self {
            addr,
            counts: StateCounts::ZERO,
            no_keepalive: 0,
            with_keepalive: 0,
            unknown_keepalive: 0,
            recv_q: 0,
            send_q: 0,
            oldest: Track::NEWEST,
            growth_per_min: None,
        }
    }

    #[inline]
    fn add(&mut self, row: &SocketRow, track: Track, keepalive: Option<Keepalive>) {
        self.counts.bump(row.state);
        match keepalive {
            Some(Keepalive::Off) => self.no_keepalive += 1,
            Some(Keepalive::On) => self.with_keepalive += 1,
            Some(Keepalive::Unknown) => self.unknown_keepalive += 1,
            None => {}
        }
        // Most queues are empty, and their sums lie apart from the rest.
        if row.recv_q | row.send_q != 0 {
            self.recv_q += u64::from(row.recv_q);
            self.send_q += u64::from(row.send_q);
        }
        if track.since_ds() < self.oldest.since_ds() {
            self.oldest = track;
        }
    }
}

/// Counts connections by peer, reusing its maps from look to look.
#[derive(Debug)]
pub struct PeerCounter {
    v4: PeerMap<u32, u32>,
    v6: PeerMap<Ip, u32>,
    peers: Vec<PeerAgg>,
    /// How many there were at the look before: a list that grows is copied again and again.
    expected: usize,
}

impl Default for PeerCounter {
    fn default() -> Self {
        Self { v4: peer_map(), v6: peer_map(), peers: Vec::new(), expected: 0 }
    }
}

impl PeerCounter {
    /// Counts the connections among the rows of a block, each with what is known of its keepalive. All places are found before
    /// anything is added up: a place is far apart from the next, and the processor waits for several of them at a time only
    /// where nothing else hangs on them. Returns the places.
    #[inline]
    pub(super) fn count(
        &mut self,
        rows: &[SocketRow],
        tracks: &[Track],
        keepalive: &[Option<Keepalive>],
    ) -> [u32; BLOCK] {
        debug_assert!(rows.len() <= BLOCK, "what is beyond a block would not be counted");
        if self.peers.capacity() == 0 {
            self.peers.reserve_exact(self.expected + self.expected / 16);
        }
        let mut places = [NOWHERE; BLOCK];
        for (row, place) in rows.iter().zip(&mut places) {
            if row.state.has_peer() {
                *place = self.place(row.peer);
            }
        }
        for (((row, track), keepalive), place) in rows.iter().zip(tracks).zip(keepalive).zip(places) {
            if let Some(peer) = self.peers.get_mut(place as usize) {
                peer.add(row, *track, *keepalive);
            }
        }
        places
    }

    /// Where a peer is counted.
    #[inline]
    fn place(&mut self, peer: Ip) -> u32 {
        let next = u32::try_from(self.peers.len()).unwrap_or(NOWHERE);
        // IPv4 in a map of its own: a 4-byte key hashes and compares several times faster than a 16-byte one.
        let place = match peer.v4_bits() {
            Some(bits) => *self.v4.entry(bits).or_insert(next),
            None => *self.v6.entry(peer).or_insert(next),
        };
        if place == next {
            self.peers.push(PeerAgg::new(peer));
        }
        place
    }

    /// The peers that were counted; the counter is empty again.
    pub fn finish(&mut self) -> Vec<PeerAgg> {
        self.v4.clear();
        self.v6.clear();
        self.expected = self.peers.len();
        std::mem::take(&mut self.peers)
    }
}
