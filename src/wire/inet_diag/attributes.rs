//! The attributes that follow `struct inet_diag_msg` in every reply of a table.

use zerocopy::byteorder::native_endian;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::model::RowFlags;

/// Attribute numbers of a reply.
pub(in crate::wire) mod attr {
    pub const INFO: u16 = 2;
    pub const CONG: u16 = 4;
    pub const SKMEMINFO: u16 = 7;
    pub const SHUTDOWN: u16 = 8;
    pub const SKV6ONLY: u16 = 11;
    pub const MARK: u16 = 15;
    pub const ULP_INFO: u16 = 19;
    pub const CGROUP_ID: u16 = 21;
    pub const SOCKOPT: u16 = 22;
}

/// `bind_address_no_port` in the second byte of `struct inet_diag_sockopt`, by the order in which the
/// compiler lays out bit-fields.
pub(super) const SOCKOPT_BIND_NO_PORT: u8 = if cfg!(target_endian = "little") { 1 } else { 0x80 };

pub(super) fn number(payload: &[u8]) -> Option<u32> {
    native_endian::U32::read_from_prefix(payload).ok().map(|(n, _)| n.get())
}

/// What the attributes of a reply say.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Told {
    pub(super) flags: RowFlags,
    pub(super) mark: Option<u32>,
    pub(super) cgroup_id: Option<u64>,
}

/// An attribute's header for a payload of so many bytes, as it stands in a reply.
const fn header(kind: u16, payload: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = ((4 + payload).to_ne_bytes(), kind.to_ne_bytes());
    [a, b, c, d]
}

/// What a full socket's reply begins with when nothing was asked for (`inet_diag_msg_attrs_fill` in
/// `net/ipv4/inet_diag.c`).
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct UsualShutdown {
    header: [u8; 4],
    shutdown: u8,
    padding: [u8; 3],
}

/// What comes next for whoever has `CAP_NET_ADMIN`.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct UsualMark {
    header: [u8; 4],
    mark: native_endian::U32,
}

/// What it ends with since Linux 5.10.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct UsualEnd {
    cgroup_header: [u8; 4],
    cgroup_id: native_endian::U64,
    sockopt_header: [u8; 4],
    sockopt: [u8; 2],
    padding: [u8; 2],
}

/// The attributes of a reply if they are those that nearly every reply of a table has: a walk over them costs as much as
/// the rest of the row. `None` if they are others.
#[inline]
pub(super) fn usual(attributes: &[u8]) -> Option<Told> {
    let (begin, rest) = UsualShutdown::ref_from_prefix(attributes).ok()?;
    let (mark, rest) = match UsualMark::ref_from_prefix(rest) {
        Ok((mark, after)) if mark.header == header(attr::MARK, 4) => (Some(mark.mark.get()), after),
        _ => (None, rest),
    };
    let end = UsualEnd::ref_from_bytes(rest).ok()?;
    if begin.header != header(attr::SHUTDOWN, 1)
        || end.cgroup_header != header(attr::CGROUP_ID, 8)
        || end.sockopt_header != header(attr::SOCKOPT, 2)
    {
        return None;
    }
    let mut flags = shut(RowFlags::default(), begin.shutdown);
    if end.sockopt[1] & SOCKOPT_BIND_NO_PORT != 0 {
        flags = flags.with(RowFlags::BIND_NO_PORT);
    }
    Some(Told { flags, mark, cgroup_id: Some(end.cgroup_id.get()) })
}

/// The flags of a full socket with these bits of `sk_shutdown`.
#[inline]
const fn shut(flags: RowFlags, bits: u8) -> RowFlags {
    let mut flags = flags.with(RowFlags::FULL);
    if bits & 1 != 0 {
        flags = flags.with(RowFlags::SHUT_RCV);
    }
    if bits & 2 != 0 {
        flags = flags.with(RowFlags::SHUT_SND);
    }
    flags
}

impl Told {
    #[inline]
    pub(super) fn add(&mut self, kind: u16, value: &[u8]) {
        match kind {
            attr::SHUTDOWN => self.flags = shut(self.flags, value.first().copied().unwrap_or(0)),
            attr::CGROUP_ID => {
                self.cgroup_id = native_endian::U64::read_from_prefix(value).ok().map(|(id, _)| id.get());
            }
            attr::SOCKOPT if value.get(1).is_some_and(|b| b & SOCKOPT_BIND_NO_PORT != 0) => {
                self.flags = self.flags.with(RowFlags::BIND_NO_PORT);
            }
            attr::SKV6ONLY if value.first().is_some_and(|b| *b != 0) => {
                self.flags = self.flags.with(RowFlags::V6ONLY);
            }
            attr::MARK => self.mark = number(value),
            _ => {}
        }
    }
}
