//! The UDP table of one look.

use rustc_hash::FxHashMap;

use super::Wanted;
use crate::model::{Completeness, Gap, RowFlags, SkMemInfo, Table, TableSource};
use crate::sys::diag::{DiagSocket, DumpError};
use crate::sys::read_procfs_udp;
use crate::wire::inet_diag::decode_datagram;
use crate::wire::request::{Families, udp_dump};

/// What a dump of the UDP sockets brought.
#[derive(Debug)]
pub(super) struct Datagrams {
    pub(super) table: Table,
    pub(super) memory: Vec<SkMemInfo>,
    pub(super) completeness: Completeness,
}

/// The UDP sockets of a namespace through `sock_diag`, else out of `/proc/net/udp`, which shows neither buffers nor
/// cookies. A table that cannot be read at all is empty, with the reason.
pub(super) fn read(socket: Result<&mut DiagSocket, String>, wanted: Wanted) -> Datagrams {
    let why = match socket.and_then(|socket| dump(socket, wanted).map_err(|e| reason(&e))) {
        Ok(datagrams) => return datagrams,
        Err(why) => why,
    };
    let (mut table, memory, mut gaps) = read_procfs_udp().unwrap_or_else(|e| {
        (Table::default(), Vec::new(), vec![Gap::NoSockDiag(format!("reading /proc/net/udp: {e}"))])
    });
    gaps.insert(0, Gap::NoSockDiag(why));
    let kept = |flags: RowFlags| match wanted {
        Wanted::Both => true,
        Wanted::V4 => !flags.has(RowFlags::V6),
        Wanted::V6 => flags.has(RowFlags::V6),
    };
    let rows = std::mem::take(&mut table.rows);
    let (rows, memory) = rows.into_iter().zip(memory).filter(|(row, _)| kept(row.flags)).unzip();
    table.rows = rows;
    let completeness = Completeness { source: TableSource::Procfs, gaps, duplicates: 0 };
    Datagrams { table, memory, completeness }
}

fn reason(error: &DumpError) -> String {
    // ENOENT: the udp_diag module is not there and cannot be loaded (sock_load_diag_module).
    format!("asking sock_diag for UDP: {}", std::io::Error::from_raw_os_error(error.errno()))
}

fn dump(socket: &mut DiagSocket, wanted: Wanted) -> Result<Datagrams, DumpError> {
    let mut table = Table::default();
    let mut memory = Vec::new();
    let mut gaps = Vec::new();
    let (mut duplicates, mut malformed) = (0, 0);
    // The kernel resumes at a place in a hash chain, so a socket can come twice (udp_dump in net/ipv4/udp_diag.c).
    let mut places: FxHashMap<u64, usize> = FxHashMap::default();
    for families in match wanted {
        Wanted::Both => &[Families::V4, Families::V6][..],
        Wanted::V4 => &[Families::V4],
        Wanted::V6 => &[Families::V6],
    } {
        let take = |payload: &[u8]| {
            let Some((mut row, origin, mem)) = decode_datagram(payload) else {
                malformed += 1;
                return;
            };
            row.origin = table.intern(origin);
            let mem = mem.unwrap_or_default();
            let next = table.rows.len();
            let at = *places.entry(row.cookie()).or_insert(next);
            if let (Some(old), Some(was)) = (table.rows.get_mut(at), memory.get_mut(at)) {
                (*old, *was) = (row, mem);
                duplicates += 1;
            } else {
                table.rows.push(row);
                memory.push(mem);
            }
        };
        match socket.dump(|seq| udp_dump(*families, seq), take) {
            Ok(report) => gaps.extend(report.gaps),
            Err(e) if table.rows.is_empty() => return Err(e),
            Err(e) => gaps.push(Gap::DumpFailed { what: "UDP sockets", errno: e.errno() }),
        }
    }
    gaps.dedup();
    if malformed > 0 {
        gaps.push(Gap::Malformed(malformed));
    }
    let completeness = Completeness { source: TableSource::SockDiag, gaps, duplicates };
    Ok(Datagrams { table, memory, completeness })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::model::TcpState;

    #[test]
    fn both_ways_of_reading_bring_the_same_socket() {
        let bound = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(&[7; 100], bound.local_addr().unwrap()).unwrap();
        let port = bound.local_addr().unwrap().port();
        let mut socket = DiagSocket::open().unwrap();
        let found = |datagrams: &Datagrams| {
            let at = datagrams.table.rows.iter().position(|r| r.local_port == port).unwrap();
            let (row, mem) = (datagrams.table.rows[at], datagrams.memory[at]);
            assert!(
                datagrams.completeness.is_complete() || datagrams.completeness.source == TableSource::Procfs
            );
            (row.state, row.recv_q, row.inode, mem.drops, mem.rcvbuf)
        };
        let asked = found(&read(Ok(&mut socket), Wanted::Both));
        let (state, queued, inode, drops, rcvbuf) = asked;
        assert_eq!((state, drops), (TcpState::Close, Some(0)));
        assert!(queued >= 100 && rcvbuf > 0 && inode > 0);
        let without = read(Err("no".into()), Wanted::Both);
        assert_eq!(found(&without), (state, queued, inode, drops, 0));
        assert_eq!(without.completeness.gaps, [Gap::NoSockDiag("no".into())]);
        let v6 = read(Ok(&mut socket), Wanted::V6);
        assert!(v6.table.rows.iter().all(|r| r.flags.has(RowFlags::V6)));
    }
}
