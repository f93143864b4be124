//! Which sockets a view shows.

use std::sync::Arc;

use super::RowId;
use super::process_groups::{Members, ProcessKey};
use crate::analysis::{Snapshot, World};
use crate::model::{Endpoint, Ip, RowFlags, SocketRow, TcpState};

/// Which sockets are wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// The connections with the peers of a network.
    Peer {
        /// The peer, or any address of the network.
        addr: Ip,
        /// Bits of the network if it is IPv4.
        v4_len: u8,
        /// Bits of the network if it is IPv6.
        v6_len: u8,
    },
    /// A listening address, and the connections that came in through it.
    Listener {
        /// Inode of its network namespace: others have listeners of the same address.
        netns: u64,
        /// Address and port that it listens on.
        local: Endpoint,
    },
    /// The connections from a local address to a destination.
    Destination {
        /// Inode of the network namespace.
        netns: u64,
        /// Local address.
        local: Ip,
        /// Peer address and port.
        peer: Endpoint,
    },
    /// The sockets that some processes hold, or that nobody does.
    Processes(ProcessKey),
    /// The sockets in some states, as a mask of [`TcpState::bit`].
    States(u32),
    /// These sockets.
    Cookies {
        /// Inode of their network namespace.
        netns: u64,
        /// Their cookies, in ascending order.
        cookies: Arc<[u64]>,
    },
}

impl Selection {
    /// The connections with one peer.
    #[must_use]
    pub const fn peer(addr: Ip) -> Self {
        Self::Peer { addr, v4_len: 32, v6_len: 128 }
    }

    /// The sockets of a world that it selects, in the order of its tables.
    #[must_use]
    pub fn rows(&self, world: &World) -> Vec<RowId> {
        let mut found = Vec::new();
        for (ns, snapshot) in (0_u16..).zip(&world.snapshots) {
            let wanted = self.compile(snapshot);
            let rows = (0_u32..).zip(&snapshot.sample.table.rows).filter(|(_, row)| wanted.matches(row));
            found.extend(rows.map(|(row, _)| RowId { ns, row }));
        }
        found
    }

    /// Prepares the selection for the rows of one snapshot.
    pub(in crate::query) fn compile<'a>(&'a self, snapshot: &'a Snapshot) -> Compiled<'a> {
        match *self {
            Self::All => Compiled::All,
            Self::Peer { addr, v4_len, v6_len } => {
                Compiled::Peer { network: addr.prefix(v4_len, v6_len), v4: addr.is_v4(), v4_len, v6_len }
            }
            Self::Listener { netns, .. } | Self::Destination { netns, .. } | Self::Cookies { netns, .. }
                if netns != snapshot.sample.netns.inode =>
            {
                Compiled::States(0)
            }
            Self::Listener { local, .. } => Compiled::Listener(Listener::new(local, snapshot)),
            Self::Destination { local, peer, .. } => Compiled::Destination { local, peer },
            Self::Processes(ref key) => Compiled::Processes(Members::new(key, snapshot)),
            Self::States(mask) => Compiled::States(mask),
            Self::Cookies { ref cookies, .. } => Compiled::Cookies(Arc::clone(cookies)),
        }
    }
}

/// A selection that is ready to be asked about rows.
pub(in crate::query) enum Compiled<'a> {
    All,
    Peer { network: Ip, v4: bool, v4_len: u8, v6_len: u8 },
    Listener(Listener),
    Destination { local: Ip, peer: Endpoint },
    Processes(Members<'a>),
    States(u32),
    Cookies(Arc<[u64]>),
}

impl Compiled<'_> {
    #[inline]
    pub(in crate::query) fn matches(&self, row: &SocketRow) -> bool {
        match self {
            Self::All => true,
            Self::Peer { network, v4, v4_len, v6_len } => {
                row.state.has_peer()
                    && row.peer.is_v4() == *v4
                    && row.peer.prefix(*v4_len, *v6_len) == *network
            }
            Self::Listener(listener) => listener.matches(row),
            Self::Destination { local, peer } => {
                row.state.has_peer() && row.local == *local && row.peer_endpoint() == *peer
            }
            Self::Processes(processes) => processes.matches(row),
            Self::States(mask) => row.state.bit() & mask != 0,
            Self::Cookies(cookies) => cookies.binary_search(&row.cookie()).is_ok(),
        }
    }
}

/// A listening address among the others on its port: a connection belongs to the most specific of them, as in
/// `inet_lookup_listener`.
pub(super) struct Listener {
    local: Endpoint,
    /// Other, more specific addresses on the same port.
    taken: Vec<Ip>,
    /// IPv4 connections do not come in here.
    refuses_v4: bool,
}

impl Listener {
    fn new(local: Endpoint, snapshot: &Snapshot) -> Self {
        let on_port = || snapshot.listeners.iter().filter(|l| l.local.port == local.port);
        let mut taken = Vec::new();
        let mut refuses_v4 = false;
        if local.addr.is_unspecified() {
            taken.extend(on_port().map(|l| l.local.addr).filter(|a| !a.is_unspecified()));
        }
        if local.addr == Ip::V6_ANY {
            let v6_only = on_port().filter(|l| l.local == local).all(|l| {
                let row = snapshot.sample.table.rows.get(l.row as usize);
                row.is_some_and(|r| r.flags.has(RowFlags::V6ONLY))
            });
            refuses_v4 = v6_only || on_port().any(|l| l.local.addr == Ip::V4_ANY);
        }
        Self { local, taken, refuses_v4 }
    }

    fn matches(&self, row: &SocketRow) -> bool {
        if row.local_port != self.local.port {
            return false;
        }
        if row.state == TcpState::Listen {
            return row.local == self.local.addr;
        }
        let comes_in = match self.local.addr {
            Ip::V4_ANY => row.local.is_v4(),
            Ip::V6_ANY => !(self.refuses_v4 && row.local.is_v4()),
            specific => row.local == specific,
        };
        row.state.has_peer() && comes_in && !self.taken.contains(&row.local)
    }
}
