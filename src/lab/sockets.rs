//! Sockets with options that the standard library does not offer, and none that could wait for ever.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use serde::{Deserialize, Serialize};

use super::DEADLINE;
use crate::sys::sockopt::IntOption;

/// A socket option.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Opt {
    /// `SO_KEEPALIVE` with its three settings.
    Keepalive {
        /// Silence before the first probe, seconds.
        idle: u16,
        /// Time between probes, seconds.
        interval: u16,
        /// Unanswered probes that end the connection, at most 127.
        count: u8,
    },
    /// `SO_RCVBUF`, bytes; the kernel doubles it.
    ReceiveBuffer(usize),
    /// `SO_SNDBUF`, bytes; the kernel doubles it.
    SendBuffer(usize),
    /// `SO_REUSEADDR`.
    ReuseAddress,
    /// `SO_REUSEPORT`.
    ReusePort,
    /// `IPV6_V6ONLY`.
    V6Only(bool),
    /// `SO_LINGER` with this many seconds; 0 resets on close.
    Linger(u16),
    /// `TCP_LINGER2`, seconds.
    Linger2(i32),
    /// `TCP_DEFER_ACCEPT`, seconds.
    DeferAccept(i32),
    /// `IP_BIND_ADDRESS_NO_PORT`.
    BindAddressNoPort,
    /// `SO_MARK`.
    Mark(i32),
}

impl Opt {
    fn set(self, fd: &OwnedFd) -> io::Result<()> {
        match self {
            Self::Keepalive { idle, interval, count } => {
                sockopt::set_tcp_keepidle(fd, Duration::from_secs(idle.into()))?;
                sockopt::set_tcp_keepintvl(fd, Duration::from_secs(interval.into()))?;
                sockopt::set_tcp_keepcnt(fd, count.into())?;
                sockopt::set_socket_keepalive(fd, true)?;
            }
            Self::ReceiveBuffer(bytes) => sockopt::set_socket_recv_buffer_size(fd, bytes)?,
            Self::SendBuffer(bytes) => sockopt::set_socket_send_buffer_size(fd, bytes)?,
            Self::ReuseAddress => sockopt::set_socket_reuseaddr(fd, true)?,
            Self::ReusePort => sockopt::set_socket_reuseport(fd, true)?,
            Self::V6Only(only) => sockopt::set_ipv6_v6only(fd, only)?,
            Self::Linger(s) => sockopt::set_socket_linger(fd, Some(Duration::from_secs(s.into())))?,
            Self::Linger2(seconds) => IntOption::Linger2.set(fd, seconds)?,
            Self::DeferAccept(seconds) => IntOption::DeferAccept.set(fd, seconds)?,
            Self::BindAddressNoPort => IntOption::BindAddressNoPort.set(fd, 1)?,
            Self::Mark(mark) => IntOption::Mark.set(fd, mark)?,
        }
        Ok(())
    }
}

fn socket(family: SocketAddr, opts: &[Opt]) -> io::Result<OwnedFd> {
    let family = if family.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    opts.iter().try_for_each(|opt| opt.set(&fd))?;
    Ok(fd)
}

/// A socket bound to `addr` and nothing more. It does not block.
///
/// # Errors
/// What socket, setsockopt or bind say.
pub fn bind(addr: SocketAddr, opts: &[Opt]) -> io::Result<OwnedFd> {
    let fd = socket(addr, opts)?;
    rustix::net::bind(&fd, &addr)?;
    Ok(fd)
}

/// A listener with exactly this backlog. It does not block.
///
/// # Errors
/// As [`bind`], or what listen says.
pub fn listen(addr: SocketAddr, backlog: i32, opts: &[Opt]) -> io::Result<TcpListener> {
    let fd = bind(addr, opts)?;
    rustix::net::listen(&fd, backlog)?;
    Ok(fd.into())
}

/// Starts to connect and does not wait. The socket does not block.
///
/// # Errors
/// What bind or connect say at once: no free port, no route.
pub fn start_connect(from: Option<SocketAddr>, to: SocketAddr, opts: &[Opt]) -> io::Result<TcpStream> {
    let fd = match from {
        Some(from) => bind(from, opts)?,
        None => socket(to, opts)?,
    };
    match rustix::net::connect(&fd, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd.into()),
        Err(e) => Err(e.into()),
    }
}

/// Connects within [`DEADLINE`]. The socket blocks, each read and write for [`DEADLINE`] at most.
///
/// # Errors
/// As [`start_connect`], the peer's refusal, or `TimedOut`.
pub fn connect(from: Option<SocketAddr>, to: SocketAddr, opts: &[Opt]) -> io::Result<TcpStream> {
    let stream = start_connect(from, to, opts)?;
    wait(&stream, PollFlags::OUT)?;
    stream.take_error()?.map_or_else(|| bounded(stream), Err)
}

/// Accepts within [`DEADLINE`]. The socket blocks, each read and write for [`DEADLINE`] at most.
///
/// # Errors
/// What accept says, or `TimedOut`.
pub fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    wait(listener, PollFlags::IN)?;
    bounded(listener.accept()?.0)
}

fn bounded(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

fn wait(fd: impl AsFd, flags: PollFlags) -> io::Result<()> {
    let timeout = Timespec::try_from(DEADLINE).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(&fd, flags)], Some(&timeout))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}
