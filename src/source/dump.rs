//! One dump of the TCP tables through `sock_diag`.

use rustc_hash::{FxHashMap, FxHashSet};
use rustix::fd::OwnedFd;

use crate::model::{
    Asked, Completeness, Condition, Gap, ListenerDrops, RowFlags, SocketRow, Table, TableSource, TcpState,
};
use crate::sys::diag::{DiagSocket, DumpError, DumpReport};
use crate::wire::bytecode::program;
use crate::wire::inet_diag::{decode_drops, decode_row};
use crate::wire::request::{ALL_STATES, Dump, Extensions, Families};

/// How far back a row may come again. The kernel resumes a dump at a position inside a hash chain, so an insertion
/// at its head repeats rows of that chain and no others (`tcp_diag_dump` in `net/ipv4/tcp_diag.c`).
const WINDOW: usize = 4096;

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

/// The rows of a dump as they come in, each cookie once.
struct Intake {
    table: Table,
    /// Where the latest rows stand, by a hash of their cookie: exact cookies are compared, so a collision can only
    /// hide a repetition, never drop a socket.
    recent: Box<[u32]>,
    /// Bound sockets, which may come again from the established table when they connect during the dump.
    bound: FxHashMap<u64, u32>,
    drops: Vec<ListenerDrops>,
    duplicates: u32,
    malformed: u32,
}

impl Intake {
    fn new(capacity: usize) -> Self {
        Self {
            table: Table::with_capacity(capacity),
            recent: vec![u32::MAX; WINDOW].into(),
            bound: FxHashMap::default(),
            drops: Vec::new(),
            duplicates: 0,
            malformed: 0,
        }
    }

    #[inline]
    fn take(&mut self, payload: &[u8]) {
        let Some((mut row, origin)) = decode_row(payload) else {
            self.malformed += 1;
            return;
        };
        row.origin = self.table.intern(origin);
        let cookie = row.cookie();
        let next = u32::try_from(self.table.rows.len()).unwrap_or(u32::MAX);
        let slot = slot_of(cookie);
        let earlier = self.recent.get(slot).copied().filter(|at| self.holds(*at, cookie));
        let earlier = match earlier {
            None if !self.bound.is_empty() => self.bound.get(&cookie).copied(),
            other => other,
        };
        if let Some(at) = earlier
            && let Some(old) = self.table.rows.get_mut(at as usize)
        {
            // The later reply is the fresher one.
            *old = row;
            self.duplicates += 1;
            return;
        }
        if let Some(place) = self.recent.get_mut(slot) {
            *place = next;
        }
        match row.state {
            TcpState::BoundInactive => {
                self.bound.insert(cookie, next);
            }
            TcpState::Listen => {
                if let Some(drops) = decode_drops(payload) {
                    self.drops.push(ListenerDrops { cookie, drops });
                }
            }
            _ => {}
        }
        self.table.rows.push(row);
    }

    /// Takes our own socket out again. Nothing may be taken in after this.
    fn forget(&mut self, probe: &OwnedFd) {
        let Ok(stat) = rustix::fs::fstat(probe) else { return };
        let ours = |r: &SocketRow| r.state == TcpState::BoundInactive && u64::from(r.inode) == stat.st_ino;
        if let Some(at) = self.table.rows.iter().position(ours) {
            self.table.rows.remove(at);
        }
    }

    #[inline]
    fn holds(&self, at: u32, cookie: u64) -> bool {
        self.table.rows.get(at as usize).is_some_and(|r| r.cookie() == cookie)
    }
}

#[inline]
fn slot_of(cookie: u64) -> usize {
    // Cookies are handed out in sequence (gen_cookie_next), so their low bits spread by themselves.
    usize::try_from(cookie % WINDOW as u64).unwrap_or(0)
}

/// The way this kernel is asked, found out once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Legacy,
    PerFamily,
}

/// What a dumper learns from its first dump.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Learned {
    way: Way,
    sees_bound: bool,
    capacity: usize,
}

/// Dumps TCP tables over one `sock_diag` socket.
pub struct Dumper {
    socket: DiagSocket,
    way: Way,
    wanted: Wanted,
    /// A bound, unconnected socket of our own, until a whole dump has told `sees_bound`.
    probe: Option<OwnedFd>,
    sees_bound: bool,
    capacity: usize,
    asked: Asked,
    /// The condition of `asked` as the kernel reads it; empty if there is none or this kernel refuses it.
    program: Vec<u8>,
}

