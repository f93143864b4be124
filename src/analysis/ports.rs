//! Ephemeral ports: who uses how many towards whom, and how many there are.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::growth::{Baseline, PeerMap, peer_map};
use super::listeners::ListenerIndex;
use super::{BLOCK, NOWHERE, Snapshot};
use crate::model::{Endpoint, Ip, RowFlags, SocketRow, Sysctls, TcpState};

/// `TCP_TIMEWAIT_LEN` (`include/net/tcp.h`), milliseconds.
const TIME_WAIT_MS: u32 = 60_000;

/// How growth towards a destination is measured.
const GROWTH_PERIOD: Duration = Duration::from_secs(5);

/// Parity tells `bind` from `connect` as long as less than one in this many ports is used towards a destination.
const PARITY_PROVES_BELOW: u32 = 3;

/// Use of the ephemeral ports towards one destination from one local address. It lies in one line of the cache.
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(align(64))]
pub struct Destination {
    /// Local address.
    pub local: Ip,
    /// Peer address and port.
    pub peer: Endpoint,
    /// Ports in use, `TIME_WAIT` included.
    pub used: u32,
    /// Those of them in `TIME_WAIT`.
    pub time_wait: u32,
    /// Those of them in `TIME_WAIT` that the kernel may already give away again (`tcp_tw_reuse`).
    pub reusable: u32,
    /// Change per second over the last 5 to 10 s; `None` until enough was observed.
    pub growth_per_s: Option<f32>,
}

/// Ephemeral ports of a namespace.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PortUse {
    /// `ip_local_port_range`; `None` if unknown.
    pub range: Option<RangeInclusive<u16>>,
    /// Ports of the range that `ip_local_reserved_ports` takes out.
    pub reserved: u32,
    /// Ports of the range, not reserved, that a listener or an explicit bind occupies for every destination.
    pub occupied: u32,
    /// Connected ports that look as if `bind` with port 0 had chosen them, without `IP_BIND_ADDRESS_NO_PORT`: the kernel
    /// then keeps them from every destination, and does not tell. `connect` tries ports of the parity of the range's
    /// start first, `bind` those of the other (`__inet_hash_connect` in `net/ipv4/inet_hashtables.c` and
    /// `inet_csk_find_open_port` in `net/ipv4/inet_connection_sock.c`, since Linux 4.2), so a port of the other parity
    /// towards a destination with many free ports was most likely bound. Not taken out of `usable`.
    pub suspected_binds: u32,
    /// What is left for each destination: range − reserved − occupied.
    pub usable: u32,
    /// Per (local address, peer address, peer port), fullest first; at most [`PortUse::KEEP`].
    pub destinations: Vec<Destination>,
    /// How many destinations there are in all.
    pub destination_count: u32,
}

impl PortUse {
    /// How many destinations are kept.
    pub const KEEP: usize = 256;

    /// The part of the usable ports that `d` has in use and that are not free again, 0 to 1 and beyond.
    #[must_use]
    pub fn ratio(&self, d: &Destination) -> f64 {
        let held = f64::from(d.used.saturating_sub(d.reusable));
        if self.usable == 0 { if held > 0.0 { 1.0 } else { 0.0 } } else { held / f64::from(self.usable) }
    }

    /// Seconds until the ports to `d` run out at its present growth; `None` if it does not grow.
    #[must_use]
    pub fn exhausted_in_s(&self, d: &Destination) -> Option<f64> {
        let growth = f64::from(d.growth_per_s.filter(|g| *g > 0.0)?);
        Some(f64::from(self.usable.saturating_sub(d.used - d.reusable.min(d.used))) / growth)
    }
}

impl Snapshot {
    /// The ports from a local address to a peer, where they are among the fullest.
    #[must_use]
    pub fn destination(&self, local: Ip, peer: Endpoint) -> Option<&Destination> {
        self.ports.destinations.iter().find(|d| d.local == local && d.peer == peer)
    }
}

type Key = (Ip, Endpoint);

/// Which `TIME_WAIT` ports the kernel gives away again (`tcp_twsk_unique` in `net/ipv4/tcp_ipv4.c`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reuse {
    everywhere: bool,
    on_loopback: bool,
    after_ms: u32,
}

impl Reuse {
    fn of(sysctls: &Sysctls) -> Self {
        let timestamps = sysctls.number("net.ipv4.tcp_timestamps").unwrap_or(1) != 0;
        let mode = if timestamps { sysctls.number("net.ipv4.tcp_tw_reuse").unwrap_or(0) } else { 0 };
        let delay = sysctls.number("net.ipv4.tcp_tw_reuse_delay").and_then(|d| u32::try_from(d).ok());
        Self {
            everywhere: mode == 1,
            on_loopback: mode >= 1,
            // Without the sysctl (before Linux 6.14) the delay is a second.
            after_ms: delay.unwrap_or(1000),
        }
    }

    fn frees(self, row: &SocketRow) -> bool {
        let allowed =
            self.everywhere || (self.on_loopback && (row.local.is_loopback() || row.peer.is_loopback()));
        allowed && TIME_WAIT_MS.saturating_sub(row.expires_ms) > self.after_ms
    }
}

