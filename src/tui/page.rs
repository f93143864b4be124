//! What is open: tables and socket details, each with its own place, so that going back finds it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::analysis::World;
use crate::diagnose::{Finding, Judged, Subject};
use crate::query::{
    Cell, ColumnId, CounterColumn, CounterQuery, DestinationColumn, DestinationQuery, FindingColumn,
    FindingKey, FindingQuery, FindingRow, Grouped, Grouping, KernelScope, ListenerColumn, ListenerQuery,
    PeerColumn, PeerQuery, ProcessColumn, ProcessGrouping, ProcessKey, ProcessQuery, Selection, SocketQuery,
    Sort, SysctlColumn, SysctlQuery, cell, destination_cell, kernel_proof, listener_cell, process_cell,
    proof, proof_of_udp,
};

use super::detail::DetailPage;
use super::index::{Answer, Query, RowKey, Rows, snapshot};
use super::keepalive::KeepalivePage;
use super::screen::Screen;
use super::topic::TopicPage;
use super::udp;

/// How long a selected row that ended stays on the screen.
const GHOST_STAYS: Duration = Duration::from_secs(10);

/// Rows are asked for in steps of this many, so that scrolling seldom waits.
const STEP: usize = 256;

/// A selected row that is no more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ghost {
    /// Which row it was.
    pub key: RowKey,
    /// What it showed.
    pub label: String,
    /// When it was first missing, by the clock of the samples.
    pub since: Duration,
}

/// What stands in a line of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// The row at this place of the order.
    Row(usize),
    /// The selected row that ended.
    Ghost,
}

/// A table, its place and its selection.
#[derive(Clone, Debug)]
pub struct TablePage {
    /// What it is called.
    pub title: String,
    /// What it shows.
    pub query: Query,
    /// The rows, once the index thread has answered.
    pub answer: Option<Answer>,
    /// The line of the cursor.
    pub cursor: usize,
    /// The first line on the screen.
    pub offset: usize,
    /// The row that the cursor stays on. At the top there is none: the cursor shows whatever is first.
    pub selected: Option<RowKey>,
    /// Rows that are marked.
    pub marks: Vec<RowKey>,
    /// The selected row, when it ended a moment ago.
    pub ghost: Option<Ghost>,
    /// How many columns are scrolled out to the left.
    pub skip: usize,
    /// The widest values seen so far, column by column.
    pub widths: Vec<u16>,
    /// The finding whose proof it shows: the sockets are those that prove it now.
    pub proves: Option<FindingKey>,
}

/// When a world was seen, by the clock of its samples.
#[must_use]
pub fn seen(world: &World) -> Duration {
    world.snapshots.first().map_or(Duration::ZERO, |s| s.sample.taken.mono)
}

impl TablePage {
    /// An empty table.
    #[must_use]
    pub fn new(title: impl Into<String>, query: Query) -> Self {
        Self {
            title: title.into(),
            query,
            answer: None,
            cursor: 0,
            offset: 0,
            selected: None,
            marks: Vec::new(),
            ghost: None,
            skip: 0,
            widths: Vec::new(),
            proves: None,
        }
    }

    /// The table that a screen starts with.
    #[must_use]
    pub fn of(screen: Screen) -> Self {
        let query = match screen {
            Screen::Overview | Screen::Peers => Query::Peers(PeerQuery {
                group: Grouping::Address,
                sort: Sort::by(PeerColumn::Total),
                want: STEP,
            }),
            Screen::Sockets => return Self::sockets(screen.title(), Selection::All),
            Screen::Listeners => {
                Query::Listeners(ListenerQuery { sort: Sort::by(ListenerColumn::Fill), want: STEP })
            }
            Screen::Processes => Query::Processes(ProcessQuery {
                group: ProcessGrouping::Process,
                sort: Sort::by(ProcessColumn::Total),
                want: STEP,
            }),
            Screen::Ports => {
                Query::Destinations(DestinationQuery { sort: Sort::by(DestinationColumn::Ratio), want: STEP })
            }
            Screen::Findings => {
                Query::Findings(FindingQuery { sort: Sort::by(FindingColumn::Severity), want: STEP })
            }
            Screen::Kernel => Self::kernel_query(true),
        };
        let title = if screen == Screen::Overview { Screen::Peers.title() } else { screen.title() };
        Self::new(title, query)
    }

