//! Runs a test where namespaces can be made, or says why it cannot.

use std::any::type_name;
use std::env;
use std::io::{self, Write};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::ss;
use tcptop::sys::netns::{self, NetNs};

const CONFINED: &str = "TCPTOP_LAB_CONFINED";
const SKIPPED: &str = "SKIPPED";

/// Runs `test` as [`lab`] does if there is also an ss to compare with.
pub fn lab_with_ss<F: FnOnce()>(test: F) {
    if ss::is_there() { lab(test) } else { skip(&name_of::<F>(), "no ss (iproute2)") }
}

/// Runs `test`, for an ordinary user inside a user namespace of its own: the same test in a child process.
pub fn lab<F: FnOnce()>(test: F) {
    match NetNs::create() {
        Ok(_) => test(),
        Err(e) if env::var_os(CONFINED).is_some() => skip(&name_of::<F>(), &e.to_string()),
        Err(_) => confined(&name_of::<F>()),
    }
}

/// The test's name as libtest knows it, from the type of the closure in it.
fn name_of<F>() -> String {
    let path = type_name::<F>().trim_end_matches("::{{closure}}");
    path.split_once("::").map_or(path, |(_crate, rest)| rest).to_owned()
}

fn confined(test: &str) {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CONFINED, "1");
    netns::confine(&mut child);
    match child.output() {
        Ok(ended) => {
            let said = String::from_utf8_lossy(&ended.stderr);
            assert!(ended.status.success(), "in a user namespace: {said}");
            said.lines().filter(|l| l.starts_with(SKIPPED)).for_each(say);
        }
        Err(e) => skip(test, &format!("no network namespace and no user namespace can be made: {e}")),
    }
}

/// Whether every lab has to run, as in continuous integration.
pub fn labs_are_required() -> bool {
    env::var_os("TCPTOP_LABS").is_some_and(|v| v == "require")
}

/// Says that a test could not run, past libtest's capture.
pub fn skip(test: &str, reason: &str) {
    assert!(!labs_are_required(), "{test}: {reason}");
    say(&format!("{SKIPPED} {test}: {reason}"));
}

#[expect(clippy::explicit_write, reason = "libtest captures what the macro prints")]
fn say(line: &str) {
    writeln!(io::stderr(), "{line}").unwrap();
}

/// How long the kernel may take to get where a test wants it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer; fails with the last objection at the deadline.
#[track_caller]
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(objection) => assert!(Instant::now() < end, "no {what} in time: {objection}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}
