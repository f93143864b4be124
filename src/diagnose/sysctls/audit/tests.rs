use super::*;
use crate::model::Sysctls;
use crate::testkit;

fn facts(pairs: &[(&str, &str)]) -> Facts {
    let value = |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| Box::from(*v));
    let values = SPECS.iter().map(|s| value(s.name).map_or(Reading::Absent, Reading::Known));
    Facts { sysctls: Sysctls::new(values.collect()), ..Facts::default() }
}

fn machine(kernel: &str, gib: u64) -> Host {
    Host { kernel: kernel.into(), memory_bytes: gib << 30, ..testkit::host() }
}

/// Default and verdict of one sysctl among others.
fn row(host: &Host, pairs: &[(&str, &str)]) -> (Option<String>, AuditVerdict) {
    let rows = audit(host, &facts(pairs));
    let row = rows.into_iter().find(|r| r.name == pairs[0].0).unwrap();
    assert_eq!(row.why.is_some(), row.verdict > AuditVerdict::Changed, "{row:?}");
    (row.default.map(String::from), row.verdict)
}

#[test]
fn every_sysctl_that_is_read_has_its_line_and_no_other() {
    let names: Vec<_> = AUDIT.iter().map(|a| a.name).collect();
    for spec in SPECS {
        assert_eq!(names.iter().filter(|n| **n == spec.name).count(), 1, "{}", spec.name);
    }
    assert_eq!(names.len(), SPECS.len());
}

#[test]
fn what_is_not_there_is_unknown_and_no_error() {
    let rows = audit(&testkit::host(), &facts(&[]));
    assert!(rows.iter().all(|r| r.verdict == AuditVerdict::Unknown && r.value == Reading::Absent));
}

#[test]
fn buckets_are_known_from_the_kernel_or_estimated_from_the_memory() {
    let name = "net.ipv4.tcp_max_tw_buckets";
    let (harmful, default) = (AuditVerdict::Harmful, AuditVerdict::Default);
    let host = machine("6.18.44", 24);
    let told = |value, ehash| row(&host, &[(name, value), ("net.ipv4.tcp_ehash_entries", ehash)]);
    assert_eq!(told("131072", "-262144"), (Some("131072".into()), default));
    assert_eq!(told("131071", "262144").1, harmful);
    assert_eq!(told("131073", "262144").1, AuditVerdict::Changed);
    let estimated = |gib, value| row(&machine("4.19.0", gib), &[(name, value)]);
    for (gib, own) in [(8, "32768"), (16, "65536"), (24, "131072"), (64, "262144"), (512, "262144")] {
        assert_eq!(estimated(gib, own), (Some(own.into()), default), "{gib} GiB");
    }
    assert_eq!(estimated(8, "16384").1, default, "the other side of a power of two");
    assert_eq!(estimated(8, "16383").1, harmful);
    assert_eq!(row(&machine("4.19.0", 0), &[(name, "5000")]), (None, AuditVerdict::Unknown));
}

#[test]
fn the_memory_of_buffers_follows_from_the_machines() {
    let name = "net.ipv4.tcp_mem";
    // As a kernel with 24137 MiB of memory printed it.
    let host = Host { memory_bytes: 25_276_502_016, ..machine("6.18.44", 0) };
    let verdict = |value| row(&host, &[(name, value)]).1;
    assert_eq!(verdict("287898\t383867\t575796"), AuditVerdict::Default);
    assert_eq!(verdict("500000 800000 1000000"), AuditVerdict::Changed);
    assert_eq!(verdict("786432 1048576 5242880"), AuditVerdict::Harmful, "80 % of the memory");
    assert_eq!(verdict("94500 95000 96000"), AuditVerdict::Harmful, "a quarter of what it needs");
    assert_eq!(verdict("300000 200000 400000"), AuditVerdict::Harmful, "no order");
    assert_eq!(row(&host, &[("net.ipv4.udp_mem", "575799 767734 1151598")]).1, AuditVerdict::Default);
    assert_eq!(row(&host, &[("net.ipv4.tcp_rmem", "4096 131072 33554432")]).1, AuditVerdict::Default);
}

#[test]
fn a_default_that_changed_is_that_of_the_version() {
    let name = "net.core.somaxconn";
    let of = |kernel, value| row(&machine(kernel, 8), &[(name, value)]);
    assert_eq!(of("5.3.18-suse", "128"), (Some("128".into()), AuditVerdict::Default));
    assert_eq!(of("5.4.0", "128"), (Some("4096".into()), AuditVerdict::Doubtful));
    assert_eq!(of("5.4.0", "127").1, AuditVerdict::Harmful);
    assert_eq!(of("4.18.0-513.el8", "4096").1, AuditVerdict::Changed);
    assert_eq!(of("strange", "4096"), (None, AuditVerdict::Unknown));
}

/// The verdict of a value on a kernel of today.
fn verdict(name: &str, value: &str) -> AuditVerdict {
    row(&machine("6.18.44", 8), &[(name, value)]).1
}

