//! The columns of the processes table.

use super::cell::Cell;
use super::column::{Column, Spec};
use super::peers::state_spec;
use super::process_groups::ProcessKey;
use super::processes::ProcessRow;
use crate::model::TcpState;

/// A column of the processes table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is explained by its help, which is one of its properties")]
pub enum ProcessColumn {
    Name,
    Pid,
    User,
    Unit,
    Container,
    Members,
    Total,
    State(TcpState),
    Peers,
    NoKeepalive,
    RecvQ,
    SendQ,
    Fds,
    FdLimit,
    FdRatio,
    FdGrowth,
    FdsExhausted,
    Unlisted,
    UnlistedGrowth,
}

use ProcessColumn as C;

impl Column for ProcessColumn {
    fn all() -> &'static [Self] {
        &[
            C::Name,
            C::Pid,
            C::User,
            C::Unit,
            C::Container,
            C::Members,
            C::Total,
            C::State(TcpState::Established),
            C::State(TcpState::Listen),
            C::State(TcpState::CloseWait),
            C::State(TcpState::SynSent),
            C::State(TcpState::FinWait1),
            C::State(TcpState::FinWait2),
            C::State(TcpState::LastAck),
            C::State(TcpState::Closing),
            C::State(TcpState::TimeWait),
            C::State(TcpState::SynRecv),
            C::State(TcpState::BoundInactive),
            C::Peers,
            C::NoKeepalive,
            C::RecvQ,
            C::SendQ,
            C::Fds,
            C::FdLimit,
            C::FdRatio,
            C::FdGrowth,
            C::FdsExhausted,
            C::Unlisted,
            C::UnlistedGrowth,
        ]
    }

    fn spec(self) -> Spec {
        match self {
            C::Name => Spec::text("name", "NAME", 14, 28)
                .aliases(&["process", "comm", "command"])
                .help("Name of the process, or of the group"),
            C::Pid => Spec::number("pid", "PID", 6, 7).ascending().help("Process id"),
            C::User => Spec::text("user", "USER", 6, 10).aliases(&["uid"]).drop(7).help("Effective user"),
            C::Unit => Spec::text("unit", "UNIT", 10, 22).drop(9).help("systemd unit"),
            C::Container => Spec::text("container", "CONTAINER", 10, 22).drop(8).help("Container"),
            C::Members => Spec::number("members", "PROCS", 5, 5)
                .aliases(&["processes"])
                .drop(6)
                .help("How many processes are in the group"),
            C::Total => Spec::number("total", "SOCKETS", 6, 7)
                .aliases(&["count", "sockets"])
                .help("TCP sockets; one that several processes hold counts at each, and once in a group"),
            C::State(TcpState::Listen) => {
                Spec::number("listen", "LISTEN", 6, 6).aliases(&["listeners"]).drop(3).help("Listening sockets")
            }
            C::State(state @ (TcpState::Established | TcpState::CloseWait)) => state_spec(state),
            // What a process has seldom or for a moment.
            C::State(state) => state_spec(state).drop(13),
            C::Peers => Spec::number("peers", "PEERS", 5, 6).drop(4).help("Different peer addresses"),
            C::NoKeepalive => Spec::number("no_keepalive", "NO-KEEPALIVE", 7, 12)
                .aliases(&["no_ka"])
                .drop(2)
                .help("Connections known to be without keepalive"),
            C::RecvQ => {
                Spec::number("recv_q", "RECV-Q", 6, 7).aliases(&["recvq"]).drop(10).help("Bytes that it has not read")
            }
            C::SendQ => Spec::number("send_q", "SEND-Q", 6, 7)
                .aliases(&["sendq"])
                .drop(11)
                .help("Bytes that its peers have not acknowledged"),
            C::Fds => Spec::number("fds", "FDS", 5, 7).drop(5).help("Open descriptors of any kind"),
            C::FdLimit => Spec::number("fd_limit", "FD-LIMIT", 6, 8).drop(7).help("Soft RLIMIT_NOFILE"),
            C::FdRatio => Spec::number("fd_ratio", "FD%", 4, 16)
                .aliases(&["fd_full"])
                .help("Part of the descriptor limit that is used; in a group, that of the fullest process"),
            C::FdGrowth => Spec::number("fd_growth_per_min", "FD+/MIN", 6, 7)
                .aliases(&["fd_growth"])
                .drop(7)
                .help("Growth of the number of descriptors per minute"),
            C::FdsExhausted => Spec::number("fds_exhausted_s", "FDS-OUT", 6, 7)
                .aliases(&["fds_exhausted"])
                .ascending()
                .drop(1)
                .help("When the descriptors run out at their present growth"),
            C::Unlisted => Spec::number("unlisted", "NO-TABLE", 6, 8).aliases(&["in_no_table"]).drop(6).help(
                "TCP sockets that it holds and that are in no table: never bound, or dead and not closed (a hidden leak)",
            ),
            C::UnlistedGrowth => Spec::number("unlisted_growth_per_min", "NO-TABLE+/MIN", 6, 13)
                .aliases(&["unlisted_growth"])
                .drop(14)
                .help("Growth of that number per minute"),
        }
    }
}

