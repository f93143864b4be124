//! Faults of connection tracking.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::stage::Side;
use super::{Conduct, Fault, Part};
use crate::lab::{Doing, Opt, Result};
use crate::sys::netfilter::Netfilter;

/// A larger table is not filled: it would take minutes and gigabytes of the host.
const MOST_FLOWS: u64 = 1 << 20;
const TRACKING: &str = "tracking connections";

/// As many flows as the table may have: `nf_conntrack_max` is the host's, the count is the namespace's own.
pub(super) fn conntrack_full(f: &mut Fault) -> Result<()> {
    const FILLING: &str = "filling the connection tracking table";
    let max = f.lab.near().read_sysctl("net.netfilter.nf_conntrack_max")?;
    let max: u64 = max.trim().parse().map_err(io::Error::other).doing(FILLING)?;
    if max > MOST_FLOWS {
        let why = format!("nf_conntrack_max is {max}, more than the {MOST_FLOWS} flows of this scenario");
        return Err(io::Error::other(why)).doing(FILLING);
    }
    f.sysctl("net.netfilter.nf_conntrack_udp_timeout", "600")?;
    f.lab.near().run(|| Netfilter::open()?.track())?.doing(TRACKING)?;
    f.forget_connections_after();
    let mut flows = Flows::default();
    let mut fill = |count| -> io::Result<()> { (0..count).try_for_each(|_| flows.next()) };
    f.lab.near().run(|| fill(max))?.doing(FILLING)?;
    f.habit(Side::Near, Duration::from_millis(50), move || {
        for _ in 0..20 {
            // Refused for want of room (EPERM) is what it is for.
            let _ = flows.next();
        }
        Ok(true)
    })?;
    f.tell(format!(
        "{max} UDP flows over loopback, as many as nf_conntrack_max allows, and 400 more a second"
    ));
    Ok(())
}

/// Datagrams each of which is a flow of its own.
#[derive(Default)]
struct Flows {
    socket: Option<UdpSocket>,
    sent: u32,
}

impl Flows {
    /// Every port of an address in turn, then the next address.
    fn next(&mut self) -> io::Result<()> {
        const PORTS: u32 = 60_000;
        let socket = match &mut self.socket {
            Some(bound) => bound,
            none => none.insert(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?),
        };
        let host = u8::try_from(self.sent / PORTS % 250).unwrap_or(0) + 2;
        let port = u16::try_from(self.sent % PORTS).unwrap_or(0) + 1024;
        self.sent += 1;
        match socket.send_to(b"", (Ipv4Addr::new(127, 0, 0, host), port)) {
            // What an earlier one was answered.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Source NAT that has two ports towards one destination.
pub(super) fn conntrack_clash(f: &mut Fault) -> Result<()> {
    let peer = f.peer()?;
    let to = f.far_service(peer, 443, &[])?;
    f.lab.near().run(|| Netfilter::open()?.masquerade(Some(30_000..=30_001)))?.doing(TRACKING)?;
    f.forget_connections_after();
    let opts = vec![Opt::Linger(0)];
    let part =
        Part::Call { to: vec![to], from: None, times: 20, wait: false, opts, conduct: Conduct::Ignore };
    f.cast("gateway", part)?;
    f.tell(format!(
        "20 connections to {to} through a source NAT with two ports; the others are dropped again and again"
    ));
    Ok(())
}

/// How long the NAT remembers an idle connection, and how long the service says nothing.
const FORGETS_AFTER: u32 = 5;
const SILENT_FOR: Duration = Duration::from_secs(8);

/// A NAT on the way forgets idle connections; when the service speaks again, the NAT resets the service and tells the
/// client nothing.
pub(super) fn conntrack_short_timeout(f: &mut Fault) -> Result<()> {
    let router = f.router()?;
    router.translate(FORGETS_AFTER)?;
    let at = SocketAddr::new(router.far(), 8883);
    f.note_peer(at.ip());
    let listener = f.far_listener(at, &[])?;
    let part = Part::Call {
        to: vec![at],
        from: None,
        times: 60,
        wait: true,
        opts: vec![],
        conduct: Conduct::Ignore,
    };
    f.cast("subscriber", part)?;
    let mut calls: Vec<TcpStream> = Vec::new();
    let begun = Instant::now();
    f.habit(Side::Far, Duration::from_millis(250), move || {
        while let Ok((call, _)) = listener.accept() {
            call.set_nonblocking(true)?;
            calls.push(call);
        }
        if begun.elapsed() < SILENT_FOR {
            return Ok(true);
        }
        // The first one goes into nothing; the next finds the connection reset.
        calls.retain_mut(|call| call.write_all(b"news").is_ok());
        Ok(!calls.is_empty())
    })?;
    f.tell(format!(
        "subscriber holds 60 connections to {at} through a NAT that forgets what is idle for {FORGETS_AFTER} s; after {} s the service speaks",
        SILENT_FOR.as_secs()
    ));
    Ok(())
}
