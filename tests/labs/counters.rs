//! Rules about counters and sysctls on the real kernel, through the library.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;

use tcptop::diagnose::{
    AuditVerdict, Draft, Finding, Judged, RuleBook, Severity, Status, Subject, Value, audit, find,
};
use tcptop::engine::Looker;
use tcptop::lab::{Host, Lab, NEAR_V4};
use tcptop::model::{Endpoint, ForeignText, Reading};
use tcptop::source::{Live, LiveOptions};

use crate::harness::{lab, wait_for};

/// Looks at a host and judges by some rules.
struct Watcher<'a> {
    host: &'a Host,
    looker: Looker<Live>,
}

impl<'a> Watcher<'a> {
    fn new(host: &'a Host, rules: &[&str]) -> Self {
        let only: Vec<_> = rules.iter().map(|id| find(id).unwrap()).collect();
        let book = RuleBook::defaults().unwrap().choose(&only, &[]);
        let open = || Looker::new(Live::open(LiveOptions::default())).judged_by(book);
        let mut watcher = Self { host, looker: host.run(open).unwrap() };
        watcher.look();
        watcher
    }

    fn look(&mut self) -> Arc<Judged> {
        let looker = &mut self.looker;
        self.host.run(|| looker.look()).unwrap().unwrap()
    }

    /// The findings that hold now.
    fn findings(&mut self) -> Vec<Finding> {
        let judged = self.look();
        let findings = &judged.judgements.first().unwrap().findings;
        findings.iter().filter(|f| f.status == Status::Firing).cloned().collect()
    }

    /// What the one finding says as soon as it is at least a warning; `fault` goes on meanwhile.
    fn warned(&mut self, mut fault: impl FnMut()) -> Draft {
        wait_for("warning", || {
            fault();
            let mut found = self.findings();
            assert!(found.len() < 2, "{found:#?}");
            let serious = found.pop().filter(|f| f.draft.severity > Severity::Info);
            serious.map(|f| f.draft).ok_or_else(|| "quiet".into())
        })
    }

    /// Waits until nothing holds.
    fn cleared(&mut self) {
        wait_for("silence", || {
            let found = self.findings();
            if found.is_empty() { Ok(()) } else { Err(format!("{found:#?}")) }
        });
    }
}

fn endpoint(at: SocketAddr) -> Endpoint {
    Endpoint { addr: at.ip().into(), port: at.port() }
}

fn evidence<'a>(draft: &'a Draft, name: &str) -> &'a Value {
    &draft.evidence.iter().find(|e| e.name == name).unwrap().value
}

#[test]
fn a_udp_socket_that_nobody_reads_is_named_and_its_neighbour_is_not() {
    lab(|| {
        let host = Host::new().unwrap();
        let open = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (deaf, reader, sender) = host.run(|| (open(), open(), open())).unwrap();
        let (to_deaf, to_reader) = (deaf.local_addr().unwrap(), reader.local_addr().unwrap());
        let mut watcher = Watcher::new(&host, &["udp-buffer-errors"]);
        let draft = watcher.warned(|| {
            for _ in 0..500 {
                sender.send_to(&[0; 1024], to_deaf).unwrap();
            }
            sender.send_to(b"hello", to_reader).unwrap();
            reader.recv(&mut [0; 16]).unwrap();
        });
        let Subject::Socket { local, .. } = draft.subject else { panic!("{draft:?}") };
        assert_eq!(local, endpoint(to_deaf));
        watcher.cleared();
    });
}

#[test]
fn packets_that_came_by_the_wrong_way_name_the_strict_interface() {
    lab(|| {
        let mut lab = Lab::new().unwrap();
        let elsewhere = Ipv4Addr::new(198, 51, 100, 7).into();
        lab.far_alias(elsewhere).unwrap();
        // The far host needs an address on the cable to have a way to the near one.
        lab.far_v4().unwrap();
        let near = lab.near();
        near.sysctl("net.ipv4.conf.all.rp_filter", "1").unwrap();
        let sender = lab.far().run(|| UdpSocket::bind((elsewhere, 0)).unwrap()).unwrap();
        let mut watcher = Watcher::new(near, &["reverse-path-drops"]);
        let draft = watcher.warned(|| {
            sender.send_to(b"hello", (NEAR_V4, 9999)).unwrap();
        });
        assert_eq!(draft.subject, Subject::Host);
        assert_eq!(evidence(&draft, "strict_interfaces"), &Value::Text(ForeignText::from("cable")));
        watcher.cleared();
    });
}

