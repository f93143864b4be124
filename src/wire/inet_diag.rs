//! `struct inet_diag_msg` and its attributes (`include/uapi/linux/inet_diag.h`) as rows and details.

mod attributes;

use zerocopy::byteorder::{big_endian, native_endian};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use self::attributes::{Told, attr, number, usual};

/// Numbers of attributes, for who writes what is read here.
pub(super) use self::attributes::attr as attribute;
use super::netlink::Attributes;
use crate::model::{
    Endpoint, ForeignText, Ip, Origin, RowFlags, SkMemInfo, SocketDetail, SocketRow, TcpInfo, TcpState,
};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// `struct inet_diag_msg`.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct DiagMsg {
    pub(super) family: u8,
    pub(super) state: u8,
    pub(super) timer: u8,
    pub(super) retrans: u8,
    pub(super) local_port: big_endian::U16,
    pub(super) peer_port: big_endian::U16,
    pub(super) local: [u8; 16],
    pub(super) peer: [u8; 16],
    pub(super) interface: native_endian::U32,
    pub(super) cookie: [native_endian::U32; 2],
    pub(super) expires: native_endian::U32,
    pub(super) recv_q: native_endian::U32,
    pub(super) send_q: native_endian::U32,
    pub(super) uid: native_endian::U32,
    pub(super) inode: native_endian::U32,
}

const _: () = assert!(size_of::<DiagMsg>() == 72);

impl DiagMsg {
    #[inline]
    const fn cookie(&self) -> u64 {
        let [lo, hi] = &self.cookie;
        lo.get() as u64 | (hi.get() as u64) << 32
    }
}

fn c_string(payload: &[u8]) -> ForeignText {
    ForeignText::from_bytes(payload.split(|b| *b == 0).next().unwrap_or_default())
}

#[inline]
fn address(v6: bool, raw: [u8; 16]) -> Ip {
    if v6 {
        Ip::from_v6_octets(raw)
    } else {
        let [a, b, c, d, ..] = raw;
        Ip::from_v4_octets([a, b, c, d])
    }
}

/// One reply of a TCP dump. What hangs on a search or a decision is read at once, the rest when the row is made: so many
/// fields at a time are more than a processor has registers.
pub struct Reply<'a> {
    msg: &'a DiagMsg,
    state: TcpState,
    attributes: Told,
}

impl<'a> Reply<'a> {
    /// Reads the payload of a reply. `None` for bytes that are no TCP socket of a family and state that we know.
    ///
    /// State 7 becomes [`TcpState::BoundInactive`]: a TCP dump has no other way to report it, because closed sockets are
    /// in no hash table.
    #[must_use]
    #[inline]
    pub fn new(payload: &'a [u8]) -> Option<Self> {
        let mut reply = Self::of_any_protocol(payload)?;
        if reply.0.state == TcpState::Close {
            reply.0.state = TcpState::BoundInactive;
        }
        let attributes = reply.1;
        reply.0.attributes = usual(attributes).unwrap_or_else(|| {
            let mut told = Told::default();
            for (kind, value) in Attributes::new(attributes) {
                told.add(kind, value);
            }
            told
        });
        Some(reply.0)
    }

    /// Without its attributes, which follow.
    #[inline]
    fn of_any_protocol(payload: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (msg, attributes) = DiagMsg::ref_from_prefix(payload).ok()?;
        let known = matches!(msg.family, AF_INET | AF_INET6);
        let state = TcpState::from_kernel(msg.state).filter(|_| known)?;
        Some((Self { msg, state, attributes: Told::default() }, attributes))
    }

    /// The socket's cookie.
    #[must_use]
    #[inline]
    pub const fn cookie(&self) -> u64 {
        self.msg.cookie()
    }

    /// The socket's state.
    #[must_use]
    #[inline]
    pub const fn state(&self) -> TcpState {
        self.state
    }

    /// What it shares with others.
    #[must_use]
    #[inline]
    pub const fn origin(&self) -> Origin {
        let Told { mark, cgroup_id, .. } = self.attributes;
        Origin { uid: self.msg.uid.get(), ifindex: self.msg.interface.get(), mark, cgroup_id, netns: 0 }
    }

