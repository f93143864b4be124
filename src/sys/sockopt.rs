//! TCP and IP socket options that the standard library and rustix do not set.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use libc::{c_int, socklen_t};

/// An option with an `int` for its value, tcp(7), ip(7) and socket(7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntOption {
    /// `TCP_LINGER2`: life of an orphan in `FIN_WAIT2`, seconds; at most 120, below 0 none.
    Linger2,
    /// `TCP_DEFER_ACCEPT`: wait for data before a connection counts as made, seconds.
    DeferAccept,
    /// `IP_BIND_ADDRESS_NO_PORT`: a bind to port 0 leaves the choice of the port to connect.
    BindAddressNoPort,
    /// `SO_MARK`: the firewall mark; needs `CAP_NET_ADMIN` or `CAP_NET_RAW`.
    Mark,
}

/// The state of a TCP socket, the first byte of `TCP_INFO` (`tcp_get_info` in `net/ipv4/tcp.c`).
///
/// # Errors
/// What getsockopt(2) says; of a socket that is not TCP, that there is no such option.
#[expect(unsafe_code, reason = "no crate in use reads TCP_INFO")]
pub fn tcp_state(socket: impl AsFd) -> io::Result<u8> {
    let fd = socket.as_fd().as_raw_fd();
    let mut state = 0_u8;
    let mut len: socklen_t = 1;
    // SAFETY: the descriptor is borrowed for the call, and the kernel writes `len` bytes at most, which is the size of `state`.
    let done = unsafe {
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut state).cast(), &raw mut len)
    };
    match (done, len) {
        (0, 1) => Ok(state),
        (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl IntOption {
    const fn name(self) -> (c_int, c_int) {
        match self {
            Self::Linger2 => (libc::IPPROTO_TCP, libc::TCP_LINGER2),
            Self::DeferAccept => (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
            Self::BindAddressNoPort => (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT),
            Self::Mark => (libc::SOL_SOCKET, libc::SO_MARK),
        }
    }

    /// Sets the option.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    #[expect(unsafe_code, reason = "no crate in use sets these options")]
    pub fn set(self, socket: impl AsFd, value: i32) -> io::Result<()> {
        let (level, name) = self.name();
        let fd = socket.as_fd().as_raw_fd();
        #[expect(clippy::cast_possible_truncation, reason = "4")]
        let len = size_of::<c_int>() as socklen_t;
        // SAFETY: the descriptor is borrowed for the call, and the kernel reads `len` bytes of `value`.
        let done = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
