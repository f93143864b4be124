//! From a sample and the one before it to a snapshot.

use std::sync::Arc;
use std::time::Duration;

use super::growth::Baseline;
use super::held::sought;
use super::join::{Carried, Earlier, Gone, Joined, join};
use super::limits::limits;
use super::listeners::ListenerIndex;
use super::moved::Moved;
use super::peers::PeerCounter;
use super::ports::PortCounter;
use super::processes::{ProcessCounter, worst_fds};
use super::rates::rates;
use super::{BLOCK, Churn, History, PeerAgg, Snapshot, StateSummary, Track};
use crate::model::{Ip, Owners, RowFlags, Sample, TableSource, Taken, TcpState, TimerKind};

/// How growth of a peer is measured.
const PEER_GROWTH_PERIOD: Duration = Duration::from_secs(30);

/// How growth of a socket's drops is measured.
const DROP_GROWTH_PERIOD: Duration = Duration::from_secs(10);

/// At most this many sockets that went away are remembered for one more look.
const LIMBO_MAX: usize = 65_536;

/// Turns the samples of one namespace into snapshots, one after the other. Keeps the previous snapshot, and maps that
/// are reused so that a look allocates little.
#[derive(Debug)]
pub struct Analyzer {
    first: Option<Taken>,
    previous: Option<Arc<Snapshot>>,
    limbo: Vec<Gone>,
    peers: PeerCounter,
    listeners: ListenerIndex,
    ports: PortCounter,
    peer_growth: Baseline<Ip>,
    processes: ProcessCounter,
    history: History,
    /// For the UDP sockets of the namespace, once there were some.
    udp: Option<Box<Self>>,
    drops: Baseline<u64>,
    moved: Moved,
}

impl Default for Analyzer {
    fn default() -> Self {
        Self {
            first: None,
            previous: None,
            limbo: Vec::new(),
            peers: PeerCounter::default(),
            listeners: ListenerIndex::default(),
            ports: PortCounter::default(),
            peer_growth: Baseline::new(PEER_GROWTH_PERIOD),
            processes: ProcessCounter::default(),
            history: History::default(),
            udp: None,
            drops: Baseline::new(DROP_GROWTH_PERIOD),
            moved: Moved::default(),
        }
    }
}

/// What is known of a part beforehand.
struct Known<'a> {
    carried: Carried,
    drop_growth_per_min: Vec<Option<f32>>,
    udp: Option<Arc<Snapshot>>,
    whole: &'a Snapshot,
}

impl Analyzer {
    /// Derives the snapshot of the next sample, without knowing who holds its sockets.
    pub fn derive(&mut self, sample: Sample) -> Arc<Snapshot> {
        self.derive_owned(sample, None)
    }

    /// Derives the snapshot of the next sample. Samples of another namespace, or of a time before the previous one, need an
    /// analyzer of their own.
    #[expect(clippy::needless_pass_by_value, reason = "it is the snapshot's from here on")]
    pub fn derive_owned(&mut self, sample: Sample, owners: Option<Arc<Owners>>) -> Arc<Snapshot> {
        self.derive_with(sample, &mut || owners.clone())
    }

    /// The same, asking for who holds the sockets when everything else is done: it may still be on its way.
    pub fn derive_with(
        &mut self,
        sample: Sample,
        owners: &mut dyn FnMut() -> Option<Arc<Owners>>,
    ) -> Arc<Snapshot> {
        self.derive_known(sample, owners, None)
    }

    /// Derives what a snapshot would be if only the sockets in these rows were there. What is remembered of a socket, and
    /// what speaks for the whole machine (limits, counters), is that of the whole. `udp` is the part of its UDP sockets. Parts
    /// of one namespace chosen by one filter need an analyzer of their own.
    pub fn derive_part(
        &mut self,
        whole: &Snapshot,
        rows: &[u32],
        udp: Option<Arc<Snapshot>>,
    ) -> Arc<Snapshot> {
        let table = &whole.sample.table;
        let kept = |at: &u32| table.rows.get(*at as usize).copied();
        let memory = |at: &u32| whole.sample.memory.get(*at as usize).copied();
        let sample = Sample {
            table: table.with_rows(rows.iter().filter_map(kept).collect()),
            memory: rows.iter().filter_map(memory).collect(),
            ..whole.sample.about()
        };
        let track = |at: &u32| whole.track.get(*at as usize).copied();
        let held = |at: &u32| whole.held.get(*at as usize).copied();
        let drops = |at: &u32| whole.drop_growth_per_min.get(*at as usize).copied();
        let known = Known {
            carried: Carried {
                track: rows.iter().filter_map(track).collect(),
                held: rows.iter().filter_map(held).collect(),
            },
            drop_growth_per_min: rows.iter().filter_map(drops).collect(),
            udp,
            whole,
        };
        self.derive_known(sample, &mut || whole.owners.clone(), Some(known))
    }

