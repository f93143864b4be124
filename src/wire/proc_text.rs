//! What the parsers of `/proc` text share: lines, fields, numbers, and a count of what made no sense.

/// What came of parsing a file: what is valid is kept, what is not is counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parsed<T> {
    /// The valid part; `None` if there was nothing valid.
    pub value: Option<T>,
    /// Lines or fields that made no sense and were skipped.
    pub malformed: u32,
}

impl<T> Parsed<T> {
    pub(super) const fn new(value: Option<T>, malformed: u32) -> Self {
        Self { value, malformed }
    }
}

/// The lines of `text` that hold anything.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace))
}

/// The white-space separated fields of a line.
pub(super) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty())
}

/// A name that the kernel may give a counter: printable ASCII.
pub(super) fn name(field: &[u8]) -> Option<&str> {
    let printable = !field.is_empty() && field.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(field).ok().filter(|_| printable)
}

/// An unsigned decimal number. A sign is refused, also `+`.
pub(super) fn decimal(field: &[u8]) -> Option<u64> {
    number(field, 10)
}

/// An unsigned hexadecimal number without a prefix.
pub(super) fn hexadecimal(field: &[u8]) -> Option<u64> {
    number(field, 16)
}

fn number(field: &[u8], radix: u32) -> Option<u64> {
    field.first().filter(|b| b.is_ascii_alphanumeric())?;
    u64::from_str_radix(std::str::from_utf8(field).ok()?, radix).ok()
}

#[cfg(test)]
pub(super) mod testing {
    use proptest::prelude::*;

    /// Real text with some bytes changed, cut out or put in: what a parser meets when a file is nearly right.
    pub fn mutated(real: &'static str) -> impl Strategy<Value = Vec<u8>> {
        let edit = (any::<prop::sample::Index>(), 0..3_u8, any::<u8>());
        prop::collection::vec(edit, 0..12).prop_map(move |edits| {
            let mut bytes = real.as_bytes().to_vec();
            for (at, kind, byte) in edits {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                match kind {
                    0 => drop(bytes.splice(at..=at, [byte])),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, byte),
                }
            }
            bytes
        })
    }

    /// Arbitrary bytes, and bytes of the alphabet that the parsers look at.
    pub fn noise() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..400),
            "[a-zA-Z0-9:|. \n\t+-]{0,400}".prop_map(String::into_bytes),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_sign_and_do_not_overflow() {
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal(b"18446744073709551616"), None);
        assert_eq!(decimal(b"+1"), None);
        assert_eq!(decimal(b"-1"), None);
        assert_eq!(decimal(b""), None);
        assert_eq!(hexadecimal(b"00000fae"), Some(0xfae));
        assert_eq!(hexadecimal(b"0x1"), None);
    }

    #[test]
    fn lines_and_fields_skip_what_is_empty() {
        let text = b"a  b\n\n \t\nc";
        let got: Vec<Vec<&[u8]>> = lines(text).map(|l| fields(l).collect()).collect();
        assert_eq!(got, [vec![&b"a"[..], b"b"], vec![b"c"]]);
    }
}
