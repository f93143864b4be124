//! When connections are read from the kernel's memory and when they are dumped.

use rustc_hash::FxHashMap;

use super::direct::{Direct, Unsaid};
use super::intake::Intake;
use crate::model::{Endpoint, Host, Origin, RowFlags, SocketRow, Table, TableSource, TcpState};
use crate::sys::diag::DiagSocket;
use crate::wire::inet_diag::decode_row;

/// From so many sockets on it is worth it: both ways walk the empty buckets, and a dump of a few sockets is cheap.
const WORTHWHILE: usize = 2048;

/// For how many looks dumps are taken when too many sockets have no cookie: on a machine where connections come and go that
/// fast it is the same at the next look.
const REST: u32 = 10;

/// About how many connections are compared; of a larger table they are picked by their cookies.
const COMPARED: usize = 2048;

/// How far the milliseconds of a timer may be apart in two looks one after the other: far more than the looks are.
const APART_MS: u32 = 5_000;

/// The way to connections past `sock_diag`.
pub struct Shortcut(State);

enum State {
    /// It was not asked for, is not to be had, or has not said what a dump says.
    None,
    /// To be tried beside a dump, but not beside the first: somebody waits for that.
    Untried { host: Host, dumped: bool },
    /// It is there.
    Loaded(Box<Loaded>),
}

struct Loaded {
    direct: Direct,
    /// It has said what a dump says.
    proven: bool,
    /// Too many sockets were new to it lately: looks left to rest.
    rest: u32,
    /// Bound sockets as they were asked for last, and for how many looks they are kept.
    bound: Vec<(SocketRow, Origin)>,
    keep: u32,
}

impl Shortcut {
    /// Dumps only.
    pub const NONE: Self = Self(State::None);

    /// The shortcut where it is worthwhile, allowed, and proven to say what a dump says.
    pub fn on(host: &Host) -> Self {
        Self(State::Untried { host: host.clone(), dumped: false })
    }

    /// Whether it is to be taken at this look, at a table that had so many sockets.
    pub fn is_due(&mut self, sockets: usize) -> bool {
        let State::Loaded(loaded) = &mut self.0 else { return false };
        let rested = loaded.rest == 0;
        loaded.rest = loaded.rest.saturating_sub(1);
        rested && loaded.proven && sockets >= WORTHWHILE
    }

    /// Whether bound sockets are to be asked for before it is taken.
    pub fn asks_for_bound(&self) -> bool {
        matches!(&self.0, State::Loaded(loaded) if loaded.keep == 0)
    }

    /// Takes every connection in, and bound sockets as they were, unless they were asked for just now; `false` if all have to
    /// be dumped.
    pub fn take(&mut self, socket: &mut DiagSocket, asked_for_bound: bool, intake: &mut Intake) -> bool {
        let State::Loaded(loaded) = &mut self.0 else { return false };
        if !asked_for_bound {
            loaded.bound.iter().for_each(|(row, origin)| intake.keep_bound(row, *origin));
        }
        let (kept, duplicates) = (loaded.bound.len(), intake.duplicates);
        match loaded.direct.walk(socket, intake) {
            Ok(()) => {
                loaded.bound = intake.bound_rows().collect();
                if asked_for_bound {
                    loaded.keep = TableSource::BOUND_EVERY - 1;
                } else {
                    // One that connected did not come twice from the kernel.
                    let connected = kept.saturating_sub(loaded.bound.len());
                    intake.duplicates = intake
                        .duplicates
                        .saturating_sub(u32::try_from(connected).unwrap_or(0))
                        .max(duplicates);
                    loaded.keep -= 1;
                }
                return true;
            }
            Err(Unsaid::Changed) => loaded.keep = 0,
            Err(Unsaid::New) => (loaded.rest, loaded.keep) = (REST, 0),
            Err(Unsaid::Refused) => self.0 = State::None,
        }
        false
    }

