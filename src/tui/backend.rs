//! What frames are written to.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use rustix::termios::tcgetwinsize;

/// One write a frame, so that no half frame is seen. Its size is asked of standard output, of which the file
/// is a copy: crossterm opens `/dev/tty` for that, at each frame.
pub struct ScreenBackend(CrosstermBackend<BufWriter<File>>);

impl ScreenBackend {
    /// A backend that writes to a terminal.
    pub fn new(out: File) -> Self {
        Self(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, out)))
    }
}

impl Write for ScreenBackend {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(&mut self.0)
    }
}

impl Backend for ScreenBackend {
    type Error = io::Error;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> io::Result<()> {
        self.0.draw(content)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.0.hide_cursor()
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.0.show_cursor()
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        self.0.get_cursor_position()
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.0.set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.0.clear()
    }

    fn clear_region(&mut self, part: ClearType) -> io::Result<()> {
        self.0.clear_region(part)
    }

    fn size(&self) -> io::Result<Size> {
        match tcgetwinsize(rustix::stdio::stdout()) {
            Ok(size) => Ok(Size::new(size.ws_col, size.ws_row)),
            Err(_) => self.0.size(),
        }
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        self.0.window_size()
    }

    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.0)
    }
}
