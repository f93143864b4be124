//! Checks a document against the part of JSON Schema that our schemas use.

use serde_json::Value;

/// Says where `value` differs from `schema`; an unknown keyword is a difference, so that none is ignored.
fn differences(value: &Value, schema: &Value, root: &Value, at: &str, found: &mut Vec<String>) {
    let keywords = schema.as_object().expect("a schema is an object");
    for (keyword, wanted) in keywords {
        let mut complain = |why: String| found.push(format!("{at}: {why}"));
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "default" => {}
            "$ref" => {
                let name = wanted.as_str().and_then(|r| r.strip_prefix('#')).expect("a local reference");
                differences(value, root.pointer(name).expect("a definition"), root, at, found);
            }
            "const" => {
                if value != wanted {
                    complain(format!("{value} is not {wanted}"));
                }
            }
            "enum" => {
                if !wanted.as_array().unwrap().contains(value) {
                    complain(format!("{value} not in {wanted}"));
                }
            }
            "type" => {
                let types: Vec<&str> = match wanted {
                    Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
                    one => one.as_str().into_iter().collect(),
                };
                if !types.iter().any(|t| is_a(value, t)) {
                    complain(format!("{value} is no {types:?}"));
                }
            }
            "minimum" => {
                if value.as_f64().is_some_and(|v| v < wanted.as_f64().unwrap()) {
                    complain(format!("{value} is less than {wanted}"));
                }
            }
            "maximum" => {
                if value.as_f64().is_some_and(|v| v > wanted.as_f64().unwrap()) {
                    complain(format!("{value} is more than {wanted}"));
                }
            }
            "required" => {
                for key in wanted.as_array().unwrap() {
                    if value.get(key.as_str().unwrap()).is_none() {
                        complain(format!("{key} is missing"));
                    }
                }
            }
            "properties" => {
                for (key, schema) in wanted.as_object().unwrap() {
                    if let Some(inner) = value.get(key) {
                        differences(inner, schema, root, &format!("{at}/{key}"), found);
                    }
                }
            }
            "additionalProperties" => {
                let known = |key: &str| schema.get("properties").is_some_and(|p| p.get(key).is_some());
                for (key, inner) in value.as_object().into_iter().flatten().filter(|(key, _)| !known(key)) {
                    if wanted == &Value::Bool(false) {
                        found.push(format!("{at}: {key} is not in the contract"));
                    } else {
                        differences(inner, wanted, root, &format!("{at}/{key}"), found);
                    }
                }
            }
            "items" => {
                for (n, inner) in value.as_array().into_iter().flatten().enumerate() {
                    differences(inner, wanted, root, &format!("{at}/{n}"), found);
                }
            }
            other => panic!("{at}: the keyword {other} is not understood here"),
        }
    }
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("no type is called {other}"),
    }
}

/// Fails when a document does not keep the contract.
pub(super) fn check(document: &Value, schema: &str) {
    let schema: Value = serde_json::from_str(schema).expect("a schema in JSON");
    let mut found = Vec::new();
    differences(document, &schema, &schema, "", &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let schema = include_str!("../../assets/schema/list.schema.json");
    let good = serde_json::json!({"schema": 1, "taken_at": null, "netns": "init", "complete": true, "sockets": [
        {"state": "LISTEN", "timer": {"kind": "none"}, "uid": null}]});
    check(&good, schema);
    let parsed: Value = serde_json::from_str(schema).unwrap();
    for (pointer, bad) in [
        ("/schema", serde_json::json!(2)),
        ("/sockets/0/state", serde_json::json!("OPEN")),
        ("/sockets/0/uid", serde_json::json!(-1)),
        ("/sockets/0/timer", serde_json::json!({"kind": "none", "more": 1})),
        ("/sockets/0/timer", serde_json::json!({})),
        ("/complete", serde_json::json!("yes")),
    ] {
        let mut document = good.clone();
        *document.pointer_mut(pointer).unwrap() = bad;
        let mut found = Vec::new();
        differences(&document, &parsed, &parsed, "", &mut found);
        assert_eq!(found.len(), 1, "{pointer}: {found:?}");
    }
}
