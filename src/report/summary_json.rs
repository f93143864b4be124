//! The report as JSON (`assets/schema/report.schema.json`).

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::address::{Address, Text};
use super::finding::{Finding, findings};
use super::host::Host;
use super::list_json::Socket;
use super::process::Process;
use super::summary::{Called, FIRST, Summary, first_peers, per_second};
use super::{SCHEMA, incomplete, time};
use crate::analysis::{
    Destination, Limit, LimitSubject, ListenerAgg, MissingLimit, PortUse, Snapshot, StateSummary, World,
};
use crate::diagnose::{Judged, Judgement};
use crate::model::{Owners, StateCounts, thousandths};
use crate::query::{
    DatagramCounter, ListenerColumn, ListenerQuery, PeerRow, Sort, Struggling, datagram_counters, held_by,
    listeners,
};

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
    /// Time from the first look to the last; absent where there was one look.
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_ms: Option<u64>,
    states: States,
    /// What is about TCP is absent where UDP alone was asked for, and the other way round.
    #[serde(flatten)]
    connections: Option<Connections<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    udp: Option<Datagrams<'a>>,
    limits: Vec<Gauge<'a>>,
    findings: Vec<Finding<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_examined: Vec<NotExamined>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unexamined_namespaces: Vec<incomplete::NotEntered<'a>>,
    /// The other namespaces, where several were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_namespaces: Vec<Document<'a>>,
}

/// What there is to say of TCP alone.
#[derive(Serialize)]
struct Connections<'a> {
    peers: Vec<Peer<'a>>,
    listeners: Vec<Listener<'a>>,
    ports: Ports<'a>,
}

impl<'a> Connections<'a> {
    fn of(world: &'a World, snapshot: &'a Snapshot, called: &Called<'a>) -> Self {
        let fullest = ListenerQuery { sort: Sort::by(ListenerColumn::Fill), want: usize::MAX };
        Self {
            peers: first_peers(world).iter().map(|p| Peer::of(p, called)).collect(),
            listeners: listeners(world, &fullest)
                .order
                .iter()
                .filter_map(|id| snapshot.listeners.get(id.row as usize))
                .map(|l| Listener::of(snapshot, l, called))
                .collect(),
            ports: Ports::of(&snapshot.ports, called),
        }
    }
}

/// What there is to say of UDP alone.
#[derive(Serialize)]
struct Datagrams<'a> {
    /// Those that lose datagrams or do not read them, the worst first; null where the table could not be read.
    sockets: Option<Vec<StrugglingSocket<'a>>>,
    /// Null where they could not be known; the reason is among the gaps.
    counters: Option<Vec<Counter<'a>>>,
}

#[derive(Serialize)]
struct StrugglingSocket<'a> {
    #[serde(flatten)]
    socket: Socket<'a>,
    /// Null where it could not be known.
    new_drops: Option<u32>,
}

#[derive(Serialize)]
struct Counter<'a> {
    name: &'a str,
    total: u64,
    new: u64,
    per_s: f64,
}

impl<'a> Datagrams<'a> {
    fn of(snapshot: &'a Snapshot, udp: &'a Snapshot, summary: Summary<'a>) -> Self {
        let socket = |s: Struggling| {
            let socket = Socket::usual(udp, s.row as usize, summary.names)?;
            Some(StrugglingSocket { socket, new_drops: s.new_drops })
        };
        let observed = snapshot.observed.as_secs_f64();
        let counter = |c: DatagramCounter<'a>| Counter {
            name: c.name,
            total: c.total,
            new: c.new,
            per_s: thousandths(per_second(c.new, observed)),
        };
        Self {
            sockets: (!udp.sample.completeness.nothing_was_read())
                .then(|| summary.struggling(udp, FIRST).order.into_iter().filter_map(socket).collect()),
            counters: datagram_counters(snapshot).ok().map(|all| all.into_iter().map(counter).collect()),
        }
    }
}

#[derive(Serialize)]
struct States {
    #[serde(flatten)]
    tcp: Option<TcpStates>,
    #[serde(flatten)]
    udp: Option<UdpStates>,
}

#[derive(Serialize)]
struct TcpStates {
    tcp: Counts,
    tcp4: Counts,
    tcp6: Counts,
}

