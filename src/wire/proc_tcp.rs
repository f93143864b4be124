//! One line of `/proc/net/tcp` or `tcp6`, for kernels without `sock_diag`.
//!
//! The procfs crate reads addresses, state, queues, user and inode. It leaves out the timer, without which keepalive
//! is unknown, so the timer's fields are read here.

use std::io::Read;
use std::net::SocketAddr;

use procfs::net::{TcpNetEntries, TcpNetEntry};
use procfs::{ExplicitSystemInfo, FromBufReadSI};

use super::proc_text::{decimal, fields, hexadecimal};
use crate::model::{Endpoint, Origin, RowFlags, SocketRow, TcpState, TimerKind};

/// Times in `/proc/net/tcp` are in `USER_HZ`, 100 on every architecture that is left.
const MS_PER_TICK: u64 = 10;

/// A socket of one line (not the header), `None` if the line makes no sense. The cookie is 0, and so is the backlog of
/// a listener. Of a half-open request only the SYN-ACKs that a timeout repeated are counted (`get_openreq4` prints
/// `num_timeout`), where `sock_diag` counts those that a repeated SYN called for as well.
#[must_use]
pub fn tcp_line(line: &[u8]) -> Option<(SocketRow, Origin)> {
    let entry = entry(line)?;
    let (local, peer) = (endpoint(entry.local_address), endpoint(entry.remote_address));
    let mut row = SocketRow::new(TcpState::from_kernel(entry.state.to_u8())?, local, peer);
    row.recv_q = entry.rx_queue;
    row.send_q = entry.tx_queue;
    // sock_diag tells the lower 32 bits as well.
    row.inode = u32::try_from(entry.inode & u64::from(u32::MAX)).unwrap_or(0);
    timer(line, &mut row)?;
    if entry.local_address.is_ipv6() {
        row.flags = RowFlags::V6;
        if local.addr.is_v4() {
            row.flags = row.flags.with(RowFlags::MAPPED);
        }
    }
    let is_request = row.state == TcpState::SynRecv && row.inode == 0;
    if row.timer() != TimerKind::TimeWait && !is_request {
        row.flags = row.flags.with(RowFlags::FULL);
    }
    Some((row, Origin { uid: entry.uid, ..Origin::default() }))
}

fn entry(line: &[u8]) -> Option<TcpNetEntry> {
    // The crate gives up on the whole file at one bad line, so it gets one at a time, after a header that it skips.
    let host = ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 1000 / MS_PER_TICK,
        page_size: 0,
        is_little_endian: cfg!(target_endian = "little"),
    };
    let one_line = line.is_ascii() && !line.contains(&b'\n');
    let entries = TcpNetEntries::from_buf_read((&b"\n"[..]).chain(line), &host).ok().filter(|_| one_line)?;
    entries.0.into_iter().next()
}

fn endpoint(at: SocketAddr) -> Endpoint {
    Endpoint { addr: at.ip().into(), port: at.port() }
}

