//! The options of a socket that another process holds, read from the socket itself.
//!
//! `pidfd_getfd` gives a duplicate of the descriptor. While it is open the socket is held by two: a close of its owner
//! sends no FIN until ours (`fput` in `fs/file_table.c`). So nothing but getsockopt stands between taking and closing it.
//! The number may stand for another socket by then, and `SO_COOKIE` tells.

use std::fs;
use std::net::SocketAddr;
use std::os::linux::fs::MetadataExt as _;
use std::time::Duration;

use rustc_hash::FxHashMap;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{getsockname, sockopt};
use rustix::process::{ForeignRawFd, Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::read_host;
use super::sockopt::tcp_state;
use crate::model::{Capability, Endpoint, Probed, Refusal, SocketOptions, TcpState, Unlisted, Unprobed};
use crate::wire::{hierarchies, user_ids};

/// How many processes are kept open for their next socket.
const KEPT: usize = 64;

/// `IPPROTO_MPTCP` (`include/uapi/linux/in.h`).
const MPTCP: u32 = 262;

/// What is behind a descriptor instead of the socket that was meant.
enum NotIt {
    Another,
    /// A socket of MPTCP, which is in no table of TCP: those of its connections are.
    Mptcp,
}

/// Reads the options of sockets.
#[derive(Debug)]
pub struct Prober {
    /// Why no socket may be asked on this machine.
    forbidden: Option<Unprobed>,
    privileged: bool,
    processes: FxHashMap<u32, OwnedFd>,
}

impl Prober {
    /// One that knows whether this machine allows it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            forbidden: network_classes(&fs::read("/proc/cgroups")),
            privileged: read_host().privileges.has(Capability::SysPtrace),
            processes: FxHashMap::default(),
        }
    }

    /// Reads the options of the socket with this cookie, which should be behind descriptor `fd` of process `pid`.
    ///
    /// # Errors
    /// [`Unprobed`], with what would help.
    pub fn probe(&mut self, pid: u32, fd: u32, cookie: u64) -> Probed {
        if cookie == 0 && self.forbidden.is_none() {
            return Err(Unprobed::NoCookie);
        }
        self.take(pid, fd, |process, number| read(process, number, cookie))
    }

    /// Reads state and local address of the TCP socket with this inode, which should be behind descriptor `fd` of process
    /// `pid` and is in no table.
    ///
    /// # Errors
    /// [`Unprobed`], with what would help.
    pub fn probe_unlisted(&mut self, pid: u32, fd: u32, inode: u32) -> Result<Unlisted, Unprobed> {
        self.take(pid, fd, |process, number| read_unlisted(process, number, inode))
    }

    /// Reads something from a descriptor of a process.
    fn take<T>(
        &mut self,
        pid: u32,
        fd: u32,
        read: impl FnOnce(&OwnedFd, ForeignRawFd) -> Result<Result<T, NotIt>, Errno>,
    ) -> Result<T, Unprobed> {
        if let Some(why) = &self.forbidden {
            return Err(why.clone());
        }
        let failed = |error: Errno| Unprobed::Other { pid, fd, error: error.to_string() };
        let number = ForeignRawFd::try_from(fd).map_err(|_| Unprobed::DescriptorGone { pid, fd })?;
        let process = self.process(pid).map_err(|e| match e {
            Errno::SRCH | Errno::INVAL => Unprobed::ProcessGone { pid },
            Errno::NOSYS => Unprobed::OldKernel,
            e => failed(e),
        })?;
        match read(process, number) {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(NotIt::Another)) => Err(Unprobed::AnotherSocket { pid, fd }),
            Ok(Err(NotIt::Mptcp)) => Err(Unprobed::Mptcp { pid, fd }),
            Err(e) => {
                self.processes.remove(&pid);
                Err(match e {
                    Errno::PERM => Unprobed::NotPermitted { pid, fd, why: self.refusal(pid) },
                    Errno::SRCH => Unprobed::ProcessGone { pid },
                    Errno::BADF => Unprobed::DescriptorGone { pid, fd },
                    Errno::NOSYS => Unprobed::OldKernel,
                    e => failed(e),
                })
            }
        }
    }

    fn process(&mut self, pid: u32) -> Result<&OwnedFd, Errno> {
        if !self.processes.contains_key(&pid) {
            if self.processes.len() >= KEPT {
                self.processes.clear();
            }
            let id = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
            self.processes.insert(pid, pidfd_open(id, PidfdFlags::empty())?);
        }
        self.processes.get(&pid).ok_or(Errno::SRCH)
    }

    /// Why a process may not be looked into, asked in the order of `__ptrace_may_access` in `kernel/ptrace.c`: whose it is,
    /// whether it is dumpable, then the security modules.
    fn refusal(&self, pid: u32) -> Refusal {
        let yama = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok();
        let yama = yama.and_then(|t| t.trim().parse().ok()).unwrap_or(0);
        if yama >= 3 {
            return Refusal::YamaForbids;
        }
        if self.privileged {
            return Refusal::Protected;
        }
        let ours = rustix::process::getuid().as_raw();
        let status = fs::read(format!("/proc/{pid}/status")).ok();
        match status.as_deref().and_then(user_ids) {
            Some(ids) if ids.iter().any(|id| *id != ours) => Refusal::OtherUser,
            // The files of a process that is not dumpable belong to root (`task_dump_owner` in `fs/proc/base.c`).
            Some(_) if fs::metadata(format!("/proc/{pid}/stat")).is_ok_and(|m| m.st_uid() != ours) => {
                Refusal::NotDumpable
            }
            Some(_) if yama > 0 => Refusal::Yama(yama),
            Some(_) | None => Refusal::Unprivileged,
        }
    }
}

