//! Requests to `sock_diag`, built with netlink-packet-sock-diag where it can.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};

use crate::model::{RowFlags, SocketRow};

/// `TCPDIAG_GETSOCK`, the request of 2.6 kernels that every kernel still answers, for both families in one walk
/// (`inet_diag_rcv_msg_compat` in `net/ipv4/inet_diag.c`).
pub const TCPDIAG_GETSOCK: u16 = 18;

/// Every state that a kernel can be asked for; bit 13 is ignored before Linux 6.8.
pub const ALL_STATES: u32 = (1 << 14) - 2;

/// Which sockets a dump asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Families {
    /// Both, in one legacy walk.
    Both,
    /// `AF_INET`.
    V4,
    /// `AF_INET6`, IPv4-mapped sockets included.
    V6,
}

/// A dump request for TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dump<'a> {
    /// Families.
    pub families: Families,
    /// Mask of states, `1 << number`.
    pub states: u32,
    /// `idiag_ext`.
    pub extensions: Extensions,
    /// Only sockets with this local port; 0 for all.
    pub local_port: u16,
    /// Only sockets that this program takes ([`program`](super::bytecode::program)); empty for all.
    pub program: &'a [u8],
}

impl Dump<'_> {
    /// Every socket of both families, with nothing added.
    pub const WHOLE: Self = Self {
        families: Families::Both,
        states: ALL_STATES,
        extensions: Extensions::NONE,
        local_port: 0,
        program: &[],
    };
}

/// `idiag_ext`: what the kernel should add to each reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extensions(u8);

impl Extensions {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Socket memory and drops.
    pub const MEMORY: Self = Self(1 << 6);
    /// `tcp_info`, memory and congestion control.
    pub const DETAIL: Self = Self(1 << 1 | 1 << 3 | 1 << 6);
}

/// `INET_DIAG_REQ_BYTECODE`, the request attribute that carries a program; the crate has none.
const REQ_BYTECODE: u16 = 1;

impl Dump<'_> {
    /// The message, ready to be sent.
    #[must_use]
    pub fn message(self, seq: u32) -> Vec<u8> {
        let mut message = self.without_program(seq);
        if let Ok(len) = u16::try_from(self.program.len() + 4)
            && len > 4
        {
            message.extend(len.to_ne_bytes());
            message.extend(REQ_BYTECODE.to_ne_bytes());
            message.extend(self.program);
            let whole = u32::try_from(message.len()).unwrap_or(0).to_ne_bytes();
            message.iter_mut().zip(whole).for_each(|(place, byte)| *place = byte);
        }
        message
    }

    fn without_program(self, seq: u32) -> Vec<u8> {
        match self.families {
            Families::Both => self.legacy(seq),
            Families::V4 => self.by_family(AF_INET, SocketId::new_v4(), seq),
            Families::V6 => self.by_family(AF_INET6, SocketId::new_v6(), seq),
        }
    }

    fn by_family(self, family: u8, mut socket_id: SocketId, seq: u32) -> Vec<u8> {
        socket_id.source_port = self.local_port;
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::from_bits_retain(self.extensions.0),
            // The crate's flags end at CLOSING; bit 13 is kept all the same.
            states: StateFlags::from_bits_retain(self.states),
            socket_id,
        };
        finish(request, NLM_F_REQUEST | NLM_F_DUMP, seq)
    }

    /// `struct inet_diag_req`, which the crate does not have.
    fn legacy(self, seq: u32) -> Vec<u8> {
        const LEN: usize = 16 + 60;
        let mut m = Vec::with_capacity(LEN);
        m.extend(u32::try_from(LEN).unwrap_or(0).to_ne_bytes());
        m.extend(TCPDIAG_GETSOCK.to_ne_bytes());
        m.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        m.extend(seq.to_ne_bytes());
        m.extend(0u32.to_ne_bytes());
        m.extend([AF_INET, 0, 0, self.extensions.0]);
        m.extend(self.local_port.to_be_bytes());
        m.resize(16 + 4 + 48, 0);
        m.extend(self.states.to_ne_bytes());
        m.extend(0u32.to_ne_bytes());
        m
    }
}

/// A dump request for the UDP sockets of one family, with their buffers and drops. There is no legacy request for UDP
/// (`inet_diag_rcv_msg_compat` in `net/ipv4/inet_diag.c` knows TCP and DCCP), so [`Families::Both`] asks for IPv4 alone.
#[must_use]
pub fn udp_dump(families: Families, seq: u32) -> Vec<u8> {
    let (family, socket_id) = match families {
        Families::V6 => (AF_INET6, SocketId::new_v6()),
        Families::V4 | Families::Both => (AF_INET, SocketId::new_v4()),
    };
    let request = InetRequest {
        family,
        protocol: IPPROTO_UDP,
        extensions: ExtensionFlags::from_bits_retain(Extensions::MEMORY.0),
        states: StateFlags::from_bits_retain(ALL_STATES),
        socket_id,
    };
    finish(request, NLM_F_REQUEST | NLM_F_DUMP, seq)
}

