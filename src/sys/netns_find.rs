//! The network namespaces of the machine: those that a process is in, and those that a mount keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::host::NAMED;
use crate::model::{Cgroup, ForeignText, Netns};
use crate::wire;

/// How many namespaces are looked at; a host with more is named incomplete.
pub const MOST: usize = 4096;

/// A namespace and the way in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Inode and name.
    pub netns: Netns,
    /// What to open: a mount, or `/proc/PID/ns/net`.
    pub path: PathBuf,
}

/// The namespace behind a path: its inode, `None` if there is none or it may not be looked at.
#[must_use]
pub fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|m| m.st_ino())
}

/// The mount of a namespace by the name that `ip netns` or a container runtime gave it.
#[must_use]
pub fn by_name(name: &str) -> Option<Found> {
    let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let path = plain.then(|| NAMED.iter().map(|dir| Path::new(dir).join(name)).find(|p| p.exists()))??;
    Some(Found { netns: Netns { inode: inode(&path)?, name: name.into() }, path })
}

/// Every namespace that can be found, each once, with the calling thread's own first and the others by name. A namespace is
/// called after the container that its oldest process is in, if the cgroup of that one tells; else after its mount; else
/// after the systemd unit or the command of that process. Processes that
/// do not show their namespace (other users' without `CAP_SYS_PTRACE`) are counted in the second value.
#[must_use]
pub fn all(own: &Netns) -> (Vec<Found>, u32) {
    let mut found: BTreeMap<u64, Found> = BTreeMap::new();
    // Those of which no process was seen so far.
    let mut empty: BTreeSet<u64> = BTreeSet::new();
    for dir in NAMED {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if let Some(inode) = inode(&path) {
                let name = ForeignText::from_bytes(entry.file_name().as_encoded_bytes());
                found.entry(inode).or_insert(Found { netns: Netns { inode, name }, path });
                if inode != own.inode {
                    empty.insert(inode);
                }
            }
        }
    }
    let mut hidden = 0;
    for pid in pids() {
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        match fs::metadata(&path).map(|m| m.st_ino()) {
            // Runtimes name their mounts by numbers that say nothing; people's names are of namespaces without containers.
            Ok(inode) if empty.remove(&inode) => {
                let name = cgroup(pid).and_then(|c| c.container).map(|c| c.name);
                if let (Some(name), Some(found)) = (name, found.get_mut(&inode)) {
                    found.netns.name = name;
                }
            }
            Ok(inode) if found.contains_key(&inode) => {}
            Ok(inode) if found.len() < MOST => {
                let name = if inode == own.inode { own.name.clone() } else { name_by_process(pid) };
                found.insert(inode, Found { netns: Netns { inode, name }, path });
            }
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => hidden += 1,
            // Beyond what is looked at, or ended meanwhile.
            _ => {}
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by(|a, b| {
        let key = |f: &Found| (f.netns.inode != own.inode, f.netns.name.clone(), f.netns.inode);
        key(a).cmp(&key(b))
    });
    (found, hidden)
}

/// Process ids, ascending: the first process of a namespace names it, and that is most likely its oldest.
fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

fn cgroup(pid: u32) -> Option<Cgroup> {
    let text = fs::read(format!("/proc/{pid}/cgroup")).ok()?;
    wire::cgroup_path(&text).map(wire::cgroup)
}

/// The container of a process; else its unit or its command, with its id, because several namespaces can have one unit.
fn name_by_process(pid: u32) -> ForeignText {
    let cgroup = cgroup(pid);
    if let Some(container) = cgroup.as_ref().and_then(|c| c.container.as_ref()) {
        return container.name.clone();
    }
    let comm = || {
        ForeignText::from_bytes(fs::read(format!("/proc/{pid}/comm")).unwrap_or_default().trim_ascii_end())
    };
    let name = cgroup.and_then(|c| c.unit).unwrap_or_else(comm);
    ForeignText::from(format!("{}[{pid}]", name.raw()).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::current_netns;

    #[test]
    fn our_own_namespace_is_found_once_and_first() {
        let own = current_netns();
        let (found, _) = all(&own);
        assert_eq!(found[0].netns, own);
        assert_eq!(found.iter().filter(|f| f.netns.inode == own.inode).count(), 1);
    }

    #[test]
    fn a_name_is_no_path() {
        for name in ["", ".", "..", "../proc/self/ns/net", "a/b", "no-such-namespace"] {
            assert_eq!(by_name(name), None, "{name}");
        }
    }
}
