use proptest::prelude::*;

use super::*;
use crate::model::{Ip, Keepalive};

struct Names;

impl Lookup for Names {
    fn service(&self, name: &str) -> Option<u16> {
        [("ssh", 22), ("http", 80), ("https", 443)].into_iter().find(|(n, _)| *n == name).map(|(_, p)| p)
    }
    fn interface(&self, name: &str) -> Option<u32> {
        ["lo", "eth0", "od(d d\\ev"].into_iter().zip(1..).find(|(n, _)| *n == name).map(|(_, i)| i)
    }
    fn cgroup(&self, path: &str) -> Option<u64> {
        path.starts_with("/a").then_some(77)
    }
    fn user(&self, name: &str) -> Option<u32> {
        (name == "www-data").then_some(33)
    }
    fn host(&self, name: &str) -> Vec<Ip> {
        let loopback: Ip = std::net::Ipv4Addr::LOCALHOST.into();
        if name == "localhost" { vec![loopback, std::net::Ipv6Addr::LOCALHOST.into()] } else { Vec::new() }
    }
}

fn tree(text: &str) -> Expr {
    parse(text, &Names).unwrap_or_else(|e| panic!("{}", e.pointed(text))).expect("not empty")
}

/// The expression as it is printed.
fn shown(text: &str) -> String {
    let first = tree(text);
    let printed = first.to_string();
    assert_eq!(tree(&printed), first, "{text:?} prints as {printed:?}");
    printed
}

#[track_caller]
fn refused(text: &str, at: std::ops::Range<usize>, what: &str) {
    let error = parse(text, &Names).expect_err(text);
    assert!(error.to_string().contains(what), "{text:?}: {error}");
    assert_eq!(error.at, at, "{text:?}: {error}");
}

#[test]
fn what_ss_takes_is_taken() {
    assert_eq!(shown("dst 10.0.0.1"), "dst 10.0.0.1");
    assert_eq!(shown("dst = 193.233.7/24"), "dst 193.233.7.0/24");
    assert_eq!(shown("src [::1/128]:443"), "src [::1]:443");
    assert_eq!(shown("src [2001:db8::]/32:https"), "src [2001:db8::/32]:443");
    assert_eq!(shown("dst 2001:db8::/32"), "dst [2001:db8::/32]");
    assert_eq!(shown("dst *:80"), "dst *:80");
    assert_eq!(shown("dst :80"), "dst *:80");
    assert_eq!(shown("dst 10.0.0.0/255.0.0.0"), "dst 10.0.0.0/8");
    assert_eq!(shown("dst localhost:ssh"), "dst localhost:22");
    assert_eq!(shown("dst inet:10.0.0.1"), "dst inet:10.0.0.1");
    assert_eq!(shown("sport = :ssh"), "sport = :22");
    assert_eq!(shown("sport geq 1024 dport lt :0x50"), "sport >= :1024 and dport < :80");
    assert_eq!(shown("sport *"), "sport = *");
    assert_eq!(shown(r"\( dport = :22 or sport = :22 \)"), "dport = :22 or sport = :22");
    assert_eq!(shown("dev lo or dev != 7"), "dev = lo or dev != 7");
    assert_eq!(shown("fwmark 0x01/0x03"), "fwmark = 0x1/0x3");
    assert_eq!(shown("cgroup /a/b(1) autobound"), "cgroup = /a/b\\(1\\) and autobound");
    assert_eq!(shown("! dst 10.0.0.1 && not autobound"), "not dst 10.0.0.1 and not autobound");
}

#[test]
fn an_address_without_brackets_ends_at_the_last_colon_if_that_leaves_an_address() {
    assert_eq!(shown("dst 2001:db8::5:1"), "dst [2001:db8::5]:1");
    assert_eq!(shown("dst ::1"), "dst [::1]");
    assert_eq!(shown("dst 2001:db8::1/64:80"), "dst [2001:db8::1/64]:80");
    assert_eq!(shown("dst ::ffff:10.0.0.1"), "dst [::ffff:10.0.0.1]");
    assert_ne!(tree("dst ::ffff:10.0.0.1"), tree("dst 10.0.0.1"));
}

