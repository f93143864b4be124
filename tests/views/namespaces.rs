//! Several network namespaces: together, or one at a time.

use std::sync::Arc;

use ratatui::crossterm::event::KeyCode;
use tcptop::analysis::{Analyzer, World};
use tcptop::diagnose::{Judged, Judgement, RuleBook};
use tcptop::model::{Netns, TcpState, Unexamined};
use tcptop::testkit::socket;
use tcptop::tui::msg::Msg;

use crate::rig::Rig;
use crate::screens::{SIZES, picture, reads};
use crate::worlds::{self, peers};

/// What somebody called a namespace.
const HOSTILE: &str = "\u{1b}[2J\n";

/// Namespaces with so many connections each.
fn world(second: u32, spaces: &[(&str, u32)]) -> Arc<World> {
    let snapshots = (1..).zip(spaces).map(|(inode, (name, connections))| {
        let mut sample = worlds::sample(peers(&[(u8::try_from(inode).unwrap(), *connections)]), second);
        sample.netns = Netns { inode, name: (*name).into() };
        Analyzer::default().derive(sample)
    });
    let unexamined = vec![
        Unexamined { netns: Netns { inode: 77, name: "db".into() }, reason: "Permission denied".to_owned() },
        Unexamined {
            netns: Netns { inode: 78, name: HOSTILE.into() },
            reason: "its process has ended".to_owned(),
        },
    ];
    let host = Arc::new(tcptop::testkit::host());
    Arc::new(World {
        generation: second.into(),
        host,
        snapshots: snapshots.collect(),
        unexamined,
        own_cpu: None,
    })
}

const SPACES: [(&str, u32); 3] = [("init", 3), ("docker:4f2a9c31d7b0", 40), (HOSTILE, 500)];

#[test]
fn one_namespace_after_the_other_is_shown_alone_and_it_is_said_which() {
    for (width, height) in SIZES {
        let mut rig = Rig::showing(width, height, &world(1, &SPACES));
        rig.keys("nn");
        picture("namespace", &rig);
        if width < 80 {
            continue;
        }
        let text = rig.text();
        assert!(!text.contains('\u{1b}'), "{text}");
        reads(&rig.lines()[0], &["netns docker:4f2a9c31d7b0 (2 of 3)", "40 sockets"]);
        reads(&rig.line_with("ESTABLISHED"), &["40"]);
        assert!(shown(&rig).contains("10.9.0.2") && !shown(&rig).contains("10.9.0.1"), "{text}");
    }
}

/// The rows of the table.
fn shown(rig: &Rig) -> String {
    rig.lines().into_iter().filter(|l| l.contains("10.9.0.")).collect()
}

#[test]
fn all_together_come_before_the_first_and_the_panes_say_whose_they_are() {
    let mut rig = Rig::showing(120, 40, &world(1, &SPACES));
    picture("namespaces", &rig);
    reads(&rig.lines()[0], &["3 netns", "543 sockets"]);
    assert!(rig.line_with("States").contains("States of init"));
    for (key, connections) in [('n', "3"), ('n', "40"), ('n', "500")] {
        rig.key(KeyCode::Char(key));
        reads(&rig.lines()[0], &["of 3)", &format!("{connections} sockets")]);
        reads(&rig.line_with("ESTABLISHED"), &[connections]);
        assert!(!rig.text().contains("States of"), "there is only one: {}", rig.text());
    }
    rig.keys("n");
    reads(&rig.lines()[0], &["3 netns", "543 sockets"]);
    rig.keys("N");
    reads(&rig.lines()[0], &["(3 of 3)", "500 sockets"]);
    // A new look keeps the choice; one without the namespace shows all, and says so.
    rig.look(&world(2, &SPACES));
    reads(&rig.lines()[0], &["(3 of 3)", "500 sockets"]);
    rig.look(&world(3, &SPACES[..2]));
    reads(&rig.lines()[0], &["2 netns", "43 sockets"]);
    assert!(rig.text().contains("is gone; these are all"), "{}", rig.text());
    let mut alone = Rig::showing(120, 40, &world(1, &SPACES[..1]));
    alone.keys("n");
    assert!(alone.text().contains("--netns all looks at all of them"));
}

#[test]
fn namespaces_that_could_not_be_entered_are_listed_as_not_examined() {
    let mut rig = Rig::showing(120, 60, &world(1, &SPACES));
    reads(rig.lines().last().unwrap(), &["netns db and 1 more not examined: Permission denied"]);
    rig.keys("?");
    rig.key(KeyCode::End);
    let text = rig.text();
    assert!(text.contains("netns db and 1 more not examined: Permission denied"), "{text}");
    assert!(text.contains("netns \\u{1b}[2J\\n not examined: its process has ended"), "{text}");
    rig.key(KeyCode::Esc);
    // They stay so when one of the others is shown alone.
    rig.keys("n");
    assert!(rig.lines().last().unwrap().contains("not examined"));
}

