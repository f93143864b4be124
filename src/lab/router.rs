//! A third host between the two: another way to the far host, with a router on it.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use super::{Doing, Host, Lab, Result};
use crate::sys::netfilter::Netfilter;
use crate::sys::rtnl::VethEnd;

const NEAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const NEAR_SIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 254);
const FAR_SIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// The router's interfaces.
const TO_NEAR: &str = "near";
const TO_FAR: &str = "far";

/// The largest packet of every link unless it is said otherwise, bytes.
const MTU: u32 = 1500;

/// A router and the two cables that it has. Hosts are known to each other by [`Router::near`] and [`Router::far`].
#[derive(Debug)]
pub struct Router {
    host: Host,
}

impl Lab {
    /// Puts a router between the hosts, beside the cable that they have.
    ///
    /// # Errors
    /// No privilege to make a namespace, or the kernel has no veth.
    pub(super) fn add_router(&mut self) -> Result<Router> {
        let mut host = Host::new()?;
        host.sysctl("net.ipv4.ip_forward", "1")?;
        let networks = [
            (&mut self.near, "uplink", NEAR, TO_NEAR, NEAR_SIDE, [2, 0, 0, 1, 0, 1], FAR),
            (&mut self.far, "downlink", FAR, TO_FAR, FAR_SIDE, [2, 0, 0, 2, 0, 1], NEAR),
        ];
        for (end, name, addr, port, gateway, mac, beyond) in networks {
            let mut port_mac = mac;
            port_mac[5] = 2;
            let ends = (VethEnd { name, mac }, VethEnd { name: port, mac: port_mac });
            end.rtnl().add_veth(ends.0, ends.1, host.namespace().as_fd()).doing("making a veth pair")?;
            let (link, port) = (end.set_up(name)?, host.set_up(port)?);
            end.add_address(link, addr.into(), 24)?;
            host.add_address(port, gateway.into(), 24)?;
            end.rtnl().add_route(beyond, 24, gateway).doing("adding a route")?;
        }
        Ok(Router { host })
    }
}

impl Router {
    /// The near host's address on this way.
    #[must_use]
    pub const fn near(&self) -> IpAddr {
        IpAddr::V4(NEAR)
    }

    /// The far host's address on this way.
    #[must_use]
    pub const fn far(&self) -> IpAddr {
        IpAddr::V4(FAR)
    }

    /// The router itself.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Sets the largest packet of the link to the far host, bytes. The far host is not told.
    pub(super) fn shrink_far_link(&mut self, mtu: u32) -> Result<()> {
        self.host.rtnl().set_mtu(TO_FAR, mtu).doing("setting an MTU")
    }

    /// Drops every ICMP message that the router itself would send, as a firewall that "blocks ICMP".
    pub(super) fn silence_icmp(&self) -> Result<()> {
        self.host.run(|| Netfilter::open()?.drop_own_icmp())?.doing("dropping ICMP")
    }

    /// Translates the source of what goes to the far host, and forgets connections that are idle for so long, seconds.
    pub(super) fn translate(&self, forgets_after: u32) -> Result<()> {
        self.host.run(|| Netfilter::open()?.masquerade(None))?.doing("translating addresses")?;
        let timeout = "net.netfilter.nf_conntrack_tcp_timeout_established";
        self.host.sysctl(timeout, &forgets_after.to_string())
    }

    /// An ordinary router again.
    pub(super) fn heal(&mut self) -> Result<()> {
        self.shrink_far_link(MTU)?;
        self.host.run(|| Netfilter::open()?.forget_rules())?.doing("removing rules")
    }
}
