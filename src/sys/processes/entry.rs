//! One process between rounds, and reading it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, readlinkat, statat};
use rustix::io::Errno;

use super::fds::{self, FdReader};
use super::{MOST_THREADS, SOCKETS_AGE};
use crate::model::{Cgroup, ForeignText, Process, Reading};
use crate::sys::proc_file::ProcFile;
use crate::wire;

/// At most so many cgroups are kept by their path; then they are forgotten and read anew.
const MOST_CGROUPS: usize = 4096;

/// From so many sockets on, looking for them again waits longer where they stay the same.
const MANY_SOCKETS: usize = 1000;
/// How often that time is doubled at most.
const MOST_DOUBLINGS: u32 = 2;

/// What two cheap system calls tell of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    /// Inode of its directory: another one for another process of the same number.
    id: u64,
    /// Owner of the directory, which is the effective user, whatever the process may be protected from (`task_dump_owner`
    /// in `fs/proc/base.c`).
    uid: u32,
    /// Descriptors; `None` where the kernel does not count them.
    pub(super) fds: Option<u64>,
    /// The directory of descriptors cannot even be looked at (`hidepid`).
    closed: bool,
}

impl Gate {
    pub(super) const fn same_process(self, other: Self) -> bool {
        self.id == other.id
    }
}

/// A process between rounds.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) gate: Gate,
    pub(super) process: Process,
    pub(super) kernel_thread: bool,
    threads: u32,
    /// Its sockets and their descriptors, in the order of inodes.
    pub(super) holds: Vec<(u32, u32)>,
    /// Whether the newest map of all sockets has these.
    pub(super) mapped: bool,
    /// How many looks at its descriptors on end found the same sockets.
    same: u32,
    /// The round of the last look at its descriptors, 0 for none.
    pub(super) scanned_round: u64,
    pub(super) scanned_at: Option<Instant>,
    pub(super) texts_at: Instant,
}

impl Entry {
    /// Takes the newest gate; says whether the descriptors must be looked at.
    pub(super) fn update(&mut self, gate: Gate) -> bool {
        let changed = self.scanned_round == 0 || self.gate.fds != gate.fds || gate.fds.is_none();
        self.gate = gate;
        self.process.uid = gate.uid;
        if let Some(fds) = gate.fds {
            self.process.fds = Reading::Known(fds);
        }
        changed && !self.kernel_thread
    }

    /// Whether its name and the like are worth reading again. A kernel thread without descriptors is still one: what it turns
    /// into by running a program (`call_usermodehelper`) opens some.
    pub(super) const fn has_texts(&self) -> bool {
        !(self.kernel_thread && matches!(self.gate.fds, Some(0)))
    }

    /// Takes what a look at its descriptors found: the `same` sockets as before, or others.
    pub(super) fn found(&mut self, same: bool) {
        self.mapped &= same;
        self.same = if same { self.same.saturating_add(1) } else { 0 };
    }

    /// How old its sockets may become while the number of its descriptors stays the same. A thousand descriptors take 2 to
    /// 5 ms to read: where they were found unchanged they are read again later, up to four times as late. A new socket of the
    /// table is looked for at once in any case.
    pub(super) fn sockets_age(&self) -> Duration {
        let later = if self.holds.len() < MANY_SOCKETS { 0 } else { self.same.min(MOST_DOUBLINGS) };
        SOCKETS_AGE * (1 << later)
    }

    /// Whether its descriptors could be read when it was last looked at.
    pub(super) const fn can_be_read(&self) -> bool {
        !self.kernel_thread && (self.scanned_round == 0 || matches!(self.process.sockets, Reading::Known(_)))
    }

    /// Whether it has descriptors that may not be looked at.
    pub(super) const fn is_hidden(&self) -> bool {
        !self.kernel_thread
            && matches!(self.process.sockets, Reading::Unreadable(_))
            && !matches!(self.gate.fds, Some(0))
    }
}

/// Reads processes; holds what is reused from one to the next.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) fds: FdReader,
    file: ProcFile,
    path: String,
    counts_fds: bool,
    cgroups: FxHashMap<Box<[u8]>, Arc<Cgroup>>,
}

impl Reader {
    pub(super) fn new(proc: BorrowedFd<'_>) -> Self {
        Self {
            fds: FdReader::default(),
            file: ProcFile::default(),
            path: String::new(),
            // This process has a descriptor at least: the one of /proc.
            counts_fds: fds::count(proc, "self/fd").is_ok_and(|n| n > 0),
            cgroups: FxHashMap::default(),
        }
    }

    /// `PID/name`, in the one buffer for paths.
    fn path(&mut self, pid: u32, name: &str) -> &str {
        use std::fmt::Write;
        self.path.clear();
        // A String takes whatever is written to it.
        let _ = write!(self.path, "{pid}{name}");
        &self.path
    }

    /// What is cheaply known of a process; `None` if it ended.
    pub(super) fn gate(&mut self, proc: BorrowedFd<'_>, pid: u32) -> Option<Gate> {
        let dir = statat(proc, self.path(pid, ""), AtFlags::empty()).ok()?;
        let counts = self.counts_fds;
        let (fds, closed) = match fds::count(proc, self.path(pid, "/fd")) {
            Ok(n) => (counts.then_some(n), false),
            Err(Errno::NOENT | Errno::SRCH) => return None,
            Err(_) => (None, true),
        };
        Some(Gate { id: dir.st_ino, uid: dir.st_uid, fds, closed })
    }

