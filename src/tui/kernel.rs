//! The pages of one sysctl and of one counter.

use crate::analysis::World;
use crate::diagnose::AuditVerdict;
use crate::diagnose::knowledge::{self, ENGLISH, Live};
use crate::model::{Reading, Scope};
use crate::query::{Cell, CounterRow, Grouped, KernelView, SysctlColumn, SysctlRow, sysctl_cell};

use super::findings::explanation;
use super::format;
use super::index::{Query, Rows};
use super::page::TablePage;
use super::paint;
use super::text::{Line, entry, title as heading, wrap};
use super::theme::{Glyphs, Role};
use super::topic::TopicPage;

/// Where the values start.
const VALUE_AT: u16 = 14;

/// The page of a sysctl or a counter.
#[must_use]
pub fn page(page: &TopicPage, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    match page.rows() {
        Some((Rows::Sysctl(Some(row)), world)) => sysctl(row, world, width, glyphs),
        Some((Rows::Counter(Some(row)), world)) => counter(row, world, width, glyphs),
        _ => vec![vec![("it has not been seen yet".to_owned(), Role::Dim)]],
    }
}

/// What a table of the kernel shows, and of which namespace; none for a table of something else.
#[must_use]
pub fn title(page: &TablePage) -> Option<String> {
    fn counted<R>(view: &KernelView<R>, words: [&str; 2]) -> String {
        let said = view.notable.iter().zip(words).filter(|(n, _)| **n > 0);
        said.map(|(n, word)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
    }
    let (scope, what) = match &page.query {
        Query::Sysctls(q) => (&q.scope, "Sysctls"),
        Query::Counters(q) => (&q.scope, "Counters that moved"),
        _ => return None,
    };
    if scope.only.is_some() {
        return None;
    }
    let answer = page.answer.as_ref()?;
    let count = answer.world.snapshots.len();
    let whose = match scope.netns(&answer.world) {
        Some(netns) if count > 1 => format!(" in netns {netns}, the first of {count} (n: the next)"),
        _ => String::new(),
    };
    let notable = match &answer.rows {
        Rows::Sysctls(v) => counted(v, ["harmful", "doubtful"]),
        Rows::Counters(v) => counted(v, ["at this look", ""]),
        _ => String::new(),
    };
    let notable = if notable.is_empty() { notable } else { format!(": {notable}") };
    Some(format!("{what}{whose}{notable}"))
}

fn named(name: &str, role: Role, mark: &str) -> Line {
    let mark = if mark.is_empty() { String::new() } else { format!("{mark} ") };
    vec![(mark, role), (name.to_owned(), Role::Strong)]
}

fn netns_entry(world: &World, ns: u16, width: u16) -> Vec<Line> {
    match world.snapshots.get(usize::from(ns)) {
        Some(s) if world.snapshots.len() > 1 => {
            entry("namespace", VALUE_AT, &s.sample.netns.name.to_string(), Role::Label, width)
        }
        _ => Vec::new(),
    }
}

fn sysctl(row: &SysctlRow, world: &World, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    let audit = &row.audit;
    let (mark, role) = format::verdict((!row.is_absent()).then_some(audit.verdict), glyphs);
    let mut lines = vec![named(audit.name, role, mark)];
    let of_host = audit.scope == Scope::Host;
    let said = match (audit.verdict, audit.why, &audit.value) {
        (_, _, Reading::Absent) if of_host => "It is the host's, and not shown in this namespace.".to_owned(),
        (_, _, Reading::Absent) => "This kernel does not have it.".to_owned(),
        (_, _, Reading::Unreadable(why)) => format!("It could not be read: {why}."),
        (verdict, Some(why), _) => format!("{}: {why}.", capitalised(verdict.name())),
        (AuditVerdict::Default, ..) => "It is what this kernel has by itself on this machine.".to_owned(),
        (AuditVerdict::Changed, ..) => "It was changed, and nothing is wrong with that.".to_owned(),
        _ => "What this kernel would have by itself is not known.".to_owned(),
    };
    lines.extend(wrap(&said, width).into_iter().map(|l| vec![(l, Role::Label)]));
    lines.push(Line::new());
    let mut say = |name: &str, text: &str| lines.extend(entry(name, VALUE_AT, text, Role::Label, width));
    if let Some(value) = &row.value {
        let empty = value.raw().is_empty();
        say("value", &if empty { "(empty)".to_owned() } else { value.to_string() });
        say("default", &format::cell(&sysctl_cell(SysctlColumn::Default, row), false, glyphs).0);
    }
    say("scope", if of_host { "one value for the whole host" } else { "each network namespace has its own" });
    if let Some(rule) = audit.rule {
        say("judged by", rule);
    }
    lines.extend(netns_entry(world, row.ns, width));
    lines.push(Line::new());
    lines.extend(document(audit.name, row.ns, world, width));
    lines
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn counter(row: &CounterRow, world: &World, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    let past = &row.past;
    let mut lines = vec![named(&past.name, Role::Text, ""), Line::new()];
    let mut say = |name: &str, text: &str| lines.extend(entry(name, VALUE_AT, text, Role::Label, width));
    let rate = Cell::PerSecond(past.per_s);
    say(
        "this look",
        &if past.delta == 0 {
            "it rests".to_owned()
        } else {
            format!("+{}, {rate} per second", Grouped(past.delta))
        },
    );
    if past.past.len() > 1 {
        let most = past.past.iter().copied().fold(0.0, f32::max);
        let words =
            format!("  up to {} per second in {} looks", Cell::PerSecond(most.into()), past.past.len());
        let room = width.saturating_sub(VALUE_AT + paint::width(&words));
        say("past", &format!("{}{words}", format::heights(&past.past, room, glyphs)));
    }
    if past.delta == 0 {
        say("moved", &format!("{} ago", format::seconds(row.rests)));
    }
    say("seen here", &format!("+{} since tcptop first looked", Grouped(past.since_first)));
    if let Some(value) = row.value {
        say("value", &format!("{} since the namespace was made", Grouped(value)));
    }
    let scope = match past.scope {
        Scope::Host => "the whole host: other namespaces move it, too",
        Scope::Namespace => "this network namespace",
    };
    say("counts for", scope);
    let watchers = row.watchers();
    let others: Vec<&str> = knowledge::speaking_of(ENGLISH, &past.name)
        .map(|d| d.id)
        .filter(|id| !watchers.contains(id))
        .collect();
    say("watched by", &if watchers.is_empty() { "no rule".to_owned() } else { watchers.join(", ") });
    if !others.is_empty() {
        say("spoken of in", &others.join(", "));
    }
    lines.extend(netns_entry(world, row.ns, width));
    if let Some(id) = watchers.first().or(others.first()) {
        lines.push(Line::new());
        lines.push(heading(&format!("From tcptop explain {id}")));
        lines.extend(document(id, row.ns, world, width));
    }
    lines
}

/// What the document of a name says, with this machine's values.
fn document(name: &str, ns: u16, world: &World, width: u16) -> Vec<Line> {
    let Some(document) = knowledge::document(name) else { return Vec::new() };
    let snapshot = world.snapshots.get(usize::from(ns));
    let live = snapshot.map_or(Live::nothing(), |s| Live::of(&world.host, s));
    explanation(&knowledge::render(document, live), width)
}
