//! The state of the screen: what is open, where the cursor is, what was last seen. Everything that is drawn follows
//! from it.

use std::sync::Arc;
use std::time::Duration;

use ratatui::layout::Size;

use crate::analysis::World;
use crate::diagnose::Judged;
use crate::model::Protocol;
use crate::query::filter::SsCommand;

use super::closing::{Closing, Stage};
use super::filter::FilterState;
use super::findings::PaneCursor;
use super::index::Query;
use super::keymap::{Context, Place};
use super::names::Naming;
use super::options::Consent;
use super::page::{Page, TablePage};
use super::screen::Screen;

/// What comes from the machine.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// The look that is shown, or one namespace of it.
    pub shown: Option<Arc<Judged>>,
    /// The same look with all its namespaces.
    pub whole: Option<Arc<Judged>>,
    /// The namespace that is shown, by its inode; `None` for all of them.
    pub netns: Option<u64>,
    /// The newest one while the screen is frozen.
    pub newest: Option<Arc<Judged>>,
    /// The screen stands still.
    pub frozen: bool,
    /// How often is looked.
    pub interval: Duration,
    /// When the last world came, by the clock of the ticks.
    pub arrived: Duration,
    /// Seconds without a world, when there should have been one.
    pub silent: Option<u64>,
    /// Why the last look brought nothing.
    pub trouble: Option<String>,
    /// No more worlds will come.
    pub ended: bool,
}

impl Stream {
    /// The world that is shown.
    #[must_use]
    pub fn world(&self) -> Option<&Arc<World>> {
        self.shown.as_ref().map(|j| &j.world)
    }
}

/// A text that lies over everything until Esc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overlay {
    /// The keys.
    Help,
    /// Connections to be closed.
    Closing,
    /// What is shown, as a command of `ss`.
    Command,
}

/// The state of the screen.
#[derive(Clone, Debug)]
pub struct App {
    /// Size of the terminal.
    pub size: Size,
    /// What comes from the machine.
    pub stream: Stream,
    /// The screen of the tabs.
    pub screen: Screen,
    /// The table of each screen, in the order of [`Screen::ALL`].
    pub tables: [TablePage; Screen::ALL.len()],
    /// What was opened from there, newest last.
    pub trail: Vec<Page>,
    /// Where the cursor is in the findings of the first screen, while it is there and not in the table.
    pub pane: Option<PaneCursor>,
    /// The text that lies over everything, and its first line on the terminal.
    pub overlay: Option<(Overlay, usize)>,
    /// Which sockets are shown.
    pub filter: FilterState,
    /// Names instead of addresses.
    pub naming: Naming,
    /// Connections to be closed, as long as they are shown.
    pub closing: Option<Closing>,
    /// What is shown as a command of `ss`, as long as that is shown.
    pub command: Option<SsCommand>,
    /// Number of the last order to the closing thread.
    pub orders: u64,
    /// Nothing may be changed.
    pub read_only: bool,
    /// The engine was told to look at the UDP sockets.
    pub watches_udp: bool,
    /// Something to say until the next key.
    pub notice: Option<&'static str>,
    /// The user knows what asking sockets for their options does, and wants it.
    pub probing: Consent,
    /// Numbers of the last question and the last answer.
    pub asked: (u64, u64),
    /// Whether what is on the terminal is out of date.
    pub redraw: bool,
    /// The clock of the ticks.
    pub now: Duration,
}

impl App {
    /// A screen that has seen nothing yet.
    #[must_use]
    pub fn new(size: Size, interval: Duration) -> Self {
        Self {
            size,
            stream: Stream { interval, ..Stream::default() },
            screen: Screen::Overview,
            tables: Screen::ALL.map(TablePage::of),
            trail: Vec::new(),
            pane: None,
            overlay: None,
            filter: FilterState::default(),
            naming: Naming::default(),
            closing: None,
            command: None,
            orders: 0,
            read_only: false,
            watches_udp: false,
            notice: None,
            probing: Consent::Missing,
            asked: (0, 0),
            redraw: true,
            now: Duration::ZERO,
        }
    }

