//! What names stand for on this machine: services, interfaces, users, cgroups, hosts.

use std::fs;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::os::unix::fs::MetadataExt as _;

use rustix::net::{AddressFamily, SocketType, netdevice};

use crate::wire::passwd;

/// The TCP port of a service by its name or alias in `/etc/services`.
#[must_use]
pub fn service_port(name: &str) -> Option<u16> {
    tcp_port(&fs::read_to_string("/etc/services").ok()?, name)
}

fn tcp_port(services: &str, name: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or("").split_whitespace();
        let (service, port) = (words.next()?, words.next()?);
        let port = port.strip_suffix("/tcp")?;
        (service == name || words.any(|alias| alias == name)).then(|| port.parse().ok()).flatten()
    })
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
    fn services_are_found_by_name_and_alias_for_tcp_only() {
        let services =
            "# x 1/tcp\ndomain 53/udp\ndomain\t53/tcp\nhttp 80/tcp www # World Wide Web\nntp 123/udp\n";
        let port = |name| tcp_port(services, name);
        assert_eq!([port("domain"), port("http"), port("www")], [Some(53), Some(80), Some(80)]);
        assert_eq!([port("ntp"), port("Wide"), port("x"), port("")], [None; 4]);
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
