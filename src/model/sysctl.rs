//! The sysctls that tcptop reads: one table from which reading, audit, documents and tests are made.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Reading, Scope};

/// One sysctl that tcptop knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SysctlSpec {
    /// Dotted name, `net.ipv4.tcp_fin_timeout`.
    pub name: &'static str,
    /// Whether each namespace has its own value.
    pub scope: Scope,
}

/// Values of the sysctls in [`SPECS`], in its order, as the text that the kernel printed (trimmed).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sysctls {
    values: Arc<[Reading<Box<str>>]>,
}

macro_rules! specs {
    ($($scope:ident $name:literal),* $(,)?) => {
        /// Every sysctl that is audited or that a limit needs, on any kernel since 4.4.
        pub const SPECS: &[SysctlSpec] = &[$(SysctlSpec { name: $name, scope: Scope::$scope }),*];
    };
}

specs![
    Namespace "net.ipv4.tcp_tw_recycle",
    Namespace "net.ipv4.tcp_tw_reuse",
    Namespace "net.ipv4.tcp_tw_reuse_delay",
    Namespace "net.ipv4.tcp_timestamps",
    Namespace "net.ipv4.tcp_max_tw_buckets",
    Namespace "net.ipv4.tcp_fin_timeout",
    Namespace "net.ipv4.tcp_synack_retries",
    Namespace "net.ipv4.tcp_syn_retries",
    Namespace "net.ipv4.tcp_syn_linear_timeouts",
    Namespace "net.ipv4.tcp_syncookies",
    Namespace "net.ipv4.tcp_max_syn_backlog",
    Namespace "net.core.somaxconn",
    Namespace "net.ipv4.tcp_abort_on_overflow",
    Namespace "net.ipv4.tcp_keepalive_time",
    Namespace "net.ipv4.tcp_keepalive_intvl",
    Namespace "net.ipv4.tcp_keepalive_probes",
    Namespace "net.ipv4.tcp_retries1",
    Namespace "net.ipv4.tcp_retries2",
    Namespace "net.ipv4.tcp_rto_max_ms",
    Namespace "net.ipv4.tcp_orphan_retries",
    Host "net.ipv4.tcp_max_orphans",
    Namespace "net.ipv4.ip_local_port_range",
    Namespace "net.ipv4.ip_local_reserved_ports",
    Namespace "net.ipv4.ip_autobind_reuse",
    Namespace "net.ipv4.ip_unprivileged_port_start",
    Host "net.ipv4.tcp_mem",
    Host "net.ipv4.udp_mem",
    Namespace "net.ipv4.tcp_rmem",
    Namespace "net.ipv4.tcp_wmem",
    Namespace "net.core.optmem_max",
    Namespace "net.core.rmem_max",
    Namespace "net.core.wmem_max",
    Namespace "net.core.rmem_default",
    Namespace "net.core.wmem_default",
    Host "net.core.netdev_max_backlog",
    Host "net.core.netdev_budget",
    Host "net.core.netdev_budget_usecs",
    Host "net.core.rps_sock_flow_entries",
    Namespace "net.ipv4.tcp_sack",
    Namespace "net.ipv4.tcp_window_scaling",
    Namespace "net.ipv4.tcp_fack",
    Host "net.ipv4.tcp_low_latency",
    Namespace "net.ipv4.tcp_mtu_probing",
    Namespace "net.ipv4.tcp_rfc1337",
    Namespace "net.ipv4.tcp_ehash_entries",
    Namespace "net.ipv4.tcp_congestion_control",
    Host "net.ipv4.route.max_size",
    Host "net.ipv4.neigh.default.gc_thresh3",
    Host "net.ipv6.neigh.default.gc_thresh3",
    Host "net.netfilter.nf_conntrack_max",
    Host "net.netfilter.nf_conntrack_buckets",
    Namespace "net.netfilter.nf_conntrack_count",
    Namespace "net.netfilter.nf_conntrack_tcp_loose",
    Namespace "net.netfilter.nf_conntrack_helper",
    Namespace "net.netfilter.nf_conntrack_generic_timeout",
    Namespace "net.netfilter.nf_conntrack_udp_timeout",
    Namespace "net.netfilter.nf_conntrack_udp_timeout_stream",
    Namespace "net.netfilter.nf_conntrack_tcp_timeout_established",
    Namespace "net.netfilter.nf_conntrack_tcp_timeout_syn_sent",
    Namespace "net.netfilter.nf_conntrack_tcp_timeout_syn_recv",
    Namespace "net.netfilter.nf_conntrack_tcp_timeout_fin_wait",
    Namespace "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
    Namespace "net.netfilter.nf_conntrack_tcp_timeout_last_ack",
    Namespace "net.netfilter.nf_conntrack_tcp_timeout_time_wait",
    Namespace "net.netfilter.nf_conntrack_tcp_timeout_close",
    Namespace "net.netfilter.nf_conntrack_tcp_timeout_max_retrans",
    Namespace "net.netfilter.nf_conntrack_tcp_timeout_unacknowledged",
    Namespace "net.ipv4.conf.all.rp_filter",
    Namespace "net.ipv4.conf.default.rp_filter",
    Host "fs.file-max",
    Host "fs.nr_open",
];

