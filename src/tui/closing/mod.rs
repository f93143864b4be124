//! Closing connections from the screen: what is meant is planned and shown, then asked for, then closed, and then it is
//! said what is really gone. Planning and closing happen on a thread of the engine; nothing is closed that was not shown.

pub mod draw;

use std::sync::Arc;

use crate::analysis::World;
use crate::engine::closer::{Answered, Order};
use crate::model::Capability;
use crate::query::filter::Filter;
use crate::query::kill::{Allow, Fate, Listed, Meant, Plan, Refusal, Verdict};
use crate::query::{Grouped, Grouping, ProcessColumn, Selection, process_cell};

use super::app::{App, Overlay};
use super::index::{Query, RowKey, Rows};
use super::keymap::Action;
use super::msg::Effect;
use super::page::{Page, TablePage};

/// How far it has come.
#[derive(Clone, Debug)]
pub enum Stage {
    /// It is looked which sockets are meant.
    Planning,
    /// They are shown.
    Asking(Arc<Plan>, Arc<Listed<Verdict>>),
    /// They are being closed.
    Closing(Arc<Listed<Verdict>>),
    /// This is what became of them.
    Done(Arc<Listed<Fate>>),
    /// Nothing could be closed.
    Failed(String),
}

/// Connections to be closed.
#[derive(Clone, Debug)]
pub struct Closing {
    /// How far it has come.
    pub stage: Stage,
    /// What is meant, in words: `the peer 10.9.9.9`.
    pub name: String,
    /// Where the sockets were seen.
    world: Arc<World>,
    /// What is meant.
    meant: Vec<Meant>,
    /// What may be closed beside ordinary connections.
    pub allow: Allow,
    /// Number of the order that is waited for.
    order: u64,
}

impl Closing {
    /// Whether what was confirmed is under way: there is no way back then.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::Closing(_))
    }

    /// Whether something is left alone for this reason.
    #[must_use]
    pub fn leaves(&self, why: Refusal) -> bool {
        matches!(&self.stage, Stage::Asking(plan, _) if plan.refused.iter().any(|(_, refusal)| *refusal == why))
    }

    /// Whether there is something that could be confirmed.
    #[must_use]
    pub fn asks(&self) -> bool {
        matches!(&self.stage, Stage::Asking(plan, _) if !plan.targets.is_empty() && self.is_permitted())
    }

    /// `SOCK_DESTROY` needs `CAP_NET_ADMIN` (`sock_diag_rcv_msg` leads to `inet_diag_handler_cmd`; `netlink_net_capable`).
    #[must_use]
    pub fn is_permitted(&self) -> bool {
        self.world.host.privileges.has(Capability::NetAdmin)
    }
}

/// Shows what would be closed: what is marked, or else what the cursor is on.
pub fn open(app: &mut App, effects: &mut Vec<Effect>) {
    if app.read_only {
        app.notice = Some("--read-only: no socket can be closed");
        return;
    }
    if app.shows_udp() {
        app.notice = Some("a UDP socket has no connection that could be closed");
        return;
    }
    let Some((world, meant, name)) = chosen(app) else {
        app.notice = Some("no row is chosen; there is nothing to close");
        return;
    };
    start(app, world, meant, name, effects);
}

fn start(app: &mut App, world: Arc<World>, meant: Vec<Meant>, name: String, effects: &mut Vec<Effect>) {
    let stage = Stage::Planning;
    app.closing = Some(Closing { stage, name, world, meant, allow: Allow::default(), order: 0 });
    app.overlay = Some((Overlay::Closing, 0));
    plan(app, effects);
}

fn plan(app: &mut App, effects: &mut Vec<Effect>) {
    let Some(closing) = &mut app.closing else { return };
    app.orders += 1;
    closing.order = app.orders;
    effects.push(Effect::Order(Order::Plan {
        id: closing.order,
        world: Arc::clone(&closing.world),
        meant: closing.meant.clone(),
        allow: closing.allow,
    }));
}

/// What a key of the question does.
pub fn act(app: &mut App, action: Action, effects: &mut Vec<Effect>) {
    let filtered = app.filter.shown.as_ref().map(|f| (Arc::clone(&f.narrowed.world), Arc::clone(&f.by)));
    let Some(closing) = &mut app.closing else { return };
    let Stage::Asking(planned, listed) = &closing.stage else { return };
    match action {
        Action::CloseThem if !closing.asks() => app.notice = Some("there is nothing that could be closed"),
        Action::CloseThem => {
            app.orders += 1;
            closing.order = app.orders;
            effects.push(Effect::Order(Order::Close { id: closing.order, plan: Arc::clone(planned) }));
            closing.stage = Stage::Closing(Arc::clone(listed));
        }
        Action::CloseListeners => {
            closing.allow.listeners = !closing.allow.listeners;
            plan(app, effects);
        }
        Action::CloseOwnSession => {
            closing.allow.own_session = !closing.allow.own_session;
            plan(app, effects);
        }
        Action::CloseAll => match filtered {
            Some((world, by)) => {
                start(app, world, vec![Meant::Those(Selection::All)], every(&by), effects);
            }
            None => app.notice = Some("all of what? Put a filter in force first; state all is every socket"),
        },
        _ => {}
    }
}

