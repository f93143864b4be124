//! Drawing a table: only the lines that can be seen become text.

use std::sync::Arc;

use ratatui::layout::Rect;

use crate::model::{Names, TcpState};
use crate::query::{
    Align, Cell, Column, Grouping, ProcessGrouping, Sort, cell, counter_cell, destination_cell, finding_cell,
    listener_cell, peer_cell, process_cell, sysctl_cell,
};

use super::columns::{self, Fit, fit};
use super::format;
use super::index::{Query, Rows, snapshot};
use super::layout::TableArea;
use super::names;
use super::page::{Line, TablePage, seen};
use super::paint::{self, Canvas};
use super::text;
use super::theme::{Glyphs, Role, UNICODE};

/// The width of a bar beside its number, where there is room for it.
const GAUGE: u16 = 10;

/// What the number of a gauge takes, with its sign and the gap.
const NUMBER: u16 = 6;

/// The narrowest bar that says something.
const LEAST_GAUGE: u16 = 3;

/// Something that is done with a table of whatever columns.
pub trait Visit {
    /// What comes of it.
    type Out;

    /// Gets the columns, the order, whether the numbers count things, and the cell of a column and a row.
    fn visit<'c, C: Column>(
        self,
        columns: &[C],
        sort: Sort<C>,
        counts: bool,
        cell: impl Fn(C, usize) -> Option<Cell<'c>>,
    ) -> Self::Out;
}

/// Does something with the table of a page; nothing for a page that is no table.
pub fn visit<V: Visit>(page: &TablePage, visitor: V) -> Option<V::Out> {
    let rows = page.answer.as_ref().map(|a| (&a.world, &a.rows));
    let several = page.shows_several();
    let at = |line| {
        let id = rows?.1.row(line)?;
        Some((snapshot(rows?.0, id)?, id.row as usize))
    };
    Some(match &page.query {
        Query::Peers(q) => visitor.visit(columns::PEERS, q.sort, true, |column, line| match rows {
            Some((_, Rows::Peers(v))) => v.rows.get(line).map(|r| peer_cell(column, r)),
            _ => None,
        }),
        Query::Sockets(q) => visitor.visit(&columns::sockets(several), q.sort, false, |column, line| {
            at(line).map(|(s, row)| cell(column, s, row))
        }),
        Query::Udp(q) => visitor.visit(&columns::udp(several), q.sort, false, |column, line| {
            at(line).map(|(s, row)| cell(column, s, row))
        }),
        Query::Listeners(q) => visitor.visit(&columns::listeners(several), q.sort, true, |column, line| {
            at(line).map(|(s, row)| listener_cell(column, s, row))
        }),
        Query::Destinations(q) => {
            visitor.visit(&columns::destinations(several), q.sort, true, |column, line| {
                at(line).map(|(s, row)| destination_cell(column, s, row))
            })
        }
        Query::Processes(q) => {
            visitor.visit(&columns::processes(q.group), q.sort, true, |column, line| match rows {
                Some((_, Rows::Processes(v))) => v.rows.get(line).map(|r| process_cell(column, r)),
                _ => None,
            })
        }
        Query::Findings(q) => {
            visitor.visit(&columns::findings(several), q.sort, false, |column, line| match rows {
                Some((_, Rows::Findings(v))) => v.rows.get(line).map(|r| finding_cell(column, r)),
                _ => None,
            })
        }
        Query::Sysctls(q) => visitor.visit(columns::SYSCTLS, q.sort, false, |column, line| match rows {
            Some((_, Rows::Sysctls(v))) => v.rows.get(line).map(|r| sysctl_cell(column, r)),
            _ => None,
        }),
        Query::Counters(q) => visitor.visit(columns::COUNTERS, q.sort, true, |column, line| match rows {
            Some((_, Rows::Counters(v))) => v.rows.get(line).map(|r| counter_cell(column, r)),
            _ => None,
        }),
        Query::Socket(_) | Query::Finding(_) | Query::Sysctl(..) | Query::Counter(..) => return None,
    })
}

