//! The scenarios: real faults that can be looked at, one for every incident that the rules know.
//!
//! A scenario makes its fault in a [`Lab`](super::Lab), bounded in number and time, and holds it until the [`Fault`] is
//! dropped. What a finding must name by its process is a process of its own (module `part`).

mod callers;
mod conntrack;
mod forged;
mod listeners;
mod network;
mod part;
mod settings;
mod silence;
mod stage;
mod table;

use std::path::Path;

pub use part::{Conduct, Part, Role, play};
pub use stage::{Fault, Program};
pub use table::SCENARIOS;

use super::Result;

/// The hidden command of this program under which it plays a [`Role`].
pub const ACTOR: &str = "lab-actor";

/// A fault that can be made.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is wrong, in one line.
    pub summary: &'static str,
    /// What can be seen, and where.
    pub teaches: &'static str,
    /// The rules that fire.
    pub rules: &'static [&'static str],
    start: fn(&mut Fault) -> Result<()>,
}

impl Scenario {
    /// The scenario of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|s| s.name == name)
    }

    /// Makes the fault. `executable` is this program, which the programs of the scenario are made of.
    ///
    /// # Errors
    /// No privilege to make namespaces, or the kernel lacks something that the fault needs.
    pub fn start(&self, executable: &Path) -> Result<Fault> {
        let mut fault = Fault::new(executable)?;
        (self.start)(&mut fault)?;
        Ok(fault)
    }
}
