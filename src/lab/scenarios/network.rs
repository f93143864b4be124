//! Faults of the way between the hosts.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use super::forged::Forger;
use super::stage::Side;
use super::{Conduct, Fault, Part};
use crate::lab::{Doing, NEAR_V4, Opt, Result, connect};

/// Larger than every small answer, smaller than an Ethernet packet: a tunnel's.
const TUNNEL_MTU: u32 = 1400;

/// A link behind a router takes smaller packets than the hosts send, and the router's word of it is filtered.
pub(super) fn path_mtu(f: &mut Fault) -> Result<()> {
    let router = f.router()?;
    router.shrink_far_link(TUNNEL_MTU)?;
    router.silence_icmp()?;
    let (near, far) = (router.near(), router.far());
    let at = SocketAddr::new(near, 8080);
    f.note_peer(far);
    f.note_service(at);
    f.cast("web", Part::Serve { at, backlog: 128, opts: vec![], conduct: Conduct::Deliver })?;
    for _ in 0..6 {
        let from = Some(SocketAddr::new(far, 0));
        let mut call = f.lab.far().run(|| connect(from, at, &[Opt::Linger(0)]))?.doing("connecting")?;
        call.write_all(b"GET / HTTP/1.1\r\n\r\n").doing("asking for a page")?;
        f.keep(call);
    }
    f.tell(format!(
        "6 clients asked web on {at} for pages of 4000 bytes; a router on the way has a link of {TUNNEL_MTU} bytes, and a filter drops what it says about that"
    ));
    Ok(())
}

/// Segments with old timestamps come on a connection, as from a middlebox that rewrites or replays them.
pub(super) fn old_timestamps(f: &mut Fault) -> Result<()> {
    let service = f.serve("api", 8080, 128, Conduct::Answer)?;
    let from = f.peer()?;
    let call = f.far_call(from, service)?;
    let source = call.local_addr().doing("asking for a socket's address")?;
    f.keep(call);
    let mut forger = None;
    f.habit(Side::Far, Duration::from_millis(100), move || {
        let forger = match &mut forger {
            Some(open) => open,
            none => none.insert(Forger::open(source, service)?),
        };
        for _ in 0..5 {
            forger.send_old_segment()?;
        }
        Ok(true)
    })?;
    f.tell(format!(
        "100 forged segments a second come to api on {service} in the name of {source}; half of them are of the past"
    ));
    Ok(())
}

/// Ports of services that are flooded one after the other: the kernel says so once a listener.
const FIRST_LOGGED: u16 = 7001;
const LOGGED: u16 = 60;

/// A flood that goes from service to service, so that the kernel says it again and again.
pub(super) fn syn_flood_logged(f: &mut Fault) -> Result<()> {
    f.sysctl("net.ipv4.tcp_syncookies", "1")?;
    let ports = FIRST_LOGGED..FIRST_LOGGED + LOGGED;
    for port in ports.clone() {
        f.near_listener(SocketAddr::new(NEAR_V4.into(), port), 4)?;
    }
    let from = f.peers_new(40)?;
    f.cut_all()?;
    let mut calls = Vec::new();
    let mut targets = ports.cycle();
    f.habit(Side::Far, Duration::from_secs(1), move || {
        let Some(port) = targets.next() else { return Ok(false) };
        let to = SocketAddr::new(NEAR_V4.into(), port);
        for from in &from {
            let from = Some(SocketAddr::new(*from, 0));
            calls.push(crate::lab::start_connect(from, to, &[Opt::Linger(0)])?);
        }
        let old = calls.len().saturating_sub(400);
        calls.drain(..old);
        Ok(true)
    })?;
    f.tell(format!(
        "40 addresses that never answer send SYNs to the ports {FIRST_LOGGED} to {}, one port a second; each has a backlog of 4",
        FIRST_LOGGED + LOGGED - 1
    ));
    Ok(())
}
