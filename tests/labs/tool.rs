//! The program itself, run on a lab's host.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tcptop::lab::Host;

pub const TCPTOP: &str = env!("CARGO_BIN_EXE_tcptop");

/// `tcptop list --json` with more arguments if wanted.
pub fn list(host: &Host, args: &[&str]) -> Listed {
    Listed::new(json(&run(host, Command::new(TCPTOP).args(["list", "--json"]).args(args))))
}

/// `tcptop list --json` as an ordinary user.
pub fn list_as(host: &Host, uid: u32, program: &Path, args: &[&str]) -> Listed {
    let mut command = Command::new(program);
    Listed::new(json(&run(host, command.args(["list", "--json"]).args(args).uid(uid).gid(uid))))
}

/// `tcptop list` with more arguments, as a pipe gets it or in another format.
pub fn list_text(host: &Host, args: &[&str]) -> String {
    String::from_utf8(run(host, Command::new(TCPTOP).arg("list").args(args)).stdout).unwrap()
}

/// `tcptop report --json` with more arguments if wanted.
pub fn report(host: &Host, args: &[&str]) -> Value {
    json(&run(host, Command::new(TCPTOP).args(["report", "--json"]).args(args)))
}

/// `tcptop report` for people, likewise.
pub fn report_text(host: &Host, args: &[&str]) -> String {
    String::from_utf8(run(host, Command::new(TCPTOP).arg("report").args(args)).stdout).unwrap()
}

/// `tcptop check --json` with more arguments if wanted, whatever it finds.
pub fn check(host: &Host, args: &[&str]) -> Value {
    let done = host.run(|| Command::new(TCPTOP).args(["check", "--json"]).args(args).output());
    serde_json::from_slice(&done.unwrap().unwrap().stdout).unwrap()
}

/// `tcptop report --json` as an ordinary user.
pub fn report_as(host: &Host, uid: u32, program: &Path) -> Value {
    json(&run(host, Command::new(program).args(["report", "--json"]).uid(uid).gid(uid)))
}

fn run(host: &Host, command: &mut Command) -> Output {
    host.run(|| command.output()).unwrap().unwrap()
}

fn json(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tcptop ended with {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `tcptop list --json` said.
pub struct Listed {
    /// All but the sockets.
    pub head: Value,
    /// The sockets by cookie.
    pub rows: BTreeMap<u64, Value>,
}

impl Listed {
    /// Takes the rows apart by their cookies.
    pub fn new(mut head: Value) -> Self {
        let sockets = head.as_object_mut().unwrap().remove("sockets").unwrap();
        let mut rows = BTreeMap::new();
        for row in sockets.as_array().unwrap() {
            let cookie = row["cookie"].as_u64().unwrap();
            assert!(rows.insert(cookie, row.clone()).is_none(), "cookie {cookie} came twice");
        }
        Self { head, rows }
    }
}
