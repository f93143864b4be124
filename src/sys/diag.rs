//! The `NETLINK_SOCK_DIAG` socket.

mod apart;

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use crate::model::Gap;
use crate::wire::netlink::{self, Message, Messages};

/// The kernel never sends a larger datagram than 32 KiB less its own overhead for a dump (`netlink_dump` in
/// `net/netlink/af_netlink.c` limits it by `SKB_WITH_OVERHEAD(32768)`), so this holds any of them.
const BUFFER: usize = 64 * 1024;

/// How long one `recv` may wait before the dump is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A `sock_diag` socket with its one receive buffer, in the network namespace of the thread that opened it.
pub struct DiagSocket {
    socket: Socket,
    buffer: Box<[u8]>,
    seq: u32,
}

/// What went wrong with a dump; what was received until then is valid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DumpError {
    /// The kernel refused or ended the dump with this error number.
    Kernel(i32),
    /// It could not be sent or received.
    Io(i32),
}

impl DumpError {
    /// The error number.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Kernel(n) | Self::Io(n) => *n,
        }
    }
}

/// What a dump that ran to its end left out.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct DumpReport {
    /// Reasons, each at most once.
    pub gaps: Vec<Gap>,
}

impl DumpReport {
    /// Adds a reason, once.
    pub fn add(&mut self, gap: Gap) {
        if !self.gaps.contains(&gap) {
            self.gaps.push(gap);
        }
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

impl DiagSocket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// What `socket(2)` or `connect(2)` says: `EPROTONOSUPPORT` without `CONFIG_SOCK_DIAG`, `EPERM` or `EACCES` under a
    /// seccomp filter.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // A kernel that stops in the middle of a dump must not stop us.
        set_socket_timeout(socket.as_fd(), Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, buffer: vec![0; BUFFER].into(), seq: 0 })
    }

    /// The name of an interface of the namespace that this speaks for, whatever thread asks: an ioctl on any socket is answered
    /// for the socket's own namespace (`sock_do_ioctl` in net/socket.c).
    #[must_use]
    pub fn interface(&self, index: u32) -> Option<String> {
        rustix::net::netdevice::index_to_name(&self.socket, index).ok()
    }

    /// Sends the request that `build` makes for the next sequence number.
    fn send(&mut self, build: impl FnOnce(u32) -> Vec<u8>) -> io::Result<()> {
        self.seq = self.seq.wrapping_add(1);
        let request = build(self.seq);
        retry(|| self.socket.send(&request, 0)).map(drop)
    }

    /// Receives one datagram and returns its length; larger than the buffer if it was cut off.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let trunc = i32::try_from(RecvFlags::TRUNC.bits()).unwrap_or(0);
        retry(|| self.socket.recv(&mut &mut buffer[..], trunc))
    }

    /// Receives one datagram into the buffer of the socket.
    fn receive_one(&mut self) -> io::Result<&[u8]> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let len = self.receive(&mut buffer);
        self.buffer = buffer;
        Ok(self.buffer.get(..len?).unwrap_or(&self.buffer))
    }

    /// Runs a dump and hands every reply to `on_reply`. Errors inside `NLMSG_DONE`, `ENOBUFS`, truncation and
    /// interruption are told, and do not lose what came before.
    ///
    /// # Errors
    /// [`DumpError`]; replies until then were handed over.
    pub fn dump(
        &mut self,
        build: impl FnOnce(u32) -> Vec<u8>,
        on_reply: impl FnMut(&[u8]),
    ) -> Result<DumpReport, DumpError> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut at_once = AtOnce { buffer, on_reply };
        let report = self.run(build, &mut at_once);
        self.buffer = at_once.buffer;
        report
    }

    /// Runs a dump into a sink.
    fn run(
        &mut self,
        build: impl FnOnce(u32) -> Vec<u8>,
        sink: &mut dyn Sink,
    ) -> Result<DumpReport, DumpError> {
        self.send(build).map_err(|e| DumpError::Io(errno(&e)))?;
        let mut report = DumpReport::default();
        loop {
            let room = sink.room();
            let len = match self.receive(room) {
                Ok(len) if len > room.len() => {
                    report.add(Gap::Truncated);
                    room.len()
                }
                Ok(len) => len,
                Err(e) if e.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {
                    report.add(Gap::Lost);
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    report.add(Gap::TimedOut);
                    // A late reply must not be taken for one of the next dump, and the kernel allows one dump a socket.
                    if let Ok(fresh) = Self::open() {
                        *self = fresh;
                    }
                    return Ok(report);
                }
                Err(e) => return Err(DumpError::Io(errno(&e))),
            };
            match sink.take(len, self.seq, &mut report) {
                Some(0) => return Ok(report),
                Some(n) => return Err(DumpError::Kernel(n)),
                None => {}
            }
        }
    }

    /// Asks one question that is answered by one reply. `None` when the kernel says that there is no such socket
    /// (`ENOENT`, also for a cookie that is another's).
    ///
    /// # Errors
    /// What the kernel answers otherwise.
    pub fn ask<T>(
        &mut self,
        build: impl FnOnce(u32) -> Vec<u8>,
        decode: impl FnOnce(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        self.send(build)?;
        loop {
            let seq = self.seq;
            let datagram = self.receive_one()?;
            let Some(message) = Messages::new(datagram).find(|m| m.seq == seq) else { continue };
            if message.kind != netlink::ERROR {
                return Ok(decode(message.payload));
            }
            return match message.errno() {
                0 => Ok(None),
                n if n == Errno::NOENT.raw_os_error() => Ok(None),
                n => Err(io::Error::from_raw_os_error(n)),
            };
        }
    }

    /// Gives an order that is acknowledged.
    ///
    /// # Errors
    /// What the kernel answers, or what sending and receiving say.
    pub fn order(&mut self, build: impl FnOnce(u32) -> Vec<u8>) -> io::Result<()> {
        self.send(build)?;
        loop {
            let seq = self.seq;
            let datagram = self.receive_one()?;
            let Some(message) = Messages::new(datagram).find(|m| m.seq == seq) else { continue };
            return match message.errno() {
                0 => Ok(()),
                n => Err(io::Error::from_raw_os_error(n)),
            };
        }
    }
}

