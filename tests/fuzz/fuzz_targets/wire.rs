//! Any bytes into everything that decodes: no panic, no hang. `cargo +nightly fuzz run --fuzz-dir tests/fuzz wire`
#![no_main]

use libfuzzer_sys::fuzz_target;
use tcptop::wire;

fuzz_target!(|bytes: &[u8]| {
    let mut messages = wire::netlink::Messages::new(bytes);
    for message in messages.by_ref() {
        let _ = message.errno();
        let _ = wire::inet_diag::decode_drops(message.payload);
        let _ = wire::inet_diag::decode_datagram(message.payload);
        if let Some(detail) = wire::inet_diag::decode_detail(message.payload) {
            // What the decoder keeps is asked for in full: every field of every length.
            let _ = detail.info.iter().flat_map(tcptop::model::TcpInfo::iter).count();
            let _ = wire::request::exact(&detail.row, detail.origin.ifindex, 1);
        }
    }
    let mut intake = tcptop::source::intake::Intake::new(0);
    // As long as the kernel makes most replies, so that rows come again and meet.
    for payload in bytes.chunks(124) {
        intake.take(payload);
    }
    let _ = wire::inet_diag::decode_row(bytes);
    let _ = wire::table_walk::Layout::read(bytes);
    let _ = wire::table_walk::replies(bytes, u64::MAX).count();
    let _ = wire::netlink::Attributes::new(bytes).count();
});