impl Dumper {
    /// A dumper on an open socket. With `probe` it learns from the first dump whether this kernel lists bound,
    /// unconnected sockets; the probe is in no table.
    pub fn new(socket: DiagSocket, wanted: Wanted, probe: Option<OwnedFd>) -> Self {
        let way = if wanted == Wanted::Both { Way::Legacy } else { Way::PerFamily };
        Self {
            socket,
            way,
            wanted,
            probe,
            sees_bound: false,
            capacity: 1024,
            asked: Asked::default(),
            program: Vec::new(),
        }
    }

    /// Asks for less from now on. What comes is to be checked again: it may be more.
    pub fn ask_for(&mut self, asked: Asked) {
        self.program = asked.condition.as_ref().and_then(program).unwrap_or_default();
        self.asked = asked;
    }

    /// A dumper that goes on with what another one learned of this kernel and of the size of the table.
    pub fn resume(socket: DiagSocket, wanted: Wanted, learned: Learned) -> Self {
        let Learned { way, sees_bound, capacity } = learned;
        Self { way, sees_bound, capacity, ..Self::new(socket, wanted, None) }
    }

    /// What was learned so far; `None` before the first whole dump.
    pub fn learned(&self) -> Option<Learned> {
        let known = self.probe.is_none();
        known.then_some(Learned { way: self.way, sees_bound: self.sees_bound, capacity: self.capacity })
    }

    /// The socket, for exact questions between dumps.
    pub fn socket(&mut self) -> &mut DiagSocket {
        &mut self.socket
    }

    /// Dumps listeners with their memory, then everything else without extensions.
    ///
    /// # Errors
    /// The first error, when not a single reply came; otherwise errors become gaps.
    pub fn dump(&mut self) -> Result<Dumped, DumpError> {
        // A little room to grow, so that a busy machine does not copy the table at every look.
        let mut intake = Intake::new(self.capacity + self.capacity / 64 + 64);
        let mut gaps = Vec::new();
        let listening = TcpState::Listen.bit();
        let mut failure = None;
        for (what, states, extensions) in [
            ("listeners", listening, Extensions::MEMORY),
            ("connections", ALL_STATES & !listening, Extensions::NONE),
        ] {
            let states = states & self.asked.states;
            if states == 0 {
                continue;
            }
            match self.walk(states, extensions, &mut intake) {
                Ok(report) => gaps.extend(report.gaps),
                Err(e) => {
                    gaps.push(Gap::DumpFailed { what, errno: e.errno() });
                    failure.get_or_insert(e);
                }
            }
        }
        if let Some(e) = failure
            && intake.table.rows.is_empty()
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
        self.sees_bound |= !intake.bound.is_empty();
        // A dump of less proves nothing about what this kernel can show.
        if !self.sees_bound && self.asked.condition.is_none() && self.asked.states & ALL_STATES == ALL_STATES
        {
            gaps.push(Gap::BoundInactiveHidden);
        }
        gaps.dedup();
        self.capacity = intake.table.rows.len();
        intake.drops.sort_unstable_by_key(|d| d.cookie);
        let source = match self.way {
            Way::Legacy => TableSource::SockDiagLegacy,
            Way::PerFamily => TableSource::SockDiag,
        };
        Ok(Dumped {
            table: intake.table,
            listener_drops: intake.drops,
            completeness: Completeness { source, gaps, duplicates: intake.duplicates },
        })
    }