#[test]
fn and_and_or_bind_equally_from_the_left() {
    assert_eq!(shown("autobound or dev lo and sport 1"), "( autobound or dev = lo ) and sport = :1");
    assert_eq!(shown("autobound or dev lo sport 1"), "( autobound or dev = lo ) and sport = :1");
    assert_eq!(shown("autobound and dev lo or sport 1"), "( autobound and dev = lo ) or sport = :1");
    assert_eq!(shown("autobound or (dev lo and sport 1)"), "autobound or ( dev = lo and sport = :1 )");
    assert_eq!(tree("sport 1 and (sport 2 and sport 3)"), tree("sport 1 sport 2 sport 3"));
}

#[test]
fn states_in_front_go_with_all_of_the_rest() {
    assert_eq!(
        shown("state time-wait sport 1 or sport 2"),
        "state time-wait and ( sport = :1 or sport = :2 )"
    );
    assert_eq!(shown("state established state syn-sent"), "state established state syn-sent");
    assert_eq!(shown("state all exclude listening exclude closed exclude bound-inactive"), "state connected");
    assert_eq!(shown("exclude listening"), "exclude listening");
    assert_eq!(shown("exclude all"), "exclude all");
    assert_eq!(shown("state FIN_WAIT1"), shown("state fin-wait-1"));
    assert_eq!(shown("state established or state listening"), "state established or state listening");
    assert_eq!(shown("( state big )"), "state big");
}

