//! The thread that looks at the kernel, derives, and hands the result on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::mailbox::{Bell, Mailbox};
use super::probe::{Asker, Options};
use super::processes::Finder;
use crate::analysis::{Analyzer, Snapshot, World};
use crate::diagnose::{Judge, Judged, Judgement, RuleBook};
use crate::model::{Asked, Host, Origin, Protocols, Sample, SocketDetail, SocketRow};
use crate::query::filter::{Infos, Needs};
use crate::query::{RowId, Selection};
use crate::source::{Source, SourceError};

/// A look with what follows from it, or why there is none, in one line.
pub type Look = Result<Arc<Judged>, String>;

/// The answer about one socket, with the cookie that was asked for; `None` inside when the socket is gone.
pub type Detailed = (u64, Option<SocketDetail>);

/// Shortest and longest time between looks.
pub const INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);

/// Sockets whose `tcp_info` is wanted.
pub type Wanted = Vec<(SocketRow, Origin)>;

/// The time that one question about several sockets may take: at 2 to 2.5 µs each, a hundred thousand of them.
const ASKING: Duration = Duration::from_millis(250);

/// How long an answer about several sockets is waited for: a look at a million sockets may have just begun.
const WAITING: Duration = Duration::from_secs(5);

/// What the collecting thread and its owner share.
struct Shared {
    interval_ms: AtomicU64,
    udp: AtomicBool,
    stop: AtomicBool,
    /// Each look has to say which ports the kernel chose.
    autobound: AtomicBool,
    wanted: Mailbox<(u64, Wanted)>,
    infos: Mailbox<(u64, Infos)>,
    bell: Arc<Bell>,
    questions: Mailbox<(SocketRow, Origin)>,
    looks: Arc<Mailbox<Look>>,
    details: Arc<Mailbox<Detailed>>,
}

/// The collecting thread. It ends when this is dropped.
pub struct Collector {
    shared: Arc<Shared>,
    asker: Option<Asker>,
    thread: Option<JoinHandle<()>>,
}

/// Derives worlds from a source and judges them, one namespace an analyzer and a judge. The same code serves a live screen
/// and a single report.
pub struct Looker<S> {
    source: S,
    host: Arc<Host>,
    rules: Option<RuleBook>,
    finder: Finder,
    spaces: Vec<Space>,
    generation: u64,
    cpu: Option<(Duration, Instant)>,
}

/// What is remembered of one namespace from look to look.
struct Space {
    inode: u64,
    analyzer: Analyzer,
    judge: Option<Judge>,
}

impl<S: Source> Looker<S> {
    /// A looker on a source; it does not judge.
    pub fn new(source: S) -> Self {
        let host = Arc::new(source.host().clone());
        Self {
            source,
            host,
            rules: None,
            finder: Finder::Never,
            spaces: Vec::new(),
            generation: 0,
            cpu: None,
        }
    }

    /// The same, judging each look by these rules.
    #[must_use]
    pub fn judged_by(self, rules: RuleBook) -> Self {
        Self { rules: Some(rules), ..self }
    }

    /// The same, saying with each look who holds the sockets: the processes are looked at while the kernel is asked. With
    /// `patience` no longer than that or than the kernel takes, and what is not known then is said to be unknown.
    #[must_use]
    pub fn with_owners(self, patience: Option<Duration>) -> Self {
        Self { finder: Finder::Beside { patience, scanner: None }, ..self }
    }

    /// The same on a thread that follows the looks, so that none of them waits: a look has the owners that the thread
    /// found until then, and the first has none.
    #[must_use]
    pub fn followed_by_owners(self) -> Self {
        Self { finder: Finder::Behind(None), ..self }
    }

    /// Takes a sample of every namespace, derives and judges.
    ///
    /// # Errors
    /// What the source says when nothing could be read.
    pub fn look(&mut self) -> Result<Arc<Judged>, SourceError> {
        let (samples, mut owners) = self.finder.look(|| self.source.look())?;
        // What is remembered of a namespace ends with it.
        self.spaces.retain(|space| samples.iter().any(|s| s.netns.inode == space.inode));
        self.generation += 1;
        let mut snapshots = Vec::with_capacity(samples.len());
        for sample in samples {
            let at = self.space(&sample);
            let (space, finder) = (&mut self.spaces[at], &mut self.finder);
            snapshots.push(space.analyzer.derive_with(sample, &mut || finder.owners(&mut owners)));
        }
        self.finder.follow(&snapshots);
        let judgements = snapshots.iter().filter_map(|s| self.judge(s)).collect();
        let world = World {
            generation: self.generation,
            host: Arc::clone(&self.host),
            snapshots,
            unexamined: self.source.unexamined().to_vec(),
            own_cpu: self.own_cpu(),
        };
        Ok(Arc::new(Judged { world: Arc::new(world), judgements }))
    }

