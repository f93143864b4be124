//! `tcptop kill`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::error::ErrorKind;

use super::args::{Args, KillArgs};
use super::filter::narrow;
use super::{WRITING, look, looker, stdout, usage};
use crate::engine::kill::{execute, session};
use crate::model::Capability;
use crate::query::kill::{Allow, Plan, Reason, plan};
use crate::query::{ColumnId, Selection, SocketQuery, Sort, sockets};
use crate::report;

fn refuse(why: &str) -> anyhow::Error {
    usage::error(ErrorKind::ValueValidation, why).into()
}

pub(super) fn run(args: &Args, options: &KillArgs) -> anyhow::Result<ExitCode> {
    if args.read_only {
        return Err(refuse("--read-only forbids to close sockets"));
    }
    let Some(filter) = options.filter.parse()? else {
        return Err(refuse("which sockets? A filter is needed; `state all` is every one of them"));
    };
    let asks = !options.yes && !options.dry_run;
    if asks && !io::stdin().is_terminal() {
        return Err(refuse(
            "nobody can be asked: standard input is no terminal; --yes closes without asking, --dry-run shows",
        ));
    }
    let mut looker = looker(args, None).with_owners(None);
    looker.source().ask_for(filter.asked_with_listeners());
    let whole = look(&mut looker)?;
    let world = narrow(&mut looker, &whole.world, args.protocols(), &filter);
    let all = SocketQuery { select: Selection::All, sort: Sort::by(ColumnId::State), want: usize::MAX };
    let allow = Allow { listeners: options.listeners, own_session: options.own_session };
    let plan = plan(&world, &sockets(&world, &all).order, &session(), allow);
    let permitted = world.host.privileges.has(Capability::NetAdmin);
    let refused = (!permitted).then_some(&Reason::NotPermitted);
    report::write_plan(&world, &plan, refused, stdout()).context(WRITING)?;
    if options.dry_run || plan.targets.is_empty() && plan.refused.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(why) = all_left_alone(&plan) {
        bail!("{why}");
    }
    if let Some(why) = refused {
        bail!("closing {}: {why}", report::sockets(plan.targets.len()));
    }
    if asks && !is_sure()? {
        return Ok(ExitCode::SUCCESS);
    }
    let outcome = execute(&plan).context("opening a socket to close others with")?;
    let mut out = stdout();
    writeln!(out).and_then(|()| report::write_outcome(&world, &outcome, out)).context(WRITING)?;
    match outcome.remaining().next() {
        Some(why) => bail!("{} still there: {why}", report::sockets(outcome.remaining().count())),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Why nothing is closed although something matches: of several reasons the one of the first, which may help with the rest.
fn all_left_alone(plan: &Plan) -> Option<String> {
    let (_, why) = plan.refused.first().filter(|_| plan.targets.is_empty())?;
    let others = plan.refused.iter().filter(|(_, other)| other != why).count();
    let more = if others > 0 { ", and other reasons" } else { "" };
    let n = plan.refused.len();
    let are = if n == 1 { "matches and is" } else { "match and are" };
    Some(format!("closing nothing, {} {are} left alone: {why}{more}", report::sockets(n)))
}

/// Asks on standard error, so that standard output holds the answer to the command alone.
fn is_sure() -> anyhow::Result<bool> {
    let mut err = io::stderr();
    write!(err, "\nClose them? [y/N] ").and_then(|()| err.flush()).context("asking")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("reading the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
