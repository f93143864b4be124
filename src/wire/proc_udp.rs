//! `/proc/net/udp` and `udp6`: which sockets have dropped datagrams, and the whole table for kernels without `udp_diag`.

use super::proc_tcp::tcp_line;
use super::proc_text::{decimal, fields, lines};
use crate::model::{Origin, SocketRow, UdpDrops};

/// The column `drops` counting from 0 (`udp4_format_sock` in `net/ipv4/udp.c`).
const DROPS: usize = 12;

/// A socket of one line (not the header) with its drops, `None` if the line makes no sense. The cookie is 0.
#[must_use]
pub fn udp_line(line: &[u8]) -> Option<(SocketRow, Origin, u32)> {
    let drops = fields(line).nth(DROPS).and_then(decimal)?;
    // The columns before are those of /proc/net/tcp.
    let (row, origin) = tcp_line(line)?;
    Some((row, origin, u32::try_from(drops).unwrap_or(u32::MAX)))
}

/// Adds the sockets that have dropped anything, and returns how many lines made no sense.
pub fn udp_drops(text: &[u8], into: &mut Vec<UdpDrops>) -> u32 {
    let mut malformed = 0;
    for line in lines(text).skip(1) {
        // Most sockets never dropped anything: their addresses need not be read.
        match fields(line).nth(DROPS).and_then(decimal) {
            Some(0) => {}
            Some(drops) => match udp_line(line) {
                Some((row, ..)) => into.push(UdpDrops {
                    local: row.local_endpoint(),
                    peer: row.peer_endpoint(),
                    inode: row.inode,
                    drops,
                }),
                None => malformed += 1,
            },
            None => malformed += 1,
        }
    }
    malformed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proc_text::testing::{mutated, noise};
    use super::*;
    use crate::model::{Endpoint, TcpState};

    const UDP: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops            
 4051: 0100007F:1414 00000000:0000 07 00000000:00002600 00:00000000 00000000     0        0 175563 2 00000000a39f0b84 47           
 4052: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 17 2 00000000a39f0b85 0            
";

    fn parse(text: &[u8]) -> (Vec<UdpDrops>, u32) {
        let mut into = Vec::new();
        let malformed = udp_drops(text, &mut into);
        (into, malformed)
    }

    #[test]
    fn only_sockets_that_dropped_are_named() {
        let local: std::net::SocketAddr = "127.0.0.1:5140".parse().unwrap();
        let local = Endpoint { addr: local.ip().into(), port: local.port() };
        let (got, malformed) = parse(UDP.as_bytes());
        assert_eq!((got.len(), malformed), (1, 0));
        assert_eq!((got[0].local, got[0].inode, got[0].drops), (local, 175_563, 47));
    }

    #[test]
    fn every_socket_is_read_with_its_drops() {
        let rows: Vec<_> = lines(UDP.as_bytes()).skip(1).filter_map(udp_line).collect();
        let [(syslog, _, drops), (dhcp, _, none)] = rows[..] else { panic!("{rows:?}") };
        assert_eq!(
            (syslog.state, syslog.recv_q, syslog.inode, drops),
            (TcpState::Close, 0x2600, 175_563, 47)
        );
        assert_eq!((dhcp.local_endpoint().to_string(), none), ("0.0.0.0:68".to_owned(), 0));
        assert!(udp_line(b"").is_none());
    }

    #[test]
    fn a_line_that_makes_no_sense_is_counted_and_costs_no_other() {
        let (got, malformed) =
            parse(format!("{UDP}  1: zz:1 yy:2 07 0:0 0:0 0 0 0 1 2 x 9\nshort\n").as_bytes());
        assert_eq!((got.len(), malformed), (1, 2));
        assert_eq!(parse(b""), (vec![], 0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(text in prop_oneof![noise(), mutated(UDP)]) {
            let (got, malformed) = parse(&text);
            prop_assert!(got.len() + malformed as usize <= lines(&text).count());
            prop_assert!(got.iter().all(|s| s.drops > 0));
        }
    }
}
