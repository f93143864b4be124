//! The real program in a real terminal.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod harness;

use std::net::{TcpListener, TcpStream};

use harness::{Term, gone, shell};
use portable_pty::CommandBuilder;
use rustix::process::Signal;
use tcptop::tui::terminal::Guard;

/// Connections on the loopback, so that there is a peer.
struct Traffic {
    listener: TcpListener,
    _ends: Vec<(TcpStream, TcpStream)>,
}

fn traffic() -> Traffic {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let ends = (0..40).map(|_| (TcpStream::connect(to).unwrap(), listener.accept().unwrap().0)).collect();
    Traffic { listener, _ends: ends }
}

#[test]
fn the_first_screen_comes_up_and_takes_the_whole_terminal() {
    let _traffic = traffic();
    let mut term = Term::painted();
    term.is_taken();
    term.until("the peer", |s| s.contents().contains("127.0.0.1"));
    term.until("every pane", |s| {
        ["States", "Limits", "Peers", "ESTABLISHED", "1 Overview", "q quit"]
            .iter()
            .all(|w| s.contents().contains(w))
    });
    term.send("q");
    assert!(term.ended().success());
}

#[test]
fn tables_are_sorted_opened_and_left_again() {
    let traffic = traffic();
    let port = traffic.listener.local_addr().unwrap().port();
    let mut term = Term::painted();
    term.send("2");
    term.until("the peers", |s| s.contents().contains("▾TOTAL") && s.contents().contains("127.0.0.1"));
    term.send("<");
    term.until("another order", |s| s.contents().contains("REMOTE IP▴"));
    term.send("r");
    term.until("its reverse", |s| s.contents().contains("REMOTE IP▾"));
    term.send(">");
    term.until("the first order", |s| s.contents().contains("▾TOTAL"));
    // Down and up: the cursor is on a row, which the loopback's peer is.
    term.send("4");
    term.until("the listeners", |s| s.contents().contains(&format!("127.0.0.1:{port}")));
    term.send("3");
    term.until("the sockets", |s| s.contents().contains("KEEPALIVE"));
    term.send("\r");
    term.until("a socket", |s| s.contents().contains("─ Socket ─"));
    term.send("\x1b");
    term.until("the sockets again", |s| s.contents().contains("─ Sockets ─"));
    term.send("?");
    term.until("the help", |s| s.contents().contains("Keys that are live here"));
    term.send("\x03");
    assert!(term.ended().success());
    term.is_given_back();
}

#[test]
fn the_socket_of_a_detail_is_asked_for_by_itself() {
    let _traffic = traffic();
    let mut term = Term::painted();
    term.resize(120, 60);
    term.send("3");
    term.until("the sockets", |s| s.contents().contains("ESTABLISHED"));
    term.send("\r");
    // A socket of another test may end before it was asked for: then the next one will do.
    loop {
        term.until("what the kernel says of it", |s| {
            ["rcv_ssthresh", "closed"].iter().any(|w| s.contents().contains(w))
        });
        if term.shows("rcv_ssthresh") {
            break;
        }
        term.send("\x1b");
        term.until("the sockets again", |s| s.contents().contains("─ Sockets ─"));
        term.send("j\r");
        term.until("another socket", |s| s.contents().contains("─ Socket ─"));
    }
    term.send("q");
    term.ended();
}

#[test]
fn a_storm_of_sizes_ends_in_a_whole_screen() {
    let _traffic = traffic();
    let mut term = Term::painted();
    for n in 0_u16..200 {
        term.resize(1 + n * 37 % 211, 1 + n * 23 % 61);
        if n % 20 == 0 {
            term.send(["2", "3", "4", "5", "6", "?", "1"][usize::from(n / 20 % 7)]);
        }
    }
    term.resize(80, 24);
    term.send("1");
    term.until("a whole screen", |s| {
        let text = s.contents();
        let lines: Vec<&str> = text.lines().collect();
        lines.len() == 24
            && lines[1].starts_with("╭─ States ")
            && lines[1].ends_with('╮')
            && lines[22].starts_with("╰─ 1 Overview ")
            && lines[22].ends_with('╯')
    });
    term.send("q");
    assert!(term.ended().success());
}

#[test]
fn quitting_leaves_the_terminal_as_it_was() {
    let mut term = Term::start(shell("$0; echo rc=$?"), 80, 24);
    term.until("the first paint", |s| s.contents().contains("REMOTE IP"));
    term.is_taken();
    assert_ne!(term.modes(), term.before, "the terminal is raw while the program runs");
    term.send("q");
    term.until("the shell", |s| s.contents().contains("rc=0"));
    term.is_given_back();
    assert_eq!(term.modes(), term.before);
    term.ended();
}

#[test]
fn signals_that_end_a_program_leave_the_terminal_as_it_was() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let mut term = Term::painted();
        term.is_taken();
        term.signal(signal);
        let status = term.ended();
        assert!(status.signal().is_none(), "{signal:?} was not handled: {status:?}");
        term.is_given_back();
    }
}

#[test]
fn stopping_and_continuing_gives_the_terminal_back_and_takes_it_again() {
    let line = "set -m; $0; echo stopped; read go; fg; echo stopped again; read go; fg; echo ended";
    let mut term = Term::start(shell(line), 80, 24);
    // Two ways to stop: the key, and the signal from outside.
    for (round, said) in ["stopped", "stopped again"].into_iter().enumerate() {
        term.until("the screen", |s| s.alternate_screen() && s.contents().contains("REMOTE IP"));
        term.is_taken();
        if round == 0 {
            term.send("\x1a");
        } else {
            term.signal_job(Signal::TSTP);
        }
        term.until("the shell", |s| !s.alternate_screen() && s.contents().contains(said));
        term.is_given_back();
        assert_eq!(term.modes(), term.before);
        term.send("go\n");
    }
    term.until("the screen again", |s| s.alternate_screen() && s.contents().contains("REMOTE IP"));
    term.send("q");
    term.until("the shell", |s| s.contents().contains("ended"));
    term.is_given_back();
    assert_eq!(term.modes(), term.before);
    term.ended();
}

