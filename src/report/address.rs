//! Addresses as JSON has them.

use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};

use crate::model::{Endpoint, ForeignText, Ip, Names, Protocol};

/// `{"addr":"10.0.0.1","port":80}`, with `name` and `service` where they are known.
#[derive(Serialize)]
pub(super) struct Address<'a> {
    addr: Text,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
}

impl<'a> Address<'a> {
    /// With what address and port are called.
    pub(super) fn named(
        e: Endpoint,
        names: &'a Names,
        protocol: Protocol,
        ephemeral: Option<&RangeInclusive<u16>>,
    ) -> Self {
        let (name, service) = (names.host(e.addr), names.service(e.port, protocol, ephemeral));
        Self { name: name.map(ForeignText::raw), service: service.map(ForeignText::raw), ..Self::from(e) }
    }
}

impl From<Endpoint> for Address<'_> {
    fn from(e: Endpoint) -> Self {
        Self { addr: Text(e.addr), port: e.port, name: None, service: None }
    }
}

/// An address as a string.
pub(super) struct Text(pub(super) Ip);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
