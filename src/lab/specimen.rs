//! One socket in a known state.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::{Call, Doing, Lab, Result};
use crate::model::TcpState;

const ADDRESS: &str = "asking for a socket's address";

/// A socket of the near host that was brought into a state, and what keeps it there.
#[derive(Debug)]
pub struct Specimen {
    /// What it shows.
    pub name: &'static str,
    /// Its state.
    pub state: TcpState,
    /// Its own address, as the kernel writes it (IPv4-mapped where it is).
    pub local: SocketAddr,
    /// Its peer; `None` where there is none.
    pub peer: Option<SocketAddr>,
    near: Option<OwnedFd>,
    _kept: Vec<OwnedFd>,
}

impl Specimen {
    /// The socket itself; `None` where no program holds it.
    #[must_use]
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.near.as_ref().map(std::os::fd::AsFd::as_fd)
    }

    /// A specimen of the near host's `socket`, which a program holds.
    pub(super) fn held(
        name: &'static str,
        state: TcpState,
        socket: impl Into<OwnedFd>,
        peer: Option<SocketAddr>,
        kept: Vec<OwnedFd>,
    ) -> Result<Self> {
        let near = socket.into();
        let local = own_address(&near).doing(ADDRESS)?;
        Ok(Self { name, state, local, peer, near: Some(near), _kept: kept })
    }

    /// A specimen that no program holds.
    pub(super) const fn without_owner(
        name: &'static str,
        state: TcpState,
        (local, peer): (SocketAddr, SocketAddr),
        kept: Vec<OwnedFd>,
    ) -> Self {
        Self { name, state, local, peer: Some(peer), near: None, _kept: kept }
    }

    /// The same, once the near host really shows the state.
    pub(super) fn settled(self, lab: &Lab) -> Result<Self> {
        if let Some(peer) = self.peer {
            lab.near().wait_for(self.local, peer, self.state)?;
        }
        Ok(self)
    }
}

fn own_address(fd: &OwnedFd) -> io::Result<SocketAddr> {
    Ok(rustix::net::getsockname(fd)?.try_into()?)
}

impl Call {
    /// Local and peer address of the near end.
    pub(super) fn ends(&self) -> Result<(SocketAddr, SocketAddr)> {
        Ok((self.near.local_addr().doing(ADDRESS)?, self.near.peer_addr().doing(ADDRESS)?))
    }

    /// The near end as a specimen, held by a program and in `state` by now.
    pub(super) fn into_held(self, lab: &Lab, name: &'static str, state: TcpState) -> Result<Specimen> {
        let (_, peer) = self.ends()?;
        Specimen::held(name, state, self.near, Some(peer), vec![self.far.into()])?.settled(lab)
    }

    /// The near end as a specimen that the program closed.
    pub(super) fn into_closed(self, lab: &Lab, name: &'static str, state: TcpState) -> Result<Specimen> {
        let ends = self.ends()?;
        drop(self.near);
        Specimen::without_owner(name, state, ends, vec![self.far.into()]).settled(lab)
    }
}
