//! One socket in a known state.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::{Call, Doing, Lab, Result};
use crate::model::TcpState;

const ADDRESS: &str = "asking for a socket's address";

/// Makes one specimen.
pub type Maker = fn(&mut Lab) -> Result<Specimen>;

/// Every specimen there is.
pub const MAKERS: &[Maker] = &[
    Lab::listening,
    Lab::listening_dual,
    Lab::listening_v6only,
    Lab::bound_inactive,
    Lab::syn_sent,
    Lab::syn_recv,
    Lab::established,
    Lab::established_v6,
    Lab::marked,
    Lab::mapped,
    Lab::connected_to_itself,
    Lab::unaccepted,
    Lab::unaccepted_close_wait,
    Lab::accept_queue_full,
    Lab::fin_wait1_held,
    Lab::fin_wait1_orphan,
    Lab::fin_wait2_mini,
    Lab::fin_wait2_orphan,
    Lab::fin_wait2_held,
    Lab::time_wait,
    Lab::close_wait_read,
    Lab::close_wait_unread_fin,
    Lab::close_wait_unread_data,
    Lab::last_ack,
    Lab::closing,
    Lab::keepalive_armed,
    Lab::keepalive_unanswered,
    Lab::keepalive_masked_by_retransmission,
    Lab::keepalive_masked_by_zero_window,
];

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
        self.near.as_ref().map(AsFd::as_fd)
    }

    /// The socket's cookie (`SO_COOKIE`) and inode; `None` where no program holds it.
    ///
    /// # Errors
    /// The kernel did not tell.
    pub fn identity(&self) -> Result<Option<(u64, u64)>> {
        let Some(socket) = self.socket() else { return Ok(None) };
        let cookie = rustix::net::sockopt::socket_cookie(socket).doing("asking for a socket's cookie")?;
        let inode = rustix::fs::fstat(socket).doing("asking for a socket's inode")?.st_ino;
        Ok(Some((cookie, inode)))
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
        end_with_reset(&near)?;
        kept.iter().try_for_each(end_with_reset)?;
        Ok(Self { name, state, local, peer, near: Some(near), _kept: kept })
    }

    /// A specimen that no program holds.
    pub(super) fn without_owner(
        name: &'static str,
        state: TcpState,
        (local, peer): (SocketAddr, SocketAddr),
        kept: Vec<OwnedFd>,
    ) -> Result<Self> {
        kept.iter().try_for_each(end_with_reset)?;
        Ok(Self { name, state, local, peer: Some(peer), near: None, _kept: kept })
    }

    /// The same, once the near host really shows the state.
    pub(super) fn settled(self, lab: &Lab) -> Result<Self> {
        if let Some(peer) = self.peer {
            lab.near().wait_for(self.local, peer, self.state)?;
        }
        Ok(self)
    }
}

/// A socket that still has a FIN to deliver when it is closed keeps its namespace: it shall end at once instead.
fn end_with_reset(socket: &OwnedFd) -> Result<()> {
    rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)).doing("setting SO_LINGER")
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
        Specimen::without_owner(name, state, ends, vec![self.far.into()])?.settled(lab)
    }
}
