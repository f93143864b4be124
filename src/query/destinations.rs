//! The destinations table: use of the ephemeral ports towards each.

use super::cell::Cell;
use super::column::{Column, Sort, Spec};
use super::key::Key;
use super::top::Top;
use super::{DestinationView, RowId};
use crate::analysis::{Destination, Snapshot, World};

/// A column of the destinations table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is explained by its help, which is one of its properties")]
pub enum DestinationColumn {
    LocalAddr,
    Peer,
    Used,
    TimeWait,
    Reusable,
    Usable,
    Ratio,
    Growth,
    Exhausted,
    Netns,
}

use DestinationColumn as C;

impl Column for DestinationColumn {
    fn all() -> &'static [Self] {
        &[
            C::LocalAddr,
            C::Peer,
            C::Used,
            C::TimeWait,
            C::Reusable,
            C::Usable,
            C::Ratio,
            C::Growth,
            C::Exhausted,
            C::Netns,
        ]
    }

    fn spec(self) -> Spec {
        match self {
            C::LocalAddr => Spec::text("local_addr", "FROM", 11, 22)
                .aliases(&["local", "src"])
                .drop(2)
                .help("Local address"),
            C::Peer => Spec::text("peer", "TO", 15, 28).aliases(&["dst"]).help("Peer address and port"),
            C::Used => Spec::number("used", "PORTS", 6, 7)
                .aliases(&["count", "total"])
                .help("Local ports in use towards it, TIME_WAIT included"),
            C::TimeWait => Spec::number("time_wait", "TIME_W", 6, 7).drop(3).help("Of these, in TIME_WAIT"),
            C::Reusable => Spec::number("reusable", "REUSABLE", 8, 8)
                .drop(5)
                .help("Of these, free again for the kernel (tcp_tw_reuse)"),
            C::Usable => Spec::number("usable", "OF", 6, 7)
                .drop(4)
                .help("Ports that there are: the range less what is reserved or bound"),
            C::Ratio => Spec::number("ratio", "FULL", 5, 5).help("Part of the usable ports that is not free"),
            C::Growth => Spec::number("growth_per_s", "+/S", 5, 6)
                .aliases(&["growth"])
                .drop(6)
                .help("Growth of the ports in use per second"),
            C::Exhausted => Spec::number("exhausted_in", "FULL IN", 7, 7)
                .ascending()
                .drop(1)
                .help("Time until no port is left at this growth"),
            C::Netns => {
                Spec::text("netns", "NETNS", 5, 12).aliases(&["ns"]).drop(7).help("Network namespace")
            }
        }
    }
}

/// What to show of the destinations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DestinationQuery {
    /// In which order.
    pub sort: Sort<DestinationColumn>,
    /// How many of the first.
    pub want: usize,
}

/// The first destinations in the order that was asked for; rows are indices into the snapshot's
/// [`PortUse::destinations`](crate::analysis::PortUse), which keeps the fullest. `matching` counts all.
#[must_use]
pub fn destinations(world: &World, query: &DestinationQuery) -> DestinationView {
    let Sort { column, descending } = query.sort;
    let mut top = Top::new(query.want);
    let mut matching = 0;
    for (ns, snapshot) in (0_u16..).zip(&world.snapshots) {
        matching += snapshot.ports.destination_count as usize;
        for (row, d) in (0_u32..).zip(&snapshot.ports.destinations) {
            let key = key(column, snapshot, d).directed(descending);
            top.push((key, ns, d.peer, d.local, row), || ());
        }
    }
    let order = top.finish().map(|((_, ns, _, _, row), ())| RowId { ns, row }).collect();
    DestinationView { generation: world.generation, matching, order }
}

fn key(column: DestinationColumn, snapshot: &Snapshot, d: &Destination) -> Key {
    let ports = &snapshot.ports;
    let number = |n: u32| Key::number(n.into());
    match column {
        C::LocalAddr => Key::addr(d.local),
        C::Peer => Key::endpoint(d.peer.addr, d.peer.port),
        C::Used => number(d.used),
        C::TimeWait => number(d.time_wait),
        C::Reusable => number(d.reusable),
        C::Usable => number(ports.usable),
        C::Ratio => Key::float(ports.ratio(d)),
        C::Growth => Key::optional(d.growth_per_s.map(|g| Key::float(g.into()))),
        C::Exhausted => Key::optional(ports.exhausted_in_s(d).map(Key::float)),
        C::Netns => Key::text(snapshot.sample.netns.name.raw()),
    }
}

/// The value of a column for the destination at `at`; absent for one that is not there.
#[must_use]
pub fn destination_cell(column: DestinationColumn, snapshot: &Snapshot, at: usize) -> Cell<'_> {
    let ports = &snapshot.ports;
    let Some(d) = ports.destinations.get(at) else { return Cell::Absent };
    let if_range = |cell| if ports.range.is_some() { cell } else { Cell::Unknown };
    match column {
        C::LocalAddr => Cell::Addr(d.local),
        C::Peer => Cell::Endpoint(d.peer),
        C::Used => Cell::Count(d.used.into()),
        C::TimeWait => Cell::Count(d.time_wait.into()),
        C::Reusable => Cell::Count(d.reusable.into()),
        C::Usable => if_range(Cell::Count(ports.usable.into())),
        C::Ratio => if_range(Cell::Ratio(ports.ratio(d))),
        C::Growth => d.growth_per_s.map_or(Cell::Unknown, |g| Cell::Rate(g.into())),
        C::Exhausted => {
            ports.exhausted_in_s(d).filter(|_| ports.range.is_some()).map_or(Cell::Absent, Cell::Seconds)
        }
        C::Netns => Cell::Foreign(&snapshot.sample.netns.name),
    }
}
