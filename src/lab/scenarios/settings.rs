//! The sysctl file that goes round.

use super::Fault;
use crate::lab::Result;

/// What the advice of the web sets, as far as a namespace has it.
const FOLKLORE: &[(&str, &str)] = &[
    ("net.ipv4.tcp_timestamps", "0"),
    ("net.ipv4.tcp_max_tw_buckets", "5000"),
    ("net.ipv4.tcp_fin_timeout", "1"),
    ("net.ipv4.tcp_synack_retries", "0"),
    ("net.ipv4.tcp_retries2", "2"),
    ("net.ipv4.tcp_orphan_retries", "3"),
    ("net.ipv4.tcp_keepalive_time", "2"),
    ("net.ipv4.tcp_keepalive_intvl", "2"),
    ("net.ipv4.tcp_keepalive_probes", "3"),
    ("net.ipv4.tcp_syncookies", "0"),
    ("net.ipv4.tcp_abort_on_overflow", "1"),
    ("net.ipv4.ip_local_port_range", "1024 65000"),
    ("net.ipv4.conf.all.rp_filter", "1"),
    ("net.core.somaxconn", "128"),
];

/// Where the kernel tracks connections, this as well.
const FOLKLORE_CONNTRACK: (&str, &str) = ("net.netfilter.nf_conntrack_tcp_timeout_established", "5");

/// The folklore file applied.
pub(super) fn folklore_sysctls(f: &mut Fault) -> Result<()> {
    for (name, value) in FOLKLORE {
        f.sysctl(name, value)?;
        f.tell(format!("{name} = {value}"));
    }
    let (name, value) = FOLKLORE_CONNTRACK;
    // A kernel without connection tracking has no such setting.
    if f.sysctl(name, value).is_ok() {
        f.tell(format!("{name} = {value}"));
    }
    Ok(())
}
