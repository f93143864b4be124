//! Any text into the parser of filters. What is read prints back as the same tree, and what is refused is refused at a place
//! inside the text. `cargo +nightly fuzz run --fuzz-dir tests/fuzz filter`
#![no_main]

use libfuzzer_sys::fuzz_target;
use tcptop::model::Protocol;
use tcptop::query::filter::{Filter, Numbers, parse, to_ss};

fuzz_target!(|text: &str| match parse(text, &Numbers) {
    Ok(None) => assert!(text.trim_ascii().is_empty()),
    Ok(Some(expr)) => {
        let printed = expr.to_string();
        let _ = to_ss(Some(&expr), Protocol::Tcp, None);
        // A short spelling can print as more than a filter may have.
        if let Ok(again) = parse(&printed, &Numbers) {
            assert_eq!(again.as_ref(), Some(&expr), "{printed}");
        }
        let _ = tcptop::model::Asked::default() == Filter::new(expr).asked();
    }
    Err(e) => {
        assert!(text.get(e.at.clone()).is_some());
        let _ = e.pointed(text);
    }
});
