//! Socket options that no table of the kernel shows: they have to be read from the socket itself.

use std::time::Duration;

use super::{Endpoint, TcpState};

/// The options that decide when the silence of a peer is noticed, as getsockopt(2) gives them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketOptions {
    /// `SO_KEEPALIVE`.
    pub keepalive: bool,
    /// `TCP_KEEPIDLE`: silence before the first probe. The value in effect, the sysctl's where the program set none
    /// (`do_tcp_getsockopt` in `net/ipv4/tcp.c`).
    pub idle: Duration,
    /// `TCP_KEEPINTVL`: time between two probes, likewise.
    pub interval: Duration,
    /// `TCP_KEEPCNT`: probes without an answer that end the connection, likewise.
    pub probes: u32,
    /// `TCP_USER_TIMEOUT`; `None` where it is not set.
    pub user_timeout: Option<Duration>,
    /// `SO_LINGER`: how long close waits for what was not sent, zero for a reset; `None` where it is off.
    pub linger: Option<Duration>,
}

/// What a TCP socket tells that no table lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unlisted {
    /// Its state: `CLOSE` for one that was never bound, or that is dead and was not closed.
    pub state: TcpState,
    /// Its local address, if it has had one.
    pub local: Option<Endpoint>,
}

/// What came of reading the options of a socket.
pub type Probed = Result<SocketOptions, Unprobed>;

/// Why the options of a socket could not be read, and what would help.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unprobed {
    /// There is no descriptor to read them through; the text says why.
    #[error("{0}")]
    NoDescriptor(String),
    /// This process may not take a descriptor out of that one (`__pidfd_fget` in `kernel/pid.c`).
    #[error("taking descriptor {fd} of process {pid}: not permitted; {why}")]
    NotPermitted {
        /// Whose descriptor.
        pid: u32,
        /// Which one.
        fd: u32,
        /// What stands in the way.
        why: Refusal,
    },
    /// The process has ended.
    #[error("process {pid} has ended")]
    ProcessGone {
        /// Which.
        pid: u32,
    },
    /// The process has closed the descriptor.
    #[error("process {pid} has closed descriptor {fd}")]
    DescriptorGone {
        /// Whose descriptor.
        pid: u32,
        /// Which one.
        fd: u32,
    },
    /// Something else is behind the number meanwhile: the cookies differ.
    #[error("descriptor {fd} of process {pid} is no longer this socket")]
    AnotherSocket {
        /// Whose descriptor.
        pid: u32,
        /// Which one.
        fd: u32,
    },
    /// The program has an MPTCP socket, and the table lists the TCP connections below it, which have no descriptor
    /// (`mptcp_subflow_create_socket` in `net/mptcp/subflow.c`).
    #[error(
        "descriptor {fd} of process {pid} is an MPTCP socket: the table shows a TCP connection below it, which has no \
         descriptor to be asked through"
    )]
    Mptcp {
        /// Whose descriptor.
        pid: u32,
        /// Which one.
        fd: u32,
    },
    /// The source of the table has no cookies, so that nothing would tell one socket from another.
    #[error("the socket has no cookie to know it by: /proc/net/tcp shows none")]
    NoCookie,
    /// Before Linux 5.6.
    #[error("this kernel has no pidfd_getfd, which came with Linux 5.6")]
    OldKernel,
    /// Taking a duplicate would change how the socket's packets are classified (`__receive_sock` in `net/core/sock.c`).
    #[error(
        "not asked: {controller} of cgroup v1 is in use ({cgroups} cgroups), and taking a duplicate would give the socket \
         the network class of tcptop"
    )]
    NetworkClasses {
        /// `net_cls` or `net_prio`.
        controller: &'static str,
        /// How many cgroups its hierarchy has.
        cgroups: u64,
    },
    /// Whether network classes are in use could not be found out.
    #[error("not asked: whether net_cls or net_prio are in use is not known: {0}")]
    ClassesUnknown(String),
    /// Anything else.
    #[error("taking descriptor {fd} of process {pid}: {error}")]
    Other {
        /// Whose descriptor.
        pid: u32,
        /// Which one.
        fd: u32,
        /// What the kernel said.
        error: String,
    },
}

impl Unprobed {
    /// Whether both say the same, of whichever process and descriptor.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::NotPermitted { why, .. }, Self::NotPermitted { why: others, .. }) => why == others,
            (Self::Other { error, .. }, Self::Other { error: others, .. }) => error == others,
            (Self::ProcessGone { .. }, Self::ProcessGone { .. })
            | (Self::DescriptorGone { .. }, Self::DescriptorGone { .. })
            | (Self::AnotherSocket { .. }, Self::AnotherSocket { .. })
            | (Self::Mptcp { .. }, Self::Mptcp { .. }) => true,
            _ => self == other,
        }
    }
}

/// What keeps a process from another one's descriptors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// It runs as another user.
    #[error("it belongs to another user; run as root, or with CAP_SYS_PTRACE")]
    OtherUser,
    /// It runs as the same user and may not be looked into (`PR_SET_DUMPABLE`): it changed its user, or is set-user-id.
    #[error("it is not dumpable (it changed its user, or asked for it); run as root, or with CAP_SYS_PTRACE")]
    NotDumpable,
    /// Yama's `ptrace_scope` allows children only (1), or `CAP_SYS_PTRACE` only (2).
    #[error("kernel.yama.ptrace_scope is {0}; run as root, or with CAP_SYS_PTRACE")]
    Yama(u8),
    /// Yama's `ptrace_scope` 3 allows nobody, until the next boot.
    #[error("kernel.yama.ptrace_scope is 3, which forbids it to everybody until the next boot")]
    YamaForbids,
    /// This process has the capability and was refused nevertheless.
    #[error(
        "not even with CAP_SYS_PTRACE: a security module, a sandbox or another user namespace protects it"
    )]
    Protected,
    /// No reason could be found.
    #[error("run as root, or with CAP_SYS_PTRACE")]
    Unprivileged,
}
