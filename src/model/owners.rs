//! Which process holds which socket.

use rustc_hash::FxHashMap;

use super::{ForeignText, Reading};

/// A descriptor of a process that is a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Index into [`Owners::processes`].
    pub process: u32,
    /// Descriptor number.
    pub fd: u32,
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
    /// Cgroup path (v2, or the systemd hierarchy on a v1 host).
    pub cgroup: Reading<ForeignText>,
    /// Inode of its network namespace.
    pub netns: Reading<u64>,
    /// Open descriptors of any kind.
    pub fds: Reading<u64>,
    /// Soft `RLIMIT_NOFILE`.
    pub fd_limit: Reading<u64>,
    /// Inodes of its sockets of any family, ascending, each once; unreadable without the right to look.
    pub sockets: Reading<Vec<u32>>,
}

/// All processes that could be looked at, and who holds which socket.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// Processes by pid, ascending.
    pub processes: Vec<Process>,
    /// Holders of each socket inode.
    by_inode: FxHashMap<u32, Vec<Holder>>,
    /// Number of the scan, from 1; the map is as old as that.
    pub generation: u64,
    /// Processes whose descriptors could not be read, for want of privileges.
    pub hidden: u32,
    /// Whether `/proc` is mounted so that other users' processes do not even show (`hidepid`).
    pub hidepid: bool,
    /// The time budget ended the scan before all processes were looked at.
    pub partial: bool,
}

impl Owners {
    /// A map of processes and the holders of their sockets.
    #[must_use]
    pub fn new(mut processes: Vec<Process>, holders: impl Iterator<Item = (u32, u32, u32)>) -> Self {
        processes.sort_by_key(|p| p.pid);
        let mut by_inode: FxHashMap<u32, Vec<Holder>> = FxHashMap::default();
        let place: FxHashMap<u32, u32> = processes.iter().zip(0u32..).map(|(p, n)| (p.pid, n)).collect();
        for (inode, pid, fd) in holders {
            if let Some(&process) = place.get(&pid) {
                by_inode.entry(inode).or_default().push(Holder { process, fd });
            }
        }
        Self { processes, by_inode, ..Self::default() }
    }

    /// Who holds a socket; empty when nobody that could be looked at does.
    #[must_use]
    pub fn holders(&self, inode: u32) -> &[Holder] {
        if inode == 0 {
            return &[];
        }
        self.by_inode.get(&inode).map_or(&[], Vec::as_slice)
    }

    /// The process of a holder.
    #[must_use]
    pub fn process(&self, holder: Holder) -> Option<&Process> {
        self.processes.get(holder.process as usize)
    }

    /// A process by its id.
    #[must_use]
    pub fn by_pid(&self, pid: u32) -> Option<&Process> {
        let at = self.processes.binary_search_by_key(&pid, |p| p.pid).ok()?;
        self.processes.get(at)
    }
}
