//! The report for people: the answer first, each part with the worst on top.

use std::io::{self, Write};

use super::summary::{Called, Summary, per_second};
use super::table::Table;
use super::{finding, incomplete, time};
use crate::analysis::{Limit, LimitSubject, Snapshot, World};
use crate::diagnose::knowledge::title;
use crate::diagnose::{Judged, Judgement};
use crate::model::{ForeignText, Percent, Protocol, TcpState, plural};
use crate::query::Align::{Left, Right};
use crate::query::{
    Cell, Column, ColumnId, DatagramCounter, DestinationColumn, DestinationQuery, Grouped, Grouping,
    ListenerColumn, ListenerQuery, PeerColumn, PeerQuery, Sort, Span, cell, datagram_counters,
    destination_cell, destinations, listener_cell, listeners, peer_cell, peers, state_cell,
};

/// How many lines a part has at most.
const FIRST: usize = 10;

/// Writes the report, a namespace after the other; headings are bold if `bold`.
///
/// # Errors
/// Those of the writer.
pub fn write_text(summary: Summary<'_>, bold: bool, mut out: impl Write) -> io::Result<()> {
    let judged = summary.judged;
    for (n, judged) in judged.each().enumerate() {
        if n > 0 {
            writeln!(out, "\n")?;
        }
        namespace(&judged, summary, bold, &mut out)?;
    }
    for left_out in incomplete::unexamined(&judged.world) {
        writeln!(out, "\nnot examined: {left_out}")?;
    }
    out.flush()
}

/// The report of a world with one namespace.
fn namespace(judged: &Judged, summary: Summary<'_>, bold: bool, out: &mut impl Write) -> io::Result<()> {
    let world = &*judged.world;
    let Some(snapshot) = world.snapshots.first() else { return Ok(()) };
    let heading = anstyle::Style::new().bold();
    let (on, off) = if bold {
        (heading.render().to_string(), heading.render_reset().to_string())
    } else {
        Default::default()
    };
    let called = Called::new(summary.names, snapshot);
    let mut page = Page { world, snapshot, summary, called, on: &on, off: &off, out };
    page.title()?;
    if let Some(filter) = summary.filter {
        writeln!(page.out, "Only sockets that match: {}", ForeignText::from(filter))?;
        writeln!(page.out, "Findings, limits and the range of ports are not filtered.")?;
    }
    page.findings(judged)?;
    if summary.protocols.tcp {
        page.states(snapshot)?;
    }
    if let Some(udp) = &snapshot.udp {
        page.states(udp)?;
    }
    page.limits()?;
    if summary.protocols.tcp {
        page.peers()?;
        page.listeners()?;
        page.ports()?;
    }
    if let Some(udp) = &snapshot.udp {
        page.datagrams(udp)?;
        page.datagram_counters()?;
    }
    page.gaps(judged)
}

struct Page<'a, W> {
    world: &'a World,
    snapshot: &'a Snapshot,
    summary: Summary<'a>,
    called: Called<'a>,
    on: &'a str,
    off: &'a str,
    out: &'a mut W,
}

