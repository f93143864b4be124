//! What is shown, in which order: columns, sorting, grouping, selection.
//!
//! Everything here is a pure function of a [`World`](crate::analysis::World), judged or not, and a query: no kernel, no
//! clock, no terminal. A view holds row numbers, not rows; a [`Cell`] is made of a row only when it is shown. Each table has
//! one enum of its columns, and everything that names, sorts, sizes or explains a column is made from it.
//!
//! Every order is total (the sort key, then the identity of the row), so that rows never change places by chance.

mod cell;
mod column;
mod columns;
mod datagrams;
mod destinations;
pub mod filter;
mod findings;
mod kernel;
mod key;
pub mod kill;
mod listeners;
mod options;
mod owned;
mod peers;
mod process_columns;
mod process_groups;
mod processes;
mod selection;
mod sockets;
mod top;
mod values;

pub use crate::model::{Bytes, Grouped, Percent, Span};
pub use cell::Cell;
pub use column::{Align, Column, Sort, Spec, UnknownColumn, nearest};
pub use columns::ColumnId;
pub use datagrams::{DatagramCounter, Struggling, StrugglingView, UDP_ERRORS, datagram_counters, struggling};
pub use destinations::{DestinationColumn, DestinationQuery, destination_cell, destinations};
pub use findings::{
    FindingColumn, FindingKey, FindingQuery, FindingRow, FindingView, Outcome, finding, finding_cell,
    findings, proof, proof_of_udp, ranked,
};
pub use kernel::{
    CounterColumn, CounterQuery, CounterRow, KernelScope, KernelView, SysctlColumn, SysctlQuery, SysctlRow,
    counter, counter_cell, counters, kernel_proof, sysctl, sysctl_cell, sysctls,
};
pub use listeners::{ListenerColumn, ListenerQuery, listener_cell, listeners};
pub use options::OPTION_COLUMNS;
pub use owned::{HeldBy, held_by};
pub use peers::{Grouping, PeerColumn, PeerQuery, PeerRow, PeerView, peer_cell, peers};
pub use process_columns::{ProcessColumn, process_cell};
pub use process_groups::{ProcessGrouping, ProcessKey, Unowned, container, unit};
pub use processes::{ProcessQuery, ProcessRow, ProcessView, processes};
pub use selection::Selection;
pub use sockets::{SocketKey, SocketQuery, sockets, udp_sockets};
pub use values::{Owner, cell, owner, state_cell};

/// A row of a table of one namespace: a socket, a listener or a destination, as the table says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RowId {
    /// Which snapshot, as [`World::snapshot`](crate::analysis::World::snapshot) numbers them.
    pub ns: u16,
    /// Index into that snapshot's sockets, listeners or destinations.
    pub row: u32,
}

/// The first rows of a table in the order that was asked for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct View {
    /// Which look at the world this is an order of; row numbers mean nothing in another.
    pub generation: u64,
    /// How many rows match in all.
    pub matching: usize,
    /// The first of them, in order; at most as many as were asked for.
    pub order: Vec<RowId>,
}

/// An order of sockets.
pub type SocketView = View;
/// An order of listeners.
pub type ListenerView = View;
/// An order of destinations.
pub type DestinationView = View;
