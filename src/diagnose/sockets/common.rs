//! What the rules of the socket tables have in common: whom rows belong to, how they grow, how evidence is written.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::hash::Hash;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::diagnose::details::DetailEntry;
use crate::diagnose::finding::{Evidence, Proof, Source, Subject, Value};
use crate::diagnose::rule::Context;
use crate::diagnose::survey::Picked;
use crate::model::{ForeignText, Ip, Process, SocketRow, TableSource};

/// So many groups are compared with before they are looked up.
const EARLY: usize = 4;

/// How many names stand in a list before it is cut.
const NAMES: usize = 3;

/// From so many peers of one network on the network is named, and from so many of those on the process that talks to them
/// all.
const MANY: usize = 3;
const V4_NETWORK: u8 = 24;
const V6_NETWORK: u8 = 64;

/// Whom rows are about that were grouped by peer: the peer, or the network of several of them.
pub(super) fn peers_or_networks(by_peer: Vec<(Ip, Vec<u32>)>) -> Vec<(Subject, Vec<u32>)> {
    let network = |peer: Ip| peer.prefix(V4_NETWORK, V6_NETWORK);
    let mut sizes: FxHashMap<Ip, usize> = FxHashMap::default();
    for (peer, _) in &by_peer {
        *sizes.entry(network(*peer)).or_default() += 1;
    }
    let mut groups: Vec<(Subject, Vec<u32>)> = Vec::new();
    let mut places: FxHashMap<Ip, usize> = FxHashMap::default();
    for (peer, rows) in by_peer {
        let addr = network(peer);
        if peer.is_loopback() || sizes.get(&addr).is_none_or(|n| *n < MANY) {
            groups.push((Subject::Peer { addr: peer, prefix: None }, rows));
            continue;
        }
        let place = *places.entry(addr).or_insert(groups.len());
        if let Some((_, all)) = groups.get_mut(place) {
            all.extend(rows);
        } else {
            let prefix = Some(if addr.is_v4() { V4_NETWORK } else { V6_NETWORK });
            groups.push((Subject::Peer { addr, prefix }, rows));
        }
    }
    groups
}

