//! Every screen at every size: the picture, and beside it what it has to mean.

use ratatui::crossterm::event::{KeyCode, MouseEventKind};
use ratatui::layout::Size;
use tcptop::model::{Gap, TableSource, TcpState};
use tcptop::testkit;
use tcptop::tui::msg::{Effect, Msg};
use tcptop::tui::theme::{ASCII, Builtin, Theme, UNICODE};

use crate::rig::Rig;
use crate::worlds::{self, DATABASE, Machine};

pub const SIZES: [(u16, u16); 5] = [(80, 24), (120, 40), (200, 50), (40, 10), (1, 1)];

pub fn picture(name: &str, rig: &Rig) {
    let Size { width, height } = rig.app.size;
    insta::assert_snapshot!(format!("{name}_{width}x{height}"), rig.text());
}

/// Words that stand in a line, in this order.
pub fn reads(line: &str, words: &[&str]) {
    let mut rest = line;
    for word in words {
        let at = rest.find(word).unwrap_or_else(|| panic!("{word:?} is not where it should be in {line:?}"));
        rest = &rest[at + word.len()..];
    }
}

#[test]
fn the_first_screen_says_first_whose_ports_run_out() {
    let world = worlds::busy(40);
    for (width, height) in SIZES {
        let rig = Rig::showing(width, height, &world);
        picture("overview", &rig);
        if width < 40 {
            continue;
        }
        let lines = rig.lines();
        reads(&lines[0], &["web-07", "12 952 sockets", "+43/s", "−31/s"]);
        let ratio = world.snapshots[0].ports.ratio(&world.snapshots[0].ports.destinations[0]);
        assert!((0.99..1.0).contains(&ratio));
        if width == 40 {
            reads(&lines[1], &["ports", "✖99 %", DATABASE, "full in"]);
            reads(&lines[2], &["ESTAB 8 274"]);
            reads(&rig.line_with("TIME_W 3 985"), &["CLOSE_W 563"]);
        } else {
            // The first line inside the frames.
            reads(&lines[2], &["ESTABLISHED", "8 274", "█", "ports", "✖99 %", "3 963/4 000"]);
            reads(&rig.line_with("CLOSE_WAIT"), &["563", "+9", "▁▂▃▄"]);
            assert!(rig.text().contains(&format!("→ {DATABASE}")));
            reads(&rig.line_with("accept q"), &["•75 %", "127.0.0.1:9000"]);
            reads(&rig.line_with("proc fds"), &["▲83 %", "java[2211]"]);
        }
        // The peer with the most connections comes first.
        reads(&rig.cursor_line(), &["10.0.4.2", "3 963", "400"]);
    }
}

#[test]
fn peers_are_counted_by_state() {
    let world = worlds::busy(40);
    for (width, height) in SIZES {
        let mut rig = Rig::showing(width, height, &world);
        rig.keys("2");
        picture("peers", &rig);
        if width >= 80 {
            reads(&rig.line_with("10.0.9.9"), &["763", "200", "–", "563", "763"]);
            assert!(rig.text().contains(" of 7 958 "));
        }
    }
}

#[test]
fn networks_add_up_their_peers() {
    let mut rig = Rig::showing(80, 24, &worlds::busy(40));
    rig.keys("2p");
    picture("networks", &rig);
    assert!(rig.lines()[1].contains("Networks"));
    // 88 half-closed connections of nine addresses.
    reads(&rig.line_with("10.3.0.0/24"), &["89"]);
    rig.keys("p");
    assert!(rig.lines()[1].contains("Peers"));
}

#[test]
fn sockets_show_their_timers_and_what_is_known_of_keepalive() {
    let world = worlds::busy(40);
    for (width, height) in SIZES {
        let mut rig = Rig::showing(width, height, &world);
        rig.keys("3");
        picture("sockets", &rig);
        if width >= 80 {
            // Addresses and ports are never cut, and a timer that hides keepalive makes it unknown.
            let line = rig.line_with(":26209");
            reads(&line, &["ESTABLISHED", "10.0.0.5:443", "10.1.170.243:26209", "keepalive 1h43m", "on"]);
            reads(&rig.line_with(":25076"), &["retransmit 476", "unknown"]);
            reads(&rig.line_with(":27415"), &["off"]);
        }
    }
}

#[test]
fn listeners_come_fullest_queue_first() {
    let world = worlds::busy(40);
    for (width, height) in SIZES {
        let mut rig = Rig::showing(width, height, &world);
        rig.keys("4");
        picture("listeners", &rig);
        if width >= 80 {
            reads(&rig.cursor_line(), &["127.0.0.1:9000", "java[2211]", "97", "128", "•75%"]);
            // What the kernel did not tell is not zero.
            reads(&rig.line_with("0.0.0.0:22 "), &["128", "?"]);
        }
    }
}

