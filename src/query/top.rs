//! The first few of many in order, without sorting the rest.

/// Keeps the `want` smallest of what is pushed. Memory is a small multiple of `want`; almost every push of a long
/// input is one comparison with the worst that is kept.
pub(super) struct Top<K, T> {
    want: usize,
    items: Vec<(K, T)>,
    worst: Option<K>,
}

impl<K: Ord + Copy, T> Top<K, T> {
    /// How many are collected beyond `want` before the surplus is cut off.
    const SLACK: usize = 1024;

    pub(super) const fn new(want: usize) -> Self {
        Self { want, items: Vec::new(), worst: None }
    }

    /// Offers an item; it is only made if it may be among the first.
    pub(super) fn push(&mut self, key: K, item: impl FnOnce() -> T) {
        if self.want == 0 || self.worst.is_some_and(|worst| key >= worst) {
            return;
        }
        self.items.push((key, item()));
        if self.items.len() >= self.want.saturating_mul(2).saturating_add(Self::SLACK) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.want < self.items.len() {
            let (_, (worst, _), _) =
                self.items.select_nth_unstable_by_key(self.want.saturating_sub(1), |(key, _)| *key);
            self.worst = Some(*worst);
            self.items.truncate(self.want);
        }
    }

    /// The first `want` in order.
    pub(super) fn finish(mut self) -> impl ExactSizeIterator<Item = (K, T)> {
        self.cut();
        self.items.sort_unstable_by_key(|(key, _)| *key);
        self.items.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn top_is_the_head_of_a_full_sort(mut keys in prop::collection::vec(0u32..5000, 0..6000), want in 0usize..40) {
            let mut top = Top::new(want);
            for (at, key) in keys.iter().enumerate() {
                top.push((*key, at), || *key);
            }
            let got: Vec<u32> = top.finish().map(|(_, k)| k).collect();
            keys.sort_unstable();
            keys.truncate(want);
            prop_assert_eq!(got, keys);
        }
    }
}
