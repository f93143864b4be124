//! `tcptop report`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::args::{Args, ReportArgs};
use super::filter::narrow;
use super::names::Namer;
use super::{WRITING, look, looker, stdout};
use crate::diagnose::Judged;
use crate::model::Asked;
use crate::report::{self, Summary};

/// How long the processes may be looked at if the sockets are known sooner: enough for tens of thousands of descriptors.
const PATIENCE: Duration = Duration::from_millis(50);

pub(super) fn run(args: &Args, options: &ReportArgs) -> anyhow::Result<()> {
    let filter = options.filter.parse()?;
    let needs = filter.as_ref().map(|f| f.needs()).unwrap_or_default();
    let patience = if needs.owners { None } else { Some(PATIENCE) };
    let mut looker = looker(args, Some(args.file.rules()?)).with_owners(patience);
    // The findings are about the whole machine, so the kernel is asked for all sockets.
    looker.source().ask_for(Asked { autobound: needs.autobound, ..Asked::default() });
    let mut judged = look(&mut looker)?;
    if let Some(filter) = &filter {
        let world = narrow(&mut looker, &judged.world, filter);
        judged = Arc::new(Judged { world, judgements: judged.judgements.clone() });
    }
    let text = filter.map(|f| f.expr().to_string());
    let names = args.resolve.then(|| Namer::system().of(report::addresses(&judged)));
    let summary = Summary { judged: &judged, filter: text.as_deref(), names: names.as_ref() };
    if options.json {
        report::write_report_json(summary, stdout())
    } else {
        report::write_report_text(summary, args.styled(), stdout())
    }
    .context(WRITING)
}
