//! Pages of text: the help and the detail of a socket. Lines are made for a width and can be scrolled.

use std::sync::Arc;

use crate::analysis::Snapshot;
use crate::model::{
    Names, Protocol, RowFlags, SkMemInfo, SocketDetail, SocketOptions, SocketRow, TcpInfo, TcpState,
};
use crate::query::{Bytes, Cell, Column, ColumnId, Grouped, Sort, Span, cell};

use super::app::{App, Overlay};
use super::command;
use super::detail::DetailPage;
use super::explain;
use super::findings;
use super::format;
use super::index::{Query, snapshot};
use super::keepalive;
use super::kernel;
use super::keymap::{Action, Binding, Context, KEYMAP, When};
use super::layout::Layout;
use super::names;
use super::notes::notes;
use super::options;
use super::page::Page;
use super::paint::{self, Canvas};
use super::screen::Screen;
use super::table;
use super::theme::{Glyphs, Role};
use super::topic::TopicPage;

/// A line: pieces that follow each other.
pub type Line = Vec<(String, Role)>;

/// Where the values of a detail start.
pub(super) const VALUE_AT: u16 = 14;

/// Draws the open text.
pub fn draw(app: &App, layout: &Layout, canvas: &mut Canvas<'_>) {
    let (title, first) = match (app.overlay, app.trail.last()) {
        (Some((Overlay::Help, first)), _) => ("Help", first),
        (Some((Overlay::Command, first)), _) => ("As a command of ss", first),
        (None, Some(Page::Detail(detail))) => ("Socket", detail.scroll),
        (None, Some(Page::Keepalive(page))) => ("Keepalive", page.scroll),
        (None, Some(Page::Topic(topic))) => (topic_title(topic), topic.scroll),
        (Some((Overlay::Closing, _)) | None, _) => return,
    };
    canvas.frame(layout.text_frame, title);
    let area = layout.text;
    let lines = lines(app, area.width, canvas.glyphs());
    if lines.len() > usize::from(area.height) && layout.text_frame.height > 0 {
        let last = (first + usize::from(area.height)).min(lines.len());
        let place = format!(" {}-{last} of {} ", first + 1, lines.len());
        let width = paint::width(&place);
        if layout.text_frame.width > width + 16 {
            canvas.text(layout.text_frame.right() - 2 - width, layout.text_frame.y, width, &place, Role::Dim);
        }
    }
    for (line, y) in lines.iter().skip(first).zip(area.top()..area.bottom()) {
        let mut x = area.x;
        for (text, role) in line {
            x = canvas.text(x, y, area.right().saturating_sub(x), text, *role);
        }
    }
}

/// How many lines the open text has.
#[must_use]
pub fn height(app: &App) -> usize {
    // The number of lines does not depend on the characters of the terminal.
    lines(app, Layout::of(app).text.width, &super::theme::UNICODE).len()
}

fn lines(app: &App, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    match (app.overlay, app.trail.last()) {
        (Some((Overlay::Help, _)), _) => help(app, width, glyphs),
        (Some((Overlay::Command, _)), _) => command::page(app, width),
        (None, Some(Page::Detail(page))) => detail(page, app.naming.names(), width, glyphs),
        (None, Some(Page::Keepalive(page))) => keepalive::lines(page, width, glyphs),
        (None, Some(Page::Topic(page))) if matches!(page.query, Query::Finding(_)) => {
            findings::page(page, width, glyphs)
        }
        (None, Some(Page::Topic(page))) => kernel::page(page, width, glyphs),
        (Some((Overlay::Closing, _)) | None, _) => Vec::new(),
    }
}

const fn topic_title(topic: &TopicPage) -> &'static str {
    match topic.query {
        Query::Sysctl(..) => "Sysctl",
        Query::Counter(..) => "Counter",
        _ => "Finding",
    }
}

pub(super) fn title(text: &str) -> Line {
    vec![(text.to_owned(), Role::Title)]
}