/// Null where the table could not be read.
#[derive(Serialize)]
struct UdpStates {
    udp: Option<Counts>,
    udp4: Option<Counts>,
    udp6: Option<Counts>,
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
    /// Null where it could not be known.
    backlog: Option<u32>,
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
            ratio: known.then(|| thousandths(ports.ratio(d))),
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
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    at_least: bool,
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
            ratio: thousandths(limit.ratio()),
            at_least: limit.at_least,
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

/// A limit that is not known, or a rule that could not be judged, and why.
#[derive(Serialize)]
struct NotExamined {
    #[serde(flatten)]
    what: Unknown,
    reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Unknown {
    Limit(&'static str),
    Rule(&'static str),
}

impl From<&MissingLimit> for NotExamined {
    fn from(m: &MissingLimit) -> Self {
        Self { what: Unknown::Limit(m.id.name()), reason: m.why.to_string() }
    }
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
    first.unexamined_namespaces = incomplete::not_entered(&judged.world);
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
    let udp = snapshot.udp.as_deref();
    let protocols = summary.protocols;
    let samples = || protocols.tcp.then_some(sample).into_iter().chain(udp.map(|udp| &udp.sample));
    let uncounted = udp.and_then(|_| datagram_counters(snapshot).err());
    let uncounted = uncounted.map(|why| format!("what the kernel counts of UDP is not known: {why}"));
    let counts = |of: &StateSummary| [of.all, of.v4, of.v6].map(Counts);
    let unjudged = judged.judgements.iter().flat_map(Judgement::unjudged);
    Some(Document {
        schema: SCHEMA,
        taken_at: time::rfc3339(sample.taken.wall),
        host: Host::of(world, snapshot),
        filter: summary.filter,
        complete: samples().all(|s| s.completeness.is_complete()),
        gaps: samples()
            .flat_map(incomplete::gaps)
            .chain(incomplete::owners(snapshot))
            .chain(uncounted)
            .collect(),
        observed_ms: (!snapshot.observed.is_zero())
            .then(|| u64::try_from(snapshot.observed.as_millis()).unwrap_or(u64::MAX)),
        states: States {
            tcp: protocols.tcp.then(|| counts(&snapshot.states)).map(|[tcp, tcp4, tcp6]| TcpStates {
                tcp,
                tcp4,
                tcp6,
            }),
            udp: udp.map(|udp| {
                let read = !udp.sample.completeness.nothing_was_read();
                let [udp, udp4, udp6] = counts(&udp.states).map(|counts| read.then_some(counts));
                UdpStates { udp, udp4, udp6 }
            }),
        },
        connections: protocols.tcp.then(|| Connections::of(world, snapshot, &called)),
        udp: udp.map(|udp| Datagrams::of(snapshot, udp, summary)),
        limits: snapshot
            .limits
            .iter()
            .filter(|l| l.id.about().meet(protocols))
            .map(|l| Gauge::of(l, snapshot.owners.as_deref(), &called))
            .collect(),
        findings: findings(judged, &called),
        not_examined: snapshot
            .limits_missing
            .iter()
            .filter(|l| l.id.about().meet(protocols))
            .map(NotExamined::from)
            .chain(unjudged.map(|(rule, reason)| NotExamined { what: Unknown::Rule(rule), reason }))
            .collect(),
        unexamined_namespaces: Vec::new(),
        other_namespaces: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Gap, Protocol, Protocols};
    use crate::testkit;

    #[test]
    fn a_table_that_could_not_be_read_is_unknown_and_not_empty() {
        let report = |gaps: Vec<Gap>| -> serde_json::Value {
            let mut udp = testkit::sample(Vec::new());
            udp.protocol = Protocol::Udp;
            udp.completeness.gaps = gaps;
            let mut snapshot = testkit::snapshot(testkit::sample(Vec::new()));
            snapshot.udp = Some(Arc::new(testkit::snapshot(udp)));
            let world = Arc::new(testkit::world(vec![snapshot]));
            let judged = Judged { world, judgements: Vec::new() };
            let protocols = Protocols::UDP;
            let summary = Summary { judged: &judged, protocols, before: &[], filter: None, names: None };
            let mut out = Vec::new();
            write_json(summary, &mut out).unwrap();
            serde_json::from_slice(&out).unwrap()
        };
        let why = |why: &str| Gap::NoSockDiag(why.to_owned());
        let read = report(vec![why("no udp_diag")]);
        assert_eq!((&read["states"]["udp"], &read["complete"]), (&serde_json::json!({}), &false.into()));
        assert!(read["udp"]["sockets"].is_array());
        let unread = report(vec![why("no udp_diag"), why("reading /proc/net/udp: not mounted")]);
        for key in ["udp", "udp4", "udp6"] {
            assert!(unread["states"][key].is_null() && unread["states"].get(key).is_some(), "{unread}");
        }
        assert!(unread["udp"]["sockets"].is_null() && unread["udp"]["counters"].is_null(), "{unread}");
        let gaps = unread["gaps"].to_string();
        assert!(gaps.contains("not mounted") && gaps.contains("/proc/net/snmp"), "{gaps}");
    }
}