impl Default for Prober {
    fn default() -> Self {
        Self::new()
    }
}

/// The options of the socket behind a descriptor of a process, if it is the one with this cookie.
fn read(process: &OwnedFd, fd: ForeignRawFd, cookie: u64) -> Result<Result<SocketOptions, NotIt>, Errno> {
    let socket = pidfd_getfd(process, fd, PidfdGetfdFlags::empty())?;
    // No allocation and no other call until the end: the owner's close waits for ours.
    if sockopt::socket_cookie(&socket) != Ok(cookie) {
        let protocol = sockopt::socket_protocol(&socket);
        drop(socket);
        let mptcp = protocol.is_ok_and(|p| p.is_some_and(|p| p.as_raw().get() == MPTCP));
        return Ok(Err(if mptcp { NotIt::Mptcp } else { NotIt::Another }));
    }
    let keepalive = sockopt::socket_keepalive(&socket);
    let idle = sockopt::tcp_keepidle(&socket);
    let interval = sockopt::tcp_keepintvl(&socket);
    let probes = sockopt::tcp_keepcnt(&socket);
    let user_timeout = sockopt::tcp_user_timeout(&socket);
    let linger = sockopt::socket_linger(&socket);
    drop(socket);
    let user_timeout = Some(user_timeout?).filter(|ms| *ms > 0).map(|ms| Duration::from_millis(ms.into()));
    Ok(Ok(SocketOptions {
        keepalive: keepalive?,
        idle: idle?,
        interval: interval?,
        probes: probes?,
        user_timeout,
        linger: linger?,
    }))
}

/// State and local address of the socket behind a descriptor of a process, if it is the one with this inode.
fn read_unlisted(process: &OwnedFd, fd: ForeignRawFd, inode: u32) -> Result<Result<Unlisted, NotIt>, Errno> {
    let socket = pidfd_getfd(process, fd, PidfdGetfdFlags::empty())?;
    // As above. SO_ERROR would tell why it died, but asking for it takes it away from the program.
    let is_it = rustix::fs::fstat(&socket).is_ok_and(|s| s.st_ino == u64::from(inode));
    let state = tcp_state(&socket);
    let local = getsockname(&socket);
    drop(socket);
    let Some(state) = state.ok().and_then(TcpState::from_kernel).filter(|_| is_it) else {
        return Ok(Err(NotIt::Another));
    };
    let local = local.ok().and_then(|a| SocketAddr::try_from(a).ok());
    let local = local.map(|a| Endpoint { addr: a.ip().into(), port: a.port() });
    Ok(Ok(Unlisted { state, local: local.filter(|l| l.port != 0) }))
}

