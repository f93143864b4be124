//! The index thread: filters and sorts, so that the drawing thread never does.
//!
//! It takes the newest [`Question`] and posts an [`Answer`]. Row numbers mean something in one world only, so an
//! answer carries the world that it was made from.

mod rows;

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use crate::analysis::World;
use crate::diagnose::Judged;
use crate::engine::Wanted;
use crate::engine::mailbox::Mailbox;
use crate::model::{Endpoint, Ip};
use crate::query::filter::{Filter, Infos, Narrowed, Narrower, Scene};
use crate::query::{
    self, CounterQuery, DestinationQuery, FindingKey, FindingQuery, ListenerQuery, PeerQuery, ProcessKey,
    ProcessQuery, SocketKey, SocketQuery, SysctlQuery,
};

use rows::find_socket;
pub use rows::{Rows, snapshot};

/// The identity of a row of any table over time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum RowKey {
    /// A peer or a network, by its first address.
    Peer(Ip),
    /// A socket; of a listener, its own.
    Socket(SocketKey),
    /// A destination.
    Destination {
        /// Inode of the network namespace.
        netns: u64,
        /// Local address.
        local: Ip,
        /// Peer address and port.
        peer: Endpoint,
    },
    /// A row of the processes table, by a hash of its key.
    Process(u64),
    /// A finding, or a rule that could not be judged.
    Finding(FindingKey),
    /// A sysctl.
    Sysctl(&'static str),
    /// A counter.
    Counter(Arc<str>),
}

impl RowKey {
    /// The identity of a row of the processes table.
    #[must_use]
    pub fn process(key: &ProcessKey) -> Self {
        Self::Process(BuildHasherDefault::<DefaultHasher>::default().hash_one(key))
    }
}

/// What a page wants to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// Peers.
    Peers(PeerQuery),
    /// Sockets.
    Sockets(SocketQuery),
    /// Listeners.
    Listeners(ListenerQuery),
    /// Destinations of the ephemeral ports.
    Destinations(DestinationQuery),
    /// Processes.
    Processes(ProcessQuery),
    /// UDP sockets.
    Udp(SocketQuery),
    /// One socket, wherever it is now.
    Socket(SocketKey),
    /// Findings, and the rules that could not be judged.
    Findings(FindingQuery),
    /// One of them.
    Finding(FindingKey),
    /// Sysctls.
    Sysctls(SysctlQuery),
    /// One of them, of the namespace with this inode, else of the first.
    Sysctl(Option<u64>, &'static str),
    /// Counters.
    Counters(CounterQuery),
    /// One of them, of the namespace with this inode, else of the first.
    Counter(Option<u64>, Arc<str>),
}

impl Query {
    /// How many of the first rows are wanted.
    #[must_use]
    pub const fn want(&self) -> usize {
        match self {
            Self::Peers(q) => q.want,
            Self::Sockets(q) | Self::Udp(q) => q.want,
            Self::Listeners(q) => q.want,
            Self::Destinations(q) => q.want,
            Self::Processes(q) => q.want,
            Self::Findings(q) => q.want,
            Self::Sysctls(q) => q.want,
            Self::Counters(q) => q.want,
            Self::Socket(_) | Self::Finding(_) | Self::Sysctl(..) | Self::Counter(..) => 1,
        }
    }

    /// The same query for another number of rows.
    #[must_use]
    pub fn wanting(&self, want: usize) -> Self {
        let mut query = self.clone();
        match &mut query {
            Self::Peers(q) => q.want = want,
            Self::Sockets(q) | Self::Udp(q) => q.want = want,
            Self::Listeners(q) => q.want = want,
            Self::Destinations(q) => q.want = want,
            Self::Processes(q) => q.want = want,
            Self::Findings(q) => q.want = want,
            Self::Sysctls(q) => q.want = want,
            Self::Counters(q) => q.want = want,
            Self::Socket(_) | Self::Finding(_) | Self::Sysctl(..) | Self::Counter(..) => {}
        }
        query
    }

    /// Whether both name the same rows in the same order, however many of them.
    #[must_use]
    pub fn same_order(&self, other: &Self) -> bool {
        *self == other.wanting(self.want())
    }

