//! Names instead of numbers: out of a hosts file and from a name server, hostile ones and none at all.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output};

use serde_json::json;
use tcptop::lab::Host;

use crate::harness::{lab, skip};
use crate::terminal::{Term, shell};
use crate::tool::TCPTOP;

/// A connection from 127.0.0.1 to a service on 127.0.0.7, on a host whose resolver the test has in hand.
struct Rig {
    host: Host,
    dir: tempfile::TempDir,
    _ends: (TcpListener, TcpStream),
    port: u16,
}

impl Rig {
    fn new(hosts: &str, resolv: &str) -> Self {
        let host = Host::new().unwrap();
        let ends = host.run(|| {
            let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 7), 443)).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (listener, client)
        });
        let ends = ends.unwrap();
        let port = ends.1.local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("hosts", hosts),
            ("resolv.conf", resolv),
            ("nsswitch.conf", "hosts: files dns\n"),
            ("services", "https 443/tcp\nshell 514/tcp\nsyslog 514/udp\n"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        Self { host, dir, _ends: ends, port }
    }

    /// `tcptop list` with these arguments.
    fn list(&self, arguments: &[&str]) -> Option<Output> {
        self.tcptop(&[&["list"], arguments].concat())
    }

    /// tcptop with these arguments, where `/etc` has the files of the test.
    fn tcptop(&self, arguments: &[&str]) -> Option<Output> {
        let script = r#"for f in hosts resolv.conf nsswitch.conf services; do
            [ -e /etc/$f ] || : > /etc/$f && mount --bind "$0/$f" /etc/$f || exit 99; done; exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(self.dir.path()).arg(TCPTOP);
        let output = self.host.run(|| command.args(arguments).output()).unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        (output.status.success()).then_some(()).or_else(|| {
            assert!(output.status.code() == Some(99) || said.contains("unshare"), "{output:?}");
            skip("resolve", &said);
            None
        })?;
        Some(output)
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn names_come_from_where_this_machine_looks_for_them() {
    lab(|| {
        let rig = Rig::new("127.0.0.1 here\n127.0.0.7 db.example alias\n", "");
        let Some(output) = rig.list(&["-r", "--text", "--columns", "local,peer", "state", "established"])
        else {
            return;
        };
        let (said, port) = (text(&output), rig.port);
        assert!(said.contains(&format!("here:{port}")), "the kernel gave the port to a client: {said}");
        assert!(said.lines().any(|l| l.ends_with("db.example:https")), "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");

        let output = rig.list(&["-r", "--json", "dport = :443"]).unwrap();
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let peer = json!({"addr": "127.0.0.7", "port": 443, "name": "db.example", "service": "https"});
        assert_eq!(list["sockets"][0]["peer"], peer);

        let numbers = text(&rig.list(&["--columns", "peer_addr,peer_port", "dport = :443"]).unwrap());
        assert_eq!(numbers.lines().nth(1), Some("127.0.0.7\t443"), "without -r");
        assert_eq!(
            numbers,
            text(&rig.list(&["-rn", "--columns", "peer_addr,peer_port", "dport = :443"]).unwrap())
        );
        let named = text(&rig.list(&["-nr", "--columns", "peer_addr,peer_port", "dport = :443"]).unwrap());
        assert_eq!(named.lines().nth(1), Some("db.example\thttps"), "the last one counts");
    });
}

#[test]
fn a_report_says_names_for_people_and_beside_the_numbers_for_programs() {
    lab(|| {
        let rig = Rig::new("127.0.0.1 here\n127.0.0.7 db\u{1b}[2J.example\n", "");
        let Some(output) = rig.tcptop(&["-r", "report"]) else { return };
        let said = text(&output);
        assert!(said.contains("db\\u{1b}[2J.example:https") && !said.contains('\u{1b}'), "{said}");
        assert!(said.lines().any(|l| l.starts_with("here ")), "a peer: {said}");
        let output = rig.tcptop(&["report", "--resolve", "--json"]).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let peers = report["peers"].as_array().unwrap();
        assert!(peers.iter().any(|p| p["addr"] == "127.0.0.1" && p["name"] == "here"), "{report}");
        let local =
            json!({"addr": "127.0.0.7", "port": 443, "name": "db\u{1b}[2J.example", "service": "https"});
        assert_eq!(report["listeners"][0]["local"], local);
        let numbers = text(&rig.tcptop(&["report"]).unwrap());
        assert!(numbers.contains("127.0.0.7:443") && !numbers.contains("here"), "{numbers}");
    });
}

#[test]
fn the_screen_shows_names_as_they_come_and_waits_for_none() {
    lab(|| {
        let resolv = "nameserver 127.0.0.53\noptions timeout:30 attempts:9\n";
        let rig = Rig::new("127.0.0.7 db\u{1b}[2J.example\n", resolv);
        // It never answers for 127.0.0.1.
        let _server = rig.host.run(|| UdpSocket::bind("127.0.0.53:53")).unwrap().unwrap();
        if rig.list(&["-n"]).is_none() {
            return;
        }
        let line = format!(
            "exec unshare --mount sh -c 'for f in hosts resolv.conf nsswitch.conf services; do \
             mount --bind \"$0/$f\" /etc/$f || exit 99; done; exec \"$@\"' '{}' $0 -r state established",
            rig.dir.path().display()
        );
        let mut term = rig.host.run(move || Term::start(shell(&line), 120, 30)).unwrap();
        term.until("the first frame", |s| s.contents().contains("2 of 3 sockets"));
        term.send("3");
        let number = format!("127.0.0.1:{} ", rig.port);
        term.until("a name, and the number of what has none", |s| {
            let text = s.contents();
            text.contains("db\\u{1b}[2J.example:https") && text.contains(&number)
        });
        term.send("R");
        term.until("numbers again", |s| {
            s.contents().contains("127.0.0.7:443") && !s.contents().contains("example")
        });
        term.send("q");
        assert!(term.ended().success(), "who still asks for a name does not hold it up");
    });
}

#[test]
fn a_port_of_udp_has_the_name_that_it_has_there() {
    lab(|| {
        let rig = Rig::new("127.0.0.1 here\n", "");
        let _socket = rig.host.run(|| UdpSocket::bind("127.0.0.1:514")).unwrap().unwrap();
        let Some(output) = rig.list(&["-u", "-r", "--columns", "local", "sport = :syslog"]) else { return };
        assert_eq!(text(&output).lines().nth(1), Some("here:syslog"), "{output:?}");
    });
}

#[test]
fn a_hostile_name_reaches_no_terminal_and_no_line() {
    lab(|| {
        let rig = Rig::new("127.0.0.1 a\u{1b}[2Jb\u{202e}\n127.0.0.7 x\u{7}y\n", "");
        let args = ["-r", "--columns", "local,peer", "state", "established"];
        for format in [&[][..], &["--text"], &["--csv"]] {
            let Some(output) = rig.list(&[format, &args[..]].concat()) else { return };
            let said = text(&output);
            assert!(said.contains("a\\u{1b}[2Jb\\u{202e}"), "the name is there: {said:?}");
            assert!(!said.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{said:?}");
            assert_eq!(said.lines().count(), 3, "{said:?}");
        }
    });
}

#[test]
fn a_name_server_is_asked_and_one_that_never_answers_is_not_waited_for() {
    lab(|| {
        let rig = Rig::new("127.0.0.1 here\n", "nameserver 127.0.0.53\noptions timeout:30 attempts:9\n");
        // It hears the questions and never answers.
        let server = rig.host.run(|| UdpSocket::bind("127.0.0.53:53")).unwrap().unwrap();
        server.set_nonblocking(true).unwrap();
        let Some(output) = rig.list(&["-r", "--columns", "peer", "dport = :443"]) else { return };
        assert!(server.recv(&mut [0; 512]).is_ok(), "the server was asked");
        assert_eq!(text(&output).lines().nth(1), Some("127.0.0.7:https"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("1 of 2 addresses stay numbers: no answer within 2 s"), "{said}");
    });
}

#[test]
fn a_name_from_a_name_server_is_shown() {
    lab(|| {
        let rig = Rig::new("127.0.0.1 here\n", "nameserver 127.0.0.53\n");
        let server = rig.host.run(|| UdpSocket::bind("127.0.0.53:53")).unwrap().unwrap();
        server.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let answering = std::thread::spawn(move || {
            let mut question = [0; 512];
            let (len, from) = server.recv_from(&mut question).unwrap();
            server.send_to(&answer(&question[..len]), from).unwrap();
        });
        let output = rig.list(&["-r", "--columns", "peer", "dport = :443"]);
        answering.join().unwrap();
        let Some(output) = output else { return };
        assert_eq!(text(&output).lines().nth(1), Some("db.test:https"), "{output:?}");
    });
}

/// The question with one PTR record, `db.test`, behind it (RFC 1035, 4.1).
fn answer(question: &[u8]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|b| *b == 0).unwrap() + 5;
    let mut message = question[..2].to_vec();
    message.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    message.extend(&question[12..end]);
    message.extend([0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 60, 0, 9, 2]);
    message.extend(b"db\x04test\0");
    message
}
