//! `tcptop list`.

use std::net::Shutdown;
use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};
use tcptop::query::{Column as _, ColumnId};

use super::{Pair, json, schema, stdout, tcptop};

const SCHEMA: &str = include_str!("../../assets/schema/list.schema.json");

fn find(document: &Value, local: u16, peer: Option<u16>) -> Vec<Value> {
    let sockets = document["sockets"].as_array().unwrap().iter();
    let port = |s: &Value, side: &str| s[side]["port"].as_u64();
    sockets
        .filter(|s| port(s, "local") == Some(local.into()) && port(s, "peer") == peer.map(u64::from))
        .cloned()
        .collect()
}

fn inode(socket: &impl std::os::fd::AsRawFd) -> u64 {
    std::fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap().ino()
}

#[test]
fn json_keeps_the_contract_and_shows_a_connection_as_it_is() {
    let pair = Pair::new("127.0.0.1");
    let list = json(&["list", "--json"]);
    schema::check(&list, SCHEMA);
    assert_eq!(list["complete"], true);

    let [listener] = &find(&list, pair.port(), None)[..] else { panic!("one listener") };
    assert_eq!(listener["state"], "LISTEN");
    assert_eq!(listener["inode"], inode(&pair.listener));
    assert!(listener.get("keepalive").is_none() && listener.get("peer").is_none());

    let [server] = &find(&list, pair.port(), Some(pair.client_port()))[..] else { panic!("one connection") };
    assert_eq!(server["state"], "ESTABLISHED");
    assert_eq!(server["family"], "inet");
    assert_eq!(server["local"]["addr"], "127.0.0.1");
    assert_eq!(server["inode"], inode(&pair.server));
    assert_eq!(server["keepalive"], "off");
    assert_eq!(server["timer"], json!({"kind": "none"}));
    assert!(server["cookie"].as_u64().unwrap() > 0);
    assert!(server.get("tcp_info").is_none());
}

#[test]
fn a_connection_that_waits_for_accept_is_not_the_kernels_whatever_the_filter_shows() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let from = format!("dst = 127.0.0.1:{}", client.local_addr().unwrap().port());
    for filter in [format!("state established sport = :{port}"), from] {
        let said = stdout(&["list", "--text", "--columns", "local,process", &filter]);
        assert!(said.contains("(not accepted)") && said.lines().count() == 2, "{filter}: {said}");
    }
}

#[test]
fn a_peer_that_closed_leaves_close_wait_and_its_fin_in_the_queue() {
    let pair = Pair::new("127.0.0.1");
    pair.client.shutdown(Shutdown::Write).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let server = loop {
        let list = json(&["list", "--json"]);
        let server = find(&list, pair.port(), Some(pair.client_port())).remove(0);
        if server["state"] == "CLOSE_WAIT" || std::time::Instant::now() > deadline {
            break server;
        }
    };
    assert_eq!((&server["state"], &server["recv_q"]), (&json!("CLOSE_WAIT"), &json!(1)));
}

