//! `tcptop check`.

use serde_json::Value;

use super::{Pair, schema, tcptop};

const SCHEMA: &str = include_str!("../../assets/schema/check.schema.json");

/// What `check` prints and its exit code, whatever this machine's health.
fn check(args: &[&str]) -> (String, i32) {
    let done = tcptop(&[&["check"], args].concat()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    (String::from_utf8(done.stdout).unwrap(), done.status.code().unwrap())
}

fn json(args: &[&str]) -> (Value, i32) {
    let (text, code) = check(&[&["--json"], args].concat());
    (serde_json::from_str(&text).expect("JSON"), code)
}

#[test]
fn json_keeps_the_contract_and_agrees_with_the_exit_code() {
    let (answer, code) = json(&[]);
    schema::check(&answer, SCHEMA);
    let observed = answer["observed_ms"].as_u64().unwrap();
    assert!(observed >= 1000, "{observed}");
    let worst = answer["findings"].as_array().unwrap().iter().map(|f| f["severity"].as_str().unwrap());
    let want = worst.map(|s| ["info", "warning", "critical"].iter().position(|n| *n == s).unwrap()).max();
    assert_eq!(usize::try_from(code).unwrap(), want.unwrap_or(0));
}

#[test]
fn the_first_line_is_a_summary_for_monitoring() {
    let (text, code) = check(&["--interval", "0.2", "--rule", "time-wait-overflow"]);
    assert_eq!(code, 0);
    assert_eq!(text, "OK: 0 critical, 0 warning, 0 information; 1 rule, 0 not judged\n");
}

#[test]
fn udp_alone_is_judged_by_its_rules_and_the_answer_says_so() {
    let (text, _) = check(&["-u", "--interval", "0.1"]);
    let summary = text.lines().next().unwrap();
    let (_, rules) = summary.split_once(" information; ").unwrap();
    let (rules, _) = rules.split_once(" rules about UDP, ").expect(summary);
    let all = check(&["-t", "-u", "--interval", "0.1"]).0;
    assert!(!all.contains("about UDP"), "{all}");
    let (_, every) = all.lines().next().unwrap().split_once(" information; ").unwrap();
    let number = |text: &str| text.split(' ').next().unwrap().parse::<u32>().unwrap();
    assert!(0 < number(rules) && number(rules) < number(every), "{summary}: {all}");
    let (answer, _) = json(&["-u", "--interval", "0.1"]);
    schema::check(&answer, SCHEMA);
    assert_eq!(answer["about"], "udp");
    assert!(json(&["--interval", "0.1"]).0.get("about").is_none());
}

#[test]
fn a_machine_that_cannot_be_examined_is_unknown_to_monitoring() {
    let failed = tcptop(&["check", "--netns", "/nonexistent/namespace"]).assert().code(3);
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&failed.get_output().stdout), said(&failed.get_output().stderr));
    assert!(out.starts_with("UNKNOWN: ") && out.lines().count() == 1, "{out}");
    assert!(err.starts_with("tcptop: ") && err.contains("/nonexistent/namespace"), "{err}");
    tcptop(&["check", "--json", "--netns", "/nonexistent/namespace"]).assert().code(3).stdout("");
}

#[test]
fn the_observation_is_as_long_as_asked() {
    let _pair = Pair::new("127.0.0.1");
    let (answer, _) = json(&["--interval", "2"]);
    assert!(answer["observed_ms"].as_u64().unwrap() >= 2000);
}

#[test]
fn a_threshold_can_be_set_and_decides() {
    // Any number of orphans is enough.
    let set = ["--rule", "orphan-limit", "--interval", "0.1", "--set"];
    let all =
        |value: &'static str| json(&[&set[..], &[value, "--set", "orphan-limit.critical_ratio=9"]].concat());
    let (answer, code) = all("orphan-limit.warning_ratio=0");
    let judged = answer["not_examined"].as_array().unwrap().is_empty();
    if judged {
        assert_eq!((answer["findings"][0]["rule"].as_str(), code), (Some("orphan-limit"), 1), "{answer}");
        let code =
            |fail_on| json(&[&set[..], &["orphan-limit.warning_ratio=0", "--fail-on", fail_on]].concat()).1;
        // With the usual critical level a ratio of 0 stays a warning.
        assert_eq!((code("warning"), code("critical")), (1, 0));
    } else {
        eprintln!("SKIPPED: orphans are not known here");
    }
    assert_eq!(all("orphan-limit.warning_ratio=8").1, 0);
}

#[test]
fn verbose_says_what_could_not_be_judged_and_why() {
    let (text, _) = check(&["-v", "--interval", "0.1"]);
    let summary = text.lines().next().unwrap();
    let unjudged = text.lines().filter(|l| l.starts_with("not judged  ")).count();
    assert!(summary.ends_with(&format!("{unjudged} not judged")), "{text}");
}

#[test]
fn mistakes_are_usage_errors_that_name_what_is_valid() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["--rule", "orphan-limits"], &["no rule `orphan-limits`", "did you mean orphan-limit"]),
        (&["-u", "--rule", "close-wait-leak"], &["close-wait-leak is about TCP", "leave --udp out"]),
        (&["--skip", "x"], &["no rule `x`; `tcptop explain` lists all"]),
        (&["--rule", "dead-peer", "--skip", "dead-peer"], &["nothing to judge", "Usage: tcptop check "]),
        (&["--interval", "0"], &["from 0.1 to 3600"]),
        (&["--interval", "soon"], &["not a number"]),
        (&["--fail-on", "info"], &["warning, critical"]),
        (&["--set", "orphan-limit"], &["RULE.NUMBER=VALUE"]),
        (&["--set", "orphan-limit.warn=1"], &["no `orphan-limit.warn`", "warning_ratio"]),
        (&["--set", "orphan-limit.warning_ratio=0.9"], &["orphan-limit", "above"]),
        (&["--set", "orphan-limit.warning_ratio=many"], &["not a number"]),
    ];
    for (args, words) in cases {
        let failed = tcptop(&[&["check"], *args].concat()).assert().code(2).stdout("");
        let stderr = String::from_utf8_lossy(&failed.get_output().stderr).into_owned();
        for word in *words {
            assert!(stderr.contains(word), "{args:?} should say {word:?}: {stderr}");
        }
    }
}
