//! Several network namespaces: together, or one at a time.

use std::sync::Arc;

use ratatui::crossterm::event::KeyCode;
use tcptop::analysis::{Analyzer, World};
use tcptop::model::{Netns, Unexamined};

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
