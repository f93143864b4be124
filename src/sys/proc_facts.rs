//! Counters, limits and sysctls of the network namespace that the calling thread is in.
//!
//! `/proc/net` is that of the process's main thread, so everything here is read under `/proc/thread-self/net`; a sysctl
//! below `/proc/sys/net` follows the thread that opens it (`proc_sys_compare`, `net_ctl_header_lookup`).

use std::sync::Arc;
use std::time::Duration;

use super::counters::CountersReader;
use super::kernel_log::KernelLog;
use super::proc_file::{Kept, ProcFile};
use crate::model::sysctl::SPECS;
use crate::model::{
    Conntrack, ConntrackStats, CounterTable, Facts, FileNr, ForeignText, InterfaceRow, InterfaceRpFilter,
    KernelMessage, Neighbours, Reading, Sockstat, SoftnetRow, Sysctls, UdpDrops,
};
use crate::wire::{self, Parsed};

/// Every counter that a datagram without room moves (`__udp_queue_rcv_skb`).
const UDP_ERRORS: [&str; 4] = ["Udp.RcvbufErrors", "Udp.MemErrors", "Udp6.RcvbufErrors", "Udp6.MemErrors"];

/// The path of a file of the calling thread's network namespace.
macro_rules! net {
    ($file:literal) => {
        concat!("/proc/thread-self/net/", $file)
    };
}

const CONNTRACK_COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
const FILE_NR: &str = "/proc/sys/fs/file-nr";
const CONF: &str = "/proc/sys/net/ipv4/conf";

/// Reads the facts of one namespace again and again. The counters are read each time; the sysctls, some seventy small
/// files that hardly change, only when their time has come.
#[derive(Debug)]
pub struct FactsReader {
    file: ProcFile,
    /// What is read each time.
    kept: Kept,
    sysctl_every: Duration,
    sysctls_read: Option<Duration>,
    sysctls: Sysctls,
    rp_filters: Reading<Arc<[InterfaceRpFilter]>>,
    counters: CountersReader,
    kernel_log: Log,
    /// What UDP had counted when its sockets were last read.
    udp_errors: Option<u64>,
    udp_drops: Reading<Arc<[UdpDrops]>>,
}

/// Where the messages of the kernel come from. There is one ring, whatever namespace is looked at.
#[derive(Debug)]
enum Log {
    Own(KernelLog),
    Told(Reading<Arc<[KernelMessage]>>),
}

impl FactsReader {
    /// Takes what the kernel has logged from somebody who reads it for several namespaces, each time before it reads.
    pub fn hear(&mut self, said: Reading<Arc<[KernelMessage]>>) {
        self.kernel_log = Log::Told(said);
    }

    /// A reader that reads the sysctls the first time and again whenever `sysctl_every` has passed.
    #[must_use]
    pub fn new(sysctl_every: Duration) -> Self {
        Self {
            file: ProcFile::default(),
            kept: Kept::default(),
            sysctl_every,
            sysctls_read: None,
            sysctls: Sysctls::default(),
            rp_filters: Reading::Absent,
            counters: CountersReader::default(),
            kernel_log: Log::Own(KernelLog::default()),
            udp_errors: None,
            udp_drops: Reading::Absent,
        }
    }

    /// Lets go of the namespace, which an open file of it keeps alive.
    pub fn close(&mut self) {
        self.kept.close();
    }

    /// Reads the facts of the calling thread's network namespace, which must be the same each time. `now` is any
    /// clock that does not go back; it only decides whether the sysctls are read again.
    pub fn read(&mut self, now: Duration) -> Facts {
        let due = |read: Duration| now.saturating_sub(read) >= self.sysctl_every;
        if self.sysctls_read.is_none_or(due) {
            self.read_sysctls();
            self.sysctls_read = Some(now);
        }
        let (counters, mut malformed) = self.counters.read(&mut self.file, &mut self.kept);
        self.read_udp_drops(&counters, &mut malformed);
        Facts {
            counters,
            sockstat: self.sockstat(&mut malformed),
            softnet: self.softnet(&mut malformed),
            interfaces: self.interfaces(&mut malformed),
            conntrack: self.conntrack(&mut malformed),
            file_nr: self.file_nr(),
            sysctls: self.sysctls.clone(),
            rp_filters: self.rp_filters.clone(),
            neighbours: self.neighbours(&mut malformed),
            udp_drops: self.udp_drops.clone(),
            kernel_log: match &mut self.kernel_log {
                Log::Own(log) => log.read(),
                Log::Told(said) => said.clone(),
            },
            malformed,
        }
    }

    fn read_sysctls(&mut self) {
        let values = SPECS.iter().map(|spec| self.file.sysctl(&sysctl_path(spec.name))).collect();
        self.sysctls = Sysctls::new(values);
        self.rp_filters = self.read_rp_filters();
    }

