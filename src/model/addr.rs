//! IP addresses in the one form that every table, map and screen uses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const MAPPED_PREFIX: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// An IPv4 or IPv6 address in sixteen bytes, network order.
///
/// IPv4 is always kept in its IPv4-mapped form (`::ffff:a.b.c.d`), so that a client reaching a
/// dual-stack socket and the same client reaching an IPv4 socket are one peer. Whether the
/// *socket* was an `AF_INET6` one is a flag of the row ([`crate::model::RowFlags::MAPPED`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Ip([u8; 16]);

impl Ip {
    /// `0.0.0.0`, the IPv4 wildcard.
    pub const V4_ANY: Self = Self::from_v4_octets([0; 4]);
    /// `::`, the IPv6 wildcard.
    pub const V6_ANY: Self = Self([0; 16]);

    /// Builds an IPv4 address from its four octets.
    #[must_use]
    pub const fn from_v4_octets(o: [u8; 4]) -> Self {
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, o[0], o[1], o[2], o[3]])
    }

    /// Builds an address from sixteen octets; IPv4-mapped octets become the IPv4 address.
    #[must_use]
    pub const fn from_v6_octets(o: [u8; 16]) -> Self {
        Self(o)
    }

    /// The sixteen octets, IPv4 in mapped form.
    #[must_use]
    pub const fn octets(self) -> [u8; 16] {
        self.0
    }

    /// Whether this is an IPv4 address.
    #[must_use]
    pub fn is_v4(self) -> bool {
        self.0[..12] == MAPPED_PREFIX
    }

    /// The IPv4 address as a number in host order, `None` for IPv6.
    #[must_use]
    pub fn v4_bits(self) -> Option<u32> {
        self.is_v4().then(|| u32::from_be_bytes([self.0[12], self.0[13], self.0[14], self.0[15]]))
    }

    /// The address as a number in host order, IPv4 in mapped form.
    #[must_use]
    pub const fn bits(self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// Whether this is the wildcard of either family.
    #[must_use]
    pub fn is_unspecified(self) -> bool {
        self == Self::V4_ANY || self == Self::V6_ANY
    }

    /// Whether this is a loopback address (127.0.0.0/8 or `::1`).
    #[must_use]
    pub fn is_loopback(self) -> bool {
        IpAddr::from(self).is_loopback()
    }

    /// The network that holds this address: the first `v4_len` bits for IPv4, the first `v6_len`
    /// bits for IPv6. Lengths beyond the family's width leave the address as it is.
    #[must_use]
    pub fn prefix(self, v4_len: u8, v6_len: u8) -> Self {
        let keep = if self.is_v4() { 96 + u32::from(v4_len.min(32)) } else { u32::from(v6_len.min(128)) };
        let mask = u128::MAX.checked_shl(128 - keep).unwrap_or(0);
        Self((self.bits() & mask).to_be_bytes())
    }
}

impl From<IpAddr> for Ip {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl From<Ipv4Addr> for Ip {
    fn from(ip: Ipv4Addr) -> Self {
        Self::from_v4_octets(ip.octets())
    }
}

impl From<Ipv6Addr> for Ip {
    fn from(ip: Ipv6Addr) -> Self {
        Self(ip.octets())
    }
}

impl From<Ip> for IpAddr {
    fn from(ip: Ip) -> Self {
        match ip.v4_bits() {
            Some(bits) => Self::V4(Ipv4Addr::from_bits(bits)),
            None => Self::V6(Ipv6Addr::from(ip.0)),
        }
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address and a port, shown as `10.0.0.1:80` or `[::1]:80`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Endpoint {
    /// The address.
    pub addr: Ip,
    /// The port in host order, 0 for none.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.addr.is_v4() {
            write!(f, "{}:{}", self.addr, self.port)
        } else {
            write!(f, "[{}]:{}", self.addr, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_and_plain_ipv4_are_one_address() {
        let plain: Ip = Ipv4Addr::new(10, 0, 9, 9).into();
        let mapped: Ip = "::ffff:10.0.9.9".parse::<Ipv6Addr>().unwrap().into();
        assert_eq!(plain, mapped);
        assert_eq!(plain.to_string(), "10.0.9.9");
    }

    #[test]
    fn the_two_wildcards_stay_apart() {
        assert_ne!(Ip::V4_ANY, Ip::V6_ANY);
        assert!(Ip::V4_ANY.is_v4());
        assert!(!Ip::V6_ANY.is_v4());
        assert_eq!(Endpoint { addr: Ip::V6_ANY, port: 22 }.to_string(), "[::]:22");
    }

    #[test]
    fn prefixes_cut_each_family_by_its_own_length() {
        let v4: Ip = Ipv4Addr::new(10, 1, 2, 3).into();
        let v6: Ip = "2001:db8:1:2:3::4".parse::<Ipv6Addr>().unwrap().into();
        assert_eq!(v4.prefix(24, 64).to_string(), "10.1.2.0");
        assert_eq!(v6.prefix(24, 64).to_string(), "2001:db8:1:2::");
        assert_eq!(v4.prefix(0, 0).to_string(), "0.0.0.0");
        assert_eq!(v6.prefix(0, 0), Ip::V6_ANY);
        assert_eq!(v4.prefix(200, 200), v4);
    }
}
