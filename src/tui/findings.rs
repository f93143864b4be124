//! What is wrong: the pane of the first screen, and the page of one finding with evidence and what to do.

use std::time::Duration;

use ratatui::layout::Rect;

use crate::analysis::{Snapshot, World};
use crate::diagnose::knowledge::{self, Live, Style, label, title};
use crate::diagnose::{Evidence, Finding, Judged, Status, Value};
use crate::query::{FindingKey, FindingRow, Grouped, Outcome, Span, ranked};

use super::app::App;
use super::format;
use super::index::Query;
use super::layout::{Layout, inside};
use super::paint::{self, Canvas};
use super::text::{Line, title as heading, wrap};
use super::theme::{Glyphs, Role};
use super::topic::TopicPage;

/// What findings are called: with a filter, that it does not apply to them.
#[must_use]
pub const fn title_of(app: &App) -> &'static str {
    if app.filter.shown.is_some() { "Findings, not filtered" } else { "Findings" }
}

/// How many findings there are.
fn count(app: &App) -> usize {
    app.stream.shown.as_deref().map_or(0, |j| j.judgements.iter().map(|j| j.findings.len()).sum())
}

/// How many lines the pane wants for its findings, if it is so wide and has `most` lines at most.
#[must_use]
pub fn wanted(app: &App, width: u16, most: usize) -> usize {
    match app.stream.shown.as_deref() {
        Some(judged) if count(app) < most => heights(judged, words(width), most).iter().sum(),
        _ => count(app),
    }
}

const fn is_over(finding: &Finding) -> bool {
    matches!(finding.status, Status::Clearing(_))
}

/// How many of so many findings have a line of their own; where not all have, the last line is for the others.
const fn shown(found: usize, lines: usize) -> usize {
    if found > lines { lines.saturating_sub(1) } else { found }
}

/// The cells before the words of a finding: its mark and a space.
const MARK: u16 = 2;

/// How many cells a pane of this width has for a finding: one is for the cursor, one for air at the other edge.
const fn words(width: u16) -> u16 {
    width.saturating_sub(2)
}

/// How many cells stand before the words of a finding, where a finding has `width`: a mark, and with several namespaces the
/// name of its own.
fn indent(snapshot: &Snapshot, several: bool, width: u16) -> u16 {
    let name = || paint::width(&snapshot.sample.netns.name.to_string()).min(width / 3) + 1;
    MARK + if several { name() } else { 0 }
}

/// How many of the pane's lines each finding has that is shown: one, and those that are left over go to the worst of those
/// whose words need them.
fn heights(judged: &Judged, width: u16, lines: usize) -> Vec<usize> {
    let found = ranked(judged);
    let several = judged.world.snapshots.len() > 1;
    let mut spare = lines.saturating_sub(found.len());
    let shown = found.iter().take(shown(found.len(), lines));
    shown
        .map(|(finding, snapshot)| {
            if spare == 0 {
                return 1;
            }
            let room = width.saturating_sub(indent(snapshot, several, width));
            let more = wrap(&title(finding), room).len().saturating_sub(1).min(spare);
            spare -= more;
            1 + more
        })
        .collect()
}

/// The words of a finding in so many lines: the last one says that there is more.
fn in_lines(text: &str, width: u16, height: usize, glyphs: &Glyphs) -> Vec<String> {
    let mut lines = if height > 1 { wrap(text, width) } else { vec![text.to_owned()] };
    if lines.len() > height {
        let rest = lines.split_off(height.saturating_sub(1)).join(" ");
        lines.push(rest);
    }
    lines.iter().map(|line| paint::cut(line, width, glyphs).into_owned()).collect()
}

/// The cursor in the pane: it stays on its finding, whatever comes before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PaneCursor {
    /// The finding; none on the line for those that have no room.
    pub key: Option<FindingKey>,
    /// Which of the entries it was last put on: where it stays when its finding goes.
    pub line: usize,
}

/// How many entries of the pane there are to go to: its findings, and the line for those that have no room.
#[must_use]
pub fn lines(app: &App, layout: &Layout) -> usize {
    count(app).min(usize::from(pane_area(layout).height))
}

fn pane_area(layout: &Layout) -> Rect {
    if layout.compact { layout.findings } else { inside(layout.findings) }
}

/// The entry that the cursor is on.
#[must_use]
pub fn cursor_line(app: &App, layout: &Layout) -> Option<usize> {
    let cursor = app.pane.as_ref()?;
    let lines = lines(app, layout);
    let shown = shown(count(app), usize::from(pane_area(layout).height));
    let found = ranked(app.stream.shown.as_deref()?);
    let at = cursor.key.as_ref().and_then(|key| place(&found, key));
    // One that has no room any more is among the others, in the last line.
    Some(at.map_or(cursor.line, |at| at.min(shown)).min(lines.checked_sub(1)?))
}