/// Where the datagrams of a dump go.
trait Sink {
    /// Where the next one is received: at least [`BUFFER`] bytes.
    fn room(&mut self) -> &mut [u8];

    /// Takes the one that was received there; returns the error number with which the dump ended, if it did.
    fn take(&mut self, len: usize, seq: u32, report: &mut DumpReport) -> Option<i32>;
}

/// Reads each datagram as it comes.
struct AtOnce<F> {
    buffer: Box<[u8]>,
    on_reply: F,
}

impl<F: FnMut(&[u8])> Sink for AtOnce<F> {
    fn room(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    fn take(&mut self, len: usize, seq: u32, report: &mut DumpReport) -> Option<i32> {
        let datagram = self.buffer.get(..len).unwrap_or(&self.buffer);
        read_messages(datagram, seq, report, &mut self.on_reply)
    }
}

/// Hands the replies of one datagram over; returns the error number with which the dump ended, if it did.
#[inline]
fn read_messages(
    datagram: &[u8],
    seq: u32,
    report: &mut DumpReport,
    on_reply: &mut impl FnMut(&[u8]),
) -> Option<i32> {
    let mut messages = Messages::new(datagram);
    for Message { kind, flags, seq: theirs, payload } in messages.by_ref() {
        if theirs != seq {
            continue;
        }
        if flags & netlink::F_DUMP_INTR != 0 {
            report.add(Gap::Interrupted);
        }
        match kind {
            netlink::DONE | netlink::ERROR => {
                return Some(Message { kind, flags, seq: theirs, payload }.errno());
            }
            _ => on_reply(payload),
        }
    }
    // What was cut off ends in the middle of a message, and is told as cut off.
    if messages.malformed() && !report.gaps.contains(&Gap::Truncated) {
        report.add(Gap::Malformed(1));
    }
    None
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