/// Counts ports by destination, reusing its maps from look to look.
#[derive(Debug)]
pub struct PortCounter {
    /// By the place of the peer among the peers, the number of the local address, and the peer's port.
    places: PeerMap<u64, u32>,
    /// Those whose local address has no number.
    others: PeerMap<Key, u32>,
    locals: Locals,
    destinations: Vec<Destination>,
    range: Option<RangeInclusive<u16>>,
    reserved: Vec<RangeInclusive<u16>>,
    reuse: Reuse,
    /// Ports of the range that a listener or an unconnected bind holds.
    occupied: Vec<u16>,
    /// Connected ports of the parity that `bind` prefers, each with its destination.
    bind_parity: Vec<(u16, u32)>,
    /// A bit for each port that was counted.
    counted: Box<[u64]>,
    growth: Baseline<Key>,
}

/// Numbers of local addresses: most sockets of a machine have one of a few.
#[derive(Debug)]
struct Locals {
    last: Option<(Ip, u16)>,
    numbers: PeerMap<Ip, u16>,
}

impl Locals {
    /// The number of an address; `None` when there are too many.
    #[inline]
    fn number(&mut self, addr: Ip) -> Option<u16> {
        if let Some((last, number)) = self.last
            && last == addr
        {
            return Some(number);
        }
        let number = if let Some(number) = self.numbers.get(&addr) {
            *number
        } else {
            let next = u16::try_from(self.numbers.len()).ok()?;
            self.numbers.insert(addr, next);
            next
        };
        self.last = Some((addr, number));
        Some(number)
    }

    fn clear(&mut self) {
        self.last = None;
        self.numbers.clear();
    }
}

impl Default for PortCounter {
    fn default() -> Self {
        Self {
            places: peer_map(),
            others: peer_map(),
            locals: Locals { last: None, numbers: peer_map() },
            destinations: Vec::new(),
            range: None,
            reserved: Vec::new(),
            reuse: Reuse { everywhere: false, on_loopback: false, after_ms: 0 },
            occupied: Vec::new(),
            bind_parity: Vec::new(),
            counted: vec![0; 1 << 10].into(),
            growth: Baseline::new(GROWTH_PERIOD),
        }
    }
}

impl PortCounter {
    /// Prepares for a look under these sysctls.
    pub fn begin(&mut self, sysctls: &Sysctls) {
        self.range = sysctls.port_range();
        self.reserved = sysctls.reserved_ports();
        self.reuse = Reuse::of(sysctls);
        self.occupied.clear();
        self.bind_parity.clear();
    }

    /// Counts the sockets of a block, each with its peer's place among the peers; as with them, all places are found first.
    #[inline]
    pub(super) fn count(&mut self, rows: &[SocketRow], peers: &[u32; BLOCK], listeners: &ListenerIndex) {
        debug_assert!(rows.len() <= BLOCK, "what is beyond a block would not be counted");
        let Some((low, high)) = self.range.as_ref().map(|r| (*r.start(), *r.end())) else { return };
        let mut places = [NOWHERE; BLOCK];
        for ((row, peer), place) in rows.iter().zip(peers).zip(&mut places) {
            if !(low..=high).contains(&row.local_port) {
                continue;
            }
            if !row.state.has_peer() {
                self.occupied.push(row.local_port);
            } else if !listeners.has_port(row.local_port) {
                // The others are the far side of connections that came in.
                *place = self.place(row, *peer);
            }
        }
        for (row, place) in rows.iter().zip(places) {
            let Some(d) = self.destinations.get_mut(place as usize) else { continue };
            d.used += 1;
            if row.state == TcpState::TimeWait {
                d.time_wait += 1;
                if self.reuse.frees(row) {
                    d.reusable += 1;
                }
            }
            let by_bind = (row.local_port - low) % 2 == 1;
            if by_bind && row.flags.has(RowFlags::FULL) && !row.flags.has(RowFlags::BIND_NO_PORT) {
                self.bind_parity.push((row.local_port, place));
            }
        }
    }

    /// Where a destination is counted.
    #[inline]
    fn place(&mut self, row: &SocketRow, peer: u32) -> u32 {
        let next = u32::try_from(self.destinations.len()).unwrap_or(NOWHERE);
        let place = match self.locals.number(row.local) {
            Some(local) => {
                let key = u64::from(peer) << 32 | u64::from(local) << 16 | u64::from(row.peer_port);
                *self.places.entry(key).or_insert(next)
            }
            None => *self.others.entry((row.local, row.peer_endpoint())).or_insert(next),
        };
        if place == next {
            self.destinations.push(Destination {
                local: row.local,
                peer: row.peer_endpoint(),
                used: 0,
                time_wait: 0,
                reusable: 0,
                growth_per_s: None,
            });
        }
        place
    }

