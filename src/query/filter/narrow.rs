//! A world in which only the sockets of a filter are there.

use std::sync::Arc;

use super::ast::{Field, Is};
use super::compile::Filter;
use super::scene::{Infos, Scene, Truth};
use crate::analysis::{Analyzer, Snapshot, World};
use crate::model::{Protocol, Protocols, plural};

/// A world of the matching sockets.
#[derive(Clone, Debug)]
pub struct Narrowed {
    /// Their world: states, peers, listeners, ports and processes are of the matching sockets; limits, counters and
    /// sysctls are those of the machine.
    pub world: Arc<World>,
    /// Sockets of which it cannot be known whether they match; they are left out.
    pub unknown: usize,
}

impl Narrowed {
    /// A sentence about the sockets that were left out because it cannot be known whether they match, with what would make
    /// it known; `None` when there are none. `whole` is the world before.
    #[must_use]
    pub fn left_out(&self, whole: &World, filter: &Filter) -> Option<String> {
        let n = self.unknown;
        let s = plural(n);
        let why = match whole.owners() {
            _ if !filter.needs().owners => String::new(),
            None => "; the processes were not looked at".to_owned(),
            Some(owners) => owners.blindness().map_or_else(String::new, |b| format!("; {b}")),
        };
        let why = if filter.needs().info && why.is_empty() {
            "; the kernel did not tell, or not in time".to_owned()
        } else {
            why
        };
        let why = if why.is_empty() { untold(filter) } else { why };
        let whether = if n == 1 { "it matches" } else { "they match" };
        (n > 0).then(|| format!("{n} socket{s} left out: it is not known whether {whether} the filter{why}"))
    }
}

/// Why the table itself may not tell whether a socket matches.
fn untold(filter: &Filter) -> String {
    let reasons = filter.expr().conditions().filter_map(|is| match is {
        Is::Number(Field::Age, ..) => Some("what was there at the first look may be older than it was seen"),
        Is::Number(Field::Uid, ..) => Some("this kernel does not tell whose a socket without a file is"),
        Is::Keepalive(..) => Some("another timer hides keepalive"),
        Is::Mark { .. } => Some("marks take CAP_NET_ADMIN"),
        _ => None,
    });
    let mut said: Vec<&str> = Vec::new();
    for reason in reasons {
        if !said.contains(&reason) {
            said.push(reason);
        }
    }
    said.iter().map(|reason| format!("; {reason}")).collect::<Vec<_>>().concat()
}

/// Applies one filter to one world after the other, so that history, growth and churn are those of the matching sockets.
#[derive(Debug)]
pub struct Narrower {
    filter: Arc<Filter>,
    protocols: Protocols,
    spaces: Vec<((u64, Protocol), Analyzer)>,
}

impl Narrower {
    /// Someone who applies a filter.
    #[must_use]
    pub const fn new(filter: Arc<Filter>) -> Self {
        Self { filter, protocols: Protocols::BOTH, spaces: Vec::new() }
    }

    /// The same for the sockets of these protocols: of another one no socket matches, and that is known.
    #[must_use]
    pub fn only(self, protocols: Protocols) -> Self {
        Self { protocols, ..self }
    }

    /// The filter.
    #[must_use]
    pub const fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    /// Keeps the matching sockets of a world. `infos` holds the `tcp_info` that was asked for, if the filter needs it.
    #[must_use]
    pub fn narrow(&mut self, world: &World, infos: Option<&Infos>) -> Narrowed {
        let mut unknown = 0;
        let mut snapshots = Vec::with_capacity(world.snapshots.len());
        for snapshot in &world.snapshots {
            let udp = snapshot.udp.as_ref().map(|udp| self.part(udp, infos, None, &mut unknown));
            snapshots.push(self.part(snapshot, infos, udp, &mut unknown));
        }
        let world = Arc::new(World {
            generation: world.generation,
            host: Arc::clone(&world.host),
            snapshots,
            unexamined: world.unexamined.clone(),
            own_cpu: world.own_cpu,
        });
        Narrowed { world, unknown }
    }

    fn part(
        &mut self,
        snapshot: &Snapshot,
        infos: Option<&Infos>,
        udp: Option<Arc<Snapshot>>,
        unknown: &mut usize,
    ) -> Arc<Snapshot> {
        let mut scene = Scene::new(snapshot);
        if let Some(infos) = infos {
            scene = scene.with_infos(infos);
        }
        let mut rows = Vec::new();
        let wanted = match snapshot.sample.protocol {
            Protocol::Tcp => self.protocols.tcp,
            Protocol::Udp => self.protocols.udp,
        };
        for (at, row) in (0_u32..).zip(&snapshot.sample.table.rows).take_while(|_| wanted) {
            match self.filter.truth(&scene, at as usize, row) {
                Truth::True => rows.push(at),
                Truth::Unknown => *unknown += 1,
                Truth::False => {}
            }
        }
        let space = (snapshot.sample.netns.inode, snapshot.sample.protocol);
        let place = self.spaces.iter().position(|(s, _)| *s == space).unwrap_or_else(|| {
            self.spaces.push((space, Analyzer::default()));
            self.spaces.len() - 1
        });
        self.spaces[place].1.derive_part(snapshot, &rows, udp)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Numbers, parse};
    use super::*;
    use crate::analysis::owner_of;
    use crate::model::{Keepalive, SocketRow, TcpState};
    use crate::testkit::{self, socket};

