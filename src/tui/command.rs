//! What is shown, as a command of `ss`: the screen, what was opened on it, and the filter.

use crate::model::{ForeignText, Protocol, is_unprintable};
use crate::query::filter::view::{Said, connections, listeners, selection, socket, sockets};
use crate::query::filter::{Expr, SsCommand, to_ss};
use crate::query::{Column as _, Selection, Sort};

use super::app::{App, Overlay};
use super::index::Query;
use super::msg::Effect;
use super::page::Page;
use super::text::{Line, wrap};
use super::theme::Role;

/// Shows the command, and copies it.
pub fn open(app: &mut App, effects: &mut Vec<Effect>) {
    let command = of(app);
    // What could command a terminal is shown for what it is, and not handed to the next program.
    if !command.command.contains(is_unprintable) {
        effects.push(Effect::Copy(command.command.clone()));
    }
    app.command = Some(command);
    app.overlay = Some((Overlay::Command, 0));
}

/// The command of what is shown.
fn of(app: &App) -> SsCommand {
    let (said, sorted_by) = view(app);
    let filter = app.filter.in_force.as_ref().map(|filter| filter.expr().clone());
    let expr = match (filter, said.expr) {
        (Some(filter), Some(view)) => Some(view.and(filter)),
        (filter, view) => filter.or(view),
    };
    let protocol = if matches!(proof(app), Some(Query::Udp(_))) { Protocol::Udp } else { app.protocol() };
    let mut command = to_ss(expr.as_ref(), protocol, sorted_by);
    command.notes.splice(0..0, said.notes);
    if app.stream.world().is_some_and(|w| w.snapshots.len() > 1) {
        command
            .notes
            .push("ss looks into one network namespace: ss -N NAME, or ip netns exec NAME ss".to_owned());
    }
    command
}

fn rows(expr: Option<Expr>, what: &str) -> Said {
    Said { expr, notes: vec![format!("ss does not count by {what}; these are the sockets that are counted")] }
}

/// What proves the finding that is open.
fn proof(app: &App) -> Option<Query> {
    match app.trail.last() {
        Some(Page::Topic(finding)) => finding.proof().map(|page| page.query),
        _ => None,
    }
}

/// What a selection stands for; single sockets by their addresses.
fn chosen(app: &App, select: &Selection) -> Said {
    let (Selection::Cookies { netns, cookies }, Some(world)) = (select, app.stream.world()) else {
        return selection(select);
    };
    let here = world.of(Protocol::Tcp).chain(world.of(Protocol::Udp)).map(|(_, snapshot)| &snapshot.sample);
    let rows = here.filter(|sample| sample.netns.inode == *netns).flat_map(|sample| &sample.table.rows);
    sockets(rows.filter(|row| cookies.binary_search(&row.cookie()).is_ok()))
}

/// What the open page selects, and the column that its sockets are sorted by.
fn view(app: &App) -> (Said, Option<&'static str>) {
    if let Some(Page::Detail(detail)) = app.trail.last() {
        let expr = detail
            .row()
            .map(|(row, _)| socket(row.local_endpoint(), row.state.has_peer().then(|| row.peer_endpoint())));
        return (Said { expr, notes: Vec::new() }, None);
    }
    if let Some(Query::Sockets(proof) | Query::Udp(proof)) = proof(app) {
        return (chosen(app, &proof.select), None);
    }
    let Some(table) = app.table() else { return (Said::default(), None) };
    match &table.query {
        Query::Sockets(q) => {
            let Sort { column, .. } = q.sort;
            (chosen(app, &q.select), Some(column.spec().name))
        }
        Query::Udp(q) => (chosen(app, &q.select), Some(q.sort.column.spec().name)),
        Query::Peers(_) => (rows(Some(connections()), "peer"), None),
        Query::Destinations(_) => (rows(Some(connections()), "destination"), None),
        Query::Listeners(_) => (Said { expr: Some(listeners()), notes: Vec::new() }, None),
        Query::Processes(_) => (rows(None, "process (its option -p names them)"), None),
        Query::Findings(_) | Query::Finding(_) => (rows(None, "finding"), None),
        Query::Socket(_)
        | Query::Sysctls(_)
        | Query::Sysctl(..)
        | Query::Counters(_)
        | Query::Counter(..) => (Said::default(), None),
    }
}

/// The page: the command, what it does not say, and where it is now.
#[must_use]
pub fn page(app: &App, width: u16) -> Vec<Line> {
    let Some(SsCommand { command, notes }) = &app.command else { return Vec::new() };
    let shown = ForeignText::from(command.as_str()).to_string();
    let mut lines: Vec<Line> = wrap(&shown, width).into_iter().map(|l| vec![(l, Role::Strong)]).collect();
    lines.push(Vec::new());
    for note in notes {
        let note = ForeignText::from(note.as_str()).to_string();
        lines.extend(wrap(&note, width).into_iter().map(|l| vec![(l, Role::Notice)]));
    }
    let copied = if command.contains(is_unprintable) {
        "Not copied: it holds characters that a terminal could take for commands."
    } else {
        "Copied to the clipboard, if the terminal takes it (OSC 52)."
    };
    lines.extend(wrap(copied, width).into_iter().map(|l| vec![(l, Role::Dim)]));
    lines
}
