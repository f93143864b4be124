use std::sync::Arc;
use std::time::Duration;

use super::{Analyzer, Destination, Snapshot};
use crate::model::{
    Endpoint, Facts, Ip, Keepalive, ListenerDrops, Netns, Reading, RowFlags, Sample, SocketRow, Sysctls,
    Table, TableSource, Taken, TcpState, sysctl,
};
use TcpState::{BoundInactive, CloseWait, Established, Listen, TimeWait};

fn end(text: &str) -> Endpoint {
    let a: std::net::SocketAddr = text.parse().unwrap();
    Endpoint { addr: a.ip().into(), port: a.port() }
}

/// A row between two endpoints; its cookie is made of them, so that it stays the same socket.
fn row(state: TcpState, local: &str, peer: &str) -> SocketRow {
    let (l, p) = (end(local), end(peer));
    let mut r = SocketRow::new(state, l, p);
    if !l.addr.is_v4() {
        r.flags = RowFlags::V6;
    }
    let tail = |ip: Ip| u32::from(ip.octets()[15]);
    r.set_cookie(u32::from(l.port) << 16 | u32::from(p.port), tail(l.addr) << 8 | tail(p.addr));
    r.inode = 1;
    r
}

fn sysctls(pairs: &[(&str, &str)]) -> Sysctls {
    let find = |name: &str| pairs.iter().find(|(n, _)| *n == name);
    Sysctls::new(
        sysctl::SPECS
            .iter()
            .map(|s| find(s.name).map_or(Reading::Absent, |(_, v)| Reading::Known((*v).into())))
            .collect(),
    )
}

fn sample(at_s: u64, rows: Vec<SocketRow>, pairs: &[(&str, &str)]) -> Sample {
    let mut table = Table::default();
    table.intern(crate::model::Origin::default());
    table.rows = rows;
    Sample {
        netns: Netns { inode: 1, name: "init".into() },
        taken: Taken { wall: Duration::from_secs(1_000_000 + at_s), mono: Duration::from_secs(5 + at_s) },
        dump_time: Duration::ZERO,
        table,
        facts: Facts { sysctls: sysctls(pairs), ..Facts::default() },
        ..crate::testkit::sample(Vec::new())
    }
}

fn derive(rows: Vec<SocketRow>, pairs: &[(&str, &str)]) -> Arc<Snapshot> {
    Analyzer::default().derive(sample(0, rows, pairs))
}

const RANGE: (&str, &str) = ("net.ipv4.ip_local_port_range", "40000 40019");

fn towards<'a>(s: &'a Snapshot, peer: &str) -> &'a Destination {
    s.ports.destinations.iter().find(|d| d.peer == end(peer)).unwrap()
}

#[test]
fn states_are_counted_by_family_and_compared_with_the_look_before() {
    let mut a = Analyzer::default();
    let open = row(Established, "10.0.0.1:80", "10.0.0.2:1000");
    let open6 = row(Established, "[::1]:80", "[::2]:1000");
    let first = a.derive(sample(0, vec![open, open6], &[]));
    assert_eq!((first.states.v4[Established], first.states.v6[Established]), (1, 1));
    assert_eq!(first.delta_of(Established), None);
    let second = a.derive(sample(2, vec![open, row(CloseWait, "[::1]:80", "[::2]:1000")], &[]));
    assert_eq!((second.delta_of(Established), second.delta_of(CloseWait)), (Some(-1), Some(1)));
    assert_eq!(second.history.of(Established).collect::<Vec<_>>(), [2, 1]);
    let churn = second.churn.unwrap();
    assert_eq!((churn.new, churn.gone), (0, 0), "a change of state is the same socket");
}

#[test]
fn sockets_that_come_and_go_are_counted_per_second() {
    let mut a = Analyzer::default();
    let one = |port: u16| row(Established, "10.0.0.1:80", &format!("10.0.0.2:{port}"));
    a.derive(sample(0, vec![one(1), one(2)], &[]));
    let s = a.derive(sample(2, vec![one(2), one(3), one(4)], &[]));
    let churn = s.churn.unwrap();
    assert_eq!((churn.new, churn.gone), (2, 1));
    assert!((churn.new_per_s - 1.0).abs() < 1e-9 && (churn.gone_per_s - 0.5).abs() < 1e-9);
}

