//! Kernel counters, limits and sysctls as they were read, each with its scope.

use std::sync::Arc;
use std::time::Duration;

use super::{Endpoint, ForeignText, Reading};

/// Counters of one or more files, found by the kernel's names: `TcpExt.ListenDrops`, `Tcp.RetransSegs`.
/// Sorted by name; the names are shared between samples because they change only with the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CounterTable {
    names: Arc<[Box<str>]>,
    values: Vec<u64>,
}

impl CounterTable {
    /// Builds a table. Of two counters with one name the later is kept.
    #[must_use]
    pub fn from_pairs(mut pairs: Vec<(Box<str>, u64)>) -> Self {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = later.1;
            }
            same
        });
        let (names, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        Self { names: names.into(), values }
    }

    /// The same counters with other values, which stand in the order of the names.
    #[must_use]
    pub fn with_values(&self, values: Vec<u64>) -> Self {
        debug_assert_eq!(values.len(), self.names.len(), "each name has its value");
        Self { names: Arc::clone(&self.names), values }
    }

    /// The place of a counter in the order of names.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|n| (**n).cmp(name)).ok()
    }

    /// The name of the counter at a place.
    #[must_use]
    pub fn name(&self, place: usize) -> Option<&str> {
        self.names.get(place).map(|n| &**n)
    }

    /// How many counters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The value of a counter, `None` if this kernel does not have it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.values.get(self.place(name)?).copied()
    }

    /// All counters in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.names.iter().map(|n| &**n).zip(self.values.iter().copied())
    }
}

/// `/proc/net/sockstat` and `sockstat6`. `inuse` and `tw` are of the namespace; `orphan`, `alloc` and `mem` are of
/// the host (`sockstat_seq_show` in `net/ipv4/proc.c`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sockstat {
    /// Hashed IPv4 TCP sockets, listeners included. Namespace.
    pub tcp_inuse: Option<u64>,
    /// The same for IPv6. Namespace.
    pub tcp6_inuse: Option<u64>,
    /// `TIME_WAIT` and orphaned `FIN_WAIT2`. Namespace.
    pub tcp_tw: Option<u64>,
    /// Closed by their program and still sending. Host.
    pub tcp_orphan: Option<u64>,
    /// TCP sockets that exist, in a table or not. Host.
    pub tcp_alloc: Option<u64>,
    /// TCP buffer memory in pages. Host.
    pub tcp_mem_pages: Option<u64>,
    /// UDP sockets. Namespace.
    pub udp_inuse: Option<u64>,
    /// IPv6 UDP sockets. Namespace.
    pub udp6_inuse: Option<u64>,
    /// UDP buffer memory in pages. Host.
    pub udp_mem_pages: Option<u64>,
}

/// One row of `/proc/net/softnet_stat` (host, one per online CPU).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SoftnetRow {
    /// CPU number: column 13 since Linux 5.10, else the position of the row.
    pub cpu: u32,
    /// Packets processed.
    pub processed: u64,
    /// Packets dropped because the per-CPU backlog was full, or by the flow limit.
    pub dropped: u64,
    /// Times the softirq ran out of its budget.
    pub time_squeeze: u64,
    /// Inter-processor wake-ups for RPS.
    pub received_rps: u64,
    /// Packets dropped by the flow limit.
    pub flow_limit_count: u64,
}

/// One interface of `/proc/net/dev` (namespace).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceRow {
    /// Interface name.
    pub name: ForeignText,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Receive errors.
    pub rx_errs: u64,
    /// `rx_dropped` + `rx_missed_errors`.
    pub rx_drop: u64,
    /// `rx_fifo_errors`: ring overflow on many drivers.
    pub rx_fifo: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Send errors.
    pub tx_errs: u64,
    /// Packets dropped on sending.
    pub tx_drop: u64,
    /// `tx_fifo_errors`.
    pub tx_fifo: u64,
}

/// Connection tracking of one namespace: `/proc/sys/net/netfilter` and `/proc/net/stat/nf_conntrack`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Conntrack {
    /// Entries of this namespace.
    pub count: u64,
    /// The limit: one value for the host, compared with each namespace's own count.
    pub max: u64,
    /// Hash buckets, host.
    pub buckets: Option<u64>,
    /// The per-CPU statistics summed, absent where `/proc/net/stat/nf_conntrack` is. Namespace.
    pub stats: Option<ConntrackStats>,
}

