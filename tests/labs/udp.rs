//! `tcptop list -u` against `ss -uanem`, who holds a UDP socket that drops, and what report and check say of it.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_recv_buffer_size, socket_cookie};
use serde_json::{Value, json};
use tcptop::lab::Host;
use tcptop::sys::sockopt::IntOption;

use crate::harness::{lab, lab_with_ss, wait_for};
use crate::oracle::{endpoint, state};
use crate::ss::{self, Row};
use crate::tool;

fn bind(host: &Host, at: &str) -> UdpSocket {
    host.run(|| UdpSocket::bind(at)).unwrap().unwrap()
}

/// A small receive buffer, and what did not fit into it: at least one datagram.
fn dropping(host: &Host) -> UdpSocket {
    let socket = bind(host, "127.0.0.1:0");
    set_socket_recv_buffer_size(&socket, 4096).unwrap();
    let sender = bind(host, "127.0.0.1:0");
    for _ in 0..50 {
        sender.send_to(&[1; 900], socket.local_addr().unwrap()).unwrap();
    }
    socket
}

/// Every kind of UDP socket that differs in a table.
fn sockets(host: &Host) -> Vec<UdpSocket> {
    let connected = bind(host, "127.0.0.1:0");
    let other = bind(host, "127.0.0.1:0");
    connected.connect(other.local_addr().unwrap()).unwrap();
    let v6 = bind(host, "[::1]:0");
    let v6_connected = bind(host, "[::1]:0");
    v6_connected.connect(v6.local_addr().unwrap()).unwrap();
    // Unread data in a queue, from a socket that carries IPv4 over IPv6.
    let dual = bind(host, "[::]:0");
    dual.connect(("::ffff:127.0.0.1", other.local_addr().unwrap().port())).unwrap();
    dual.send(&[7; 300]).unwrap();
    vec![connected, other, v6, v6_connected, dual, bind(host, "0.0.0.0:0"), dropping(host)]
}

#[test]
fn the_udp_table_is_that_of_ss() {
    lab_with_ss(|| {
        let host = Host::new().unwrap();
        let sockets = sockets(&host);
        for family in [&[][..], &["-4"], &["-6"]] {
            compare(&host, family);
        }
        let listed = tool::list(&host, &["-u"]);
        assert_eq!(listed.rows.len(), sockets.len(), "{:?}", listed.rows);
        let drops = listed.rows.values().map(|r| r["drops"].as_u64().unwrap()).max().unwrap();
        assert!(drops > 0, "a queue of 4 KiB cannot hold 50 datagrams of 900 bytes");
    });
}

fn compare(host: &Host, family: &[&str]) {
    wait_for("quiet moment", || {
        let before = ss::ss_udp(host, family);
        let ours = tool::list(host, &[&["-u"], family].concat());
        let after = ss::ss_udp(host, family);
        if before != after {
            return Err("the sockets change".into());
        }
        assert_eq!(ours.head["complete"], json!(true), "{}", ours.head);
        assert!(ours.rows.keys().eq(before.keys()), "{:?} and {before:?}", ours.rows);
        for (cookie, row) in &before {
            same(row, &ours.rows[cookie]);
        }
        Ok(())
    });
}

fn same(ss: &Row, ours: &Value) {
    let context = format!("\n ss     {ss:?}\n tcptop {ours}");
    assert_eq!((&ours["proto"], &ours["state"]), (&json!("udp"), &json!(state(&ss.state))), "{context}");
    assert_eq!(endpoint(&ours["local"]), Some(ss.local), "{context}");
    let peer = (ss.state == "ESTAB").then_some(ss.peer);
    assert_eq!(endpoint(&ours["peer"]), peer, "{context}");
    let number = |key: &str| ours[key].as_u64();
    assert_eq!((number("recv_q"), number("send_q")), (Some(ss.recv_q), Some(ss.send_q)), "{context}");
    assert_eq!((number("inode"), number("uid")), (Some(ss.inode), Some(ss.uid)), "{context}");
    let memory = ["rcvbuf", "sndbuf", "drops"].map(|key| number(key).unwrap());
    assert_eq!(Some(memory), ss.memory, "{context}");
    assert!(
        ours.get("timer").is_none() && ours.get("keepalive").is_none(),
        "they say nothing of UDP: {context}"
    );
}

