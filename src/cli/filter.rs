//! The FILTER of the commands that look at sockets.

use std::sync::Arc;

use clap::Args as ClapArgs;
use clap::error::ErrorKind;

use super::{complain, usage};
use crate::analysis::World;
use crate::engine::{Looker, SystemNames};
use crate::model::Protocols;
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
    /// Remarks on one filter that are worth reading.
    const REMARKS: usize = 5;

    /// The filter as it was typed.
    pub(super) fn text(&self) -> String {
        self.filter.join(" ")
    }

    /// The filter, if there is one. Says what is worth a remark about it.
    ///
    /// # Errors
    /// A usage error that points at what is wrong with it.
    pub(super) fn parse(&self) -> Result<Option<Arc<Filter>>, clap::Error> {
        let text = self.text();
        let filter = Filter::parse(&text, &SystemNames)
            .map_err(|e| wrong(&format!("in the filter: {}", e.pointed(&text))))?;
        for note in filter.iter().flat_map(|filter| filter.notes()).take(Self::REMARKS) {
            complain(format_args!("in the filter: {}", note.about(&text)));
        }
        Ok(filter)
    }

    /// The same where the first word may have been meant for a command.
    ///
    /// # Errors
    /// A usage error that points at what is wrong, or names the command.
    pub(super) fn parse_or_command(&self) -> Result<Option<Arc<Filter>>, clap::Error> {
        let first = self.filter.first().map_or("", |word| word);
        match usage::meant(first) {
            Some(why) => Err(wrong(&why)),
            None => self.parse(),
        }
    }
}

fn wrong(what: &str) -> clap::Error {
    usage::error(ErrorKind::ValueValidation, what)
}

/// The world of the matching sockets of these protocols. Asks for the `tcp_info` that the filter needs, and says of how many sockets it
/// cannot be told whether they match.
pub(super) fn narrow(
    looker: &mut Looker<Box<dyn Source>>,
    world: &World,
    protocols: Protocols,
    filter: &Arc<Filter>,
) -> Arc<World> {
    let mut infos = Infos::default();
    for snapshot in world.snapshots.iter().filter(|_| filter.needs().info && protocols.tcp) {
        let scene = Scene::new(snapshot);
        for (at, row) in snapshot.sample.table.rows.iter().enumerate() {
            if filter.wants_info(&scene, at, row) {
                let detail = looker.detail(row, snapshot.sample.table.origin(row));
                infos.insert(row.cookie(), detail.and_then(|d| d.info));
            }
        }
    }
    let narrowed = Narrower::new(Arc::clone(filter)).only(protocols).narrow(world, Some(&infos));
    if let Some(left_out) = narrowed.left_out(world, filter) {
        complain(left_out);
    }
    narrowed.world
}
