//! `/proc/sys/fs/file-nr`: three numbers, allocated, free (always 0 since 2.6) and the maximum.

use super::proc_text::{decimal, fields};
use crate::model::FileNr;

/// Parses `/proc/sys/fs/file-nr`, `None` if it is not three numbers.
#[must_use]
pub fn file_nr(text: &[u8]) -> Option<FileNr> {
    let mut numbers = fields(text).map(decimal);
    let mut next = || numbers.next().flatten();
    let [allocated, free, max] = [next()?, next()?, next()?];
    numbers.next().is_none().then_some(FileNr { allocated: allocated.saturating_sub(free), max })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proc_text::testing::{mutated, noise};
    use super::*;

    #[test]
    fn three_numbers_and_nothing_else() {
        assert_eq!(file_nr(b"449\t0\t2466170\n"), Some(FileNr { allocated: 449, max: 2_466_170 }));
        assert_eq!(file_nr(b"449\t0\n"), None);
        assert_eq!(file_nr(b"1 2 x"), None);
        assert_eq!(file_nr(b"1 2 3 4"), None);
    }

    #[test]
    fn no_limit_is_the_largest_number() {
        let max = i64::MAX.unsigned_abs();
        assert_eq!(file_nr(format!("1 0 {max}").as_bytes()).map(|f| f.max), Some(max));
    }

    proptest! {
        #[test]
        fn any_bytes_that_are_not_three_numbers_are_refused(text in prop_oneof![noise(), mutated("449\t0\t2466170\n")]) {
            let numbers = fields(&text).filter_map(decimal).count();
            let all = fields(&text).count();
            prop_assert_eq!(file_nr(&text).is_some(), numbers == 3 && all == 3);
        }
    }
}