    /// The row, with the number of its origin.
    #[must_use]
    #[inline]
    pub fn row(&self, origin: u32) -> SocketRow {
        let msg = self.msg;
        let v6 = msg.family == AF_INET6;
        let (local, peer) = (address(v6, msg.local), address(v6, msg.peer));
        let mut row = SocketRow::new(
            self.state,
            Endpoint { addr: local, port: msg.local_port.get() },
            Endpoint { addr: peer, port: msg.peer_port.get() },
        );
        row.flags = self.attributes.flags;
        if v6 {
            row.flags = row.flags.with(RowFlags::V6);
            if local.is_v4() {
                row.flags = row.flags.with(RowFlags::MAPPED);
            }
        }
        let [lo, hi] = msg.cookie;
        row.set_cookie(lo.get(), hi.get());
        row.timer_raw = msg.timer;
        row.retrans = msg.retrans;
        row.expires_ms = msg.expires.get();
        row.recv_q = msg.recv_q.get();
        row.send_q = msg.send_q.get();
        row.inode = msg.inode.get();
        row.origin = origin;
        row
    }
}

/// The cookie of a reply, without a look at the rest; 0 where it has none.
#[must_use]
#[inline]
pub fn cookie_of(payload: &[u8]) -> u64 {
    DiagMsg::ref_from_prefix(payload).map_or(0, |(msg, _)| msg.cookie())
}

/// Decodes the payload of one reply into a row and what it shares with others. [`SocketRow::origin`] is left 0: the
/// table that keeps the row numbers it. `None` as in [`Reply::new`].
#[must_use]
pub fn decode_row(payload: &[u8]) -> Option<(SocketRow, Origin)> {
    Reply::new(payload).map(|reply| (reply.row(0), reply.origin()))
}

/// The same for a reply of a UDP dump, with buffers and drops if the kernel sent them. A UDP socket is `ESTABLISHED` when
/// it is connected and `CLOSE` when it is not (`__ip4_datagram_connect` in `net/ipv4/datagram.c`, `__udp_disconnect` in
/// `net/ipv4/udp.c`).
#[must_use]
pub fn decode_datagram(payload: &[u8]) -> Option<(SocketRow, Origin, Option<SkMemInfo>)> {
    let (mut reply, attributes) = Reply::of_any_protocol(payload)?;
    let mut mem = None;
    for (kind, value) in Attributes::new(attributes) {
        match kind {
            attr::SKMEMINFO => mem = Some(memory(value)),
            _ => reply.attributes.add(kind, value),
        }
    }
    Some((reply.row(0), reply.origin(), mem))
}

/// The drop counter of a reply that carries `INET_DIAG_SKMEMINFO` (Linux 4.9).
#[must_use]
pub fn decode_drops(payload: &[u8]) -> Option<u32> {
    let (_, attributes) = DiagMsg::ref_from_prefix(payload).ok()?;
    Attributes::new(attributes).find(|(kind, _)| *kind == attr::SKMEMINFO).and_then(|(_, v)| memory(v).drops)
}

/// Decodes a reply with all its attributes.
#[must_use]
pub fn decode_detail(payload: &[u8]) -> Option<SocketDetail> {
    let (row, origin) = decode_row(payload)?;
    let (_, attributes) = DiagMsg::ref_from_prefix(payload).ok()?;
    let mut detail = SocketDetail { row, origin, info: None, mem: None, congestion: None, ulp: None };
    for (kind, value) in Attributes::new(attributes) {
        match kind {
            attr::INFO => detail.info = Some(TcpInfo::new(value)),
            attr::SKMEMINFO => detail.mem = Some(memory(value)),
            attr::CONG => detail.congestion = Some(c_string(value)),
            // Nested; INET_ULP_INFO_NAME is 1 (include/uapi/linux/inet_diag.h).
            attr::ULP_INFO => {
                detail.ulp = Attributes::new(value).find(|(k, _)| *k & 0x3fff == 1).map(|(_, v)| c_string(v));
            }
            _ => {}
        }
    }
    Some(detail)
}

fn memory(value: &[u8]) -> SkMemInfo {
    let at = |n: usize| value.get(n * 4..).and_then(number);
    let or_zero = |n: usize| at(n).unwrap_or(0);
    SkMemInfo {
        rmem_alloc: or_zero(0),
        rcvbuf: or_zero(1),
        wmem_alloc: or_zero(2),
        sndbuf: or_zero(3),
        fwd_alloc: or_zero(4),
        wmem_queued: or_zero(5),
        optmem: or_zero(6),
        backlog: or_zero(7),
        drops: at(8),
    }
}

#[cfg(test)]
mod tests {
    use super::attributes::SOCKOPT_BIND_NO_PORT;
    use super::*;
    use netlink_packet_core::{Emitable, Parseable};
    use netlink_packet_sock_diag::inet::InetResponse;
    use netlink_packet_sock_diag::inet::nlas::Nla;
    use proptest::prelude::*;

