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
const ROOM: i32 = 1024;
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
}

/// [`Progress`] as the program has it, with words of its own: what it keeps there the verifier does not follow from round to
/// round, as it would on the stack.
pub const WORDS: usize = 8;

impl Progress {
    /// As the program has it.
    #[must_use]
    pub const fn words(self) -> [u64; WORDS] {
        [self.bucket, self.buckets, self.sockets, self.strayed, self.cut, 0, 0, 0]
    }

    /// From what the program left.
    #[must_use]
    pub const fn from_words([bucket, buckets, sockets, strayed, cut, ..]: [u64; WORDS]) -> Self {
        Self { bucket, buckets, sockets, strayed, cut }
    }

    /// Whether the whole table was walked, and nothing of it may have been missed.
    #[must_use]
    pub const fn whole(self) -> bool {
        self.bucket >= self.buckets && self.buckets > 0 && self.strayed == 0 && self.cut == 0
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
