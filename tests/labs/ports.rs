//! The port gauge against the kernel's own verdict: connect works, or there is no port left.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use serde_json::Value;
use tcptop::lab::{Host, Lab, NEAR_V4, Opt, accept, bind, connect, listen};
use tcptop::model::TcpState;

use crate::harness::{lab, wait_for};
use crate::tool;

const FIRST: u16 = 40_000;
/// All but this many ports of the range are beyond it.
const RANGE: usize = 20;

/// A host with 20 ephemeral ports, and peers that accept any number of calls on port 7 and 8.
struct Ports {
    lab: Lab,
    listeners: Vec<TcpListener>,
}

impl Ports {
    fn new() -> Self {
        let lab = Lab::new().unwrap();
        lab.near().sysctl("net.ipv4.ip_local_port_range", &format!("{FIRST} {}", FIRST + 19)).unwrap();
        Self { lab, listeners: vec![] }
    }

    fn near(&self) -> &Host {
        self.lab.near()
    }

    /// A peer to call.
    fn peer(&mut self) -> SocketAddr {
        let peer = SocketAddr::new(self.lab.far_v4().unwrap(), 7);
        self.listeners.push(self.lab.far().run(|| listen(peer, 100, &[])).unwrap().unwrap());
        peer
    }

    /// Calls `peer` as often as there are ports, 50 times at most.
    fn exhaust(&self, peer: SocketAddr) -> Vec<TcpStream> {
        let mut calls = vec![];
        while calls.len() < 50 {
            match self.near().run(|| connect(None, peer, &[])).unwrap() {
                Ok(call) => calls.push(call),
                Err(e) if e.kind() == ErrorKind::AddrNotAvailable => break,
                Err(e) => panic!("connect: {e}"),
            }
        }
        calls
    }
}

/// The `ports` part of a report.
struct Gauge(Value);

impl Gauge {
    fn read(host: &Host) -> Self {
        Self(tool::report(host, &[])["ports"].take())
    }

    fn number(&self, key: &str) -> u64 {
        self.0[key].as_u64().unwrap_or_else(|| panic!("no {key} in {}", self.0))
    }

    /// `used`, `time_wait`, and `ratio` in thousandths, towards a peer; zeros if there is no such destination.
    fn towards(&self, peer: SocketAddr) -> (u64, u64, u64) {
        let is_it = |d: &&Value| {
            d["peer"]["addr"] == peer.ip().to_string()
                && d["peer"]["port"].as_u64() == Some(peer.port().into())
        };
        let found = self.0["destinations"].as_array().unwrap().iter().find(is_it);
        found.map_or((0, 0, 0), |d| {
            assert_eq!(d["local_addr"], NEAR_V4.to_string());
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1")]
            let ratio = (d["ratio"].as_f64().unwrap() * 1000.0).round() as u64;
            (d["used"].as_u64().unwrap(), d["time_wait"].as_u64().unwrap(), ratio)
        })
    }
}

#[test]
fn full_towards_one_peer_and_empty_towards_another() {
    lab(|| {
        let mut ports = Ports::new();
        let (full, other, never) = (ports.peer(), ports.peer(), ports.peer());
        let calls = ports.exhaust(full);
        assert_eq!(calls.len(), RANGE, "the kernel's own limit");
        let one = ports.near().run(|| connect(None, other, &[])).unwrap().unwrap();
        let gauge = Gauge::read(ports.near());
        assert_eq!(gauge.0["range"], serde_json::json!([FIRST, FIRST + 19]));
        assert_eq!((gauge.number("usable"), gauge.number("reserved")), (20, 0));
        assert_eq!(gauge.towards(full), (20, 0, 1000));
        assert_eq!(gauge.towards(other), (1, 0, 50));
        assert_eq!(gauge.towards(never), (0, 0, 0));
        drop((calls, one));
    });
}

