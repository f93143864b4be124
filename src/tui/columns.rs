//! Which columns a table shows, in which order, and where they stand.

use ratatui::layout::Rect;

use crate::model::TcpState;
use crate::query::{
    Column, ColumnId, CounterColumn, DestinationColumn, FindingColumn, ListenerColumn, PeerColumn,
    ProcessColumn, ProcessGrouping, Sort, SysctlColumn,
};

use super::paint;

/// The gap between columns of grouped numbers, and the one that other tables can do with.
const GAPS: [u16; 2] = [2, 1];

/// Columns that go from this number on are rarely looked for.
const RARE: u8 = 7;

/// How much wider a gap may become where there is room.
const AIR: u16 = 2;

/// The columns of the peers table.
pub const PEERS: &[PeerColumn] = &[
    PeerColumn::Addr,
    PeerColumn::Total,
    PeerColumn::State(TcpState::Established),
    PeerColumn::State(TcpState::TimeWait),
    PeerColumn::State(TcpState::CloseWait),
    PeerColumn::State(TcpState::FinWait2),
    PeerColumn::State(TcpState::SynRecv),
    PeerColumn::NoKeepalive,
    PeerColumn::Oldest,
    PeerColumn::Growth,
    PeerColumn::RecvQ,
    PeerColumn::SendQ,
    PeerColumn::State(TcpState::SynSent),
    PeerColumn::State(TcpState::FinWait1),
    PeerColumn::State(TcpState::LastAck),
    PeerColumn::State(TcpState::Closing),
];

/// The columns of the socket table, the namespace where there are several.
#[must_use]
pub fn sockets(several: bool) -> Vec<ColumnId> {
    with_netns(SOCKETS, several, ColumnId::Netns)
}

/// The columns of the UDP table, the namespace where there are several.
#[must_use]
pub fn udp(several: bool) -> Vec<ColumnId> {
    with_netns(UDP, several, ColumnId::Netns)
}

/// The columns of the listeners table, the namespace where there are several.
#[must_use]
pub fn listeners(several: bool) -> Vec<ListenerColumn> {
    with_netns(LISTENERS, several, ListenerColumn::Netns)
}

/// The columns of the ports table, the namespace where there are several.
#[must_use]
pub fn destinations(several: bool) -> Vec<DestinationColumn> {
    with_netns(DESTINATIONS, several, DestinationColumn::Netns)
}

/// The columns of the processes table, without those that the grouping makes needless.
#[must_use]
pub fn processes(group: ProcessGrouping) -> Vec<ProcessColumn> {
    let needless = match group {
        ProcessGrouping::Process => ProcessColumn::Members,
        ProcessGrouping::Command => ProcessColumn::Pid,
        ProcessGrouping::User => ProcessColumn::User,
        ProcessGrouping::Unit => ProcessColumn::Unit,
        ProcessGrouping::Container => ProcessColumn::Container,
    };
    let single = group == ProcessGrouping::Process;
    let wanted = |c: &ProcessColumn| *c != needless && (single || *c != ProcessColumn::Pid);
    PROCESSES.iter().copied().filter(wanted).collect()
}

/// The columns of the findings table, the namespace where there are several.
#[must_use]
pub fn findings(several: bool) -> Vec<FindingColumn> {
    with_netns(FINDINGS, several, FindingColumn::Netns)
}

fn with_netns<C: Column>(columns: &[C], several: bool, netns: C) -> Vec<C> {
    columns.iter().copied().chain(several.then_some(netns)).collect()
}

const SOCKETS: &[ColumnId] = &[
    ColumnId::State,
    ColumnId::Local,
    ColumnId::Peer,
    ColumnId::Process,
    ColumnId::RecvQ,
    ColumnId::SendQ,
    ColumnId::Timer,
    ColumnId::Keepalive,
    ColumnId::Age,
    ColumnId::User,
    ColumnId::Unit,
    ColumnId::Container,
    ColumnId::Interface,
    ColumnId::Inode,
    ColumnId::Mark,
    ColumnId::CgroupId,
    ColumnId::Cookie,
];