    /// A reply as the kernel lays it out.
    pub(crate) fn reply(family: u8, state: u8, local: [u8; 16], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut b = vec![family, state, 2, 3];
        b.extend(443u16.to_be_bytes());
        b.extend(51514u16.to_be_bytes());
        b.extend(local);
        b.extend([9; 16]);
        for n in [4u32, 0x1111_1111, 0x2222_2222, 59_000, 10, 20, 33, 4242] {
            b.extend(n.to_ne_bytes());
        }
        for (kind, value) in attributes {
            b.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            b.extend(kind.to_ne_bytes());
            b.extend(*value);
            b.resize(b.len().next_multiple_of(4), 0);
        }
        b
    }

    #[test]
    fn every_fixed_field_lands_where_it_belongs() {
        let bytes = reply(2, 1, [10, 0, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], &[]);
        let (row, origin) = decode_row(&bytes).unwrap();
        assert_eq!(row.local_endpoint().to_string(), "10.0.0.5:443");
        assert_eq!(row.peer_endpoint().to_string(), "9.9.9.9:51514");
        assert_eq!(row.cookie(), 0x2222_2222_1111_1111);
        assert_eq!((row.timer_raw, row.retrans, row.expires_ms), (2, 3, 59_000));
        assert_eq!((row.recv_q, row.send_q, row.inode), (10, 20, 4242));
        assert_eq!((origin.ifindex, origin.uid), (4, 33));
        assert_eq!(row.flags, RowFlags::default());
    }

    #[test]
    fn mapped_ipv4_is_ipv4_with_a_mark_and_other_ipv6_is_not() {
        let mapped = *b"\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x00\x00\x05";
        let (row, _) = decode_row(&reply(10, 1, mapped, &[])).unwrap();
        assert_eq!(row.local.to_string(), "10.0.0.5");
        assert!(row.flags.has(RowFlags::MAPPED.with(RowFlags::V6)));
        let (row, _) = decode_row(&reply(10, 1, [9; 16], &[])).unwrap();
        assert!(row.flags.has(RowFlags::V6) && !row.flags.has(RowFlags::MAPPED));
    }

    #[test]
    fn attributes_set_their_own_bit_and_no_other() {
        let id = 77u64.to_ne_bytes();
        let mark = 5u32.to_ne_bytes();
        let bytes = reply(
            10,
            7,
            [0; 16],
            &[(8, &[1]), (21, &id), (22, &[0, SOCKOPT_BIND_NO_PORT]), (11, &[1]), (15, &mark), (99, &[1])],
        );
        let (row, origin) = decode_row(&bytes).unwrap();
        assert_eq!(row.state, TcpState::BoundInactive);
        let want = RowFlags::V6
            .with(RowFlags::FULL)
            .with(RowFlags::SHUT_RCV)
            .with(RowFlags::BIND_NO_PORT)
            .with(RowFlags::V6ONLY);
        assert_eq!(row.flags, want);
        assert_eq!((origin.cgroup_id, origin.mark), (Some(77), Some(5)));
    }

    #[test]
    fn a_datagram_socket_keeps_its_state_and_brings_its_drops() {
        let mem: Vec<u8> = (1_u32..=9).flat_map(u32::to_ne_bytes).collect();
        let (row, _, memory) = decode_datagram(&reply(2, 7, [0; 16], &[(7, &mem), (8, &[1])])).unwrap();
        assert_eq!(row.state, TcpState::Close);
        assert!(row.flags.has(RowFlags::FULL.with(RowFlags::SHUT_RCV)));
        let memory = memory.unwrap();
        assert_eq!((memory.rcvbuf, memory.sndbuf, memory.drops), (2, 4, Some(9)));
        assert_eq!(decode_datagram(&reply(2, 1, [0; 16], &[])).unwrap().2, None);
    }

    #[test]
    fn a_short_skmeminfo_has_no_drop_counter() {
        let nine = [0u8; 36];
        let eight = [0u8; 32];
        assert_eq!(decode_drops(&reply(2, 10, [0; 16], &[(7, &nine)])), Some(0));
        assert_eq!(decode_drops(&reply(2, 10, [0; 16], &[(7, &eight)])), None);
        assert_eq!(decode_drops(&reply(2, 10, [0; 16], &[])), None);
    }

    #[test]
    fn unknown_families_and_states_are_refused() {
        assert!(decode_row(&reply(7, 1, [0; 16], &[])).is_none());
        assert!(decode_row(&reply(2, 0, [0; 16], &[])).is_none());
        assert!(decode_row(&reply(2, 200, [0; 16], &[])).is_none());
        assert!(decode_row(&reply(2, 1, [0; 16], &[])[..71]).is_none());
    }

