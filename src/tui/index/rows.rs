//! The rows of an answer, whatever they are of.

use std::sync::Arc;

use crate::analysis::{Snapshot, World};
use crate::model::Protocol;
use crate::query::{
    CounterRow, DestinationView, FindingRow, FindingView, KernelView, ListenerView, PeerView, ProcessView,
    RowId, SocketKey, SocketView, SysctlRow,
};

use super::RowKey;

/// The rows of an answer, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum Rows {
    /// Peers.
    Peers(PeerView),
    /// Sockets.
    Sockets(SocketView),
    /// Listeners.
    Listeners(ListenerView),
    /// Destinations.
    Destinations(DestinationView),
    /// Processes.
    Processes(ProcessView),
    /// The socket, if it still is.
    Socket(Option<RowId>),
    /// Findings, and the rules that could not be judged.
    Findings(FindingView),
    /// The finding, if it still is.
    Finding(Option<Box<FindingRow>>),
    /// Sysctls.
    Sysctls(KernelView<SysctlRow>),
    /// The sysctl, if it is known.
    Sysctl(Option<Box<SysctlRow>>),
    /// Counters.
    Counters(KernelView<CounterRow>),
    /// The counter, if it has moved.
    Counter(Option<Box<CounterRow>>),
}

impl Rows {
    /// How many rows there are to show.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Peers(v) => v.rows.len(),
            Self::Processes(v) => v.rows.len(),
            Self::Sockets(v) | Self::Listeners(v) | Self::Destinations(v) => v.order.len(),
            Self::Socket(id) => usize::from(id.is_some()),
            Self::Findings(v) => v.rows.len(),
            Self::Finding(row) => usize::from(row.is_some()),
            Self::Sysctls(v) => v.rows.len(),
            Self::Sysctl(row) => usize::from(row.is_some()),
            Self::Counters(v) => v.rows.len(),
            Self::Counter(row) => usize::from(row.is_some()),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows there are in all.
    #[must_use]
    pub fn matching(&self) -> usize {
        match self {
            Self::Peers(v) => v.matching,
            Self::Processes(v) => v.matching,
            Self::Sockets(v) | Self::Listeners(v) | Self::Destinations(v) => v.matching,
            Self::Socket(id) => usize::from(id.is_some()),
            Self::Findings(v) => v.matching,
            Self::Sysctls(v) => v.matching,
            Self::Counters(v) => v.matching,
            Self::Finding(_) | Self::Sysctl(_) | Self::Counter(_) => self.len(),
        }
    }

    /// How many of them can be reached by scrolling: a snapshot keeps the fullest destinations only.
    #[must_use]
    pub fn reachable(&self, want: usize) -> usize {
        if self.len() < want { self.len() } else { self.matching() }
    }

    /// The row at a place of the order.
    #[must_use]
    pub fn row(&self, at: usize) -> Option<RowId> {
        match self {
            Self::Sockets(v) | Self::Listeners(v) | Self::Destinations(v) => v.order.get(at).copied(),
            Self::Socket(id) => id.filter(|_| at == 0),
            _ => None,
        }
    }

    /// The identity of the row at a place of the order.
    #[must_use]
    pub fn key(&self, at: usize, world: &World) -> Option<RowKey> {
        match self {
            Self::Peers(v) => v.rows.get(at).map(|r| RowKey::Peer(r.addr)),
            Self::Processes(v) => v.rows.get(at).map(|r| RowKey::process(&r.key)),
            Self::Sockets(_) | Self::Socket(_) => {
                let id = self.row(at)?;
                socket_key(snapshot(world, id)?, id.row).map(RowKey::Socket)
            }
            Self::Listeners(_) => {
                let id = self.row(at)?;
                let snapshot = snapshot(world, id)?;
                let listener = snapshot.listeners.get(id.row as usize)?;
                socket_key(snapshot, listener.row).map(RowKey::Socket)
            }
            Self::Destinations(_) => {
                let id = self.row(at)?;
                let snapshot = snapshot(world, id)?;
                let d = snapshot.ports.destinations.get(id.row as usize)?;
                let netns = snapshot.sample.netns.inode;
                Some(RowKey::Destination { netns, local: d.local, peer: d.peer })
            }
            Self::Findings(v) => v.rows.get(at).map(|r| RowKey::Finding(r.key.clone())),
            Self::Finding(row) => row.as_ref().filter(|_| at == 0).map(|r| RowKey::Finding(r.key.clone())),
            Self::Sysctls(v) => v.rows.get(at).map(|r| RowKey::Sysctl(r.audit.name)),
            Self::Sysctl(row) => row.as_ref().filter(|_| at == 0).map(|r| RowKey::Sysctl(r.audit.name)),
            Self::Counters(v) => v.rows.get(at).map(|r| RowKey::Counter(Arc::clone(&r.past.name))),
            Self::Counter(row) => {
                row.as_ref().filter(|_| at == 0).map(|r| RowKey::Counter(Arc::clone(&r.past.name)))
            }
        }
    }

    /// Where a row is in the order.
    #[must_use]
    pub fn position(&self, key: &RowKey, world: &World) -> Option<usize> {
        match (self, key) {
            (Self::Findings(v), RowKey::Finding(key)) => key.position(&v.rows),
            _ => (0..self.len()).find(|at| self.key(*at, world).as_ref() == Some(key)),
        }
    }
}

/// The snapshot that a row belongs to.
#[must_use]
pub fn snapshot(world: &World, id: RowId) -> Option<&Snapshot> {
    world.snapshot(id.ns)
}

fn socket_key(snapshot: &Snapshot, row: u32) -> Option<SocketKey> {
    snapshot.sample.table.rows.get(row as usize).map(|r| SocketKey::of(snapshot, r))
}

/// Where a socket is now, of whichever protocol.
pub(super) fn find_socket(world: &World, key: SocketKey) -> Option<RowId> {
    for (ns, snapshot) in world.of(Protocol::Tcp).chain(world.of(Protocol::Udp)) {
        let mut rows = (0_u32..).zip(&snapshot.sample.table.rows);
        if let Some((row, _)) = rows.find(|(_, r)| SocketKey::of(snapshot, r) == key) {
            return Some(RowId { ns, row });
        }
    }
    None
}
