//! Packets that were dropped before TCP saw them: at the interface, at the backlog of a CPU, by the reverse-path filter.

use super::moved::{Movement, Movements, PerSecond, Watch, known, went_back};
use crate::analysis::interface_counter;
use crate::diagnose::finding::{Confidence, Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::{Facts, ForeignText, InterfaceRow};

/// Drops at an interface.
pub const NIC: &str = "nic-drops";
/// Drops at the backlog of a CPU.
pub const BACKLOG: &str = "backlog-drops";
/// Drops by the reverse-path filter.
pub const REVERSE_PATH: &str = "reverse-path-drops";

const SOFTNET_DROPPED: &str = "softnet.dropped";
const FLOW_LIMIT: &str = "softnet.flow_limit_count";
const TIME_SQUEEZE: &str = "softnet.time_squeeze";
const IP_REVERSE_PATH: &str = "TcpExt.IPReversePathFilter";

/// `fifo` or `drop` of an interface moves. A driver counts an overflow of its ring in one or the other
/// (`dev_seq_printf_stats` in `net/core/net-procfs.c`); `drop` counts packets of unknown protocols too, so a trickle of
/// those is information.
pub struct NicDrops {
    warning_per_s: f64,
    watch: Watch,
}

impl NicDrops {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        let n: PerSecond = thresholds.section(NIC)?;
        Ok(Self { warning_per_s: n.warning_per_s, watch: Watch::default() })
    }

    fn draft(&self, row: &InterfaceRow, moved: &Movements) -> Option<Draft> {
        let of = |field| moved.get(&interface_counter(&row.name, field));
        let fifo: Vec<_> = [("rx_fifo", of("rx_fifo")), ("tx_fifo", of("tx_fifo"))].into();
        let drop: Vec<_> = [("rx_drop", of("rx_drop")), ("tx_drop", of("tx_drop"))].into();
        let dropped_per_s: f64 = drop.iter().filter_map(|(_, m)| *m).map(Movement::per_s).sum();
        let by_fifo = fifo.iter().filter_map(|(_, m)| m.map(Movement::severity)).max();
        let by_drop = drop
            .iter()
            .filter_map(|(_, m)| m.map(Movement::severity))
            .max()
            .map(|s| if dropped_per_s >= self.warning_per_s { s } else { Severity::Info });
        let severity = by_fifo.max(by_drop)?;
        let all = || fifo.iter().chain(&drop).filter_map(|(name, m)| m.map(|m| (*name, m)));
        let total = all().map(|(_, m)| m.delta).sum();
        let per_s = all().map(|(_, m)| m.per_s()).sum();
        let mut evidence = vec![
            Evidence::new("dropped", Value::Count(total), Source::Observed),
            Evidence::new("per_s", Value::PerSecond(per_s), Source::Observed),
        ];
        evidence.extend(all().map(|(name, m)| m.evidence(name)));
        evidence.extend(of("rx_packets").map(|m| m.evidence("rx_packets")));
        let mut draft = Draft::new(severity, Subject::Interface { name: row.name.clone() }, evidence);
        draft.variant = Some(if by_fifo.is_some() { "ring" } else { "drop" });
        if by_fifo.is_none() {
            draft.confidence = Confidence::Medium;
        }
        Some(draft)
    }
}

impl Rule for NicDrops {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let ours = |name: &str| {
            let field = name.strip_prefix("dev.").and_then(|rest| rest.rsplit_once('.'));
            field.is_some_and(|(_, f)| f.ends_with("_drop") || f.ends_with("_fifo") || f == "rx_packets")
        };
        let moved = match self.watch.look(context, &["dev"], ours) {
            Ok(moved) => moved,
            Err(verdict) => return verdict,
        };
        let rows = context.snapshot.sample.facts.interfaces.known();
        let drafts: Vec<_> = rows.into_iter().flatten().filter_map(|row| self.draft(row, &moved)).collect();
        match went_back(context, "dev") {
            Some(verdict) if drafts.is_empty() => verdict,
            _ => Verdict::of(drafts),
        }
    }
}

/// Column 2 of `softnet_stat` moves: the backlog of a CPU was full (`enqueue_to_backlog` in `net/core/dev.c`). It serves
/// RPS, loopback, veth and tunnels; a network card with NAPI and without RPS never uses it.
#[derive(Default)]
pub struct BacklogDrops(Watch);

