//! The report as JSON (`assets/schema/report.schema.json`).

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::address::{Address, Text};
use super::finding::{Finding, findings};
use super::host::Host;
use super::process::Process;
use super::summary::{Called, FIRST, Summary, first_peers};
use super::{SCHEMA, incomplete, time};
use crate::analysis::{Destination, Limit, LimitSubject, ListenerAgg, MissingLimit, PortUse, Snapshot};
use crate::diagnose::Judged;
use crate::model::{Owners, StateCounts};
use crate::query::{ListenerColumn, ListenerQuery, PeerRow, Sort, held_by, listeners};

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    taken_at: Option<String>,
    host: Host<'a>,
    /// Only sockets that match it are in states, peers, listeners and ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
    complete: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<String>,
    states: States,
    peers: Vec<Peer<'a>>,
    listeners: Vec<Listener<'a>>,
    ports: Ports<'a>,
    limits: Vec<Gauge<'a>>,
    findings: Vec<Finding<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_examined: Vec<NotExamined>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unexamined_namespaces: Vec<NotEntered<'a>>,
    /// The other namespaces, where several were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_namespaces: Vec<Document<'a>>,
}

/// A namespace that was not looked into, and why.
#[derive(Serialize)]
struct NotEntered<'a> {
    netns: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct States {
    tcp: Counts,
    tcp4: Counts,
    tcp6: Counts,
}

/// The states that occur.
struct Counts(StateCounts);

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.present().map(|(state, n)| (state.name(), n)))
    }
}

#[derive(Serialize)]
struct Peer<'a> {
    addr: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    total: u32,
    states: Counts,
    no_keepalive: u32,
    recv_q: u64,
    send_q: u64,
}

impl<'a> Peer<'a> {
    fn of(p: &PeerRow, called: &Called<'a>) -> Self {
        Self {
            addr: Text(p.addr),
            name: called.name(p.addr),
            total: p.counts.total(),
            states: Counts(p.counts),
            no_keepalive: p.no_keepalive,
            recv_q: p.recv_q,
            send_q: p.send_q,
        }
    }
}

#[derive(Serialize)]
struct Listener<'a> {
    local: Address<'a>,
    queue: u32,
    backlog: u32,
    drops: Option<u32>,
    /// Absent where another listener on the same address counts the connections of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    states: Option<Counts>,
    /// Those that hold it; null where that could not be known.
    processes: Option<Vec<Process<'a>>>,
}

impl<'a> Listener<'a> {
    fn of(snapshot: &'a Snapshot, l: &ListenerAgg, called: &Called<'a>) -> Self {
        let held =
            l.row_of(snapshot).and_then(|row| held_by(snapshot, row)).unwrap_or_else(|| Ok(Vec::new()));
        Self {
            local: called.address(l.local),
            queue: l.queue,
            backlog: l.backlog,
            drops: l.drops,
            states: l.shares_with.is_none().then_some(Counts(l.counts)),
            processes: held.ok().map(|held| held.iter().map(Process::from).collect()),
        }
    }
}

#[derive(Serialize)]
struct Ports<'a> {
    range: Option<[u16; 2]>,
    usable: Option<u32>,
    reserved: u32,
    destinations: Vec<PortsTo<'a>>,
}

#[derive(Serialize)]
struct PortsTo<'a> {
    local_addr: Text,
    peer: Address<'a>,
    used: u32,
    time_wait: u32,
    ratio: Option<f64>,
}

impl<'a> Ports<'a> {
    fn of(ports: &PortUse, called: &Called<'a>) -> Self {
        let known = ports.range.is_some();
        let to = |d: &Destination| PortsTo {
            local_addr: Text(d.local),
            peer: called.address(d.peer),
            used: d.used,
            time_wait: d.time_wait,
            ratio: known.then(|| rounded(ports.ratio(d))),
        };
        Self {
            range: ports.range.as_ref().map(|r| [*r.start(), *r.end()]),
            usable: known.then_some(ports.usable),
            reserved: ports.reserved,
            destinations: ports.destinations.iter().take(FIRST).map(to).collect(),
        }
    }
}

