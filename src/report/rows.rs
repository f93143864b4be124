//! What a list is made of: chosen columns of chosen rows.

use crate::analysis::{Snapshot, World};
use crate::model::{Protocol, SocketDetail, SocketRow};
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
        self.shown().iter().map(move |c| snapshot.map_or(Cell::Absent, |s| cell(*c, s, id.row as usize)))
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
