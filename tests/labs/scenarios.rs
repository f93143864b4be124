//! Every rule fires in its scenario on the real kernel, names the right subject, and is quiet when the fault is gone.
//!
//! A finding at or above warning that the scenario does not promise fails its test, too.
//!
//! What cannot be made real on one machine without harming it is tested on written samples beside its rule; the registry
//! gives the reason (`Proven::Sample`). These are: `orphan-limit`, `tcp-memory`, `backlog-drops`, `neighbour-table-full`,
//! `sysctl-max-orphans-low` and `sysctl-tcp-mem`, whose limits are the host's, and `sysctl-tw-recycle`, which no kernel since
//! 4.12 has.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde_json::Value;
use tcptop::diagnose::{Proven, all, find};
use tcptop::lab::scenarios::{Fault, SCENARIOS, Scenario};
use tcptop::lab::{Host, ProcRow};
use tcptop::model::TcpState;

use crate::harness::{lab, skip, wait_for};

const TCPTOP: &str = env!("CARGO_BIN_EXE_tcptop");

/// How long a fault may take to show, and to be over: retransmissions back off, to the best part of a minute on a machine
/// that is slow to look.
const PATIENCE: Duration = Duration::from_secs(90);

/// The findings of `tcptop check` on a host.
pub fn check(host: &Host, seconds: u32, args: &[&str]) -> Vec<Value> {
    // The kernel log is the host's: it tells of the labs beside this one.
    let mut check = look(host, seconds, &[args, &["--skip", "kernel-log"]].concat());
    check["findings"].as_array_mut().map(std::mem::take).unwrap()
}

/// What `tcptop check` says on a host.
fn look(host: &Host, seconds: u32, args: &[&str]) -> Value {
    let mut command = Command::new(TCPTOP);
    command.args(["check", "--json", "--interval", &seconds.to_string()]).args(args);
    let output = host.run(|| command.output()).unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0..=2)), "check ended with {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether a finding counts: at or above warning.
pub fn is_serious(finding: &Value) -> bool {
    finding["severity"] != "info"
}

/// A rule that fires, the kind of its subject, and the least severity.
type Promise = (&'static str, &'static str, &'static str);

/// How a scenario is observed.
#[derive(Clone, Copy)]
struct Proof {
    /// What must be found.
    promises: &'static [Promise],
    /// Of the promised rules those that are found as a part of another finding: the rule, and the rule that explains it.
    folded: &'static [(&'static str, &'static str)],
    /// What else may be found, because the fault has it for a symptom.
    also: &'static [&'static str],
    /// `--interval`.
    seconds: u32,
    /// `--set`.
    set: &'static [&'static str],
}

const PLAIN: Proof = Proof { promises: &[], folded: &[], also: &[], seconds: 2, set: &[] };

fn prove(name: &str, proof: Proof) {
    let scenario = Scenario::named(name).unwrap();
    let own = proof.promises.iter().map(|p| p.0);
    let promised: Vec<_> = own.chain(proof.folded.iter().map(|f| f.0)).collect();
    assert_eq!(promised, scenario.rules, "what the table says is what is tested");
    let set: Vec<_> = proof.set.iter().flat_map(|s| ["--set", s]).collect();
    let mut fault = scenario.start(Path::new(TCPTOP)).unwrap();

    let mut missing: BTreeMap<_, _> = proof.promises.iter().map(|p| (p.0, p)).collect();
    let end = Instant::now() + PATIENCE;
    let mut apart = true;
    while !missing.is_empty() || apart {
        let found = check(fault.host(), proof.seconds, &set);
        apart = !proof.folded.iter().all(|(part, whole)| {
            let of = |f: &&Value| {
                f["rule"] == *whole && f["explains"].as_array().is_some_and(|e| e.contains(&(*part).into()))
            };
            found.iter().any(|f| of(&f)) && !found.iter().any(|f| f["rule"] == *part)
        });
        for finding in &found {
            let rule = finding["rule"].as_str().unwrap();
            if let Some((_, kind, severity)) = proof.promises.iter().find(|p| p.0 == rule) {
                let subject = &finding["subject"];
                assert_eq!(subject["kind"], *kind, "{rule}: {finding}");
                assert!(is_about(subject, &fault), "{rule} is about somebody else: {finding}");
                if rank(finding["severity"].as_str().unwrap()) >= rank(severity) {
                    missing.remove(rule);
                }
            } else {
                let alone = proof.folded.iter().any(|f| f.0 == rule);
                let expected = !is_serious(finding) || alone || proof.also.contains(&rule);
                assert!(expected, "{name} is no {rule}: {finding}");
            }
        }
        let done = missing.is_empty() && !apart;
        assert!(done || Instant::now() < end, "{name}: no {missing:?}, or apart, in {found:#?}");
    }

    fault.end().unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        let mut left = check(fault.host(), 1, &set);
        left.retain(|f| promised.iter().any(|r| f["rule"] == *r));
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < end, "{name} is over: {left:#?}");
    }
}

