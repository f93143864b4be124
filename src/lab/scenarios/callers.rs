//! Faults of clients on the near host.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use super::stage::Side;
use super::{Conduct, Fault, Part};
use crate::lab::{FAR_MAC, NEAR_V4, NOWHERE, Opt, Result};
use crate::sys::rtnl::Rtnl;

fn call(to: Vec<SocketAddr>, times: u32, conduct: Conduct) -> Part {
    Part::Call { to, from: None, times, wait: true, opts: vec![], conduct }
}

/// Every ephemeral port towards one database is used.
pub(super) fn ports_exhausted(f: &mut Fault) -> Result<()> {
    f.sysctl("net.ipv4.ip_local_port_range", "40000 40999")?;
    let database = f.peer()?;
    let database = f.far_service(database, 3306, &[])?;
    f.cast("order-service", call(vec![database], 2000, Conduct::Ignore))?;
    f.tell(format!(
        "order-service opened connections to {database} until no port was left; the range is 40000 to 40999"
    ));
    Ok(())
}

/// Four in five of the reserved ports are used.
pub(super) fn privileged_ports(f: &mut Fault) -> Result<()> {
    let server = f.peer()?;
    let server = f.far_service(server, 2049, &[])?;
    let from = Some(SocketAddr::new(NEAR_V4.into(), 512));
    let part =
        Part::Call { to: vec![server], from, times: 480, wait: true, opts: vec![], conduct: Conduct::Ignore };
    f.cast("nfs-client", part)?;
    f.tell(format!("nfs-client holds 480 connections to {server} from the ports 512 to 991"));
    Ok(())
}

/// A client that tried its own port until it met itself, and one on the port of a service.
pub(super) fn port_taken(f: &mut Fault) -> Result<()> {
    f.sysctl("net.ipv4.ip_local_port_range", "40000 40999")?;
    let own = SocketAddr::new(NEAR_V4.into(), 40_080);
    let part = Part::Call {
        to: vec![own],
        from: Some(own),
        times: 1,
        wait: true,
        opts: vec![],
        conduct: Conduct::Ignore,
    };
    f.cast("retry-loop", part)?;
    f.note_service(own);
    f.tell(format!("retry-loop waited for a service on {own} by calling it, until it was connected to itself: the service cannot start any more"));
    Ok(())
}

/// A firewall drops what is sent to one address.
pub(super) fn blackhole(f: &mut Fault) -> Result<()> {
    let gone = f.peer()?;
    f.cut_all()?;
    let to = SocketAddr::new(gone, 443);
    f.note_service(to);
    let part = Part::Call {
        to: vec![to],
        from: None,
        times: 12,
        wait: false,
        opts: vec![Opt::Linger(0)],
        conduct: Conduct::Ignore,
    };
    f.cast("webhook", part)?;
    f.tell(format!("webhook calls {to} twelve times; everything sent there is dropped without a word"));
    Ok(())
}

/// Peers vanish while there is data on the way to them.
pub(super) fn peers_vanished_data(f: &mut Fault) -> Result<()> {
    let mut to = Vec::new();
    for peer in f.peers_new(5)? {
        to.push(f.far_service(peer, 9000, &[])?);
    }
    f.cast("publisher", call(to, 20, Conduct::Trickle))?;
    f.cut_all()?;
    f.tell("publisher sends to 5 subscribers over 20 connections; their cables were cut");
    Ok(())
}

/// What was sent is not acknowledged, and the kernel is in no hurry to send it again.
pub(super) fn send_queue_stuck(f: &mut Fault) -> Result<()> {
    // As after a long time on a way with a round trip of many seconds.
    f.sysctl("net.ipv4.tcp_rto_min_us", "20000000")?;
    let mut to = Vec::new();
    for peer in f.peers_new(2)? {
        to.push(f.far_service(peer, 9000, &[])?);
    }
    f.cast("uplink", call(to, 6, Conduct::Trickle))?;
    f.cut_all()?;
    f.tell("uplink sends to 2 peers over 6 connections; nothing is acknowledged, and is sent again after 20 s (tcp_rto_min_us)");
    Ok(())
}

/// Peers vanish while nothing is on the way; only keepalive notices.
pub(super) fn peers_vanished_idle(f: &mut Fault) -> Result<()> {
    let mut to = Vec::new();
    for peer in f.peers_new(5)? {
        to.push(f.far_service(peer, 9000, &[])?);
    }
    let opts = vec![Opt::Keepalive { idle: 1, interval: 2, count: 100 }];
    f.cast(
        "device-hub",
        Part::Call { to, from: None, times: 20, wait: true, opts, conduct: Conduct::Ignore },
    )?;
    f.cut_all()?;
    f.tell("device-hub has 20 idle connections to 5 devices, with keepalive; their cables were cut");
    Ok(())
}

/// The receiver does not read, and the sender waits for room.
pub(super) fn zero_window(f: &mut Fault) -> Result<()> {
    let mut to = Vec::new();
    for peer in f.peers_new(2)? {
        to.push(f.far_service(peer, 9000, &[Opt::ReceiveBuffer(8 << 10)])?);
    }
    f.cast("exporter", call(to, 12, Conduct::Pour))?;
    f.tell("exporter sends to 2 peers over 12 connections; they do not read");
    Ok(())
}

/// A cable that fails for moments, many times a second.
pub(super) fn retransmission_storm(f: &mut Fault) -> Result<()> {
    let peer = f.peer()?;
    let at = SocketAddr::new(peer, 9000);
    let listener = f.far_listener(at, &[])?;
    let mut calls = Vec::new();
    f.habit(Side::Far, Duration::from_millis(5), move || {
        let mut buffer = vec![0; 256 << 10];
        while let Ok((call, _)) = listener.accept() {
            call.set_nonblocking(true)?;
            calls.push(call);
        }
        for call in &mut calls {
            // As a reader does: whatever is there.
            let _ = call.read(&mut buffer);
        }
        Ok(true)
    })?;
    f.cast("backup", call(vec![at], 20, Conduct::Pour))?;
    let link = f.lab.near_link;
    let mut cable = None;
    let mut broken = false;
    f.habit(Side::Near, Duration::from_millis(30), move || {
        let cable = match &mut cable {
            Some(open) => open,
            none => none.insert(Rtnl::open()?),
        };
        broken = !broken;
        cable.set_neighbour(link, peer, if broken { NOWHERE } else { FAR_MAC })?;
        Ok(true)
    })?;
    f.tell(format!("backup sends to {at} over 20 connections; the cable fails for 30 ms, 16 times a second"));
    Ok(())
}