#[test]
fn ipv4_over_an_ipv6_socket_is_one_with_ipv4() {
    let Ok(listener) = std::net::TcpListener::bind("[::]:0") else {
        eprintln!("SKIPPED: this machine has no IPv6");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let client_port = client.local_addr().unwrap().port();
    let _server = listener.accept().unwrap();
    let list = json(&["list", "--json"]);
    schema::check(&list, SCHEMA);
    let server = find(&list, port, Some(client_port)).remove(0);
    assert_eq!((&server["family"], &server["mapped"]), (&json!("inet6"), &json!(true)));
    assert_eq!(server["peer"]["addr"], "127.0.0.1");
    let client = find(&list, client_port, Some(port)).remove(0);
    assert!(client.get("mapped").is_none());

    assert!(find(&json(&["-4", "list", "--json"]), port, Some(client_port)).is_empty());
    let six = json(&["list", "-6", "--json"]);
    assert_eq!(find(&six, port, Some(client_port)).len(), 1);
    assert!(find(&six, client_port, Some(port)).is_empty());
}

#[test]
fn info_holds_the_kernels_fields() {
    let pair = Pair::new("127.0.0.1");
    let list = json(&["list", "--json", "--info"]);
    schema::check(&list, SCHEMA);
    let server = find(&list, pair.port(), Some(pair.client_port())).remove(0);
    assert_eq!(server["tcp_info"]["state"], 1);
    assert!(server["tcp_info"]["snd_mss"].as_u64().unwrap() > 0);
    assert!(server["tcp_info"]["snd_cwnd"].as_u64().unwrap() > 0);

    let csv = stdout(&["list", "--csv", "--info", "--columns", "local_port,peer_port"]);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let mss = header.iter().position(|h| h == "tcp_info.snd_mss").unwrap();
    let ports = (pair.port().to_string(), pair.client_port().to_string());
    let row = reader.records().map(Result::unwrap).find(|r| (r[0] == ports.0) && (r[1] == ports.1)).unwrap();
    assert_eq!(row[mss].parse::<u64>().unwrap(), server["tcp_info"]["snd_mss"]);

    let text = stdout(&["list", "--text", "--info"]);
    assert!(text.lines().any(|l| l.starts_with("    state:1 ")), "{text}");
}

#[test]
fn csv_has_the_columns_that_were_asked_for() {
    let pair = Pair::new("127.0.0.1");
    let csv = stdout(&["list", "--csv", "--columns", "local_port,rport,State,local,timer,uid,cgroup_id"]);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let want = ["local_port", "peer_port", "state", "local", "timer", "uid", "cgroup_id"];
    assert_eq!(reader.headers().unwrap(), &want[..]);
    let rows: Vec<csv::StringRecord> = reader.records().map(|r| r.expect("a row of CSV")).collect();
    let of = |port: u16| rows.iter().filter(|r| r[0] == port.to_string()).collect::<Vec<_>>();
    let client = of(pair.client_port());
    assert_eq!(client.len(), 1);
    assert_eq!((&client[0][1], &client[0][2]), (pair.port().to_string().as_str(), "ESTABLISHED"));
    assert!(of(pair.port()).iter().any(|r| &r[2] == "LISTEN" && r[1].is_empty()));
}

#[test]
fn columns_choose_the_keys_of_json() {
    let _pair = Pair::new("127.0.0.1");
    let list = json(&["list", "--json", "--columns", "state,local_port,netns,interface,age"]);
    schema::check(&list, SCHEMA);
    for socket in list["sockets"].as_array().unwrap() {
        let keys: Vec<&str> =
            socket.as_object().unwrap().keys().map(String::as_str).filter(|k| *k != "ifindex").collect();
        assert_eq!(keys, ["state", "local", "netns", "age_s"]);
        assert_eq!(socket["age_s"], Value::Null, "one look cannot tell an age");
    }
}

#[test]
fn rows_are_sorted_and_limited() {
    let _pairs: Vec<Pair> = (0..4).map(|_| Pair::new("127.0.0.1")).collect();
    let ports = |args: &[&str]| -> Vec<u64> {
        let list = json(&[&["list", "--json", "--sort"], args].concat());
        list["sockets"].as_array().unwrap().iter().map(|s| s["local"]["port"].as_u64().unwrap()).collect()
    };
    let up = ports(&["local_port"]);
    assert!(up.len() >= 12 && up.is_sorted(), "{up:?}");
    assert!(ports(&["sport:desc"]).iter().rev().is_sorted());
    assert_eq!(ports(&["local_port", "--limit", "3"]).len(), 3);
    assert!(ports(&["local_port", "--limit", "0"]).is_empty());
}

#[test]
fn text_is_aligned_and_says_what_does_not_apply() {
    let pair = Pair::new("127.0.0.1");
    let text = stdout(&["list", "--text", "--columns", "state,local,peer,keepalive"]);
    let header = text.lines().next().unwrap();
    assert!(header.starts_with("STATE"));
    let (local, peer) = (header.find("LOCAL").unwrap(), header.find("PEER").unwrap());
    let endpoint = format!("127.0.0.1:{}", pair.port());
    let line = text.lines().find(|l| l.starts_with("LISTEN") && l[local..].starts_with(&endpoint)).unwrap();
    assert_eq!(line[peer..].split_whitespace().collect::<Vec<_>>(), ["-", "-"]);
    for line in text.lines() {
        assert_eq!(line, line.trim_end());
        assert_eq!(&line[local - 2..local], "  ", "{line}");
    }
}

#[test]
fn a_pipe_gets_a_header_and_a_line_a_socket_with_tabs_between() {
    let pair = Pair::new("127.0.0.1");
    let text = stdout(&["list", "--columns", "state,local,peer,recv_q,cgroup_id,timer"]);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("state\tlocal\tpeer\trecv_q\tcgroup_id\ttimer"));
    let rows: Vec<Vec<&str>> = lines.map(|l| l.split('\t').collect()).collect();
    assert!(rows.iter().all(|r| r.len() == 6 && r.iter().all(|field| !field.is_empty())), "{text}");
    let local = format!("127.0.0.1:{}", pair.port());
    let of = |state| rows.iter().find(|r| r[0] == state && r[1] == local).unwrap();
    assert_eq!((of("LISTEN")[2], of("ESTABLISHED")[3]), ("-", "0"));
    assert_eq!(of("ESTABLISHED")[2], format!("127.0.0.1:{}", pair.client_port()));

    let text = stdout(&["list", "--info", "--columns", "local,peer", &format!("sport = :{}", pair.port())]);
    let fields = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
    let (header, row) = (fields(text.lines().next().unwrap()), fields(text.lines().nth(1).unwrap()));
    assert_eq!(header.len(), row.len());
    let mss = header.iter().position(|h| h == "tcp_info.snd_mss").unwrap();
    assert!(row[mss].parse::<u32>().unwrap() > 0, "{text}");
}

