//! Listeners and the connections that came in through them.

use rustc_hash::FxHashMap;

use super::{ListenerAgg, NOWHERE};
use crate::model::{
    Endpoint, Ip, Keepalive, ListenerDrops, RowFlags, SocketRow, StateCounts, TableSource, TcpState,
};

/// Finds the listener of a connection by its local port, then by its address.
#[derive(Debug)]
pub struct ListenerIndex {
    /// First listener of each port, an index into `listeners`.
    by_port: Box<[u32]>,
    /// A bit for each port with a listener: every socket is asked about, and this stays in the nearest cache.
    ports: Box<[u64]>,
    /// The first listener of each other address on a port.
    beside: FxHashMap<(u16, Ip), u32>,
    /// What each listener accepts.
    accepts: Vec<Accepts>,
    listeners: Vec<ListenerAgg>,
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
            by_port: vec![NOWHERE; 1 << 16].into(),
            ports: vec![0; 1 << 10].into(),
            beside: FxHashMap::default(),
            accepts: Vec::new(),
            listeners: Vec::new(),
        }
    }
}

impl ListenerIndex {
    /// Takes the listeners among rows. `earlier` are those of the look before, for the difference of their drops.
    pub fn load(
        &mut self,
        rows: &[SocketRow],
        source: TableSource,
        drops: &[ListenerDrops],
        earlier: &[ListenerAgg],
    ) {
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
            let n = u32::try_from(self.listeners.len()).unwrap_or(NOWHERE);
            let shares_with = self.first_on(row.local_endpoint());
            let dual = row.local == Ip::V6_ANY && !row.flags.has(RowFlags::V6ONLY);
            self.accepts.push(Accepts { addr: row.local, dual });
            match shares_with {
                Some(other) => {
                    if let Some(first) = self.accepts.get_mut(other as usize) {
                        first.dual |= dual;
                    }
                }
                None => self.put(row.local_endpoint(), n),
            }
            self.listeners.push(ListenerAgg {
                row: u32::try_from(at).unwrap_or(u32::MAX),
                cookie,
                local: Endpoint { addr: row.local, port: row.local_port },
                queue: row.recv_q,
                backlog: source.tells_backlogs().then_some(row.send_q),
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

    /// The first listener on an address and port.
    fn first_on(&self, local: Endpoint) -> Option<u32> {
        let first = self.by_port.get(usize::from(local.port)).copied()?;
        // Most ports have listeners on one address alone.
        let same = self.accepts.get(first as usize)?.addr == local.addr;
        if same { Some(first) } else { self.beside.get(&(local.port, local.addr)).copied() }
    }

    /// Makes a listener the first one on its address and port.
    fn put(&mut self, local: Endpoint, n: u32) {
        if self.has_port(local.port) {
            self.beside.insert((local.port, local.addr), n);
            return;
        }
        if let Some(word) = self.ports.get_mut(usize::from(local.port / 64)) {
            *word |= 1 << (local.port % 64);
        }
        if let Some(place) = self.by_port.get_mut(usize::from(local.port)) {
            *place = n;
        }
    }

    /// Whether any listener has this port.
    #[inline]
    pub fn has_port(&self, port: u16) -> bool {
        self.ports.get(usize::from(port / 64)).is_some_and(|word| word >> (port % 64) & 1 != 0)
    }

    /// Counts connections at their listeners, if they have one, each with what is known of its keepalive.
    #[inline]
    pub(super) fn count(&mut self, rows: &[SocketRow], keepalive: &[Option<Keepalive>]) {
        for (row, keepalive) in rows.iter().zip(keepalive) {
            if row.state.has_peer() && self.has_port(row.local_port) {
                self.count_one(row, *keepalive);
            }
        }
    }

    fn count_one(&mut self, row: &SocketRow, keepalive: Option<Keepalive>) {
        let Some(listener) = self.find(row).and_then(|n| self.listeners.get_mut(n as usize)) else { return };
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
        let on = |addr| self.first_on(Endpoint { addr, port: row.local_port });
        on(row.local).or_else(|| {
            if row.flags.has(RowFlags::V6) {
                let takes = |n: &u32| self.accepts.get(*n as usize).is_some_and(|a| a.dual);
                on(Ip::V6_ANY).filter(|n| takes(n) || !row.flags.has(RowFlags::MAPPED))
            } else {
                on(Ip::V4_ANY)
            }
        })
    }

    /// The listeners with their counts; the index is empty again.
    pub fn finish(&mut self) -> Vec<ListenerAgg> {
        for listener in &self.listeners {
            if let Some(place) = self.by_port.get_mut(usize::from(listener.local.port)) {
                *place = NOWHERE;
            }
        }
        self.ports.fill(0);
        self.beside.clear();
        self.accepts.clear();
        std::mem::take(&mut self.listeners)
    }
}
