//! What an ordinary user sees: everything but marks, and the word that something is withheld.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tcptop::lab::{Lab, Specimen};
use tempfile::TempDir;

use crate::harness::{lab_with_ss, skip, wait_for};
use crate::states::zoo;
use crate::tool::{self, Listed};

/// `nobody` on every distribution.
pub const NOBODY: u32 = 65534;

/// A lab with every kind of socket, and a program for the observer in it.
fn beside_nobody(body: impl FnOnce(&Lab, &Path, &[Specimen])) {
    lab_with_ss(|| {
        let Some((_dir, program)) = program_for_everyone() else {
            return skip("observer", "one user only in this user namespace");
        };
        let (lab, specimens) = zoo();
        body(&lab, &program, &specimens);
    });
}

#[test]
fn an_ordinary_user_sees_every_socket() {
    beside_nobody(|lab, program, _| {
        wait_for("quiet moment", || {
            let before = tool::list(lab.near(), &[]);
            let seen = tool::list_as(lab.near(), NOBODY, program, &[]);
            let after = tool::list(lab.near(), &[]);
            let quiet = without_time(&before) == without_time(&after);
            if !quiet {
                return Err("something moved".into());
            }
            assert_eq!(without_time(&seen), without_time(&before));
            Ok(())
        });
    });
}

#[test]
fn marks_are_for_root_and_unknown_to_others() {
    beside_nobody(|lab, program, specimens| {
        let marked = specimens.iter().find(|s| s.name == "marked").unwrap();
        let (cookie, _inode) = marked.identity().unwrap().unwrap();
        let columns = ["--columns", "cookie,mark"];
        let ours = tool::list(lab.near(), &columns);
        let theirs = tool::list_as(lab.near(), NOBODY, program, &columns);
        assert_eq!(ours.rows[&cookie]["mark"], json!(0x2a));
        assert!(!theirs.rows.is_empty());
        assert!(theirs.rows.values().all(|row| row.get("mark").is_none_or(Value::is_null)));
        assert_eq!(theirs.rows[&cookie].get("mark"), Some(&Value::Null), "unknown, not absent");
    });
}

#[test]
fn a_report_says_with_whose_eyes_it_was_made() {
    beside_nobody(|lab, program, _| {
        let ours = tool::report(lab.near(), &[]);
        let theirs = tool::report_as(lab.near(), NOBODY, program);
        assert_eq!(ours["host"]["privileged"], json!(true));
        assert_eq!(theirs["host"]["privileged"], json!(false));
        assert_eq!(theirs["states"], ours["states"]);
    });
}

#[test]
fn an_ordinary_user_who_asks_for_all_namespaces_gets_his_own_and_the_word_that_others_are_missing() {
    beside_nobody(|lab, program, specimens| {
        let theirs = tool::list_as(lab.near(), NOBODY, program, &["--netns", "all"]);
        let (cookie, _inode) = specimens[0].identity().unwrap().unwrap();
        assert!(theirs.rows.contains_key(&cookie), "{:?}", theirs.head);
        assert_eq!(theirs.head["complete"], json!(false));
        assert!(theirs.head["gaps"].to_string().contains("do not show their namespace"), "{:?}", theirs.head);
    });
}

/// The program where everyone may run it: a build directory often is not such a place. `None` where this process
/// cannot become somebody else.
pub fn program_for_everyone() -> Option<(TempDir, PathBuf)> {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    let users: u64 = map.split_whitespace().nth(2)?.parse().ok()?;
    if users <= u64::from(NOBODY) {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("tcptop");
    fs::copy(Path::new(env!("CARGO_BIN_EXE_tcptop")), &program).unwrap();
    Some((dir, program))
}

/// The rows without what moves by itself and without what depends on the observer.
fn without_time(listed: &Listed) -> Vec<Value> {
    let strip = |row: &Value| {
        let mut row = row.clone();
        let fields = row.as_object_mut().unwrap();
        // Whoever may ask the sockets themselves knows more of keepalive and of processes.
        for key in ["processes", "cgroup", "keepalive"] {
            fields.remove(key);
        }
        if let Some(timer) = fields.get_mut("timer").and_then(Value::as_object_mut) {
            timer.remove("expires_ms");
        }
        row
    };
    listed.rows.values().map(strip).collect()
}
