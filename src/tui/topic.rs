//! A page about one thing that is no socket: a finding, a sysctl, a counter.

use std::time::Duration;

use crate::analysis::World;
use crate::query::{FindingKey, FindingRow};

use super::index::{Answer, Query, Rows};
use super::page::{TablePage, seen};

/// Everything about one finding, one sysctl, one counter, or a rule that could not be judged.
#[derive(Clone, Debug)]
pub struct TopicPage {
    /// Which.
    pub query: Query,
    /// The last answer that had it.
    pub answer: Option<Answer>,
    /// Since when it is gone, by the clock of the samples.
    pub gone: Option<Duration>,
    /// The newest world that was looked at.
    pub seen: Duration,
    /// The first line on the screen.
    pub scroll: usize,
}

impl TopicPage {
    /// A page that knows nothing yet.
    #[must_use]
    pub const fn new(query: Query) -> Self {
        Self { query, answer: None, gone: None, seen: Duration::ZERO, scroll: 0 }
    }

    /// A page about a finding.
    #[must_use]
    pub const fn finding(key: FindingKey) -> Self {
        Self::new(Query::Finding(key))
    }

    /// Takes an answer over; what was known of something that went is kept.
    pub fn accept(&mut self, answer: Answer) {
        self.seen = seen(&answer.world);
        if answer.rows.is_empty() {
            self.gone.get_or_insert(self.seen);
        } else {
            self.gone = None;
            self.answer = Some(answer);
        }
    }

    /// What is known, and the world that it is of.
    #[must_use]
    pub fn rows(&self) -> Option<(&Rows, &World)> {
        self.answer.as_ref().map(|a| (&a.rows, &*a.world))
    }

    /// The finding, and the world that it is of.
    #[must_use]
    pub fn row(&self) -> Option<(&FindingRow, &World)> {
        let (rows, world) = self.rows()?;
        if let Rows::Finding(Some(row)) = rows { Some((row, world)) } else { None }
    }

    /// The table of what proves a finding.
    #[must_use]
    pub fn proof(&self) -> Option<TablePage> {
        let (row, _) = self.row()?;
        TablePage::proving(&row.key, row.finding()?)
    }
}
