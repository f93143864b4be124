//! The report for people: the answer first, each part with the worst on top.

use std::io::{self, Write};

use super::summary::{Called, Summary};
use super::table::Table;
use super::{finding, incomplete, time};
use crate::analysis::{Limit, LimitSubject, Snapshot, World};
use crate::diagnose::Judged;
use crate::diagnose::knowledge::title;
use crate::model::{ForeignText, TcpState};
use crate::query::Align::{Left, Right};
use crate::query::{
    Cell, Column, DestinationColumn, DestinationQuery, Grouped, Grouping, ListenerColumn, ListenerQuery,
    PeerColumn, PeerQuery, Sort, destination_cell, destinations, listener_cell, listeners, peer_cell, peers,
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
    for left_out in &judged.world.unexamined {
        writeln!(out, "\nnot examined: netns {}: {}", left_out.netns.name, left_out.reason)?;
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
    let mut page = Page { world, snapshot, called, on: &on, off: &off, out };
    page.title()?;
    if let Some(filter) = summary.filter {
        writeln!(page.out, "Only sockets that match: {}", ForeignText::from(filter))?;
    }
    page.findings(judged)?;
    page.states()?;
    page.limits()?;
    page.peers()?;
    page.listeners()?;
    page.ports()?;
    page.gaps()
}

struct Page<'a, W> {
    world: &'a World,
    snapshot: &'a Snapshot,
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
        let count = sample.table.rows.len() as u64;
        writeln!(self.out, "  {at}  {} socket{}", Grouped(count), if count == 1 { "" } else { "s" })
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
        self.table(&table)
    }

    fn states(&mut self) -> io::Result<()> {
        let states = &self.snapshot.states;
        let mut table = Table::new([("STATE", Left), ("SOCKETS", Right), ("IPV4", Right), ("IPV6", Right)]);
        for (state, n) in states.all.present() {
            let counts = [n, states.v4[state], states.v6[state]].map(|n| Grouped(n.into()).to_string());
            let [all, v4, v6] = counts;
            table.push([state.name().to_owned(), all, v4, v6]);
        }
        self.table(&table)
    }

    fn limits(&mut self) -> io::Result<()> {
        let mut limits: Vec<&Limit> = self.snapshot.limits.iter().collect();
        limits.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()));
        let titles = [("LIMIT", Left), ("USED", Right), ("OF", Right), ("FULL", Right), ("WHOSE", Left)];
        let mut table = Table::new(titles);
        for limit in limits {
            table.push([
                limit.id.name().to_owned(),
                Grouped(limit.used).to_string(),
                Grouped(limit.max).to_string(),
                format!("{:.0}%", limit.ratio() * 100.0),
                whose(limit, self.snapshot, &self.called),
            ]);
        }
        for missing in &self.snapshot.limits_missing {
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
        const COLUMNS: [DestinationColumn; 5] = [
            DestinationColumn::Peer,
            DestinationColumn::LocalAddr,
            DestinationColumn::Used,
            DestinationColumn::TimeWait,
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

    fn gaps(&mut self) -> io::Result<()> {
        let sample = &self.snapshot.sample;
        let complete = sample.completeness.is_complete();
        for (at, gap) in incomplete::gaps(sample).enumerate() {
            if at == 0 {
                writeln!(self.out)?;
            }
            writeln!(self.out, "{}: {gap}", if complete { "note" } else { "incomplete" })?;
        }
        for note in incomplete::owners(self.snapshot) {
            writeln!(self.out, "note: {note}")?;
        }
        Ok(())
    }
}

fn heading<C: Column>(column: C) -> (&'static str, crate::query::Align) {
    let spec = column.spec();
    (spec.title, spec.align)
}

fn whose(limit: &Limit, snapshot: &Snapshot, called: &Called<'_>) -> String {
    match limit.subject {
        LimitSubject::Only => limit.scope.name().to_owned(),
        LimitSubject::Destination { local, peer } => {
            format!("{} → {}", called.cell(&Cell::Addr(local)), called.endpoint(peer))
        }
        LimitSubject::Listener { local, .. } => called.endpoint(local),
        LimitSubject::Process { pid } => match snapshot.owners.as_deref().and_then(|o| o.by_pid(pid)) {
            Some(p) => format!("{}[{pid}]", p.comm),
            None => format!("pid {pid}"),
        },
    }
}