#[test]
fn filters_choose_among_udp_sockets_and_both_protocols_stand_side_by_side() {
    lab(|| {
        let host = Host::new().unwrap();
        let sockets = sockets(&host);
        let tcp = host.run(|| std::net::TcpListener::bind("127.0.0.1:0")).unwrap().unwrap();
        let port = sockets[0].local_addr().unwrap().port();
        let cookies = |args: &[&str]| tool::list(&host, args).rows.into_keys().collect::<Vec<_>>();
        let id = |n: usize| socket_cookie(&sockets[n]).unwrap();
        let sorted = |mut ids: Vec<u64>| {
            ids.sort_unstable();
            ids
        };
        assert_eq!(cookies(&["-u", &format!("sport = :{port}")]), [id(0)]);
        assert_eq!(cookies(&["-u", "state", "established"]), sorted(vec![id(0), id(3), id(4)]));
        assert_eq!(cookies(&["-u", "dst", "127.0.0.1"]), sorted(vec![id(0), id(4)]));
        assert!(cookies(&["-u", "keepalive", "off"]).is_empty(), "UDP has none");
        let ours = std::process::id().to_string();
        assert_eq!(cookies(&["-u", "pid", &ours]).len(), sockets.len());
        assert!(cookies(&["-u", "pid", "1"]).is_empty());
        let both = tool::list(&host, &["-t", "-u"]);
        let of = |proto: &str| both.rows.values().filter(|r| r["proto"] == proto).count();
        assert_eq!((of("tcp"), of("udp")), (1, sockets.len()));
        assert_eq!(both.head["netns"], tool::list(&host, &[]).head["netns"]);
        assert_eq!(cookies(&[]), [socket_cookie(&tcp).unwrap()], "TCP unless asked otherwise");
    });
}

/// Expressions for the sockets of [`known`], which mean to UDP what they mean to `ss -u`.
const EXPRESSIONS: &str = "
state established
state unconnected
state closed
state connected
state synchronized
exclude established
exclude unconnected
sport = 5301
sport != :5301
sport > 5303
sport >= :5303
sport < 5304
sport <= 5302
dport 5301
dport = 0
dport != 5301
dst 127.0.0.1
not dst 127.0.0.1
src 127.0.0.0/8
src [::1]
src ::/0
src 0.0.0.0/0
dst *:5301
src 0.0.0.0
src [::]
dst [::ffff:127.0.0.1]
src inet:127.0.0.1
sport = inet6:5303
sport = 5301 or dport = 5301
( sport 5301 or sport 5302 ) and not dport 5301
state established ( sport = 5302 or sport = 5304 )
autobound
not autobound
autobound and dport 5301
fwmark 42
fwmark != 42
fwmark 0x2/0x3
sport = domain or sport = 5301
";

/// UDP sockets on ports that are known, of either family, connected and not, marked.
fn known(host: &Host) -> Vec<UdpSocket> {
    let connected = |at: &str, to: &str| {
        let socket = bind(host, at);
        socket.connect(to).unwrap();
        socket
    };
    let marked = bind(host, "0.0.0.0:5306");
    IntOption::Mark.set(&marked, 42).unwrap();
    vec![
        bind(host, "127.0.0.1:5301"),
        connected("127.0.0.1:5302", "127.0.0.1:5301"),
        bind(host, "[::1]:5303"),
        connected("[::1]:5304", "[::1]:5303"),
        connected("[::]:5305", "[::ffff:127.0.0.1]:5301"),
        marked,
        bind(host, "[::]:5308"),
        bind(host, "127.0.0.2:53"),
        connected("127.0.0.1:0", "127.0.0.1:5301"),
    ]
}

