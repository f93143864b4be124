//! Finding the owners of sockets: beside a look for a single answer, behind the looks for a screen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use super::mailbox::Mailbox;
use crate::analysis::{Held, Snapshot};
use crate::model::{Owners, Sample};
use crate::sys::processes::{Listed, Scanner, let_others_go_first};

/// The part of one core that following the processes may take, one in so many.
const SHARE: u32 = 50;
/// The longest that one round may take, the first one apart, which takes what it needs.
const LONGEST: Duration = Duration::from_millis(100);

/// How long processes are left alone while every socket is accounted for: only their counts of descriptors may change.
const CALM: Duration = Duration::from_secs(3);

/// How the owners of sockets are found.
#[derive(Default)]
pub(super) enum Finder {
    /// Not at all.
    #[default]
    Never,
    /// While the sockets are dumped.
    Beside {
        /// How long the looking may take at least if the dump ends sooner; `None` for as long as it takes.
        patience: Option<Duration>,
        /// The scanner of the previous look.
        scanner: Option<Box<Scanner>>,
    },
    /// On a thread that follows the looks, which take its newest answer.
    Behind(Option<Follower>),
}

/// Who holds the sockets of a look. Where a thread is still putting it together, whoever asks waits for it.
pub(super) enum Later {
    /// What is known, or that nothing is.
    Known(Option<Arc<Owners>>),
    /// A thread that will say.
    Coming(JoinHandle<(Box<Scanner>, Arc<Owners>)>),
}

/// A scanner, and the time that it has left.
type Scanned = (Box<Scanner>, Option<Duration>);

/// Takes samples by `look`, and looks at the processes meanwhile: the scanner, and what time it has left. Where there is a
/// limit to the patience, that is when the samples are there, but not before the patience is over.
fn beside<E>(
    patience: Option<Duration>,
    look: impl FnOnce() -> Result<Vec<Sample>, E>,
) -> Result<(Vec<Sample>, Option<Scanned>), E> {
    let begun = Instant::now();
    let dumped = AtomicBool::new(false);
    let enough = || patience.is_some_and(|p| dumped.load(Ordering::Relaxed) && begun.elapsed() >= p);
    let (samples, scanned) = std::thread::scope(|scope| {
        let scan = std::thread::Builder::new().name("processes".into()).spawn_scoped(scope, || {
            if patience.is_some() {
                // Whoever waits waits for the dump, which may use every processor that there is.
                let_others_go_first();
            }
            let mut scanner = Box::new(Scanner::open().ok()?);
            let finished = scanner.scan_all(enough);
            Some((scanner, finished))
        });
        let samples = look();
        dumped.store(true, Ordering::Relaxed);
        (samples, scan.ok().and_then(|s| s.join().ok()).flatten())
    });
    let left = |finished| if finished { patience } else { Some(Duration::ZERO) };
    Ok((samples?, scanned.map(|(scanner, finished)| (scanner, left(finished)))))
}

impl Finder {
    /// Takes samples by `look`, and says who holds their sockets, as far as that was asked for and is known.
    pub(super) fn look<E>(
        &mut self,
        look: impl FnOnce() -> Result<Vec<Sample>, E>,
    ) -> Result<(Vec<Sample>, Later), E> {
        match self {
            Self::Never => Ok((look()?, Later::Known(None))),
            Self::Behind(follower) => {
                Ok((look()?, Later::Known(follower.as_mut().and_then(Follower::newest))))
            }
            Self::Beside { patience, scanner } => {
                let (samples, known) = match scanner.take() {
                    Some(known) => (look()?, Some((known, *patience))),
                    None => beside(*patience, look)?,
                };
                let Some((mut scanner, budget)) = known else { return Ok((samples, Later::Known(None))) };
                let wanted = Wanted::of(with_udp(&samples));
                // The samples are gone through meanwhile.
                let put_together = move || {
                    let owners = scanner.round(&wanted.listed(), budget);
                    (scanner, owners)
                };
                let thread = std::thread::Builder::new().name("owners".into()).spawn(put_together);
                Ok((samples, thread.map_or(Later::Known(None), Later::Coming)))
            }
        }
    }

    /// Who holds the sockets; waits if that is still being found out.
    pub(super) fn owners(&mut self, later: &mut Later) -> Option<Arc<Owners>> {
        if let Later::Coming(_) = later
            && let Later::Coming(thread) = std::mem::replace(later, Later::Known(None))
        {
            // If it panicked, nothing is known.
            let (done, owners) = thread.join().ok().unzip();
            if let Self::Beside { scanner, .. } = self {
                *scanner = done;
            }
            *later = Later::Known(owners);
        }
        match later {
            Later::Known(owners) => owners.clone(),
            Later::Coming(_) => None,
        }
    }

