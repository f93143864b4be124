//! The one table of scenarios.

use super::{Scenario, callers, conntrack, listeners, network, settings, silence};

/// Every scenario.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "ports-exhausted",
        summary: "every client port towards one database is used",
        teaches: "The ports gauge is full for one destination and empty for all others: the limit is per source address, \
                  destination address and destination port. connect() says EADDRNOTAVAIL there and works elsewhere.",
        rules: &["ephemeral-ports"],
        start: callers::ports_exhausted,
    },
    Scenario {
        name: "privileged-ports",
        summary: "the ports below 1024 that an NFS client must use are nearly all taken",
        teaches: "Clients that must bind a reserved port have 512 of them, whatever ip_local_port_range says.",
        rules: &["privileged-ports"],
        start: callers::privileged_ports,
    },
    Scenario {
        name: "port-taken",
        summary: "a client that retried its own port is connected to itself, and the service cannot start",
        teaches: "One ESTABLISHED socket whose two ends are the same; listen() on its port says EADDRINUSE. \
                  ip_local_reserved_ports keeps service ports out of the way of clients.",
        rules: &["port-taken"],
        start: callers::port_taken,
    },
    Scenario {
        name: "time-wait-pileup",
        summary: "TIME_WAIT is near its limit",
        teaches: "Hundreds of TIME_WAIT on a server hold no ephemeral port; what matters is how near tcp_max_tw_buckets is.",
        rules: &["time-wait-pileup"],
        start: listeners::time_wait_pileup,
    },
    Scenario {
        name: "time-wait-overflow",
        summary: "more connections in TIME_WAIT than the kernel may keep",
        teaches: "The count stops at tcp_max_tw_buckets and TCPTimeWaitOverflow moves: new connections skip TIME_WAIT. \
                  Nothing is logged and nothing is purged.",
        rules: &["time-wait-overflow"],
        start: listeners::time_wait_overflow,
    },
    Scenario {
        name: "close-wait-read",
        summary: "a server reads the end of its connections and never closes them",
        teaches: "CLOSE_WAIT with Recv-Q 0 grows, always the same sockets and more; no timer runs, no sysctl helps.",
        rules: &["close-wait-leak"],
        start: listeners::close_wait_read,
    },
    Scenario {
        name: "close-wait-unread",
        summary: "a server stopped looking at its connections, and its clients hang up",
        teaches: "CLOSE_WAIT with Recv-Q 1: the FIN itself, unread. The program has not looked since.",
        rules: &["close-wait-leak"],
        start: listeners::close_wait_unread,
    },
    Scenario {
        name: "close-wait-unaccepted",
        summary: "clients gave up while they waited in the accept queue",
        teaches: "CLOSE_WAIT with inode 0 belongs to no program yet: it is the accept queue of a listener, not a leak.",
        rules: &["accept-queue-full"],
        start: listeners::close_wait_unaccepted,
    },
    Scenario {
        name: "fin-wait2-held",
        summary: "a server shuts down for writing and holds on, and so do its clients",
        teaches: "FIN_WAIT2 with an inode and without a timer: tcp_fin_timeout does not apply while a program holds it.",
        rules: &["fin-wait2-pileup"],
        start: listeners::fin_wait2_held,
    },
    Scenario {
        name: "fin-wait2-orphaned",
        summary: "a server closes, its clients never do: orphans up to their limit",
        teaches: "FIN_WAIT2 with inode 0 and a timer of tcp_fin_timeout; they share tcp_max_tw_buckets with TIME_WAIT.",
        rules: &["fin-wait2-pileup"],
        start: listeners::fin_wait2_orphaned,
    },
    Scenario {
        name: "last-ack-pileup",
        summary: "peers hung up and vanished; nobody acknowledges our FINs",
        teaches: "LAST_ACK with inode 0 and a retransmission timer; the kernel gives up after about 107 s.",
        rules: &["last-ack-pileup"],
        start: listeners::last_ack_pileup,
    },
    Scenario {
        name: "accept-queue-hang",
        summary: "a server hangs and its accept queue is full",
        teaches: "LISTEN with Recv-Q above its backlog, ListenOverflows moving, clients in SYN_SENT, and connections with inode 0.",
        rules: &["accept-queue-full"],
        start: listeners::accept_queue_hang,
    },
    Scenario {
        name: "accept-queue-fds",
        summary: "a server has no descriptors left, so it cannot accept",
        teaches: "The same full queue, but the cause is RLIMIT_NOFILE of the process: one finding, about the descriptors.",
        rules: &["fd-exhaustion"],
        start: listeners::accept_queue_fds,
    },
    Scenario {
        name: "listener-without-acceptor",
        summary: "connections wait in an accept queue that nobody takes from",
        teaches: "The queue is far from full, but it is always the same connections.",
        rules: &["listener-without-acceptor"],
        start: listeners::listener_without_acceptor,
    },
    Scenario {
        name: "syn-flood-cookies",
        summary: "a flood of SYNs, answered with syncookies",
        teaches: "SYN_RECV stops at the backlog; SyncookiesSent is the counter that moves.",
        rules: &["syn-recv-pileup"],
        start: listeners::syn_flood_cookies,
    },
    Scenario {
        name: "syn-flood-no-cookies",
        summary: "a flood of SYNs without syncookies",
        teaches: "SYN_RECV fills the backlog and TCPReqQFullDrop moves: honest clients are turned away.",
        rules: &["syn-recv-pileup"],
        start: listeners::syn_flood_no_cookies,
    },
    Scenario {
        name: "syn-flood-logged",
        summary: "a flood of SYNs that goes from service to service, and what the kernel log says of it",
        teaches: "The kernel names the port, once for each listener, and the log is the host's: it shows what happened in \
                  other namespaces, too.",
        rules: &["kernel-log"],
        start: network::syn_flood_logged,
    },
    Scenario {
        name: "ghost-connection",
        summary: "clients have connections that their server has never heard of",
        teaches: "ESTABLISHED on the client, nothing on the server: the last ACK of a syncookie handshake met a full accept queue.",
        rules: &["accept-queue-full", "ghost-connection"],
        start: listeners::ghost_connection,
    },
    Scenario {
        name: "no-keepalive",
        summary: "a thousand idle connections without keepalive",
        teaches: "No timer at all: if these peers vanish, nobody will ever notice.",
        rules: &["no-keepalive"],
        start: listeners::no_keepalive,
    },
    Scenario {
        name: "keepalive-too-slow",
        summary: "idle connections whose keepalive comes too late for any NAT on the way",
        teaches: "A keepalive timer of two hours: a NAT or a load balancer forgets the connection long before.",
        rules: &["keepalive-too-slow"],
        start: listeners::keepalive_too_slow,
    },
    Scenario {
        name: "one-leaking-client",
        summary: "one client of many opens connections and forgets them",
        teaches: "Sort the peers by count: one holds most of a service's connections, nearly all idle, and more each minute.",
        rules: &["peer-concentration"],
        start: listeners::one_leaking_client,
    },
    Scenario {
        name: "stopped-reader",
        summary: "a program stopped reading what its peers send",
        teaches: "Recv-Q stays high and nothing moves: the peers' send queues fill behind it.",
        rules: &["unread-receive-queue"],
        start: listeners::stopped_reader,
    },
    Scenario {
        name: "stopped-reader-drops",
        summary: "a program with small buffers stopped reading, and what comes is thrown away",
        teaches: "One cause, one finding: TCPRcvQDrop moves because of the sockets that nobody reads.",
        rules: &["unread-receive-queue", "receive-drops"],
        start: listeners::stopped_reader_drops,
    },
    Scenario {
        name: "sockets-in-no-table",
        summary: "a program keeps the descriptors of connections that are dead",
        teaches: "The socket table looks healthy while the descriptors of the process grow: a reset took the sockets out of it.",
        rules: &["sockets-in-no-table"],
        start: listeners::sockets_in_no_table,
    },
    Scenario {
        name: "blackhole",
        summary: "a firewall drops what is sent to one address",
        teaches: "SYN_SENT with retransmissions to one destination; a refusal would not linger.",
        rules: &["syn-sent-pileup"],
        start: callers::blackhole,
    },
    Scenario {
        name: "send-queue-stuck",
        summary: "what was sent is not acknowledged, on a way so slow that it is not sent again either",
        teaches: "Send-Q stays and nothing is acknowledged, with no window closed and hardly a retransmission.",
        rules: &["send-queue-stuck"],
        start: callers::send_queue_stuck,
    },
    Scenario {
        name: "peers-vanished-data",
        summary: "peers vanish while data is on the way to them",
        teaches: "ESTABLISHED with a retransmission timer that backs off; keepalive does not run meanwhile.",
        rules: &["dead-peer"],
        start: callers::peers_vanished_data,
    },
    Scenario {
        name: "peers-vanished-idle",
        summary: "idle peers vanish, and only keepalive notices",
        teaches: "ESTABLISHED with a keepalive timer and a count of unanswered probes.",
        rules: &["dead-peer"],
        start: callers::peers_vanished_idle,
    },
    Scenario {
        name: "zero-window",
        summary: "peers do not read, so a sender cannot send",
        teaches: "A persist timer and a full Send-Q: the cause is the receiving program, not the network.",
        rules: &["zero-window-stall"],
        start: callers::zero_window,
    },
    Scenario {
        name: "retransmission-storm",
        summary: "a cable that loses what is sent, many times a second",
        teaches: "RetransSegs against OutSegs: some percent of all segments are sent again.",
        rules: &["retransmission-storm"],
        start: callers::retransmission_storm,
    },
    Scenario {
        name: "reset-storm",
        summary: "bursts of calls to a port where nobody listens",
        teaches: "OutRsts jumps far above what it was a moment ago.",
        rules: &["reset-storm"],
        start: listeners::reset_storm,
    },
    Scenario {
        name: "receive-drops",
        summary: "receive buffers are too small for what comes in",
        teaches: "TCPRcvQDrop and RcvPruned move: what arrives is thrown away because the receive buffer is full.",
        rules: &["receive-drops"],
        start: listeners::receive_drops,
    },
    Scenario {
        name: "path-mtu",
        summary: "large packets vanish on the way and small ones arrive",
        teaches: "The beginning of every answer is sent again and again, its small end is acknowledged (sacked); nothing says \
                  why, because the router's ICMP message is filtered.",
        rules: &["path-mtu"],
        start: network::path_mtu,
    },
    Scenario {
        name: "old-timestamps",
        summary: "segments with timestamps of the past come in and are thrown away",
        teaches: "PAWSEstab moves while the connection itself works: somebody on the way rewrites or replays segments.",
        rules: &["paws-drops"],
        start: network::old_timestamps,
    },
    Scenario {
        name: "rp-filter",
        summary: "reverse-path filtering drops packets from the wrong direction",
        teaches: "IPReversePathFilter moves; the effective value is the larger of conf.all and the interface.",
        rules: &["reverse-path-drops", "sysctl-rp-filter"],
        start: silence::rp_filter,
    },
    Scenario {
        name: "mtu-mismatch",
        summary: "a peer sends larger packets than this interface takes",
        teaches: "The drop column of the interface moves; nothing of it reaches IP or TCP.",
        rules: &["nic-drops"],
        start: silence::mtu_mismatch,
    },
    Scenario {
        name: "udp-overflow",
        summary: "a UDP service does not read fast enough",
        teaches: "RcvbufErrors moves: datagrams are dropped because the receive buffer is full.",
        rules: &["udp-buffer-errors"],
        start: silence::udp_overflow,
    },
    Scenario {
        name: "conntrack-full",
        summary: "the connection tracking table is full",
        teaches: "Every flow counts, idle and half-open ones and UDP, too. New ones are dropped or push out unconfirmed ones: \
                  early_drop and drop move.",
        rules: &["conntrack-full"],
        start: conntrack::conntrack_full,
    },
    Scenario {
        name: "conntrack-clash",
        summary: "a source NAT has too few ports towards one destination",
        teaches: "insert_failed moves while the table is nearly empty: another disease than a full table.",
        rules: &["conntrack-clash", "syn-sent-pileup"],
        start: conntrack::conntrack_clash,
    },
    Scenario {
        name: "conntrack-short-timeout",
        summary: "a NAT on the way forgets idle connections after five seconds",
        teaches: "ESTABLISHED for ever, without any timer: the service was reset long ago, and nobody tells this side. Keepalive \
                  below the timeout of the NAT would have noticed.",
        rules: &["no-keepalive"],
        start: conntrack::conntrack_short_timeout,
    },
    Scenario {
        name: "folklore-sysctls",
        summary: "the sysctl file that goes round, applied",
        teaches: "The Kernel screen gives a verdict on each value; most of this advice breaks something.",
        rules: &[
            "sysctl-timestamps-off",
            "sysctl-tw-buckets",
            "sysctl-fin-timeout",
            "sysctl-synack-retries",
            "sysctl-retries2-low",
            "sysctl-orphan-retries",
            "sysctl-keepalive-aggressive",
            "sysctl-syncookies-off",
            "sysctl-somaxconn-low",
            "sysctl-abort-on-overflow",
            "sysctl-port-range",
            "sysctl-conntrack-timeouts",
        ],
        start: settings::folklore_sysctls,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_can_be_typed() {
        for (n, s) in SCENARIOS.iter().enumerate() {
            assert!(
                s.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{}",
                s.name
            );
            assert!(SCENARIOS[n + 1..].iter().all(|other| other.name != s.name), "{} twice", s.name);
            assert!(!s.rules.is_empty(), "{} shows nothing", s.name);
        }
    }
}
