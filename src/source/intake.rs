//! The rows of a dump as they come in, each cookie once.

use rustc_hash::{FxHashMap, FxHashSet};
use rustix::fd::OwnedFd;

use crate::model::{ListenerDrops, Origin, SocketRow, Table, TcpState};
use crate::wire::inet_diag::{Reply, decode_drops};

/// How far back a row may come again. The kernel resumes a dump at a position inside a hash chain, so an insertion
/// at its head repeats rows of that chain and no others (`tcp_diag_dump` in `net/ipv4/tcp_diag.c`).
const WINDOW: usize = 4096;

/// The rows of a dump as they come in, each cookie once.
pub struct Intake {
    /// The sockets.
    pub table: Table,
    /// The latest rows by a hash of their cookie: exact cookies are compared, so a collision can only hide a repetition,
    /// never drop a socket.
    recent: Box<[Recent]>,
    /// Bound sockets, which may come again from the established table when they connect during the dump.
    bound: FxHashMap<u64, u32>,
    /// Drops of listeners, in the order of the listeners.
    pub drops: Vec<ListenerDrops>,
    /// Replies about a socket that had come before.
    pub duplicates: u32,
    /// Replies that are none.
    pub malformed: u32,
}

/// A row that came lately: its place, and enough of its cookie that the row itself is seldom looked at.
#[derive(Clone, Copy)]
struct Recent {
    tag: u32,
    at: u32,
}

impl Intake {
    /// An empty one with room for so many sockets.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            table: Table::with_capacity(capacity),
            recent: vec![Recent { tag: 0, at: u32::MAX }; WINDOW].into(),
            bound: FxHashMap::default(),
            drops: Vec::new(),
            duplicates: 0,
            malformed: 0,
        }
    }

    /// Takes a reply in.
    #[inline]
    pub fn take(&mut self, payload: &[u8]) {
        let Some(reply) = Reply::new(payload) else {
            self.malformed += 1;
            return;
        };
        let origin = self.table.intern(reply.origin());
        let cookie = reply.cookie();
        let next = u32::try_from(self.table.rows.len()).unwrap_or(u32::MAX);
        let (slot, tag) = slot_of(cookie);
        let latest = self.recent.get(slot).filter(|r| r.tag == tag).map(|r| r.at);
        let earlier = latest.filter(|at| self.holds(*at, cookie));
        let earlier = match earlier {
            None if !self.bound.is_empty() => self.bound.get(&cookie).copied(),
            other => other,
        };
        if let Some(at) = earlier
            && let Some(old) = self.table.rows.get_mut(at as usize)
        {
            // The later reply is the fresher one.
            *old = reply.row(origin);
            self.duplicates += 1;
            return;
        }
        if let Some(place) = self.recent.get_mut(slot) {
            *place = Recent { tag, at: next };
        }
        match reply.state() {
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
        self.table.rows.push(reply.row(origin));
    }

    /// Takes our own socket out again. Nothing may be taken in after this.
    pub(super) fn forget(&mut self, probe: &OwnedFd) {
        let Ok(stat) = rustix::fs::fstat(probe) else { return };
        let ours = |r: &SocketRow| r.state == TcpState::BoundInactive && u64::from(r.inode) == stat.st_ino;
        if let Some(at) = self.table.rows.iter().position(ours) {
            self.table.rows.remove(at);
        }
    }

    /// Forgets what came after so many sockets.
    pub(super) fn back_to(&mut self, len: usize) {
        // Places of rows among the latest that are no more are harmless: cookies are compared.
        self.table.rows.truncate(len);
        self.bound.retain(|_, at| (*at as usize) < len);
    }

    /// The bound sockets that have not come again as something else.
    pub(super) fn bound_rows(&self) -> impl Iterator<Item = (SocketRow, Origin)> {
        let rows = self.table.rows.iter().filter(|row| row.state == TcpState::BoundInactive);
        rows.map(|row| (*row, self.table.origin(row)))
    }

    /// Takes a bound socket of an earlier table in.
    pub(super) fn keep_bound(&mut self, row: &SocketRow, origin: Origin) {
        let at = u32::try_from(self.len()).unwrap_or(u32::MAX);
        let mut row = *row;
        row.origin = self.table.intern(origin);
        self.bound.insert(row.cookie(), at);
        self.table.rows.push(row);
    }

    /// How many sockets have come.
    pub(super) fn len(&self) -> usize {
        self.table.rows.len()
    }

    /// Whether a bound, unconnected socket came.
    pub(super) fn has_bound(&self) -> bool {
        !self.bound.is_empty()
    }

    /// For how many sockets there is room.
    pub(super) fn room(&self) -> usize {
        self.table.rows.capacity()
    }

    /// Takes in what came beside this: other sockets, but for one that was bound and has connected meanwhile.
    pub(super) fn absorb(&mut self, mut other: Self) {
        let numbers: Vec<u32> = other.table.origins.iter().map(|origin| self.table.intern(*origin)).collect();
        let connected: FxHashSet<u64> = if other.bound.is_empty() {
            FxHashSet::default()
        } else {
            let ours = self.table.rows.iter().map(SocketRow::cookie);
            ours.filter(|cookie| other.bound.contains_key(cookie)).collect()
        };
        self.table.rows.reserve(other.len());
        self.duplicates += other.duplicates;
        self.malformed += other.malformed;
        self.drops.extend(other.drops);
        for mut row in other.table.rows.drain(..) {
            row.origin = numbers.get(row.origin as usize).copied().unwrap_or(row.origin);
            let cookie = row.cookie();
            let bound = if self.bound.is_empty() { None } else { self.bound.get(&cookie).copied() };
            if let Some(old) = bound.and_then(|at| self.table.rows.get_mut(at as usize)) {
                // It was bound first.
                *old = row;
                self.duplicates += 1;
            } else if connected.contains(&cookie) {
                self.duplicates += 1;
            } else {
                if row.state == TcpState::BoundInactive {
                    self.bound.insert(cookie, u32::try_from(self.len()).unwrap_or(u32::MAX));
                }
                self.table.rows.push(row);
            }
        }
    }

    #[inline]
    fn holds(&self, at: u32, cookie: u64) -> bool {
        self.table.rows.get(at as usize).is_some_and(|r| r.cookie() == cookie)
    }
}

