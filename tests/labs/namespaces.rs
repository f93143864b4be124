//! `--netns`: one other namespace, and all of them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tcptop::lab::Host;
use tcptop::model::Sample;
use tcptop::source::{LiveOptions, Many, Source, SourceError, Target};
use tcptop::sys::{current_netns, netns_find};

use crate::harness::{lab, skip};
use crate::tool;

const LISTENERS: usize = 50;
/// Making and ending one takes tens of milliseconds; the benchmark has more.
const SPACES: usize = 20;

/// A namespace with 50 listeners and a process inside, so that it can be found.
struct Inhabited {
    host: Host,
    sleeper: Child,
    listeners: Vec<TcpListener>,
}

impl Inhabited {
    fn new() -> Self {
        let host = Host::new().unwrap();
        let listen = || TcpListener::bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).unwrap();
        let listeners = host.run(|| (0..LISTENERS).map(|_| listen()).collect()).unwrap();
        let sleep = || Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let sleeper = host.run(sleep).unwrap();
        Self { host, sleeper, listeners }
    }

    fn inode(&self) -> u64 {
        rustix::fs::fstat(self.host.namespace()).unwrap().st_ino
    }
}

impl Drop for Inhabited {
    fn drop(&mut self) {
        let _ = self.sleeper.kill();
        let _ = self.sleeper.wait();
    }
}

/// How many descriptors of this process are called so.
fn open_here(name: &str) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    links.filter(|e| std::fs::read_link(e.path()).is_ok_and(|to| to.as_os_str() == name)).count()
}

/// How many sockets of each of these namespaces a look at all found.
fn seen(source: &mut Many, inodes: &[u64]) -> Vec<Option<usize>> {
    let samples = source.look().unwrap();
    // Nobody who looks at all namespaces has a socket of his own in another one.
    let sockets = |s: &Sample| s.table.rows.len();
    let of = |inode: &u64| samples.iter().find(|s| s.netns.inode == *inode).map(sockets);
    inodes.iter().map(of).collect()
}

#[test]
fn many_namespaces_are_found_and_looked_into_and_let_go() {
    lab(|| {
        let mut spaces: Vec<_> = (0..SPACES).map(|_| Inhabited::new()).collect();
        let inodes: Vec<_> = spaces.iter().map(Inhabited::inode).collect();
        let mut all = Many::new(Target::All, LiveOptions::default());
        assert_eq!(seen(&mut all, &inodes), vec![Some(LISTENERS); SPACES]);
        assert_eq!(seen(&mut all, &inodes), vec![Some(LISTENERS); SPACES]);
        let ours: Vec<_> = inodes.iter().map(|inode| open_here(&format!("net:[{inode}]"))).collect();
        assert_eq!(ours, vec![1; SPACES], "only the lab's own descriptor is held from look to look");
        // Other labs that run beside this one have their own.
        assert!(open_here("/dev/kmsg") < SPACES, "the kernel's log is read once for all");

        spaces.truncate(SPACES - 1);
        let late = Inhabited::new();
        let now = seen(&mut all, &[inodes[0], inodes[SPACES - 1], late.inode()]);
        assert_eq!(now, [Some(LISTENERS), None, Some(LISTENERS)]);
    });
}

/// A cgroup as Docker's cgroupfs driver makes it, with one process in it.
struct Container {
    folder: PathBuf,
    home: PathBuf,
    pid: u32,
}

impl Container {
    /// `None` where no cgroup can be made.
    fn with(pid: u32, id: &str) -> Option<Self> {
        // The hierarchy of systemd, the unified one beside it, the unified one alone.
        let roots = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let root = roots.iter().map(Path::new).find(|root| root.join("cgroup.procs").exists())?;
        let folder = root.join("docker").join(id);
        std::fs::create_dir_all(&folder).ok()?;
        let container = Self { folder, home: root.join("cgroup.procs"), pid };
        std::fs::write(container.folder.join("cgroup.procs"), pid.to_string()).ok()?;
        Some(container)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.home, self.pid.to_string());
        let _ = std::fs::remove_dir(&self.folder);
        // Stays if somebody else's containers are in it.
        let _ = self.folder.parent().map(std::fs::remove_dir);
    }
}

#[test]
fn a_namespace_is_called_after_the_container_in_it() {
    lab(|| {
        let space = Inhabited::new();
        let id = "4f2a9c31d7b0".repeat(6).split_at(64).0.to_owned();
        let Some(_container) = Container::with(space.sleeper.id(), &id) else {
            skip("namespaces::a_namespace_is_called_after_the_container_in_it", "no cgroup can be made");
            return;
        };
        let (found, _) = netns_find::all(&current_netns());
        let ours = found.iter().find(|f| f.netns.inode == space.inode()).unwrap();
        assert_eq!(ours.netns.name.raw(), "docker:4f2a9c31d7b0");
        let here = Host::new().unwrap();
        let listed = tool::list(&here, &["--netns", "docker:4f2a9c31d7b0"]);
        assert_eq!((listed.rows.len(), &listed.head["netns"]), (LISTENERS, &"docker:4f2a9c31d7b0".into()));
        assert_eq!(ours.path, Path::new(&format!("/proc/{}/ns/net", space.sleeper.id())));
    });
}

#[test]
fn a_namespace_can_be_named_by_process_and_by_path() {
    lab(|| {
        let space = Inhabited::new();
        let here = Host::new().unwrap();
        let pid = space.sleeper.id();
        let wanted: Vec<u16> = {
            let mut ports: Vec<_> = space.listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
            ports.sort_unstable();
            ports
        };
        for target in [pid.to_string(), format!("/proc/{pid}/ns/net")] {
            let listed = tool::list(&here, &["--netns", &target]);
            let port = |row: &Value| u16::try_from(row["local"]["port"].as_u64().unwrap()).unwrap();
            let mut found: Vec<_> = listed.rows.values().map(port).collect();
            found.sort_unstable();
            assert_eq!(found, wanted, "--netns {target}");
        }
    });
}

#[test]
fn details_come_from_the_namespace_of_the_socket() {
    lab(|| {
        let space = Inhabited::new();
        let mut source = Many::new(Target::Pid(space.sleeper.id()), LiveOptions::default());
        let sample = source.look().unwrap().remove(0);
        let row = sample.table.rows[0];
        let detail = source.detail(&row, sample.table.origin(&row)).unwrap();
        assert_eq!(detail.row.local_endpoint(), row.local_endpoint());
        assert!(detail.info.is_some());
    });
}

#[test]
fn a_namespace_whose_process_ended_is_gone() {
    lab(|| {
        let space = Inhabited::new();
        let pid = space.sleeper.id();
        let mut source = Many::new(Target::Pid(pid), LiveOptions::default());
        source.look().unwrap();
        drop(space);
        assert!(matches!(source.look(), Err(SourceError::Netns { .. })));
    });
}
