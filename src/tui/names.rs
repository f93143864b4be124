//! Names in the place of addresses and ports, where the user wants them and as far as they are known.
//!
//! Which addresses are on the screen is said to a thread that asks for their names; what it has learned is drawn with the
//! next frame. What has no name stays a number, and so does all that is meant exactly: filters, commands, what is closed.

use std::sync::Arc;

use crate::analysis::Snapshot;
use crate::model::{Endpoint, Ip, Names};
use crate::query::{Cell, Column, Sort};

use super::app::App;
use super::index::snapshot;
use super::layout::Layout;
use super::msg::Effect;
use super::page::{Page, TablePage};
use super::table::{self, Visit};

/// Names that are kept: many screens full.
const KEPT: usize = 8192;

/// The names on the screen.
#[derive(Clone, Debug, Default)]
pub struct Naming {
    /// They are wanted.
    pub on: bool,
    known: Arc<Names>,
    /// What was asked for last.
    asked: Vec<Ip>,
}

impl Naming {
    /// With names from the start, or without.
    #[must_use]
    pub fn new(on: bool) -> Self {
        Self { on, ..Self::default() }
    }

    /// The names, if they are wanted.
    #[must_use]
    pub fn names(&self) -> Option<&Arc<Names>> {
        self.on.then_some(&self.known)
    }

    /// Takes over what was learned. Says whether it is anything new.
    fn learn(&mut self, learned: Names) -> bool {
        let old = &self.known;
        let new = |(ip, name): (&Ip, _)| old.hosts.get(ip) != Some(name);
        let news = learned.hosts.iter().any(new) || !Arc::ptr_eq(&old.services, &learned.services);
        if news {
            let known = Arc::make_mut(&mut self.known);
            if known.hosts.len() + learned.hosts.len() > KEPT {
                known.hosts.clear();
            }
            known.hosts.extend(learned.hosts);
            known.services = learned.services;
        }
        news
    }
}

/// Names instead of numbers, or numbers again.
pub fn toggle(app: &mut App) {
    app.naming.on = !app.naming.on;
    app.naming.asked.clear();
    let tables = app.tables.iter_mut();
    let open = app.trail.iter_mut().filter_map(|page| match page {
        Page::Table(table) => Some(&mut **table),
        Page::Detail(_) | Page::Topic(_) | Page::Keepalive(_) => None,
    });
    // How wide names are says nothing of numbers.
    tables.chain(open).for_each(|table| table.widths.clear());
    app.notice = Some(if app.naming.on { "names from this machine's resolver" } else { "numbers" });
}

/// Names were learned.
pub fn accept(app: &mut App, learned: Names) -> bool {
    let news = app.naming.learn(learned) && app.naming.on;
    app.redraw |= news;
    news
}

/// Asks for the names of what is on the screen; with `again` also when nothing else came on it, for a name that has changed.
pub fn ask(app: &mut App, again: bool, effects: &mut Vec<Effect>) {
    if !app.naming.on {
        return;
    }
    let addresses = on_the_screen(app);
    if !addresses.is_empty() && (again || addresses != app.naming.asked) {
        app.naming.asked.clone_from(&addresses);
        effects.push(Effect::Name(addresses));
    }
}

fn on_the_screen(app: &App) -> Vec<Ip> {
    let mut found = Vec::new();
    match app.trail.last() {
        Some(Page::Detail(detail)) => {
            found.extend(detail.row().iter().flat_map(|(row, _)| [row.local, row.peer]));
        }
        Some(Page::Topic(_) | Page::Keepalive(_)) => {}
        _ => {
            let height = Layout::of(app).page_height();
            found.extend(app.table().and_then(|page| addresses(page, height)).into_iter().flatten());
        }
    }
    found.retain(|ip| !ip.is_unspecified());
    found.sort_unstable_by_key(|ip| ip.bits());
    found.dedup();
    found
}

fn addresses(page: &TablePage, height: usize) -> Option<Vec<Ip>> {
    struct Collect(std::ops::Range<usize>);
    impl Visit for Collect {
        type Out = Vec<Ip>;

        fn visit<'c, C: Column>(
            self,
            columns: &[C],
            _: Sort<C>,
            _: bool,
            cell: impl Fn(C, usize) -> Option<Cell<'c>>,
        ) -> Vec<Ip> {
            let cells = self.0.flat_map(|line| columns.iter().map(move |c| (*c, line)));
            cells
                .filter_map(|(column, line)| match cell(column, line)? {
                    Cell::Addr(ip) => Some(ip),
                    Cell::Endpoint(endpoint) => Some(endpoint.addr),
                    _ => None,
                })
                .collect()
        }
    }
    table::visit(page, Collect(page.offset..page.offset + height))
}

/// What address and port of a namespace's connection are called, to stand beside them; none where they have no name.
#[must_use]
pub fn beside(endpoint: Endpoint, names: &Names, of: &Snapshot) -> Option<String> {
    let ephemeral = of.sample.facts.sysctls.port_range();
    let service = names.service(endpoint.port, of.sample.protocol, ephemeral.as_ref());
    let parts = [names.host(endpoint.addr), service];
    let parts: Vec<String> = parts.into_iter().flatten().map(ToString::to_string).collect();
    (!parts.is_empty()).then(|| parts.join(":"))
}

/// The cell of a line with a name in it; none where it stays as it is.
#[must_use]
pub fn named(page: &TablePage, row: usize, cell: &Cell<'_>, names: Option<&Arc<Names>>) -> Option<String> {
    let names = names?;
    match cell {
        Cell::Addr(ip) => names.host(*ip).map(ToString::to_string),
        Cell::Endpoint(at) => {
            let answer = page.answer.as_ref()?;
            let of = snapshot(&answer.world, answer.rows.row(row)?)?;
            let ephemeral = of.sample.facts.sysctls.port_range();
            Some(names.endpoint(*at, of.sample.protocol, ephemeral.as_ref()))
        }
        _ => None,
    }
}
