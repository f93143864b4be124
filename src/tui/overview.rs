//! The panes of the first screen: states, limits, ports.

use std::fmt::Write as _;

use ratatui::layout::Rect;

use crate::analysis::{Destination, Limit, LimitId, LimitSubject, MissingLimit, Snapshot};
use crate::model::{Owners, Scope, TcpState};
use crate::query::{Bytes, Column as _, Grouped, PeerColumn, Span};

use super::app::App;
use super::findings;
use super::format::{self, Level};
use super::layout::{Layout, inside};
use super::paint::{self, Canvas};
use super::theme::{Glyphs, Role};

/// A limit that is so high that there is none (`fs.file-max` is the largest number on present kernels).
const UNLIMITED: u64 = 1 << 62;

/// Draws the panes.
pub fn draw(app: &App, layout: &Layout, canvas: &mut Canvas<'_>) {
    let Some(snapshot) = app.world_shown().and_then(|w| w.snapshots.first()) else {
        for (area, title) in [(layout.states, "States"), (layout.limits, "Limits"), (layout.ports, "Ports")] {
            if !layout.compact {
                canvas.frame(area, title);
            }
        }
        return;
    };
    let page_size = app.stream.world().map_or(0, |w| w.host.page_size);
    if layout.compact {
        findings::pane(app, layout, canvas);
        limits_in_words(snapshot, layout.limits, canvas);
        states_in_words(snapshot, layout.states, canvas);
        return;
    }
    // With several namespaces the panes are of the first.
    let of_first = world_has_several(app).then(|| format!(" of {}", snapshot.sample.netns.name));
    let title = |what: &str, room: Rect, canvas: &Canvas<'_>| {
        let whole = format!("{what}{}", of_first.as_deref().unwrap_or_default());
        paint::cut(&whole, room.width.saturating_sub(6), canvas.glyphs()).into_owned()
    };
    canvas.frame(layout.states, &title("States", layout.states, canvas));
    states(snapshot, inside(layout.states), canvas);
    if layout.findings.height > 2 {
        canvas.frame(layout.findings, findings::title_of(app));
        findings::pane(app, layout, canvas);
    }
    canvas.frame(layout.limits, &title("Limits", layout.limits, canvas));
    limits(snapshot, page_size, inside(layout.limits), layout.ports.height > 2, canvas);
    if layout.ports.height > 2 {
        canvas.frame(layout.ports, &title("Ports", layout.ports, canvas));
        ports(snapshot, inside(layout.ports), canvas);
    }
}

fn world_has_several(app: &App) -> bool {
    app.stream.world().is_some_and(|w| w.snapshots.len() > 1)
}

/// States in the order in which they go when there is no room for all: those that are rarely seen first. A state that
/// has sockets is never left out for one that has none.
const LEAVE_FIRST: [TcpState; 12] = [
    TcpState::Close,
    TcpState::BoundInactive,
    TcpState::Closing,
    TcpState::LastAck,
    TcpState::FinWait1,
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::FinWait2,
    TcpState::Listen,
    TcpState::CloseWait,
    TcpState::TimeWait,
    TcpState::Established,
];

/// The states that are shown in so many lines, in reading order, and how many sockets are in others: those have the last
/// line.
fn shown_states(snapshot: &Snapshot, lines: usize) -> (Vec<TcpState>, u32) {
    let all = &snapshot.states.all;
    let occurring = TcpState::ALL.iter().filter(|s| all[**s] > 0).count();
    let states = the_states(snapshot, if occurring > lines { lines.saturating_sub(1) } else { lines });
    let shown: u32 = states.iter().map(|s| all[*s]).sum();
    (states, all.total() - shown)
}

fn the_states(snapshot: &Snapshot, lines: usize) -> Vec<TcpState> {
    let mut states = TcpState::ALL.to_vec();
    // No TCP socket is ever listed as closed, except by a kernel that says so.
    if snapshot.states.all[TcpState::Close] == 0 {
        states.retain(|s| *s != TcpState::Close);
    }
    while states.len() > lines {
        let least = LEAVE_FIRST
            .iter()
            .filter(|s| states.contains(s))
            .min_by_key(|s| snapshot.states.all[**s] > 0)
            .copied();
        states.retain(|s| Some(*s) != least);
    }
    states
}

