//! The processes screen: who holds the sockets, and what nobody holds.

use std::sync::Arc;

use ratatui::crossterm::event::KeyCode;
use ratatui::layout::Size;
use tcptop::analysis::{DeadOrUnbound, KeepaliveShare, World};
use tcptop::engine::Options;
use tcptop::model::{
    Cgroup, Container, ForeignText, InNoTable, Origin, Owners, Process, Reading, Runtime, SocketRow,
    TcpState, Unlisted, Unprobed,
};
use tcptop::query::{ProcessKey, Selection};
use tcptop::testkit::{self, socket};
use tcptop::tui::msg::Msg;

use crate::rig::Rig;
use crate::screens::{SIZES, picture, reads};
use crate::worlds::{self, Machine};

/// Descriptors that java holds at first, and its limit.
const JAVA_FDS: (u64, u64) = (3_500, 4_096);

fn rows(second: u32) -> Vec<SocketRow> {
    let mut rows = Vec::new();
    let mut add = |state, local: &str, peer: &str, inode| {
        let mut row = socket(state, local, peer);
        row.inode = inode;
        row.set_cookie(u32::try_from(rows.len()).unwrap() + 1, 1);
        rows.push(row);
    };
    add(TcpState::Listen, "0.0.0.0:80", "", 100);
    add(TcpState::Listen, "0.0.0.0:22", "", 101);
    for n in 0..40 {
        add(TcpState::Established, "10.0.0.5:80", &format!("10.1.0.{n}:5000"), 1_000 + n);
    }
    for n in 0..300 + second * 4 {
        add(TcpState::CloseWait, &format!("10.0.0.5:{}", 30_000 + n), "10.0.4.2:443", 2_000 + n);
    }
    add(TcpState::Established, "10.0.0.5:22", "10.7.0.1:6000", 102);
    // Somebody else's, and what is nobody's.
    for n in 0..12 {
        add(TcpState::Established, "10.0.0.5:5432", &format!("10.6.0.1:{}", 7_000 + n), 900 + n);
    }
    for n in 0..500 {
        add(TcpState::TimeWait, "10.0.0.5:80", &format!("10.2.0.1:{}", 10_000 + n), 0);
    }
    for n in 0..3 {
        add(TcpState::LastAck, "10.0.0.5:80", &format!("10.3.0.1:{}", 10_000 + n), 0);
    }
    add(TcpState::Established, "10.0.0.5:80", "10.4.0.1:9000", 0);
    add(TcpState::SynRecv, "10.0.0.5:80", "10.4.0.2:9000", 0);
    add(TcpState::Established, "10.0.0.5:700", "10.4.0.3:2049", 0);
    rows
}

fn cgroup(path: &str, unit: Option<&str>, container: Option<&str>) -> Reading<Arc<Cgroup>> {
    let container = container.map(|name| Container {
        runtime: Runtime::Docker,
        id: name.into(),
        pod: None,
        name: name.into(),
    });
    Reading::Known(Arc::new(Cgroup { path: path.into(), unit: unit.map(ForeignText::from), container }))
}