    fn derive_known(
        &mut self,
        mut sample: Sample,
        owners: &mut dyn FnMut() -> Option<Arc<Owners>>,
        mut known: Option<Known<'_>>,
    ) -> Arc<Snapshot> {
        let first = *self.first.get_or_insert(sample.taken);
        let since_first = sample.taken.mono.saturating_sub(first.mono);
        let observed = known.as_ref().map_or(since_first, |k| k.whole.observed);
        let previous = self.previous.take();
        let elapsed = previous.as_ref().map(|p| sample.taken.mono.saturating_sub(p.sample.taken.mono));

        let (joined, carried) = self.remember(previous.as_deref(), &sample, observed);
        let drop_growth_per_min = match &known {
            Some(known) => known.drop_growth_per_min.clone(),
            None => self.grow_drops(&sample, observed),
        };
        let mut udp = known.as_mut().and_then(|known| known.udp.take());
        let (of_whole, whole) = known.map(|k| (k.carried, k.whole)).unzip();
        let Carried { mut track, held } = of_whole.unwrap_or(carried);
        let churn = joined.as_ref().zip(elapsed).map(|(j, dt)| churn(j, dt));
        self.limbo = joined.map(|j| j.gone).unwrap_or_default();
        self.limbo.truncate(LIMBO_MAX);

        let earlier = previous.as_ref().map_or(&[][..], |p| &p.listeners);
        let table = &sample.table;
        // The others need not be gone through for it.
        let first = table.listening.map_or(table.rows.len(), |n| n as usize);
        let rows = table.rows.get(..first).unwrap_or(&table.rows);
        self.listeners.load(rows, sample.completeness.source, &sample.listener_drops, earlier);
        self.ports.begin(&sample.facts.sysctls);
        let states = self.count(&sample, &mut track);

        let mut peers = self.peers.finish();
        self.grow(&mut peers, observed);
        let listeners = self.listeners.finish();
        let ports = self.ports.finish(observed);
        let mut limits = limits(&sample.facts, &ports, &listeners, states.time_wait_buckets);
        let owners = owners();
        if whole.is_none()
            && let Some(of_udp) = sample.udp.take()
        {
            udp = Some(self.udp.get_or_insert_default().derive_owned(*of_udp, owners.clone()));
        }
        let before = whole.or(previous.as_deref()).and_then(|s| s.owners.as_deref());
        let held = sought(&sample.table.rows, held, owners.as_deref(), before);
        let processes = owners.as_deref().map_or_else(Vec::new, |owners| {
            let mut aggs = self.processes.count((&sample.table.rows, &track, &held), owners, observed);
            if whole.is_some() {
                // What a process holds in no table is no part of a part.
                aggs.retain(|agg| agg.tally.counts.total() > 0);
            }
            match worst_fds(owners, sample.netns.inode, &aggs) {
                Some(Ok(limit)) => limits.known.push(limit),
                Some(Err(missing)) => limits.missing.push(missing),
                None => {}
            }
            aggs
        });
        let rates = previous
            .as_ref()
            .zip(elapsed)
            .map(|(p, dt)| rates(&p.sample.facts, &sample.facts, dt))
            .unwrap_or_default();

        let moved = match whole {
            Some(whole) => Arc::clone(&whole.moved),
            None => self.moved.look(&rates, observed),
        };
        self.history.push(states.all);
        let state_delta = previous
            .as_ref()
            .map(|p| TcpState::ALL.map(|s| i64::from(states.all[s]) - i64::from(p.states.all[s])));
        if let Some(whole) = whole {
            limits.known.clone_from(&whole.limits);
            limits.missing.clone_from(&whole.limits_missing);
        }
        let listens_at = whole.map(|whole| match &whole.listens_at {
            Some(all) => Arc::clone(all),
            None => whole.listeners.iter().map(|l| l.local).collect(),
        });
        let snapshot = Arc::new(Snapshot {
            generation: whole
                .map_or_else(|| previous.as_ref().map_or(1, |p| p.generation + 1), |w| w.generation),
            sample,
            elapsed,
            observed,
            track,
            udp,
            drop_growth_per_min,
            states,
            state_delta,
            history: self.history.clone(),
            peers,
            listeners,
            listens_at,
            ports,
            churn,
            rates: rates.moved,
            moved,
            counters_reset: rates.reset,
            went_back: rates.went_back,
            owners,
            held,
            options: Arc::default(),
            processes,
            limits: limits.known,
            limits_missing: limits.missing,
        });
        self.previous = Some(Arc::clone(&snapshot));
        snapshot
    }

