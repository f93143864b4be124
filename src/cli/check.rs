//! `tcptop check`.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::args::{Args, CheckArgs};
use super::{WRITING, complain, is_closed_pipe, look, looker, stdout};
use crate::diagnose::{Judged, RuleBook, RuleSpec, ThresholdError};
use crate::engine::Looker;
use crate::report::{self, Outcome};
use crate::source::Source;

/// How often is looked after the first look, at least: what grows must be seen to grow in three steps, and one more.
/// Longer observations look once a second.
const LEAST_STEPS: u32 = 4;

pub(super) fn run(args: &Args, options: &CheckArgs) -> ExitCode {
    let rules = rules(args, options)
        .unwrap_or_else(|e| Args::command().error(ErrorKind::ValueValidation, format!("{e}\n")).exit());
    let outcome = examine(args, options, rules).unwrap_or_else(|e| {
        complain(format_args!("{e:#}"));
        if !options.json {
            // A monitoring system reads standard output; whether it still does is all the same now.
            let why = format!("{e:#}").replace('\n', "; ");
            let _ = writeln!(stdout(), "{}: {why}", Outcome::Unknown.name());
        }
        Outcome::Unknown
    });
    ExitCode::from(outcome as u8)
}

fn examine(args: &Args, options: &CheckArgs, rules: RuleBook) -> anyhow::Result<Outcome> {
    let count = rules.ids().count();
    let judged = observe(&mut looker(args, Some(rules)).with_owners(None), options.interval)?;
    let outcome = Outcome::of(&judged, options.fail_on.severity());
    let written = if options.json {
        report::write_check_json(&judged, stdout())
    } else {
        report::write_check_text(&judged, outcome, count, options.verbose, stdout())
    };
    match written.context(WRITING) {
        Err(e) if !is_closed_pipe(&e) => Err(e),
        _ => Ok(outcome),
    }
}

/// The rules of the options, laid over the user's file: what is asked for by name is judged whatever the file leaves out.
fn rules(args: &Args, options: &CheckArgs) -> Result<RuleBook, ThresholdError> {
    let mut thresholds = args.file.thresholds()?;
    for assignment in &options.set {
        thresholds.set(assignment)?;
    }
    let named = |rule: &&&RuleSpec| options.rule.iter().any(|r| r.id == rule.id);
    let skip = args.file.skip.iter().filter(|rule| !named(rule));
    let skip: Vec<_> = options.skip.iter().chain(skip).copied().collect();
    Ok(RuleBook::new(thresholds)?.choose(&options.rule, &skip))
}

/// Looks again and again for `interval`; the last look is the one that has seen everything.
fn observe(looker: &mut Looker<Box<dyn Source>>, interval: Duration) -> anyhow::Result<Arc<Judged>> {
    let mut judged = look(looker)?;
    let begun = Instant::now();
    let steps = LEAST_STEPS.max(u32::try_from(interval.as_secs()).unwrap_or(u32::MAX));
    let due = |step: u32| interval * step / steps;
    for step in 1..=steps {
        // A machine so large that a look takes longer than a step is looked at less often, not longer.
        if step < steps && begun.elapsed() > due(step + 1) {
            continue;
        }
        std::thread::sleep(due(step).saturating_sub(begun.elapsed()));
        judged = look(looker)?;
    }
    Ok(judged)
}
