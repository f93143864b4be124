//! `tcptop explain`.

use std::io::Read as _;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use super::{stdout, tcptop};

#[test]
fn the_list_has_every_kind_and_a_sentence_for_each_name() {
    let list = stdout(&["explain"]);
    assert!(
        ["Rules\n", "\nStates\n", "\nLimits\n", "\nSysctls\n"].iter().all(|h| list.contains(h)),
        "{list}"
    );
    let line = list.lines().find(|l| l.trim_start().starts_with("close-wait-leak ")).expect("the rule");
    assert!(line.ends_with("peers have"), "{line}");
    assert!(list.lines().all(|l| l.chars().count() <= 80), "80 columns where there is no terminal: {list}");
}

#[test]
fn a_document_has_its_headings_and_the_values_of_this_machine() {
    let text = stdout(&["explain", "time-wait-overflow"]);
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what:?} in {text}"));
    let order = ["What it means", "How to confirm", "What to do now", "What not to do"].map(at);
    assert!(order.is_sorted(), "{text}");
    let max = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_max_tw_buckets").expect("the sysctl");
    assert!(text.contains(&format!("({} here)", max.trim())), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('{'), "{text}");
}

#[test]
fn states_and_sysctls_go_by_the_names_that_people_use() {
    for name in ["CLOSE_WAIT", "close-wait", "Close_Wait"] {
        assert!(stdout(&["explain", name]).starts_with("CLOSE_WAIT (state)\n"), "{name}");
    }
    let short = stdout(&["explain", "tcp_fin_timeout"]);
    assert_eq!(short, stdout(&["explain", "net.ipv4.tcp_fin_timeout"]));
    assert!(short.starts_with("sysctl-fin-timeout (rule)\n"), "{short}");
}

#[test]
fn an_unknown_name_is_a_usage_error_that_names_the_nearest() {
    let failed = tcptop(&["explain", "closewait-leak"]).assert().code(2).stdout("");
    let stderr = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
    assert!(stderr.contains("close-wait-leak") && stderr.contains("`tcptop explain` lists all"), "{stderr}");
}

#[test]
fn colours_are_for_those_who_ask() {
    assert!(
        stdout(&["explain", "--color", "always", "close-wait-leak"]).contains("\u{1b}[1mclose-wait-leak")
    );
    assert!(!stdout(&["explain", "close-wait-leak"]).contains('\u{1b}'));
}

/// What the program writes to a terminal of 60 columns.
fn on_a_terminal(pager: &str, more: &[(&str, &str)]) -> String {
    let size = PtySize { rows: 24, cols: 60, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a terminal");
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_tcptop"));
    command.args(["explain", "close-wait-leak"]);
    command.env_remove("NO_COLOR");
    command.env("TERM", "xterm");
    command.env("PAGER", pager);
    for (name, value) in more {
        command.env(name, value);
    }
    let mut child = pair.slave.spawn_command(command).expect("the program");
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().expect("the terminal");
    let mut shown = Vec::new();
    // A terminal whose programs have ended reads as an input/output error.
    let _ = reader.read_to_end(&mut shown);
    assert!(child.wait().expect("its end").success());
    String::from_utf8(shown).expect("UTF-8").replace("\r\n", "\n")
}

#[test]
fn a_terminal_gets_pages_of_its_own_width_in_colour() {
    let paged = on_a_terminal("sed s/^/page:/", &[]);
    assert!(paged.lines().all(|l| l.starts_with("page:")) && paged.lines().count() > 20, "{paged}");
    assert!(paged.contains("\u{1b}[1m"), "{paged}");
    let plain = on_a_terminal("cat", &[("NO_COLOR", "1")]);
    assert!(!plain.contains('\u{1b}'), "{plain}");
    let prose = plain.lines().filter(|l| !l.starts_with("    "));
    let widest = prose.map(|l| l.chars().count()).max();
    assert!(widest.is_some_and(|w| w > 50 && w <= 60), "{widest:?}");
}