impl<'a> Context<'a> {
    /// A row of the table.
    pub(super) fn row(&self, at: u32) -> Option<&'a SocketRow> {
        self.snapshot.sample.table.rows.get(at as usize)
    }

    /// The rows of these places, with their places.
    pub(super) fn rows(&self, places: &'a [u32]) -> impl Iterator<Item = (u32, &'a SocketRow)> + use<'a> {
        let table = &self.snapshot.sample.table.rows;
        places.iter().filter_map(|at| Some((*at, table.get(*at as usize)?)))
    }

    /// How long a row has been seen in its state.
    pub(super) fn seen_for(&self, at: u32) -> Duration {
        let track = self.snapshot.track.get(at as usize);
        track.map_or(Duration::ZERO, |t| self.snapshot.age(*t).seen)
    }

    /// What exact questions told about a row.
    pub(super) fn detail(&self, row: &SocketRow) -> Option<&'a DetailEntry> {
        self.details.get(row.cookie())
    }

    /// Why sockets cannot be told apart from look to look, if they cannot.
    pub(super) fn no_identity(&self) -> Option<String> {
        (self.snapshot.sample.completeness.source == TableSource::Procfs)
            .then(|| "/proc/net/tcp does not tell one connection from the next; sock_diag does".into())
    }

    /// The first process that holds a row's socket.
    pub(super) fn process(&self, row: &SocketRow) -> Option<&'a Process> {
        let owners = self.owners?;
        owners.holders(row.inode).first().and_then(|h| owners.process(*h))
    }

    /// Rows by whom they belong to, most rows first: their process, else their listener, else their peer.
    pub(super) fn by_holder(&self, places: &[u32]) -> Vec<(Subject, Vec<u32>)> {
        self.by_key(places, 1, |c, at, row| c.process_key(at).or_else(|| c.listener_key(row)))
    }

    /// The same, the listener before the process: it is where an option can be set for all of them. Only groups of at
    /// least `few`.
    pub(super) fn by_listener(&self, places: &[u32], few: usize) -> Vec<(Subject, Vec<u32>)> {
        self.by_key(places, few, |c, at, row| c.listener_key(row).or_else(|| c.process_key(at)))
    }

    /// Groups by small keys: a subject holds a name, and there may be a quarter of a million rows.
    fn by_key(
        &self,
        places: &[u32],
        few: usize,
        key: impl Fn(&Self, u32, &SocketRow) -> Option<Key>,
    ) -> Vec<(Subject, Vec<u32>)> {
        let keyed =
            self.rows(places).map(|(at, row)| (key(self, at, row).unwrap_or(Key::Peer(row.peer)), at));
        let named = |(key, rows)| Some((self.subject(key)?, rows));
        grouped_from(few, keyed).into_iter().filter_map(named).collect()
    }

    fn process_key(&self, at: u32) -> Option<Key> {
        self.snapshot.first_holder(at).map(Key::Process)
    }

    fn listener_key(&self, row: &SocketRow) -> Option<Key> {
        self.survey.listener_of(self.snapshot, row).map(Key::Listener)
    }

    fn subject(&self, key: Key) -> Option<Subject> {
        Some(match key {
            Key::Process(n) => {
                let p = self.owners?.processes.get(n as usize)?;
                Subject::Process { pid: p.pid, comm: p.comm.clone() }
            }
            Key::Listener(n) => {
                let l = self.snapshot.listeners.get(n as usize)?;
                Subject::Listener { local: l.local, cookie: l.cookie }
            }
            Key::Peer(addr) => Subject::Peer { addr, prefix: None },
        })
    }

    /// The part of the process's descriptor limit that `count` descriptors are, if the subject is a process with one.
    pub(super) fn fd_limit(&self, subject: &Subject) -> Option<u64> {
        let Subject::Process { pid, .. } = subject else { return None };
        self.owners?.by_pid(*pid)?.fd_limit.known().copied()
    }

    /// The delta of a counter since the previous look.
    pub(super) fn moved(&self, name: &str) -> Option<u64> {
        self.snapshot.rates.iter().find(|r| &*r.name == name).map(|r| r.delta)
    }

    /// The names of the processes that hold these rows, most rows first; `None` if none is known.
    pub(super) fn processes(&self, places: &[u32]) -> Option<Evidence> {
        let mut counts: FxHashMap<u32, (u32, &Process)> = FxHashMap::default();
        for at in places.iter().take(Proof::MOST) {
            if let Some(p) = self.row(*at).and_then(|row| self.process(row)) {
                counts.entry(p.pid).or_insert((0, p)).0 += 1;
            }
        }
        let mut all: Vec<_> = counts.into_values().collect();
        all.sort_by_key(|(n, p)| (std::cmp::Reverse(*n), p.pid));
        let names = all.iter().map(|(_, p)| format!("{}[{}]", p.comm.raw(), p.pid));
        listed(names, all.len())
            .map(|text| Evidence::new("processes", Value::Text(text), Source::File("/proc/PID/fd".into())))
    }

    /// The peers of these rows, most rows first, and how many there are.
    pub(super) fn peers(&self, places: &[u32]) -> [Evidence; 2] {
        let mut counts: FxHashMap<Ip, u32> = FxHashMap::default();
        let peer = |at: &u32| self.row(*at).map(|row| row.peer);
        for run in places.chunk_by(|a, b| peer(a) == peer(b)) {
            if let Some(peer) = run.first().and_then(peer) {
                *counts.entry(peer).or_default() += u32::try_from(run.len()).unwrap_or(u32::MAX);
            }
        }
        let mut all: Vec<_> = counts.into_iter().collect();
        all.sort_by_key(|(ip, n)| (std::cmp::Reverse(*n), *ip));
        let names = all.iter().map(|(ip, n)| format!("{ip} ({n})"));
        let text = listed(names, all.len()).map_or(Value::Unknown, Value::Text);
        [
            Evidence::new("peers", Value::Count(all.len() as u64), Source::SockDiag),
            Evidence::new("top_peers", text, Source::SockDiag),
        ]
    }

    /// What is queued on connections that do not move: how many, the longest that nothing was acknowledged, the bytes.
    pub(super) fn queued(&self, places: &[u32], longest: Duration) -> [Evidence; 3] {
        let bytes = self.rows(places).map(|(_, row)| u64::from(row.send_q)).sum();
        [
            sockets("sockets", places.len()),
            observed("still_s", longest),
            Evidence::new("queued", Value::Bytes(bytes), Source::SockDiag),
        ]
    }

    /// The peers and the processes of a finding's rows. One peer whose finding it is need not be counted.
    pub(super) fn ends(&self, subject: &Subject, places: &[u32]) -> Vec<Evidence> {
        let peers = match subject {
            Subject::Peer { prefix: None, .. } => Vec::new(),
            _ => self.peers(places).into(),
        };
        peers.into_iter().chain(self.processes(places)).collect()
    }

    /// Rows by whom it is about if they do not move: a peer, a network of several, or the one process here that talks to
    /// several of those, which is one finding and not as many as there are peers.
    pub(super) fn by_peer_or_process(
        &self,
        rows: impl Iterator<Item = (Ip, u32)>,
    ) -> Vec<(Subject, Vec<u32>)> {
        let groups = peers_or_networks(grouped(rows));
        let process = |rows: &[u32]| {
            let mut all = rows.iter().map(|at| self.process_key(*at));
            let first = all.next()??;
            all.all(|other| other == Some(first)).then_some(first)
        };
        let of: Vec<Option<Key>> = groups.iter().map(|(_, rows)| process(rows)).collect();
        let mut wider: Vec<(Subject, Vec<u32>)> = Vec::new();
        let mut places: FxHashMap<Key, usize> = FxHashMap::default();
        for ((subject, rows), key) in groups.into_iter().zip(&of) {
            let shared = key.filter(|key| of.iter().filter(|other| **other == Some(*key)).count() >= MANY);
            let Some((key, named)) = shared.and_then(|key| Some((key, self.subject(key)?))) else {
                wider.push((subject, rows));
                continue;
            };
            let place = *places.entry(key).or_insert(wider.len());
            match wider.get_mut(place) {
                Some((_, all)) => all.extend(rows),
                None => wider.push((named, rows)),
            }
        }
        wider
    }

    /// These rows as proof.
    pub(super) fn proof(&self, places: &[u32]) -> Proof {
        let cookies = self.rows(places).map(|(_, row)| row.cookie()).take(Proof::MOST).collect();
        Proof { cookies, total: places.len() }
    }
}

