//! The check for people and for monitoring systems: a summary first, then a line a finding.

use std::io::{self, Write};

use super::{finding, incomplete};
use crate::diagnose::knowledge::{label, title};
use crate::diagnose::{Evidence, Judged, Severity};
use crate::model::{Protocols, plural};

/// What a check says as a whole; its number is the exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Outcome {
    /// Nothing at or above the severity that was asked for.
    Ok = 0,
    /// Warnings.
    Warning = 1,
    /// At least one critical finding.
    Critical = 2,
    /// The machine could not be examined.
    Unknown = 3,
}

impl Outcome {
    /// What the findings of a judged look amount to, if those below `fail_on` are let through.
    #[must_use]
    pub fn of(judged: &Judged, fail_on: Severity) -> Self {
        match finding::all(judged).first().map(|f| f.severity).filter(|s| *s >= fail_on) {
            Some(Severity::Critical) => Self::Critical,
            Some(Severity::Warning | Severity::Info) => Self::Warning,
            None => Self::Ok,
        }
    }

    /// The word that monitoring systems expect.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// What was judged.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// How many rules.
    pub rules: usize,
    /// Whose faults they find.
    pub about: Protocols,
}

/// Writes the last look of a check: a summary, then a line a finding; if `verbose`, the evidence below each, and what
/// could not be judged.
///
/// # Errors
/// Those of the writer.
pub fn write_text(
    judged: &Judged,
    outcome: Outcome,
    extent: Extent,
    verbose: bool,
    mut out: impl Write,
) -> io::Result<()> {
    let found = finding::all(judged);
    let spaces = judged.judgements.iter().zip(&judged.world.snapshots);
    let unjudged: Vec<_> = spaces
        .flat_map(|(judgement, s)| {
            judgement.unjudged().map(move |(rule, why)| (rule, why, &s.sample.netns.name))
        })
        .collect();
    let count = |s: Severity| found.iter().filter(|f| f.severity == s).count();
    let (critical, warning, info) =
        (count(Severity::Critical), count(Severity::Warning), count(Severity::Info));
    write!(out, "{}: ", outcome.name())?;
    // Many a monitoring system shows this line and no other.
    if let Some(worst) = found.first().filter(|_| outcome != Outcome::Ok) {
        // What follows a pipe would be taken for performance data.
        write!(out, "{}: {}; ", worst.finding.rule, title(worst.finding).replace('|', "/"))?;
    }
    write!(
        out,
        "{critical} critical, {warning} warning, {info} information; {} rule{}{}, {} not judged",
        extent.rules,
        plural(extent.rules),
        if extent.about == Protocols::UDP { " about UDP" } else { "" },
        unjudged.len(),
    )?;
    writeln!(
        out,
        "{}",
        if judged.world.unexamined.is_empty() { "" } else { ", not all namespaces examined" }
    )?;
    let several = judged.world.snapshots.len() > 1;
    for f in &found {
        write!(out, "{:<8}  {}: {}", f.severity.name(), f.finding.rule, title(f.finding))?;
        if several {
            write!(out, "  (netns {})", f.netns.name)?;
        }
        writeln!(out)?;
        if verbose {
            for evidence in &f.finding.draft.evidence {
                writeln!(out, "          {}", line(f.finding.rule, evidence))?;
            }
            for rule in &f.finding.explained {
                writeln!(out, "          explains {rule}")?;
            }
        }
    }
    for left_out in incomplete::unexamined(&judged.world) {
        writeln!(out, "not examined  {left_out}")?;
    }
    if verbose {
        for (rule, reason, netns) in unjudged {
            let whose = if several { format!("  (netns {netns})") } else { String::new() };
            writeln!(out, "not judged  {rule}: {reason}{whose}")?;
        }
    }
    out.flush()
}

