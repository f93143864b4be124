//! `tcptop explain`.

use std::sync::Arc;

use anyhow::Context as _;

use super::args::{Args, ExplainArgs};
use super::{WRITING, complain, look, looker, pager};
use crate::diagnose::knowledge::{ENGLISH, Live};
use crate::report;

pub(super) fn run(args: &Args, options: &ExplainArgs) -> anyhow::Result<()> {
    let (width, styled) = (pager::width(), args.styled());
    let mut page = Vec::new();
    if let Some(document) = options.name {
        // The text is worth reading where the machine cannot be asked.
        let world = look(&mut looker(args, None)).map(|judged| Arc::clone(&judged.world));
        let snapshot = world.as_ref().ok().and_then(|w| Some((w, w.snapshots.first()?)));
        let live = snapshot.map_or(Live::nothing(), |(world, s)| Live::of(&world.host, s));
        if let Err(why) = &world {
            complain(format_args!("the values of this machine are unknown: {why:#}"));
        }
        report::write_explanation(document, live, width, styled, &mut page)
    } else {
        report::write_explained_names(ENGLISH, width, styled, &mut page)
    }
    .and_then(|()| pager::show(&page))
    .context(WRITING)
}