/// The cursor on an entry of the pane; none where there is no such entry.
#[must_use]
pub fn cursor_at(app: &App, layout: &Layout, line: usize) -> Option<PaneCursor> {
    if line >= lines(app, layout) {
        return None;
    }
    let found = ranked(app.stream.shown.as_deref()?);
    let shown = shown(found.len(), usize::from(pane_area(layout).height));
    let key = found.get(line).filter(|_| line < shown).map(key_of);
    Some(PaneCursor { key, line })
}

/// Where a finding is among these, also when it turned out to be about somebody else.
fn place(found: &[(&Finding, &Snapshot)], key: &FindingKey) -> Option<usize> {
    let was = |f: &(&Finding, &Snapshot)| {
        let there = f.1.sample.netns.inode == key.netns && f.0.rule == key.rule;
        there && key.subject.as_ref().is_some_and(|subject| f.0.concerns(subject))
    };
    found.iter().position(|f| key_of(f) == *key).or_else(|| found.iter().position(was))
}

fn key_of((finding, snapshot): &(&Finding, &Snapshot)) -> FindingKey {
    FindingKey {
        netns: snapshot.sample.netns.inode,
        rule: finding.rule,
        subject: Some(finding.draft.subject.clone()),
    }
}

/// Draws the pane: the findings, the last line for those that have no room.
pub fn pane(app: &App, layout: &Layout, canvas: &mut Canvas<'_>) {
    let Some(judged) = app.stream.shown.as_deref() else { return };
    let area = pane_area(layout);
    let found = ranked(judged);
    let (x, width) = (area.x + 1, words(area.width));
    let heights = heights(judged, width, usize::from(area.height));
    let several = judged.world.snapshots.len() > 1;
    let cursor = cursor_line(app, layout);
    let mut y = area.y;
    for (at, ((finding, snapshot), height)) in found.iter().zip(&heights).enumerate() {
        let glyphs = canvas.glyphs();
        let over = is_over(finding);
        let (mark, role) = format::severity(Some(finding.draft.severity), over, glyphs);
        canvas.text(x, y, width, mark, role);
        let indent = indent(snapshot, several, width);
        if several {
            let (name, room) = (snapshot.sample.netns.name.to_string(), indent.saturating_sub(MARK + 1));
            canvas.text(x + MARK, y, room, &paint::cut(&name, room, glyphs), Role::Label);
        }
        let room = width.saturating_sub(indent);
        let role = if over { Role::Dim } else { Role::Text };
        for (line, y) in in_lines(&title(finding), room, *height, glyphs).iter().zip(y..) {
            canvas.text(x + indent, y, room, line, role);
        }
        let height = u16::try_from(*height).unwrap_or(u16::MAX);
        if cursor == Some(at) {
            under_cursor(Rect { y, height, ..area }, canvas);
        }
        y = y.saturating_add(height);
    }
    if found.len() > heights.len() && area.height > 0 {
        let more = format!("and {} more", found.len() - heights.len());
        canvas.text(x, area.bottom() - 1, width, &more, Role::Dim);
        if cursor == Some(heights.len()) {
            under_cursor(Rect { y: area.bottom() - 1, height: 1, ..area }, canvas);
        }
    }
}

fn under_cursor(area: Rect, canvas: &mut Canvas<'_>) {
    canvas.tint(area, Role::Selected);
    canvas.text(area.x, area.y, 1, canvas.glyphs().cursor, Role::Selected);
}

/// The finding that stands in a line of the terminal; none beside the findings.
#[must_use]
pub fn key_at(app: &App, layout: &Layout, y: u16) -> Option<FindingKey> {
    let area = pane_area(layout);
    let judged = app.stream.shown.as_deref()?;
    let line = usize::from(y.checked_sub(area.y)?);
    let heights = heights(judged, words(area.width), usize::from(area.height));
    let mut end = 0;
    let at = heights.iter().position(|height| {
        end += height;
        line < end
    })?;
    ranked(judged).get(at).map(key_of)
}

