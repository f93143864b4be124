//! Who holds the socket of each row, remembered from look to look: finding a socket in the map of all of them is a cold
//! line of memory for each, and most sockets and their holders are the same as a second ago.

use super::Snapshot;
use crate::model::{Holder, Owners, SocketRow};

/// The first process that holds a row's socket, and whether there are more holders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held(u32);

impl Held {
    const SHARED: u32 = 1 << 31;

    /// No process that could be looked at holds it.
    pub const NOBODY: Self = Self(!Self::SHARED);

    /// Nobody was asked yet.
    pub(super) const UNSOUGHT: Self = Self(u32::MAX);

    #[cfg(test)]
    pub(super) const fn of_one(process: u32) -> Self {
        Self(process)
    }

    fn by(holders: &[Holder]) -> Self {
        let Some(first) = holders.first() else { return Self::NOBODY };
        let shared = if holders.len() > 1 { Self::SHARED } else { 0 };
        Self(first.process | shared)
    }

    /// The first process that holds it, as an index into [`Owners::processes`].
    #[must_use]
    #[inline]
    pub fn first(self) -> Option<u32> {
        (self != Self::NOBODY).then_some(self.0 & !Self::SHARED)
    }

    /// Whether it has several holders.
    #[must_use]
    #[inline]
    pub const fn is_shared(self) -> bool {
        self.0 & Self::SHARED != 0
    }
}

/// Who holds the sockets of `rows`, given what is `carried` over from a look that had the owners `before`: it holds if they
/// had the same map.
pub(super) fn sought(
    rows: &[SocketRow],
    mut carried: Vec<Held>,
    owners: Option<&Owners>,
    before: Option<&Owners>,
) -> Vec<Held> {
    let Some(owners) = owners else { return Vec::new() };
    if !before.is_some_and(|before| before.has_holders_of(owners)) {
        carried.clear();
    }
    carried.resize(rows.len(), Held::UNSOUGHT);
    for (row, held) in rows.iter().zip(&mut carried) {
        if *held == Held::UNSOUGHT {
            *held = Held::by(owners.holders(row.inode));
        }
    }
    carried
}

impl Snapshot {
    /// The first process that holds the socket of the row at this place, as an index into [`Owners::processes`].
    #[must_use]
    #[inline]
    pub fn first_holder(&self, at: u32) -> Option<u32> {
        self.held.get(at as usize)?.first()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::analysis::Analyzer;
    use crate::model::TcpState;
    use crate::testkit::{self, Holding};

    fn row(cookie: u32, inode: u32) -> SocketRow {
        let mut row = testkit::socket(TcpState::Established, "10.0.0.1:80", "10.0.0.2:9");
        row.set_cookie(cookie, 0);
        row.inode = inode;
        row
    }

    /// The pid of the first holder of each row, and whether there are several, after a look with these processes.
    fn look(a: &mut Analyzer, rows: &[SocketRow], owners: &Arc<Owners>) -> Vec<(Option<u32>, bool)> {
        let s = a.derive_owned(testkit::sample(rows.to_vec()), Some(Arc::clone(owners)));
        let pid = |at| Some(owners.processes.get(s.first_holder(at)? as usize)?.pid);
        let held = s.held.iter().zip(0..).map(|(held, at)| (pid(at), held.is_shared()));
        held.collect()
    }

    fn owners(processes: &[Holding<'_>]) -> Arc<Owners> {
        Arc::new(testkit::owners(processes))
    }

    #[test]
    fn each_row_has_its_first_holder_whatever_came_and_went_and_whatever_the_map_was_before() {
        let mut a = Analyzer::default();
        let first = owners(&[(5, "a", &[(1, 3)]), (6, "b", &[(1, 3), (2, 4)])]);
        let held = [(Some(5), true), (Some(6), false), (None, false), (None, false)];
        let rows = [row(1, 1), row(2, 2), row(3, 3), row(4, 0)];
        assert_eq!(look(&mut a, &rows, &first), held);
        assert_eq!(look(&mut a, &rows, &first), held, "carried over");
        let moved = [row(4, 2), row(9, 1), row(1, 1)];
        assert_eq!(look(&mut a, &moved, &first), [(Some(6), false), (Some(5), true), (Some(5), true)]);
        let second = owners(&[(4, "c", &[(2, 3)]), (5, "a", &[]), (6, "b", &[(1, 3)])]);
        assert_eq!(look(&mut a, &moved, &second), [(Some(4), false), (Some(6), false), (Some(6), false)]);
        // Nobody is known any more, and then again.
        let s = a.derive(testkit::sample(moved.to_vec()));
        assert!(s.held.is_empty() && s.first_holder(0).is_none());
        assert_eq!(look(&mut a, &moved, &second)[0], (Some(4), false));
    }

    #[test]
    fn the_same_holders_with_newer_processes_need_not_be_looked_up() {
        let first = owners(&[(5, "a", &[(1, 3)])]);
        let newer = first.with_processes(first.processes.clone());
        assert!(newer.has_holders_of(&first));
        assert!(!owners(&[(5, "a", &[(1, 3)])]).has_holders_of(&first), "that is not known");
        let carried = vec![Held::of_one(9), Held::UNSOUGHT];
        let rows = [row(1, 1), row(2, 1)];
        let now = |before| sought(&rows, carried.clone(), Some(&newer), before);
        assert_eq!(now(Some(&*first)), [Held::of_one(9), Held::of_one(0)]);
        assert_eq!(now(None), [Held::of_one(0); 2]);
    }

    #[test]
    fn a_part_has_the_holders_of_its_rows() {
        let mut a = Analyzer::default();
        let known = owners(&[(5, "a", &[(1, 3)]), (6, "b", &[(2, 3)])]);
        let whole = a.derive_owned(testkit::sample(vec![row(1, 1), row(2, 2)]), Some(known));
        let part = Analyzer::default().derive_part(&whole, &[1], None);
        assert_eq!(part.held, [Held::of_one(1)]);
    }
}