#[test]
fn every_boundary_is_where_the_kernel_has_it() {
    use AuditVerdict::{Changed, Default, Doubtful, Harmful};
    for (name, value, want) in [
        ("net.ipv4.tcp_tw_recycle", "1", Harmful),
        ("net.ipv4.tcp_tw_recycle", "0", Default),
        ("net.ipv4.tcp_timestamps", "0", Harmful),
        ("net.ipv4.tcp_timestamps", "2", Changed),
        ("net.ipv4.tcp_fin_timeout", "9", Harmful),
        ("net.ipv4.tcp_fin_timeout", "10", Changed),
        ("net.ipv4.tcp_fin_timeout", "60", Default),
        ("net.ipv4.tcp_fin_timeout", "61", Harmful),
        ("net.ipv4.tcp_fin_timeout", "64", Harmful),
        ("net.ipv4.tcp_fin_timeout", "65", Doubtful),
        ("net.ipv4.tcp_fin_timeout", "119", Doubtful),
        ("net.ipv4.tcp_fin_timeout", "120", Changed),
        ("net.ipv4.tcp_synack_retries", "0", Harmful),
        ("net.ipv4.tcp_synack_retries", "1", Doubtful),
        ("net.ipv4.tcp_synack_retries", "2", Changed),
        ("net.ipv4.tcp_retries2", "4", Harmful),
        ("net.ipv4.tcp_retries2", "5", Doubtful),
        ("net.ipv4.tcp_retries2", "7", Doubtful),
        ("net.ipv4.tcp_retries2", "8", Changed),
        ("net.ipv4.tcp_orphan_retries", "0", Default),
        ("net.ipv4.tcp_orphan_retries", "1", Harmful),
        ("net.ipv4.tcp_orphan_retries", "4", Harmful),
        ("net.ipv4.tcp_orphan_retries", "5", Changed),
        ("net.ipv4.tcp_syncookies", "0", Harmful),
        ("net.ipv4.tcp_syncookies", "2", Doubtful),
        ("net.ipv4.tcp_abort_on_overflow", "1", Harmful),
        ("net.ipv4.tcp_keepalive_time", "29", Harmful),
        ("net.ipv4.tcp_keepalive_time", "30", Changed),
        ("net.ipv4.tcp_keepalive_intvl", "4", Doubtful),
        ("net.ipv4.tcp_keepalive_intvl", "5", Changed),
        ("net.ipv4.tcp_keepalive_probes", "2", Doubtful),
        ("net.ipv4.tcp_keepalive_probes", "3", Changed),
        ("net.ipv4.ip_local_port_range", "32768\t60999", Default),
        ("net.ipv4.ip_local_port_range", "15000\t60999", Changed),
        ("net.ipv4.ip_local_port_range", "1024\t65535", Doubtful),
        ("net.ipv4.ip_local_port_range", "40000\t49998", Doubtful),
        ("net.ipv4.ip_local_port_range", "40000\t49999", Changed),
        ("net.ipv4.ip_local_port_range", "40000\t40998", Harmful),
        ("net.ipv4.ip_local_port_range", "40000\t40999", Doubtful),
        ("net.netfilter.nf_conntrack_tcp_timeout_established", "599", Harmful),
        ("net.netfilter.nf_conntrack_tcp_timeout_established", "600", Doubtful),
        ("net.netfilter.nf_conntrack_tcp_timeout_established", "3600", Changed),
        ("net.netfilter.nf_conntrack_tcp_timeout_close_wait", "9", Harmful),
        ("net.netfilter.nf_conntrack_tcp_timeout_close_wait", "10", Changed),
        ("net.netfilter.nf_conntrack_tcp_timeout_close", "10", Default),
        ("net.netfilter.nf_conntrack_tcp_timeout_close", "4", Doubtful),
        ("net.ipv4.tcp_congestion_control", "bbr", AuditVerdict::Unknown),
        ("net.ipv4.ip_local_reserved_ports", "", Default),
    ] {
        assert_eq!(verdict(name, value), want, "{name} = {value}");
    }
}

#[test]
fn settings_are_judged_together_where_they_act_together() {
    let host = machine("6.18.44", 8);
    let time = "net.ipv4.tcp_keepalive_time";
    let (interval, probes) = ("net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes");
    let slow = [(time, "20"), (interval, "30"), (probes, "5")];
    assert_eq!(row(&host, &slow).1, AuditVerdict::Doubtful, "170 s until a peer is dead");
    assert_eq!(row(&host, &[(time, "2"), (interval, "2"), (probes, "3")]).1, AuditVerdict::Harmful);
    assert_eq!(row(&host, &[(interval, "2"), (time, "2")]).1, AuditVerdict::Changed, "said of the time");
    let established = "net.netfilter.nf_conntrack_tcp_timeout_established";
    assert_eq!(row(&host, &[(established, "7199"), (time, "7200")]).1, AuditVerdict::Doubtful);
    assert_eq!(row(&host, &[(established, "7200"), (time, "7200")]).1, AuditVerdict::Changed);
}
