//! One network namespace at a time, or all of them together.

use std::sync::Arc;

use crate::analysis::World;
use crate::diagnose::Judged;

use super::app::Stream;

impl Stream {
    /// Shows a look: all of it, or the namespace that was chosen. Says whether that one is gone; then all are shown.
    pub fn show(&mut self, look: Arc<Judged>) -> bool {
        let one = self.netns.and_then(|inode| only(&look, inode));
        let gone = self.netns.is_some() && one.is_none();
        if gone {
            self.netns = None;
        }
        self.shown = Some(one.unwrap_or_else(|| Arc::clone(&look)));
        self.whole = Some(look);
        gone
    }

    /// Chooses the next namespace, or the previous one; all of them together come before the first. Says whether there is
    /// a choice.
    pub fn choose(&mut self, forward: bool) -> bool {
        let Some(whole) = self.whole.clone() else { return false };
        let count = whole.world.snapshots.len();
        if count < 2 {
            return false;
        }
        // 0 is all of them.
        let now = self.place().map_or(0, |(number, _)| number);
        let next = if forward { now + 1 } else { now + count } % (count + 1);
        self.netns = next.checked_sub(1).map(|at| inode(&whole.world, at));
        self.show(whole);
        true
    }

    /// The number of the namespace that is shown, from 1, and of how many; `None` if all are.
    #[must_use]
    pub fn place(&self) -> Option<(usize, usize)> {
        let chosen = self.netns?;
        let all = &self.whole.as_ref()?.world.snapshots;
        let at = all.iter().position(|s| s.sample.netns.inode == chosen)?;
        Some((at + 1, all.len()))
    }
}

fn inode(world: &World, at: usize) -> u64 {
    world.snapshots.get(at).map_or(0, |s| s.sample.netns.inode)
}

/// What was seen and found in one namespace alone.
fn only(look: &Judged, inode: u64) -> Option<Arc<Judged>> {
    let at = look.world.snapshots.iter().position(|s| s.sample.netns.inode == inode)?;
    let world = World { snapshots: vec![Arc::clone(look.world.snapshots.get(at)?)], ..(*look.world).clone() };
    let judgements = look.judgements.get(at).cloned().into_iter().collect();
    Some(Arc::new(Judged { world: Arc::new(world), judgements }))
}
