//! What a rule says: severity, subject, evidence.

use std::time::Duration;

use crate::model::{Endpoint, ForeignText, Ip, Scope};

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Worth knowing, nothing to do tonight.
    Info,
    /// Something is wrong or about to be.
    Warning,
    /// Users notice now, or in moments.
    Critical,
}

impl Severity {
    /// The name in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How sure a rule is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Confidence {
    /// One of several causes that look alike.
    Low,
    /// Likely.
    Medium,
    /// Proven by what the kernel said.
    High,
}

impl Confidence {
    /// The name in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Whom a finding is about.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// The machine, or the namespace as a whole where a counter belongs to it.
    Host,
    /// A process.
    Process {
        /// Process id.
        pid: u32,
        /// Name.
        comm: ForeignText,
    },
    /// A peer address.
    Peer {
        /// Address, or the first of the prefix.
        addr: Ip,
        /// Length of the prefix, where a whole network is meant.
        prefix: Option<u8>,
    },
    /// A listening socket.
    Listener {
        /// Address and port.
        local: Endpoint,
        /// Its cookie: `SO_REUSEPORT` puts several listeners on one address.
        cookie: u64,
    },
    /// Connections from one local address to one peer address and port.
    Destination {
        /// Local address; `None` where it does not matter.
        local: Option<Ip>,
        /// Peer.
        peer: Endpoint,
    },
    /// One socket.
    Socket {
        /// Cookie.
        cookie: u64,
        /// Local end.
        local: Endpoint,
        /// Peer.
        peer: Endpoint,
    },
    /// A sysctl.
    Sysctl {
        /// Dotted name.
        name: Box<str>,
    },
    /// A network interface.
    Interface {
        /// Name.
        name: ForeignText,
    },
    /// A network namespace.
    Namespace {
        /// Inode.
        inode: u64,
    },
}

impl Subject {
    /// `subject.kind` of the contract.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Process { .. } => "process",
            Self::Peer { .. } => "peer",
            Self::Listener { .. } => "listener",
            Self::Destination { .. } => "destination",
            Self::Socket { .. } => "socket",
            Self::Sysctl { .. } => "sysctl",
            Self::Interface { .. } => "interface",
            Self::Namespace { .. } => "namespace",
        }
    }
}

/// A value with its unit.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A number of things.
    Count(u64),
    /// A difference, or a value of a sysctl.
    Number(i64),
    /// A part, 0 to 1 and beyond.
    Ratio(f64),
    /// A time.
    Time(Duration),
    /// Things per second.
    PerSecond(f64),
    /// Things per minute.
    PerMinute(f64),
    /// Bytes.
    Bytes(u64),
    /// Something with a name.
    Text(ForeignText),
    /// It could not be known.
    Unknown,
}

/// Where a piece of evidence comes from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// The socket table.
    SockDiag,
    /// `tcp_info` of single sockets.
    TcpInfo,
    /// A counter by the kernel's name: `TcpExt.ListenDrops`.
    Counter(Box<str>),
    /// A file below `/proc`.
    File(Box<str>),
    /// A sysctl by its dotted name.
    Sysctl(Box<str>),
    /// What this program saw over time.
    Observed,
    /// The kernel log.
    KernelLog,
}

impl Source {
    /// The words in JSON and on the screen.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::SockDiag => "sock_diag",
            Self::TcpInfo => "tcp_info",
            Self::Counter(name) | Self::File(name) | Self::Sysctl(name) => name,
            Self::Observed => "observed",
            Self::KernelLog => "kernel log",
        }
    }
}

/// One piece of evidence.
#[derive(Clone, PartialEq, Debug)]
pub struct Evidence {
    /// Snake-case name; a placeholder of the documents.
    pub name: &'static str,
    /// Value and unit.
    pub value: Value,
    /// Where it comes from.
    pub source: Source,
    /// Which part of the machine it speaks for.
    pub scope: Scope,
}

impl Evidence {
    /// Evidence about the examined namespace.
    #[must_use]
    pub const fn new(name: &'static str, value: Value, source: Source) -> Self {
        Self { name, value, source, scope: Scope::Namespace }
    }

    /// The same, about the whole host.
    #[must_use]
    pub const fn of_host(mut self) -> Self {
        self.scope = Scope::Host;
        self
    }
}

/// The sockets that prove a finding.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Proof {
    /// Cookies of the first of them, at most [`Proof::MOST`].
    pub cookies: Vec<u64>,
    /// How many there are.
    pub total: usize,
}

impl Proof {
    /// How many sockets are kept as proof.
    pub const MOST: usize = 1000;

    /// How many are kept, and how many there are, where those are not all.
    #[must_use]
    pub fn cut(&self) -> Option<(usize, usize)> {
        (self.cookies.len() < self.total).then_some((self.cookies.len(), self.total))
    }
}

impl FromIterator<u64> for Proof {
    fn from_iter<T: IntoIterator<Item = u64>>(sockets: T) -> Self {
        let mut proof = Self::default();
        for cookie in sockets {
            proof.total += 1;
            if proof.cookies.len() < Self::MOST {
                proof.cookies.push(cookie);
            }
        }
        proof
    }
}

/// What a rule found at one look.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft {
    /// How bad.
    pub severity: Severity,
    /// About whom. At most one draft of a rule is about one subject.
    pub subject: Subject,
    /// Evidence, the main number first.
    pub evidence: Vec<Evidence>,
    /// How sure.
    pub confidence: Confidence,
    /// Which text of the document fits, where it has several: the name of a `title.…` entry.
    pub variant: Option<&'static str>,
    /// The sockets that prove it.
    pub proof: Proof,
    /// Findings of other rules that this one is the cause of.
    pub explains: Vec<(&'static str, Subject)>,
    /// The rule that says the same and more: where it has a finding, this one is part of it.
    pub part_of: Option<&'static str>,
}

impl Draft {
    /// A draft with a main number, sure, without proof.
    #[must_use]
    pub fn new(severity: Severity, subject: Subject, evidence: Vec<Evidence>) -> Self {
        Self {
            severity,
            subject,
            evidence,
            confidence: Confidence::High,
            variant: None,
            proof: Proof::default(),
            explains: Vec::new(),
            part_of: None,
        }
    }
}

/// Whether a finding still holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// It holds.
    Firing,
    /// It no longer holds, since this time after the first sample.
    Clearing(Duration),
    /// It held when it could last be examined; the reason why it cannot be now.
    Unknown(String),
}

/// What is wrong, since when, and how that is known.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static str,
    /// What it said last.
    pub draft: Draft,
    /// Since when it holds: time after the first sample.
    pub since: Duration,
    /// Whether it still does.
    pub status: Status,
    /// Its main number over time, oldest first.
    pub history: Vec<f64>,
    /// Rules whose findings about the same cause were folded into this one.
    pub explained: Vec<&'static str>,
    /// Whom it was about before, where the same sockets are now known to be somebody else's: a peer's, then a process's.
    pub formerly: Vec<Subject>,
}

impl Finding {
    /// Whether it is about this subject, or was.
    #[must_use]
    pub fn concerns(&self, subject: &Subject) -> bool {
        self.draft.subject == *subject || self.formerly.contains(subject)
    }
}

/// A rule that could not be judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotExamined {
    /// The rule.
    pub rule: &'static str,
    /// Why.
    pub reason: String,
}
