//! Drawing what would be closed, and what became of it. Only the lines that can be seen become text.

use ratatui::layout::Rect;

use crate::analysis::World;
use crate::model::plural;
use crate::query::kill::{Fate, Group, Listed, NO_LISTENER, Refusal, Target, Verdict};
use crate::query::{ColumnId, Grouped, cell};
use crate::tui::app::App;
use crate::tui::format;
use crate::tui::index::snapshot;
use crate::tui::paint::{self, Canvas};
use crate::tui::text::wrap;
use crate::tui::theme::{Glyphs, Role};

use super::{Closing, Stage};

/// The groups of a listing, with what is said of each.
struct Page {
    groups: Vec<(Vec<String>, Role, usize)>,
}

impl Page {
    fn of(closing: &Closing, width: u16) -> Self {
        let groups = match &closing.stage {
            Stage::Asking(_, listed) | Stage::Closing(listed) => headings(listed, width, |what| match what {
                Ok(effect) => (effect.to_string(), Role::Warning),
                Err(refusal) => (format!("left alone: {}", words(*refusal)), Role::Dim),
            }),
            Stage::Done(listed) => headings(listed, width, |what| match what {
                Fate::NoListener => (NO_LISTENER.to_owned(), Role::Warning),
                Fate::Closed => ("gone".to_owned(), Role::Good),
                Fate::EndedBefore => ("had ended before, or ended with the other end".to_owned(), Role::Good),
                Fate::Remains(reason) => (format!("still there: {reason}"), Role::Critical),
            }),
            Stage::Planning | Stage::Failed(_) => Vec::new(),
        };
        Self { groups }
    }

    fn height(&self) -> usize {
        self.groups.iter().map(|(heading, _, rows)| heading.len() + rows).sum()
    }

    /// What stands in a line: a group, and a line of its heading or one of its sockets.
    fn line(&self, mut at: usize) -> Option<(usize, Result<usize, usize>)> {
        for (n, (heading, _, rows)) in self.groups.iter().enumerate() {
            if at < heading.len() {
                return Some((n, Ok(at)));
            }
            at -= heading.len();
            if at < *rows {
                return Some((n, Err(at)));
            }
            at -= rows;
        }
        None
    }
}

fn headings<W>(
    listed: &Listed<W>,
    width: u16,
    said: impl Fn(&W) -> (String, Role),
) -> Vec<(Vec<String>, Role, usize)> {
    let heading = |group: &Group<W>| {
        let (what, role) = said(&group.what);
        let count = Grouped(group.targets.len() as u64);
        let text = format!("{} {}: {what}", count, group.state.name());
        (wrap(&text, width), role, group.targets.len())
    };
    listed.iter().map(heading).collect()
}

/// Why a socket is left alone, and which key says that it is meant.
fn words(refusal: Refusal) -> String {
    match refusal {
        Refusal::Listener => "a listener; l closes it, too".to_owned(),
        Refusal::OwnSession => "this session runs over it; o closes it, too".to_owned(),
        other => other.to_string(),
    }
}

fn count(n: usize) -> String {
    format!("{} socket{}", Grouped(n as u64), plural(n))
}

/// The lines that always stand above the others, the most important first.
fn head(closing: &Closing) -> Vec<(String, Role)> {
    match &closing.stage {
        Stage::Planning => vec![("looking which sockets that are".to_owned(), Role::Dim)],
        Stage::Closing(_) => vec![("closing".to_owned(), Role::Warning)],
        Stage::Failed(why) => vec![(why.clone(), Role::Critical)],
        Stage::Asking(plan, _) => {
            let (closed, refused) = (plan.targets.len(), plan.refused.len());
            let left = if refused == 0 { String::new() } else { format!(" {} left alone.", count(refused)) };
            let question = match closed {
                0 => format!("There is nothing to close.{left}"),
                _ if closing.is_permitted() => {
                    format!("Close {}? y closes them, n does not.{left}", count(closed))
                }
                _ => format!("{} would be closed.{left}", count(closed)),
            };
            let mut lines = vec![(question, Role::Strong)];
            if closed > 0 && !closing.is_permitted() {
                let why = "Not permitted: it takes root or CAP_NET_ADMIN.";
                lines.insert(0, (why.to_owned(), Role::Critical));
            }
            lines
        }
        Stage::Done(listed) => {
            let sum = |is: fn(&Fate) -> bool| -> usize {
                listed.iter().filter(|g| is(&g.what)).map(|g| g.targets.len()).sum()
            };
            let left = sum(|fate| matches!(fate, Fate::Remains(_)));
            let deaf = sum(|fate| *fate == Fate::NoListener);
            let gone = sum(|fate| matches!(fate, Fate::Closed | Fate::EndedBefore));
            let role = if left > 0 { Role::Warning } else { Role::Good };
            let mut said = Vec::new();
            said.extend((gone > 0 || left + deaf == 0).then(|| format!("{} gone", count(gone))));
            said.extend((deaf > 0).then(|| format!("{} no longer listening", count(deaf))));
            said.extend((left > 0).then(|| format!("{} still there", count(left))));
            vec![(format!("{}.", said.join(", ")), role)]
        }
    }
}

