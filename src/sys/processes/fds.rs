//! The descriptors of a process that are sockets.
//!
//! The hot path of the process map: `getdents64` into one reused buffer and `readlinkat` relative to the directory, no
//! allocation and no path lookup a descriptor.

use std::mem::MaybeUninit;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, openat, readlinkat_raw, statat};
use rustix::io::{Errno, Result};

/// Room for about a thousand entries a call.
const BUFFER: usize = 32 << 10;
/// After so many descriptors it is asked whether it is enough: half a millisecond.
const ASK_EVERY: u64 = 256;
/// The kind of a socket in `/proc/PID/fd`: its name as an extended attribute (`sockfs_xattr_get` in `net/socket.c`).
const PROTOCOL: &str = "system.sockprotoname";

/// What a directory of descriptors holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Descriptors of any kind.
    pub(super) count: u64,
    /// Socket inode and descriptor number.
    pub(super) sockets: Vec<(u32, u32)>,
}

/// Reads directories of descriptors.
#[derive(Debug)]
pub(super) struct FdReader {
    buffer: Box<[MaybeUninit<u8>]>,
}

impl Default for FdReader {
    fn default() -> Self {
        Self { buffer: vec![MaybeUninit::uninit(); BUFFER].into() }
    }
}

impl FdReader {
    /// The sockets of `path` (`PID/fd`) below `proc`.
    ///
    /// # Errors
    /// `ENOENT` for a process that ended, `EACCES` for one that may not be looked into, `INTR` if it was `enough` before the
    /// end.
    pub(super) fn read(&mut self, proc: impl AsFd, path: &str, enough: &dyn Fn() -> bool) -> Result<Held> {
        let dir = open_dir(proc, path)?;
        let mut held = Held::default();
        let mut entries = RawDir::new(dir.as_fd(), &mut self.buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let Some(fd) = number(entry.file_name().to_bytes()) else { continue };
            held.count += 1;
            if held.count % ASK_EVERY == 0 && enough() {
                return Err(Errno::INTR);
            }
            let mut target = [MaybeUninit::uninit(); 32];
            match readlinkat_raw(&dir, entry.file_name(), &mut target) {
                Ok((target, _)) => {
                    if let Some(inode) = socket_inode(target) {
                        held.sockets.push((inode, fd));
                    }
                }
                // Closed meanwhile.
                Err(Errno::NOENT) => held.count -= 1,
                Err(e) => return Err(e),
            }
        }
        Ok(held)
    }

    /// The numbers among the names of a directory: processes in `/proc`, threads in `/proc/PID/task`.
    pub(super) fn numbers(&mut self, proc: impl AsFd, path: &str) -> Result<Vec<u32>> {
        let dir = open_dir(proc, path)?;
        let mut found = Vec::new();
        let mut entries = RawDir::new(dir, &mut self.buffer);
        while let Some(entry) = entries.next() {
            found.extend(number(entry?.file_name().to_bytes()));
        }
        Ok(found)
    }
}

fn open_dir(at: impl AsFd, path: &str) -> Result<OwnedFd> {
    openat(at, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The number of descriptors below `path` without reading the directory: its size, since Linux 6.2
/// (`proc_fd_getattr` in `fs/proc/fd.c`), for which no privilege is needed. Before, the size is 0.
pub(super) fn count(proc: BorrowedFd<'_>, path: &str) -> Result<u64> {
    statat(proc, path, AtFlags::empty()).map(|s| u64::try_from(s.st_size).unwrap_or(0))
}

/// Whether the descriptor at `path` (`/proc/PID/fd/N`) is a TCP socket; `None` if that cannot be told.
pub(super) fn is_tcp(path: &str) -> Option<bool> {
    let mut value = [0_u8; 32];
    match rustix::fs::getxattr(path, PROTOCOL, &mut value) {
        Ok(len) => Some(matches!(value.get(..len)?, b"TCP\0" | b"TCPv6\0" | b"MPTCP\0" | b"MPTCPv6\0")),
        // Longer than any of the names above.
        Err(Errno::RANGE) => Some(false),
        Err(_) => None,
    }
}

/// `socket:[123]`.
fn socket_inode(target: &[u8]) -> Option<u32> {
    number(target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

fn number(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    if digits.starts_with('+') { None } else { digits.parse().ok() }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::os::linux::fs::MetadataExt;

    use super::*;

    #[test]
    fn links_are_read_as_the_kernel_writes_them() {
        assert_eq!(socket_inode(b"socket:[4294967295]"), Some(u32::MAX));
        for other in
            [&b"socket:[4294967296]"[..], b"socket:[]", b"socket:[1", b"pipe:[7]", b"/a", b"socket:[+1]"]
        {
            assert_eq!(socket_inode(other), None);
        }
    }

    #[test]
    fn the_sockets_of_this_process_are_found_and_told_apart() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let proc = open_dir(rustix::fs::CWD, "/proc").unwrap();
        let held = FdReader::default().read(&proc, "self/fd", &|| false).unwrap();
        let path = |fd: i32| format!("/proc/self/fd/{fd}");
        for fd in [tcp.as_raw_fd(), udp.as_raw_fd()] {
            let inode = u32::try_from(std::fs::metadata(path(fd)).unwrap().st_ino()).unwrap();
            assert!(held.sockets.contains(&(inode, u32::try_from(fd).unwrap())), "{held:?}");
        }
        assert_eq!(is_tcp(&path(tcp.as_raw_fd())), Some(true));
        assert_eq!(is_tcp(&path(udp.as_raw_fd())), Some(false));
        assert_eq!(is_tcp("/proc/self/fd/999999"), None);
        assert!(held.count >= held.sockets.len() as u64);
    }

    #[test]
    fn numbers_are_those_of_processes() {
        let found = FdReader::default().numbers(open_dir(rustix::fs::CWD, "/proc").unwrap(), ".").unwrap();
        assert!(found.contains(&std::process::id()));
    }
}
