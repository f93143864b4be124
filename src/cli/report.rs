//! `tcptop report`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::args::{Args, ReportArgs};
use super::filter::narrow;
use super::names::Namer;
use super::observe::observe;
use super::{WRITING, look, looker, stdout, text_out};
use crate::diagnose::Judged;
use crate::model::{Asked, Protocols};
use crate::report::{self, Summary};

/// How long the processes may be looked at if the sockets are known sooner: enough for tens of thousands of descriptors.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long is observed for UDP, of which a single look tells what was lost but not what is being lost.
const OBSERVED: Duration = Duration::from_secs(1);

pub(super) fn run(args: &Args, options: &ReportArgs) -> anyhow::Result<()> {
    let filter = options.filter.parse()?;
    let protocols = args.protocols();
    let interval = options.interval.or(protocols.udp.then_some(OBSERVED));
    let needs = filter.as_ref().map(|f| f.needs()).unwrap_or_default();
    let patience = if needs.owners || interval.is_some() { None } else { Some(PATIENCE) };
    let rules = args.file.rules()?.about(args.judged());
    let mut looker = looker(args, Some(rules)).with_owners(patience);
    // The findings are about the whole machine, so the kernel is asked for all sockets.
    looker.source().ask_for(Asked { autobound: needs.autobound, ..Asked::default() });
    looker.source().watch(Protocols { tcp: true, ..protocols });
    let mut judged = look(&mut looker)?;
    let mut before = Vec::new();
    if let Some(interval) = interval {
        before.extend(judged.world.snapshots.iter().filter_map(|s| s.udp.clone()));
        drop(judged);
        judged = observe(&mut looker, interval)?;
    }
    if let Some(filter) = &filter {
        let world = narrow(&mut looker, &judged.world, protocols, filter);
        judged = Arc::new(Judged { world, judgements: judged.judgements.clone() });
    }
    let text = filter.map(|f| f.expr().to_string());
    let mut summary =
        Summary { judged: &judged, protocols, before: &before, filter: text.as_deref(), names: None };
    let names = args.resolve.then(|| Namer::system().of(report::addresses(summary)));
    summary.names = names.as_ref();
    if options.json {
        report::write_report_json(summary, stdout())
    } else {
        report::write_report_text(summary, args.styled(), text_out())
    }
    .context(WRITING)
}
