//! Asking sockets for their options, through whoever holds them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::mailbox::Mailbox;
use crate::analysis::{DeadOrUnbound, KeepaliveShare, Ownership, Snapshot, World, owner_of};
use crate::model::{Owners, Probed, Protocol, SocketRow, TcpState, Unprobed};
use crate::query::{RowId, Selection, SocketKey};
use crate::sys::Prober;

/// At most so many descriptors of one socket are tried.
const TRIES: usize = 8;

/// At most so many connections are asked for their share: some tens of milliseconds.
pub const MOST: usize = 4096;

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
        let Some((snapshot, row)) = place(world, *id) else { continue };
        let Some(found) = found.get_mut(usize::from(id.ns)) else { continue };
        found.extend(ask(&mut prober, snapshot, row).map(|probed| (row.cookie(), probed)));
    }
    let mut world = world.clone();
    for (snapshot, found) in world.snapshots.iter_mut().zip(found) {
        Arc::make_mut(snapshot).options = Arc::new(found);
    }
    Arc::new(world)
}

fn place(world: &World, id: RowId) -> Option<(&Snapshot, &SocketRow)> {
    let snapshot = world.snapshots.get(usize::from(id.ns))?;
    Some((snapshot, snapshot.sample.table.rows.get(id.row as usize)?))
}

/// Whether a socket is a connection that can have keepalive: a mini-socket, a request and an orphan cannot be asked.
fn can_have_keepalive(row: &SocketRow) -> bool {
    let waits = matches!(row.state, TcpState::Established | TcpState::CloseWait);
    row.state.has_peer() && (row.inode != 0 || waits)
}

/// Asks the connections among the sockets that are selected: all of them up to [`MOST`], else as many, evenly chosen in the
/// order of the table, which is that of a hash. The listener of a selection by listener is asked as well.
#[must_use]
pub fn keepalive_share(world: &World, select: &Selection) -> KeepaliveShare {
    let mut prober = Prober::new();
    let selected = select.rows(world);
    let is = |id: &RowId, what: fn(&SocketRow) -> bool| place(world, *id).is_some_and(|(_, row)| what(row));
    let connections: Vec<RowId> = selected.iter().filter(|id| is(id, can_have_keepalive)).copied().collect();
    let mut share = KeepaliveShare {
        connections: connections.len(),
        others: selected.len() - connections.len(),
        ..KeepaliveShare::default()
    };
    if matches!(select, Selection::Listener { .. }) {
        let mut listeners = selected.iter().filter(|id| is(id, |row| row.state == TcpState::Listen));
        let listener = listeners.next().and_then(|id| place(world, *id));
        // Those that share the address are the listener, too.
        share.others -= usize::from(listener.is_some()) + listeners.count();
        share.listener = listener.and_then(|(snapshot, row)| ask(&mut prober, snapshot, row));
    }
    let asked = connections.len().min(MOST);
    for n in 0..asked {
        let Some(id) = connections.get(n * connections.len() / asked) else { continue };
        let Some((snapshot, row)) = place(world, *id) else { continue };
        let Some(answer) = ask(&mut prober, snapshot, row) else { continue };
        let seen = snapshot.track.get(id.row as usize).and_then(|track| track.keepalive(row));
        share.add(&answer, seen);
    }
    share.finish();
    if let (Selection::Processes(key), Some(owners)) = (select, world.owners()) {
        let those = owners.processes.iter().filter(|p| key.covers(p)).map(|p| p.pid);
        let of = |pid| owners.in_no_table.get(&pid).into_iter().flat_map(|found| found.iter());
        let all = those.flat_map(|pid| of(pid).map(move |which| (pid, *which)));
        let asked = all.take(Owners::IN_NO_TABLE).map(|(pid, which)| {
            let told = prober.probe_unlisted(pid, which.fd, which.inode);
            DeadOrUnbound { pid, which, told }
        });
        share.in_no_table = asked.collect();
    }
    share
}

/// What came of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Options {
    /// One socket, by its identity; `None` for one that has no options to ask for.
    Socket(u64, Option<Probed>),
    /// Those that are selected.
    Share(Selection, Box<KeepaliveShare>),
}

#[derive(Debug)]
enum Question {
    Socket(RowId),
    Share(Selection),
}

/// The thread that asks sockets. A thread of its own, because the last close of a socket may wait (`SO_LINGER`), and the
/// last is ours where its owner closes in the same microseconds.
#[derive(Debug)]
pub(super) struct Asker {
    questions: Arc<Mailbox<(Arc<World>, Question)>>,
}

impl Asker {
    /// Starts the thread, which answers into `answers` and ends when this is dropped.
    pub(super) fn start(answers: Arc<Mailbox<Options>>) -> std::io::Result<Self> {
        let questions = Arc::new(Mailbox::new());
        let ours: Arc<Mailbox<(Arc<World>, Question)>> = Arc::clone(&questions);
        std::thread::Builder::new().name("options".into()).spawn(move || {
            while let Some((world, question)) = ours.wait() {
                let answer = match question {
                    Question::Socket(id) => {
                        let Some((snapshot, row)) = place(&world, id) else { continue };
                        // A new one each time: whether network classes are in use can change.
                        let options = ask(&mut Prober::new(), snapshot, row);
                        Options::Socket(SocketKey::of(snapshot, row).id, options)
                    }
                    Question::Share(select) => {
                        let share = keepalive_share(&world, &select);
                        Options::Share(select, Box::new(share))
                    }
                };
                drop(answers.post(answer));
            }
        })?;
        Ok(Self { questions })
    }

    /// Asks the socket of a row. A newer question replaces one that was not answered yet.
    pub(super) fn ask(&self, world: Arc<World>, row: RowId) {
        drop(self.questions.post((world, Question::Socket(row))));
    }

    /// Asks the connections that are selected, likewise.
    pub(super) fn ask_those(&self, world: Arc<World>, select: Selection) {
        drop(self.questions.post((world, Question::Share(select))));
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
    fn a_share_is_of_the_connections_and_says_how_many_were_asked() {
        let mut rows = testkit::many(2 * u32::try_from(MOST).unwrap());
        for row in &mut rows {
            (row.state, row.inode) = (TcpState::Established, 77);
        }
        rows.push(socket(TcpState::Listen, "0.0.0.0:80", ""));
        rows.push(socket(TcpState::TimeWait, "127.0.0.1:5001", "127.0.0.1:80"));
        rows.push(socket(TcpState::TimeWait, "127.0.0.1:80", "127.0.0.1:5002"));
        let world = testkit::world_owned(rows, Owners::default());
        let share = keepalive_share(&world, &Selection::All);
        assert_eq!((share.connections, share.others, share.asked), (2 * MOST, 3, MOST));
        assert_eq!(share.with + share.without + share.unknown, MOST);
        let [(why, n)] = share.unread.as_slice() else { panic!("{:?}", share.unread) };
        assert!(*n == MOST && why.to_string().contains("not all been looked at"), "{why}");
        assert_eq!((share.read(), share.listener), (0, None));
        let none = keepalive_share(&world, &Selection::States(0));
        assert_eq!(none, KeepaliveShare::default());
        let of_listener =
            Selection::Listener { netns: 4_026_531_840, local: testkit::endpoint("0.0.0.0:80") };
        let of_listener = keepalive_share(&world, &of_listener);
        assert!(matches!(of_listener.listener, Some(Err(_))));
        let there = (of_listener.connections, of_listener.others);
        assert_eq!(there, (0, 1), "it is no other socket on its own page, and one in TIME_WAIT is");
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
