//! Text to tokens. What a token is depends on where the parser is: a value may hold characters that are operators elsewhere.

use std::borrow::Cow;
use std::ops::Range;

use super::ast::Op;

/// A token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token<'t> {
    Open,
    Close,
    Not,
    And,
    Or,
    Compare(Op),
    Word(Cow<'t, str>),
}

/// A place in a text.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

const fn is_operator(b: u8) -> bool {
    matches!(b, b'(' | b')' | b'!' | b'&' | b'|' | b'=' | b'<' | b'>')
}

/// How far a value reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// To white space or an operator.
    Operator,
    /// To white space or a parenthesis that was not opened in it: paths and names.
    Space,
}

impl<'t> Lexer<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn skip_space(&mut self) {
        while self.byte(0).is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// The next token and where it stands, without moving. At the end of the text the empty range there.
    pub(super) fn peek(&self) -> (Option<Token<'t>>, Range<usize>) {
        let mut ahead = self.clone();
        let token = ahead.next();
        (token.1, token.0)
    }

    /// Moves over the next token.
    pub(super) fn skip(&mut self) {
        self.next();
    }

    fn next(&mut self) -> (Range<usize>, Option<Token<'t>>) {
        self.skip_space();
        let start = self.at;
        // A backslash protects an operator from the shell, as ss takes it.
        if self.byte(0) == Some(b'\\') && self.byte(1).is_some_and(is_operator) {
            self.at += 1;
        }
        let (token, len) = match (self.byte(0), self.byte(1)) {
            (None, _) => return (start..start, None),
            (Some(b'('), _) => (Token::Open, 1),
            (Some(b')'), _) => (Token::Close, 1),
            (Some(b'!'), Some(b'=')) => (Token::Compare(Op::Ne), 2),
            (Some(b'!'), _) => (Token::Not, 1),
            (Some(b'&'), Some(b'&')) => (Token::And, 2),
            (Some(b'&'), _) => (Token::And, 1),
            (Some(b'|'), Some(b'|')) => (Token::Or, 2),
            (Some(b'|'), _) => (Token::Or, 1),
            (Some(b'='), Some(b'=')) => (Token::Compare(Op::Eq), 2),
            (Some(b'='), _) => (Token::Compare(Op::Eq), 1),
            (Some(b'<'), Some(b'=')) => (Token::Compare(Op::Le), 2),
            (Some(b'<'), _) => (Token::Compare(Op::Lt), 1),
            (Some(b'>'), Some(b'=')) => (Token::Compare(Op::Ge), 2),
            (Some(b'>'), _) => (Token::Compare(Op::Gt), 1),
            (Some(_), _) => {
                let word = self.text_until(Reach::Operator);
                return (start..self.at, Some(Token::Word(word)));
            }
        };
        self.at += len;
        (start..self.at, Some(token))
    }

    /// Reads a value; empty if there is none before the next operator, parenthesis or the end.
    pub(super) fn value(&mut self, reach: Reach) -> (Cow<'t, str>, Range<usize>) {
        self.skip_space();
        let start = self.at;
        let value = self.text_until(reach);
        (value, start..self.at)
    }

    /// Reads on until something ends the text; quotes and backslashes keep what would.
    fn text_until(&mut self, reach: Reach) -> Cow<'t, str> {
        let start = self.at;
        let mut open = 0usize;
        let mut kept: Option<String> = None;
        let mut quote = None;
        while let Some(c) = self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            let mut literal = c;
            let mut len = c.len_utf8();
            let mut drop = false;
            match (quote, c) {
                (Some(q), c) if q == c => (quote, drop) = (None, true),
                (_, '\\') => {
                    let Some(next) = self.text.get(self.at + 1..).and_then(|rest| rest.chars().next()) else {
                        self.at += 1;
                        kept.get_or_insert_with(|| {
                            self.text.get(start..self.at - 1).unwrap_or("").to_owned()
                        });
                        break;
                    };
                    literal = next;
                    len += next.len_utf8();
                    kept.get_or_insert_with(|| self.text.get(start..self.at).unwrap_or("").to_owned());
                }
                (None, '"' | '\'') => (quote, drop) = (Some(c), true),
                (None, c) if c.is_ascii_whitespace() => break,
                (None, '(') if reach == Reach::Space => open += 1,
                (None, ')') if reach == Reach::Space => match open.checked_sub(1) {
                    Some(fewer) => open = fewer,
                    None => break,
                },
                (None, c) if reach == Reach::Operator && c.is_ascii() && is_operator(c as u8) => break,
                _ => {}
            }
            if drop {
                kept.get_or_insert_with(|| self.text.get(start..self.at).unwrap_or("").to_owned());
            } else if let Some(kept) = &mut kept {
                kept.push(literal);
            }
            self.at += len;
        }
        kept.map_or_else(|| Cow::Borrowed(self.text.get(start..self.at).unwrap_or("")), Cow::Owned)
    }
}