    /// A table of some sockets.
    #[must_use]
    pub fn sockets(title: impl Into<String>, select: Selection) -> Self {
        let sort = Sort::by(ColumnId::State);
        Self::new(title, Query::Sockets(SocketQuery { select, sort, want: STEP }))
    }

    /// The UDP sockets, those that drop most first.
    #[must_use]
    pub fn udp(select: Selection) -> Self {
        let sort = Sort::by(ColumnId::Drops);
        Self::new("UDP sockets", Query::Udp(SocketQuery { select, sort, want: STEP }))
    }

    /// What has to be said above the rows: what is missing among them and what would help, or the counters that belong to
    /// them.
    #[must_use]
    pub fn remark(&self) -> Option<Cow<'_, str>> {
        let answer = self.answer.as_ref()?;
        match (&self.query, &answer.rows) {
            (_, Rows::Processes(view)) => view.blind.as_deref().map(Cow::Borrowed),
            (Query::Sockets(SocketQuery { select: Selection::Processes(ProcessKey::Pid(pid)), .. }), _) => {
                in_no_table(*pid, &answer.world).map(Cow::Owned)
            }
            (Query::Udp(_), _) => Some(Cow::Owned(udp::remark(&answer.world))),
            _ => None,
        }
    }

    /// The sysctls of the first namespace, or its counters.
    #[must_use]
    pub fn kernel_query(sysctls: bool) -> Query {
        let scope = KernelScope::default();
        if sysctls {
            Query::Sysctls(SysctlQuery { scope, sort: Sort::by(SysctlColumn::Verdict), want: STEP })
        } else {
            Query::Counters(CounterQuery { scope, sort: Sort::by(CounterColumn::Rule), want: STEP })
        }
    }

    /// What proves a finding: sockets, else counters or sysctls; none where there are no such rows.
    #[must_use]
    pub fn proving(key: &FindingKey, finding: &Finding) -> Option<Self> {
        if let Some(select) = proof_of_udp(finding) {
            let page = Self::udp(select);
            return Some(match &finding.draft.subject {
                process @ Subject::Process { .. } => {
                    Self { title: format!("UDP sockets of {process}"), ..page }
                }
                _ => page,
            });
        }
        let title = proof_title(finding);
        if let Some(select) = proof(finding, key.netns) {
            return Some(Self { proves: Some(key.clone()), ..Self::sockets(title, select) });
        }
        let query = kernel_proof(finding, key.netns)?;
        Some(Self::new(title, query.map_or_else(Query::Sysctls, Query::Counters)))
    }

    /// Keeps the sockets that prove a finding in step with it, as long as there is such a finding.
    pub fn follow(&mut self, look: &Judged) {
        let Some(key) = &self.proves else { return };
        let finding = crate::query::finding(look, key);
        let Some(finding) = finding.as_ref().and_then(FindingRow::finding) else { return };
        if let (Some(select), Query::Sockets(q)) = (proof(finding, key.netns), &mut self.query) {
            q.select = select;
            self.title = proof_title(finding);
        }
    }

    /// Whether the row at a place of the order is of something that is over.
    #[must_use]
    pub fn is_over(&self, row: usize) -> bool {
        match self.answer.as_ref().map(|a| &a.rows) {
            Some(Rows::Findings(v)) => v.rows.get(row).is_some_and(FindingRow::is_over),
            _ => false,
        }
    }

    /// Whether the rows are of several namespaces.
    #[must_use]
    pub fn shows_several(&self) -> bool {
        self.answer.as_ref().is_some_and(|a| a.world.snapshots.len() > 1)
    }

    /// How many lines there are.
    #[must_use]
    pub fn lines(&self) -> usize {
        let rows = self.answer.as_ref().map_or(0, |a| a.rows.reachable(a.query.want()));
        rows + usize::from(self.ghost.is_some())
    }

    /// What stands in a line. The row that ended keeps the cursor's line, the others make room.
    #[must_use]
    pub fn line(&self, at: usize) -> Line {
        match &self.ghost {
            Some(_) if at == self.cursor => Line::Ghost,
            Some(_) if at > self.cursor => Line::Row(at - 1),
            _ => Line::Row(at),
        }
    }

    /// The identity of the row under the cursor; none while it is not known, or is no more.
    #[must_use]
    pub fn key_at_cursor(&self) -> Option<RowKey> {
        self.key(self.cursor)
    }

    /// The identity of the row in a line.
    #[must_use]
    pub fn key(&self, line: usize) -> Option<RowKey> {
        let answer = self.answer.as_ref()?;
        match self.line(line) {
            Line::Row(at) => answer.rows.key(at, &answer.world),
            Line::Ghost => None,
        }
    }

    /// Moves the cursor by lines.
    pub fn step(&mut self, by: isize, height: usize) {
        let mut to = self.cursor.saturating_add_signed(by);
        if self.ghost.take().is_some() && by > 0 {
            to = to.saturating_sub(1);
        }
        self.put(to, height);
    }

    /// Puts the cursor on a line.
    pub fn put(&mut self, line: usize, height: usize) {
        if self.ghost.take().is_some() && line > self.cursor {
            self.cursor = line - 1;
        } else {
            self.cursor = line;
        }
        self.clamp(height);
        self.selected = self.key_at_cursor();
    }

    /// Puts the cursor on the first line, whatever it shows.
    pub fn top(&mut self) {
        self.ghost = None;
        self.selected = None;
        self.cursor = 0;
        self.offset = 0;
    }

    /// Keeps the cursor inside the table and on the screen.
    pub fn clamp(&mut self, height: usize) {
        self.cursor = self.cursor.min(self.lines().saturating_sub(1));
        let last = self.lines().saturating_sub(height);
        self.offset = self.offset.min(last).min(self.cursor);
        if height > 0 && self.cursor >= self.offset + height {
            self.offset = self.cursor + 1 - height;
        }
    }

    /// How many rows have to be there for a screen of `height` lines and some more to scroll.
    #[must_use]
    pub fn wanted(&self, height: usize) -> usize {
        (self.offset.max(self.cursor) + 3 * height.max(1)).next_multiple_of(STEP)
    }

    /// Whether rows are missing that will soon be on the screen.
    #[must_use]
    pub fn needs_more(&self, height: usize) -> bool {
        self.answer.as_ref().is_some_and(|a| {
            let there = a.rows.len();
            there < a.rows.reachable(a.query.want()) && there < self.offset + 2 * height
        })
    }

    /// Takes an answer over. The cursor stays on its row; a row that ended stays for a moment.
    pub fn accept(&mut self, answer: Answer, height: usize) {
        let now = seen(&answer.world);
        let filter = |a: &Answer| a.filtered.as_ref().map(|f| Arc::clone(&f.by));
        // What a filter hides has not ended.
        let hidden = answer.hidden || self.answer.as_ref().is_some_and(|a| filter(a) != filter(&answer));
        match (&self.selected, answer.selected_at) {
            (Some(_), Some(at)) => {
                self.ghost = None;
                self.cursor = at;
            }
            (Some(_), None) if hidden => self.ghost = None,
            (Some(key), None) => match &self.ghost {
                Some(ghost) if now.saturating_sub(ghost.since) >= GHOST_STAYS => self.ghost = None,
                Some(_) => {}
                None => {
                    let label = self.answer.as_ref().and_then(|before| label(before, key, self.cursor));
                    self.ghost = label.map(|label| Ghost { key: key.clone(), label, since: now });
                }
            },
            (None, _) => self.ghost = None,
        }
        self.answer = Some(answer);
        self.clamp(height);
        if self.ghost.is_none() && (self.selected.is_some() || self.cursor > 0) {
            self.selected = self.key_at_cursor();
        }
    }
}

