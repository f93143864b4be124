//! Names of addresses, asked for in the background.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::{ForeignText, HostNames, Ip, Services};
use crate::sys::names::{host_name, services};

/// Threads that ask.
pub const THREADS: usize = 16;
/// Addresses that may wait for a thread; what comes beyond them stays a number until there is room.
pub const WAITING: usize = 4096;
/// Addresses whose answer is remembered.
pub const REMEMBERED: usize = 8192;
/// How long an answer is good.
pub const GOOD_FOR: Duration = Duration::from_secs(600);

/// Who knows names: by their address, `None` for one that has none.
pub type Lookup = dyn Fn(Ip) -> Option<ForeignText> + Send + Sync;

/// Asks for names and remembers them.
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    lookup: Box<Lookup>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What was answered, and when.
    known: HashMap<Ip, (Instant, Option<ForeignText>), foldhash::fast::RandomState>,
    waiting: VecDeque<Ip>,
    /// In the queue or with a thread.
    pending: HashSet<Ip, foldhash::fast::RandomState>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A lookup runs outside of the lock, so that no panic leaves half a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver {
    /// One that asks this machine.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|ip| host_name(ip.into()))
    }

    /// One that asks `lookup`, on several threads at once.
    pub fn new(lookup: impl Fn(Ip) -> Option<ForeignText> + Send + Sync + 'static) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { lookup: Box::new(lookup), state, changed }) }
    }

    /// Has those addresses asked for whose name is neither known nor on its way. Does not wait.
    pub fn ask(&self, addresses: impl IntoIterator<Item = Ip>) {
        let now = Instant::now();
        let mut state = self.shared.lock();
        for ip in addresses {
            let fresh = state.known.get(&ip).is_some_and(|(at, _)| now.duration_since(*at) < GOOD_FOR);
            if fresh || ip.is_unspecified() || state.pending.contains(&ip) {
                continue;
            }
            if state.waiting.len() >= WAITING {
                break;
            }
            state.pending.insert(ip);
            state.waiting.push_back(ip);
        }
        let wanted = state.waiting.len().saturating_sub(state.idle).min(THREADS - state.threads);
        for _ in 0..wanted {
            let shared = Arc::clone(&self.shared);
            // A thread that cannot be made leaves its work to the others; without any, the addresses stay numbers.
            if std::thread::Builder::new().name("names".into()).spawn(move || work(&shared)).is_ok() {
                state.threads += 1;
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Waits until every address that was asked for has an answer, at most until `deadline`. Says how many have none.
    #[must_use]
    pub fn wait(&self, deadline: Instant) -> usize {
        let mut state = self.shared.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if state.pending.is_empty() || left.is_zero() {
                return state.pending.len();
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The names that are known of these addresses.
    #[must_use]
    pub fn names(&self, addresses: impl IntoIterator<Item = Ip>) -> HostNames {
        let state = self.shared.lock();
        let known = |ip: Ip| Some((ip, state.known.get(&ip)?.1.clone()?));
        addresses.into_iter().filter_map(known).collect()
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.shared.changed.notify_all();
    }
}

/// What a thread does: one address after the other, until nobody wants names any more.
fn work(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if state.closed {
            state.threads -= 1;
            return;
        }
        let Some(ip) = state.waiting.pop_front() else {
            state.idle += 1;
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            continue;
        };
        drop(state);
        let name = (shared.lookup)(ip).filter(|name| !name.raw().is_empty());
        state = shared.lock();
        state.pending.remove(&ip);
        if state.known.len() >= REMEMBERED {
            forget(&mut state);
        }
        state.known.insert(ip, (Instant::now(), name));
        shared.changed.notify_all();
    }
}

/// Forgets the older half.
fn forget(state: &mut State) {
    let mut times: Vec<Instant> = state.known.values().map(|(at, _)| *at).collect();
    let middle = times.len() / 2;
    let (_, middle, _) = times.select_nth_unstable(middle);
    let middle = *middle;
    state.known.retain(|_, (at, _)| *at > middle);
}

/// Names of services by their port, out of `/etc/services`.
#[must_use]
pub fn service_names() -> Arc<Services> {
    Arc::new(services())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    fn ip(n: u32) -> Ip {
        Ip::from(std::net::Ipv4Addr::from(0x0a00_0000 + n))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[test]
    fn each_address_is_asked_for_once_and_what_has_no_name_is_remembered_too() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let resolver = Resolver::new(move |of| {
            count.fetch_add(1, Ordering::Relaxed);
            (of != ip(3)).then(|| ForeignText::from(format!("host-{of}").as_str()))
        });
        for _ in 0..3 {
            resolver.ask((1..=100).chain(1..=100).map(ip));
            assert_eq!(resolver.wait(soon()), 0);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 100);
        let names = resolver.names((1..=200).map(ip));
        assert_eq!((names.len(), names.get(&ip(3))), (99, None));
        assert_eq!(names[&ip(7)].raw(), "host-10.0.0.7");
        assert_eq!(resolver.shared.lock().pending.len(), 0);
    }

    #[test]
    fn who_waits_does_not_wait_for_a_server_that_never_answers() {
        let (stop, stopped) = channel::<()>();
        let stopped = Mutex::new(stopped);
        let resolver = Resolver::new(move |of| {
            if of == ip(1) {
                // Until the end of the test.
                let _ = stopped.lock().map(|s| s.recv());
            }
            Some("quick".into())
        });
        resolver.ask((1..=50).map(ip));
        let ended = soon();
        while resolver.names((2..=50).map(ip)).len() < 49 {
            assert!(Instant::now() < ended, "one that hangs must not stop the others");
            let _ = resolver.wait(Instant::now() + Duration::from_millis(5));
        }
        assert_eq!(resolver.wait(Instant::now()), 1, "the one that hangs is said");
        assert!(resolver.names([ip(1)]).is_empty());
        drop(resolver);
        drop(stop);
    }

    #[test]
    fn memory_and_threads_are_bounded() {
        let (gate, go) = channel::<()>();
        let go = Mutex::new(go);
        let resolver = Resolver::new(move |_| {
            let _ = go.lock().map(|g| g.recv());
            Some("x".into())
        });
        resolver.ask((0..100_000).map(ip));
        {
            let state = resolver.shared.lock();
            assert!(state.threads <= THREADS && state.pending.len() <= WAITING + THREADS);
        }
        drop(gate);
        for block in 0..5 {
            resolver.ask((block * 4000..(block + 1) * 4000).map(ip));
            assert_eq!(resolver.wait(soon()), 0);
        }
        assert!(resolver.shared.lock().known.len() <= REMEMBERED);
        assert_eq!(resolver.names([ip(19_999)]).len(), 1, "the newest are kept");
    }

    #[test]
    fn the_wildcard_is_nobody() {
        let resolver = Resolver::new(|_| Some("x".into()));
        resolver.ask([Ip::V4_ANY, Ip::V6_ANY]);
        assert_eq!(resolver.wait(soon()), 0);
        assert!(resolver.names([Ip::V4_ANY, Ip::V6_ANY]).is_empty());
    }
}
