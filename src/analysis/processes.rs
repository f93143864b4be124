//! Sockets by the process, or the group of processes, that holds them.

use std::time::Duration;

use rustc_hash::FxHashSet;

use super::growth::Baseline;
use super::{Held, Limit, LimitId, LimitSubject, ListenerAgg, MissingLimit, Snapshot, Track};
use crate::model::{Ip, Keepalive, Owners, Scope, SocketRow, StateCounts, TcpState};

/// How growth of a process is measured.
const GROWTH_PERIOD: Duration = Duration::from_secs(30);

/// What a process, or a group of them, holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Sockets by state. A socket that several processes hold counts once at each.
    pub counts: StateCounts,
    /// Different peer addresses.
    pub peers: u32,
    /// Connections known to be without keepalive.
    pub no_keepalive: u32,
    /// Connections known to be with keepalive.
    pub with_keepalive: u32,
    /// Connections whose keepalive was never visible.
    pub unknown_keepalive: u32,
    /// Sum of the receive queues of connections, bytes.
    pub recv_q: u64,
    /// Sum of the send queues of connections, bytes.
    pub send_q: u64,
}

impl Tally {
    /// Listening sockets.
    #[must_use]
    pub fn listeners(&self) -> u32 {
        self.counts[TcpState::Listen]
    }

    fn add(&mut self, row: &SocketRow, keepalive: Option<Keepalive>) {
        self.counts.bump(row.state);
        match keepalive {
            Some(Keepalive::Off) => self.no_keepalive += 1,
            Some(Keepalive::On) => self.with_keepalive += 1,
            Some(Keepalive::Unknown) => self.unknown_keepalive += 1,
            None => {}
        }
        if row.state.has_peer() {
            self.recv_q += u64::from(row.recv_q);
            self.send_q += u64::from(row.send_q);
        }
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.peers += other.peers;
        self.no_keepalive += other.no_keepalive;
        self.with_keepalive += other.with_keepalive;
        self.unknown_keepalive += other.unknown_keepalive;
        self.recv_q += other.recv_q;
        self.send_q += other.send_q;
    }
}

/// What a process holds in one namespace.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ProcessAgg {
    /// Index into [`Owners::processes`] of the snapshot's owners.
    pub process: u32,
    /// Its process id.
    pub pid: u32,
    /// Its sockets of the namespace.
    pub tally: Tally,
    /// Growth of the number of its descriptors per second over the last 30 to 60 s; `None` until enough was observed.
    pub fd_growth_per_s: Option<f32>,
    /// Growth per minute of the number of its sockets that are in no table; `None` until enough was observed.
    pub unlisted_growth_per_min: Option<f32>,
}

impl ProcessAgg {
    /// Seconds until its descriptors run out at their present growth; `None` if they do not grow, or the limit is unknown.
    #[must_use]
    pub fn fds_exhausted_in_s(&self, owners: &Owners) -> Option<f64> {
        let process = owners.processes.get(self.process as usize)?;
        let growth = f64::from(self.fd_growth_per_s.filter(|g| *g > 0.0)?);
        let left = process.fd_limit.known()?.saturating_sub(*process.fds.known()?);
        #[expect(clippy::cast_precision_loss, reason = "a time for people")]
        Some(left as f64 / growth)
    }
}

/// Counts sockets by group. `groups`, asked of one row after the other, says in which groups a socket is, of which there are `count` so far or more
/// come up on the way; a socket counts once in each.
#[must_use]
pub fn tally(
    rows: &[SocketRow],
    track: &[Track],
    count: usize,
    mut groups: impl FnMut(&SocketRow, &mut Vec<u32>),
) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); count];
    let mut peers: FxHashSet<(u32, Ip)> = FxHashSet::default();
    let mut within = Vec::new();
    for (row, track) in rows.iter().zip(track) {
        within.clear();
        groups(row, &mut within);
        if within.is_empty() {
            continue;
        }
        within.sort_unstable();
        within.dedup();
        let keepalive = track.keepalive(row);
        for &g in &within {
            let at = g as usize;
            if at >= tallies.len() {
                tallies.resize(at + 1, Tally::default());
            }
            let Some(tally) = tallies.get_mut(at) else { continue };
            tally.add(row, keepalive);
            if row.state.has_peer() && peers.insert((g, row.peer)) {
                tally.peers += 1;
            }
        }
    }
    tallies
}

/// Follows the processes of one namespace from look to look.
#[derive(Debug)]
pub(super) struct ProcessCounter {
    fds: Baseline<(u32, u64)>,
    unlisted: Baseline<(u32, u64)>,
}

