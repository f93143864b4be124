//! Which process holds which socket, out of `/proc/PID/fd`.
//!
//! A scan of everything costs about 2 µs a descriptor, so it is done once; afterwards a round looks only at processes that are
//! new, whose number of descriptors changed, or that most likely hold a socket nobody is known to hold, within a time
//! budget. A socket that was looked for in vain is remembered as held by nobody until it turns up.
//!
//! Threads that left the shared descriptor table (`unshare(CLONE_FILES)`) are looked into where a process has at most
//! [`MOST_THREADS`] and the number of descriptors of the thread differs from that of the process; a thread of the same number
//! is taken for one that shares.

mod cgroups;
mod entry;
mod fds;
mod sight;

use std::collections::BTreeMap;
use std::os::linux::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};

use self::cgroups::Cgroups;
use self::entry::{Entry, Reader};
use self::sight::Sight;
use crate::model::{ForeignText, InNoTable, Owners, Process, Reading};
use crate::wire;

/// Processes with more threads are taken to share one descriptor table.
pub const MOST_THREADS: u32 = 64;
/// How old the name, state and cgroup of a process may be.
const TEXT_AGE: Duration = Duration::from_secs(5);
/// How old the sockets of a process may be whose number of descriptors did not change; see [`Entry::sockets_age`].
const SOCKETS_AGE: Duration = Duration::from_secs(30);
/// In so many rounds on end a TCP socket must be in no table: the first may just have been earlier than the socket.
const CONFIRMED: u64 = 3;

/// What the socket tables of the examined namespaces list.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Inode and owner of every socket that has a file.
    pub sockets: FxHashMap<u32, u32>,
    /// Inodes of the namespaces.
    pub netns: Vec<u64>,
    /// Cgroup v2 ids of the sockets, each once.
    pub cgroup_ids: Vec<u64>,
}

/// Follows the processes of the machine from round to round.
#[derive(Debug)]
pub struct Scanner {
    proc: OwnedFd,
    reader: Reader,
    sight: Sight,
    cgroups: Cgroups,
    entries: BTreeMap<u32, Entry>,
    round: u64,
    /// Sockets that nobody is known to hold, and the round in which the search for them began.
    unknown: FxHashMap<u32, u64>,
    unheld: FxHashSet<u32>,
    /// Sockets of processes that no table lists: whether they are TCP, and since which round.
    unlisted: FxHashMap<u32, (bool, u64)>,
    listed_rounds: u64,
    in_no_table: FxHashMap<u32, Arc<[InNoTable]>>,
    users: Arc<FxHashMap<u32, ForeignText>>,
    users_of: Option<(i64, u64)>,
    newest: Option<Arc<Owners>>,
}

/// Lowers the priority of the calling thread, and of no other: `nice` is a thread's own on Linux (setpriority(2)).
pub fn let_others_go_first() {
    // It may always be lowered; where a sandbox forbids it the thread is only less polite.
    let _ = rustix::process::setpriority_process(None, 10);
}

impl Scanner {
    /// A scanner that knows nothing yet.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn open() -> std::io::Result<Self> {
        let proc = openat(CWD, "/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let reader = Reader::new(proc.as_fd());
        Ok(Self {
            proc,
            reader,
            sight: Sight::look(),
            cgroups: Cgroups::new(),
            entries: BTreeMap::new(),
            round: 0,
            unknown: FxHashMap::default(),
            unheld: FxHashSet::default(),
            unlisted: FxHashMap::default(),
            listed_rounds: 0,
            in_no_table: FxHashMap::default(),
            users: Arc::default(),
            users_of: None,
            newest: None,
        })
    }

    /// Looks at every process, those with few descriptors first, until it is `enough`. Says whether it got through.
    pub fn scan_all(&mut self, enough: impl Fn() -> bool) -> bool {
        let mut all = self.begin();
        all.sort_by_key(|pid| self.entries.get(pid).and_then(|e| e.gate.fds));
        for pid in all {
            if enough() || !self.scan_one(pid, &enough) {
                return false;
            }
        }
        true
    }

    /// Looks at what changed, and for sockets of `listed` that nobody is known to hold, until `budget` is used up; then
    /// says who holds what. Without a budget it goes on until everything is known.
    pub fn round(&mut self, listed: &Listed, budget: Option<Duration>) -> Arc<Owners> {
        let deadline = budget.map(|b| Instant::now() + b);
        let mut changed = self.begin();
        self.ask_for(listed);
        let due = self.due();
        changed.extend(due.iter().filter(|p| !changed.contains(p)).copied().collect::<Vec<_>>());
        // Whoever waits longest comes first, so that time that is short is shared.
        changed.sort_by_key(|pid| self.entries.get(pid).map(|e| e.scanned_round));
        let mut finished = self.scan(&changed, deadline);
        let suspects = self.suspects(listed);
        finished &= self.scan_until_known(&suspects, deadline);
        self.give_up_on();
        self.unheld.retain(|inode| listed.sockets.contains_key(inode));
        self.refresh_texts(deadline);
        self.find_unlisted(listed);
        self.read_users();
        let owners = Arc::new(self.owners(listed, !finished));
        self.newest = Some(Arc::clone(&owners));
        owners
    }

