//! `tcptop kill` on sockets in every state.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use tcptop::lab::Host;

use crate::harness::{lab, lab_with_ss, skip, wait_for};
use crate::observer::program_for_everyone;
use crate::ss;
use crate::states::zoo;
use crate::terminal::{Term, shell};
use crate::tool::TCPTOP;

/// Closes sockets of this very process, too, which is above the program that closes them.
fn kill(host: &Host, args: &[&str]) -> Output {
    host.run(|| Command::new(TCPTOP).args(["kill", "--own-session"]).args(args).output()).unwrap().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A connection on a host's loopback: its listener, client and server.
fn pair(host: &Host) -> (TcpListener, TcpStream, TcpStream) {
    host.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        (listener, client, server)
    })
    .unwrap()
}

#[test]
fn every_state_is_closed_as_the_plan_says() {
    lab_with_ss(|| {
        let (lab, specimens) = zoo();
        let near = lab.near();
        let before = ss::ss(near, &[]);
        let shown = said(&kill(near, &["--dry-run", "state", "all"]));
        assert!(shown.contains("the peer gets a reset; the program gets ECONNABORTED"), "{shown}");
        assert!(shown.contains("the kernel forgets it") && shown.contains("connect() fails"), "{shown}");
        assert!(shown.contains("a listener: only with --listeners"), "{shown}");
        assert!(shown.contains("no way to close it"), "{shown}");
        let after = ss::ss(near, &[]);
        assert!(
            before.keys().filter(|c| after.contains_key(c)).count() > before.len() / 2,
            "a dry run closes nothing"
        );

        let done = kill(near, &["--yes", "state", "all"]);
        assert!(done.status.success(), "{}", said(&done));
        let left = ss::ss(near, &[]);
        let states: Vec<_> = left.values().map(|row| row.state.as_str()).collect();
        assert!(states.iter().all(|s| *s == "LISTEN") && !states.is_empty(), "{states:?}");

        let done = kill(near, &["--yes", "--listeners", "state", "listening"]);
        assert!(done.status.success(), "{}", said(&done));
        // A peer that repeats its SYN may have come in between.
        wait_for("an empty table", || {
            let left = ss::ss(near, &[]);
            assert!(left.values().all(|row| row.state != "LISTEN"), "{left:?}");
            if !left.is_empty() {
                kill(near, &["--yes", "state", "all"]);
            }
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
        let done = kill(near, &["--yes", "state", "all"]);
        assert!(said(&done).contains("no way to close it"), "the bound socket remains: {}", said(&done));
        drop(specimens);
    });
}

#[test]
fn a_listener_that_listens_no_more_is_not_called_gone_while_its_port_is_taken() {
    lab(|| {
        let host = Host::new().unwrap();
        // A port that the program chose: one that the kernel chose is free again.
        let at = SocketAddr::from(([127, 0, 0, 1], 7100));
        let listener = host.run(|| TcpListener::bind(at).unwrap()).unwrap();
        let bound_again = || host.run(|| TcpListener::bind(at)).unwrap();
        // std sets SO_REUSEADDR, which shares a port with a socket that has it and does not listen.
        rustix::net::sockopt::set_socket_reuseaddr(&listener, false).unwrap();
        let port = at.port().to_string();
        let args = ["--yes", "--listeners", "state", "listening", "sport", "=", &port];
        let done = kill(&host, &args);
        assert!(done.status.success(), "{}", said(&done));
        assert!(said(&done).contains("the port that it bound stays taken"), "before: {}", said(&done));
        let text = said(&done);
        assert!(text.contains("1 socket no longer listening") && !text.contains("gone"), "{text}");
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(bound_again().unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listener);
        assert!(bound_again().is_ok());
    });
}

#[test]
fn a_connection_that_nobody_accepted_is_not_said_to_be_a_programs() {
    lab(|| {
        let host = Host::new().unwrap();
        let listener = host.run(|| TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let mut client = host.run(|| TcpStream::connect(listener.local_addr().unwrap()).unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let done = kill(&host, &["--yes", "state", "established", "sport", "=", &port]);
        assert!(said(&done).contains("no program has accepted it yet"), "{}", said(&done));
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        let (mut dead, _) = listener.accept().unwrap();
        assert_eq!(dead.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
    });
}

#[test]
fn when_everything_is_left_alone_the_exit_code_and_one_line_say_so() {
    lab(|| {
        let host = Host::new().unwrap();
        let (_listener, client, _server) = pair(&host);
        let ended = |args: &[&str]| {
            let done = kill(&host, args);
            let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
            (done.status.code(), stderr)
        };
        let why = "tcptop: closing nothing, 1 socket matches and is left alone: a listener: only with --listeners\n";
        assert_eq!(ended(&["--yes", "state", "listening"]), (Some(1), why.to_owned()));
        assert_eq!(ended(&["--dry-run", "state", "listening"]), (Some(0), String::new()));
        assert_eq!(ended(&["--yes", "state", "time-wait"]), (Some(0), String::new()));
        assert!(client.take_error().unwrap().is_none());
    });
}

#[test]
fn only_what_matches_is_closed_and_both_ends_learn_of_it() {
    lab(|| {
        let host = Host::new().unwrap();
        let (listener, mut client, mut server) = pair(&host);
        let (_other_listener, other, _kept) = pair(&host);
        let port = client.local_addr().unwrap().port().to_string();
        let done = kill(&host, &["--yes", "sport", "=", &port]);
        assert!(said(&done).contains("1 socket gone"), "{}", said(&done));
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        let error = wait_for("reset", || server.read(&mut [0]).map_or_else(Ok, |n| Err(format!("read {n}"))));
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(other.peer_addr().is_ok() && other.take_error().unwrap().is_none());
        drop(listener);
    });
}

#[test]
fn the_own_session_is_spared_unless_it_is_meant() {
    lab(|| {
        let host = Host::new().unwrap();
        let (_listener, client, server) = pair(&host);
        let (local, peer) = (server.local_addr().unwrap(), client.local_addr().unwrap());
        let session = format!("{} {} {} {}", peer.ip(), peer.port(), local.ip(), local.port());
        let run = |args: &[&str]| {
            let mut command = Command::new(TCPTOP);
            command
                .args(["kill", "--yes", "state", "established"])
                .args(args)
                .env("SSH_CONNECTION", &session);
            host.run(|| command.output()).unwrap().unwrap()
        };
        let done = run(&[]);
        assert!(
            said(&done).contains("this session runs over it: only with --own-session"),
            "{}",
            said(&done)
        );
        assert!(client.take_error().unwrap().is_none());
        let done = run(&["--own-session"]);
        assert!(said(&done).contains("2 sockets gone"), "{}", said(&done));
    });
}

#[test]
fn an_ordinary_user_is_told_why_nothing_happened() {
    lab(|| {
        let Some((dir, program)) = program_for_everyone() else {
            return skip("kill", "one user only in this user namespace");
        };
        let host = Host::new().unwrap();
        let (_listener, client, _server) = pair(&host);
        let mut command = Command::new(program);
        command.args(["kill", "--yes", "state", "established"]).uid(65_534).gid(65_534);
        let done = host.run(|| command.output()).unwrap().unwrap();
        assert_eq!(done.status.code(), Some(1), "{}", said(&done));
        let why = "tcptop: closing 2 sockets: not permitted; run as root or with CAP_NET_ADMIN\n";
        assert_eq!(String::from_utf8_lossy(&done.stderr), why);
        let mut command = Command::new(dir.path().join("tcptop"));
        command.args(["kill", "--dry-run", "state", "established"]).uid(65_534).gid(65_534);
        let shown = host.run(|| command.output()).unwrap().unwrap();
        assert!(shown.status.success() && shown.stderr.is_empty());
        let refused = "2 sockets to close, which the kernel would refuse: not permitted";
        assert!(said(&shown).starts_with(refused), "{}", said(&shown));
        assert!(client.take_error().unwrap().is_none());
    });
}

#[test]
fn the_screen_closes_what_it_has_shown_and_says_what_is_gone() {
    lab(|| {
        let host = Host::new().unwrap();
        let (_listener, mut client, mut server) = pair(&host);
        let (_other_listener, mut other, _kept) = pair(&host);
        let port = client.local_addr().unwrap().port();
        let start = || Term::start(shell(&format!("exec $0 sport = :{port}")), 100, 30);
        let mut term = host.run(start).unwrap();
        term.until("the matching socket", |s| s.contents().contains("1 of 6 sockets"));
        term.send("3");
        term.until("its row", |s| s.contents().contains(&format!("127.0.0.1:{port} ")));
        // The test is above the program, so its connections pass for the session's own.
        term.send("K");
        term.until("the refusal", |s| {
            let text = s.contents();
            text.contains("nothing to close") && text.contains("this session runs over it; o closes it, too")
        });
        term.send("yo");
        term.until("the question", |s| {
            let text = s.contents();
            text.contains("Close 1 socket?") && text.contains("1 ESTABLISHED: the peer gets a reset")
        });
        assert!(client.take_error().unwrap().is_none(), "nothing is closed before it is confirmed");
        term.send("y");
        term.until("what became of it", |s| s.contents().contains("1 socket gone."));
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
        let error = wait_for("reset", || server.read(&mut [0]).map_or_else(Ok, |n| Err(format!("read {n}"))));
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "the other one lives");
        term.send("\x1b");
        term.until("the table without it", |s| s.contents().contains("0 of "));
        term.send("q");
        assert!(term.ended().success());
    });
}

#[test]
fn a_screen_that_may_not_change_anything_closes_nothing() {
    lab(|| {
        let host = Host::new().unwrap();
        let (_listener, client, _server) = pair(&host);
        let start = || Term::start(shell("exec $0 --read-only state established"), 100, 30);
        let mut term = host.run(start).unwrap();
        term.until("the sockets", |s| s.contents().contains("2 of 3 sockets"));
        term.send("3K");
        term.until("the refusal", |s| s.contents().contains("--read-only: no socket can be closed"));
        term.send("oy");
        term.send("q");
        assert!(term.ended().success());
        assert!(client.take_error().unwrap().is_none());
    });
}
