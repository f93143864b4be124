//! The sysctl audit: what is set, what this kernel would have by itself on this machine, and what to think of the difference.

mod audit;
mod opinions;
mod rules;
mod table;

use super::finding::Value;
use super::rule::{Context, Family, Proven, RuleSpec};
use crate::model::{Protocols, Scope};

pub use audit::{AuditRow, AuditVerdict, audit};

/// Why a sysctl is not there.
fn missing(row: &AuditRow) -> String {
    match row.scope {
        Scope::Namespace => format!("this kernel has no {}", row.name),
        Scope::Host => format!("{} is the host's, and not shown in this namespace", row.name),
    }
}

/// What this kernel would have by itself on this machine, as evidence.
pub(super) fn own_value(context: &Context<'_>, name: &str) -> Value {
    let rows = audit(context.host, &context.snapshot.sample.facts);
    let own = rows.iter().find(|row| row.name == name).and_then(|row| row.default.as_deref());
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
