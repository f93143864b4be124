//! `tcptop check`.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;

use super::args::{Args, CheckArgs};
use super::observe::observe;
use super::{WRITING, complain, is_closed_pipe, look, looker, stdout, text_out, usage};
use crate::diagnose::{RuleBook, RuleSpec, ThresholdError};
use crate::report::{self, Extent, Outcome};

pub(super) fn run(args: &Args, options: &CheckArgs) -> ExitCode {
    if let Some(rule) = options.rule.iter().find(|rule| !rule.about.meet(args.judged())) {
        let why = format!("{} is about TCP; leave --udp out", rule.id);
        usage::error(ErrorKind::ArgumentConflict, why).exit();
    }
    let rules = rules(args, options)
        .unwrap_or_else(|e| usage::error(ErrorKind::ValueValidation, format!("{e}\n")).exit());
    if rules.ids().next().is_none() {
        usage::error(ErrorKind::ArgumentConflict, "every rule was left out: there is nothing to judge")
            .exit();
    }
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
    let extent = Extent { rules: rules.ids().count(), about: args.judged() };
    let mut looker = looker(args, Some(rules)).with_owners(None);
    // All rules see the table of TCP, also those that are not about TCP alone: the kernel's log speaks of listeners.
    look(&mut looker)?;
    let judged = observe(&mut looker, options.interval)?;
    let outcome = Outcome::of(&judged, options.fail_on.severity());
    let written = if options.json {
        report::write_check_json(&judged, extent, stdout())
    } else {
        report::write_check_text(&judged, outcome, extent, options.verbose, text_out())
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
    Ok(RuleBook::new(thresholds)?.about(args.judged()).choose(&options.rule, &skip))
}
