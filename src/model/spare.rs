//! The memory of the last large table that ended, for the next one.
//!
//! A look a second would otherwise take megabytes of fresh memory from the kernel and give them back: a page costs more
//! there (2.5 µs on a virtual machine) than the sixty rows in it cost to decode.

use std::mem;
use std::sync::Mutex;

use super::SocketRow;

/// From so many rows on it is worth it: the allocator then takes their memory from the kernel each time.
const LARGE: usize = 1 << 12;

static SPARE: Mutex<Vec<SocketRow>> = Mutex::new(Vec::new());

/// An empty list with room for `n` rows, and not much more than twice that.
pub(super) fn room_for(n: usize) -> Vec<SocketRow> {
    // Whoever holds the lock is about to be done with the spare room, too.
    let spare = SPARE.try_lock().map(|mut spare| mem::take(&mut *spare)).unwrap_or_default();
    fitted(spare, n)
}

/// What is left of a list of spare room when `n` rows are wanted.
fn fitted(spare: Vec<SocketRow>, n: usize) -> Vec<SocketRow> {
    let fits = (n / 2..=n.saturating_mul(2)).contains(&spare.capacity());
    let mut rows = if fits { spare } else { Vec::new() };
    rows.reserve_exact(n);
    rows
}

/// Keeps the room of rows that nobody needs any more, if there is much of it.
pub(super) fn keep(rows: &mut Vec<SocketRow>) {
    if rows.capacity() < LARGE {
        return;
    }
    let mut rows = mem::take(rows);
    rows.clear();
    if let Ok(mut spare) = SPARE.try_lock()
        && spare.capacity() < rows.capacity()
    {
        *spare = rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_used_again_where_it_fits_and_given_back_where_it_is_far_too_much() {
        let spare = || Vec::with_capacity(1000);
        let same = |n| {
            let spare = spare();
            let (at, room) = (spare.as_ptr(), spare.capacity());
            let got = fitted(spare, n);
            assert!(got.is_empty() && got.capacity() >= n);
            got.as_ptr() == at && got.capacity() == room
        };
        assert!(same(1000) && same(500));
        assert!(!same(499), "a table of the past does not bind its memory");
        assert!(fitted(spare(), 2001).capacity() >= 2001);
    }
}