    /// What came and went, where cookies tell, and what is known of every row.
    fn remember(
        &mut self,
        previous: Option<&Snapshot>,
        sample: &Sample,
        observed: Duration,
    ) -> (Option<Joined>, Carried) {
        let rows = &sample.table.rows;
        let now_ds = u32::try_from(observed.as_millis() / 100).unwrap_or(u32::MAX);
        let has_cookies = sample.completeness.source != TableSource::Procfs;
        match previous {
            Some(p) if has_cookies && p.sample.completeness.source != TableSource::Procfs => {
                let earlier = Earlier { rows: &p.sample.table.rows, track: &p.track, held: &p.held };
                let (joined, carried) = join(earlier, &self.limbo, rows, now_ds);
                (Some(joined), carried)
            }
            // At the first look, or without cookies, nothing is known of any socket's past.
            _ => {
                let track = vec![Track::new(now_ds, true, false); rows.len()];
                (None, Carried { track, held: Vec::new() })
            }
        }
    }

    /// The one pass over the rows, a block at a time.
    fn count(&mut self, sample: &Sample, track: &mut [Track]) -> StateSummary {
        let mut states = StateSummary::default();
        for (rows, track) in sample.table.rows.chunks(BLOCK).zip(track.chunks_mut(BLOCK)) {
            let mut keepalive = [None; BLOCK];
            for ((row, track), keepalive) in rows.iter().zip(&mut *track).zip(&mut keepalive) {
                if row.flags.has(RowFlags::V6) {
                    states.v6.bump(row.state);
                } else {
                    states.v4.bump(row.state);
                }
                if row.timer() == TimerKind::TimeWait {
                    states.time_wait_buckets += 1;
                }
                let seen = row.keepalive_seen();
                *track = track.after_seeing(seen);
                *keepalive = track.keepalive_after(seen);
            }
            let peers = self.peers.count(rows, track, &keepalive);
            self.ports.count(rows, &peers, &self.listeners);
            self.listeners.count(rows, &keepalive);
        }
        states.all = states.v4;
        states.all += states.v6;
        states
    }

    /// Growth of the drops of each row, where the sample tells of drops.
    fn grow_drops(&mut self, sample: &Sample, observed: Duration) -> Vec<Option<f32>> {
        let dropped = || {
            let rows = sample.table.rows.iter().zip(&sample.memory);
            rows.filter(|(row, _)| row.cookie() != 0).map(|(row, mem)| (row.cookie(), mem.drops))
        };
        let growth = sample.table.rows.iter().zip(&sample.memory).map(|(row, mem)| {
            let per_s = self.drops.growth_of_known_per_s(&row.cookie(), mem.drops?, observed)?;
            Some(per_s * 60.0)
        });
        let growth = growth.collect();
        self.drops.renew(observed, dropped().filter_map(|(cookie, drops)| Some((cookie, drops?))));
        growth
    }

    fn grow(&mut self, peers: &mut [PeerAgg], observed: Duration) {
        for p in peers.iter_mut() {
            p.growth_per_min =
                self.peer_growth.growth_per_s(&p.addr, p.counts.total(), observed).map(|g| g * 60.0);
        }
        self.peer_growth.renew(observed, peers.iter().map(|p| (p.addr, p.counts.total())));
    }
}

fn churn(joined: &Joined, elapsed: Duration) -> Churn {
    let gone = u32::try_from(joined.gone.len()).unwrap_or(u32::MAX);
    let per_s = |n: u32| if elapsed.is_zero() { 0.0 } else { f64::from(n) / elapsed.as_secs_f64() };
    Churn { new: joined.new, gone, new_per_s: per_s(joined.new), gone_per_s: per_s(gone) }
}
