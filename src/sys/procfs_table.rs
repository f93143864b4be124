//! The socket tables out of `/proc/net/tcp`, `udp` and their brothers, where `sock_diag` is not to be had.
//!
//! What this hides: cookies (so nothing can be followed from look to look, and a row that the kernel lists twice under
//! churn stays twice), the backlog and the drops of listeners, marks, interfaces, cgroups, which side has closed,
//! `tcp_info`, and sockets that are bound and not connected. Timers are there, in steps of 10 ms. It costs about twice as
//! much kernel time as a dump.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};

use crate::model::{Gap, Origin, SkMemInfo, SocketRow, Table};
use crate::wire;

/// `seq_file` fills whatever it is given; fewer calls are cheaper.
const BUFFER: usize = 64 << 10;

/// Reads the TCP sockets of the calling thread's network namespace. The gaps are what these files never show and the
/// lines that made no sense; the caller adds why it had to read them.
///
/// # Errors
/// `/proc/thread-self/net/tcp` could not be read. A kernel without IPv6 has no `tcp6`, which is no error.
pub fn read_procfs_table() -> io::Result<(Table, Vec<Gap>)> {
    let mut table = Table::default();
    let malformed =
        both("tcp", |line| wire::tcp_line(line).map(|(row, origin)| add(&mut table, row, origin)))?;
    let mut gaps = vec![Gap::BoundInactiveHidden];
    gaps.extend((malformed > 0).then_some(Gap::Malformed(malformed)));
    Ok((table, gaps))
}

/// Reads the UDP sockets of the calling thread's network namespace with their drops; of their buffers these files say
/// nothing. The gaps are the lines that made no sense.
///
/// # Errors
/// `/proc/thread-self/net/udp` could not be read.
pub fn read_procfs_udp() -> io::Result<(Table, Vec<SkMemInfo>, Vec<Gap>)> {
    let mut table = Table::default();
    let mut memory = Vec::new();
    let malformed = both("udp", |line| {
        let (row, origin, drops) = wire::udp_line(line)?;
        memory.push(SkMemInfo { drops: Some(drops), ..SkMemInfo::default() });
        add(&mut table, row, origin);
        Some(())
    })?;
    let gaps = (malformed > 0).then_some(Gap::Malformed(malformed)).into_iter().collect();
    Ok((table, memory, gaps))
}

fn add(table: &mut Table, mut row: SocketRow, origin: Origin) {
    row.origin = table.intern(origin);
    table.rows.push(row);
}

/// Hands on the lines of the files of both families, and returns how many made no sense.
fn both(name: &str, mut take: impl FnMut(&[u8]) -> Option<()>) -> io::Result<u32> {
    let malformed = each_line(&format!("/proc/thread-self/net/{name}"), &mut take)?;
    match each_line(&format!("/proc/thread-self/net/{name}6"), &mut take) {
        Ok(more) => Ok(malformed + more),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(malformed),
        Err(e) => Err(e),
    }
}

/// Hands on the lines of one file after its header, and returns how many made no sense.
fn each_line(path: &str, take: &mut impl FnMut(&[u8]) -> Option<()>) -> io::Result<u32> {
    let mut reader = BufReader::with_capacity(BUFFER, File::open(path)?);
    let mut line = Vec::with_capacity(256);
    reader.skip_until(b'\n')?;
    let mut malformed = 0;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(malformed);
        }
        if take(line.trim_ascii_end()).is_none() {
            malformed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;
    use crate::model::{Endpoint, SocketRow, TcpState};

    fn with_local(table: &Table, local: Endpoint) -> Vec<SocketRow> {
        table.rows.iter().filter(|r| r.local_endpoint() == local).copied().collect()
    }

    #[test]
    fn a_listener_and_its_connection_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let client = TcpStream::connect(at).unwrap();
        let (table, gaps) = read_procfs_table().unwrap();
        assert_eq!(gaps, [Gap::BoundInactiveHidden]);
        let server = Endpoint { addr: at.ip().into(), port: at.port() };
        let rows = with_local(&table, server);
        let waiting = rows.iter().find(|r| r.state == TcpState::Listen).unwrap();
        assert_eq!(waiting.recv_q, 1, "one connection waits for accept()");
        assert!(rows.iter().any(|r| r.state == TcpState::Established && r.has_no_file()));
        let from = client.local_addr().unwrap();
        let rows = with_local(&table, Endpoint { addr: from.ip().into(), port: from.port() });
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(rows.iter().map(|r| table.origin(r).uid).collect::<Vec<_>>(), [uid]);
    }

    #[test]
    fn ipv6_is_in_the_same_table() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            eprintln!("SKIPPED: no IPv6 on this machine");
            return;
        };
        let at = listener.local_addr().unwrap();
        let (table, _) = read_procfs_table().unwrap();
        assert_eq!(with_local(&table, Endpoint { addr: at.ip().into(), port: at.port() }).len(), 1);
    }

    #[test]
    fn datagram_sockets_are_found_connected_or_not() {
        let bound = UdpSocket::bind("127.0.0.1:0").unwrap();
        let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
        connected.connect(bound.local_addr().unwrap()).unwrap();
        connected.send(&[7; 100]).unwrap();
        let (table, memory, gaps) = read_procfs_udp().unwrap();
        assert_eq!((gaps, memory.len()), (Vec::new(), table.rows.len()));
        let of = |socket: &UdpSocket| {
            let at = socket.local_addr().unwrap();
            with_local(&table, Endpoint { addr: at.ip().into(), port: at.port() })
        };
        let [bound] = of(&bound)[..] else { panic!("one") };
        assert!(bound.state == TcpState::Close && bound.recv_q >= 100, "{bound:?}");
        assert_eq!(of(&connected)[0].state, TcpState::Established);
    }

    #[test]
    fn bad_lines_are_counted_and_the_rest_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tcp");
        let good = "   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1412 1 0 100 0 0 10 0";
        std::fs::write(&path, format!("  sl  local_address\n{good}\nnonsense\n\u{fe}\n{good}\n")).unwrap();
        let mut rows = 0;
        let mut take = |line: &[u8]| wire::tcp_line(line).map(|_| rows += 1);
        assert_eq!(each_line(path.to_str().unwrap(), &mut take).unwrap(), 2);
        assert_eq!(each_line("/no/such/file", &mut take).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(rows, 2);
    }
}
