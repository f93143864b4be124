//! What the counters did between two looks.

use std::cmp::Ordering;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::CounterRate;
use crate::model::{
    ConntrackStats, CounterTable, Facts, ForeignText, InterfaceRow, NeighbourTable, Reading, Scope,
    SoftnetRow,
};

/// Counters that moved between two looks.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rates {
    /// Those that moved, by name.
    pub moved: Vec<CounterRate>,
    /// A counter of the namespace went backwards: it is another namespace, or the counter wrapped. Nothing moved then.
    pub reset: bool,
    /// Of what else the counters went backwards, and are left out: `dev.eth0`, `softnet`, `arp_cache`.
    pub went_back: Vec<Box<str>>,
}

/// Values among the counters that are no counters: they go up and down, or are settings (RFC 4293, RFC 4022).
const GAUGES: [&str; 8] = [
    "Ip.DefaultTTL",
    "Ip.Forwarding",
    "MPTcpExt.MPCurrEstab",
    "Tcp.CurrEstab",
    "Tcp.MaxConn",
    "Tcp.RtoAlgorithm",
    "Tcp.RtoMax",
    "Tcp.RtoMin",
];

/// Compares the facts of one namespace with those `elapsed` before. What either side does not know has no rate.
///
/// Beside the kernel's own names there are `softnet.…` (host, all CPUs), `dev.<interface>.…` (the interface escaped,
/// see [`interface_counter`]), `conntrack.…`, and `arp_cache.…` and `ndisc_cache.…` (host), with the names of the fields of the model.
#[must_use]
pub fn rates(earlier: &Facts, now: &Facts, elapsed: Duration) -> Rates {
    let mut moved = Moved { found: Vec::new(), went_back: Vec::new(), seconds: elapsed.as_secs_f64() };
    let monotonic = known(&earlier.counters, &now.counters).is_none_or(|(a, b)| counters(a, b, &mut moved))
        && known(&earlier.conntrack, &now.conntrack)
            .and_then(|(a, b)| Some((a.stats?, b.stats?)))
            .is_none_or(|(a, b)| conntrack(&a, &b, &mut moved));
    if !monotonic {
        return Rates { reset: true, ..Rates::default() };
    }
    if let Some((a, b)) = known(&earlier.softnet, &now.softnet) {
        softnet(a, b, &mut moved);
    }
    if let Some((a, b)) = known(&earlier.interfaces, &now.interfaces) {
        interfaces(a, b, &mut moved);
    }
    if let Some((a, b)) = known(&earlier.neighbours, &now.neighbours) {
        neighbours("arp_cache", &a.v4, &b.v4, &mut moved);
        if let (Some(a), Some(b)) = (&a.v6, &b.v6) {
            neighbours("ndisc_cache", a, b, &mut moved);
        }
    }
    let Moved { found: mut moved, went_back, .. } = moved;
    if elapsed.is_zero() {
        moved.clear();
    }
    moved.sort_by(|a, b| a.name.cmp(&b.name));
    Rates { moved, reset: false, went_back }
}

/// The name in [`Rates`] of a counter of an interface, a field of [`InterfaceRow`]: `dev.eth0.rx_drop`.
#[must_use]
pub fn interface_counter(interface: &ForeignText, field: &str) -> String {
    format!("dev.{interface}.{field}")
}

struct Moved {
    found: Vec<CounterRate>,
    went_back: Vec<Box<str>>,
    seconds: f64,
}

impl Moved {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    fn add(&mut self, name: &str, scope: Scope, delta: u64) {
        if delta > 0 {
            let per_s = delta as f64 / self.seconds;
            self.found.push(CounterRate { name: name.into(), scope, delta, per_s });
        }
    }
}

fn known<'a, T>(earlier: &'a Reading<T>, now: &'a Reading<T>) -> Option<(&'a T, &'a T)> {
    earlier.known().zip(now.known())
}

/// Walks both tables in the order of their names. False if a counter went backwards.
fn counters(earlier: &CounterTable, now: &CounterTable, moved: &mut Moved) -> bool {
    let mut before = earlier.iter().peekable();
    for (name, value) in now.iter() {
        while before.next_if(|(n, _)| *n < name).is_some() {}
        let old = match before.peek() {
            Some((n, old)) if *n == name => *old,
            _ if appears_when_it_moves(name) => 0,
            _ => continue,
        };
        if GAUGES.binary_search(&name).is_ok() {
            continue;
        }
        match value.cmp(&old) {
            Ordering::Less => return false,
            Ordering::Equal => {}
            Ordering::Greater => moved.add(name, Scope::Namespace, value - old),
        }
    }
    true
}

