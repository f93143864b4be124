//! The least that any program can do to see every socket: a dump whose replies are only counted.

use tcptop::sys::diag::DiagSocket;
use tcptop::wire::request::Dump;

/// Takes every reply of a dump of both families without extensions; how many there were.
pub fn drain(socket: &mut DiagSocket) -> usize {
    let mut rows = 0;
    socket.dump(|seq| Dump::WHOLE.message(seq), |_| rows += 1).unwrap();
    rows
}
