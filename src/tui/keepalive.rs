//! How many connections of a listener, a process or any table of sockets have keepalive, with which times, and who forgets
//! them before it reminds: read from the sockets, on a page of its own.

use std::time::Duration;

use crate::analysis::{DeadOrUnbound, KeepaliveShare};
use crate::model::{ForeignText, SocketOptions, Unlisted};
use crate::query::{ColumnId, Grouped, Selection, SocketQuery, Sort, Span};

use super::format;
use super::index::{Answer, Query};
use super::options::{Asking, OFFER, keepalive_said, noticed_said};
use super::page::seen;
use super::paint;
use super::text::{Line, VALUE_AT, entry, title, wrap};
use super::theme::{Glyphs, Role};

/// How many different settings are shown.
const SETTINGS: usize = 6;

/// The widest bar.
const BAR: usize = 40;

/// Keepalive of many connections.
#[derive(Clone, Debug)]
pub struct KeepalivePage {
    /// What the sockets are called.
    pub title: String,
    /// Which they are.
    pub select: Selection,
    /// The last answer of the index thread: its world is the newest that can be asked about.
    pub answer: Option<Answer>,
    /// What came of asking them.
    pub asking: Asking<Box<KeepaliveShare>>,
    /// When they were asked, by the clock of the samples.
    pub asked_at: Duration,
    /// The first line on the screen.
    pub scroll: usize,
}

impl KeepalivePage {
    /// A page that has asked nobody yet.
    #[must_use]
    pub const fn new(title: String, select: Selection) -> Self {
        Self { title, select, answer: None, asking: Asking::Not, asked_at: Duration::ZERO, scroll: 0 }
    }

    /// What the index thread is asked: only for the newest world.
    #[must_use]
    pub fn query(&self) -> Query {
        let sort = Sort::by(ColumnId::State);
        Query::Sockets(SocketQuery { select: self.select.clone(), sort, want: 1 })
    }
}

/// The lines of the page.
#[must_use]
pub fn lines(page: &KeepalivePage, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    let name = ForeignText::from(page.title.as_str()).to_string();
    let mut lines: Vec<Line> = wrap(&name, width).into_iter().map(|l| vec![(l, Role::Strong)]).collect();
    let said = |text: &str, role| wrap(text, width).into_iter().map(move |l| vec![(l, role)]);
    match &page.asking {
        Asking::Not => {}
        Asking::Offered => {
            lines.push(Vec::new());
            lines.push(title("Ask these connections for their keepalive?"));
            lines.extend(said(OFFER, Role::Warning));
        }
        Asking::Asked => lines.extend(said("asking the sockets", Role::Dim)),
        Asking::Answered(share) => {
            let now = page.answer.as_ref().map_or(page.asked_at, |a| seen(&a.world));
            let ago = now.saturating_sub(page.asked_at).as_secs();
            let ago = if ago == 0 { "just now".to_owned() } else { format!("{ago} s ago") };
            lines.extend(said(&asked(share, &ago), Role::Label));
            lines.extend(answered(share, width, glyphs));
        }
    }
    lines
}

fn count(n: usize) -> Grouped {
    Grouped(u64::try_from(n).unwrap_or(u64::MAX))
}