#[test]
fn a_bind_before_connect_takes_a_port_from_everyone() {
    lab(|| {
        let mut ports = Ports::new();
        let (theirs, other, third) = (ports.peer(), ports.peer(), ports.peer());
        let any = SocketAddr::new(NEAR_V4.into(), 0);
        let bind_five = || -> Vec<OwnedFd> { (0..5).map(|_| bind(any, &[]).unwrap()).collect() };
        let bound = ports.near().run(bind_five).unwrap();
        // Bound and not yet connected: gone for every destination, and so they are counted.
        let gauge = Gauge::read(ports.near());
        assert_eq!(gauge.number("usable"), 15, "{}", gauge.0);
        let calls = ports.exhaust(other);
        assert_eq!(calls.len(), 15, "the kernel's own limit");
        assert_eq!(Gauge::read(ports.near()).towards(other), (15, 0, 1000));
        drop((bound, calls));

        // Once they are connected the kernel still keeps them from everyone, but no longer tells: sock_diag shows
        // neither SOCK_BINDADDR_LOCK nor the bucket's fastreuse. They are counted where they lead.
        let plain = connect_five(&ports, any, theirs, &[]);
        let calls = ports.exhaust(third);
        assert_eq!(calls.len(), 15, "the kernel's own limit");
        let gauge = Gauge::read(ports.near());
        assert_eq!(gauge.towards(theirs), (5, 0, 250), "{}", gauge.0);
        assert_eq!(gauge.towards(third).0, 15, "{}", gauge.0);
        // Their parity gives them away.
        let text = tool::report_text(ports.near(), &[]);
        assert!(text.contains("5 connected ports look bound before connect"), "{text}");
        drop((plain, calls));
    });
}

#[test]
fn ports_chosen_at_connect_are_shared_between_destinations() {
    lab(|| {
        let mut ports = Ports::new();
        let (theirs, other) = (ports.peer(), ports.peer());
        let any = SocketAddr::new(NEAR_V4.into(), 0);
        let calls = connect_five(&ports, any, theirs, &[Opt::BindAddressNoPort]);
        let more = ports.exhaust(other);
        assert_eq!(more.len(), RANGE, "the kernel's own limit");
        let gauge = Gauge::read(ports.near());
        assert_eq!(gauge.number("usable"), 20, "{}", gauge.0);
        assert_eq!(gauge.towards(theirs), (5, 0, 250));
        assert_eq!(gauge.towards(other), (20, 0, 1000));
        drop((calls, more));
    });
}

fn connect_five(ports: &Ports, from: SocketAddr, to: SocketAddr, opts: &[Opt]) -> Vec<TcpStream> {
    let calls = || (0..5).map(|_| connect(Some(from), to, opts).unwrap()).collect();
    ports.near().run(calls).unwrap()
}

#[test]
fn a_listener_inside_the_range_takes_its_port() {
    lab(|| {
        let mut ports = Ports::new();
        let peer = ports.peer();
        let inside = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), FIRST + 3);
        let listener = ports.near().run(|| listen(inside, 5, &[])).unwrap().unwrap();
        let calls = ports.exhaust(peer);
        assert_eq!(calls.len(), RANGE - 1, "the kernel's own limit");
        let gauge = Gauge::read(ports.near());
        assert_eq!(gauge.number("usable"), 19, "{}", gauge.0);
        assert_eq!(gauge.towards(peer), (19, 0, 1000));
        drop((listener, calls));
    });
}

#[test]
fn reserved_ports_are_not_there() {
    lab(|| {
        let mut ports = Ports::new();
        let peer = ports.peer();
        let reserved = format!("{}-{},{},8080", FIRST, FIRST + 3, FIRST + 9);
        ports.near().sysctl("net.ipv4.ip_local_reserved_ports", &reserved).unwrap();
        let calls = ports.exhaust(peer);
        assert_eq!(calls.len(), RANGE - 5, "the kernel's own limit");
        let gauge = Gauge::read(ports.near());
        assert_eq!((gauge.number("usable"), gauge.number("reserved")), (15, 5), "{}", gauge.0);
        assert_eq!(gauge.towards(peer), (15, 0, 1000));
        drop(calls);
    });
}

#[test]
fn time_wait_holds_ports_until_reuse_is_allowed() {
    lab(|| {
        let mut ports = Ports::new();
        let peer = ports.peer();
        let calls = ports.exhaust(peer);
        assert_eq!(calls.len(), RANGE);
        let ends: Vec<_> = calls.iter().map(|c| c.local_addr().unwrap()).collect();
        let answers: Vec<_> = ends.iter().map(|_| accept(&ports.listeners[0]).unwrap()).collect();
        drop(calls);
        for local in &ends {
            ports.near().wait_for(*local, peer, TcpState::FinWait2).unwrap();
        }
        drop(answers);
        for local in &ends {
            ports.near().wait_for(*local, peer, TcpState::TimeWait).unwrap();
        }
        ports.near().sysctl("net.ipv4.tcp_tw_reuse", "0").unwrap();
        assert_eq!(ports.exhaust(peer).len(), 0, "the kernel's own limit");
        assert_eq!(Gauge::read(ports.near()).towards(peer), (20, 20, 1000));

        ports.near().sysctl("net.ipv4.tcp_tw_reuse", "1").unwrap();
        wait_for("reusable port", || match Gauge::read(ports.near()).towards(peer) {
            (20, 20, 0) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        assert_eq!(ports.exhaust(peer).len(), RANGE, "the kernel's own verdict");
    });
}
