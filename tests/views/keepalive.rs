//! Asking the connections of a listener, or of any table, for their keepalive.

use std::time::Duration;

use ratatui::crossterm::event::KeyCode;
use tcptop::analysis::KeepaliveShare;
use tcptop::engine::Options;
use tcptop::model::{Keepalive, Probed, Refusal, SocketOptions, Unprobed};
use tcptop::query::Selection;
use tcptop::tui::msg::{Effect, Msg};

use crate::rig::Rig;
use crate::screens::{picture, reads};
use crate::worlds;

fn options(keepalive: bool, idle: u64, interval: u64, user_timeout: Option<u64>) -> SocketOptions {
    SocketOptions {
        keepalive,
        idle: Duration::from_secs(idle),
        interval: Duration::from_secs(interval),
        probes: 9,
        user_timeout: user_timeout.map(Duration::from_secs),
        linger: None,
    }
}

fn share() -> KeepaliveShare {
    let mut share = KeepaliveShare {
        connections: 12_345,
        others: 18,
        listener: Some(Ok(options(true, 7200, 75, None))),
        ..KeepaliveShare::default()
    };
    let denied: Probed = Err(Unprobed::NotPermitted { pid: 2211, fd: 7, why: Refusal::OtherUser });
    for (n, probed, seen) in [
        (2_000, Ok(options(false, 7200, 75, None)), None),
        (1_000, Ok(options(true, 7200, 75, None)), None),
        (600, Ok(options(true, 300, 10, Some(330))), None),
        (400, denied.clone(), Some(Keepalive::Unknown)),
        (96, denied, Some(Keepalive::Off)),
    ] {
        (0..n).for_each(|_| share.add(&probed, seen));
    }
    share.finish();
    share
}

/// What the engine was to ask.
fn asked(rig: &Rig) -> Vec<Selection> {
    let of = |e: &Effect| if let Effect::ProbeThose(_, select) = e { Some(select.clone()) } else { None };
    rig.effects.iter().filter_map(of).collect()
}

/// On the listener of the web server.
fn listeners(width: u16, height: u16) -> Rig {
    let mut rig = Rig::showing(width, height, &worlds::busy(2));
    rig.keys("4");
    while !rig.cursor_line().contains("0.0.0.0:443") {
        rig.key(KeyCode::Down);
    }
    rig
}

#[test]
fn what_asking_does_is_said_first_and_any_other_key_goes_back_to_the_row() {
    let mut rig = listeners(80, 24);
    rig.keys("o");
    picture("keepalive_offer", &rig);
    assert!(rig.text().contains("net_cls") && rig.text().contains("listener 0.0.0.0:443"), "{}", rig.text());
    rig.key(KeyCode::Esc);
    assert!(asked(&rig).is_empty() && rig.cursor_line().contains("0.0.0.0:443"), "{}", rig.text());
    rig.keys("oo");
    assert_eq!(asked(&rig).len(), 1);
    assert!(rig.text().contains("asking the sockets"), "{}", rig.text());
    // It is not said again, neither for others nor for one socket.
    rig.key(KeyCode::Esc);
    rig.key(KeyCode::Enter);
    rig.keys("o");
    assert_eq!(asked(&rig).len(), 2);
    assert_eq!(asked(&rig)[0], asked(&rig)[1], "the table of a listener means the same connections");
    rig.key(KeyCode::Esc);
    rig.key(KeyCode::Enter);
    rig.keys("o");
    assert!(matches!(rig.effects.last(), Some(Effect::Probe(..))));
}

#[test]
fn the_share_the_times_and_who_forgets_are_shown() {
    for (width, height) in [(80, 24), (200, 50)] {
        let mut rig = listeners(width, height);
        rig.keys("oo");
        rig.send(Msg::Options(Options::Share(Selection::All, Box::new(share()))));
        assert!(rig.text().contains("asking the sockets"), "an answer about others");
        let select = asked(&rig)[0].clone();
        rig.send(Msg::Options(Options::Share(select, Box::new(share()))));
        picture("keepalive", &rig);
        reads(&rig.line_with("evenly chosen"), &["4 096", "12 345", "just now"]);
        reads(&rig.line_with("without  "), &["2 096", "51 %"]);
        reads(&rig.line_with("with  "), &["1 600", "39 %"]);
        reads(&rig.line_with("unknown"), &["400", "9 %"]);
        reads(&rig.line_with("every 10s"), &["600", "5m00s", "9 in all;"]);
        let text = rig.text();
        assert!(text.contains("never noticed") && text.contains("after 2h11m"), "{text}");
        assert!(
            text.contains("user timeout 5m30s") && text.contains("after 5m30s"),
            "the user timeout counts instead of nine probes: {text}"
        );
        rig.key(KeyCode::End);
        let found: Vec<String> = rig.lines();
        let line = |of: &str| found.iter().find(|l| l.contains(of)).unwrap().clone();
        reads(&line("Azure Load"), &["4m00s", "3 600 of 3 600"]);
        reads(&line("AWS Network"), &["5m50s", "3 000 of 3 600"]);
        reads(&line("Linux conntrack"), &["5d0h", "2 000 of 3 600"]);
        reads(&line("the listener"), &["on: a probe after 2h00m"]);
        let text = rig.text();
        assert!(text.contains("CAP_SYS_PTRACE") && text.contains("496"), "{text}");
    }
}

#[test]
fn an_answer_stays_and_tells_its_age_until_it_is_asked_for_again() {
    let mut rig = listeners(80, 24);
    rig.keys("oo");
    let select = asked(&rig)[0].clone();
    rig.send(Msg::Options(Options::Share(select, Box::new(share()))));
    assert!(rig.text().contains("just now"), "{}", rig.text());
    rig.look(&worlds::busy(5));
    assert!(rig.text().contains("3 s ago"), "{}", rig.text());
    rig.keys("o");
    assert_eq!(asked(&rig).len(), 2);
    assert!(rig.text().contains("just now") && rig.text().contains("1 600"), "{}", rig.text());
}

#[test]
fn every_table_of_connections_can_be_asked_and_no_other() {
    for (screen, what) in
        [("2", "Peer"), ("3", "All"), ("4", "Listener"), ("5", "Processes"), ("6", "Destination")]
    {
        let mut rig = Rig::showing(80, 24, &worlds::busy(2));
        rig.keys(screen);
        rig.keys("oo");
        let of = format!("{:?}", asked(&rig));
        assert!(of.starts_with(&format!("[{what}")), "{screen}: {of}\n{}", rig.text());
    }
    for screen in ["7", "8", "u"] {
        let mut rig = Rig::showing(80, 24, &worlds::busy(2));
        rig.keys(screen);
        rig.keys("oo");
        assert!(asked(&rig).is_empty() && !rig.text().contains("net_cls"), "{}", rig.text());
    }
}
