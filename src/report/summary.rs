//! What a report is made of, whatever its format, and what is called how in it.

use std::ops::RangeInclusive;

use super::address::Address;
use crate::analysis::{LimitSubject, Snapshot, World};
use crate::diagnose::{Judged, Subject};
use crate::model::{Endpoint, ForeignText, Ip, Names, Protocol};
use crate::query::{Cell, Grouping, PeerColumn, PeerQuery, PeerRow, Sort, peers};

/// How many peers, and how many destinations, are in a report for programs; that for people has fewer.
pub(super) const FIRST: usize = 100;

/// A report to be written.
#[derive(Clone, Copy)]
pub struct Summary<'a> {
    /// The look, judged.
    pub judged: &'a Judged,
    /// The text of the filter in force.
    pub filter: Option<&'a str>,
    /// What addresses and ports are called, if names are wanted.
    pub names: Option<&'a Names>,
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
pub fn addresses(judged: &Judged) -> Vec<Ip> {
    let mut found: Vec<Ip> = Vec::new();
    for judged in judged.each() {
        found.extend(first_peers(&judged.world).iter().map(|peer| peer.addr));
        for snapshot in &judged.world.snapshots {
            found.extend(snapshot.listeners.iter().map(|l| l.local.addr));
            let destinations = snapshot.ports.destinations.iter().take(FIRST);
            found.extend(destinations.flat_map(|d| [d.local, d.peer.addr]));
            found.extend(snapshot.limits.iter().flat_map(|limit| match limit.subject {
                LimitSubject::Destination { local, peer } => vec![local, peer.addr],
                LimitSubject::Listener { local, .. } => vec![local.addr],
                LimitSubject::Only | LimitSubject::Process { .. } => Vec::new(),
            }));
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
