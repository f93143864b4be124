//! What a report is made of, whatever its format, and what is called how in it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::address::Address;
use crate::analysis::{LimitSubject, Snapshot, World};
use crate::diagnose::{Judged, Subject};
use crate::model::{Endpoint, ForeignText, Ip, Names, Protocol, Protocols};
use crate::query::{Cell, Grouping, PeerColumn, PeerQuery, PeerRow, Sort, StrugglingView, peers, struggling};

/// How many peers, and how many destinations, are in a report for programs; that for people has fewer.
pub(super) const FIRST: usize = 100;

/// A report to be written.
#[derive(Clone, Copy)]
pub struct Summary<'a> {
    /// The look, judged.
    pub judged: &'a Judged,
    /// Which sockets it is about.
    pub protocols: Protocols,
    /// The UDP sockets of each namespace when the observation began.
    pub before: &'a [Arc<Snapshot>],
    /// The text of the filter in force.
    pub filter: Option<&'a str>,
    /// What addresses and ports are called, if names are wanted.
    pub names: Option<&'a Names>,
}

impl Summary<'_> {
    /// The UDP sockets of a namespace that lose datagrams or do not read them, the first `want` of them.
    pub(super) fn struggling(&self, udp: &Snapshot, want: usize) -> StrugglingView {
        let netns = udp.sample.netns.inode;
        let before = self.before.iter().find(|before| before.sample.netns.inode == netns);
        struggling(udp, before.map(AsRef::as_ref), want)
    }
}

/// How often something happened each second of an observation.
#[expect(clippy::cast_precision_loss, reason = "a rate")]
pub(super) fn per_second(n: u64, observed_s: f64) -> f64 {
    if observed_s > 0.0 { n as f64 / observed_s } else { 0.0 }
}

/// What is called how in one namespace.
#[derive(Clone)]
pub(super) struct Called<'a> {
    names: Option<&'a Names>,
    protocol: Protocol,
    ephemeral: Option<RangeInclusive<u16>>,
}

impl<'a> Called<'a> {
    pub(super) fn new(names: Option<&'a Names>, of: &Snapshot) -> Self {
        let ephemeral = names.and_then(|_| of.sample.facts.sysctls.port_range());
        Self { names, protocol: of.sample.protocol, ephemeral }
    }

    /// Nothing has a name.
    pub(super) const fn nothing() -> Self {
        Self { names: None, protocol: Protocol::Tcp, ephemeral: None }
    }

    /// Address and port for people.
    pub(super) fn endpoint(&self, endpoint: Endpoint) -> String {
        self.names.map_or_else(
            || endpoint.to_string(),
            |names| names.endpoint(endpoint, self.protocol, self.ephemeral.as_ref()),
        )
    }

    /// A value of a table for people.
    pub(super) fn cell(&self, cell: &Cell<'_>) -> String {
        match cell {
            Cell::Endpoint(endpoint) => self.endpoint(*endpoint),
            Cell::Addr(addr) => {
                let name = self.names.and_then(|names| names.host(*addr));
                name.map_or_else(|| cell.to_string(), ToString::to_string)
            }
            cell => cell.to_string(),
        }
    }

    /// Address and port for programs.
    pub(super) fn address(&self, endpoint: Endpoint) -> Address<'a> {
        self.names.map_or_else(
            || endpoint.into(),
            |names| Address::named(endpoint, names, self.protocol, self.ephemeral.as_ref()),
        )
    }

    /// The name of an address, for programs.
    pub(super) fn name(&self, addr: Ip) -> Option<&'a str> {
        self.names?.host(addr).map(ForeignText::raw)
    }
}

/// The peers with the most connections.
pub(super) fn first_peers(world: &World) -> Vec<PeerRow> {
    let top = PeerQuery { group: Grouping::Address, sort: Sort::by(PeerColumn::Total), want: FIRST };
    peers(world, &top).rows
}

/// The addresses that a report shows, whose names may be wanted.
#[must_use]
pub fn addresses(summary: Summary<'_>) -> Vec<Ip> {
    let mut found: Vec<Ip> = Vec::new();
    for judged in summary.judged.each() {
        for snapshot in &judged.world.snapshots {
            if summary.protocols.tcp {
                of_tcp(snapshot, &mut found);
            }
            if let Some(udp) = &snapshot.udp {
                let rows = &udp.sample.table.rows;
                let shown = summary.struggling(udp, FIRST).order;
                let rows = shown.iter().filter_map(|socket| rows.get(socket.row as usize));
                found.extend(rows.flat_map(|row| [row.local, row.peer]));
            }
        }
        if summary.protocols.tcp {
            found.extend(first_peers(&judged.world).iter().map(|peer| peer.addr));
        }
        for finding in judged.judgements.iter().flat_map(|j| &j.findings) {
            match &finding.draft.subject {
                Subject::Peer { addr, prefix: None } => found.push(*addr),
                Subject::Listener { local, .. } => found.push(local.addr),
                Subject::Destination { local, peer } => {
                    found.extend(local.iter().copied().chain([peer.addr]));
                }
                Subject::Socket { local, peer, .. } => found.extend([local.addr, peer.addr]),
                Subject::Host
                | Subject::Process { .. }
                | Subject::Peer { .. }
                | Subject::Sysctl { .. }
                | Subject::Interface { .. }
                | Subject::Namespace { .. } => {}
            }
        }
    }
    found
}

fn of_tcp(snapshot: &Snapshot, found: &mut Vec<Ip>) {
    found.extend(snapshot.listeners.iter().map(|l| l.local.addr));
    let destinations = snapshot.ports.destinations.iter().take(FIRST);
    found.extend(destinations.flat_map(|d| [d.local, d.peer.addr]));
    found.extend(snapshot.limits.iter().flat_map(|limit| match limit.subject {
        LimitSubject::Destination { local, peer } => vec![local, peer.addr],
        LimitSubject::Listener { local, .. } => vec![local.addr],
        LimitSubject::Only | LimitSubject::Process { .. } => Vec::new(),
    }));
}