/// Breaks a text at spaces.
#[must_use]
pub fn wrap(text: &str, width: u16) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut();
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if paint::width(line).saturating_add(paint::width(word) + 1) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A term and its explanation, broken into lines.
pub(super) fn entry(term: &str, at: u16, text: &str, role: Role, width: u16) -> Vec<Line> {
    let room = width.saturating_sub(at).max(8);
    let pad = usize::from(at);
    wrap(text, room)
        .into_iter()
        .enumerate()
        .map(|(n, line)| {
            let term = if n == 0 { term } else { "" };
            let fill = " ".repeat(pad.saturating_sub(usize::from(paint::width(term))));
            vec![(format!("{term}{fill}"), role), (line, Role::Text)]
        })
        .collect()
}

fn help(app: &App, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    let under = App { overlay: None, ..app.clone() };
    let Context { place, .. } = under.context();
    let several = app.stream.whole.as_ref().is_some_and(|look| look.world.snapshots.len() > 1);
    let mut lines = vec![title("Keys that are live here")];
    let entries: Vec<(String, &str)> = KEYMAP
        .iter()
        .filter(|b| b.when.is_live(under.context()) && !matches!(b.action, Action::Go(_)))
        .filter(|b| several || !matches!(b.action, Action::NextNetns | Action::PreviousNetns))
        .map(|b| {
            let names: Vec<_> = b.keys.iter().map(|k| k.name(glyphs)).collect();
            let names = names.join("  ");
            if b.action == Action::Close && app.read_only {
                return (names, "nothing: --read-only forbids to close connections");
            }
            (names, b.help)
        })
        .collect();
    for (keys, help) in &entries {
        lines.extend(entry(keys, 16, help, Role::Key, width));
    }
    let go =
        |b: &Binding| if let Action::Go(screen) = b.action { Some((screen.number(), b.help)) } else { None };
    let mut screens: Vec<_> = KEYMAP.iter().filter_map(go).collect();
    screens.sort_unstable();
    let screens: Vec<String> = screens.iter().map(|(number, help)| format!("{number} {help}")).collect();
    let [first, last] = [Screen::ALL.first(), Screen::ALL.last()].map(|s| s.map_or(0, |s| s.number()));
    lines.extend(entry(&format!("{first}-{last}"), 16, &screens.join(", "), Role::Key, width));
    lines.extend(entry(
        "mouse",
        16,
        "a click selects, a second one opens; on a header it sorts; Shift lets the terminal select text",
        Role::Key,
        width,
    ));
    if place.is_table()
        && let Some(table) = under.table()
    {
        lines.push(Vec::new());
        lines.push(title("Columns"));
        lines.extend(table::visit(table, ColumnHelp { width }).unwrap_or_default());
    }
    lines.push(Vec::new());
    lines.push(title("While a filter is typed"));
    for binding in KEYMAP.iter().filter(|b| b.when == When::FilterLine) {
        let names: Vec<_> = binding.keys.iter().map(|k| k.name(glyphs)).collect();
        lines.extend(entry(&names.join("  "), 16, binding.help, Role::Key, width));
    }
    lines.extend(entry("Ctrl-A E W U K", 16, "as in a shell", Role::Key, width));
    let notes = notes(app);
    if !notes.is_empty() {
        lines.push(Vec::new());
        lines.push(title("What the numbers do not cover"));
        for note in notes {
            lines.extend(wrap(&note.text, width).into_iter().map(|l| vec![(l, Role::Text)]));
        }
    }
    lines
}

struct ColumnHelp {
    width: u16,
}

impl table::Visit for ColumnHelp {
    type Out = Vec<Line>;