/// `tr:tm->when`, `retrnsmt` and `timeout`: the same timer, in the same order of preference, as `idiag_timer`
/// (`get_tcp4_sock` in `net/ipv4/tcp_ipv4.c`).
fn timer(line: &[u8], row: &mut SocketRow) -> Option<()> {
    let mut fields = fields(line).skip(5);
    let pending = fields.next()?;
    let colon = pending.iter().position(|b| *b == b':')?;
    let (kind, when) = pending.split_at_checked(colon)?;
    row.timer_raw = u8::try_from(hexadecimal(kind)?).ok()?;
    let ticks = hexadecimal(when.get(1..)?)?;
    row.expires_ms = u32::try_from(ticks.saturating_mul(MS_PER_TICK)).unwrap_or(u32::MAX);
    let retransmits = hexadecimal(fields.next()?)?;
    let _uid = fields.next()?;
    let probes = decimal(fields.next()?)?;
    let retrans = match row.timer() {
        TimerKind::Keepalive | TimerKind::Probe => probes,
        _ => retransmits,
    };
    row.retrans = u8::try_from(retrans).unwrap_or(u8::MAX);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proc_text::testing::{mutated, noise};
    use super::*;
    use crate::model::KeepaliveSeen;

    const LISTEN: &str = "   0: 00000000:07E8 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 1412 1 00000000bc59ce44 100 0 0 10 0                      ";
    const KEEPALIVE: &str = "   1: 0500000A:01BB 0909000A:C93A 01 00000010:00000020 02:00000BB8 00000007    33        2 336879672 2 0000000000000000 20 4 30 10 -1";
    const RETRANSMIT: &str = "   2: 0500000A:01BB 0909000A:C93A 01 00000010:00000000 01:00000014 00000003    33        0 9 2 0000000000000000 20 4 30 10 -1";
    const TIME_WAIT: &str = "   3: 0500000A:01BB 0909000A:C93A 05 00000000:00000000 03:00001770 00000000     0        0 0 3 0000000000000000";
    const REQUEST: &str = "   4: 0500000A:01BB 0909000A:C93A 03 00000000:00000000 01:00000064 00000002     0        0 0 1 0000000000000000";
    const MAPPED: &str = "   5: 0000000000000000FFFF00000500000A:01BB 0000000000000000FFFF00000909000A:C93A 01 00000000:00000000 00:00000000 00000000     0        0 77 1 0000000000000000 20 4 30 10 -1";

    fn row(line: &str) -> SocketRow {
        tcp_line(line.as_bytes()).unwrap().0
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn addresses_queues_and_owner_are_read() {
        let (row, origin) = tcp_line(KEEPALIVE.as_bytes()).unwrap();
        assert_eq!(row.local_endpoint().to_string(), "10.0.0.5:443");
        assert_eq!(row.peer_endpoint().to_string(), "10.0.9.9:51514");
        assert_eq!((row.send_q, row.recv_q, row.inode, row.cookie()), (16, 32, 336_879_672, 0));
        assert_eq!(origin, Origin { uid: 33, ..Origin::default() });
        assert_eq!(row.flags, RowFlags::FULL);
    }

    #[test]
    fn each_timer_has_its_own_count() {
        assert_eq!(row(KEEPALIVE).keepalive_seen(), KeepaliveSeen::Armed { in_ms: 30_000, unanswered: 2 });
        let retransmit = row(RETRANSMIT);
        assert_eq!(
            (retransmit.timer(), retransmit.expires_ms, retransmit.retrans),
            (TimerKind::Retransmit, 200, 3)
        );
        assert_eq!(retransmit.keepalive_seen(), KeepaliveSeen::Masked);
        assert_eq!(row(MAPPED).keepalive_seen(), KeepaliveSeen::NotArmed);
    }

    #[test]
    fn mini_sockets_are_not_full_ones() {
        let orphan = row(TIME_WAIT);
        assert_eq!(
            (orphan.state, orphan.timer(), orphan.expires_ms),
            (TcpState::FinWait2, TimerKind::TimeWait, 60_000)
        );
        assert!(!orphan.flags.has(RowFlags::FULL));
        let request = row(REQUEST);
        assert_eq!((request.state, request.retrans), (TcpState::SynRecv, 2));
        assert!(!request.flags.has(RowFlags::FULL));
    }

    #[test]
    fn a_listener_has_a_queue_and_no_backlog() {
        let listener = row(LISTEN);
        assert_eq!((listener.state, listener.recv_q, listener.send_q), (TcpState::Listen, 3, 0));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_mapped_peer_is_the_ipv4_peer() {
        let mapped = row(MAPPED);
        assert_eq!(mapped.peer, row(KEEPALIVE).peer);
        assert!(mapped.flags.has(RowFlags::V6.with(RowFlags::MAPPED)));
    }

    #[test]
    fn a_time_beyond_what_is_counted_is_the_longest() {
        let bogus = KEEPALIVE.replace("02:00000BB8", "02:FFFFFFFFFFFFFFFF");
        assert_eq!(row(&bogus).expires_ms, u32::MAX);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in ["", "x", "0: 1 2 3", &KEEPALIVE.replace(" 01 ", " 0D "), &KEEPALIVE.replace("02:", "02")]
        {
            assert_eq!(tcp_line(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(tcp_line(format!("{KEEPALIVE}\n{KEEPALIVE}").as_bytes()), None, "two lines");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(line in prop_oneof![noise(), mutated(LISTEN), mutated(KEEPALIVE), mutated(MAPPED)]) {
            if let Some((row, _)) = tcp_line(&line) {
                prop_assert_eq!(row.cookie(), 0);
                prop_assert!(line.is_ascii());
            }
        }
    }
}
