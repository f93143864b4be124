//! Threads, mailboxes, cadence: gives each job its thread and never decides what anything means.

pub mod closer;
mod collect;
pub mod kill;
pub mod mailbox;
pub mod namer;
mod names;
mod probe;
mod processes;

pub use collect::{Collector, Detailed, INTERVALS, Inquirer, Look, Looker, Wanted};
pub use names::SystemNames;
pub use probe::{MOST as MOST_ASKED, Options, keepalive_share, with_options};