impl Default for ProcessCounter {
    fn default() -> Self {
        Self { fds: Baseline::new(GROWTH_PERIOD), unlisted: Baseline::new(GROWTH_PERIOD) }
    }
}

impl ProcessCounter {
    /// The processes that hold sockets of the namespace, or sockets that are in no table, by pid.
    pub(super) fn count(
        &mut self,
        (rows, track, held): (&[SocketRow], &[Track], &[Held]),
        owners: &Owners,
        observed: Duration,
    ) -> Vec<ProcessAgg> {
        let mut held = held.iter();
        let tallies = tally(rows, track, owners.processes.len(), |row, groups| {
            let Some(held) = held.next() else { return };
            if held.is_shared() {
                groups.extend(owners.holders(row.inode).iter().map(|h| h.process));
            } else {
                groups.extend(held.first());
            }
        });
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let fds = || {
            let known = owners.processes.iter().filter_map(|p| Some((p, p.fds.known()?)));
            known.map(|(p, n)| ((p.pid, p.start_time), small(*n)))
        };
        let unlisted = || {
            let known = owners.processes.iter().filter_map(|p| Some((p, p.unlisted.known()?)));
            known.map(|(p, n)| ((p.pid, p.start_time), *n))
        };
        let mut aggs = Vec::new();
        for ((process, p), tally) in (0_u32..).zip(&owners.processes).zip(tallies) {
            let in_no_table = p.unlisted.known().is_some_and(|n| *n > 0);
            if tally.counts.total() == 0 && !in_no_table {
                continue;
            }
            let id = (p.pid, p.start_time);
            let growth = |base: &Baseline<_>, n| base.growth_of_known_per_s(&id, n, observed);
            aggs.push(ProcessAgg {
                process,
                pid: p.pid,
                tally,
                fd_growth_per_s: p.fds.known().and_then(|n| growth(&self.fds, small(*n))),
                unlisted_growth_per_min: p
                    .unlisted
                    .known()
                    .and_then(|n| growth(&self.unlisted, *n))
                    .map(|g| g * 60.0),
            });
        }
        self.fds.renew(observed, fds());
        self.unlisted.renew(observed, unlisted());
        aggs
    }
}

/// The process of a namespace that is nearest to the limit of its descriptors; `Err` if no limit could be read.
pub(super) fn worst_fds(
    owners: &Owners,
    netns: u64,
    aggs: &[ProcessAgg],
) -> Option<Result<Limit, MissingLimit>> {
    let id = LimitId::ProcessFds;
    let holds = |at: usize| aggs.binary_search_by_key(&at, |a| a.process as usize).is_ok();
    let here = owners
        .processes
        .iter()
        .enumerate()
        .filter(|(at, p)| p.netns.known() == Some(&netns) || holds(*at))
        .map(|(_, p)| p);
    let mut worst: Option<Limit> = None;
    let mut seen = false;
    let mut at_least = owners.partial || owners.blindness().is_some();
    for p in here {
        seen = true;
        let (Some(used), Some(max)) = (p.fds.known(), p.fd_limit.known()) else {
            at_least = true;
            continue;
        };
        let subject = LimitSubject::Process { pid: p.pid };
        let limit = Limit { id, used: *used, max: *max, subject, scope: Scope::Namespace, at_least: false };
        if worst.is_none_or(|w| limit.ratio() > w.ratio()) {
            worst = Some(limit);
        }
    }
    match worst {
        Some(limit) => Some(Ok(Limit { at_least, ..limit })),
        None if seen => Some(Err(MissingLimit {
            id,
            why: "no process's descriptors and their limit could be read".into(),
        })),
        None => owners.blindness().map(|why| Err(MissingLimit { id, why: why.to_string().into() })),
    }
}

impl ListenerAgg {
    /// Whether its queue holds more than the backlog, as far as that is known (`sk_acceptq_is_full` in `include/net/sock.h`).
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.backlog.is_some_and(|backlog| self.queue > backlog)
    }

    /// Its row in the table of `snapshot`, the one that it is of.
    #[must_use]
    pub fn row_of<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a SocketRow> {
        snapshot.sample.table.rows.get(self.row as usize)
    }
}

impl Snapshot {
    /// What a process holds in this namespace.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<&ProcessAgg> {
        let at = self.processes.binary_search_by_key(&pid, |p| p.pid).ok()?;
        self.processes.get(at)
    }
}
