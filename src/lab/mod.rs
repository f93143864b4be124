//! Real faults in private network namespaces.
//!
//! A [`Lab`] is two hosts on one cable: [`Lab::near`], where a fault is looked at, and [`Lab::far`], its peer.
//! Each is a namespace without a name; the cable is a veth pair with addresses set aside for documentation
//! (RFC 5737, RFC 3849). The cable can be cut towards one far address at a time, silently, as a firewall that
//! drops would. [`Specimen`]s are connections brought into a state by the faults that cause it in life.
//!
//! Everything ends with the values that hold it: namespaces, interfaces and sockets have no other owner than this
//! process, so a panic or Ctrl-C leaves nothing behind either. Only the orphans among the specimens live on in
//! their nameless namespace until the kernel gives up on their FIN, two minutes at most. Every wait has a deadline.

mod closing;
mod host;
mod keepalive;
mod opening;
mod router;
pub mod scenarios;
mod sockets;
mod specimen;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

pub use host::{Host, ProcRow};
pub use router::Router;
pub use sockets::{Opt, accept, bind, connect, listen, start_connect};
pub use specimen::{MAKERS, Maker, Specimen};

use crate::sys::rtnl::{Mac, VethEnd};

/// How long anything in a lab may take to come about.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The near host's IPv4 address on the cable.
pub const NEAR_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The near host's IPv6 address on the cable.
pub const NEAR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

const NEAR_MAC: Mac = [2, 0, 0, 0, 0, 1];
const FAR_MAC: Mac = [2, 0, 0, 0, 0, 2];
/// Nobody's: a frame sent here arrives and is dropped as meant for another host.
const NOWHERE: Mac = [2, 0, 0, 0, 0, 99];

/// What could not be done in a lab.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct LabError {
    doing: &'static str,
    source: io::Error,
}

/// The result of lab work.
pub type Result<T> = std::result::Result<T, LabError>;

/// Says what was being done when an operation failed.
trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, doing: &'static str) -> Result<T> {
        self.map_err(|e| LabError { doing, source: e.into() })
    }
}

/// Two hosts and the cable between them.
#[derive(Debug)]
pub struct Lab {
    near: Host,
    far: Host,
    near_link: u32,
    far_link: u32,
    far_hosts: u8,
    near_ports: u16,
}

impl Lab {
    /// Makes both namespaces and connects them.
    ///
    /// # Errors
    /// No privilege to make namespaces, or the kernel has no veth or no IPv6.
    pub fn new() -> Result<Self> {
        let (mut near, mut far) = (Host::new()?, Host::new()?);
        let near_end = VethEnd { name: "cable", mac: NEAR_MAC };
        let far_end = VethEnd { name: "cable", mac: FAR_MAC };
        let far_ns = far.namespace().as_fd();
        near.rtnl().add_veth(near_end, far_end, far_ns).doing("making a veth pair")?;
        let (near_link, far_link) = (near.set_up("cable")?, far.set_up("cable")?);
        near.add_address(near_link, NEAR_V4.into(), 24)?;
        near.add_address(near_link, NEAR_V6.into(), 64)?;
        let mut lab = Self { near, far, near_link, far_link, far_hosts: 0, near_ports: 8000 };
        for near_addr in [NEAR_V4.into(), NEAR_V6.into()] {
            lab.far.rtnl().set_neighbour(far_link, near_addr, NEAR_MAC).doing("adding a neighbour")?;
        }
        Ok(lab)
    }

    /// The host under observation.
    #[must_use]
    pub const fn near(&self) -> &Host {
        &self.near
    }

    /// Its peer.
    #[must_use]
    pub const fn far(&self) -> &Host {
        &self.far
    }

    /// A new IPv4 address of the far host: a peer of its own, whose cable can be cut alone. There are 200.
    ///
    /// # Errors
    /// All are taken.
    pub fn far_v4(&mut self) -> Result<IpAddr> {
        let n = self.next_far()?;
        self.far_address(Ipv4Addr::new(192, 0, 2, n).into(), 24)
    }

    /// A new IPv6 address of the far host, as [`Lab::far_v4`].
    ///
    /// # Errors
    /// All are taken.
    pub fn far_v6(&mut self) -> Result<IpAddr> {
        let n = self.next_far()?;
        self.far_address(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()).into(), 64)
    }

    fn next_far(&mut self) -> Result<u8> {
        let n = self.far_hosts + 10;
        if n > 209 {
            return Err(io::Error::from(io::ErrorKind::QuotaExceeded)).doing("adding a far address");
        }
        self.far_hosts += 1;
        Ok(n)
    }

    fn far_address(&mut self, addr: IpAddr, prefix_len: u8) -> Result<IpAddr> {
        self.far.add_address(self.far_link, addr, prefix_len)?;
        self.heal(addr)?;
        Ok(addr)
    }

    /// An address of the far host to which the near host has no way.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn far_alias(&mut self, addr: IpAddr) -> Result<()> {
        self.far.add_address(self.far_link, addr, 32)
    }

    fn set_near_mtu(&mut self, mtu: u32) -> Result<()> {
        self.near.rtnl().set_mtu("cable", mtu).doing("setting an MTU")
    }

    /// From now on nothing that the near host sends to `far_addr` arrives, and nobody is told. What `far_addr`
    /// sends still comes.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn cut(&mut self, far_addr: IpAddr) -> Result<()> {
        self.near.rtnl().set_neighbour(self.near_link, far_addr, NOWHERE).doing("cutting the cable")
    }

    /// Undoes [`Lab::cut`].
    ///
    /// # Errors
    /// The kernel refused.
    pub fn heal(&mut self, far_addr: IpAddr) -> Result<()> {
        self.near.rtnl().set_neighbour(self.near_link, far_addr, FAR_MAC).doing("healing the cable")
    }

    /// An address for a service on the near host, with a port of its own below the ephemeral ones.
    fn near_service(&mut self, addr: IpAddr) -> SocketAddr {
        self.near_ports += 1;
        SocketAddr::new(addr, self.near_ports)
    }

    /// A connection that the near host makes to a new far address.
    fn call_out(&mut self, far_addr: IpAddr, near_opts: &[Opt], far_opts: &[Opt]) -> Result<Call> {
        let service = SocketAddr::new(far_addr, 7);
        let listener: TcpListener = self.far.run(|| listen(service, 1, far_opts))?.doing("listening")?;
        let near = self.near.run(|| connect(None, service, near_opts))?.doing("connecting")?;
        let far = accept(&listener).doing("accepting")?;
        Ok(Call { near, far, far_addr })
    }
}

/// A connection between the hosts, both ends of which are open.
#[derive(Debug)]
struct Call {
    near: TcpStream,
    far: TcpStream,
    far_addr: IpAddr,
}