/// Whom a row belongs to, without names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    /// Index into the processes of [`Context::owners`].
    Process(u32),
    /// Index into the listeners of the snapshot.
    Listener(u32),
    Peer(Ip),
}

fn listed(names: impl Iterator<Item = String>, count: usize) -> Option<ForeignText> {
    let mut text = names.take(NAMES).collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        return None;
    }
    if count > NAMES {
        let _ = write!(text, " and {} more", count - NAMES);
    }
    Some(ForeignText::from(&*text))
}

/// Rows by what they have in common, most rows first.
pub(super) fn grouped<K: Hash + Eq + Ord + Clone>(
    rows: impl Iterator<Item = (K, u32)>,
) -> Vec<(K, Vec<u32>)> {
    grouped_from(1, rows)
}

/// The same; groups of fewer than `few` rows are left out. Counts first, so that each group is allocated once and at its
/// size.
fn grouped_from<K: Hash + Eq + Ord + Clone>(
    few: usize,
    rows: impl Iterator<Item = (K, u32)>,
) -> Vec<(K, Vec<u32>)> {
    // Peers choose their addresses, so the hash is seeded.
    let mut numbers: HashMap<K, u32, foldhash::fast::RandomState> = HashMap::default();
    let mut groups: Vec<(K, usize)> = Vec::new();
    let mut placed: Vec<(u32, u32)> = Vec::with_capacity(rows.size_hint().1.unwrap_or(0));
    let mut last = u32::MAX;
    for (key, at) in rows {
        // Rows of one group mostly follow each other, or there are few groups.
        if groups.get(last as usize).is_none_or(|(k, _)| *k != key) {
            let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            let early = groups.iter().zip(0..).take(EARLY).find(|((k, _), _)| *k == key);
            last = match early {
                Some((_, group)) => group,
                None => *numbers.entry(key.clone()).or_insert(next),
            };
            if last == next {
                groups.push((key, 0));
            }
        }
        if let Some((_, count)) = groups.get_mut(last as usize) {
            *count += 1;
        }
        placed.push((at, last));
    }
    let room = |(key, count): (K, usize)| (key, Vec::with_capacity(if count < few { 0 } else { count }));
    let mut groups: Vec<(K, Vec<u32>)> = groups.into_iter().map(room).collect();
    for (at, group) in placed {
        if let Some((_, rows)) = groups.get_mut(group as usize)
            && rows.capacity() > 0
        {
            rows.push(at);
        }
    }
    groups.retain(|(_, rows)| !rows.is_empty());
    groups.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
    groups
}

/// A number of sockets of the table.
pub(super) fn sockets(name: &'static str, n: usize) -> Evidence {
    Evidence::new(name, Value::Count(n as u64), Source::SockDiag)
}

