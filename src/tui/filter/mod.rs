//! The filter of the screen: the one that is in force, the line in which it is typed, and those of before.
//!
//! A text is read on threads of its own ([`reader`]), because users, services and cgroups are looked up in files and hosts
//! by asking a name server. While a filter is typed, each text that can be read is in force at once; one that cannot
//! leaves the last one that could.

pub mod draw;
mod line;
pub mod reader;

use std::sync::Arc;

use ratatui::crossterm::event::{Event, KeyEvent};

use super::app::App;
use super::index::Filtered;
use super::keymap::Action;
use super::msg::Effect;
use super::update::ask;
use crate::model::is_unprintable;
use crate::query::filter::Filter;
pub use line::FilterLine;
use reader::{Mistake, Read, Reading};

/// How many filters are remembered.
const HISTORY: usize = 100;

/// The filter of the screen.
#[derive(Clone, Debug, Default)]
pub struct FilterState {
    /// What is asked for.
    pub in_force: Option<Arc<Filter>>,
    /// The same as it was typed.
    pub text: String,
    /// What the rows and totals on the screen were narrowed by; follows `in_force` as soon as the index thread answers.
    pub shown: Option<Filtered>,
    /// The line in which a filter is typed, while it is open.
    pub line: Option<FilterLine>,
    /// What was in force before, newest last.
    history: Vec<String>,
    /// Number of the last reading.
    readings: u64,
}

impl FilterState {
    /// A filter that is in force from the start, as it was typed.
    #[must_use]
    pub fn starting_with(filter: Option<Arc<Filter>>, text: &str) -> Self {
        let text = if filter.is_some() { harmless(text) } else { String::new() };
        let history = filter.iter().map(|_| text.clone()).collect();
        Self { in_force: filter, text, history, ..Self::default() }
    }

    /// Whether a filter was taken that is still being read: keys that follow are not meant for its line.
    #[must_use]
    pub fn is_taking(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.taking)
    }
}

/// A text without what could command a terminal.
fn harmless(text: &str) -> String {
    let kept = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    kept.filter(|c| !is_unprintable(*c)).collect()
}

/// Opens the line, with the cursor behind the filter that is in force, or else the one before.
pub fn open(app: &mut App, effects: &mut Vec<Effect>) {
    let filter = &mut app.filter;
    let last = if filter.in_force.is_some() { Some(&filter.text) } else { filter.history.last() };
    let text = last.cloned().unwrap_or_default();
    filter.line = Some(FilterLine::new(&text, (filter.in_force.clone(), filter.text.clone())));
    read(app, false, effects);
}

/// What a key of the keymap does to the line.
pub fn act(app: &mut App, action: Action, effects: &mut Vec<Effect>) {
    let Some(line) = &mut app.filter.line else { return };
    match action {
        Action::LineTake => take(app, effects),
        Action::LineGiveUp => {
            if let Some(line) = app.filter.line.take() {
                let (filter, text) = line.before;
                app.filter.text = text;
                put_in_force(app, filter, effects);
            }
        }
        Action::LineComplete | Action::LineCompleteBack => {
            line.complete(action == Action::LineComplete);
            read(app, false, effects);
        }
        Action::LineOlder | Action::LineNewer => {
            line.recall(&app.filter.history, action == Action::LineOlder);
            read(app, false, effects);
        }
        _ => {}
    }
}

/// A key that is not in the keymap changes the text. Says whether it did anything.
pub fn edit(app: &mut App, event: KeyEvent, effects: &mut Vec<Effect>) -> bool {
    let Some(line) = &mut app.filter.line else { return false };
    let changed = line.edit(&Event::Key(event));
    if changed {
        read(app, false, effects);
    }
    changed
}

/// Has the text of the line read.
fn read(app: &mut App, resolve: bool, effects: &mut Vec<Effect>) {
    let filter = &mut app.filter;
    let Some(line) = &mut filter.line else { return };
    filter.readings += 1;
    line.reading = filter.readings;
    let world = app.stream.world().cloned();
    let (text, cursor) = (line.text().to_owned(), line.cursor_byte());
    effects.push(Effect::Read(Reading { id: line.reading, text, cursor, world, resolve }));
}

/// Takes the filter of the line, or waits until it has been read.
fn take(app: &mut App, effects: &mut Vec<Effect>) {
    let Some(line) = &mut app.filter.line else { return };
    line.taking = match line.newest().map(|read| (&read.filter, read.resolved)) {
        None => true,
        Some((Ok(_), _)) => {
            let text = line.text().trim().to_owned();
            app.filter.line = None;
            remember(&mut app.filter.history, &text);
            app.filter.text = text;
            return;
        }
        Some((Err(Mistake::Name(_)), false)) => {
            line.taking = true;
            read(app, true, effects);
            return;
        }
        Some((Err(_), _)) => false,
    };
}

fn remember(history: &mut Vec<String>, text: &str) {
    history.retain(|earlier| earlier != text);
    if !text.is_empty() {
        history.push(text.to_owned());
    }
    if history.len() > HISTORY {
        history.remove(0);
    }
}

/// A text was read.
pub fn accept(app: &mut App, read: Read, effects: &mut Vec<Effect>) {
    let Some(line) = app.filter.line.as_mut().filter(|line| line.reading == read.id) else { return };
    app.redraw = true;
    let filter = read.filter.clone().ok();
    line.read = Some(read);
    if line.complete_now() {
        self::read(app, false, effects);
    } else if app.filter.is_taking() {
        take(app, effects);
    }
    if let Some(filter) = filter {
        put_in_force(app, filter, effects);
    }
}

fn put_in_force(app: &mut App, filter: Option<Arc<Filter>>, effects: &mut Vec<Effect>) {
    if app.filter.in_force != filter {
        app.filter.in_force = filter;
        let needs = app.filter.in_force.as_ref().map(|f| f.needs()).unwrap_or_default();
        effects.push(Effect::Need(needs));
        ask(app, effects);
    }
}