fn states(snapshot: &Snapshot, area: Rect, canvas: &mut Canvas<'_>) {
    let glyphs = canvas.glyphs();
    let counts = &snapshot.states.all;
    let most = TcpState::ALL.iter().map(|s| counts[*s]).max().unwrap_or(0);
    // Name and count are always there; what room is left goes to the bar, the change and the past.
    let line = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let name = if line.width >= 48 { 14 } else { 11 };
    let count = (paint::width(&Grouped(most.into()).to_string()) + 1).max(7);
    let rest = line.width.saturating_sub(name + count);
    let delta = if rest >= 14 { 6 } else { 0 };
    let spark = if delta > 0 { (rest - delta) * 2 / 5 } else { 0 };
    let bar = rest.saturating_sub(delta + spark + 2);
    let (shown, others) = shown_states(snapshot, usize::from(line.height));
    if others > 0 && line.height > 0 {
        let y = line.bottom() - 1;
        canvas.text(line.x, y, name, "others", Role::Text);
        canvas.right(line.x + name, y, count, &Grouped(others.into()).to_string(), Role::Strong);
    }
    for (state, y) in shown.into_iter().zip(line.y..) {
        let n = counts[state];
        let role = if n == 0 { Role::Dim } else { Role::Text };
        let word = if state == TcpState::BoundInactive && name < 14 { "BOUND" } else { state.name() };
        canvas.text(line.x, y, name, word, role);
        let shown = if n == 0 { glyphs.none.to_owned() } else { Grouped(n.into()).to_string() };
        canvas.right(line.x + name, y, count, &shown, if n == 0 { Role::Dim } else { Role::Strong });
        let mut x = line.x + name + count + 1;
        canvas.bar(x, y, bar, f64::from(n) / f64::from(most.max(1)), Role::Bar);
        x += bar;
        let by = snapshot.delta_of(state).unwrap_or(0);
        let role = if by > 0 { Role::Up } else { Role::Down };
        canvas.right(x, y, delta, &format::change(by, glyphs), role);
        x += delta + 1;
        canvas.spark(x, y, spark, snapshot.history.of(state));
    }
}

/// The states that occur, one after the other, for a small terminal.
fn states_in_words(snapshot: &Snapshot, area: Rect, canvas: &mut Canvas<'_>) {
    let mut x = area.x + 1;
    let mut y = area.y;
    for (state, n) in snapshot.states.all.present() {
        let name = PeerColumn::State(state).spec().title;
        let count = Grouped(n.into()).to_string();
        let width = paint::width(name) + paint::width(&count) + 1;
        if x + width > area.right() && x > area.x + 1 {
            x = area.x + 1;
            y += 1;
        }
        if y >= area.bottom() {
            return;
        }
        x = canvas.text(x, y, area.right().saturating_sub(x), name, Role::Label);
        x = canvas.text(x + 1, y, area.right().saturating_sub(x + 1), &count, Role::Strong) + 2;
    }
}

const fn limit_name(id: LimitId) -> &'static str {
    match id {
        LimitId::EphemeralPorts => "ports",
        LimitId::Conntrack => "conntrack",
        LimitId::TimeWaitBuckets => "TIME_WAIT",
        LimitId::Orphans => "orphans",
        LimitId::TcpMemory => "TCP memory",
        LimitId::OpenFiles => "open files",
        LimitId::AcceptQueue => "accept q",
        LimitId::ProcessFds => "proc fds",
    }
}

/// Used and limit as they are read; TCP counts its memory in pages.
fn used_of(limit: &Limit, page_size: u64) -> String {
    let amount = |n: u64| match limit.id {
        LimitId::TcpMemory if page_size > 0 => Bytes(n.saturating_mul(page_size)).to_string(),
        _ => format::compact(n),
    };
    if limit.max >= UNLIMITED {
        format!("{} of any", amount(limit.used))
    } else {
        format!("{}/{}", amount(limit.used), amount(limit.max))
    }
}