#[test]
fn ports_are_shown_by_destination() {
    let world = worlds::busy(40);
    for (width, height) in SIZES {
        let mut rig = Rig::showing(width, height, &world);
        rig.keys("6");
        picture("ports", &rig);
        if width >= 80 {
            reads(&rig.cursor_line(), &[DATABASE, "10.0.0.5", "3 963", "4 000", "✖99%", "12s"]);
            reads(&rig.line_with("10.0.4.9:6379"), &["130", "4 000", "3%"]);
        }
    }
}

#[test]
fn the_help_names_every_live_key_and_every_column() {
    let world = worlds::busy(2);
    for (width, height) in SIZES {
        let mut rig = Rig::showing(width, height, &world);
        rig.keys("?");
        picture("help", &rig);
    }
    let mut rig = Rig::showing(120, 70, &world);
    rig.keys("3?");
    let text = rig.text();
    for binding in tcptop::tui::keymap::KEYMAP {
        let live = binding.when != tcptop::tui::keymap::When::Peers
            && binding.when != tcptop::tui::keymap::When::Processes
            && binding.when != tcptop::tui::keymap::When::Deep
            && binding.when != tcptop::tui::keymap::When::Detail
            && binding.when != tcptop::tui::keymap::When::Kernel
            && binding.when != tcptop::tui::keymap::When::AskToClose
            // There is one namespace only.
            && !binding.help.contains("network namespace");
        assert_eq!(text.contains(binding.help), live, "{}", binding.help);
    }
    reads(&rig.line_with("KEEPALIVE "), &["SO_KEEPALIVE"]);
}

#[test]
fn a_socket_is_explained() {
    let world = worlds::busy(40);
    for (width, height) in SIZES {
        let mut rig = Rig::showing(width, height, &world);
        rig.keys("2");
        rig.key(KeyCode::Down);
        rig.key(KeyCode::Enter);
        rig.key(KeyCode::End);
        rig.key(KeyCode::Enter);
        picture("detail", &rig);
        if width >= 80 {
            let text = rig.text();
            assert!(text.contains("CLOSE_WAIT"));
            assert!(text.contains("it is a leak in the program"));
            assert!(text.contains("10.0.9.9:"));
            assert!(text.contains("keepalive is off"), "a pending timer of none proves it");
        }
    }
}

#[test]
fn what_the_kernel_says_of_one_socket_is_added_when_it_comes() {
    let world = worlds::busy(2);
    let mut rig = Rig::showing(120, 60, &world);
    rig.keys("3");
    rig.key(KeyCode::Enter);
    let asked = rig.effects.iter().find_map(|e| match e {
        Effect::Detail(row, _) => Some(*row),
        _ => None,
    });
    let row = asked.expect("opening a socket asks for it");
    let mut info = vec![0; 280];
    info[68..72].copy_from_slice(&25_300_u32.to_ne_bytes());
    let detail = tcptop::model::SocketDetail {
        row,
        origin: tcptop::model::Origin::default(),
        info: Some(tcptop::model::TcpInfo::new(&info)),
        mem: None,
        congestion: Some("cubic".into()),
        ulp: None,
    };
    rig.send(Msg::Detail((row.cookie() + 1, None)));
    assert!(!rig.text().contains("found nothing"), "an answer about another socket");
    rig.send(Msg::Detail((row.cookie(), Some(detail))));
    picture("live_detail", &rig);
    reads(&rig.line_with("round trip"), &["25.3 ms"]);
    reads(&rig.line_with("congestion"), &["cubic"]);
    assert!(rig.text().contains("rcv_ssthresh"));
}

#[test]
fn what_is_missing_is_said() {
    let mut machine = Machine::new();
    machine.host.privileges.effective = 0;
    let rows = vec![
        testkit::socket(TcpState::Listen, "10.0.0.1:80", ""),
        testkit::socket(TcpState::Established, "10.0.0.1:80", "10.0.0.2:2"),
    ];
    let world = machine.look_at(rows, |sample| {
        sample.completeness.source = TableSource::Procfs;
        sample.completeness.gaps = vec![Gap::Lost, Gap::BoundInactiveHidden];
        sample.completeness.duplicates = 7;
    });
    let mut rig = Rig::showing(200, 50, &world);
    picture("incomplete", &rig);
    let footer = rig.lines().pop().unwrap();
    reads(&footer, &["? help", "/proc/net/tcp", "ENOBUFS"]);
    // What had no room stands in the help.
    rig.keys("?");
    rig.send(Msg::Resize(Size { width: 80, height: 90 }));
    let text = rig.text();
    for said in ["/proc/net/tcp", "ENOBUFS", "bound but unconnected", "7 duplicates", "CAP_NET_ADMIN"] {
        assert!(text.contains(said), "{said} in\n{text}");
    }
    // A limit that is not known is not a limit of zero.
    let rig = Rig::showing(120, 40, &world);
    reads(&rig.line_with("accept q"), &["?", "does not tell the backlog"]);
}

