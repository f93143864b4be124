//! Queues that do not move: which rows are worth an exact question.

use rustc_hash::FxHashMap;

use crate::diagnose::rule::Context;
use crate::model::SocketRow;

/// How many sockets are asked at one look.
const ASKED: usize = 512;

/// How many are looked at and remembered: those that do not move stand at the same place of the table at each look.
const REMEMBERED: usize = 16_384;

/// Sockets whose queue did not become shorter since the look before. A queue that did has moved, so nothing needs to be
/// asked about it; at the first look all are asked.
#[derive(Default)]
pub(super) struct Still {
    previous: Option<FxHashMap<u64, u32>>,
}

impl Still {
    /// The rows of `places` that did not move, at most [`ASKED`].
    pub fn candidates(
        &mut self,
        context: &Context<'_>,
        places: &[u32],
        queue: fn(&SocketRow) -> u32,
    ) -> Vec<u32> {
        let table = &context.snapshot.sample.table.rows;
        let rows = || places.iter().take(REMEMBERED).filter_map(|at| Some((*at, table.get(*at as usize)?)));
        let still = |row: &SocketRow| {
            let Some(previous) = &self.previous else { return true };
            previous.get(&row.cookie()).is_some_and(|was| queue(row) >= *was)
        };
        let found = rows().filter(|(_, row)| still(row)).map(|(at, _)| at).take(ASKED).collect();
        self.previous = Some(rows().map(|(_, row)| (row.cookie(), queue(row))).collect());
        found
    }
}
