//! Segments that were dropped for their timestamp.

use super::moved::{PerSecond, Watch};
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};

/// The rule's id.
pub const ID: &str = "paws-drops";

const PASSIVE: &str = "TcpExt.PAWSPassive";
const RECYCLE: &str = "net.ipv4.tcp_tw_recycle";

/// `PAWSOldAck` is left out: it counts late pure ACKs, which cost nothing (`tcp_disordered_ack_check`).
const COUNTERS: &[(&str, &str)] = &[
    ("established", "TcpExt.PAWSEstab"),
    ("passive", PASSIVE),
    ("active", "TcpExt.PAWSActive"),
    ("time_wait", "TcpExt.PAWSTimewait"),
    ("echo_rejected", "TcpExt.TSEcrRejected"),
];

/// The timestamp check drops segments (`tcp_validate_incoming`, `tcp_timewait_state_process`). A stray old duplicate is
/// ordinary; many a second are a middlebox that rewrites timestamps, clients behind one address, or, up to Linux 4.11,
/// `tcp_tw_recycle`, which drops the SYNs of every client behind a NAT but one.
pub struct PawsDrops {
    warning_per_s: f64,
    watch: Watch,
}

impl PawsDrops {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        let n: PerSecond = thresholds.section(ID)?;
        Ok(Self { warning_per_s: n.warning_per_s, watch: Watch::default() })
    }
}

impl Rule for PawsDrops {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let names: Vec<&str> = COUNTERS.iter().map(|(_, counter)| *counter).collect();
        let moved = match self.watch.named(context, &names) {
            Ok(moved) => moved,
            Err(verdict) => return verdict,
        };
        let recycles = context.snapshot.sample.facts.sysctls.number(RECYCLE).is_some_and(|v| v != 0);
        let per_s: f64 = moved.iter().map(super::moved::Movement::per_s).sum();
        let severity = match moved.severity() {
            None => return Verdict::Quiet,
            Some(_) if recycles && moved.get(PASSIVE).is_some() => Severity::Critical,
            Some(keeps) if per_s >= self.warning_per_s => keeps,
            Some(_) => Severity::Info,
        };
        let total = moved.iter().map(|m| m.delta).sum();
        let mut evidence = vec![
            Evidence::new("dropped", Value::Count(total), Source::Observed),
            Evidence::new("per_s", Value::PerSecond(per_s), Source::Observed),
        ];
        for (name, counter) in COUNTERS {
            evidence.extend(moved.get(counter).map(|m| m.evidence(name)));
        }
        let mut draft = Draft::new(severity, Subject::Host, evidence);
        if recycles {
            draft.evidence.push(Evidence::new(
                "tw_recycle",
                Value::Number(1),
                Source::Sysctl(RECYCLE.into()),
            ));
            draft.variant = Some("recycle");
        }
        Verdict::Fires(vec![draft])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, fired};

    fn rule() -> PawsDrops {
        PawsDrops::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn severities(steps: &[u64], counter: &str, recycle: bool) -> Vec<Option<Severity>> {
        let (mut b, mut r) = (Bench::new(), rule());
        if recycle {
            b.set_sysctl(RECYCLE, "1");
        }
        let mut judge = |v: &u64| {
            b.set_counter(counter, *v);
            fired(&b.judge(&mut r)).first().map(|d| d.severity)
        };
        steps.iter().map(&mut judge).collect()
    }

    #[test]
    fn a_stray_segment_is_information_and_one_a_second_a_warning() {
        let got = severities(&[50, 50, 51, 52], "TcpExt.PAWSEstab", false);
        assert_eq!(got, [None, None, Some(Severity::Info), Some(Severity::Info)], "2 in 3 s are below");
        let got = severities(&[50, 51, 52, 53], "TcpExt.PAWSEstab", false);
        assert_eq!(got[3], Some(Severity::Warning));
        let got = severities(&[50, 1050], "TcpExt.TSEcrRejected", false);
        assert_eq!(got[1], Some(Severity::Info), "once, however many");
    }

    #[test]
    fn recycling_of_time_wait_that_drops_syns_is_critical() {
        assert_eq!(severities(&[5, 6], PASSIVE, true)[1], Some(Severity::Critical));
        assert_eq!(severities(&[5, 6], PASSIVE, false)[1], Some(Severity::Info));
        assert_eq!(severities(&[5, 6], "TcpExt.PAWSEstab", true)[1], Some(Severity::Info));
    }

    #[test]
    fn late_acks_are_nobodys_fault() {
        let (mut b, mut r) = (Bench::new(), rule());
        b.set_counter("TcpExt.PAWSEstab", 1);
        b.set_counter("TcpExt.PAWSOldAck", 1);
        assert!(matches!(b.judge(&mut r), Verdict::AskAgain(_)));
        b.set_counter("TcpExt.PAWSOldAck", 1000);
        assert_eq!(b.judge(&mut r), Verdict::Quiet);
        assert!(matches!(Bench::new().judge(&mut r), Verdict::NotExamined(_)));
    }
}
