//! Asking sockets for their options: one on its page, many on a page of their own.

use std::sync::Arc;

use crate::engine::Options;
use crate::model::Protocol;

use super::super::app::App;
use super::super::index::Query;
use super::super::keepalive::KeepalivePage;
use super::super::keymap::Action;
use super::super::layout::Layout;
use super::super::msg::Effect;
use super::super::options::{Asking, Consent};
use super::super::page::{Page, TablePage, seen};
use super::pages::{back, behind, enter};
use super::tables::keep_text_on_screen;

/// Takes an answer over, if what it is about is still open.
pub(super) fn accept_options(app: &mut App, options: Options) {
    match (app.trail.last_mut(), options) {
        (Some(Page::Detail(page)), Options::Socket(cookie, options)) if page.key.id == cookie => {
            page.options = Asking::Answered(options);
        }
        (Some(Page::Keepalive(page)), Options::Share(select, share)) if page.select == select => {
            page.asking = Asking::Answered(share);
        }
        _ => return,
    }
    app.redraw = true;
    keep_text_on_screen(app, Layout::of(app).page_height());
}

/// Asks the open socket for its options, or the connections of a row or a table for their keepalive; before the first time,
/// says what that does.
pub(super) fn probe(app: &mut App, effects: &mut Vec<Effect>) {
    match app.trail.last() {
        Some(Page::Detail(_)) => probe_one(app, effects),
        Some(Page::Keepalive(_)) => probe_many(app, effects),
        _ => match app.table().map(connections) {
            Some(Ok(page)) => {
                enter(app, Page::Keepalive(Box::new(page)), effects);
                probe_many(app, effects);
            }
            Some(Err(why)) => app.notice = Some(why),
            None => {}
        },
    }
}

/// The page about the connections of the row under the cursor; those of the whole table where it is one of sockets.
fn connections(table: &TablePage) -> Result<KeepalivePage, &'static str> {
    let opened = table.key_at_cursor().and_then(|key| behind(table, key));
    let of = |table: &TablePage| match &table.query {
        Query::Sockets(q) => Some((table.title.clone(), q.select.clone())),
        _ => None,
    };
    let found = match (&table.query, &opened) {
        (Query::Udp(_), _) => return Err("keepalive is of TCP; a UDP socket has none"),
        (Query::Sockets(_), _) => of(table),
        (_, Some(Page::Table(opened))) => of(opened),
        _ => None,
    };
    let (title, select) = found.ok_or("there are no connections here to ask")?;
    let mut page = KeepalivePage::new(title, select);
    page.answer.clone_from(&table.answer);
    Ok(page)
}

fn probe_many(app: &mut App, effects: &mut Vec<Effect>) {
    let agreed = app.probing == Consent::Given;
    let Some(Page::Keepalive(page)) = app.trail.last_mut() else { return };
    page.scroll = 0;
    if !agreed && page.asking != Asking::Offered {
        page.asking = Asking::Offered;
        return;
    }
    let Some(world) = page.answer.as_ref().map(|a| Arc::clone(&a.world)) else { return };
    page.asked_at = seen(&world);
    effects.push(Effect::ProbeThose(world, page.select.clone()));
    // An answer that is there stays until the new one comes.
    if !matches!(page.asking, Asking::Answered(_)) {
        page.asking = Asking::Asked;
    }
    app.probing = Consent::Given;
}

fn probe_one(app: &mut App, effects: &mut Vec<Effect>) {
    let agreed = app.probing == Consent::Given;
    let Some(Page::Detail(page)) = app.trail.last_mut() else { return };
    if page.protocol() == Some(Protocol::Udp) {
        app.notice = Some("keepalive is of TCP; a UDP socket has none");
        return;
    }
    let Some((answer, id)) = page.kept.answer.as_ref().and_then(|a| Some((a, a.rows.row(0)?))) else {
        return;
    };
    page.scroll = 0;
    if !agreed && page.options != Asking::Offered {
        page.options = Asking::Offered;
        return;
    }
    effects.push(Effect::Probe(Arc::clone(&answer.world), id));
    // An answer that is there stays until the new one comes.
    if !matches!(page.options, Asking::Answered(_)) {
        page.options = Asking::Asked;
    }
    app.probing = Consent::Given;
}

/// Another key than the one that agrees declines. Says whether that is all that the key means.
pub(super) fn decline(app: &mut App, action: Action, effects: &mut Vec<Effect>) -> bool {
    if action == Action::Probe {
        return false;
    }
    match app.trail.last_mut() {
        Some(Page::Detail(page)) if page.options == Asking::Offered => page.options = Asking::Not,
        Some(Page::Keepalive(page)) if page.asking == Asking::Offered => back(app, effects),
        _ => return false,
    }
    action == Action::Back
}
