//! The machine, what this process may do on it, and which network namespace a thread is in.

use std::fs;
use std::os::linux::fs::MetadataExt;
use std::path::Path;
use std::sync::LazyLock;

use crate::model::{ForeignText, Host, Netns, Privileges};

const OWN: &str = "/proc/thread-self/ns/net";
/// A sysctl that belongs to the host and is shown in the initial network namespace only (`ipv4_table` in
/// `net/ipv4/sysctl_net_ipv4.c` is registered for `init_net`).
const HOST_ONLY: &str = "/proc/sys/net/ipv4/tcp_max_orphans";
/// Where `ip netns` and container runtimes mount the namespaces that they name.
pub(super) const NAMED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// What the kernel says of the machine and of this process.
#[must_use]
pub fn read_host() -> Host {
    let uname = rustix::system::uname();
    let info = rustix::system::sysinfo();
    Host {
        hostname: ForeignText::from_bytes(uname.nodename().to_bytes()),
        kernel: ForeignText::from_bytes(uname.release().to_bytes()),
        privileges: Privileges {
            effective: rustix::thread::capabilities(None).map_or(0, |sets| sets.effective.bits()),
            euid: rustix::process::geteuid().as_raw(),
        },
        page_size: rustix::param::page_size() as u64,
        memory_bytes: (info.totalram as u64).saturating_mul(u64::from(info.mem_unit)),
    }
}

/// The network namespace of the calling thread.
///
/// It is called `init` if it is the machine's first one, which every user can tell; else by the name under which
/// `ip netns` or Docker mounted it; else `pid 1` if it is that of process 1 (the usual case in a container); else
/// `net:[inode]`, as `/proc/PID/ns/net` shows it.
#[must_use]
pub fn current_netns() -> Netns {
    let Ok(own) = fs::metadata(OWN) else {
        return Netns { inode: 0, name: "current".into() };
    };
    let id = (own.st_dev(), own.st_ino());
    let name = if Path::new(HOST_ONLY).exists() {
        "init".into()
    } else if let Some(name) = NAMED.into_iter().find_map(|dir| mounted_name(dir, id)) {
        name
    } else if fs::metadata("/proc/1/ns/net").is_ok_and(|first| (first.st_dev(), first.st_ino()) == id) {
        "pid 1".into()
    } else {
        ForeignText::from(format!("net:[{}]", id.1).as_str())
    };
    Netns { inode: id.1, name }
}

fn mounted_name(dir: &str, id: (u64, u64)) -> Option<ForeignText> {
    fs::read_dir(dir).ok()?.flatten().find_map(|entry| {
        let there = fs::metadata(entry.path()).ok()?;
        let same = (there.st_dev(), there.st_ino()) == id;
        same.then(|| ForeignText::from_bytes(entry.file_name().as_encoded_bytes()))
    })
}

/// Ticks of the kernel in a second (`CONFIG_HZ`): a coarse clock moves by one of them (`hrtimer_get_res` in
/// `kernel/time/posix-timers.c` returns `KTIME_LOW_RES`). 0 if that is no whole number.
#[must_use]
pub fn kernel_ticks_per_second() -> u32 {
    let tick = rustix::time::clock_getres(rustix::time::ClockId::MonotonicCoarse).tv_nsec;
    let per_second = 1_000_000_000_i64.checked_div(tick).unwrap_or(0);
    // Ticks of a third of a hundredth of a second are cut to whole nanoseconds.
    u32::try_from(per_second).unwrap_or(0)
}

/// Whether user ids are the kernel's own: this process is in the initial user namespace, or in one that changes none.
#[must_use]
pub fn user_ids_are_the_kernels() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether this program may use more than one processor, as it was at the first question.
#[must_use]
pub fn several_processors() -> bool {
    static SEVERAL: LazyLock<bool> =
        LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|n| n.get() > 1));
    *SEVERAL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_this_one() {
        let host = read_host();
        let told = |file| fs::read_to_string(file).unwrap().trim_end().to_owned();
        assert_eq!(host.kernel.raw(), told("/proc/sys/kernel/osrelease"));
        assert_eq!(host.hostname.raw(), told("/proc/sys/kernel/hostname"));
        let total = told("/proc/meminfo").lines().next().unwrap().to_owned();
        assert_eq!(total.split_whitespace().nth(1), Some((host.memory_bytes / 1024).to_string().as_str()));
        assert!(host.page_size.is_power_of_two() && host.page_size >= 4096);
    }

    #[test]
    fn the_capabilities_are_those_of_this_thread() {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let field = |name| status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_owned();
        let privileges = read_host().privileges;
        assert_eq!(privileges.effective, u64::from_str_radix(&field("CapEff:"), 16).unwrap());
        assert_eq!(field("Uid:").split_whitespace().nth(1), Some(privileges.euid.to_string().as_str()));
    }

    #[test]
    fn the_namespace_has_the_inode_that_the_kernel_shows() {
        let netns = current_netns();
        assert_eq!(fs::read_link(OWN).unwrap().to_str(), Some(format!("net:[{}]", netns.inode).as_str()));
        assert!(!netns.name.raw().is_empty());
    }

    #[test]
    fn a_name_is_found_by_what_is_mounted_under_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("other"), "").unwrap();
        fs::write(dir.path().join("mine"), "").unwrap();
        let mine = fs::metadata(dir.path().join("mine")).unwrap();
        let path = dir.path().to_str().unwrap();
        assert_eq!(mounted_name(path, (mine.st_dev(), mine.st_ino())), Some("mine".into()));
        assert_eq!(mounted_name(path, (mine.st_dev(), 0)), None);
        assert_eq!(mounted_name("/no/such/folder", (0, 0)), None);
    }
}
