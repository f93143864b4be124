//! Other network namespaces than our own: one that was named, or all.
//!
//! Nothing is held open from look to look, because an open socket or descriptor would keep a namespace alive after its
//! last process. A namespace is entered on a throw-away thread.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::dump::Learned;
use super::live::ask;
use super::{Live, LiveOptions, Source, SourceError};
use crate::model::{
    Asked, Host, KernelMessage, Netns, Origin, Protocols, Reading, Sample, SocketDetail, SocketRow,
    Unexamined,
};
use crate::sys::diag::DiagSocket;
use crate::sys::netns::NetNs;
use crate::sys::netns_find::{self, Found};
use crate::sys::{KernelLog, current_netns, read_host};

/// Which namespaces are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Every one that a process is in or a mount keeps.
    All,
    /// That of a process.
    Pid(u32),
    /// The one behind a path.
    Path(PathBuf),
    /// The one that `ip netns` or a container runtime mounted under a name.
    Name(String),
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.parse() {
            _ if text == "all" => Self::All,
            Ok(pid) => Self::Pid(pid),
            Err(_) if text.contains('/') => Self::Path(text.into()),
            Err(_) => Self::Name(text.into()),
        })
    }
}

/// What would help somebody who may not enter.
fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{error}; it takes root, or CAP_SYS_ADMIN and CAP_SYS_PTRACE")
        }
        io::ErrorKind::NotFound => format!("{error}; tcptop list --netns all shows those that there are"),
        _ => error.to_string(),
    }
}

/// Samples of the namespaces that were asked for.
pub struct Many {
    target: Target,
    options: LiveOptions,
    host: Host,
    own: Netns,
    started: Instant,
    /// What is remembered of each namespace, and the way in.
    spaces: FxHashMap<u64, (Live, PathBuf)>,
    /// What the kernel logs, read once a look for all of them: it is the one descriptor that is kept, and of no namespace.
    kernel_log: KernelLog,
    /// What the first namespace told of this kernel.
    learned: Option<Learned>,
    /// The socket that answers questions between two looks, and whose it is.
    asking: Option<(u64, DiagSocket)>,
    unexamined: Vec<Unexamined>,
    asked: Asked,
    protocols: Protocols,
}

impl Many {
    /// A source for `target`; nothing is opened yet.
    #[must_use]
    pub fn new(target: Target, options: LiveOptions) -> Self {
        // Two walks for each of many mostly small namespaces are more than one.
        let hurry = options.hurry && target != Target::All;
        Self {
            target,
            options: LiveOptions { hurry, ..options },
            host: read_host(),
            own: current_netns(),
            started: Instant::now(),
            spaces: FxHashMap::default(),
            kernel_log: KernelLog::default(),
            learned: None,
            asking: None,
            unexamined: Vec::new(),
            asked: Asked::default(),
            protocols: Protocols::default(),
        }
    }

    fn find(&mut self) -> Result<Vec<Found>, SourceError> {
        let one = |path: PathBuf, name: String| {
            let refused = |e: &io::Error| SourceError::Netns { name: name.clone(), why: advice(e) };
            std::fs::metadata(&path).map_err(|e| refused(&e))?;
            let inode = netns_find::inode(&path).unwrap_or(0);
            Ok(vec![Found { netns: Netns { inode, name: name.as_str().into() }, path }])
        };
        match &self.target {
            Target::Pid(pid) => one(format!("/proc/{pid}/ns/net").into(), format!("pid {pid}")),
            Target::Path(path) => one(path.clone(), path.display().to_string()),
            Target::Name(name) if *name == self.own.name.raw() => {
                one("/proc/thread-self/ns/net".into(), name.clone())
            }
            // The name of a mount, or what a namespace is called after its container.
            Target::Name(name) => {
                netns_find::by_name(name).or_else(|| self.called(name)).map(|f| vec![f]).ok_or_else(|| {
                    let error = io::Error::from(io::ErrorKind::NotFound);
                    SourceError::Netns { name: name.clone(), why: advice(&error) }
                })
            }
            Target::All => {
                let (found, hidden) = netns_find::all(&self.own);
                if hidden > 0 {
                    let whose =
                        if hidden == 1 { "process does not show its" } else { "processes do not show their" };
                    let reason = format!("{hidden} {whose} namespace; it takes root, or CAP_SYS_PTRACE");
                    let netns = Netns { inode: 0, name: "others".into() };
                    self.unexamined.push(Unexamined { netns, reason });
                }
                Ok(found)
            }
        }
    }