#[test]
fn ages_start_at_the_first_look_and_restart_with_the_state() {
    let mut a = Analyzer::default();
    let open = row(Established, "10.0.0.1:80", "10.0.0.2:1");
    a.derive(sample(0, vec![open], &[]));
    let late = row(Established, "10.0.0.1:80", "10.0.0.2:2");
    a.derive(sample(10, vec![open, late], &[]));
    let mut closed = open;
    closed.state = CloseWait;
    let s = a.derive(sample(30, vec![closed, late], &[]));
    let ages: Vec<_> = s.track.iter().map(|t| s.age(*t)).map(|a| (a.seen.as_secs(), a.at_least)).collect();
    assert_eq!(ages, [(0, false), (20, false)]);
    let s = Analyzer::default().derive(sample(0, vec![open], &[]));
    assert!(s.age(s.track[0]).at_least, "what was there before the first look is of unknown age");
}

#[test]
fn keepalive_once_seen_stays_on_while_another_timer_hides_it() {
    let mut a = Analyzer::default();
    let with_timer = |t: u8| {
        let mut r = row(Established, "10.0.0.1:80", "10.0.0.2:1");
        r.timer_raw = t;
        r
    };
    let seen = |s: &Snapshot| s.track[0].keepalive(&s.sample.table.rows[0]);
    let s = a.derive(sample(0, vec![with_timer(1)], &[]));
    assert_eq!(seen(&s), Some(Keepalive::Unknown));
    let s = a.derive(sample(1, vec![with_timer(2)], &[]));
    assert_eq!(seen(&s), Some(Keepalive::On));
    let s = a.derive(sample(2, vec![with_timer(1)], &[]));
    assert_eq!(seen(&s), Some(Keepalive::On));
    assert_eq!((s.peers[0].with_keepalive, s.peers[0].unknown_keepalive), (1, 0));
}

#[test]
fn peers_sum_their_connections_and_say_how_fast_they_grow() {
    let mut a = Analyzer::default();
    let conns =
        |n: u16| (0..n).map(|p| row(Established, "10.0.0.1:80", &format!("10.0.0.2:{}", p + 1))).collect();
    let first = a.derive(sample(0, conns(5), &[]));
    assert_eq!(first.peers.len(), 1);
    assert_eq!((first.peers[0].counts.total(), first.peers[0].no_keepalive), (5, 5));
    assert_eq!(first.peers[0].growth_per_min, None);
    let s = a.derive(sample(20, conns(8), &[]));
    assert!((s.peers[0].growth_per_min.unwrap() - 9.0).abs() < 1e-3);
}

#[test]
fn connections_belong_to_the_most_specific_listener_of_their_family() {
    let wild = row(Listen, "0.0.0.0:80", "0.0.0.0:0");
    let exact = row(Listen, "10.0.0.1:80", "0.0.0.0:0");
    let v6 = row(Listen, "[::]:80", "[::]:0");
    let mut v6only = row(Listen, "[::]:81", "[::]:0");
    v6only.flags = RowFlags::V6.with(RowFlags::V6ONLY);
    let mut mapped = row(Established, "10.0.0.3:80", "10.0.0.9:1");
    mapped.flags = RowFlags::V6.with(RowFlags::MAPPED);
    let mut not_taken = row(Established, "10.0.0.3:81", "10.0.0.9:1");
    not_taken.flags = mapped.flags;
    let mut waiting = row(Established, "10.0.0.1:80", "10.0.0.9:2");
    waiting.inode = 0;
    let s = derive(
        vec![
            wild,
            exact,
            v6,
            v6only,
            waiting,
            row(TimeWait, "10.0.0.2:80", "10.0.0.9:3"),
            mapped,
            not_taken,
            row(Established, "[2001:db8::1]:80", "[2001:db8::2]:9"),
        ],
        &[],
    );
    let of = |n: usize| (s.listeners[n].counts.total(), s.listeners[n].unaccepted);
    assert_eq!([of(0), of(1), of(2), of(3)], [(1, 0), (1, 1), (2, 0), (0, 0)]);
}

