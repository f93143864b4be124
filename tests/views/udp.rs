//! The UDP sockets on the screen: who drops, and which counters moved.

use std::sync::Arc;
use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tcptop::analysis::World;
use tcptop::diagnose::{Draft, Evidence, Finding, Severity, Source, Status, Subject, Value};
use tcptop::model::{CounterTable, Owners, Protocol, Reading, Sample, SkMemInfo, SocketRow, TcpState};
use tcptop::testkit::{self, socket};
use tcptop::tui::msg::{Effect, Msg};

use crate::rig::Rig;
use crate::screens::{SIZES, picture, reads};
use crate::worlds::{self, Machine};

/// What a process calls itself that wants to command the terminal.
const HOSTILE: &str = "\u{1b}[2J\u{7}";

/// Sockets with their drops, `second` seconds after the first look.
fn datagrams(second: u32) -> Vec<(SocketRow, SkMemInfo)> {
    let mut all = Vec::new();
    let mut add = |state, local: &str, peer: &str, recv_q, drops| {
        let mut row = socket(state, local, peer);
        row.set_cookie(u32::try_from(all.len()).unwrap() + 1, 7);
        (row.inode, row.recv_q) = (500 + u32::try_from(all.len()).unwrap(), recv_q);
        let mem = SkMemInfo { rcvbuf: 212_992, sndbuf: 212_992, drops: Some(drops), ..SkMemInfo::default() };
        all.push((row, mem));
    };
    add(TcpState::Close, "0.0.0.0:514", "", 212_480, 13_000 + second * 20);
    add(TcpState::Close, "127.0.0.53:53", "", 0, 4);
    add(TcpState::Close, "[::]:5353", "", 0, 0);
    add(TcpState::Established, "10.0.0.5:40123", "10.0.0.2:53", 0, 0);
    for n in 0..30 {
        add(TcpState::Close, &format!("10.0.0.5:{}", 20_000 + n), "", 0, 0);
    }
    all
}

fn owners(rows: &[SocketRow]) -> Owners {
    let names = ["rsyslogd", "systemd-resolve", "avahi-daemon", HOSTILE];
    let processes = (700..).zip(names).map(|(pid, name)| testkit::process(pid, name, &[])).collect();
    let held = rows.iter().map(|row| (row.inode, 700 + (row.inode - 500).min(3), 4));
    Owners::new(processes, held)
}

fn sample(second: u32, udp: bool) -> (Sample, Owners) {
    let mut sample = worlds::sample(worlds::peers(&[(1, 3)]), second);
    let counters = [("InErrors", 20), ("RcvbufErrors", 20), ("NoPorts", 0)]
        .map(|(name, per_s)| (format!("Udp.{name}").into(), 13_000 + u64::from(second) * per_s));
    sample.facts.counters = Reading::Known(CounterTable::from_pairs(counters.to_vec()));
    let (rows, memory): (Vec<_>, Vec<_>) = datagrams(second).into_iter().unzip();
    let owners = owners(&rows);
    if udp {
        let about = worlds::sample(rows, second);
        sample.udp = Some(Box::new(Sample { protocol: Protocol::Udp, memory, ..about }));
    }
    (sample, owners)
}

fn look(machine: &mut Machine, second: u32, udp: bool) -> Arc<World> {
    let (sample, owners) = sample(second, udp);
    machine.look_owned(sample, owners)
}

/// A machine whose UDP sockets were looked at for twenty seconds.
fn dropping() -> Arc<World> {
    let mut machine = Machine::new();
    (0..20).for_each(|second| drop(look(&mut machine, second, true)));
    look(&mut machine, 20, true)
}

