//! How close the limits are that facts, ports and listeners tell. The descriptors of processes come from elsewhere.

use std::borrow::Cow;

use super::{ListenerAgg, PortUse};
use crate::model::{Endpoint, Facts, Ip, Protocols, Reading, Scope, Sockstat};

/// The limits of the contract.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum LimitId {
    /// The worst destination's ports.
    EphemeralPorts,
    /// Conntrack entries.
    Conntrack,
    /// `TIME_WAIT` buckets.
    TimeWaitBuckets,
    /// Orphans.
    Orphans,
    /// TCP memory against the pressure threshold.
    TcpMemory,
    /// Open files of the host.
    OpenFiles,
    /// The worst accept queue.
    AcceptQueue,
    /// The worst process's descriptors.
    ProcessFds,
}

impl LimitId {
    /// The id in the contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EphemeralPorts => "ephemeral_ports",
            Self::Conntrack => "conntrack",
            Self::TimeWaitBuckets => "time_wait_buckets",
            Self::Orphans => "orphans",
            Self::TcpMemory => "tcp_memory",
            Self::OpenFiles => "open_files",
            Self::AcceptQueue => "accept_queue",
            Self::ProcessFds => "process_fds",
        }
    }

    /// What meets it.
    #[must_use]
    pub const fn about(self) -> Protocols {
        match self {
            Self::Conntrack | Self::OpenFiles | Self::ProcessFds => Protocols::BOTH,
            Self::EphemeralPorts
            | Self::TimeWaitBuckets
            | Self::Orphans
            | Self::TcpMemory
            | Self::AcceptQueue => Protocols::TCP,
        }
    }
}

/// Whose limit it is, where a limit exists more than once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitSubject {
    /// There is only one.
    Only,
    /// Ports from a local address to a destination.
    Destination {
        /// Local address.
        local: Ip,
        /// Peer.
        peer: Endpoint,
    },
    /// A listener, by its row.
    Listener {
        /// Address and port.
        local: Endpoint,
        /// Cookie.
        cookie: u64,
    },
    /// A process.
    Process {
        /// Process id.
        pid: u32,
    },
}

/// A limit and how close it is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limit {
    /// Which.
    pub id: LimitId,
    /// In use.
    pub used: u64,
    /// The limit.
    pub max: u64,
    /// Whose.
    pub subject: LimitSubject,
    /// Which part of the machine the numbers speak for.
    pub scope: Scope,
    /// Whether there may be a nearer one that cannot be seen.
    pub at_least: bool,
}

impl Limit {
    /// Used part, 0 to 1 and beyond. A limit of 0 is full, but for an accept queue: that holds one connection more than its
    /// backlog (`sk_acceptq_is_full` in include/net/sock.h compares with >).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn ratio(&self) -> f64 {
        if self.id == LimitId::AcceptQueue {
            return self.used as f64 / (self.max as f64 + 1.0);
        }
        if self.max == 0 { 1.0 } else { self.used as f64 / self.max as f64 }
    }
}

/// A limit that is not known, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingLimit {
    /// Which.
    pub id: LimitId,
    /// Why, for people.
    pub why: Cow<'static, str>,
}

/// Limits that are known, and those that are not with the reason, both in the order of [`LimitId`].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Limits {
    /// Known.
    pub known: Vec<Limit>,
    /// Not known here.
    pub missing: Vec<MissingLimit>,
}

impl Limits {
    fn add(&mut self, id: LimitId, scope: Scope, numbers: Result<(u64, u64), Why>) {
        match numbers {
            Ok((used, max)) => {
                self.known.push(Limit { id, used, max, subject: LimitSubject::Only, scope, at_least: false });
            }
            Err(why) => self.missing.push(MissingLimit { id, why }),
        }
    }
}

type Why = Cow<'static, str>;

/// The limits of one namespace. `time_wait` is the number of sockets of the table that take a `TIME_WAIT` bucket, for
/// a kernel that does not count them itself.
#[must_use]
pub fn limits(facts: &Facts, ports: &PortUse, listeners: &[ListenerAgg], time_wait: u32) -> Limits {
    let mut limits = Limits::default();
    ephemeral_ports(facts, ports, &mut limits);
    limits.add(LimitId::Conntrack, Scope::Namespace, conntrack(facts));
    limits.add(LimitId::TimeWaitBuckets, Scope::Namespace, time_wait_buckets(facts, time_wait));
    limits.add(LimitId::Orphans, Scope::Host, orphans(facts));
    limits.add(LimitId::TcpMemory, Scope::Host, tcp_memory(facts));
    limits.add(LimitId::OpenFiles, Scope::Host, open_files(facts));
    accept_queue(listeners, &mut limits);
    limits
}

