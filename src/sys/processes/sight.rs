//! What of the machine's processes this program can see at all.

use std::fs::File;
use std::io::BufReader;
use std::os::linux::fs::MetadataExt;

use procfs::FromBufRead;
use procfs::process::MountInfos;

use crate::sys::read_host;

/// Inode of the machine's first PID namespace (`PROC_PID_INIT_INO` in `include/linux/proc_ns.h`).
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// What cannot be seen at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// `/proc` does not even list other users' processes.
    pub(super) hidepid: bool,
    /// This program has the capabilities to look into every process.
    pub(super) privileged: bool,
    /// Only the processes of a PID namespace below the first are listed.
    pub(super) nested_pids: bool,
}

impl Sight {
    pub(super) fn look() -> Self {
        let privileged = read_host().privileges.sees_all_processes();
        let namespace = std::fs::metadata("/proc/self/ns/pid").map(|m| m.st_ino());
        Self {
            hidepid: !privileged && is_hidden(),
            privileged,
            nested_pids: namespace.is_ok_and(|inode| inode != FIRST_PID_NAMESPACE),
        }
    }
}

/// Whether `/proc` is mounted with `hidepid` (proc(5)) and our groups are not exempt from it.
fn is_hidden() -> bool {
    let Ok(file) = File::open("/proc/self/mountinfo") else { return false };
    let Ok(MountInfos(mounts)) = MountInfos::from_buf_read(BufReader::new(file)) else { return false };
    let Some(proc) = mounts.iter().rfind(|m| m.mount_point.as_os_str() == "/proc" && m.fs_type == "proc")
    else {
        return false;
    };
    let option = |name: &str| proc.super_options.get(name).and_then(Option::as_deref);
    let hides = option("hidepid").is_some_and(|mode| !matches!(mode, "0" | "off"));
    let exempt = option("gid").and_then(|gid| gid.parse().ok()).is_some_and(|gid: u32| {
        let groups = rustix::process::getgroups().unwrap_or_default();
        groups.iter().any(|g| g.as_raw() == gid) || rustix::process::getegid().as_raw() == gid
    });
    hides && !exempt
}
