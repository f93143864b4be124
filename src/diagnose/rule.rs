//! What a rule is, and what it may see.

use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::details::Details;
use super::finding::{Draft, Severity, Subject};
use super::survey::Survey;
use super::sysctls::AuditRow;
use super::thresholds::{Section, ThresholdError, Thresholds, ascending};
use crate::analysis::Snapshot;
use crate::model::{Host, Owners, Protocols};

/// The family of a rule: the file that it lives in and the heading under which it is listed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Family {
    /// The socket tables.
    Sockets,
    /// Limits and counters.
    Counters,
    /// The sysctl audit.
    Sysctls,
}

/// How the tests make a rule fire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proven {
    /// In the lab scenario of this name.
    Lab(&'static str),
    /// On written samples, because a real fault would harm the machine; the reason.
    Sample(&'static str),
}

/// One line of the registry.
#[derive(Clone, Copy, Debug)]
pub struct RuleSpec {
    /// Public id, also the name of its document and of its table of thresholds.
    pub id: &'static str,
    /// Family.
    pub family: Family,
    /// Whose faults it finds: those of TCP, of UDP, or what both suffer from.
    pub about: Protocols,
    /// How it is tested on a real kernel.
    pub proven: Proven,
    /// Makes the rule with its thresholds.
    pub build: fn(&Thresholds) -> Result<Box<dyn Rule>, ThresholdError>,
}

/// What came of judging.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// Nothing is wrong.
    Quiet,
    /// Something is.
    Fires(Vec<Draft>),
    /// Needs another look; what for.
    AskAgain(&'static str),
    /// Cannot be judged; why.
    NotExamined(String),
}

impl Verdict {
    /// Fires if there are drafts.
    #[must_use]
    pub fn of(drafts: Vec<Draft>) -> Self {
        if drafts.is_empty() { Self::Quiet } else { Self::Fires(drafts) }
    }

    /// The same; without drafts a longer observation is asked for if it could still show something.
    #[must_use]
    pub fn of_or_again(drafts: Vec<Draft>, again: bool, what: &'static str) -> Self {
        if drafts.is_empty() && again { Self::AskAgain(what) } else { Self::of(drafts) }
    }
}

/// What a rule may see.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The machine.
    pub host: &'a Host,
    /// The namespace now.
    pub snapshot: &'a Snapshot,
    /// What one pass over the rows of the snapshot found.
    pub survey: &'a Survey,
    /// Who holds which socket; `None` while it is not known yet.
    pub owners: Option<&'a Owners>,
    /// The sysctls of the namespace, judged.
    pub audit: &'a [AuditRow],
    /// Answers to the questions of [`Rule::wants`].
    pub details: &'a Details,
    /// What holds now, for hysteresis.
    pub held: &'a Held,
}

/// Severities of the findings that hold, by rule and subject.
#[derive(Clone, Default, Debug)]
pub struct Held(pub(super) FxHashMap<(&'static str, Subject), Severity>);

impl Held {
    /// The severity at which a finding holds.
    #[must_use]
    pub fn severity(&self, rule: &'static str, subject: &Subject) -> Option<Severity> {
        self.0.get(&(rule, subject.clone())).copied()
    }
}

/// The levels of one number.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Levels {
    /// From here it is information.
    pub info: Option<f64>,
    /// From here a warning.
    pub warning: Option<f64>,
    /// From here critical.
    pub critical: Option<f64>,
}

/// Thresholds of a rule that grades the used part of a limit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ratios {
    warning_ratio: f64,
    critical_ratio: f64,
}

impl Section for Ratios {
    fn check(&self) -> Result<(), String> {
        ascending(&[
            ("0", 0.0),
            ("warning_ratio", self.warning_ratio),
            ("critical_ratio", self.critical_ratio),
        ])
    }
}

impl Levels {
    /// A finding clears at this part of the level at which it fired.
    const CLEARS_AT: f64 = 0.9;

    /// The levels of a rule whose thresholds are `warning_ratio` and `critical_ratio`.
    pub(super) fn of_ratios(thresholds: &Thresholds, rule: &'static str) -> Result<Self, ThresholdError> {
        let Ratios { warning_ratio, critical_ratio } = thresholds.section(rule)?;
        Ok(Self { info: None, warning: Some(warning_ratio), critical: Some(critical_ratio) })
    }

    /// The severity of `value`, given the severity at which the finding holds already: what fired stays until the number is
    /// clearly below its level, so that a number on the edge does not flicker.
    #[must_use]
    pub fn grade(self, value: f64, held: Option<Severity>) -> Option<Severity> {
        let reaches = |level: Option<f64>, severity: Severity| {
            let level = level?;
            let level = if held >= Some(severity) { level * Self::CLEARS_AT } else { level };
            (value >= level).then_some(severity)
        };
        reaches(self.critical, Severity::Critical)
            .or_else(|| reaches(self.warning, Severity::Warning))
            .or_else(|| reaches(self.info, Severity::Info))
    }
}

/// A rule: code that decides. One instance judges one namespace and may remember earlier looks.
pub trait Rule: Send {
    /// Rows (indices into the table) whose `tcp_info` it needs at this look, most important first. Asked before
    /// [`Rule::judge`] of the same look, within a budget shared by all rules.
    fn wants(&mut self, _context: &Context<'_>) -> Vec<u32> {
        Vec::new()
    }

    /// Judges one look.
    fn judge(&mut self, context: &Context<'_>) -> Verdict;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_on_the_edge_does_not_flicker() {
        let levels = Levels { info: Some(50.0), warning: Some(80.0), critical: Some(95.0) };
        let grade = |v, held| levels.grade(v, held);
        assert_eq!(grade(49.9, None), None);
        assert_eq!(grade(50.0, None), Some(Severity::Info));
        assert_eq!(grade(80.0, None), Some(Severity::Warning));
        assert_eq!(grade(79.0, Some(Severity::Info)), Some(Severity::Info));
        assert_eq!(grade(79.0, Some(Severity::Warning)), Some(Severity::Warning));
        assert_eq!(grade(71.0, Some(Severity::Warning)), Some(Severity::Info));
        assert_eq!(grade(86.0, Some(Severity::Critical)), Some(Severity::Critical));
        assert_eq!(grade(44.0, Some(Severity::Critical)), None);
    }
}
