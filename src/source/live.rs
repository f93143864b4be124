//! This machine, now.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustc_hash::FxHashSet;
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, SocketType};

use super::dump::{Dumped, Dumper, Learned};
use super::udp::{self, Datagrams};
use super::{Source, SourceError, Wanted};
use crate::model::{
    Asked, Completeness, Facts, ForeignText, Gap, Host, KernelMessage, Netns, Origin, Protocol, Protocols,
    Reading, RowFlags, Sample, SocketDetail, SocketRow, Table, TableSource, Taken,
};
use crate::sys::FactsReader;
use crate::sys::diag::DiagSocket;
use crate::sys::{current_netns, read_host, read_procfs_table, several_processors};
use crate::wire::inet_diag::decode_detail;
use crate::wire::request::exact;

/// How often the sysctls are read again: they are many files and change when a person changes them.
const SYSCTL_EVERY: Duration = Duration::from_secs(10);

/// Since when two dumps can run at the same time. Decides how long a look takes and nothing else.
const TWO_DUMPS_SINCE: (u32, u32) = (6, 9);

/// What to look at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LiveOptions {
    /// Address families.
    pub wanted: Wanted,
    /// A look is waited for: two processors may be used where that makes it shorter.
    pub hurry: bool,
    /// Looks will be many: a BPF program may be loaded where that makes them cheaper.
    pub bpf: bool,
}

/// The socket tables of the network namespace of the thread that made it.
pub struct Live {
    host: Host,
    netns: Netns,
    options: LiveOptions,
    /// The dumper, or why there is none.
    dumper: Result<Dumper, String>,
    /// What the dumper had learned when it was closed.
    learned: Option<Learned>,
    asked: Asked,
    protocols: Protocols,
    facts: FactsReader,
    started: Instant,
}

impl Live {
    /// Opens the socket and learns what this kernel can show.
    #[must_use]
    pub fn open(options: LiveOptions) -> Self {
        let mut live = Self::closed(options, current_netns(), Instant::now());
        live.connect();
        if options.bpf {
            live.dumper = live.dumper.map(|dumper| dumper.with_shortcut(&live.host));
        }
        live
    }

    /// One that holds nothing of a namespace yet. Times of its samples are since `started`.
    pub(super) fn closed(options: LiveOptions, netns: Netns, started: Instant) -> Self {
        Self {
            host: read_host(),
            netns,
            options,
            dumper: Err("not connected".into()),
            learned: None,
            asked: Asked::default(),
            protocols: Protocols::default(),
            facts: FactsReader::new(SYSCTL_EVERY),
            started,
        }
    }

    /// The same with what was learned of this kernel in another namespace: no socket of ours need be seen in this one.
    pub(super) fn knowing(self, learned: Option<Learned>) -> Self {
        Self { learned: learned.map(Learned::of_the_kernel), ..self }
    }

    /// Takes what the kernel has logged from who reads it for several namespaces.
    pub(super) fn hear(&mut self, logged: Reading<Arc<[KernelMessage]>>) {
        self.facts.hear(logged);
    }

    /// What was learned of this kernel so far.
    pub(super) const fn learned(&self) -> Option<Learned> {
        self.learned
    }

    /// Opens the socket in the calling thread's namespace.
    pub(super) fn connect(&mut self) {
        let wanted = self.options.wanted;
        self.dumper = DiagSocket::open()
            .map(|socket| match self.learned {
                Some(learned) => Dumper::resume(socket, wanted, learned),
                None => Dumper::new(socket, wanted, bound_probe(wanted).ok()),
            })
            .map(|dumper| match self.second() {
                Some(second) => dumper.with_second(second, wanted),
                None => dumper,
            })
            .map_err(|e| format!("opening a NETLINK_SOCK_DIAG socket: {e}"));
        if let Ok(dumper) = &mut self.dumper {
            dumper.ask_for(self.asked.clone());
        }
    }

    /// A socket for a second processor, where there is a hurry and it is of use. Older kernels do not run two dumps at the
    /// same time, and two of them take longer than one.
    fn second(&self) -> Option<DiagSocket> {
        let useful = self.host.kernel_version().is_some_and(|v| v >= TWO_DUMPS_SINCE);
        (self.options.hurry && useful && several_processors()).then(DiagSocket::open)?.ok()
    }

    /// Lets go of the namespace: an open socket would keep it alive after its last process.
    pub(super) fn disconnect(&mut self) {
        if let Ok(dumper) = &self.dumper {
            self.learned = dumper.learned().or(self.learned);
        }
        self.dumper = Err("not connected".into());
        self.facts.close();
    }

    /// The table through `sock_diag`; the reason if that does not work at all.
    fn by_sock_diag(&mut self) -> Result<Dumped, String> {
        let dumper = self.dumper.as_mut().map_err(|why| why.clone())?;
        dumper.dump().map_err(|e| {
            let error = std::io::Error::from_raw_os_error(e.errno());
            // ENOENT: the tcp_diag module is not there and cannot be loaded (sock_load_diag_module).
            format!("asking sock_diag for TCP: {error}")
        })
    }