/// What the sockets that prove a finding are called: with how many there are, where not all are kept.
fn proof_title(finding: &Finding) -> String {
    let kept = finding.draft.proof.cut().map_or_else(String::new, |(kept, total)| {
        format!(", {} of {}", Grouped(kept as u64), Grouped(total as u64))
    });
    format!("Proof of {}{kept}: {}", finding.rule, finding.draft.subject)
}

/// What the table of a process cannot show: sockets that are in no table.
fn in_no_table(pid: u32, world: &World) -> Option<String> {
    const SHOWN: usize = 12;
    let owners = world.owners()?;
    let count = *owners.by_pid(pid)?.unlisted.known().filter(|n| **n > 0)?;
    let which = owners.in_no_table.get(&pid).map_or(&[][..], |which| which);
    let mut fds: Vec<String> = which.iter().take(SHOWN).map(|w| w.fd.to_string()).collect();
    if usize::try_from(count).is_ok_and(|n| n > fds.len()) {
        fds.push("and more".to_owned());
    }
    Some(format!(
        "{count} TCP sockets of it are in no table (dead and not closed, or never bound): descriptors {}; o asks them",
        fds.join(", ")
    ))
}

/// What a row showed, in one line.
fn label(answer: &Answer, key: &RowKey, cursor: usize) -> Option<String> {
    let places = [answer.selected_at, Some(cursor)].into_iter().flatten();
    let at = places.into_iter().find(|at| answer.rows.key(*at, &answer.world).as_ref() == Some(key))?;
    let world = &answer.world;
    let of = |id| snapshot(world, id);
    let text = match &answer.rows {
        Rows::Peers(v) => v.rows.get(at)?.prefix_len.map_or_else(
            || v.rows.get(at).map(|r| r.addr.to_string()),
            |len| v.rows.get(at).map(|r| Cell::Network(r.addr, len).to_string()),
        )?,
        Rows::Processes(v) => {
            let row = v.rows.get(at)?;
            [ProcessColumn::Name, ProcessColumn::Pid].map(|c| process_cell(c, row).to_string()).join("  ")
        }
        Rows::Sockets(_) | Rows::Socket(_) => {
            let id = answer.rows.row(at)?;
            let show = |column| of(id).map(|s| cell(column, s, id.row as usize).to_string());
            let (state, local, peer) =
                (show(ColumnId::State)?, show(ColumnId::Local)?, show(ColumnId::Peer)?);
            format!("{state}  {local}  {peer}")
        }
        Rows::Listeners(_) => {
            let id = answer.rows.row(at)?;
            listener_cell(ListenerColumn::Local, of(id)?, id.row as usize).to_string()
        }
        Rows::Destinations(_) => {
            let id = answer.rows.row(at)?;
            let show = |column| of(id).map(|s| destination_cell(column, s, id.row as usize).to_string());
            format!("{}  {}", show(DestinationColumn::LocalAddr)?, show(DestinationColumn::Peer)?)
        }
        Rows::Findings(v) => v.rows.get(at)?.title.clone(),
        Rows::Finding(row) => row.as_ref()?.title.clone(),
        Rows::Sysctls(v) => v.rows.get(at)?.audit.name.to_owned(),
        Rows::Sysctl(row) => row.as_ref()?.audit.name.to_owned(),
        Rows::Counters(v) => v.rows.get(at)?.past.name.to_string(),
        Rows::Counter(row) => row.as_ref()?.past.name.to_string(),
    };
    Some(text)
}

