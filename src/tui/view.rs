//! Drawing: a frame is a function of the state, the theme and the size. Nothing is sorted, counted or looked up here.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::app::App;
use super::keymap::Place;
use super::layout::Layout;
use super::paint::Canvas;
use super::screen::Screen;
use super::theme::{Role, Theme};
use super::{closing, filter, header, overview, table, text};

/// Draws everything.
pub fn view(app: &App, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let mut canvas = Canvas::new(frame.buffer_mut(), theme);
    canvas.tint(area, Role::Text);
    let layout = Layout::of(app);
    header::draw(app, layout.header, &mut canvas);
    match app.below_the_line() {
        Place::Detail | Place::Keepalive | Place::Finding | Place::Topic | Place::Help | Place::Command => {
            text::draw(app, &layout, &mut canvas);
        }
        Place::AskToClose | Place::Closed => {
            let first = app.overlay.map_or(0, |(_, first)| first);
            closing::draw::draw(app, layout.text_frame, layout.text, first, &mut canvas);
        }
        Place::Peers | Place::Processes | Place::Kernel | Place::Table | Place::Pane | Place::FilterLine => {
            if app.trail.is_empty() && app.screen == Screen::Overview {
                overview::draw(app, &layout, &mut canvas);
            }
            if let Some(page) = app.table() {
                let focused = app.below_the_line() != Place::Pane;
                table::draw(page, app.naming.names(), layout.table, focused, &mut canvas);
            }
        }
    }
    tabs(app, &layout, &mut canvas);
    filter::draw::draw(app, layout.filter_line, &mut canvas);
    if layout.footer.height > 0 && !filter::draw::footer(app, layout.footer, &mut canvas) {
        header::footer(app, layout.footer, &mut canvas);
    }
}

fn tabs(app: &App, layout: &Layout, canvas: &mut Canvas<'_>) {
    for tab in &layout.tabs {
        let Rect { x, y, width, .. } = tab.area;
        let open = tab.screen == app.screen;
        let end = canvas.text(
            x,
            y,
            width,
            &format!(" {}", tab.screen.number()),
            if open { Role::Tab } else { Role::Key },
        );
        let room = tab.area.right().saturating_sub(end);
        let name = format!(" {:<1$}", tab.label, usize::from(room.saturating_sub(1)));
        canvas.text(end, y, room, &name, if open { Role::Tab } else { Role::Label });
    }
}