/// ICMP message types are listed only once one was seen (`icmpmsg_put` in `net/ipv4/proc.c`,
/// `snmp6_seq_show_icmpv6msg` in `net/ipv6/proc.c`).
fn appears_when_it_moves(name: &str) -> bool {
    let counter = name.strip_prefix("IcmpMsg.").or_else(|| name.strip_prefix("Icmp6."));
    counter.is_some_and(|c| c.starts_with("InType") || c.starts_with("OutType"))
}

/// False if a counter went backwards.
fn conntrack(earlier: &ConntrackStats, now: &ConntrackStats, moved: &mut Moved) -> bool {
    let counters = [
        ("conntrack.drop", earlier.drop, now.drop),
        ("conntrack.early_drop", earlier.early_drop, now.early_drop),
        ("conntrack.insert_failed", earlier.insert_failed, now.insert_failed),
        ("conntrack.invalid", earlier.invalid, now.invalid),
        ("conntrack.search_restart", earlier.search_restart, now.search_restart),
        (
            "conntrack.chaintoolong",
            earlier.chaintoolong.unwrap_or_default(),
            now.chaintoolong.unwrap_or_default(),
        ),
    ];
    for (name, old, new) in counters {
        moved.add(name, Scope::Namespace, new.saturating_sub(old));
    }
    counters.iter().all(|(_, old, new)| old <= new)
}

/// The statistics of a neighbour table of the host, which other namespaces move as well.
fn neighbours(table: &str, earlier: &NeighbourTable, now: &NeighbourTable, moved: &mut Moved) {
    let fulls = earlier.table_fulls.zip(now.table_fulls);
    if now.forced_gc_runs < earlier.forced_gc_runs || fulls.is_some_and(|(old, new)| new < old) {
        return moved.went_back.push(table.into());
    }
    let mut add = |field: &str, old: u64, new: u64| {
        moved.add(&format!("{table}.{field}"), Scope::Host, new.saturating_sub(old));
    };
    add("forced_gc_runs", earlier.forced_gc_runs, now.forced_gc_runs);
    if let Some((old, new)) = fulls {
        add("table_fulls", old, new);
    }
}

fn softnet(earlier: &[SoftnetRow], now: &[SoftnetRow], moved: &mut Moved) {
    let pairs = || now.iter().filter_map(|row| Some((earlier.iter().find(|e| e.cpu == row.cpu)?, row)));
    let mut back = false;
    let mut add = |name, of: fn(&SoftnetRow) -> u64| {
        let deltas = pairs().map(|(e, row)| wrapped_delta(of(e), of(row)));
        back |= deltas.clone().any(|d| d.is_none());
        moved.add(name, Scope::Host, deltas.flatten().sum());
    };
    add("softnet.dropped", |r| r.dropped);
    add("softnet.flow_limit_count", |r| r.flow_limit_count);
    add("softnet.processed", |r| r.processed);
    add("softnet.received_rps", |r| r.received_rps);
    add("softnet.time_squeeze", |r| r.time_squeeze);
    if back {
        moved.went_back.push("softnet".into());
    }
}

/// The way from `old` to `new` of a counter that the kernel keeps in 32 bits (`struct softnet_data`) and that wraps
/// within hours on a busy CPU. More than half way round is a counter that went back: `None`.
fn wrapped_delta(old: u64, new: u64) -> Option<u64> {
    let delta = new.wrapping_sub(old) & u64::from(u32::MAX);
    (delta <= u64::from(u32::MAX / 2)).then_some(delta)
}