/// Remembers how wide the lines that can be seen are, so that columns get the room that they need. Widths only grow:
/// columns do not move while the values change.
pub fn measure(page: &mut TablePage, height: usize, names: Option<&Arc<Names>>) {
    struct Measure<'a> {
        page: &'a TablePage,
        names: Option<&'a Arc<Names>>,
        widths: Vec<u16>,
        lines: std::ops::Range<usize>,
    }
    impl Visit for Measure<'_> {
        type Out = Vec<u16>;

        fn visit<'c, C: Column>(
            mut self,
            columns: &[C],
            _: Sort<C>,
            counts: bool,
            cell: impl Fn(C, usize) -> Option<Cell<'c>>,
        ) -> Vec<u16> {
            self.widths.resize(columns.len(), 0);
            for (width, column) in self.widths.iter_mut().zip(columns) {
                for line in self.lines.clone() {
                    let Some(value) = cell(*column, line) else { continue };
                    // As wide in ASCII as in Unicode.
                    let text = names::named(self.page, line, &value, self.names)
                        .unwrap_or_else(|| format::cell(&value, counts, &UNICODE).0);
                    let bar = if matches!(value, Cell::Gauge(_)) { GAUGE } else { 0 };
                    *width = (*width).max(paint::width(&text).saturating_add(bar));
                }
            }
            self.widths
        }
    }
    let lines = page.offset..page.offset + height;
    let widths = std::mem::take(&mut page.widths);
    page.widths = visit(page, Measure { page, names, widths, lines }).unwrap_or_default();
}

/// Draws a table page; its cursor only where `focused`.
pub fn draw(
    page: &TablePage,
    names: Option<&Arc<Names>>,
    area: TableArea,
    focused: bool,
    canvas: &mut Canvas<'_>,
) {
    struct Draw<'a, 'b> {
        page: &'a TablePage,
        names: Option<&'a Arc<Names>>,
        area: TableArea,
        focused: bool,
        canvas: &'a mut Canvas<'b>,
    }
    impl Visit for Draw<'_, '_> {
        type Out = ();

        fn visit<'c, C: Column>(
            self,
            columns: &[C],
            sort: Sort<C>,
            counts: bool,
            cell: impl Fn(C, usize) -> Option<Cell<'c>>,
        ) {
            let Self { page, names, area, focused, canvas } = self;
            let fit = fit(columns, &page.widths, counts, area.head, page.skip);
            draw_head(&fit, sort, area.head, canvas);
            if page.answer.is_some() {
                draw_rows(page, names, (area.rows, focused), canvas, &fit, counts, cell);
            }
        }
    }
    frame(page, area, canvas);
    if let Some(remark) = page.remark().filter(|_| area.remark.height > 0) {
        let Rect { x, y, width, .. } = area.remark;
        for (line, y) in text::wrap(&remark, width.saturating_sub(2)).iter().zip(y..area.remark.bottom()) {
            canvas.text(x + 1, y, width.saturating_sub(2), line, Role::Notice);
        }
    }
    visit(page, Draw { page, names, area, focused, canvas });
}

fn frame(page: &TablePage, area: TableArea, canvas: &mut Canvas<'_>) {
    let kernel = super::kernel::title(page);
    let title = match &page.query {
        Query::Peers(q) if q.group != Grouping::Address => "Networks",
        Query::Processes(q) => match q.group {
            ProcessGrouping::Process => "Processes",
            ProcessGrouping::Command => "Commands",
            ProcessGrouping::User => "Users",
            ProcessGrouping::Unit => "systemd units",
            ProcessGrouping::Container => "Containers",
        },
        Query::Findings(_) if page.answer.as_ref().is_some_and(|a| a.filtered.is_some()) => {
            "Findings, not filtered"
        }
        _ => kernel.as_deref().unwrap_or(&page.title),
    };
    canvas.frame(area.frame, title);
    let Some(answer) = &page.answer else { return };
    let glyphs = canvas.glyphs();
    let (lines, matching) = (page.lines(), answer.rows.matching());
    let dash = if glyphs.none.is_ascii() { "-" } else { "–" };
    let first = page.offset + usize::from(lines > 0);
    let last = (page.offset + usize::from(area.rows.height)).min(lines);
    let group = |n: usize| crate::query::Grouped(n as u64).to_string();
    let place = if lines <= usize::from(area.rows.height) && lines >= matching {
        group(matching)
    } else {
        format!("{}{dash}{} of {}", group(first), group(last), group(matching))
    };
    let place = match page.marks.len() {
        0 => place,
        n => format!("{} marked, {place}", group(n)),
    };
    let width = paint::width(&place) + 2;
    let taken = paint::width(title) + 6;
    if area.frame.width > width + taken {
        let x = area.frame.right() - 2 - width;
        canvas.text(x, area.frame.y, width, &format!(" {place} "), Role::Dim);
    }
}

