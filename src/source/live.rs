//! This machine, now.

use std::time::{Duration, Instant, SystemTime};

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, SocketType};

use super::dump::{Dumped, Dumper};
use super::{Source, SourceError, Wanted};
use crate::model::{
    Asked, Completeness, Gap, Host, Netns, Origin, RowFlags, Sample, SocketDetail, SocketRow, TableSource,
    Taken,
};
use crate::sys::FactsReader;
use crate::sys::diag::DiagSocket;
use crate::sys::{current_netns, read_host, read_procfs_table};
use crate::wire::inet_diag::decode_detail;
use crate::wire::request::exact;

/// How often the sysctls are read again: they are many files and change when a person changes them.
const SYSCTL_EVERY: Duration = Duration::from_secs(10);

/// What to look at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LiveOptions {
    /// Address families.
    pub wanted: Wanted,
}

/// The socket tables of the network namespace of the thread that made it.
pub struct Live {
    host: Host,
    netns: Netns,
    wanted: Wanted,
    /// The dumper, or why there is none.
    dumper: Result<Dumper, String>,
    facts: FactsReader,
    started: Instant,
}

impl Live {
    /// Opens the socket and learns what this kernel can show.
    #[must_use]
    pub fn open(options: LiveOptions) -> Self {
        let dumper = DiagSocket::open()
            .map(|socket| Dumper::new(socket, options.wanted, bound_probe(options.wanted).ok()))
            .map_err(|e| format!("opening a NETLINK_SOCK_DIAG socket: {e}"));
        Self {
            host: read_host(),
            netns: current_netns(),
            wanted: options.wanted,
            dumper,
            facts: FactsReader::new(SYSCTL_EVERY),
            started: Instant::now(),
        }
    }

    /// Asks the kernel for less from now on; samples may still hold more than was asked for.
    pub fn ask_for(&mut self, asked: Asked) {
        if let Ok(dumper) = &mut self.dumper {
            dumper.ask_for(asked);
        }
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
        let wanted = self.wanted;
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

impl Source for Live {
    fn host(&self) -> &Host {
        &self.host
    }

    fn look(&mut self) -> Result<Vec<Sample>, SourceError> {
        let taken = Taken {
            wall: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            mono: self.started.elapsed(),
        };
        let Dumped { table, listener_drops, completeness } = self.table()?;
        let dump_time = self.started.elapsed().saturating_sub(taken.mono);
        let facts = self.facts.read(taken.mono);
        Ok(vec![Sample {
            netns: self.netns.clone(),
            taken,
            dump_time,
            table,
            listener_drops,
            completeness,
            facts,
        }])
    }

    fn detail(&mut self, row: &SocketRow, origin: Origin) -> Option<SocketDetail> {
        let socket = self.dumper.as_mut().ok()?.socket();
        socket.ask(|seq| exact(row, origin.ifindex, seq), decode_detail).ok().flatten()
    }
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