impl Rule for BacklogDrops {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let moved = match self.0.named(context, &[SOFTNET_DROPPED, FLOW_LIMIT, TIME_SQUEEZE]) {
            Ok(moved) => moved,
            Err(verdict) => return verdict,
        };
        let Some(dropped) = moved.get(SOFTNET_DROPPED) else {
            return went_back(context, "softnet").unwrap_or(Verdict::Quiet);
        };
        let mut evidence = vec![dropped.evidence("dropped"), dropped.rate(), dropped.window()];
        evidence.extend(moved.get(FLOW_LIMIT).map(|m| m.evidence("flow_limit")));
        evidence.extend(moved.get(TIME_SQUEEZE).map(|m| m.evidence("time_squeeze")));
        if let Some(max) = context.snapshot.sample.facts.sysctls.number("net.core.netdev_max_backlog") {
            let source = Source::Sysctl("net.core.netdev_max_backlog".into());
            evidence.push(Evidence::new("max", Value::Number(max), source).of_host());
        }
        let mut draft = Draft::new(dropped.severity(), Subject::Host, evidence);
        // skb_flow_limit drops for one heavy flow before the backlog is full, and both are counted as dropped.
        draft.variant = Some(if moved.delta(FLOW_LIMIT) >= dropped.delta { "flow_limit" } else { "backlog" });
        Verdict::Fires(vec![draft])
    }
}

/// Names of the interfaces on which the filter in force is `mode`: the larger of the interface's own and that of `all`
/// (`IN_DEV_RPFILTER`). `None` where it cannot be known.
pub fn interfaces_filtering(facts: &Facts, mode: i64) -> Option<Vec<&ForeignText>> {
    let all = facts.sysctls.number("net.ipv4.conf.all.rp_filter")?;
    let own = known(&facts.rp_filters, "/proc/sys/net/ipv4/conf").ok()?;
    // No packet comes in on loopback by a way of its own.
    let others = own.iter().filter(|f| f.interface.raw() != "lo");
    Some(others.filter(|f| all.max(f.value.into()) == mode).map(|f| &f.interface).collect())
}

/// Names as one text.
pub fn joined(names: &[&ForeignText]) -> ForeignText {
    ForeignText::from(names.iter().map(|n| n.raw()).collect::<Vec<_>>().join(", ").as_str())
}

/// `IPReversePathFilter` moves: packets came in by an interface through which the way back does not lead, and were dropped
/// (`fib_validate_source` in `net/ipv4/fib_frontend.c`). IPv4 only.
#[derive(Default)]
pub struct ReversePathDrops(Watch);

