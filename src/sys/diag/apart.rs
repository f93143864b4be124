//! A dump whose replies are read on a thread of their own, while the kernel prepares the next ones.
//!
//! The kernel fills a datagram in the context of whoever receives it and waits for cold memory most of that time. What is
//! done with the replies in between takes the nearest caches from it; on another processor it costs a dump nothing.

use std::panic::resume_unwind;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::{AtOnce, BUFFER, DiagSocket, DumpError, DumpReport, Sink, read_messages};

/// Bytes of a batch: waking the other thread for each datagram would cost more than reading it.
const BATCH: usize = 3 * BUFFER;

/// One that is filled, one that is read, and one between the two.
const BATCHES: usize = 3;

/// Datagrams one behind the other.
struct Batch {
    bytes: Box<[u8]>,
    ends: Vec<usize>,
}

impl Batch {
    fn new() -> Self {
        Self { bytes: vec![0; BATCH].into(), ends: Vec::new() }
    }

    fn used(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether another datagram may not find room.
    fn is_full(&self) -> bool {
        self.bytes.len() - self.used() < BUFFER
    }

    fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).filter_map(|(begin, end)| self.bytes.get(begin..*end))
    }
}

/// Hands batches over and takes read ones back.
struct Handing {
    batch: Batch,
    filled: Sender<Batch>,
    empty: Receiver<Batch>,
}

impl Handing {
    fn hand_over(&mut self) {
        // Where nobody reads any more, the dump runs to its end all the same and the reader's panic is told then.
        let next = self.empty.recv().unwrap_or_else(|_| Batch::new());
        let _ = self.filled.send(std::mem::replace(&mut self.batch, next));
    }
}

impl Sink for Handing {
    fn room(&mut self) -> &mut [u8] {
        if self.batch.is_full() {
            self.hand_over();
        }
        let used = self.batch.used();
        self.batch.bytes.get_mut(used..).unwrap_or_default()
    }

    fn take(&mut self, len: usize, seq: u32, report: &mut DumpReport) -> Option<i32> {
        let used = self.batch.used();
        let end = (used + len).min(self.batch.bytes.len());
        self.batch.ends.push(end);
        let datagram = self.batch.bytes.get(used..end).unwrap_or_default();
        read_messages(datagram, seq, report, &mut |_| {})
    }
}

impl DiagSocket {
    /// [`DiagSocket::dump`], with the replies handed over on another thread in the order in which they came.
    ///
    /// # Errors
    /// [`DumpError`]; replies until then were handed over.
    pub fn dump_apart(
        &mut self,
        build: impl FnOnce(u32) -> Vec<u8>,
        on_reply: impl FnMut(&[u8]) + Send,
    ) -> Result<DumpReport, DumpError> {
        apart(self.seq.wrapping_add(1), on_reply, |sink| self.run(build, sink))
    }
}

/// Calls `fill` with a sink whose replies are handed over on another thread; all were when this returns.
fn apart<T>(seq: u32, mut on_reply: impl FnMut(&[u8]) + Send, fill: impl FnOnce(&mut dyn Sink) -> T) -> T {
    let (filled, to_read) = mpsc::channel::<Batch>();
    let (read, empty) = mpsc::channel();
    for _ in 1..BATCHES {
        let _ = read.send(Batch::new());
    }
    let outcome = thread::scope(|scope| {
        let on_reply = &mut on_reply;
        let reader = thread::Builder::new().name("decode".into()).spawn_scoped(scope, move || {
            // What is wrong with a datagram is told when it comes.
            let mut told = DumpReport::default();
            for mut batch in to_read {
                for datagram in batch.datagrams() {
                    read_messages(datagram, seq, &mut told, on_reply);
                }
                batch.ends.clear();
                let _ = read.send(batch);
            }
        });
        // There may be no thread to be had.
        let Ok(reader) = reader else { return Err(fill) };
        let mut handing = Handing { batch: Batch::new(), filled, empty };
        let result = fill(&mut handing);
        handing.hand_over();
        drop(handing);
        reader.join().unwrap_or_else(|panic| resume_unwind(panic));
        Ok(result)
    });
    outcome.unwrap_or_else(|fill| fill(&mut AtOnce { buffer: vec![0; BUFFER].into(), on_reply }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Gap;
    use crate::wire::netlink;

    /// A datagram of `count` messages that are numbered from `first` on.
    fn datagram(first: u32, count: u32, seq: u32) -> Vec<u8> {
        let message = |n: u32| [20, 18, seq, 0, n].map(u32::to_ne_bytes).concat();
        (first..first + count).flat_map(message).collect()
    }

    #[test]
    fn what_is_read_apart_comes_whole_and_in_order() {
        let mut seen = Vec::new();
        let sent = apart(
            7,
            |payload| seen.push(u32::from_ne_bytes(payload.try_into().unwrap())),
            |sink| {
                let mut report = DumpReport::default();
                let mut next = 0;
                for n in 0..400 {
                    // Of every size up to the largest, and one of another dump between them.
                    for (count, seq) in [(n * 8 % 3200, 7), (3, 6)] {
                        let bytes = datagram(next, count, seq);
                        let room = sink.room();
                        assert!(room.len() >= BUFFER);
                        room[..bytes.len()].copy_from_slice(&bytes);
                        assert_eq!(sink.take(bytes.len(), 7, &mut report), None);
                        next += if seq == 7 { count } else { 0 };
                    }
                }
                assert_eq!(report, DumpReport::default());
                next
            },
        );
        assert!(sent > 400_000 && seen == (0..sent).collect::<Vec<_>>());
    }

    #[test]
    fn the_end_of_a_dump_and_what_is_wrong_are_told_at_once() {
        let mut done = datagram(1, 2, 7);
        done[24..26].copy_from_slice(&netlink::DONE.to_ne_bytes());
        let cut = &datagram(1, 1, 7)[..18];
        let mut seen = 0;
        let report = apart(
            7,
            |_| seen += 1,
            |sink| {
                let mut report = DumpReport::default();
                for (bytes, end) in [(cut, None), (&done[..], Some(2))] {
                    sink.room()[..bytes.len()].copy_from_slice(bytes);
                    assert_eq!(sink.take(bytes.len(), 7, &mut report), end);
                }
                report
            },
        );
        assert_eq!((report.gaps, seen), (vec![Gap::Malformed(1)], 1));
    }
}
