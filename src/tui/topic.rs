//! A page about one thing that is no socket: a finding, a sysctl, a counter.

use crate::analysis::World;
use crate::query::{FindingKey, FindingRow};

use super::detail::Kept;
use super::index::{Query, Rows};
use super::page::TablePage;

/// Everything about one finding, one sysctl, one counter, or a rule that could not be judged.
#[derive(Clone, Debug)]
pub struct TopicPage {
    /// Which.
    pub query: Query,
    /// What is known of it.
    pub kept: Kept,
    /// The first line on the screen.
    pub scroll: usize,
}

impl TopicPage {
    /// A page that knows nothing yet.
    #[must_use]
    pub fn new(query: Query) -> Self {
        Self { query, kept: Kept::default(), scroll: 0 }
    }

    /// A page about a finding.
    #[must_use]
    pub fn finding(key: FindingKey) -> Self {
        Self::new(Query::Finding(key))
    }

    /// What is known, and the world that it is of.
    #[must_use]
    pub fn rows(&self) -> Option<(&Rows, &World)> {
        self.kept.answer.as_ref().map(|a| (&a.rows, &*a.world))
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
