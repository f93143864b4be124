//! Asking sockets for their options, through whoever holds them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::mailbox::Mailbox;
use crate::analysis::{Ownership, Snapshot, World, owner_of};
use crate::model::{Owners, Probed, Protocol, SocketRow, Unprobed};
use crate::query::{RowId, SocketKey};
use crate::sys::Prober;

/// At most so many descriptors of one socket are tried.
const TRIES: usize = 8;

/// Asks the socket of `row` for its options; `None` for what has none of these: a mini-socket, a request, an orphan, UDP.
pub(super) fn ask(prober: &mut Prober, snapshot: &Snapshot, row: &SocketRow) -> Option<Probed> {
    if snapshot.sample.protocol == Protocol::Udp {
        return None;
    }
    let owners = snapshot.owners.as_deref();
    let held = match owner_of(row, snapshot, owners) {
        Ownership::TimeWait | Ownership::Orphan | Ownership::Request => return None,
        Ownership::Held(held) => held,
        Ownership::NotAccepted => {
            let why = "no descriptor yet: it waits for accept(), and has the options of its listener";
            return Some(Err(Unprobed::NoDescriptor(why.into())));
        }
        other => return Some(Err(Unprobed::NoDescriptor(other.sentence()))),
    };
    let mut refused = None;
    for holder in held.iter().take(TRIES) {
        let Some(process) = owners.and_then(|o: &Owners| o.process(*holder)) else { continue };
        match prober.probe(process.pid, holder.fd, row.cookie()) {
            Ok(options) => return Some(Ok(options)),
            Err(why) => refused = Some(why),
        }
    }
    Some(Err(refused.unwrap_or_else(|| Unprobed::NoDescriptor("its process has ended".into()))))
}

/// The world with the options of these sockets. It must know who holds them.
#[must_use]
pub fn with_options(world: &World, rows: &[RowId]) -> Arc<World> {
    let mut prober = Prober::new();
    let mut found = vec![FxHashMap::<u64, Probed>::default(); world.snapshots.len()];
    for id in rows {
        let ns = usize::from(id.ns);
        let Some((snapshot, found)) = world.snapshots.get(ns).zip(found.get_mut(ns)) else { continue };
        let row = snapshot.sample.table.rows.get(id.row as usize);
        found.extend(row.and_then(|row| Some((row.cookie(), ask(&mut prober, snapshot, row)?))));
    }
    let mut world = world.clone();
    for (snapshot, found) in world.snapshots.iter_mut().zip(found) {
        Arc::make_mut(snapshot).options = Arc::new(found);
    }
    Arc::new(world)
}

/// What came of asking one socket, with its identity; `None` inside for a socket that has no options to ask for.
pub type Options = (u64, Option<Probed>);

/// The thread that asks single sockets. A thread of its own, because the last close of a socket may wait
/// (`SO_LINGER`), and the last is ours where its owner closes in the same microseconds.
#[derive(Debug)]
pub(super) struct Asker {
    questions: Arc<Mailbox<(Arc<World>, RowId)>>,
}

impl Asker {
    /// Starts the thread, which answers into `answers` and ends when this is dropped.
    pub(super) fn start(answers: Arc<Mailbox<Options>>) -> std::io::Result<Self> {
        let questions = Arc::new(Mailbox::new());
        let ours: Arc<Mailbox<(Arc<World>, RowId)>> = Arc::clone(&questions);
        std::thread::Builder::new().name("options".into()).spawn(move || {
            while let Some((world, id)) = ours.wait() {
                let Some(snapshot) = world.snapshot(id.ns) else { continue };
                let Some(row) = snapshot.sample.table.rows.get(id.row as usize) else { continue };
                // A new one each time: whether network classes are in use can change.
                let options = ask(&mut Prober::new(), snapshot, row);
                drop(answers.post((SocketKey::of(snapshot, row).id, options)));
            }
        })?;
        Ok(Self { questions })
    }

    /// Asks the socket of a row. A newer question replaces one that was not answered yet.
    pub(super) fn ask(&self, world: Arc<World>, row: RowId) {
        drop(self.questions.post((world, row)));
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.questions.close();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use rustix::net::sockopt;

    use super::*;
    use crate::model::TcpState;
    use crate::testkit::{self, socket};

    #[test]
    fn a_socket_is_asked_through_the_first_descriptor_that_is_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        sockopt::set_socket_keepalive(&stream, true).unwrap();
        let cookie = sockopt::socket_cookie(&stream).unwrap();
        let fd = |s: &dyn AsRawFd| u32::try_from(s.as_raw_fd()).unwrap();
        let mut row = socket(TcpState::Established, "127.0.0.1:5000", "127.0.0.1:80");
        row.inode = 77;
        let halves = cookie.to_le_bytes();
        let (lo, hi) = (&halves[..4], &halves[4..]);
        row.set_cookie(
            u32::from_le_bytes(lo.try_into().unwrap()),
            u32::from_le_bytes(hi.try_into().unwrap()),
        );
        let mini = socket(TcpState::TimeWait, "127.0.0.1:5001", "127.0.0.1:80");
        let mut other = row;
        (other.inode, other.local_port) = (78, 5002);
        other.set_cookie(1, 0);
        let held = [(77, fd(&listener)), (77, fd(&stream)), (78, fd(&stream))];
        let owners = testkit::owners(&[(std::process::id(), "me", &held)]);
        let world = testkit::world_owned(vec![row, mini, other], owners);
        let rows: Vec<_> = (0..3).map(|row| RowId { ns: 0, row }).collect();
        let asked = with_options(&world, &rows);
        let of = |row: &SocketRow| asked.snapshots[0].options_of(row).cloned();
        assert!(of(&row).unwrap().unwrap().keepalive);
        assert_eq!(of(&mini), None);
        assert!(matches!(of(&other), Some(Err(Unprobed::AnotherSocket { .. }))));
        assert!(world.snapshots[0].options.is_empty());
    }

    #[test]
    fn without_a_descriptor_the_reason_is_said() {
        let mut waiting = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000");
        waiting.inode = 0;
        let listener = socket(TcpState::Listen, "0.0.0.0:80", "");
        let world = testkit::world_owned(vec![waiting, listener], Owners::default());
        let mut prober = Prober::new();
        let mut why = |row| match ask(&mut prober, &world.snapshots[0], row) {
            Some(Err(Unprobed::NoDescriptor(why))) => why,
            other => panic!("{other:?}"),
        };
        assert!(why(&waiting).contains("accept()"));
        assert!(why(&listener).contains("not all been looked at"));
    }
}
