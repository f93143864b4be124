//! `tcptop list`.

use std::sync::Arc;

use anyhow::Context as _;

use super::args::{Args, ListArgs};
use super::filter::narrow;
use super::{WRITING, complain, look, looker, stdout};
use crate::query::{ColumnId, Selection, SocketQuery, sockets};
use crate::report::{self, List};

pub(super) fn run(args: &Args, options: &ListArgs) -> anyhow::Result<()> {
    let filter = options.filter.parse()?;
    let mut shown = match (&options.columns, options.json) {
        (Some(columns), _) => columns.iter(),
        (None, true) => report::JSON_COLUMNS.iter(),
        (None, false) => ColumnId::USUAL.iter(),
    };
    let mut looker = looker(args, None);
    let needs_owners = filter.as_ref().is_some_and(|f| f.needs().owners);
    if needs_owners || options.sort.column.needs_owners() || shown.any(|c| c.needs_owners()) {
        looker = looker.with_owners(None);
    }
    if let Some(filter) = &filter {
        looker.source().ask_for(filter.asked());
    }
    let whole = look(&mut looker)?;
    let world = &match &filter {
        Some(filter) => narrow(&mut looker, &whole.world, filter),
        None => Arc::clone(&whole.world),
    };
    let want = options.limit.unwrap_or(usize::MAX);
    let view = sockets(world, &SocketQuery { select: Selection::All, sort: options.sort, want });
    let mut detail = |snapshot: &crate::analysis::Snapshot, row: &crate::model::SocketRow| {
        looker.detail(row, snapshot.sample.table.origin(row))
    };
    let list = List {
        world,
        view: &view,
        columns: options.columns.as_deref(),
        detail: if options.info { Some(&mut detail) } else { None },
    };
    if options.json {
        return report::write_list_json(list, stdout()).context(WRITING);
    }
    let written =
        if options.csv { report::write_csv(list, stdout()) } else { report::write_list_text(list, stdout()) };
    for warning in report::warnings(world) {
        complain(warning);
    }
    written.context(WRITING)
}