/// Where a cookie stands among the latest, and by what it is told from most others there.
#[inline]
fn slot_of(cookie: u64) -> (usize, u32) {
    // Cookies are handed out in sequence (gen_cookie_next), so their low bits spread by themselves.
    let slot = usize::try_from(cookie % WINDOW as u64).unwrap_or(0);
    (slot, u32::try_from((cookie / WINDOW as u64) & u64::from(u32::MAX)).unwrap_or(0))
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

    fn taking(replies: &[Vec<u8>]) -> Intake {
        let mut intake = Intake::new(0);
        for reply in replies {
            intake.take(reply);
        }
        intake
    }

    #[test]
    fn what_came_beside_is_added_with_its_owners() {
        let of = |uid: u32, cookie| {
            let mut r = reply(cookie, 1, 0);
            r[64..68].copy_from_slice(&uid.to_ne_bytes());
            r
        };
        let mut intake = taking(&[of(7, 1), of(8, 2)]);
        intake.absorb(taking(&[of(8, 3), of(9, 4), vec![1]]));
        let uids: Vec<_> =
            intake.table.rows.iter().map(|r| (r.cookie(), intake.table.origin(r).uid)).collect();
        assert_eq!(uids, [(1, 7), (2, 8), (3, 8), (4, 9)]);
        assert_eq!((intake.duplicates, intake.malformed), (0, 1));
    }

    #[test]
    fn a_bound_socket_that_connects_between_two_walks_is_one_socket() {
        let (bound, connected) = (reply(7, 7, 0), reply(7, 1, 3));
        for (ours, theirs) in [(&bound, &connected), (&connected, &bound)] {
            let mut intake = taking(&[reply(1, 1, 0), ours.clone()]);
            intake.absorb(taking(&[reply(2, 7, 0), theirs.clone()]));
            let seen: Vec<_> = intake.table.rows.iter().map(|r| (r.cookie(), r.state)).collect();
            let (here, there) = (TcpState::Established, TcpState::BoundInactive);
            assert_eq!(seen, [(1, here), (7, here), (2, there)]);
            assert_eq!(intake.duplicates, 1);
        }
    }

    #[test]
    fn what_is_no_socket_is_counted() {
        let mut intake = Intake::new(0);
        intake.take(&[1, 2, 3]);
        assert_eq!((intake.malformed, intake.table.rows.len()), (1, 0));
    }
}