    fn judge(&mut self, snapshot: &Snapshot) -> Option<Judgement> {
        let inode = snapshot.sample.netns.inode;
        let judge = self.spaces.iter_mut().find(|s| s.inode == inode)?.judge.as_mut()?;
        let source = &mut self.source;
        let mut ask = |row: &SocketRow| source.detail(row, snapshot.sample.table.origin(row));
        Some(judge.look(&self.host, snapshot, &mut ask))
    }

    /// The source, to be told what to ask for.
    pub const fn source(&mut self) -> &mut S {
        &mut self.source
    }

    /// Everything that is known about one socket now.
    pub fn detail(&mut self, row: &SocketRow, origin: Origin) -> Option<SocketDetail> {
        self.source.detail(row, origin)
    }

    /// The place of what is remembered of a sample's namespace.
    fn space(&mut self, sample: &Sample) -> usize {
        let inode = sample.netns.inode;
        self.spaces.iter().position(|s| s.inode == inode).unwrap_or_else(|| {
            let judge = self.rules.as_ref().map(RuleBook::judge);
            self.spaces.push(Space { inode, analyzer: Analyzer::default(), judge });
            self.spaces.len() - 1
        })
    }

    fn own_cpu(&mut self) -> Option<f32> {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let used = Duration::new(u64::try_from(used.tv_sec).ok()?, u32::try_from(used.tv_nsec).ok()?);
        let (was, at) = self.cpu.replace((used, Instant::now()))?;
        Some(used.saturating_sub(was).as_secs_f32() / at.elapsed().as_secs_f32().max(f32::EPSILON))
    }
}

impl Collector {
    /// Starts looking every `interval`. `open` runs on the new thread, because a netlink socket belongs to the network
    /// namespace of the thread that opens it.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn start<S: Source + 'static>(
        open: impl FnOnce() -> Looker<S> + Send + 'static,
        interval: Duration,
        looks: Arc<Mailbox<Look>>,
        details: Arc<Mailbox<Detailed>>,
    ) -> std::io::Result<Self> {
        let bell = Arc::new(Bell::default());
        let shared = Arc::new(Shared {
            interval_ms: AtomicU64::new(0),
            udp: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            autobound: AtomicBool::new(false),
            wanted: Mailbox::with_bell(Arc::clone(&bell)),
            infos: Mailbox::new(),
            questions: Mailbox::with_bell(Arc::clone(&bell)),
            bell,
            looks,
            details,
        });
        let ours = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("collect".into()).spawn(move || run(open(), &ours))?;
        let collector = Self { shared, asker: None, thread: Some(thread) };
        collector.set_interval(interval);
        Ok(collector)
    }

    /// The same, with a thread that asks sockets for their options and answers into `options`.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn asking(self, options: Arc<Mailbox<Options>>) -> std::io::Result<Self> {
        let mut collector = self;
        collector.asker = Some(Asker::start(options)?);
        Ok(collector)
    }

    /// Asks the socket of a row for its options; the answer comes into the mailbox of [`Collector::asking`].
    pub fn probe(&self, world: Arc<World>, row: RowId) {
        if let Some(asker) = &self.asker {
            asker.ask(world, row);
        }
    }

    /// Asks the connections that are selected for their keepalive, likewise.
    pub fn probe_those(&self, world: Arc<World>, select: Selection) {
        if let Some(asker) = &self.asker {
            asker.ask_those(world, select);
        }
    }

    /// Changes the time between looks, within [`INTERVALS`].
    pub fn set_interval(&self, interval: Duration) {
        let ms = interval.clamp(*INTERVALS.start(), *INTERVALS.end()).as_millis();
        self.shared.interval_ms.store(u64::try_from(ms).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.shared.bell.ring();
    }

    /// Looks at the UDP sockets as well from now on, or no longer.
    pub fn watch_udp(&self, yes: bool) {
        self.shared.udp.store(yes, Ordering::Relaxed);
        self.shared.bell.ring();
    }

    /// Says what the looks have to tell from the next one on, beside what they tell anyway.
    pub fn need(&self, needs: Needs) {
        self.shared.autobound.store(needs.autobound, Ordering::Relaxed);
    }

    /// Someone who asks for `tcp_info` and waits for the answer: not for the drawing thread.
    #[must_use]
    pub fn inquirer(&self) -> Inquirer {
        Inquirer { shared: Arc::clone(&self.shared), asked: 0 }
    }

    /// Asks for everything about one socket; the answer comes into the mailbox of details. A newer question replaces one
    /// that was not answered yet.
    pub fn ask(&self, row: SocketRow, origin: Origin) {
        self.shared.questions.post((row, origin));
    }
}

