//! The sysctl audit: what is set, what this kernel would have by itself on this machine, and what to think of the difference.

mod audit;
mod opinions;
mod rules;
mod table;

use std::sync::Arc;

use super::finding::Value;
use super::rule::{Context, Family, Proven, RuleSpec};
use crate::model::{Facts, Host, InterfaceRpFilter, Protocols, Reading, Scope, Sysctls};

pub use audit::{AuditRow, AuditVerdict, audit};

/// The audit of the newest look, made anew when something that it follows from has changed.
#[derive(Default)]
pub(super) struct LastAudit {
    of: Option<(Host, Sysctls, RpFilters)>,
    rows: Vec<AuditRow>,
}

type RpFilters = Reading<Arc<[InterfaceRpFilter]>>;

impl LastAudit {
    /// Brings it up to date.
    pub(super) fn renew(&mut self, host: &Host, facts: &Facts) -> &[AuditRow] {
        let same = |(h, s, r): &(Host, Sysctls, RpFilters)| {
            h == host && *s == facts.sysctls && *r == facts.rp_filters
        };
        if !self.of.as_ref().is_some_and(same) {
            self.of = Some((host.clone(), facts.sysctls.clone(), facts.rp_filters.clone()));
            self.rows = audit(host, facts);
        }
        &self.rows
    }
}

/// Why a sysctl is not there.
fn missing(row: &AuditRow) -> String {
    match row.scope {
        Scope::Namespace => format!("this kernel has no {}", row.name),
        Scope::Host => format!("{} is the host's, and not shown in this namespace", row.name),
    }
}

/// What this kernel would have by itself on this machine, as evidence.
pub(super) fn own_value(context: &Context<'_>, name: &str) -> Value {
    let own = context.audit.iter().find(|row| row.name == name).and_then(|row| row.default.as_deref());
    own.map_or(Value::Unknown, rules::value)
}

macro_rules! rules {
    ($($id:literal $about:ident $proven:expr;)*) => {
        &[
            RuleSpec {
                id: rules::PORT_RANGE,
                family: Family::Sysctls,
                about: Protocols::TCP,
                proven: FOLKLORE,
                build: |_| Ok(Box::new(rules::PortRange)),
            },
            RuleSpec {
                id: rules::RP_FILTER,
                family: Family::Sysctls,
                about: Protocols::BOTH,
                proven: Proven::Lab("rp-filter"),
                build: |_| Ok(Box::new(rules::RpFilter)),
            },
            $(RuleSpec {
                id: $id,
                family: Family::Sysctls,
                about: Protocols::$about,
                proven: $proven,
                build: |_| Ok(Box::new(rules::Audited($id))),
            }),*
        ]
    };
}

const FOLKLORE: Proven = Proven::Lab("folklore-sysctls");

/// The rules of this family.
pub const RULES: &[RuleSpec] = rules![
    "sysctl-tw-recycle" TCP Proven::Sample("no kernel since 4.12 has it");
    "sysctl-timestamps-off" TCP FOLKLORE;
    "sysctl-tw-buckets" TCP FOLKLORE;
    "sysctl-fin-timeout" TCP FOLKLORE;
    "sysctl-synack-retries" TCP FOLKLORE;
    "sysctl-retries2-low" TCP FOLKLORE;
    "sysctl-orphan-retries" TCP FOLKLORE;
    "sysctl-keepalive-aggressive" TCP FOLKLORE;
    "sysctl-syncookies-off" TCP FOLKLORE;
    "sysctl-somaxconn-low" TCP FOLKLORE;
    "sysctl-abort-on-overflow" TCP FOLKLORE;
    "sysctl-max-orphans-low" TCP Proven::Sample("tcp_max_orphans is the host's");
    "sysctl-conntrack-timeouts" BOTH FOLKLORE;
    "sysctl-tcp-mem" TCP Proven::Sample("tcp_mem is the host's");
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sysctl::SPECS;
    use crate::testkit;

    fn facts(strict: u8) -> Facts {
        let known = |name: &str| {
            if name.ends_with("somaxconn") { Reading::Known("10".into()) } else { Reading::Absent }
        };
        let filter = InterfaceRpFilter { interface: "eth0".into(), value: strict };
        Facts {
            sysctls: Sysctls::new(SPECS.iter().map(|spec| known(spec.name)).collect()),
            rp_filters: Reading::Known([filter].into()),
            ..Facts::default()
        }
    }

    #[test]
    fn the_audit_is_made_anew_when_the_machine_or_what_it_judges_is_another() {
        let mut last = LastAudit::default();
        let (mut host, mut facts) = (testkit::host(), facts(0));
        let mut renewed = |host: &Host, facts: &Facts| {
            // What was made anew has lost the mark.
            let renewed = last.renew(host, facts).first().is_some_and(|row| row.name != "mark");
            assert!(!renewed || last.rows == audit(host, facts));
            last.rows[0].name = "mark";
            renewed
        };
        assert!(renewed(&host, &facts));
        assert!(!renewed(&host, &facts));
        facts.counters = Reading::Unreadable("it follows from nothing else".into());
        assert!(!renewed(&host, &facts));
        host.memory_bytes *= 2;
        assert!(renewed(&host, &facts));
        facts.rp_filters = Reading::Absent;
        assert!(renewed(&host, &facts));
        facts.sysctls = Sysctls::default();
        assert!(renewed(&host, &facts) && !renewed(&host, &facts));
    }
}
