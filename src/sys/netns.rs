//! Network namespaces: make, open, look from inside.
//!
//! `setns` and `unshare` change the calling thread for good, so both happen on throw-away threads only.
//! A namespace lives as long as a descriptor, a socket or a process is in it; none is ever given a name in the
//! file system, so nothing is left when its owner ends, however it ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// An open network namespace. Dropping the last descriptor of one that nobody is in ends it, with its
/// interfaces and addresses.
#[derive(Debug)]
pub struct NetNs(OwnedFd);

impl NetNs {
    /// Makes an empty namespace: `lo` is there and down.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`, `ENOSPC` over `user.max_net_namespaces`.
    pub fn create() -> io::Result<Self> {
        on_own_thread(|| {
            unshare(UnshareFlags::NEWNET)?;
            Self::current()
        })?
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Opens a namespace by path: `/proc/PID/ns/net`, `/run/netns/NAME`.
    ///
    /// # Errors
    /// No such file, or another user's process.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(File::open(path)?.into()))
    }

    /// Runs `work` inside the namespace on a throw-away thread and waits for it. What it opens or starts there
    /// stays in the namespace and can be used from any thread. A panic goes on in the caller.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN` over the namespace's user namespace; no thread could be started.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_own_thread(|| {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        })?
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[expect(unsafe_code, reason = "the call is unsafe for the sake of one flag")]
fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    // SAFETY: unsharing is only unsafe for the descriptor table, which stays shared.
    unsafe { rustix::thread::unshare_unsafe(namespaces.difference(UnshareFlags::FILES)) }?;
    Ok(())
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("netns".into()).spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Makes `command` start in a user and a network namespace of its own, in which its owner is root: there an
/// ordinary user can make further namespaces. The start fails where user namespaces are switched off.
#[expect(unsafe_code, reason = "a user namespace can only be made by a single thread, so after fork")]
pub fn confine(command: &mut Command) {
    let uid_map = format!("0 {} 1", rustix::process::geteuid().as_raw());
    let gid_map = format!("0 {} 1", rustix::process::getegid().as_raw());
    let enter = move || {
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
        // user_namespaces(7): the group map needs setgroups denied first.
        tell(c"/proc/self/setgroups", b"deny")?;
        tell(c"/proc/self/uid_map", uid_map.as_bytes())?;
        tell(c"/proc/self/gid_map", gid_map.as_bytes())
    };
    // SAFETY: between fork and exec the closure only makes system calls on memory that exists already: it
    // neither allocates nor takes a lock.
    unsafe { command.pre_exec(enter) };
}

/// Makes `command` be killed when the thread that starts it ends, however it ends. Called after [`confine`], because a new
/// user namespace forgets it (prctl(2), `PR_SET_PDEATHSIG`).
#[expect(unsafe_code, reason = "it can only be asked for after fork")]
pub fn die_with_parent(command: &mut Command) {
    let ask = || Ok(set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: between fork and exec the closure only makes one system call.
    unsafe { command.pre_exec(ask) };
}

/// Writes to a file without allocating.
fn tell(path: &std::ffi::CStr, text: &[u8]) -> io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text)?;
    Ok(())
}
