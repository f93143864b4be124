//! The mouse: everything that it does a key does, too.

use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::super::app::App;
use super::super::findings;
use super::super::keymap::Place;
use super::super::layout::Layout;
use super::super::msg::Effect;
use super::super::page::Page;
use super::super::screen::Screen;
use super::super::topic::TopicPage;
use super::pages::{enter, go, open};
use super::tables::{How, scroll, sort};

/// Lines that one notch of the wheel moves.
const WHEEL: isize = 3;

/// What a click or the wheel does.
pub(super) fn mouse(app: &mut App, event: MouseEvent, effects: &mut Vec<Effect>) {
    let at = Position { x: event.column, y: event.row };
    let act: fn(&mut App, Position, &mut Vec<Effect>) = match event.kind {
        MouseEventKind::ScrollUp => |app, _, effects| scroll(app, -WHEEL, effects),
        MouseEventKind::ScrollDown => |app, _, effects| scroll(app, WHEEL, effects),
        MouseEventKind::Down(MouseButton::Left) => click,
        _ => return,
    };
    // What is pointed at is not where the keys were.
    if app.place() == Place::Pane {
        app.pane = None;
    }
    act(app, at, effects);
    app.redraw = true;
}

fn click(app: &mut App, at: Position, effects: &mut Vec<Effect>) {
    let layout = Layout::of(app);
    if let Some(screen) = layout.tab_at(at) {
        go(app, screen, effects);
    } else if layout.findings.contains(at) {
        // A line of the pane opens its finding; its frame, and the line for those that have no room, all of them.
        match findings::key_at(app, &layout, at.y) {
            Some(key) => enter(app, Page::Topic(Box::new(TopicPage::finding(key))), effects),
            None => go(app, Screen::Findings, effects),
        }
    } else if layout.table.head.contains(at) {
        sort(app, effects, How::Clicked { x: at.x });
    } else if layout.table.rows.contains(at)
        && let Some(table) = app.table_mut()
    {
        let line = table.offset + usize::from(at.y - layout.table.rows.y);
        if line < table.lines() {
            let again = table.selected.is_some() && table.cursor == line;
            table.put(line, layout.page_height());
            // A click on the row that is already chosen opens it, as Enter does.
            if again {
                open(app, effects);
            }
        }
    }
}
