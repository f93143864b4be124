//! What names stand for on this machine: services, interfaces, users, cgroups, hosts.

use std::fs;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::MetadataExt as _;

use rustix::net::addr::SocketAddrArg as _;
use rustix::net::{AddressFamily, SocketType, netdevice};

use crate::model::{ForeignText, Services};
use crate::wire::passwd;

/// The port of a service by its name or alias in `/etc/services`: that of TCP, or of UDP where TCP has none.
#[must_use]
pub fn service_port(name: &str) -> Option<u16> {
    port_of(&fs::read_to_string("/etc/services").ok()?, name)
}

fn port_of(services: &str, name: &str) -> Option<u16> {
    let of = |protocol: &str| {
        services.lines().find_map(|line| {
            let mut words = line.split('#').next().unwrap_or("").split_whitespace();
            let (service, port) = (words.next()?, words.next()?);
            let port = port.strip_suffix(protocol)?;
            (service == name || words.any(|alias| alias == name)).then(|| port.parse().ok()).flatten()
        })
    };
    of("/tcp").or_else(|| of("/udp"))
}

/// Every port that `/etc/services` has a name for; the first of several names counts, as in getservbyport(3).
#[must_use]
pub fn services() -> Services {
    fs::read("/etc/services")
        .map_or_else(|_| Services::default(), |text| named_services(&String::from_utf8_lossy(&text)))
}

fn named_services(text: &str) -> Services {
    let mut services = Services::default();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or("").split_whitespace();
        let (Some(name), Some((port, protocol))) =
            (words.next(), words.next().and_then(|p| p.split_once('/')))
        else {
            continue;
        };
        let of_protocol = match protocol {
            "tcp" => &mut services.tcp,
            "udp" => &mut services.udp,
            _ => continue,
        };
        if let Ok(port) = port.parse() {
            of_protocol.entry(port).or_insert_with(|| ForeignText::from(name));
        }
    }
    services
}

/// The name of an address, from whatever this machine asks for names (`nsswitch.conf`); `None` where it has none, or nobody
/// answered. Waits for as long as the resolver does, which can be many seconds.
#[must_use]
#[expect(unsafe_code, reason = "the standard library has no getnameinfo")]
pub fn host_name(addr: IpAddr) -> Option<ForeignText> {
    /// `NI_MAXHOST` of netdb.h.
    const LONGEST: libc::socklen_t = 1025;
    let mut name = [0_u8; LONGEST as usize];
    let asked = SocketAddr::new(addr, 0);
    // SAFETY: the closure gets a pointer to a socket address of that length, which getnameinfo only reads. It writes at most
    // `LONGEST` bytes into `name`, the terminating zero included; no service is asked for, so that its pointer may be null.
    let failed = unsafe {
        asked.with_sockaddr(|sockaddr, len| {
            libc::getnameinfo(
                sockaddr.cast(),
                len,
                name.as_mut_ptr().cast(),
                LONGEST,
                std::ptr::null_mut(),
                0,
                libc::NI_NAMEREQD,
            )
        })
    };
    let text = name.split(|b| *b == 0).next().filter(|text| failed == 0 && !text.is_empty())?;
    Some(ForeignText::from_bytes(text))
}

/// The index of an interface of the calling thread's network namespace.
#[must_use]
pub fn interface_index(name: &str) -> Option<u32> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(socket, name).ok()
}

/// The user id of a name in `/etc/passwd`.
#[must_use]
pub fn user_id(name: &str) -> Option<u32> {
    let text = fs::read("/etc/passwd").ok()?;
    passwd(&text).find(|(_, user)| *user == name.as_bytes()).map(|(uid, _)| uid)
}

/// The id of a cgroup by its path in the v2 hierarchy, or by the path of its directory: the directory's inode (`cgroup_id`
/// in `include/linux/cgroup.h`, on 64-bit kernels).
#[must_use]
pub fn cgroup_id(path: &str) -> Option<u64> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let mount = fields.next()?;
        (fields.next()? == "cgroup2").then_some(mount)
    })?;
    let below =
        path.strip_prefix(mount).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path);
    let metadata = fs::metadata(format!("{mount}/{}", below.trim_start_matches('/'))).ok()?;
    metadata.is_dir().then(|| metadata.ino())
}

/// The addresses of a host by its name, from whatever this machine asks for names. May wait for a name server.
#[must_use]
pub fn host_addresses(name: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = (name, 0).to_socket_addrs().into_iter().flatten().map(|a| a.ip()).collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_found_by_name_and_alias_those_of_tcp_first() {
        let services =
            "# x 1/tcp\ndomain 53/udp\ndomain\t53/tcp\nhttp 80/tcp www # World Wide Web\nntp 123/udp\n";
        let port = |name| port_of(services, name);
        assert_eq!([port("domain"), port("http"), port("www")], [Some(53), Some(80), Some(80)]);
        assert_eq!(port("ntp"), Some(123), "UDP alone has it");
        assert_eq!([port("Wide"), port("x"), port("")], [None; 3]);
    }

    #[test]
    fn ports_have_the_first_of_their_names() {
        let Services { tcp, udp } = named_services(
            "# x 1/tcp\ndomain 53/udp\nhttp 80/tcp www\nweb 80/tcp\nodd x/tcp\nhigh 70000/tcp\nnone\nsctp 9/sctp\n",
        );
        assert_eq!(tcp.get(&80).map(ForeignText::raw), Some("http"));
        assert_eq!(udp.get(&53).map(ForeignText::raw), Some("domain"));
        assert_eq!((tcp.len(), udp.len()), (1, 1));
    }

    #[test]
    fn loopback_has_a_name_and_a_documentation_address_none() {
        // Out of /etc/hosts, where there is one: no name server is asked for what stands there.
        if fs::read_to_string("/etc/hosts").is_ok_and(|t| t.lines().any(|l| l.starts_with("127.0.0.1"))) {
            assert!(host_name(IpAddr::from([127, 0, 0, 1])).is_some_and(|n| !n.raw().is_empty()));
        }
    }

    #[test]
    fn this_machine_knows_its_own_names() {
        assert_eq!(interface_index("lo"), Some(1));
        assert_eq!(interface_index("no-such-if"), None);
        assert_eq!(user_id("root"), Some(0));
        assert!(host_addresses("127.0.0.1").contains(&IpAddr::from([127, 0, 0, 1])));
        assert_eq!(cgroup_id("/no/such/cgroup"), None);
    }
}