    /// The use of the ports; the counter is empty again. `now` is the time since the first sample.
    pub fn finish(&mut self, now: Duration) -> PortUse {
        self.places.clear();
        self.others.clear();
        self.locals.clear();
        // The list stays, so that it need not grow again.
        let mut all = std::mem::take(&mut self.destinations);
        let destination_count = u32::try_from(all.len()).unwrap_or(u32::MAX);
        self.occupied.sort_unstable();
        self.occupied.dedup();
        let (reserved, occupied) = self.taken_out();
        let suspected_binds = self.suspected_binds(&all);
        let size = self.range.as_ref().map_or(0, |r| u32::from(*r.end()) - u32::from(*r.start()) + 1);
        // Fullest first; ties by address, so that the order does not change from look to look.
        let order = |d: &Destination| (std::cmp::Reverse(d.used), d.peer, d.local);
        if all.len() > PortUse::KEEP {
            all.select_nth_unstable_by_key(PortUse::KEEP, order);
        }
        let mut destinations = all.get(..PortUse::KEEP).unwrap_or(&all).to_vec();
        all.clear();
        self.destinations = all;
        destinations.sort_unstable_by_key(order);
        for d in &mut destinations {
            d.growth_per_s = self.growth.growth_per_s(&(d.local, d.peer), d.used, now);
        }
        self.growth.renew(now, destinations.iter().map(|d| ((d.local, d.peer), d.used)));
        PortUse {
            range: self.range.clone(),
            reserved,
            occupied,
            suspected_binds,
            usable: size.saturating_sub(reserved + occupied),
            destinations,
            destination_count,
        }
    }

    /// How many distinct ports were most likely chosen by `bind`.
    fn suspected_binds(&mut self, destinations: &[Destination]) -> u32 {
        let size = self.range.as_ref().map_or(0, |r| u32::from(*r.end()) - u32::from(*r.start()) + 1);
        // Once the half that connect prefers fills up it takes the other half, too, and parity proves nothing.
        let proves = |at: u32| {
            destinations.get(at as usize).is_some_and(|d| d.used.saturating_mul(PARITY_PROVES_BELOW) < size)
        };
        self.counted.fill(0);
        for (port, _) in self.bind_parity.iter().filter(|(_, at)| proves(*at)) {
            if let Some(word) = self.counted.get_mut(usize::from(*port / 64)) {
                *word |= 1 << (port % 64);
            }
        }
        self.counted.iter().map(|word| word.count_ones()).sum()
    }

    /// How many ports of the range are reserved, and how many of the others are occupied.
    fn taken_out(&self) -> (u32, u32) {
        let Some(range) = &self.range else { return (0, 0) };
        let reserved: u32 = self
            .reserved
            .iter()
            .map(|r| {
                let (low, high) = ((*r.start()).max(*range.start()), (*r.end()).min(*range.end()));
                if low <= high { u32::from(high) - u32::from(low) + 1 } else { 0 }
            })
            .sum();
        let free = |port: &&u16| !self.reserved.iter().any(|r| r.contains(*port));
        let occupied = self.occupied.iter().filter(free).count();
        (reserved, u32::try_from(occupied).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_number_and_too_many_have_none() {
        let mut locals = Locals { last: None, numbers: peer_map() };
        let addr = |n: u32| Ip::from_v4_octets((0x7f00_0000 + n).to_be_bytes());
        for n in 0..=u32::from(u16::MAX) {
            assert_eq!(locals.number(addr(n)).map(u32::from), Some(n));
        }
        assert_eq!(locals.number(addr(1 << 16)), None);
        assert_eq!([locals.number(addr(7)), locals.number(addr(7))], [Some(7); 2]);
        locals.clear();
        assert_eq!(locals.number(addr(1 << 16)), Some(0));
    }

    #[test]
    fn destinations_are_told_apart_by_each_of_their_parts_with_and_without_numbers() {
        let end = |last: u8, port| Endpoint { addr: Ip::from_v4_octets([10, 0, 0, last]), port };
        let row = |local, peer| SocketRow::new(TcpState::Established, local, peer);
        let ends = [
            (end(1, 40_000), end(9, 80)),
            (end(1, 40_001), end(9, 80)),
            (end(2, 40_000), end(9, 80)),
            (end(1, 40_000), end(8, 80)),
            (end(1, 40_000), end(9, 81)),
        ];
        let rows = ends.map(|(local, peer)| row(local, peer));
        for crowded in [false, true] {
            let mut counter = PortCounter { range: Some(32_768..=60_999), ..PortCounter::default() };
            if crowded {
                let others = (0..=u16::MAX).map(|n| (Ip::from_v6_octets(u128::from(n).to_be_bytes()), n));
                counter.locals.numbers.extend(others);
            }
            // The places of the peers, as they are counted.
            let mut peers = [NOWHERE; BLOCK];
            peers[..5].copy_from_slice(&[0, 0, 0, 1, 0]);
            counter.count(&rows, &peers, &ListenerIndex::default());
            let ports = counter.finish(Duration::ZERO);
            let mut used: Vec<_> = ports.destinations.iter().map(|d| d.used).collect();
            used.sort_unstable();
            assert_eq!((used, ports.destination_count), (vec![1, 1, 1, 2], 4));
        }
    }
}
