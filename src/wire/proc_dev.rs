//! `/proc/net/dev`: interfaces with their traffic and drops.

use super::proc_text::{Parsed, decimal, fields, lines};
use crate::model::{ForeignText, InterfaceRow};

/// Parses `/proc/net/dev`. The second header line names the columns, receive and transmit apart by `|`; they are found
/// by these names. A row lacking any column that is needed is skipped and counted.
#[must_use]
pub fn interfaces(text: &[u8]) -> Parsed<Vec<InterfaceRow>> {
    let mut lines = lines(text);
    let Some(columns) = lines.by_ref().take(2).nth(1).and_then(Columns::of) else {
        return Parsed::new(None, 1);
    };
    let (mut rows, mut malformed) = (Vec::new(), 0);
    for line in lines {
        match row(&columns, line) {
            Some(row) => rows.push(row),
            None => malformed += 1,
        }
    }
    Parsed::new(Some(rows), malformed)
}

struct Columns<'a> {
    receive: Vec<&'a [u8]>,
    transmit: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(header: &'a [u8]) -> Option<Self> {
        let mut parts = header.split(|b| *b == b'|').skip(1);
        let receive = fields(parts.next()?).collect();
        let transmit = fields(parts.next()?).collect();
        Some(Self { receive, transmit })
    }

    fn receive(&self, name: &[u8], values: &[u64]) -> Option<u64> {
        let at = self.receive.iter().position(|c| *c == name)?;
        values.get(at).copied()
    }

    fn transmit(&self, name: &[u8], values: &[u64]) -> Option<u64> {
        let at = self.transmit.iter().position(|c| *c == name)?;
        values.get(self.receive.len() + at).copied()
    }
}

fn row(columns: &Columns, line: &[u8]) -> Option<InterfaceRow> {
    // A name holds no colon (dev_valid_name in net/core/dev.c), but an alias of old has one: the last one ends it.
    let colon = line.iter().rposition(|b| *b == b':')?;
    let (name, rest) = line.split_at_checked(colon)?;
    let name = name.trim_ascii();
    if name.is_empty() {
        return None;
    }
    let values: Vec<u64> = fields(rest.get(1..)?).map(decimal).collect::<Option<_>>()?;
    let receive = |column: &[u8]| columns.receive(column, &values);
    let transmit = |column: &[u8]| columns.transmit(column, &values);
    Some(InterfaceRow {
        name: ForeignText::from_bytes(name),
        rx_bytes: receive(b"bytes")?,
        rx_packets: receive(b"packets")?,
        rx_errs: receive(b"errs")?,
        rx_drop: receive(b"drop")?,
        rx_fifo: receive(b"fifo")?,
        tx_bytes: transmit(b"bytes")?,
        tx_packets: transmit(b"packets")?,
        tx_errs: transmit(b"errs")?,
        tx_drop: transmit(b"drop")?,
        tx_fifo: transmit(b"fifo")?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proc_text::testing::{mutated, noise};
    use super::*;

    const DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
  eth0: 57461480    4002    1    2    3     4          5         6   388266    2933    7    8    9     10      11         12
";

    #[test]
    fn columns_are_found_by_their_names() {
        let got = interfaces(DEV.as_bytes());
        let want = InterfaceRow {
            name: "eth0".into(),
            rx_bytes: 57_461_480,
            rx_packets: 4002,
            rx_errs: 1,
            rx_drop: 2,
            rx_fifo: 3,
            tx_bytes: 388_266,
            tx_packets: 2933,
            tx_errs: 7,
            tx_drop: 8,
            tx_fifo: 9,
        };
        assert_eq!(got.value.unwrap().get(1), Some(&want));
        assert_eq!(got.malformed, 0);
    }

    #[test]
    fn another_order_of_columns_changes_nothing() {
        let text = "x|R|T\nface|drop bytes packets errs fifo|fifo bytes packets errs drop\ne\x1b[2J:1 2 3 4 5 6 7 8 9 10\n";
        let rows = interfaces(text.as_bytes()).value.unwrap();
        let row = rows.first().unwrap();
        assert_eq!((row.rx_drop, row.rx_fifo, row.tx_fifo, row.tx_drop), (1, 5, 6, 10));
        assert_eq!(row.name.raw(), "e\x1b[2J");
    }

    #[test]
    fn bad_rows_are_skipped_and_a_file_without_header_is_nothing() {
        let got = interfaces(format!("{DEV}eth1: 1 2\n: 1\nno colon\n").as_bytes());
        assert_eq!((got.value.map(|r| r.len()), got.malformed), (Some(2), 3));
        assert_eq!(interfaces(b"").value, None);
        assert_eq!(interfaces(b"only\none | part\n").value, None);
    }

    #[test]
    fn no_interface_is_a_valid_answer() {
        let header = DEV.split_inclusive('\n').take(2).collect::<Vec<_>>().concat();
        assert_eq!(interfaces(header.as_bytes()), Parsed::new(Some(vec![]), 0));
    }

    proptest! {
        #[test]
        fn any_bytes_give_at_most_a_row_a_line(text in prop_oneof![noise(), mutated(DEV)]) {
            let got = interfaces(&text);
            if let Some(rows) = got.value {
                prop_assert_eq!(rows.len() + got.malformed as usize + 2, lines(&text).count());
                prop_assert!(rows.iter().all(|r| !r.name.raw().is_empty()));
            }
        }
    }
}
