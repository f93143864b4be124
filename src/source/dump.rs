//! One dump of the TCP tables through `sock_diag`.

use rustix::fd::OwnedFd;

use super::halves;
use super::intake::Intake;
use super::shortcut::Shortcut;
use super::walker::{Errand, Walker, Way};
use crate::model::{
    Asked, Completeness, Condition, Gap, Host, ListenerDrops, RowFlags, Table, TableSource, TcpState,
};
use crate::sys::diag::{DiagSocket, DumpError, DumpReport};
use crate::sys::several_processors;
use crate::wire::request::{ALL_STATES, Extensions};

/// Which address families are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Wanted {
    /// Both.
    #[default]
    Both,
    /// IPv4 sockets.
    V4,
    /// IPv6 sockets, those that carry IPv4 included.
    V6,
}

/// What one dump brought.
#[derive(Debug)]
pub struct Dumped {
    /// The sockets.
    pub table: Table,
    /// Drops of listeners by cookie, ascending.
    pub listener_drops: Vec<ListenerDrops>,
    /// How complete it is.
    pub completeness: Completeness,
}

/// For how many sockets there is room at the first dump.
const FIRST_ROOM: usize = 1024;

/// From so many sockets on a second thread is worth it, which costs a tenth of a millisecond.
const LARGE: usize = 1 << 16;

/// What a dumper learns from its first dump.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Learned {
    way: Way,
    sees_bound: bool,
    capacity: usize,
}

impl Learned {
    /// What holds for every namespace of this kernel.
    pub const fn of_the_kernel(self) -> Self {
        Self { capacity: FIRST_ROOM, ..self }
    }
}

/// What asking has told beside sockets.
#[derive(Default)]
struct Told {
    gaps: Vec<Gap>,
    /// The first error.
    failure: Option<DumpError>,
}

/// Dumps TCP tables over `sock_diag`.
pub struct Dumper {
    walker: Walker,
    /// Walks for the other half of the sockets at the same time.
    second: Option<Walker>,
    /// A bound, unconnected socket of our own, until a whole dump has told `sees_bound`.
    probe: Option<OwnedFd>,
    sees_bound: bool,
    capacity: usize,
    asked: Asked,
    shortcut: Shortcut,
}

impl Dumper {
    /// A dumper on an open socket. With `probe` it learns from the first dump whether this kernel lists bound,
    /// unconnected sockets; the probe is in no table.
    pub fn new(socket: DiagSocket, wanted: Wanted, probe: Option<OwnedFd>) -> Self {
        Self {
            walker: Walker::new(socket, wanted, Way::first(wanted)),
            second: None,
            probe,
            sees_bound: false,
            capacity: FIRST_ROOM,
            asked: Asked::default(),
            shortcut: Shortcut::NONE,
        }
    }

    /// Reads connections from the kernel's memory where that is worthwhile, allowed, and proven to say what a dump says.
    pub fn with_shortcut(mut self, host: &Host) -> Self {
        self.shortcut = Shortcut::on(host);
        self
    }

    /// Dumps over a second socket at the same time from now on: each of the two is asked for a part of the connections.
    pub fn with_second(mut self, socket: DiagSocket, wanted: Wanted) -> Self {
        self.second = Some(Walker::new(socket, wanted, self.walker.way));
        self
    }

    /// Asks for less from now on. What comes is to be checked again: it may be more.
    pub fn ask_for(&mut self, asked: Asked) {
        self.walker.ask_for(asked.condition.as_ref());
        self.asked = asked;
    }

    /// A dumper that goes on with what another one learned of this kernel and of the size of the table.
    pub fn resume(socket: DiagSocket, wanted: Wanted, learned: Learned) -> Self {
        let Learned { way, sees_bound, capacity } = learned;
        let walker = Walker::new(socket, wanted, way);
        let (asked, shortcut) = (Asked::default(), Shortcut::NONE);
        Self { walker, second: None, probe: None, sees_bound, capacity, asked, shortcut }
    }

    /// What was learned so far; `None` before the first whole dump.
    pub fn learned(&self) -> Option<Learned> {
        let known = self.probe.is_none();
        known.then_some(Learned {
            way: self.walker.way,
            sees_bound: self.sees_bound,
            capacity: self.capacity,
        })
    }

    /// The socket, for exact questions between dumps.
    pub fn socket(&mut self) -> &mut DiagSocket {
        &mut self.walker.socket
    }