#[test]
fn our_own_words() {
    assert_eq!(shown("pid 17 comm nginx* user www-data"), "pid = 17 and comm = nginx* and uid = 33");
    assert_eq!(shown("idle>5m age >= 90 rtt > 200"), "idle > 5m and age >= 1m30s and rtt > 200ms");
    assert_eq!(shown("recvq>0 or sendq >= 64KiB"), "recvq > 0 or sendq >= 64K");
    assert_eq!(
        shown("keepalive off timer != persist timer 9"),
        "keepalive = off and timer != probe and timer = 9"
    );
    assert_eq!(
        shown(r#"comm "a b" netns web container != x"#),
        "comm = a\\ b and netns = web and container != x"
    );
    assert_eq!(shown("dst != 10.0.0.1 family inet6"), "dst != 10.0.0.1 and family = inet6");
    assert_eq!(
        shown("sport=:80&&dport!=443||(dport>1024)"),
        "( sport = :80 and dport != :443 ) or dport > :1024"
    );
}

#[test]
fn errors_say_where_what_and_what_was_meant() {
    refused("dts 10.0.0.1", 0..3, "did you mean dst?");
    refused("dst", 3..3, "expected an address");
    refused("sport = :htttp", 8..14, "did you mean http?");
    refused("sport = 65536", 8..13, "at most 65535");
    refused("dst 10.0.0.1:htttp", 13..18, "did you mean http?");
    refused("dst 10.0.0.300:80", 4..14, "expected an IP address");
    refused("dst 10.0.0.0/33", 4..15, "expected an IP address");
    refused("dst [::1", 4..8, "expected ]");
    refused("state lisening", 6..14, "did you mean listening?");
    refused("( sport = 1", 11..11, "expected ) for the ( at character 1");
    refused("sport = 1 )", 10..11, "was not opened");
    refused("sport = 1 or", 12..12, "expected a condition here");
    refused("or sport = 1", 0..2, "expected a condition");
    refused("dev nope", 4..8, "no such interface");
    refused("dev > lo", 4..5, "expected = or !=");
    refused("sport < *", 6..7, "cannot be compared");
    refused("dst unix:/tmp/x", 4..9, "no family of TCP");
    refused("idle > 5 parsecs", 9..16, "expected a condition");
    refused("idle > 5x", 7..9, "expected a duration");
    refused("keepalive maybe", 10..15, "expected on, off or unknown");
    refused("user nobody-here", 5..16, "no such user");
    refused("fwmark 1/", 7..9, "expected a mark");
    let text = "dst 10.0.0.1 or sprot = 1";
    assert_eq!(
        parse(text, &Names).unwrap_err().pointed(text),
        "expected a condition, such as dst, sport, state or pid; did you mean sport?\n  dst 10.0.0.1 or sprot = 1\n                  ^^^^^"
    );
}

#[test]
fn nesting_and_length_have_limits() {
    let nested = |n: usize| format!("{}autobound{}", "( ".repeat(n), " )".repeat(n));
    assert!(parse(&nested(MAX_DEPTH), &Names).is_ok());
    for text in [
        nested(MAX_DEPTH + 1),
        "(".repeat(30_000),
        "! ".repeat(30_000),
        "not(".repeat(9_000),
        format!("autobound{}", " or autobound and autobound".repeat(500)),
    ] {
        let error = parse(&text, &Names).unwrap_err();
        assert!(error.to_string().contains("nested deeper than 100"), "{error}");
    }
    assert!(parse(&"autobound ".repeat(6_000), &Names).is_ok());
    assert!(parse(&" ".repeat(65 << 10), &Names).is_err());
    assert_eq!(parse(" \t\n", &Names), Ok(None));
}

fn conditions() -> impl Strategy<Value = Is> {
    let op = prop::sample::select(vec![Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge]);
    let side = prop::sample::select(vec![Side::Local, Side::Peer]);
    let label = prop::sample::select(vec![Label::Inet, Label::Inet6]);
    let network = (any::<[u8; 16]>(), any::<bool>(), 0u8..=128).prop_map(|(octets, v6, len)| {
        let [a, b, c, d, ..] = octets;
        let addr = if v6 { Ip::from_v6_octets(octets) } else { Ip::from_v4_octets([a, b, c, d]) };
        Network { addr, v6, len: if v6 { len } else { len.min(32) } }
    });
    let place = prop_oneof![
        Just(Place::Any),
        network.prop_map(Place::In),
        Just(tree("dst localhost")).prop_map(|e| match e {
            Expr::Is(Is::At(_, _, host)) => host.place,
            _ => Place::Any,
        }),
    ];
    let any_field = prop::sample::select(vec![
        Field::Pid,
        Field::Uid,
        Field::Idle,
        Field::Age,
        Field::RecvQ,
        Field::SendQ,
        Field::Retrans,
        Field::Rtt,
    ]);
    let word = prop::sample::select(vec![Word::Comm, Word::Netns, Word::Container]);
    prop_oneof![
        (0..=ast::ALL_STATES).prop_map(|m| Is::State(m & ast::ALL_STATES)),
        (side.clone(), any::<bool>(), place, any::<Option<u16>>()).prop_map(|(s, not, place, port)| Is::At(
            s,
            not,
            Host { family: None, place, port }
        )),
        (side.clone(), op.clone(), prop::option::of(label.clone()), any::<u16>())
            .prop_map(|(s, op, family, port)| Is::Port(s, op, family, Some(port))),
        side.prop_map(|s| Is::Port(s, Op::Ne, None, None)),
        any::<bool>().prop_map(|not| Is::Device("od(d d\\ev".into(), 3, not)),
        any::<(u32, u32, bool)>().prop_map(|(value, mask, not)| Is::Mark { value, mask, not }),
        any::<bool>().prop_map(|not| Is::Cgroup("/a \"b)&".into(), 77, not)),
        Just(Is::Autobound),
        (any_field, op, any::<u64>()).prop_map(|(f, op, n)| Is::Number(f, op, n)),
        (word, ".*", any::<bool>()).prop_map(|(w, text, not)| Is::Text(w, text.into(), not)),
        (prop::sample::select(vec![Keepalive::On, Keepalive::Off, Keepalive::Unknown]), any::<bool>())
            .prop_map(|(k, not)| Is::Keepalive(k, not)),
        any::<(u8, bool)>().prop_map(|(n, not)| Is::Timer(n, not)),
        (label, any::<bool>()).prop_map(|(l, not)| Is::Family(l, not)),
    ]
}

fn expressions() -> impl Strategy<Value = Expr> {
    conditions().prop_map(Expr::Is).prop_recursive(5, 40, 4, |inner| {
        let two = prop::collection::vec(inner.clone(), 2..5);
        prop_oneof![
            two.clone().prop_map(|all| all.into_iter().reduce(Expr::and).expect("two at least")),
            two.prop_map(|all| all.into_iter().reduce(Expr::or).expect("two at least")),
            inner.prop_map(Expr::negated),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same_tree(expr in expressions()) {
        let text = expr.to_string();
        let read = parse(&text, &Names).map_err(|e| TestCaseError::fail(e.pointed(&text)))?;
        prop_assert_eq!(read, Some(expr), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_place_inside_it(
        text in "([()!&|=<>\\\\\"' :*/.0-9a-f]|dst |sport |state |time-wait |not |and |or |dev |lo |pid |comm |é){0,40}"
    ) {
        match parse(&text, &Names) {
            Ok(Some(expr)) => {
                let printed = expr.to_string();
                prop_assert_eq!(parse(&printed, &Names), Ok(Some(expr)), "{} from {}", printed, text);
            }
            Ok(None) => prop_assert!(text.trim().is_empty()),
            Err(e) => {
                prop_assert!(e.at.end <= text.len() && text.get(e.at.clone()).is_some(), "{:?} in {:?}", e, text);
                prop_assert!(!e.pointed(&text).is_empty());
            }
        }
    }
}

mod evaluation {
    use super::*;
    use crate::analysis::{Snapshot, Track};
    use crate::model::{Origin, Owners, SocketRow, TcpState};
    use crate::testkit::{self, socket};

    fn filter(text: &str) -> Filter {
        Filter::new(tree(text))
    }

    fn snapshot(rows: Vec<SocketRow>) -> Snapshot {
        testkit::snapshot(testkit::sample(rows))
    }

    /// Numbers of the rows that match.
    #[track_caller]
    fn matching(snapshot: &Snapshot, text: &str) -> Vec<usize> {
        let (scene, filter) = (Scene::new(snapshot), filter(text));
        let rows = &snapshot.sample.table.rows;
        let found: Vec<usize> =
            (0..rows.len()).filter(|at| filter.matches(&scene, *at, &rows[*at])).collect();
        let mask = filter.states();
        assert!(found.iter().all(|at| rows[*at].state.bit() & mask != 0), "{text}: possible states");
        found
    }

    #[test]
    fn addresses_take_mapped_sockets_and_ipv6_ones_only_where_they_were_written_so() {
        use crate::model::RowFlags;
        let mut mapped = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000");
        mapped.flags = RowFlags::V6.with(RowFlags::MAPPED);
        let s = snapshot(vec![
            socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000"),
            mapped,
            socket(TcpState::Established, "[2001:db8::1]:80", "[2001:db8::2]:5001"),
            socket(TcpState::Listen, "0.0.0.0:80", ""),
            socket(TcpState::Listen, "[::]:81", ""),
        ]);
        assert_eq!(matching(&s, "dst 10.0.0.0/8"), [0, 1]);
        assert_eq!(matching(&s, "dst ::ffff:10.9.9.9"), [1]);
        assert_eq!(matching(&s, "not dst 10.0.0.0/8"), [2, 3, 4]);
        assert_eq!(matching(&s, "dst != 10.0.0.0/8"), [2, 3, 4]);
        assert_eq!(matching(&s, "dst 0.0.0.0/0"), [0, 1, 3]);
        assert_eq!(matching(&s, "src [::]/0"), [1, 2, 4]);
        assert_eq!(matching(&s, "src [::]"), [4]);
        assert_eq!(matching(&s, "src *:80 dst 2001:db8::/32"), [2]);
        assert_eq!(matching(&s, "family inet"), [0, 3]);
        assert_eq!(matching(&s, "dst any").len(), 5);
    }

    #[test]
    fn a_family_in_front_of_an_address_restricts_the_whole_as_in_ss() {
        let s = snapshot(vec![
            socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000"),
            socket(TcpState::Established, "[2001:db8::1]:80", "[2001:db8::2]:5001"),
        ]);
        assert_eq!(matching(&s, "sport = :80 and not dst inet:10.1.1.1"), [0]);
        assert_eq!(matching(&s, "sport = inet6:80"), [1]);
    }

    #[test]
    fn ports_compare_and_states_group() {
        let s = snapshot(vec![
            socket(TcpState::Listen, "0.0.0.0:80", ""),
            socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000"),
            socket(TcpState::TimeWait, "10.0.0.1:443", "10.9.9.9:6000"),
            socket(TcpState::BoundInactive, "10.0.0.1:9", ""),
        ]);
        assert_eq!(matching(&s, "dport >= 5000"), [1, 2]);
        assert_eq!(matching(&s, "dport > 5000 or sport < 80"), [2, 3]);
        assert_eq!(matching(&s, "sport != :80 dport = *"), [2, 3]);
        assert_eq!(matching(&s, "sport != *"), [] as [usize; 0]);
        assert_eq!(matching(&s, "state connected"), [1, 2]);
        assert_eq!(matching(&s, "state bucket"), [2]);
        assert_eq!(matching(&s, "state big"), [0, 1, 3]);
        assert_eq!(matching(&s, "exclude listening sport 80 or sport 443"), [1, 2]);
        assert_eq!(
            filter("state listening or not ( sport 1 and exclude time-wait )").states(),
            ast::ALL_STATES
        );
        assert_eq!(filter("state listening and sport 1").states(), TcpState::Listen.bit());
        assert_eq!(filter("not ( state all or sport 1 )").states(), 0);
    }

    #[test]
    fn what_cannot_be_known_matches_neither_way() {
        let mut retransmitting = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000");
        (retransmitting.timer_raw, retransmitting.retrans, retransmitting.recv_q) = (1, 4, 70_000);
        let mut armed = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5001");
        armed.timer_raw = 2;
        let s = snapshot(vec![
            retransmitting,
            armed,
            socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5002"),
            socket(TcpState::TimeWait, "10.0.0.1:443", "10.9.9.9:6000"),
        ]);
        assert_eq!(matching(&s, "keepalive on"), [1]);
        assert_eq!(matching(&s, "keepalive off"), [2]);
        assert_eq!(matching(&s, "keepalive unknown"), [0]);
        assert_eq!(matching(&s, "not keepalive on"), [2, 3], "row 0 may be on");
        assert_eq!(matching(&s, "keepalive != on"), [2], "and what has none is not other than on");
        assert_eq!(matching(&s, "retrans >= 3"), [0]);
        assert_eq!(matching(&s, "timer time_wait or timer none"), [2, 3]);
        assert_eq!(matching(&s, "recvq >= 64k"), [0]);
        // Nothing is known of processes, marks, and tcp_info here; and one look knows no ages.
        for unknown in ["comm x", "pid 1", "idle > 1s", "rtt < 1h"] {
            let text = format!("state established and {unknown}");
            assert_eq!(matching(&s, &text), [] as [usize; 0]);
            assert_eq!(matching(&s, &format!("state established and not {unknown}")), [] as [usize; 0]);
            let scene = Scene::new(&s);
            assert_eq!(filter(&text).truth(&scene, 0, &s.sample.table.rows[0]), Truth::Unknown, "{text}");
            assert_eq!(matching(&s, &format!("sport 80 or {unknown}")), [0, 1, 2]);
        }
        assert_eq!(matching(&s, "age < 1h or age >= 1h"), [] as [usize; 0]);
        assert_eq!(matching(&s, "age >= 0s").len(), 4);
        assert_eq!(matching(&s, "fwmark 0 or not fwmark 0"), [] as [usize; 0]);
    }

    #[test]
    fn ages_are_what_was_seen() {
        let mut s = snapshot(vec![socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000"); 2]);
        s.observed = std::time::Duration::from_secs(100);
        s.track = vec![Track::new(0, true, false), Track::new(900, false, false)];
        assert_eq!(matching(&s, "age > 1m"), [0]);
        assert_eq!(matching(&s, "age < 1m"), [1]);
        assert_eq!(matching(&s, "age = 10s"), [1]);
        assert_eq!(matching(&s, "age > 2m or age < 2m"), [1], "row 0 is 100 s old or older");
    }

    #[test]
    fn users_devices_marks_and_cgroups_are_those_of_the_socket() {
        let mut s = snapshot(vec![socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000"); 2]);
        let origin = Origin { uid: 33, ifindex: 2, mark: Some(0x13), cgroup_id: Some(77) };
        s.sample.table.rows[1].origin = s.sample.table.intern(origin);
        for text in ["user www-data", "dev eth0", "fwmark 0x3/0x3", "fwmark != 0x12", "cgroup /a", "uid >= 1"]
        {
            assert_eq!(matching(&s, text), [1], "{text}");
        }
        assert_eq!(matching(&s, "dev != eth0"), [0]);
        assert_eq!(matching(&s, "netns init").len(), 2);
        assert_eq!(matching(&s, "netns != 4026531840").len(), 0);
    }

    #[test]
    fn processes_are_those_that_hold_the_socket() {
        let mut s = snapshot(
            (1..=3)
                .map(|n| socket(TcpState::Established, &format!("10.0.0.{n}:80"), "10.9.9.9:5000"))
                .collect(),
        );
        for (row, inode) in s.sample.table.rows.iter_mut().zip([10, 11, 12]) {
            row.inode = inode;
        }
        let processes = vec![
            testkit::process(100, "nginx", &[(10, 3), (11, 4)]),
            testkit::process(200, "java", &[(11, 3)]),
        ];
        let mut owners = Owners::new(processes, [(10, 100, 3), (11, 100, 4), (11, 200, 3)].into_iter());
        owners.unheld.insert(12);
        s.owners = Some(owners.into());
        assert_eq!(matching(&s, "comm ngin*"), [0, 1]);
        assert_eq!(matching(&s, "comm != nginx"), [2]);
        assert_eq!(matching(&s, "pid 200"), [1]);
        assert_eq!(matching(&s, "pid != 200"), [0, 2]);
        assert_eq!(matching(&s, "pid > 100"), [1]);
        assert_eq!(matching(&s, "not container x").len(), 3);
    }

    #[test]
    fn details_that_were_asked_for_are_used() {
        use crate::model::TcpInfo;
        let mut rows = testkit::many(2);
        rows.iter_mut().for_each(|r| r.state = TcpState::Established);
        let s = snapshot(rows);
        let mut bytes = [0; 104];
        bytes[44..48].copy_from_slice(&400_000u32.to_ne_bytes());
        bytes[52..56].copy_from_slice(&300_000u32.to_ne_bytes());
        bytes[68..72].copy_from_slice(&250_000u32.to_ne_bytes());
        let rows = &s.sample.table.rows;
        let mut infos = Infos::default();
        infos.insert(rows[0].cookie(), Some(TcpInfo::new(&bytes)));
        let scene = Scene::new(&s).with_infos(&infos);
        for (text, truth) in [
            ("idle >= 5m", Truth::True),
            ("idle > 5m", Truth::False),
            ("rtt > 200ms", Truth::True),
            ("rtt = 250", Truth::True),
        ] {
            let filter = filter(text);
            assert_eq!(filter.truth(&scene, 0, &rows[0]), truth, "{text}");
            assert!(!filter.wants_info(&scene, 0, &rows[0]) && filter.wants_info(&scene, 1, &rows[1]));
        }
        assert!(!filter("idle > 1s and sport 1").wants_info(&scene, 1, &rows[1]), "the port decides already");
    }
}
