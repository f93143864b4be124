//! The command line: what was asked for, who does it, and the exit code.
//!
//! Exit codes: 0 done, 1 could not (one line on standard error), 2 usage. A closed pipe is no error. `check` has its own.

mod args;
mod check;
mod config;
mod explain;
mod filter;
mod kill;
mod lab;
mod list;
mod live;
mod names;
mod observe;
mod page;
mod pager;
mod report;
mod usage;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::diagnose::{Judged, RuleBook};
use crate::engine::Looker;
use crate::model::has_utf8;
use crate::report::{Outcome, Signs};
use crate::source::{Live, LiveOptions, Many, Source, SourceError, Target};
use args::{Args, Command};
use config::Config;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    crate::sys::memory::map_large_blocks();
    let mut args = Args::checked();
    if args.reads_the_file() {
        match Config::load(args.config.as_deref()) {
            Ok(config) => args.file = config,
            Err(e) => {
                complain(e);
                return if matches!(args.command, Some(Command::Check(_))) {
                    ExitCode::from(Outcome::Unknown as u8)
                } else {
                    ExitCode::FAILURE
                };
            }
        }
    }
    match run(&args) {
        Ok(code) => code,
        Err(e) if is_closed_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            if let Some(usage) = e.downcast_ref::<clap::Error>() {
                usage.exit();
            }
            complain(format_args!("{e:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => live::run(args),
        Some(Command::Check(options)) => return Ok(check::run(args, options)),
        Some(Command::Lab(options)) => return lab::run(args, options),
        Some(Command::LabActor { role }) => lab::act(role),
        Some(Command::Report(options)) => report::run(args, options),
        Some(Command::Kill(options)) => return kill::run(args, options),
        Some(Command::List(options)) => list::run(args, options),
        Some(Command::Explain(options)) => explain::run(args, options),
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "tcptop", &mut script);
            write_all(&script)
        }
        Some(Command::Man) => write_all(&page::man(Args::command())?),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Says what went wrong, in one line.
fn complain(what: impl std::fmt::Display) {
    let line = what.to_string().replace('\n', "; ");
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(io::stderr(), "tcptop: {line}");
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

fn stdout() -> BufWriter<io::StdoutLock<'static>> {
    BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// Standard output for text that people read, in signs that their locale has.
fn text_out() -> Signs<BufWriter<io::StdoutLock<'static>>> {
    Signs::new(stdout(), has_utf8(|name| std::env::var(name).ok()))
}

fn write_all(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = stdout();
    out.write_all(bytes).and_then(|()| out.flush()).context(WRITING)
}

/// What we do when writing fails.
const WRITING: &str = "writing to standard output";

/// Someone who looks at this machine as the arguments say; with rules, he judges, too.
fn looker(args: &Args, rules: Option<RuleBook>) -> Looker<Box<dyn Source>> {
    let options = LiveOptions { wanted: args.families(), hurry: true, bpf: false };
    let looker = Looker::new(source(options, args.netns.clone()));
    match rules {
        Some(rules) => looker.judged_by(rules),
        None => looker,
    }
}

/// This namespace, or those that were asked for.
fn source(options: LiveOptions, netns: Option<Target>) -> Box<dyn Source> {
    match netns {
        None => Box::new(Live::open(options)),
        Some(target) => Box::new(Many::new(target, options)),
    }
}

fn look(looker: &mut Looker<Box<dyn Source>>) -> anyhow::Result<Arc<Judged>> {
    looker.look().map_err(|e| match e {
        SourceError::NoTable { .. } => {
            anyhow::anyhow!("{e}; loading the kernel module tcp_diag or mounting /proc would help")
        }
        SourceError::Netns { .. } => anyhow::anyhow!("{e}"),
    })
}
