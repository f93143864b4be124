//! Sockets to be closed as people name and read them: by what they selected, and together with what becomes of them.

use rustc_hash::FxHashSet;

use super::{Effect, Fate, Outcome, Plan, Refusal, Target};
use crate::analysis::World;
use crate::model::TcpState;
use crate::query::{RowId, Selection, SocketKey};

/// Sockets that someone means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Meant {
    /// One.
    Socket(SocketKey),
    /// Those of a peer, a listener, a destination, a process, or every one.
    Those(Selection),
}

/// The sockets of a world that are meant, each once.
#[must_use]
pub fn meant(world: &World, which: &[Meant]) -> Vec<RowId> {
    let single: FxHashSet<SocketKey> =
        which.iter().filter_map(|m| if let Meant::Socket(key) = m { Some(*key) } else { None }).collect();
    let mut rows = Vec::new();
    for (ns, snapshot) in (0_u16..).zip(&world.snapshots) {
        let those: Vec<_> = which
            .iter()
            .filter_map(|m| {
                if let Meant::Those(selection) = m { Some(selection.compile(snapshot)) } else { None }
            })
            .collect();
        for (row, socket) in (0_u32..).zip(&snapshot.sample.table.rows) {
            if those.iter().any(|s| s.matches(socket))
                || !single.is_empty() && single.contains(&SocketKey::of(snapshot, socket))
            {
                rows.push(RowId { ns, row });
            }
        }
    }
    rows
}

/// What a plan says of a socket.
pub type Verdict = Result<Effect, Refusal>;

/// Sockets in one state of which the same is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group<W> {
    /// Their state when they were seen.
    pub state: TcpState,
    /// What is said of them.
    pub what: W,
    /// The sockets, by address.
    pub targets: Vec<Target>,
}

/// Groups in the order in which they are read.
pub type Listed<W> = Vec<Group<W>>;

/// Puts together what is alike. `rank` says what comes first.
fn list<W: Clone + PartialEq, K: Ord>(
    all: impl Iterator<Item = (Target, W)>,
    rank: impl Fn(&W) -> K,
) -> Listed<W> {
    let mut groups: Listed<W> = Vec::new();
    for (target, what) in all {
        let state = target.row.state;
        match groups.iter_mut().find(|g| g.state == state && g.what == what) {
            Some(group) => group.targets.push(target),
            None => groups.push(Group { state, what, targets: vec![target] }),
        }
    }
    for group in &mut groups {
        group.targets.sort_by_key(|t| (t.row.local_endpoint(), t.row.peer_endpoint(), t.row.cookie()));
    }
    groups.sort_by_key(|g| (rank(&g.what), g.state));
    groups
}

impl Plan {
    /// What will be closed and what not, by state and effect.
    #[must_use]
    pub fn listed(&self) -> Listed<Verdict> {
        let closed = self.targets.iter().map(|(t, effect)| (*t, Ok(*effect)));
        let refused = self.refused.iter().map(|(t, why)| (*t, Err(*why)));
        list(closed.chain(refused), |what| (what.is_err(), what.ok()))
    }
}

impl Outcome {
    /// What became of the sockets, what is still there first.
    #[must_use]
    pub fn listed(&self) -> Listed<Fate> {
        list(self.fates.iter().cloned(), |fate| match fate {
            Fate::Remains(_) => 0,
            Fate::NoListener => 1,
            Fate::Closed => 2,
            Fate::EndedBefore => 3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Allow, Reason, Session, plan};
    use super::*;
    use crate::testkit::{self, endpoint, socket};

    fn world() -> World {
        let mut rows = vec![
            socket(TcpState::Listen, "0.0.0.0:22", ""),
            socket(TcpState::Established, "10.0.0.1:22", "10.9.9.9:5001"),
            socket(TcpState::TimeWait, "10.0.0.1:80", "10.9.9.9:5002"),
            socket(TcpState::Established, "10.0.0.1:22", "10.9.9.9:5000"),
            socket(TcpState::Established, "10.0.0.1:80", "10.9.9.8:5000"),
        ];
        for (row, n) in rows.iter_mut().zip(1..) {
            row.set_cookie(n, 0);
        }
        testkit::world_of(rows)
    }

    fn rows(which: &[Meant]) -> Vec<u32> {
        meant(&world(), which).iter().map(|id| id.row).collect()
    }

    #[test]
    fn what_is_meant_twice_is_meant_once() {
        let peer = |addr: &str| Meant::Those(Selection::peer(endpoint(&format!("{addr}:1")).addr));
        let one = |id| Meant::Socket(SocketKey { netns: 4_026_531_840, id });
        assert_eq!(rows(&[peer("10.9.9.9")]), [1, 2, 3]);
        assert_eq!(rows(&[peer("10.9.9.9"), one(2), one(5)]), [1, 2, 3, 4]);
        assert_eq!(
            rows(&[Meant::Those(Selection::Listener {
                netns: 4_026_531_840,
                local: endpoint("0.0.0.0:22")
            })]),
            [0, 1, 3]
        );
        assert_eq!(rows(&[Meant::Those(Selection::All)]).len(), 5);
        assert_eq!(rows(&[]), [] as [u32; 0]);
        assert_eq!(rows(&[one(99)]), [] as [u32; 0], "one that ended");
    }

    #[test]
    fn a_plan_is_read_by_state_and_effect_and_what_is_refused_comes_last() {
        let world = world();
        let session = Session { netns: 4_026_531_840, ..Session::default() };
        let all = meant(&world, &[Meant::Those(Selection::All)]);
        let listed = plan(&world, &all, &session, Allow::default()).listed();
        let read: Vec<_> = listed.iter().map(|g| (g.state, g.what, g.targets.len())).collect();
        assert_eq!(
            read,
            [
                (TcpState::Established, Ok(Effect::Reset), 3),
                (TcpState::TimeWait, Ok(Effect::Forgotten), 1),
                (TcpState::Listen, Err(Refusal::Listener), 1),
            ]
        );
        let ports: Vec<u16> = listed[0].targets.iter().map(|t| t.row.peer_port).collect();
        assert_eq!(ports, [5000, 5001, 5000], "by address");
    }

    #[test]
    fn what_is_still_there_is_read_first() {
        let world = world();
        let session = Session { netns: 4_026_531_840, ..Session::default() };
        let all = meant(&world, &[Meant::Those(Selection::All)]);
        let plan = plan(&world, &all, &session, Allow::default());
        let fates = [Fate::Closed, Fate::EndedBefore, Fate::Closed, Fate::Remains(Reason::NotPermitted)];
        let fates = plan.targets.iter().map(|(t, _)| *t).zip(fates).collect();
        let listed = Outcome { fates }.listed();
        let what: Vec<_> = listed.iter().map(|g| &g.what).collect();
        assert_eq!(what, [&Fate::Remains(Reason::NotPermitted), &Fate::Closed, &Fate::EndedBefore]);
    }
}
