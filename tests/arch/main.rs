//! The layers: data flows one way, so an import that goes back is a mistake.
//!
//! Reads the `use crate::` lines (and every other `crate::` path) of the library and compares them with the table below.

#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it should be")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What each layer may see, beside itself.
const MAY_SEE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &["model"]),
    ("sys", &["model", "wire"]),
    ("source", &["model", "wire", "sys"]),
    ("analysis", &["model"]),
    ("diagnose", &["model", "analysis"]),
    ("query", &["model", "analysis", "diagnose"]),
    ("enrich", &["model", "sys"]),
    ("engine", &["model", "sys", "source", "analysis", "diagnose", "query", "enrich"]),
    ("record", &["model"]),
    ("report", &["model", "analysis", "diagnose", "query"]),
    ("export", &["model", "analysis", "diagnose", "query"]),
    ("tui", &["model", "analysis", "diagnose", "query", "engine"]),
    ("lab", &["model", "sys", "wire"]),
    ("testkit", &["model", "analysis", "diagnose"]),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn layer_of(root: &Path, file: &Path) -> String {
    let first = file.strip_prefix(root).unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The layers that the product code of a file names; what stands in its tests is not product code.
fn seen(text: &str) -> Vec<&str> {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    product
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line))
        .flat_map(|line| line.match_indices("crate::").map(move |(at, found)| &line[at + found.len()..]))
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(""))
        .filter(|layer| !layer.is_empty())
        .collect()
}

/// Tests in a file or a folder of their own.
fn is_test(root: &Path, file: &Path) -> bool {
    let parts = file.strip_prefix(root).unwrap().iter();
    parts.map(|p| p.to_str().unwrap()).any(|p| matches!(p, "tests" | "tests.rs" | "testing.rs"))
}

#[test]
fn no_import_goes_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table: BTreeMap<_, _> = MAY_SEE.iter().copied().collect();
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for file in &files {
        let layer = layer_of(&root, file);
        if matches!(layer.as_str(), "lib" | "main" | "cli") || is_test(&root, file) {
            continue;
        }
        let Some(allowed) = table.get(layer.as_str()) else {
            wrong.push(format!("{layer} is no layer of the design"));
            continue;
        };
        let text = fs::read_to_string(file).unwrap();
        for other in seen(&text) {
            if other != layer && !allowed.contains(&other) {
                wrong.push(format!("{} sees {other}", file.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(files.len() > 20, "the sources were not found");
    assert!(wrong.is_empty(), "imports that go back:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_what_it_must() {
    let text = "use crate::tui::App;\nlet x = crate::sys::now(); // crate::engine\n#[cfg(test)]\nmod tests {\nuse crate::cli;";
    assert_eq!(seen(text), ["tui", "sys"]);
}

#[test]
fn unsafe_code_lives_in_sys_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files.iter().filter(|f| layer_of(&root, f) != "sys") {
        let text = fs::read_to_string(file).unwrap();
        assert!(!text.contains("unsafe_code"), "{} switches the lint off", file.display());
    }
}