/// The page of one finding, or of a rule that could not be judged.
#[must_use]
pub fn page(page: &TopicPage, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    let Some((row, world)) = page.row() else {
        let text = if page.kept.gone.is_some() { "the finding is gone" } else { "looking for the finding" };
        return vec![vec![(text.to_owned(), Role::Dim)]];
    };
    let mut lines = head(row, world, width, glyphs);
    if let Some(since) = page.kept.gone {
        let ago = format::seconds(page.kept.seen.saturating_sub(since));
        let text = format!("Gone for {ago}; this is what was last seen.");
        lines.extend(wrapped(&text, width, Role::Warning));
    }
    if let Some(finding) = row.finding() {
        lines.push(Line::new());
        lines.push(heading("Evidence"));
        lines.extend(evidence(finding, width, glyphs));
        lines.push(Line::new());
        lines.extend(proof(page, finding, width, glyphs));
    }
    lines.push(Line::new());
    lines.extend(document(row, world, width));
    lines
}

fn wrapped(text: &str, width: u16, role: Role) -> impl Iterator<Item = Line> {
    wrap(text, width).into_iter().map(move |line| vec![(line, role)])
}

/// What is wrong, since when, and whether it still is.
fn head(row: &FindingRow, world: &World, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    let finding = row.finding();
    let over = row.is_over();
    let (mark, role) = format::severity(finding.map(|f| f.draft.severity), over, glyphs);
    let mut lines: Vec<Line> = wrap(&row.title, width.saturating_sub(paint::width(mark) + 1))
        .into_iter()
        .enumerate()
        .map(|(n, line)| {
            let pad =
                if n == 0 { format!("{mark} ") } else { " ".repeat(usize::from(paint::width(mark)) + 1) };
            vec![(pad, role), (line, if over { Role::Dim } else { Role::Strong })]
        })
        .collect();
    let whose = if world.snapshots.len() > 1 {
        format!(" in network namespace {}", row.netns)
    } else {
        String::new()
    };
    let said = match (&row.outcome, finding) {
        (Outcome::NotExamined, _) => format!("{}{whose} could not be judged.", row.key.rule),
        (Outcome::AskAgain, _) => format!("{}{whose} needs a longer observation.", row.key.rule),
        (Outcome::Found(_), Some(finding)) => said(finding, row, &whose),
        (Outcome::Found(_), None) => String::new(),
    };
    lines.extend(wrapped(&said, width, Role::Dim));
    lines
}

fn said(finding: &Finding, row: &FindingRow, whose: &str) -> String {
    let span = |t: Duration| Span::from_millis(t.as_secs() * 1000);
    let (rule, severity) = (finding.rule, finding.draft.severity.name());
    let sure = finding.draft.confidence.name();
    let held = span(row.held().unwrap_or_default());
    let mut text = match &finding.status {
        Status::Firing => format!("{rule}{whose}: {severity}, confidence {sure}, seen for {held}."),
        Status::Clearing(at) => {
            let over = span(row.observed.saturating_sub(*at));
            format!("{rule}{whose}: over for {over}. It was {severity} when it was last seen.")
        }
        Status::Unknown(why) => {
            format!("{rule}{whose}: {severity} when it was last seen, cannot be examined now: {why}.")
        }
    };
    if !finding.explained.is_empty() {
        text.push_str(" It accounts for: ");
        text.push_str(&finding.explained.join(", "));
        text.push('.');
    }
    text
}

/// Each piece with its value, where it comes from and for what part of the machine it speaks; below the first its past.
fn evidence(finding: &Finding, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    let pieces: Vec<_> = finding.draft.evidence.iter().map(|e| (label(finding.rule, e.name), e)).collect();
    let widest = pieces.iter().map(|(label, _)| paint::width(label)).max().unwrap_or(0);
    // Two cells between the columns; a long label does not push the values off a narrow screen.
    let at = widest.min(width / 2) + 2;
    let values = pieces.iter().map(|(_, e)| paint::width(&e.value.to_string())).filter(|w| *w <= 16);
    let value_width = values.max().unwrap_or(0);
    let mut lines = Vec::new();
    for (n, (label, piece)) in pieces.iter().enumerate() {
        lines.extend(one_piece(label, piece, at, value_width, width));
        if n == 0 {
            lines.extend(past(finding, piece, at, width, glyphs));
        }
    }
    lines
}

fn spaces(count: u16) -> String {
    " ".repeat(usize::from(count))
}

