//! `tcptop list --info`: `tcp_info` of sockets that the lab brought into a known condition.

use serde_json::Value;
use tcptop::lab::Specimen;

use crate::harness::lab_with_ss;
use crate::states::zoo;
use crate::tool::{self, Listed};

#[test]
fn tcp_info_says_what_the_lab_did() {
    lab_with_ss(|| {
        let (lab, specimens) = zoo();
        let listed = tool::list(lab.near(), &["--info"]);
        let of = |name: &str| info(&listed, specimens.iter().find(|s| s.name == name).unwrap());
        let number = |name: &str, field: &str| {
            let info = of(name);
            info[field].as_u64().unwrap_or_else(|| panic!("no {field} of {name} in {info}"))
        };
        // A listener tells its queue and its backlog in these two.
        assert_eq!(number("accept_queue_full", "unacked"), 2);
        assert_eq!(number("accept_queue_full", "sacked"), 1);
        assert_eq!(number("established", "state"), 1);
        assert_eq!(number("close_wait_unread_data", "state"), 8);
        assert_eq!(number("close_wait_unread_data", "bytes_received"), 5 + 1, "the FIN counts");
        assert!(number("keepalive_unanswered", "probes") >= 1);
        assert!(number("keepalive_masked_by_retransmission", "retransmits") >= 1);
        assert!(number("keepalive_masked_by_retransmission", "total_retrans") >= 1);
        assert_eq!(number("keepalive_masked_by_zero_window", "snd_wnd"), 0);
        assert!(number("keepalive_masked_by_zero_window", "notsent_bytes") > 0);
    });
}

#[test]
fn mini_sockets_have_no_tcp_info() {
    lab_with_ss(|| {
        let (lab, _specimens) = zoo();
        let listed = tool::list(lab.near(), &["--info"]);
        let with_info = |state: &str| {
            let rows: Vec<_> = listed.rows.values().filter(|r| r["state"] == state).collect();
            assert!(!rows.is_empty(), "{state}");
            rows.iter().filter(|r| r.get("tcp_info").is_some()).count()
        };
        assert_eq!((with_info("TIME_WAIT"), with_info("SYN_RECV")), (0, 0));
        // Two of the three kinds are full sockets.
        assert_eq!(with_info("FIN_WAIT2"), 2);
        assert!(with_info("LAST_ACK") == 1 && with_info("CLOSING") == 1);
    });
}

fn info(listed: &Listed, specimen: &Specimen) -> Value {
    let (cookie, _inode) = specimen.identity().unwrap().unwrap();
    listed.rows[&cookie]["tcp_info"].clone()
}