/// Per-CPU conntrack statistics summed over CPUs (hexadecimal columns found by name).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConntrackStats {
    /// Packets that fit no connection.
    pub invalid: u64,
    /// Entries that could not be inserted: a clash of tuples, or the table full.
    pub insert_failed: u64,
    /// Packets dropped: allocation failed, table full, or the insert failed.
    pub drop: u64,
    /// Entries evicted to make room.
    pub early_drop: u64,
    /// Restarts of a lookup.
    pub search_restart: u64,
    /// Inserts refused because the hash chain was too long (newer kernels).
    pub chaintoolong: Option<u64>,
}

/// `/proc/sys/fs/file-nr` (host).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FileNr {
    /// Open files.
    pub allocated: u64,
    /// `fs.file-max`.
    pub max: u64,
}

/// Reverse-path filtering of one interface: `net.ipv4.conf.<interface>.rp_filter` (namespace). In force is the larger
/// of this and `net.ipv4.conf.all.rp_filter` (`IN_DEV_RPFILTER` in `include/linux/inetdevice.h`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceRpFilter {
    /// Interface name.
    pub interface: ForeignText,
    /// 0 off, 1 strict, 2 loose.
    pub value: u8,
}

/// One neighbour table: `/proc/net/stat/arp_cache` or `ndisc_cache` (host, shown in the initial namespace only).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NeighbourTable {
    /// Entries of all namespaces, permanent ones included.
    pub entries: u64,
    /// Times that an entry could not be made because the table was full; absent on old kernels.
    pub table_fulls: Option<u64>,
    /// Times that old entries were collected by force to make room.
    pub forced_gc_runs: u64,
}

/// The neighbour tables of IPv4 and, where there is one, of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Neighbours {
    /// ARP.
    pub v4: NeighbourTable,
    /// Neighbour discovery.
    pub v6: Option<NeighbourTable>,
}

/// A UDP socket that has dropped datagrams: a line of `/proc/net/udp` or `udp6` (namespace).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpDrops {
    /// Local address and port.
    pub local: Endpoint,
    /// Peer of a connected socket, else the wildcard.
    pub peer: Endpoint,
    /// Inode, 0 for a socket of the kernel.
    pub inode: u32,
    /// Datagrams that it has dropped since it was made.
    pub drops: u64,
}

/// A line of the kernel log (host).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelMessage {
    /// Number in the ring.
    pub seq: u64,
    /// When it was said, since boot.
    pub since_boot: Duration,
    /// What was said.
    pub text: ForeignText,
}

/// Everything beside the socket table that one look reads, for one namespace.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// `/proc/net/snmp`, `netstat` and `snmp6` (namespace): `Tcp.*`, `Udp.*`, `Ip.*`, `TcpExt.*`, `IpExt.*`, `Udp6.*`, ….
    pub counters: Reading<CounterTable>,
    /// `/proc/net/sockstat` and `sockstat6`.
    pub sockstat: Reading<Sockstat>,
    /// `/proc/net/softnet_stat` (host).
    pub softnet: Reading<Vec<SoftnetRow>>,
    /// `/proc/net/dev` (namespace).
    pub interfaces: Reading<Vec<InterfaceRow>>,
    /// Connection tracking.
    pub conntrack: Reading<Conntrack>,
    /// Open files (host).
    pub file_nr: Reading<FileNr>,
    /// The audited sysctls.
    pub sysctls: super::Sysctls,
    /// Reverse-path filtering by interface.
    pub rp_filters: Reading<Arc<[InterfaceRpFilter]>>,
    /// Neighbour tables (host).
    pub neighbours: Reading<Neighbours>,
    /// UDP sockets that have dropped datagrams, as they were when the counters of UDP last moved.
    pub udp_drops: Reading<Arc<[UdpDrops]>>,
    /// What the kernel logged since the previous look (host).
    pub kernel_log: Reading<Arc<[KernelMessage]>>,
    /// Lines and fields of these files that made no sense and were skipped.
    pub malformed: u32,
}