#[derive(Serialize)]
struct Gauge<'a> {
    id: &'static str,
    used: u64,
    max: u64,
    ratio: f64,
    scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Subject<'a>>,
}

/// Whose limit it is.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Subject<'a> {
    Destination {
        local_addr: Text,
        peer: Address<'a>,
    },
    Listener {
        local: Address<'a>,
    },
    Process {
        pid: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        comm: Option<String>,
    },
}

impl<'a> Gauge<'a> {
    fn of(limit: &Limit, owners: Option<&Owners>, called: &Called<'a>) -> Self {
        Self {
            id: limit.id.name(),
            used: limit.used,
            max: limit.max,
            ratio: rounded(limit.ratio()),
            scope: limit.scope.name(),
            subject: match limit.subject {
                LimitSubject::Only => None,
                LimitSubject::Destination { local, peer } => {
                    Some(Subject::Destination { local_addr: Text(local), peer: called.address(peer) })
                }
                LimitSubject::Listener { local, .. } => {
                    Some(Subject::Listener { local: called.address(local) })
                }
                LimitSubject::Process { pid } => {
                    let comm = owners.and_then(|o| o.by_pid(pid)).map(|p| p.comm.raw().to_owned());
                    Some(Subject::Process { pid, comm })
                }
            },
        }
    }
}

/// A limit that is not known, and why.
#[derive(Serialize)]
struct NotExamined {
    limit: &'static str,
    reason: String,
}

impl From<&MissingLimit> for NotExamined {
    fn from(m: &MissingLimit) -> Self {
        Self { limit: m.id.name(), reason: m.why.to_string() }
    }
}

/// To the thousandth: more would be noise.
fn rounded(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 1000.0
}

/// Writes the report of the first namespace of the world, with the others inside it.
///
/// # Errors
/// Those of the writer.
pub fn write_json(summary: Summary<'_>, mut out: impl Write) -> io::Result<()> {
    let judged = summary.judged;
    let each: Vec<_> = judged.each().collect();
    let mut documents = each.iter().filter_map(|one| document(one, summary));
    let Some(mut first) = documents.next() else { return Ok(()) };
    let left_out = judged.world.unexamined.iter();
    first.unexamined_namespaces =
        left_out.map(|u| NotEntered { netns: u.netns.name.raw(), reason: &u.reason }).collect();
    first.other_namespaces = documents.collect();
    serde_json::to_writer(&mut out, &first)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The report of a world with one namespace.
fn document<'a>(judged: &'a Judged, summary: Summary<'a>) -> Option<Document<'a>> {
    let world = &*judged.world;
    let snapshot = world.snapshots.first()?;
    let sample = &snapshot.sample;
    let called = Called::new(summary.names, snapshot);
    let fullest = ListenerQuery { sort: Sort::by(ListenerColumn::Fill), want: usize::MAX };
    Some(Document {
        schema: SCHEMA,
        taken_at: time::rfc3339(sample.taken.wall),
        host: Host::of(world, snapshot),
        filter: summary.filter,
        complete: sample.completeness.is_complete(),
        gaps: incomplete::gaps(sample).chain(incomplete::owners(snapshot)).collect(),
        states: States {
            tcp: Counts(snapshot.states.all),
            tcp4: Counts(snapshot.states.v4),
            tcp6: Counts(snapshot.states.v6),
        },
        peers: first_peers(world).iter().map(|p| Peer::of(p, &called)).collect(),
        listeners: listeners(world, &fullest)
            .order
            .iter()
            .filter_map(|id| snapshot.listeners.get(id.row as usize))
            .map(|l| Listener::of(snapshot, l, &called))
            .collect(),
        ports: Ports::of(&snapshot.ports, &called),
        limits: snapshot.limits.iter().map(|l| Gauge::of(l, snapshot.owners.as_deref(), &called)).collect(),
        findings: findings(judged, &called),
        not_examined: snapshot.limits_missing.iter().map(NotExamined::from).collect(),
        unexamined_namespaces: Vec::new(),
        other_namespaces: Vec::new(),
    })
}
