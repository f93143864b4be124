//! Arguments, help, exit codes, closed pipes.

use std::process::{Command, Stdio};

use predicates::prelude::*;
use predicates::str::contains;

use super::{stdout, tcptop};

#[test]
fn the_version_is_that_of_the_package() {
    assert_eq!(stdout(&["-V"]), format!("tcptop {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_names_the_commands_that_work_and_no_others() {
    let help = stdout(&["--help"]);
    for command in ["report", "list", "kill", "check", "explain", "completions", "man"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
    }
    for later in ["record", "replay", "serve", "--lang"] {
        assert!(!help.contains(later), "{later}: {help}");
    }
}

#[test]
fn list_help_explains_every_column() {
    let help = stdout(&["list", "--help"]);
    let refused = tcptop(&["list", "--columns", "?"]).assert().code(2);
    let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    let names = said.lines().find_map(|l| l.trim().strip_prefix("columns: ")).expect("the valid names");
    assert!(names.split(", ").count() > 20);
    for name in names.split(", ") {
        assert!(help.contains(&format!("\n  {name} ")), "{name}");
        let empty = ["list", "--csv", "--limit", "0", "--probe-options", "state all", "--columns", name];
        assert!(stdout(&empty).starts_with(name));
    }
}

#[test]
fn mistakes_are_usage_errors_that_name_what_is_valid() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["list", "--columns", "state,recv_queue"], &["recv_queue", "did you mean recv_q?", "cgroup_id"]),
        (&["list", "--sort", "cooky"], &["cooky", "did you mean cookie?", "proto, family"]),
        (&["list", "--sort", "state:down"], &["state:asc or state:desc"]),
        (&["list", "--json", "--csv"], &["cannot be used with"]),
        (&["list", "--limit", "-1"], &["-1"]),
        (&["list", "--limit", "many"], &["many", "--limit", "not a number of sockets"]),
        (&["list", "--interval", "soon"], &["not a number of seconds"]),
        (&["list", "--bogus"], &["no option --bogus", "--columns, --sort", "Usage: tcptop list "]),
        (&["-4", "check", "--fail"], &["did you mean --fail-on?", "Usage: tcptop check "]),
        (&["list", "sprot = 1"], &["did you mean sport?", "Usage: tcptop list "]),
        (&["--color", "pink", "report"], &["auto, always, never"]),
        (&["--interval", "0.05"], &["0.1 to 3600 seconds"]),
        (&["--interval", "NaN"], &["0.1 to 3600 seconds"]),
        (&["--interval", "soon"], &["not a number of seconds"]),
        (&["--interval", "2", "report"], &["--interval", "live screen"]),
        (&["kill", "-u", "sport = :53"], &["--udp is not for kill", "closes TCP connections", "list --udp"]),
        (&["-u", "explain"], &["--udp is for the screen, for list, for report and for check"]),
        (&["reprot"], &["reprot", "report"]),
        (&["--frobnicate"], &["no option --frobnicate", "--netns", "Usage: tcptop [OPTIONS]"]),
        (&["completions", "csh"], &["bash"]),
    ];
    for (args, words) in cases {
        let failed = tcptop(args).assert().code(2).stdout("");
        for word in *words {
            let stderr = String::from_utf8_lossy(&failed.get_output().stderr);
            assert!(stderr.contains(word), "{args:?} should say {word:?}: {stderr}");
        }
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    for args in
        [&["list"][..], &["list", "--json"], &["list", "--csv"], &["report"], &["report", "--json"], &["man"]]
    {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tcptop"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        assert_eq!(
            (done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

#[test]
fn a_full_disk_is_an_error_of_one_line() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        eprintln!("SKIPPED: no /dev/full");
        return;
    };
    let done = Command::new(env!("CARGO_BIN_EXE_tcptop")).arg("report").stdout(full).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(said.starts_with("tcptop: writing to standard output: ") && said.lines().count() == 1, "{said}");
}

#[test]
fn completions_and_the_manual_know_the_options() {
    tcptop(&["completions", "bash"])
        .assert()
        .success()
        .stdout(contains("--columns").and(contains("_tcptop")));
    tcptop(&["man"])
        .assert()
        .success()
        .stdout(contains(".TH tcptop").and(contains("TCPTOP LIST")).and(contains("recv_q")));
}

#[test]
fn without_a_terminal_the_screen_says_so_and_what_would_help() {
    let done = tcptop(&[]).assert().code(1).stdout("");
    let said = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("not a terminal") && said.contains("tcptop report"), "{said}");
}