    /// Dumps listeners with their memory, then everything else without extensions.
    ///
    /// # Errors
    /// The first error, when not a single reply came; otherwise errors become gaps.
    pub fn dump(&mut self) -> Result<Dumped, DumpError> {
        // A little room to grow, so that a busy machine does not copy the table at every look.
        let mut intake = Intake::new(self.capacity + self.capacity / 64 + 64);
        let mut told = Told::default();
        let listening = TcpState::Listen.bit();
        self.errand("listeners", listening, Extensions::MEMORY, &mut intake, &mut told);
        if self.asked.states & listening != 0 && told.failure.is_none() {
            intake.table.listening = u32::try_from(intake.len()).ok();
        }
        let source = if self.past_sock_diag(&mut intake, &mut told) {
            TableSource::Memory
        } else {
            self.shortcut.forget_bound();
            self.errand("connections", ALL_STATES & !listening, Extensions::NONE, &mut intake, &mut told);
            self.walker.source()
        };
        let Told { mut gaps, failure } = told;
        if let Some(e) = failure
            && intake.len() == 0
        {
            return Err(e);
        }
        if self.asked.autobound {
            self.mark_autobound(&mut intake.table);
        }
        if intake.malformed > 0 {
            gaps.push(Gap::Malformed(intake.malformed));
        }
        if let Some(probe) = &self.probe {
            intake.forget(probe);
            if gaps.is_empty() {
                self.probe = None;
            }
        }
        self.sees_bound |= intake.has_bound();
        // A dump of less proves nothing about what this kernel can show.
        if !self.sees_bound && self.asked.condition.is_none() && self.asked.states & ALL_STATES == ALL_STATES
        {
            gaps.push(Gap::BoundInactiveHidden);
        }
        gaps.dedup();
        self.capacity = intake.len();
        // The room that was left for a busy machine's new sockets is given back.
        intake.table.rows.shrink_to_fit();
        intake.drops.sort_unstable_by_key(|d| d.cookie);
        if gaps.is_empty() && self.asked == Asked::default() && source != TableSource::Memory {
            self.shortcut.prove(&mut self.walker.socket, &intake.table);
        }
        Ok(Dumped {
            table: intake.table,
            listener_drops: intake.drops,
            completeness: Completeness { source, gaps, duplicates: intake.duplicates },
        })
    }

    /// Asks for sockets in these states, if they are wanted.
    fn errand(
        &mut self,
        what: &'static str,
        states: u32,
        extensions: Extensions,
        intake: &mut Intake,
        told: &mut Told,
    ) {
        let states = states & self.asked.states;
        if states == 0 {
            return;
        }
        let apart = states != TcpState::Listen.bit() && self.reads_apart();
        match self.walk(Errand { states, extensions, apart }, intake) {
            Ok(report) => told.gaps.extend(report.gaps),
            Err(e) => {
                told.gaps.push(Gap::DumpFailed { what, errno: e.errno() });
                told.failure.get_or_insert(e);
            }
        }
    }

    /// Takes what is no listener in without a dump of the connections, if that can be done now; else nothing.
    fn past_sock_diag(&mut self, intake: &mut Intake, told: &mut Told) -> bool {
        let before = intake.len();
        if told.failure.is_some() || self.asked != Asked::default() || !self.shortcut.is_due(self.capacity) {
            return false;
        }
        let asked = self.shortcut.asks_for_bound();
        if asked {
            let mut bound = Told::default();
            let states = TcpState::BoundInactive.bit();
            self.errand("bound sockets", states, Extensions::NONE, intake, &mut bound);
            if !bound.gaps.is_empty() {
                intake.back_to(before);
                return false;
            }
        }
        let taken = self.shortcut.take(&mut self.walker.socket, asked, intake);
        if !taken {
            intake.back_to(before);
        }
        taken
    }

    /// Asks once more, for the sockets whose ports the kernel chose: no reply says so.
    fn mark_autobound(&mut self, table: &mut Table) {
        let both: Vec<_> = self.asked.condition.iter().cloned().chain([Condition::Autobound]).collect();
        let Some(chosen) = self.walker.cookies(self.asked.states, &Condition::All(both)) else { return };
        table.autobound = true;
        for row in table.rows.iter_mut().filter(|row| chosen.contains(&row.cookie())) {
            row.flags = row.flags.with(RowFlags::AUTOBOUND);
        }
    }

    /// Whether the replies about connections are read on a thread of their own. Two dumps at once use two processors already.
    fn reads_apart(&self) -> bool {
        self.second.is_none() && self.capacity >= LARGE && several_processors()
    }

    fn walk(&mut self, errand: Errand, intake: &mut Intake) -> Result<DumpReport, DumpError> {
        // Listeners are few, and their walk tells which way this kernel is asked. A condition makes a walk short.
        if errand.states != TcpState::Listen.bit()
            && self.asked.condition.is_none()
            && let Some(mut second) = self.second.take()
        {
            second.way = self.walker.way;
            let both = halves::walk(&mut self.walker, &mut second, errand, intake);
            self.walker.ask_for(None);
            if let Some(report) = both {
                self.second = Some(second);
                return Ok(report);
            }
        }
        self.walker.walk(errand, intake)
    }
}
