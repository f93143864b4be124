//! The list of scenarios. What needs a namespace is among the labs.

use predicates::prelude::*;
use tcptop::lab::scenarios::SCENARIOS;

use crate::{stdout, tcptop};

#[test]
fn without_a_name_every_scenario_is_listed_with_its_summary() {
    let list = stdout(&["lab"]);
    assert_eq!(list.lines().count(), SCENARIOS.len());
    for (line, scenario) in list.lines().zip(SCENARIOS) {
        let words: Vec<_> = line.splitn(2, ' ').map(str::trim).collect();
        assert_eq!(words, [scenario.name, scenario.summary]);
    }
}

#[test]
fn an_unknown_scenario_is_a_usage_error_that_names_the_nearest() {
    let nearest = predicate::str::contains("close-wait-read");
    tcptop(&["lab", "close-wait-red"]).assert().code(2).stdout("").stderr(nearest);
}

#[test]
fn a_command_needs_a_scenario() {
    tcptop(&["lab", "--", "true"]).assert().code(2).stderr(predicate::str::contains("SCENARIO"));
}

#[test]
fn the_programs_of_a_scenario_are_no_command_of_ours() {
    assert!(!stdout(&["--help"]).contains("lab-actor"));
}