fn asked(share: &KeepaliveShare, when: &str) -> String {
    let KeepaliveShare { connections, asked, .. } = *share;
    let of = count(connections);
    let asked = if asked < connections {
        format!("{} of {of} connections asked, evenly chosen, {when}", count(asked))
    } else {
        format!("{of} connections asked {when}")
    };
    let others = match share.others {
        0 => String::new(),
        1 => "; 1 other socket here is no open connection".into(),
        n => format!("; {} other sockets here are no open connections", count(n)),
    };
    format!("{asked} (o asks again){others}")
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn answered(share: &KeepaliveShare, width: u16, glyphs: &Glyphs) -> Vec<Line> {
    let mut lines = vec![Vec::new()];
    let asked = share.asked.max(1) as f64;
    let room = usize::from(width).saturating_sub(usize::from(VALUE_AT) + 18).min(BAR);
    let full = glyphs.bar.last().copied().unwrap_or("#");
    for (name, n) in [("without", share.without), ("with", share.with), ("unknown", share.unknown)] {
        let part = n as f64 / asked;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the room")]
        let cells = if n == 0 { 0 } else { ((part * room as f64).round() as usize).max(1) };
        let pad = usize::from(VALUE_AT);
        lines.push(vec![
            (format!("{name:<pad$}"), Role::Label),
            (format!("{:>7} {:>6}  ", count(n).to_string(), format::percent(part)), Role::Text),
            (full.repeat(cells), if name == "without" { Role::Warning } else { Role::Label }),
        ]);
    }
    lines.push(Vec::new());
    lines.extend(settings(share, width));
    if share.read() > 0 {
        lines.extend(forgotten(share, width));
    }
    match &share.listener {
        None => {}
        Some(listener) => {
            let text = match listener {
                Ok(options) => format!(
                    "keepalive {}; what it accepts has the same, unless the program changes it",
                    keepalive_said(options)
                ),
                Err(why) => format!("not known: {why}"),
            };
            lines.extend(entry("the listener", VALUE_AT, &text, Role::Label, width));
            lines.push(Vec::new());
        }
    }
    lines.extend(in_no_table(share, width));
    if !share.unread.is_empty() {
        lines.push(title("Could not be asked; with or without is by the timers that the table shows"));
        for (why, n) in &share.unread {
            let alike = if *n > 1 { " (the first of those alike)" } else { "" };
            let n = count(*n).to_string();
            lines.extend(entry(&n, VALUE_AT, &format!("{why}{alike}"), Role::Warning, width));
        }
    }
    lines
}

/// Sockets in no table: what is left of a connection that a reset or keepalive ended and the program did not close.
fn in_no_table(share: &KeepaliveShare, width: u16) -> Vec<Line> {
    let mut lines = Vec::new();
    if share.in_no_table.is_empty() {
        return lines;
    }
    let text = "TCP sockets in no table: dead and not closed (a leak), or never bound";
    lines.push(title(text));
    for DeadOrUnbound { pid, which, told } in &share.in_no_table {
        let told = match told {
            Ok(Unlisted { state, local: Some(local) }) => format!("{}, was at {local}", state.name()),
            Ok(Unlisted { state, local: None }) => format!("{}, no address", state.name()),
            Err(why) => format!("not known: {why}"),
        };
        let text = format!("process {pid}, socket:[{}]: {told}", which.inode);
        lines.extend(entry(&format!("fd {}", which.fd), VALUE_AT, &text, Role::Label, width));
    }
    lines.push(Vec::new());
    lines
}

/// The settings that were read, and what follows from each.
fn settings(share: &KeepaliveShare, width: u16) -> Vec<Line> {
    let mut lines = Vec::new();
    for (options, n) in share.settings.iter().take(SETTINGS) {
        let SocketOptions { user_timeout, .. } = *options;
        let user_timeout =
            user_timeout.map_or(String::new(), |t| format!("; user timeout {}", Span::from(t)));
        let text = format!("{}{user_timeout}", keepalive_said(options));
        let n = count(*n).to_string();
        lines.extend(entry(&n, VALUE_AT, &text, Role::Strong, width));
        let noticed = format!("dead peer: {}", noticed_said(options));
        lines.extend(entry("", VALUE_AT, &noticed, Role::Label, width));
    }
    let rest: usize = share.settings.iter().skip(SETTINGS).map(|(_, n)| n).sum();
    if rest > 0 {
        let others = share.settings.len() - SETTINGS;
        let text = format!("with {others} other settings");
        lines.extend(entry(&count(rest).to_string(), VALUE_AT, &text, Role::Strong, width));
    }
    if !lines.is_empty() {
        lines.push(Vec::new());
    }
    lines
}

/// Who forgets how many of the connections when they are idle.
fn forgotten(share: &KeepaliveShare, width: u16) -> Vec<Line> {
    let read = share.read();
    let mut lines =
        vec![title("Forgotten while idle, before a first probe, where one of these is in between")];
    let names = share.forgotten().map(|(t, _)| paint::width(t.of)).max().unwrap_or(0);
    for (timeout, n) in share.forgotten() {
        let role = if n == 0 { Role::Dim } else { Role::Text };
        let after = Span::from(timeout.after()).to_string();
        let mut line = vec![
            (format!("{:<1$}", timeout.of, usize::from(names) + 2), Role::Label),
            (format!("{after:>7}  "), Role::Label),
            (format!("{:>7} of {}", count(n).to_string(), count(read)), role),
        ];
        let used: u16 = line.iter().map(|(text, _)| paint::width(text)).sum();
        let range = match timeout.range {
            "" => String::new(),
            "settable" => "  can be set".to_owned(),
            range => format!("  can be set: {range}"),
        };
        if used + paint::width(&range) <= width {
            line.push((range, Role::Dim));
        }
        lines.push(line);
    }
    lines.push(Vec::new());
    lines
}
