//! Connections from the kernel's memory: a third of what a dump of them costs, for whoever may load a BPF program.

use std::io;

use super::intake::Intake;
use crate::model::{Capability, Host};
use crate::sys::bpf::{self, Program};
use crate::sys::diag::DiagSocket;
use crate::sys::{current_netns, kernel_ticks_per_second, user_ids_are_the_kernels};
use crate::wire::inet_diag::{cookie_of, decode_row};
use crate::wire::request::by_addresses;
use crate::wire::table_walk::{BUFFER, Layout, Progress, Viewer, program, replies};

/// So many sockets of a look may be asked for one by one, which costs twice what a dump takes for one.
const FEW: usize = 64;

/// How often a part of the table is written before it is given up: a socket that moves to another chain meanwhile is a matter
/// of microseconds.
const TRIES: u32 = 4;

/// The program, loaded.
pub struct Direct {
    program: Program,
    /// The namespace that it was opened in; a thread in another one would be shown other sockets.
    netns: u64,
}

/// Why a walk says nothing; a dump says it all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsaid {
    /// The table changed under it in a way that may have hidden sockets, or a chain was too long.
    Changed,
    /// Too many sockets have no cookie yet: nobody has ever asked the kernel for them.
    New,
    /// The program could not be run, or not in the namespace that is looked at.
    Refused,
}

impl Direct {
    /// Writes the program for the kernel that runs, and loads it.
    ///
    /// # Errors
    /// What reading the kernel's types or loading says; `Unsupported` where this kernel keeps something elsewhere.
    pub fn open(host: &Host) -> io::Result<Self> {
        if !user_ids_are_the_kernels() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let layout = Layout::read(&bpf::kernel_types()?).ok_or(io::ErrorKind::Unsupported)?;
        let marks = host.privileges.has(Capability::NetAdmin);
        let viewer = Viewer { hz: kernel_ticks_per_second(), marks };
        let program = Program::load(BUFFER, |map| program(&layout, viewer, map))?;
        Ok(Self { program, netns: current_netns().inode })
    }

    /// Takes every connection of the calling thread's network namespace in. Those that have no cookie yet are asked for over
    /// `socket`, which gives them one.
    ///
    /// # Errors
    /// [`Unsaid`], perhaps when some were taken in.
    pub fn walk(&mut self, socket: &mut DiagSocket, intake: &mut Intake) -> Result<(), Unsaid> {
        self.each(socket, intake.room(), |reply| intake.take(reply))
    }

    /// Hands each of about `sockets` connections over as [`walk`](Self::walk) takes them in.
    ///
    /// # Errors
    /// [`Unsaid`], perhaps in the middle.
    pub(super) fn each(
        &mut self,
        socket: &mut DiagSocket,
        sockets: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Unsaid> {
        let mut few = FEW.max(sockets / 16);
        let mut bucket = 0;
        loop {
            let part = self.part(bucket)?;
            for reply in replies(self.program.buffer(), part.sockets) {
                if cookie_of(reply) != 0 {
                    take(reply);
                } else {
                    few = few.checked_sub(1).ok_or(Unsaid::New)?;
                    if !ask(socket, reply, &mut take) {
                        return Err(Unsaid::Changed);
                    }
                }
            }
            if part.bucket >= part.buckets {
                return Ok(());
            }
            bucket = part.bucket;
        }
    }

    /// Has a part of the table written, from this bucket on; where something moved under it, once more.
    fn part(&mut self, bucket: u64) -> Result<Progress, Unsaid> {
        for _ in 0..TRIES {
            let mut words = Progress { bucket, ..Progress::default() }.words();
            self.program.run(&mut words).map_err(|_| Unsaid::Refused)?;
            let part = Progress::from_words(words);
            if part.netns != self.netns {
                return Err(Unsaid::Refused);
            }
            if part.is_whole() && part.bucket > bucket {
                return Ok(part);
            }
        }
        Err(Unsaid::Changed)
    }
}

/// Asks for a socket that was found, and hands the answer over; whether the kernel answered. One that is gone since is gone.
fn ask(socket: &mut DiagSocket, reply: &[u8], take: &mut impl FnMut(&[u8])) -> bool {
    let Some((row, origin)) = decode_row(reply) else {
        // What makes no sense is counted where it is taken.
        take(reply);
        return true;
    };
    let answer = |reply: &[u8]| {
        take(reply);
        Some(())
    };
    socket.ask(|seq| by_addresses(&row, origin.ifindex, seq), answer).is_ok()
}