#[test]
fn it_looks_again_until_it_is_stopped() {
    let pair = Pair::new("127.0.0.1");
    let filter = format!("state established and sport = :{}", pair.port());
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_tcptop"))
        .args(["list", "--csv", "--columns", "local_port,state", "--watch", "0.1", &filter])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let said: Vec<String> = lines.take(6).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    let look = ["local_port,state".to_owned(), format!("{},ESTABLISHED", pair.port())];
    assert_eq!(said, [&look[..], &look, &look].concat(), "each look is a whole table, written at once");
}

#[test]
fn names_are_refused_where_nothing_would_show_them() {
    for command in ["check", "kill"] {
        let why = "--resolve is for the screen, for list and for report";
        let refused = tcptop(&["-r", command]).assert().code(2).stdout("");
        let said = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
        assert!(said.contains(why) && tcptop(&[command, "--resolve"]).assert().try_code(2).is_ok(), "{said}");
    }
}

#[test]
fn options_are_read_from_the_sockets_that_the_filter_names() {
    let pair = Pair::new("127.0.0.1");
    let of_server = format!("sport = :{} and not state listening", pair.port());
    let list = json(&["list", "--json", "--probe-options", &of_server]);
    schema::check(&list, SCHEMA);
    let options = &list["sockets"][0]["keepalive_options"];
    assert_eq!((&options["enabled"], options.get("noticed_idle_s")), (&json!(false), None), "{list}");
    assert!(options["idle_s"].as_u64().unwrap() > 0);
    rustix::net::sockopt::set_socket_keepalive(&pair.server, true).unwrap();
    rustix::net::sockopt::set_tcp_user_timeout(&pair.server, 45_000).unwrap();
    rustix::net::sockopt::set_socket_linger(&pair.server, Some(std::time::Duration::from_secs(5))).unwrap();
    let list = json(&["list", "--json", "--probe-options", &of_server]);
    schema::check(&list, SCHEMA);
    let options = &list["sockets"][0]["keepalive_options"];
    assert_eq!((&options["enabled"], &options["linger_s"]), (&json!(true), &json!(5)));
    assert_eq!(
        (&options["user_timeout_ms"], &options["noticed_sending_ms"]),
        (&json!(45_000), &json!(45_000))
    );

    let columns = ["--columns", "keepalive,user_timeout_ms,linger_s,options_unknown"];
    let text = stdout(&[&["list", "--probe-options"], &columns[..], &[&of_server]].concat());
    assert_eq!(text.lines().nth(1), Some("on\t45000\t5\t-"));
    let text = stdout(&["list", "--text", "--probe-options", &of_server]);
    assert!(text.contains("USER-TMO") && text.contains(" 45s "), "{text}");
}

#[test]
fn sockets_are_asked_only_where_it_was_asked_for() {
    tcptop(&["list", "--probe-options"]).assert().code(2).stdout("");
    let needs = "the column linger_s needs --probe-options";
    for args in [&["list", "--columns", "state,linger"][..], &["list", "--sort", "linger_s"]] {
        let refused = tcptop(args).assert().code(2).stdout("");
        assert!(String::from_utf8_lossy(&refused.get_output().stderr).contains(needs));
    }
    assert!(json(&["list", "--json"])["sockets"][0].get("keepalive_options").is_none());
}

#[test]
fn a_complete_list_says_nothing_on_standard_error() {
    tcptop(&["list"]).assert().success().stderr("");
}

#[test]
fn udp_keeps_the_contract() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let list = json(&["list", "--json", "-u"]);
    schema::check(&list, SCHEMA);
    let [ours] = &find(&list, socket.local_addr().unwrap().port(), None)[..] else { panic!("{list}") };
    assert_eq!((&ours["proto"], &ours["state"], &ours["drops"]), (&"udp".into(), &"CLOSE".into(), &0.into()));
    let all = ColumnId::all().iter().filter(|c| !c.needs_options());
    let all: Vec<&str> = all.map(|c| c.spec().name).collect();
    schema::check(&json(&["list", "--json", "-t", "-u", "--columns", &all.join(",")]), SCHEMA);
    tcptop(&["list", "-u", "--probe-options"]).assert().code(2);
}
