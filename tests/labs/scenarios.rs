//! Every rule fires in its scenario on the real kernel, names the right subject, and is quiet when the fault is gone.
//!
//! A finding at or above warning that the scenario does not promise fails its test, too.
//!
//! What cannot be made real on one machine without harming it is tested on written samples beside its rule; the registry
//! gives the reason (`Proven::Sample`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tcptop::lab::Host;
use tcptop::lab::scenarios::{Fault, Scenario};

use crate::harness::lab;

const TCPTOP: &str = env!("CARGO_BIN_EXE_tcptop");

/// How long a fault may take to show, and to be over: retransmissions back off for seconds.
const PATIENCE: Duration = Duration::from_secs(40);

/// The findings of `tcptop check` on a host.
pub fn check(host: &Host, seconds: u32, args: &[&str]) -> Vec<Value> {
    let mut command = Command::new(TCPTOP);
    command.args(["check", "--json", "--interval", &seconds.to_string()]).args(args);
    let output = host.run(|| command.output()).unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0..=2)), "check ended with {}: {said}", output.status);
    let mut check: Value = serde_json::from_slice(&output.stdout).unwrap();
    check["findings"].as_array_mut().map(std::mem::take).unwrap()
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
    /// What else may be found, because the fault has it for a symptom.
    also: &'static [&'static str],
    /// `--interval`.
    seconds: u32,
    /// `--set`.
    set: &'static [&'static str],
}

const PLAIN: Proof = Proof { promises: &[], also: &[], seconds: 2, set: &[] };

fn prove(name: &str, proof: Proof) {
    let scenario = Scenario::named(name).unwrap();
    let promised: Vec<_> = proof.promises.iter().map(|p| p.0).collect();
    assert_eq!(promised, scenario.rules, "what the table says is what is tested");
    let set: Vec<_> = proof.set.iter().flat_map(|s| ["--set", s]).collect();
    let mut fault = scenario.start(Path::new(TCPTOP)).unwrap();

    let mut missing: BTreeMap<_, _> = proof.promises.iter().map(|p| (p.0, p)).collect();
    let end = Instant::now() + PATIENCE;
    while !missing.is_empty() {
        let found = check(fault.host(), proof.seconds, &set);
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
                let expected = !is_serious(finding) || proof.also.contains(&rule);
                assert!(expected, "{name} is no {rule}: {finding}");
            }
        }
        assert!(missing.is_empty() || Instant::now() < end, "{name}: no {missing:?} in {found:#?}");
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
        "peer" => fault.peers().iter().any(|p| subject["addr"] == p.to_string()),
        "listener" => at(&subject["local"]),
        "destination" => at(&subject["peer"]),
        "socket" => at(&subject["local"]) || at(&subject["peer"]),
        "interface" => subject["name"] == "cable",
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
    };
}

scenarios! {
    time_wait_overflow "time-wait-overflow" Proof { promises: &[("time-wait-overflow", "host", "critical")], also: &["time-wait-pileup", "sysctl-tw-buckets"], ..PLAIN };
    retransmission_storm "retransmission-storm" Proof { promises: &[("retransmission-storm", "host", "warning")], also: &["dead-peer"], seconds: 3, ..PLAIN };
    reset_storm "reset-storm" Proof { promises: &[("reset-storm", "host", "warning")], seconds: 8, ..PLAIN };
    receive_drops "receive-drops" Proof { promises: &[("receive-drops", "host", "warning")], also: &["unread-receive-queue"], ..PLAIN };
    rp_filter "rp-filter" Proof { promises: &[("reverse-path-drops", "host", "warning")], ..PLAIN };
    mtu_mismatch "mtu-mismatch" Proof { promises: &[("nic-drops", "interface", "warning")], ..PLAIN };
}
