//! The columns of the socket table.

use super::column::{Column, Spec};
use super::options::OPTION_COLUMNS;
use crate::model::Protocols;

/// A column of the socket table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is explained by its help, which is one of its properties")]
pub enum ColumnId {
    Proto,
    Family,
    State,
    RecvQ,
    SendQ,
    Local,
    LocalAddr,
    LocalPort,
    Peer,
    PeerAddr,
    PeerPort,
    Timer,
    ExpiresMs,
    Retrans,
    Keepalive,
    Uid,
    Process,
    Pid,
    Comm,
    User,
    Fd,
    Cgroup,
    Unit,
    Container,
    Inode,
    Cookie,
    Interface,
    Mark,
    CgroupId,
    Netns,
    Age,
    KeepIdle,
    KeepInterval,
    KeepProbes,
    UserTimeout,
    Linger,
    DeadPeer,
    Unprobed,
    Drops,
    DropGrowth,
    RcvBuf,
    SndBuf,
}

use ColumnId as C;

/// The longest IPv4 address with its port: one that is cut says nothing.
const ENDPOINT: u16 = 21;

impl ColumnId {
    /// What `list` shows when nothing else is asked for.
    pub const USUAL: &'static [Self] =
        &[C::State, C::RecvQ, C::SendQ, C::Local, C::Peer, C::Timer, C::Keepalive, C::Uid, C::Inode];

    /// The same for UDP sockets.
    const USUAL_OF_UDP: &'static [Self] =
        &[C::State, C::RecvQ, C::SendQ, C::RcvBuf, C::Drops, C::Local, C::Peer, C::Uid, C::Inode];

    /// The same for TCP and UDP sockets together.
    const USUAL_OF_BOTH: &'static [Self] =
        &[C::Proto, C::State, C::RecvQ, C::SendQ, C::Drops, C::Local, C::Peer, C::Timer, C::Uid, C::Inode];

    /// What `list` shows of these protocols, the namespace first where there are `several`.
    #[must_use]
    pub fn usual(protocols: Protocols, several: bool) -> Vec<Self> {
        let columns = match protocols {
            Protocols { tcp: true, udp: true } => Self::USUAL_OF_BOTH,
            Protocols { udp: true, .. } => Self::USUAL_OF_UDP,
            Protocols { .. } => Self::USUAL,
        };
        several.then_some(Self::Netns).into_iter().chain(columns.iter().copied()).collect()
    }

    /// Whether the processes must be looked at for it.
    #[must_use]
    pub const fn needs_owners(self) -> bool {
        matches!(self, C::Process | C::Pid | C::Comm | C::User | C::Fd | C::Cgroup | C::Unit | C::Container)
    }

    /// Whether the sockets must be asked for their options for it.
    #[must_use]
    pub fn needs_options(self) -> bool {
        OPTION_COLUMNS.contains(&self)
    }

    /// The same for several namespaces.
    pub const USUAL_OF_SEVERAL: &'static [Self] = &[
        C::Netns,
        C::State,
        C::RecvQ,
        C::SendQ,
        C::Local,
        C::Peer,
        C::Timer,
        C::Keepalive,
        C::Uid,
        C::Inode,
    ];
}

