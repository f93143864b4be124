//! Closing sockets: which ones, what will happen, and what came of it. Doing it is the engine's.
//!
//! `SOCK_DESTROY` ends the connection, not the descriptor: the program keeps it and learns by an error.

mod meant;

use std::fmt;

use super::RowId;
use crate::analysis::{Ownership, Snapshot, World, owner_of};
use crate::model::{Endpoint, Origin, RowFlags, SocketRow, TcpState};
pub use meant::{Group, Listed, Meant, Verdict, meant};

/// A socket to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Where it was seen.
    pub id: RowId,
    /// Inode of its network namespace.
    pub netns: u64,
    /// The socket as it was seen. Only the one with this cookie is closed.
    pub row: SocketRow,
    /// Its origin.
    pub origin: Origin,
}

/// What `SOCK_DESTROY` does to a socket (`tcp_abort` in `net/ipv4/tcp.c`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effect {
    /// The peer gets a reset, the program an error.
    Reset,
    /// The same before `accept()`: the program gets the socket later, and it is dead then.
    ResetUnaccepted,
    /// Nobody holds it; the peer gets a reset.
    ResetOrphan,
    /// The peer gets a reset; it is the kernel that uses it.
    ResetKernel,
    /// Nothing is sent; the program's connect fails.
    ConnectFails,
    /// Nothing is sent; the peer's retransmission finds nothing and gets a reset.
    Quiet,
    /// Forgotten without a word; the peer is reset when it sends again.
    Forgotten,
    /// Nobody can connect any more; what waits in its queue is reset. The socket stays with its program, and with it a port
    /// that the program bound (`inet_csk_listen_stop`; `tcp_set_state` spares `SOCK_BINDPORT_LOCK`).
    StopsListening,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "the peer gets a reset; the program gets ECONNABORTED and keeps the descriptor",
            Self::ResetUnaccepted => {
                "the peer gets a reset; no program has accepted it yet, and the one that does finds it dead (ECONNABORTED)"
            }
            Self::ResetKernel => "the peer gets a reset; the kernel itself uses it (NFS, iSCSI, SMB, …) and gets an error",
            Self::ResetOrphan => "the peer gets a reset; no program holds it",
            Self::ConnectFails => "nothing is sent; the program's connect() fails with ECONNABORTED",
            Self::Quiet => "nothing is sent; the peer gets a reset when it sends again",
            Self::Forgotten => "the kernel forgets it; nothing is sent, the peer gets a reset if it sends again",
            Self::StopsListening => {
                "new connections are refused, those that wait are reset, accept() fails (the program may not notice); the port that it bound stays taken while it keeps the descriptor"
            }
        })
    }
}

impl Effect {
    /// What closing will do to a socket; `None` where the kernel cannot close it: a bound socket is in no table that
    /// `SOCK_DESTROY` searches.
    #[must_use]
    pub fn on(row: &SocketRow, snapshot: &Snapshot) -> Option<Self> {
        let held = row.inode != 0;
        let unheld = || match owner_of(row, snapshot, None) {
            Ownership::NotAccepted => Self::ResetUnaccepted,
            _ => Self::ResetKernel,
        };
        let full = held || row.flags.has(RowFlags::FULL);
        Some(match row.state {
            TcpState::Established | TcpState::CloseWait if !held => unheld(),
            TcpState::Established | TcpState::CloseWait => Self::Reset,
            TcpState::FinWait2 if !full => Self::Forgotten,
            TcpState::FinWait1 | TcpState::FinWait2 => {
                if held {
                    Self::Reset
                } else {
                    Self::ResetOrphan
                }
            }
            TcpState::SynRecv if held => Self::Reset,
            TcpState::SynRecv if full => unheld(),
            TcpState::SynRecv | TcpState::TimeWait => Self::Forgotten,
            TcpState::SynSent => Self::ConnectFails,
            TcpState::LastAck | TcpState::Closing => Self::Quiet,
            TcpState::Listen => Self::StopsListening,
            TcpState::BoundInactive | TcpState::Close => return None,
        })
    }
}

