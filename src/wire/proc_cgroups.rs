//! `/proc/cgroups`: the controllers of this kernel, and how many cgroups their hierarchies have.

use super::proc_text::{decimal, fields, lines};

/// A controller in `/proc/cgroups` (`proc_cgroupstats_show` in `kernel/cgroup/cgroup-v1.c`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hierarchy<'a> {
    /// `cpu`, `net_cls`.
    pub controller: &'a [u8],
    /// Number of the cgroup v1 hierarchy; 0 for the unified one, or where it is mounted nowhere.
    pub number: u64,
    /// Cgroups in that hierarchy, the root included.
    pub cgroups: u64,
}

/// The controllers; lines that are none are skipped.
pub fn hierarchies(text: &[u8]) -> impl Iterator<Item = Hierarchy<'_>> {
    lines(text).filter(|line| !line.starts_with(b"#")).filter_map(|line| {
        let mut fields = fields(line);
        let controller = fields.next()?;
        let mut number = || fields.next().and_then(decimal);
        Some(Hierarchy { controller, number: number()?, cgroups: number()? })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proc_text::testing::{mutated, noise};
    use super::*;

    const TEXT: &str = "\
#subsys_name	hierarchy	num_cgroups	enabled
cpuset	3	1	1
net_cls	9	12	1
net_prio	0	1	1
";

    #[test]
    fn controllers_have_a_hierarchy_and_a_number_of_cgroups() {
        let got: Vec<_> = hierarchies(TEXT.as_bytes()).map(|h| (h.controller, h.number, h.cgroups)).collect();
        assert_eq!(got, [(&b"cpuset"[..], 3, 1), (b"net_cls", 9, 12), (b"net_prio", 0, 1)]);
    }

    #[test]
    fn lines_that_are_none_are_skipped() {
        let text = b"#x 1 2 3\ncpu\ncpu 1\ncpu x 1 1\nmemory 4 31 1\n";
        assert_eq!(hierarchies(text).map(|h| h.cgroups).collect::<Vec<_>>(), [31]);
    }

    proptest! {
        #[test]
        fn any_bytes_give_at_most_a_controller_a_line(text in prop_oneof![noise(), mutated(TEXT)]) {
            prop_assert!(hierarchies(&text).count() <= lines(&text).count());
        }
    }
}