fn draw_head<C: Column>(fit: &Fit<C>, sort: Sort<C>, head: Rect, canvas: &mut Canvas<'_>) {
    if head.height == 0 {
        return;
    }
    let glyphs = canvas.glyphs();
    for placed in &fit.placed {
        let spec = placed.column.spec();
        let sorted = placed.column == sort.column;
        let role = if sorted { Role::Sorted } else { Role::Header };
        let mark = if sort.descending { glyphs.descending } else { glyphs.ascending };
        // The sign stands in the gap, so that the title stays where it is.
        match spec.align {
            Align::Left => {
                let end = canvas.text(placed.x, head.y, placed.width, spec.title, role);
                if sorted {
                    canvas.text(end, head.y, head.right().saturating_sub(end).min(1), mark, role);
                }
            }
            Align::Right => {
                canvas.right(placed.x, head.y, placed.width, spec.title, role);
                let title = paint::width(spec.title).min(placed.width);
                if sorted {
                    canvas.text((placed.x + placed.width - title).saturating_sub(1), head.y, 1, mark, role);
                }
            }
        }
    }
    let [left, right] = glyphs.more;
    if fit.hidden_left {
        canvas.text(head.x, head.y, 1, left, Role::Key);
    }
    if fit.hidden_right && head.width > 0 {
        canvas.text(head.right() - 1, head.y, 1, right, Role::Key);
    }
}

fn draw_rows<'c, C: Column>(
    page: &TablePage,
    names: Option<&Arc<Names>>,
    (area, focused): (Rect, bool),
    canvas: &mut Canvas<'_>,
    fit: &Fit<C>,
    counts: bool,
    cell: impl Fn(C, usize) -> Option<Cell<'c>>,
) {
    let glyphs = canvas.glyphs();
    if page.lines() == 0 {
        canvas.text(area.x + 1, area.y, area.width.saturating_sub(1), nothing(page), Role::Dim);
    }
    for (line, y) in (page.offset..page.lines()).zip(area.top()..area.bottom()) {
        let whole = Rect { y, height: 1, ..area };
        let chosen = focused && line == page.cursor;
        match page.line(line) {
            Line::Ghost => ghost(page, whole, canvas),
            Line::Row(row) => {
                for placed in &fit.placed {
                    let Some(value) = cell(placed.column, row) else { continue };
                    let (text, role) = format::cell(&value, counts, glyphs);
                    let text = names::named(page, row, &value, names).unwrap_or(text);
                    let text = match value {
                        // The newest are what is kept.
                        Cell::Past(past) => format::heights(past, placed.width, glyphs),
                        _ => cut_address(&value, &text, placed.width, glyphs),
                    };
                    let role = if page.is_over(row) { Role::Dim } else { emphasis(&value, role) };
                    if let Cell::Gauge(ratio) = value {
                        let room = placed.width.saturating_sub(NUMBER);
                        if room >= LEAST_GAUGE {
                            format::gauge(canvas, placed.x, y, room, ratio);
                        }
                    }
                    match placed.column.spec().align {
                        Align::Left => {
                            canvas.text(placed.x, y, placed.width, &text, role);
                        }
                        Align::Right => canvas.right(placed.x, y, placed.width, &text, role),
                    }
                }
            }
        }
        let marked = !page.marks.is_empty() && page.key(line).is_some_and(|key| page.marks.contains(&key));
        if chosen {
            canvas.tint(whole, Role::Selected);
            canvas.text(whole.x, y, 1, glyphs.cursor, Role::Selected);
        }
        if marked {
            canvas.text(whole.x, y, 1, glyphs.mark, if chosen { Role::Selected } else { Role::Notice });
        }
    }
}