    /// Hands a look to the thread that follows, if there is one; starts it at the first.
    pub(super) fn follow(&mut self, snapshots: &[Arc<Snapshot>]) {
        let Self::Behind(follower) = self else { return };
        if follower.is_none() {
            *follower = Follower::start().ok();
        }
        if let Some(follower) = follower {
            drop(follower.looks.post(snapshots.to_vec()));
        }
    }
}

/// The samples, and those of UDP in them.
fn with_udp(samples: &[Sample]) -> impl Iterator<Item = &Sample> {
    samples.iter().chain(samples.iter().filter_map(|s| s.udp.as_deref()))
}

/// What is to be found out of samples, in the order of their rows; a thread that has time makes a map of it.
#[derive(Default)]
struct Wanted {
    netns: Vec<u64>,
    /// Inodes with owners.
    sockets: Vec<(u32, u32)>,
    cgroups: FxHashSet<u64>,
}

impl Wanted {
    fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Self {
        let mut wanted = Self::default();
        for sample in samples {
            wanted.netns.push(sample.netns.inode);
            let table = &sample.table;
            wanted.sockets.reserve(table.rows.len());
            let with_file = table.rows.iter().filter(|r| r.inode != 0);
            wanted.sockets.extend(with_file.map(|r| (r.inode, table.origin(r).uid)));
            wanted.cgroups.extend(table.origins.iter().filter_map(|o| o.cgroup_id));
        }
        wanted
    }

    fn listed(self) -> Listed {
        let Self { netns, sockets, cgroups } = self;
        let (sockets, cgroup_ids) = (sockets.into_iter().collect(), cgroups.into_iter().collect());
        Listed { sockets, netns, cgroup_ids }
    }
}

/// The thread that follows the processes. It ends when this is dropped.
pub(super) struct Follower {
    looks: Arc<Mailbox<Vec<Arc<Snapshot>>>>,
    maps: Arc<Mailbox<Arc<Owners>>>,
    newest: Option<Arc<Owners>>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    fn start() -> std::io::Result<Self> {
        let (looks, maps) = (Arc::new(Mailbox::new()), Arc::new(Mailbox::new()));
        let (inbox, outbox) = (Arc::clone(&looks), Arc::clone(&maps));
        let thread =
            std::thread::Builder::new().name("processes".into()).spawn(move || follow(&inbox, &outbox))?;
        Ok(Self { looks, maps, newest: None, thread: Some(thread) })
    }

    fn newest(&mut self) -> Option<Arc<Owners>> {
        if let Some(map) = self.maps.take() {
            self.newest = Some(map);
        }
        self.newest.clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.looks.close();
        if let Some(thread) = self.thread.take() {
            // If it panicked, its map only grows old.
            let _ = thread.join();
        }
    }
}

fn follow(looks: &Mailbox<Vec<Arc<Snapshot>>>, maps: &Mailbox<Arc<Owners>>) {
    let Ok(mut scanner) = Scanner::open() else { return };
    let mut purse = Purse::default();
    let mut newest: Option<(Instant, Arc<Owners>)> = None;
    while let Some(snapshots) = looks.wait() {
        let begun = Instant::now();
        let calm = |(at, owners): &(Instant, Arc<Owners>)| {
            begun.saturating_duration_since(*at) < CALM && answers(owners, &snapshots)
        };
        if newest.as_ref().is_some_and(calm) {
            continue;
        }
        let Some(budget) = purse.budget(begun) else { continue };
        let udp = snapshots.iter().filter_map(|s| s.udp.as_ref());
        let listed = Wanted::of(snapshots.iter().chain(udp).map(|s| &s.sample)).listed();
        // A large table is not kept for the time of a scan.
        drop(snapshots);
        let owners = scanner.round(&listed, budget.left());
        drop(maps.post(Arc::clone(&owners)));
        newest = Some((begun, owners));
        // The first round is the price of starting: paid for by a pause, it would leave new sockets without a name when
        // they matter most.
        if budget != Budget::Everything {
            purse.pay(begun.elapsed());
        }
    }
}