/// The same listener in two namespaces, as containers have them.
#[test]
fn a_row_opens_the_sockets_of_its_own_namespace() {
    let e = TcpState::Established;
    let snapshots = (1..).zip([3, 5]).map(|(inode, connections)| {
        let mut rows = vec![socket(TcpState::Listen, "0.0.0.0:80", "")];
        for n in 0..connections {
            rows.push(socket(e, "10.0.0.1:80", &format!("10.9.0.{inode}:{}", 5_000 + n)));
        }
        let mut sample = worlds::sample(rows, 1);
        sample.netns = Netns { inode, name: format!("space-{inode}").as_str().into() };
        Analyzer::default().derive(sample)
    });
    let host = Arc::new(tcptop::testkit::host());
    let snapshots = snapshots.collect();
    let world = Arc::new(World { generation: 1, host, snapshots, unexamined: Vec::new(), own_cpu: None });
    for (space, connections) in [("space-1", 3), ("space-2", 5)] {
        let mut rig = Rig::showing(200, 50, &world);
        rig.keys("4");
        if !rig.cursor_line().contains(space) {
            rig.key(KeyCode::Down);
        }
        reads(&rig.cursor_line(), &[space]);
        rig.key(KeyCode::Enter);
        reads(&rig.lines()[1].clone(), &["Sockets", &format!(" {} ", connections + 1)]);
        let other = if space == "space-1" { "space-2" } else { "space-1" };
        assert!(!rig.text().contains(other), "{}", rig.text());
    }
}

/// A finding says of which namespace it is, in the pane, in its table and on its page, and opens the sockets of that one.
#[test]
fn findings_of_several_namespaces_say_whose_they_are() {
    let spaces = [("init", 30), ("docker:4f2a9c31d7b0", 30)];
    let mut analyzers = spaces.map(|_| Analyzer::default());
    let mut leaking = |second| {
        let mut world = (*world(second, &spaces)).clone();
        for (snapshot, analyzer) in world.snapshots.iter_mut().zip(&mut analyzers) {
            let mut sample = snapshot.sample.clone();
            let rows = sample.table.rows.iter_mut().filter(|r| r.state == TcpState::Established);
            rows.for_each(|r| (r.state, r.inode, r.recv_q) = (TcpState::CloseWait, 7, 1));
            *snapshot = analyzer.derive(sample);
        }
        world
    };
    let mut judges = spaces.map(|_| RuleBook::defaults().unwrap().judge());
    let mut judgements = Vec::new();
    let mut last = leaking(0);
    for second in 0..100 {
        last = leaking(second);
        let each = judges.iter_mut().zip(&last.snapshots);
        judgements = each.map(|(judge, s)| judge.look(&last.host, s, &mut |_| None)).collect();
    }
    assert!(judgements.iter().all(|j: &Judgement| j.findings.iter().any(|f| f.rule == "close-wait-leak")));
    let look = Arc::new(Judged { world: Arc::new(last), judgements });
    for (width, height) in [(80, 24), (200, 50)] {
        let mut rig = Rig::new(width, height);
        rig.send(Msg::Look(Ok(Arc::clone(&look))));
        picture("findings_pane_namespaces", &rig);
        for (space, peer) in [("init", "10.9.0.1"), ("docker:4f2a9c31d7b0", "10.9.0.2")] {
            reads(&rig.line_with(&format!("{peer} holds 30")), &[&space[..4], peer]);
            rig.keys("7g");
            for _ in 0..10 {
                if !rig.cursor_line().contains(&format!("{peer} holds 30")) {
                    rig.key(KeyCode::Down);
                }
            }
            reads(&rig.cursor_line(), &[peer]);
            assert!(width < 200 || rig.cursor_line().contains(&space[..4]), "{}", rig.text());
            rig.key(KeyCode::Enter);
            assert!(rig.text().contains(&format!("in network namespace {space}")), "{}", rig.text());
            rig.key(KeyCode::Enter);
            assert!(shown(&rig).contains(peer), "{}", rig.text());
            assert_eq!(shown(&rig).matches("10.9.0.").count(), shown(&rig).matches(peer).count());
            rig.keys("1");
        }
    }
}

#[test]
fn the_choice_holds_on_every_screen_and_while_frozen() {
    let mut rig = Rig::showing(120, 40, &world(1, &SPACES));
    rig.keys("nn3");
    assert!(rig.lines()[1].contains(" of 40 "), "{}", rig.lines()[1]);
    rig.keys(" ");
    rig.look(&world(2, &[("init", 4), ("docker:4f2a9c31d7b0", 41), (HOSTILE, 500)]));
    rig.keys("N");
    reads(&rig.lines()[0], &["netns init (1 of 3)", "3 sockets"]);
    rig.keys(" ");
    reads(&rig.lines()[0], &["netns init (1 of 3)", "4 sockets"]);
}
