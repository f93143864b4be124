//! The first line (which machine, how many sockets, how often) and the last one (keys and notes).

use ratatui::layout::Rect;

use crate::analysis::World;
use crate::model::{Blindness, Protocol};
use crate::query::Grouped;
use crate::query::kill::Refusal;

use super::app::App;
use super::filter::draw::{shown, sockets};
use super::format;
use super::keymap::{Action, Binding, KEYMAP};
use super::notes::notes;
use super::paint::{self, Canvas};
use super::screen::Screen;
use super::theme::{Glyphs, Role};

/// A piece of a line. Of two pieces the one with the higher number goes first when there is no room.
struct Piece {
    text: String,
    role: Role,
    drop: u8,
}

fn piece(text: impl Into<String>, role: Role, drop: u8) -> Piece {
    Piece { text: text.into(), role, drop }
}

const GAP: u16 = 2;

fn needed(pieces: &[Piece]) -> u16 {
    pieces.iter().fold(0, |sum: u16, p| sum.saturating_add(paint::width(&p.text) + GAP))
}

/// Removes pieces until the rest fits.
fn shed(left: &mut Vec<Piece>, right: &mut Vec<Piece>, width: u16) {
    while needed(left).saturating_add(needed(right)) > width && left.len() + right.len() > 1 {
        let worst = |pieces: &[Piece]| pieces.iter().map(|p| p.drop).max().unwrap_or(0);
        let side = if worst(left) >= worst(right) && !left.is_empty() { &mut *left } else { &mut *right };
        let at = worst(side);
        if let Some(at) = side.iter().position(|p| p.drop == at) {
            side.remove(at);
        }
    }
}

/// Draws the first line.
pub fn draw(app: &App, line: Rect, canvas: &mut Canvas<'_>) {
    let glyphs = canvas.glyphs();
    let mut left = vec![piece("tcptop", Role::Title, 8)];
    let mut right = Vec::new();
    let filter = shown(app).map(|text| format!("filter {text}"));
    // The filter is always said, with as much of its words as there is room for.
    let least = filter.as_ref().map_or(0, |text| (paint::width(text) + GAP).min(line.width / 2));
    let every = if app.stream.frozen {
        piece("FROZEN", Role::Notice, 1)
    } else {
        piece(format!("every {}", interval(app)), Role::Label, 4)
    };
    match app.stream.world() {
        None => right.extend([piece("reading the socket tables", Role::Dim, 0), every]),
        Some(world) => {
            left.push(piece(world.host.hostname.to_string(), Role::Strong, 2));
            left.push(piece(world.host.kernel.to_string(), Role::Dim, 7));
            let count = world.snapshots.len();
            let netns = match world.snapshots.first() {
                Some(first) if count == 1 => {
                    let place = app.stream.place().map(|(n, of)| format!(" ({n} of {of})"));
                    format!("netns {}{}", first.sample.netns.name, place.unwrap_or_default())
                }
                _ => format!("{count} netns"),
            };
            left.push(piece(netns, Role::Label, 5));
            let elsewhere = app.screen != Screen::Processes;
            left.extend(
                hidden(world, line.width.saturating_sub(least))
                    .filter(|_| elsewhere)
                    .map(|text| piece(text, Role::Notice, 1)),
            );
            let protocol = app.protocol();
            let all = sockets(world, protocol);
            let sockets = match &app.filter.shown {
                Some(f) => format!("{} of {}", Grouped(sockets(&f.narrowed.world, protocol)), Grouped(all)),
                None => Grouped(all).to_string(),
            };
            let dump = world.of(protocol).map(|(_, s)| s.sample.dump_time).sum();
            let what = match (protocol, all) {
                (Protocol::Tcp, 1) => "socket",
                (Protocol::Tcp, _) => "sockets",
                (Protocol::Udp, 1) => "UDP socket",
                (Protocol::Udp, _) => "UDP sockets",
            };
            right.push(piece(format!("{sockets} {what}"), Role::Strong, 0));
            right.extend(churn(app.world_shown().unwrap_or(world), protocol, glyphs));
            right.push(every);
            right.push(piece(format!("dump {}", format::cost(dump)), Role::Dim, 6));
            right.extend(world.own_cpu.map(|cpu| piece(format!("cpu {}", own_cpu(cpu)), Role::Dim, 8)));
        }
    }
    shed(&mut left, &mut right, line.width.saturating_sub(least));
    let mut x = line.x + 1;
    for p in &left {
        x = canvas.text(x, line.y, line.right().saturating_sub(x), &p.text, p.role) + GAP;
    }
    if let Some(filter) = filter {
        let room = line.right().saturating_sub(needed(&right)).saturating_sub(x);
        x = canvas.text(x, line.y, room, &filter, Role::Notice) + GAP;
    }
    let mut x = if left.is_empty() && x == line.x + 1 {
        line.x
    } else {
        x.max((line.right() + GAP - 1).saturating_sub(needed(&right)))
    };
    for p in &right {
        x = canvas.text(x, line.y, line.right().saturating_sub(x), &p.text, p.role) + GAP;
    }
}

/// A line that has no room for more than the least.
const NARROW: u16 = 60;