    fn table(&mut self) -> Result<Dumped, SourceError> {
        let sock_diag = match self.by_sock_diag() {
            Ok(dumped) => return Ok(dumped),
            Err(why) => why,
        };
        let (mut table, mut gaps) = read_procfs_table()
            .map_err(|e| SourceError::NoTable { sock_diag: sock_diag.clone(), procfs: e.to_string() })?;
        let wanted = self.options.wanted;
        table.rows.retain(|row| match wanted {
            Wanted::Both => true,
            Wanted::V4 => !row.flags.has(RowFlags::V6),
            Wanted::V6 => row.flags.has(RowFlags::V6),
        });
        gaps.insert(0, Gap::NoSockDiag(sock_diag));
        let completeness = Completeness { source: TableSource::Procfs, gaps, duplicates: 0 };
        Ok(Dumped { table, listener_drops: Vec::new(), completeness })
    }
}

impl Live {
    /// The UDP sockets as a sample of their own. It has the sysctls, without which a filter cannot tell who chose a port.
    fn datagrams(&mut self, taken: Taken, facts: &Facts) -> Sample {
        let begun = self.started.elapsed();
        let wanted = self.options.wanted;
        let socket = self.dumper.as_mut().map(Dumper::socket).map_err(|why| why.clone());
        let Datagrams { mut table, memory, completeness } = udp::read(socket, wanted);
        table.belongs_to(self.netns.inode);
        self.name_interfaces(&mut table);
        Sample {
            netns: self.netns.clone(),
            taken,
            dump_time: self.started.elapsed().saturating_sub(begun),
            protocol: Protocol::Udp,
            table,
            memory,
            udp: None,
            listener_drops: Vec::new(),
            completeness,
            facts: Facts { sysctls: facts.sysctls.clone(), ..Facts::default() },
        }
    }

    /// Asks what the interfaces are called that sockets are bound to: few, and one question each.
    fn name_interfaces(&mut self, table: &mut Table) {
        let Ok(dumper) = &mut self.dumper else { return };
        let socket = dumper.socket();
        let indices: FxHashSet<u32> = table.origins.iter().map(|o| o.ifindex).filter(|n| *n != 0).collect();
        let named = |n| Some((n, ForeignText::from(&*socket.interface(n)?)));
        table.interfaces = indices.into_iter().filter_map(named).collect();
    }

    /// No TCP table was asked for.
    fn nothing() -> Dumped {
        let completeness = Completeness { source: TableSource::SockDiag, gaps: Vec::new(), duplicates: 0 };
        Dumped { table: Table::default(), listener_drops: Vec::new(), completeness }
    }
}

impl Source for Live {
    fn ask_for(&mut self, asked: Asked) {
        if let Ok(dumper) = &mut self.dumper {
            dumper.ask_for(asked.clone());
        }
        self.asked = asked;
    }

    fn host(&self) -> &Host {
        &self.host
    }

    fn look(&mut self) -> Result<Vec<Sample>, SourceError> {
        let taken = Taken {
            wall: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            mono: self.started.elapsed(),
        };
        let dumped = if self.protocols.tcp { self.table()? } else { Self::nothing() };
        let Dumped { mut table, listener_drops, completeness } = dumped;
        let dump_time = self.started.elapsed().saturating_sub(taken.mono);
        table.belongs_to(self.netns.inode);
        self.name_interfaces(&mut table);
        let facts = self.facts.read(taken.mono);
        let udp = self.protocols.udp.then(|| Box::new(self.datagrams(taken, &facts)));
        Ok(vec![Sample {
            netns: self.netns.clone(),
            taken,
            dump_time,
            protocol: Protocol::Tcp,
            table,
            memory: Vec::new(),
            udp,
            listener_drops,
            completeness,
            facts,
        }])
    }

    fn watch(&mut self, protocols: Protocols) {
        self.protocols = protocols;
    }

    fn detail(&mut self, row: &SocketRow, origin: Origin) -> Option<SocketDetail> {
        ask(self.dumper.as_mut().ok()?.socket(), row, origin)
    }
}

/// Everything that the kernel says about one socket now.
pub(super) fn ask(socket: &mut DiagSocket, row: &SocketRow, origin: Origin) -> Option<SocketDetail> {
    socket.ask(|seq| exact(row, origin.ifindex, seq), decode_detail).ok().flatten()
}

/// A socket that is bound and not connected, of a family that is looked at. Whether the first dump lists it tells
/// whether this kernel lists such sockets at all (Linux 6.8); a dump for this alone would walk the whole table.
fn bound_probe(wanted: Wanted) -> rustix::io::Result<OwnedFd> {
    let family = if wanted == Wanted::V6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let probe = rustix::net::socket(family, SocketType::STREAM, None)?;
    if wanted == Wanted::V6 {
        rustix::net::bind(&probe, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0))?;
    } else {
        rustix::net::bind(&probe, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))?;
    }
    Ok(probe)
}
