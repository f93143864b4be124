//! Closing sockets with `SOCK_DESTROY`, and what must not be closed by mistake.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::diag::DiagSocket;
use crate::model::SocketRow;
use crate::wire::{pid_stat, request};

/// Closes sockets of the network namespace of the thread that made it.
pub struct Destroyer {
    socket: DiagSocket,
}

impl Destroyer {
    /// Opens a socket for it.
    ///
    /// # Errors
    /// As [`DiagSocket::open`].
    pub fn open() -> io::Result<Self> {
        Ok(Self { socket: DiagSocket::open()? })
    }

    /// Closes the socket with the row's cookie and no other.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_ADMIN`, `EOPNOTSUPP` where the kernel cannot, `ENOENT` where there is no such socket.
    pub fn destroy(&mut self, row: &SocketRow, ifindex: u32) -> io::Result<()> {
        self.socket.order(|seq| request::destroy(row, ifindex, seq))
    }

    /// Whether the socket with the row's cookie is in a table of the kernel.
    ///
    /// # Errors
    /// What the kernel answers, or what sending and receiving say.
    pub fn is_there(&mut self, row: &SocketRow, ifindex: u32) -> io::Result<bool> {
        let there = self.socket.ask(|seq| request::exact(row, ifindex, seq), |_| Some(()))?;
        Ok(there.is_some())
    }
}

/// The connection that the session came in by, as `sshd` tells it (`SSH_CONNECTION`): local and peer address.
#[must_use]
pub fn ssh_connection() -> Option<(SocketAddr, SocketAddr)> {
    ends(&std::env::var("SSH_CONNECTION").ok()?)
}

fn ends(text: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = text.split(' ');
    let mut end = || {
        let addr: IpAddr = words.next()?.split('%').next()?.parse().ok()?;
        Some(SocketAddr::new(addr, words.next()?.parse().ok()?))
    };
    let client = end()?;
    Some((end()?, client))
}

/// Inodes of the sockets that the processes above this one hold, except for the first process of the machine.
#[must_use]
pub fn ancestors_sockets() -> Vec<u32> {
    let mut inodes = Vec::new();
    let mut pid = std::process::id();
    // No chain is that long; a pid that came into use again must not lead in a circle.
    for _ in 0..256 {
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else { break };
        let Some(parent) = pid_stat(&stat).map(|s| s.ppid) else { break };
        pid = parent;
        if pid <= 1 {
            break;
        }
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let links = descriptors.flatten().filter_map(|d| fs::read_link(d.path()).ok());
        inodes
            .extend(links.filter_map(|l| {
                l.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u32>().ok()
            }));
    }
    inodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_read_as_sshd_writes_it() {
        let (local, peer) = ends("10.9.9.9 5000 10.0.0.1 22").unwrap();
        assert_eq!((local.to_string(), peer.to_string()), ("10.0.0.1:22".into(), "10.9.9.9:5000".into()));
        assert!(ends("fe80::1%eth0 5000 fe80::2%eth0 22").is_some());
        assert_eq!([ends(""), ends("10.9.9.9 x 10.0.0.1 22"), ends("10.9.9.9 1 10.0.0.1")], [None; 3]);
    }
}
