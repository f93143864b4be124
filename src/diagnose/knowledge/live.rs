//! What fills the placeholders of a document.

use super::features::Kernel;
use super::words::{processes, value_of};
use crate::analysis::{IDLE_TIMEOUTS, IdleTimeout, Snapshot};
use crate::diagnose::Finding;
use crate::model::{Grouped, Host, Percent, Reading, Span};

/// What is known when a document is shown: the machine, a finding, both or nothing.
#[derive(Clone, Copy, Default)]
pub struct Live<'a> {
    machine: Option<(&'a Host, &'a Snapshot)>,
    finding: Option<&'a Finding>,
}

impl<'a> Live<'a> {
    /// Nothing is known.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { machine: None, finding: None }
    }

    /// This machine, as one of its namespaces shows it.
    #[must_use]
    pub const fn of(host: &'a Host, snapshot: &'a Snapshot) -> Self {
        Self { machine: Some((host, snapshot)), finding: None }
    }

    /// The same, about a finding.
    #[must_use]
    pub const fn with(mut self, finding: &'a Finding) -> Self {
        self.finding = Some(finding);
        self
    }

    pub(super) fn kernel(self) -> Kernel<'a> {
        self.machine.map_or(Kernel::unknown(), |(host, s)| Kernel::of(host, &s.sample.facts.sysctls))
    }

    /// The words for a placeholder in running text.
    pub(super) fn text(self, name: &str) -> String {
        match name.split_once(':') {
            Some((kind, of)) => self.value(kind, of),
            None => self.found(name).unwrap_or_else(|| UNKNOWN.into()),
        }
    }

    /// The words for a placeholder in a command that a person will paste. What is not known, and foreign text that a shell
    /// would not take as one plain word, stays a name to be replaced.
    pub(super) fn code(self, name: &str) -> String {
        let word = |text: String| match text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            // Brackets are a pattern to a shell.
            Some(address) => is_plain_word(address).then(|| format!("'{text}'")),
            None => is_plain_word(&text).then_some(text),
        };
        self.found(name).and_then(word).unwrap_or_else(|| name.to_ascii_uppercase())
    }

    /// The processes of which a command has to name one, where they are several.
    pub(super) fn several_processes(self) -> Option<String> {
        let draft = &self.finding?.draft;
        if value_of(draft, "pid").is_some() { None } else { processes(draft) }
    }

    fn found(self, name: &str) -> Option<String> {
        value_of(&self.finding?.draft, name)
    }

    fn value(self, kind: &str, name: &str) -> String {
        if (kind, name) == ("table", IDLE_TIMEOUTS_TABLE) {
            return idle_timeouts();
        }
        let Some((_, snapshot)) = self.machine else { return UNKNOWN.into() };
        let facts = &snapshot.sample.facts;
        match kind {
            "sysctl" => match facts.sysctls.reading(name) {
                Reading::Known(value) if value.trim().is_empty() => EMPTY.into(),
                Reading::Known(value) => value.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
                Reading::Absent => ABSENT.into(),
                Reading::Unreadable(why) => format!("{UNKNOWN} ({why})"),
            },
            "counter" => match &facts.counters {
                Reading::Known(counters) => {
                    counters.get(name).map_or_else(|| ABSENT.into(), |n| kept(Grouped(n)))
                }
                Reading::Absent => ABSENT.into(),
                Reading::Unreadable(why) => format!("{UNKNOWN} ({why})"),
            },
            "limit" => {
                if let Some(limit) = snapshot.limits.iter().find(|l| l.id.name() == name) {
                    let (used, max) = (kept(Grouped(limit.used)), kept(Grouped(limit.max)));
                    return format!("{used} of {max} ({})", Percent(limit.ratio()));
                }
                let missing = snapshot.limits_missing.iter().find(|l| l.id.name() == name);
                missing.map_or_else(|| ABSENT.into(), |m| format!("{UNKNOWN} ({})", m.why))
            }
            _ => UNKNOWN.into(),
        }
    }
}

/// The table of a placeholder of the kind `table`.
pub(super) const IDLE_TIMEOUTS_TABLE: &str = "idle_timeouts";

/// Who forgets an idle connection after how long.
fn idle_timeouts() -> String {
    let one = |t: &IdleTimeout| {
        let after = Span::from_millis(u64::from(t.seconds) * 1000).to_string();
        format!("{} {}", t.of, after.replace(' ', "\u{a0}"))
    };
    IDLE_TIMEOUTS.iter().map(one).collect::<Vec<_>>().join(", ")
}

const UNKNOWN: &str = "unknown";
const ABSENT: &str = "absent here";
const EMPTY: &str = "empty";

/// A number in groups of digits that a line break does not part.
fn kept(number: Grouped) -> String {
    number.to_string().replace(' ', "\u{a0}")
}

/// Whether a shell takes it as one word and does nothing else with it.
fn is_plain_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '/' | '_' | '-' | '@' | '+' | ','))
}
