//! Counters, sysctls and the fallback table belong to the namespace of the thread that reads them.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tcptop::analysis::rates;
use tcptop::lab::{Host, Lab};
use tcptop::model::{Facts, Ip, Reading, RowFlags, Scope, SocketRow, Table, TcpState, sysctl::SPECS};
use tcptop::source::{Live, LiveOptions, Source};
use tcptop::sys::diag::{DiagSocket, DumpError};
use tcptop::sys::{FactsReader, current_netns, read_facts, read_procfs_table};
use tcptop::wire::request::Dump;

use crate::harness::{lab, wait_for};
use crate::states::zoo;

fn facts_of(host: &Host) -> Facts {
    host.run(read_facts).unwrap()
}

fn counter(facts: &Facts, name: &str) -> u64 {
    facts.counters.known().and_then(|c| c.get(name)).unwrap()
}

#[test]
fn sysctls_are_those_of_the_namespace() {
    lab(|| {
        let (one, other) = (Host::new().unwrap(), Host::new().unwrap());
        one.sysctl("net.ipv4.tcp_fin_timeout", "17").unwrap();
        one.sysctl("net.ipv4.conf.lo.rp_filter", "2").unwrap();
        let of = |host| facts_of(host).sysctls.number("net.ipv4.tcp_fin_timeout");
        assert_eq!((of(&one), of(&other)), (Some(17), Some(60)));
        let filter = |host| {
            let facts = facts_of(host);
            facts.rp_filters.known().unwrap().iter().find(|f| f.interface.raw() == "lo").map(|f| f.value)
        };
        assert_eq!((filter(&one), filter(&other)), (Some(2), Some(0)));
    });
}

#[test]
fn what_is_the_hosts_is_absent_in_a_namespace() {
    lab(|| {
        let facts = facts_of(&Host::new().unwrap());
        for spec in SPECS.iter().filter(|s| s.scope == Scope::Host && s.name.starts_with("net.ipv4.tcp")) {
            assert_eq!(*facts.sysctls.reading(spec.name), Reading::Absent, "{}", spec.name);
        }
        assert!(facts.file_nr.known().is_some(), "fs is not a matter of network namespaces");
    });
}

#[test]
fn a_list_of_reserved_ports_that_fills_pages_is_read_whole() {
    lab(|| {
        let host = Host::new().unwrap();
        let ports: Vec<u16> = (1024..21_024).step_by(2).collect();
        let text = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        host.sysctl("net.ipv4.ip_local_reserved_ports", &text).unwrap();
        let got = facts_of(&host).sysctls.reserved_ports();
        assert_eq!(got, ports.iter().map(|p| *p..=*p).collect::<Vec<_>>());
    });
}

#[test]
fn counters_start_with_the_namespace_and_count_its_connections() {
    lab(|| {
        let mut lab = Lab::new().unwrap();
        let mut reader = FactsReader::new(Duration::ZERO);
        let before = lab.near().run(|| reader.read(Duration::ZERO)).unwrap();
        assert_eq!(counter(&before, "Tcp.ActiveOpens"), 0);
        let specimen = lab.established().unwrap();
        let after = lab.near().run(|| reader.read(Duration::ZERO)).unwrap();
        let got = rates(&before, &after, Duration::from_secs(1));
        let opens: Vec<_> =
            got.moved.iter().filter(|r| r.name.ends_with("veOpens")).map(|r| r.delta).collect();
        assert_eq!(opens, [1], "one connection, opened by either side: {got:?}");
        assert!(got.moved.iter().any(|r| &*r.name == "dev.cable.rx_packets"), "{got:?}");
        let back = rates(&after, &before, Duration::from_secs(1));
        assert!(back.reset && back.moved.is_empty(), "another namespace's counters are no rates");
        drop(specimen);
    });
}

#[test]
fn a_namespace_without_a_name_is_called_by_its_inode() {
    lab(|| {
        let host = Host::new().unwrap();
        let (there, here) = (host.run(current_netns).unwrap(), current_netns());
        assert_ne!(there.inode, here.inode);
        assert_eq!(there.name.raw(), format!("net:[{}]", there.inode));
        assert_ne!(here.name, there.name);
    });
}

/// What both sources can say of a socket, but for the time left on its timer.
type Known = (TcpState, u8, u8, u32, u32, u32, u32, RowFlags);

fn by_address(table: &Table) -> BTreeMap<(Ip, u16, Ip, u16), Known> {
    let known = |r: &SocketRow| {
        // The backlog of a listener is not in /proc/net/tcp.
        let send_q = if r.state == TcpState::Listen { 0 } else { r.send_q };
        // Of a half-open request sock_diag tells every repeated SYN-ACK, /proc those that a timeout repeated.
        let retrans = if r.state == TcpState::SynRecv { 0 } else { r.retrans };
        let both = RowFlags::V6.with(RowFlags::MAPPED).with(RowFlags::FULL);
        let flags = RowFlags(r.flags.0 & both.0);
        (r.state, r.timer_raw, retrans, r.recv_q, send_q, r.inode, table.origin(r).uid, flags)
    };
    let rows = table.rows.iter().filter(|r| r.state != TcpState::BoundInactive);
    rows.map(|r| ((r.local, r.local_port, r.peer, r.peer_port), known(r))).collect()
}