/// Whose limit it is.
fn subject(limit: &Limit, owners: Option<&Owners>, glyphs: &Glyphs) -> String {
    match limit.subject {
        LimitSubject::Only if limit.scope == Scope::Host => "host".to_owned(),
        LimitSubject::Only => String::new(),
        LimitSubject::Destination { peer, .. } => format!("{} {peer}", glyphs.arrow),
        LimitSubject::Listener { local, .. } => local.to_string(),
        LimitSubject::Process { pid } => match owners.and_then(|o| o.by_pid(pid)) {
            Some(process) => format!("{}[{pid}]", process.comm),
            None => format!("pid {pid}"),
        },
    }
}

/// The destination of a limit of ports.
fn destination<'a>(limit: &Limit, snapshot: &'a Snapshot) -> Option<&'a Destination> {
    let LimitSubject::Destination { local, peer } = limit.subject else { return None };
    snapshot.destination(local, peer)
}

/// How soon the ports of this limit run out, as the end of a sentence.
fn soon(limit: &Limit, snapshot: &Snapshot) -> String {
    let time = destination(limit, snapshot).and_then(|d| full_in(snapshot, d));
    time.map(|t| format!(", full in {t}")).unwrap_or_default()
}

/// How many ports more are used and count as free, as the end of a sentence.
fn besides(limit: &Limit, snapshot: &Snapshot) -> String {
    let reusable = destination(limit, snapshot).map_or(0, |d| d.reusable);
    if reusable == 0 { String::new() } else { format!(", {} more reusable", Grouped(reusable.into())) }
}

/// Time until the ports to a destination run out, when that is less than an hour.
fn full_in(snapshot: &Snapshot, d: &Destination) -> Option<String> {
    let seconds = snapshot.ports.exhausted_in_s(d).filter(|s| *s < 3600.0)?;
    Some(Span::from_seconds(seconds.max(1.0).round()).to_string())
}

/// How near something is to its end: the sign and the percentage.
fn nearness(ratio: f64, glyphs: &Glyphs) -> String {
    format!("{}{}", Level::of(ratio).mark(glyphs), format::percent(ratio))
}

/// The same of a limit, which may be nearer where not everything can be seen.
fn nearness_of(limit: &Limit, glyphs: &Glyphs) -> String {
    let ratio = limit.ratio();
    if !limit.at_least {
        return nearness(ratio, glyphs);
    }
    // Nothing is less than "at least 0 %".
    let percent = format::percent(if ratio < 0.01 { 0.0 } else { ratio });
    format!("{}{}{percent}", Level::of(ratio).mark(glyphs), glyphs.at_least)
}

/// The limits for a small terminal: the first ones, and whose they are.
fn limits_in_words(snapshot: &Snapshot, area: Rect, canvas: &mut Canvas<'_>) {
    let glyphs = canvas.glyphs();
    for (limit, y) in snapshot.limits.iter().zip(area.top()..area.bottom()) {
        let mut x = canvas.text(area.x, y, 11, limit_name(limit.id), Role::Label) + 1;
        let room = |x: u16| area.right().saturating_sub(x);
        x = canvas.text(x, y, room(x), &nearness_of(limit, glyphs), Level::of(limit.ratio()).role()) + 1;
        let mut whose = subject(limit, snapshot.owners.as_deref(), glyphs);
        whose.push_str(&soon(limit, snapshot));
        whose.push_str(&besides(limit, snapshot));
        canvas.text(x, y, room(x), &whose, Role::Strong);
    }
}