fn owners(rows: &[SocketRow], second: u32) -> Owners {
    let process = |pid, comm: &str, uid, fds: (u64, u64), cgroup| Process {
        uid,
        cgroup,
        fds: Reading::Known(fds.0),
        fd_limit: Reading::Known(fds.1),
        ..testkit::process(pid, comm, &[])
    };
    let nginx = || cgroup("/system.slice/nginx.service", Some("nginx.service"), None);
    let docker = "docker:4f2a9c31d7b0";
    let java = cgroup("/system.slice/docker-4f2a.scope", Some("docker-4f2a.scope"), Some(docker));
    let mut processes = vec![
        process(616, "nginx", 33, (120, 65_536), nginx()),
        process(617, "nginx", 33, (90, 65_536), nginx()),
        process(2211, "java", 1001, (JAVA_FDS.0 + u64::from(second) * 5, JAVA_FDS.1), java),
        process(701, "sshd", 0, (9, 1_024), cgroup("/system.slice/ssh.service", Some("ssh.service"), None)),
    ];
    processes[2].unlisted = Reading::Known(40 + second);
    let mut hidden = process(900, "nginx", 0, (7, 1_024), nginx());
    hidden.sockets = Reading::Unreadable("reading /proc/900/fd: permission denied".into());
    processes.push(hidden);
    let held = rows.iter().filter(|r| r.inode != 0).flat_map(|row| {
        let pids: &[u32] = match row.inode {
            100 => &[616, 617],
            101 | 102 => &[701],
            900..1_000 => &[],
            1_000..2_000 if row.inode % 2 == 0 => &[616],
            1_000..2_000 => &[617],
            _ => &[2211],
        };
        pids.iter().map(|pid| (row.inode, *pid, 7))
    });
    let mut owners = Owners::new(processes, held);
    owners.unheld = (900..912).collect();
    owners.hidden = 6;
    let which = (0..40 + second).map(|n| InNoTable { fd: 700 + n, inode: 70_000 + n });
    owners.in_no_table = [(2211, which.collect())].into_iter().collect();
    let users = [(0, "root"), (33, "www-data"), (70, "postgres"), (1001, "app")];
    owners.users = Arc::new(users.into_iter().map(|(uid, name)| (uid, name.into())).collect());
    owners
}

/// The machine of a leaking java after 40 looks, one a second.
fn leaking() -> Arc<World> {
    let mut machine = Machine::new();
    let mut look = |second| {
        let rows = rows(second);
        let owners = owners(&rows, second);
        let mut sample = worlds::sample(rows, second);
        let postgres = sample.table.intern(Origin { uid: 70, ..Origin::default() });
        sample
            .table
            .rows
            .iter_mut()
            .filter(|r| (900..1_000).contains(&r.inode))
            .for_each(|r| r.origin = postgres);
        machine.look_owned(sample, owners)
    };
    (0..39).for_each(|second| drop(look(second)));
    look(39)
}

#[test]
fn the_first_screen_says_at_every_size_that_processes_are_hidden_and_where_it_is_said_why() {
    let world = leaking();
    for (width, height) in SIZES {
        let mut rig = Rig::showing(width, height, &world);
        if width < 40 {
            continue;
        }
        let text = rig.text();
        picture("hidden", &rig);
        assert!(
            rig.lines()[0].contains(if width < 60 { "6 hidden, see 5" } else { "6 processes hidden, see 5" }),
            "{text}"
        );
        // The nearest process that may be looked into is not the nearest of all.
        let limit = rig.lines().into_iter().find(|l| l.contains("proc fds"));
        if let Some(limit) = limit.filter(|_| width >= 80) {
            assert!(limit.contains("▲≥90 %"), "{text}");
        }
        rig.keys("/state established or dst 10.0.0.0/8 and not dport = :443");
        rig.key(KeyCode::Enter);
        assert!(
            width < 80 || rig.lines()[0].contains("hidden, see 5"),
            "beside a filter, too: {}",
            rig.text()
        );
        rig.keys("5");
        assert!(!rig.lines()[0].contains("hidden"), "it stands below, with the reason");
    }
}

#[test]
fn who_leaks_is_first_with_its_descriptors_and_how_long_they_last() {
    let world = leaking();
    for (width, height) in SIZES {
        let mut rig = Rig::showing(width, height, &world);
        rig.keys("5");
        picture("processes", &rig);
        if width >= 40 {
            reads(&rig.cursor_line(), &["java", "2211", "456"]);
        }
        if width >= 80 {
            let text = rig.text();
            // 5 descriptors a second, 401 are left.
            reads(&rig.cursor_line(), &["456", "–", "456", "▲90%", "1m20s"]);
            assert!(text.contains("the descriptors of 6 processes cannot be read"), "{text}");
            assert!(text.contains("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"), "what would help\n{text}");
            // What could not be looked into is somebody's, and its descriptors are not zero.
            reads(&rig.line_with("(hidden)"), &["12", "?"]);
            for (what, count) in [
                ("(TIME_WAIT)", "500"),
                ("(orphan)", "3"),
                ("(not accepted)", "1"),
                ("(half open)", "1"),
                ("(kernel)", "1"),
            ] {
                let line = rig.line_with(what);
                reads(&line, &[what, count]);
                assert!(!line.contains('?'), "it has no descriptors: {line}");
            }
            let at = |what| rig.lines().iter().position(|l| l.contains(what)).unwrap();
            assert!(at("sshd") < at("(TIME_WAIT)"), "what is no process comes last, however many they are");
        }
        if width >= 200 {
            reads(&rig.line_with("NAME"), &["SOCKETS", "FDS", "FD-LIMIT", "FD%", "FDS-OUT", "NO-TABLE"]);
            reads(
                &rig.cursor_line(),
                &["3 695", "4 096", "█", "▲90%", "1m20s", "79", "app", "docker:4f2a9c31d7b0"],
            );
            reads(&rig.line_with("(hidden)"), &["postgres"]);
        }
    }
}