#[test]
fn without_a_shell_to_return_to_the_stop_key_is_refused() {
    let mut term = Term::painted();
    term.send("\x1a");
    term.until("the refusal", |s| s.contents().contains("no shell"));
    term.send("q");
    assert!(term.ended().success());
}

#[test]
fn a_terminal_that_dies_takes_the_program_with_it() {
    let term = Term::painted();
    let mut child = term.die();
    gone(child.process_id().unwrap());
    let status = child.wait().unwrap();
    assert!(matches!(status.exit_code(), 0 | 1), "it ends, and does not panic: {status:?}");
}

#[test]
fn a_terminal_that_dies_without_a_signal_takes_the_program_with_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // In a session of its own no hangup signal reaches it: only the terminal itself tells.
    let line = format!("exec 3<&0; setsid $0 <&3 & echo $! > {}; wait", file.path().display());
    let term = Term::start(shell(&line), 80, 24);
    term.until("the first paint", |s| s.contents().contains("REMOTE IP"));
    let pid = std::fs::read_to_string(file.path()).unwrap().trim().parse().unwrap();
    drop(term.die());
    gone(pid);
}

#[test]
fn without_a_terminal_it_says_so() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tcptop")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("tcptop: ") && said.contains("terminal") && said.lines().count() == 1, "{said}");
}

#[test]
fn no_colour_and_ascii_are_what_the_environment_asks_for() {
    let mut term = Term::start(shell("LC_ALL=C NO_COLOR=1 exec $0"), 80, 24);
    term.until("the first paint", |s| s.contents().contains("REMOTE IP"));
    term.until("plain characters without colours", |s| {
        let cells = || (0..24).flat_map(|y| (0..80).filter_map(move |x| s.cell(y, x)));
        s.contents().is_ascii()
            && cells().all(|c| c.fgcolor() == vt100::Color::Default && c.bgcolor() == vt100::Color::Default)
            && cells().any(vt100::Cell::inverse)
    });
    term.send("q");
    term.ended();
}

/// Not a test by itself: the next one runs it inside a terminal.
#[test]
#[ignore = "panics on purpose; run by a_panic_leaves_the_terminal_as_it_was"]
fn panics_in_the_terminal() {
    let guard = Guard::take().unwrap();
    // As a thread of the engine would: the drawing thread lives on.
    let thread = std::thread::spawn(|| panic!("on purpose"));
    assert!(thread.join().is_err());
    drop(guard);
}

#[test]
fn a_panic_leaves_the_terminal_as_it_was() {
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args(["--exact", "panics_in_the_terminal", "--ignored", "--nocapture"]);
    let mut term = Term::start(command, 80, 24);
    term.ended();
    term.until("the message of the panic", |s| s.contents().contains("on purpose"));
    term.is_given_back();
    assert_eq!(term.modes(), term.before);
}

#[test]
fn a_filter_is_typed_with_a_mistake_and_then_without() {
    let traffic = traffic();
    let port = traffic.listener.local_addr().unwrap().port();
    let mut term = Term::painted();
    term.send(&format!("/sprt = :{port}"));
    term.until("the mistake, pointed at", |s| {
        let text = s.contents();
        text.contains(&format!("/ sprt = :{port}")) && text.contains("^^^^") && text.contains("sport?")
    });
    term.send("\x1b");
    term.until("the end of the line", |s| !s.contents().contains("sprt"));
    term.send(&format!("/state established and sport :{port}"));
    term.until("what matches", |s| s.contents().contains("filter state established and sport"));
    term.send("\r3");
    term.until("the matching sockets alone", |s| {
        let text = s.contents();
        let rows = || text.lines().filter(|l| l.contains("127.0.0.1:"));
        text.contains("40 of ") && rows().count() > 5 && rows().all(|l| l.contains("ESTABLISHED"))
    });
    term.send("q");
    assert!(term.ended().success());
}

#[test]
fn a_filter_on_the_command_line_is_in_force_from_the_first_frame() {
    let traffic = traffic();
    let port = traffic.listener.local_addr().unwrap().port();
    let mut term = Term::start(shell(&format!("exec $0 sport = :{port} and state established")), 80, 24);
    term.until("the first paint", |s| s.contents().contains("REMOTE IP"));
    term.until("the filter", |s| {
        let text = s.contents();
        text.contains(&format!("filter sport = :{port}")) && text.contains("40 of ")
    });
    term.send("q");
    assert!(term.ended().success());
}

#[test]
fn the_screen_follows_the_users_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, "interval = 2.5\ntheme = \"mono\"\n").unwrap();
    let line = format!("exec \"$0\" --config '{}'", file.display());
    let mut term = Term::start(shell(&line), 80, 24);
    term.until("how often it looks", |s| s.contents().contains("every 2.5 s"));
    term.send("q");
    assert!(term.ended().success());
    // An option is laid over it.
    let mut term = Term::start(shell(&format!("{line} --interval 4")), 80, 24);
    term.until("how often it looks", |s| s.contents().contains("every 4 s"));
    term.send("q");
    assert!(term.ended().success());
}
