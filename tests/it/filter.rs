//! The FILTER argument end to end.

use predicates::prelude::*;

use crate::{Pair, json, stdout, tcptop};

#[test]
fn a_list_holds_the_matching_sockets_only() {
    let (one, other) = (Pair::new("127.0.0.1"), Pair::new("127.0.0.1"));
    let port = one.port().to_string();
    let listed = json(&["list", "--json", "sport", "=", &port]);
    let sockets = listed["sockets"].as_array().unwrap();
    assert_eq!(sockets.len(), 2, "the listener and the accepted connection: {listed}");
    assert!(sockets.iter().all(|s| s["local"]["port"] == one.port()));
    let both = format!("state established ( sport = :{port} or dport = :{} )", other.port());
    assert_eq!(stdout(&["list", "--csv", &both]).lines().count(), 3);
    assert_eq!(stdout(&["list", "--csv", "sport", "=", &port, "--limit", "1"]).lines().count(), 2);
}

#[test]
fn a_report_is_of_the_matching_sockets_and_says_so() {
    let pair = Pair::new("127.0.0.1");
    let filter = format!("dport = :{} and state established", pair.port());
    let report = json(&["report", "--json", &filter]);
    assert_eq!(report["filter"], format!("dport = :{} and state established", pair.port()));
    assert_eq!(report["states"]["tcp"], serde_json::json!({"ESTABLISHED": 1}));
    assert_eq!(report["peers"][0]["total"], 1);
    assert!(stdout(&["report", &filter]).contains(&format!("Only sockets that match: {filter}")));
    assert_eq!(json(&["report", "--json"]).get("filter"), None);
}

#[test]
fn times_are_asked_of_the_kernel() {
    let pair = Pair::new("127.0.0.1");
    let count = |filter: &str| {
        let filter = format!("state established ( sport = :{0} or dport = :{0} ) and {filter}", pair.port());
        stdout(&["list", "--csv", &filter]).lines().count() - 1
    };
    assert_eq!([count("idle < 1h"), count("idle > 1h"), count("not idle > 1h")], [2, 0, 2]);
    assert_eq!(count("rtt < 10s"), 2);
}

#[test]
fn a_mistake_is_pointed_at() {
    for command in ["list", "report"] {
        tcptop(&[command, "dst", "10.0.0.1", "dprot", "=", "80"])
            .assert()
            .code(2)
            .stdout("")
            .stderr(predicate::str::contains("did you mean dport?"))
            .stderr(predicate::str::contains("  dst 10.0.0.1 dprot = 80\n               ^^^^^\n"));
    }
    tcptop(&["dst", "10.0.0.1", "dprot", "=", "80"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("did you mean dport?"));
    tcptop(&["list", &"( ".repeat(30_000)])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("nested deeper"));
}

#[test]
fn what_is_hardly_meant_so_is_taken_with_a_remark() {
    let pair = Pair::new("127.0.0.1");
    let filter = format!("sport = :{} or sport = 70000 or fwmark 42x", pair.port());
    let says = |what: &'static str| predicate::str::contains(what);
    tcptop(&["list", "--csv", &filter])
        .assert()
        .success()
        .stdout(predicate::function(|out: &str| out.lines().count() >= 3))
        .stderr(says("tcptop: in the filter: 70000: ports go from 0 to 65535\n"))
        .stderr(says("tcptop: in the filter: 42x: read as fwmark = 0x2a, as in ss\n"));
    tcptop(&["list", "--csv", "dst", "unix:/tmp/x"])
        .assert()
        .success()
        .stdout(predicate::function(|out: &str| out.lines().count() == 1))
        .stderr(says("unix:/tmp/x: unix sockets are neither TCP nor UDP: nothing matches, as in ss\n"));
}

#[test]
fn nothing_is_closed_without_a_filter_without_being_asked_or_when_it_is_forbidden() {
    let refused = |args: &[&str], why: &'static str| {
        let why = predicate::str::contains(why);
        tcptop(&[&["kill"], args].concat()).assert().code(2).stdout("").stderr(why);
    };
    refused(&["--yes"], "A filter is needed");
    refused(&["--yes", "  "], "A filter is needed");
    refused(&["dst", "192.0.2.1"], "nobody can be asked");
    refused(&["--read-only", "--yes", "dst", "192.0.2.1"], "--read-only forbids");
    refused(&["--yes", "dst"], "expected an address");
    tcptop(&["kill", "--dry-run", "sport = :1 and dport = :1"])
        .assert()
        .success()
        .stdout("no socket matches\n");
}

#[test]
fn json_lines_are_the_objects_of_the_json_list() {
    let pair = Pair::new("127.0.0.1");
    let filter = format!("sport = :{}", pair.port());
    let whole = json(&["list", "--json", "--sort", "cookie", &filter]);
    let text = stdout(&["list", "--jsonl", "--sort", "cookie", &filter]);
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let cookies = |rows: &[serde_json::Value]| rows.iter().map(|s| s["cookie"].clone()).collect::<Vec<_>>();
    assert_eq!(cookies(&lines), cookies(whole["sockets"].as_array().unwrap()));
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|l| l["local"]["port"] == pair.port()));
}

#[test]
fn what_stands_before_a_command_is_a_filter_or_a_mistake() {
    let refused = |args: &[&str], why: &'static str| {
        tcptop(args).assert().code(2).stdout("").stderr(predicate::str::contains(why));
    };
    refused(&["lsit"], "did you mean tcptop list?");
    refused(&["reprot", "--json"], "did you mean tcptop report?");
    refused(&["report", "--jsno"], "did you mean --json?");
    refused(&["checks\u{1b}[2J"], "expected a condition");
    refused(&["state", "establishd"], "did you mean established?");
    // A word of a filter that is also a command stays a word of the filter: only the missing terminal is complained of.
    tcptop(&["comm", "list"]).assert().code(1).stderr(predicate::str::contains("not a terminal"));
}