/// Asks the collecting thread for the `tcp_info` of several sockets.
pub struct Inquirer {
    shared: Arc<Shared>,
    asked: u64,
}

impl Inquirer {
    /// Asks, and waits. What could not be asked in time is missing in the answer.
    #[must_use]
    pub fn ask(&mut self, wanted: Wanted) -> Infos {
        self.asked += 1;
        drop(self.shared.wanted.post((self.asked, wanted)));
        let end = Instant::now() + WAITING;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.shared.infos.wait_for(left) {
                Some((id, infos)) if id == self.asked => return infos,
                // An answer that came too late for its question.
                Some(_) => {}
                None => return Infos::default(),
            }
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.bell.ring();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has closed its mailboxes, which is how its end was told.
            let _ = thread.join();
        }
    }
}

/// Closes the mailboxes when the thread ends, however it ends, so that nobody waits for ever.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.looks.close();
        self.0.details.close();
        self.0.infos.close();
    }
}

fn run<S: Source>(mut looker: Looker<S>, shared: &Shared) {
    let _closing = Closing(shared);
    let mut asked = Asked::default();
    while !shared.stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let udp = shared.udp.load(Ordering::Relaxed);
        looker.source().watch(Protocols { tcp: true, udp });
        let autobound = shared.autobound.load(Ordering::Relaxed);
        if std::mem::replace(&mut asked.autobound, autobound) != autobound {
            looker.source().ask_for(asked.clone());
        }
        let look = looker.look().map_err(|e| e.to_string());
        // The old table is given back before the next one is built.
        drop(shared.looks.post(look));
        let took = begun.elapsed();
        loop {
            if let Some((row, origin)) = shared.questions.take() {
                drop(shared.details.post((row.cookie(), looker.detail(&row, origin))));
            }
            if let Some((id, wanted)) = shared.wanted.take() {
                drop(shared.infos.post((id, infos(&mut looker, &wanted))));
            }
            let interval = Duration::from_millis(shared.interval_ms.load(Ordering::Relaxed));
            // Never more than half of a core, however large the table.
            let next = begun + interval.max(took * 2);
            // Who opens the UDP sockets does not want to wait for the next look.
            let opened = shared.udp.load(Ordering::Relaxed) && !udp;
            if shared.stop.load(Ordering::Relaxed) || opened || Instant::now() >= next {
                break;
            }
            shared.bell.wait_until(Some(next));
        }
    }
}

/// Asks for one socket after the other, as long as there is time.
fn infos<S: Source>(looker: &mut Looker<S>, wanted: &Wanted) -> Infos {
    let end = Instant::now() + ASKING;
    let mut infos = Infos::default();
    for (row, origin) in wanted {
        if Instant::now() >= end {
            break;
        }
        infos.insert(row.cookie(), looker.detail(row, *origin).and_then(|detail| detail.info));
    }
    infos
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Live, LiveOptions};

    #[test]
    fn looks_come_until_the_collector_is_dropped_and_details_in_between() {
        let (looks, details) = (Arc::new(Mailbox::new()), Arc::new(Mailbox::new()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let rules = RuleBook::defaults().unwrap();
        let open = || Looker::new(Live::open(LiveOptions::default())).judged_by(rules);
        let collector =
            Collector::start(open, Duration::from_millis(100), Arc::clone(&looks), Arc::clone(&details))
                .unwrap();
        let first = looks.wait().unwrap().unwrap();
        let second = looks.wait().unwrap().unwrap();
        assert_eq!((first.world.generation, second.world.generation), (1, 2));
        assert!(second.world.own_cpu.is_some());
        assert_eq!(second.judgements.len(), second.world.snapshots.len());
        let table = &second.world.snapshots[0].sample.table;
        let row = table.rows.iter().find(|r| r.local_port == port && r.peer_port == 0).unwrap();
        collector.ask(*row, table.origin(row));
        let (cookie, detail) = details.wait().unwrap();
        assert_eq!(cookie, row.cookie());
        assert_eq!(detail.unwrap().row.local_port, port);
        let infos = collector.inquirer().ask(vec![(*row, table.origin(row))]);
        assert_eq!(infos.keys().copied().collect::<Vec<_>>(), [row.cookie()]);
        collector.need(Needs { autobound: true, ..Needs::default() });
        let told = || looks.wait().unwrap().unwrap().world.snapshots[0].sample.table.autobound;
        assert!((0..5).any(|_| told()), "the looks say which ports the kernel chose");
        let mut inquirer = collector.inquirer();
        drop(collector);
        assert!(inquirer.ask(Vec::new()).is_empty(), "nobody is there to ask");
        while looks.wait().is_some() {}
    }
}
