//! The side thread: signals, and the end of the terminal itself.
//!
//! crossterm's reader spins for ever on a terminal that is gone (`UnixInternalEventSource::try_read`): this thread
//! notices, tells the drawing thread, and ends the process itself when the drawing thread cannot.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::msg::{Msg, Signal as Happened};
use super::runtime::Sender;
use super::terminal;

/// How long the drawing thread has to end in its own way.
const GRACE: Duration = Duration::from_secs(2);

/// Exit code of a process that a signal ended without the drawing thread's help.
const EXIT_UNANSWERED: i32 = 1;

/// The running side thread.
pub struct Side {
    done: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

struct Signals {
    end: [Signal; 4],
    stop: Signal,
    resume: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            end: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::quit())?,
            ],
            stop: signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?,
            resume: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    async fn next(&mut self) -> Happened {
        let [a, b, c, d] = &mut self.end;
        tokio::select! {
            _ = a.recv() => Happened::End,
            _ = b.recv() => Happened::End,
            _ = c.recv() => Happened::End,
            _ = d.recv() => Happened::End,
            _ = self.stop.recv() => Happened::Stop,
            _ = self.resume.recv() => Happened::Resume,
        }
    }
}

impl Side {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the runtime or a signal handler cannot be set up.
    pub fn start(sender: Sender, tty: OwnedFd) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let done = Arc::new(Notify::new());
        let stop = Arc::clone(&done);
        // Handlers first, so that no signal can slip through before the thread runs.
        let signals = {
            let _inside = runtime.enter();
            Signals::listen()?
        };
        let gone = Arc::new(Notify::new());
        let notify = Arc::clone(&gone);
        // Ends with the process: nothing but the end of the terminal wakes it.
        thread::Builder::new().name("hangup".into()).spawn(move || {
            wait_for_the_end(&tty);
            notify.notify_one();
        })?;
        let thread = thread::Builder::new().name("side".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stop.notified() => {}
                    () = watch(signals, &gone, &sender) => {
                        tokio::select! {
                            () = stop.notified() => {}
                            () = tokio::time::sleep(GRACE) => {
                                terminal::leave();
                                std::process::exit(EXIT_UNANSWERED);
                            }
                        }
                    }
                }
            });
        })?;
        Ok(Self { done, thread: Some(thread) })
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.done.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Passes on what happens until the program has to end.
async fn watch(mut signals: Signals, gone: &Notify, sender: &Sender) {
    loop {
        let happened = tokio::select! {
            happened = signals.next() => happened,
            () = gone.notified() => Happened::End,
        };
        sender.offer(Msg::Signal(happened));
        if happened == Happened::End {
            return;
        }
    }
}

/// Waits for the end of the terminal, and for nothing else: POLLHUP comes without being asked for.
fn wait_for_the_end(tty: &OwnedFd) {
    loop {
        let mut fds = [PollFd::new(tty, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) | Err(_) => return,
        }
    }
}
