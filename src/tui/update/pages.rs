//! Opening pages and going back.

use crate::query::{Grouping, ProcessColumn, ProcessKey, ProcessRow, Selection, process_cell};

use super::super::app::App;
use super::super::detail::DetailPage;
use super::super::findings;
use super::super::index::{Query, RowKey, Rows, snapshot};
use super::super::keymap::Place;
use super::super::layout::Layout;
use super::super::msg::Effect;
use super::super::page::{Page, TablePage};
use super::super::screen::Screen;
use super::super::topic::TopicPage;
use super::ask;

/// Puts the cursor into the findings of the first screen.
pub(super) fn to_pane(app: &mut App, effects: &mut Vec<Effect>) {
    if app.screen != Screen::Overview || !app.trail.is_empty() {
        go(app, Screen::Overview, effects);
    }
    app.pane = findings::cursor_at(app, &Layout::of(app), 0);
    if app.pane.is_none() {
        app.notice = Some("nothing is found that is wrong");
    }
}

/// Moves the cursor in the findings of the first screen; below the last one stands the table again.
pub(super) fn step_in_pane(app: &mut App, by: isize) {
    let layout = Layout::of(app);
    let Some(line) = findings::cursor_line(app, &layout) else { return };
    let last = findings::lines(app, &layout).saturating_sub(1);
    app.pane = if line == last && by == 1 {
        None
    } else {
        findings::cursor_at(app, &layout, line.saturating_add_signed(by).min(last))
    };
}

/// After other findings came, or another size: the cursor is on one that is there, or in the table.
pub(super) fn keep_in_pane(app: &mut App) {
    if app.below_the_line() == Place::Pane {
        let layout = Layout::of(app);
        app.pane = findings::cursor_line(app, &layout).and_then(|n| findings::cursor_at(app, &layout, n));
    }
}

/// Opens what is under the cursor.
pub(super) fn open(app: &mut App, effects: &mut Vec<Effect>) {
    if app.place() == Place::Pane {
        let layout = Layout::of(app);
        let at = findings::cursor_line(app, &layout).and_then(|n| findings::cursor_at(app, &layout, n));
        match at.and_then(|cursor| cursor.key) {
            Some(key) => enter(app, Page::Topic(Box::new(TopicPage::finding(key))), effects),
            // The line for those that have no room.
            None => go(app, Screen::Findings, effects),
        }
        return;
    }
    let page = match app.trail.last() {
        Some(Page::Topic(topic)) => topic.proof().map(|proof| Page::Table(Box::new(proof))),
        _ => app.table().and_then(|table| behind(table, table.key_at_cursor()?)),
    };
    if let Some(page) = page {
        enter(app, page, effects);
    }
}

/// Opens a page.
pub(super) fn enter(app: &mut App, page: Page, effects: &mut Vec<Effect>) {
    leave(app);
    app.trail.push(page);
    ask(app, effects);
}

/// What Enter on a row opens.
pub(super) fn behind(table: &TablePage, key: RowKey) -> Option<Page> {
    let answer = table.answer.as_ref()?;
    let topic = |query| Some(Page::Topic(Box::new(TopicPage::new(query))));
    let sockets = |title: String, select| Some(Page::Table(Box::new(TablePage::sockets(title, select))));
    match (key, &table.query) {
        (RowKey::Peer(addr), Query::Peers(q)) => {
            let (v4_len, v6_len) = match q.group {
                Grouping::Address => return sockets(format!("Sockets of {addr}"), Selection::peer(addr)),
                Grouping::Prefix { v4_len, v6_len } => (v4_len, v6_len),
            };
            let len = if addr.is_v4() { v4_len } else { v6_len };
            sockets(format!("Sockets of {addr}/{len}"), Selection::Peer { addr, v4_len, v6_len })
        }
        (key @ RowKey::Socket(_), Query::Listeners(_)) => {
            let id = answer.rows.row(answer.rows.position(&key, &answer.world)?)?;
            let snapshot = snapshot(&answer.world, id)?;
            let local = snapshot.listeners.get(id.row as usize)?.local;
            let netns = snapshot.sample.netns.inode;
            sockets(format!("Sockets of listener {local}"), Selection::Listener { netns, local })
        }
        (RowKey::Socket(key), _) => Some(Page::Detail(Box::new(DetailPage::new(key)))),
        (RowKey::Destination { netns, local, peer }, _) => {
            sockets(format!("Sockets from {local} to {peer}"), Selection::Destination { netns, local, peer })
        }
        (key @ RowKey::Process(_), _) => {
            let Rows::Processes(view) = &answer.rows else { return None };
            let row = view.rows.iter().find(|r| RowKey::process(&r.key) == key)?;
            sockets(sockets_of(row), Selection::Processes(row.key.clone()))
        }
        (RowKey::Finding(key), _) => topic(Query::Finding(key)),
        (RowKey::Sysctl(name), Query::Sysctls(q)) => topic(Query::Sysctl(q.scope.netns, name)),
        (RowKey::Counter(name), Query::Counters(q)) => topic(Query::Counter(q.scope.netns, name)),
        (RowKey::Peer(_) | RowKey::Sysctl(_) | RowKey::Counter(_), _) => None,
    }
}

/// What the sockets of a row of the processes table are called.
fn sockets_of(row: &ProcessRow) -> String {
    let name = process_cell(ProcessColumn::Name, row);
    match &row.key {
        ProcessKey::Pid(pid) => format!("Sockets of {name}[{pid}]"),
        ProcessKey::Command(_) => format!("Sockets of {name}"),
        ProcessKey::User(_) => format!("Sockets of user {name}"),
        ProcessKey::Unit(Some(_)) | ProcessKey::Container(Some(_)) => format!("Sockets in {name}"),
        ProcessKey::Unit(None) | ProcessKey::Container(None) | ProcessKey::Nobody(_) => {
            format!("Sockets {name}")
        }
    }
}

/// Forgets the rows of what is open, before something else is.
fn leave(app: &mut App) {
    match app.trail.last_mut() {
        Some(page) => page.release(),
        None => {
            if let Some(table) = app.table_mut() {
                table.answer = None;
            }
        }
    }
}

/// Closes the text that lies over everything, else the newest page.
pub(super) fn back(app: &mut App, effects: &mut Vec<Effect>) {
    if app.overlay.take().is_some() {
        return;
    }
    if app.trail.pop().is_some() {
        keep_in_pane(app);
        ask(app, effects);
    } else {
        app.pane = None;
    }
}

/// Opens a screen of the tabs.
pub(super) fn go(app: &mut App, screen: Screen, effects: &mut Vec<Effect>) {
    app.overlay = None;
    app.pane = None;
    leave(app);
    app.trail.clear();
    app.screen = screen;
    ask(app, effects);
}

/// Opens the UDP sockets, or goes back to the screen.
pub(super) fn udp(app: &mut App, effects: &mut Vec<Effect>) {
    let back = app.shows_udp();
    leave(app);
    app.trail.clear();
    if !back {
        app.trail.push(Page::Table(Box::new(TablePage::udp(Selection::All))));
    }
    ask(app, effects);
}
