mod evaluation;

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
    refused("sport = 2147483648", 8..18, "at most 65535");
    refused("dst 10.0.0.1:htttp", 13..18, "did you mean http?");
    refused("dst 10.0.0.300:80", 4..14, "expected an IP address");
    refused("dst 10.0.0.0/33", 4..15, "expected an IP address");
    refused("dst [::1", 4..8, "expected ]");
    refused("dst ::1]", 4..5, "expected an IP address");
    refused("dst 127.0.0.1]:80", 4..14, "address");
    refused("state lisening", 6..14, "did you mean listening?");
    refused("( sport = 1", 11..11, "expected ) for the ( at character 1");
    refused("sport = 1 )", 10..11, "was not opened");
    refused("sport = 1 or", 12..12, "expected a condition here");
    refused("or sport = 1", 0..2, "expected a condition");
    refused("dev nope", 4..8, "no such interface");
    refused("dev > lo", 4..5, "expected = or !=");
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
fn what_is_hardly_meant_so_is_taken_with_a_note() {
    let noted = |text: &str| {
        let notes = Filter::parse(text, &Names).unwrap().unwrap().notes().to_vec();
        let [note] = &*notes else { panic!("{text:?}: {notes:?}") };
        (note.at.clone(), note.about(text))
    };
    let range = "ports go from 0 to 65535";
    assert_eq!(shown("sport = 70000"), "sport = :70000");
    assert_eq!(noted("sport = 70000"), (8..13, format!("70000: {range}")));
    assert_eq!(shown("dst 10.0.0.1:70000"), "dst 10.0.0.1:70000");
    assert_eq!(noted("dst 10.0.0.1:70000"), (4..18, format!("10.0.0.1:70000: {range}")));
    assert_eq!(shown("dport > -5"), "dport > :-5");
    assert_eq!(noted("autobound and dport > -5").0, 22..24);
    assert_eq!(shown("sport >= *"), "sport >= *");
    assert_eq!(noted("sport >= *").1, "*: as in ss, 65535 alone is at least any port");
    assert_eq!(noted("sport < :*").1, ":*: as in ss, no port is above or below any port");
    assert_eq!(shown("fwmark 42x"), "fwmark = 0x2a");
    assert_eq!(noted("fwmark 42x"), (7..10, "42x: read as fwmark = 0x2a, as in ss".to_owned()));
    assert_eq!(shown("sport = -1"), "sport = *");
    assert_eq!(shown("dst unix:/tmp/x"), "dst unix:/tmp/x");
    assert_eq!(shown("src != netlink: or dport ge vsock:7"), "src != netlink: or dport >= vsock:7");
    let (at, what) = noted("sport = 1 and dst unix:/tmp/x");
    assert_eq!(at, 18..29);
    assert_eq!(what, "unix:/tmp/x: unix sockets are neither TCP nor UDP: nothing matches, as in ss");
    let long = format!("fwmark 42{}", "x".repeat(30_000));
    assert!(noted(&long).1.len() < 120, "a remark is one line");
    for plain in ["sport = 65535", "sport != *", "fwmark 0x2a/0xff", "dst 10.0.0.1:*", "sport = -1"] {
        assert_eq!(Filter::parse(plain, &Names).unwrap().unwrap().notes(), [], "{plain}");
    }
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
    // -1 is any port.
    let port = prop_oneof![
        Just(None),
        any::<u16>().prop_map(|port| Some(port.into())),
        any::<i32>().prop_map(|n| Some(n).filter(|n| *n != -1)),
    ];
    let beyond = prop_oneof![any::<bool>().prop_map(Beyond::At), op.clone().prop_map(Beyond::Port)];
    let beyond_family = prop::sample::select(vec![Label::Unix, Label::Link, Label::Netlink, Label::Vsock]);
    let word = prop::sample::select(vec![Word::Comm, Word::Netns, Word::Container]);
    prop_oneof![
        (0..=ast::ALL_STATES).prop_map(|m| Is::State(m & ast::ALL_STATES)),
        (side.clone(), any::<bool>(), place, port.clone()).prop_map(|(s, not, place, port)| Is::At(
            s,
            not,
            Host { family: None, place, port }
        )),
        (side.clone(), op.clone(), prop::option::of(label.clone()), port)
            .prop_map(|(s, op, family, port)| Is::Port(s, op, family, port)),
        (side.clone(), beyond, beyond_family, ".*").prop_map(|(s, how, f, text)| Is::Beyond(
            s,
            how,
            f,
            text.into()
        )),
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