    /// Whether a filter applies: findings and the kernel are of the whole machine, and what is open stays when it no
    /// longer matches.
    const fn is_narrowed(&self) -> bool {
        matches!(
            self,
            Self::Peers(_)
                | Self::Sockets(_)
                | Self::Udp(_)
                | Self::Listeners(_)
                | Self::Destinations(_)
                | Self::Processes(_)
        )
    }

    /// The rows of the world that is left of a look.
    fn run(&self, look: &Judged, world: &World) -> Rows {
        match self {
            Self::Peers(q) => Rows::Peers(query::peers(world, q)),
            Self::Sockets(q) => Rows::Sockets(query::sockets(world, q)),
            Self::Listeners(q) => Rows::Listeners(query::listeners(world, q)),
            Self::Destinations(q) => Rows::Destinations(query::destinations(world, q)),
            Self::Processes(q) => Rows::Processes(query::processes(world, q)),
            Self::Udp(q) => Rows::Sockets(query::udp_sockets(world, q)),
            Self::Socket(key) => Rows::Socket(find_socket(world, *key)),
            Self::Findings(q) => Rows::Findings(query::findings(look, q)),
            Self::Finding(key) => Rows::Finding(query::finding(look, key).map(Box::new)),
            Self::Sysctls(q) => Rows::Sysctls(query::sysctls(world, q)),
            Self::Sysctl(ns, name) => Rows::Sysctl(query::sysctl(world, *ns, name).map(Box::new)),
            Self::Counters(q) => Rows::Counters(query::counters(world, q)),
            Self::Counter(ns, name) => Rows::Counter(query::counter(world, *ns, name).map(Box::new)),
        }
    }
}

/// What a page asks the index thread.
#[derive(Clone, Debug)]
pub struct Question {
    /// Number of the question, growing.
    pub id: u64,
    /// Of which look.
    pub look: Arc<Judged>,
    /// What.
    pub query: Query,
    /// Of which sockets only.
    pub filter: Option<Arc<Filter>>,
    /// Where is this row?
    pub selected: Option<RowKey>,
}

/// What the index thread answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Number of the question.
    pub id: u64,
    /// The world that the rows are of: that of the matching sockets.
    pub world: Arc<World>,
    /// What was asked.
    pub query: Query,
    /// The filter, and what it left.
    pub filtered: Option<Filtered>,
    /// The row that was looked for.
    pub selected: Option<RowKey>,
    /// Where it is in the order; `None` if it is not there any more.
    pub selected_at: Option<usize>,
    /// It is a socket that is not in the order because of the filter alone.
    pub hidden: bool,
    /// The rows.
    pub rows: Rows,
}

/// A filter, and what it left of a world.
#[derive(Clone, Debug)]
pub struct Filtered {
    /// The filter.
    pub by: Arc<Filter>,
    /// The matching sockets.
    pub narrowed: Narrowed,
}

/// Asks for the `tcp_info` of sockets, and waits for it.
pub type Asker = Box<dyn FnMut(Wanted) -> Infos + Send>;

/// Answers questions, and keeps the past of the sockets that match the filter.
#[derive(Default)]
pub struct Index {
    asker: Option<Asker>,
    narrower: Option<Narrower>,
    /// The world that was narrowed last, and what was left of it.
    last: Option<(Weak<World>, Narrowed)>,
}

impl Index {
    /// One that can ask for what the table does not say.
    #[must_use]
    pub fn asking(asker: Asker) -> Self {
        Self { asker: Some(asker), ..Self::default() }
    }

    /// Answers a question. The row that is looked for is found wherever it stands: if it is not among those wanted, more
    /// are sorted.
    #[must_use]
    pub fn answer(&mut self, question: Question) -> Answer {
        let Question { id, look, query, filter, selected } = question;
        let whole = &look.world;
        let filtered = self.filtered(whole, filter);
        let world = match &filtered {
            Some(filtered) if query.is_narrowed() => Arc::clone(&filtered.narrowed.world),
            _ => Arc::clone(whole),
        };
        let (rows, selected_at) = find(&look, &world, &query, selected.as_ref());
        let hidden = selected_at.is_none()
            && filtered.is_some()
            && matches!(selected, Some(RowKey::Socket(key)) if find_socket(whole, key).is_some());
        Answer { id, world, query, filtered, selected, selected_at, hidden, rows }
    }