    /// Takes the same connections that were just dumped, and compares, if that was not done yet.
    pub fn prove(&mut self, socket: &mut DiagSocket, table: &Table) {
        if table.rows.len() < WORTHWHILE {
            return;
        }
        if let State::Untried { host, dumped } = &mut self.0
            && std::mem::replace(dumped, true)
        {
            let loaded = |direct| Loaded { direct, proven: false, rest: 0, bound: Vec::new(), keep: 0 };
            self.0 = Direct::open(host).map_or(State::None, |d| State::Loaded(Box::new(loaded(d))));
        }
        let State::Loaded(loaded) = &mut self.0 else { return };
        if loaded.proven || loaded.rest > 0 {
            return;
        }
        let mut walked = Walked::picking(table.rows.len() / COMPARED + 1);
        match loaded.direct.each(socket, table.rows.len(), |reply| walked.take(reply)) {
            Ok(()) if walked.agrees_with(table) => loaded.proven = true,
            // Not now: the table changes too much to compare anything.
            Err(Unsaid::Changed | Unsaid::New) => loaded.rest = REST,
            Ok(()) | Err(Unsaid::Refused) => self.0 = State::None,
        }
    }

    /// Everything was dumped: bound sockets that were kept are older than that.
    pub fn forget_bound(&mut self) {
        if let State::Loaded(loaded) = &mut self.0 {
            loaded.keep = 0;
        }
    }
}

/// What was walked to be compared with a dump: how many connections, and some of them.
struct Walked {
    step: u64,
    count: usize,
    picked: Vec<(SocketRow, Origin)>,
}

impl Walked {
    /// Picks one of so many.
    fn picking(step: usize) -> Self {
        Self { step: step as u64, count: 0, picked: Vec::with_capacity(2 * COMPARED) }
    }

    fn is_picked(&self, cookie: u64) -> bool {
        cookie.is_multiple_of(self.step)
    }

    fn take(&mut self, reply: &[u8]) {
        let Some((row, origin)) = decode_row(reply) else { return };
        self.count += 1;
        if self.is_picked(row.cookie()) {
            self.picked.push((row, origin));
        }
    }

    /// Whether two looks at the same table, one right after the other, say the same of its connections: what proves that the
    /// program reads this kernel rightly. A few sockets may have changed between them, but not in what a connection keeps for
    /// life.
    fn agrees_with(&self, dumped: &Table) -> bool {
        let connections =
            dumped.rows.iter().filter(|r| !matches!(r.state, TcpState::Listen | TcpState::BoundInactive));
        let known: FxHashMap<u64, &SocketRow> =
            connections.clone().map(|row| (row.cookie(), row)).filter(|(c, _)| self.is_picked(*c)).collect();
        let mut met = 0;
        // By the timer that the dump tells: how many there are, and how many are the same.
        let mut timers: FxHashMap<u8, (usize, usize)> = FxHashMap::default();
        for (row, origin) in &self.picked {
            let Some(other) = known.get(&row.cookie()) else { continue };
            let both_full = [row, other].iter().all(|r| r.flags.has(RowFlags::FULL));
            let whose = dumped.origin(other);
            if for_life(row) != for_life(other) || both_full && origin.cgroup_id != whose.cgroup_id {
                return false;
            }
            met += 1;
            let mut alike = *row;
            (alike.expires_ms, alike.origin) = (other.expires_ms, other.origin);
            let same = alike == **other
                && (origin.uid, origin.mark, origin.ifindex) == (whose.uid, whose.mark, whose.ifindex)
                && row.expires_ms.abs_diff(other.expires_ms) <= APART_MS;
            let (all, equal) = timers.entry(other.timer_raw).or_default();
            (*all, *equal) = (*all + 1, *equal + usize::from(same));
        }
        let few = |n: usize| n / 32 + 8;
        let as_many = |n: usize, m: usize| n.abs_diff(m) <= few(n.max(m));
        as_many(self.count, connections.count())
            && as_many(met, known.len())
            && as_many(met, self.picked.len())
            && timers.values().all(|(all, equal)| equal + few(*all) >= *all)
    }
}

