//! The rules that gave no answer, for people: why, and which.

use super::table::Table;
use crate::diagnose::Judgement;
use crate::query::Align::Left;

/// How many columns the names of rules take.
const WIDTH: usize = 60;

/// The rules with their reasons: first what a longer look would tell, then what cannot be known here; what few rules say
/// before what many say.
pub(super) fn table(judgement: &Judgement) -> Table<2> {
    let mut table = Table::new([("NOT JUDGED", Left), ("WHY", Left)]);
    for (kind, prefix) in [(&judgement.ask_again, "takes longer: "), (&judgement.not_examined, "")] {
        let mut reasons: Vec<(&str, Vec<&'static str>)> = Vec::new();
        for rule in kind {
            match reasons.iter_mut().find(|(reason, _)| *reason == rule.reason) {
                Some((_, rules)) => rules.push(rule.rule),
                None => reasons.push((&rule.reason, vec![rule.rule])),
            }
        }
        reasons.sort_by_key(|(_, rules)| rules.len());
        for (reason, rules) in reasons {
            let mut reason = format!("{prefix}{reason}");
            for line in wrapped(&rules) {
                table.push([line, std::mem::take(&mut reason)]);
            }
        }
    }
    table
}

/// Names behind one another, in lines that are not much longer than [`WIDTH`].
fn wrapped(rules: &[&str]) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (n, rule) in rules.iter().enumerate() {
        let comma = if n + 1 < rules.len() { ", " } else { "" };
        match lines.last_mut() {
            Some(line) if line.is_empty() || line.len() + rule.len() <= WIDTH => {
                line.push_str(rule);
                line.push_str(comma);
            }
            _ => lines.push(format!("{rule}{comma}")),
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::NotExamined;

    fn written(judgement: &Judgement) -> Vec<String> {
        let mut out = Vec::new();
        table(judgement).write(&mut out, "", "").unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_rule_stands_beside_its_reason_and_what_was_seen_stands_first() {
        let not = |rule, reason: &str| NotExamined { rule, reason: reason.into() };
        let counters = ["conntrack-full", "conntrack-clash", "paws-drops", "backlog-drops", "nic-drops"];
        let mut ask_again: Vec<_> = counters.map(|rule| not(rule, "a second look")).into();
        ask_again.push(not("accept-queue-full", "whether a queue stays filled"));
        let not_examined = vec![not("orphan-limit", "not shown here")];
        let lines = written(&Judgement { not_examined, ask_again, ..Judgement::default() });
        let stands = |line: &str, rules: &str, why: &str| line.starts_with(rules) && line.ends_with(why);
        assert!(
            stands(&lines[1], "accept-queue-full  ", "  takes longer: whether a queue stays filled"),
            "{lines:#?}"
        );
        assert!(
            stands(&lines[2], "conntrack-full, conntrack-clash, ", "  takes longer: a second look"),
            "{lines:#?}"
        );
        assert_eq!(lines[3].trim_end(), "nic-drops");
        assert!(stands(&lines[4], "orphan-limit  ", "  not shown here"), "{lines:#?}");
    }

    #[test]
    fn many_names_take_several_lines_and_none_is_lost() {
        let rules = ["retransmission-storm"; 9];
        let lines = wrapped(&rules);
        assert!(lines.len() > 1 && lines.iter().all(|l| l.len() <= WIDTH + 2), "{lines:?}");
        assert_eq!(lines.join(" "), rules.join(", "));
        assert!(written(&Judgement::default()).len() == 1, "the header alone");
    }
}
