//! Several looks that make one answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::look;
use crate::diagnose::Judged;
use crate::engine::Looker;
use crate::source::Source;

/// How often is looked after the first look, at least: what grows must be seen to grow in three steps, and one more.
/// Longer observations look once a second.
const LEAST_STEPS: u32 = 4;

/// Looks again and again for `interval` after a first look; the last look is the one that has seen everything.
pub(super) fn observe(
    looker: &mut Looker<Box<dyn Source>>,
    interval: Duration,
) -> anyhow::Result<Arc<Judged>> {
    let begun = Instant::now();
    let steps = LEAST_STEPS.max(u32::try_from(interval.as_secs()).unwrap_or(u32::MAX));
    let due = |step: u32| interval * step / steps;
    let mut step = 0;
    loop {
        step += 1;
        // A machine so large that a look takes longer than a step is looked at less often, not longer.
        while step < steps && begun.elapsed() > due(step + 1) {
            step += 1;
        }
        std::thread::sleep(due(step).saturating_sub(begun.elapsed()));
        let judged = look(looker)?;
        if step >= steps {
            return Ok(judged);
        }
    }
}
