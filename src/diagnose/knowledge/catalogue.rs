//! The list of embedded documents.

use std::sync::LazyLock;

use super::document::Document;

struct Embedded {
    lang: &'static str,
    id: &'static str,
    text: &'static str,
}

macro_rules! documents {
    ($lang:literal: $($id:literal)*) => {
        &[$(Embedded {
            lang: $lang,
            id: $id,
            text: include_str!(concat!("../../../assets/knowledge/", $lang, "/", $id, ".md")),
        }),*]
    };
}

/// Every document, in reading order. A test compares this list with the folder.
const TEXTS: &[&[Embedded]] = &[documents!["en":
    // Rules: the socket tables.
    "close-wait-leak"
    "time-wait-pileup"
    "ephemeral-ports"
    "fin-wait2-pileup"
    "orphan-limit"
    "last-ack-pileup"
    "syn-recv-pileup"
    "accept-queue-full"
    "syn-sent-pileup"
    "no-keepalive"
    "keepalive-too-slow"
    "dead-peer"
    "zero-window-stall"
    "unread-receive-queue"
    "send-queue-stuck"
    "peer-concentration"
    "port-taken"
    "sockets-in-no-table"
    "listener-without-acceptor"
    "ghost-connection"
    "privileged-ports"
    // Rules: limits and counters.
    "fd-exhaustion"
    "conntrack-full"
    "conntrack-clash"
    "tcp-memory"
    "paws-drops"
    "backlog-drops"
    "nic-drops"
    "reverse-path-drops"
    "udp-buffer-errors"
    "reset-storm"
    "retransmission-storm"
    "receive-drops"
    "kernel-log"
    "neighbour-table-full"
    "path-mtu"
    "time-wait-overflow"
    // Rules: the sysctl audit.
    "sysctl-tw-recycle"
    "sysctl-timestamps-off"
    "sysctl-tw-buckets"
    "sysctl-fin-timeout"
    "sysctl-synack-retries"
    "sysctl-retries2-low"
    "sysctl-orphan-retries"
    "sysctl-keepalive-aggressive"
    "sysctl-syncookies-off"
    "sysctl-somaxconn-low"
    "sysctl-abort-on-overflow"
    "sysctl-port-range"
    "sysctl-max-orphans-low"
    "sysctl-conntrack-timeouts"
    "sysctl-rp-filter"
    "sysctl-tcp-mem"
    // TCP states.
    "state-established"
    "state-syn-sent"
    "state-syn-recv"
    "state-fin-wait1"
    "state-fin-wait2"
    "state-time-wait"
    "state-close-wait"
    "state-last-ack"
    "state-closing"
    "state-listen"
    "state-bound-inactive"
    "state-close"
    // Limits.
    "limit-ephemeral-ports"
    "limit-conntrack"
    "limit-time-wait-buckets"
    "limit-orphans"
    "limit-tcp-memory"
    "limit-open-files"
    "limit-accept-queue"
    "limit-process-fds"
    // Sysctls without a rule.
    "fs.nr_open"
    "net.core.netdev_max_backlog"
    "net.core.optmem_max"
    "net.core.rps_sock_flow_entries"
    "net.ipv4.ip_autobind_reuse"
    "net.ipv4.ip_unprivileged_port_start"
    "net.ipv4.tcp_congestion_control"
    "net.ipv4.tcp_ehash_entries"
    "net.ipv4.tcp_fack"
    "net.ipv4.tcp_mtu_probing"
    "net.ipv4.tcp_retries1"
    "net.ipv4.tcp_rfc1337"
    "net.ipv4.tcp_rmem"
    "net.ipv4.tcp_rto_max_ms"
    "net.ipv4.tcp_sack"
    "net.ipv4.tcp_syn_retries"
    "net.ipv4.tcp_tw_reuse"
    "net.netfilter.nf_conntrack_helper"
    "net.netfilter.nf_conntrack_max"
    "net.netfilter.nf_conntrack_tcp_loose"
]];

/// Every document of every language.
pub(super) fn all() -> &'static [Document] {
    static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| read().flatten().collect());
    &DOCUMENTS
}

/// Reads the embedded texts. A document that cannot be read would be missing; a test proves that none is.
pub(super) fn read() -> impl Iterator<Item = Result<Document, String>> {
    TEXTS.iter().copied().flatten().map(|t| Document::parse(t.lang, t.id, t.text))
}
