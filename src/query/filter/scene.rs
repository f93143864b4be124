//! What a filter can look at.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::ast::Op;
use crate::analysis::{Snapshot, Track};
use crate::model::{
    Keepalive, Origin, Owners, Process, Protocol, RowFlags, Sample, SocketRow, TcpInfo, TcpState,
};
use crate::query::{Owner, owner};

/// An answer about a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Truth {
    /// It does not match.
    False,
    /// It cannot be known.
    Unknown,
    /// It matches.
    True,
}

impl From<bool> for Truth {
    #[inline]
    fn from(yes: bool) -> Self {
        if yes { Self::True } else { Self::False }
    }
}

impl Truth {
    #[inline]
    pub(super) const fn negated(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
            Self::True => Self::False,
        }
    }

    pub(super) const fn negated_if(self, not: bool) -> Self {
        if not { self.negated() } else { self }
    }
}

/// Answers to exact questions about single sockets, by cookie; `None` for a socket that is gone or has no `tcp_info`.
pub type Infos = FxHashMap<u64, Option<TcpInfo>>;

/// One look at one namespace, as a filter sees it.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    snapshot: &'a Snapshot,
    infos: Option<&'a Infos>,
}

impl<'a> Scene<'a> {
    /// What a snapshot knows.
    #[must_use]
    pub const fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, infos: None }
    }

    /// With `tcp_info` of those sockets that were asked for.
    #[must_use]
    pub const fn with_infos(self, infos: &'a Infos) -> Self {
        Self { infos: Some(infos), ..self }
    }

    const fn sample(&self) -> &'a Sample {
        &self.snapshot.sample
    }

    /// Whether the send queue of this row is the backlog of a listener, and not told.
    pub(super) fn lacks_backlog(&self, row: &SocketRow) -> bool {
        row.state == TcpState::Listen && !self.sample().completeness.source.tells_backlogs()
    }

    pub(super) fn origin(&self, row: &SocketRow) -> Origin {
        self.sample().table.origin(row)
    }

    /// As ss has it: the kernel chose the port, and it is one of those that the kernel may choose. Where the kernel was
    /// not asked, the second alone decides, as in ss without `sock_diag`.
    pub(super) fn autobound(&self, row: &SocketRow) -> Truth {
        let in_range =
            self.sample().facts.sysctls.port_range().is_none_or(|range| range.contains(&row.local_port));
        if !in_range || row.local_port == 0 {
            return Truth::False;
        }
        (!self.sample().table.autobound || row.flags.has(RowFlags::AUTOBOUND)).into()
    }

    pub(super) fn uid(&self, row: &SocketRow, holds: impl Fn(u32) -> bool) -> Truth {
        match owner(self.snapshot, row) {
            Owner::User(uid) => holds(uid).into(),
            Owner::Nobody => Truth::False,
            Owner::Untold => Truth::Unknown,
        }
    }

    fn track(&self, at: usize) -> Option<Track> {
        self.snapshot.track.get(at).copied()
    }

    pub(super) fn keepalive(&self, at: usize, row: &SocketRow, wanted: Keepalive, not: bool) -> Truth {
        if self.sample().protocol == Protocol::Udp {
            return Truth::False;
        }
        match self.track(at).unwrap_or_default().keepalive(row) {
            None => Truth::False,
            Some(is) if is == wanted => (!not).into(),
            // What is unknown may be on or off.
            Some(Keepalive::Unknown) => Truth::Unknown,
            Some(_) => not.into(),
        }
    }

    pub(super) fn age(&self, at: usize, op: Op, micros: u64) -> Truth {
        let Some(track) = self.track(at) else { return Truth::Unknown };
        let age = self.snapshot.age(track);
        let seen = micros_of(age.seen);
        if !age.at_least {
            return op.holds(&seen, &micros).into();
        }
        // It is that old or older.
        match op {
            Op::Gt | Op::Ne if seen > micros => Truth::True,
            Op::Ge if seen >= micros => Truth::True,
            Op::Le | Op::Eq if seen > micros => Truth::False,
            Op::Lt if seen >= micros => Truth::False,
            _ => Truth::Unknown,
        }
    }

    /// The answer of a field of `tcp_info`; false for what has no `tcp_info` at all.
    pub(super) fn info(&self, row: &SocketRow, holds: impl Fn(&TcpInfo) -> Option<bool>) -> Truth {
        if self.has_no_info(row) {
            return Truth::False;
        }
        match self.infos.and_then(|infos| infos.get(&row.cookie())) {
            Some(Some(info)) => holds(info).map_or(Truth::Unknown, Truth::from),
            Some(None) => Truth::False,
            None => Truth::Unknown,
        }
    }

    pub(super) fn idle(&self, row: &SocketRow, op: Op, micros: u64) -> Truth {
        self.info(row, |info| {
            let idle_ms = info.last_data_sent()?.min(info.last_data_recv()?);
            Some(op.holds(&idle_ms.saturating_mul(1000), &micros))
        })
    }

    /// Whether one of the processes that hold the socket is as wanted.
    pub(super) fn held(&self, row: &SocketRow, wanted: impl Fn(&Process) -> bool) -> Truth {
        if row.inode == 0 {
            return Truth::False;
        }
        let Some(owners) = self.snapshot.owners.as_deref() else { return Truth::Unknown };
        let holders = owners.holders(row.inode);
        if holders.iter().filter_map(|h| owners.process(*h)).any(wanted) {
            return Truth::True;
        }
        if holders.is_empty() && is_in_doubt(owners, row.inode) { Truth::Unknown } else { Truth::False }
    }

    pub(super) fn is_netns(&self, name: &str) -> bool {
        let netns = &self.sample().netns;
        netns.name.raw() == name || name.parse() == Ok(netns.inode)
    }

    /// Mini-sockets and listeners: the kernel has no times of data for them; nor for UDP.
    fn has_no_info(&self, row: &SocketRow) -> bool {
        self.sample().protocol == Protocol::Udp
            || matches!(row.state, TcpState::TimeWait | TcpState::Listen | TcpState::BoundInactive)
            || matches!(row.state, TcpState::SynRecv | TcpState::FinWait2)
                && row.inode == 0
                && !row.flags.has(RowFlags::FULL)
    }

    /// The `tcp_info` that is still to be asked for, if the answer about a row hangs on it.
    pub(super) fn lacks_info(&self, row: &SocketRow) -> bool {
        !self.has_no_info(row) && self.infos.is_none_or(|infos| !infos.contains_key(&row.cookie()))
    }
}

fn is_in_doubt(owners: &Owners, inode: u32) -> bool {
    !owners.unheld.contains(&inode) || owners.blindness().is_some()
}

fn micros_of(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}
