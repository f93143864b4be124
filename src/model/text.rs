//! Text that someone else chose: process names, DNS names, cgroup paths, recorded files.

use std::fmt;

/// A string from outside. Its `Display` can be sent to a terminal: control characters, escape
/// sequences, bidirectional overrides and invisible formatting come out as `\u{…}` or `\n`-style escapes.
/// [`ForeignText::raw`] is for comparison and for JSON, whose writer escapes on its own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ForeignText(Box<str>);

impl ForeignText {
    /// Takes bytes as they came; what is not UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(String::from_utf8_lossy(bytes).into())
    }

    /// The text as it came, control characters included. Never print this.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ForeignText {
    fn from(s: &str) -> Self {
        Self(s.into())
    }
}

/// Whether a terminal may do something else with this character than draw it.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether the locale of an environment has UTF-8, by the variables that decide it.
#[must_use]
pub fn has_utf8(env: impl Fn(&str) -> Option<String>) -> bool {
    let var = |name: &str| env(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(var).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

impl fmt::Display for ForeignText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        if !self.0.contains(is_unprintable) {
            return f.pad(&self.0);
        }
        let mut clean = String::with_capacity(self.0.len() + 8);
        for c in self.0.chars() {
            if is_unprintable(c) {
                write!(clean, "{}", c.escape_default())?;
            } else {
                clean.push(c);
            }
        }
        f.pad(&clean)
    }
}

impl fmt::Debug for ForeignText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let hostile = ForeignText::from_bytes(b"a\x1b[2Jb\nc\x07\xff\xe2\x80\xae");
        let shown = hostile.to_string();
        assert!(!shown.contains(is_unprintable), "{shown:?}");
        assert_eq!(shown, "a\\u{1b}[2Jb\\nc\\u{7}\u{fffd}\\u{202e}");
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        assert_eq!(ForeignText::from("nginx: worker 日本").to_string(), "nginx: worker 日本");
    }
}
