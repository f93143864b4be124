//! The line in which a filter is typed.

use std::sync::Arc;

use ratatui::crossterm::event::Event;
use tui_input::backend::crossterm::to_input_request;
use tui_input::{Input, InputRequest};

use super::reader::Read;
use crate::model::is_unprintable;
use crate::query::filter::Filter;

/// Characters that a filter may have on the screen: far more than anyone types.
const LONGEST: usize = 4096;

/// The words of a completion, one of which stands in the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cycle {
    /// Where they begin, in bytes.
    pub start: usize,
    /// The words.
    pub words: Vec<String>,
    /// Which of them it is.
    pub chosen: usize,
}

/// The line while it is open.
#[derive(Clone, Debug)]
pub struct FilterLine {
    pub(super) input: Input,
    /// What was in force when the line was opened.
    pub(super) before: (Option<Arc<Filter>>, String),
    /// Number of the newest reading.
    pub(super) reading: u64,
    /// The last answer.
    pub(super) read: Option<Read>,
    /// Enter was pressed.
    pub(super) taking: bool,
    /// Tab was pressed before it was known what could be offered; forward or back.
    completing: Option<bool>,
    /// The words that Tab goes through.
    pub(super) cycle: Option<Cycle>,
    /// How many filters back in the history; 0 is what was typed.
    back: usize,
    typed: String,
}

impl FilterLine {
    pub(super) fn new(text: &str, before: (Option<Arc<Filter>>, String)) -> Self {
        Self {
            input: Input::new(text.to_owned()),
            before,
            reading: 0,
            read: None,
            taking: false,
            completing: None,
            cycle: None,
            back: 0,
            typed: String::new(),
        }
    }

    /// What is in it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.input.value()
    }

    /// The byte that the cursor stands before.
    #[must_use]
    pub fn cursor_byte(&self) -> usize {
        let text = self.text();
        text.char_indices().nth(self.input.cursor()).map_or(text.len(), |(at, _)| at)
    }

    /// What is known of the text as it is now.
    #[must_use]
    pub fn newest(&self) -> Option<&Read> {
        self.read.as_ref().filter(|read| read.id == self.reading)
    }

    pub(super) fn edit(&mut self, event: &Event) -> bool {
        let Some(request) = to_input_request(event) else { return false };
        let refused = match request {
            InputRequest::InsertChar(c) => is_unprintable(c) || self.text().chars().count() >= LONGEST,
            _ => false,
        };
        if refused || self.input.handle(request).is_none() {
            return false;
        }
        (self.cycle, self.completing, self.taking) = (None, None, false);
        true
    }

    /// Goes through the filters of before.
    pub(super) fn recall(&mut self, history: &[String], older: bool) {
        let back = if older { (self.back + 1).min(history.len()) } else { self.back.saturating_sub(1) };
        if back == self.back {
            return;
        }
        if self.back == 0 {
            self.typed = self.text().to_owned();
        }
        self.back = back;
        let earlier = history.len().checked_sub(back).and_then(|at| history.get(at));
        let text = earlier.unwrap_or(&self.typed).clone();
        self.put(text, usize::MAX);
        (self.cycle, self.completing, self.taking) = (None, None, false);
    }

    /// Puts the next word that could stand here into the text, as soon as that is known.
    pub(super) fn complete(&mut self, forward: bool) {
        if let Some(cycle) = &mut self.cycle {
            let by = if forward { 1 } else { cycle.words.len() - 1 };
            cycle.chosen = (cycle.chosen + by) % cycle.words.len();
            self.put_chosen();
            return;
        }
        self.completing = Some(forward);
        self.complete_now();
    }

    /// Does what [`FilterLine::complete`] could not do before an answer came. Says whether the text changed.
    pub(super) fn complete_now(&mut self) -> bool {
        let Some(completion) = self.newest().map(|read| read.completion.clone()) else { return false };
        let Some(forward) = self.completing.take() else { return false };
        if completion.words.is_empty() || completion.at.end != self.cursor_byte() {
            return false;
        }
        let chosen = if forward { 0 } else { completion.words.len() - 1 };
        self.cycle = Some(Cycle { start: completion.at.start, words: completion.words, chosen });
        self.put_chosen();
        true
    }

    fn put_chosen(&mut self) {
        let Some(cycle) = &self.cycle else { return };
        let (text, end) = (self.text(), self.cursor_byte());
        let (Some(before), Some(after), Some(word)) =
            (text.get(..cycle.start), text.get(end..), cycle.words.get(cycle.chosen))
        else {
            return;
        };
        let whole = format!("{before}{word}{after}");
        let cursor = before.chars().count() + word.chars().count();
        self.put(whole, cursor);
    }

    fn put(&mut self, text: String, cursor: usize) {
        self.input = Input::new(text).with_cursor(cursor);
    }
}
