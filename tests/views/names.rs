//! Names in the place of addresses: asked for what is on the screen, drawn where they are known, taken back by a key.

use std::net::IpAddr;
use std::sync::Arc;

use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Size;
use tcptop::model::{Ip, Names, Services};
use tcptop::tui::msg::{Effect, Msg};
use tcptop::tui::names::Naming;

use crate::rig::Rig;
use crate::worlds;

fn ip(text: &str) -> Ip {
    Ip::from(text.parse::<IpAddr>().unwrap())
}

fn learned(hosts: &[(&str, &str)]) -> Names {
    let tcp = [(443, "https".into()), (3306, "mysql".into()), (6379, "redis".into())];
    let services = Services { tcp: tcp.into_iter().collect(), ..Services::default() };
    Names {
        hosts: hosts.iter().map(|(addr, name)| (ip(addr), (*name).into())).collect(),
        services: Arc::new(services),
    }
}

/// The addresses that were asked for since the last call.
fn asked(rig: &mut Rig) -> Vec<Vec<Ip>> {
    let asked =
        rig.effects.iter().filter_map(|e| if let Effect::Name(of) = e { Some(of.clone()) } else { None });
    let asked = asked.collect();
    rig.effects.clear();
    asked
}

#[test]
fn names_stand_where_addresses_stood_and_what_has_none_stays_a_number() {
    let world = worlds::busy(40);
    for (width, height) in [(80, 24), (200, 50), (40, 10), (1, 1)] {
        let mut rig = Rig::showing(width, height, &world);
        assert!(asked(&mut rig).is_empty(), "nobody is asked who is not wanted");
        rig.keys("2R");
        if width >= 80 {
            let last = asked(&mut rig).pop().unwrap();
            assert!(last.contains(&ip("10.0.4.2")), "{last:?}");
            assert!(rig.text().contains("10.0.4.2"), "the address stands until its name is known");
        }
        rig.send(Msg::Names(learned(&[("10.0.4.2", "db-primary.eu-west-1.example"), ("10.0.4.9", "cache")])));
        if width >= 80 {
            let text = rig.text();
            assert!(text.contains("db-primary.eu-w") && text.contains("cache "), "{text}");
            assert!(!text.contains("10.0.4.2 ") && text.contains("10.0.9.9"), "{text}");
        }
        insta::assert_snapshot!(format!("named_peers_{width}x{height}"), rig.text());
        rig.keys("3/dport 3306");
        rig.key(KeyCode::Enter);
        rig.send(Msg::Names(learned(&[("10.0.4.2", "db-primary.eu-west-1.example"), ("10.0.4.9", "cache")])));
        if width >= 80 {
            let line = rig.line_with("mysql");
            assert!(line.contains(":mysql"), "the port of a long name is never cut: {line}");
        }
        insta::assert_snapshot!(format!("named_sockets_{width}x{height}"), rig.text());
        rig.keys("R");
        assert!(!rig.text().contains("mysql"), "numbers again");
    }
}

#[test]
fn what_is_on_the_screen_is_asked_for_and_asked_again_with_every_look() {
    let mut rig = Rig::new(80, 24);
    rig.app.naming = Naming::new(true);
    rig.look(&worlds::busy(40));
    let first = asked(&mut rig);
    assert!(!first.is_empty(), "names from the start");
    rig.send(Msg::Names(learned(&[("10.0.4.2", "db")])));
    assert!(asked(&mut rig).is_empty(), "an answer alone is no reason to ask");
    rig.look(&worlds::busy(39));
    assert!(!asked(&mut rig).is_empty(), "a name can change");
    rig.keys("3");
    asked(&mut rig);
    rig.key(KeyCode::End);
    let bottom = asked(&mut rig);
    assert!(bottom.last().is_some_and(|of| !of.is_empty()), "other rows came on the screen: {bottom:?}");
}

#[test]
fn a_socket_shows_both_and_filters_commands_and_what_is_closed_stay_exact() {
    let mut rig = Rig::showing(120, 40, &worlds::busy(40));
    rig.keys("3");
    rig.keys("/dst 10.0.4.9");
    rig.key(KeyCode::Enter);
    rig.keys("R");
    rig.send(Msg::Names(learned(&[("10.0.4.9", "cache")])));
    assert!(rig.text().contains("cache:redis"), "{}", rig.text());
    rig.key(KeyCode::Enter);
    let line = rig.line_with("peer");
    assert!(line.contains("10.0.4.9:6379 (cache:redis)"), "{line}");
    rig.keys("y");
    assert!(rig.text().contains("10.0.4.9") && !rig.text().contains("cache"), "{}", rig.text());
    rig.key(KeyCode::Esc);
    rig.key(KeyCode::Esc);
    assert!(rig.lines()[0].contains("dst 10.0.4.9"), "{}", rig.lines()[0]);
}

#[test]
fn no_name_commands_the_terminal_or_leaves_its_column() {
    let hostile = "a\u{1b}[2J\u{202e}\u{7}\n日本語日本語日本語日本語日本語日本語日本語日本語日本語";
    for width in [20, 40, 80, 200] {
        let mut rig = Rig::showing(width, 24, &worlds::busy(40));
        rig.keys("3R");
        rig.send(Msg::Names(learned(&[("10.0.4.2", hostile), ("10.0.4.9", hostile), ("10.0.0.5", hostile)])));
        for keys in ["", "2", "6", "4", "1"] {
            rig.keys(keys);
            let text = rig.text();
            let wrong = text.chars().find(|c| *c != '\n' && tcptop::model::is_unprintable(*c));
            assert_eq!(wrong, None, "{text}");
            let wide = |line: &str| unicode_width::UnicodeWidthStr::width(line);
            assert!(rig.lines().iter().all(|l| wide(l) <= usize::from(width)), "{text}");
        }
    }
    let mut rig = Rig::showing(80, 24, &worlds::busy(2));
    rig.keys("3R");
    rig.send(Msg::Names(learned(&[("10.0.4.2", hostile)])));
    for (width, height) in [(0, 0), (1, 1), (3, 2), (7, 5), (30, 8)] {
        rig.send(Msg::Resize(Size { width, height }));
        rig.frame();
    }
}