    fn by(text: &str) -> Narrower {
        Narrower::new(Arc::new(Filter::new(parse(text, &Numbers).unwrap().unwrap())))
    }

    fn rows() -> Vec<SocketRow> {
        let mut rows = vec![
            socket(TcpState::Listen, "0.0.0.0:80", ""),
            socket(TcpState::Established, "10.0.0.1:80", "10.9.9.1:5000"),
            socket(TcpState::Established, "10.0.0.1:80", "10.9.9.2:5000"),
            socket(TcpState::TimeWait, "10.0.0.1:4000", "10.8.8.8:443"),
        ];
        for (row, n) in rows.iter_mut().zip(1..) {
            row.set_cookie(n, 0);
        }
        rows
    }

    #[test]
    fn totals_are_of_the_matching_sockets() {
        let world = testkit::world_of(rows());
        let narrowed = by("src 10.0.0.1:80 dst 10.9.9.0/24").narrow(&world, None);
        let s = &narrowed.world.snapshots[0];
        assert_eq!((s.states.all.total(), s.states.all[TcpState::Established]), (2, 2));
        assert_eq!(s.peers.len(), 2);
        assert!(s.listeners.is_empty());
        assert_eq!(s.limits, world.snapshots[0].limits);
        assert_eq!(narrowed.unknown, 0);
        assert_eq!(by("pid 1").narrow(&world, None).unknown, 3, "what has a file may be of that process");
        let of_udp = by("pid 1").only(Protocols::UDP).narrow(&world, None);
        assert_eq!((of_udp.unknown, of_udp.world.snapshots[0].states.all.total()), (0, 0), "none is of UDP");
    }

    #[test]
    fn a_connection_waits_at_its_listener_whether_or_not_the_filter_shows_that() {
        let mut waits = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.1:5000");
        let mut kernels = socket(TcpState::Established, "10.0.0.1:900", "10.9.9.1:2049");
        (waits.inode, kernels.inode) = (0, 0);
        let world = testkit::world_of(vec![rows()[0], waits, kernels]);
        let established = by("state established").narrow(&world, None).world;
        let twice = by("src 10.0.0.1").narrow(&established, None).world;
        for world in [established, twice] {
            let s = &world.snapshots[0];
            let words: Vec<_> = s.sample.table.rows.iter().map(|row| owner_of(row, s, None).word()).collect();
            assert_eq!(words, ["not_accepted", "kernel"]);
            assert!(s.listeners.is_empty());
        }
    }

    #[test]
    fn what_is_left_out_comes_with_the_reason() {
        let world = testkit::world_of(rows());
        let mut young = by("age < 1h");
        let narrowed = young.narrow(&world, None);
        assert_eq!(narrowed.unknown, 4);
        let said = narrowed.left_out(&world, young.filter()).unwrap();
        assert!(said.contains("whether they match") && said.contains("may be older"), "{said}");
    }

    #[test]
    fn what_is_remembered_of_sockets_stays() {
        let mut analyzer = Analyzer::default();
        let mut by_peer = by("dst 10.9.9.1");
        let mut table = rows();
        let mut look = |table: &[SocketRow], s: u64| {
            let mut sample = testkit::sample(table.to_vec());
            sample.taken.mono = Duration::from_secs(s);
            testkit::world(vec![Arc::unwrap_or_clone(analyzer.derive(sample))])
        };
        table[1].timer_raw = 2;
        let first = look(&table, 1);
        table[1].timer_raw = 1;
        let second = look(&table, 61);
        // The filter comes into force at the second look only.
        let narrowed = by_peer.narrow(&second, None);
        let s = &narrowed.world.snapshots[0];
        let age = s.age(s.track[0]);
        assert_eq!((age.seen, age.at_least), (Duration::from_secs(60), true));
        assert_eq!(s.track[0].keepalive(&s.sample.table.rows[0]), Some(Keepalive::On));
        assert_eq!(s.observed, second.snapshots[0].observed);
        assert!(s.churn.is_none() && first.generation == 1);
        table.remove(1);
        let narrowed = by_peer.narrow(&look(&table, 62), None);
        let churn = narrowed.world.snapshots[0].churn.unwrap();
        assert_eq!((churn.new, churn.gone), (0, 1));
    }
}