impl Rule for ReversePathDrops {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let moved = match self.0.named(context, &[IP_REVERSE_PATH]) {
            Ok(moved) => moved,
            Err(verdict) => return verdict,
        };
        let Some(dropped) = moved.get(IP_REVERSE_PATH) else { return Verdict::Quiet };
        let facts = &context.snapshot.sample.facts;
        let strict = interfaces_filtering(facts, 1);
        let source = Source::Sysctl("net.ipv4.conf.*.rp_filter".into());
        let names = strict.as_ref().map_or(Value::Unknown, |names| Value::Text(joined(names)));
        let evidence = vec![
            dropped.evidence("dropped"),
            dropped.rate(),
            dropped.window(),
            Evidence::new("strict_interfaces", names, source),
        ];
        let mut draft = Draft::new(dropped.severity(), Subject::Host, evidence);
        draft.variant = match strict {
            Some(names) if names.is_empty() => Some("loose"),
            _ => Some("strict"),
        };
        Verdict::Fires(vec![draft])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, fired};
    use crate::model::{InterfaceRpFilter, Reading, Scope, SoftnetRow};

    fn set_interface(b: &mut Bench, rx_drop: u64, rx_fifo: u64) {
        let row = InterfaceRow {
            name: "eth0.7".into(),
            rx_bytes: 0,
            rx_packets: 0,
            rx_errs: 0,
            rx_drop,
            rx_fifo,
            tx_bytes: 0,
            tx_packets: 0,
            tx_errs: 0,
            tx_drop: 0,
            tx_fifo: 0,
        };
        b.facts.interfaces = Reading::Known(vec![row]);
    }

    fn nic(steps: &[(u64, u64)]) -> Vec<Option<Severity>> {
        let (mut b, mut rule) = (Bench::new(), NicDrops::new(&Thresholds::defaults().unwrap()).unwrap());
        let mut judge = |(drop, fifo): &(u64, u64)| {
            set_interface(&mut b, *drop, *fifo);
            let drafts = fired(&b.judge(&mut rule));
            assert!(drafts.iter().all(|d| d.subject == Subject::Interface { name: "eth0.7".into() }));
            drafts.first().map(|d| d.severity)
        };
        steps.iter().map(&mut judge).collect()
    }

    #[test]
    fn a_ring_that_keeps_overflowing_is_a_warning_and_a_trickle_of_drops_information() {
        let (info, warning) = (Some(Severity::Info), Some(Severity::Warning));
        assert_eq!(nic(&[(5, 5), (5, 5), (5, 6), (5, 7)]), [None, None, info, warning]);
        assert_eq!(nic(&[(5, 0), (6, 0), (6, 0), (7, 0)]), [None, info, info, info], "2 in 3 s");
        assert_eq!(nic(&[(5, 0), (6, 0), (7, 0)]), [None, info, warning], "1 a second");
    }

    #[test]
    fn without_the_file_and_at_the_first_look_nothing_is_judged() {
        let (mut b, mut rule) = (Bench::new(), NicDrops::new(&Thresholds::defaults().unwrap()).unwrap());
        assert_eq!(b.judge(&mut rule), Verdict::NotExamined("there is no /proc/net/dev".into()));
        set_interface(&mut Bench::new(), 1, 1);
        let mut b = Bench::new();
        set_interface(&mut b, 1, 1);
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
    }

    #[test]
    fn a_full_backlog_is_the_hosts_and_told_from_the_flow_limit() {
        let set = |b: &mut Bench, dropped, flow_limit_count| {
            let row = SoftnetRow { dropped, flow_limit_count, ..SoftnetRow::default() };
            b.facts.softnet = Reading::Known(vec![row]);
        };
        let (mut b, mut rule) = (Bench::new(), BacklogDrops::default());
        assert!(matches!(b.judge(&mut rule), Verdict::NotExamined(_)));
        set(&mut b, 7, 2);
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        set(&mut b, 9, 4);
        let drafts = fired(&b.judge(&mut rule));
        assert_eq!((drafts[0].severity, drafts[0].variant), (Severity::Info, Some("flow_limit")));
        assert_eq!(drafts[0].evidence[0].scope, Scope::Host);
        set(&mut b, 10, 4);
        let drafts = fired(&b.judge(&mut rule));
        assert_eq!((drafts[0].severity, drafts[0].variant), (Severity::Warning, Some("backlog")));
    }

    #[test]
    fn the_filter_names_the_interfaces_that_are_strict() {
        let (mut b, mut rule) = (Bench::new(), ReversePathDrops::default());
        let filter = |interface: &str, value| InterfaceRpFilter { interface: interface.into(), value };
        b.facts.rp_filters = Reading::Known([filter("lo", 0), filter("eth0", 2), filter("eth1", 0)].into());
        b.set_sysctl("net.ipv4.conf.all.rp_filter", "1");
        b.set_counter(IP_REVERSE_PATH, 5);
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        b.set_counter(IP_REVERSE_PATH, 6);
        let drafts = fired(&b.judge(&mut rule));
        assert_eq!((drafts[0].severity, drafts[0].variant), (Severity::Info, Some("strict")));
        assert_eq!(drafts[0].evidence[3].value, Value::Text("eth1".into()), "eth0 is loose");
        b.set_sysctl("net.ipv4.conf.all.rp_filter", "2");
        b.set_counter(IP_REVERSE_PATH, 7);
        let drafts = fired(&b.judge(&mut rule));
        assert_eq!((drafts[0].severity, drafts[0].variant), (Severity::Warning, Some("loose")));
        b.set_counter(IP_REVERSE_PATH, 1);
        assert!(matches!(b.judge(&mut rule), Verdict::NotExamined(_)));
    }
}
