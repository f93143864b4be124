//! `tcptop lab SCENARIO -- COMMAND`: what it says, its exit code, and that nothing is left of it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use tcptop::lab::Host;

use crate::harness::{lab, wait_for};

const TCPTOP: &str = env!("CARGO_BIN_EXE_tcptop");

fn in_lab(scenario: &str, command: &[&str]) -> Command {
    let mut tcptop = Command::new(TCPTOP);
    tcptop.args(["lab", scenario, "--"]).args(command);
    tcptop
}

fn run(scenario: &str, command: &[&str]) -> Output {
    in_lab(scenario, command).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_command_sees_the_fault_and_its_output_is_its_own() {
    lab(|| {
        let got = run("blackhole", &["tcptop", "list", "--csv", "--columns", "state,peer"]);
        let said = text(&got.stderr);
        assert!(got.status.success(), "{said}");
        let out = text(&got.stdout);
        assert_eq!(out.lines().filter(|l| l.starts_with("SYN_SENT,")).count(), 12, "{out}");
        assert_eq!(out.lines().count(), 13, "a header and the fault, nothing else: {out}");
        for part in ["webhook calls", "webhook[", "What to see", "syn-sent-pileup"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    });
}

#[test]
fn the_exit_code_is_the_commands() {
    lab(|| {
        assert_eq!(run("port-taken", &["sh", "-c", "exit 7"]).status.code(), Some(7));
        assert_eq!(run("port-taken", &["sh", "-c", "kill -9 $$"]).status.code(), Some(137));
        let missing = run("port-taken", &["/nonexistent/command"]);
        assert_eq!(missing.status.code(), Some(1));
        assert!(text(&missing.stderr).contains("running /nonexistent/command"), "{}", text(&missing.stderr));
    });
}

/// A lab whose command sleeps, in a process group of its own; the pids of the command and of the scenario's program.
fn sleeping() -> (Child, [i32; 2]) {
    let mut command = in_lab("port-taken", &["sh", "-c", "echo $$; exec sleep 600"]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let sleeper = line.trim().parse().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let program =
        said.find_map(|l| l.trim().strip_prefix("retry-loop[")?.strip_suffix(']')?.parse().ok()).unwrap();
    (child, [sleeper, program])
}

fn wait_until_gone(pids: [i32; 2]) {
    for pid in pids {
        wait_for("end of a process", || match test_kill_process(Pid::from_raw(pid).unwrap()) {
            Err(_) => Ok(()),
            Ok(()) => Err(format!("{pid} is still there")),
        });
    }
}

#[test]
fn ctrl_c_ends_all_of_it() {
    lab(|| {
        let (mut child, pids) = sleeping();
        // A terminal tells the whole foreground group.
        kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        wait_until_gone(pids);
    });
}

#[test]
fn sigterm_ends_the_command_first_and_then_the_rest() {
    lab(|| {
        let (mut child, pids) = sleeping();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143));
        wait_until_gone(pids);
    });
}

#[test]
fn a_crash_leaves_nothing_behind() {
    lab(|| {
        let (mut child, pids) = sleeping();
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        assert!(!child.wait().unwrap().success());
        wait_until_gone(pids);
    });
}

#[test]
fn nothing_of_the_lab_is_to_be_seen_outside() {
    lab(|| {
        let outside = Host::new().unwrap();
        let mut lab = in_lab("port-taken", &["tcptop", "list", "--csv", "--columns", "state"]);
        let got = outside.run(|| lab.output()).unwrap().unwrap();
        assert_eq!(text(&got.stdout).lines().count(), 2, "{}", text(&got.stdout));
        assert_eq!(outside.sockets().unwrap(), []);
    });
}
