//! The terminal: taken over on entry, given back as it was found on every way out.
//!
//! [`leave`] does nothing when there is nothing to give back, and can be called from any thread: by the guard, by the
//! panic hook, and by the side thread when the drawing thread does not answer.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};
use std::panic;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ratatui::Terminal;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::queue;
use ratatui::crossterm::style::{Print, ResetColor};
use ratatui::crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::layout::{Position, Rect};
use rustix::termios::{OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr};

use super::backend::ScreenBackend;

/// Clicks and the wheel in SGR coordinates. Not movement, which crossterm's own command would ask for: a moving mouse
/// would wake the program hundreds of times a second for nothing.
const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1000l";

struct Saved {
    tty: OwnedFd,
    termios: Termios,
}

/// What to give back; `None` while the terminal is not ours.
static SAVED: Mutex<Option<Saved>> = Mutex::new(None);

fn saved() -> MutexGuard<'static, Option<Saved>> {
    SAVED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The terminal that keys come from: standard input, or the controlling terminal when that is something else.
///
/// # Errors
/// When there is no terminal at all.
pub fn open_tty() -> io::Result<OwnedFd> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        stdin.as_fd().try_clone_to_owned()
    } else {
        Ok(File::options().read(true).write(true).open("/dev/tty")?.into())
    }
}

/// Takes the terminal over: raw mode, alternate screen, no cursor, mouse clicks. Once more after it was left.
///
/// # Errors
/// When standard output is not a terminal or its modes cannot be set.
pub fn enter() -> io::Result<()> {
    let mut saved = saved();
    if saved.is_none() {
        let tty = open_tty()?;
        let termios = tcgetattr(&tty)?;
        *saved = Some(Saved { tty, termios });
    }
    if let Some(Saved { tty, termios }) = &*saved {
        let mut raw = termios.clone();
        raw.make_raw();
        tcsetattr(tty, OptionalActions::Now, &raw)?;
    }
    let mut bytes = Vec::new();
    queue!(bytes, EnterAlternateScreen, Hide, Print(MOUSE_ON), Clear(ClearType::All))?;
    write_now(&bytes)
}

/// Gives the terminal back. What fails is left: there is nobody to tell, and the next step may still work.
pub fn leave() {
    let Some(Saved { tty, termios }) = saved().take() else { return };
    let mut bytes = Vec::new();
    // Cleared first: a console without an alternate screen would keep the last frame.
    let queued =
        queue!(bytes, Print(MOUSE_OFF), ResetColor, Clear(ClearType::All), LeaveAlternateScreen, Show);
    if queued.is_ok() {
        let _ = write_now(&bytes);
    }
    // Answers and clicks that are still on their way would be typed into the shell.
    let _ = tcflush(&tty, QueueSelector::IFlush);
    let _ = tcsetattr(&tty, OptionalActions::Now, &termios);
}

/// Whether the terminal is ours now.
#[must_use]
pub fn is_entered() -> bool {
    saved().is_some()
}

/// Past every buffer and lock of the standard library: the thread that holds them may hang.
fn write_now(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(rustix::stdio::stdout(), bytes) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// The real terminal.
pub type Screen = Terminal<ScreenBackend>;

/// Holds the terminal until dropped.
pub struct Guard {
    /// To draw on. Never dropped: when the terminal has died, ratatui complains of that on standard error, which is most
    /// often the same terminal, and panics.
    pub screen: ManuallyDrop<Screen>,
}

impl Guard {
    /// Takes the terminal over, and makes a panic of any thread give it back before its message is printed.
    ///
    /// # Errors
    /// When standard input and output are not a terminal.
    pub fn take() -> io::Result<Self> {
        if !io::stdout().is_terminal() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "standard output is not a terminal"));
        }
        let earlier = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            leave();
            earlier(info);
        }));
        let out = File::from(rustix::stdio::stdout().try_clone_to_owned()?);
        let backend = ScreenBackend::new(out);
        enter()?;
        // Dropped from here on, the guard gives the terminal back.
        match Terminal::new(backend) {
            Ok(screen) => Ok(Self { screen: ManuallyDrop::new(screen) }),
            Err(e) => {
                leave();
                Err(e)
            }
        }
    }

    /// Empties the terminal, and forgets what was on it.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn wipe(&mut self) -> io::Result<()> {
        // Not Terminal::clear, which asks the terminal where its cursor is and waits for an answer that the input
        // thread reads.
        let area = Rect::from((Position::ORIGIN, self.screen.size()?));
        self.screen.resize(area)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = io::Write::flush(self.screen.backend_mut());
        leave();
    }
}

/// Whether a shell is there that would bring us back after a stop: an orphaned process group is never continued.
#[must_use]
pub fn can_be_resumed() -> bool {
    rustix::process::getsid(None).is_ok_and(|session| session != rustix::process::getpgrp())
}
