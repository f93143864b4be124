//! The FILTER of the commands that look at sockets.

use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{Args as ClapArgs, CommandFactory as _};

use super::args::Args;
use super::complain;
use crate::analysis::World;
use crate::engine::{Looker, SystemNames};
use crate::query::filter::{Filter, Infos, Narrower, Scene};
use crate::source::Source;

#[derive(ClapArgs, Debug)]
pub(super) struct FilterArgs {
    /// Only sockets that match, in the language of ss(8): state established dst 10.0.0.0/8 and not dport = :443; also
    /// pid, comm, user, keepalive, timer, idle, age, recvq, sendq, retrans, rtt, netns, container, family
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
}

impl FilterArgs {
    /// The filter, if there is one.
    ///
    /// # Errors
    /// A usage error that points at what is wrong with it.
    pub(super) fn parse(&self) -> Result<Option<Arc<Filter>>, clap::Error> {
        let text = self.filter.join(" ");
        Filter::parse(&text, &SystemNames).map_err(|e| {
            Args::command().error(ErrorKind::ValueValidation, format!("in the filter: {}", e.pointed(&text)))
        })
    }
}

/// The world of the matching sockets. Asks for the `tcp_info` that the filter needs, and says of how many sockets it
/// cannot be told whether they match.
pub(super) fn narrow(
    looker: &mut Looker<Box<dyn Source>>,
    world: &World,
    filter: &Arc<Filter>,
) -> Arc<World> {
    let mut infos = Infos::default();
    for snapshot in world.snapshots.iter().filter(|_| filter.needs().info) {
        let scene = Scene::new(snapshot);
        for (at, row) in snapshot.sample.table.rows.iter().enumerate() {
            if filter.wants_info(&scene, at, row) {
                let detail = looker.detail(row, snapshot.sample.table.origin(row));
                infos.insert(row.cookie(), detail.and_then(|d| d.info));
            }
        }
    }
    let narrowed = Narrower::new(Arc::clone(filter)).narrow(world, Some(&infos));
    if narrowed.unknown > 0 {
        let n = narrowed.unknown;
        let s = if n == 1 { "" } else { "s" };
        complain(format_args!(
            "{n} socket{s} left out: it is not known whether they match the filter{}",
            why(world, filter)
        ));
    }
    narrowed.world
}

/// What would make it known.
fn why(world: &World, filter: &Filter) -> String {
    if !filter.needs().owners {
        return String::new();
    }
    match world.owners() {
        None => "; the processes were not looked at".to_owned(),
        Some(owners) => owners.blindness().map_or_else(String::new, |b| format!("; {b}")),
    }
}
