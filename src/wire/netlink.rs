//! Netlink framing: the messages in one datagram.

use zerocopy::byteorder::native_endian::{I32, U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// `NLMSG_ERROR`.
pub const ERROR: u16 = 2;
/// `NLMSG_DONE`.
pub const DONE: u16 = 3;
/// `NLM_F_DUMP_INTR`: the table changed under the dump.
pub const F_DUMP_INTR: u16 = 0x10;

/// `struct nlmsghdr`.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    len: U32,
    kind: U16,
    flags: U16,
    seq: U32,
    port: U32,
}

/// One message of a datagram.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`: that of the request it answers.
    pub seq: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// The error number inside an `NLMSG_ERROR` or `NLMSG_DONE`, positive; 0 for success or no number.
    #[must_use]
    pub fn errno(&self) -> i32 {
        I32::read_from_prefix(self.payload).map_or(0, |(n, _)| n.get().checked_abs().unwrap_or(i32::MAX))
    }
}

/// Walks the messages of a datagram. A message that claims more bytes than there are, or fewer than its own
/// header, ends the walk; [`Messages::malformed`] then says so.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
    malformed: bool,
}

impl<'a> Messages<'a> {
    /// The messages in `datagram`.
    #[must_use]
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram, malformed: false }
    }

    /// Whether the walk ended at bytes that are no message.
    #[must_use]
    pub const fn malformed(&self) -> bool {
        self.malformed
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    #[inline]
    fn next(&mut self) -> Option<Message<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let whole = Header::ref_from_prefix(self.rest).ok().and_then(|(header, _)| {
            let len = header.len.get() as usize;
            let payload = self.rest.get(size_of::<Header>()..len)?;
            Some((header, len, payload))
        });
        let Some((header, len, payload)) = whole else {
            self.malformed = true;
            self.rest = &[];
            return None;
        };
        self.rest = self.rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind: header.kind.get(), flags: header.flags.get(), seq: header.seq.get(), payload })
    }
}

/// `struct rtattr`.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct AttributeHeader {
    len: U16,
    kind: U16,
}

/// Walks routing attributes; bytes that are no attribute end the walk.
#[derive(Clone, Debug)]
pub struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// The attributes in `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let (header, _) = AttributeHeader::ref_from_prefix(self.0).ok()?;
        let len = usize::from(header.len.get());
        let payload = self.0.get(size_of::<AttributeHeader>()..len)?;
        let kind = header.kind.get();
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut m = Vec::new();
        m.extend(u32::try_from(16 + payload.len()).unwrap().to_ne_bytes());
        m.extend(kind.to_ne_bytes());
        m.extend(F_DUMP_INTR.to_ne_bytes());
        m.extend(7u32.to_ne_bytes());
        m.extend(0u32.to_ne_bytes());
        m.extend(payload);
        m.resize(m.len().next_multiple_of(4), 0);
        m
    }

    #[test]
    fn messages_follow_each_other_aligned() {
        let mut bytes = message(20, &[1, 2, 3, 4, 5]);
        bytes.extend(message(DONE, &(-16i32).to_ne_bytes()));
        let all: Vec<_> = Messages::new(&bytes).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].payload, [1, 2, 3, 4, 5]);
        assert_eq!((all[1].kind, all[1].errno(), all[1].seq), (DONE, 16, 7));
    }

    #[test]
    fn a_length_that_lies_ends_the_walk_and_is_told() {
        for lie in [0u32, 15, 22, u32::MAX] {
            let mut bytes = message(20, &[1, 2, 3, 4, 5]);
            bytes[..4].copy_from_slice(&lie.to_ne_bytes());
            let mut walk = Messages::new(&bytes[..21]);
            assert_eq!(walk.by_ref().count(), 0, "{lie}");
            assert!(walk.malformed());
        }
    }

    #[test]
    fn the_smallest_error_number_does_not_overflow() {
        let bytes = message(ERROR, &i32::MIN.to_ne_bytes());
        assert_eq!(Messages::new(&bytes).next().unwrap().errno(), i32::MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let messages = Messages::new(&bytes).count();
            prop_assert!(messages * 16 <= bytes.len());
            let attributes = Attributes::new(&bytes).count();
            prop_assert!(attributes * 4 <= bytes.len());
        }
    }
}