/// Whether network classes of cgroup v1 are in use: then a duplicate must not be taken. A hierarchy of which there is only
/// the root gives every process the same class.
fn network_classes(cgroups: &std::io::Result<Vec<u8>>) -> Option<Unprobed> {
    let text = match cgroups {
        Ok(text) => text,
        // A kernel without cgroups.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
        Err(e) => return Some(Unprobed::ClassesUnknown(format!("reading /proc/cgroups: {e}"))),
    };
    ["net_cls", "net_prio"].into_iter().find_map(|controller| {
        let mut used = hierarchies(text).filter(|h| h.number != 0 && h.cgroups > 1);
        let found = used.find(|h| h.controller == controller.as_bytes())?;
        Some(Unprobed::NetworkClasses { controller, cgroups: found.cgroups })
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn ask(socket: &impl std::os::fd::AsRawFd, cookie: u64) -> Probed {
        let fd = u32::try_from(socket.as_raw_fd()).unwrap();
        let mut prober = Prober { forbidden: None, ..Prober::new() };
        prober.probe(std::process::id(), fd, cookie)
    }

    #[test]
    fn every_option_is_read_as_it_was_set() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let cookie = sockopt::socket_cookie(&socket).unwrap();
        let plain = ask(&socket, cookie).unwrap();
        assert_eq!((plain.keepalive, plain.user_timeout, plain.linger), (false, None, None));
        sockopt::set_socket_keepalive(&socket, true).unwrap();
        sockopt::set_tcp_keepidle(&socket, Duration::from_secs(61)).unwrap();
        sockopt::set_tcp_keepintvl(&socket, Duration::from_secs(7)).unwrap();
        sockopt::set_tcp_keepcnt(&socket, 5).unwrap();
        sockopt::set_tcp_user_timeout(&socket, 30_500).unwrap();
        sockopt::set_socket_linger(&socket, Some(Duration::from_secs(3))).unwrap();
        let want = SocketOptions {
            keepalive: true,
            idle: Duration::from_secs(61),
            interval: Duration::from_secs(7),
            probes: 5,
            user_timeout: Some(Duration::from_millis(30_500)),
            linger: Some(Duration::from_secs(3)),
        };
        assert_eq!(ask(&socket, cookie), Ok(want));
    }

    #[test]
    fn only_the_socket_that_was_meant_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cookie = sockopt::socket_cookie(&listener).unwrap();
        assert!(ask(&listener, cookie).is_ok());
        assert!(matches!(ask(&listener, cookie + 1), Err(Unprobed::AnotherSocket { .. })));
        assert_eq!(ask(&listener, 0), Err(Unprobed::NoCookie));
        let file = fs::File::open("/proc/self/stat").unwrap();
        assert!(matches!(ask(&file, cookie), Err(Unprobed::AnotherSocket { .. })), "no socket at all");
        let mut prober = Prober { forbidden: None, ..Prober::new() };
        let pid = std::process::id();
        assert_eq!(prober.probe(pid, 1 << 30, 1), Err(Unprobed::DescriptorGone { pid, fd: 1 << 30 }));
        assert_eq!(prober.probe(pid, u32::MAX, 1), Err(Unprobed::DescriptorGone { pid, fd: u32::MAX }));
        for pid in [0, u32::MAX, i32::MAX.unsigned_abs()] {
            assert_eq!(prober.probe(pid, 3, 1), Err(Unprobed::ProcessGone { pid }));
        }
    }

    #[test]
    fn a_socket_in_no_table_tells_its_state_and_where_it_was() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ask = |socket: &dyn std::os::fd::AsFd, inode: u32| {
            let fd = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(&socket.as_fd())).unwrap();
            let mut prober = Prober { forbidden: None, ..Prober::new() };
            prober.probe_unlisted(std::process::id(), fd, inode)
        };
        let inode = |socket: &dyn std::os::fd::AsFd| {
            u32::try_from(rustix::fs::fstat(socket.as_fd()).unwrap().st_ino).unwrap()
        };
        let told = ask(&socket, inode(&socket)).unwrap();
        let at = socket.local_addr().unwrap();
        let local = Endpoint { addr: at.ip().into(), port: at.port() };
        assert_eq!(told, Unlisted { state: TcpState::Established, local: Some(local) });
        let unbound =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)
                .unwrap();
        let told = ask(&unbound, inode(&unbound)).unwrap();
        assert_eq!(told, Unlisted { state: TcpState::Close, local: None });
        assert!(matches!(ask(&unbound, inode(&socket)), Err(Unprobed::AnotherSocket { .. })));
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(matches!(ask(&udp, inode(&udp)), Err(Unprobed::AnotherSocket { .. })));
    }

    #[test]
    fn a_machine_that_classifies_by_cgroup_is_left_alone() {
        let text =
            |net_cls: &str| Ok(format!("#subsys_name x\ncpu\t1\t9\t1\nnet_cls\t{net_cls}\t1\n").into_bytes());
        assert_eq!(
            network_classes(&text("0\t40")),
            None,
            "mounted nowhere, or part of the unified hierarchy"
        );
        assert_eq!(network_classes(&text("4\t1")), None, "all processes are in the root");
        let used = network_classes(&text("4\t3"));
        assert_eq!(used, Some(Unprobed::NetworkClasses { controller: "net_cls", cgroups: 3 }));
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert!(matches!(network_classes(&Err(denied)), Some(Unprobed::ClassesUnknown(_))));
        assert_eq!(network_classes(&Err(std::io::ErrorKind::NotFound.into())), None);
        let mut prober = Prober { forbidden: used.clone(), ..Prober::new() };
        assert_eq!(prober.probe(std::process::id(), 0, 1).err(), used);
    }
}