#[test]
fn the_fallback_table_says_what_sock_diag_says() {
    lab(|| {
        let (lab, _specimens) = zoo();
        wait_for("agreement of both sources", || {
            let (diag, procfs) = lab
                .near()
                .run(|| {
                    let sample = Live::open(LiveOptions::default()).look().unwrap().remove(0);
                    (by_address(&sample.table), by_address(&read_procfs_table().unwrap().0))
                })
                .unwrap();
            assert!(diag.len() > 15, "{diag:?}");
            let differs: Vec<_> = diag.iter().filter(|(at, known)| procfs.get(*at) != Some(*known)).collect();
            if differs.is_empty() && diag.len() == procfs.len() {
                return Ok(());
            }
            let there: Vec<_> = differs.iter().map(|(at, _)| procfs.get(*at)).collect();
            Err(format!("{} and {} rows; sock_diag {differs:?}, /proc {there:?}", diag.len(), procfs.len()))
        });
    });
}

#[test]
fn two_dumps_at_the_same_time_say_what_one_says() {
    lab(|| {
        let (lab, _specimens) = zoo();
        lab.near()
            .run(|| {
                // Ephemeral ports of one range, so that both parts have some.
                let listener = TcpListener::bind("127.0.0.1:7000").unwrap();
                let clients: Vec<_> =
                    (0..64).map(|_| TcpStream::connect("127.0.0.1:7000").unwrap()).collect();
                let served: Vec<_> = (0..64).map(|_| listener.accept().unwrap()).collect();
                let look = |hurry| {
                    let options = LiveOptions { hurry, ..LiveOptions::default() };
                    let sample = Live::open(options).look().unwrap().remove(0);
                    let rows: BTreeMap<u64, (Known, Ip, u16, Ip, u16)> = sample
                        .table
                        .rows
                        .iter()
                        .map(|r| {
                            let known = (
                                r.state,
                                r.timer_raw,
                                r.retrans,
                                r.recv_q,
                                r.send_q,
                                r.inode,
                                sample.table.origin(r).uid,
                                r.flags,
                            );
                            (r.cookie(), (known, r.local, r.local_port, r.peer, r.peer_port))
                        })
                        .collect();
                    assert_eq!(rows.len(), sample.table.rows.len(), "each once");
                    (rows, sample.listener_drops, sample.completeness.gaps)
                };
                wait_for("agreement of both", || {
                    let (one, two) = (look(false), look(true));
                    assert!(one.0.len() > 140, "{}", one.0.len());
                    if one == two { Ok(()) } else { Err(format!("{one:?}\n{two:?}")) }
                });
                drop((clients, served));
            })
            .unwrap();
    });
}

#[test]
fn replies_that_are_read_on_another_thread_are_those_that_come() {
    lab(|| {
        let host = Host::new().unwrap();
        host.run(|| {
            // More than one batch holds: 124 bytes each.
            let listener = TcpListener::bind("127.0.0.1:7000").unwrap();
            let pair = || (TcpStream::connect("127.0.0.1:7000").unwrap(), listener.accept().unwrap());
            let pairs: Vec<_> = (0..1500).map(|_| pair()).collect();
            let dump = Dump::WHOLE;
            let mut socket = DiagSocket::open().unwrap();
            let cookie = |reply: &[u8]| reply[44..52].to_vec();
            let (mut at_once, mut apart) = (Vec::new(), Vec::new());
            let report = socket.dump(|seq| dump.message(seq), |reply| at_once.push(cookie(reply))).unwrap();
            let other =
                socket.dump_apart(|seq| dump.message(seq), |reply| apart.push(cookie(reply))).unwrap();
            assert_eq!((report.gaps, other.gaps), (vec![], vec![]));
            assert_eq!(at_once.len(), 2 * pairs.len() + 1);
            assert!(at_once == apart, "{} and {} replies", at_once.len(), apart.len());
            // The socket can be asked on.
            let again = socket.dump_apart(|seq| dump.message(seq), |_| ()).unwrap();
            assert_eq!(again.gaps, []);
            let refused = Dump { program: &[1, 2, 3, 4], ..dump };
            let mut none = 0;
            let error = socket.dump_apart(|seq| refused.message(seq), |_| none += 1).unwrap_err();
            assert_eq!((error, none), (DumpError::Kernel(22), 0));
        })
        .unwrap();
    });
}
