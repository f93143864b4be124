//! What follows from a sample and the one before it. Pure: no kernel, no clock, no text.
//!
//! [`Analyzer::derive`] turns a [`Sample`](crate::model::Sample) into a [`Snapshot`]; everything that a screen, a report or a rule
//! counts is counted here, in one pass over the rows, and never while drawing.

mod derive;
mod growth;
mod held;
mod join;
mod limits;
mod listeners;
mod moved;
mod ownership;
mod peers;
mod ports;
mod processes;
mod rates;
mod shares;
mod silence;
mod snapshot;

pub use derive::Analyzer;
pub use held::Held;
pub use limits::{Limit, LimitId, LimitSubject, Limits, MissingLimit, limits};
pub use moved::CounterPast;
pub use ownership::{NoHolder, Ownership, owner_of};
pub use ports::{Destination, PortUse};
pub use processes::{ProcessAgg, Tally, tally};
pub use rates::{Rates, interface_counter, rates};
pub use shares::{DeadOrUnbound, KeepaliveShare};
pub use silence::{
    IDLE_TIMEOUTS, IdleTimeout, forgotten_before, forgotten_by, forgotten_by_all, noticed_idle,
    noticed_sending,
};
pub use snapshot::{
    Age, Churn, CounterRate, History, ListenerAgg, PeerAgg, Snapshot, StateSummary, Track, World,
};

/// How many rows are counted together: their part of a table, and what is noted beside, stay in the nearest cache.
const BLOCK: usize = 64;

/// The index of nothing.
const NOWHERE: u32 = u32::MAX;

#[cfg(test)]
mod tests;
