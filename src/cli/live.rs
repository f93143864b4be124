//! The live screen: connects the collecting thread with the drawing one.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use anyhow::Context as _;

use super::args::Args;
use super::source;
use crate::engine::{Collector, Looker};
use crate::source::LiveOptions;
use crate::tui::filter::FilterState;
use crate::tui::theme::{LookOptions, Theme};
use crate::tui::{self, Feed, Start};

/// Shows the screen until it is quit.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let filter = args.filter.parse_or_command()?;
    let filter = FilterState::starting_with(filter, &args.filter.text());
    let start = Start { filter, read_only: args.read_only, udp: args.protocols().udp, names: args.resolve };
    anyhow::ensure!(
        io::stdout().is_terminal(),
        "showing the screen: standard output is not a terminal; tcptop report and tcptop list need none"
    );
    let options = LiveOptions { wanted: args.families(), hurry: false, bpf: !args.no_bpf };
    let netns = args.netns.clone();
    let rules = args.file.rules()?;
    let feed = Feed::default();
    let open = move || Looker::new(source(options, netns)).judged_by(rules).followed_by_owners();
    let collector =
        Collector::start(open, args.interval(), Arc::clone(&feed.looks), Arc::clone(&feed.details))
            .and_then(|c| c.asking(Arc::clone(&feed.options)))
            .context("starting the collecting thread")?;
    let look = LookOptions {
        color: args.color_wanted(),
        theme: args.file.theme.unwrap_or_default(),
        ..LookOptions::default()
    };
    let theme = Theme::choose(&look, |name| std::env::var(name).ok());
    // The message holds its cause already.
    tui::run(feed, &collector, &theme, args.interval(), start).map_err(|e| anyhow::anyhow!("{e}"))
}
