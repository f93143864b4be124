//! `/proc/net/stat/arp_cache` and `ndisc_cache`: a header, then hexadecimal columns, one row per possible CPU.

use super::proc_text::{Parsed, fields, hexadecimal, lines};
use crate::model::NeighbourTable;

/// Parses the statistics of a neighbour table and adds its rows up; `entries` stands on every row for the whole table
/// (`neigh_stat_seq_show` in `net/core/neighbour.c`). A row with a bad number or of another length than the header is
/// skipped and counted.
#[must_use]
pub fn neighbours(text: &[u8]) -> Parsed<NeighbourTable> {
    let mut lines = lines(text);
    let header: Vec<&[u8]> = lines.next().map(|line| fields(line).collect()).unwrap_or_default();
    let at = |name: &[u8]| header.iter().position(|column| *column == name);
    let (Some(entries), Some(forced)) = (at(b"entries"), at(b"forced_gc_runs")) else {
        return Parsed::new(None, 1);
    };
    let fulls = at(b"table_fulls");
    let (mut table, mut malformed) = (None, 0);
    for line in lines {
        let values: Option<Vec<u64>> = fields(line).map(hexadecimal).collect();
        let Some(values) = values.filter(|v| v.len() == header.len()) else {
            malformed += 1;
            continue;
        };
        let of = |column: usize| values.get(column).copied().unwrap_or_default();
        let sum: &mut NeighbourTable = table.get_or_insert_default();
        sum.entries = of(entries);
        sum.forced_gc_runs = sum.forced_gc_runs.saturating_add(of(forced));
        sum.table_fulls = fulls.map(|column| sum.table_fulls.unwrap_or_default().saturating_add(of(column)));
    }
    Parsed::new(table, malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proc_text::testing::{mutated, noise};
    use super::*;

    const ARP: &str = "\
entries  allocs   destroys hash_grows lookups  hits     res_failed rcv_probes_mcast rcv_probes_ucast periodic_gc_runs forced_gc_runs unresolved_discards table_fulls
0000001f 00000a2e 00000a6a 00000003   00001315 0000030b 00000000   00000000         00000000         000000de         00000002       00000000            0000000a
0000001f 0000098c 0000094e 00000001   000011c5 00000300 00000000   00000000         00000000         00000000         00000003       00000000            00000001
";

    #[test]
    fn cpus_are_added_up_but_not_the_entries() {
        let want = NeighbourTable { entries: 31, table_fulls: Some(11), forced_gc_runs: 5 };
        assert_eq!(neighbours(ARP.as_bytes()), Parsed::new(Some(want), 0));
    }

    #[test]
    fn an_old_kernel_does_not_count_overflows_and_another_table_is_nothing() {
        let got = neighbours(b"entries forced_gc_runs\n2 1\nx y\n3\n");
        let want = NeighbourTable { entries: 2, table_fulls: None, forced_gc_runs: 1 };
        assert_eq!(got, Parsed::new(Some(want), 2));
        assert_eq!(neighbours(b"").value, None);
        assert_eq!(neighbours(b"a b\n1 2\n").value, None);
        assert_eq!(neighbours(ARP.lines().next().unwrap().as_bytes()).value, None, "no CPU at all");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(text in prop_oneof![noise(), mutated(ARP)]) {
            let got = neighbours(&text);
            prop_assert!(got.malformed as usize <= lines(&text).count().max(1));
        }
    }
}