    fn visit<'c, C: Column>(
        self,
        columns: &[C],
        _: Sort<C>,
        _: bool,
        _: impl Fn(C, usize) -> Option<Cell<'c>>,
    ) -> Vec<Line> {
        let specs = columns.iter().map(|c| c.spec());
        specs.flat_map(|s| entry(s.title, 16, s.help, Role::Label, self.width)).collect()
    }
}

fn detail(page: &DetailPage, names: Option<&Arc<Names>>, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    let answer = page.kept.answer.as_ref();
    let found = answer.and_then(|a| {
        let id = a.rows.row(0)?;
        let snapshot = snapshot(&a.world, id)?;
        Some((snapshot, snapshot.sample.table.rows.get(id.row as usize)?, id.row as usize))
    });
    let Some((snapshot, row, at)) = found else {
        let text = if page.kept.gone.is_some() { "the socket is closed" } else { "looking for the socket" };
        return vec![vec![(text.to_owned(), Role::Dim)]];
    };
    let mut lines = Vec::new();
    let state = cell(ColumnId::State, snapshot, at).to_string();
    let mut head = vec![(state, Role::Strong)];
    if let Some(since) = page.kept.gone {
        let ago = page.kept.seen.saturating_sub(since).as_secs();
        let when = if ago == 0 { "closed just now".to_owned() } else { format!("closed {ago} s ago") };
        head.push((format!("  {when}; this is what was last seen"), Role::Warning));
    }
    lines.push(head);
    let meaning = match snapshot.sample.protocol {
        Protocol::Tcp => explain::state(row),
        Protocol::Udp => explain::datagram(row),
    };
    lines.extend(wrap(meaning, width).into_iter().map(|l| vec![(l, Role::Label)]));
    lines.push(Vec::new());
    if snapshot.sample.protocol == Protocol::Tcp {
        lines.extend(options::lines(&page.options, row, &snapshot.sample.facts.sysctls, width));
    }
    lines.extend(attributes(snapshot, row, at, names, page.options.known(), width, glyphs));
    match &page.live {
        None => {}
        Some(Some(detail)) => lines.extend(live_lines(detail, width)),
        Some(None) => {
            lines.push(Vec::new());
            lines.extend(wrap(not_found(row.state), width).into_iter().map(|l| vec![(l, Role::Dim)]));
        }
    }
    lines
}

/// Why an exact query finds nothing. It looks among the connections and the listeners (`inet_diag_find_one_icsk` in
/// `net/ipv4/inet_diag.c`), and a mini-socket has no `tcp_info`.
const fn not_found(state: TcpState) -> &'static str {
    match state {
        TcpState::BoundInactive => {
            "No tcp_info: the kernel does not find a socket by an exact query that is bound and neither listens nor is \
             connected; the table lists it."
        }
        TcpState::TimeWait => "No tcp_info: what is left of the connection is a mini-socket, which has none.",
        TcpState::SynRecv | TcpState::FinWait2 => {
            "an exact query found nothing: the socket has just ended, or it is a mini-socket"
        }
        _ => "an exact query found nothing: the socket has just ended",
    }
}

