//! What a message does to the state of the screen. Pure: no clock, no terminal, no kernel; what has to be done outside
//! is returned.

mod mouse;
mod pages;
mod probing;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use ratatui::crossterm::event::{KeyEvent, KeyEventKind};
use ratatui::layout::Size;

use crate::diagnose::Judged;
use crate::engine::Detailed;
use crate::model::Protocol;

use super::app::{App, Overlay};
use super::closing::{self, Closing};
use super::command;
use super::filter;
use super::index::{Answer, Query, Question};
use super::keymap::{self, Action};
use super::layout::Layout;
use super::msg::{Effect, Msg, Signal};
use super::names;
use super::page::Page;
use mouse::mouse;
use pages::{back, go, keep_in_pane, open, to_pane, udp};
use probing::{accept_options, decline, probe};
use tables::{How, group, keep_text_on_screen, scroll, scroll_columns, sort, to_end};

/// How often one may look.
pub const INTERVALS: [Duration; 9] = [
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// Applies a message.
pub fn update(app: &mut App, msg: Msg) -> Vec<Effect> {
    let mut effects = Vec::new();
    let rows_came = matches!(msg, Msg::Answer(_));
    match msg {
        Msg::Key(event) => {
            if event.kind != KeyEventKind::Release {
                key(app, event, &mut effects);
            }
        }
        Msg::Mouse(event) => mouse(app, event, &mut effects),
        Msg::Resize(size) => resize(app, size, &mut effects),
        Msg::Look(Ok(look)) => new_look(app, look, &mut effects),
        Msg::Look(Err(why)) => {
            app.stream.trouble = Some(why);
            app.redraw = true;
        }
        Msg::Answer(answer) => accept(app, answer, &mut effects),
        Msg::Answered(answered) => closing::accept(app, answered),
        Msg::Read(read) => filter::accept(app, read, &mut effects),
        Msg::Names(learned) => {
            if names::accept(app, learned) {
                let height = Layout::of(app).page_height();
                lines_changed(app, height, &mut effects);
            }
        }
        Msg::Detail(detail) => accept_detail(app, detail),
        Msg::Options(options) => accept_options(app, options),
        Msg::Tick(now) => tick(app, now),
        Msg::Signal(Signal::End) => effects.push(Effect::Quit),
        Msg::Signal(Signal::Stop) => effects.push(Effect::Suspend),
        Msg::Signal(Signal::Resume) => effects.push(Effect::Retake),
        Msg::FeedEnded => {
            app.stream.ended = true;
            app.redraw = true;
        }
    }
    if app.watches_udp != app.shows_udp() {
        app.watches_udp = !app.watches_udp;
        effects.push(Effect::WatchUdp(app.watches_udp));
    }
    if app.redraw {
        names::ask(app, rows_came, &mut effects);
    }
    effects
}

fn resize(app: &mut App, size: Size, effects: &mut Vec<Effect>) {
    app.size = size;
    app.redraw = true;
    keep_in_pane(app);
    let height = Layout::of(app).page_height();
    if let Some(table) = app.table_mut() {
        table.clamp(height);
        lines_changed(app, height, effects);
    }
    keep_text_on_screen(app, height);
}

fn new_look(app: &mut App, look: Arc<Judged>, effects: &mut Vec<Effect>) {
    app.stream.arrived = app.now;
    app.stream.silent = None;
    app.stream.trouble = None;
    if app.stream.frozen {
        app.stream.newest = Some(look);
        return;
    }
    show(app, look);
    // Not drawn yet: the answer brings the table of this world, and both are drawn together.
    ask(app, effects);
}

/// Asks the index thread for the rows of what is open.
pub(super) fn ask(app: &mut App, effects: &mut Vec<Effect>) {
    let Some(look) = app.stream.shown.clone() else { return };
    app.asked.0 += 1;
    let (query, selected) = match app.trail.last_mut() {
        Some(Page::Table(table)) => {
            table.follow(&look);
            (table.query.clone(), table.selected.clone())
        }
        Some(page) => (page.query(), None),
        None => (app.root().query.clone(), app.root().selected.clone()),
    };
    let filter = app.filter.in_force.clone();
    effects.push(Effect::Ask(Question { id: app.asked.0, look, query, filter, selected }));
}

fn accept(app: &mut App, answer: Answer, effects: &mut Vec<Effect>) {
    app.asked.1 = app.asked.1.max(answer.id);
    let same_filter = answer.filtered.as_ref().map(|f| &f.by) == app.filter.in_force.as_ref();
    if same_filter {
        // Totals belong to the rows that come with them.
        app.filter.shown.clone_from(&answer.filtered);
    }
    let height = Layout::of(app).page_height();
    let fits = match app.trail.last_mut() {
        Some(Page::Detail(detail)) => {
            let fits = same_filter && answer.query == Query::Socket(detail.key);
            if fits {
                detail.kept.accept(answer);
                // The exact question is about TCP.
                let can = detail.kept.gone.is_none() && detail.protocol() == Some(Protocol::Tcp);
                let row = detail.row().filter(|(row, _)| row.cookie() != 0 && can);
                effects.extend(row.map(|(row, origin)| Effect::Detail(row, origin)));
            }
            fits
        }
        Some(Page::Topic(topic)) => {
            let fits = answer.query == topic.query;
            if fits {
                topic.kept.accept(answer);
            }
            fits
        }
        Some(Page::Keepalive(page)) => {
            let fits = same_filter && answer.query == page.query();
            if fits {
                page.answer = Some(answer);
            }
            fits
        }
        _ => app.table_mut().is_some_and(|table| {
            let fits =
                same_filter && table.query.same_order(&answer.query) && table.selected == answer.selected;
            if fits {
                table.accept(answer, height);
            }
            fits
        }),
    };
    app.redraw |= fits;
    if fits {
        lines_changed(app, height, effects);
    } else if !app.is_waiting() {
        ask(app, effects);
    }
}

/// After other lines came on the screen: gives their columns room, and asks for more rows when the end of those that
/// are there comes near.
fn lines_changed(app: &mut App, height: usize, effects: &mut Vec<Effect>) {
    let names = app.naming.names().cloned();
    let Some(table) = app.table_mut() else { return };
    super::table::measure(table, height, names.as_ref());
    if table.needs_more(height) {
        table.query = table.query.wanting(table.wanted(height));
        ask(app, effects);
    }
}

fn accept_detail(app: &mut App, (cookie, detail): Detailed) {
    if let Some(Page::Detail(page)) = app.trail.last_mut()
        && page.key.id == cookie
    {
        page.live = Some(detail);
        app.redraw = true;
    }
}

fn tick(app: &mut App, now: Duration) {
    app.now = now;
    let late = now.saturating_sub(app.stream.arrived);
    let due = app.stream.interval.max(Duration::from_secs(1)) * 3;
    let silent = (late > due).then_some(late.as_secs());
    if app.stream.silent != silent {
        app.stream.silent = silent;
        app.redraw = true;
    }
}

fn key(app: &mut App, event: KeyEvent, effects: &mut Vec<Effect>) {
    let Some(action) = keymap::action(event, app.context()) else {
        app.redraw |= filter::edit(app, event, effects);
        return;
    };
    app.redraw = true;
    app.notice = None;
    // What is being closed cannot be left before it is known what became of it.
    let leaves = matches!(action, Action::Back | Action::Help | Action::Go(_))
        || matches!(action, Action::NextScreen | Action::PreviousScreen);
    if leaves && app.closing.as_ref().is_some_and(Closing::is_under_way) {
        return;
    }
    if !decline(app, action, effects) {
        act(app, action, effects);
    }
    if !matches!(app.overlay, Some((Overlay::Closing, _))) {
        app.closing = None;
    }
}

fn act(app: &mut App, action: Action, effects: &mut Vec<Effect>) {
    let height = Layout::of(app).page_height();
    let page = isize::try_from(height.saturating_sub(1)).unwrap_or(isize::MAX).max(1);
    match action {
        Action::Up => scroll(app, -1, effects),
        Action::Down => scroll(app, 1, effects),
        Action::PageUp => scroll(app, -page, effects),
        Action::PageDown => scroll(app, page, effects),
        Action::Top => to_end(app, false, effects),
        Action::Bottom => to_end(app, true, effects),
        Action::Left | Action::Right => scroll_columns(app, action == Action::Right),
        Action::Open => open(app, effects),
        Action::Pane => to_pane(app, effects),
        Action::Back => back(app, effects),
        Action::SortLeft => sort(app, effects, How::Beside { right: false }),
        Action::SortRight => sort(app, effects, How::Beside { right: true }),
        Action::Reverse => sort(app, effects, How::Reversed),
        Action::Group => group(app, effects),
        Action::Go(screen) => go(app, screen, effects),
        Action::NextScreen => go(app, app.screen.step(true), effects),
        Action::PreviousScreen => go(app, app.screen.step(false), effects),
        Action::Freeze => freeze(app, effects),
        Action::Slower => interval(app, true, effects),
        Action::Faster => interval(app, false, effects),
        Action::Command => command::open(app, effects),
        Action::Close => closing::open(app, effects),
        Action::CloseThem | Action::CloseListeners | Action::CloseOwnSession | Action::CloseAll => {
            closing::act(app, action, effects);
        }
        Action::Mark => {
            closing::mark(app);
            scroll(app, 1, effects);
        }
        Action::Filter => filter::open(app, effects),
        Action::LineTake
        | Action::LineGiveUp
        | Action::LineComplete
        | Action::LineCompleteBack
        | Action::LineOlder
        | Action::LineNewer => filter::act(app, action, effects),
        Action::Probe => probe(app, effects),
        Action::Help => overlay(app, Overlay::Help),
        Action::Udp => udp(app, effects),
        Action::Names => {
            names::toggle(app);
            lines_changed(app, height, effects);
        }
        Action::NextNetns => choose_netns(app, true, effects),
        Action::PreviousNetns => choose_netns(app, false, effects),
        Action::Redraw => effects.push(Effect::Retake),
        Action::Suspend => effects.push(Effect::StopJob),
        Action::Quit => effects.push(Effect::Quit),
    }
}

/// Opens a text over everything, or closes it.
fn overlay(app: &mut App, which: Overlay) {
    app.overlay = match app.overlay {
        Some((open, _)) if open == which => None,
        _ => Some((which, 0)),
    };
}

fn freeze(app: &mut App, effects: &mut Vec<Effect>) {
    app.stream.frozen = !app.stream.frozen;
    if !app.stream.frozen
        && let Some(look) = app.stream.newest.take()
    {
        show(app, look);
        ask(app, effects);
    }
}

fn show(app: &mut App, look: Arc<Judged>) {
    if app.stream.show(look) {
        app.notice = Some("the namespace that was shown is gone; these are all");
    }
    keep_in_pane(app);
}

/// Shows the next namespace alone, or the previous one, or all of them together.
fn choose_netns(app: &mut App, forward: bool, effects: &mut Vec<Effect>) {
    if app.stream.choose(forward) {
        keep_in_pane(app);
        ask(app, effects);
    } else {
        app.notice = Some("only one namespace is looked at; --netns all looks at all of them");
    }
}

fn interval(app: &mut App, slower: bool, effects: &mut Vec<Effect>) {
    let now = app.stream.interval;
    let next = if slower {
        INTERVALS.iter().find(|i| **i > now)
    } else {
        INTERVALS.iter().rev().find(|i| **i < now)
    };
    if let Some(next) = next {
        app.stream.interval = *next;
        effects.push(Effect::SetInterval(*next));
    }
}
