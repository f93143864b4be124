//! Addresses as JSON has them.

use serde::{Serialize, Serializer};

use crate::model::{Endpoint, Ip};

/// `{"addr":"10.0.0.1","port":80}`.
#[derive(Serialize)]
pub(super) struct Address {
    addr: Text,
    port: u16,
}

impl From<Endpoint> for Address {
    fn from(e: Endpoint) -> Self {
        Self { addr: Text(e.addr), port: e.port }
    }
}

/// An address as a string.
pub(super) struct Text(pub(super) Ip);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
