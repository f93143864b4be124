//! Listeners and the connections that came in through them.

use super::ListenerAgg;
use crate::model::{Endpoint, Ip, Keepalive, ListenerDrops, RowFlags, SocketRow, StateCounts, TcpState};

const NONE: u32 = u32::MAX;

/// Finds the listener of a connection by its local port, then by its address.
#[derive(Debug)]
pub struct ListenerIndex {
    /// First listener of each port, an index into `listeners`.
    by_port: Box<[u32]>,
    /// A bit for each port with a listener: every socket is asked about, and this stays in the nearest cache.
    ports: Box<[u64]>,
    /// The next listener on the same port.
    next: Vec<u32>,
    /// What each listener accepts.
    accepts: Vec<Accepts>,
    listeners: Vec<ListenerAgg>,
}

/// How well a listener fits a connection, the better one greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Wildcard,
    Address,
}

#[derive(Clone, Copy, Debug)]
struct Accepts {
    addr: Ip,
    /// An IPv6 wildcard that takes IPv4, too.
    dual: bool,
}

impl Default for ListenerIndex {
    fn default() -> Self {
        Self {
            by_port: vec![NONE; 1 << 16].into(),
            ports: vec![0; 1 << 10].into(),
            next: Vec::new(),
            accepts: Vec::new(),
            listeners: Vec::new(),
        }
    }
}

impl ListenerIndex {
    /// Takes the listeners among rows. `earlier` are those of the look before, for the difference of their drops.
    pub fn load(&mut self, rows: &[SocketRow], drops: &[ListenerDrops], earlier: &[ListenerAgg]) {
        for (at, row) in rows.iter().enumerate() {
            if row.state != TcpState::Listen {
                continue;
            }
            let cookie = row.cookie();
            let drops = drops
                .binary_search_by_key(&cookie, |d| d.cookie)
                .ok()
                .and_then(|n| drops.get(n))
                .map(|d| d.drops);
            let was = earlier.iter().find(|l| l.cookie == cookie).and_then(|l| l.drops);
            let n = u32::try_from(self.listeners.len()).unwrap_or(NONE);
            let shares_with = self
                .on_port(row.local_port)
                .find(|&other| self.listeners.get(other as usize).is_some_and(|l| l.local.addr == row.local));
            if let Some(word) = self.ports.get_mut(usize::from(row.local_port / 64)) {
                *word |= 1 << (row.local_port % 64);
            }
            let place = self.by_port.get_mut(usize::from(row.local_port));
            self.next.push(place.map_or(NONE, |p| std::mem::replace(p, n)));
            self.accepts.push(Accepts {
                addr: row.local,
                dual: row.local == Ip::V6_ANY && !row.flags.has(RowFlags::V6ONLY),
            });
            self.listeners.push(ListenerAgg {
                row: u32::try_from(at).unwrap_or(u32::MAX),
                cookie,
                local: Endpoint { addr: row.local, port: row.local_port },
                queue: row.recv_q,
                backlog: row.send_q,
                drops,
                drops_delta: drops.zip(was).map(|(now, was)| now.wrapping_sub(was)),
                counts: StateCounts::ZERO,
                unaccepted: 0,
                shares_with,
                no_keepalive: 0,
                with_keepalive: 0,
            });
        }
    }

    fn on_port(&self, port: u16) -> impl Iterator<Item = u32> + '_ {
        let first = self.by_port.get(usize::from(port)).copied().unwrap_or(NONE);
        let valid = |n: u32| (n != NONE).then_some(n);
        std::iter::successors(valid(first), move |n| {
            valid(self.next.get(*n as usize).copied().unwrap_or(NONE))
        })
    }

    /// Whether any listener has this port.
    #[inline]
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.get(usize::from(port / 64)).is_some_and(|word| word >> (port % 64) & 1 != 0)
    }

    /// Counts a connection at its listener, if it has one.
    #[inline]
    pub fn count(&mut self, row: &SocketRow, keepalive: Option<Keepalive>) {
        if !self.has_port(row.local_port) {
            return;
        }
        let Some(found) = self.find(row) else { return };
        let found = self.listeners.get(found as usize).and_then(|l| l.shares_with).unwrap_or(found);
        let Some(listener) = self.listeners.get_mut(found as usize) else { return };
        listener.counts.bump(row.state);
        if row.has_no_file() && matches!(row.state, TcpState::Established | TcpState::CloseWait) {
            listener.unaccepted += 1;
        }
        match keepalive {
            Some(Keepalive::Off) => listener.no_keepalive += 1,
            Some(Keepalive::On) => listener.with_keepalive += 1,
            _ => {}
        }
    }

    /// The listener that took this connection: one on its very address before one on the wildcard of its family.
    fn find(&self, row: &SocketRow) -> Option<u32> {
        let v6 = row.flags.has(RowFlags::V6);
        let mapped = row.flags.has(RowFlags::MAPPED);
        let takes = |n: u32| -> Option<Fit> {
            let a = self.accepts.get(n as usize)?;
            if a.addr == row.local {
                return Some(Fit::Address);
            }
            let wildcard =
                if v6 { a.addr == Ip::V6_ANY && (a.dual || !mapped) } else { a.addr == Ip::V4_ANY };
            wildcard.then_some(Fit::Wildcard)
        };
        self.on_port(row.local_port).filter_map(|n| takes(n).map(|fit| (fit, n))).max().map(|(_, n)| n)
    }

    /// The listeners with their counts; the index is empty again.
    pub fn finish(&mut self) -> Vec<ListenerAgg> {
        for listener in &self.listeners {
            if let Some(place) = self.by_port.get_mut(usize::from(listener.local.port)) {
                *place = NONE;
            }
        }
        self.ports.fill(0);
        self.next.clear();
        self.accepts.clear();
        std::mem::take(&mut self.listeners)
    }
}