    /// What is left of a world; a world is narrowed once, however many questions there are about it.
    fn filtered(&mut self, whole: &Arc<World>, filter: Option<Arc<Filter>>) -> Option<Filtered> {
        let Some(by) = filter else {
            (self.narrower, self.last) = (None, None);
            return None;
        };
        if self.narrower.as_ref().is_none_or(|n| *n.filter() != by) {
            (self.narrower, self.last) = (Some(Narrower::new(Arc::clone(&by))), None);
        }
        let narrowed = match &self.last {
            Some((of, narrowed)) if of.as_ptr() == Arc::as_ptr(whole) => narrowed.clone(),
            _ => {
                // The old table is given back before the next one is made.
                self.last = None;
                let infos =
                    self.asker.as_mut().filter(|_| by.needs().info).map(|ask| ask(wanted(whole, &by)));
                let narrowed = self.narrower.as_mut()?.narrow(whole, infos.as_ref());
                self.last = Some((Arc::downgrade(whole), narrowed.clone()));
                narrowed
            }
        };
        Some(Filtered { by, narrowed })
    }
}

/// The sockets of which it hangs on their `tcp_info` whether they match.
fn wanted(world: &World, filter: &Filter) -> Wanted {
    let mut wanted = Wanted::new();
    for snapshot in &world.snapshots {
        let scene = Scene::new(snapshot);
        let table = &snapshot.sample.table;
        let rows = table.rows.iter().enumerate();
        let rows = rows.filter(|(at, row)| filter.wants_info(&scene, *at, row));
        wanted.extend(rows.map(|(_, row)| (*row, table.origin(row))));
    }
    wanted
}

fn find(look: &Judged, world: &World, query: &Query, selected: Option<&RowKey>) -> (Rows, Option<usize>) {
    let mut rows = query.run(look, world);
    let mut selected_at = selected.and_then(|key| rows.position(key, world));
    let more = rows.len() < rows.reachable(query.want());
    if let Some(key) = selected
        && selected_at.is_none()
        && more
        && match key {
            RowKey::Socket(key) => find_socket(world, *key).is_some(),
            _ => true,
        }
    {
        let all = query.wanting(rows.matching()).run(look, world);
        selected_at = all.position(key, world);
        if selected_at.is_some() {
            rows = all;
        }
    }
    (rows, selected_at)
}

/// Answers a single question.
#[must_use]
pub fn answer(question: Question) -> Answer {
    Index::default().answer(question)
}

/// Starts the index thread. It ends when `questions` is closed.
///
/// # Errors
/// When no thread can be made.
pub fn start(
    asker: Option<Asker>,
    questions: Arc<Mailbox<Question>>,
    answers: Arc<Mailbox<Answer>>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("index".into()).spawn(move || {
        // However this thread ends, the drawing thread hears of it.
        let _closing = CloseOnDrop(Arc::clone(&answers));
        let mut index = asker.map_or_else(Index::default, Index::asking);
        while let Some(question) = questions.wait() {
            answers.post(index.answer(question));
        }
    })
}

