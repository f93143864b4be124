//! What happens to the screen, and what it asks others to do.

use std::sync::Arc;
use std::time::Duration;

use ratatui::crossterm::event::{KeyEvent, MouseEvent};
use ratatui::layout::Size;

use crate::analysis::World;
use crate::engine::closer::{Answered, Order};
use crate::engine::{Detailed, Look, Options};
use crate::model::{Ip, Names, Origin, SocketRow};
use crate::query::filter::Needs;
use crate::query::{RowId, Selection};

use super::filter::reader::{Read, Reading};
use super::index::{Answer, Question};

/// Something happened.
#[derive(Clone, Debug)]
pub enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    /// A mouse button or the wheel.
    Mouse(MouseEvent),
    /// The terminal has another size.
    Resize(Size),
    /// A new look at the machine, or why there is none.
    Look(Look),
    /// The index thread answered.
    Answer(Answer),
    /// The text of a filter was read.
    Read(Read),
    /// The closing thread has something to say.
    Answered(Answered),
    /// It is known what addresses are called.
    Names(Names),
    /// An exact query answered.
    Detail(Detailed),
    /// Sockets were asked for their options.
    Options(Options),
    /// Time passed; since an arbitrary moment, never going back.
    Tick(Duration),
    /// A signal, or the end of the terminal.
    Signal(Signal),
    /// No more worlds will come: the thread that makes them ended.
    FeedEnded,
}

impl Msg {
    /// Whether it came from the user or the system, one of several that may be waiting.
    #[must_use]
    pub const fn is_input(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Mouse(_) | Self::Resize(_) | Self::Signal(_))
    }
}

/// A signal by what it means to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM, SIGHUP, SIGINT, SIGQUIT, or the terminal is gone.
    End,
    /// SIGTSTP.
    Stop,
    /// SIGCONT.
    Resume,
}

/// Something that `update` wants done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Ask the index thread.
    Ask(Question),
    /// Have the text of a filter read.
    Read(Reading),
    /// What the filter has to know of each look.
    Need(Needs),
    /// Put a text into the clipboard of the terminal.
    Copy(String),
    /// Something for the closing thread.
    Order(Order),
    /// Learn what these addresses are called.
    Name(Vec<Ip>),
    /// Ask the kernel about one socket.
    Detail(SocketRow, Origin),
    /// Look at the UDP sockets as well, or no longer.
    WatchUdp(bool),
    /// Ask the socket of a row for its options.
    Probe(Arc<World>, RowId),
    /// Ask the connections that are selected for their keepalive.
    ProbeThose(Arc<World>, Selection),
    /// Look this often from now on.
    SetInterval(Duration),
    /// Stop the whole job, as the terminal's own Ctrl-Z would.
    StopJob,
    /// Give the terminal back and stop until continued.
    Suspend,
    /// Take the terminal over again.
    Retake,
    /// End.
    Quit,
}
