//! `/proc/net/snmp`, `netstat` and `snmp6`: counters under the kernel's names.

use super::proc_text::{decimal, fields, lines, name};

/// What is done with a counter: its group and its name in that, `TcpExt` and `ListenDrops`, and its value.
pub type TakeCounter<'a> = &'a mut dyn FnMut(&str, &str, u64);

/// Takes the counters of `/proc/net/snmp` or `netstat`: pairs of lines, `Tcp: name name …` and `Tcp: value value …`.
/// Returns how many lines and fields made no sense and were skipped. A negative value (`Tcp.MaxConn` is -1 for "no
/// limit") is no counter and is left out.
pub fn header_pairs(text: &[u8], take: TakeCounter<'_>) -> u32 {
    let mut malformed = 0;
    let mut header: Option<Line> = None;
    for raw in lines(text) {
        let Some(line) = Line::split(raw) else {
            malformed += 1;
            continue;
        };
        match header.take() {
            Some(names) if names.group == line.group => {
                malformed += pair(&names, &line, take);
            }
            Some(_) => {
                // The values of the earlier header are missing: this line starts anew.
                malformed += 1;
                header = Some(line);
            }
            None => header = Some(line),
        }
    }
    malformed + u32::from(header.is_some())
}

struct Line<'a> {
    group: &'a str,
    rest: &'a [u8],
}

impl<'a> Line<'a> {
    fn split(raw: &'a [u8]) -> Option<Self> {
        let colon = raw.iter().position(|b| *b == b':')?;
        let (group, rest) = raw.split_at_checked(colon)?;
        Some(Self { group: group_name(name(group)?)?, rest: rest.get(1..)? })
    }
}

fn pair(names: &Line, values: &Line, take: TakeCounter<'_>) -> u32 {
    let mut malformed = 0;
    let mut values = fields(values.rest);
    for field in fields(names.rest) {
        let Some(value) = values.next() else {
            malformed += 1;
            break;
        };
        match (name(field), value) {
            (Some(_), [b'-', digits @ ..]) if decimal(digits).is_some() => {}
            (Some(counter), value) => match decimal(value) {
                Some(n) => take(names.group, counter, n),
                None => malformed += 1,
            },
            (None, _) => malformed += 1,
        }
    }
    malformed + u32::from(values.next().is_some())
}

/// Takes the counters of `/proc/net/snmp6`: one `Udp6InErrors 5` a line, which becomes `Udp6.InErrors`. Returns how
/// many lines made no sense and were skipped.
pub fn snmp6(text: &[u8], take: TakeCounter<'_>) -> u32 {
    let mut malformed = 0;
    for line in lines(text) {
        match snmp6_line(line) {
            Some((group, counter, value)) => take(group, counter, value),
            None => malformed += 1,
        }
    }
    malformed
}

fn snmp6_line(line: &[u8]) -> Option<(&str, &str, u64)> {
    let mut fields = fields(line);
    let (joined, value) = (name(fields.next()?)?, decimal(fields.next()?)?);
    // Ip6, Icmp6, Udp6, UdpLite6: each group's name ends at its 6 (snmp6_seq_show in net/ipv6/proc.c).
    let (group, counter) = joined.split_at_checked(joined.find('6')? + 1)?;
    let group = group_name(group)?;
    (!counter.is_empty() && fields.next().is_none()).then_some((group, counter, value))
}