/// What is not seen of the processes, and where it is said why.
fn hidden(world: &World, width: u16) -> Option<String> {
    let (count, what) = match world.owners()?.blindness()? {
        Blindness::OtherUsers { hidden: 1, hidepid: false, .. } => (Some(1), "process"),
        Blindness::OtherUsers { hidden: n @ 1.., hidepid: false, .. } => (Some(n), "processes"),
        Blindness::OtherUsers { .. } | Blindness::PidNamespace => (None, "processes"),
    };
    let count = count.map(|n| Grouped(n.into()).to_string());
    let whose = match count {
        Some(count) if width < NARROW => count,
        Some(count) => format!("{count} {what}"),
        None => what.to_owned(),
    };
    Some(format!("{whose} hidden, see {}", Screen::Processes.number()))
}

fn interval(app: &App) -> String {
    let interval = app.stream.interval;
    if interval.subsec_millis() == 0 {
        format!("{} s", interval.as_secs())
    } else {
        format!("{} s", interval.as_secs_f64())
    }
}

/// What this program takes of one core.
fn own_cpu(part: f32) -> String {
    let percent = part * 100.0;
    if percent < 9.95 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

fn churn(world: &World, protocol: Protocol, glyphs: &Glyphs) -> Option<Piece> {
    let churns: Vec<_> = world.of(protocol).filter_map(|(_, s)| s.churn).collect();
    if churns.is_empty() {
        return None;
    }
    let new: f64 = churns.iter().map(|c| c.new_per_s).sum();
    let gone: f64 = churns.iter().map(|c| c.gone_per_s).sum();
    let text = format!("+{} {}{}", format::per_second(new), glyphs.minus, format::per_second(gone));
    Some(piece(text, Role::Label, 3))
}

/// Draws the last line: what has to be said at the right, and the keys that are live, as many as there is room for.
pub fn footer(app: &App, line: Rect, canvas: &mut Canvas<'_>) {
    let glyphs = canvas.glyphs();
    let notes = notes(app);
    let separator = format!(" {} ", glyphs.dot);
    let wanted: u16 = notes
        .iter()
        .map(|n| paint::width(&n.text))
        .fold(0, |sum, w| sum.saturating_add(w).saturating_add(if sum > 0 { 3 } else { 0 }));
    let keys = keys(app, glyphs);
    // The way to the help is always there; notes that matter get most of the rest, others what the keys leave.
    let serious = notes.first().is_some_and(|n| n.role != Role::Dim);
    let all_keys = keys.iter().map(|(k, w)| paint::width(k) + paint::width(w) + 3).sum::<u16>();
    let room = if serious { line.width * 3 / 4 } else { line.width.saturating_sub(all_keys + 2) };
    let room = wanted.min(room);
    let notes_x = line.right().saturating_sub(room + 1);
    let mut x = line.x + 1;
    for (key, word) in &keys {
        let width = paint::width(key) + 1 + paint::width(word);
        if x + width + 1 > notes_x {
            break;
        }
        x = canvas.text(x, line.y, width, key, Role::Key);
        x = canvas.text(x + 1, line.y, width, word, Role::Dim) + 2;
    }
    if room < 8 {
        return;
    }
    let mut x = notes_x;
    for (at, note) in notes.iter().enumerate() {
        if at > 0 {
            x = canvas.text(x, line.y, line.right().saturating_sub(x + 1), &separator, Role::Border);
        }
        x = canvas.text(x, line.y, line.right().saturating_sub(x + 1), &note.text, note.role);
    }
}

const GO_ON: &str = "go on";

/// The word of a key here and now; none where it would do nothing.
fn word(app: &App, binding: &Binding) -> Option<&'static str> {
    let word = binding.short?;
    let Some(closing) = &app.closing else {
        return Some(if binding.action == Action::Freeze && app.stream.frozen { GO_ON } else { word });
    };
    match binding.action {
        Action::CloseThem => closing.asks().then_some(word),
        Action::CloseAll => app.filter.shown.is_some().then_some(word),
        Action::CloseListeners if closing.allow.listeners => Some("leave listeners"),
        Action::CloseListeners => closing.leaves(Refusal::Listener).then_some(word),
        Action::CloseOwnSession if closing.allow.own_session => Some("leave own session"),
        Action::CloseOwnSession => closing.leaves(Refusal::OwnSession).then_some(word),
        _ => Some(word),
    }
}

/// The keys that the footer names, with their words. Keys that follow each other with one word stand together.
fn keys(app: &App, glyphs: &Glyphs) -> Vec<(String, &'static str)> {
    let mut keys: Vec<(String, &'static str)> = Vec::new();
    let context = app.context();
    for binding in KEYMAP.iter().filter(|b| b.when.is_live(context)) {
        if app.read_only && matches!(binding.action, Action::Close | Action::Mark) {
            continue;
        }
        let (Some(word), Some(key)) = (word(app, binding), binding.keys.first()) else { continue };
        let name = key.name(glyphs);
        match keys.last_mut() {
            Some((names, last)) if *last == word => {
                names.push(' ');
                names.push_str(&name);
            }
            _ => keys.push((name, word)),
        }
    }
    if app.stream.frozen
        && let Some(at) = keys.iter().position(|(_, word)| *word == GO_ON)
    {
        // The way out is the first thing to know.
        let key = keys.remove(at);
        keys.insert(0, key);
    }
    if app.read_only {
        keys.insert(keys.len().min(1), ("read-only".to_owned(), "nothing can be closed"));
    }
    keys
}
