//! `tcptop list --json` against `ss -Htanoe`, row by row, on a host with every state.
//!
//! The two cannot look at the same moment, so ss looks before and after: where it says the same twice, apart from
//! timers that ran on, tcptop must say just that, with an expiry in between. Rows that changed in between are
//! compared in a later round; every row must have been compared at least once.
//!
//! What is ss's own: before iproute2 6.8 it does not ask for bound, unconnected sockets, and later it calls them
//! UNCONN; those rows are held against `SO_COOKIE`, `getsockname` and the inode of the socket instead.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use rustix::fs::{Uid, fchown};
use serde_json::{Value, json};
use tcptop::lab::{Host, Specimen};

use crate::harness::{lab_with_ss, wait_for};
use crate::ss::{self, Row, Rows};
use crate::states::zoo;
use crate::tool::{self, Listed};

/// The kernel's clock ticks every 1 to 10 ms, and each look rounds to a tick.
const TICK_MS: u64 = 10;

#[test]
fn list_says_what_ss_says() {
    lab_with_ss(|| {
        let (lab, specimens) = zoo();
        let socket = specimens.iter().find(|s| s.name == "established").unwrap().socket().unwrap();
        // Where only one user is known (a user namespace of an ordinary user) it stays root's.
        let given_away = fchown(socket, Some(Uid::from_raw(65534)), None).is_ok();
        let owners = ss::ss(lab.near(), &[]).values().filter(|row| row.uid == 65534).count();
        assert_eq!(owners, usize::from(given_away));
        compare(lab.near(), &specimens, &[], |_| true);
        compare(lab.far(), &[], &[], |_| true);
    });
}

#[test]
fn families_are_selected_as_ss_selects_them() {
    lab_with_ss(|| {
        let (lab, specimens) = zoo();
        let v6 = |s: &Specimen| s.local.is_ipv6();
        compare(lab.near(), &specimens, &["-4"], |s| !v6(s));
        compare(lab.near(), &specimens, &["-6"], v6);
    });
}

/// Compares until every row that ss shows has been compared.
fn compare(host: &Host, specimens: &[Specimen], family: &[&str], wanted: impl Fn(&Specimen) -> bool) {
    let mut open: BTreeSet<u64> = ss::ss(host, family).into_keys().collect();
    assert!(!open.is_empty());
    wait_for("quiet moment for every row", || {
        let before = ss::ss(host, family);
        let ours = tool::list(host, family);
        let after = ss::ss(host, family);
        assert_eq!(ours.head["complete"], json!(true), "{}", ours.head);
        let bound = specimens.iter().filter(|s| s.name == "bound_inactive" && wanted(s));
        let extra: BTreeSet<u64> = bound.map(|s| bound_inactive(&ours, s)).collect();
        let seen: BTreeSet<u64> = ours.rows.keys().filter(|c| !extra.contains(c)).copied().collect();
        let keys = |rows: &Rows| rows.keys().filter(|c| !extra.contains(c)).copied().collect();
        let (first, last): (BTreeSet<u64>, BTreeSet<u64>) = (keys(&before), keys(&after));
        if first == last {
            assert_eq!(seen, first, "tcptop and ss do not show the same sockets");
        }
        for (cookie, first) in &before {
            if let Some(last) = after.get(cookie).filter(|last| is_same(first, last)) {
                same_row(*cookie, first, &ours.rows[cookie], last);
                open.remove(cookie);
            }
        }
        if open.is_empty() { Ok(()) } else { Err(format!("never quiet: {open:x?}")) }
    });
}

/// Whether nothing but time passed between two looks.
fn is_same(first: &Row, last: &Row) -> bool {
    let (mut a, mut b) = (first.clone(), last.clone());
    let ran_on = match (&mut a.timer, &mut b.timer) {
        (Some(a), Some(b)) => {
            let fine = b.expires_ms <= a.expires_ms;
            (a.expires_ms, a.rounding_ms) = (b.expires_ms, b.rounding_ms);
            fine
        }
        _ => true,
    };
    ran_on && a == b
}