#[test]
fn processes_are_put_together_by_one_key() {
    let mut rig = Rig::showing(120, 40, &leaking());
    rig.keys("5");
    assert!(rig.lines()[1].contains("Processes"));
    rig.keys("p");
    assert!(rig.lines()[1].contains("Commands"));
    // The listener that both hold counts once; each has twenty connections.
    reads(&rig.line_with("nginx"), &["nginx", "≥2", "≥41", "40"]);
    assert!(rig.text().contains("sums of their groups are at least"));
    picture("commands", &rig);
    rig.keys("p");
    assert!(rig.lines()[1].contains("Users"));
    // The kernel says whose the sockets are even if their process cannot be looked into.
    reads(&rig.line_with("postgres"), &["12"]);
    assert!(!rig.text().contains("(hidden)"));
    rig.keys("p");
    assert!(rig.lines()[1].contains("systemd units"));
    reads(&rig.line_with("nginx.service"), &["2", "41"]);
    rig.keys("p");
    assert!(rig.lines()[1].contains("Containers"));
    reads(&rig.line_with("docker:4f2a9c31d7b0"), &["1", "456"]);
    reads(&rig.line_with("(no container)"), &["3", "43"]);
    picture("containers", &rig);
    rig.keys("p");
    assert!(rig.lines()[1].contains("Processes"));
}

#[test]
fn sockets_in_no_table_are_named_above_the_sockets_of_their_process() {
    for (width, height) in [(80, 24), (200, 50)] {
        let mut rig = Rig::showing(width, height, &leaking());
        rig.keys("5");
        rig.key(KeyCode::Enter);
        reads(&rig.line_with("in no table"), &["79 TCP sockets"]);
        let text = rig.text();
        assert!(text.contains("700, 701,") && !text.contains("712"), "{text}");
        picture("in_no_table", &rig);
        rig.keys("oo");
        let dead = |n: u32, told| DeadOrUnbound {
            pid: 2211,
            which: InNoTable { fd: 700 + n, inode: 70_000 + n },
            told,
        };
        let local = Some(testkit::endpoint("10.0.0.5:40001"));
        let share = KeepaliveShare {
            in_no_table: vec![
                dead(0, Ok(Unlisted { state: TcpState::Close, local })),
                dead(1, Ok(Unlisted { state: TcpState::Close, local: None })),
                dead(2, Err(Unprobed::DescriptorGone { pid: 2211, fd: 702 })),
            ],
            ..KeepaliveShare::default()
        };
        let select = Selection::Processes(ProcessKey::Pid(2211));
        rig.send(Msg::Options(Options::Share(select, Box::new(share))));
        rig.key(KeyCode::End);
        reads(&rig.line_with("fd 700"), &["2211", "socket:[70000]", "CLOSE", "10.0.0.5:40001"]);
        reads(&rig.line_with("fd 701"), &["CLOSE", "no address"]);
        reads(&rig.line_with("fd 702"), &["not known"]);
    }
}

