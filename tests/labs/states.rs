//! Every state for real: that the labs make what they say they make, by the word of ss.

use tcptop::lab::{Lab, MAKERS, Specimen};

use crate::harness::{lab_with_ss, wait_for};
use crate::ss::{self, Row};

/// What ss must say of a specimen.
struct Expected {
    name: &'static str,
    state: &'static str,
    recv_q: u64,
    /// Kind and the least `retrans`.
    timer: Option<(&'static str, u64)>,
    /// Whether a program holds the socket.
    held: bool,
}

const fn expect(
    name: &'static str,
    state: &'static str,
    recv_q: u64,
    timer: Option<(&'static str, u64)>,
    held: bool,
) -> Expected {
    Expected { name, state, recv_q, timer, held }
}

#[rustfmt::skip]
const EXPECTED: &[Expected] = &[
    expect("listening",                          "LISTEN",     0, None,                   true),
    expect("listening_dual",                     "LISTEN",     0, None,                   true),
    expect("listening_v6only",                   "LISTEN",     0, None,                   true),
    expect("syn_sent",                           "SYN-SENT",   0, Some(("on", 1)),        true),
    expect("syn_recv",                           "SYN-RECV",   0, Some(("on", 1)),        false),
    expect("established",                        "ESTAB",      0, None,                   true),
    expect("established_v6",                     "ESTAB",      0, None,                   true),
    expect("marked",                             "ESTAB",      0, None,                   true),
    expect("mapped",                             "ESTAB",      0, None,                   true),
    expect("connected_to_itself",                "ESTAB",      0, None,                   true),
    expect("unaccepted",                         "ESTAB",      0, None,                   false),
    expect("unaccepted_close_wait",              "CLOSE-WAIT", 1, None,                   false),
    expect("accept_queue_full",                  "LISTEN",     2, None,                   true),
    expect("fin_wait1_held",                     "FIN-WAIT-1", 0, Some(("on", 1)),        true),
    expect("fin_wait1_orphan",                   "FIN-WAIT-1", 0, Some(("on", 1)),        false),
    expect("fin_wait2_mini",                     "FIN-WAIT-2", 0, Some(("timewait", 0)),  false),
    expect("fin_wait2_orphan",                   "FIN-WAIT-2", 0, Some(("keepalive", 0)), false),
    expect("fin_wait2_held",                     "FIN-WAIT-2", 0, None,                   true),
    expect("time_wait",                          "TIME-WAIT",  0, Some(("timewait", 0)),  false),
    expect("close_wait_read",                    "CLOSE-WAIT", 0, None,                   true),
    expect("close_wait_unread_fin",              "CLOSE-WAIT", 1, None,                   true),
    expect("close_wait_unread_data",             "CLOSE-WAIT", 6, None,                   true),
    expect("last_ack",                           "LAST-ACK",   0, Some(("on", 1)),        false),
    expect("closing",                            "CLOSING",    1, Some(("on", 1)),        true),
    expect("keepalive_armed",                    "ESTAB",      0, Some(("keepalive", 0)), true),
    expect("keepalive_unanswered",               "ESTAB",      0, Some(("keepalive", 2)), true),
    expect("keepalive_masked_by_retransmission", "ESTAB",      0, Some(("on", 1)),        true),
    expect("keepalive_masked_by_zero_window",    "ESTAB",      0, Some(("persist", 0)),   true),
];

/// All specimens in one lab, settled.
pub fn zoo() -> (Lab, Vec<Specimen>) {
    let mut lab = Lab::new().unwrap();
    let specimens: Vec<_> = MAKERS.iter().map(|make| make(&mut lab).unwrap()).collect();
    for expected in EXPECTED {
        let specimen = specimens.iter().find(|s| s.name == expected.name).expect(expected.name);
        wait_for(expected.name, || {
            let rows = ss::ss(lab.near(), &[]);
            let row = rows.values().find(|row| is_of(specimen, row)).ok_or("ss does not show it")?;
            verdict(expected, specimen, row)
        });
    }
    (lab, specimens)
}

/// Whether a row of ss is this specimen, by its addresses.
fn is_of(specimen: &Specimen, row: &Row) -> bool {
    let plain = |a: std::net::SocketAddr| (a.ip().to_canonical(), a.port());
    let peer = specimen.peer.map_or((row.peer.0, 0), plain);
    row.local == plain(specimen.local) && row.peer == peer
}

fn verdict(expected: &Expected, specimen: &Specimen, row: &Row) -> Result<(), String> {
    let timer = row.timer.as_ref();
    let timer_as_expected = match (expected.timer, timer) {
        (None, None) => true,
        (Some((kind, least)), Some(t)) => t.kind == kind && t.retrans >= least,
        _ => false,
    };
    let held = specimen.identity().unwrap().map_or(0, |(_cookie, inode)| inode) == row.inode
        && (row.inode != 0) == expected.held;
    let fine = row.state == expected.state && row.recv_q == expected.recv_q && timer_as_expected && held;
    fine.then_some(()).ok_or_else(|| format!("{row:?}"))
}

#[test]
fn every_state_comes_about_and_ss_sees_it() {
    lab_with_ss(|| {
        let (lab, specimens) = zoo();
        let rows = ss::ss(lab.near(), &[]);
        let row = |name| {
            let specimen = specimens.iter().find(|s| s.name == name).unwrap();
            rows.values().find(|row| is_of(specimen, row)).unwrap()
        };
        assert!(row("mapped").mapped);
        assert_eq!(row("accept_queue_full").send_q, 1, "the backlog");
        assert!(row("keepalive_masked_by_zero_window").send_q > 4096);
        // ss before 6.8 of iproute2 does not ask for bit 13; one that does calls the state UNCONN.
        let named: Vec<_> = EXPECTED.iter().map(|e| e.name).chain(["bound_inactive"]).collect();
        assert!(specimens.iter().all(|s| named.contains(&s.name)), "a specimen without an expectation");
    });
}