    /// Learns which processes there are; returns those that are new or whose number of descriptors changed.
    fn begin(&mut self) -> Vec<u32> {
        self.round += 1;
        let Ok(mut pids) = self.reader.fds.numbers(&self.proc, ".") else { return Vec::new() };
        pids.sort_unstable();
        self.entries.retain(|pid, _| pids.binary_search(pid).is_ok());
        let mut changed = Vec::new();
        for pid in pids {
            let Some(gate) = self.reader.gate(self.proc.as_fd(), pid) else {
                self.entries.remove(&pid);
                continue;
            };
            let entry = match self.entries.remove(&pid) {
                Some(known) if known.gate.same_process(gate) => Some(known),
                _ => self.reader.entry(self.proc.as_fd(), pid, gate),
            };
            let Some(mut entry) = entry else { continue };
            if entry.update(gate) {
                changed.push(pid);
            }
            self.entries.insert(pid, entry);
        }
        changed
    }

    /// Notes the sockets that nobody is known to hold.
    fn ask_for(&mut self, listed: &Listed) {
        if self.newest.is_none() && self.entries.values().any(|e| !e.holds.is_empty()) {
            // What was found before anybody asked for it, in a first scan of everything.
            self.newest = Some(Arc::new(self.owners(listed, true)));
        }
        let (newest, unheld, round) = (&self.newest, &self.unheld, self.round);
        let held = |inode| match newest {
            Some(owners) => !owners.holders(inode).is_empty(),
            None => false,
        };
        self.unknown.retain(|inode, _| listed.sockets.contains_key(inode) && !held(*inode));
        for &inode in listed.sockets.keys() {
            if !held(inode) && !unheld.contains(&inode) {
                self.unknown.entry(inode).or_insert(round);
            }
        }
    }

    /// Processes that were looked into too long ago.
    fn due(&self) -> Vec<u32> {
        let old =
            |e: &&Entry| e.can_be_read() && e.scanned_at.is_some_and(|at| at.elapsed() >= e.sockets_age());
        self.entries.values().filter(old).map(|e| e.process.pid).collect()
    }

    /// Looks into processes; says whether all could be looked into before the deadline.
    fn scan(&mut self, pids: &[u32], deadline: Option<Instant>) -> bool {
        for pid in pids {
            if deadline.is_some_and(|d| Instant::now() >= d) {
                return false;
            }
            self.scan_one(*pid, &|| false);
        }
        true
    }

    /// Looks into processes until every socket that was asked for is known.
    fn scan_until_known(&mut self, pids: &[u32], deadline: Option<Instant>) -> bool {
        for pid in pids {
            if self.unknown.is_empty() {
                return true;
            }
            if deadline.is_some_and(|d| Instant::now() >= d) {
                return false;
            }
            self.scan_one(*pid, &|| false);
        }
        true
    }

    /// Looks into a process; says whether it got to the end before it was `enough`.
    fn scan_one(&mut self, pid: u32, enough: &dyn Fn() -> bool) -> bool {
        let Some(entry) = self.entries.get_mut(&pid) else { return true };
        if !self.reader.scan(self.proc.as_fd(), entry, enough) {
            return false;
        }
        entry.scanned_round = self.round;
        for (inode, _) in &entry.holds {
            self.unknown.remove(inode);
            self.unheld.remove(inode);
        }
        true
    }

    /// Processes that may hold one of the sockets that were asked for, the likeliest first: those of the owner of such
    /// a socket, then those that hold sockets at all, then those that are quickly looked into.
    fn suspects(&self, listed: &Listed) -> Vec<u32> {
        let Some(newest) = self.unknown.values().copied().max() else { return Vec::new() };
        let uids: FxHashSet<u32> =
            self.unknown.keys().filter_map(|inode| listed.sockets.get(inode)).copied().collect();
        let mut suspects: Vec<&Entry> =
            self.entries.values().filter(|e| e.can_be_read() && e.scanned_round < newest).collect();
        suspects.sort_by_key(|e| (!uids.contains(&e.process.uid), e.holds.is_empty(), e.gate.fds));
        suspects.into_iter().map(|e| e.process.pid).collect()
    }

    /// What was looked for in every process that can be read is held by none of them.
    fn give_up_on(&mut self) {
        let oldest = self.entries.values().filter(|e| e.can_be_read()).map(|e| e.scanned_round).min();
        let oldest = oldest.unwrap_or(self.round);
        let unheld = &mut self.unheld;
        self.unknown.retain(|inode, asked| {
            let everywhere = *asked <= oldest;
            if everywhere {
                unheld.insert(*inode);
            }
            !everywhere
        });
    }

