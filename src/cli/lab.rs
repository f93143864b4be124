//! `tcptop lab`: a real fault in a private network namespace, and a command that looks at it.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use super::args::{Args, LabArgs};
use super::write_all;
use crate::lab::scenarios::{Fault, SCENARIOS, Scenario, play};
use crate::sys::netns::{NetNs, confine, die_with_parent};

/// Says to this program that it was started in a user namespace by itself.
const CONFINED: &str = "TCPTOP_LAB_CONFINED";

/// How a shell says that a signal ended a command.
const SIGNALLED: u8 = 128;

/// Lists the scenarios, or makes one and runs a command in it. The exit code is the command's.
pub(super) fn run(args: &Args, options: &LabArgs) -> anyhow::Result<ExitCode> {
    let Some(scenario) = options.scenario.as_deref().and_then(Scenario::named) else {
        write_all(list().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    };
    let myself = env::current_exe().context("asking for the path of this program")?;
    match NetNs::create() {
        Ok(_) => {}
        Err(_) if env::var_os(CONFINED).is_none() => return as_root_of_a_user_namespace(&myself),
        Err(e) => return Err(e).context("making a network namespace; run as root, or allow user namespaces"),
    }
    let fault = scenario.start(&myself).with_context(|| format!("making {}", scenario.name))?;
    tell(scenario, &fault);
    let mut command = command(&myself, args, &options.command);
    let status = fault.host().run(|| supervise(&mut command))?.with_context(|| {
        let program = command.get_program().to_string_lossy();
        format!("running {program}")
    })?;
    Ok(exit_code(status))
}

/// Plays a program of a scenario.
pub(super) fn act(role: &str) -> anyhow::Result<()> {
    play(role).context("playing a part in a scenario")
}

fn list() -> String {
    let width = SCENARIOS.iter().map(|s| s.name.len()).max().unwrap_or(0);
    let lines: Vec<String> =
        SCENARIOS.iter().map(|s| format!("{:<width$}  {}\n", s.name, s.summary)).collect();
    lines.concat()
}

/// What was made, on standard error: standard output is the command's.
fn tell(scenario: &Scenario, fault: &Fault) {
    let mut err = io::stderr().lock();
    let programs = fault.programs().iter().map(|p| format!("  {p:?}\n"));
    let made = fault.made().iter().map(|line| format!("  {line}\n"));
    let text = made.chain(programs).collect::<Vec<_>>().concat();
    // Nobody is left to be told when standard error is closed.
    let _ = write!(
        err,
        "{}: {}\n{text}What to see: {}\nRules: {}\n",
        scenario.name,
        scenario.summary,
        scenario.teaches,
        scenario.rules.join(", ")
    );
}

fn command(myself: &Path, args: &Args, given: &[OsString]) -> Command {
    let Some((program, arguments)) = given.split_first() else {
        let mut screen = Command::new(myself);
        if let Some(file) = &args.config {
            screen.arg("--config").arg(file);
        }
        return screen;
    };
    // `-- tcptop check` means this program, whether it is installed or not.
    let program = if program == "tcptop" { PathBuf::from(myself) } else { PathBuf::from(program) };
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Does the same again as root of a user namespace.
fn as_root_of_a_user_namespace(myself: &Path) -> anyhow::Result<ExitCode> {
    let mut again = Command::new(myself);
    again.args(env::args_os().skip(1)).env(CONFINED, "1");
    confine(&mut again);
    let status = supervise(&mut again).context(
        "making a user namespace; run as root, or allow user namespaces (user.max_user_namespaces)",
    )?;
    Ok(exit_code(status))
}

/// Runs a command until it ends. What ends us ends it first, so that the terminal is left as it was found; Ctrl-C is for
/// the command, which the terminal tells by itself.
fn supervise(command: &mut Command) -> io::Result<ExitStatus> {
    die_with_parent(command);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut quit = signal(SignalKind::quit())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let mut hung_up = signal(SignalKind::hangup())?;
        let mut ended = signal(SignalKind::child())?;
        let mut child = command.spawn()?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            tokio::select! {
                _ = ended.recv() => {}
                _ = interrupted.recv() => {}
                _ = quit.recv() => {}
                _ = terminated.recv() => send(&child, Signal::TERM),
                _ = hung_up.recv() => send(&child, Signal::HUP),
            }
        }
    })
}

fn send(child: &Child, signal: Signal) {
    // One that has ended meanwhile needs no signal.
    let _ = kill_process(Pid::from_child(child), signal);
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|c| u8::try_from(c).ok());
    let signalled =
        || SIGNALLED.saturating_add(status.signal().and_then(|s| u8::try_from(s).ok()).unwrap_or(0));
    ExitCode::from(code.unwrap_or_else(signalled))
}