#[test]
fn who_drops_most_is_first_with_the_counters_that_moved() {
    let world = dropping();
    for (width, height) in SIZES {
        let mut rig = Rig::showing(width, height, &world);
        rig.keys("u");
        picture("udp", &rig);
        if width < 40 {
            continue;
        }
        reads(&rig.cursor_line(), &["UNCONN", "0.0.0.0:514"]);
        if width >= 80 {
            reads(&rig.cursor_line(), &["rsyslogd[700]", "13400", "+1200"]);
            let counters = rig.line_with("UDP:");
            reads(&counters, &["RcvbufErrors +20/s", "InErrors +20/s"]);
            assert!(!counters.contains("NoPorts"), "it did not move: {counters}");
            reads(&rig.line_with("10.0.0.5:40123"), &["ESTABLISHED", "10.0.0.2:53"]);
            assert!(rig.lines()[1].contains("UDP sockets"));
            assert!(!rig.text().contains('\u{1b}') && rig.text().contains("\\u{1b}[2J"), "{}", rig.text());
        }
        if width >= 200 {
            reads(&rig.cursor_line(), &["rsyslogd[700]", "212480", "212992", "13400", "+1200", "212992"]);
        }
    }
}

#[test]
fn udp_is_looked_at_only_while_it_is_shown() {
    let mut machine = Machine::new();
    let mut rig = Rig::showing(100, 30, &look(&mut machine, 0, false));
    let said = |rig: &mut Rig, keys: &str| {
        rig.effects.clear();
        rig.keys(keys);
        let watch = |e: &Effect| if let Effect::WatchUdp(yes) = e { Some(*yes) } else { None };
        rig.effects.iter().find_map(watch)
    };
    assert_eq!(said(&mut rig, "2j3"), None);
    assert_eq!(said(&mut rig, "u"), Some(true));
    assert!(rig.text().contains("have not been looked at yet"), "{}", rig.text());
    rig.look(&look(&mut machine, 1, true));
    assert!(rig.text().contains("0.0.0.0:514"), "{}", rig.text());
    // Deeper inside it is still shown; elsewhere it is not.
    rig.key(KeyCode::Enter);
    assert_eq!(said(&mut rig, "?"), None);
    rig.key(KeyCode::Esc);
    assert_eq!(said(&mut rig, "4"), Some(false));
    assert_eq!(said(&mut rig, "u"), Some(true));
    assert_eq!(said(&mut rig, "u"), Some(false));
    assert!(rig.lines()[1].contains("Listeners"), "back where one came from: {}", rig.text());
    assert_eq!(said(&mut rig, "u"), Some(true));
    rig.effects.clear();
    rig.key(KeyCode::Esc);
    assert!(matches!(rig.effects[..], [Effect::WatchUdp(false)]), "{:?}", rig.effects);
}

#[test]
fn what_proves_a_finding_of_udp_are_the_udp_sockets() {
    let subject = Subject::Socket {
        cookie: 0,
        local: testkit::endpoint("0.0.0.0:514"),
        peer: testkit::endpoint("0.0.0.0:0"),
    };
    let finding = |subject| Finding {
        rule: "udp-buffer-errors",
        draft: Draft::new(
            Severity::Warning,
            subject,
            vec![Evidence::new("dropped", Value::Count(400), Source::Observed)],
        ),
        since: Duration::ZERO,
        status: Status::Firing,
        history: Vec::new(),
        explained: Vec::new(),
        formerly: Vec::new(),
    };
    let mut rig = Rig::new(80, 24);
    rig.judged(&dropping(), vec![finding(subject)]);
    rig.keys("F");
    rig.key(KeyCode::Enter);
    assert!(rig.text().contains("shows the UDP sockets"), "{}", rig.text());
    rig.keys("y");
    assert!(rig.text().contains("ss -u"), "{}", rig.text());
    rig.key(KeyCode::Esc);
    rig.keys("K");
    assert!(rig.effects.iter().all(|e| !matches!(e, Effect::Order(_))), "there is no TCP to close");
    rig.key(KeyCode::Enter);
    reads(&rig.cursor_line(), &["UNCONN", "0.0.0.0:514"]);
    assert!(rig.effects.iter().any(|e| matches!(e, Effect::WatchUdp(true))));
    rig.key(KeyCode::Esc);
    assert!(rig.text().contains("Evidence"), "back to the finding: {}", rig.text());

    let mut rig = Rig::new(80, 24);
    let process = Subject::Process { pid: 701, comm: "systemd-resolve".into() };
    rig.judged(&dropping(), vec![finding(process)]);
    rig.keys("F");
    rig.key(KeyCode::Enter);
    rig.key(KeyCode::Enter);
    assert!(rig.text().contains("UDP sockets of systemd-resolve[701]"), "{}", rig.text());
    assert!(rig.text().contains("127.0.0.53:53") && !rig.text().contains("0.0.0.0:514"), "{}", rig.text());
}