impl Column for ColumnId {
    fn all() -> &'static [Self] {
        &[
            C::Proto,
            C::Family,
            C::State,
            C::RecvQ,
            C::SendQ,
            C::Local,
            C::LocalAddr,
            C::LocalPort,
            C::Peer,
            C::PeerAddr,
            C::PeerPort,
            C::Timer,
            C::ExpiresMs,
            C::Retrans,
            C::Keepalive,
            C::Uid,
            C::Process,
            C::Pid,
            C::Comm,
            C::User,
            C::Fd,
            C::Cgroup,
            C::Unit,
            C::Container,
            C::Inode,
            C::Cookie,
            C::Interface,
            C::Mark,
            C::CgroupId,
            C::Netns,
            C::Age,
            C::KeepIdle,
            C::KeepInterval,
            C::KeepProbes,
            C::UserTimeout,
            C::Linger,
            C::DeadPeer,
            C::Unprobed,
            C::Drops,
            C::DropGrowth,
            C::RcvBuf,
            C::SndBuf,
        ]
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    fn spec(self) -> Spec {
        match self {
            C::Proto => Spec::text("proto", "PROTO", 5, 5)
                .aliases(&["netid", "protocol"])
                .drop(22)
                .help("Transport protocol"),
            C::Family => Spec::text("family", "FAMILY", 5, 6)
                .drop(21)
                .help("inet or inet6; an inet6 socket can carry IPv4"),
            C::State => {
                Spec::text("state", "STATE", 11, 14).aliases(&["st"]).help("TCP state, open ones first")
            }
            C::RecvQ => Spec::number("recv_q", "RECV-Q", 6, 7)
                .aliases(&["recvq", "rq", "rx_queue"])
                .drop(3)
                .help("Bytes that the program has not read; of a listener, connections that wait for accept()"),
            C::SendQ => Spec::number("send_q", "SEND-Q", 6, 7)
                .aliases(&["sendq", "sq", "tx_queue"])
                .drop(4)
                .help("Bytes that the peer has not acknowledged; of a listener, the backlog that listen() fixed"),
            C::Local => Spec::text("local", "LOCAL", ENDPOINT, 28).aliases(&["src"]).help("Local address and port"),
            C::LocalAddr => Spec::text("local_addr", "LOCAL IP", 11, 22)
                .aliases(&["saddr", "local_address"])
                .drop(9)
                .help("Local address"),
            C::LocalPort => Spec::number("local_port", "LPORT", 5, 5)
                .aliases(&["sport", "lport"])
                .ascending()
                .drop(9)
                .help("Local port"),
            C::Peer => {
                Spec::text("peer", "PEER", ENDPOINT, 28).aliases(&["dst", "remote"]).help("Peer address and port")
            }
            C::PeerAddr => Spec::text("peer_addr", "PEER IP", 11, 22)
                .aliases(&["daddr", "peer_address", "remote_addr"])
                .drop(9)
                .help("Peer address"),
            C::PeerPort => Spec::number("peer_port", "PPORT", 5, 5)
                .aliases(&["dport", "rport"])
                .ascending()
                .drop(9)
                .help("Peer port"),
            C::Timer => Spec::text("timer", "TIMER", 14, 22)
                .drop(2)
                .help("Pending timer, when it fires, and ×n repetitions or unanswered probes"),
            C::ExpiresMs => Spec::number("expires_ms", "EXPIRES", 7, 8)
                .aliases(&["expires"])
                .ascending()
                .drop(12)
                .help("Time until the timer fires"),
            C::Retrans => Spec::number("retrans", "RETR", 4, 4)
                .aliases(&["retransmits", "unanswered"])
                .drop(8)
                .help("Consecutive timeouts, unanswered probes or repeated SYN-ACKs, by the timer"),
            C::Keepalive => Spec::text("keepalive", "KEEPALIVE", 7, 9)
                .aliases(&["ka"])
                .drop(1)
                .help("SO_KEEPALIVE: on, off, or unknown because another timer hides it"),
            C::Uid => Spec::number("uid", "UID", 5, 6)
                .ascending()
                .drop(7)
                .help("Owner; unknown for a socket without a file before Linux 6.15"),
            C::Process => Spec::text("process", "PROCESS", 14, 20)
                .aliases(&["processes", "prog", "users"])
                .drop(6)
                .help("Process that holds the socket, name[pid], and +n others; what it is if none does"),
            C::Pid => Spec::number("pid", "PID", 5, 7)
                .ascending()
                .drop(18)
                .help("Process that holds the socket; the first if several do"),
            C::Comm => Spec::text("comm", "COMMAND", 8, 15)
                .aliases(&["command"])
                .drop(18)
                .help("Name of the process that holds the socket; of the first if several do"),
            C::User => Spec::text("user", "USER", 6, 10)
                .drop(13)
                .help("Name of the owner, out of /etc/passwd; else the user id"),
            C::Fd => Spec::number("fd", "FD", 3, 5)
                .ascending()
                .drop(20)
                .help("Descriptor in the process that holds the socket"),
            C::Cgroup => Spec::text("cgroup", "CGROUP", 10, 30)
                .drop(19)
                .help("Cgroup v2 in which the socket was made (Linux 5.8), which the filter cgroup compares; or else that of its process, which may be one of v1"),
            C::Unit => Spec::text("unit", "UNIT", 10, 22).drop(16).help("systemd unit, out of the cgroup"),
            C::Container => {
                Spec::text("container", "CONTAINER", 10, 22).drop(16).help("Container, out of the cgroup")
            }
            C::Inode => Spec::number("inode", "INODE", 8, 10)
                .aliases(&["ino"])
                .ascending()
                .drop(10)
                .help("Inode of the socket's file"),
            C::Cookie => Spec::number("cookie", "COOKIE", 8, 12)
                .aliases(&["sk"])
                .ascending()
                .drop(15)
                .help("The kernel's identity of the socket, stable over all states and never reused"),
            C::Interface => Spec::text("interface", "DEV", 4, 8)
                .aliases(&["dev", "iface", "if"])
                .drop(14)
                .help("Interface that the socket is bound to"),
            C::Mark => Spec::number("mark", "MARK", 6, 10)
                .aliases(&["fwmark"])
                .ascending()
                .drop(16)
                .help("SO_MARK; needs CAP_NET_ADMIN"),
            C::CgroupId => Spec::number("cgroup_id", "CG-ID", 7, 8)
                .ascending()
                .drop(17)
                .help("Cgroup v2 in which the socket was made (Linux 5.8)"),
            C::Netns => Spec::text("netns", "NETNS", 5, 12)
                .aliases(&["ns", "namespace"])
                .drop(11)
                .help("Network namespace"),
            C::Age => Spec::number("age", "AGE", 5, 7)
                .aliases(&["seen"])
                .drop(5)
                .help("How long tcptop has seen the socket in this state; ≥ if it was there before"),
            C::KeepIdle => Spec::number("keep_idle_s", "KA-IDLE", 7, 8)
                .aliases(&["keepidle"])
                .drop(23)
                .help("TCP_KEEPIDLE: silence before the first probe; with --probe-options"),
            C::KeepInterval => Spec::number("keep_interval_s", "KA-INTVL", 8, 8)
                .aliases(&["keepintvl"])
                .drop(23)
                .help("TCP_KEEPINTVL: time between two probes; with --probe-options"),
            C::KeepProbes => Spec::number("keep_probes", "KA-CNT", 6, 6)
                .aliases(&["keepcnt"])
                .drop(23)
                .help("TCP_KEEPCNT: probes without an answer that end the connection; with --probe-options"),
            C::UserTimeout => Spec::number("user_timeout_ms", "USER-TMO", 8, 8)
                .aliases(&["user_timeout"])
                .drop(23)
                .help("TCP_USER_TIMEOUT, where it is set; with --probe-options"),
            C::Linger => Spec::number("linger_s", "LINGER", 6, 6)
                .aliases(&["linger"])
                .drop(23)
                .help("SO_LINGER, where it is on; 0 resets on close; with --probe-options"),
            C::DeadPeer => Spec::number("dead_peer_s", "DEAD-PEER", 9, 9)
                .aliases(&["dead_peer"])
                .drop(23)
                .help("When an idle connection notices that its peer has vanished; with --probe-options"),
            C::Unprobed => Spec::text("options_unknown", "OPTIONS UNKNOWN", 15, 40)
                .drop(24)
                .help("Why the socket could not be asked for its options; with --probe-options"),
            C::Drops => Spec::number("drops", "DROPS", 6, 9)
                .drop(2)
                .help("UDP: datagrams that the socket dropped since it was made, most often for want of room"),
            C::DropGrowth => Spec::number("drop_growth", "+/MIN", 5, 7)
                .aliases(&["drops_per_min"])
                .drop(3)
                .help("UDP: growth of the number of dropped datagrams per minute"),
            C::RcvBuf => Spec::number("rcvbuf", "RCVBUF", 6, 7)
                .aliases(&["rb"])
                .drop(8)
                .help("UDP: limit of the receive buffer (SO_RCVBUF as the kernel keeps it, doubled)"),
            C::SndBuf => Spec::number("sndbuf", "SNDBUF", 6, 7)
                .aliases(&["tb"])
                .drop(9)
                .help("UDP: limit of the send buffer (SO_SNDBUF as the kernel keeps it, doubled)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_column_explains_itself() {
        let mut names: Vec<&str> =
            ColumnId::all().iter().flat_map(|c| [&[c.spec().name], c.spec().aliases].concat()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for c in ColumnId::all() {
            let spec = c.spec();
            assert_eq!(ColumnId::from_name(spec.name), Ok(*c));
            assert!(!spec.help.is_empty() && spec.min_width <= spec.ideal_width, "{c:?}");
            assert!(spec.title.len() <= spec.ideal_width as usize, "{c:?}");
        }
    }

    #[test]
    fn a_name_that_nobody_knows_gets_the_nearest_and_the_list() {
        let error = ColumnId::from_name("recv_queue").unwrap_err().to_string();
        assert!(error.contains("did you mean recv_q?"), "{error}");
        assert!(error.contains("columns: proto, family, state,"), "{error}");
        assert!(!ColumnId::from_name("zzz").unwrap_err().to_string().contains("mean"));
        assert_eq!(ColumnId::from_name("Recv-Q"), Ok(C::RecvQ));
        assert_eq!(ColumnId::from_name("dport"), Ok(C::PeerPort));
    }
}
