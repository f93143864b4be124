//! Packets that the kernel drops.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::stage::Side;
use super::{Fault, Part};
use crate::lab::{NEAR_V4, Result};

const TICK: Duration = Duration::from_millis(50);

/// Packets whose source would be answered over another interface, under strict reverse-path filtering.
pub(super) fn rp_filter(f: &mut Fault) -> Result<()> {
    f.sysctl("net.ipv4.conf.all.rp_filter", "1")?;
    let elsewhere = IpAddr::from(Ipv4Addr::new(198, 51, 100, 7));
    // An ordinary address beside it, for the way to the near host.
    f.peer()?;
    f.far_alias(elsewhere)?;
    let mut socket = None;
    f.habit(Side::Far, TICK, move || {
        let socket = match &mut socket {
            Some(bound) => bound,
            none => none.insert(UdpSocket::bind((elsewhere, 0))?),
        };
        for _ in 0..5 {
            socket.send_to(b"hello", (NEAR_V4, 9999))?;
        }
        Ok(true)
    })?;
    f.tell(format!(
        "rp_filter is strict; 100 packets a second come from {elsewhere}, to which there is no way back"
    ));
    Ok(())
}

/// A program that does not read its datagrams fast enough, or at all.
pub(super) fn udp_overflow(f: &mut Fault) -> Result<()> {
    let at = SocketAddr::new(NEAR_V4.into(), 5140);
    f.cast("syslogd", Part::Deaf { at, buffer: 8 << 10 })?;
    f.note_service(at);
    let from = f.peer()?;
    let mut socket = None;
    f.habit(Side::Far, TICK, move || {
        let socket = match &mut socket {
            Some(bound) => bound,
            none => none.insert(UdpSocket::bind((from, 0))?),
        };
        for _ in 0..25 {
            socket.send_to(&[b'x'; 512], at)?;
        }
        Ok(true)
    })?;
    f.tell("syslogd on UDP port 5140 has a receive buffer of 8 KiB and does not read; 500 messages a second come in");
    Ok(())
}

/// A peer whose frames are larger than this interface takes.
pub(super) fn mtu_mismatch(f: &mut Fault) -> Result<()> {
    f.shrink_near_mtu(1000)?;
    let from = f.peer()?;
    let mut socket = None;
    f.habit(Side::Far, TICK, move || {
        let socket = match &mut socket {
            Some(bound) => bound,
            none => none.insert(UdpSocket::bind((from, 0))?),
        };
        for _ in 0..5 {
            socket.send_to(&[b'x'; 1400], (NEAR_V4, 9999))?;
        }
        Ok(true)
    })?;
    f.tell("the interface takes frames of 1000 bytes; 100 packets a second of 1400 bytes come in");
    Ok(())
}
