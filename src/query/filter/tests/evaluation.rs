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
    let found: Vec<usize> = (0..rows.len()).filter(|at| filter.matches(&scene, *at, &rows[*at])).collect();
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
fn a_backlog_that_is_not_told_meets_no_condition_and_fails_none() {
    let listener = socket(TcpState::Listen, "0.0.0.0:80", "");
    let open = socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000");
    let mut sample = testkit::sample(vec![listener, open]);
    sample.completeness.source = crate::model::TableSource::Procfs;
    let s = testkit::snapshot(sample);
    let truth = |text: &str| {
        let rows = &s.sample.table.rows;
        [0, 1].map(|at| filter(text).truth(&Scene::new(&s), at, &rows[at]))
    };
    assert_eq!(truth("sendq < 5"), [Truth::Unknown, Truth::True]);
    assert_eq!(truth("sendq < 5 and sport 80"), [Truth::Unknown, Truth::True]);
    assert_eq!(truth("not sendq < 5 and sport 80"), [Truth::Unknown, Truth::False]);
    assert_eq!(truth("sendq < 5 and sport 81"), [Truth::False, Truth::False], "whatever the backlog is");
    assert_eq!(truth("sendq < 5 or sport 80"), [Truth::True, Truth::True]);
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
    for none in ["sport != *", "sport < *", "sport = 70000", "sport > 70000", "dst *:70000", "sport <= -5"] {
        assert_eq!(matching(&s, none), [] as [usize; 0], "{none}");
    }
    for all in ["sport != 70000", "sport < 70000", "sport <= 70000", "sport > -5", "not dst *:70000"] {
        assert_eq!(matching(&s, all).len(), 4, "{all}");
    }
    assert_eq!(matching(&s, "sport >= * or sport = 9"), [3]);
    assert_eq!(
        matching(&s, "pid 7 or sport *").len(),
        4,
        "what holds for all is not lost beside what is not known"
    );
    assert_eq!(matching(&s, "state connected"), [1, 2]);
    assert_eq!(matching(&s, "state bucket"), [2]);
    assert_eq!(matching(&s, "state big"), [0, 1, 3]);
    assert_eq!(matching(&s, "exclude listening sport 80 or sport 443"), [1, 2]);
    assert_eq!(filter("state listening or not ( sport 1 and exclude time-wait )").states(), ast::ALL_STATES);
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
    let origin = Origin { uid: 33, ifindex: 2, mark: Some(0x13), cgroup_id: Some(77), netns: 0 };
    s.sample.table.rows[1].origin = s.sample.table.intern(origin);
    for text in ["user www-data", "dev eth0", "fwmark 0x3/0x3", "fwmark != 0x12", "cgroup /a", "uid >= 1"] {
        assert_eq!(matching(&s, text), [1], "{text}");
    }
    assert_eq!(matching(&s, "dev != eth0"), [0]);
    assert_eq!(matching(&s, "netns init").len(), 2);
    assert_eq!(matching(&s, "netns != 4026531840").len(), 0);
}

