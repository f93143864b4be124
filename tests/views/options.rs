//! Asking a socket for its options, on its page.

use std::time::Duration;

use ratatui::crossterm::event::KeyCode;
use tcptop::engine::Options;
use tcptop::model::{Probed, Refusal, SocketOptions, Unprobed};
use tcptop::query::SocketKey;
use tcptop::tui::msg::{Effect, Msg};

use crate::rig::Rig;
use crate::screens::{picture, reads};
use crate::worlds;

const OPTIONS: SocketOptions = SocketOptions {
    keepalive: true,
    idle: Duration::from_secs(300),
    interval: Duration::from_secs(75),
    probes: 9,
    user_timeout: None,
    linger: Some(Duration::from_secs(5)),
};

/// The page of the first socket.
fn page(width: u16, height: u16) -> Rig {
    let mut rig = Rig::showing(width, height, &worlds::busy(2));
    rig.keys("3");
    rig.key(KeyCode::Enter);
    rig
}

/// The sockets that the engine was to ask.
fn asked(rig: &Rig) -> Vec<u64> {
    let of = |e: &Effect| match e {
        Effect::Probe(world, id) => {
            let snapshot = &world.snapshots[usize::from(id.ns)];
            Some(SocketKey::of(snapshot, &snapshot.sample.table.rows[id.row as usize]).id)
        }
        _ => None,
    };
    rig.effects.iter().filter_map(of).collect()
}

fn answered(width: u16, height: u16, probed: Option<Probed>) -> Rig {
    let mut rig = page(width, height);
    rig.keys("oo");
    let cookie = asked(&rig)[0];
    rig.send(Msg::Options(Options::Socket(cookie + 1, None)));
    assert!(rig.text().contains("asking the socket"), "an answer about another socket");
    rig.send(Msg::Options(Options::Socket(cookie, probed)));
    rig
}

#[test]
fn what_asking_does_is_said_before_the_first_time_and_not_again() {
    let mut rig = page(80, 24);
    rig.keys("o");
    picture("options_offer", &rig);
    let text = rig.text();
    assert!(text.contains("Ask the socket for its options?") && text.contains("net_cls"), "{text}");
    assert!(asked(&rig).is_empty(), "nothing is asked yet");
    // Esc declines and stays on the page; so does any other key, and does what it does.
    rig.key(KeyCode::Esc);
    assert!(!rig.text().contains("Ask the socket") && rig.text().contains("cookie"), "{}", rig.text());
    rig.keys("oj");
    assert!(!rig.text().contains("Ask the socket"));
    assert!(asked(&rig).is_empty());
    rig.keys("oo");
    assert_eq!(asked(&rig).len(), 1);
    assert!(rig.text().contains("asking the socket"));
    // Another socket is asked at once.
    rig.key(KeyCode::Esc);
    rig.key(KeyCode::Down);
    rig.key(KeyCode::Enter);
    assert!(!rig.text().contains("asking the socket"));
    rig.keys("o");
    assert_eq!(asked(&rig).len(), 2);
}

#[test]
fn the_options_are_shown_with_what_follows_from_them() {
    for (width, height) in [(80, 24), (200, 50)] {
        let rig = answered(width, height, Some(Ok(OPTIONS)));
        picture("options", &rig);
        reads(&rig.line_with("a probe after"), &["on:", "5m00s", "1m15s,"]);
        reads(&rig.line_with("peer gone"), &["16m15s"]);
        reads(&rig.line_with("forgotten by"), &["Azure Load"]);
        assert!(!rig.text().contains("NAT gateway"), "350 s is later than the first probe");
    }
}

#[test]
fn what_was_read_is_certain_everywhere_on_the_page() {
    let rig = answered(200, 50, Some(Ok(SocketOptions { keepalive: false, ..OPTIONS })));
    let lines: Vec<String> = rig.lines().into_iter().filter(|l| l.contains("keepalive     ")).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|l| l.contains("off")), "{lines:?}");
    assert!(rig.text().contains("never noticed"));
}

#[test]
fn without_an_answer_the_reason_is_said() {
    let why = Unprobed::NotPermitted { pid: 2211, fd: 7, why: Refusal::Yama(1) };
    let rig = answered(80, 24, Some(Err(why)));
    let text = rig.text();
    assert!(text.contains("ptrace_scope is 1") && text.contains("CAP_SYS_PTRACE"), "{text}");
    assert!(answered(80, 24, None).text().contains("it has no options of TCP"));
}
