//! Which process holds which socket.

use std::fmt;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Cgroup, ForeignText, Reading};

/// A descriptor of a process that is a socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Holder {
    /// Index into [`Owners::processes`].
    pub process: u32,
    /// Descriptor number.
    pub fd: u32,
}

/// A descriptor that is a TCP socket which no table lists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct InNoTable {
    /// Descriptor number, the first of several.
    pub fd: u32,
    /// Inode of the socket.
    pub inode: u32,
}

/// A process that was looked at.
#[derive(Clone, PartialEq, Debug)]
pub struct Process {
    /// Process id, as seen from this program's PID namespace.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat` field 22): with the pid it names a process for good.
    pub start_time: u64,
    /// `comm`: the first 15 bytes of the program's name, or what the process calls itself.
    pub comm: ForeignText,
    /// Effective user id.
    pub uid: u32,
    /// Parent process id.
    pub ppid: u32,
    /// State letter of `/proc/PID/stat`: `R`, `S`, `D`, `T` (stopped), `Z` (zombie), ….
    pub state: char,
    /// Cgroup (v2, or on a v1 host that of systemd or, without systemd, of a controller).
    pub cgroup: Reading<Arc<Cgroup>>,
    /// Inode of its network namespace.
    pub netns: Reading<u64>,
    /// Open descriptors of any kind.
    pub fds: Reading<u64>,
    /// Soft `RLIMIT_NOFILE`.
    pub fd_limit: Reading<u64>,
    /// Inodes of its sockets of any family, ascending, each once; unreadable without the right to look.
    pub sockets: Reading<Arc<[u32]>>,
    /// TCP sockets that it holds and that are in no table: never bound, or dead after a reset while the program keeps the
    /// descriptor. Absent until two looks could confirm it, and for a process of a namespace that is not examined.
    pub unlisted: Reading<u32>,
}

/// All processes that could be looked at, and who holds which socket.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the view")]
pub struct Owners {
    /// Processes by pid, ascending. Kernel threads are not among them.
    pub processes: Vec<Process>,
    holders: Arc<Holders>,
    /// Number of the scan, from 1; the map is as old as that.
    pub generation: u64,
    /// Processes whose descriptors could not be read, for want of privileges.
    pub hidden: u32,
    /// Whether `/proc` is mounted so that other users' processes do not even show (`hidepid`).
    pub hidepid: bool,
    /// Whether they cannot be read although this program has the capabilities for it.
    pub privileged: bool,
    /// Whether only the processes of a PID namespace below the machine's first one can be seen.
    pub nested_pids: bool,
    /// The time budget ended the scan before all processes were looked at.
    pub partial: bool,
    /// Socket inodes that were looked for in every process that can be read, in vain.
    pub unheld: FxHashSet<u32>,
    /// The first [`Owners::IN_NO_TABLE`] TCP sockets of each process that are in no table, by pid; see [`Process::unlisted`].
    pub in_no_table: FxHashMap<u32, Arc<[InNoTable]>>,
    /// Names of users, by user id.
    pub users: Arc<FxHashMap<u32, ForeignText>>,
    /// Cgroups by their v2 id (the inode of the directory).
    pub cgroups: Arc<FxHashMap<u64, Arc<Cgroup>>>,
}

/// The holders of each socket inode.
#[derive(Debug, Default)]
struct Holders {
    one: FxHashMap<u32, Holder>,
    several: FxHashMap<u32, Vec<Holder>>,
}

impl Holders {
    fn add(&mut self, inode: u32, holder: Holder) {
        if let Some(all) = self.several.get_mut(&inode) {
            all.push(holder);
        } else if let Some(first) = self.one.remove(&inode) {
            self.several.insert(inode, vec![first, holder]);
        } else {
            self.one.insert(inode, holder);
        }
    }
}

impl Owners {
    /// Of so many sockets in no table it is remembered which they are.
    pub const IN_NO_TABLE: usize = 256;

    /// A map of processes and the holders `(inode, pid, fd)` of their sockets.
    #[must_use]
    pub fn new(processes: Vec<Process>, holders: impl Iterator<Item = (u32, u32, u32)>) -> Self {
        Self::with_room(holders.size_hint().0, processes, holders)
    }

    /// The same with room for so many holders: a map that grows is made again and again.
    #[must_use]
    pub fn with_room(
        room: usize,
        mut processes: Vec<Process>,
        holders: impl Iterator<Item = (u32, u32, u32)>,
    ) -> Self {
        processes.sort_by_key(|p| p.pid);
        let place: FxHashMap<u32, u32> = processes.iter().zip(0u32..).map(|(p, n)| (p.pid, n)).collect();
        let mut map = Holders::default();
        map.one.reserve(room);
        for (inode, pid, fd) in holders {
            if let Some(&process) = place.get(&pid) {
                map.add(inode, Holder { process, fd });
            }
        }
        map.several.values_mut().for_each(|h| h.sort_unstable());
        Self { processes, holders: Arc::new(map), ..Self::default() }
    }

