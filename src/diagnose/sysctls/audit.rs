//! The audit: every sysctl that is read, what this kernel would have by itself on this machine, and what to think of it.

use std::borrow::Cow;

use super::table::AUDIT;
use crate::model::sysctl::SPECS;
use crate::model::{Facts, Host, Reading, Scope};

/// What to think of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum AuditVerdict {
    /// It could not be read, or this kernel's own value is not known.
    Unknown,
    /// This kernel's own value for this machine.
    Default,
    /// Changed, and nothing is wrong with that.
    Changed,
    /// It has a price that is seldom wanted.
    Doubtful,
    /// It breaks something.
    Harmful,
}

impl AuditVerdict {
    /// The word on the screen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Default => "default",
            Self::Changed => "changed, harmless",
            Self::Doubtful => "doubtful",
            Self::Harmful => "harmful",
        }
    }
}

/// One sysctl, judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditRow {
    /// Dotted name.
    pub name: &'static str,
    /// Whether each namespace has its own value.
    pub scope: Scope,
    /// The value, or why there is none; absent is not there on this kernel, or not shown in this namespace.
    pub value: Reading<Box<str>>,
    /// What this kernel would have by itself on this machine, where that is known.
    pub default: Option<Box<str>>,
    /// What to think of the value.
    pub verdict: AuditVerdict,
    /// Why, where the value is doubtful or harmful.
    pub why: Option<&'static str>,
    /// The rule that speaks of it, which is also the name of the document.
    pub rule: Option<&'static str>,
}

/// What decides a kernel's own value.
#[derive(Clone, Copy)]
pub(super) struct Machine<'a> {
    pub host: &'a Host,
    pub facts: &'a Facts,
}

impl Machine<'_> {
    /// Major and minor number of the kernel; only for what nothing else tells, because distributions backport.
    pub fn kernel(&self) -> Option<(u32, u32)> {
        let mut parts = self.host.kernel.raw().split(|c: char| !c.is_ascii_digit());
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }

    /// Another sysctl as a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.facts.sysctls.number(name)
    }

    /// Buckets of the table of connections. The kernel tells since 6.1, with a minus sign where a namespace shares the
    /// host's; else it is one bucket for 128 KiB of memory, a power of two, at most 524288 (`tcp_init`).
    fn ehash(&self) -> Option<(i64, f64)> {
        if let Some(entries) = self.number("net.ipv4.tcp_ehash_entries").filter(|n| *n != 0) {
            return Some((entries.saturating_abs(), 0.0));
        }
        let buckets = (self.host.memory_bytes >> 17).max(1).next_power_of_two().min(524_288);
        // The memory at boot can stand on the other side of a power of two.
        (self.host.memory_bytes > 0).then_some((i64::try_from(buckets).ok()?, 1.0))
    }

    fn pages(&self) -> Option<i64> {
        let pages = self.host.memory_bytes.checked_div(self.host.page_size)?;
        i64::try_from(pages).ok().filter(|n| *n > 0)
    }
}

/// A kernel's own value.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Own {
    pub text: Cow<'static, str>,
    /// How far from it a value may be and still be it: 0 where it is exact, a part of it where it follows from the memory
    /// that the kernel found at boot.
    pub slack: f64,
}

impl Own {
    fn exact(text: &'static str) -> Self {
        Self { text: text.into(), slack: 0.0 }
    }

    fn numbers(values: &[i64], slack: f64) -> Self {
        let words: Vec<String> = values.iter().map(i64::to_string).collect();
        Self { text: words.join(" ").into(), slack }
    }

    /// Whether a value is this one.
    pub fn is(&self, value: &str) -> bool {
        if value.split_ascii_whitespace().eq(self.text.split_ascii_whitespace()) {
            return true;
        }
        let (Some(own), Some(value)) = (numbers(&self.text), numbers(value)) else { return false };
        self.slack > 0.0
            && own.len() == value.len()
            && own.iter().zip(&value).all(|(o, v)| !self.is_above(*o, *v) && !self.is_above(*v, *o))
    }