fn limits(snapshot: &Snapshot, page_size: u64, area: Rect, with_ports: bool, canvas: &mut Canvas<'_>) {
    let glyphs = canvas.glyphs();
    let line = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let (name, percent, used) = (11, 6, 14);
    // A gauge, and whose limit it is where there is room for that.
    let rest = line.width.saturating_sub(name + percent + used + 1);
    let width = if rest < 24 { rest } else { (rest / 3).clamp(8, 16) };
    let room = rest.saturating_sub(width + 2);
    let mut y = line.y;
    for limit in shown_limits(&snapshot.limits, usize::from(line.height), room < SUBJECT) {
        let ratio = limit.ratio();
        let level = Level::of(ratio);
        canvas.text(line.x, y, name, limit_name(limit.id), Role::Label);
        let mut x = line.x + name;
        format::gauge(canvas, x, y, width, ratio);
        x += width;
        canvas.right(x, y, percent, &nearness_of(limit, glyphs), level.role());
        x += percent;
        let mut whose = subject(limit, snapshot.owners.as_deref(), glyphs);
        if !with_ports {
            whose.push_str(&soon(limit, snapshot));
        }
        whose.push_str(&besides(limit, snapshot));
        let role = if limit.subject == LimitSubject::Only { Role::Dim } else { Role::Strong };
        if room >= SUBJECT {
            canvas.right(x + 1, y, used, &used_of(limit, page_size), Role::Text);
            canvas.text(x + used + 3, y, room, &whose, role);
        } else if limit.id == LimitId::EphemeralPorts {
            canvas.right(x + 1, y, used, &used_of(limit, page_size), Role::Text);
            if limit.subject != LimitSubject::Only {
                y += 1;
                canvas.text(line.x + 2, y, line.width.saturating_sub(2), &whose, role);
            }
        } else if role == Role::Strong && level > Level::Calm {
            // Of a limit that is near, whose it is says more than how much.
            canvas.right(x + 1, y, used, &whose, role);
        } else {
            canvas.right(x + 1, y, used, &used_of(limit, page_size), Role::Text);
        }
        y += 1;
    }
    missing(&snapshot.limits_missing, Rect { y, height: line.bottom().saturating_sub(y), ..line }, canvas);
}

/// How many lines all limits take, also those that are not known.
pub(super) fn lines_of_limits(snapshot: &Snapshot) -> usize {
    // Whose the first is can have a line of its own.
    snapshot.limits.len() + snapshot.limits_missing.len() + 1
}

/// How many lines all destinations take, with the range of ports above them.
pub(super) fn lines_of_ports(snapshot: &Snapshot) -> usize {
    snapshot.ports.destinations.len().max(1) + 1
}

/// The narrowest column in which whose limit it is can be said.
const SUBJECT: u16 = 8;

/// The limits for which there are lines, in their order: the first always, of the others those that are nearest. The
/// first takes two lines where there is no column for whose it is.
fn shown_limits(limits: &[Limit], lines: usize, first_takes_two: bool) -> Vec<&Limit> {
    let mut shown: Vec<&Limit> = limits.iter().collect();
    let two = first_takes_two && limits.first().is_some_and(|l| l.subject != LimitSubject::Only);
    let lines = lines.saturating_sub(usize::from(two));
    while shown.len() > lines.max(1) {
        let others = shown.iter().enumerate().skip(1);
        let Some((calmest, _)) = others.min_by(|(_, a), (_, b)| a.ratio().total_cmp(&b.ratio())) else {
            break;
        };
        shown.remove(calmest);
    }
    shown.truncate(lines);
    shown
}

/// What is not known, and why.
fn missing(limits: &[MissingLimit], area: Rect, canvas: &mut Canvas<'_>) {
    for (limit, y) in limits.iter().zip(area.top()..area.bottom()) {
        canvas.text(area.x, y, 11, limit_name(limit.id), Role::Dim);
        canvas.text(area.x + 11, y, area.width.saturating_sub(11), &format!("? {}", limit.why), Role::Dim);
    }
}

