//! Segments that arrived and were thrown away for want of room.

use super::moved::Watch;
use crate::diagnose::finding::{Draft, Evidence, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};

/// The rule's id.
pub const ID: &str = "receive-drops";

const RECEIVE_QUEUE: &str = "TcpExt.TCPRcvQDrop";
const BACKLOG: &str = "TcpExt.TCPBacklogDrop";
const ZERO_WINDOW: &str = "TcpExt.TCPZeroWindowDrop";
const PRUNE_CALLED: &str = "TcpExt.PruneCalled";
const PRUNED: &str = "TcpExt.RcvPruned";
const COUNTERS: &[(&str, &str)] = &[
    ("receive_queue", RECEIVE_QUEUE),
    ("socket_backlog", BACKLOG),
    ("zero_window", ZERO_WINDOW),
    ("prune_called", PRUNE_CALLED),
    ("pruned", PRUNED),
];

/// How many segments were thrown away. One for which the queue has no room is counted twice, where the kernel has both
/// counters: by `tcp_prune_queue`, which gives it up, and by `tcp_data_queue`.
pub fn lost(delta: impl Fn(&str) -> u64) -> u64 {
    let no_room = delta(RECEIVE_QUEUE).max(delta(PRUNED));
    no_room.saturating_add(delta(BACKLOG)).saturating_add(delta(ZERO_WINDOW))
}

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
        let lost = lost(|name| moved.delta(name));
        let events = if lost > 0 { lost } else { moved.delta(PRUNE_CALLED) };
        let mut evidence = vec![Evidence::new("events", Value::Count(events), Source::Observed)];
        evidence.extend(moved.iter().next().map(super::moved::Movement::window));
        for (name, counter) in COUNTERS {
            evidence.extend(moved.get(counter).map(|m| m.evidence(name)));
        }
        let mut draft = Draft::new(severity, Subject::Host, evidence);
        draft.variant = Some(if lost > 0 { "lost" } else { "squeezed" });
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
    fn a_segment_that_several_counters_count_is_one() {
        let (mut b, mut rule) = (Bench::new(), ReceiveDrops::default());
        let mut judged = |counters: &[(&str, u64)]| {
            for (name, value) in counters {
                b.set_counter(name, *value);
            }
            let found = fired(&b.judge(&mut rule));
            found.first().map(|d| (d.evidence[0].value.clone(), d.variant))
        };
        assert_eq!(judged(&[(PRUNE_CALLED, 0), (PRUNED, 0), (RECEIVE_QUEUE, 0), (BACKLOG, 0)]), None);
        let squeezed = Some((Value::Count(4), Some("squeezed")));
        assert_eq!(judged(&[(PRUNE_CALLED, 4)]), squeezed);
        let lost = Some((Value::Count(5), Some("lost")));
        assert_eq!(judged(&[(PRUNE_CALLED, 9), (PRUNED, 3), (RECEIVE_QUEUE, 3), (BACKLOG, 2)]), lost);
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
