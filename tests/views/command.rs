//! What is shown, as a command of ss.

use ratatui::crossterm::event::KeyCode;
use tcptop::model::TcpState;
use tcptop::query::filter::{Filter, Lookup};
use tcptop::testkit;
use tcptop::tui::filter::FilterState;
use tcptop::tui::msg::Effect;

use crate::rig::Rig;
use crate::worlds::{self, DATABASE, Machine};

/// What is copied after these keys.
fn copied(keys: &str) -> (Rig, String) {
    let mut rig = Rig::showing(80, 24, &worlds::busy(40));
    for c in keys.chars() {
        rig.key(if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) });
    }
    rig.keys("y");
    let copied =
        rig.effects.iter().find_map(|e| if let Effect::Copy(text) = e { Some(text.clone()) } else { None });
    let copied = copied.expect("something is copied");
    (rig, copied)
}

#[test]
fn every_view_has_its_command() {
    for (keys, command) in [
        ("2", "ss -tanoe state connected"),
        ("2\n", "ss -tanoe 'dst 10.0.4.2'"),
        ("2p\n", "ss -tanoe 'dst 10.0.4.0/24'"),
        ("3", "ss -tanoe"),
        ("4", "ss -tanoe state listening"),
        ("4\n", "ss -tanoe 'src 127.0.0.1:9000'"),
        ("6", "ss -tanoe state connected"),
        ("6\n", "ss -tanoe 'src 10.0.0.5 and dst 10.0.4.2:3306'"),
        ("5\n", "ss -tanoe"),
        ("/dport 443 and pid 7\n3", "ss -tanoe 'dport = :443'"),
        ("/state time-wait\n6\n", "ss -tanoe state time-wait 'src 10.0.0.5 and dst 10.0.4.2:3306'"),
    ] {
        let (rig, copied) = copied(keys);
        assert_eq!(copied, command, "{keys}");
        assert!(rig.text().contains("As a command of ss"), "{}", rig.text());
    }
    let (_, one) = copied("6\n\n");
    assert!(one.starts_with("ss -tanoe 'src 10.0.0.5:3") && one.contains(DATABASE), "{one}");
}

#[test]
fn what_ss_cannot_say_is_told() {
    let text = copied("/idle > 5m\n3").0.text();
    assert!(text.contains("ss has no idle; left out: idle > 5m"), "{text}");
    assert!(text.contains("ss does not sort; this view is sorted by state"), "{text}");
    assert!(text.contains("Copied to the clipboard"), "{text}");
    insta::assert_snapshot!("command_80x24", text);
    let text = copied("2").0.text();
    assert!(text.contains("ss does not count by peer"), "{text}");
    let text = copied("5\n").0.text();
    assert!(text.contains("ss has no pid"), "{text}");
    let (mut rig, _) = copied("2");
    for (width, height) in [(40, 10), (1, 1), (0, 0)] {
        rig.app.size = ratatui::layout::Size { width, height };
        rig.frame();
    }
    rig.key(KeyCode::Esc);
    assert!(!rig.text().contains("As a command"));
}

/// Knows every cgroup.
struct AnyCgroup;
impl Lookup for AnyCgroup {
    fn cgroup(&self, _: &str) -> Option<u64> {
        Some(1)
    }
}

#[test]
fn what_could_command_a_terminal_is_not_copied() {
    let hostile = "cgroup /x\u{1b}[201~";
    let mut rig = Rig::new(80, 24);
    let filter = Filter::parse(hostile, &AnyCgroup).unwrap();
    rig.app.filter = FilterState::starting_with(filter, hostile);
    rig.look(&Machine::new().look(vec![testkit::socket(TcpState::Listen, "10.0.0.1:80", "")]));
    rig.keys("y");
    assert!(!rig.effects.iter().any(|e| matches!(e, Effect::Copy(_))));
    let text = rig.text();
    assert!(text.contains("Not copied") && text.contains("\\u{1b}"), "{text}");
    assert!(!text.chars().any(|c| c != '\n' && tcptop::model::is_unprintable(c)), "{text}");
}