    /// A process that is seen for the first time; `None` if it ended, or `stat` made no sense.
    pub(super) fn entry(&mut self, proc: BorrowedFd<'_>, pid: u32, gate: Gate) -> Option<Entry> {
        let mut entry = Entry {
            gate,
            process: Process {
                pid,
                start_time: 0,
                comm: ForeignText::default(),
                uid: gate.uid,
                ppid: 0,
                state: '?',
                cgroup: Reading::Absent,
                netns: Reading::Absent,
                fds: gate.fds.map_or(Reading::Absent, Reading::Known),
                fd_limit: Reading::Absent,
                sockets: Reading::Absent,
                unlisted: Reading::Absent,
            },
            kernel_thread: false,
            threads: 1,
            holds: Vec::new(),
            mapped: false,
            same: 0,
            scanned_round: 0,
            scanned_at: None,
            texts_at: Instant::now(),
        };
        let told = self.refresh(proc, &mut entry);
        // With hidepid a process is listed that cannot be asked for its name.
        (told || gate.closed).then_some(entry)
    }

    /// Reads name, state, limit, cgroup and namespace; says whether `stat` could be read.
    pub(super) fn refresh(&mut self, proc: BorrowedFd<'_>, entry: &mut Entry) -> bool {
        entry.texts_at = Instant::now();
        let pid = entry.process.pid;
        let path = |name: &str| format!("/proc/{pid}/{name}");
        let Reading::Known(text) = self.file.read(&path("stat")) else { return false };
        let Some(stat) = wire::pid_stat(text) else { return false };
        let p = &mut entry.process;
        if p.comm.raw().as_bytes() != stat.comm {
            p.comm = ForeignText::from_bytes(stat.comm);
        }
        (p.state, p.ppid, p.start_time) = (stat.state, stat.ppid, stat.start_time);
        (entry.threads, entry.kernel_thread) = (stat.threads, stat.kernel_thread);
        if entry.kernel_thread {
            return true;
        }
        p.fd_limit = match self.file.read(&path("limits")) {
            Reading::Known(text) => wire::soft_nofile(text).map_or(Reading::Absent, Reading::Known),
            Reading::Absent => Reading::Absent,
            Reading::Unreadable(why) => Reading::Unreadable(why),
        };
        p.netns = match readlinkat(proc, self.path(pid, "/ns/net"), Vec::new()) {
            Ok(target) => namespace(target.to_bytes()).map_or(Reading::Absent, Reading::Known),
            Err(Errno::NOENT | Errno::SRCH) => Reading::Absent,
            Err(e) => Reading::Unreadable(refused(&path("ns/net"), e)),
        };
        p.cgroup = self.cgroup(&path("cgroup"));
        true
    }

    fn cgroup(&mut self, path: &str) -> Reading<Arc<Cgroup>> {
        let text = match self.file.read(path) {
            Reading::Known(text) => text,
            Reading::Absent => return Reading::Absent,
            Reading::Unreadable(why) => return Reading::Unreadable(why),
        };
        let Some(path) = wire::cgroup_path(text) else { return Reading::Absent };
        if let Some(known) = self.cgroups.get(path) {
            return Reading::Known(Arc::clone(known));
        }
        if self.cgroups.len() >= MOST_CGROUPS {
            self.cgroups.clear();
        }
        let cgroup = Arc::new(wire::cgroup(path));
        self.cgroups.insert(path.into(), Arc::clone(&cgroup));
        Reading::Known(cgroup)
    }

    /// Looks at the descriptors of a process; says whether it got to their end before it was `enough`.
    pub(super) fn scan(
        &mut self,
        proc: BorrowedFd<'_>,
        entry: &mut Entry,
        enough: &dyn Fn() -> bool,
    ) -> bool {
        let pid = entry.process.pid;
        self.path(pid, "/fd");
        let held = self.fds.read(proc, &self.path, enough);
        if matches!(held, Err(Errno::INTR)) {
            return false;
        }
        entry.scanned_at = Some(Instant::now());
        let before = std::mem::take(&mut entry.holds);
        let p = &mut entry.process;
        match held {
            Ok(held) => {
                if entry.gate.fds.is_none() {
                    p.fds = Reading::Known(held.count);
                }
                entry.holds = held.sockets;
                if (2..=MOST_THREADS).contains(&entry.threads) {
                    self.scan_threads(proc, entry);
                }
                entry.holds.sort_unstable();
                entry.holds.dedup();
                let mut inodes: Vec<u32> = entry.holds.iter().map(|(inode, _)| *inode).collect();
                inodes.dedup();
                entry.process.sockets = Reading::Known(inodes.into());
            }
            // It ended meanwhile: the next round will not list it.
            Err(Errno::NOENT | Errno::SRCH) => p.sockets = Reading::Known(Arc::default()),
            Err(e) => p.sockets = Reading::Unreadable(refused(&format!("/proc/{pid}/fd"), e)),
        }
        let same = entry.holds == before;
        entry.found(same);
        true
    }

    /// Adds the sockets of threads that have a descriptor table of their own.
    fn scan_threads(&mut self, proc: BorrowedFd<'_>, entry: &mut Entry) {
        let Some(fds) = entry.gate.fds else { return };
        let pid = entry.process.pid;
        self.path(pid, "/task");
        let Ok(threads) = self.fds.numbers(proc, &self.path) else { return };
        for thread in threads {
            let path = format!("{pid}/task/{thread}/fd");
            if fds::count(proc, &path).is_ok_and(|n| n != fds)
                && let Ok(held) = self.fds.read(proc, &path, &|| false)
            {
                entry.holds.extend(held.sockets);
            }
        }
    }
}

fn refused(path: &str, error: Errno) -> String {
    match error {
        Errno::ACCESS | Errno::PERM => format!("reading {path}: permission denied"),
        other => format!("reading {path}: {}", std::io::Error::from(other)),
    }
}

/// `net:[4026531840]`.
fn namespace(target: &[u8]) -> Option<u64> {
    std::str::from_utf8(target).ok()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}