/// Words that stand out in a table.
fn emphasis(cell: &Cell<'_>, role: Role) -> Role {
    match cell {
        Cell::Addr(_) | Cell::Network(..) => Role::Strong,
        Cell::Word(word) if *word == TcpState::CloseWait.name() => Role::Notice,
        Cell::Word(word) if *word == TcpState::TimeWait.name() || *word == TcpState::Listen.name() => {
            Role::Dim
        }
        _ => role,
    }
}

fn nothing(page: &TablePage) -> &'static str {
    if page.answer.as_ref().is_some_and(|answer| answer.filtered.is_some())
        && let Some(words) = nothing_matches(&page.query)
    {
        return words;
    }
    match &page.query {
        Query::Peers(_) => "no connections",
        Query::Sockets(_) | Query::Udp(_) | Query::Socket(_) => "no sockets",
        Query::Findings(_) | Query::Finding(_) => "nothing was found to be wrong, and every rule was judged",
        Query::Sysctls(_) | Query::Sysctl(..) => "no sysctl is known here",
        Query::Counters(_) | Query::Counter(..) => "no counter has moved since the first look",
        Query::Listeners(_) => "nothing listens",
        Query::Destinations(_) => "no connection from an ephemeral port",
        Query::Processes(_) => "no process is known to hold a TCP socket",
    }
}

/// What an empty table of the matching sockets says: there may be others.
const fn nothing_matches(query: &Query) -> Option<&'static str> {
    match query {
        Query::Peers(_) => Some("no connection matches the filter"),
        Query::Sockets(_) | Query::Udp(_) => Some("no socket matches the filter"),
        Query::Listeners(_) => Some("no listener matches the filter"),
        Query::Destinations(_) => Some("no connection that matches the filter is from an ephemeral port"),
        Query::Processes(_) => Some("no process is known to hold a socket that matches the filter"),
        _ => None,
    }
}

fn ghost(page: &TablePage, line: Rect, canvas: &mut Canvas<'_>) {
    let (Some(ghost), Some(answer)) = (&page.ghost, &page.answer) else { return };
    let ago = seen(&answer.world).saturating_sub(ghost.since).as_secs();
    let word = match page.query {
        Query::Sockets(_) | Query::Listeners(_) => "closed",
        _ => "gone",
    };
    let when = if ago == 0 { format!("{word} just now") } else { format!("{word} {ago} s ago") };
    let room = line.width.saturating_sub(paint::width(&when) + 3);
    let label = paint::cut(&ghost.label, room, canvas.glyphs()).into_owned();
    let x = canvas.text(line.x + 1, line.y, room, &label, Role::Gone);
    canvas.text(x + 2, line.y, line.right().saturating_sub(x + 2), &when, Role::Gone);
}

/// Of an address that is too wide the port or the prefix length stays.
fn cut_address(cell: &Cell<'_>, text: &str, width: u16, glyphs: &Glyphs) -> String {
    let tail = match cell {
        Cell::Endpoint(_) | Cell::Bound(..) => text.rfind(':'),
        Cell::Network(..) => text.rfind('/'),
        // The sign alone says it, too.
        Cell::Severity(..) if paint::width(text) > width => {
            return text.split(' ').next().unwrap_or_default().to_owned();
        }
        _ => None,
    };
    if paint::width(text) <= width {
        return text.to_owned();
    }
    let Some((head, tail)) = tail.and_then(|at| text.split_at_checked(at)) else { return text.to_owned() };
    let room = width.saturating_sub(paint::width(tail));
    format!("{}{tail}", paint::cut(head, room, glyphs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::endpoint;

    #[test]
    fn the_port_of_a_long_address_is_never_cut() {
        let value = Cell::Endpoint(endpoint("[2001:db8:1:2:3:4:5:6]:44321"));
        let text = value.to_string();
        let cut = cut_address(&value, &text, 18, &UNICODE);
        assert_eq!(cut, "[2001:db8:1…:44321");
        assert_eq!(paint::width(&cut), 18);
        assert_eq!(cut_address(&value, &text, 60, &UNICODE), text);
    }
}