#[test]
fn every_row_opens_its_sockets_and_escape_returns_to_it() {
    for groupings in 0..5 {
        let mut rig = Rig::showing(120, 40, &leaking());
        rig.keys("5");
        rig.keys(&"p".repeat(groupings));
        let rows = rig.app.table().unwrap().lines();
        assert!(rows > 3);
        for line in 0..rows {
            rig.keys("g");
            rig.keys(&"j".repeat(line));
            let before = rig.text();
            let cursor = rig.cursor_line().replace('▌', " ");
            // The number of sockets is the last of the first columns that are always there.
            let head = rig.line_with("SOCKETS");
            let end = head
                .chars()
                .collect::<Vec<_>>()
                .windows(7)
                .position(|w| w.iter().collect::<String>() == "SOCKETS")
                .unwrap()
                + 7;
            let count: String = cursor.chars().take(end).collect();
            let count = count.split("  ").last().unwrap().trim().trim_start_matches('≥').to_owned();
            rig.key(KeyCode::Enter);
            let title = rig.lines()[1].clone();
            assert!(title.contains("Sockets"), "{title}");
            let shown = title.trim_end_matches(['─', '╮', ' ']);
            assert!(shown.ends_with(&count), "{cursor} opened {title}");
            rig.key(KeyCode::Esc);
            assert_eq!(rig.text(), before);
        }
    }
}

#[test]
fn the_cursor_follows_a_process_and_a_process_that_ended_is_gone() {
    let mut machine = Machine::new();
    let look = |machine: &mut Machine, second, without: u32| {
        let rows = rows(second);
        let mut owners = owners(&rows, second);
        owners.processes.retain(|p| p.pid != without);
        let kept = owners.processes.clone();
        let held: Vec<_> = rows
            .iter()
            .flat_map(|r| owners.holders(r.inode).iter().map(|h| (r.inode, *h)))
            .filter_map(|(inode, h)| Some((inode, kept.get(h.process as usize)?.pid, h.fd)))
            .collect();
        let owners = Owners::new(kept, held.into_iter());
        machine.look_owned(worlds::sample(rows, second), owners)
    };
    let mut rig = Rig::showing(120, 40, &look(&mut machine, 0, 0));
    rig.keys("5G");
    while !rig.cursor_line().contains("sshd") {
        rig.keys("k");
    }
    rig.keys("r");
    assert!(rig.cursor_line().contains("sshd"));
    rig.look(&look(&mut machine, 1, 701));
    let line = rig.cursor_line();
    assert!(line.contains("sshd  701") && line.contains("gone just now"), "{line}");
}

#[test]
fn before_the_processes_were_looked_at_nothing_is_claimed() {
    let mut rig = Rig::showing(80, 24, &Arc::new(testkit::world_of(rows(0))));
    rig.keys("5");
    assert!(rig.text().contains("the processes have not been looked at yet"), "{}", rig.text());
}

#[test]
fn hostile_processes_cannot_command_the_terminal() {
    let rows = rows(0);
    let mut owners = owners(&rows, 0);
    let hostile = "\u{1b}[2J\u{7}\nx\u{202e}";
    for p in &mut owners.processes {
        p.comm = hostile.into();
        p.cgroup = cgroup(hostile, Some(hostile), Some(hostile));
    }
    owners.users = Arc::new([(33, hostile.into())].into_iter().collect());
    let world = Machine::new().look_owned(worlds::sample(rows, 0), owners);
    let mut rig = Rig::showing(200, 50, &world);
    rig.keys("5");
    for _ in 0..5 {
        for open in [false, true] {
            if open {
                rig.key(KeyCode::Enter);
            }
            let text = rig.text();
            let wrong = text.chars().find(|c| *c != '\n' && tcptop::model::is_unprintable(*c));
            assert_eq!(wrong, None, "{text}");
            assert!(text.contains("\\u{1b}[2J"), "it is shown for what it is\n{text}");
            let width = rig.app.size.width;
            assert!(
                rig.lines()
                    .iter()
                    .all(|l| unicode_width::UnicodeWidthStr::width(l.as_str()) <= usize::from(width))
            );
        }
        rig.key(KeyCode::Esc);
        rig.keys("p");
    }
    rig.app.size = Size { width: 40, height: 10 };
    rig.frame();
}