/// Whether a map says of every socket of these looks who holds it, or that nobody can be found.
fn answers(owners: &Owners, snapshots: &[Arc<Snapshot>]) -> bool {
    let is_told = |s: &Snapshot| {
        // What was derived from this map need not be looked up in it again.
        let derived = s.owners.as_deref().is_some_and(|of| of.has_holders_of(owners));
        let held = |at: u32, inode| match s.held.get(at as usize) {
            Some(held) if derived => *held != Held::NOBODY,
            _ => !owners.holders(inode).is_empty(),
        };
        let mut rows = s.sample.table.rows.iter().zip(0..);
        rows.all(|(row, at)| row.inode == 0 || held(at, row.inode) || owners.unheld.contains(&row.inode))
    };
    !owners.partial && snapshots.iter().all(|s| is_told(s))
}

/// Time that may be spent: it comes in evenly, and a round that took longer is followed by a pause.
#[derive(Default)]
struct Purse {
    since: Option<Instant>,
    saved: Duration,
    owed: Duration,
}

/// What a round may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Budget {
    Everything,
    Time(Duration),
}

impl Budget {
    const fn left(self) -> Option<Duration> {
        match self {
            Self::Everything => None,
            Self::Time(t) => Some(t),
        }
    }
}

impl Purse {
    /// What a round may take now; `None` while earlier ones are not paid for.
    fn budget(&mut self, now: Instant) -> Option<Budget> {
        let Some(since) = self.since.replace(now) else { return Some(Budget::Everything) };
        let income = now.saturating_duration_since(since) / SHARE;
        self.saved = (self.saved + income.saturating_sub(self.owed)).min(LONGEST);
        self.owed = self.owed.saturating_sub(income);
        self.owed.is_zero().then_some(Budget::Time(self.saved))
    }

    fn pay(&mut self, spent: Duration) {
        self.owed += spent.saturating_sub(self.saved);
        self.saved = self.saved.saturating_sub(spent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit;

    #[test]
    fn a_socket_that_nobody_was_looked_for_asks_for_a_round() {
        let row = |inode| {
            let mut row = testkit::socket(crate::model::TcpState::Established, "10.0.0.1:80", "10.0.0.2:9");
            row.inode = inode;
            row
        };
        let look = |rows| vec![Arc::new(testkit::snapshot(testkit::sample(rows)))];
        let mut owners = testkit::owners(&[(7, "nginx", &[(1, 5)])]);
        assert!(answers(&owners, &look(vec![row(1), row(0)])));
        assert!(!answers(&owners, &look(vec![row(1), row(2)])));
        owners.unheld.insert(2);
        assert!(answers(&owners, &look(vec![row(1), row(2)])));
        owners.partial = true;
        assert!(!answers(&owners, &look(vec![row(1)])));
    }

    #[test]
    fn what_a_look_was_told_by_the_same_map_is_not_looked_up_and_by_another_is() {
        let row = |inode| {
            let mut row = testkit::socket(crate::model::TcpState::Established, "10.0.0.1:80", "10.0.0.2:9");
            row.inode = inode;
            row
        };
        let owners = |inode| testkit::owners(&[(7, "nginx", &[(inode, 5)])]);
        let (one, two) = (Arc::new(owners(1)), Arc::new(owners(2)));
        let look = |inode| {
            let sample = testkit::sample(vec![row(inode)]);
            vec![crate::analysis::Analyzer::default().derive_owned(sample, Some(Arc::clone(&one)))]
        };
        assert!(answers(&one, &look(1)) && !answers(&one, &look(2)));
        assert!(answers(&two, &look(2)) && !answers(&two, &look(1)));
    }

    #[test]
    fn following_takes_its_share_of_a_core_and_no_more() {
        let mut purse = Purse::default();
        let mut now = Instant::now();
        assert_eq!(purse.budget(now), Some(Budget::Everything));
        let second = Duration::from_secs(1);
        now += second;
        assert_eq!(purse.budget(now), Some(Budget::Time(Duration::from_millis(20))));
        purse.pay(Duration::from_millis(220));
        // 200 ms are ten seconds' income.
        for _ in 0..9 {
            now += second;
            assert_eq!(purse.budget(now), None);
        }
        now += second;
        assert_eq!(purse.budget(now), Some(Budget::Time(Duration::ZERO)));
        now += second;
        assert_eq!(purse.budget(now), Some(Budget::Time(Duration::from_millis(20))));
        purse.pay(Duration::from_millis(5));
        now += second;
        assert_eq!(purse.budget(now), Some(Budget::Time(Duration::from_millis(35))));
        now += second * 3600;
        assert_eq!(purse.budget(now), Some(Budget::Time(LONGEST)));
    }
}
