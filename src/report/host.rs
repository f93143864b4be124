//! The machine, as the documents in JSON name it.

use serde::Serialize;

use crate::analysis::{Snapshot, World};
use crate::model::Capability;

/// The examined machine and namespace.
#[derive(Serialize)]
pub(super) struct Host<'a> {
    hostname: &'a str,
    kernel: &'a str,
    netns: &'a str,
    privileged: bool,
}

impl<'a> Host<'a> {
    pub(super) fn of(world: &'a World, snapshot: &'a Snapshot) -> Self {
        let host = &world.host;
        Self {
            hostname: host.hostname.raw(),
            kernel: host.kernel.raw(),
            netns: snapshot.sample.netns.name.raw(),
            privileged: host.privileges.sees_all_processes() && host.privileges.has(Capability::NetAdmin),
        }
    }
}
