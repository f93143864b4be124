//! What is missing in a look, in words.

use serde::Serialize;

use crate::analysis::{Snapshot, World};
use crate::model::{Owners, Sample, plural};

/// How many reasons are said in words.
const REASONS: usize = 5;

/// Why rows may be missing, and what this kernel can never show. Empty for a table that holds everything.
pub(super) fn gaps(sample: &Sample) -> impl Iterator<Item = String> {
    sample.completeness.gaps.iter().map(ToString::to_string)
}

/// Why processes may be missing in what was said of owners, where owners were asked for.
pub(super) fn owners(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    let owners = snapshot.owners.as_deref();
    let blind = owners.and_then(Owners::blindness).map(|why| format!("processes: {why}"));
    let partial = owners.is_some_and(|o| o.partial);
    let unfinished = "processes: not all could be looked at in the time of a report; tcptop list --columns process looks at all";
    blind.into_iter().chain(partial.then(|| unfinished.to_owned()))
}

/// The namespaces that could not be looked into, and why.
pub(super) fn unexamined(world: &World) -> impl Iterator<Item = String> {
    world.unexamined.iter().map(|u| format!("netns {}: {}", u.netns.name, u.reason))
}

/// A namespace that was not looked into, and why, as programs read it.
#[derive(Serialize)]
pub(super) struct NotEntered<'a> {
    netns: &'a str,
    reason: &'a str,
}

/// The same for programs.
pub(super) fn not_entered(world: &World) -> Vec<NotEntered<'_>> {
    world.unexamined.iter().map(|u| NotEntered { netns: u.netns.name.raw(), reason: &u.reason }).collect()
}

/// One line for each reason why the socket table may be incomplete; empty when it is complete.
#[must_use]
pub fn warnings(world: &World) -> Vec<String> {
    let incomplete = world.snapshots.iter().filter(|s| !s.sample.completeness.is_complete());
    incomplete
        .flat_map(|s| gaps(&s.sample).map(|gap| format!("netns {}: {gap}", s.sample.netns.name)))
        .chain(unexamined(world))
        .map(|line| format!("the socket table may be incomplete: {line}"))
        .collect()
}

/// One line for each reason why sockets could not be asked for their options.
#[must_use]
pub fn unprobed(world: &World) -> Vec<String> {
    let mut reasons: Vec<(String, usize)> = Vec::new();
    for why in world.snapshots.iter().flat_map(|s| s.options.values()).filter_map(|p| p.as_ref().err()) {
        let why = why.to_string();
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, count)) => *count += 1,
            None => reasons.push((why, 1)),
        }
    }
    reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let more = reasons.len().saturating_sub(REASONS);
    let line =
        |(why, n): (String, usize)| format!("the options of {n} socket{} are not known: {why}", plural(n));
    let mut lines: Vec<String> = reasons.into_iter().take(REASONS).map(line).collect();
    if more > 0 {
        lines.push(format!("{more} more reason{} like these; --json has one with each socket", plural(more)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Gap;
    use crate::testkit;

    #[test]
    fn only_what_may_be_missing_is_worth_a_warning() {
        let mut sample = testkit::sample(Vec::new());
        sample.completeness.gaps = vec![Gap::BoundInactiveHidden];
        let world = |s: &Sample| testkit::world(vec![testkit::snapshot(s.clone())]);
        assert!(warnings(&world(&sample)).is_empty());
        sample.completeness.gaps.push(Gap::Lost);
        let said = warnings(&world(&sample));
        assert!(said[1].contains("netns init") && said[1].contains("ENOBUFS"), "{said:?}");
    }
}