/// Why a socket that was named is not to be closed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Refusal {
    /// A listener, and nobody said that listeners are meant.
    Listener,
    /// The connection that this session runs over, and nobody said that it is meant.
    OwnSession,
    /// The kernel cannot.
    Impossible,
    /// It is in another network namespace than this program.
    Elsewhere,
    /// The source of the table has no cookie, without which another socket could be hit.
    NoCookie,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listener => "a listener: only with --listeners",
            Self::OwnSession => "this session runs over it: only with --own-session",
            Self::Impossible => "bound and not connected: the kernel has no way to close it",
            Self::Elsewhere => "in another network namespace: run tcptop there",
            Self::NoCookie => "without a cookie (from /proc/net/tcp) it cannot be told from a later one",
        })
    }
}

/// What belongs to the session that this program runs in.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Session {
    /// Local and peer address of the connection that it runs over.
    pub connections: Vec<(Endpoint, Endpoint)>,
    /// Inodes of the sockets that the processes above this one hold.
    pub inodes: Vec<u32>,
    /// Inode of this program's network namespace.
    pub netns: u64,
}

impl Session {
    fn runs_over(&self, row: &SocketRow) -> bool {
        let ends = (row.local_endpoint(), row.peer_endpoint());
        // On a machine that logs in to itself both ends carry the session.
        let carries = |&(a, b): &(Endpoint, Endpoint)| ends == (a, b) || ends == (b, a);
        self.connections.iter().any(carries)
            || row.inode != 0 && row.state.has_peer() && self.inodes.contains(&row.inode)
    }
}

/// What may be closed that is not closed without being told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Allow {
    /// Listeners.
    pub listeners: bool,
    /// The connection that this session runs over.
    pub own_session: bool,
}

/// Which sockets are going to be closed, and which are not.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Plan {
    /// To be closed, and with what effect.
    pub targets: Vec<(Target, Effect)>,
    /// Not to be closed, and why.
    pub refused: Vec<(Target, Refusal)>,
}

/// Plans to close the sockets in `rows`.
#[must_use]
pub fn plan(world: &World, rows: &[RowId], session: &Session, allow: Allow) -> Plan {
    let mut plan = Plan::default();
    for id in rows {
        let Some(snapshot) = world.snapshots.get(usize::from(id.ns)) else { continue };
        let table = &snapshot.sample.table;
        let Some(row) = table.rows.get(id.row as usize) else { continue };
        let netns = snapshot.sample.netns.inode;
        let target = Target { id: *id, netns, row: *row, origin: table.origin(row) };
        match judge(&target, snapshot, session, allow) {
            Ok(effect) => plan.targets.push((target, effect)),
            Err(refusal) => plan.refused.push((target, refusal)),
        }
    }
    plan
}

fn judge(target: &Target, snapshot: &Snapshot, session: &Session, allow: Allow) -> Result<Effect, Refusal> {
    let row = &target.row;
    if row.cookie() == 0 {
        return Err(Refusal::NoCookie);
    }
    if target.netns != session.netns {
        return Err(Refusal::Elsewhere);
    }
    if row.state == TcpState::Listen && !allow.listeners {
        return Err(Refusal::Listener);
    }
    if session.runs_over(row) && !allow.own_session {
        return Err(Refusal::OwnSession);
    }
    Effect::on(row, snapshot).ok_or(Refusal::Impossible)
}

/// What became of a socket that was to be closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is gone.
    Closed,
    /// It listens no more. It is in no table that can be searched, and still is its program's.
    NoListener,
    /// It had ended before, or ended with the other end of the same connection.
    EndedBefore,
    /// It is still there.
    Remains(Reason),
}

/// What is said of a listener that listens no more.
pub const NO_LISTENER: &str =
    "no longer listening; the port that a program bound stays taken while it keeps the descriptor";