const UDP: &[ColumnId] = &[
    ColumnId::State,
    ColumnId::Local,
    ColumnId::Peer,
    ColumnId::Process,
    ColumnId::RecvQ,
    ColumnId::RcvBuf,
    ColumnId::Drops,
    ColumnId::DropGrowth,
    ColumnId::SndBuf,
    ColumnId::User,
    ColumnId::Unit,
    ColumnId::Container,
    ColumnId::Interface,
    ColumnId::Inode,
    ColumnId::Mark,
    ColumnId::CgroupId,
    ColumnId::Cookie,
];

const LISTENERS: &[ListenerColumn] = &[
    ListenerColumn::Local,
    ListenerColumn::Process,
    ListenerColumn::Queue,
    ListenerColumn::Backlog,
    ListenerColumn::Fill,
    ListenerColumn::Drops,
    ListenerColumn::NewDrops,
    ListenerColumn::Total,
    ListenerColumn::Established,
    ListenerColumn::SynRecv,
    ListenerColumn::CloseWait,
    ListenerColumn::TimeWait,
    ListenerColumn::Unaccepted,
    ListenerColumn::NoKeepalive,
];

const PROCESSES: &[ProcessColumn] = &[
    ProcessColumn::Name,
    ProcessColumn::Pid,
    ProcessColumn::Members,
    ProcessColumn::Total,
    ProcessColumn::State(TcpState::Established),
    ProcessColumn::State(TcpState::CloseWait),
    ProcessColumn::State(TcpState::Listen),
    ProcessColumn::Peers,
    ProcessColumn::NoKeepalive,
    ProcessColumn::Fds,
    ProcessColumn::FdLimit,
    ProcessColumn::FdRatio,
    ProcessColumn::FdsExhausted,
    ProcessColumn::FdGrowth,
    ProcessColumn::Unlisted,
    ProcessColumn::UnlistedGrowth,
    ProcessColumn::User,
    ProcessColumn::Unit,
    ProcessColumn::Container,
    ProcessColumn::RecvQ,
    ProcessColumn::SendQ,
    ProcessColumn::State(TcpState::SynSent),
    ProcessColumn::State(TcpState::FinWait1),
    ProcessColumn::State(TcpState::FinWait2),
    ProcessColumn::State(TcpState::LastAck),
    ProcessColumn::State(TcpState::Closing),
    ProcessColumn::State(TcpState::TimeWait),
    ProcessColumn::State(TcpState::SynRecv),
    ProcessColumn::State(TcpState::BoundInactive),
];

const DESTINATIONS: &[DestinationColumn] = &[
    DestinationColumn::Peer,
    DestinationColumn::LocalAddr,
    DestinationColumn::Used,
    DestinationColumn::Usable,
    DestinationColumn::Ratio,
    DestinationColumn::TimeWait,
    DestinationColumn::Reusable,
    DestinationColumn::Growth,
    DestinationColumn::Exhausted,
];

const FINDINGS: &[FindingColumn] = &[
    FindingColumn::Severity,
    FindingColumn::Title,
    FindingColumn::Subject,
    FindingColumn::Since,
    FindingColumn::Status,
    FindingColumn::Rule,
];

/// The columns of the sysctls.
pub const SYSCTLS: &[SysctlColumn] = &[
    SysctlColumn::Name,
    SysctlColumn::Value,
    SysctlColumn::Default,
    SysctlColumn::Verdict,
    SysctlColumn::Scope,
    SysctlColumn::Why,
];

/// The columns of the counters.
pub const COUNTERS: &[CounterColumn] = &[
    CounterColumn::Name,
    CounterColumn::Delta,
    CounterColumn::Rate,
    CounterColumn::SinceFirst,
    CounterColumn::Moved,
    CounterColumn::Scope,
    CounterColumn::Rule,
    CounterColumn::Past,
];

