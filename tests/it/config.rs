//! The user's file: found, laid under the options, and refused where it makes no sense.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::schema::check;
use super::{stdout, tcptop};

const EXAMPLE: &str = include_str!("../../assets/config.example.toml");
const SCHEMA: &str = include_str!("../../assets/schema/config.schema.json");
const THRESHOLDS: &str = include_str!("../../assets/thresholds.toml");

/// A file with this text.
fn file(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

/// What standard error says of a file, which must be refused with this exit code and nothing on standard output.
fn refused(command: &[&str], path: &Path, code: i32) -> String {
    let args = [command, &["--config", path.to_str().unwrap()]].concat();
    let done = tcptop(&args).assert().code(code).stdout("");
    String::from_utf8(done.get_output().stderr.clone()).unwrap()
}

/// The values of a schema, as a file: what it says of each key is the default.
fn defaults_of(properties: &Value) -> Value {
    let of = |p: &Value| p.get("default").cloned().or_else(|| Some(defaults_of(p.get("properties")?)));
    let pairs = properties.as_object().unwrap().iter();
    pairs.filter_map(|(key, p)| Some((key.clone(), of(p)?))).collect::<serde_json::Map<_, _>>().into()
}

/// Every machine has an open file, and a limit of them that is below 2^63.
const NEAR: &str = "[thresholds.fd-exhaustion]\nwarning_ratio = 1e-19\n";

#[test]
fn the_example_is_taken_and_keeps_the_schema() {
    let example: toml::Value = EXAMPLE.parse::<toml::Table>().unwrap().into();
    check(&serde_json::to_value(&example).unwrap(), SCHEMA);
    let (_dir, path) = file(EXAMPLE);
    let path = path.to_str().unwrap();
    let judged = tcptop(&["check", "--json", "--interval", "0.2", "--config", path]).assert();
    let output = judged.get_output();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!said.to_string().contains("sysctl-rp-filter"), "it is left out: {said}");
}

#[test]
fn the_schema_has_every_key_and_number_that_the_program_takes_and_no_other() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let defaults = defaults_of(&schema["properties"]);
    let thresholds = serde_json::to_value(THRESHOLDS.parse::<toml::Table>().unwrap()).unwrap();
    assert_eq!(defaults["thresholds"], thresholds, "the numbers of the program and their defaults");
    // Every key with its default is taken, together and alone.
    let whole = toml::to_string(&toml::Table::try_from(defaults.clone()).unwrap()).unwrap();
    for text in [whole].into_iter().chain(defaults.as_object().unwrap().iter().map(|(key, value)| {
        toml::to_string(&toml::Table::try_from(json!({ key.clone(): value })).unwrap()).unwrap()
    })) {
        let (_dir, path) = file(&text);
        stdout(&["explain", "close-wait-leak", "--config", path.to_str().unwrap()]);
    }
    // What the schema does not have is refused.
    let (_dir, path) = file("colour = \"auto\"");
    let said = refused(&["explain"], &path, 1);
    for key in schema["properties"].as_object().unwrap().keys() {
        assert!(said.contains(key.as_str()), "{key}: {said}");
    }
}