#[test]
fn listeners_on_many_addresses_of_a_port_are_told_apart_in_any_order() {
    let listening: Vec<_> = (1..40).map(|n| row(Listen, &format!("10.0.0.{n}:80"), "0.0.0.0:0")).collect();
    let connected: Vec<_> = (1..40_u16)
        .flat_map(|n| {
            (0..n).map(move |p| row(Established, &format!("10.0.0.{n}:80"), &format!("10.9.0.1:{}", p + 1)))
        })
        .collect();
    let all: usize = connected.len();
    for backwards in [false, true] {
        let mut rows = listening.clone();
        rows.push(row(Listen, "0.0.0.0:80", "0.0.0.0:0"));
        if backwards {
            rows.reverse();
        }
        rows.extend(&connected);
        rows.push(row(Established, "10.0.0.99:80", "10.9.0.1:1"));
        let s = derive(rows, &[]);
        for l in &s.listeners {
            let want = if l.local.addr == Ip::V4_ANY { 1 } else { u32::from(l.local.addr.octets()[15]) };
            assert_eq!((l.counts.total(), l.no_keepalive, l.shares_with), (want, want, None), "{}", l.local);
        }
        assert_eq!(s.peers[0].counts.total() as usize, all + 1, "every block of the table is counted");
        assert_eq!(s.states.v4[Established] as usize, all + 1);
    }
}

#[test]
fn of_two_wildcards_of_ipv6_one_that_takes_ipv4_is_enough() {
    let dual = row(Listen, "[::]:80", "[::]:0");
    let mut alone = dual;
    alone.flags = RowFlags::V6.with(RowFlags::V6ONLY);
    let mut mapped = row(Established, "10.0.0.3:80", "10.0.0.9:1");
    mapped.flags = RowFlags::V6.with(RowFlags::MAPPED);
    for listening in [[dual, alone], [alone, dual]] {
        let s = derive(listening.into_iter().chain([mapped]).collect(), &[]);
        assert_eq!((s.listeners[0].counts.total(), s.listeners[1].shares_with), (1, Some(0)));
    }
}

#[test]
fn listeners_that_share_an_address_point_at_the_first_and_drops_are_differences() {
    let mut a = Analyzer::default();
    let first = row(Listen, "0.0.0.0:80", "0.0.0.0:0");
    let mut second = first;
    second.set_cookie(7, 7);
    let look = |a: &mut Analyzer, at, drops| {
        let mut s = sample(at, vec![first, second, row(Established, "10.0.0.1:80", "10.0.0.9:1")], &[]);
        s.listener_drops = vec![ListenerDrops { cookie: first.cookie(), drops }];
        a.derive(s)
    };
    let s = look(&mut a, 0, 5);
    assert_eq!((s.listeners[1].shares_with, s.listeners[0].counts.total()), (Some(0), 1));
    assert_eq!(
        (s.listeners[0].drops, s.listeners[0].drops_delta, s.listeners[1].drops),
        (Some(5), None, None)
    );
    let s = look(&mut a, 1, 9);
    assert_eq!(s.listeners[0].drops_delta, Some(4));
}

#[test]
fn ports_are_counted_per_source_and_destination() {
    let mut rows: Vec<_> =
        (40000..40020).map(|p| row(Established, &format!("10.0.0.1:{p}"), "10.0.0.9:3306")).collect();
    rows.push(row(Established, "10.0.0.2:40000", "10.0.0.9:3306"));
    rows.push(row(Established, "10.0.0.1:40000", "10.0.0.9:3307"));
    rows.push(row(Established, "10.0.0.1:30000", "10.0.0.9:3306"));
    let s = derive(rows, &[RANGE]);
    assert_eq!((s.ports.usable, s.ports.destination_count), (20, 3));
    let full = &s.ports.destinations[0];
    assert_eq!((full.used, s.ports.ratio(full)), (20, 1.0));
    assert_eq!(towards(&s, "10.0.0.9:3307").used, 1);
}

#[test]
fn the_port_of_a_listener_that_went_away_is_one_like_others() {
    let mut a = Analyzer::default();
    let out = row(Established, "10.0.0.1:40001", "10.0.0.2:443");
    let first = a.derive(sample(0, vec![row(Listen, "0.0.0.0:40001", "0.0.0.0:0"), out], &[RANGE]));
    assert!(first.ports.destinations.is_empty(), "it came in");
    let second = a.derive(sample(1, vec![out], &[RANGE]));
    assert_eq!(towards(&second, "10.0.0.2:443").used, 1);
}