fn ports(snapshot: &Snapshot, area: Rect, canvas: &mut Canvas<'_>) {
    let glyphs = canvas.glyphs();
    let ports = &snapshot.ports;
    let line = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
    let Some(range) = &ports.range else {
        canvas.text(line.x, line.y, line.width, "? the range of ephemeral ports is not known", Role::Dim);
        return;
    };
    let mut y = line.y;
    // The range in words, where there is room for more than the worst, or for all.
    if usize::from(line.height) > ports.destinations.len().clamp(1, 4) {
        let mut text =
            format!("{} usable of {}-{}", Grouped(ports.usable.into()), range.start(), range.end());
        for (n, what) in [(ports.reserved, "reserved"), (ports.occupied, "bound")] {
            if n > 0 {
                // Writing to a String cannot fail.
                let _ = write!(text, ", {} {what}", Grouped(n.into()));
            }
        }
        canvas.text(line.x, y, line.width, &text, Role::Dim);
        y += 1;
    }
    if ports.destinations.is_empty() {
        canvas.text(line.x, y, line.width, "no connection uses an ephemeral port", Role::Dim);
        return;
    }
    let width = if line.width >= 64 { 10 } else { 6 };
    for (d, y) in ports.destinations.iter().zip(y..line.bottom()) {
        let ratio = ports.ratio(d);
        format::gauge(canvas, line.x, y, width, ratio);
        let level = Level::of(ratio);
        canvas.right(line.x + width, y, 6, &nearness(ratio, glyphs), level.role());
        canvas.right(line.x + width + 7, y, 6, &Grouped(d.used.into()).to_string(), Role::Text);
        let x = line.x + width + 15;
        let room = line.right().saturating_sub(x);
        let mut end = canvas.text(x, y, room, &format!("{} {}", glyphs.arrow, d.peer), Role::Strong);
        if let Some(time) = full_in(snapshot, d) {
            let room = line.right().saturating_sub(end);
            end = canvas.text(end, y, room, &format!(", full in {time}"), level.role());
        }
        if d.reusable > 0 {
            let text = format!(", {} of them reusable", Grouped(d.reusable.into()));
            end = canvas.text(end, y, line.right().saturating_sub(end), &text, Role::Label);
        }
        canvas.text(end, y, line.right().saturating_sub(end), &format!("  from {}", d.local), Role::Dim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit;

    #[test]
    fn the_ports_and_the_nearest_limits_keep_their_lines() {
        let limit =
            |id, used, subject| Limit { id, used, max: 100, subject, scope: Scope::Host, at_least: false };
        let local = testkit::endpoint("10.0.0.1:80");
        let worst = LimitSubject::Destination { local: local.addr, peer: local };
        let limits = [
            limit(LimitId::EphemeralPorts, 1, worst),
            limit(LimitId::Conntrack, 30, LimitSubject::Only),
            limit(LimitId::Orphans, 2, LimitSubject::Only),
            limit(LimitId::ProcessFds, 83, LimitSubject::Process { pid: 1 }),
        ];
        let ids = |lines, two| shown_limits(&limits, lines, two).iter().map(|l| l.id).collect::<Vec<_>>();
        assert_eq!(ids(4, false).len(), 4);
        assert_eq!(ids(4, true), [LimitId::EphemeralPorts, LimitId::Conntrack, LimitId::ProcessFds]);
        assert_eq!(ids(2, false), [LimitId::EphemeralPorts, LimitId::ProcessFds]);
        assert_eq!(ids(0, false), []);
    }

    #[test]
    fn a_state_that_occurs_is_shown_before_one_that_does_not() {
        let rows = vec![
            testkit::socket(TcpState::Closing, "10.0.0.1:1", "10.0.0.2:2"),
            testkit::socket(TcpState::LastAck, "10.0.0.1:1", "10.0.0.2:3"),
        ];
        let snapshot = testkit::snapshot(testkit::sample(rows));
        assert_eq!(shown_states(&snapshot, 2), (vec![TcpState::LastAck, TcpState::Closing], 0));
        let three = shown_states(&snapshot, 3);
        assert_eq!(three, (vec![TcpState::Established, TcpState::LastAck, TcpState::Closing], 0));
        assert_eq!(shown_states(&snapshot, 99).0.len(), TcpState::ALL.len() - 1);
        assert_eq!(
            shown_states(&snapshot, 1),
            (Vec::new(), 2),
            "what has no line is counted in the last one"
        );
        assert_eq!(shown_states(&snapshot, 0), (Vec::new(), 2));
    }
}
