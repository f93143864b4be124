//! Bytes to values: netlink framing, `inet_diag`, the text of `/proc`.
//!
//! Pure: nothing here opens a file or asks the kernel, nothing allocates per socket, and no bytes can make it panic.
#![deny(clippy::indexing_slicing)]

pub mod inet_diag;
pub mod netlink;
pub mod request;