fn one_piece(label: &str, piece: &Evidence, at: u16, value_width: u16, width: u16) -> Vec<Line> {
    let mut lines = Vec::new();
    let fill = at.saturating_sub(paint::width(label));
    let mut line: Line = vec![(label.to_owned(), Role::Label)];
    if fill < 2 {
        lines.push(std::mem::take(&mut line));
        line.push((spaces(at), Role::Text));
    } else {
        line.push((spaces(fill), Role::Text));
    }
    let mut words = wrap(&piece.value.to_string(), width.saturating_sub(at).max(8)).into_iter();
    let mut last = words.next().unwrap_or_default();
    line.push((last.clone(), Role::Strong));
    for word in words {
        lines
            .push(std::mem::replace(&mut line, vec![(spaces(at), Role::Text), (word.clone(), Role::Strong)]));
        last = word;
    }
    let from = format!("{}, {}", piece.source.name(), piece.scope.name());
    let used = paint::width(&last);
    let gap = value_width.saturating_sub(used) + 2;
    if at + used + gap + paint::width(&from) <= width {
        line.push((format!("{}{from}", spaces(gap)), Role::Dim));
    } else {
        lines.push(std::mem::replace(&mut line, vec![(spaces(at), Role::Text), (from, Role::Dim)]));
    }
    lines.push(line);
    lines
}

/// The main number over the past looks.
fn past(finding: &Finding, piece: &Evidence, at: u16, width: u16, glyphs: &Glyphs) -> Option<Line> {
    let history = &finding.history;
    let [least, most] =
        [f64::min, f64::max].map(|pick: fn(f64, f64) -> f64| history.iter().copied().reduce(pick));
    let (least, most) = (like(&piece.value, least?), like(&piece.value, most?));
    let looks = Grouped(history.len() as u64);
    let words = if least == most {
        format!("the same in {looks} looks")
    } else {
        format!("{least} to {most} in {looks} looks")
    };
    let room = width.saturating_sub(at + paint::width(&words) + 2);
    if history.len() < 2 || room < 4 {
        return None;
    }
    let spark = paint::sparkline(history.iter().copied(), room.min(60), 0.0, glyphs);
    Some(vec![(spaces(at), Role::Text), (spark, Role::Spark), (format!("  {words}"), Role::Dim)])
}

/// A number in the unit of a value.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was made of such a value")]
fn like(value: &Value, x: f64) -> Value {
    match value {
        Value::Count(_) => Value::Count(x as u64),
        Value::Bytes(_) => Value::Bytes(x as u64),
        Value::Number(_) => Value::Number(x as i64),
        Value::Ratio(_) => Value::Ratio(x),
        Value::PerSecond(_) => Value::PerSecond(x),
        Value::PerMinute(_) => Value::PerMinute(x),
        Value::Time(_) => Duration::try_from_secs_f64(x).map_or(Value::Unknown, Value::Time),
        Value::Text(_) | Value::Unknown => Value::Unknown,
    }
}

/// How to get at the rows that prove it.
fn proof(page: &TopicPage, finding: &Finding, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    let proof = &finding.draft.proof;
    let enter = glyphs.enter;
    let of_sockets = || match (proof.cut(), proof.cookies.len()) {
        (Some((kept, total)), _) => {
            let (kept, total) = (Grouped(kept as u64), Grouped(total as u64));
            format!("{enter} shows {kept} of {total} sockets that prove it.")
        }
        (None, 0) => format!("{enter} shows the sockets of {}.", finding.draft.subject),
        (None, 1) => format!("{enter} shows the socket that proves it."),
        (None, n) => format!("{enter} shows the {} sockets that prove it.", Grouped(n as u64)),
    };
    let text = match page.proof().map(|p| p.query) {
        None => "No single row proves it: see the evidence.".to_owned(),
        Some(Query::Udp(_)) => format!("{enter} shows the UDP sockets, those that dropped most first."),
        Some(Query::Counters(_)) => format!("{enter} shows the counters that prove it."),
        Some(Query::Sysctls(_)) => format!("{enter} shows the sysctls that it rests on."),
        Some(_) => of_sockets(),
    };
    wrapped(&text, width, Role::Key).collect()
}

/// What the rule's document says.
fn document(row: &FindingRow, world: &World, width: u16) -> Vec<Line> {
    let Some(document) = knowledge::document(row.key.rule) else { return Vec::new() };
    let snapshot = world.snapshots.get(usize::from(row.ns));
    let live = snapshot.map_or(Live::nothing(), |s| Live::of(&world.host, s));
    let live = row.finding().map_or(live, |f| live.with(f));
    explanation(&knowledge::render(document, live), width)
}

/// A document as lines.
pub(super) fn explanation(blocks: &[knowledge::Block], width: u16) -> Vec<Line> {
    let role = |style| match style {
        Style::Plain => Role::Text,
        Style::Code => Role::Key,
        Style::Strong => Role::Strong,
        Style::Heading => Role::Title,
    };
    let line = |runs: knowledge::Line| runs.into_iter().map(|r| (r.text, role(r.style))).collect();
    knowledge::layout(blocks, usize::from(width)).into_iter().map(line).collect()
}
