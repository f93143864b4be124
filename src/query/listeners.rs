//! The listeners table.

use super::cell::Cell;
use super::column::{Column, Sort, Spec};
use super::columns::ColumnId;
use super::key::Key;
use super::owned;
use super::top::Top;
use super::values::local;
use super::{ListenerView, RowId};
use crate::analysis::{ListenerAgg, Snapshot, World};
use crate::model::TcpState;

/// A column of the listeners table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is explained by its help, which is one of its properties")]
pub enum ListenerColumn {
    Local,
    Queue,
    Backlog,
    Fill,
    Drops,
    NewDrops,
    Total,
    Established,
    SynRecv,
    CloseWait,
    TimeWait,
    Unaccepted,
    NoKeepalive,
    Process,
    Netns,
}

use ListenerColumn as C;

impl Column for ListenerColumn {
    fn all() -> &'static [Self] {
        &[
            C::Local,
            C::Queue,
            C::Backlog,
            C::Fill,
            C::Drops,
            C::NewDrops,
            C::Total,
            C::Established,
            C::SynRecv,
            C::CloseWait,
            C::TimeWait,
            C::Unaccepted,
            C::NoKeepalive,
            C::Process,
            C::Netns,
        ]
    }

    fn spec(self) -> Spec {
        match self {
            C::Local => Spec::text("local", "LISTENER", 14, 28).help("Address and port"),
            C::Queue => Spec::number("queue", "QUEUE", 5, 6)
                .aliases(&["accept_queue", "recv_q"])
                .help("Connections that wait for accept()"),
            C::Backlog => Spec::number("backlog", "BACKLOG", 7, 7)
                .aliases(&["send_q"])
                .help("The limit that listen() fixed; the queue is full when it holds one more"),
            C::Fill => Spec::number("fill", "FULL", 5, 5).drop(3).help("Part of the queue that is in use"),
            C::Drops => Spec::number("drops", "DROPS", 6, 7)
                .drop(2)
                .help("SYNs and ACKs that this listener dropped since it was made"),
            C::NewDrops => {
                Spec::number("new_drops", "+DROPS", 6, 7).drop(5).help("Of these, since the previous look")
            }
            C::Total => Spec::number("total", "CONNS", 6, 7)
                .aliases(&["count"])
                .drop(1)
                .help("Connections that came in through it"),
            C::Established => Spec::number("established", "ESTAB", 6, 7)
                .aliases(&["estab"])
                .drop(6)
                .help("Of these, open in both directions"),
            C::SynRecv => Spec::number("syn_recv", "SYN_R", 6, 7).drop(7).help("Of these, half open"),
            C::CloseWait => Spec::number("close_wait", "CLOSE_W", 7, 7)
                .drop(8)
                .help("Of these, closed by the peer and not by the program"),
            C::TimeWait => {
                Spec::number("time_wait", "TIME_W", 6, 7).drop(9).help("Of these, closed and kept for 60 s")
            }
            C::Unaccepted => Spec::number("unaccepted", "UNACC", 6, 7)
                .drop(10)
                .help("Of these, without a file: not accepted yet, or kernel-owned"),
            C::NoKeepalive => Spec::number("no_keepalive", "NO-KEEPALIVE", 7, 12)
                .aliases(&["no_ka"])
                .drop(4)
                .help("Of these, known to be without keepalive"),
            C::Process => Spec::text("process", "PROCESS", 12, 18)
                .aliases(&["processes", "prog"])
                .drop(3)
                .help("Process that holds it, name[pid], and +n others"),
            C::Netns => {
                Spec::text("netns", "NETNS", 5, 12).aliases(&["ns"]).drop(11).help("Network namespace")
            }
        }
    }
}

/// What to show of the listeners.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenerQuery {
    /// In which order.
    pub sort: Sort<ListenerColumn>,
    /// How many of the first.
    pub want: usize,
}