    /// Whether `n` of its numbers is clearly above `value`.
    pub fn exceeds(&self, n: usize, value: i64) -> bool {
        numbers(&self.text).and_then(|own| own.get(n).copied()).is_some_and(|own| self.is_above(own, value))
    }

    #[expect(clippy::cast_precision_loss, reason = "a comparison with slack")]
    fn is_above(&self, a: i64, b: i64) -> bool {
        a as f64 > b as f64 * (1.0 + self.slack)
    }
}

/// How a kernel's own value is known.
#[derive(Clone, Copy)]
pub(super) enum Known {
    /// It depends on how the kernel was built, or on what is unknown.
    No,
    /// It is no setting: the kernel says a number.
    ReadOnly,
    /// The same on every kernel.
    Fixed(&'static str),
    /// From a version on; the first line from 0.0.
    Since(&'static [(u32, u32, &'static str)]),
    /// Any of these, by the build.
    OneOf(&'static [&'static str]),
    /// It follows from the machine.
    Computed(fn(&Machine<'_>) -> Option<Own>),
}

impl Known {
    /// This kernel's own value; `value` is what is set, for what cannot be changed or has several.
    fn own(self, machine: &Machine<'_>, value: &str) -> Option<Own> {
        match self {
            Self::No => None,
            Self::ReadOnly => Some(Own { text: value.to_owned().into(), slack: 0.0 }),
            Self::Fixed(text) => Some(Own::exact(text)),
            Self::Since(lines) => {
                let kernel = machine.kernel()?;
                let line = lines.iter().rev().find(|(major, minor, _)| kernel >= (*major, *minor))?;
                Some(Own::exact(line.2))
            }
            Self::OneOf(texts) => {
                texts.iter().find(|t| **t == value).or(texts.first()).map(|t| Own::exact(t))
            }
            Self::Computed(of) => of(machine),
        }
    }
}

/// An opinion of a value: doubtful or harmful, and why.
pub(super) type Opinion = Option<(AuditVerdict, &'static str)>;

/// One line of the audit.
#[derive(Clone, Copy)]
pub(super) struct Audit {
    pub name: &'static str,
    pub rule: Option<&'static str>,
    pub own: Known,
    /// What is wrong with these numbers; given this kernel's own value where it is known.
    pub judge: fn(&Machine<'_>, &[i64], Option<&Own>) -> Opinion,
}

/// The white-space separated numbers of a value.
pub(super) fn numbers(text: &str) -> Option<Vec<i64>> {
    text.split_ascii_whitespace().map(|w| w.parse().ok()).collect()
}

/// Judges every sysctl of [`SPECS`], in its order.
#[must_use]
pub fn audit(host: &Host, facts: &Facts) -> Vec<AuditRow> {
    let machine = Machine { host, facts };
    SPECS
        .iter()
        .map(|spec| {
            let value = facts.sysctls.reading(spec.name).clone();
            let mut row = AuditRow {
                name: spec.name,
                scope: spec.scope,
                value,
                default: None,
                verdict: AuditVerdict::Unknown,
                why: None,
                rule: None,
            };
            if let Some(line) = AUDIT.iter().find(|a| a.name == spec.name) {
                judge(line, &machine, &mut row);
            }
            row
        })
        .collect()
}

fn judge(line: &Audit, machine: &Machine<'_>, row: &mut AuditRow) {
    row.rule = line.rule;
    let Some(value) = row.value.known() else { return };
    let own = line.own.own(machine, value);
    let opinion = numbers(value).and_then(|n| (line.judge)(machine, &n, own.as_ref()));
    (row.verdict, row.why) = match (opinion, &own) {
        (Some((verdict, why)), _) => (verdict, Some(why)),
        (None, Some(own)) if own.is(value) => (AuditVerdict::Default, None),
        (None, Some(_)) => (AuditVerdict::Changed, None),
        (None, None) => (AuditVerdict::Unknown, None),
    };
    row.default = own.map(|o| o.text.into());
}

/// Half of the buckets: `tcp_max_tw_buckets`, `tcp_max_orphans` (`tcp_init`, `tcp_set_hashinfo`).
pub(super) fn half_of_buckets(m: &Machine<'_>) -> Option<Own> {
    m.ehash().map(|(n, slack)| Own::numbers(&[n / 2], slack))
}

/// `tcp_max_syn_backlog`.
pub(super) fn syn_backlog(m: &Machine<'_>) -> Option<Own> {
    m.ehash().map(|(n, slack)| Own::numbers(&[(n / 128).max(128)], slack))
}

const OF_MEMORY: f64 = 0.05;

/// 4.68, 6.25 and 9.37 % of the memory, in pages (`tcp_init_mem`).
pub(super) fn tcp_mem(m: &Machine<'_>) -> Option<Own> {
    m.pages().map(|pages| pressure(pages / 16))
}

/// Twice as much (`udp_init`).
pub(super) fn udp_mem(m: &Machine<'_>) -> Option<Own> {
    m.pages().map(|pages| pressure(pages / 8))
}

fn pressure(limit: i64) -> Own {
    let limit = limit.max(128);
    Own::numbers(&[limit / 4 * 3, limit, limit / 4 * 6], OF_MEMORY)
}

/// The third number is at most a 128th of the memory (`tcp_init`).
pub(super) fn tcp_rmem(m: &Machine<'_>) -> Option<Own> {
    let kernel = m.kernel()?;
    let usual = if kernel >= (4, 20) { 131_072 } else { 87_380 };
    let largest = if kernel >= (6, 16) { 32 << 20 } else { 6 << 20 };
    buffer(m, usual, largest)
}

/// As [`tcp_rmem`].
pub(super) fn tcp_wmem(m: &Machine<'_>) -> Option<Own> {
    buffer(m, 16_384, 4 << 20)
}

fn buffer(m: &Machine<'_>, usual: i64, largest: i64) -> Option<Own> {
    let share = i64::try_from(m.host.memory_bytes / 128).ok().filter(|n| *n > 0)?;
    let slack = if share > largest { 0.0 } else { OF_MEMORY };
    Some(Own::numbers(&[4096, usual, largest.min(share).max(usual)], slack))
}

/// Buckets of the conntrack table (`nf_conntrack_init_start`).
pub(super) fn conntrack_buckets(m: &Machine<'_>) -> Option<Own> {
    let (few, many) = if m.kernel()? >= (5, 15) { (65_536, 262_144) } else { (16_384, 65_536) };
    let gib = m.host.memory_bytes >> 30;
    let buckets = match gib {
        4.. => many,
        1..4 => few,
        // Below, a 16384th of the memory in list heads of 8 bytes.
        0 => i64::try_from(m.host.memory_bytes / 16_384 / 8).ok().filter(|n| *n > 0)?.max(1024),
    };
    Some(Own::numbers(&[buckets], OF_MEMORY))
}

/// One entry for a bucket since 5.15, four before.
pub(super) fn conntrack_max(m: &Machine<'_>) -> Option<Own> {
    let buckets = m.number("net.netfilter.nf_conntrack_buckets")?;
    let factor = if m.kernel()? >= (5, 15) { 1 } else { 4 };
    Some(Own::numbers(&[buckets.saturating_mul(factor)], 0.0))
}

/// A tenth of the memory in KiB (`files_maxfiles_init`).
pub(super) fn file_max(m: &Machine<'_>) -> Option<Own> {
    let files = i64::try_from(m.host.memory_bytes / 10_240).ok().filter(|n| *n > 0)?;
    Some(Own::numbers(&[files.max(8192)], OF_MEMORY))
}

#[cfg(test)]
mod tests;