#[test]
fn a_file_that_makes_no_sense_is_refused_by_name_line_and_key() {
    let cases: &[(&str, &[&str])] = &[
        ("\n\ncolour = \"never\"", &["config.toml:3: colour: ", "did you mean color?"]),
        (
            "[thresholds.dead-peer]\ntimeoutz = 3",
            &["config.toml:2: ", "dead-peer.timeoutz", "did you mean timeouts?"],
        ),
        ("interval = 0.001", &["config.toml:1: interval: must be from 0.1 to 3600 seconds"]),
        (
            "[thresholds.fd-exhaustion]\nwarning_ratio = 0.99",
            &["config.toml:2: ", "fd-exhaustion", "warning_ratio (0.99) is above critical_ratio (0.95)"],
        ),
        ("skip = [\n  \"dead-pear\"]", &["config.toml:2: skip: ", "did you mean dead-peer"]),
        ("interval == 1", &["config.toml:1: is not TOML"]),
    ];
    for (text, words) in cases {
        let (_dir, path) = file(text);
        // A monitor has to tell a broken file from a broken machine.
        for (command, code) in [(&["check"][..], 3), (&["report"], 1), (&["list"], 1), (&[], 1)] {
            let said = refused(command, &path, code);
            assert_eq!(said.lines().count(), 1, "{said}");
            for word in *words {
                assert!(said.contains(word), "{text:?} should say {word:?}: {said}");
            }
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_only_where_it_was_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.toml");
    let said = refused(&["check"], &missing, 3);
    assert!(said.contains("none.toml: No such file"), "{said}");
    let said = refused(&["report"], dir.path(), 1);
    assert!(said.contains("reading "), "{said}");
    let said = refused(&["report"], Path::new("/dev/zero"), 1);
    assert!(said.contains("larger than 1 MiB"), "{said}");
    fs::write(&missing, b"color = \"\xff\"").unwrap();
    assert!(refused(&["report"], &missing, 1).contains("not UTF-8"));
    tcptop(&["explain"]).env("XDG_CONFIG_HOME", dir.path().join("nowhere")).assert().success().stderr("");
}

#[test]
fn the_usual_file_is_found_and_another_one_can_be_named() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("tcptop");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("config.toml"), "color = 3\n").unwrap();
    let at_home = tempfile::tempdir().unwrap();
    let below = at_home.path().join(".config/tcptop");
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join("config.toml"), "interval = \"x\"\n").unwrap();
    let (_file, good) = file("");
    let run = |xdg: &Path, more: &[&str]| {
        let args = [&["explain"], more].concat();
        let mut command = tcptop(&args);
        command.env("XDG_CONFIG_HOME", xdg).env("HOME", at_home.path());
        command.assert()
    };
    let said =
        |done: &assert_cmd::assert::Assert| String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    let found = run(dir.path(), &[]).code(1);
    assert!(said(&found).contains("tcptop/config.toml:1: color: "), "{}", said(&found));
    // A relative folder is none.
    let found = run(Path::new("relative"), &[]).code(1);
    assert!(said(&found).contains(".config/tcptop/config.toml:1: interval: "), "{}", said(&found));
    run(dir.path(), &["--config", good.to_str().unwrap()]).success();
}

#[test]
fn options_are_laid_over_the_file() {
    let (_dir, near) = file(NEAR);
    let (_other, skipping) = file(&format!("skip = [\"fd-exhaustion\"]\n{NEAR}"));
    let check = |path: &Path, more: &[&str]| {
        let mut args = vec!["check", "--json", "--interval", "0.2", "--config", path.to_str().unwrap()];
        args.extend(more);
        let done = tcptop(&args).assert();
        let said: Value = serde_json::from_slice(&done.get_output().stdout).unwrap();
        let found = |f: &Value| f["rule"] == "fd-exhaustion";
        said["findings"].as_array().unwrap().iter().any(found)
    };
    let only = ["--rule", "fd-exhaustion"];
    assert!(check(&near, &only), "the threshold of the file");
    assert!(
        !check(&near, &[&only[..], &["--set", "fd-exhaustion.warning_ratio=0.9"]].concat()),
        "--set is laid over"
    );
    assert!(!check(&near, &["--skip", "fd-exhaustion"]));
    assert!(!check(&skipping, &[]), "the file leaves it out");
    assert!(check(&skipping, &only), "a rule that is asked for by name is judged");
    let report = |path: &Path| stdout(&["report", "--json", "--config", path.to_str().unwrap()]);
    assert!(report(&near).contains("fd-exhaustion") && !report(&skipping).contains("fd-exhaustion"));
}

#[test]
fn colours_follow_the_file_unless_an_option_says_otherwise() {
    let (_dir, always) = file("color = \"always\"");
    let path = always.to_str().unwrap();
    let styled = |args: &[&str]| stdout(&[&["explain", "close-wait-leak"], args].concat()).contains('\u{1b}');
    assert!(!styled(&[]));
    assert!(styled(&["--config", path]));
    assert!(!styled(&["--config", path, "--color", "never"]));
}