/// The value of a column for a process or a group.
#[must_use]
pub fn process_cell(column: ProcessColumn, row: &ProcessRow) -> Cell<'_> {
    let count = |n: u32| Cell::Count(n.into());
    // What a process that could not be looked into holds is not in the sums of its group.
    let sum = |n: u64| match (row.unseen, n) {
        (0, n) => Cell::Count(n),
        (_, 0) => Cell::Unknown,
        (_, n) => Cell::AtLeast(n),
    };
    // What there is no process for does not apply; what a process did not tell is unknown.
    let untold = if row.is_no_process() { Cell::Absent } else { Cell::Unknown };
    match column {
        C::Name => match (&row.name, &row.key) {
            (Some(name), _) => Cell::Foreign(name),
            (None, ProcessKey::Nobody(unowned)) => Cell::Word(unowned.what.label()),
            (None, ProcessKey::Unit(_)) => Cell::Word("(no unit)"),
            (None, _) => Cell::Word("(no container)"),
        },
        // A number that names something is not grouped like one that counts.
        C::Pid => row.pid.map_or(Cell::Absent, |pid| Cell::Text(pid.to_string().into())),
        C::User => match &row.user {
            Some((_, Some(name))) => Cell::Foreign(name),
            Some((uid, None)) => Cell::Text(uid.to_string().into()),
            None => Cell::Absent,
        },
        C::Unit => row.unit.as_ref().map_or(Cell::Absent, Cell::Foreign),
        C::Container => row.container.as_ref().map_or(Cell::Absent, Cell::Foreign),
        C::Members if row.unowned().is_some() => untold,
        C::Members => sum(row.members.into()),
        C::Total => sum(row.tally.counts.total().into()),
        C::State(state) => count(row.tally.counts[state]),
        C::Peers => count(row.tally.peers),
        C::NoKeepalive => count(row.tally.no_keepalive),
        C::RecvQ => Cell::Bytes(row.tally.recv_q),
        C::SendQ => Cell::Bytes(row.tally.send_q),
        C::Fds => row.fds.map_or(untold, sum),
        C::FdLimit => row.fd_limit.map_or(untold, Cell::Count),
        C::FdRatio => row.fd_ratio.map_or(untold, Cell::Gauge),
        C::FdGrowth => row.fd_growth_per_min.map_or(untold, |g| Cell::Rate(g.into())),
        C::FdsExhausted => row.fds_exhausted_in_s.map_or(Cell::Absent, Cell::Seconds),
        C::Unlisted => row.unlisted.map_or(untold, |n| sum(n.into())),
        C::UnlistedGrowth => row.unlisted_growth_per_min.map_or(untold, |g| Cell::Rate(g.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> =
            ProcessColumn::all().iter().flat_map(|c| [&[c.spec().name], c.spec().aliases].concat()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for c in ProcessColumn::all() {
            assert!(
                !c.spec().help.is_empty() && c.spec().title.len() <= c.spec().ideal_width as usize,
                "{c:?}"
            );
        }
    }
}
