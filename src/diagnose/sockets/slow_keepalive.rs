//! Keepalive that runs and comes too late.

use std::time::Duration;

use super::common::{float, looked_at, numbers, setting, sockets};
use crate::analysis::{forgotten_before, forgotten_by_all};
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};
use crate::model::SocketRow;

/// The rule's id.
pub const ID: &str = "keepalive-too-slow";

const INTERVAL: &str = "net.ipv4.tcp_keepalive_intvl";
const PROBES: &str = "net.ipv4.tcp_keepalive_probes";

/// The first probe is on its way for a round trip, so one alone says nothing.
const MISSED: u8 = 2;

numbers! { connections: u32 }

/// A dead peer is noticed later than any common NAT or load balancer forgets the connection. The timer shows when the
/// kernel looks next, so the idle time of the socket is at least that.
pub struct KeepaliveTooSlow {
    numbers: Numbers,
}

impl KeepaliveTooSlow {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)? })
    }
}

/// From the first probe to giving up, as far as the sysctls tell; a socket may have values of its own.
fn probing(context: &Context<'_>) -> Duration {
    let number =
        |name| context.snapshot.sample.facts.sysctls.number(name).and_then(|n| u64::try_from(n).ok());
    let seconds = number(INTERVAL).unwrap_or(0).saturating_mul(number(PROBES).unwrap_or(0));
    Duration::from_secs(seconds)
}

impl Rule for KeepaliveTooSlow {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let longest = forgotten_by_all();
        let probing = probing(context);
        let idle = |row: &SocketRow| Duration::from_millis(row.expires_ms.into());
        // A probe that is on its way shows the interval, not the idle time.
        let is_slow =
            |row: &SocketRow| row.retrans == 0 && row.timer_raw == 2 && idle(row) + probing > longest;
        let unanswered = |row: &SocketRow| row.timer_raw == 2 && row.retrans >= MISSED;
        // Those that are neither say nothing, and there may be very many of them.
        let telling = context.rows(&context.survey.with_keepalive.rows);
        let telling =
            telling.filter(|(_, r)| is_slow(r) || unanswered(r)).map(|(at, _)| at).collect::<Vec<_>>();
        let telling = context.by_listener(&telling, 1);
        let levels = Levels { info: Some(self.numbers.connections.into()), ..Levels::default() };
        let mut drafts = Vec::new();
        for (subject, rows) in telling {
            let slow: Vec<u32> = context.rows(&rows).filter(|(_, r)| is_slow(r)).map(|(at, _)| at).collect();
            let Some(info) = levels.grade(float(slow.len()), context.held.severity(ID, &subject)) else {
                continue;
            };
            let unanswered = context.rows(&rows).filter(|(_, r)| unanswered(r)).count();
            let severity = if unanswered > 0 { Severity::Warning } else { info };
            let most = context.rows(&slow).map(|(_, r)| idle(r)).max().unwrap_or_default();
            let mut evidence = vec![
                sockets("sockets", slow.len()),
                Evidence::new("idle_s", Value::Time(most), Source::SockDiag),
                Evidence::new("noticed_after_s", Value::Time(most + probing), Source::Observed),
                sockets("unanswered", unanswered),
            ];
            let names: Vec<&str> = forgotten_before(Some(most)).map(|t| t.of).collect();
            if !names.is_empty() {
                let names = Value::Text(names.join(", ").as_str().into());
                evidence.push(Evidence::new("forgotten_by", names, Source::Observed));
            }
            evidence.extend(looked_at(&context.survey.with_keepalive));
            evidence.extend(setting(context, "interval_s", INTERVAL));
            evidence.extend(setting(context, "probes", PROBES));
            evidence.extend(context.peers(&slow));
            drafts.push(Draft {
                variant: (unanswered > 0).then_some("unanswered"),
                proof: context.proof(&slow),
                ..Draft::new(severity, subject, evidence)
            });
        }
        Verdict::of(drafts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, drafts};
    use crate::model::TcpState;
    use crate::testkit::socket;

    fn rule() -> KeepaliveTooSlow {
        KeepaliveTooSlow::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    fn bench(count: u16, expires_s: u32) -> Bench {
        let mut b = Bench::new();
        b.set_sysctl(INTERVAL, "75");
        b.set_sysctl(PROBES, "9");
        b.rows.push(socket(TcpState::Listen, "0.0.0.0:80", ""));
        for n in 0..count {
            let mut r = socket(TcpState::Established, "10.0.0.1:80", &format!("10.0.9.9:{}", 2000 + n));
            (r.timer_raw, r.expires_ms) = (2, expires_s * 1000);
            r.set_cookie(1 + u32::from(n), 0);
            b.rows.push(r);
        }
        b
    }

    fn severity(mut b: Bench) -> Option<Severity> {
        match b.judge(&mut rule()) {
            Verdict::Quiet => None,
            other => Some(drafts(other)[0].severity),
        }
    }

    #[test]
    fn longer_than_every_common_middlebox_waits_is_information() {
        // 75 s × 9 = 675 s of probing.
        assert_eq!(severity(bench(50, 525)), None);
        assert_eq!(severity(bench(50, 526)), Some(Severity::Info));
        assert_eq!(severity(bench(49, 7200)), None);
    }

    #[test]
    fn who_forgets_them_is_named() {
        let forgotten_by = |expires_s| {
            let found = drafts(bench(50, expires_s).judge(&mut rule())).remove(0);
            let piece = found.evidence.into_iter().find(|e| e.name == "forgotten_by").unwrap();
            piece.value.to_string()
        };
        assert!(!forgotten_by(599).contains("Google"), "{}", forgotten_by(599));
        assert!(forgotten_by(600).ends_with(", Google Cloud VPC firewall"), "{}", forgotten_by(600));
        assert!(forgotten_by(7200).ends_with(", Google Cloud NAT"), "{}", forgotten_by(7200));
    }

    #[test]
    fn with_probes_unanswered_it_is_a_warning() {
        let mut b = bench(60, 7200);
        (b.rows[1].retrans, b.rows[1].expires_ms) = (1, 75_000);
        assert_eq!(severity(b), Some(Severity::Info), "on its way");
        let mut b = bench(60, 7200);
        (b.rows[1].retrans, b.rows[1].expires_ms) = (2, 75_000);
        assert_eq!(severity(b), Some(Severity::Warning));
        let mut fast = bench(60, 60);
        fast.rows[1].retrans = 2;
        assert_eq!(severity(fast), None);
    }
}