/// A group's name ends at the first dot of a full name, so it has none itself.
fn group_name(name: &str) -> Option<&str> {
    (!name.contains('.')).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proc_text::testing::{mutated, noise};
    use super::*;

    const SNMP: &str = "\
Ip: Forwarding DefaultTTL InReceives InHdrErrors
Ip: 2 64 4027 0
IcmpMsg: InType3
IcmpMsg: 1
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens RetransSegs
Tcp: 1 200 120000 -1 81 2 18446744073709551615
Udp: InDatagrams NoPorts InErrors
Udp: 157 0 3
";
    const SNMP6: &str = "\
Ip6InReceives                   \t1
Icmp6OutType143                 \t9
Udp6InErrors                    \t5
UdpLite6MemErrors               \t0
";

    type Pairs = Vec<(Box<str>, u64)>;

    fn parse(text: &[u8]) -> (Pairs, u32) {
        by(header_pairs, text)
    }

    fn by(parse: fn(&[u8], TakeCounter<'_>) -> u32, text: &[u8]) -> (Pairs, u32) {
        let mut into = Pairs::new();
        let malformed =
            parse(text, &mut |group, name, value| into.push((format!("{group}.{name}").into(), value)));
        (into, malformed)
    }

    fn value(pairs: &Pairs, name: &str) -> Option<u64> {
        pairs.iter().find(|(n, _)| &**n == name).map(|(_, v)| *v)
    }

    #[test]
    fn values_stand_under_their_header_names() {
        let (got, malformed) = parse(SNMP.as_bytes());
        assert_eq!(malformed, 0);
        assert_eq!(value(&got, "Tcp.ActiveOpens"), Some(81));
        assert_eq!(value(&got, "Tcp.RetransSegs"), Some(u64::MAX));
        assert_eq!(value(&got, "IcmpMsg.InType3"), Some(1));
        assert_eq!(value(&got, "Udp.InErrors"), Some(3));
        assert_eq!(got.len(), 14, "{got:?}");
    }

    #[test]
    fn no_limit_is_no_counter() {
        let (got, malformed) = parse(SNMP.as_bytes());
        assert_eq!((value(&got, "Tcp.MaxConn"), malformed), (None, 0));
    }

    #[test]
    fn a_bad_pair_does_not_end_the_file() {
        let (got, malformed) = parse(b"Tcp: A B\nUdp: C\nUdp: 7\nno colon\nIp: D E\nIp: x 2\n");
        assert_eq!(got, [("Udp.C".into(), 7), ("Ip.E".into(), 2)]);
        assert_eq!(malformed, 3, "the header without values, the line without a group, the bad number");
    }

    #[test]
    fn too_few_or_too_many_values_are_counted() {
        assert_eq!(parse(b"Tcp: A B\nTcp: 1\n"), (vec![("Tcp.A".into(), 1)], 1));
        assert_eq!(parse(b"Tcp: A\nTcp: 1 2\n"), (vec![("Tcp.A".into(), 1)], 1));
        assert_eq!(parse(b"Tcp: A\n"), (vec![], 1));
    }

    #[test]
    fn snmp6_names_are_split_at_the_family() {
        let (got, malformed) = by(snmp6, SNMP6.as_bytes());
        assert_eq!(malformed, 0);
        assert_eq!(value(&got, "Ip6.InReceives"), Some(1));
        assert_eq!(value(&got, "Icmp6.OutType143"), Some(9));
        assert_eq!(value(&got, "Udp6.InErrors"), Some(5));
        assert_eq!(value(&got, "UdpLite6.MemErrors"), Some(0));
    }

    #[test]
    fn snmp6_skips_what_is_no_counter() {
        let text = b"Udp6 5\nUdp6InErrors\nUdpInErrors 1\nUdp6A -1\nUdp6B 1 2\nUdp6C 4\n\xff6X 1\n.dp6X 1\n";
        let (got, malformed) = by(snmp6, text);
        assert_eq!(malformed, 7);
        assert_eq!(got, [("Udp6.C".into(), 4)]);
    }

    proptest! {
        #[test]
        fn any_bytes_give_only_clean_names(text in prop_oneof![noise(), mutated(SNMP), mutated(SNMP6)]) {
            for (full, _) in [by(header_pairs, &text).0, by(snmp6, &text).0].concat() {
                let (group, counter) = full.split_once('.').unwrap();
                prop_assert!(name(group.as_bytes()).is_some() && name(counter.as_bytes()).is_some(), "{full:?}");
            }
        }

        #[test]
        fn what_stands_in_the_file_is_found(values in prop::collection::vec(any::<u64>(), 1..50)) {
            let names = (0..values.len()).map(|i| format!(" n{i}")).collect::<Vec<_>>().concat();
            let numbers = values.iter().map(|v| format!(" {v}")).collect::<Vec<_>>().concat();
            let (got, malformed) = parse(format!("G:{names}\nG:{numbers}\n").as_bytes());
            prop_assert_eq!(malformed, 0);
            prop_assert_eq!(got.into_iter().map(|(_, v)| v).collect::<Vec<_>>(), values);
        }
    }
}
