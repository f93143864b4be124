//! The socket table out of `/proc/net/tcp` and `tcp6`, where `sock_diag` is not to be had.
//!
//! What this hides: cookies (so nothing can be followed from look to look, and a row that the kernel lists twice under
//! churn stays twice), the backlog and the drops of listeners, marks, interfaces, cgroups, which side has closed,
//! `tcp_info`, and sockets that are bound and not connected. Timers are there, in steps of 10 ms. It costs about twice as
//! much kernel time as a dump.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};

use crate::model::{Gap, Table};
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
    let mut malformed = append("/proc/thread-self/net/tcp", &mut table)?;
    match append("/proc/thread-self/net/tcp6", &mut table) {
        Ok(n) => malformed += n,
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mut gaps = vec![Gap::BoundInactiveHidden];
    if malformed > 0 {
        gaps.push(Gap::Malformed(malformed));
    }
    Ok((table, gaps))
}

/// Adds the rows of one file and returns how many lines made no sense.
fn append(path: &str, table: &mut Table) -> io::Result<u32> {
    let mut reader = BufReader::with_capacity(BUFFER, File::open(path)?);
    let mut line = Vec::with_capacity(256);
    reader.skip_until(b'\n')?;
    let mut malformed = 0;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(malformed);
        }
        match wire::tcp_line(line.trim_ascii_end()) {
            Some((mut row, origin)) => {
                row.origin = table.intern(origin);
                table.rows.push(row);
            }
            None => malformed += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

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
    fn bad_lines_are_counted_and_the_rest_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tcp");
        let good = "   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1412 1 0 100 0 0 10 0";
        std::fs::write(&path, format!("  sl  local_address\n{good}\nnonsense\n\u{fe}\n{good}\n")).unwrap();
        let mut table = Table::default();
        assert_eq!(append(path.to_str().unwrap(), &mut table).unwrap(), 2);
        assert_eq!(table.rows.len(), 2);
        assert_eq!(append("/no/such/file", &mut table).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
