//! `tcptop list`.

use std::sync::Arc;

use anyhow::Context as _;

use super::args::{Args, ListArgs};
use super::filter::narrow;
use super::{WRITING, complain, look, looker, stdout};
use crate::engine::Looker;
use crate::query::filter::Filter;
use crate::query::{ColumnId, Selection, SocketQuery, sockets};
use crate::report::{self, List};
use crate::source::Source;

pub(super) fn run(args: &Args, options: &ListArgs) -> anyhow::Result<()> {
    let filter = options.filter.parse()?;
    let mut shown = match (&options.columns, options.json || options.jsonl) {
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
    loop {
        once(&mut looker, filter.as_ref(), options)?;
        match options.watch {
            None => return Ok(()),
            Some(pause) => std::thread::sleep(pause),
        }
    }
}

/// One look, written.
fn once(
    looker: &mut Looker<Box<dyn Source>>,
    filter: Option<&Arc<Filter>>,
    options: &ListArgs,
) -> anyhow::Result<()> {
    let whole = look(looker)?;
    let world = &match filter {
        Some(filter) => narrow(looker, &whole.world, filter),
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
    if options.jsonl {
        return report::write_json_lines(list, stdout()).context(WRITING);
    }
    let written =
        if options.csv { report::write_csv(list, stdout()) } else { report::write_list_text(list, stdout()) };
    for warning in report::warnings(world) {
        complain(warning);
    }
    written.context(WRITING)
}
