//! One-slot mailboxes in which the newest wins: the only thing between two threads, so that no queue can grow.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A value behind these locks is replaced whole: a thread that panicked cannot have left half of one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a thread that listens to several mailboxes waits on.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Wakes whoever waits, now or at its next wait.
    pub fn ring(&self) {
        *lock(&self.rung) = true;
        self.changed.notify_all();
    }

    /// Waits until the bell was rung since the last wait, at most until `deadline`. Says whether it was.
    pub fn wait_until(&self, deadline: Option<Instant>) -> bool {
        let mut rung = lock(&self.rung);
        while !*rung {
            match deadline {
                None => rung = self.changed.wait(rung).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    rung = self.changed.wait_timeout(rung, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
        *rung = false;
        true
    }
}

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    closed: bool,
}

/// A place for one value. Posting replaces what nobody took.
#[derive(Debug)]
pub struct Mailbox<T> {
    slot: Mutex<Slot<T>>,
    filled: Condvar,
    bell: Option<Arc<Bell>>,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self { slot: Mutex::new(Slot { value: None, closed: false }), filled: Condvar::new(), bell: None }
    }
}

impl<T> Mailbox<T> {
    /// An empty mailbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty mailbox that rings `bell` when something comes.
    #[must_use]
    pub fn with_bell(bell: Arc<Bell>) -> Self {
        Self { bell: Some(bell), ..Self::default() }
    }

    /// Puts a value in and returns the one that nobody took. A closed mailbox gives it back.
    pub fn post(&self, value: T) -> Option<T> {
        let mut slot = lock(&self.slot);
        if slot.closed {
            return Some(value);
        }
        let replaced = slot.value.replace(value);
        drop(slot);
        self.wake();
        replaced
    }

    /// Takes what is there without waiting.
    pub fn take(&self) -> Option<T> {
        lock(&self.slot).value.take()
    }

    /// Waits for a value; `None` once the mailbox is closed and empty.
    pub fn wait(&self) -> Option<T> {
        let mut slot = lock(&self.slot);
        loop {
            if let Some(value) = slot.value.take() {
                return Some(value);
            }
            if slot.closed {
                return None;
            }
            slot = self.filled.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for a value, at most for `timeout`; `None` when none came.
    pub fn wait_for(&self, timeout: Duration) -> Option<T> {
        let slot = lock(&self.slot);
        let empty = |s: &mut Slot<T>| s.value.is_none() && !s.closed;
        let (mut slot, _) =
            self.filled.wait_timeout_while(slot, timeout, empty).unwrap_or_else(PoisonError::into_inner);
        slot.value.take()
    }

    /// Nothing more will come. What is there can still be taken.
    pub fn close(&self) {
        lock(&self.slot).closed = true;
        self.wake();
    }

    /// Whether [`Mailbox::close`] was called.
    pub fn is_closed(&self) -> bool {
        lock(&self.slot).closed
    }

    fn wake(&self) {
        self.filled.notify_all();
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn the_newest_wins() {
        let m = Mailbox::new();
        assert_eq!(m.post(1), None);
        assert_eq!(m.post(2), Some(1));
        assert_eq!(m.take(), Some(2));
        assert_eq!(m.take(), None);
    }

    #[test]
    fn closing_lets_the_last_value_out_and_then_ends_every_wait() {
        let m = Arc::new(Mailbox::new());
        m.post(7);
        m.close();
        assert_eq!(m.post(8), Some(8));
        assert_eq!(m.wait(), Some(7));
        assert_eq!(m.wait(), None);
        assert_eq!(m.wait_for(Duration::from_secs(60)), None);
    }

    #[test]
    fn a_waiting_thread_gets_what_is_posted() {
        let m = Arc::new(Mailbox::new());
        let other = Arc::clone(&m);
        let taker = thread::spawn(move || other.wait());
        m.post("here");
        assert_eq!(taker.join().unwrap(), Some("here"));
    }

    #[test]
    fn one_bell_serves_several_mailboxes_and_is_rung_before_the_wait_too() {
        let bell = Arc::new(Bell::default());
        let a = Mailbox::with_bell(Arc::clone(&bell));
        let b: Mailbox<u8> = Mailbox::with_bell(Arc::clone(&bell));
        a.post(1);
        assert!(bell.wait_until(None));
        assert_eq!((a.take(), b.take()), (Some(1), None));
        assert!(!bell.wait_until(Some(Instant::now())));
        b.close();
        assert!(bell.wait_until(None));
    }
}