/// How full the accept queue is: it takes one more than the backlog (`sk_acceptq_is_full`).
fn fill(listener: &ListenerAgg) -> Option<f64> {
    Some(f64::from(listener.queue) / (f64::from(listener.backlog?) + 1.0))
}

/// The first listeners in the order that was asked for; rows are indices into [`Snapshot::listeners`].
#[must_use]
pub fn listeners(world: &World, query: &ListenerQuery) -> ListenerView {
    let Sort { column, descending } = query.sort;
    let mut top = Top::new(query.want);
    let mut matching = 0;
    for (ns, snapshot) in (0_u16..).zip(&world.snapshots) {
        for (row, listener) in (0_u32..).zip(&snapshot.listeners) {
            matching += 1;
            let key = key(column, snapshot, listener).directed(descending);
            top.push((key, ns, listener.local, listener.cookie, row), || ());
        }
    }
    let order = top.finish().map(|((_, ns, _, _, row), ())| RowId { ns, row }).collect();
    ListenerView { generation: world.generation, matching, order }
}

fn key(column: ListenerColumn, snapshot: &Snapshot, l: &ListenerAgg) -> Key {
    let number = |n: u32| Key::number(n.into());
    match column {
        C::Local => Key::endpoint(l.local.addr, l.local.port),
        C::Queue => number(l.queue),
        C::Backlog => Key::optional(l.backlog.map(number)),
        C::Fill => Key::optional(fill(l).map(Key::float)),
        C::Drops => Key::optional(l.drops.map(number)),
        C::NewDrops => Key::optional(l.drops_delta.map(number)),
        C::Total => number(l.counts.total()),
        C::Established => number(l.counts[TcpState::Established]),
        C::SynRecv => number(l.counts[TcpState::SynRecv]),
        C::CloseWait => number(l.counts[TcpState::CloseWait]),
        C::TimeWait => number(l.counts[TcpState::TimeWait]),
        C::Unaccepted => number(l.unaccepted),
        C::NoKeepalive => number(l.no_keepalive),
        C::Process => {
            l.row_of(snapshot).map_or(Key::MISSING, |row| owned::key(ColumnId::Process, snapshot, row))
        }
        C::Netns => Key::text(snapshot.sample.netns.name.raw()),
    }
}

/// The value of a column for the listener at `at`; absent for one that is not there.
#[must_use]
pub fn listener_cell(column: ListenerColumn, snapshot: &Snapshot, at: usize) -> Cell<'_> {
    let Some(l) = snapshot.listeners.get(at) else { return Cell::Absent };
    let count = |n: u32| Cell::Count(n.into());
    // Of listeners that share an address, the kernel does not tell which took a connection: one of them counts.
    let own = |n: u32| if l.shares_with.is_some() { Cell::Absent } else { Cell::Count(n.into()) };
    match column {
        C::Local => l.row_of(snapshot).map_or(Cell::Endpoint(l.local), |row| local(snapshot, row)),
        C::Queue => count(l.queue),
        C::Backlog => l.backlog.map_or(Cell::Unknown, count),
        C::Fill => fill(l).map_or(Cell::Unknown, Cell::Ratio),
        C::Drops => l.drops.map_or(Cell::Unknown, count),
        C::NewDrops => l.drops_delta.map_or(Cell::Unknown, count),
        C::Total => own(l.counts.total()),
        C::Established => own(l.counts[TcpState::Established]),
        C::SynRecv => own(l.counts[TcpState::SynRecv]),
        C::CloseWait => own(l.counts[TcpState::CloseWait]),
        C::TimeWait => own(l.counts[TcpState::TimeWait]),
        C::Unaccepted => own(l.unaccepted),
        C::NoKeepalive => own(l.no_keepalive),
        C::Process => {
            l.row_of(snapshot).map_or(Cell::Absent, |row| owned::cell(ColumnId::Process, snapshot, row))
        }
        C::Netns => Cell::Foreign(&snapshot.sample.netns.name),
    }
}
