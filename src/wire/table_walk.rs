//! A BPF program that walks the kernel's table of connections (`tcp_hashinfo.ehash`) and writes each socket as
//! `struct inet_diag_msg` with the attributes that a dump would add, so that one decoder reads both.
//!
//! It reads what `inet_diag_msg_common_fill`, `inet_sk_diag_fill`, `inet_twsk_diag_fill` and `inet_req_diag_fill` in
//! `net/ipv4/inet_diag.c` and `tcp_diag_get_info` in `net/ipv4/tcp_diag.c` read, under RCU and without their locks,
//! reference counts and messages: that costs a third of a dump. Every field is found through the kernel's BTF; a kernel
//! that has one no more is not read in this way.

mod layout;
mod program;
mod record;

pub use layout::Layout;
pub use program::program;

/// Chains that are found before the first of them is walked.
const HEADS: i32 = 256;
/// Bytes of the buffer for each: its first node and the number of its bucket.
const HEAD_SHIFT: i32 = 4;
/// Where the sockets begin in the buffer.
const RECORDS_AT: i32 = HEADS << HEAD_SHIFT;
/// Bytes of the buffer for each socket.
const RECORD: usize = 1 << RECORD_SHIFT;
const RECORD_SHIFT: i32 = 7;
/// Where the length of the reply stands in its record, 32 bits.
const LENGTH_AT: i16 = 124;
/// Sockets that the buffer holds.
const ROOM: i32 = 512;
/// Buckets that are looked at together: most are empty.
const BLOCK: i16 = 16;
/// The chains of a block are begun with room for so many sockets: chains are short.
const RESERVE: i32 = 256;
/// The size of the buffer in bytes.
pub const BUFFER: usize = ((ROOM << RECORD_SHIFT) + RECORDS_AT) as usize;

/// What a run is told and tells, 64 bits each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    /// The bucket to begin with; after the run, where to go on.
    pub bucket: u64,
    /// How many buckets there are.
    pub buckets: u64,
    /// Sockets that were written.
    pub sockets: u64,
    /// Chains whose end was another chain's: a socket moved while it was looked at.
    pub strayed: u64,
    /// Chains that were too long for the buffer or the time.
    pub cut: u64,
    /// Inode of the network namespace whose sockets were written: that of the thread which ran the program.
    pub netns: u64,
}

/// [`Progress`] as the program has it, with words of its own: what it keeps there the verifier does not follow from round to
/// round, as it would on the stack.
pub const WORDS: usize = 9;

impl Progress {
    /// As the program has it.
    #[must_use]
    pub const fn words(self) -> [u64; WORDS] {
        [self.bucket, self.buckets, self.sockets, self.strayed, self.cut, self.netns, 0, 0, 0]
    }

    /// From what the program left.
    #[must_use]
    pub const fn from_words([bucket, buckets, sockets, strayed, cut, netns, ..]: [u64; WORDS]) -> Self {
        Self { bucket, buckets, sockets, strayed, cut, netns }
    }

    /// Whether nothing may have been missed on the way.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.strayed == 0 && self.cut == 0
    }
}

/// The replies in what a run wrote.
pub fn replies(buffer: &[u8], sockets: u64) -> impl Iterator<Item = &[u8]> {
    let sockets = usize::try_from(sockets).unwrap_or(usize::MAX);
    let records = buffer.get(RECORDS_AT as usize..).unwrap_or_default();
    records.chunks_exact(RECORD).take(sockets).map(|record| {
        let length = record.get(LENGTH_AT as usize..).and_then(<[u8]>::first_chunk);
        let length = length.map_or(0, |l| u32::from_ne_bytes(*l)) as usize;
        record.get(..length).unwrap_or_default()
    })
}

/// What holds for the program and not for the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Viewer {
    /// Ticks of the kernel in a second (`CONFIG_HZ`).
    pub hz: u32,
    /// Marks are told (`CAP_NET_ADMIN`, as in a dump).
    pub marks: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(lengths: &[u32]) -> Vec<u8> {
        let mut buffer = vec![0; RECORDS_AT as usize];
        for (n, length) in lengths.iter().enumerate() {
            let mut record = [u8::try_from(n).unwrap(); RECORD];
            record[LENGTH_AT as usize..].copy_from_slice(&length.to_ne_bytes());
            buffer.extend(record);
        }
        buffer
    }

    #[test]
    fn replies_are_as_long_as_they_say() {
        let buffer = buffer(&[72, 108, 80]);
        let read = |sockets| replies(&buffer, sockets).map(|r| (r[0], r.len())).collect::<Vec<_>>();
        assert_eq!(read(2), [(0, 72), (1, 108)]);
        assert_eq!(read(u64::MAX), [(0, 72), (1, 108), (2, 80)]);
    }

    #[test]
    fn a_length_beyond_its_record_is_no_reply() {
        let buffer = buffer(&[u32::MAX, 129]);
        assert!(replies(&buffer, 2).all(<[u8]>::is_empty));
        assert_eq!(replies(&buffer[..100], 2).count(), 0);
    }

    #[test]
    fn progress_survives_the_program() {
        let progress = Progress { bucket: 1, buckets: 2, sockets: 3, strayed: 4, cut: 5, netns: 6 };
        assert_eq!(Progress::from_words(progress.words()), progress);
        assert!(!progress.is_whole());
        assert!(Progress { strayed: 0, cut: 0, ..progress }.is_whole());
        assert!(
            !Progress { strayed: 0, ..progress }.is_whole() && !Progress { cut: 0, ..progress }.is_whole()
        );
    }
}
