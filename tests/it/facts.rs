//! What is read of `/proc`, against `/proc` read naively.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use tcptop::analysis::{PortUse, limits, rates};
use tcptop::model::{Facts, Reading, sysctl::SPECS};
use tcptop::sys::{FactsReader, read_facts};

fn net(file: &str) -> String {
    fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap()
}

/// Names of a header and value file, by the header lines alone.
fn header_names(file: &str) -> BTreeSet<String> {
    let text = net(file);
    let names = text.lines().step_by(2).flat_map(|line| {
        let (group, names) = line.split_once(": ").unwrap();
        names.split(' ').map(move |name| format!("{group}.{name}"))
    });
    names.collect()
}

fn sysctl_file(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

fn known<T>(reading: &Reading<T>) -> &T {
    reading.known().unwrap()
}

#[test]
fn every_counter_of_the_kernel_has_its_name() {
    let mut want: BTreeSet<String> = header_names("snmp");
    want.extend(header_names("netstat"));
    if net("snmp").contains(" -1 ") {
        want.remove("Tcp.MaxConn");
    }
    let facts = read_facts();
    let got: BTreeSet<String> = known(&facts.counters).iter().map(|(name, _)| name.to_owned()).collect();
    assert!(want.is_subset(&got), "{:?}", want.difference(&got));
    assert_eq!(facts.malformed, 0);
}

#[test]
fn sysctls_say_what_their_files_say() {
    let facts = read_facts();
    for (spec, reading) in facts.sysctls.iter() {
        // It moves while this test runs.
        if spec.name.ends_with("nf_conntrack_count") {
            continue;
        }
        match fs::read_to_string(sysctl_file(spec.name)) {
            Ok(text) => assert_eq!(known(reading).as_ref(), text.trim_ascii(), "{}", spec.name),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                assert_eq!(*reading, Reading::Absent, "{}", spec.name);
            }
            Err(_) => assert!(matches!(reading, Reading::Unreadable(_)), "{}", spec.name),
        }
    }
    assert_eq!(facts.sysctls.iter().count(), SPECS.len());
}

#[test]
fn tables_have_a_row_for_each_row_of_the_kernel() {
    let facts = read_facts();
    let lo = known(&facts.interfaces).iter().find(|i| i.name.raw() == "lo");
    assert!(lo.is_some(), "{:?}", facts.interfaces);
    assert_eq!(known(&facts.interfaces).len(), net("dev").lines().count() - 2);
    let cpus = known(&facts.softnet);
    assert_eq!(cpus.len(), net("softnet_stat").lines().count());
    assert!(cpus.iter().any(|row| row.processed > 0));
    let sockstat = known(&facts.sockstat);
    assert!(sockstat.tcp_inuse.is_some() && sockstat.tcp_tw.is_some() && sockstat.tcp_mem_pages.is_some());
    let files = known(&facts.file_nr);
    assert!(files.allocated > 0 && files.allocated <= files.max);
    assert_eq!(facts.conntrack == Reading::Absent, !Path::new("/proc/sys/net/netfilter").exists());
    let filters: BTreeSet<_> =
        known(&facts.rp_filters).iter().map(|f| f.interface.raw().to_owned()).collect();
    let mut want: BTreeSet<_> = fs::read_dir("/proc/sys/net/ipv4/conf")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(want.remove("all") && want.remove("default"));
    assert_eq!(filters, want);
}

#[test]
fn a_connection_moves_its_counters_by_name() {
    let mut reader = FactsReader::new(Duration::from_secs(10));
    let before = reader.read(Duration::ZERO);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let after = reader.read(Duration::from_secs(1));
    drop(client);
    let got = rates(&before, &after, Duration::from_secs(1));
    assert!(!got.reset);
    let opened = got.moved.iter().find(|r| &*r.name == "Tcp.ActiveOpens").unwrap();
    assert!(opened.delta >= 1 && got.moved.iter().any(|r| &*r.name == "dev.lo.rx_packets"), "{got:?}");
}

#[test]
fn sysctls_are_read_again_when_their_time_has_come() {
    // A thread's own file would be needed to see a value change; that the very same text is kept shows the rest.
    let text =
        |facts: &Facts| facts.sysctls.iter().find_map(|(_, r)| r.known()).map(|text| text.as_ptr()).unwrap();
    let mut reader = FactsReader::new(Duration::from_secs(10));
    let first = reader.read(Duration::from_secs(100));
    let kept = reader.read(Duration::from_secs(109));
    assert_eq!(text(&first), text(&kept));
    let again = reader.read(Duration::from_secs(110));
    assert_ne!(text(&first), text(&again), "both are alive, so they cannot share an address by chance");
    assert_eq!(first.sysctls, kept.sysctls);
}

#[test]
fn limits_of_this_machine_are_known_or_explained() {
    let facts = read_facts();
    let ports = PortUse { range: facts.sysctls.port_range(), usable: 1, ..PortUse::default() };
    let got = limits(&facts, &ports, &[], 0);
    assert_eq!(got.known.len() + got.missing.len(), 6, "all but accept queues and descriptors: {got:?}");
    for limit in &got.known {
        assert!(limit.max > 0, "{limit:?}");
    }
}