    /// Asks once more, for the sockets whose ports the kernel chose: no reply says so.
    fn mark_autobound(&mut self, table: &mut Table) {
        let both: Vec<_> = self.asked.condition.iter().cloned().chain([Condition::Autobound]).collect();
        let Some(program) = program(&Condition::All(both)) else { return };
        let mut chosen = FxHashSet::default();
        let families = match (self.way, self.wanted) {
            (Way::Legacy, _) => &[Families::Both][..],
            (Way::PerFamily, Wanted::Both) => &[Families::V4, Families::V6],
            (Way::PerFamily, Wanted::V4) => &[Families::V4],
            (Way::PerFamily, Wanted::V6) => &[Families::V6],
        };
        let states = self.asked.states & ALL_STATES;
        table.autobound = families.iter().all(|families| {
            let families = *families;
            let dump =
                Dump { families, states, extensions: Extensions::NONE, local_port: 0, program: &program };
            let replies = |payload: &[u8]| chosen.extend(decode_row(payload).map(|(row, _)| row.cookie()));
            self.socket.dump(|seq| dump.message(seq), replies).is_ok()
        });
        for row in table.rows.iter_mut().filter(|row| chosen.contains(&row.cookie())) {
            row.flags = row.flags.with(RowFlags::AUTOBOUND);
        }
    }

    fn walk(
        &mut self,
        states: u32,
        extensions: Extensions,
        intake: &mut Intake,
    ) -> Result<DumpReport, DumpError> {
        if self.way == Way::Legacy {
            let before = intake.table.rows.len();
            match self.one(Families::Both, states, extensions, intake) {
                // A kernel or a filter that refuses the old request refuses it before the first reply.
                Err(DumpError::Kernel(_)) if intake.table.rows.len() == before => self.way = Way::PerFamily,
                other => return other,
            }
        }
        let mut report = DumpReport::default();
        for families in match self.wanted {
            Wanted::Both => &[Families::V4, Families::V6][..],
            Wanted::V4 => &[Families::V4],
            Wanted::V6 => &[Families::V6],
        } {
            report.gaps.extend(self.one(*families, states, extensions, intake)?.gaps);
        }
        Ok(report)
    }

    fn one(
        &mut self,
        families: Families,
        states: u32,
        extensions: Extensions,
        intake: &mut Intake,
    ) -> Result<DumpReport, DumpError> {
        let before = intake.table.rows.len();
        let dump = Dump { families, states, extensions, local_port: 0, program: &self.program };
        let report = self.socket.dump(|seq| dump.message(seq), |payload| intake.take(payload));
        match report {
            Err(DumpError::Kernel(_)) if !self.program.is_empty() && intake.table.rows.len() == before => {
                // Take all and leave the choice to us.
                self.program.clear();
                self.one(families, states, extensions, intake)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(cookie: u32, state: u8, queue: u32) -> Vec<u8> {
        let mut b = vec![2, state, 0, 0];
        b.resize(44, 0);
        b.extend(cookie.to_ne_bytes());
        b.extend([0; 8]);
        b.extend(queue.to_ne_bytes());
        b.resize(72, 0);
        b
    }

    #[test]
    fn a_row_that_comes_again_is_kept_once_and_fresh() {
        let mut intake = Intake::new(0);
        for (cookie, queue) in [(1, 5), (2, 6), (1, 9)] {
            intake.take(&reply(cookie, 1, queue));
        }
        let seen: Vec<_> = intake.table.rows.iter().map(|r| (r.cookie(), r.recv_q)).collect();
        assert_eq!(seen, [(1, 9), (2, 6)]);
        assert_eq!(intake.duplicates, 1);
    }

    #[test]
    fn cookies_that_share_a_slot_are_two_sockets() {
        let mut intake = Intake::new(0);
        let other = 1 + u32::try_from(WINDOW).unwrap();
        intake.take(&reply(1, 1, 0));
        intake.take(&reply(other, 1, 0));
        assert_eq!((intake.table.rows.len(), intake.duplicates), (2, 0));
    }

    #[test]
    fn a_bound_socket_that_connects_during_the_dump_is_one_socket() {
        let mut intake = Intake::new(0);
        intake.take(&reply(7, 7, 0));
        for cookie in 100..100 + 2 * u32::try_from(WINDOW).unwrap() {
            intake.take(&reply(cookie, 1, 0));
        }
        intake.take(&reply(7, 1, 3));
        assert_eq!(intake.duplicates, 1);
        assert_eq!((intake.table.rows[0].state, intake.table.rows[0].recv_q), (TcpState::Established, 3));
    }

    #[test]
    fn what_is_no_socket_is_counted() {
        let mut intake = Intake::new(0);
        intake.take(&[1, 2, 3]);
        assert_eq!((intake.malformed, intake.table.rows.len()), (1, 0));
    }
}
