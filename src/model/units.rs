//! Numbers as people read them: amounts of data, time spans, counts.

use std::fmt::{self, Write as _};
use std::time::Duration;

/// An amount of memory or data as people read it: exact up to six digits, then in units of 1024.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000_000 {
            return write!(f, "{}", self.0);
        }
        let mut amount = self.0 as f64 / 1024.0;
        for unit in ["Ki", "Mi", "Gi", "Ti", "Pi"] {
            if amount < 999.5 {
                let digits = usize::from(amount < 9.95);
                return write!(f, "{amount:.digits$}{unit}");
            }
            amount /= 1024.0;
        }
        write!(f, "{amount:.0}Ei")
    }
}

/// A time span as people read it: two units at most, `950ms`, `1.2s`, `59s`, `1m12s`, `3d4h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    millis: u64,
}

impl Span {
    /// A span of milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    /// A span of seconds; negative is nothing.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at the ends")]
    pub fn from_seconds(seconds: f64) -> Self {
        Self { millis: (seconds * 1000.0) as u64 }
    }
}

impl From<Duration> for Span {
    fn from(time: Duration) -> Self {
        Self { millis: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, s) = (self.millis, self.millis / 1000);
        match s {
            0 if ms == 0 => f.write_str("0s"),
            0 => write!(f, "{ms}ms"),
            1..10 if ms % 1000 >= 100 => write!(f, "{s}.{}s", ms % 1000 / 100),
            1..60 => write!(f, "{s}s"),
            60..3600 => write!(f, "{}m{:02}s", s / 60, s % 60),
            3600..86_400 => write!(f, "{}h{:02}m", s / 3600, s % 3600 / 60),
            _ => write!(f, "{}d{}h", s / 86_400, s % 86_400 / 3600),
        }
    }
}

/// A part of a whole in percent, as people read it. What is not full never reads 100 %, what is not empty never 0 %: it is
/// cut and not rounded. With `{:#}` a small part has a decimal.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Percent(pub f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A hair more than nothing: 0.29 * 100 is less than 29.
        let percent = self.0 * 100.0 + 1e-9;
        let (digits, least) = if f.alternate() { (1, 0.1) } else { (0, 1.0) };
        f.pad(&match percent {
            _ if self.0 <= 0.0 => "0%".to_owned(),
            p if p < least => format!("<{least}%"),
            p if p < 10.0 => format!("{:.digits$}%", (p / least).floor() * least),
            p if p < 1000.0 => format!("{:.0}%", p.floor()),
            _ => ">999%".to_owned(),
        })
    }
}

/// What follows the name of a thing that there are so many of.
#[must_use]
pub fn plural<T: Copy + PartialEq + From<u8>>(n: T) -> &'static str {
    if n == T::from(1) { "" } else { "s" }
}

/// A part of a whole to the thousandth, cut: more would be noise, and 1 is only what is full.
#[must_use]
pub fn thousandths(part: f64) -> f64 {
    (part * 1000.0 + 1e-9).floor() / 1000.0
}

/// A count as people read it, in groups of three digits: `12 418`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups = [0_u64; 7];
        let mut rest = self.0;
        let mut used = 0;
        for group in &mut groups {
            *group = rest % 1000;
            rest /= 1000;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        let mut text = String::with_capacity(27);
        for (at, group) in groups.iter().take(used).rev().enumerate() {
            if at == 0 {
                write!(text, "{group}")?;
            } else {
                write!(text, " {group:03}")?;
            }
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_use_two_units_at_most() {
        let shown = [0, 1, 950, 1000, 1_234, 9_999, 59_999, 72_000, 7_500_000, 273_600_000]
            .map(|ms| Span::from_millis(ms).to_string());
        assert_eq!(shown, ["0s", "1ms", "950ms", "1s", "1.2s", "9.9s", "59s", "1m12s", "2h05m", "3d4h"]);
        assert_eq!(Span::from_seconds(-1.0).to_string(), "0s");
        assert_eq!(Span::from_seconds(f64::NAN).to_string(), "0s");
    }

    #[test]
    fn bytes_are_exact_while_they_fit_and_never_wider_than_six() {
        assert_eq!(Bytes(999_999).to_string(), "999999");
        assert_eq!(Bytes(1_000_000).to_string(), "977Ki");
        assert_eq!(Bytes(6 << 20).to_string(), "6.0Mi");
        for shift in 0..64 {
            for n in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                assert!(Bytes(n).to_string().len() <= 6, "{n}: {}", Bytes(n));
            }
        }
    }

    #[test]
    fn only_what_is_full_is_100_percent_and_only_what_is_empty_is_0() {
        let parts = [0.0, 0.0004, 0.004, 0.031, 0.0999, 0.29, 0.896, 0.9999, 1.0, 1.5, 12.0];
        let shown = parts.map(|x| Percent(x).to_string());
        let want = ["0%", "<1%", "<1%", "3%", "9%", "29%", "89%", "99%", "100%", "150%", ">999%"];
        assert_eq!(shown, want);
        let fine = parts.map(|x| format!("{:#}", Percent(x)));
        let want = ["0%", "<0.1%", "0.4%", "3.1%", "9.9%", "29%", "89%", "99%", "100%", "150%", ">999%"];
        assert_eq!(fine, want);
        let parts = [0.0, 0.9996, 0.967, 1.0].map(|x| thousandths(x).to_string());
        assert_eq!(parts, ["0", "0.999", "0.967", "1"]);
    }

    #[test]
    fn counts_are_grouped() {
        let shown = [0, 7, 999, 1000, 12_418, 1_000_000, u64::MAX].map(|n| Grouped(n).to_string());
        let want = ["0", "7", "999", "1 000", "12 418", "1 000 000", "18 446 744 073 709 551 615"];
        assert_eq!(shown, want);
        assert_eq!(format!("{:>7}", Grouped(1234)), "  1 234");
    }
}
