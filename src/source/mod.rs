//! Where samples come from. Everything to the right of a [`Source`] is the same for a live machine and a recording.

pub mod direct;
mod dump;
mod halves;
pub mod intake;
mod live;
mod many;
mod shortcut;
mod udp;
mod walker;

use crate::model::{Asked, Host, Origin, Protocols, Sample, SocketDetail, SocketRow, Unexamined};

pub use dump::Wanted;
pub use live::{Live, LiveOptions};
pub use many::{Many, Target};

/// Why a look failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no way to read a socket table.
    #[error("reading the socket table: {sock_diag}; reading /proc/net/tcp instead: {procfs}")]
    NoTable {
        /// What `sock_diag` said.
        sock_diag: String,
        /// What `/proc/net/tcp` said.
        procfs: String,
    },
    /// The namespace that was asked for cannot be entered.
    #[error("looking into the network namespace {name}: {why}")]
    Netns {
        /// How it was asked for.
        name: String,
        /// Why not, and what would help.
        why: String,
    },
}

/// Something that yields samples.
pub trait Source: Send {
    /// The machine that the samples are of.
    fn host(&self) -> &Host;

    /// Takes one sample of each namespace, the one that was asked for first.
    ///
    /// # Errors
    /// [`SourceError`] when nothing could be read at all; what is merely incomplete says so in the sample.
    fn look(&mut self) -> Result<Vec<Sample>, SourceError>;

    /// Asks for everything that is known about one socket; `None` when it is gone or this source cannot tell.
    fn detail(&mut self, row: &SocketRow, origin: Origin) -> Option<SocketDetail>;

    /// Asks the kernel for less from now on; samples may still hold more than was asked for.
    fn ask_for(&mut self, asked: Asked);

    /// Takes these tables from now on. A source that has no choice, like a recording, brings what it has.
    fn watch(&mut self, _protocols: Protocols) {}

    /// Namespaces that the last look had to leave out.
    fn unexamined(&self) -> &[Unexamined] {
        &[]
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn host(&self) -> &Host {
        (**self).host()
    }

    fn look(&mut self) -> Result<Vec<Sample>, SourceError> {
        (**self).look()
    }

    fn detail(&mut self, row: &SocketRow, origin: Origin) -> Option<SocketDetail> {
        (**self).detail(row, origin)
    }

    fn ask_for(&mut self, asked: Asked) {
        (**self).ask_for(asked);
    }

    fn watch(&mut self, protocols: Protocols) {
        (**self).watch(protocols);
    }

    fn unexamined(&self) -> &[Unexamined] {
        (**self).unexamined()
    }
}