#[test]
fn a_udp_socket_is_explained_without_what_only_tcp_has() {
    let mut rig = Rig::showing(100, 40, &dropping());
    rig.keys("u");
    rig.key(KeyCode::Enter);
    let text = rig.text();
    assert!(text.contains("it takes datagrams from everybody"), "{text}");
    reads(&rig.line_with("dropped  "), &["13400"]);
    reads(&rig.line_with("recv buffer"), &["212992"]);
    assert!(!text.contains("timer") && !text.contains("keepalive"), "{text}");
    reads(&rig.line_with("more a minute"), &["+1200"]);
    assert!(!rig.effects.iter().any(|e| matches!(e, Effect::Detail(..))), "the exact question is about TCP");
    picture("udp_detail", &rig);
    rig.keys("o");
    assert!(rig.text().contains("keepalive is of TCP"), "{}", rig.text());
    assert!(!rig.effects.iter().any(|e| matches!(e, Effect::Probe(..))));
    rig.keys("K");
    rig.key(KeyCode::Esc);
    assert!(rig.cursor_line().contains("0.0.0.0:514"));
    rig.keys("K");
    assert!(rig.text().contains("no connection that could be closed"), "{}", rig.text());
    assert!(!rig.effects.iter().any(|e| matches!(e, Effect::Order(_))));
}

#[test]
fn as_a_command_of_ss_it_asks_for_udp_with_the_filter_and_the_drops() {
    let mut rig = Rig::showing(100, 30, &dropping());
    rig.keys("u/sport = :53 or keepalive on");
    rig.key(KeyCode::Enter);
    let said = |rig: &mut Rig| {
        rig.effects.clear();
        rig.keys("y");
        let copied =
            rig.effects.iter().find_map(|e| if let Effect::Copy(t) = e { Some(t.clone()) } else { None });
        let text = rig.text();
        rig.key(KeyCode::Esc);
        (copied.unwrap(), text)
    };
    let (command, text) = said(&mut rig);
    assert_eq!(command, "ss -uanme", "what ss cannot say leaves more, never fewer");
    assert!(text.contains("ss has no keepalive") && text.contains("sorted by drops"), "{text}");
    assert!(!text.contains("6.8"), "UDP has no state of being bound: {text}");
    rig.keys("/");
    rig.send(Msg::Key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL)));
    rig.keys("sport = :53");
    rig.key(KeyCode::Enter);
    assert_eq!(said(&mut rig).0, "ss -uanme 'sport = :53'");
    rig.key(KeyCode::Enter);
    let (command, text) = said(&mut rig);
    assert_eq!(command, "ss -uanme 'src 127.0.0.53:53 and sport = :53'", "{text}");
}

#[test]
fn the_filter_chooses_among_udp_sockets_as_well() {
    let mut rig = Rig::showing(100, 30, &dropping());
    rig.keys("u/sport = :53");
    assert!(rig.text().contains("1 of 34 UDP sockets match"), "{}", rig.text());
    rig.key(KeyCode::Enter);
    let text = rig.text();
    assert!(rig.lines()[0].contains("1 of 34 UDP sockets"), "TCP is not counted here: {text}");
    assert!(text.contains("127.0.0.53:53") && !text.contains("0.0.0.0:514"), "{text}");
    reads(&rig.line_with("127.0.0.53:53"), &["systemd-resolve", "4"]);
}
