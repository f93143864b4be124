//! `/proc/net/stat/nf_conntrack`: a header, then hexadecimal columns, one row per possible CPU.

use super::proc_text::{Parsed, fields, hexadecimal, lines};
use crate::model::ConntrackStats;

/// Parses `/proc/net/stat/nf_conntrack` and adds its rows up. A column that this kernel does not have stays 0 (or
/// absent, for `chainlength`); a row with a bad number or of another length than the header is skipped and counted.
#[must_use]
pub fn conntrack_stats(text: &[u8]) -> Parsed<ConntrackStats> {
    let mut lines = lines(text);
    let header: Vec<&[u8]> = lines.next().map(|line| fields(line).collect()).unwrap_or_default();
    let has = |name: &[u8]| header.contains(&name);
    if ![&b"invalid"[..], b"insert_failed", b"drop", b"early_drop"].into_iter().all(has) {
        return Parsed::new(None, 1);
    }
    let mut sum =
        ConntrackStats { chaintoolong: has(b"chainlength").then_some(0), ..ConntrackStats::default() };
    let (mut rows, mut malformed) = (0_u32, 0);
    for line in lines {
        let values: Option<Vec<u64>> = fields(line).map(hexadecimal).collect();
        let Some(values) = values.filter(|v| v.len() == header.len()) else {
            malformed += 1;
            continue;
        };
        rows += 1;
        for (name, value) in header.iter().zip(values) {
            add(&mut sum, name, value);
        }
    }
    Parsed::new((rows > 0).then_some(sum), malformed)
}

fn add(sum: &mut ConntrackStats, name: &[u8], value: u64) {
    let slot = match name {
        b"invalid" => &mut sum.invalid,
        b"insert_failed" => &mut sum.insert_failed,
        b"drop" => &mut sum.drop,
        b"early_drop" => &mut sum.early_drop,
        b"search_restart" => &mut sum.search_restart,
        // Printed under this name; the column was delete_list before (ct_cpu_seq_show in nf_conntrack_standalone.c).
        b"chainlength" => sum.chaintoolong.get_or_insert(0),
        _ => return,
    };
    *slot = slot.saturating_add(value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proc_text::testing::{mutated, noise};
    use super::*;

    const NEW: &str = "\
entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart
00000007  00000000 00000000 00000000 0000000a 00000000 00000000 00000001 00000000 00000002 00000003 00000004 00000000  00000000 00000000 00000000 00000005
00000007  00000000 00000000 00000000 00000001 00000000 00000000 00000001 00000000 00000001 00000001 00000001 00000000  00000000 00000000 00000000 00000001
";
    const OLD: &str = "\
entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart
00000007  00000000 00000000 00000000 0000000a 00000000 00000000 00000009 00000000 00000002 00000003 00000004 00000000  00000000 00000000 00000000 00000005
";

    #[test]
    fn cpus_are_added_up() {
        let want = ConntrackStats {
            invalid: 11,
            insert_failed: 3,
            drop: 4,
            early_drop: 5,
            search_restart: 6,
            chaintoolong: Some(2),
        };
        assert_eq!(conntrack_stats(NEW.as_bytes()), Parsed::new(Some(want), 0));
    }

    #[test]
    fn an_older_kernel_has_no_chain_limit() {
        let got = conntrack_stats(OLD.as_bytes()).value.unwrap();
        assert_eq!((got.chaintoolong, got.drop, got.search_restart), (None, 3, 5));
    }

    #[test]
    fn bad_rows_are_skipped_and_another_table_is_nothing() {
        let got = conntrack_stats(format!("{NEW}00000001\n{}\n", "zz ".repeat(17)).as_bytes());
        assert_eq!((got.value.map(|s| s.drop), got.malformed), (Some(4), 2));
        assert_eq!(conntrack_stats(b"").value, None);
        assert_eq!(conntrack_stats(b"a b c\n1 2 3\n").value, None);
        assert_eq!(conntrack_stats(NEW.lines().next().unwrap().as_bytes()).value, None, "no CPU at all");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(text in prop_oneof![noise(), mutated(NEW), mutated(OLD)]) {
            let got = conntrack_stats(&text);
            prop_assert!(got.malformed as usize <= lines(&text).count().max(1));
        }

        #[test]
        fn the_sum_is_that_of_the_cpus(drops in prop::collection::vec(any::<u32>(), 1..64)) {
            let rows = drops.iter().map(|d| format!("00000001 0000 0000 {d:08x}\n")).collect::<Vec<_>>().concat();
            let got = conntrack_stats(format!("invalid insert_failed early_drop drop\n{rows}").as_bytes());
            prop_assert_eq!(got.value.map(|s| s.drop), Some(drops.into_iter().map(u64::from).sum()));
        }
    }
}
