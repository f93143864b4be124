//! Segments that no socket would send, for a connection that exists.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto};

/// Header with options, in words of four bytes, and one byte of data.
const HEADER_WORDS: u8 = 8;
const LENGTH: u16 = 33;
const ACK: u8 = 0x10;
const TCP: u16 = 6;
/// `TCPOPT_NOP` twice, then `TCPOPT_TIMESTAMP` with its length.
const TIMESTAMP: [u8; 4] = [1, 1, 8, 10];

/// Sends segments in the name of one end of a connection. The kernel makes the IP header, this the rest.
pub struct Forger {
    socket: OwnedFd,
    from: SocketAddrV4,
    to: SocketAddrV4,
    stamp: u32,
}

impl Forger {
    /// Opens it in the namespace of the calling thread, which must have the address `from`.
    ///
    /// # Errors
    /// No `CAP_NET_RAW`, or not IPv4.
    pub fn open(from: SocketAddr, to: SocketAddr) -> io::Result<Self> {
        let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::INET, SocketType::RAW, flags, Some(ipproto::TCP))?;
        rustix::net::bind(&socket, &SocketAddrV4::new(*from.ip(), 0))?;
        Ok(Self { socket, from, to, stamp: 0 })
    }

    /// Sends a byte that is far outside of any window, with the timestamp of another age.
    ///
    /// The peer's clock is not known here; a timestamp counts as old in half of all cases (`tcp_paws_check` in
    /// `include/net/tcp.h` compares in a circle), so each one is followed by its opposite.
    ///
    /// # Errors
    /// What the socket says.
    pub fn send_old_segment(&mut self) -> io::Result<()> {
        for _ in 0..2 {
            self.stamp ^= 1 << 31;
            let segment = segment(self.from, self.to, self.stamp);
            rustix::net::sendto(
                &self.socket,
                &segment,
                SendFlags::empty(),
                &SocketAddrV4::new(*self.to.ip(), 0),
            )?;
        }
        Ok(())
    }
}

fn segment(from: SocketAddrV4, to: SocketAddrV4, stamp: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(usize::from(LENGTH));
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(to.port().to_be_bytes());
    // Sequence and acknowledgement of anywhere.
    bytes.extend([0; 8]);
    bytes.extend([HEADER_WORDS << 4, ACK, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(TIMESTAMP);
    bytes.extend(stamp.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.push(b'.');
    let sum = checksum(*from.ip(), *to.ip(), &bytes).to_be_bytes();
    for (at, byte) in (16..).zip(sum) {
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
    }
    bytes
}

/// The checksum of a segment with its pseudo header (RFC 9293, 3.1).
fn checksum(from: Ipv4Addr, to: Ipv4Addr, segment: &[u8]) -> u16 {
    let pairs = |bytes: &[u8]| -> u32 {
        bytes.chunks(2).map(|c| u32::from(u16::from_be_bytes([c[0], c.get(1).copied().unwrap_or(0)]))).sum()
    };
    let mut sum = pairs(&from.octets()) + pairs(&to.octets()) + u32::from(TCP) + u32::from(LENGTH);
    sum += pairs(segment);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_adds_up_to_nothing_with_its_checksum_in_it() {
        let (from, to): (SocketAddrV4, SocketAddrV4) =
            ("192.0.2.10:40000".parse().unwrap(), "192.0.2.1:8080".parse().unwrap());
        let bytes = segment(from, to, 0x1234_5678);
        assert_eq!(bytes.len(), usize::from(LENGTH));
        assert_ne!(bytes[16..18], [0, 0]);
        assert_eq!(checksum(*from.ip(), *to.ip(), &bytes), 0);
    }
}
