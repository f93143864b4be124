//! Names of addresses and ports, as far as somebody knew them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Endpoint, ForeignText, Ip, Protocol};

/// Names by address; a remote peer chooses the keys.
pub type HostNames = HashMap<Ip, ForeignText, foldhash::fast::RandomState>;

/// Names of services by their port: what is `shell` to TCP is `syslog` to UDP.
#[derive(Clone, Default, Debug)]
pub struct Services {
    /// Those of TCP.
    pub tcp: FxHashMap<u16, ForeignText>,
    /// Those of UDP.
    pub udp: FxHashMap<u16, ForeignText>,
}

/// What addresses and ports are called. What has no name here stays a number.
#[derive(Clone, Default, Debug)]
pub struct Names {
    /// Names of hosts.
    pub hosts: HostNames,
    /// Names of services.
    pub services: Arc<Services>,
}

impl Names {
    /// The name of an address.
    #[must_use]
    pub fn host(&self, addr: Ip) -> Option<&ForeignText> {
        self.hosts.get(&addr)
    }

    /// The service of a port. One that the kernel may give to a client stands for no service, whatever a file calls it.
    #[must_use]
    pub fn service(
        &self,
        port: u16,
        protocol: Protocol,
        ephemeral: Option<&RangeInclusive<u16>>,
    ) -> Option<&ForeignText> {
        if ephemeral.is_some_and(|range| range.contains(&port)) {
            return None;
        }
        match protocol {
            Protocol::Tcp => self.services.tcp.get(&port),
            Protocol::Udp => self.services.udp.get(&port),
        }
    }

    /// Address and port for people, each by its name where it has one; safe for a terminal.
    #[must_use]
    pub fn endpoint(
        &self,
        endpoint: Endpoint,
        protocol: Protocol,
        ephemeral: Option<&RangeInclusive<u16>>,
    ) -> String {
        let Endpoint { addr, port } = endpoint;
        let mut text = match self.host(addr) {
            Some(name) => name.to_string(),
            None if addr.is_v4() => addr.to_string(),
            None => format!("[{addr}]"),
        };
        // A String takes whatever is written to it.
        let _ = match self.service(port, protocol, ephemeral) {
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
        let tcp =
            [(443, "https".into()), (514, "shell".into()), (40_000, "odd".into())].into_iter().collect();
        names.services = Arc::new(Services { tcp, udp: [(514, "syslog".into())].into_iter().collect() });
        let called = |protocol, addr, port| {
            names.endpoint(Endpoint { addr: ip(addr), port }, protocol, Some(&(32_768..=60_999)))
        };
        let of = |addr, port| called(Protocol::Tcp, addr, port);
        assert_eq!(called(Protocol::Udp, "10.0.0.2", 514), "10.0.0.2:syslog");
        assert_eq!(of("10.0.0.2", 514), "10.0.0.2:shell");
        assert_eq!(of("10.0.0.1", 443), "db\\u{1b}[2J\\n0.0.0.0:22:https");
        assert_eq!(of("10.0.0.2", 40_000), "10.0.0.2:40000", "the kernel gave it to a client");
        assert_eq!(of("2001:db8::1", 80), "[2001:db8::1]:80");
    }
}
