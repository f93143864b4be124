//! Drawing the filter line: the text, what is wrong with it or how much matches, and the words that could stand there.

use std::ops::Range;

use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::FilterState;
use super::line::FilterLine;
use super::reader::Mistake;
use crate::analysis::World;
use crate::model::{ForeignText, Protocol};
use crate::query::Grouped;
use crate::tui::app::App;
use crate::tui::paint::{self, Canvas};
use crate::tui::theme::{Glyphs, Role};

/// What stands before the text.
const PROMPT: &str = "/";

/// Sockets of a world that speak a protocol.
#[must_use]
pub fn sockets(world: &World, protocol: Protocol) -> u64 {
    world.of(protocol).map(|(_, s)| s.sample.table.rows.len() as u64).sum()
}

/// Draws the line, and below it what there is to say, as far as there is room.
pub fn draw(app: &App, area: Rect, canvas: &mut Canvas<'_>) {
    let Some(line) = &app.filter.line else { return };
    if area.height == 0 {
        return;
    }
    let room = room(area);
    canvas.clear(area);
    canvas.tint(area, Role::Text);
    canvas.text(area.x, area.y, 1, PROMPT, Role::Key);
    let x = area.x + 2;
    let scroll = scroll(line, room);
    canvas.text(x, area.y, room, &beyond(line.text(), scroll), Role::Strong);
    let said = Said::of(app, line, canvas.glyphs()).map(|said| (Place::of(line, &said.at, room), said));
    if let Some((Place { from, width }, said)) = &said {
        canvas.tint(Rect { x: x + from, y: area.y, width: *width, height: 1 }, said.role);
    }
    let cursor = columns(line.input.visual_cursor()).saturating_sub(scroll);
    canvas.modify(Rect { x: x + cursor, y: area.y, width: 1, height: 1 }, Modifier::REVERSED);
    if area.height < 2 {
        return;
    }
    let below = Rect { x, y: area.y + 1, width: room, height: 1 };
    if let Some((place, said)) = &said {
        point(said, place, below, canvas);
    } else {
        canvas.text(below.x, below.y, below.width, &state(app), Role::Dim);
    }
}

/// Columns for the text.
const fn room(area: Rect) -> u16 {
    area.width.saturating_sub(3)
}

/// What is said about a part of the text.
struct Said {
    at: Range<usize>,
    message: String,
    role: Role,
}

impl Said {
    /// What is wrong, or else what is worth a remark, with how much matches.
    fn of(app: &App, line: &FilterLine, glyphs: &Glyphs) -> Option<Self> {
        match &line.newest()?.filter {
            Err(mistake) => Some(Self {
                at: mistake.error().at.clone(),
                message: message(line, mistake, glyphs),
                role: role(line, mistake),
            }),
            Ok(filter) => filter.as_ref()?.notes().first().map(|note| Self {
                at: note.at.clone(),
                message: ForeignText::from(format!("{}; {}", note.what, state(app)).as_str()).to_string(),
                role: Role::Notice,
            }),
        }
    }
}

