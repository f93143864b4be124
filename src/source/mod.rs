//! Where samples come from. Everything to the right of a [`Source`] is the same for a live machine and a recording.

mod dump;
mod live;

use crate::model::{Host, Origin, Sample, SocketDetail, SocketRow};

pub use dump::Wanted;
pub use live::{Live, LiveOptions};

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
}
