//! `ss -Htanoe` of iproute2, the oracle.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use tcptop::lab::Host;

/// What is pending, as ss says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timer {
    /// ss's word: `on` (retransmission), `keepalive`, `timewait`, `persist`.
    pub kind: String,
    pub expires_ms: u64,
    /// What ss rounded off: it shows whole seconds from 10 s, whole minutes from 10 min.
    pub rounding_ms: u64,
    pub retrans: u64,
}

/// A line of ss.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    pub state: String,
    pub recv_q: u64,
    pub send_q: u64,
    pub local: (IpAddr, u16),
    pub peer: (IpAddr, u16),
    /// An IPv6 socket that carries IPv4; the addresses above are then the IPv4 ones.
    pub mapped: bool,
    pub timer: Option<Timer>,
    pub uid: u64,
    pub inode: u64,
    pub mark: Option<u64>,
    /// Limit of the receive buffer, limit of the send buffer, drops; with `-m` only.
    pub memory: Option<[u64; 3]>,
}

/// The sockets of a host by cookie.
pub type Rows = BTreeMap<u64, Row>;

/// Runs ss on the host, with more arguments if wanted.
pub fn ss(host: &Host, args: &[&str]) -> Rows {
    run(host, "-Htanoe", args)
}

/// The same for UDP, with buffers and drops.
pub fn ss_udp(host: &Host, args: &[&str]) -> Rows {
    run(host, "-HOuanem", args)
}

fn run(host: &Host, what: &str, args: &[&str]) -> Rows {
    let output = host.run(|| Command::new("ss").arg(what).args(args).output()).unwrap().unwrap();
    assert!(output.status.success(), "ss: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(line).collect()
}

/// The cookies of the UDP sockets that match a filter, in ascending order.
pub fn udp_cookies(host: &Host, filter: &[&str]) -> Vec<u64> {
    let output = host.run(|| Command::new("ss").arg("-HOuane").args(filter).output()).unwrap().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "ss {filter:?}: {output:?}");
    // With one state alone ss leaves the column of the states out, so that the lines are not those of a table.
    let text = String::from_utf8(output.stdout).unwrap();
    let cookie =
        |line: &str| u64::from_str_radix(line.split(" sk:").nth(1)?.split_whitespace().next()?, 16).ok();
    let mut cookies: Vec<u64> =
        text.lines().map(|line| cookie(line).unwrap_or_else(|| panic!("{line}"))).collect();
    cookies.sort_unstable();
    cookies
}

/// Whether ss can be run at all.
pub fn is_there() -> bool {
    Command::new("ss").arg("--version").output().is_ok_and(|o| o.status.success())
}

fn line(text: &str) -> (u64, Row) {
    let mut words = text.split_whitespace();
    let mut next = || words.next().unwrap_or_else(|| panic!("ss printed {text:?}"));
    let state = next().to_owned();
    let (recv_q, send_q) = (next().parse().unwrap(), next().parse().unwrap());
    let (local, local_mapped) = endpoint(next());
    let (peer, peer_mapped) = endpoint(next());
    let mut row = Row {
        state,
        recv_q,
        send_q,
        local,
        peer,
        mapped: local_mapped || peer_mapped,
        timer: None,
        uid: 0,
        inode: 0,
        mark: None,
        memory: None,
    };
    let mut cookie = None;
    for word in words {
        if let Some(inside) = word.strip_prefix("skmem:(") {
            row.memory = Some(["rb", "tb", "d"].map(|name| memory(inside, name)));
            continue;
        }
        match word.split_once(':') {
            Some(("timer", t)) => row.timer = Some(timer(t)),
            Some(("uid", n)) => row.uid = n.parse().unwrap(),
            Some(("ino", n)) => row.inode = n.parse().unwrap(),
            Some(("sk", n)) => cookie = Some(u64::from_str_radix(n, 16).unwrap()),
            Some(("fwmark", n)) => {
                row.mark = Some(u64::from_str_radix(n.trim_start_matches("0x"), 16).unwrap());
            }
            _ => {}
        }
    }
    (cookie.unwrap_or_else(|| panic!("no cookie in {text:?}")), row)
}

/// `r0,rb212992,t0,tb212992,f0,w0,o0,bl0,d0)`
fn memory(text: &str, name: &str) -> u64 {
    let is_number = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_digit());
    let mut all = text.trim_end_matches(')').split(',').filter_map(|p| p.strip_prefix(name));
    all.find(is_number).unwrap_or_else(|| panic!("no {name} in {text:?}")).parse().unwrap()
}

fn endpoint(text: &str) -> ((IpAddr, u16), bool) {
    let (addr, port) = text.rsplit_once(':').unwrap();
    let port = if port == "*" { 0 } else { port.parse().unwrap() };
    let addr = addr.split('%').next().unwrap().trim_matches(['[', ']']);
    if addr == "*" {
        return ((Ipv6Addr::UNSPECIFIED.into(), port), false);
    }
    let addr: IpAddr = addr.parse().unwrap();
    let mapped: Option<Ipv4Addr> = match addr {
        IpAddr::V6(v6) => v6.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    };
    ((mapped.map_or(addr, IpAddr::V4), port), mapped.is_some())
}

/// `(keepalive,4min59sec,0)`
fn timer(text: &str) -> Timer {
    let parts: Vec<_> = text.trim_matches(['(', ')']).split(',').collect();
    let [kind, expires, retrans] = parts[..] else { panic!("ss timer {text:?}") };
    let (expires_ms, rounding_ms) = duration(expires);
    Timer { kind: kind.into(), expires_ms, rounding_ms, retrans: retrans.parse().unwrap() }
}

/// ss's own format (`print_ms_timer` in `misc/ss.c`): `119min`, `4min59sec`, `59sec`, `3.500ms` for 3.5 s, `200ms`;
/// nothing for 0.
fn duration(text: &str) -> (u64, u64) {
    let (minutes, rest) = match text.split_once("min") {
        Some((m, rest)) => (m.parse::<u64>().unwrap(), rest),
        None => (0, text),
    };
    let rounding = match (minutes, rest.contains("ms")) {
        (10.., _) => 60_000,
        (1.., _) | (_, false) => 1_000,
        _ => 1,
    };
    let ms = if let Some(s) = rest.strip_suffix("sec") {
        s.parse::<u64>().unwrap() * 1000
    } else if let Some(ms) = rest.strip_suffix("ms") {
        let (s, ms) = ms.split_once('.').unwrap_or(("0", ms));
        s.parse::<u64>().unwrap() * 1000 + ms.parse::<u64>().unwrap()
    } else {
        assert_eq!(rest, "");
        0
    };
    (minutes * 60_000 + ms, rounding)
}

#[test]
fn timers_of_ss_are_read_in_all_their_forms() {
    assert_eq!(duration("119min"), (119 * 60_000, 60_000));
    assert_eq!(duration("4min59sec"), (299_000, 1_000));
    assert_eq!(duration("59sec"), (59_000, 1_000));
    assert_eq!(duration("3.040ms"), (3_040, 1));
    assert_eq!(duration("200ms"), (200, 1));
    assert_eq!(duration("5sec"), (5_000, 1_000));
}