fn same_row(cookie: u64, first: &Row, ours: &Value, last: &Row) {
    let context = format!("{cookie:x}:\n ss     {first:?}\n tcptop {ours}\n ss     {last:?}");
    let number = |key: &str| ours[key].as_u64();
    assert_eq!(ours["state"], state(&first.state), "state of {context}");
    assert_eq!(endpoint(&ours["local"]), Some(first.local), "local address of {context}");
    let peer = if first.state == "LISTEN" { None } else { Some(first.peer) };
    assert_eq!(endpoint(&ours["peer"]), peer, "peer of {context}");
    assert_eq!(number("recv_q"), Some(first.recv_q), "receive queue of {context}");
    assert_eq!(number("send_q"), Some(first.send_q), "send queue of {context}");
    assert_eq!(number("inode").unwrap_or(0), first.inode, "inode of {context}");
    // Without a file there is nobody whom the kernel surely names.
    let owner_unknown = first.inode == 0 && number("uid").is_none();
    assert!(owner_unknown || number("uid") == Some(first.uid), "owner of {context}");
    assert_eq!(ours["mapped"].as_bool().unwrap_or(false), first.mapped, "mapped of {context}");
    let family = if first.mapped || first.local.0.is_ipv6() { "inet6" } else { "inet" };
    assert_eq!(ours["family"], family, "family of {context}");
    assert_eq!(ours["proto"], "tcp", "protocol of {context}");
    let timer = &ours["timer"];
    let (Some(early), Some(late)) = (&first.timer, &last.timer) else {
        assert_eq!(timer["kind"], "none", "timer of {context}");
        return;
    };
    let (kind, count) = match &*early.kind {
        "on" => ("retransmit", Some("retransmits")),
        "keepalive" => ("keepalive", Some("unanswered")),
        "timewait" => ("time_wait", None),
        "persist" => ("probe", Some("retransmits")),
        other => panic!("ss timer {other}"),
    };
    assert_eq!(timer["kind"], kind, "timer of {context}");
    if let Some(count) = count {
        assert_eq!(timer[count].as_u64(), Some(early.retrans), "{count} of {context}");
    }
    let between = late.expires_ms.saturating_sub(TICK_MS)..=early.expires_ms + early.rounding_ms + TICK_MS;
    assert!(between.contains(&timer["expires_ms"].as_u64().unwrap()), "expiry of {context}");
}

/// Holds a bound socket's row against the socket itself and gives its cookie.
fn bound_inactive(ours: &Listed, specimen: &Specimen) -> u64 {
    let (cookie, inode) = specimen.identity().unwrap().unwrap();
    let row = ours.rows.get(&cookie).unwrap_or_else(|| panic!("{} is not listed", specimen.name));
    assert_eq!(row["state"], "BOUND_INACTIVE", "{row}");
    assert_eq!(endpoint(&row["local"]), Some(plain(specimen.local)), "{row}");
    assert_eq!(row["inode"].as_u64(), Some(inode), "{row}");
    assert_eq!((row["timer"]["kind"].as_str(), row.get("peer")), (Some("none"), None), "{row}");
    cookie
}

fn plain(addr: SocketAddr) -> (IpAddr, u16) {
    (addr.ip().to_canonical(), addr.port())
}

pub fn endpoint(value: &Value) -> Option<(IpAddr, u16)> {
    let addr = value.get("addr")?.as_str()?.parse().ok()?;
    Some((addr, value["port"].as_u64()?.try_into().ok()?))
}

pub fn state(of_ss: &str) -> &'static str {
    match of_ss {
        "ESTAB" => "ESTABLISHED",
        "SYN-SENT" => "SYN_SENT",
        "SYN-RECV" => "SYN_RECV",
        "FIN-WAIT-1" => "FIN_WAIT1",
        "FIN-WAIT-2" => "FIN_WAIT2",
        "TIME-WAIT" => "TIME_WAIT",
        "CLOSE-WAIT" => "CLOSE_WAIT",
        "LAST-ACK" => "LAST_ACK",
        "LISTEN" => "LISTEN",
        "CLOSING" => "CLOSING",
        "UNCONN" => "CLOSE",
        other => panic!("ss state {other}"),
    }
}
