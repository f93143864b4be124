//! What is wrong: the pane of the first screen, and the page with evidence and what to do.

use ratatui::layout::Rect;

use crate::analysis::Snapshot;
use crate::diagnose::knowledge::{self, Live, Style, label, title};
use crate::diagnose::{Finding, Judged, Judgement, Severity, Status};
use crate::query::Span;

use super::app::App;
use super::paint::{self, Canvas};
use super::text::Line;
use super::theme::{Glyphs, Role};

/// The findings of all namespaces, the worst first, each with the snapshot that it is of.
fn found(judged: &Judged) -> Vec<(&Finding, &Snapshot)> {
    let mut found: Vec<_> = judged
        .judgements
        .iter()
        .zip(&judged.world.snapshots)
        .flat_map(|(j, s)| j.findings.iter().map(move |f| (f, &**s)))
        .collect();
    // The order within a severity is that of the judge.
    found.sort_by_key(|(f, _)| (f.status != Status::Firing, std::cmp::Reverse(f.draft.severity)));
    found
}

/// What findings are called: with a filter, of what they are all the same.
#[must_use]
pub const fn title_of(app: &App) -> &'static str {
    if app.filter.shown.is_some() { "Findings, of the whole machine" } else { "Findings" }
}

/// How many lines the pane wants for its findings.
#[must_use]
pub fn count(app: &App) -> usize {
    app.stream.shown.as_deref().map_or(0, |j| j.judgements.iter().map(|j| j.findings.len()).sum())
}

const fn role(finding: &Finding) -> Role {
    match (&finding.status, finding.draft.severity) {
        (Status::Clearing(_), _) => Role::Dim,
        (_, Severity::Critical) => Role::Critical,
        (_, Severity::Warning) => Role::Warning,
        (_, Severity::Info) => Role::Notice,
    }
}

const fn mark(finding: &Finding, glyphs: &Glyphs) -> &'static str {
    match (&finding.status, finding.draft.severity) {
        (Status::Clearing(_), _) => glyphs.none,
        (_, Severity::Critical) => glyphs.critical,
        (_, Severity::Warning) => glyphs.warning,
        (_, Severity::Info) => glyphs.notice,
    }
}

/// Draws the pane: a line a finding, the last one for those that have no room.
pub fn pane(app: &App, area: Rect, canvas: &mut Canvas<'_>) {
    let Some(judged) = app.stream.shown.as_deref() else { return };
    let found = found(judged);
    let lines = usize::from(area.height);
    let shown = if found.len() > lines { lines.saturating_sub(1) } else { found.len() };
    let (x, width) = (area.x + 1, area.width.saturating_sub(2));
    for ((finding, _), y) in found.iter().take(shown).zip(area.y..) {
        let glyphs = canvas.glyphs();
        let end = canvas.text(x, y, width, mark(finding, glyphs), role(finding));
        let role = if matches!(finding.status, Status::Clearing(_)) { Role::Dim } else { Role::Text };
        let room = (x + width).saturating_sub(end + 1);
        let words = title(finding);
        let words = paint::cut(&words, room, glyphs);
        canvas.text(end + 1, y, room, &words, role);
    }
    if found.len() > shown && lines > 0 {
        let more = format!("and {} more", found.len() - shown);
        canvas.text(x, area.bottom() - 1, width, &more, Role::Dim);
    }
}

/// The page: every finding with its evidence, what it means and what to do.
#[must_use]
pub fn page(app: &App, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    let Some(judged) = app.stream.shown.as_deref() else { return Vec::new() };
    let found = found(judged);
    let mut lines: Vec<Line> = Vec::new();
    if found.is_empty() {
        lines.push(vec![("Nothing was found to be wrong.".to_owned(), Role::Good)]);
    }
    for (finding, snapshot) in found {
        let severity = finding.draft.severity.name();
        lines.push(vec![
            (format!("{} ", mark(finding, glyphs)), role(finding)),
            (title(finding), Role::Strong),
        ]);
        let held = Span::from_seconds(snapshot.observed.saturating_sub(finding.since).as_secs_f64());
        let status = match &finding.status {
            Status::Firing => format!("{severity}, seen for {held}"),
            Status::Clearing(at) => format!(
                "over for {}",
                Span::from_seconds(snapshot.observed.saturating_sub(*at).as_secs_f64())
            ),
            Status::Unknown(why) => format!("{severity}, cannot be examined now: {why}"),
        };
        lines.push(vec![(format!("  {}: {status}", finding.rule), Role::Dim)]);
        for evidence in &finding.draft.evidence {
            lines.push(vec![
                (format!("  {}: ", label(finding.rule, evidence.name)), Role::Label),
                (evidence.value.to_string(), Role::Text),
                (format!("  ({}, {})", evidence.source.name(), evidence.scope.name()), Role::Dim),
            ]);
        }
        lines.extend(document(finding, judged, snapshot, width));
        lines.push(Line::new());
    }
    lines.extend(unjudged(judged));
    lines
}

/// What the rule's document says, indented.
fn document(finding: &Finding, judged: &Judged, snapshot: &Snapshot, width: u16) -> Vec<Line> {
    let Some(document) = knowledge::document(finding.rule) else { return Vec::new() };
    let live = Live::of(&judged.world.host, snapshot).with(finding);
    let blocks = knowledge::render(document, live);
    let role = |style| match style {
        Style::Plain => Role::Text,
        Style::Code => Role::Key,
        Style::Strong => Role::Strong,
        Style::Heading => Role::Title,
    };
    knowledge::layout(&blocks, usize::from(width.saturating_sub(2)))
        .into_iter()
        .map(|runs| {
            let indent = ("  ".to_owned(), Role::Text);
            std::iter::once(indent).chain(runs.into_iter().map(|r| (r.text, role(r.style)))).collect()
        })
        .collect()
}

/// Rules that could not be judged, and why.
fn unjudged(judged: &Judged) -> Vec<Line> {
    let reasons: Vec<Line> = judged
        .judgements
        .iter()
        .flat_map(Judgement::unjudged)
        .map(|(rule, why)| vec![(format!("  {rule}: "), Role::Label), (why, Role::Dim)])
        .collect();
    if reasons.is_empty() {
        return reasons;
    }
    let heading = vec![("Not judged".to_owned(), Role::Title)];
    std::iter::once(heading).chain(reasons).collect()
}