fn rank(severity: &str) -> usize {
    ["info", "warning", "critical"].iter().position(|s| *s == severity).unwrap()
}

/// Whether a finding's subject is one of the things that the fault is made of.
fn is_about(subject: &Value, fault: &Fault) -> bool {
    let at = |a: &Value| {
        let addr: IpAddr = a["addr"].as_str().unwrap().parse().unwrap();
        let port = a["port"].as_u64().unwrap();
        fault
            .services()
            .iter()
            .any(|s| u64::from(s.port()) == port && (addr.is_unspecified() || s.ip() == addr))
    };
    match subject["kind"].as_str().unwrap() {
        "host" => true,
        "process" => fault.programs().iter().any(|p| subject["pid"] == p.pid && subject["comm"] == p.name),
        "peer" => {
            let addr: IpAddr = subject["addr"].as_str().unwrap().parse().unwrap();
            let whole = if addr.is_ipv4() { 32 } else { 128 };
            let prefix = subject["prefix"].as_u64().map_or(whole, |p| u8::try_from(p).unwrap());
            let network = IpNet::new(addr, prefix).unwrap();
            fault.peers().iter().any(|p| network.contains(p))
        }
        "listener" => at(&subject["local"]),
        "destination" => at(&subject["peer"]),
        "socket" => at(&subject["local"]) || at(&subject["peer"]),
        "interface" => subject["name"] == "cable",
        "sysctl" if subject["name"].as_str().unwrap().ends_with("rp_filter") => true,
        "sysctl" => fault.made().iter().any(|m| m.starts_with(subject["name"].as_str().unwrap())),
        other => panic!("a subject of kind {other}"),
    }
}

macro_rules! scenarios {
    ($($test:ident $name:literal $proof:expr;)*) => {
        $(
            #[test]
            fn $test() {
                lab(|| prove($name, $proof));
            }
        )*

        #[test]
        fn every_scenario_is_proven() {
            let mut proven = vec![$($name),*];
            proven.push(LOGGED);
            let mut all: Vec<_> = SCENARIOS.iter().map(|s| s.name).collect();
            all.sort_unstable();
            proven.sort_unstable();
            assert_eq!(all, proven);
        }
    };
}

