//! What tcptop says about keepalive, on sockets whose keepalive is known because the lab set it.

use std::net::SocketAddr;

use serde_json::Value;
use tcptop::lab::{Lab, Specimen};

use crate::harness::{lab_with_ss, wait_for};
use crate::states::zoo;
use crate::tool;

/// What `tcptop list` must say: `None` where keepalive does not apply.
#[rustfmt::skip]
const TRUTH: &[(&str, Option<&str>)] = &[
    ("keepalive_armed",                    Some("on")),
    ("keepalive_unanswered",               Some("on")),
    // The sockets can be asked, by a tcptop that may: then "on", otherwise not known, and never "off".
    ("keepalive_masked_by_retransmission", Some("unknown")),
    ("keepalive_masked_by_zero_window",    Some("unknown")),
    ("connected_to_itself",                Some("unknown")),
    ("established",                        Some("off")),
    ("established_v6",                     Some("off")),
    ("mapped",                             Some("off")),
    ("unaccepted",                         Some("off")),
    ("close_wait_read",                    Some("off")),
    ("close_wait_unread_fin",              Some("off")),
    ("fin_wait2_held",                     Some("off")),
    ("fin_wait2_orphan",                   None),
    ("fin_wait2_mini",                     None),
    ("time_wait",                          None),
    ("syn_sent",                           None),
    ("syn_recv",                           None),
    ("listening",                          None),
    ("bound_inactive",                     None),
];

#[test]
fn keepalive_is_said_as_it_is_or_as_unknown() {
    lab_with_ss(|| {
        let (lab, specimens) = zoo();
        let listed = tool::list(lab.near(), &[]);
        for (name, truth) in TRUTH {
            let specimen = specimens.iter().find(|s| s.name == *name).unwrap();
            let row = row_of(&listed.rows.values().collect::<Vec<_>>(), specimen);
            let said = row.get("keepalive").and_then(Value::as_str);
            let asked = *truth == Some("unknown") && said == Some("on");
            assert!(said == *truth || asked, "{name} is {truth:?}: {row}");
        }
    });
}

#[test]
fn unanswered_probes_are_counted() {
    lab_with_ss(|| {
        let mut lab = Lab::new().unwrap();
        let specimen = lab.keepalive_unanswered().unwrap();
        let unanswered = |least: u64| {
            wait_for("unanswered probe", || {
                let listed = tool::list(lab.near(), &[]);
                let row = row_of(&listed.rows.values().collect::<Vec<_>>(), &specimen);
                let n = row["timer"]["unanswered"].as_u64().unwrap();
                if n >= least { Ok(n) } else { Err(format!("{n} so far")) }
            })
        };
        let first = unanswered(1);
        assert!(unanswered(first + 1) > first);
    });
}

fn row_of(rows: &[&Value], specimen: &Specimen) -> Value {
    let plain = |a: SocketAddr| (a.ip().to_canonical().to_string(), u64::from(a.port()));
    let says = |value: &Value, addr: SocketAddr| {
        let (ip, port) = plain(addr);
        value["addr"] == ip && value["port"].as_u64() == Some(port)
    };
    let is_it = |row: &&&Value| {
        says(&row["local"], specimen.local)
            && specimen.peer.map_or_else(|| row.get("peer").is_none(), |peer| says(&row["peer"], peer))
    };
    (*rows.iter().find(is_it).unwrap_or_else(|| panic!("{} is not listed", specimen.name))).clone()
}
