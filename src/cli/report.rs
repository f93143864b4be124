//! `tcptop report`.

use anyhow::Context as _;

use super::args::{Args, ReportArgs};
use super::{WRITING, look, looker, stdout};
use crate::diagnose::RuleBook;
use crate::report;

pub(super) fn run(args: &Args, options: &ReportArgs) -> anyhow::Result<()> {
    let judged = look(&mut looker(args, Some(RuleBook::defaults()?)))?;
    if options.json {
        report::write_report_json(&judged, stdout())
    } else {
        report::write_report_text(&judged, args.styled(), stdout())
    }
    .context(WRITING)
}
