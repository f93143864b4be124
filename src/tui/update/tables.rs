//! Moving about in what is open: the cursor, the columns, the order.

use crate::query::{Column, Grouping, Sort};

use super::super::app::{App, Overlay};
use super::super::closing;
use super::super::columns::{self, Fit, fit};
use super::super::findings;
use super::super::index::Query;
use super::super::keymap::Place;
use super::super::layout::{Layout, TableArea};
use super::super::msg::Effect;
use super::super::page::{Page, TablePage};
use super::super::screen::Screen;
use super::pages::step_in_pane;
use super::{ask, lines_changed};

/// Moves the cursor, or the text that is open.
pub(super) fn scroll(app: &mut App, by: isize, effects: &mut Vec<Effect>) {
    let height = Layout::of(app).page_height();
    if app.place() == Place::Pane {
        step_in_pane(app, by);
        return;
    }
    if by == -1 && is_at_top(app) {
        let layout = Layout::of(app);
        let last = findings::lines(app, &layout).checked_sub(1);
        app.pane = last.and_then(|line| findings::cursor_at(app, &layout, line));
        if app.pane.is_some() {
            return;
        }
    }
    if let Some((_, line)) = &mut app.overlay {
        *line = line.saturating_add_signed(by);
    } else if let Some(line) = app.trail.last_mut().and_then(Page::scroll_mut) {
        *line = line.saturating_add_signed(by);
    } else if let Some(table) = app.table_mut() {
        table.step(by, height);
        lines_changed(app, height, effects);
    }
    keep_text_on_screen(app, height);
}

/// Whether the cursor is on the first row of the first screen: above it are the findings.
fn is_at_top(app: &App) -> bool {
    let root = app.overlay.is_none() && app.trail.is_empty() && app.screen == Screen::Overview;
    root && app.root().cursor == 0
}

/// Text cannot be scrolled beyond its last line.
pub(super) fn keep_text_on_screen(app: &mut App, height: usize) {
    let last = match (&app.overlay, &app.closing) {
        (Some((Overlay::Closing, _)), Some(closing)) => {
            let (lines, seen) = closing::draw::height(closing, Layout::of(app).text);
            lines.saturating_sub(seen)
        }
        _ => super::super::text::height(app).saturating_sub(height),
    };
    if let Some((_, line)) = &mut app.overlay {
        *line = (*line).min(last);
    } else if let Some(line) = app.trail.last_mut().and_then(Page::scroll_mut) {
        *line = (*line).min(last);
    }
}

/// To the first or the last line.
pub(super) fn to_end(app: &mut App, bottom: bool, effects: &mut Vec<Effect>) {
    let height = Layout::of(app).page_height();
    if app.place() == Place::Pane {
        step_in_pane(app, if bottom { isize::MAX } else { isize::MIN });
        return;
    }
    if app.overlay.is_none()
        && let Some(table) = app.table_mut()
    {
        if bottom {
            table.put(usize::MAX, height);
        } else {
            table.top();
        }
        lines_changed(app, height, effects);
        return;
    }
    scroll(app, if bottom { isize::MAX } else { isize::MIN + 1 }, effects);
}

/// Shows columns further to the right or to the left.
pub(super) fn scroll_columns(app: &mut App, right: bool) {
    let Some(table) = app.table_mut() else { return };
    let last = table.widths.len().saturating_sub(2);
    table.skip = if right { (table.skip + 1).min(last) } else { table.skip.saturating_sub(1) };
}

/// How to change the order.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// By the column beside.
    Beside { right: bool },
    /// The other way round.
    Reversed,
    /// By the header at this column of the terminal.
    Clicked { x: u16 },
}

impl How {
    fn apply<C: Column>(self, columns: &Fit<C>, sort: &mut Sort<C>) {
        *sort = match self {
            Self::Beside { right } => columns.beside(*sort, right),
            Self::Reversed => sort.reversed(),
            Self::Clicked { x } => columns.clicked(*sort, x),
        };
    }
}

/// Sorts the open table otherwise.
pub(super) fn sort(app: &mut App, effects: &mut Vec<Effect>, how: How) {
    let TableArea { head, .. } = Layout::of(app).table;
    let Some(table) = app.table_mut() else { return };
    let (skip, several) = (table.skip, table.shows_several());
    let widths = &table.widths;
    match &mut table.query {
        Query::Peers(q) => how.apply(&fit(columns::PEERS, widths, true, head, skip), &mut q.sort),
        Query::Sockets(q) => {
            how.apply(&fit(&columns::sockets(several), widths, false, head, skip), &mut q.sort);
        }
        Query::Udp(q) => {
            how.apply(&fit(&columns::udp(several), widths, false, head, skip), &mut q.sort);
        }
        Query::Listeners(q) => {
            how.apply(&fit(&columns::listeners(several), widths, true, head, skip), &mut q.sort);
        }
        Query::Destinations(q) => {
            how.apply(&fit(&columns::destinations(several), widths, true, head, skip), &mut q.sort);
        }
        Query::Processes(q) => {
            how.apply(&fit(&columns::processes(q.group), widths, true, head, skip), &mut q.sort);
        }
        Query::Findings(q) => {
            how.apply(&fit(&columns::findings(several), widths, false, head, skip), &mut q.sort);
        }
        Query::Sysctls(q) => how.apply(&fit(columns::SYSCTLS, widths, false, head, skip), &mut q.sort),
        Query::Counters(q) => how.apply(&fit(columns::COUNTERS, widths, true, head, skip), &mut q.sort),
        Query::Socket(_) | Query::Finding(_) | Query::Sysctl(..) | Query::Counter(..) => return,
    }
    ask(app, effects);
}

/// Groups the open table by the next thing.
pub(super) fn group(app: &mut App, effects: &mut Vec<Effect>) {
    let Some(table) = app.table_mut() else { return };
    match &mut table.query {
        Query::Peers(q) => {
            table.marks.clear();
            q.group = if q.group == Grouping::Address { Grouping::NETWORK } else { Grouping::Address };
        }
        Query::Processes(q) => {
            q.group = q.group.next();
            // Other columns: what they showed says nothing of their widths.
            table.widths.clear();
            table.skip = 0;
        }
        Query::Sysctls(_) | Query::Counters(_) => {
            table.query = TablePage::kernel_query(matches!(table.query, Query::Counters(_)));
            table.answer = None;
            table.widths.clear();
            table.skip = 0;
        }
        _ => return,
    }
    table.top();
    ask(app, effects);
}
