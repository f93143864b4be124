//! What the kernel logs while we look, from `/dev/kmsg`.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use crate::model::{KernelMessage, Reading};
use crate::wire;

const PATH: &str = "/dev/kmsg";
/// A record is never longer (`PRINTKRB_RECORD_MAX`, before `CONSOLE_EXT_LOG_MAX`).
const RECORD: usize = 8 << 10;
/// A kernel that floods its ring is read this far at one look, and the newest messages are kept.
const MOST_READ: usize = 4096;
const MOST_KEPT: usize = 256;

/// The end of the ring, read on from look to look. The ring is the host's, whatever namespace is looked at.
#[derive(Debug, Default)]
pub struct KernelLog {
    open: Option<Reading<OwnedFd>>,
    buffer: Vec<u8>,
}

impl KernelLog {
    /// What was said since the previous call; nothing at the first one, which opens the ring at its end.
    pub fn read(&mut self) -> Reading<Arc<[KernelMessage]>> {
        let fd = match self.open.get_or_insert_with(at_the_end) {
            Reading::Known(fd) => fd,
            Reading::Absent => return Reading::Absent,
            Reading::Unreadable(why) => return Reading::Unreadable(why.clone()),
        };
        self.buffer.resize(RECORD, 0);
        let mut said = VecDeque::new();
        for _ in 0..MOST_READ {
            match rustix::io::read(&*fd, &mut self.buffer) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(n) => said.extend(self.buffer.get(..n).and_then(wire::kernel_message)),
                // EPIPE: the ring ran over what was not read yet; the next read goes on with what is left.
                Err(Errno::PIPE | Errno::INTR | Errno::INVAL) => {}
                Err(e) => return Reading::Unreadable(format!("reading {PATH}: {e}")),
            }
            if said.len() > MOST_KEPT {
                said.pop_front();
            }
        }
        Reading::Known(said.into_iter().collect())
    }
}

fn at_the_end() -> Reading<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(PATH, flags, Mode::empty())
        .and_then(|fd| rustix::fs::seek(&fd, SeekFrom::End(0)).map(|_| fd));
    match opened {
        Ok(fd) => Reading::Known(fd),
        Err(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Reading::Absent,
        // check_syslog_permissions in kernel/printk/printk.c.
        Err(Errno::PERM | Errno::ACCESS) => Reading::Unreadable(format!(
            "opening {PATH}: permission denied; with kernel.dmesg_restrict it needs root or CAP_SYSLOG"
        )),
        Err(e) => Reading::Unreadable(format!("opening {PATH}: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_before_is_not_repeated() {
        let mut log = KernelLog::default();
        match log.read() {
            Reading::Known(said) => assert!(said.len() < MOST_KEPT, "opened at its end"),
            Reading::Absent => {}
            Reading::Unreadable(why) => assert!(why.contains(PATH), "{why}"),
        }
    }
}
