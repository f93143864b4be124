//! Cgroups by their v2 id, which is the inode of their directory.

use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use procfs::FromBufRead;
use rustc_hash::FxHashMap;

use crate::model::Cgroup;
use crate::wire;

/// More cgroups than any machine has; a bound for one that does.
const MOST: usize = 65_536;
/// How long an id that was not found is not looked for again: its cgroup has ended, or is outside of our mount.
const PATIENCE: Duration = Duration::from_secs(10);

/// The cgroups of the unified hierarchy, walked only when an id is asked for that is not known.
#[derive(Debug)]
pub(super) struct Cgroups {
    root: Option<PathBuf>,
    by_id: Arc<FxHashMap<u64, Arc<Cgroup>>>,
    walked: Option<Instant>,
}

impl Cgroups {
    pub(super) fn new() -> Self {
        Self { root: unified_mount(), by_id: Arc::default(), walked: None }
    }

    /// The cgroups that are known, after looking for `wanted` if need be.
    pub(super) fn find(&mut self, wanted: &[u64]) -> Arc<FxHashMap<u64, Arc<Cgroup>>> {
        let all_known = wanted.iter().all(|id| self.by_id.contains_key(id));
        let due = self.walked.is_none_or(|at| at.elapsed() >= PATIENCE);
        if !all_known && due {
            self.walked = Some(Instant::now());
            if let Some(root) = &self.root {
                self.by_id = Arc::new(walk(root));
            }
        }
        Arc::clone(&self.by_id)
    }
}

/// Where cgroup v2 is mounted: `/sys/fs/cgroup`, or beside the controllers of v1.
fn unified_mount() -> Option<PathBuf> {
    let file = std::fs::File::open("/proc/self/mountinfo").ok()?;
    let mounts = procfs::process::MountInfos::from_buf_read(std::io::BufReader::new(file)).ok()?;
    mounts.0.into_iter().find(|m| m.fs_type == "cgroup2").map(|m| m.mount_point)
}

fn walk(root: &Path) -> FxHashMap<u64, Arc<Cgroup>> {
    let mut found = FxHashMap::default();
    let mut left = vec![root.to_path_buf()];
    while let Some(dir) = left.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&dir) else { continue };
        let path = dir.strip_prefix(root).unwrap_or(&dir);
        let path = [b"/", path.as_os_str().as_encoded_bytes()].concat();
        found.insert(meta.st_ino(), Arc::new(wire::cgroup(&path)));
        if found.len() + left.len() >= MOST {
            continue;
        }
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        left.extend(entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_known_by_their_inodes() {
        let dir = tempfile::tempdir().unwrap();
        let nested = dir.path().join("system.slice/nginx.service");
        std::fs::create_dir_all(&nested).unwrap();
        std::fs::write(dir.path().join("cgroup.procs"), "").unwrap();
        let found = walk(dir.path());
        let of = |path: &Path| &found[&std::fs::metadata(path).unwrap().st_ino()];
        assert_eq!(of(&nested).path.raw(), "/system.slice/nginx.service");
        assert_eq!(of(&nested).unit.as_ref().unwrap().raw(), "nginx.service");
        assert_eq!(of(dir.path()).path.raw(), "/");
        assert_eq!(found.len(), 3);
    }
}