fn line(rule: &str, evidence: &Evidence) -> String {
    let Evidence { name, value, source, scope } = evidence;
    format!("{}: {value}  ({}, {})", label(rule, name), source.name(), scope.name())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::diagnose::{Draft, Finding, Judgement, NotExamined, Source, Status, Subject, Value};
    use crate::testkit;

    fn judged(severity: Severity, status: Status) -> Judged {
        let evidence = Evidence::new("used", Value::Ratio(0.97), Source::SockDiag).of_host();
        let finding = Finding {
            rule: "orphan-limit",
            draft: Draft::new(severity, Subject::Host, vec![evidence]),
            since: Duration::ZERO,
            status,
            history: Vec::new(),
            explained: vec!["tcp-memory"],
            formerly: Vec::new(),
        };
        let ask_again = vec![NotExamined { rule: "path-mtu", reason: "a second look".into() }];
        let judgement = Judgement { findings: vec![finding], not_examined: Vec::new(), ask_again };
        let mut snapshot = testkit::snapshot(testkit::sample(Vec::new()));
        snapshot.observed = Duration::from_secs(5);
        Judged { world: Arc::new(testkit::world(vec![snapshot])), judgements: vec![judgement] }
    }

    fn text(j: &Judged, verbose: bool) -> String {
        let mut out = Vec::new();
        let extent = Extent { rules: 9, about: Protocols::BOTH };
        write_text(j, Outcome::of(j, Severity::Warning), extent, verbose, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_first_line_is_a_summary_and_each_finding_has_one() {
        let text = text(&judged(Severity::Critical, Status::Firing), false);
        let lines: Vec<_> = text.lines().collect();
        let counts = "1 critical, 0 warning, 0 information; 9 rules, 1 not judged";
        let what = lines[0].strip_prefix("CRITICAL: orphan-limit: ").unwrap().strip_suffix(counts).unwrap();
        assert_eq!(lines[1], format!("critical  orphan-limit: {}", what.strip_suffix("; ").unwrap()));
        assert_eq!(lines.len(), 2, "{text}");
    }

    #[test]
    fn the_summary_is_no_performance_data() {
        let mut j = judged(Severity::Warning, Status::Firing);
        let comm = crate::model::ForeignText::from("a|b=1");
        j.judgements[0].findings[0].draft.subject = Subject::Process { pid: 7, comm };
        j.judgements[0].findings[0].rule = "fd-exhaustion";
        let text = text(&j, false);
        assert!(text.starts_with("WARNING: fd-exhaustion: ") && text.contains("a/b=1[7]"), "{text}");
        assert!(!text.lines().next().unwrap().contains('|'));
    }

    #[test]
    fn a_namespace_that_was_not_looked_into_does_not_pass_silently() {
        let mut j = judged(Severity::Warning, Status::Firing);
        let mut world = (*j.world).clone();
        world.unexamined = vec![testkit::unexamined("web", "operation not permitted")];
        j.world = Arc::new(world);
        let said = text(&j, false);
        assert!(said.lines().next().unwrap().ends_with(", not all namespaces examined"), "{said}");
        assert!(said.contains("\nnot examined  netns web: operation not permitted\n"), "{said}");
        let mut json = Vec::new();
        let extent = Extent { rules: 9, about: Protocols::BOTH };
        crate::report::write_check_json(&j, extent, &mut json).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(said["unexamined_namespaces"][0]["netns"], "web");
    }

    #[test]
    fn verbose_gives_the_reasons() {
        let text = text(&judged(Severity::Warning, Status::Firing), true);
        for want in [
            "used: 97%  (sock_diag, host)",
            "explains tcp-memory",
            "path-mtu: needs a longer observation: a second look",
        ] {
            assert!(text.contains(want), "{want}: {text}");
        }
    }

    #[test]
    fn of_several_namespaces_it_says_where_a_rule_was_not_judged() {
        let mut j = judged(Severity::Warning, Status::Firing);
        let mut other = testkit::sample(Vec::new());
        other.netns = crate::model::Netns { inode: 7, name: "web".into() };
        let mut world = (*j.world).clone();
        world.snapshots.push(Arc::new(testkit::snapshot(other)));
        j.world = Arc::new(world);
        j.judgements.push(j.judgements[0].clone());
        let said = text(&j, true);
        let ends =
            |netns: &str| said.lines().filter(|l| l.starts_with("not judged") && l.ends_with(netns)).count();
        assert_eq!((ends("(netns init)"), ends("(netns web)")), (1, 1), "{said}");
    }

    #[test]
    fn what_is_over_for_a_second_is_information() {
        let cleared = |s| Status::Clearing(Duration::from_secs(s));
        let outcome = |s, fail| Outcome::of(&judged(Severity::Critical, s), fail);
        assert_eq!(outcome(Status::Firing, Severity::Warning), Outcome::Critical);
        assert_eq!(outcome(cleared(5), Severity::Warning), Outcome::Critical);
        assert_eq!(outcome(cleared(4), Severity::Warning), Outcome::Ok);
        let warning = judged(Severity::Warning, Status::Firing);
        assert_eq!(Outcome::of(&warning, Severity::Warning), Outcome::Warning);
        assert_eq!(Outcome::of(&warning, Severity::Critical), Outcome::Ok);
    }
}