#[test]
fn processes_are_those_that_hold_the_socket() {
    let mut s = snapshot(
        (1..=3).map(|n| socket(TcpState::Established, &format!("10.0.0.{n}:80"), "10.9.9.9:5000")).collect(),
    );
    for (row, inode) in s.sample.table.rows.iter_mut().zip([10, 11, 12]) {
        row.inode = inode;
    }
    let processes =
        vec![testkit::process(100, "nginx", &[(10, 3), (11, 4)]), testkit::process(200, "java", &[(11, 3)])];
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
    for row in &mut rows {
        row.state = TcpState::Established;
    }
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

/// Conditions that many of [`testkit::many`] meet and many do not, some of which cannot be known.
fn near() -> impl Strategy<Value = Expr> {
    let op = || prop::sample::select(vec![Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge]);
    let side = || prop::sample::select(vec![Side::Local, Side::Peer]);
    let label = || prop::sample::select(vec![Label::Inet, Label::Inet6]);
    let network = (0..4_u8, 0..32_u8, 0..=32_u8, any::<bool>()).prop_map(|(a, b, len, v6)| {
        let addr = Ip::from_v4_octets([10, a, b, 0]);
        Network { addr, v6, len: if v6 { 96 + len } else { len } }
    });
    let port = || prop::sample::select(vec![-5, 0, 443, 1024, 20_000, 40_000, 65_535, 70_000]);
    let queue = prop::sample::select(vec![0_u64, 1, 3, 1000, 25_500, u64::MAX]);
    let field =
        prop::sample::select(vec![Field::RecvQ, Field::SendQ, Field::Retrans, Field::Pid, Field::Uid]);
    let is = prop_oneof![
        (0..=ast::ALL_STATES).prop_map(|m| Is::State(m & ast::ALL_STATES)),
        (side(), any::<bool>(), network, prop::option::of(port())).prop_map(|(s, not, n, port)| {
            Is::At(s, not, Host { family: None, place: Place::In(n), port })
        }),
        (side(), op(), prop::option::of(label()), prop::option::of(port()))
            .prop_map(|(s, op, family, port)| Is::Port(s, op, family, port)),
        (field, op(), queue).prop_map(|(f, op, n)| Is::Number(f, op, n)),
        (0..6_u8, any::<bool>()).prop_map(|(n, not)| Is::Timer(n, not)),
        (label(), any::<bool>()).prop_map(|(l, not)| Is::Family(l, not)),
        any::<bool>().prop_map(|not| Is::Keepalive(Keepalive::Off, not)),
        (side(), op()).prop_map(|(s, op)| Is::Beyond(s, Beyond::Port(op), Label::Unix, "x".into())),
        Just(Is::Autobound),
    ];
    is.prop_map(Expr::Is).prop_recursive(4, 40, 5, |inner| {
        let some = prop::collection::vec(inner.clone(), 2..6);
        prop_oneof![
            some.clone().prop_map(|all| all.into_iter().reduce(Expr::and).expect("two at least")),
            some.prop_map(|all| all.into_iter().reduce(Expr::or).expect("two at least")),
            inner.prop_map(Expr::negated),
        ]
    })
}

proptest! {
    #[test]
    fn put_together_the_conditions_answer_as_one_by_one(expr in near()) {
        let mut rows = testkit::many(60);
        for (n, row) in (0..6_u8).cycle().zip(&mut rows) {
            if n == 5 {
                row.flags = crate::model::RowFlags::V6.with(crate::model::RowFlags::MAPPED);
            }
            (row.timer_raw, row.retrans) = (n, n % 4);
        }
        rows.push(socket(TcpState::Listen, "[::]:443", ""));
        let s = snapshot(rows);
        let (scene, fused, plain) = (Scene::new(&s), Filter::new(expr.clone()), Filter::one_by_one(expr));
        for (at, row) in s.sample.table.rows.iter().enumerate() {
            prop_assert_eq!(fused.truth(&scene, at, row), plain.truth(&scene, at, row), "{} row {}", fused.expr(), at);
        }
    }
}

#[test]
fn what_looks_at_the_row_alone_is_put_together() {
    let is = |text| filter(text).is_one();
    assert!(is(
        "state established state close-wait ( dst 10.1.4.0/24 or dport > 50000 ) and not ( sendq = 0 or retrans > 3 )"
    ));
    assert!(is("dst inet:10.0.0.1 sport = 80"));
    assert!(!is("sport = 80 and keepalive off"), "keepalive hangs on what was seen before");
    assert!(!is("sport = 80"), "one condition needs no table");
    let many = (1..40).map(|n| format!("sport = {n}")).collect::<Vec<_>>().join(" or ");
    let s = snapshot(
        (1..50).map(|n| socket(TcpState::Established, &format!("10.0.0.1:{n}"), "10.9.9.9:1")).collect(),
    );
    assert_eq!(matching(&s, &many), (0..39).collect::<Vec<_>>());
}

#[test]
fn a_family_that_is_not_here_leaves_nothing_unless_another_follows() {
    let s = snapshot(vec![
        socket(TcpState::Established, "10.0.0.1:80", "10.9.9.9:5000"),
        socket(TcpState::Established, "[2001:db8::1]:80", "[2001:db8::2]:5000"),
    ]);
    for text in [
        "dst unix:/tmp/x",
        "not dst unix:/tmp/x",
        "dst != link:*",
        "sport != netlink:80",
        "sport = 80 or dport = vsock:5000",
        "dst inet:* or dst unix:/tmp/x",
    ] {
        assert_eq!(matching(&s, text), [] as [usize; 0], "{text}");
        assert_eq!(filter(text).asked().states, 0, "{text}: nor is the kernel asked for any");
    }
    assert_eq!(matching(&s, "dst unix:/tmp/x or dst inet:*"), [0]);
    assert_eq!(matching(&s, "not dst unix:/tmp/x and dst inet6:*"), [1]);
    assert_eq!(matching(&s, "sport != vsock:80 and dst inet:*"), [0]);
    assert_eq!(matching(&s, "sport > vsock:80 and dst inet:*"), [] as [usize; 0]);
}
