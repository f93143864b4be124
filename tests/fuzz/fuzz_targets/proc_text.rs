//! Any bytes into every parser of `/proc`. `cargo +nightly fuzz run --fuzz-dir tests/fuzz proc_text`
#![no_main]

use libfuzzer_sys::fuzz_target;
use tcptop::wire;

fuzz_target!(|bytes: &[u8]| {
    let mut clean = |group: &str, name: &str, _| assert!(!group.contains('.') && !name.is_empty());
    let _ = wire::header_pairs(bytes, &mut clean);
    let _ = wire::snmp6(bytes, &mut clean);
    let _ = wire::sockstat(bytes, &mut tcptop::model::Sockstat::default());
    let _ = wire::softnet(bytes);
    let _ = wire::interfaces(bytes);
    let _ = wire::conntrack_stats(bytes);
    let _ = wire::file_nr(bytes);
    let _ = wire::hierarchies(bytes).count();
    for line in bytes.split(|b| *b == b'\n') {
        let _ = wire::tcp_line(line);
    }
});