    /// What became of the same `processes`, by pid, that hold the same sockets by the same descriptors as before.
    #[must_use]
    pub fn with_processes(&self, processes: Vec<Process>) -> Self {
        debug_assert!(processes.iter().map(|p| p.pid).eq(self.processes.iter().map(|p| p.pid)));
        Self { processes, holders: Arc::clone(&self.holders), ..Self::default() }
    }

    /// Whether the sockets have the same holders, without a look at any: `false` where that is not known.
    #[must_use]
    pub fn has_holders_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.holders, &other.holders)
    }

    /// Who holds a socket, by pid and descriptor; empty when nobody that could be looked at does.
    #[must_use]
    #[inline]
    pub fn holders(&self, inode: u32) -> &[Holder] {
        if inode == 0 {
            return &[];
        }
        match self.holders.one.get(&inode) {
            Some(holder) => std::slice::from_ref(holder),
            None => self.holders.several.get(&inode).map_or(&[], Vec::as_slice),
        }
    }

    /// The process of a holder.
    #[must_use]
    pub fn process(&self, holder: Holder) -> Option<&Process> {
        self.processes.get(holder.process as usize)
    }

    /// A process by its id.
    #[must_use]
    pub fn by_pid(&self, pid: u32) -> Option<&Process> {
        self.place_of(pid).and_then(|at| self.processes.get(at))
    }

    /// The index of a process by its id.
    #[must_use]
    pub fn place_of(&self, pid: u32) -> Option<usize> {
        self.processes.binary_search_by_key(&pid, |p| p.pid).ok()
    }

    /// Whether there may be processes that this program cannot look into, and what would help.
    #[must_use]
    pub const fn blindness(&self) -> Option<Blindness> {
        if self.hidden > 0 || self.hidepid {
            let (hidden, hidepid, privileged) = (self.hidden, self.hidepid, self.privileged);
            Some(Blindness::OtherUsers { hidden, hidepid, privileged })
        } else if self.nested_pids {
            Some(Blindness::PidNamespace)
        } else {
            None
        }
    }
}

/// Why processes may be missing in [`Owners`]. Its `Display` says what would help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blindness {
    /// Those of other users, or that are not dumpable.
    OtherUsers {
        /// How many are known to be there.
        hidden: u32,
        /// Whether more may be there that `/proc` does not even show.
        hidepid: bool,
        /// This program has the capabilities that are needed, and was refused nevertheless.
        privileged: bool,
    },
    /// Those outside of this program's PID namespace.
    PidNamespace,
}

impl fmt::Display for Blindness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherUsers { hidden, hidepid, privileged } => {
                match hidden {
                    0 => f.write_str("/proc hides other users' processes (hidepid)")?,
                    1 => f.write_str("the descriptors of 1 process cannot be read")?,
                    n => write!(f, "the descriptors of {n} processes cannot be read")?,
                }
                if *hidden > 0 && *hidepid {
                    f.write_str(", and /proc hides more (hidepid)")?;
                }
                f.write_str(if *privileged {
                    ", not even by root: a security module, a sandbox or another user namespace protects them"
                } else {
                    "; run as root, or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, to see them"
                })
            }
            Self::PidNamespace => f.write_str(
                "processes outside of this PID namespace cannot be seen; run in the machine's first one",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> Process {
        Process {
            pid,
            start_time: 1,
            comm: "x".into(),
            uid: 0,
            ppid: 1,
            state: 'S',
            cgroup: Reading::Absent,
            netns: Reading::Absent,
            fds: Reading::Absent,
            fd_limit: Reading::Absent,
            sockets: Reading::Absent,
            unlisted: Reading::Absent,
        }
    }

    #[test]
    fn every_holder_of_a_socket_is_found_in_the_order_of_pids() {
        let held = [(7, 30, 5), (8, 10, 3), (7, 10, 4), (7, 20, 9), (9, 99, 1)];
        let owners = Owners::new(vec![process(30), process(10), process(20)], held.into_iter());
        let pids = |inode| -> Vec<_> {
            owners.holders(inode).iter().map(|h| (owners.process(*h).unwrap().pid, h.fd)).collect()
        };
        assert_eq!(pids(7), [(10, 4), (20, 9), (30, 5)]);
        assert_eq!(pids(8), [(10, 3)]);
        assert_eq!(pids(9), [], "its process is not among those that were looked at");
        assert_eq!(pids(0), []);
        assert_eq!(owners.by_pid(20).map(|p| p.pid), Some(20));
        assert_eq!(owners.by_pid(21), None);
    }

    #[test]
    fn what_cannot_be_seen_is_told_with_what_would_help() {
        let mut owners = Owners::default();
        assert_eq!(owners.blindness(), None);
        owners.nested_pids = true;
        assert!(owners.blindness().unwrap().to_string().contains("PID namespace"));
        owners.hidden = 3;
        let said = owners.blindness().unwrap().to_string();
        assert!(
            said.starts_with("the descriptors of 3 processes") && said.contains("CAP_SYS_PTRACE"),
            "{said}"
        );
        owners.privileged = true;
        assert!(owners.blindness().unwrap().to_string().contains("not even by root"));
        (owners.hidden, owners.hidepid) = (0, true);
        assert!(owners.blindness().unwrap().to_string().contains("hidepid"));
    }
}
