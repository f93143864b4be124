//! A page about one socket, and what any page about one thing keeps of it.

use std::time::Duration;

use crate::model::{Origin, Protocol, SocketDetail, SocketRow};
use crate::query::SocketKey;

use super::index::{Answer, snapshot};
use super::options::Asking;
use super::page::seen;

/// What is known of one thing that a page is about, also when it is gone.
#[derive(Clone, Default, Debug)]
pub struct Kept {
    /// The last answer that had it.
    pub answer: Option<Answer>,
    /// Since when it is gone, by the clock of the samples.
    pub gone: Option<Duration>,
    /// The newest world that was looked at.
    pub seen: Duration,
}

impl Kept {
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
}

/// Everything about one socket.
#[derive(Clone, Debug)]
pub struct DetailPage {
    /// Which.
    pub key: SocketKey,
    /// What is known of it.
    pub kept: Kept,
    /// What the exact query said; `None` inside when it found nothing.
    pub live: Option<Option<SocketDetail>>,
    /// What came of asking the socket for its options.
    pub options: Asking,
    /// The first line on the screen.
    pub scroll: usize,
}

impl DetailPage {
    /// A page that knows nothing but its socket yet.
    #[must_use]
    pub fn new(key: SocketKey) -> Self {
        Self { key, kept: Kept::default(), live: None, options: Asking::Not, scroll: 0 }
    }

    /// What the socket speaks.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        let answer = self.kept.answer.as_ref()?;
        Some(snapshot(&answer.world, answer.rows.row(0)?)?.sample.protocol)
    }

    /// The row of the socket and what it shares with others.
    #[must_use]
    pub fn row(&self) -> Option<(SocketRow, Origin)> {
        let answer = self.kept.answer.as_ref()?;
        let id = answer.rows.row(0)?;
        let table = &snapshot(&answer.world, id)?.sample.table;
        table.rows.get(id.row as usize).map(|row| (*row, table.origin(row)))
    }
}
