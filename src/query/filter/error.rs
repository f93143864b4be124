//! What is wrong with an expression, and where.

use std::fmt;
use std::ops::Range;

use crate::model::ForeignText;

/// Why a text is no filter. Its `Display` is one line; [`FilterError::pointed`] also shows the place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct FilterError {
    /// The bytes of the text that are wrong; empty where something is missing.
    pub at: Range<usize>,
    /// What is wrong, or what was expected there.
    pub what: String,
    /// A word that may have been meant.
    pub nearest: Option<String>,
}

impl FilterError {
    pub(super) fn new(at: Range<usize>, what: impl Into<String>) -> Self {
        Self { at, what: what.into(), nearest: None }
    }

    pub(super) fn nearest<'a>(mut self, given: &str, words: impl IntoIterator<Item = &'a str>) -> Self {
        // Swapped and missing letters, which count more in short words than a common beginning does. What is long is no
        // misspelt word, and would take long to compare.
        let most = 1 + given.len() / 4;
        self.nearest = words
            .into_iter()
            .filter(|_| given.len() <= 32)
            .map(|word| (strsim::osa_distance(&given.to_ascii_lowercase(), word), word))
            .filter(|(distance, word)| *distance <= most && *distance < word.len())
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, word)| word.to_owned());
        self
    }

    /// The message, the text around the place, and a line that points at it, for a terminal with a fixed width of
    /// characters.
    #[must_use]
    pub fn pointed(&self, text: &str) -> String {
        /// Characters that are shown on either side of the place, and of it.
        const AROUND: usize = 60;
        let shown = |s: &str| -> String {
            s.chars().map(|c| if crate::model::is_unprintable(c) { '\u{fffd}' } else { c }).collect()
        };
        let width = |s: &str| unicode_width::UnicodeWidthStr::width(s);
        let before = text.get(..self.at.start).unwrap_or(text);
        let skipped = before.chars().count().saturating_sub(AROUND);
        let before: String = shown(before).chars().skip(skipped).collect();
        let wrong: String = shown(text.get(self.at.clone()).unwrap_or("")).chars().take(AROUND).collect();
        let after: String = shown(text.get(self.at.end..).unwrap_or("")).chars().take(AROUND).collect();
        let carets = "^".repeat(width(&wrong).max(1));
        format!("{self}\n  {before}{wrong}{after}\n  {}{carets}", " ".repeat(width(&before)))
    }
}

/// What is worth a remark about a text that is taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The bytes of the text that it is about.
    pub at: Range<usize>,
    /// The remark.
    pub what: String,
}

impl Note {
    /// The remark on one line behind what it is about, or the beginning of that.
    #[must_use]
    pub fn about(&self, text: &str) -> String {
        /// Characters of the text.
        const MOST: usize = 60;
        let part: String = text.get(self.at.clone()).unwrap_or("").chars().take(MOST).collect();
        format!("{}: {}", ForeignText::from(part.as_str()), self.what)
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        match &self.nearest {
            Some(word) => write!(f, "; did you mean {word}?"),
            None => Ok(()),
        }
    }
}
