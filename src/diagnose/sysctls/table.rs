//! The table of the audit: one line a sysctl.

use super::audit::{
    Audit, Known, conntrack_buckets, conntrack_max, file_max, half_of_buckets, syn_backlog, tcp_mem,
    tcp_rmem, tcp_wmem, udp_mem,
};
use super::opinions as is;

macro_rules! audit {
    ($($name:literal $($rule:literal)? $own:ident $(($arg:expr))? => $judge:ident;)*) => {
        /// Every sysctl that is read.
        pub(super) const AUDIT: &[Audit] = &[$(Audit {
            name: $name,
            rule: audit!(@rule $($rule)?),
            own: Known::$own $(($arg))?,
            judge: is::$judge,
        }),*];
    };
    (@rule) => { None };
    (@rule $rule:literal) => { Some($rule) };
}

audit! {
    "net.ipv4.tcp_tw_recycle" "sysctl-tw-recycle" Fixed("0") => tw_recycle;
    // 2 is for loopback only.
    "net.ipv4.tcp_tw_reuse" Since(&[(0, 0, "0"), (4, 18, "2")]) => fine;
    "net.ipv4.tcp_tw_reuse_delay" Fixed("1000") => fine;
    "net.ipv4.tcp_timestamps" "sysctl-timestamps-off" Fixed("1") => timestamps;
    "net.ipv4.tcp_max_tw_buckets" "sysctl-tw-buckets" Computed(half_of_buckets) => tw_buckets;
    "net.ipv4.tcp_fin_timeout" "sysctl-fin-timeout" Fixed("60") => fin_timeout;
    "net.ipv4.tcp_synack_retries" "sysctl-synack-retries" Fixed("5") => synack_retries;
    "net.ipv4.tcp_syn_retries" Fixed("6") => syn_retries;
    "net.ipv4.tcp_syn_linear_timeouts" Fixed("4") => fine;
    "net.ipv4.tcp_syncookies" "sysctl-syncookies-off" Fixed("1") => syncookies;
    "net.ipv4.tcp_max_syn_backlog" Computed(syn_backlog) => fine;
    "net.core.somaxconn" "sysctl-somaxconn-low" Since(&[(0, 0, "128"), (5, 4, "4096")]) => somaxconn;
    "net.ipv4.tcp_abort_on_overflow" "sysctl-abort-on-overflow" Fixed("0") => abort_on_overflow;
    "net.ipv4.tcp_keepalive_time" "sysctl-keepalive-aggressive" Fixed("7200") => keepalive_time;
    "net.ipv4.tcp_keepalive_intvl" "sysctl-keepalive-aggressive" Fixed("75") => keepalive_intvl;
    "net.ipv4.tcp_keepalive_probes" "sysctl-keepalive-aggressive" Fixed("9") => keepalive_probes;
    "net.ipv4.tcp_retries1" Fixed("3") => fine;
    "net.ipv4.tcp_retries2" "sysctl-retries2-low" Fixed("15") => retries2;
    "net.ipv4.tcp_rto_max_ms" Fixed("120000") => fine;
    "net.ipv4.tcp_orphan_retries" "sysctl-orphan-retries" Fixed("0") => orphan_retries;
    "net.ipv4.tcp_max_orphans" "sysctl-max-orphans-low" Computed(half_of_buckets) => max_orphans;
    "net.ipv4.ip_local_port_range" "sysctl-port-range" Fixed("32768 60999") => port_range;
    "net.ipv4.ip_local_reserved_ports" Fixed("") => fine;
    "net.ipv4.ip_autobind_reuse" Fixed("0") => fine;
    "net.ipv4.ip_unprivileged_port_start" Fixed("1024") => fine;
    "net.ipv4.tcp_mem" "sysctl-tcp-mem" Computed(tcp_mem) => memory;
    "net.ipv4.udp_mem" Computed(udp_mem) => memory;
    "net.ipv4.tcp_rmem" Computed(tcp_rmem) => fine;
    "net.ipv4.tcp_wmem" Computed(tcp_wmem) => fine;
    "net.core.optmem_max" Since(&[(0, 0, "20480"), (6, 8, "131072")]) => fine;
    "net.core.rmem_max" Since(&[(0, 0, "212992"), (6, 16, "4194304")]) => fine;
    "net.core.wmem_max" Since(&[(0, 0, "212992"), (6, 16, "4194304")]) => fine;
    "net.core.rmem_default" Fixed("212992") => fine;
    "net.core.wmem_default" Fixed("212992") => fine;
    "net.core.netdev_max_backlog" Fixed("1000") => fine;
    "net.core.netdev_budget" Fixed("300") => fine;
    // Two jiffies, by the HZ of the build.
    "net.core.netdev_budget_usecs" OneOf(&["8000", "2000", "20000", "6666", "6667"]) => fine;
    "net.core.rps_sock_flow_entries" Fixed("0") => fine;
    "net.ipv4.tcp_sack" Fixed("1") => sack;
    "net.ipv4.tcp_window_scaling" Fixed("1") => window_scaling;
    // Without effect since 4.15.
    "net.ipv4.tcp_fack" OneOf(&["0", "1"]) => fine;
    "net.ipv4.tcp_low_latency" Fixed("0") => fine;
    "net.ipv4.tcp_mtu_probing" Fixed("0") => fine;
    "net.ipv4.tcp_rfc1337" Fixed("0") => fine;
    "net.ipv4.tcp_ehash_entries" ReadOnly => fine;
    // CONFIG_DEFAULT_TCP_CONG.
    "net.ipv4.tcp_congestion_control" No => fine;
    "net.ipv4.route.max_size" Fixed("2147483647") => fine;
    "net.ipv4.neigh.default.gc_thresh3" Fixed("1024") => fine;
    "net.ipv6.neigh.default.gc_thresh3" Fixed("1024") => fine;
    "net.netfilter.nf_conntrack_max" Computed(conntrack_max) => fine;
    "net.netfilter.nf_conntrack_buckets" Computed(conntrack_buckets) => fine;
    "net.netfilter.nf_conntrack_count" ReadOnly => fine;
    "net.netfilter.nf_conntrack_tcp_loose" Fixed("1") => fine;
    "net.netfilter.nf_conntrack_helper" Since(&[(0, 0, "1"), (4, 7, "0")]) => conntrack_helper;
    "net.netfilter.nf_conntrack_tcp_timeout_established" "sysctl-conntrack-timeouts" Fixed("432000")
        => conntrack_established;
    "net.netfilter.nf_conntrack_generic_timeout" "sysctl-conntrack-timeouts" Fixed("600") => conntrack_timeout;
    "net.netfilter.nf_conntrack_udp_timeout" "sysctl-conntrack-timeouts" Fixed("30") => conntrack_timeout;
    "net.netfilter.nf_conntrack_udp_timeout_stream" "sysctl-conntrack-timeouts"
        Since(&[(0, 0, "180"), (5, 0, "120")]) => conntrack_timeout;
    "net.netfilter.nf_conntrack_tcp_timeout_syn_sent" "sysctl-conntrack-timeouts" Fixed("120")
        => conntrack_timeout;
    "net.netfilter.nf_conntrack_tcp_timeout_syn_recv" "sysctl-conntrack-timeouts" Fixed("60")
        => conntrack_timeout;
    "net.netfilter.nf_conntrack_tcp_timeout_fin_wait" "sysctl-conntrack-timeouts" Fixed("120")
        => conntrack_timeout;
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait" "sysctl-conntrack-timeouts" Fixed("60")
        => conntrack_timeout;
    "net.netfilter.nf_conntrack_tcp_timeout_last_ack" "sysctl-conntrack-timeouts" Fixed("30")
        => conntrack_timeout;
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait" "sysctl-conntrack-timeouts" Fixed("120")
        => conntrack_timeout;
    "net.netfilter.nf_conntrack_tcp_timeout_close" "sysctl-conntrack-timeouts" Fixed("10") => conntrack_close;
    "net.netfilter.nf_conntrack_tcp_timeout_max_retrans" "sysctl-conntrack-timeouts" Fixed("300")
        => conntrack_timeout;
    "net.netfilter.nf_conntrack_tcp_timeout_unacknowledged" "sysctl-conntrack-timeouts" Fixed("300")
        => conntrack_timeout;
    "net.ipv4.conf.all.rp_filter" "sysctl-rp-filter" Fixed("0") => rp_filter;
    "net.ipv4.conf.default.rp_filter" Fixed("0") => fine;
    "fs.file-max" Computed(file_max) => fine;
    "fs.nr_open" Fixed("1048576") => fine;
}
