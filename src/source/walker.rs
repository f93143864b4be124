//! Walks the kernel's socket tables over one `sock_diag` socket, in the way that this kernel takes.

use rustc_hash::FxHashSet;

use super::Wanted;
use super::intake::Intake;
use crate::model::{Condition, TableSource};
use crate::sys::diag::{DiagSocket, DumpError, DumpReport};
use crate::wire::bytecode::program;
use crate::wire::inet_diag::Reply;
use crate::wire::request::{ALL_STATES, Dump, Extensions, Families};

/// The way this kernel is asked, found out once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Both families in one walk.
    Legacy,
    /// A walk for each family.
    PerFamily,
}

impl Way {
    /// The way that is tried first.
    pub fn first(wanted: Wanted) -> Self {
        if wanted == Wanted::Both { Self::Legacy } else { Self::PerFamily }
    }
}

/// What a walk asks for.
#[derive(Clone, Copy, Debug)]
pub struct Errand {
    /// States, as a mask.
    pub states: u32,
    /// What the kernel should add to each reply.
    pub extensions: Extensions,
    /// Replies are read on a thread of their own.
    pub apart: bool,
}

/// One `sock_diag` socket and what is asked of it.
pub struct Walker {
    /// The socket.
    pub socket: DiagSocket,
    /// How the kernel is asked.
    pub way: Way,
    wanted: Wanted,
    /// The condition as the kernel reads it; empty if there is none or this kernel refuses it.
    program: Vec<u8>,
}

impl Walker {
    pub fn new(socket: DiagSocket, wanted: Wanted, way: Way) -> Self {
        Self { socket, way, wanted, program: Vec::new() }
    }

    /// What a table that comes from here says of itself.
    pub const fn source(&self) -> TableSource {
        match self.way {
            Way::Legacy => TableSource::SockDiagLegacy,
            Way::PerFamily => TableSource::SockDiag,
        }
    }

    /// Asks only for sockets that meet a condition from now on, or for all if it is too long to be asked.
    pub fn ask_for(&mut self, condition: Option<&Condition>) {
        self.program = condition.and_then(program).unwrap_or_default();
    }

    /// Dumps; a kernel that refuses the condition is asked for everything, and one that refuses the old request family by
    /// family.
    pub fn walk(&mut self, errand: Errand, intake: &mut Intake) -> Result<DumpReport, DumpError> {
        let before = intake.len();
        match self.walk_as_known(errand, intake) {
            // A kernel or a filter that refuses a request refuses it before the first reply.
            Err(DumpError::Kernel(_)) if intake.len() == before && !self.program.is_empty() => {
                // Take all and leave the choice to us.
                self.program.clear();
            }
            Err(DumpError::Kernel(_)) if intake.len() == before && self.way == Way::Legacy => {
                self.way = Way::PerFamily;
            }
            other => return other,
        }
        self.walk(errand, intake)
    }

    /// Dumps in the way that is known by now, and does not try another.
    pub fn walk_as_known(&mut self, errand: Errand, intake: &mut Intake) -> Result<DumpReport, DumpError> {
        match self.way {
            Way::Legacy => self.one(Families::Both, errand, intake),
            Way::PerFamily => self.families(errand, intake),
        }
    }

    fn families(&mut self, errand: Errand, intake: &mut Intake) -> Result<DumpReport, DumpError> {
        let mut report = DumpReport::default();
        for families in self.requests() {
            report.gaps.extend(self.one(*families, errand, intake)?.gaps);
        }
        Ok(report)
    }

    fn one(
        &mut self,
        families: Families,
        errand: Errand,
        intake: &mut Intake,
    ) -> Result<DumpReport, DumpError> {
        let Errand { states, extensions, apart } = errand;
        let dump = Dump { families, states, extensions, local_port: 0, program: &self.program };
        let request = |seq| dump.message(seq);
        if apart {
            self.socket.dump_apart(request, |payload| intake.take(payload))
        } else {
            self.socket.dump(request, |payload| intake.take(payload))
        }
    }

    const fn requests(&self) -> &'static [Families] {
        match (self.way, self.wanted) {
            (Way::Legacy, _) => &[Families::Both],
            (Way::PerFamily, Wanted::Both) => &[Families::V4, Families::V6],
            (Way::PerFamily, Wanted::V4) => &[Families::V4],
            (Way::PerFamily, Wanted::V6) => &[Families::V6],
        }
    }

    /// Cookies of the sockets in these states that meet a condition; `None` if the kernel does not tell.
    pub fn cookies(&mut self, states: u32, condition: &Condition) -> Option<FxHashSet<u64>> {
        let program = program(condition)?;
        let mut cookies = FxHashSet::default();
        let states = states & ALL_STATES;
        for families in self.requests() {
            let (families, extensions) = (*families, Extensions::NONE);
            let dump = Dump { families, states, extensions, local_port: 0, program: &program };
            let replies = |payload: &[u8]| cookies.extend(Reply::new(payload).map(|reply| reply.cookie()));
            self.socket.dump(|seq| dump.message(seq), replies).ok()?;
        }
        Some(cookies)
    }
}