    fn read_rp_filters(&mut self) -> Reading<Arc<[InterfaceRpFilter]>> {
        let entries = match std::fs::read_dir(CONF) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Reading::Absent,
            Err(e) => return Reading::Unreadable(format!("reading {CONF}: {e}")),
        };
        let mut found = Vec::new();
        for name in entries.flatten().map(|entry| entry.file_name()) {
            let Some(name) = name.to_str().filter(|n| !matches!(*n, "all" | "default")) else { continue };
            let value = self.file.sysctl(&format!("{CONF}/{name}/rp_filter"));
            if let Some(value) = value.known().and_then(|text| text.parse().ok()) {
                found.push(InterfaceRpFilter { interface: ForeignText::from(name), value });
            }
        }
        Reading::Known(found.into())
    }

    fn sockstat(&mut self, malformed: &mut u32) -> Reading<Sockstat> {
        let mut sockstat = Sockstat::default();
        match self.file.read_kept(&mut self.kept, net!("sockstat")) {
            Reading::Known(text) => *malformed += wire::sockstat(text, &mut sockstat),
            Reading::Absent => return Reading::Absent,
            Reading::Unreadable(why) => return Reading::Unreadable(why),
        }
        // Without IPv6 there is no second file.
        if let Reading::Known(text) = self.file.read_kept(&mut self.kept, net!("sockstat6")) {
            *malformed += wire::sockstat(text, &mut sockstat);
        }
        Reading::Known(sockstat)
    }

    fn softnet(&mut self, malformed: &mut u32) -> Reading<Vec<SoftnetRow>> {
        self.table(net!("softnet_stat"), wire::softnet, malformed)
    }

    fn interfaces(&mut self, malformed: &mut u32) -> Reading<Vec<InterfaceRow>> {
        self.table(net!("dev"), wire::interfaces, malformed)
    }

    fn conntrack(&mut self, malformed: &mut u32) -> Reading<Conntrack> {
        // The limit is one of the sysctls above; the count moves and is read each time.
        let count = match self.file.sysctl_kept(&mut self.kept, CONNTRACK_COUNT) {
            Reading::Known(text) => text.parse().ok(),
            Reading::Absent => return Reading::Absent,
            Reading::Unreadable(why) => return Reading::Unreadable(why),
        };
        let number = |name| u64::try_from(self.sysctls.number(name)?).ok();
        let (Some(count), Some(max)) = (count, number("net.netfilter.nf_conntrack_max")) else {
            return Reading::Unreadable(
                "reading /proc/sys/net/netfilter: nf_conntrack_count or nf_conntrack_max is not a number"
                    .into(),
            );
        };
        let buckets = number("net.netfilter.nf_conntrack_buckets");
        let stats: Reading<ConntrackStats> =
            self.table(net!("stat/nf_conntrack"), wire::conntrack_stats, malformed);
        Reading::Known(Conntrack { count, max, buckets, stats: stats.known().copied() })
    }

    fn neighbours(&mut self, malformed: &mut u32) -> Reading<Neighbours> {
        let v6 = self.table(net!("stat/ndisc_cache"), wire::neighbours, malformed).known().copied();
        self.table(net!("stat/arp_cache"), wire::neighbours, malformed).map(|v4| Neighbours { v4, v6 })
    }

    /// Reads which UDP sockets have dropped: the first time, and whenever UDP has counted a datagram without room since.
    /// Walking all sockets for nothing would cost more than everything else here.
    fn read_udp_drops(&mut self, counters: &Reading<CounterTable>, malformed: &mut u32) {
        let errors = counters
            .known()
            .map(|c| UDP_ERRORS.iter().filter_map(|name| c.get(name)).fold(0, u64::wrapping_add));
        if errors.is_some() && errors == self.udp_errors {
            return;
        }
        self.udp_errors = errors;
        let mut sockets = Vec::new();
        for (path, must) in [(net!("udp"), true), (net!("udp6"), false)] {
            match self.file.read(path) {
                Reading::Known(text) => *malformed += wire::udp_drops(text, &mut sockets),
                Reading::Absent if must => {
                    self.udp_drops = Reading::Absent;
                    return;
                }
                Reading::Absent => {}
                Reading::Unreadable(why) => {
                    self.udp_drops = Reading::Unreadable(why);
                    return;
                }
            }
        }
        self.udp_drops = Reading::Known(sockets.into());
    }

    fn file_nr(&mut self) -> Reading<FileNr> {
        match self.file.sysctl_kept(&mut self.kept, FILE_NR) {
            Reading::Known(text) => match wire::file_nr(text.as_bytes()) {
                Some(file_nr) => Reading::Known(file_nr),
                None => nonsense(FILE_NR),
            },
            Reading::Absent => Reading::Absent,
            Reading::Unreadable(why) => Reading::Unreadable(why),
        }
    }

    fn table<T>(
        &mut self,
        path: &'static str,
        parse: fn(&[u8]) -> Parsed<T>,
        malformed: &mut u32,
    ) -> Reading<T> {
        match self.file.read_kept(&mut self.kept, path) {
            Reading::Known(text) => {
                let parsed = parse(text);
                *malformed += parsed.malformed;
                parsed.value.map_or_else(|| nonsense(path), Reading::Known)
            }
            Reading::Absent => Reading::Absent,
            Reading::Unreadable(why) => Reading::Unreadable(why),
        }
    }
}

/// One reading of everything, for a command that looks once.
#[must_use]
pub fn read_facts() -> Facts {
    FactsReader::new(Duration::ZERO).read(Duration::ZERO)
}

fn sysctl_path(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

fn nonsense<T>(path: &str) -> Reading<T> {
    Reading::Unreadable(format!("reading {path}: the text makes no sense"))
}
