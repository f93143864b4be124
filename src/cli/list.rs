//! `tcptop list`.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use anyhow::Context as _;
use clap::error::ErrorKind;

use super::args::{Args, ListArgs};
use super::filter::narrow;
use super::names::Namer;
use super::{WRITING, complain, look, looker, stdout, text_out, usage};
use crate::analysis::{Snapshot, World};
use crate::engine::{Looker, with_options};
use crate::model::{Ip, Protocols, SocketRow};
use crate::query::filter::Filter;
use crate::query::{
    Column as _, ColumnId, OPTION_COLUMNS, RowId, Selection, SocketQuery, SocketView, Sort, sockets,
};
use crate::report::{self, List};
use crate::source::{Source, Target};

/// How the list is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Tabs,
    Csv,
    Json,
    JsonLines,
}

impl Format {
    fn of(options: &ListArgs) -> Self {
        match options {
            ListArgs { json: true, .. } => Self::Json,
            ListArgs { jsonl: true, .. } => Self::JsonLines,
            ListArgs { csv: true, .. } => Self::Csv,
            ListArgs { text: true, .. } => Self::Text,
            _ if io::stdout().is_terminal() => Self::Text,
            _ => Self::Tabs,
        }
    }
}

/// The columns, if it is not for the format to choose them.
fn columns(args: &Args, options: &ListArgs, format: Format) -> anyhow::Result<Option<Vec<ColumnId>>> {
    let asked = options.columns.iter().flatten().chain([&options.sort.column]);
    if let Some(column) = asked.copied().find(|c| c.needs_options())
        && !options.probe_options
    {
        let why = format!("the column {} needs --probe-options", column.spec().name);
        return Err(usage::error(ErrorKind::MissingRequiredArgument, why).into());
    }
    let protocols = args.protocols();
    if protocols.udp && options.probe_options {
        let why = "--probe-options asks TCP sockets; leave --udp out";
        return Err(usage::error(ErrorKind::ArgumentConflict, why).into());
    }
    let several = args.netns == Some(Target::All);
    if options.columns.is_none() && protocols.udp && !matches!(format, Format::Json | Format::JsonLines) {
        return Ok(Some(ColumnId::usual(protocols, several)));
    }
    if options.columns.is_some() || !options.probe_options {
        return Ok(options.columns.clone());
    }
    let usual = match format {
        Format::Json | Format::JsonLines => &report::JSON_COLUMNS[..],
        _ if several => ColumnId::USUAL_OF_SEVERAL,
        _ => ColumnId::USUAL,
    };
    let mut columns = usual.to_vec();
    if several && matches!(format, Format::Json | Format::JsonLines) {
        columns.push(ColumnId::Netns);
    }
    // People read the reasons below the table.
    columns.extend(OPTION_COLUMNS.iter().filter(|c| format != Format::Text || **c != ColumnId::Unprobed));
    Ok(Some(columns))
}

pub(super) fn run(args: &Args, options: &ListArgs) -> anyhow::Result<()> {
    let filter = options.filter.parse()?;
    let format = Format::of(options);
    let columns = columns(args, options, format)?;
    let mut shown = match (&columns, format) {
        (Some(columns), _) => columns.iter(),
        (None, Format::Json | Format::JsonLines) => report::JSON_COLUMNS.iter(),
        (None, _) => ColumnId::USUAL.iter(),
    };
    let mut looker = looker(args, None);
    let needs_owners = options.probe_options || filter.as_ref().is_some_and(|f| f.needs().owners);
    let owned = needs_owners || options.sort.column.needs_owners() || shown.any(|c| c.needs_owners());
    if owned {
        looker = looker.with_owners(None);
    }
    if let Some(filter) = &filter {
        looker.source().ask_for(if owned { filter.asked_with_listeners() } else { filter.asked() });
    }
    looker.source().watch(args.protocols());
    let namer = args.resolve.then(Namer::system);
    loop {
        let (columns, namer) = (columns.as_deref(), namer.as_ref());
        once(&mut looker, filter.as_ref(), args.protocols(), options, columns, format, namer)?;
        match options.watch {
            None => return Ok(()),
            Some(pause) => std::thread::sleep(pause),
        }
    }
}

/// The addresses of a view.
fn addresses(world: &World, view: &SocketView) -> Vec<Ip> {
    let of = |id: &RowId| {
        let snapshot = world.snapshot(id.ns)?;
        let row = snapshot.sample.table.rows.get(id.row as usize)?;
        Some([row.local, row.peer])
    };
    view.order.iter().filter_map(of).flatten().collect()
}

/// One look, written.
fn once(
    looker: &mut Looker<Box<dyn Source>>,
    filter: Option<&Arc<Filter>>,
    protocols: Protocols,
    options: &ListArgs,
    columns: Option<&[ColumnId]>,
    format: Format,
    resolver: Option<&Namer>,
) -> anyhow::Result<()> {
    let whole = look(looker)?;
    let whole =
        if protocols.udp { Arc::new(whole.world.of_protocols(protocols)) } else { Arc::clone(&whole.world) };
    let mut world = match filter {
        Some(filter) => narrow(looker, &whole, protocols, filter),
        None => whole,
    };
    let query =
        SocketQuery { select: Selection::All, sort: options.sort, want: options.limit.unwrap_or(usize::MAX) };
    if options.probe_options && options.sort.column.needs_options() {
        let all = SocketQuery { sort: Sort::by(ColumnId::Cookie), want: usize::MAX, ..query.clone() };
        world = with_options(&world, &sockets(&world, &all).order);
    }
    let view = sockets(&world, &query);
    if options.probe_options && !options.sort.column.needs_options() {
        world = with_options(&world, &view.order);
    }
    let world = &world;
    let names = resolver.map(|names| names.of(addresses(world, &view)));
    let mut detail =
        |snapshot: &Snapshot, row: &SocketRow| looker.detail(row, snapshot.sample.table.origin(row));
    let list = List {
        world,
        view: &view,
        columns,
        names: names.as_ref(),
        detail: if options.info { Some(&mut detail) } else { None },
    };
    match format {
        Format::Json => return report::write_list_json(list, stdout()).context(WRITING),
        Format::JsonLines => return report::write_json_lines(list, stdout()).context(WRITING),
        Format::Text | Format::Tabs | Format::Csv => {}
    }
    let written = match format {
        Format::Csv => report::write_csv(list, stdout()),
        Format::Tabs => report::write_tabs(list, stdout()),
        _ => report::write_list_text(list, text_out()),
    };
    for warning in report::warnings(world) {
        complain(warning);
    }
    if options.probe_options {
        for warning in report::unprobed(world) {
            complain(warning);
        }
    }
    written.context(WRITING)
}