scenarios! {
    ports_exhausted "ports-exhausted" Proof { promises: &[("ephemeral-ports", "destination", "critical")], ..PLAIN };
    privileged_ports "privileged-ports" Proof { promises: &[("privileged-ports", "destination", "warning")], ..PLAIN };
    port_taken "port-taken" Proof { promises: &[("port-taken", "destination", "warning")], ..PLAIN };
    time_wait_pileup "time-wait-pileup" Proof { promises: &[("time-wait-pileup", "host", "warning")], ..PLAIN };
    time_wait_overflow "time-wait-overflow" Proof { promises: &[("time-wait-overflow", "host", "critical")], ..PLAIN };
    close_wait_read "close-wait-read" Proof { promises: &[("close-wait-leak", "process", "warning")], ..PLAIN };
    close_wait_unread "close-wait-unread" Proof { promises: &[("close-wait-leak", "process", "warning")], ..PLAIN };
    close_wait_unaccepted "close-wait-unaccepted" Proof { promises: &[("accept-queue-full", "listener", "warning")], ..PLAIN };
    fin_wait2_held "fin-wait2-held" Proof { promises: &[("fin-wait2-pileup", "process", "warning")], ..PLAIN };
    fin_wait2_orphaned "fin-wait2-orphaned" Proof { promises: &[("fin-wait2-pileup", "host", "warning")], ..PLAIN };
    last_ack_pileup "last-ack-pileup" Proof { promises: &[("last-ack-pileup", "peer", "warning")], ..PLAIN };
    accept_queue_hang "accept-queue-hang" Proof { promises: &[("accept-queue-full", "listener", "critical")], ..PLAIN };
    accept_queue_fds "accept-queue-fds" Proof { promises: &[("fd-exhaustion", "process", "critical")], ..PLAIN };
    listener_without_acceptor "listener-without-acceptor" Proof { promises: &[("listener-without-acceptor", "listener", "warning")], ..PLAIN };
    syn_flood_cookies "syn-flood-cookies" Proof { promises: &[("syn-recv-pileup", "listener", "warning")], ..PLAIN };
    syn_flood_no_cookies "syn-flood-no-cookies" Proof { promises: &[("syn-recv-pileup", "listener", "warning")], ..PLAIN };
    ghost_connection "ghost-connection" Proof {
        promises: &[("accept-queue-full", "listener", "critical")],
        folded: &[("ghost-connection", "accept-queue-full")],
        ..PLAIN
    };
    // Idle connections are a warning after minutes; the tests do not wait for those.
    no_keepalive "no-keepalive" Proof { promises: &[("no-keepalive", "listener", "warning")], set: &["no-keepalive.idle_s=2"], ..PLAIN };
    keepalive_too_slow "keepalive-too-slow" Proof { promises: &[("keepalive-too-slow", "listener", "info")], ..PLAIN };
    one_leaking_client "one-leaking-client" Proof { promises: &[("peer-concentration", "peer", "warning")], set: &["peer-concentration.idle_s=2"], ..PLAIN };
    stopped_reader "stopped-reader" Proof { promises: &[("unread-receive-queue", "process", "warning")], ..PLAIN };
    sockets_in_no_table "sockets-in-no-table" Proof { promises: &[("sockets-in-no-table", "process", "warning")], seconds: 6, ..PLAIN };
    blackhole "blackhole" Proof { promises: &[("syn-sent-pileup", "destination", "warning")], ..PLAIN };
    send_queue_stuck "send-queue-stuck" Proof { promises: &[("send-queue-stuck", "peer", "warning")], seconds: 6, ..PLAIN };
    peers_vanished_data "peers-vanished-data" Proof { promises: &[("dead-peer", "peer", "warning")], ..PLAIN };
    peers_vanished_idle "peers-vanished-idle" Proof { promises: &[("dead-peer", "peer", "warning")], ..PLAIN };
    zero_window "zero-window" Proof { promises: &[("zero-window-stall", "peer", "warning")], ..PLAIN };
    retransmission_storm "retransmission-storm" Proof { promises: &[("retransmission-storm", "host", "warning")], seconds: 3, ..PLAIN };
    reset_storm "reset-storm" Proof { promises: &[("reset-storm", "host", "warning")], seconds: 8, ..PLAIN };
    receive_drops "receive-drops" Proof { promises: &[("receive-drops", "host", "warning")], ..PLAIN };
    stopped_reader_drops "stopped-reader-drops" Proof {
        promises: &[("unread-receive-queue", "process", "warning")],
        folded: &[("receive-drops", "unread-receive-queue")],
        seconds: 3,
        ..PLAIN
    };
    path_mtu "path-mtu" Proof { promises: &[("path-mtu", "peer", "warning")], ..PLAIN };
    old_timestamps "old-timestamps" Proof { promises: &[("paws-drops", "host", "warning")], seconds: 4, ..PLAIN };
    rp_filter "rp-filter" Proof { promises: &[("reverse-path-drops", "host", "warning"), ("sysctl-rp-filter", "sysctl", "info")], ..PLAIN };
    mtu_mismatch "mtu-mismatch" Proof { promises: &[("nic-drops", "interface", "warning")], ..PLAIN };
    udp_overflow "udp-overflow" Proof { promises: &[("udp-buffer-errors", "socket", "warning")], ..PLAIN };
    conntrack_full "conntrack-full" Proof { promises: &[("conntrack-full", "host", "critical")], ..PLAIN };
    conntrack_clash "conntrack-clash" Proof {
        promises: &[("conntrack-clash", "host", "warning")],
        folded: &[("syn-sent-pileup", "conntrack-clash")],
        seconds: 5,
        ..PLAIN
    };
    conntrack_short_timeout "conntrack-short-timeout" Proof { promises: &[("no-keepalive", "process", "warning")], set: &["no-keepalive.idle_s=2"], ..PLAIN };
    folklore_sysctls "folklore-sysctls" Proof {
        promises: &[
            ("sysctl-timestamps-off", "sysctl", "warning"),
            ("sysctl-tw-buckets", "sysctl", "warning"),
            ("sysctl-fin-timeout", "sysctl", "warning"),
            ("sysctl-synack-retries", "sysctl", "warning"),
            ("sysctl-retries2-low", "sysctl", "warning"),
            ("sysctl-orphan-retries", "sysctl", "warning"),
            ("sysctl-keepalive-aggressive", "sysctl", "warning"),
            ("sysctl-syncookies-off", "sysctl", "warning"),
            ("sysctl-somaxconn-low", "sysctl", "info"),
            ("sysctl-abort-on-overflow", "sysctl", "warning"),
            ("sysctl-port-range", "sysctl", "info"),
            ("sysctl-conntrack-timeouts", "sysctl", "warning"),
        ],
        ..PLAIN
    };
}

/// The scenario whose rule reads the log of the whole host, which tells of the labs beside this one as well.
const LOGGED: &str = "syn-flood-logged";

