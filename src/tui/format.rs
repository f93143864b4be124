//! Numbers as people read them, beyond what a table's cell says by itself.

use std::time::Duration;

use crate::diagnose::{AuditVerdict, Severity};
use crate::query::{Bytes, Cell, Grouped, Percent, Span};

use super::paint::{self, Canvas};
use super::theme::{Glyphs, Role};

/// A change, with its sign: `+12`, `−4`; nothing for no change.
#[must_use]
pub fn change(by: i64, glyphs: &Glyphs) -> String {
    match by {
        0 => String::new(),
        1.. => format!("+{}", Grouped(by.unsigned_abs())),
        _ => format!("{}{}", glyphs.minus, Grouped(by.unsigned_abs())),
    }
}

/// A count in at most six cells: exact below a hundred thousand, rounded above: `65 536`, `262k`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub fn compact(n: u64) -> String {
    if n < 100_000 {
        return Grouped(n).to_string();
    }
    let mut amount = n as f64 / 1e3;
    for unit in ["k", "M", "G", "T", "P"] {
        if amount < 999.5 {
            let digits = usize::from(amount < 9.95);
            return format!("{amount:.digits$}{unit}");
        }
        amount /= 1000.0;
    }
    format!("{amount:.0}E")
}

/// Something per second: one decimal while that says more.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at the ends")]
pub fn per_second(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 {
        format!("{rate:.1}/s")
    } else {
        format!("{}/s", Grouped(rate.round() as u64))
    }
}

/// A part of a whole. What is not full never reads 100 %.
#[must_use]
pub fn percent(ratio: f64) -> String {
    Percent(ratio).to_string().replace('%', " %")
}

/// A short time with a fitting unit: `0.4 ms`, `6 ms`, `1.2 s`.
#[must_use]
pub fn cost(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    match ms {
        _ if ms < 9.95 => format!("{ms:.1} ms"),
        _ if ms < 999.5 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}

/// Whole seconds and larger units, as a span.
#[must_use]
pub fn seconds(time: Duration) -> String {
    Span::from_millis(time.as_secs() * 1000).to_string()
}

/// A value of a table as it stands on the screen, and what it is. Zeros and what does not apply step back.
/// `counts` tells that the numbers of this table count things and are grouped; those of others identify things.
#[must_use]
pub fn cell(cell: &Cell<'_>, counts: bool, glyphs: &Glyphs) -> (String, Role) {
    match cell {
        Cell::Absent => (String::new(), Role::Dim),
        Cell::Unknown => ("?".to_owned(), Role::Dim),
        Cell::Bytes(0) => (glyphs.none.to_owned(), Role::Dim),
        Cell::Count(0) if counts => (glyphs.none.to_owned(), Role::Dim),
        Cell::Rate(r) if r.abs() < 0.05 => (glyphs.none.to_owned(), Role::Dim),
        Cell::Rate(r) => {
            (cell.to_string().replace('-', glyphs.minus), if *r > 0.0 { Role::Up } else { Role::Down })
        }
        Cell::Count(n) if counts => (Grouped(*n).to_string(), Role::Text),
        Cell::AtLeast(n) => (format!("{}{}", glyphs.at_least, Grouped(*n)), Role::Text),
        Cell::Bytes(n) => (Bytes(*n).to_string(), Role::Text),
        Cell::Ratio(r) | Cell::Gauge(r) if *r <= 0.0 => (glyphs.none.to_owned(), Role::Dim),
        Cell::Ratio(r) | Cell::Gauge(r) => {
            let level = Level::of(*r);
            let mark = level.mark(glyphs);
            let text = Percent(*r).to_string();
            (if mark.is_empty() { text } else { format!("{mark}{text}") }, level.role())
        }
        Cell::Age(_) => (cell.to_string().replace('≥', glyphs.at_least), Role::Text),
        Cell::Timer { retrans, .. } => {
            let text = cell.to_string();
            let text = if glyphs.ellipsis.is_ascii() { text.replace('×', "x") } else { text };
            (text, if *retrans > 0 { Role::Notice } else { Role::Text })
        }
        Cell::Severity(severity, over) => {
            let (mark, role) = self::severity(*severity, *over, glyphs);
            (if severity.is_some() { format!("{mark} {cell}") } else { mark.to_owned() }, role)
        }
        Cell::Past(past) => {
            let width = u16::try_from(past.len()).unwrap_or(u16::MAX);
            (heights(past, width, glyphs), Role::Spark)
        }
        Cell::PerSecond(r) if *r <= 0.0 => (glyphs.none.to_owned(), Role::Dim),
        Cell::Verdict(verdict) => {
            let (mark, role) = self::verdict(*verdict, glyphs);
            (if mark.is_empty() { cell.to_string() } else { format!("{mark} {cell}") }, role)
        }
        other => (other.to_string(), Role::Text),
    }
}

/// The newest numbers of a [`Cell::Past`] as heights.
#[must_use]
pub fn heights(past: &[f32], width: u16, glyphs: &Glyphs) -> String {
    paint::sparkline(past.iter().copied().map(f64::from), width, 0.0, glyphs)
}

/// The sign of a verdict and its style.
#[must_use]
pub const fn verdict(verdict: Option<AuditVerdict>, glyphs: &Glyphs) -> (&'static str, Role) {
    match verdict {
        Some(AuditVerdict::Harmful) => (glyphs.warning, Role::Warning),
        Some(AuditVerdict::Doubtful) => (glyphs.notice, Role::Notice),
        Some(AuditVerdict::Changed) => ("", Role::Text),
        Some(AuditVerdict::Default | AuditVerdict::Unknown) | None => ("", Role::Dim),
    }
}

/// Draws the used part of a limit as a bar, in the style of how near it is.
pub fn gauge(canvas: &mut Canvas<'_>, x: u16, y: u16, width: u16, ratio: f64) {
    let level = Level::of(ratio);
    let role = if level == Level::Calm { Role::Bar } else { level.role() };
    canvas.gauge(x, y, width, ratio, role);
}

/// The sign of a finding and its style; what is over and what could not be judged steps back.
#[must_use]
pub const fn severity(severity: Option<Severity>, over: bool, glyphs: &Glyphs) -> (&'static str, Role) {
    match severity {
        _ if over => (glyphs.none, Role::Dim),
        Some(Severity::Critical) => (glyphs.critical, Role::Critical),
        Some(Severity::Warning) => (glyphs.warning, Role::Warning),
        Some(Severity::Info) => (glyphs.notice, Role::Notice),
        None => ("?", Role::Dim),
    }
}

/// How near a limit is. The steps are those of the rule about ephemeral ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Far.
    Calm,
    /// Half is used.
    Half,
    /// Four fifths are used.
    Near,
    /// As good as reached.
    Full,
}

