//! The rules of the audit.

use std::collections::BTreeSet;

use super::audit::{AuditRow, AuditVerdict};
use super::opinions::{SERVICES_BELOW, SMALL_RANGE};
use crate::diagnose::counters::{interfaces_filtering, joined};
use crate::diagnose::finding::{Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::model::{ForeignText, Reading};

/// Recycling of `TIME_WAIT`.
pub const TW_RECYCLE: &str = "sysctl-tw-recycle";
/// The ephemeral ports.
pub const PORT_RANGE: &str = "sysctl-port-range";
/// Reverse-path filtering.
pub const RP_FILTER: &str = "sysctl-rp-filter";

/// How many ports are named.
const NAMED_PORTS: usize = 10;

/// The sysctls of one rule, judged by the table of the audit. The worst one is the subject, the others its evidence: they
/// came with one file.
pub struct Audited(pub &'static str);

impl Rule for Audited {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        match rows(context, self.0) {
            Ok(rows) => Verdict::of(draft(&rows).into_iter().collect()),
            Err(verdict) => verdict,
        }
    }
}

/// The rows of a rule that could be read, or the verdict that says why there are none.
fn rows<'a>(context: &Context<'a>, rule: &str) -> Result<Vec<&'a AuditRow>, Verdict> {
    let mut rows: Vec<_> = context.audit.iter().filter(|row| row.rule == Some(rule)).collect();
    let why = rows.iter().find_map(|row| match &row.value {
        Reading::Known(_) => None,
        Reading::Unreadable(why) => Some(why.clone()),
        Reading::Absent => Some(super::missing(row)),
    });
    rows.retain(|row| row.value.known().is_some());
    if rows.is_empty() { Err(Verdict::NotExamined(why.unwrap_or_default())) } else { Ok(rows) }
}

fn severity(row: &AuditRow) -> Option<Severity> {
    match row.verdict {
        // The only one that turns healthy clients away by design.
        AuditVerdict::Harmful if row.rule == Some(TW_RECYCLE) => Some(Severity::Critical),
        AuditVerdict::Harmful => Some(Severity::Warning),
        AuditVerdict::Doubtful => Some(Severity::Info),
        AuditVerdict::Unknown | AuditVerdict::Default | AuditVerdict::Changed => None,
    }
}

fn draft(rows: &[&AuditRow]) -> Option<Draft> {
    let wrong = || rows.iter().filter_map(|row| Some((severity(row)?, *row)));
    // The first of the worst, in the order of the table.
    let (severity, worst) = wrong().rev().max_by_key(|(severity, _)| *severity)?;
    let mut draft = draft_of(worst, severity);
    let others: Vec<String> = wrong()
        .filter(|(_, row)| row.name != worst.name)
        .map(|(_, row)| format!("{} = {}", row.name, row.value.known().map_or("?", |v| v)))
        .collect();
    if !others.is_empty() {
        let text = Value::Text(ForeignText::from(others.join(", ").as_str()));
        draft.evidence.push(Evidence::new("also", text, Source::Sysctl(worst.name.into())));
    }
    Some(draft)
}

fn draft_of(row: &AuditRow, severity: Severity) -> Draft {
    let source = || Source::Sysctl(row.name.into());
    let default = row.default.as_deref().map_or(Value::Unknown, value);
    let mut evidence = vec![
        Evidence {
            scope: row.scope,
            ..Evidence::new("value", row.value.known().map_or(Value::Unknown, |v| value(v)), source())
        },
        Evidence { scope: row.scope, ..Evidence::new("default", default, source()) },
    ];
    evidence.extend(row.why.map(|why| Evidence::new("why", Value::Text(why.into()), source())));
    let mut draft = Draft::new(severity, Subject::Sysctl { name: row.name.into() }, evidence);
    draft.variant = Some(if row.verdict == AuditVerdict::Harmful { "harmful" } else { "doubtful" });
    draft
}

/// A number where it is one.
pub(super) fn value(text: &str) -> Value {
    // Several numbers come with tabs between them.
    let words = || text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    text.parse().map_or_else(|_| Value::Text(words().as_str().into()), Value::Number)
}

/// `ip_local_port_range`, and the listeners inside it: their ports are missing for every destination, and an outgoing
/// connection that takes one first keeps the service from starting.
pub struct PortRange;

impl Rule for PortRange {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let rows = match rows(context, PORT_RANGE) {
            Ok(rows) => rows,
            Err(verdict) => return verdict,
        };
        let s = context.snapshot;
        let sysctls = &s.sample.facts.sysctls;
        let (Some(row), Some(range)) = (rows.first(), sysctls.port_range()) else {
            return Verdict::NotExamined(
                "net.ipv4.ip_local_port_range has a value that makes no sense".into(),
            );
        };
        let reserved = sysctls.reserved_ports();
        let ports = s.listeners.iter().map(|l| l.local.port);
        let inside: BTreeSet<u16> =
            ports.filter(|port| range.contains(port) && !reserved.iter().any(|r| r.contains(port))).collect();
        let by_value = severity(row);
        let severity = match by_value {
            // A range over the ports of services with services in it is the accident itself.
            Some(_) if !inside.is_empty() && i64::from(*range.start()) < SERVICES_BELOW => {
                Some(Severity::Warning)
            }
            None if !inside.is_empty() => Some(Severity::Info),
            severity => severity,
        };
        let Some(severity) = severity else { return Verdict::Quiet };
        let mut draft = draft_of(row, severity);
        // Ports that run out are the same, and say to whom.
        let small = range.len() < usize::try_from(SMALL_RANGE).unwrap_or_default();
        draft.part_of = (small && inside.is_empty()).then_some("ephemeral-ports");
        let usable = Value::Count(u64::from(s.ports.usable));
        draft.evidence.push(Evidence::new("usable", usable, Source::Observed));
        if !inside.is_empty() {
            let mut names: Vec<String> = inside.iter().take(NAMED_PORTS).map(u16::to_string).collect();
            if inside.len() > NAMED_PORTS {
                names.push("…".into());
            }
            let names = Value::Text(ForeignText::from(names.join(", ").as_str()));
            draft.evidence.push(Evidence::new(
                "listeners",
                Value::Count(inside.len() as u64),
                Source::SockDiag,
            ));
            draft.evidence.push(Evidence::new("ports", names, Source::SockDiag));
            draft.variant = Some("listeners");
        }
        Verdict::Fires(vec![draft])
    }
}

/// Reverse-path filtering that is strict.
pub struct RpFilter;

impl Rule for RpFilter {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let rows = match rows(context, RP_FILTER) {
            Ok(rows) => rows,
            Err(verdict) => return verdict,
        };
        let facts = &context.snapshot.sample.facts;
        if let Reading::Unreadable(why) = &facts.rp_filters {
            return Verdict::NotExamined(why.clone());
        }
        let Some(mut draft) = draft(&rows) else { return Verdict::Quiet };
        if let Some(strict) = interfaces_filtering(facts, 1) {
            let source = Source::Sysctl("net.ipv4.conf.*.rp_filter".into());
            draft.evidence.push(Evidence::new("strict_interfaces", Value::Text(joined(&strict)), source));
        }
        Verdict::Fires(vec![draft])
    }
}

#[cfg(test)]
mod tests;
