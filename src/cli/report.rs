//! `tcptop report`.

use anyhow::Context as _;

use super::args::{Args, ReportArgs};
use super::{WRITING, look, stdout};
use crate::report;

pub(super) fn run(args: &Args, options: &ReportArgs) -> anyhow::Result<()> {
    let (_, world) = look(args)?;
    if options.json {
        report::write_report_json(&world, stdout())
    } else {
        report::write_report_text(&world, args.styled(), stdout())
    }
    .context(WRITING)
}
