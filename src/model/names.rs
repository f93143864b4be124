//! Names of addresses and ports, as far as somebody knew them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Endpoint, ForeignText, Ip};

/// Names by address; a remote peer chooses the keys.
pub type HostNames = HashMap<Ip, ForeignText, foldhash::fast::RandomState>;

/// What addresses and ports are called. What has no name here stays a number.
#[derive(Clone, Default, Debug)]
pub struct Names {
    /// Names of hosts.
    pub hosts: HostNames,
    /// Names of services by their TCP port.
    pub services: Arc<FxHashMap<u16, ForeignText>>,
}

impl Names {
    /// The name of an address.
    #[must_use]
    pub fn host(&self, addr: Ip) -> Option<&ForeignText> {
        self.hosts.get(&addr)
    }

    /// The service of a port. One that the kernel may give to a client stands for no service, whatever a file calls it.
    #[must_use]
    pub fn service(&self, port: u16, ephemeral: Option<&RangeInclusive<u16>>) -> Option<&ForeignText> {
        if ephemeral.is_some_and(|range| range.contains(&port)) { None } else { self.services.get(&port) }
    }

    /// Address and port for people, each by its name where it has one; safe for a terminal.
    #[must_use]
    pub fn endpoint(&self, endpoint: Endpoint, ephemeral: Option<&RangeInclusive<u16>>) -> String {
        let Endpoint { addr, port } = endpoint;
        let mut text = match self.host(addr) {
            Some(name) => name.to_string(),
            None if addr.is_v4() => addr.to_string(),
            None => format!("[{addr}]"),
        };
        // A String takes whatever is written to it.
        let _ = match self.service(port, ephemeral) {
            Some(name) => write!(text, ":{name}"),
            None => write!(text, ":{port}"),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_name_stays_a_number_and_no_name_commands_a_terminal() {
        let ip = |text: &str| Ip::from(text.parse::<std::net::IpAddr>().unwrap());
        let mut names = Names::default();
        names.hosts.insert(ip("10.0.0.1"), "db\u{1b}[2J\n0.0.0.0:22".into());
        names.services = Arc::new([(443, "https".into()), (40_000, "odd".into())].into_iter().collect());
        let of = |addr, port| names.endpoint(Endpoint { addr: ip(addr), port }, Some(&(32_768..=60_999)));
        assert_eq!(of("10.0.0.1", 443), "db\\u{1b}[2J\\n0.0.0.0:22:https");
        assert_eq!(of("10.0.0.2", 40_000), "10.0.0.2:40000", "the kernel gave it to a client");
        assert_eq!(of("2001:db8::1", 80), "[2001:db8::1]:80");
    }
}