fn every(filter: &Filter) -> String {
    crate::model::ForeignText::from(format!("every socket that matches {}", filter.expr()).as_str())
        .to_string()
}

/// An order was carried out.
pub fn accept(app: &mut App, answered: Answered) {
    let Some(closing) = &mut app.closing else { return };
    app.redraw = true;
    match answered {
        Answered::Planned { id, plan, listed } if id == closing.order => {
            closing.stage = Stage::Asking(plan, listed);
        }
        Answered::Closed { id, outcome } if id == closing.order => {
            closing.stage = outcome.map_or_else(Stage::Failed, Stage::Done);
            if let Some((_, line)) = &mut app.overlay {
                *line = 0;
            }
            if let Some(table) = app.table_mut() {
                table.marks.clear();
            }
        }
        Answered::Planned { .. } | Answered::Closed { .. } => {}
    }
}

/// What is chosen on the open page, where it was seen, and in words.
fn chosen(app: &App) -> Option<(Arc<World>, Vec<Meant>, String)> {
    if let Some(Page::Detail(detail)) = app.trail.last() {
        let world = &detail.kept.answer.as_ref()?.world;
        return Some((Arc::clone(world), vec![Meant::Socket(detail.key)], "this socket".to_owned()));
    }
    if let Some(Page::Topic(topic)) = app.trail.last() {
        let Query::Sockets(proof) = topic.proof()?.query else { return None };
        let world = Arc::clone(app.stream.world()?);
        let cut = topic.row().and_then(|(row, _)| row.finding()?.draft.proof.cut());
        let name = cut.map_or("the sockets that prove the finding".to_owned(), |(kept, total)| {
            format!(
                "{} of the {} sockets that prove the finding",
                Grouped(kept as u64),
                Grouped(total as u64)
            )
        });
        return Some((world, vec![Meant::Those(proof.select)], name));
    }
    let table = app.table()?;
    let world = Arc::clone(&table.answer.as_ref()?.world);
    if table.marks.is_empty() {
        let (meant, name) = meant_by(table, &world, &table.key_at_cursor()?)?;
        return Some((world, vec![meant], name));
    }
    let all: Vec<_> = table.marks.iter().filter_map(|key| meant_by(table, &world, key)).collect();
    let name = match &all[..] {
        [(_, name)] => name.clone(),
        several => format!("{} marked rows", several.len()),
    };
    Some((world, all.into_iter().map(|(meant, _)| meant).collect(), name))
}

/// What a row stands for.
fn meant_by(table: &TablePage, world: &World, key: &RowKey) -> Option<(Meant, String)> {
    Some(match (key, &table.query) {
        (RowKey::Peer(addr), Query::Peers(q)) => match q.group {
            Grouping::Address => (Meant::Those(Selection::peer(*addr)), format!("the peer {addr}")),
            Grouping::Prefix { v4_len, v6_len } => {
                let len = if addr.is_v4() { v4_len } else { v6_len };
                let those = Selection::Peer { addr: *addr, v4_len, v6_len };
                (Meant::Those(those), format!("the network {addr}/{len}"))
            }
        },
        (RowKey::Socket(key), Query::Listeners(_)) => {
            let mut listeners = world.snapshots.iter().filter(|s| s.sample.netns.inode == key.netns);
            let local = listeners.find_map(|s| {
                s.listeners
                    .iter()
                    .find(|l| l.row_of(s).is_some_and(|row| crate::query::SocketKey::of(s, row) == *key))
            });
            let local = local?.local;
            (
                Meant::Those(Selection::Listener { netns: key.netns, local }),
                format!("the listener {local} and what came in through it"),
            )
        }
        (RowKey::Socket(key), _) => (Meant::Socket(*key), "this socket".to_owned()),
        (RowKey::Destination { netns, local, peer }, _) => (
            Meant::Those(Selection::Destination { netns: *netns, local: *local, peer: *peer }),
            format!("the connections from {local} to {peer}"),
        ),
        (RowKey::Process(_), Query::Processes(_)) => {
            let Rows::Processes(view) = &table.answer.as_ref()?.rows else { return None };
            let row = view.rows.iter().find(|r| RowKey::process(&r.key) == *key)?;
            let name = process_cell(ProcessColumn::Name, row);
            (Meant::Those(Selection::Processes(row.key.clone())), format!("the sockets of {name}"))
        }
        // Of peers and processes in a table of something else there are none; the others hold no sockets.
        _ => return None,
    })
}

/// Marks the row under the cursor, or takes its mark away, and goes to the next one.
pub fn mark(app: &mut App) {
    let Some(table) = app.table_mut() else { return };
    let Some(key) = table.key_at_cursor() else { return };
    match table.marks.iter().position(|marked| *marked == key) {
        Some(at) => drop(table.marks.swap_remove(at)),
        None => table.marks.push(key),
    }
}