/// What the row of the table says.
fn attributes(
    snapshot: &Snapshot,
    row: &SocketRow,
    at: usize,
    names: Option<&Arc<Names>>,
    known: Option<&SocketOptions>,
    width: u16,
    glyphs: &Glyphs,
) -> Vec<Line> {
    const SHOWN: [(&str, ColumnId); 22] = [
        ("local", ColumnId::Local),
        ("peer", ColumnId::Peer),
        ("process", ColumnId::Process),
        ("unit", ColumnId::Unit),
        ("container", ColumnId::Container),
        ("recv queue", ColumnId::RecvQ),
        ("send queue", ColumnId::SendQ),
        ("dropped", ColumnId::Drops),
        ("more a minute", ColumnId::DropGrowth),
        ("recv buffer", ColumnId::RcvBuf),
        ("send buffer", ColumnId::SndBuf),
        ("timer", ColumnId::Timer),
        ("keepalive", ColumnId::Keepalive),
        ("in state for", ColumnId::Age),
        ("user", ColumnId::User),
        ("uid", ColumnId::Uid),
        ("inode", ColumnId::Inode),
        ("cookie", ColumnId::Cookie),
        ("bound to", ColumnId::Interface),
        ("mark", ColumnId::Mark),
        ("cgroup id", ColumnId::CgroupId),
        ("netns", ColumnId::Netns),
    ];
    let mut lines = Vec::new();
    for (name, column) in SHOWN {
        let value = cell(column, snapshot, at);
        let (text, _) = format::cell(&value, false, glyphs);
        let text = match value {
            // What is known by a name is exactly this address.
            Cell::Endpoint(at) => {
                let called = names.and_then(|names| names::beside(at, names, snapshot));
                called.map_or_else(|| text.clone(), |called| format!("{text} ({called})"))
            }
            _ => text,
        };
        let text = match (column, known) {
            // What was read from the socket is certain.
            (ColumnId::Keepalive, Some(o)) if !text.is_empty() => {
                (if o.keepalive { "on" } else { "off" }).to_owned()
            }
            _ => text,
        };
        let text = if text == glyphs.none { "0".to_owned() } else { text };
        let has_timers = snapshot.sample.protocol == Protocol::Tcp;
        if text.is_empty() && (column != ColumnId::Timer || !has_timers) {
            continue;
        }
        match column {
            ColumnId::Timer => {
                let text = if text.is_empty() { "none".to_owned() } else { text };
                lines.extend(entry(name, VALUE_AT, &text, Role::Label, width));
                let meaning = wrap(explain::timer(row), width.saturating_sub(VALUE_AT).max(8));
                let pad = " ".repeat(usize::from(VALUE_AT));
                lines.extend(meaning.into_iter().map(|l| vec![(format!("{pad}{l}"), Role::Dim)]));
            }
            _ => lines.extend(entry(name, VALUE_AT, &text, Role::Label, width)),
        }
    }
    let facts = [
        (RowFlags::MAPPED, "an IPv6 socket that carries IPv4"),
        (RowFlags::SHUT_RCV, "the peer's FIN has arrived"),
        (RowFlags::SHUT_SND, "our FIN was sent"),
        (RowFlags::BIND_NO_PORT, "IP_BIND_ADDRESS_NO_PORT is set"),
        (RowFlags::V6ONLY, "refuses IPv4 (IPV6_V6ONLY)"),
    ];
    let facts: Vec<&str> = facts.iter().filter(|(f, _)| row.flags.has(*f)).map(|(_, t)| *t).collect();
    if !facts.is_empty() {
        lines.extend(entry("also", VALUE_AT, &facts.join("; "), Role::Label, width));
    }
    lines
}

/// What the exact query says.
fn live_lines(detail: &SocketDetail, width: u16) -> Vec<Line> {
    let mut lines = vec![Vec::new(), title("Asked for just now")];
    let mut say = |name: &str, text: String| lines.extend(entry(name, VALUE_AT, &text, Role::Label, width));
    for (name, text) in [("congestion", &detail.congestion), ("upper layer", &detail.ulp)] {
        if let Some(text) = text {
            say(name, text.to_string());
        }
    }
    if let Some(info) = &detail.info {
        for (name, text) in summary(info) {
            say(name, text);
        }
    }
    if let Some(mem) = detail.mem {
        say("buffers", buffers(mem));
    }
    if let Some(info) = &detail.info {
        lines.push(Vec::new());
        lines.push(title("tcp_info, as the kernel names it"));
        lines.extend(grid(info, width));
    }
    lines
}

fn micros(us: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let ms = us as f64 / 1000.0;
    if ms < 1000.0 { format!("{ms:.1} ms") } else { format!("{:.1} s", ms / 1000.0) }
}