    fn arbitrary_reply() -> impl Strategy<Value = Vec<u8>> {
        let attributes =
            proptest::collection::vec((0u16..30, proptest::collection::vec(any::<u8>(), 0..60)), 0..6);
        (prop_oneof![Just(2u8), Just(10u8)], 1u8..12, any::<[u8; 16]>(), attributes).prop_map(
            |(f, s, a, at)| {
                let at: Vec<_> = at.iter().map(|(k, v)| (*k, v.as_slice())).collect();
                reply(f, s, a, &at)
            },
        )
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = decode_row(&bytes);
            let _ = decode_drops(&bytes);
            let _ = decode_datagram(&bytes);
            let _ = decode_detail(&bytes);
        }

        /// A byte or two may differ from what nearly every reply has, and the end may be cut.
        #[test]
        fn the_usual_attributes_say_what_a_walk_over_them_says(
            shutdown in any::<u8>(), mark in proptest::option::of(any::<u32>()), id in any::<u64>(),
            sockopt in any::<[u8; 2]>(), change in proptest::option::of((72usize..108, any::<u8>())), cut in 0usize..3,
        ) {
            let (mark, id) = (mark.map(u32::to_ne_bytes), id.to_ne_bytes());
            let shutdown = [shutdown];
            let mut attributes: Vec<(u16, &[u8])> = vec![(8, &shutdown)];
            attributes.extend(mark.as_ref().map(|m| (15, &m[..])));
            attributes.extend([(21, &id[..]), (22, &sockopt[..])]);
            let mut bytes = reply(2, 1, [0; 16], &attributes);
            if let Some((at, value)) = change && at < bytes.len() {
                bytes[at] = value;
            }
            bytes.truncate(bytes.len() - cut * 4);
            let (mut walked, rest) = Reply::of_any_protocol(&bytes).unwrap();
            for (kind, value) in Attributes::new(rest) {
                walked.attributes.add(kind, value);
            }
            prop_assert_eq!(Reply::new(&bytes).unwrap().attributes, walked.attributes);
            let usual = usual(rest).is_some();
            prop_assert!(usual || (change.is_some() || cut > 0), "what the kernel sends is taken the short way");
        }

        #[test]
        fn a_cut_reply_never_yields_another_socket(bytes in arbitrary_reply(), cut in 0usize..400) {
            let whole = decode_row(&bytes).map(|(r, _)| (r.local, r.peer, r.cookie()));
            let part = decode_row(bytes.get(..cut).unwrap_or(&bytes)).map(|(r, _)| (r.local, r.peer, r.cookie()));
            prop_assert!(part.is_none() || part == whole);
        }

        /// The crate is the oracle for what it can represent: it knows no attribute beyond its own list, and
        /// refuses messages whose attributes have a length that it does not expect.
        #[test]
        fn agrees_with_netlink_packet_sock_diag(
            family in prop_oneof![Just(2u8), Just(10u8)], state in 1u8..12, local in any::<[u8; 16]>(),
            shutdown in 0u8..4, timer in 0u8..5,
        ) {
            let mut bytes = reply(family, state, local, &[(8, &[shutdown])]);
            bytes[2] = timer;
            let Ok(theirs) = InetResponse::parse(bytes.as_slice()) else { return Ok(()) };
            let (ours, origin) = decode_row(&bytes).unwrap();
            let h = &theirs.header;
            prop_assert_eq!(h.family, family);
            prop_assert_eq!(ours.state, match TcpState::from_kernel(h.state).unwrap() {
                TcpState::Close => TcpState::BoundInactive,
                s => s,
            });
            prop_assert_eq!(ours.local, Ip::from(h.socket_id.source_address));
            prop_assert_eq!(ours.peer, Ip::from(h.socket_id.destination_address));
            prop_assert_eq!((ours.local_port, ours.peer_port), (h.socket_id.source_port, h.socket_id.destination_port));
            prop_assert_eq!(ours.cookie().to_ne_bytes(), h.socket_id.cookie);
            prop_assert_eq!((ours.recv_q, ours.send_q, ours.inode, origin.uid), (h.recv_queue, h.send_queue, h.inode, h.uid));
            prop_assert_eq!(origin.ifindex, h.socket_id.interface_id);
            let shut = theirs.nlas.iter().find_map(|n| match n { Nla::Shutdown(s) => Some(*s), _ => None });
            prop_assert_eq!(shut, Some(shutdown));
            prop_assert_eq!(ours.flags.has(RowFlags::SHUT_RCV), shutdown & 1 != 0);
            prop_assert_eq!(ours.flags.has(RowFlags::SHUT_SND), shutdown & 2 != 0);
            let mut back = vec![0; theirs.buffer_len()];
            theirs.emit(&mut back);
            prop_assert_eq!(decode_row(&back).map(|(r, _)| r.cookie()), Some(ours.cookie()));
        }
    }
}
