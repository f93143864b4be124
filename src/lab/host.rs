//! One namespace, as a host with its own addresses, settings and sockets.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use procfs::FromBufReadSI;
use procfs::net::TcpNetEntries;

use super::{DEADLINE, Doing, LabError, Result};
use crate::model::TcpState;
use crate::sys::netns::NetNs;
use crate::sys::rtnl::Rtnl;

/// A line of `/proc/net/tcp` or `tcp6`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProcRow {
    /// Local address.
    pub local: SocketAddr,
    /// Peer address.
    pub peer: SocketAddr,
    /// State.
    pub state: TcpState,
}

/// A private namespace whose loopback interface is up.
#[derive(Debug)]
pub struct Host {
    namespace: NetNs,
    rtnl: Rtnl,
}

impl Host {
    /// Makes it.
    ///
    /// # Errors
    /// No privilege to make a namespace.
    pub fn new() -> Result<Self> {
        let namespace = NetNs::create().doing("making a network namespace")?;
        let rtnl = namespace.run(Rtnl::open).doing("entering the namespace")?.doing("opening rtnetlink")?;
        let mut host = Self { namespace, rtnl };
        host.set_up("lo")?;
        Ok(host)
    }

    /// Its namespace.
    #[must_use]
    pub const fn namespace(&self) -> &NetNs {
        &self.namespace
    }

    /// Runs `work` on the host: sockets opened and commands started there belong to it.
    ///
    /// # Errors
    /// The namespace could not be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.namespace.run(work).doing("entering the namespace")
    }

    pub(super) const fn rtnl(&mut self) -> &mut Rtnl {
        &mut self.rtnl
    }

    /// Switches an interface on and says its index.
    pub(super) fn set_up(&mut self, interface: &str) -> Result<u32> {
        self.rtnl.set_up(interface).doing("switching an interface on")?;
        self.rtnl.index(interface).doing("asking for an interface")
    }

    pub(super) fn add_address(&mut self, interface: u32, addr: IpAddr, prefix_len: u8) -> Result<()> {
        self.rtnl.add_address(interface, addr, prefix_len).doing("adding an address")
    }

    /// Sets a sysctl of this host, by its dotted name.
    ///
    /// # Errors
    /// No such sysctl in a namespace, or the value is refused.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        self.run(|| fs::write(path, value))?.doing("setting a sysctl")
    }

    /// A sysctl of this host.
    pub(super) fn read_sysctl(&self, name: &str) -> Result<String> {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        self.run(|| fs::read_to_string(path))?.doing("reading a sysctl")
    }

    /// The TCP sockets that `/proc/net/tcp` and `tcp6` show.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn sockets(&self) -> Result<Vec<ProcRow>> {
        self.run(proc_net_tcp)?.doing("reading /proc/net/tcp")
    }

    /// Waits until the connection between `local` and `peer` is in `state`.
    ///
    /// # Errors
    /// `TimedOut` after [`DEADLINE`].
    pub fn wait_for(&self, local: SocketAddr, peer: SocketAddr, state: TcpState) -> Result<()> {
        self.wait_until("waiting for a TCP state", |rows| rows.contains(&ProcRow { local, peer, state }))
    }

    /// Waits until the host's sockets are as `wanted`.
    ///
    /// # Errors
    /// `TimedOut` after [`DEADLINE`].
    pub fn wait_until(&self, doing: &'static str, wanted: impl Fn(&[ProcRow]) -> bool) -> Result<()> {
        let end = Instant::now() + DEADLINE;
        while !wanted(&self.sockets()?) {
            if Instant::now() > end {
                return Err(LabError { doing, source: io::ErrorKind::TimedOut.into() });
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

fn proc_net_tcp() -> io::Result<Vec<ProcRow>> {
    let mut rows = Vec::new();
    for path in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
        let file = BufReader::new(File::open(path)?);
        let TcpNetEntries(entries) =
            TcpNetEntries::from_buf_read(file, procfs::current_system_info()).map_err(io::Error::other)?;
        rows.extend(entries.iter().filter_map(|e| {
            let state = TcpState::from_kernel(e.state.to_u8())?;
            Some(ProcRow { local: e.local_address, peer: e.remote_address, state })
        }));
    }
    Ok(rows)
}