impl<W: Write> Page<'_, W> {
    fn title(&mut self) -> io::Result<()> {
        let host = &self.world.host;
        let sample = &self.snapshot.sample;
        let at = time::rfc3339(sample.taken.wall).unwrap_or_else(|| "?".to_owned());
        let (on, off) = (self.on, self.off);
        write!(self.out, "{on}{}{off}  Linux {}  netns {}", host.hostname, host.kernel, sample.netns.name)?;
        write!(self.out, "  {at}")?;
        let udp = self.snapshot.udp.as_deref();
        let counted = [
            self.summary.protocols.tcp.then_some((sample, if udp.is_some() { "TCP " } else { "" })),
            udp.map(|udp| (&udp.sample, "UDP ")),
        ];
        for (sample, protocol) in counted.into_iter().flatten() {
            let count = sample.table.rows.len() as u64;
            if sample.completeness.nothing_was_read() {
                write!(self.out, "  ? {protocol}sockets")?;
            } else {
                write!(self.out, "  {} {protocol}socket{}", Grouped(count), plural(count))?;
            }
        }
        if !self.snapshot.observed.is_zero() {
            write!(self.out, "  observed for {}", Span::from(self.snapshot.observed))?;
        }
        writeln!(self.out)
    }

    /// A part of the report; a part without rows is left out.
    fn table<const N: usize>(&mut self, table: &Table<N>) -> io::Result<()> {
        if table.is_empty() {
            return Ok(());
        }
        writeln!(self.out)?;
        table.write(self.out, self.on, self.off)
    }

    fn more(&mut self, matching: usize) -> io::Result<()> {
        match matching.saturating_sub(FIRST) {
            0 => Ok(()),
            n => writeln!(self.out, "… and {} more", Grouped(n as u64)),
        }
    }

    fn findings(&mut self, judged: &Judged) -> io::Result<()> {
        let mut table = Table::new([("SEVERITY", Left), ("FINDING", Left)]);
        for found in finding::all(judged) {
            table.push([
                found.severity.name().to_owned(),
                format!("{}: {}", found.finding.rule, title(found.finding)),
            ]);
        }
        self.table(&table)?;
        let unjudged = judged.judgements.iter().flat_map(Judgement::unjudged).count();
        if unjudged > 0 {
            writeln!(
                self.out,
                "{}{unjudged} rule{} not judged by this: which and why stands at the end; --interval and tcptop check look longer",
                if table.is_empty() { "\n" } else { "" },
                plural(unjudged)
            )?;
        }
        Ok(())
    }

    fn states(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let (states, protocol) = (&snapshot.states, snapshot.sample.protocol);
        let title = match protocol {
            Protocol::Tcp => "STATE",
            Protocol::Udp => "UDP STATE",
        };
        let mut table = Table::new([(title, Left), ("SOCKETS", Right), ("IPV4", Right), ("IPV6", Right)]);
        for (state, n) in states.all.present() {
            let counts = [n, states.v4[state], states.v6[state]].map(|n| Grouped(n.into()).to_string());
            let [all, v4, v6] = counts;
            table.push([state_cell(protocol, state).to_string(), all, v4, v6]);
        }
        self.table(&table)
    }

    fn limits(&mut self) -> io::Result<()> {
        let protocols = self.summary.protocols;
        let mut limits: Vec<&Limit> =
            self.snapshot.limits.iter().filter(|l| l.id.about().meet(protocols)).collect();
        limits.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()));
        let titles = [("LIMIT", Left), ("USED", Right), ("OF", Right), ("FULL", Right), ("WHOSE", Left)];
        let mut table = Table::new(titles);
        for limit in limits {
            table.push([
                limit.id.name().to_owned(),
                Grouped(limit.used).to_string(),
                Grouped(limit.max).to_string(),
                full(limit),
                whose(limit, self.snapshot, &self.called),
            ]);
        }
        for missing in self.snapshot.limits_missing.iter().filter(|l| l.id.about().meet(protocols)) {
            let unknown = || "?".to_owned();
            table.push([
                missing.id.name().to_owned(),
                unknown(),
                unknown(),
                unknown(),
                missing.why.to_string(),
            ]);
        }
        self.table(&table)
    }

    fn peers(&mut self) -> io::Result<()> {
        const COLUMNS: [PeerColumn; 8] = [
            PeerColumn::Addr,
            PeerColumn::Total,
            PeerColumn::State(TcpState::Established),
            PeerColumn::State(TcpState::TimeWait),
            PeerColumn::State(TcpState::CloseWait),
            PeerColumn::NoKeepalive,
            PeerColumn::RecvQ,
            PeerColumn::SendQ,
        ];
        let view = peers(
            self.world,
            &PeerQuery { group: Grouping::Address, sort: Sort::by(PeerColumn::Total), want: FIRST },
        );
        let mut table = Table::new(COLUMNS.map(heading));
        for row in &view.rows {
            table.push(COLUMNS.map(|c| self.called.cell(&peer_cell(c, row))));
        }
        self.table(&table)?;
        self.more(view.matching)
    }

    fn listeners(&mut self) -> io::Result<()> {
        const COLUMNS: [ListenerColumn; 9] = [
            ListenerColumn::Local,
            ListenerColumn::Queue,
            ListenerColumn::Backlog,
            ListenerColumn::Fill,
            ListenerColumn::Drops,
            ListenerColumn::Total,
            ListenerColumn::Unaccepted,
            ListenerColumn::NoKeepalive,
            ListenerColumn::Process,
        ];
        let view =
            listeners(self.world, &ListenerQuery { sort: Sort::by(ListenerColumn::Fill), want: FIRST });
        let mut table = Table::new(COLUMNS.map(heading));
        for id in &view.order {
            table.push(COLUMNS.map(|c| self.called.cell(&listener_cell(c, self.snapshot, id.row as usize))));
        }
        self.table(&table)?;
        self.more(view.matching)
    }

    fn ports(&mut self) -> io::Result<()> {
        const COLUMNS: [DestinationColumn; 6] = [
            DestinationColumn::Peer,
            DestinationColumn::LocalAddr,
            DestinationColumn::Used,
            DestinationColumn::TimeWait,
            DestinationColumn::Reusable,
            DestinationColumn::Ratio,
        ];
        let ports = &self.snapshot.ports;
        writeln!(self.out)?;
        match &ports.range {
            Some(range) => writeln!(
                self.out,
                "Ephemeral ports {}–{}: {} usable, {} reserved, {} bound",
                range.start(),
                range.end(),
                Grouped(ports.usable.into()),
                Grouped(ports.reserved.into()),
                Grouped(ports.occupied.into()),
            )?,
            None => writeln!(self.out, "Ephemeral ports: the range could not be read")?,
        }
        if ports.suspected_binds > 0 {
            writeln!(
                self.out,
                "{} connected ports look bound before connect: the kernel keeps them from every destination",
                Grouped(ports.suspected_binds.into()),
            )?;
        }
        let view = destinations(
            self.world,
            &DestinationQuery { sort: Sort::by(DestinationColumn::Ratio), want: FIRST },
        );
        let mut table = Table::new(COLUMNS.map(heading));
        for id in &view.order {
            table.push(
                COLUMNS.map(|c| self.called.cell(&destination_cell(c, self.snapshot, id.row as usize))),
            );
        }
        self.table(&table)?;
        self.more(view.matching)
    }

    /// The UDP sockets that lose datagrams or do not read them.
    fn datagrams(&mut self, udp: &Snapshot) -> io::Result<()> {
        const COLUMNS: [ColumnId; 6] = [
            ColumnId::Local,
            ColumnId::Peer,
            ColumnId::RecvQ,
            ColumnId::RcvBuf,
            ColumnId::Drops,
            ColumnId::Process,
        ];
        let called = Called::new(self.summary.names, udp);
        let view = self.summary.struggling(udp, FIRST);
        let [local, peer, recv_q, rcvbuf, drops, process] = COLUMNS.map(heading);
        let local = ("UDP SOCKET", local.1);
        let mut table = Table::new([local, peer, recv_q, rcvbuf, drops, ("NEW", Right), process]);
        for socket in &view.order {
            let [local, peer, recv_q, rcvbuf, drops, process] =
                COLUMNS.map(|c| called.cell(&cell(c, udp, socket.row as usize)));
            let new = socket.new_drops.map_or_else(|| "?".to_owned(), |n| Grouped(n.into()).to_string());
            table.push([local, peer, recv_q, rcvbuf, drops, new, process]);
        }
        if table.is_empty() && !udp.sample.table.rows.is_empty() && view.untold == 0 {
            writeln!(self.out, "\nNo UDP socket has dropped a datagram or has one to read")?;
        }
        self.table(&table)?;
        self.more(view.matching)?;
        if view.untold > 0 {
            let untold = Grouped(view.untold as u64);
            writeln!(
                self.out,
                "Of {untold} UDP socket{} it is not known what they dropped",
                plural(view.untold)
            )?;
        }
        Ok(())
    }

    fn datagram_counters(&mut self) -> io::Result<()> {
        let counters = match datagram_counters(self.snapshot) {
            Ok(counters) => counters,
            Err(why) => return writeln!(self.out, "\nWhat the kernel counts of UDP is not known: {why}"),
        };
        let observed = self.snapshot.observed.as_secs_f64();
        let titles = [("UDP COUNTER", Left), ("NEW", Right), ("A SECOND", Right), ("IN ALL", Right)];
        let mut table = Table::new(titles);
        for DatagramCounter { name, total, new } in counters {
            let per_s = if new == 0 { Cell::Absent } else { Cell::PerSecond(per_second(new, observed)) };
            table.push([
                name.to_owned(),
                Grouped(new).to_string(),
                per_s.to_string(),
                Grouped(total).to_string(),
            ]);
        }
        self.table(&table)
    }

    fn gaps(&mut self, judged: &Judged) -> io::Result<()> {
        let tcp = self.summary.protocols.tcp.then_some(&self.snapshot.sample);
        let udp = self.snapshot.udp.as_deref().map(|udp| &udp.sample);
        let mut notes = Vec::new();
        for sample in [tcp, udp].into_iter().flatten() {
            let word = if sample.completeness.is_complete() { "note" } else { "incomplete" };
            notes.extend(incomplete::gaps(sample).map(|gap| format!("{word}: {gap}")));
        }
        notes.extend(incomplete::owners(self.snapshot).map(|note| format!("note: {note}")));
        for judgement in &judged.judgements {
            self.table(&super::unjudged::table(judgement))?;
        }
        for (at, note) in notes.iter().enumerate() {
            writeln!(self.out, "{}{note}", if at == 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

fn heading<C: Column>(column: C) -> (&'static str, crate::query::Align) {
    let spec = column.spec();
    (spec.title, spec.align)
}

/// How much of a limit is used, at least where a nearer one may be hidden.
fn full(limit: &Limit) -> String {
    match limit.ratio() {
        ratio if !limit.at_least => Percent(ratio).to_string(),
        ratio if ratio < 0.01 => "≥0%".to_owned(),
        ratio => format!("≥{}", Percent(ratio)),
    }
}

fn whose(limit: &Limit, snapshot: &Snapshot, called: &Called<'_>) -> String {
    match limit.subject {
        LimitSubject::Only => limit.scope.name().to_owned(),
        LimitSubject::Destination { local, peer } => {
            let reusable = snapshot.destination(local, peer).map_or(0, |d| d.reusable);
            let besides = (reusable > 0).then(|| format!(" ({} more reusable)", Grouped(reusable.into())));
            let [local, peer] = [called.cell(&Cell::Addr(local)), called.endpoint(peer)];
            format!("{local} → {peer}{}", besides.unwrap_or_default())
        }
        LimitSubject::Listener { local, .. } => called.endpoint(local),
        LimitSubject::Process { pid } => match snapshot.owners.as_deref().and_then(|o| o.by_pid(pid)) {
            Some(p) => format!("{}[{pid}]", p.comm),
            None => format!("pid {pid}"),
        },
    }
}
