//! Long text on a terminal: the width of its lines, and the program that turns its pages.

use std::fs::File;
use std::io::{self, IsTerminal as _, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::termios::tcgetwinsize;

/// Lines longer than this are hard to read.
const WIDEST: usize = 100;

/// The width where there is no terminal.
const USUAL: usize = 80;

/// How many columns a line of text should have.
pub(super) fn width() -> usize {
    let terminal = tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if terminal == 0 { USUAL } else { terminal.min(WIDEST) }
}

/// Shows a text: on a terminal through `$PAGER`, or `less` where that says nothing; elsewhere as it is.
///
/// This process becomes the pager, so that the keys and the signals of the terminal go to one program only.
pub(super) fn show(text: &[u8]) -> io::Result<()> {
    if io::stdout().is_terminal()
        && let Some(mut pager) = pager()
        && let Ok(file) = in_memory(text)
    {
        // Returns only when there is no such program: then the text is shown as it is.
        let _ = pager.stdin(file).exec();
    }
    let mut out = io::stdout().lock();
    out.write_all(text).and_then(|()| out.flush())
}

fn pager() -> Option<Command> {
    let mut pager = match std::env::var_os("PAGER").filter(|p| !p.is_empty()) {
        Some(chosen) if chosen == "cat" => return None,
        Some(chosen) => {
            let mut shell = Command::new("/bin/sh");
            shell.arg("-c").arg(chosen);
            shell
        }
        None => {
            let mut less = Command::new("less");
            less.arg("-R");
            less
        }
    };
    if std::env::var_os("LESS").is_none() {
        // As git does: leave at once if it fits, colours, no clearing of the screen.
        pager.env("LESS", "FRX");
    }
    Some(pager)
}

fn in_memory(text: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("tcptop explain", MemfdFlags::CLOEXEC)?);
    file.write_all(text)?;
    file.rewind()?;
    Ok(file)
}
