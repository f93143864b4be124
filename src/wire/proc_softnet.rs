//! `/proc/net/softnet_stat`: hexadecimal columns without a header, one row per online CPU.

use super::proc_text::{Parsed, fields, hexadecimal, lines};
use crate::model::SoftnetRow;

/// Parses `/proc/net/softnet_stat`. The columns are fixed by `softnet_seq_show` in `net/core/net-procfs.c`; a kernel
/// before 5.10 has 11 of them, and offline CPUs have no row.
#[must_use]
pub fn softnet(text: &[u8]) -> Parsed<Vec<SoftnetRow>> {
    let (mut rows, mut malformed) = (Vec::new(), 0);
    for (at, line) in (0..).zip(lines(text)) {
        match row(at, line) {
            Some(row) => rows.push(row),
            None => malformed += 1,
        }
    }
    Parsed::new((!rows.is_empty()).then_some(rows), malformed)
}

fn row(position: u32, line: &[u8]) -> Option<SoftnetRow> {
    let mut fields = fields(line);
    let mut next = || fields.next().and_then(hexadecimal);
    let [processed, dropped, time_squeeze] = [next()?, next()?, next()?];
    for _unused in 4..=9 {
        next()?;
    }
    let [received_rps, flow_limit_count] = [next()?, next()?];
    let _backlog_length = fields.next();
    let cpu = match fields.next() {
        Some(field) => u32::try_from(hexadecimal(field)?).ok()?,
        None => position,
    };
    Some(SoftnetRow { cpu, processed, dropped, time_squeeze, received_rps, flow_limit_count })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proc_text::testing::{mutated, noise};
    use super::*;

    const NEW: &str = "\
00000011 00000001 00000002 00000000 00000000 00000000 00000000 00000000 00000000 00000003 00000004 00000000 00000000 00000000 00000000
00000fae 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000003 00000000 00000000
";
    const OLD: &str = "\
0000000a 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
0000000b 00000005 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
";

    #[test]
    fn the_cpu_comes_from_column_13() {
        let got = softnet(NEW.as_bytes());
        let first = SoftnetRow {
            cpu: 0,
            processed: 0x11,
            dropped: 1,
            time_squeeze: 2,
            received_rps: 3,
            flow_limit_count: 4,
        };
        let rows = got.value.unwrap();
        assert_eq!(rows.first(), Some(&first));
        assert_eq!(rows.get(1).map(|r| (r.cpu, r.processed)), Some((3, 0xfae)), "CPUs 1 and 2 are offline");
        assert_eq!(got.malformed, 0);
    }

    #[test]
    fn before_it_had_one_the_row_is_the_cpu() {
        let rows = softnet(OLD.as_bytes()).value.unwrap();
        assert_eq!(rows.iter().map(|r| (r.cpu, r.dropped)).collect::<Vec<_>>(), [(0, 0), (1, 5)]);
    }

    #[test]
    fn a_short_row_is_skipped() {
        let got = softnet(format!("00000011 00000001\n{NEW}").as_bytes());
        assert_eq!((got.value.map(|r| r.len()), got.malformed), (Some(2), 1));
        assert_eq!(softnet(b"").value, None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_at_most_a_row_a_line(text in prop_oneof![noise(), mutated(NEW), mutated(OLD)]) {
            let got = softnet(&text);
            let rows = got.value.map_or(0, |r| r.len());
            prop_assert_eq!(rows + got.malformed as usize, lines(&text).count());
        }
    }
}
