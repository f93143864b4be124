//! `tcptop report`.

use std::time::Duration;

use anyhow::Context as _;

use super::args::{Args, ReportArgs};
use super::{WRITING, look, looker, stdout};
use crate::diagnose::RuleBook;
use crate::report;

/// How long the processes may be looked at if the sockets are known sooner: enough for tens of thousands of descriptors.
const PATIENCE: Duration = Duration::from_millis(50);

pub(super) fn run(args: &Args, options: &ReportArgs) -> anyhow::Result<()> {
    let mut looker = looker(args, Some(RuleBook::defaults()?)).with_owners(Some(PATIENCE));
    let judged = look(&mut looker)?;
    if options.json {
        report::write_report_json(&judged, stdout())
    } else {
        report::write_report_text(&judged, args.styled(), stdout())
    }
    .context(WRITING)
}