/// How many sockets of a kind were looked at and how many there are, where that is not the same.
pub(super) fn looked_at(picked: &Picked) -> Vec<Evidence> {
    if picked.rows.len() == picked.total as usize {
        return Vec::new();
    }
    vec![sockets("looked_at", picked.rows.len()), sockets("of", picked.total as usize)]
}

/// A time that this program saw.
pub(super) fn observed(name: &'static str, t: Duration) -> Evidence {
    Evidence::new(name, Value::Time(t), Source::Observed)
}

/// A sysctl's value, if it is known here.
pub(super) fn setting(context: &Context<'_>, name: &'static str, sysctl: &'static str) -> Option<Evidence> {
    let value = context.snapshot.sample.facts.sysctls.number(sysctl)?;
    Some(Evidence::new(name, Value::Number(value), Source::Sysctl(sysctl.into())))
}

#[expect(clippy::cast_precision_loss, reason = "counts of sockets")]
pub(super) const fn float(n: usize) -> f64 {
    n as f64
}

/// Counts of one subject over the last looks: more in each of three successive looks is growth.
#[derive(Clone, Default, Debug)]
pub(super) struct Growth {
    counts: VecDeque<(Duration, usize)>,
    /// Cookies of each look that is remembered, the oldest first.
    cookies: VecDeque<Vec<u64>>,
}

impl Growth {
    /// Three steps need four looks.
    const LOOKS: usize = 4;

    /// Takes a look.
    pub fn push(&mut self, at: Duration, mut cookies: Vec<u64>) {
        if self.counts.len() == Self::LOOKS {
            self.counts.pop_front();
            self.cookies.pop_front();
        }
        self.counts.push_back((at, cookies.len()));
        cookies.sort_unstable();
        self.cookies.push_back(cookies);
    }

    /// Whether there were more at each look, and the growth per minute.
    pub fn per_minute(&self) -> Option<f64> {
        let grows = self.counts.len() == Self::LOOKS
            && self.counts.iter().zip(self.counts.iter().skip(1)).all(|(a, b)| a.1 < b.1);
        let ((t0, n0), (t1, n1)) = (self.counts.front()?, self.counts.back()?);
        let span = t1.saturating_sub(*t0).as_secs_f64();
        (grows && span > 0.0).then(|| (float(*n1) - float(*n0)) * 60.0 / span)
    }

    /// How many the oldest look that is remembered saw, and the part of them that is still there.
    pub fn kept(&self) -> (usize, f64) {
        let (Some(first), Some(last)) = (self.cookies.front(), self.cookies.back()) else { return (0, 0.0) };
        // Both are sorted.
        let mut rest = last.iter().peekable();
        let still = first.iter().filter(|cookie| {
            while rest.next_if(|c| c < cookie).is_some() {}
            rest.peek() == Some(cookie)
        });
        let still = still.count();
        (first.len(), if first.is_empty() { 0.0 } else { float(still) / float(first.len()) })
    }
}

/// [`Growth`] of every subject of a rule. A subject that is not there at a look is forgotten.
#[derive(Default, Debug)]
pub(super) struct Grows(FxHashMap<Subject, Growth>);

impl Grows {
    /// Takes the groups of a look.
    pub fn renew(&mut self, context: &Context<'_>, groups: &[(Subject, Vec<u32>)]) {
        let mut old = std::mem::take(&mut self.0);
        for (subject, rows) in groups {
            let mut growth = old.remove(subject).unwrap_or_default();
            let cookies = context.rows(rows).map(|(_, r)| r.cookie()).collect();
            growth.push(context.snapshot.observed, cookies);
            self.0.insert(subject.clone(), growth);
        }
    }

    /// The growth of a subject.
    pub fn of(&self, subject: &Subject) -> Option<&Growth> {
        self.0.get(subject)
    }
}

/// The thresholds of a rule: fields, and whether they make sense together.
macro_rules! numbers {
    ($($field:ident: $kind:ty),+ $(,)?; $n:ident => $check:expr) => {
        #[derive(serde::Deserialize, Clone, Copy, Debug)]
        #[serde(deny_unknown_fields)]
        struct Numbers {
            $($field: $kind),+
        }

        impl crate::diagnose::thresholds::Section for Numbers {
            fn check(&self) -> Result<(), String> {
                $(crate::diagnose::thresholds::positive(stringify!($field), self.$field.into())?;)+
                let $n = self;
                $check
            }
        }
    };
    ($($field:ident: $kind:ty),+ $(,)?) => {
        numbers! { $($field: $kind),+; _n => Ok(()) }
    };
}
pub(super) use numbers;
