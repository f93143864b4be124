//! `/proc/net/udp` and `udp6`: which sockets have dropped datagrams.

use std::io::Read;

use procfs::net::UdpNetEntries;
use procfs::{ExplicitSystemInfo, FromBufReadSI};

use super::proc_text::{decimal, fields, lines};
use crate::model::{Endpoint, UdpDrops};

/// The column `drops` counting from 0 (`udp4_format_sock` in `net/ipv4/udp.c`).
const DROPS: usize = 12;

/// Adds the sockets that have dropped anything, and returns how many lines made no sense.
pub fn udp_drops(text: &[u8], into: &mut Vec<UdpDrops>) -> u32 {
    let mut malformed = 0;
    for line in lines(text).skip(1) {
        // Most sockets never dropped anything: their addresses need not be read.
        match fields(line).nth(DROPS).and_then(decimal) {
            Some(0) => {}
            Some(drops) => match udp_line(line, drops) {
                Some(socket) => into.push(socket),
                None => malformed += 1,
            },
            None => malformed += 1,
        }
    }
    malformed
}

/// The procfs crate reads the addresses and leaves the drops out.
fn udp_line(line: &[u8], drops: u64) -> Option<UdpDrops> {
    let host = ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 100,
        page_size: 0,
        is_little_endian: cfg!(target_endian = "little"),
    };
    let ascii = line.is_ascii();
    // The crate skips a header, and gives up on a whole file at one bad line.
    let entries = UdpNetEntries::from_buf_read((&b"\n"[..]).chain(line), &host).ok().filter(|_| ascii)?;
    let entry = entries.0.into_iter().next()?;
    let endpoint = |at: std::net::SocketAddr| Endpoint { addr: at.ip().into(), port: at.port() };
    Some(UdpDrops {
        local: endpoint(entry.local_address),
        peer: endpoint(entry.remote_address),
        inode: u32::try_from(entry.inode & u64::from(u32::MAX)).unwrap_or(0),
        drops,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proc_text::testing::{mutated, noise};
    use super::*;

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
