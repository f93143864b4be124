//! What is said above the UDP table: the counters of UDP that moved.

use std::fmt::Write as _;

use crate::analysis::World;
use crate::model::Protocol;
use crate::query::UDP_ERRORS;

use super::format;

/// Which error counters of UDP moved since the last look, over the namespaces that are shown.
#[must_use]
pub fn remark(world: &World) -> String {
    if world.of(Protocol::Udp).next().is_none() {
        return "the UDP sockets have not been looked at yet".to_owned();
    }
    let known = |s: &crate::analysis::Snapshot| s.elapsed.is_some() && !s.counters_reset;
    if !world.snapshots.iter().any(|s| known(s)) {
        return "one look says nothing of counters that move".to_owned();
    }
    let mut text = String::new();
    for (family, prefix) in [("UDP", "Udp."), ("UDP over IPv6", "Udp6.")] {
        let mut moved = String::new();
        for name in UDP_ERRORS {
            let is_it = |full: &str| full.strip_prefix(prefix) == Some(name);
            let rates = world.snapshots.iter().flat_map(|s| &s.rates).filter(|r| is_it(&r.name));
            let per_s: f64 = rates.map(|r| r.per_s).sum();
            if per_s > 0.0 {
                // A String takes whatever is written to it.
                let _ = write!(moved, "  {name} +{}", format::per_second(per_s));
            }
        }
        if !moved.is_empty() {
            let gap = if text.is_empty() { "" } else { "   " };
            let _ = write!(text, "{gap}{family}:{moved}");
        }
    }
    if text.is_empty() { "no error counter of UDP has moved since the last look".to_owned() } else { text }
}