    fn called(&self, name: &str) -> Option<Found> {
        netns_find::all(&self.own).0.into_iter().find(|f| f.netns.name.raw() == name)
    }

    fn look_into(
        &mut self,
        found: &Found,
        logged: &Reading<Arc<[KernelMessage]>>,
    ) -> io::Result<Result<Vec<Sample>, SourceError>> {
        let inode = found.netns.inode;
        let (options, started, netns, learned) = (self.options, self.started, &found.netns, self.learned);
        let (live, path) = self.spaces.entry(inode).or_insert_with(|| {
            (Live::closed(options, netns.clone(), started).knowing(learned), found.path.clone())
        });
        path.clone_from(&found.path);
        live.ask_for(self.asked.clone());
        live.watch(self.protocols);
        live.hear(logged.clone());
        let samples = enter(path, inode, self.own.inode, || {
            live.connect();
            let samples = live.look();
            live.disconnect();
            samples
        });
        self.learned = self.learned.or(live.learned());
        samples
    }
}

/// Runs `work` in the namespace behind `path`, if it is still the one with this inode. The `own` one needs no entering,
/// and so none of the privileges that `setns` asks for.
fn enter<T: Send>(path: &Path, inode: u64, own: u64, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    if inode == own {
        return Ok(work());
    }
    let namespace = NetNs::open(path)?;
    if rustix::fs::fstat(&namespace)?.st_ino != inode {
        return Err(io::Error::other("its process has ended"));
    }
    namespace.run(work)
}

impl Source for Many {
    fn host(&self) -> &Host {
        &self.host
    }

    fn look(&mut self) -> Result<Vec<Sample>, SourceError> {
        self.asking = None;
        self.unexamined.clear();
        let found = self.find()?;
        self.spaces.retain(|inode, _| found.iter().any(|f| f.netns.inode == *inode));
        let mut samples = Vec::new();
        let logged = self.kernel_log.read();
        for place in &found {
            let why = match self.look_into(place, &logged) {
                Ok(Ok(some)) => {
                    samples.extend(some);
                    continue;
                }
                Ok(Err(e)) => e.to_string(),
                Err(e) => advice(&e),
            };
            self.unexamined.push(Unexamined { netns: place.netns.clone(), reason: why });
        }
        if samples.is_empty() {
            // What cannot be named says least.
            let first = self.unexamined.iter().max_by_key(|u| u.netns.inode != 0);
            return Err(SourceError::Netns {
                name: first.map_or_else(|| "all".into(), |u| u.netns.name.to_string()),
                why: first.map_or_else(|| "no namespace was found".into(), |u| u.reason.clone()),
            });
        }
        Ok(samples)
    }

    fn detail(&mut self, row: &SocketRow, origin: Origin) -> Option<SocketDetail> {
        let netns = origin.netns;
        if self.asking.as_ref().is_none_or(|(inode, _)| *inode != netns) {
            let (_, path) = self.spaces.get(&netns)?;
            let socket = enter(path, netns, self.own.inode, DiagSocket::open).ok()?.ok()?;
            self.asking = Some((netns, socket));
        }
        ask(&mut self.asking.as_mut()?.1, row, origin)
    }

    fn ask_for(&mut self, asked: Asked) {
        self.asked = asked;
    }

    fn watch(&mut self, protocols: Protocols) {
        self.protocols = protocols;
    }

    fn unexamined(&self) -> &[Unexamined] {
        &self.unexamined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_word_a_number_a_path_or_a_name() {
        let parse = |text: &str| text.parse::<Target>().unwrap_or_else(|never| match never {});
        assert_eq!(parse("all"), Target::All);
        assert_eq!(parse("4711"), Target::Pid(4711));
        assert_eq!(parse("/run/netns/a"), Target::Path("/run/netns/a".into()));
        assert_eq!(parse("web"), Target::Name("web".into()));
    }

    #[test]
    fn a_namespace_that_is_not_there_is_said_so() {
        for target in [Target::Pid(u32::MAX), Target::Name("no-such".into()), Target::Path("/no/such".into())]
        {
            let e = Many::new(target, LiveOptions::default()).look().unwrap_err();
            assert!(e.to_string().contains("--netns all"), "{e}");
        }
    }
}
