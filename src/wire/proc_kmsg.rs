//! A record of `/dev/kmsg`: `6,1234,5678901,-;text`, and lines about the device after it (`info_print_ext_header` in
//! `kernel/printk/printk.c`).

use std::time::Duration;

use super::proc_text::decimal;
use crate::model::{ForeignText, KernelMessage};

/// Parses one record, `None` if it makes no sense or is not the kernel's own: whoever may write to `/dev/kmsg` appears in
/// the ring as well, but never with the facility of the kernel, 0 (`devkmsg_write`).
#[must_use]
pub fn kernel_message(record: &[u8]) -> Option<KernelMessage> {
    let semicolon = record.iter().position(|b| *b == b';')?;
    let (head, rest) = record.split_at_checked(semicolon)?;
    let mut head = head.split(|b| *b == b',').map(decimal);
    let mut next = || head.next().flatten();
    let (priority, seq, micros) = (next()?, next()?, next()?);
    // Facility in the upper bits, level in the lower three (syslog).
    if priority >> 3 != 0 {
        return None;
    }
    let text = rest.get(1..)?.split(|b| *b == b'\n').next()?;
    Some(KernelMessage {
        seq,
        since_boot: Duration::from_micros(micros),
        text: ForeignText::from_bytes(text),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::proc_text::testing::{mutated, noise};
    use super::*;

    const RECORD: &str = "6,339,5140900,-;NET: Registered PF_INET6 protocol family\n SUBSYSTEM=net\n";

    #[test]
    fn the_first_line_is_what_was_said() {
        let got = kernel_message(RECORD.as_bytes()).unwrap();
        assert_eq!((got.seq, got.since_boot), (339, Duration::from_micros(5_140_900)));
        assert_eq!(got.text.raw(), "NET: Registered PF_INET6 protocol family");
        assert_eq!(kernel_message(b"4,1,2,-,caller=T1;a;b").unwrap().text.raw(), "a;b");
    }

    #[test]
    fn what_a_program_wrote_is_not_the_kernels() {
        assert_eq!(kernel_message(b"12,340,5140901,-;nf_conntrack: table full, dropping packet"), None);
        assert_eq!(kernel_message(b"no record"), None);
        assert_eq!(kernel_message(b"6,x,1,-;text"), None);
        assert_eq!(kernel_message(b""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(record in prop_oneof![noise(), mutated(RECORD)]) {
            if let Some(message) = kernel_message(&record) {
                prop_assert!(!message.text.raw().contains('\n'));
            }
        }
    }
}