fn ephemeral_ports(facts: &Facts, ports: &PortUse, limits: &mut Limits) {
    let id = LimitId::EphemeralPorts;
    if ports.range.is_none() {
        let why = sysctl_trouble(facts, "net.ipv4.ip_local_port_range");
        limits.missing.push(MissingLimit { id, why });
        return;
    }
    let worst = ports.destinations.iter().max_by(|a, b| ports.ratio(a).total_cmp(&ports.ratio(b)));
    let (used, subject) = worst.map_or((0, LimitSubject::Only), |d| {
        let held = d.used.saturating_sub(d.reusable);
        (held, LimitSubject::Destination { local: d.local, peer: d.peer })
    });
    let (used, max) = (u64::from(used), u64::from(ports.usable));
    limits.known.push(Limit { id, used, max, subject, scope: Scope::Namespace, at_least: false });
}

fn conntrack(facts: &Facts) -> Result<(u64, u64), Why> {
    match &facts.conntrack {
        Reading::Known(c) => Ok((c.count, c.max)),
        Reading::Absent => Err("connection tracking is not loaded".into()),
        Reading::Unreadable(why) => Err(why.clone().into()),
    }
}

fn time_wait_buckets(facts: &Facts, of_table: u32) -> Result<(u64, u64), Why> {
    let max = number(facts, "net.ipv4.tcp_max_tw_buckets")?;
    let used = facts.sockstat.known().and_then(|s| s.tcp_tw).unwrap_or(u64::from(of_table));
    Ok((used, max))
}

fn orphans(facts: &Facts) -> Result<(u64, u64), Why> {
    let max = number(facts, "net.ipv4.tcp_max_orphans")?;
    Ok((sockstat(facts, "orphan", |s| s.tcp_orphan)?, max))
}

fn tcp_memory(facts: &Facts) -> Result<(u64, u64), Why> {
    let name = "net.ipv4.tcp_mem";
    let values = facts.sysctls.numbers(name);
    let pressure = values.as_deref().and_then(|v| v.get(1)).and_then(|v| u64::try_from(*v).ok());
    let max = pressure.ok_or_else(|| sysctl_trouble(facts, name))?;
    Ok((sockstat(facts, "mem", |s| s.tcp_mem_pages)?, max))
}

fn open_files(facts: &Facts) -> Result<(u64, u64), Why> {
    match &facts.file_nr {
        Reading::Known(f) => Ok((f.allocated, f.max)),
        Reading::Absent => Err("there is no /proc/sys/fs/file-nr".into()),
        Reading::Unreadable(why) => Err(why.clone().into()),
    }
}

fn accept_queue(listeners: &[ListenerAgg], limits: &mut Limits) {
    let id = LimitId::AcceptQueue;
    let known = listeners.iter().filter_map(|l| Some((l, u64::from(l.backlog?))));
    let worst = known.max_by(|(a, backlog_a), (b, backlog_b)| {
        let (of_a, of_b) = (u64::from(a.queue) * (backlog_b + 1), u64::from(b.queue) * (backlog_a + 1));
        of_a.cmp(&of_b).then(a.queue.cmp(&b.queue)).then(b.row.cmp(&a.row))
    });
    if let Some((worst, max)) = worst {
        let subject = LimitSubject::Listener { local: worst.local, cookie: worst.cookie };
        let used = u64::from(worst.queue);
        limits.known.push(Limit { id, used, max, subject, scope: Scope::Namespace, at_least: false });
    } else if !listeners.is_empty() {
        limits.missing.push(MissingLimit { id, why: "/proc/net/tcp does not tell the backlog".into() });
    }
}

fn sockstat(facts: &Facts, field: &str, get: fn(&Sockstat) -> Option<u64>) -> Result<u64, Why> {
    match &facts.sockstat {
        Reading::Known(s) => get(s).ok_or_else(|| format!("/proc/net/sockstat has no {field} of TCP").into()),
        Reading::Absent => Err("there is no /proc/net/sockstat".into()),
        Reading::Unreadable(why) => Err(why.clone().into()),
    }
}

fn number(facts: &Facts, name: &str) -> Result<u64, Why> {
    let value = facts.sysctls.number(name).and_then(|v| u64::try_from(v).ok());
    value.ok_or_else(|| sysctl_trouble(facts, name))
}

