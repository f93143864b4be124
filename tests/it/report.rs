//! `tcptop report`.

use serde_json::Value;

use super::{Pair, json, schema, stdout, tcptop};

const SCHEMA: &str = include_str!("../../assets/schema/report.schema.json");

fn listener(report: &Value, port: u16) -> &Value {
    let listeners = report["listeners"].as_array().unwrap();
    listeners.iter().find(|l| l["local"]["port"] == port).expect("the listener")
}

#[test]
fn json_keeps_the_contract_and_counts_what_is_there() {
    let pair = Pair::new("127.0.0.77");
    // Two more that nobody accepts.
    let to = pair.listener.local_addr().unwrap();
    let _waiting: Vec<_> = (0..2).map(|_| std::net::TcpStream::connect(to).unwrap()).collect();
    let report = json(&["report", "--json"]);
    schema::check(&report, SCHEMA);
    assert_eq!(report["complete"], true);

    let listener = listener(&report, pair.port());
    assert_eq!(listener["queue"], 2);
    assert_eq!(listener["states"]["ESTABLISHED"], 3);

    // Three servers see clients from 127.0.0.1 or from the address itself; three clients see 127.0.0.77.
    let peers = report["peers"].as_array().unwrap();
    let peer = peers.iter().find(|p| p["addr"] == "127.0.0.77").expect("the peer");
    assert!(peer["states"]["ESTABLISHED"].as_u64().unwrap() >= 3);
    let sum: u64 = peer["states"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(peer["total"], sum);
    let totals: Vec<u64> = peers.iter().filter_map(|p| p["total"].as_u64()).collect();
    assert!(totals.iter().rev().is_sorted(), "most connections first: {totals:?}");

    let destinations = report["ports"]["destinations"].as_array().unwrap();
    let to = destinations.iter().find(|d| d["peer"]["port"] == pair.port()).expect("the destination");
    assert_eq!((&to["peer"]["addr"], &to["used"]), (&"127.0.0.77".into(), &3.into()));
}

#[test]
fn states_of_the_families_add_up() {
    let _pair = Pair::new("127.0.0.1");
    let report = json(&["report", "--json"]);
    let count = |family: &str, state: &str| report["states"][family][state].as_u64().unwrap_or(0);
    for state in report["states"]["tcp"].as_object().unwrap().keys() {
        assert_eq!(count("tcp", state), count("tcp4", state) + count("tcp6", state), "{state}");
    }
    let six = json(&["report", "--json", "-6"]);
    assert_eq!(six["states"]["tcp4"], serde_json::json!({}));
}

#[test]
fn udp_alone_and_both_protocols_keep_the_contract() {
    let pair = Pair::new("127.0.0.1");
    // One datagram that nobody reads.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"hello", socket.local_addr().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let short = ["report", "--json", "-u", "--interval", "0.1"];
    let udp = json(&short);
    schema::check(&udp, SCHEMA);
    assert!(udp["observed_ms"].as_u64().unwrap() >= 100);
    let keys: Vec<&String> = udp["states"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["udp", "udp4", "udp6"]);
    assert!(["peers", "listeners", "ports"].iter().all(|key| udp.get(key).is_none()), "they are of TCP");
    let both = json(
        &[&short[..], &["-t", "sport", &port.to_string(), "or", "sport", &pair.port().to_string()]].concat(),
    );
    schema::check(&both, SCHEMA);
    assert!(listener(&both, pair.port())["backlog"].is_u64());
    let found = &both["udp"]["sockets"][0];
    assert_eq!(
        (&found["local"]["port"], &found["drops"], &found["new_drops"]),
        (&port.into(), &0.into(), &0.into())
    );
    assert!(found["recv_q"].as_u64().unwrap() > 0, "{found}");
    assert_eq!(both["states"]["udp"], serde_json::json!({"CLOSE": 1}));
    let tcp = json(&["report", "--json"]);
    assert!(
        tcp.get("udp").is_none() && tcp["states"].get("udp").is_none() && tcp.get("observed_ms").is_none()
    );
}

#[test]
fn what_one_look_cannot_judge_is_said_and_a_longer_one_can() {
    let unjudged = |args: &[&str]| -> Vec<Value> {
        let report = json(args);
        schema::check(&report, SCHEMA);
        let all = report["not_examined"].as_array().unwrap();
        all.iter().filter_map(|n| n.get("rule")).cloned().collect()
    };
    let (one, longer) =
        (unjudged(&["report", "--json"]), unjudged(&["report", "--json", "--interval", "0.3"]));
    let rule = Value::from("udp-buffer-errors");
    assert!(one.contains(&rule) && !longer.contains(&rule), "{one:?} and {longer:?}");
    // How many depends on the sockets that other tests make meanwhile.
    let text = stdout(&["report"]);
    assert!(text.contains(" rules not judged by this: which and why stands at the end"), "{text}");
    assert!(
        text.contains("  takes longer: a second look at the counters\n")
            && text.contains("udp-buffer-errors"),
        "{text}"
    );
    assert!(stdout(&["report", "--interval", "0.3"]).lines().next().unwrap().contains("observed for "));
}

#[test]
fn limits_have_the_ids_of_the_contract_once_each() {
    let _pair = Pair::new("127.0.0.1");
    let report = json(&["report", "--json"]);
    let ids = |list: &str, key: &str| -> Vec<String> {
        let all = report[list].as_array().into_iter().flatten();
        all.filter_map(|l| l[key].as_str()).map(str::to_owned).collect()
    };
    let mut all = [ids("limits", "id"), ids("not_examined", "limit")].concat();
    assert!(
        all.contains(&"ephemeral_ports".to_owned()) && all.contains(&"accept_queue".to_owned()),
        "{all:?}"
    );
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn text_gives_the_answer_first() {
    let pair = Pair::new("127.0.0.1");
    let text = stdout(&["report"]);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what:?} in {text}"));
    let order = ["STATE", "LIMIT", "REMOTE IP", "LISTENER", "Ephemeral ports"].map(at);
    assert!(order.is_sorted(), "{text}");
    assert!(text.contains(&format!("127.0.0.1:{}", pair.port())), "{text}");
    assert!(!text.contains('\u{1b}'), "no escape sequences in a pipe");
}

#[test]
fn headings_are_bold_only_when_asked_for() {
    assert!(stdout(&["report", "--color", "always"]).contains("\u{1b}[1mSTATE"));
    assert!(!stdout(&["report", "--color", "never"]).contains('\u{1b}'));
    tcptop(&["report"]).env("NO_COLOR", "1").assert().success();
}

#[test]
fn a_locale_without_utf8_gets_the_report_and_the_list_in_ascii() {
    let _pair = Pair::new("127.0.0.1");
    for args in [&["report"][..], &["list", "--text"], &["check", "-v"]] {
        let done = tcptop(args).env("LC_ALL", "C").output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        let signs: String = text.chars().filter(|c| "→–−×≥…".contains(*c)).collect();
        assert!(signs.is_empty() && text.len() > 100, "{args:?}: {signs}");
    }
    assert!(stdout(&["report"]).contains('–'), "the range of ports, in a locale that has the sign");
}