#[test]
fn filters_mean_to_udp_what_they_mean_to_ss() {
    lab_with_ss(|| {
        let host = Host::new().unwrap();
        let sockets = known(&host);
        for expression in EXPRESSIONS.lines().filter(|l| !l.is_empty()) {
            let words: Vec<&str> = expression.split(' ').collect();
            let theirs = ss::udp_cookies(&host, &words);
            let ours: Vec<u64> =
                tool::list(&host, &[&["-u"], &words[..]].concat()).rows.into_keys().collect();
            assert_eq!(ours, theirs, "{expression}");
            let proves = !ours.is_empty() && ours.len() < sockets.len();
            assert!(proves, "{expression}: {} of {} match, which proves little", ours.len(), sockets.len());
        }
    });
}

#[test]
fn the_process_of_a_socket_that_drops_is_named() {
    lab(|| {
        let host = Host::new().unwrap();
        let socket = dropping(&host);
        let at = socket.local_addr().unwrap();
        let pid = std::process::id();
        wait_for("process and drops", || {
            let row = &tool::list(&host, &["-u"]).rows[&socket_cookie(&socket).unwrap()];
            let held = row["processes"][0]["pid"].as_u64() == Some(pid.into());
            if held && row["drops"].as_u64() > Some(0) { Ok(()) } else { Err(row.to_string()) }
        });
        let text = tool::list_text(
            &host,
            &["-u", "--text", "--sort", "drops", "--columns", "state,drops,local,process"],
        );
        let first = text.lines().nth(1).unwrap();
        assert!(first.starts_with("UNCONN") && first.contains(&at.to_string()), "{text}");
        assert!(first.contains(&format!("[{pid}]")), "{text}");
        let csv = tool::list_text(&host, &["-u", "--csv", "--columns", "proto,state,local_port"]);
        assert!(
            csv.contains(&format!("udp,CLOSE,{}\n", at.port())),
            "programs get the contract's word: {csv}"
        );
    });
}

