//! Segments that arrived and were thrown away for want of room.

use super::moved::Watch;
use crate::diagnose::finding::{Draft, Evidence, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};

/// The rule's id.
pub const ID: &str = "receive-drops";

const PRUNE_CALLED: &str = "TcpExt.PruneCalled";
const COUNTERS: &[(&str, &str)] = &[
    ("receive_queue", "TcpExt.TCPRcvQDrop"),
    ("socket_backlog", "TcpExt.TCPBacklogDrop"),
    ("zero_window", "TcpExt.TCPZeroWindowDrop"),
    ("prune_called", PRUNE_CALLED),
    ("pruned", "TcpExt.RcvPruned"),
];

/// The receive side has no room: a socket's buffer, its backlog while a system call holds it, or its window
/// (`tcp_data_queue`, `tcp_add_backlog`). The program that does not read is the cause. `PruneCalled` alone squeezed
/// queues together and lost nothing yet.
#[derive(Default)]
pub struct ReceiveDrops(Watch);

impl Rule for ReceiveDrops {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let names: Vec<&str> = COUNTERS.iter().map(|(_, counter)| *counter).collect();
        let moved = match self.0.named(context, &names) {
            Ok(moved) => moved,
            Err(verdict) => return verdict,
        };
        let Some(severity) = moved.severity() else { return Verdict::Quiet };
        let total = moved.iter().map(|m| m.delta).sum();
        let mut evidence = vec![Evidence::new("events", Value::Count(total), Source::Observed)];
        evidence.extend(moved.iter().next().map(super::moved::Movement::window));
        for (name, counter) in COUNTERS {
            evidence.extend(moved.get(counter).map(|m| m.evidence(name)));
        }
        let mut draft = Draft::new(severity, Subject::Host, evidence);
        draft.variant =
            Some(if moved.iter().all(|m| &*m.name == PRUNE_CALLED) { "squeezed" } else { "lost" });
        Verdict::Fires(vec![draft])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::Severity;
    use crate::diagnose::testing::{Bench, fired};

    fn severities(counter: &str, steps: &[u64]) -> Vec<Option<Severity>> {
        let (mut b, mut rule) = (Bench::new(), ReceiveDrops::default());
        let mut judge = |v: &u64| {
            b.set_counter(counter, *v);
            fired(&b.judge(&mut rule)).first().map(|d| d.severity)
        };
        steps.iter().map(&mut judge).collect()
    }

    #[test]
    fn lost_once_is_information_and_again_a_warning() {
        let (info, warning) = (Some(Severity::Info), Some(Severity::Warning));
        for (_, counter) in COUNTERS {
            assert_eq!(severities(counter, &[9, 9, 10, 11]), [None, None, info, warning], "{counter}");
        }
    }

    #[test]
    fn an_old_kernel_counts_less_and_a_strange_one_nothing() {
        let (mut b, mut rule) = (Bench::new(), ReceiveDrops::default());
        assert!(matches!(b.judge(&mut rule), Verdict::NotExamined(_)));
        b.set_counter("TcpExt.RcvPruned", 4);
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
    }
}