impl Level {
    /// The level of a used part.
    #[must_use]
    pub fn of(ratio: f64) -> Self {
        match ratio {
            r if r >= 0.95 => Self::Full,
            r if r >= 0.8 => Self::Near,
            r if r >= 0.5 => Self::Half,
            _ => Self::Calm,
        }
    }

    /// Its style.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Calm => Role::Text,
            Self::Half => Role::Notice,
            Self::Near => Role::Warning,
            Self::Full => Role::Critical,
        }
    }

    /// Its sign, so that colour is not needed.
    #[must_use]
    pub const fn mark(self, glyphs: &Glyphs) -> &'static str {
        match self {
            Self::Calm => "",
            Self::Half => glyphs.notice,
            Self::Near => glyphs.warning,
            Self::Full => glyphs.critical,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::{ASCII, UNICODE};

    #[test]
    fn changes_carry_their_sign() {
        assert_eq!(change(12_418, &UNICODE), "+12 418");
        assert_eq!(change(-4, &UNICODE), "−4");
        assert_eq!(change(-4, &ASCII), "-4");
        assert_eq!(change(i64::MIN, &ASCII), "-9 223 372 036 854 775 808");
        assert_eq!(change(0, &UNICODE), "");
    }

    #[test]
    fn nothing_but_full_reads_as_full_and_nothing_but_empty_as_empty() {
        assert_eq!(percent(0.9999), "99 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.0001), "<1 %");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(f64::INFINITY), ">999 %");
    }

    #[test]
    fn large_counts_stay_within_six_cells() {
        assert_eq!(compact(65_536), "65 536");
        assert_eq!(compact(262_144), "262k");
        assert_eq!(compact(1_048_576), "1.0M");
        for shift in 0..64 {
            assert!(compact(u64::MAX >> shift).len() <= 6);
        }
    }

    #[test]
    fn rates_and_costs_keep_two_digits() {
        assert_eq!(per_second(0.4), "0.4/s");
        assert_eq!(per_second(31.2), "31/s");
        assert_eq!(per_second(0.0), "0/s");
        assert_eq!(cost(Duration::from_micros(420)), "0.4 ms");
        assert_eq!(cost(Duration::from_millis(1_234)), "1.2 s");
    }

    #[test]
    fn nearness_is_said_with_a_sign() {
        let marks = [0.1, 0.5, 0.8, 0.95].map(|r| Level::of(r).mark(&ASCII));
        assert_eq!(marks, ["", "*", "!", "X"]);
        assert_eq!(cell(&Cell::Ratio(0.967), true, &UNICODE), ("✖96%".to_owned(), Role::Critical));
    }
}