/// Why a socket is still there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// `EPERM`.
    NotPermitted,
    /// `EOPNOTSUPP` for a mini-socket.
    OldKernel,
    /// `EOPNOTSUPP`.
    NotBuilt,
    /// The kernel said yes and did nothing: an orphan, before Linux 6.12.
    IgnoredOrphan,
    /// The kernel said yes, and the socket is there all the same.
    Ignored,
    /// The kernel said something else.
    Other(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPermitted => f.write_str("not permitted; run as root or with CAP_NET_ADMIN"),
            Self::OldKernel => f.write_str("this kernel cannot close TIME_WAIT and its like (Linux 6.0 can)"),
            Self::NotBuilt => f.write_str("this kernel cannot close sockets (CONFIG_INET_DIAG_DESTROY)"),
            Self::IgnoredOrphan => f.write_str(
                "the kernel said yes and did nothing: no program holds it, and Linux 4.9 to 6.11 leave such sockets alone",
            ),
            Self::Ignored => f.write_str("the kernel said yes, and it is still there"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// What became of all of them, in the order of the plan.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Outcome {
    /// Each socket and its fate.
    pub fates: Vec<(Target, Fate)>,
}

impl Outcome {
    /// How many are not there any more.
    #[must_use]
    pub fn gone(&self) -> usize {
        self.fates.iter().filter(|(_, fate)| matches!(fate, Fate::Closed | Fate::EndedBefore)).count()
    }

    /// How many listen no more.
    #[must_use]
    pub fn no_listeners(&self) -> usize {
        self.fates.iter().filter(|(_, fate)| *fate == Fate::NoListener).count()
    }

    /// Why some are still there, one reason for each.
    pub fn remaining(&self) -> impl Iterator<Item = &Reason> {
        self.fates
            .iter()
            .filter_map(|(_, fate)| if let Fate::Remains(reason) = fate { Some(reason) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{self, endpoint, socket};

    fn world() -> World {
        let mut rows = vec![
            socket(TcpState::Listen, "0.0.0.0:22", ""),
            socket(TcpState::Established, "10.0.0.1:22", "10.9.9.9:5000"),
            socket(TcpState::Established, "10.0.0.1:22", "10.9.9.9:5001"),
            socket(TcpState::TimeWait, "10.0.0.1:80", "10.9.9.9:5002"),
            socket(TcpState::BoundInactive, "10.0.0.1:81", ""),
        ];
        for (row, n) in rows.iter_mut().zip(1..) {
            row.set_cookie(n, 0);
        }
        testkit::world_of(rows)
    }

    fn planned(session: &Session, allow: Allow) -> (Vec<u32>, Vec<(u32, Refusal)>) {
        let world = world();
        let all: Vec<RowId> = (0..5).map(|row| RowId { ns: 0, row }).collect();
        let plan = plan(&world, &all, session, allow);
        (
            plan.targets.iter().map(|(t, _)| t.id.row).collect(),
            plan.refused.iter().map(|(t, why)| (t.id.row, *why)).collect(),
        )
    }

    #[test]
    fn who_learns_of_a_reset_depends_on_who_holds_the_connection() {
        let listener = socket(TcpState::Listen, "0.0.0.0:80", "");
        let held = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000");
        let mut unaccepted = held;
        unaccepted.inode = 0;
        let mut kernels = unaccepted;
        kernels.local_port = 900;
        let world = testkit::world_of(vec![listener, held, unaccepted, kernels]);
        let effect = |row| Effect::on(row, &world.snapshots[0]).unwrap();
        assert_eq!(effect(&held), Effect::Reset);
        assert_eq!(effect(&unaccepted), Effect::ResetUnaccepted);
        assert_eq!(effect(&kernels), Effect::ResetKernel);
    }

    #[test]
    fn listeners_the_own_session_and_what_cannot_be_closed_are_left_alone() {
        let connection = (endpoint("10.0.0.1:22"), endpoint("10.9.9.9:5000"));
        let netns = 4_026_531_840;
        let session = Session { connections: vec![connection], inodes: vec![], netns };
        let (closed, refused) = planned(&session, Allow::default());
        assert_eq!(closed, [2, 3]);
        assert_eq!(refused, [(0, Refusal::Listener), (1, Refusal::OwnSession), (4, Refusal::Impossible)]);
        let (closed, _) = planned(&session, Allow { listeners: true, own_session: true });
        assert_eq!(closed, [0, 1, 2, 3]);
        let by_inode = world().snapshots[0].sample.table.rows[2].inode;
        let session = Session { inodes: vec![by_inode], netns, ..Session::default() };
        assert_eq!(planned(&session, Allow::default()).1[1], (2, Refusal::OwnSession));
        let elsewhere = Session { netns: 1, ..Session::default() };
        assert!(planned(&elsewhere, Allow::default()).1.iter().all(|(_, why)| *why == Refusal::Elsewhere));
    }
}
