//! What a list is made of: chosen columns of chosen rows.

use std::ops::RangeInclusive;

use crate::analysis::{Snapshot, World};
use crate::model::{Names, Protocol, SocketDetail, SocketRow};
use crate::query::{Cell, ColumnId, RowId, SocketView, cell};

/// Asks for `tcp_info` and the rest of one socket; `None` when it has ended since.
pub type Detail<'a> = dyn FnMut(&Snapshot, &SocketRow) -> Option<SocketDetail> + 'a;

/// A list to be written.
pub struct List<'a> {
    /// The look that the view is of.
    pub world: &'a World,
    /// Which rows, in which order.
    pub view: &'a SocketView,
    /// The columns, or those of the format for TCP.
    pub columns: Option<&'a [ColumnId]>,
    /// What addresses and ports are called, if names are wanted.
    pub names: Option<&'a Names>,
    /// Where to ask for `tcp_info`, if it is wanted.
    pub detail: Option<&'a mut Detail<'a>>,
}

impl<'a> List<'a> {
    /// The columns that people see.
    pub(super) fn shown(&self) -> &'a [ColumnId] {
        let several = self.world.has_several();
        self.columns.unwrap_or(if several { ColumnId::USUAL_OF_SEVERAL } else { ColumnId::USUAL })
    }

    /// The cells of a row, in the order of the columns.
    pub(super) fn cells(&self, id: RowId) -> impl Iterator<Item = Cell<'a>> {
        let snapshot = self.world.snapshots.get(usize::from(id.ns));
        let names = self
            .names
            .zip(snapshot)
            .map(|(names, s)| (names, s.sample.protocol, s.sample.facts.sysctls.port_range()));
        self.shown().iter().map(move |c| {
            let cell = snapshot.map_or(Cell::Absent, |s| cell(*c, s, id.row as usize));
            match &names {
                Some((names, protocol, ephemeral)) => named(*c, cell, names, *protocol, ephemeral.as_ref()),
                None => cell,
            }
        })
    }

    /// The socket of a row.
    pub(super) fn socket(&self, id: RowId) -> Option<(&'a Snapshot, &'a SocketRow)> {
        let snapshot = self.world.snapshots.get(usize::from(id.ns))?;
        Some((snapshot, snapshot.sample.table.rows.get(id.row as usize)?))
    }

    /// What an exact query says about the socket of a row.
    pub(super) fn ask(&mut self, id: RowId) -> Option<SocketDetail> {
        let (snapshot, row) = self.socket(id)?;
        // Nothing of the kind is there for UDP.
        if snapshot.sample.protocol == Protocol::Udp {
            return None;
        }
        self.detail.as_mut()?(snapshot, row)
    }
}

/// A cell with names in the place of numbers.
fn named<'a>(
    column: ColumnId,
    cell: Cell<'a>,
    names: &'a Names,
    protocol: Protocol,
    ephemeral: Option<&RangeInclusive<u16>>,
) -> Cell<'a> {
    match cell {
        Cell::Endpoint(endpoint) => Cell::Text(names.endpoint(endpoint, protocol, ephemeral).into()),
        Cell::Addr(addr) => names.host(addr).map_or(Cell::Addr(addr), Cell::Foreign),
        Cell::Count(port) if matches!(column, ColumnId::LocalPort | ColumnId::PeerPort) => {
            let service = u16::try_from(port).ok().and_then(|p| names.service(p, protocol, ephemeral));
            service.map_or(Cell::Count(port), Cell::Foreign)
        }
        other => other,
    }
}