/// Datagrams that come on and on, from a connected socket.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    fn new(host: &Host, to: SocketAddr) -> Self {
        let sender = bind(host, "127.0.0.1:0");
        sender.connect(to).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let flow = move || {
            while !stopped.load(Ordering::Relaxed) {
                sender.send(&[1; 900]).unwrap();
                thread::sleep(Duration::from_millis(5));
            }
        };
        Self { stop, thread: Some(thread::spawn(flow)) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The finding that names a socket that drops, by its port.
fn named(document: &Value, port: u16) -> Option<&Value> {
    let findings = document["findings"].as_array()?;
    findings.iter().find(|f| f["rule"] == "udp-buffer-errors" && f["subject"]["local"]["port"] == port)
}

#[test]
fn the_report_says_who_drops_and_what_is_being_lost() {
    lab(|| {
        let host = Host::new().unwrap();
        let socket = dropping(&host);
        let port = socket.local_addr().unwrap().port();
        let quiet = bind(&host, "[::1]:0");
        let flood = Flood::new(&host, socket.local_addr().unwrap());
        let report = wait_for("loss in a report", || {
            let report = tool::report(&host, &["-u"]);
            let lost = report["udp"]["sockets"][0]["new_drops"].as_u64() > Some(0);
            if lost && named(&report, port).is_some() { Ok(report) } else { Err(report.to_string()) }
        });
        let states = json!({"udp": {"CLOSE": 2, "ESTABLISHED": 1}, "udp4": {"CLOSE": 1, "ESTABLISHED": 1}, "udp6": {"CLOSE": 1}});
        assert_eq!(report["states"], states, "TCP was not asked for");
        assert!(report.get("peers").is_none() && report.get("ports").is_none(), "they are of TCP: {report}");
        let sockets = report["udp"]["sockets"].as_array().unwrap();
        assert_eq!(sockets.len(), 1, "the others have lost nothing and have nothing to read: {sockets:?}");
        let listed = &tool::list(&host, &["-u"]).rows[&socket_cookie(&socket).unwrap()];
        for key in ["local", "inode", "cookie", "rcvbuf", "processes", "state"] {
            assert_eq!(sockets[0][key], listed[key], "{key}");
        }
        assert!(listed["drops"].as_u64() >= sockets[0]["drops"].as_u64());
        let counters = report["udp"]["counters"].as_array().unwrap();
        assert_eq!(counters[0]["name"], "Udp.RcvbufErrors", "{counters:?}");
        let number = |key: &str| counters[0][key].as_u64().unwrap();
        assert!(0 < number("new") && number("new") < number("total"), "it dropped before, too: {counters:?}");
        assert!(counters[0]["per_s"].as_f64() > Some(0.0), "{counters:?}");
        let limits: Vec<_> = report["limits"].as_array().unwrap().iter().map(|l| &l["id"]).collect();
        assert!(!limits.contains(&&json!("ephemeral_ports")), "{limits:?}");

        let text = tool::report_text(&host, &["-u"]);
        let line =
            |what: &str| text.lines().find(|l| l.starts_with(what)).unwrap_or_else(|| panic!("{text}"));
        assert!(line("UNCONN").split_ascii_whitespace().eq(["UNCONN", "2", "1", "1"]), "{text}");
        let row = line(&format!("127.0.0.1:{port} "));
        assert!(row.ends_with(&format!("[{}]", std::process::id())), "{text}");
        assert!(text.contains("udp-buffer-errors: ") && text.contains("Udp.RcvbufErrors"), "{text}");
        assert!(!text.contains("\nSTATE") && !text.contains("Ephemeral"), "{text}");

        let both =
            tool::report(&host, &["-t", "-u", &format!("sport = :{}", quiet.local_addr().unwrap().port())]);
        let states =
            json!({"tcp": {}, "tcp4": {}, "tcp6": {}, "udp": {"CLOSE": 1}, "udp4": {}, "udp6": {"CLOSE": 1}});
        assert_eq!(both["states"], states, "{both}");
        assert_eq!((&both["udp"]["sockets"], &both["peers"]), (&json!([]), &json!([])));
        drop(flood);
    });
}

/// Ends with the test.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_report_of_all_namespaces_has_the_udp_sockets_of_each() {
    lab(|| {
        let (host, other) = (Host::new().unwrap(), Host::new().unwrap());
        let sleep = || Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        // A namespace is found by a process that lives in it.
        let _sleeper = Sleeper(other.run(sleep).unwrap());
        let socket = dropping(&other);
        let port = socket.local_addr().unwrap().port();
        let report = tool::report(&host, &["-u", "--netns", "all", &format!("sport = :{port}")]);
        let documents = report["other_namespaces"].as_array().unwrap();
        let cookie = json!(socket_cookie(&socket).unwrap());
        let there = documents.iter().find(|d| d["udp"]["sockets"][0]["cookie"] == cookie);
        let there = there.unwrap_or_else(|| panic!("{report}"));
        assert_eq!(there["states"]["udp"], json!({"CLOSE": 1}), "{there}");
        assert_eq!(there["udp"]["sockets"][0]["new_drops"], 0, "it was full before: {there}");
        assert_eq!(report["states"]["udp"], json!({}), "{report}");
    });
}

#[test]
fn a_check_of_udp_alone_finds_what_concerns_udp_and_says_that_it_judged_nothing_else() {
    lab(|| {
        let host = Host::new().unwrap();
        let socket = dropping(&host);
        let _flood = Flood::new(&host, socket.local_addr().unwrap());
        let port = socket.local_addr().unwrap().port();
        wait_for("finding", || {
            let check = tool::check(&host, &["-u"]);
            assert_eq!(check["about"], "udp");
            if named(&check, port).is_some() { Ok(()) } else { Err(check.to_string()) }
        });
        let both = tool::check(&host, &["-t", "-u"]);
        assert!(both.get("about").is_none(), "everything was judged: {both}");
    });
}