#[test]
fn reserved_and_occupied_ports_are_taken_out_once() {
    let s = derive(
        vec![
            row(Listen, "127.0.0.1:40003", "0.0.0.0:0"),
            row(BoundInactive, "127.0.0.1:40004", "0.0.0.0:0"),
            row(Listen, "127.0.0.1:40011", "0.0.0.0:0"),
            row(Established, "127.0.0.1:40003", "127.0.0.1:5000"),
        ],
        &[RANGE, ("net.ipv4.ip_local_reserved_ports", "30000,40010-40012,40019-50000")],
    );
    assert_eq!((s.ports.reserved, s.ports.occupied, s.ports.usable), (4, 2, 14));
    assert_eq!(s.ports.destination_count, 0, "the far side of an incoming connection is no use of a port");
}

#[test]
fn ports_of_the_parity_that_bind_prefers_are_suspected_while_the_other_half_is_free() {
    let full = |port: u16, flags| {
        let mut r = row(Established, &format!("10.0.0.1:{port}"), "10.0.0.9:80");
        r.flags = RowFlags::FULL.with(flags);
        r
    };
    let suspects = |rows: Vec<SocketRow>| derive(rows, &[RANGE]).ports.suspected_binds;
    let none = RowFlags::default();
    assert_eq!(suspects(vec![full(40001, none), full(40003, none), full(40002, none)]), 2);
    assert_eq!(suspects(vec![full(40001, RowFlags::BIND_NO_PORT)]), 0, "the port was chosen at connect");
    assert_eq!(
        suspects((40000..40014).map(|p| full(p, none)).collect()),
        0,
        "connect uses both halves by now"
    );
}

#[test]
fn time_wait_is_used_until_the_kernel_gives_it_away_again() {
    let aged = |local, peer, expires_ms| {
        let mut r = row(TimeWait, local, peer);
        r.expires_ms = expires_ms;
        r
    };
    let tw = |expires_ms| aged("10.0.0.1:40000", "10.0.0.9:80", expires_ms);
    let reusable = |row: SocketRow, pairs: &[(&str, &str)]| {
        let mut all = vec![RANGE];
        all.extend(pairs);
        derive(vec![row], &all).ports.destinations[0].reusable
    };
    let on = ("net.ipv4.tcp_tw_reuse", "1");
    let lo = ("net.ipv4.tcp_tw_reuse", "2");
    assert_eq!(reusable(tw(30_000), &[]), 0);
    assert_eq!(reusable(tw(30_000), &[on]), 1);
    assert_eq!(reusable(tw(59_500), &[on]), 0, "younger than a second");
    assert_eq!(reusable(tw(59_500), &[on, ("net.ipv4.tcp_tw_reuse_delay", "100")]), 1);
    assert_eq!(reusable(tw(30_000), &[on, ("net.ipv4.tcp_timestamps", "0")]), 0);
    assert_eq!(reusable(tw(30_000), &[lo]), 0, "2 is for loopback only");
    let looped = aged("127.0.0.1:40000", "127.0.0.1:80", 30_000);
    assert_eq!(reusable(looped, &[lo]), 1);
}

#[test]
fn time_to_exhaustion_follows_from_growth() {
    let mut a = Analyzer::default();
    let conns = |n: u16| {
        (0..n).map(|p| row(Established, &format!("10.0.0.1:{}", 40000 + p), "10.0.0.9:80")).collect()
    };
    a.derive(sample(0, conns(2), &[RANGE]));
    let s = a.derive(sample(4, conns(10), &[RANGE]));
    let d = towards(&s, "10.0.0.9:80");
    assert!((s.ports.exhausted_in_s(d).unwrap() - 5.0).abs() < 1e-3);
}

#[test]
fn a_backlog_that_the_source_does_not_tell_is_no_backlog_of_zero() {
    let from = |source| {
        let mut waiting = row(Listen, "0.0.0.0:80", "0.0.0.0:0");
        waiting.recv_q = 3;
        let mut s = sample(0, vec![waiting], &[]);
        s.completeness.source = source;
        let l = Analyzer::default().derive(s).listeners[0].clone();
        (l.backlog, l.is_full())
    };
    assert_eq!(from(TableSource::SockDiag), (Some(0), true));
    assert_eq!(from(TableSource::Procfs), (None, false));
}

#[test]
fn without_cookies_no_churn_and_no_age_is_made_up() {
    let mut a = Analyzer::default();
    let mut look = |at| {
        let mut s = sample(at, vec![row(Established, "10.0.0.1:80", "10.0.0.2:1")], &[]);
        s.completeness.source = TableSource::Procfs;
        a.derive(s)
    };
    look(0);
    let s = look(5);
    assert_eq!(s.churn, None);
    assert!(s.age(s.track[0]).at_least);
}