struct CloseOnDrop(Arc<Mailbox<Answer>>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SocketRow;
    use crate::query::filter::Numbers;
    use crate::query::{ColumnId, Grouping, PeerColumn, Selection, Sort};
    use crate::testkit;

    fn sockets(want: usize) -> Query {
        Query::Sockets(SocketQuery { select: Selection::All, sort: Sort::by(ColumnId::RecvQ), want })
    }

    fn look_at(rows: Vec<SocketRow>) -> Arc<Judged> {
        Arc::new(Judged { world: Arc::new(testkit::world_of(rows)), judgements: Vec::new() })
    }

    #[test]
    fn a_row_is_found_even_far_below_what_was_wanted() {
        let look = look_at(testkit::many(5_000));
        let all = sockets(5_000).run(&look, &look.world);
        let key = all.key(4_321, &look.world);
        let found = answer(Question {
            id: 1,
            look: Arc::clone(&look),
            query: sockets(50),
            filter: None,
            selected: key.clone(),
        });
        assert_eq!(found.selected_at, Some(4_321));
        assert_eq!(found.rows.key(4_321, &look.world), key);
    }

    #[test]
    fn a_row_that_ended_is_not_found_and_costs_no_full_sort() {
        let look = look_at(testkit::many(500));
        let gone = Some(RowKey::Socket(SocketKey { netns: 4_026_531_840, id: 999_999 }));
        let answer = answer(Question { id: 1, look, query: sockets(50), filter: None, selected: gone });
        assert_eq!((answer.selected_at, answer.rows.len()), (None, 50));
        assert_eq!(answer.rows.matching(), 500);
    }

    #[test]
    fn an_answer_belongs_to_a_query_whatever_its_length() {
        let peers =
            |column, want| Query::Peers(PeerQuery { group: Grouping::Address, sort: Sort::by(column), want });
        assert!(peers(PeerColumn::Total, 5).same_order(&peers(PeerColumn::Total, 500)));
        assert!(!peers(PeerColumn::Total, 5).same_order(&peers(PeerColumn::Addr, 5)));
        assert!(!peers(PeerColumn::Total, 5).same_order(&sockets(5)));
    }

    fn filter(text: &str) -> Option<Arc<Filter>> {
        Filter::parse(text, &Numbers).unwrap()
    }

    #[test]
    fn a_world_is_narrowed_once_and_a_filter_on_times_asks_for_the_rows_that_it_hangs_on() {
        let look = look_at(testkit::many(500));
        let closed = look.world.snapshots[0].sample.table.rows.iter();
        let closed = closed.filter(|r| r.state == crate::model::TcpState::CloseWait).count();
        let (asked, seen) = std::sync::mpsc::channel();
        let mut index = Index::asking(Box::new(move |wanted| {
            asked.send(wanted.len()).unwrap();
            // A round trip of 25 ms for the first of them, nothing about the others.
            let mut info = vec![0; 280];
            info[68..72].copy_from_slice(&25_000_u32.to_ne_bytes());
            wanted
                .first()
                .map(|(row, _)| (row.cookie(), Some(crate::model::TcpInfo::new(&info))))
                .into_iter()
                .collect()
        }));
        let mut ask = |filter: Option<Arc<Filter>>| {
            index.answer(Question {
                id: 1,
                look: Arc::clone(&look),
                query: sockets(50),
                filter,
                selected: None,
            })
        };
        let slow = filter("state close-wait and rtt > 20ms");
        for _ in 0..2 {
            let answer = ask(slow.clone());
            assert_eq!(answer.rows.matching(), 1);
            assert_eq!(answer.filtered.unwrap().narrowed.unknown, closed - 1);
        }
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [closed], "one question for one look");
        assert_eq!(ask(filter("state close-wait")).rows.matching(), closed);
        assert_eq!(ask(None).rows.matching(), 500);
        assert_eq!(seen.try_iter().count(), 0);
    }

    #[test]
    fn a_socket_that_a_filter_hides_is_told_from_one_that_ended() {
        let look = look_at(testkit::many(500));
        let key = |id| Some(RowKey::Socket(SocketKey { netns: 4_026_531_840, id }));
        let ask = |id, text| {
            let filter = filter(text);
            answer(Question { id: 1, look: Arc::clone(&look), query: sockets(50), filter, selected: key(id) })
        };
        assert!(ask(7, "sport 1").hidden);
        assert!(!ask(7, "sport 443").hidden && ask(7, "sport 443").selected_at.is_some());
        assert!(!ask(999_999, "sport 1").hidden);
        assert!(!ask(999_999, "").hidden);
    }

    #[test]
    fn the_thread_answers_the_newest_question_and_ends_with_its_mailbox() {
        let look = look_at(testkit::many(100));
        let (questions, answers) = (Arc::new(Mailbox::new()), Arc::new(Mailbox::new()));
        let question = |want| Question {
            id: 1,
            look: Arc::clone(&look),
            query: sockets(want),
            filter: None,
            selected: None,
        };
        questions.post(question(1));
        questions.post(question(7));
        let thread = start(None, Arc::clone(&questions), Arc::clone(&answers)).unwrap();
        assert_eq!(answers.wait().unwrap().rows.len(), 7);
        questions.close();
        thread.join().unwrap();
        assert!(answers.wait().is_none());
    }
}