impl Sysctls {
    /// Wraps readings that stand in the order of [`SPECS`].
    #[must_use]
    pub fn new(values: Vec<Reading<Box<str>>>) -> Self {
        Self { values: values.into() }
    }

    /// What came of reading `name`; absent for a name that is not in [`SPECS`].
    #[must_use]
    pub fn reading(&self, name: &str) -> &Reading<Box<str>> {
        SPECS
            .iter()
            .position(|s| s.name == name)
            .and_then(|at| self.values.get(at))
            .unwrap_or(&Reading::Absent)
    }

    /// The value as one number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.reading(name).known()?.parse().ok()
    }

    /// The value as white-space separated numbers (`tcp_mem`, `tcp_rmem`).
    #[must_use]
    pub fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        self.reading(name).known()?.split_ascii_whitespace().map(|w| w.parse().ok()).collect()
    }

    /// `ip_local_port_range` as a range, `None` if it is unknown or empty.
    #[must_use]
    pub fn port_range(&self) -> Option<RangeInclusive<u16>> {
        let pair = self.numbers("net.ipv4.ip_local_port_range")?;
        let [low, high] = pair.as_slice() else { return None };
        let (low, high) = (u16::try_from(*low).ok()?, u16::try_from(*high).ok()?);
        (low <= high).then_some(low..=high)
    }

    /// `ip_local_reserved_ports` as ranges in ascending order; empty when nothing is reserved or known.
    #[must_use]
    pub fn reserved_ports(&self) -> Vec<RangeInclusive<u16>> {
        let Some(text) = self.reading("net.ipv4.ip_local_reserved_ports").known() else {
            return Vec::new();
        };
        text.split(',')
            .filter_map(|part| {
                let (a, b) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
                let (a, b) = (a.parse().ok()?, b.parse().ok()?);
                (a <= b).then_some(a..=b)
            })
            .collect()
    }

    /// Every sysctl with what came of reading it.
    pub fn iter(&self) -> impl Iterator<Item = (&'static SysctlSpec, &Reading<Box<str>>)> {
        SPECS.iter().zip(self.values.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Sysctls {
        Sysctls::new(
            SPECS
                .iter()
                .map(|s| if s.name == name { Reading::Known(value.into()) } else { Reading::Absent })
                .collect(),
        )
    }

    #[test]
    fn port_ranges_and_reservations_are_understood() {
        let range = "net.ipv4.ip_local_port_range";
        assert_eq!(with(range, "32768\t60999").port_range(), Some(32768..=60999));
        assert_eq!(with(range, "5 4").port_range(), None);
        assert_eq!(with(range, "x").port_range(), None);
        let reserved = with("net.ipv4.ip_local_reserved_ports", "8080,9148-9150").reserved_ports();
        assert_eq!(reserved, [8080..=8080, 9148..=9150]);
        assert!(with("net.ipv4.ip_local_reserved_ports", "").reserved_ports().is_empty());
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = SPECS.iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SPECS.len());
    }
}