/// How many lines there are, those that always stand above the others apart, and how many of them can be seen.
#[must_use]
pub fn height(closing: &Closing, area: Rect) -> (usize, usize) {
    let head: usize = head_lines(closing, area.width).len();
    (Page::of(closing, area.width).height(), usize::from(area.height).saturating_sub(head))
}

fn head_lines(closing: &Closing, width: u16) -> Vec<(String, Role)> {
    let mut lines: Vec<(String, Role)> = Vec::new();
    for (text, role) in head(closing) {
        lines.extend(wrap(&text, width).into_iter().map(|line| (line, role)));
    }
    let about = format!("Meant: {}", closing.name);
    lines.push((about, Role::Dim));
    lines
}

/// Draws it.
pub fn draw(app: &App, frame: Rect, area: Rect, first: usize, canvas: &mut Canvas<'_>) {
    let Some(closing) = &app.closing else { return };
    canvas.frame(frame, "Close connections");
    let page = Page::of(closing, area.width);
    let head = head_lines(closing, area.width);
    for ((text, role), y) in head.iter().zip(area.top()..area.bottom()) {
        canvas.text(area.x, y, area.width, text, *role);
    }
    let top = area.top().saturating_add(u16::try_from(head.len()).unwrap_or(u16::MAX)).min(area.bottom());
    let seen = usize::from(area.bottom() - top);
    if page.height() > seen && frame.height > 0 {
        let last = (first + seen).min(page.height());
        let place = format!(" {}-{last} of {} ", Grouped(first as u64 + 1), Grouped(page.height() as u64));
        let width = paint::width(&place);
        if frame.width > width + 24 {
            canvas.text(frame.right() - 2 - width, frame.y, width, &place, Role::Dim);
        }
    }
    let glyphs = canvas.glyphs();
    for (at, y) in (first..).zip(top..area.bottom()) {
        let Some((group, what)) = page.line(at) else { break };
        let Some((heading, role, _)) = page.groups.get(group) else { break };
        match what {
            Ok(line) => {
                canvas.text(area.x, y, area.width, heading.get(line).map_or("", |l| l), *role);
            }
            Err(row) => {
                if let Some(target) = closing.target(group, row) {
                    let line = described(target, &closing.world, glyphs);
                    canvas.text(area.x + 2, y, area.width.saturating_sub(2), &line, Role::Text);
                }
            }
        }
    }
}

impl Closing {
    fn target(&self, group: usize, row: usize) -> Option<&Target> {
        match &self.stage {
            Stage::Asking(_, listed) | Stage::Closing(listed) => of::<Verdict>(listed, group, row),
            Stage::Done(listed) => of::<Fate>(listed, group, row),
            Stage::Planning | Stage::Failed(_) => None,
        }
    }
}

fn of<W>(listed: &Listed<W>, group: usize, row: usize) -> Option<&Target> {
    listed.get(group)?.targets.get(row)
}

/// A socket in a line: its ends, and who holds it as far as that is known.
fn described(target: &Target, world: &World, glyphs: &Glyphs) -> String {
    let row = &target.row;
    let local = row.local_endpoint();
    let ends =
        if row.state.has_peer() { format!("{local}  {}", row.peer_endpoint()) } else { local.to_string() };
    let held = snapshot(world, target.id).map(|s| cell(ColumnId::Process, s, target.id.row as usize));
    let held = held.map(|held| format::cell(&held, false, glyphs).0).unwrap_or_default();
    format!("{ends}  {held}")
}
