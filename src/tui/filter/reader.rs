//! The threads that read what is typed: one for what this machine knows by itself, and one that may wait for a name server.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::thread;

use crate::analysis::World;
use crate::engine::mailbox::Mailbox;
use crate::model::Ip;
use crate::query::filter::{Completion, Filter, FilterError, Lookup, complete};

/// A text to be read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its number, growing.
    pub id: u64,
    /// The text.
    pub text: String,
    /// The byte that the cursor stands before.
    pub cursor: usize,
    /// Whose values are offered.
    pub world: Option<Arc<World>>,
    /// Whether a host may be asked for by its name.
    pub resolve: bool,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// Number of the reading.
    pub id: u64,
    /// The filter, or what is wrong with the text.
    pub filter: Result<Option<Arc<Filter>>, Mistake>,
    /// Whether hosts were asked for by their names.
    pub resolved: bool,
    /// What could stand at the cursor.
    pub completion: Completion,
}

/// Why a text is no filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mistake {
    /// Something is wrong, or missing.
    Wrong(FilterError),
    /// It may be the name of a host, which is asked for when the filter is taken.
    Name(FilterError),
}

impl Mistake {
    /// What was expected, and where.
    #[must_use]
    pub const fn error(&self) -> &FilterError {
        match self {
            Self::Wrong(error) | Self::Name(error) => error,
        }
    }
}

/// Knows what another knows, but no hosts.
struct WithoutHosts<'a> {
    lookup: &'a dyn Lookup,
    asked: Cell<bool>,
}

impl Lookup for WithoutHosts<'_> {
    fn service(&self, name: &str) -> Option<u16> {
        self.lookup.service(name)
    }
    fn interface(&self, name: &str) -> Option<u32> {
        self.lookup.interface(name)
    }
    fn cgroup(&self, path: &str) -> Option<u64> {
        self.lookup.cgroup(path)
    }
    fn user(&self, name: &str) -> Option<u32> {
        self.lookup.user(name)
    }
    fn host(&self, _: &str) -> Vec<Ip> {
        self.asked.set(true);
        Vec::new()
    }
}

/// Reads a text.
#[must_use]
pub fn read(reading: &Reading, lookup: &dyn Lookup) -> Read {
    let Reading { id, ref text, cursor, ref world, resolve } = *reading;
    let without = WithoutHosts { lookup, asked: Cell::new(false) };
    let filter = Filter::parse(text, if resolve { lookup } else { &without })
        .map_err(|error| if without.asked.get() { Mistake::Name(error) } else { Mistake::Wrong(error) });
    Read { id, filter, resolved: resolve, completion: complete(text, cursor, world.as_deref()) }
}

/// Mailboxes of the two threads.
#[derive(Debug)]
pub struct Readers {
    local: [Arc<Mailbox<Reading>>; 2],
    read: [Arc<Mailbox<Read>>; 2],
}

impl Readers {
    /// Starts the threads; `mailbox` makes the places for their answers. They end when this is dropped, or, while a name
    /// server is asked, with the process.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(
        lookup: &(impl Lookup + Clone + Send + 'static),
        mailbox: impl Fn() -> Mailbox<Read>,
    ) -> io::Result<Self> {
        let local = [Arc::default(), Arc::default()];
        let read = [Arc::new(mailbox()), Arc::new(mailbox())];
        for (name, (inbox, outbox)) in ["reader", "names"].into_iter().zip(local.iter().zip(&read)) {
            let (inbox, outbox): (Arc<Mailbox<Reading>>, _) = (Arc::clone(inbox), Arc::clone(outbox));
            let lookup = lookup.clone();
            thread::Builder::new().name(name.into()).spawn(move || {
                while let Some(reading) = inbox.wait() {
                    outbox.post(self::read(&reading, &lookup));
                }
            })?;
        }
        Ok(Self { local, read })
    }

    /// Has a text read; a newer one replaces one that was not begun.
    pub fn post(&self, reading: Reading) {
        drop(self.local[usize::from(reading.resolve)].post(reading));
    }

    /// What was read since the last call.
    pub fn take(&self) -> impl Iterator<Item = Read> + '_ {
        self.read.iter().filter_map(|read| read.take())
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.local.iter().for_each(|inbox| inbox.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::filter::Numbers;

    struct OneHost;

    impl Lookup for OneHost {
        fn host(&self, name: &str) -> Vec<Ip> {
            if name == "db" { vec![Ip::from_v4_octets([10, 0, 0, 7])] } else { Vec::new() }
        }
    }

    fn reading(text: &str, resolve: bool) -> Reading {
        Reading { id: 1, text: text.to_owned(), cursor: text.len(), world: None, resolve }
    }

    #[test]
    fn a_host_is_asked_for_when_the_filter_is_taken_and_not_before() {
        let typed = read(&reading("dst db", false), &OneHost);
        assert!(matches!(typed.filter, Err(Mistake::Name(_))));
        let taken = read(&reading("dst db", true), &OneHost).filter.unwrap().unwrap();
        assert_eq!(taken.expr().to_string(), "dst db");
        assert!(matches!(read(&reading("dst bd", true), &OneHost).filter, Err(Mistake::Wrong(_))));
        assert!(matches!(read(&reading("dst 10.0.0.", false), &OneHost).filter, Err(Mistake::Wrong(_))));
    }

    #[test]
    fn both_threads_answer_and_end() {
        let readers = Readers::start(&Numbers, Mailbox::new).unwrap();
        for resolve in [false, true] {
            readers.post(reading("dport 80", resolve));
            let read = readers.read[usize::from(resolve)].wait().unwrap();
            assert_eq!((read.resolved, read.filter.is_ok()), (resolve, true));
        }
        assert!(readers.take().next().is_none());
    }
}