fn columns(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// The text from a column on.
fn beyond(text: &str, column: u16) -> String {
    let mut x = 0;
    text.chars()
        .skip_while(|c| {
            let before = x;
            x += paint::width(c.encode_utf8(&mut [0; 4]));
            before < column
        })
        .collect()
}

/// What is missing at the end is not wrong yet.
fn role(line: &FilterLine, mistake: &Mistake) -> Role {
    let unfinished = mistake.error().at.start >= line.text().trim_end().len();
    if unfinished || matches!(mistake, Mistake::Name(_)) { Role::Notice } else { Role::Critical }
}

/// Points at the place and says what there is to say: behind the sign, before it, or, where there is no room for that, in
/// the line of the keys.
fn point(said: &Said, place: &Place, area: Rect, canvas: &mut Canvas<'_>) {
    let signs = "^".repeat(usize::from(place.width));
    canvas.text(area.x + place.from, area.y, area.width.saturating_sub(place.from), &signs, said.role);
    let wide = paint::width(&said.message);
    if wide <= place.behind(area.width) {
        canvas.text(area.x + place.from + place.width + 1, area.y, wide, &said.message, said.role);
    } else if wide <= place.before() {
        canvas.right(area.x, area.y, place.before(), &said.message, said.role);
    }
}

/// Where a part stands on the line, in columns of the text that is seen; at least one wide.
struct Place {
    from: u16,
    width: u16,
}

impl Place {
    fn of(line: &FilterLine, at: &Range<usize>, room: u16) -> Self {
        let scroll = scroll(line, room);
        let column = |byte: usize| {
            let before = line.text().get(..byte).unwrap_or(line.text());
            paint::width(before).saturating_sub(scroll).min(room.saturating_sub(1))
        };
        let from = column(at.start);
        Self { from, width: column(at.end).saturating_sub(from).max(1) }
    }

    const fn before(&self) -> u16 {
        self.from.saturating_sub(1)
    }

    const fn behind(&self, room: u16) -> u16 {
        room.saturating_sub(self.from + self.width + 1)
    }
}

/// How many columns of the text are scrolled out. The cell behind the last character is the cursor's.
fn scroll(line: &FilterLine, room: u16) -> u16 {
    columns(line.input.visual_scroll(usize::from(room.saturating_sub(1))))
}

/// What was expected.
fn message(line: &FilterLine, mistake: &Mistake, glyphs: &Glyphs) -> String {
    let message = match mistake {
        Mistake::Wrong(error) => error.to_string(),
        Mistake::Name(_) if line.taking => "asking for the name".to_owned(),
        Mistake::Name(_) => format!("no address; {} asks whether it is the name of a host", glyphs.enter),
    };
    ForeignText::from(message.as_str()).to_string()
}

/// How much matches what is in force.
fn state(app: &App) -> String {
    let FilterState { line, shown, in_force, .. } = &app.filter;
    let Some(line) = line else { return String::new() };
    if line.newest().is_none() {
        return "reading".to_owned();
    }
    let protocol = app.protocol();
    let whole = app.stream.world().map(|w| sockets(w, protocol));
    match (shown, in_force, whole) {
        (_, None, _) => "no filter: every socket; Tab offers words".to_owned(),
        (Some(shown), Some(filter), Some(whole)) if shown.by == *filter => {
            let matching = sockets(&shown.narrowed.world, protocol);
            let what = match protocol {
                Protocol::Tcp => "sockets",
                Protocol::Udp => "UDP sockets",
            };
            format!("{} of {} {what} match", Grouped(matching), Grouped(whole))
        }
        _ => "looking".to_owned(),
    }
}

/// Draws, instead of the footer's keys, what had no room below the line, or the words that could stand at the cursor. Says
/// whether there was anything.
pub fn footer(app: &App, area: Rect, canvas: &mut Canvas<'_>) -> bool {
    let Some(line) = &app.filter.line else { return false };
    if let Some(said) = Said::of(app, line, canvas.glyphs()).filter(|_| line.cycle.is_none()) {
        let room = room(area);
        let place = Place::of(line, &said.at, room);
        if paint::width(&said.message) > place.behind(room).max(place.before()) {
            canvas.text(area.x + 2, area.y, room, &said.message, said.role);
            return true;
        }
    }
    words(line, area, canvas)
}

fn words(line: &FilterLine, area: Rect, canvas: &mut Canvas<'_>) -> bool {
    let offered = line.newest().map(|read| (&read.completion.words, None));
    let Some((words, chosen)) = line.cycle.as_ref().map(|c| (&c.words, Some(c.chosen))).or(offered) else {
        return false;
    };
    if words.is_empty() || line.text().is_empty() {
        return false;
    }
    let mut x = canvas.text(area.x + 1, area.y, area.width.saturating_sub(1), "Tab", Role::Key) + 2;
    // The chosen one is always seen.
    let first = chosen.map_or(0, |at| at.saturating_sub(3));
    for (at, word) in words.iter().enumerate().skip(first) {
        let role = if Some(at) == chosen { Role::Tab } else { Role::Label };
        if x >= area.right() {
            break;
        }
        x = canvas.text(x, area.y, area.right() - x, word, role) + 2;
    }
    true
}

/// The filter that the rows and totals are narrowed by, in words that a terminal can be given.
#[must_use]
pub fn shown(app: &App) -> Option<String> {
    let shown = app.filter.shown.as_ref()?;
    Some(ForeignText::from(shown.by.expr().to_string().as_str()).to_string())
}