/// A column and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed<C> {
    /// The column.
    pub column: C,
    /// Its left edge.
    pub x: u16,
    /// Its width.
    pub width: u16,
}

/// The columns that fit, and whether some are hidden on either side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fit<C> {
    /// In their order.
    pub placed: Vec<Placed<C>>,
    /// Some are scrolled out to the left.
    pub hidden_left: bool,
    /// Some had no room.
    pub hidden_right: bool,
}

/// A column that may be shown, and how wide it can be.
struct Candidate<C> {
    column: C,
    least: u16,
    most: u16,
    /// The widest value, which is given what nobody else needs.
    whole: u16,
}

impl<C: Column> Candidate<C> {
    /// `seen` is the widest value that was seen so far.
    fn new(column: C, seen: u16) -> Self {
        let spec = column.spec();
        // The header is never cut. What is never needed is not given.
        let title = paint::width(spec.title);
        let most = seen.clamp(title, spec.ideal_width.max(title));
        Self { column, least: spec.min_width.max(title).min(most), most, whole: seen.max(most) }
    }
}

/// Chooses the columns for a line. The first one always stays; `skip` others are scrolled out. Without scrolling the
/// least important go first, with it the last ones. `widths` are those of the widest values seen, column by column;
/// what room is left goes to those that have less. Columns that count things (`counts`) stand further apart, because
/// their numbers are grouped by spaces.
#[must_use]
pub fn fit<C: Column>(columns: &[C], widths: &[u16], counts: bool, line: Rect, skip: usize) -> Fit<C> {
    let seen = widths.iter().copied().chain(std::iter::repeat(0));
    let mut chosen: Vec<_> = columns.iter().zip(seen).map(|(c, w)| Candidate::new(*c, w)).collect();
    let skip = skip.min(chosen.len().saturating_sub(2));
    chosen.drain(1.min(chosen.len())..(1 + skip).min(chosen.len()));
    let all = chosen.len();
    // A cell at either side keeps text off the frame.
    let room = line.width.saturating_sub(2);
    let needs = |chosen: &[Candidate<C>], gap: u16, width: fn(&Candidate<C>) -> u16| {
        let gaps = u16::try_from(chosen.len().saturating_sub(1)).unwrap_or(u16::MAX).saturating_mul(gap);
        chosen.iter().map(width).fold(gaps, u16::saturating_add)
    };
    let [wide, narrow] = GAPS;
    let gap = if counts { wide } else { narrow };
    // Nothing is cut for the sake of a column that few ask for.
    while skip == 0 && needs(&chosen, wide, |c| c.most) > room {
        let drop = |at: usize| chosen.get(at).map_or(0, |c| c.column.spec().drop);
        let Some(victim) = (1..chosen.len()).filter(|at| drop(*at) >= RARE).max_by_key(|at| drop(*at)) else {
            break;
        };
        chosen.remove(victim);
    }
    while chosen.len() > 1 && needs(&chosen, gap, |c| c.least) > room {
        let drop = |at: usize| chosen.get(at).map_or(0, |c| c.column.spec().drop);
        let last = chosen.len() - 1;
        let victim = if skip > 0 { last } else { (1..=last).max_by_key(|at| drop(*at)).unwrap_or(last) };
        chosen.remove(victim);
    }
    let hidden_right = chosen.len() < all;
    let mut spare = room.saturating_sub(needs(&chosen, gap, |c| c.least));
    // One cell each in turn, so that no column takes it all.
    let mut grow = |to: fn(&Candidate<C>) -> u16| {
        let mut grew = true;
        while spare > 0 && grew {
            grew = false;
            for candidate in &mut chosen {
                if spare > 0 && candidate.least < to(candidate) {
                    candidate.least += 1;
                    spare -= 1;
                    grew = true;
                }
            }
        }
    };
    grow(|candidate| candidate.most);
    grow(|candidate| candidate.whole);
    // What nobody needs goes between the columns, while that keeps a line together.
    let gaps = u16::try_from(chosen.len().saturating_sub(1)).unwrap_or(u16::MAX).max(1);
    let gap = gap + (spare / gaps).min(AIR);
    let mut x = line.x + 1;
    let placed = chosen
        .into_iter()
        .map(|Candidate { column, least: width, .. }| {
            let at = Placed { column, x, width: width.min(line.right().saturating_sub(x)) };
            x = x.saturating_add(width + gap);
            at
        })
        .collect();
    Fit { placed, hidden_left: skip > 0, hidden_right }
}