    /// Where the user is.
    #[must_use]
    pub fn place(&self) -> Place {
        if self.filter.line.is_some() {
            return Place::FilterLine;
        }
        self.below_the_line()
    }

    /// Where the user is, whatever is typed in a line.
    #[must_use]
    pub fn below_the_line(&self) -> Place {
        match self.overlay {
            Some((Overlay::Help, _)) => return Place::Help,
            Some((Overlay::Command, _)) => return Place::Command,
            Some((Overlay::Closing, _)) => {
                let asks = self.closing.as_ref().is_some_and(|c| !matches!(c.stage, Stage::Done(_)));
                return if asks { Place::AskToClose } else { Place::Closed };
            }
            None => {}
        }
        match self.trail.last() {
            Some(Page::Topic(topic)) if matches!(topic.query, Query::Finding(_)) => Place::Finding,
            Some(Page::Topic(_)) => Place::Topic,
            Some(Page::Detail(_)) => Place::Detail,
            Some(Page::Keepalive(_)) => Place::Keepalive,
            None if self.pane.is_some() => Place::Pane,
            _ => match self.table().map(|t| &t.query) {
                Some(Query::Peers(_)) => Place::Peers,
                Some(Query::Processes(_)) => Place::Processes,
                Some(Query::Sysctls(_) | Query::Counters(_)) if self.trail.is_empty() => Place::Kernel,
                _ => Place::Table,
            },
        }
    }

    /// Where the user is, and whether there is a way back.
    #[must_use]
    pub fn context(&self) -> Context {
        Context {
            place: self.place(),
            deep: self.overlay.is_some() || !self.trail.is_empty() || self.pane.is_some(),
        }
    }

    /// Whether the UDP sockets are shown, or lie under what is.
    #[must_use]
    pub fn shows_udp(&self) -> bool {
        let udp = |page: &Page| matches!(page, Page::Table(t) if matches!(t.query, Query::Udp(_)));
        self.trail.iter().any(udp)
    }

    /// What the sockets speak that are shown, or lie under what is.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        if self.shows_udp() { Protocol::Udp } else { Protocol::Tcp }
    }

    /// The table of the open screen.
    #[must_use]
    pub fn root(&self) -> &TablePage {
        &self.tables[self.screen.index()]
    }

    /// The open table; none when something else lies over it.
    #[must_use]
    pub fn table(&self) -> Option<&TablePage> {
        match self.trail.last() {
            None => Some(self.root()),
            Some(Page::Table(table)) => Some(table),
            Some(Page::Detail(_) | Page::Topic(_) | Page::Keepalive(_)) => None,
        }
    }

    /// The open table, to change it.
    pub fn table_mut(&mut self) -> Option<&mut TablePage> {
        match self.trail.last_mut() {
            None => Some(&mut self.tables[self.screen.index()]),
            Some(Page::Table(table)) => Some(table),
            Some(Page::Detail(_) | Page::Topic(_) | Page::Keepalive(_)) => None,
        }
    }

    /// The world that totals are shown of: the matching sockets, while a filter is in force.
    #[must_use]
    pub fn world_shown(&self) -> Option<&Arc<World>> {
        self.filter.shown.as_ref().map(|f| &f.narrowed.world).or_else(|| self.stream.world())
    }

    /// Whether keys have to wait because what they are meant for is still on its way.
    #[must_use]
    pub fn holds_keys(&self) -> bool {
        self.lacks_rows() || self.filter.is_taking()
    }

    /// Whether the rows of what is open are still on their way.
    #[must_use]
    pub fn lacks_rows(&self) -> bool {
        let has_rows = match self.trail.last() {
            Some(page) => page.world().is_some(),
            None => self.root().answer.is_some(),
        };
        self.is_waiting() && !has_rows
    }

    /// Whether an answer is on its way: a frame drawn now would soon be drawn again.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.asked.1 < self.asked.0
    }
}