/// What a connection keeps while it lasts, a mini-socket at its end included. Beside this only a full socket has a cgroup.
fn for_life(row: &SocketRow) -> (Endpoint, Endpoint, bool) {
    (row.local_endpoint(), row.peer_endpoint(), row.flags.has(RowFlags::V6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Ip;

    /// So many connections, each with an owner.
    fn table(n: u16) -> Table {
        let mut table = Table::default();
        let peer = Endpoint { addr: Ip::from_v4_octets([10, 0, 0, 2]), port: 443 };
        for port in 0..n {
            let local = Endpoint { addr: Ip::from_v4_octets([10, 0, 0, 1]), port };
            let mut row = SocketRow::new(TcpState::Established, local, peer);
            row.set_cookie(u32::from(port) + 1, 0);
            row.origin = table.intern(Origin { uid: u32::from(port % 7), ..Origin::default() });
            table.rows.push(row);
        }
        table
    }

    fn changed(n: u16, change: impl Fn(&mut SocketRow)) -> Table {
        let mut table = table(n);
        table.rows.iter_mut().for_each(change);
        table
    }

    /// Whether a walk that brings these rows, one of `step` picked, agrees with a dump.
    fn agree_picking(step: u64, dumped: &Table, walked: &Table) -> bool {
        let picked = walked.rows.iter().filter(|row| row.cookie().is_multiple_of(step));
        let picked = picked.map(|row| (*row, walked.origin(row))).collect();
        Walked { step, count: walked.rows.len(), picked }.agrees_with(dumped)
    }

    fn agree(dumped: &Table, walked: &Table) -> bool {
        let [one, other] = [1, 3].map(|step| agree_picking(step, dumped, walked));
        assert_eq!(one, other, "picked or not");
        one
    }

    #[test]
    fn the_same_table_agrees_in_any_order_and_a_little_later() {
        let mut later = changed(1000, |row| row.expires_ms += 900);
        later.rows.reverse();
        later.rows.truncate(990);
        later.rows[..5].iter_mut().for_each(|row| row.recv_q = 9);
        assert!(agree(&table(1000), &later));
    }

    #[test]
    fn listeners_and_bound_sockets_are_not_compared() {
        let mut dumped = table(1000);
        for state in [TcpState::Listen, TcpState::BoundInactive] {
            let more = changed(400, |row| (row.state, row.send_q) = (state, 128));
            dumped.rows.extend(more.rows.iter().map(|row| {
                let mut row = *row;
                row.set_cookie(0, 7 + u32::from(row.local_port));
                row
            }));
        }
        assert!(agree(&dumped, &table(1000)));
    }

    #[test]
    fn a_field_that_is_read_wrongly_does_not_agree() {
        let wrong: [fn(&mut SocketRow); 9] = [
            |row| row.local_port += 1,
            |row| row.inode += 1,
            |row| row.recv_q += 1,
            |row| row.timer_raw += 1,
            |row| row.state = TcpState::CloseWait,
            |row| row.flags = row.flags.with(RowFlags::BIND_NO_PORT),
            |row| row.expires_ms += 60_000,
            |row| row.retrans += 1,
            // Another user.
            |row| row.origin = (row.origin + 1) % 7,
        ];
        for (n, wrong) in wrong.into_iter().enumerate() {
            assert!(!agree(&table(1000), &changed(1000, wrong)), "{n}");
        }
    }

    #[test]
    fn what_a_connection_keeps_must_be_the_same_in_each() {
        let once = |row: &mut SocketRow| row.peer_port += u16::from(row.local_port == 500);
        assert!(!agree_picking(1, &table(1000), &changed(1000, once)));
    }

    #[test]
    fn a_timer_that_few_have_must_be_seen_on_most_of_them() {
        let few = |row: &mut SocketRow| row.timer_raw = 2 * u8::from(row.local_port < 36);
        assert!(!agree(&changed(1000, few), &table(1000)));
        assert!(agree(&changed(1000, few), &changed(1000, few)));
    }

    #[test]
    fn sockets_that_are_not_there_do_not_agree() {
        assert!(!agree(&table(1000), &table(900)));
        assert!(!agree(&table(900), &table(1000)));
        assert!(!agree(&table(1000), &Table::default()));
    }
}
