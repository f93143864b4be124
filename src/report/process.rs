//! Processes as JSON has them.

use serde::{Serialize, Serializer};

use crate::query::HeldBy;

/// `[{"pid":616,"comm":"nginx","fd":6}]`.
pub(super) struct Processes<'a>(pub(super) &'a [HeldBy<'a>]);

/// A descriptor of a process.
#[derive(Serialize)]
pub(super) struct Process<'a> {
    pid: u32,
    comm: &'a str,
    fd: u32,
}

impl<'a> From<&HeldBy<'a>> for Process<'a> {
    fn from(h: &HeldBy<'a>) -> Self {
        Self { pid: h.process.pid, comm: h.process.comm.raw(), fd: h.fd }
    }
}

impl Serialize for Processes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Process::from))
    }
}
