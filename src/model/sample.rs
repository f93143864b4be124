//! What the kernel said at one look, no more.

use std::fmt;
use std::time::Duration;

use super::{Facts, ForeignText, SkMemInfo, Table};

/// A network namespace.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Netns {
    /// Inode of the namespace (`/proc/PID/ns/net`), 0 if it could not be read.
    pub inode: u64,
    /// `init`, the name of a mount in `/run/netns`, `pid N`, or `net:[inode]`; `current` if nothing could be read.
    pub name: ForeignText,
}

/// A namespace that could not be looked into.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unexamined {
    /// Which.
    pub netns: Netns,
    /// Why, and what would help.
    pub reason: String,
}

/// Where the socket table came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableSource {
    /// One legacy `TCPDIAG_GETSOCK` walk over both families.
    SockDiagLegacy,
    /// Two `SOCK_DIAG_BY_FAMILY` dumps.
    SockDiag,
    /// Listeners and bound sockets through `sock_diag`, connections from the kernel's memory by a BPF program.
    Memory,
    /// `/proc/net/tcp` and `tcp6`: no cookies, backlogs, drop counts, cgroups or `tcp_info`.
    Procfs,
}

impl TableSource {
    /// With [`Memory`](Self::Memory) bound, unconnected sockets are asked for at one of so many looks: they are found through the
    /// table of local ports, in which the kernel passes every connection (`inet_diag_dump_icsk` in `net/ipv4/inet_diag.c`).
    /// Nothing of them changes but that they connect, which is seen at once, or are closed.
    pub const BOUND_EVERY: u32 = 4;

    /// Whether a listener's row has its backlog: `get_tcp4_sock` in `net/ipv4/tcp_ipv4.c` prints no backlog.
    #[must_use]
    pub const fn tells_backlogs(self) -> bool {
        !matches!(self, Self::Procfs)
    }

    /// The words on the screen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SockDiagLegacy => "sock_diag (one walk)",
            Self::SockDiag => "sock_diag",
            Self::Memory => "kernel memory (BPF)",
            Self::Procfs => "/proc/net/tcp",
        }
    }
}

/// A reason why the table is not all there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gap {
    /// The kernel ended a dump with an error, inside `NLMSG_DONE` or as `NLMSG_ERROR`.
    DumpFailed {
        /// What was asked, for people: `TCP dump`, `listeners`.
        what: &'static str,
        /// The error number.
        errno: i32,
    },
    /// A message was larger than the buffer (`MSG_TRUNC`).
    Truncated,
    /// The kernel said that the table changed under the dump (`NLM_F_DUMP_INTR`).
    Interrupted,
    /// The kernel lost messages (`ENOBUFS`).
    Lost,
    /// Messages or rows that make no sense were skipped.
    Malformed(u32),
    /// Sockets that are bound and not connected cannot be seen (before Linux 6.8, and in `/proc/net/tcp`).
    BoundInactiveHidden,
    /// `sock_diag` is not available; the reason.
    NoSockDiag(String),
    /// A dump took longer than it may and was given up.
    TimedOut,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DumpFailed { what, errno } => {
                write!(f, "{what}: {}", std::io::Error::from_raw_os_error(*errno))
            }
            Self::Truncated => f.write_str("a message was cut off"),
            Self::Interrupted => f.write_str("the table changed under the dump"),
            Self::Lost => f.write_str("the kernel lost messages (ENOBUFS)"),
            Self::Malformed(n) => write!(f, "{n} messages made no sense and were skipped"),
            Self::BoundInactiveHidden => f.write_str("bound but unconnected sockets cannot be seen here"),
            Self::NoSockDiag(why) => write!(f, "no sock_diag: {why}"),
            Self::TimedOut => f.write_str("the dump was given up: it took too long"),
        }
    }
}

/// How complete a table is, and what it cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Completeness {
    /// Where the rows came from.
    pub source: TableSource,
    /// What is missing; empty for a complete table.
    pub gaps: Vec<Gap>,
    /// Rows that came twice, because insertions shifted a hash chain under the dump, and were dropped.
    pub duplicates: u32,
}

impl Completeness {
    /// Whether rows may be missing. What a kernel can never show is not counted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.gaps.iter().all(|g| matches!(g, Gap::BoundInactiveHidden))
    }

    /// Whether nothing could be read at all: neither `sock_diag` nor the file in `/proc` that stands in for it.
    #[must_use]
    pub fn nothing_was_read(&self) -> bool {
        self.gaps.iter().filter(|g| matches!(g, Gap::NoSockDiag(_))).count() > 1
    }
}