/// The fields that answer the usual questions, in words.
fn summary(info: &TcpInfo) -> Vec<(&'static str, String)> {
    let mut said = Vec::new();
    // The times begin with the connection, whether or not anything moved.
    let moved = |bytes: Option<u64>, ms: Option<u64>| match ms {
        _ if bytes == Some(0) => "never".to_owned(),
        ms => format!("{} ago", ms.map_or("?".to_owned(), |ms| Span::from_millis(ms).to_string())),
    };
    let ago = |ms: Option<u64>| ms.map_or("?".to_owned(), |ms| Span::from_millis(ms).to_string());
    if let (Some(rtt), Some(var)) = (info.rtt(), info.rttvar()) {
        let least = info.min_rtt().filter(|m| *m < u64::from(u32::MAX));
        let least = least.map(|m| format!(", least {}", micros(m))).unwrap_or_default();
        said.push(("round trip", format!("{} ± {}{least}", micros(rtt), micros(var))));
    }
    if let (Some(total), Some(row)) = (info.total_retrans(), info.retransmits()) {
        let lost = info.lost().unwrap_or(0);
        said.push((
            "resent",
            format!("{} segments, {row} timeouts in a row, {lost} held for lost", Grouped(total)),
        ));
    }
    if let (Some(window), Some(flight)) = (info.snd_cwnd(), info.unacked()) {
        let mss = info.snd_mss().unwrap_or(0);
        let peer =
            info.snd_wnd().map(|w| format!("; the peer takes {} bytes", Grouped(w))).unwrap_or_default();
        said.push(("window", format!("{flight} of {window} segments of {mss} bytes in flight{peer}")));
    }
    if let (Some(acked), Some(received)) = (info.bytes_acked(), info.bytes_received()) {
        said.push(("moved", format!("{} bytes out, {} bytes in", Bytes(acked), Bytes(received))));
    }
    said.push((
        "last",
        format!(
            "data out {}, data in {}, acknowledgement {} ago",
            moved(info.bytes_sent(), info.last_data_sent()),
            moved(info.bytes_received(), info.last_data_recv()),
            ago(info.last_ack_recv())
        ),
    ));
    said
}

fn buffers(mem: SkMemInfo) -> String {
    let drops = mem.drops.map(|d| format!("; {} dropped", Grouped(d.into()))).unwrap_or_default();
    format!(
        "receive {} of {}, send {} of {}{drops}",
        Bytes(mem.rmem_alloc.into()),
        Bytes(mem.rcvbuf.into()),
        Bytes(mem.wmem_queued.into()),
        Bytes(mem.sndbuf.into())
    )
}

/// Every field in as many columns as there is room for.
fn grid(info: &TcpInfo, width: u16) -> Vec<Line> {
    const CELL: u16 = 36;
    let fields: Vec<_> = info.iter().collect();
    let across = usize::from((width / CELL).max(1));
    let down = fields.len().div_ceil(across);
    (0..down)
        .map(|y| {
            let row = fields.iter().skip(y).step_by(down.max(1));
            row.flat_map(|(name, value)| {
                [(format!("{name:<20}"), Role::Label), (format!("{:>13}   ", Grouped(*value)), Role::Text)]
            })
            .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_at_spaces_and_keeps_every_word() {
        let text = "a bb ccc dddd averylongwordindeed e";
        let lines = wrap(text, 8);
        assert_eq!(lines, ["a bb ccc", "dddd", "averylongwordindeed", "e"]);
        assert_eq!(wrap("", 8), [""]);
    }

    #[test]
    fn every_field_of_tcp_info_is_in_the_grid_once() {
        let info = TcpInfo::new(&[1; 280]);
        for width in [10, 80, 200] {
            let text: String = grid(&info, width).into_iter().flatten().map(|(t, _)| t).collect();
            for (name, _) in info.iter() {
                let named = text.split_whitespace().filter(|w| *w == name).count();
                assert_eq!(named, 1, "{name} at {width}");
            }
        }
    }
}
