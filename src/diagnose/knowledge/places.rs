//! Placeholders: `{pid}`, `{sysctl:net.core.somaxconn}`. Other braces are text.

/// The pieces of a text: what stands between placeholders, and the names in them.
pub(super) enum Piece<'a> {
    Text(&'a str),
    Place(&'a str),
}

/// Cuts a text into its pieces.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    let mut next = None;
    std::iter::from_fn(move || {
        if let Some(name) = next.take() {
            return Some(Piece::Place(name));
        }
        if rest.is_empty() {
            return None;
        }
        let (before, after) = match find(rest) {
            Some((before, name, after)) => {
                next = Some(name);
                (before, after)
            }
            None => (rest, ""),
        };
        rest = after;
        Some(Piece::Text(before))
    })
}

fn find(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices('{').find_map(|(at, _)| {
        let (name, after) = text.get(at + 1..)?.split_once('}')?;
        is_name(name).then(|| (text.get(..at).unwrap_or_default(), name, after))
    })
}

fn is_name(name: &str) -> bool {
    let plain = |n: &str| {
        !n.is_empty() && n.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    match name.split_once(':') {
        Some((kind, rest)) => {
            let part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
            plain(kind) && !rest.is_empty() && rest.bytes().all(part)
        }
        None => plain(name) && name.starts_with(|c: char| c.is_ascii_lowercase()),
    }
}

/// The names of the placeholders of a text.
pub(super) fn places(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).filter_map(|p| match p {
        Piece::Place(name) => Some(name),
        Piece::Text(_) => None,
    })
}

/// The text with every placeholder replaced.
pub(super) fn fill(text: &str, mut value: impl FnMut(&str) -> String) -> String {
    pieces(text).fold(String::with_capacity(text.len()), |mut filled, piece| {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Place(name) => filled.push_str(&value(name)),
        }
        filled
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_other_braces_are_text() {
        let found = |t| places(t).collect::<Vec<_>>();
        assert_eq!(
            found("{pid}: {sysctl:net.core.somaxconn}{a_1}"),
            ["pid", "sysctl:net.core.somaxconn", "a_1"]
        );
        assert_eq!(found("awk '{print $1}' ${HOME} {1..3} {} { {peer}"), ["peer"]);
        assert_eq!(found("{sysctl:} {:x} {Pid} {pid"), [""; 0]);
    }

    #[test]
    fn filling_keeps_the_rest_as_it_is() {
        let filled = fill("a {x}{y} {print $1} é{x}", |name| format!("<{name}>"));
        assert_eq!(filled, "a <x><y> {print $1} é<x>");
    }
}