/// What is known of a listener beside its row (`INET_DIAG_SKMEMINFO`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenerDrops {
    /// The listener.
    pub cookie: u64,
    /// SYNs and final ACKs that it dropped, its own share of `ListenDrops`.
    pub drops: u32,
}

/// When a sample was taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Taken {
    /// Time since the Unix epoch; can jump.
    pub wall: Duration,
    /// Time since an arbitrary moment before the first sample; never goes back.
    pub mono: Duration,
}

/// What sockets of a table speak.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The word in the contract and on the screen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Which tables a look takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protocols {
    /// TCP sockets.
    pub tcp: bool,
    /// UDP sockets.
    pub udp: bool,
}

impl Protocols {
    /// TCP alone.
    pub const TCP: Self = Self { tcp: true, udp: false };
    /// UDP alone.
    pub const UDP: Self = Self { tcp: false, udp: true };
    /// TCP and UDP.
    pub const BOTH: Self = Self { tcp: true, udp: true };

    /// Whether one of these is one of `others`.
    #[must_use]
    pub const fn meet(self, others: Self) -> bool {
        self.tcp && others.tcp || self.udp && others.udp
    }
}

impl Default for Protocols {
    fn default() -> Self {
        Self::TCP
    }
}

/// One look at one namespace.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Which namespace.
    pub netns: Netns,
    /// When the dump began.
    pub taken: Taken,
    /// How long the socket dump took.
    pub dump_time: Duration,
    /// What the sockets of the table speak.
    pub protocol: Protocol,
    /// The sockets.
    pub table: Table,
    /// Buffers and drops of each row of the table, in its order, where a dump brings them (UDP); else empty.
    pub memory: Vec<SkMemInfo>,
    /// The UDP sockets of the namespace, if they were asked for: a sample of their own, which has no counters.
    pub udp: Option<Box<Sample>>,
    /// Drop counters of listeners, by cookie, ascending; empty where the kernel does not tell.
    pub listener_drops: Vec<ListenerDrops>,
    /// How complete the table is.
    pub completeness: Completeness,
    /// Counters, limits and sysctls.
    pub facts: Facts,
}

impl Sample {
    /// Everything but the sockets.
    #[must_use]
    pub fn about(&self) -> Self {
        Self {
            netns: self.netns.clone(),
            taken: self.taken,
            dump_time: self.dump_time,
            protocol: self.protocol,
            table: Table::default(),
            memory: Vec::new(),
            udp: None,
            listener_drops: self.listener_drops.clone(),
            completeness: self.completeness.clone(),
            facts: self.facts.clone(),
        }
    }
}

/// The machine that a sample was taken on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// `uname -n`.
    pub hostname: ForeignText,
    /// `uname -r`.
    pub kernel: ForeignText,
    /// What this process may do.
    pub privileges: Privileges,
    /// Size of a page in bytes (`tcp_mem` is in pages).
    pub page_size: u64,
    /// Memory of the host in bytes, 0 if unknown.
    pub memory_bytes: u64,
}

impl Host {
    /// Major and minor of the kernel's release, whatever a distribution appends; `None` if it does not begin with them.
    #[must_use]
    pub fn kernel_version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.kernel.raw().split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

/// A capability that decides what can be seen or done. Numbers are those of `capabilities(7)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Capability {
    /// Directories of other users' processes.
    DacReadSearch = 2,
    /// Socket marks, `SOCK_DESTROY`.
    NetAdmin = 12,
    /// Descriptors of other users' processes.
    SysPtrace = 19,
    /// Other namespaces.
    SysAdmin = 21,
    /// The kernel log.
    Syslog = 34,
}

/// What this process may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Privileges {
    /// The effective capability set, one bit a capability.
    pub effective: u64,
    /// Effective user id.
    pub euid: u32,
}

impl Privileges {
    /// Whether a capability is in the effective set.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.effective >> capability as u8 & 1 == 1
    }

    /// Whether sockets of all users can be matched with their processes: `/proc/PID/fd` needs
    /// `PTRACE_MODE_READ` (`proc_fd_access_allowed` in `fs/proc/base.c`) and a search of the directory.
    #[must_use]
    pub const fn sees_all_processes(self) -> bool {
        self.has(Capability::SysPtrace) && (self.has(Capability::DacReadSearch) || self.euid == 0)
    }
}
