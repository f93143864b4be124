//! `/proc/net/sockstat` and `sockstat6`.

use super::proc_text::{decimal, fields, lines};
use crate::model::Sockstat;

/// Adds what `/proc/net/sockstat` or `sockstat6` says to `into`. Returns how many lines and fields made no sense and
/// were skipped; groups and fields that nothing here needs are not counted.
pub fn sockstat(text: &[u8], into: &mut Sockstat) -> u32 {
    let mut malformed = 0;
    for line in lines(text) {
        let mut fields = fields(line);
        let Some(group) = fields.next().and_then(|g| g.strip_suffix(b":")) else {
            malformed += 1;
            continue;
        };
        while let Some(key) = fields.next() {
            let Some(value) = fields.next().and_then(decimal) else {
                malformed += 1;
                continue;
            };
            if let Some(slot) = slot(into, group, key) {
                *slot = Some(value);
            }
        }
    }
    malformed
}

fn slot<'a>(into: &'a mut Sockstat, group: &[u8], key: &[u8]) -> Option<&'a mut Option<u64>> {
    Some(match (group, key) {
        (b"TCP", b"inuse") => &mut into.tcp_inuse,
        (b"TCP", b"orphan") => &mut into.tcp_orphan,
        (b"TCP", b"tw") => &mut into.tcp_tw,
        (b"TCP", b"alloc") => &mut into.tcp_alloc,
        (b"TCP", b"mem") => &mut into.tcp_mem_pages,
        (b"TCP6", b"inuse") => &mut into.tcp6_inuse,
        (b"UDP", b"inuse") => &mut into.udp_inuse,
        (b"UDP", b"mem") => &mut into.udp_mem_pages,
        (b"UDP6", b"inuse") => &mut into.udp6_inuse,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proc_text::testing::{mutated, noise};
    use super::*;

    const V4: &str = "sockets: used 13\nTCP: inuse 1 orphan 2 tw 3 alloc 4 mem 174\nUDP: inuse 5 mem 6\n\
                      UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n";
    const V6: &str = "TCP6: inuse 7\nUDP6: inuse 8\nUDPLITE6: inuse 0\nRAW6: inuse 0\n";

    #[test]
    fn both_files_fill_one_value() {
        let mut got = Sockstat::default();
        assert_eq!(sockstat(V4.as_bytes(), &mut got) + sockstat(V6.as_bytes(), &mut got), 0);
        let want = Sockstat {
            tcp_inuse: Some(1),
            tcp_orphan: Some(2),
            tcp_tw: Some(3),
            tcp_alloc: Some(4),
            tcp_mem_pages: Some(174),
            udp_inuse: Some(5),
            udp_mem_pages: Some(6),
            tcp6_inuse: Some(7),
            udp6_inuse: Some(8),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn what_is_bad_is_skipped_and_the_rest_is_kept() {
        let mut got = Sockstat::default();
        let malformed = sockstat(b"TCP inuse 1\nTCP: inuse x tw 3 mem\nUDP: inuse 5\n", &mut got);
        assert_eq!(malformed, 3, "no colon, a bad number, a key without a value");
        assert_eq!((got.tcp_inuse, got.tcp_tw, got.tcp_mem_pages), (None, Some(3), None));
        assert_eq!(got.udp_inuse, Some(5));
    }

    proptest! {
        #[test]
        fn any_bytes_leave_the_other_family_alone(text in prop_oneof![noise(), mutated(V4)]) {
            let mut got = Sockstat::default();
            sockstat(&text, &mut got);
            if !text.windows(4).any(|w| w == b"TCP6") {
                prop_assert_eq!(got.tcp6_inuse, None);
            }
        }
    }
}