fn socket_id(row: &SocketRow, ifindex: u32) -> (u8, SocketId) {
    let v6 = row.flags.has(RowFlags::V6);
    let (family, mut id) = if v6 { (AF_INET6, SocketId::new_v6()) } else { (AF_INET, SocketId::new_v4()) };
    let as_sent = |ip: crate::model::Ip| {
        if v6 {
            // Mapped addresses must go back as the kernel gave them, inside AF_INET6.
            std::net::IpAddr::V6(ip.octets().into())
        } else {
            ip.into()
        }
    };
    id.source_address = as_sent(row.local);
    id.destination_address = as_sent(row.peer);
    id.source_port = row.local_port;
    id.destination_port = row.peer_port;
    id.interface_id = ifindex;
    id.cookie = row.cookie().to_ne_bytes();
    (family, id)
}

/// An exact question about one socket; the kernel answers `ENOENT` when the cookie is another's.
#[must_use]
pub fn exact(row: &SocketRow, ifindex: u32, seq: u32) -> Vec<u8> {
    finish(one(row, ifindex, Extensions::DETAIL), NLM_F_REQUEST, seq)
}

/// The same about whatever socket has the addresses and ports of a row now, with no more than a dump tells.
#[must_use]
pub fn by_addresses(row: &SocketRow, ifindex: u32, seq: u32) -> Vec<u8> {
    let mut any = *row;
    // INET_DIAG_NOCOOKIE (include/uapi/linux/inet_diag.h).
    any.set_cookie(u32::MAX, u32::MAX);
    finish(one(&any, ifindex, Extensions::NONE), NLM_F_REQUEST, seq)
}

/// The order to close one socket (`SOCK_DESTROY`), to be acknowledged.
#[must_use]
pub fn destroy(row: &SocketRow, ifindex: u32, seq: u32) -> Vec<u8> {
    let request = SockDiagMessage::InetRequest(one(row, ifindex, Extensions::NONE));
    serialized(NetlinkPayload::from(SockDiagDestroy::new(request)), NLM_F_REQUEST | NLM_F_ACK, seq)
}

fn one(row: &SocketRow, ifindex: u32, extensions: Extensions) -> InetRequest {
    let (family, socket_id) = socket_id(row, ifindex);
    InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::from_bits_retain(extensions.0),
        states: StateFlags::from_bits_retain(ALL_STATES),
        socket_id,
    }
}

fn finish(request: InetRequest, flags: u16, seq: u32) -> Vec<u8> {
    serialized(NetlinkPayload::from(SockDiagMessage::InetRequest(request)), flags, seq)
}

fn serialized<T: NetlinkSerializable>(payload: NetlinkPayload<T>, flags: u16, seq: u32) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = seq;
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, Ip, TcpState};

    #[test]
    fn the_legacy_request_is_laid_out_as_inet_diag_req() {
        let dump = Dump {
            families: Families::Both,
            states: ALL_STATES,
            extensions: Extensions::MEMORY,
            local_port: 0x1234,
            program: &[],
        };
        let m = dump.message(7);
        assert_eq!(m.len(), 76);
        assert_eq!(m[..4], 76u32.to_ne_bytes());
        assert_eq!(m[4..6], 18u16.to_ne_bytes());
        assert_eq!(m[16..20], [2, 0, 0, 0x40]);
        assert_eq!(m[20..22], [0x12, 0x34]);
        assert_eq!(m[68..72], 0x3ffeu32.to_ne_bytes());
    }

    #[test]
    fn a_program_follows_the_request_as_an_attribute() {
        for (families, len) in [(Families::Both, 76), (Families::V4, 72)] {
            let dump = Dump {
                families,
                states: 2,
                extensions: Extensions::NONE,
                local_port: 0,
                program: &[6, 4, 8, 0],
            };
            let m = dump.message(1);
            assert_eq!(m[..4], u32::try_from(len + 8).unwrap().to_ne_bytes());
            assert_eq!(m[len..len + 2], 8u16.to_ne_bytes());
            assert_eq!(m[len + 2..len + 4], 1u16.to_ne_bytes());
            assert_eq!(m[len + 4..], [6, 4, 8, 0]);
        }
    }

    #[test]
    fn bit_13_survives_the_crate() {
        let dump = Dump {
            families: Families::V4,
            states: 1 << 13,
            extensions: Extensions::NONE,
            local_port: 0,
            program: &[],
        };
        let m = dump.message(1);
        assert_eq!(m.len(), 72);
        assert_eq!(m[4..6], 20u16.to_ne_bytes());
        assert_eq!(m[20..24], (1u32 << 13).to_ne_bytes());
    }

    #[test]
    fn a_mapped_socket_is_asked_for_as_ipv6() {
        let end = Endpoint { addr: Ip::from_v4_octets([10, 0, 0, 1]), port: 80 };
        let mut row = SocketRow::new(TcpState::Established, end, end);
        row.flags = RowFlags::V6.with(RowFlags::MAPPED);
        row.set_cookie(1, 2);
        let m = exact(&row, 3, 1);
        assert_eq!(m[16], AF_INET6);
        assert_eq!(m[28..44], *b"\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\x01");
        assert_eq!(m[60..64], 3u32.to_ne_bytes());
        assert_eq!(m[64..72], (1u64 | 2 << 32).to_ne_bytes());
        let order = destroy(&row, 3, 1);
        assert_eq!(order[4..8], [21, 0, 5, 0], "SOCK_DESTROY, REQUEST | ACK");
        assert_eq!(order[24..72], m[24..72], "of the same socket");
        row.flags = RowFlags::default();
        let m = exact(&row, 0, 1);
        assert_eq!((m[16], &m[28..32]), (AF_INET, &[10, 0, 0, 1][..]));
    }
}