fn interfaces(earlier: &[InterfaceRow], now: &[InterfaceRow], moved: &mut Moved) {
    let earlier: FxHashMap<_, _> = earlier.iter().map(|row| (&row.name, row)).collect();
    for row in now {
        let Some(old) = earlier.get(&row.name) else { continue };
        let counters = [
            ("rx_bytes", old.rx_bytes, row.rx_bytes),
            ("rx_packets", old.rx_packets, row.rx_packets),
            ("rx_errs", old.rx_errs, row.rx_errs),
            ("rx_drop", old.rx_drop, row.rx_drop),
            ("rx_fifo", old.rx_fifo, row.rx_fifo),
            ("tx_bytes", old.tx_bytes, row.tx_bytes),
            ("tx_packets", old.tx_packets, row.tx_packets),
            ("tx_errs", old.tx_errs, row.tx_errs),
            ("tx_drop", old.tx_drop, row.tx_drop),
            ("tx_fifo", old.tx_fifo, row.tx_fifo),
        ];
        // An interface whose counters went back was made anew, or its driver reset; that says nothing of the others.
        if counters.iter().any(|(_, old, new)| new < old) {
            moved.went_back.push(format!("dev.{}", row.name).into());
            continue;
        }
        for (field, old, new) in counters.into_iter().filter(|(_, old, new)| new > old) {
            moved.add(&interface_counter(&row.name, field), Scope::Namespace, new - old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Conntrack, Neighbours};

    const SECONDS: Duration = Duration::from_secs(2);

    fn table(pairs: &[(&str, u64)]) -> Reading<CounterTable> {
        Reading::Known(CounterTable::from_pairs(pairs.iter().map(|(n, v)| ((*n).into(), *v)).collect()))
    }

    fn with_counters(pairs: &[(&str, u64)]) -> Facts {
        Facts { counters: table(pairs), ..Facts::default() }
    }

    fn with_conntrack(stats: ConntrackStats) -> Facts {
        let conntrack = Conntrack { stats: Some(stats), ..Conntrack::default() };
        Facts { conntrack: Reading::Known(conntrack), ..Facts::default() }
    }

    fn interface(name: &str, rx_drop: u64, tx_bytes: u64) -> InterfaceRow {
        InterfaceRow {
            name: name.into(),
            rx_bytes: 0,
            rx_packets: 0,
            rx_errs: 0,
            rx_drop,
            rx_fifo: 0,
            tx_bytes,
            tx_packets: 0,
            tx_errs: 0,
            tx_drop: 0,
            tx_fifo: 0,
        }
    }

    fn deltas(rates: &Rates) -> Vec<(&str, u64)> {
        rates.moved.iter().map(|r| (&*r.name, r.delta)).collect()
    }

    #[test]
    fn only_what_moved_has_a_rate() {
        let a = with_counters(&[("Tcp.OutRsts", 1), ("TcpExt.ListenDrops", 10), ("TcpExt.TW", 5)]);
        let b = with_counters(&[("Tcp.OutRsts", 1), ("TcpExt.ListenDrops", 13), ("TcpExt.TW", 6)]);
        let got = rates(&a, &b, SECONDS);
        assert_eq!(deltas(&got), [("TcpExt.ListenDrops", 3), ("TcpExt.TW", 1)]);
        let first = got.moved.first().unwrap();
        assert!((first.per_s - 1.5).abs() < f64::EPSILON);
        assert_eq!(first.scope, Scope::Namespace);
        assert!(!got.reset);
    }

    #[test]
    fn one_counter_that_went_back_leaves_no_rate_at_all() {
        let a = with_counters(&[("Tcp.OutRsts", 1), ("TcpExt.ListenDrops", 10)]);
        let b = with_counters(&[("Tcp.OutRsts", 9), ("TcpExt.ListenDrops", 9)]);
        assert_eq!(rates(&a, &b, SECONDS), Rates { reset: true, ..Rates::default() });
        let low = with_conntrack(ConntrackStats { drop: 4, invalid: 9, ..ConntrackStats::default() });
        let high = with_conntrack(ConntrackStats { drop: 5, invalid: 8, ..ConntrackStats::default() });
        assert_eq!(rates(&low, &high, SECONDS), Rates { reset: true, ..Rates::default() });
    }

    #[test]
    fn gauges_go_up_and_down_without_a_rate() {
        assert!(GAUGES.is_sorted());
        for gauge in GAUGES {
            let (a, b) = (with_counters(&[(gauge, 5)]), with_counters(&[(gauge, 3)]));
            assert_eq!(rates(&a, &b, SECONDS), Rates::default(), "{gauge}");
            assert_eq!(rates(&b, &a, SECONDS), Rates::default(), "{gauge}");
        }
    }

    #[test]
    fn a_name_that_was_not_there_has_no_rate_unless_it_appears_by_moving() {
        let a = with_counters(&[("Tcp.A", 1), ("Tcp.C", 1)]);
        let b = with_counters(&[("Icmp6.OutType143", 9), ("IcmpMsg.InType3", 2), ("Tcp.B", 7), ("Tcp.C", 2)]);
        assert_eq!(
            deltas(&rates(&a, &b, SECONDS)),
            [("Icmp6.OutType143", 9), ("IcmpMsg.InType3", 2), ("Tcp.C", 1)]
        );
    }

    #[test]
    fn what_one_side_does_not_know_has_no_rate() {
        let b = with_counters(&[("IcmpMsg.InType3", 2)]);
        assert_eq!(rates(&Facts::default(), &b, SECONDS), Rates::default());
        assert_eq!(rates(&b, &Facts::default(), SECONDS), Rates::default());
    }

    #[test]
    fn no_time_no_rate() {
        let (a, b) = (with_counters(&[("Tcp.A", 1)]), with_counters(&[("Tcp.A", 2)]));
        assert_eq!(rates(&a, &b, Duration::ZERO), Rates::default());
    }

    #[test]
    fn softnet_is_compared_by_cpu_and_survives_a_wrap() {
        let row = |cpu, processed, dropped| SoftnetRow { cpu, processed, dropped, ..SoftnetRow::default() };
        let facts = |rows| Facts { softnet: Reading::Known(rows), ..Facts::default() };
        let a = facts(vec![row(0, u64::from(u32::MAX), 100), row(2, 50, 7)]);
        let b = facts(vec![row(0, 4, 101), row(1, 1000, 1000), row(2, 49, 9)]);
        let got = rates(&a, &b, SECONDS);
        assert_eq!(deltas(&got), [("softnet.dropped", 3), ("softnet.processed", 5)]);
        assert_eq!(got.went_back, ["softnet".into()], "the third processor's");
        assert!(got.moved.iter().all(|r| r.scope == Scope::Host));
    }

    #[test]
    fn neighbour_tables_are_compared_each_by_its_name() {
        let table =
            |fulls| NeighbourTable { entries: 9, table_fulls: Some(fulls), forced_gc_runs: fulls + 1 };
        let facts = |v4, v6: Option<u64>| Facts {
            neighbours: Reading::Known(Neighbours { v4: table(v4), v6: v6.map(table) }),
            ..Facts::default()
        };
        let got = rates(&facts(1, Some(5)), &facts(3, Some(6)), SECONDS);
        let names = ["arp_cache.forced_gc_runs", "arp_cache.table_fulls", "ndisc_cache.forced_gc_runs"];
        assert_eq!(deltas(&got)[..3], [(names[0], 2), (names[1], 2), (names[2], 1)]);
        assert!(got.moved.iter().all(|r| r.scope == Scope::Host));
        let back = rates(&facts(3, None), &facts(1, Some(2)), SECONDS);
        assert_eq!(back, Rates { went_back: vec!["arp_cache".into()], ..Rates::default() });
    }

    #[test]
    fn an_interface_made_anew_is_left_out_alone() {
        let facts = |rows| Facts { interfaces: Reading::Known(rows), ..Facts::default() };
        let a = facts(vec![interface("eth0", 1, 10), interface("ppp0", 5, 10)]);
        let b = facts(vec![interface("eth0", 4, 10), interface("ppp0", 0, 20), interface("new", 9, 9)]);
        let got = rates(&a, &b, SECONDS);
        assert_eq!(deltas(&got), [("dev.eth0.rx_drop", 3)]);
        assert!(!got.reset);
        assert_eq!(got.went_back, ["dev.ppp0".into()]);
    }

    #[test]
    fn an_interface_name_is_escaped_in_the_counters_name() {
        assert_eq!(interface_counter(&"e\x1b[2J".into(), "rx_drop"), "dev.e\\u{1b}[2J.rx_drop");
    }

    #[test]
    fn names_are_in_order_over_all_sources() {
        let a = Facts { counters: table(&[("Tcp.A", 1)]), ..with_conntrack(ConntrackStats::default()) };
        let b = Facts {
            counters: table(&[("Tcp.A", 2)]),
            ..with_conntrack(ConntrackStats { drop: 1, chaintoolong: Some(2), ..ConntrackStats::default() })
        };
        let got = rates(&a, &b, SECONDS);
        assert_eq!(deltas(&got), [("Tcp.A", 1), ("conntrack.chaintoolong", 2), ("conntrack.drop", 1)]);
    }
}