impl<C: Column> Fit<C> {
    /// The sort by the column beside the present one, among those that can be seen.
    #[must_use]
    pub fn beside(&self, sort: Sort<C>, right: bool) -> Sort<C> {
        let last = self.placed.len().saturating_sub(1);
        let to = match self.placed.iter().position(|p| p.column == sort.column) {
            Some(at) if right => (at + 1).min(last),
            Some(at) => at.saturating_sub(1),
            None => 0,
        };
        self.placed.get(to).map_or(sort, |p| if p.column == sort.column { sort } else { Sort::by(p.column) })
    }

    /// The sort that a click on the header asks for: the column, or its other direction.
    #[must_use]
    pub fn clicked(&self, sort: Sort<C>, x: u16) -> Sort<C> {
        let hit = self.placed.iter().find(|p| x + 1 >= p.x && x < p.x.saturating_add(p.width + 1));
        match hit {
            Some(p) if p.column == sort.column => sort.reversed(),
            Some(p) => Sort::by(p.column),
            None => sort,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(width: u16) -> Rect {
        Rect::new(1, 3, width, 1)
    }

    #[test]
    fn columns_never_leave_their_line_and_never_touch() {
        for width in 0..260 {
            for skip in 0..20 {
                for counts in [true, false] {
                    let fit = fit(SOCKETS, &[width; 99], counts, line(width), skip);
                    let inside = fit.placed.iter().all(|p| p.x + p.width <= 1 + width.max(1));
                    assert!(inside, "{width} {skip} {fit:?}");
                    for pair in fit.placed.windows(2) {
                        let gap = pair[1].x - pair[0].x - pair[0].width;
                        assert!(gap >= 2 || gap == 1 && !counts, "{pair:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_answer_to_who_and_how_many_survives_every_width() {
        let narrow = fit(PEERS, &[], true, line(38), 0);
        let kept: Vec<_> = narrow.placed.iter().map(|p| p.column).collect();
        assert!(kept.starts_with(&[PeerColumn::Addr, PeerColumn::Total]), "{kept:?}");
        assert!(narrow.hidden_right);
        let wide = fit(PEERS, &[], true, line(250), 0);
        assert_eq!(wide.placed.len(), PEERS.len());
        assert!(!wide.hidden_right);
    }

    #[test]
    fn scrolling_reaches_every_column() {
        for column in SOCKETS {
            let reached = (0..SOCKETS.len()).any(|skip| {
                fit(SOCKETS, &[9; 99], false, line(60), skip).placed.iter().any(|p| p.column == *column)
            });
            assert!(reached, "{column:?}");
        }
    }

    #[test]
    fn sorting_steps_through_what_can_be_seen_and_stops_at_the_ends() {
        let fit = fit(PEERS, &[], true, line(60), 0);
        let mut sort = Sort::by(PeerColumn::Total);
        sort = fit.beside(sort, false);
        assert_eq!(sort.column, PeerColumn::Addr);
        assert!(!sort.descending, "addresses start at the smallest");
        assert_eq!(fit.beside(sort, false), sort);
        for _ in 0..20 {
            sort = fit.beside(sort, true);
        }
        assert_eq!(Some(sort.column), fit.placed.last().map(|p| p.column));
        let clicked = fit.clicked(sort, fit.placed[1].x);
        assert_eq!(clicked, Sort::by(PeerColumn::Total));
        assert_eq!(fit.clicked(clicked, fit.placed[1].x), clicked.reversed());
    }
}
