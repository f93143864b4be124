//! Which rules look at which counter: what the screen says of a counter.

/// Counters by the kernel's names, each with the rules that look at it, the one that it is the main number of first.
const WATCHED: &[(&str, &[&str])] = &[
    ("Tcp.AttemptFails", &["reset-storm"]),
    ("Tcp.EstabResets", &["reset-storm"]),
    ("Tcp.OutRsts", &["reset-storm"]),
    ("Tcp.OutSegs", &["retransmission-storm"]),
    ("Tcp.RetransSegs", &["retransmission-storm"]),
    ("TcpExt.IPReversePathFilter", &["reverse-path-drops"]),
    ("TcpExt.ListenOverflows", &["accept-queue-full"]),
    ("TcpExt.PAWSActive", &["paws-drops"]),
    ("TcpExt.PAWSEstab", &["paws-drops"]),
    ("TcpExt.PAWSPassive", &["paws-drops"]),
    ("TcpExt.PAWSTimewait", &["paws-drops"]),
    ("TcpExt.PruneCalled", &["receive-drops"]),
    ("TcpExt.RcvPruned", &["receive-drops"]),
    ("TcpExt.SyncookiesSent", &["syn-recv-pileup"]),
    ("TcpExt.TCPAbortOnClose", &["reset-storm"]),
    ("TcpExt.TCPAbortOnData", &["reset-storm"]),
    ("TcpExt.TCPAbortOnMemory", &["orphan-limit", "reset-storm"]),
    ("TcpExt.TCPAbortOnTimeout", &["reset-storm"]),
    ("TcpExt.TCPBacklogDrop", &["receive-drops"]),
    ("TcpExt.TCPDSACKRecv", &["retransmission-storm"]),
    ("TcpExt.TCPMTUPFail", &["path-mtu"]),
    ("TcpExt.TCPMemoryPressures", &["tcp-memory"]),
    ("TcpExt.TCPRcvQDrop", &["receive-drops"]),
    ("TcpExt.TCPReqQFullDoCookies", &["syn-recv-pileup"]),
    ("TcpExt.TCPReqQFullDrop", &["syn-recv-pileup"]),
    ("TcpExt.TCPSynRetrans", &["retransmission-storm"]),
    ("TcpExt.TCPTimeWaitOverflow", &["time-wait-overflow"]),
    ("TcpExt.TCPZeroWindowDrop", &["receive-drops"]),
    ("TcpExt.TSEcrRejected", &["paws-drops"]),
    ("Udp.MemErrors", &["udp-buffer-errors"]),
    ("Udp.RcvbufErrors", &["udp-buffer-errors"]),
    ("Udp.SndbufErrors", &["udp-buffer-errors"]),
    ("Udp6.MemErrors", &["udp-buffer-errors"]),
    ("Udp6.RcvbufErrors", &["udp-buffer-errors"]),
    ("Udp6.SndbufErrors", &["udp-buffer-errors"]),
    ("arp_cache.table_fulls", &["neighbour-table-full"]),
    ("conntrack.drop", &["conntrack-full", "conntrack-clash"]),
    ("conntrack.early_drop", &["conntrack-full"]),
    ("conntrack.insert_failed", &["conntrack-clash", "conntrack-full"]),
    ("ndisc_cache.table_fulls", &["neighbour-table-full"]),
    ("softnet.dropped", &["backlog-drops"]),
    ("softnet.flow_limit_count", &["backlog-drops"]),
    ("softnet.time_squeeze", &["backlog-drops"]),
];

/// The rules that look at a counter; none for one that nothing is concluded from.
#[must_use]
pub fn watchers(counter: &str) -> &'static [&'static str] {
    if let Some((_, rules)) = WATCHED.iter().find(|(name, _)| *name == counter) {
        return rules;
    }
    let field = counter.strip_prefix("dev.").and_then(|rest| rest.rsplit_once('.'));
    if field.is_some_and(|(_, f)| f.ends_with("_drop") || f.ends_with("_fifo")) {
        return &["nic-drops"];
    }
    &[]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::diagnose::registry;

    /// The counters that the product code of a file names in its text.
    fn named(text: &str, names: &mut BTreeSet<String>) {
        const FAMILIES: [&str; 9] =
            ["Ip", "Tcp", "TcpExt", "Udp", "Udp6", "arp_cache", "conntrack", "ndisc_cache", "softnet"];
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
        let code = product.lines().map(|l| l.split("//").next().unwrap_or(l));
        for literal in code.flat_map(|l| l.split('"').skip(1).step_by(2)) {
            let Some((family, name)) = literal.split_once('.') else { continue };
            if FAMILIES.contains(&family) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                names.insert(literal.to_owned());
            }
        }
    }

    #[test]
    fn every_counter_that_a_rule_names_is_in_the_table_and_no_other() {
        let mut names = BTreeSet::new();
        for family in ["counters", "sockets"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/diagnose").join(family);
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() && !path.ends_with("watched.rs") {
                    named(&fs::read_to_string(path).unwrap(), &mut names);
                }
            }
        }
        // A prefix that stands for the four of its family.
        names.remove("TcpExt.TCPAbortOn");
        let table: BTreeSet<String> = WATCHED.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(table, names);
    }

    #[test]
    fn every_watcher_is_a_rule() {
        for rule in WATCHED.iter().flat_map(|(_, rules)| *rules).chain(watchers("dev.eth0.rx_drop")) {
            assert!(registry::spec(rule).is_some(), "{rule}");
        }
        assert_eq!(watchers("dev.a.b.tx_fifo"), ["nic-drops"]);
        assert!(watchers("dev.eth0.rx_bytes").is_empty() && watchers("Tcp.InSegs").is_empty());
    }
}
