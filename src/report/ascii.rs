//! Text for a locale without UTF-8: our own signs in ASCII. What others chose (names) stays as it is.

use std::io::{self, Write};

/// Signs that reports use, and what stands for them.
const SIGNS: [(char, &str); 8] =
    [('→', "->"), ('–', "-"), ('−', "-"), ('×', "x"), ('≥', ">="), ('…', "..."), ('•', "*"), ('\u{a0}', " ")];

/// A writer that replaces the signs, where they have to be.
pub struct Signs<W> {
    out: W,
    utf8: bool,
}

impl<W: Write> Signs<W> {
    /// One for a locale that has UTF-8, or has not.
    pub const fn new(out: W, utf8: bool) -> Self {
        Self { out, utf8 }
    }
}

impl<W: Write> Write for Signs<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A report is written in pieces of whole characters.
        let text = if self.utf8 || bytes.is_ascii() { None } else { str::from_utf8(bytes).ok() };
        let Some(text) = text else { return self.out.write(bytes) };
        let mut plain = String::with_capacity(text.len());
        for c in text.chars() {
            match SIGNS.iter().find(|(sign, _)| *sign == c) {
                Some((_, words)) => plain.push_str(words),
                None => plain.push(c),
            }
        }
        self.out.write_all(plain.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_signs_are_ascii_and_names_stay() {
        let written = |utf8| {
            let mut out = Vec::new();
            write!(Signs::new(&mut out, utf8), "10.0.0.5 → b 1–2 ×3 ≥{}%… é", 7).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(false), "10.0.0.5 -> b 1-2 x3 >=7%... é");
        assert_eq!(written(true), "10.0.0.5 → b 1–2 ×3 ≥7%… é");
    }
}
