//! The counters of a namespace, read again and again. Their names change only with the kernel and with modules: they exist
//! once, and a look takes memory for the values alone.

use super::proc_file::{Kept, ProcFile};
use crate::model::{CounterTable, Reading};
use crate::wire::{self, TakeCounter};

type Parse = fn(&[u8], TakeCounter<'_>) -> u32;

const FILES: [(&str, Parse); 3] = [
    ("/proc/thread-self/net/snmp", wire::header_pairs),
    ("/proc/thread-self/net/netstat", wire::header_pairs),
    ("/proc/thread-self/net/snmp6", wire::snmp6),
];

/// Reads `snmp`, `netstat` and `snmp6`.
#[derive(Debug, Default)]
pub(super) struct CountersReader {
    known: Layout,
}

/// Which counters the files have.
#[derive(Debug, Default)]
struct Layout {
    /// Has every name.
    table: CounterTable,
    /// The place in the table of each counter in the order of the files.
    places: Vec<usize>,
}

impl CountersReader {
    /// The counters, and how many lines and fields made no sense.
    pub(super) fn read(&mut self, file: &mut ProcFile, kept: &mut Kept) -> (Reading<CounterTable>, u32) {
        let mut filling = Filling::of(&self.known);
        match each(file, kept, &mut |group, name, value| filling.take(group, name, value)) {
            Ok(malformed) => {
                if let Some(table) = filling.finish() {
                    return (Reading::Known(table), malformed);
                }
            }
            Err(why) => return (Reading::Unreadable(why), 0),
        }
        let mut pairs = Vec::new();
        let mut take = |group: &str, name: &str, value| pairs.push((full(group, name), value));
        match each(file, kept, &mut take) {
            Ok(malformed) if pairs.is_empty() => (Reading::Absent, malformed),
            Ok(malformed) => {
                self.known = Layout::of(pairs);
                (Reading::Known(self.known.table.clone()), malformed)
            }
            Err(why) => (Reading::Unreadable(why), 0),
        }
    }
}

/// Goes through the counters of all files that are there.
fn each(file: &mut ProcFile, kept: &mut Kept, take: TakeCounter<'_>) -> Result<u32, String> {
    let mut malformed = 0;
    for (path, parse) in FILES {
        match file.read_kept(kept, path) {
            Reading::Known(text) => malformed += parse(text, take),
            Reading::Absent => {}
            Reading::Unreadable(why) => return Err(why),
        }
    }
    Ok(malformed)
}

fn full(group: &str, name: &str) -> Box<str> {
    [group, ".", name].concat().into()
}

impl Layout {
    fn of(pairs: Vec<(Box<str>, u64)>) -> Self {
        let names: Vec<Box<str>> = pairs.iter().map(|(name, _)| name.clone()).collect();
        let table = CounterTable::from_pairs(pairs);
        let places = names.iter().filter_map(|name| table.place(name)).collect();
        Self { table, places }
    }
}

/// New values for the counters of a layout, as long as they come in its order.
struct Filling<'a> {
    layout: &'a Layout,
    values: Vec<u64>,
    next: usize,
    fits: bool,
}

impl<'a> Filling<'a> {
    fn of(layout: &'a Layout) -> Self {
        Self { layout, values: vec![0; layout.table.len()], next: 0, fits: true }
    }

    fn take(&mut self, group: &str, name: &str, value: u64) {
        let place = self.layout.places.get(self.next).copied();
        self.next += 1;
        let is = |full: &str| full.strip_prefix(group).and_then(|rest| rest.strip_prefix('.')) == Some(name);
        let known = place.filter(|at| self.layout.table.name(*at).is_some_and(is));
        match known.and_then(|at| self.values.get_mut(at)) {
            Some(at) => *at = value,
            None => self.fits = false,
        }
    }

    /// The table, if it has every counter of the layout and no other.
    fn finish(self) -> Option<CounterTable> {
        let whole = self.fits && self.next == self.layout.places.len() && self.next > 0;
        whole.then(|| self.layout.table.with_values(self.values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(layout: &Layout, counters: &[(&str, &str, u64)]) -> Option<CounterTable> {
        let mut filling = Filling::of(layout);
        for (group, name, value) in counters {
            filling.take(group, name, *value);
        }
        filling.finish()
    }

    #[test]
    fn values_are_taken_while_the_names_are_the_same_ones() {
        let pairs = [("Tcp.B", 1), ("Tcp.A", 2), ("Tcp.B", 3)];
        let layout = Layout::of(pairs.map(|(name, n)| (name.into(), n)).into());
        let table = filled(&layout, &[("Tcp", "B", 4), ("Tcp", "A", 5), ("Tcp", "B", 6)]).unwrap();
        assert_eq!(table.iter().collect::<Vec<_>>(), [("Tcp.A", 5), ("Tcp.B", 6)], "the later of two");
        for other in [
            &[("Tcp", "B", 4), ("Tcp", "A", 5)][..],
            &[("Tcp", "B", 4), ("Tcp", "A", 5), ("Tcp", "C", 6)],
            &[("Tcp", "B", 4), ("Udp", "A", 5), ("Tcp", "B", 6)],
            &[("Tcp", "B", 4), ("Tcp", "A", 5), ("Tcp", "B", 6), ("Tcp", "D", 7)],
            &[("Tc", "p.B", 4), ("Tcp", "A", 5), ("Tcp", "B", 6)],
        ] {
            assert_eq!(filled(&layout, other), None, "{other:?}");
        }
        assert_eq!(filled(&Layout::default(), &[]), None);
    }

    #[test]
    fn the_second_reading_has_the_names_of_the_first_and_newer_values() {
        let (mut file, mut kept) = (ProcFile::default(), Kept::default());
        let mut reader = CountersReader::default();
        let mut read = || reader.read(&mut file, &mut kept).0.known().cloned().unwrap();
        let first = read();
        drop(std::net::TcpStream::connect(
            std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(),
        ));
        let second = read();
        let names = |t: &CounterTable| t.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&first), names(&second));
        assert!(second.get("Tcp.ActiveOpens") > first.get("Tcp.ActiveOpens"));
    }
}