/// Why a sysctl gives no usable number.
fn sysctl_trouble(facts: &Facts, name: &str) -> Why {
    let scope = crate::model::sysctl::SPECS.iter().find(|s| s.name == name).map(|s| s.scope);
    match facts.sysctls.reading(name) {
        Reading::Known(_) => format!("{name} has a value that makes no sense").into(),
        Reading::Unreadable(why) => why.clone().into(),
        Reading::Absent if scope == Some(Scope::Host) => {
            format!("{name} is the host's, and not shown in this namespace").into()
        }
        Reading::Absent => format!("this kernel has no {name}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Destination;
    use crate::model::{Conntrack, Endpoint, FileNr, Ip, StateCounts, Sysctls, sysctl::SPECS};

    fn sysctls(pairs: &[(&str, &str)]) -> Sysctls {
        let value = |name| match pairs.iter().find(|(n, _)| *n == name) {
            Some((_, "denied")) => Reading::Unreadable(format!("reading {name}: permission denied")),
            Some((_, v)) => Reading::Known((*v).into()),
            None => Reading::Absent,
        };
        Sysctls::new(SPECS.iter().map(|s| value(s.name)).collect())
    }

    fn facts() -> Facts {
        Facts {
            sockstat: Reading::Known(Sockstat {
                tcp_tw: Some(30),
                tcp_orphan: Some(5),
                tcp_mem_pages: Some(70),
                ..Sockstat::default()
            }),
            conntrack: Reading::Known(Conntrack { count: 7611, max: 65_536, ..Conntrack::default() }),
            file_nr: Reading::Known(FileNr { allocated: 449, max: 2_466_170 }),
            sysctls: sysctls(&[
                ("net.ipv4.tcp_max_tw_buckets", "131072"),
                ("net.ipv4.tcp_max_orphans", "100"),
                ("net.ipv4.tcp_mem", "10\t100\t200"),
                ("net.ipv4.ip_local_port_range", "32768\t60999"),
            ]),
            ..Facts::default()
        }
    }

    fn endpoint(last: u8, port: u16) -> Endpoint {
        Endpoint { addr: Ip::from_v4_octets([10, 0, 0, last]), port }
    }

    fn destination(last: u8, used: u32, reusable: u32) -> Destination {
        Destination {
            local: endpoint(1, 0).addr,
            peer: endpoint(last, 80),
            used,
            time_wait: reusable,
            reusable,
            growth_per_s: None,
        }
    }

    fn ports(destinations: Vec<Destination>) -> PortUse {
        PortUse { range: Some(1..=100), usable: 100, destinations, ..PortUse::default() }
    }

    fn listener(row: u32, queue: u32, backlog: impl Into<Option<u32>>) -> ListenerAgg {
        ListenerAgg {
            row,
            cookie: u64::from(row) + 100,
            local: endpoint(1, 443),
            queue,
            backlog: backlog.into(),
            drops: None,
            drops_delta: None,
            counts: StateCounts::default(),
            unaccepted: 0,
            shares_with: None,
            no_keepalive: 0,
            with_keepalive: 0,
        }
    }

    fn of(facts: &Facts, ports: &PortUse, listeners: &[ListenerAgg]) -> Limits {
        limits(facts, ports, listeners, 7)
    }

    fn get(limits: &Limits, id: LimitId) -> Limit {
        *limits.known.iter().find(|l| l.id == id).unwrap()
    }

    fn why(limits: &Limits, id: LimitId) -> &str {
        &limits.missing.iter().find(|m| m.id == id).unwrap().why
    }

    #[test]
    fn everything_that_is_known_stands_in_the_order_of_the_contract() {
        let got = of(&facts(), &ports(vec![destination(2, 10, 0)]), &[listener(0, 3, 511)]);
        let ids: Vec<_> = got.known.iter().map(|l| (l.id.name(), l.used, l.max, l.scope)).collect();
        let want = [
            ("ephemeral_ports", 10, 100, Scope::Namespace),
            ("conntrack", 7611, 65_536, Scope::Namespace),
            ("time_wait_buckets", 30, 131_072, Scope::Namespace),
            ("orphans", 5, 100, Scope::Host),
            ("tcp_memory", 70, 100, Scope::Host),
            ("open_files", 449, 2_466_170, Scope::Host),
            ("accept_queue", 3, 511, Scope::Namespace),
        ];
        assert_eq!(ids, want);
        assert!(got.missing.is_empty(), "{:?}", got.missing);
    }

    #[test]
    fn the_fullest_destination_is_the_one_whose_ports_are_not_free_again() {
        let busy = ports(vec![destination(2, 90, 80), destination(3, 40, 0), destination(4, 10, 0)]);
        let limit = get(&of(&facts(), &busy, &[]), LimitId::EphemeralPorts);
        assert_eq!((limit.used, limit.max), (40, 100));
        let LimitSubject::Destination { peer, .. } = limit.subject else { panic!("no destination") };
        assert_eq!(peer, endpoint(3, 80));
    }

    #[test]
    fn without_outgoing_connections_no_port_is_used() {
        let limit = get(&of(&facts(), &ports(vec![]), &[]), LimitId::EphemeralPorts);
        assert_eq!((limit.used, limit.max, limit.subject), (0, 100, LimitSubject::Only));
    }

    #[test]
    fn an_accept_queue_is_full_with_one_more_than_its_backlog() {
        let of = |used, max| {
            let subject = LimitSubject::Only;
            let id = LimitId::AcceptQueue;
            Limit { id, used, max, subject, scope: Scope::Namespace, at_least: false }.ratio()
        };
        assert_eq!((of(3, 2), of(1, 0), of(0, 0)), (1.0, 1.0, 0.0));
        assert!(of(2, 2) < 1.0);
    }

    #[test]
    fn the_worst_accept_queue_is_the_fullest_not_the_longest() {
        let listeners = [listener(0, 100, 4096), listener(1, 3, 5), listener(2, 0, 0)];
        let limit = get(&of(&facts(), &ports(vec![]), &listeners), LimitId::AcceptQueue);
        assert_eq!((limit.used, limit.max), (3, 5));
        assert_eq!(limit.subject, LimitSubject::Listener { local: endpoint(1, 443), cookie: 101 });
    }

    #[test]
    fn a_backlog_of_zero_holds_one() {
        let empty = get(&of(&facts(), &ports(vec![]), &[listener(0, 0, 0)]), LimitId::AcceptQueue);
        assert!(empty.ratio().abs() < f64::EPSILON);
        let full = get(&of(&facts(), &ports(vec![]), &[listener(0, 1, 0)]), LimitId::AcceptQueue);
        assert!((full.ratio() - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn without_a_listener_there_is_no_accept_queue_to_miss() {
        let got = of(&facts(), &ports(vec![]), &[]);
        assert!(got.known.iter().all(|l| l.id != LimitId::AcceptQueue));
        assert!(got.missing.iter().all(|m| m.id != LimitId::AcceptQueue));
    }

    #[test]
    fn procfs_has_no_backlog_to_compare_with() {
        let got = limits(&facts(), &ports(vec![]), &[listener(0, 1, None)], 0);
        assert_eq!(why(&got, LimitId::AcceptQueue), "/proc/net/tcp does not tell the backlog");
    }

    #[test]
    fn what_the_namespace_does_not_show_is_left_out_with_the_reason() {
        let bare = Facts {
            conntrack: Reading::Absent,
            sysctls: sysctls(&[("net.ipv4.tcp_max_tw_buckets", "denied"), ("net.ipv4.tcp_mem", "1 x 3")]),
            file_nr: Reading::Unreadable("reading /proc/sys/fs/file-nr: permission denied".into()),
            ..facts()
        };
        let got = of(&bare, &PortUse::default(), &[]);
        assert!(got.known.is_empty(), "{:?}", got.known);
        assert_eq!(why(&got, LimitId::Conntrack), "connection tracking is not loaded");
        assert_eq!(
            why(&got, LimitId::Orphans),
            "net.ipv4.tcp_max_orphans is the host's, and not shown in this namespace"
        );
        assert_eq!(
            why(&got, LimitId::TimeWaitBuckets),
            "reading net.ipv4.tcp_max_tw_buckets: permission denied"
        );
        assert_eq!(why(&got, LimitId::TcpMemory), "net.ipv4.tcp_mem has a value that makes no sense");
        assert_eq!(why(&got, LimitId::OpenFiles), "reading /proc/sys/fs/file-nr: permission denied");
        assert_eq!(why(&got, LimitId::EphemeralPorts), "this kernel has no net.ipv4.ip_local_port_range");
        assert!(got.missing.is_sorted_by_key(|m| m.id));
    }

    #[test]
    fn the_table_counts_time_wait_where_the_kernel_does_not() {
        let without = Facts { sockstat: Reading::Absent, ..facts() };
        let got = of(&without, &ports(vec![]), &[]);
        assert_eq!(get(&got, LimitId::TimeWaitBuckets).used, 7);
        assert_eq!(why(&got, LimitId::Orphans), "there is no /proc/net/sockstat");
        let silent = Facts { sockstat: Reading::Known(Sockstat::default()), ..facts() };
        let got = of(&silent, &ports(vec![]), &[]);
        assert_eq!(why(&got, LimitId::TcpMemory), "/proc/net/sockstat has no mem of TCP");
    }
}