#[test]
fn a_connection_that_finds_no_time_wait_bucket_is_counted() {
    lab(|| {
        let host = Host::new().unwrap();
        host.sysctl("net.ipv4.tcp_max_tw_buckets", "0").unwrap();
        let listener = host.run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap();
        let at = listener.local_addr().unwrap();
        let mut watcher = Watcher::new(&host, &["time-wait-overflow"]);
        let draft = watcher.warned(|| {
            let client = host.run(|| TcpStream::connect(at).unwrap()).unwrap();
            let (server, _) = listener.accept().unwrap();
            drop(client);
            drop(server);
        });
        assert_eq!((draft.severity, draft.subject.clone()), (Severity::Critical, Subject::Host));
        assert_eq!(evidence(&draft, "max"), &Value::Number(0));
        watcher.cleared();
    });
}

/// A sysctl, a value of the folklore, and the rule that speaks of it.
const FOLKLORE: &[(&str, &str, &str)] = &[
    ("net.ipv4.tcp_timestamps", "0", "sysctl-timestamps-off"),
    ("net.ipv4.tcp_max_tw_buckets", "5000", "sysctl-tw-buckets"),
    ("net.ipv4.tcp_fin_timeout", "1", "sysctl-fin-timeout"),
    ("net.ipv4.tcp_synack_retries", "0", "sysctl-synack-retries"),
    ("net.ipv4.tcp_retries2", "2", "sysctl-retries2-low"),
    ("net.ipv4.tcp_orphan_retries", "3", "sysctl-orphan-retries"),
    ("net.ipv4.tcp_keepalive_time", "2", "sysctl-keepalive-aggressive"),
    ("net.ipv4.tcp_syncookies", "0", "sysctl-syncookies-off"),
    ("net.core.somaxconn", "100", "sysctl-somaxconn-low"),
    ("net.ipv4.tcp_abort_on_overflow", "1", "sysctl-abort-on-overflow"),
    ("net.ipv4.ip_local_port_range", "1024 65000", "sysctl-port-range"),
];

/// The rules of the audit that speak, with the sysctl that each is about.
fn audited(host: &Host) -> Vec<(&'static str, String)> {
    let rules: Vec<_> =
        tcptop::diagnose::all().map(|s| s.id).filter(|id| id.starts_with("sysctl-")).collect();
    let found = Watcher::new(host, &rules).findings();
    let name = |f: &Finding| match &f.draft.subject {
        Subject::Sysctl { name } => (f.rule, name.to_string()),
        other => panic!("{other:?}"),
    };
    found.iter().map(name).collect()
}

/// A namespace takes the reverse-path filter over from the host.
fn without_filter() -> Host {
    let host = Host::new().unwrap();
    for part in ["all", "default", "lo"] {
        host.sysctl(&format!("net.ipv4.conf.{part}.rp_filter"), "0").unwrap();
    }
    host
}

#[test]
fn folklore_is_found_one_by_one_and_the_kernels_own_values_are_not() {
    lab(|| {
        let host = without_filter();
        assert_eq!(audited(&host), []);
        for (name, value, rule) in FOLKLORE {
            let host = without_filter();
            host.sysctl(name, value).unwrap();
            assert_eq!(audited(&host), [(*rule, (*name).to_owned())], "{name} = {value}");
        }
    });
}

#[test]
fn the_audit_knows_this_kernels_own_values() {
    lab(|| {
        let host = without_filter();
        let judged = Watcher::new(&host, &["sysctl-fin-timeout"]).look();
        let world = &judged.world;
        let facts = &world.snapshots.first().unwrap().sample.facts;
        for row in audit(&world.host, facts).iter().filter(|r| r.rule.is_some()) {
            match row.value {
                Reading::Known(_) => assert_eq!(row.verdict, AuditVerdict::Default, "{row:?}"),
                _ => assert_eq!(row.verdict, AuditVerdict::Unknown, "{row:?}"),
            }
        }
    });
}