#[test]
fn what_is_older_than_the_look_is_said() {
    let rows = vec![testkit::socket(TcpState::Listen, "10.0.0.1:80", "")];
    let said = "kernel memory (BPF); bound, unconnected sockets: every 4th look";
    for (source, is_said) in [(TableSource::Memory, true), (TableSource::SockDiag, false)] {
        let world = Machine::new().look_at(rows.clone(), |sample| sample.completeness.source = source);
        let mut rig = Rig::showing(100, 90, &world);
        rig.keys("?");
        assert_eq!(rig.text().contains(said), is_said, "{}", rig.text());
    }
}

#[test]
fn before_the_first_look_nothing_is_claimed() {
    let mut rig = Rig::new(80, 24);
    picture("empty", &rig);
    assert!(rig.text().contains("reading the socket tables"));
    rig.send(Msg::Look(Err("no sock_diag and no /proc".to_owned())));
    assert!(rig.text().contains("cannot look: no sock_diag and no /proc"));
}

#[test]
fn without_colours_and_without_unicode_the_same_is_said() {
    let world = worlds::busy(40);
    let mut rig = Rig::showing(80, 24, &world);
    let unicode = rig.text();
    rig.theme = Theme::builtin(Builtin::Mono, &ASCII);
    picture("ascii", &rig);
    let ascii = rig.text();
    assert!(ascii.is_ascii());
    reads(&rig.lines()[2], &["ESTABLISHED", "8 274", "#", "ports", "X99 %"]);
    assert_eq!(unicode.lines().count(), ascii.lines().count());
    let frame = rig.frame();
    for cell in frame.backend().buffer().content() {
        let colours = (cell.fg, cell.bg);
        assert_eq!(colours, (ratatui::style::Color::Reset, ratatui::style::Color::Reset));
    }
    for screen in ["2", "3", "4", "5", "6", "?"] {
        rig.keys(screen);
        assert!(rig.text().is_ascii(), "screen {screen}\n{}", rig.text());
    }
}

#[test]
fn both_colour_themes_use_sixteen_colours_and_mark_the_cursor() {
    let world = worlds::busy(2);
    for which in [Builtin::Dark, Builtin::Light] {
        let mut rig = Rig::showing(80, 24, &world);
        rig.theme = Theme::builtin(which, &UNICODE);
        let frame = rig.frame();
        let buffer = frame.backend().buffer();
        let rgb = buffer
            .content()
            .iter()
            .any(|c| matches!(c.fg, ratatui::style::Color::Rgb(..) | ratatui::style::Color::Indexed(_)));
        assert!(!rgb);
        let selected = rig.theme.style(tcptop::tui::theme::Role::Selected).bg;
        assert!(selected.is_some());
        // Parts of bars look like the cursor, but are not on its line.
        let mut cursors = buffer.content().iter().filter(|c| c.symbol() == UNICODE.cursor);
        assert!(cursors.any(|c| Some(c.bg) == selected));
    }
}

#[test]
fn no_size_of_the_terminal_breaks_any_screen() {
    let mut rows = worlds::peers(&[(1, 50), (2, 9), (3, 1)]);
    rows.push(testkit::socket(TcpState::Listen, "[2001:db8:1:2:3:4:5:6]:44321", ""));
    let world = Machine::new().look(rows);
    let mut rig = Rig::showing(80, 24, &world);
    for keys in ["1", "2", "3", "4", "5", "6", "3\n", "2\n", "5\n", "5p", "?"] {
        rig.key(KeyCode::Esc);
        for c in keys.chars() {
            rig.key(if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) });
        }
        for width in (0..30).chain([59, 60, 61, 119, 120, 159, 160, 300]) {
            for height in (0..20).chain([24, 50]) {
                rig.send(Msg::Resize(Size { width, height }));
                rig.key(KeyCode::Down);
                rig.mouse(MouseEventKind::ScrollDown, 0, 0);
                rig.click(width / 2, height / 2);
                rig.frame();
            }
        }
    }
}

#[test]
fn names_that_others_chose_cannot_command_the_terminal() {
    let mut machine = Machine::new();
    let hostile = tcptop::model::ForeignText::from_bytes(b"\x1b[2J\x07\nx\xe2\x80\xae");
    machine.host.hostname = hostile.clone();
    machine.host.kernel = hostile.clone();
    let world = machine.look_at(worlds::peers(&[(1, 3)]), |sample| sample.netns.name = hostile);
    let mut rig = Rig::showing(200, 50, &world);
    for keys in ["1", "2", "3", "3\n", "4", "5", "6", "?"] {
        keys.chars().for_each(|c| rig.key(if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) }));
        let text = rig.text();
        let wrong = text.chars().find(|c| *c != '\n' && tcptop::model::is_unprintable(*c));
        assert_eq!(wrong, None, "{text}");
        assert!(text.contains("\\u{1b}[2J"), "it is shown for what it is");
    }
}