    fn refresh_texts(&mut self, deadline: Option<Instant>) {
        for entry in self.entries.values_mut() {
            if deadline.is_some_and(|d| Instant::now() >= d) {
                return;
            }
            if entry.has_texts() && entry.texts_at.elapsed() >= TEXT_AGE {
                self.reader.refresh(self.proc.as_fd(), entry);
            }
        }
    }

    /// Counts the TCP sockets of each process that no table lists, and remembers the first of them.
    fn find_unlisted(&mut self, listed: &Listed) {
        self.listed_rounds += 1;
        self.in_no_table.clear();
        let mut still = FxHashMap::default();
        for entry in self.entries.values_mut() {
            let p = &mut entry.process;
            p.unlisted = Reading::Absent;
            let here = p.netns.known().is_some_and(|n| listed.netns.contains(n));
            if !here || p.sockets.known().is_none() {
                continue;
            }
            let mut count = 0;
            let mut which = Vec::new();
            let mut last = None;
            for &(inode, fd) in entry.holds.iter().filter(|(inode, _)| !listed.sockets.contains_key(inode)) {
                let known = self.unlisted.get(&inode).copied().or_else(|| {
                    let tcp = fds::is_tcp(&format!("/proc/{}/fd/{fd}", p.pid))?;
                    Some((tcp, self.listed_rounds))
                });
                let Some((tcp, since)) = known else { continue };
                still.insert(inode, (tcp, since));
                // Two descriptors of one socket are one socket; `holds` is in the order of inodes.
                if tcp && last != Some(inode) && self.listed_rounds - since + 1 >= CONFIRMED {
                    count += 1;
                    if which.len() < Owners::IN_NO_TABLE {
                        which.push(InNoTable { fd, inode });
                    }
                }
                last = Some(inode);
            }
            if self.listed_rounds >= CONFIRMED {
                p.unlisted = Reading::Known(count);
                if !which.is_empty() {
                    which.sort_unstable();
                    self.in_no_table.insert(p.pid, which.into());
                }
            }
        }
        self.unlisted = still;
    }

    /// Names of users out of `/etc/passwd`, again when the file changes. Name services beyond it can hang for as long as a
    /// network does, and are not asked.
    fn read_users(&mut self) {
        let Ok(meta) = std::fs::metadata("/etc/passwd") else { return };
        let version = Some((meta.st_mtime(), meta.st_size()));
        if self.users_of != version
            && let Ok(text) = std::fs::read("/etc/passwd")
        {
            let mut users = FxHashMap::default();
            for (uid, name) in wire::passwd(&text) {
                // The first of several names of one id counts, as in getpwuid(3).
                users.entry(uid).or_insert_with(|| ForeignText::from_bytes(name));
            }
            (self.users, self.users_of) = (Arc::new(users), version);
        }
    }

    /// Whether the newest map is that of these processes, and has every socket that is known of them.
    fn is_mapped(&self, newest: &Owners, processes: &[Process]) -> bool {
        let same = newest.processes.iter().map(|p| p.pid).eq(processes.iter().map(|p| p.pid));
        same && self.entries.values().all(|e| e.mapped || e.kernel_thread)
    }

    fn owners(&mut self, listed: &Listed, partial: bool) -> Owners {
        let processes: Vec<Process> =
            self.entries.values().filter(|e| !e.kernel_thread).map(|e| e.process.clone()).collect();
        let newest = self.newest.as_deref().filter(|newest| self.is_mapped(newest, &processes));
        let mut owners = if let Some(newest) = newest {
            newest.with_processes(processes)
        } else {
            let entries = self.entries.values();
            let room = entries.clone().map(|e| e.holds.len()).sum();
            let held = entries.flat_map(|e| e.holds.iter().map(|(inode, fd)| (*inode, e.process.pid, *fd)));
            Owners::with_room(room, processes, held)
        };
        self.entries.values_mut().for_each(|e| e.mapped = true);
        owners.generation = self.round;
        owners.hidden =
            u32::try_from(self.entries.values().filter(|e| e.is_hidden()).count()).unwrap_or(u32::MAX);
        owners.hidepid = self.sight.hidepid;
        owners.privileged = self.sight.privileged;
        owners.nested_pids = self.sight.nested_pids;
        owners.partial = partial;
        owners.unheld.clone_from(&self.unheld);
        owners.in_no_table.clone_from(&self.in_no_table);
        owners.users = Arc::clone(&self.users);
        owners.cgroups = self.cgroups.find(&listed.cgroup_ids);
        owners
    }
}

#[cfg(test)]
mod tests;