#[test]
fn what_the_kernel_logs_while_it_is_watched_is_found_and_is_over_with_the_fault() {
    lab(|| {
        let scenario = Scenario::named(LOGGED).unwrap();
        assert_eq!(scenario.rules, ["kernel-log"]);
        let mut fault = scenario.start(Path::new(TCPTOP)).unwrap();
        let only = ["--rule", "kernel-log"];
        let ports: Vec<String> = fault.services().iter().map(|s| format!(":{}.", s.port())).collect();
        // The port in a finding that is about this namespace.
        let ours = |check: &Value| {
            let finding = check["findings"].get(0)?.clone();
            let said = finding["evidence"].as_array()?.iter().filter(|e| e["name"] == "message");
            let said: Vec<_> = said.filter_map(|e| e["value"].as_str()).collect();
            let named = |port: &String| said.iter().any(|text| text.contains(port.as_str()));
            ports.iter().any(named).then_some(finding)
        };
        let end = Instant::now() + PATIENCE;
        let finding = loop {
            let check = look(fault.host(), 4, &only);
            if let Some(why) = check["not_examined"].get(0) {
                return skip(LOGGED, why["reason"].as_str().unwrap());
            }
            if let Some(finding) = ours(&check) {
                break finding;
            }
            assert!(Instant::now() < end, "the kernel says nothing: {check:#}");
        };
        assert_eq!((&finding["severity"], &finding["subject"]["kind"]), (&"warning".into(), &"host".into()));
        // Beside what the log repeats stands what it is about.
        let all = look(fault.host(), 4, &[]);
        let mut floods =
            all["findings"].as_array().unwrap().iter().filter(|f| f["rule"] == "syn-recv-pileup");
        let logged = |f: &Value| f["explains"].as_array().is_some_and(|e| e.contains(&"kernel-log".into()));
        assert!(floods.any(logged), "{all:#}");
        fault.end().unwrap();
        assert_eq!(ours(&look(fault.host(), 1, &only)), None);
    });
}

#[test]
fn a_kernel_that_may_probe_finds_the_size_of_the_way_by_itself() {
    lab(|| {
        let fault = Scenario::named("path-mtu").unwrap().start(Path::new(TCPTOP)).unwrap();
        let only = ["--rule", "path-mtu"];
        let found = |wanted: bool| {
            wait_for("path-mtu to change", || match look(fault.host(), 1, &only)["findings"].get(0) {
                Some(f) if !wanted => Err(f.to_string()),
                None if wanted => Err("nothing is found".into()),
                _ => Ok(()),
            });
        };
        found(true);
        fault.host().sysctl("net.ipv4.tcp_mtu_probing", "1").unwrap();
        found(false);
    });
}

#[test]
fn a_nat_that_forgets_leaves_one_end_for_ever() {
    lab(|| {
        let scenario = Scenario::named("conntrack-short-timeout").unwrap();
        let fault = scenario.start(Path::new(TCPTOP)).unwrap();
        let [service] = fault.services() else { panic!("{:?}", fault.services()) };
        let open = |host: &Host, is: fn(&ProcRow, SocketAddr) -> bool| {
            let rows = host.sockets().unwrap();
            rows.iter().filter(|r| r.state == TcpState::Established && is(r, *service)).count()
        };
        wait_for("reset of the service", || {
            let left = open(fault.peer_host(), |r, service| r.local == service);
            if left == 0 { Ok(()) } else { Err(format!("{left} connections are still open there")) }
        });
        assert_eq!(open(fault.host(), |r, service| r.peer == service), 60, "nobody told the clients");
        let found = check(fault.router_host().unwrap(), 1, &[]);
        let rules: Vec<_> = found.iter().map(|f| f["rule"].as_str().unwrap()).collect();
        assert_eq!(rules, ["sysctl-conntrack-timeouts"], "{found:#?}");
    });
}

/// Rules that no lab proves, as the documentation of this module lists them.
const ON_SAMPLES: &[&str] = &[
    "backlog-drops",
    "neighbour-table-full",
    "orphan-limit",
    "sysctl-max-orphans-low",
    "sysctl-tcp-mem",
    "sysctl-tw-recycle",
    "tcp-memory",
];

#[test]
fn every_rule_is_proven_in_a_scenario_that_promises_it_or_says_why_not() {
    for rule in all() {
        match rule.proven {
            Proven::Lab(name) => {
                let scenario =
                    Scenario::named(name).unwrap_or_else(|| panic!("{}: no scenario {name}", rule.id));
                assert!(scenario.rules.contains(&rule.id), "{name} does not promise {}", rule.id);
            }
            Proven::Sample(why) => assert!(why.len() > 10, "{}: no reason", rule.id),
        }
    }
    let mut on_samples: Vec<_> =
        all().filter(|r| matches!(r.proven, Proven::Sample(_))).map(|r| r.id).collect();
    on_samples.sort_unstable();
    assert_eq!(on_samples, ON_SAMPLES);
    for rule in SCENARIOS.iter().flat_map(|s| s.rules) {
        assert!(find(rule).is_ok(), "{rule} is promised, but there is no such rule");
    }
}