/// What lies over the screen's own table.
#[derive(Clone, Debug)]
pub enum Page {
    /// A table.
    Table(Box<TablePage>),
    /// A socket.
    Detail(Box<DetailPage>),
    /// A finding, a sysctl, a counter.
    Topic(Box<TopicPage>),
    /// Keepalive of many connections.
    Keepalive(Box<KeepalivePage>),
}

impl Page {
    /// What it wants to know.
    #[must_use]
    pub fn query(&self) -> Query {
        match self {
            Self::Table(t) => t.query.clone(),
            Self::Detail(d) => Query::Socket(d.key),
            Self::Topic(t) => t.query.clone(),
            Self::Keepalive(k) => k.query(),
        }
    }

    /// Forgets its rows, so that no old world is kept for them.
    pub fn release(&mut self) {
        match self {
            Self::Table(t) => t.answer = None,
            Self::Detail(d) => d.kept.answer = None,
            Self::Topic(t) => t.kept.answer = None,
            Self::Keepalive(k) => k.answer = None,
        }
    }

    /// The world whose rows it shows.
    #[must_use]
    pub fn world(&self) -> Option<&Arc<World>> {
        match self {
            Self::Table(t) => t.answer.as_ref().map(|a| &a.world),
            Self::Detail(d) => d.kept.answer.as_ref().map(|a| &a.world),
            Self::Topic(t) => t.kept.answer.as_ref().map(|a| &a.world),
            Self::Keepalive(k) => k.answer.as_ref().map(|a| &a.world),
        }
    }

    /// The first line of a text on the screen, to be scrolled; none for a table.
    pub fn scroll_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::Table(_) => None,
            Self::Detail(d) => Some(&mut d.scroll),
            Self::Topic(t) => Some(&mut t.scroll),
            Self::Keepalive(k) => Some(&mut k.scroll),
        }
    }
}
