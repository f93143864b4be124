//! Text to tree, as `misc/ssfilter.y` of iproute2 reads it, and more.

use std::ops::Range;

use super::ast::{ALL_STATES, Beyond, Compared, Expr, Field, Is, Label, Op, Side, Word};
use super::error::{FilterError, Note};
use super::lexer::{Lexer, Reach, Token};
use super::lookup::Lookup;
use super::value::{self, HostErrorKind, PortError};
use super::words::{Begins, COMPARISONS, TIMERS, begins, keywords, state_words, states};
use crate::model::Keepalive;

/// How deep an expression may be nested, parentheses, `not` and alternations of `and` with `or` counted alike.
pub const MAX_DEPTH: usize = 100;

/// How long the text of an expression may be, in bytes.
pub const MAX_LEN: usize = 64 << 10;

type Result<T> = std::result::Result<T, FilterError>;

/// A tree and how deep it is.
struct Sub {
    expr: Expr,
    depth: usize,
}

/// Reads an expression; `None` for a text of nothing but white space.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn parse(text: &str, lookup: &dyn Lookup) -> Result<Option<Expr>> {
    Ok(read(text, lookup)?.0)
}

/// The same, with what is worth a remark although it is taken.
pub(super) fn read(text: &str, lookup: &dyn Lookup) -> Result<(Option<Expr>, Vec<Note>)> {
    if text.len() > MAX_LEN {
        return Err(FilterError::new(MAX_LEN..text.len(), format!("a filter may have {MAX_LEN} bytes")));
    }
    let mut parser = Parser { lexer: Lexer::new(text), lookup, notes: Vec::new() };
    if parser.lexer.peek().0.is_none() {
        return Ok((None, Vec::new()));
    }
    let tree = parser.list(0)?;
    match parser.lexer.peek() {
        (None, _) => Ok((Some(tree.expr), parser.notes)),
        (Some(_), at) => Err(FilterError::new(at, "this parenthesis was not opened")),
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    lookup: &'t dyn Lookup,
    notes: Vec<Note>,
}

#[derive(Clone, Copy, PartialEq)]
enum Joined {
    And,
    Or,
}

impl Parser<'_> {
    /// Conditions until a closing parenthesis or the end. As in ss, states in front stand apart: they go with all of
    /// what follows.
    fn list(&mut self, nested: usize) -> Result<Sub> {
        let mut in_front: Option<Sub> = None;
        let mut tree;
        loop {
            tree = self.term(nested)?;
            let is_state = matches!(tree.expr, Expr::Is(Is::State(_)));
            let next = self.joint();
            if !is_state || !matches!(next, Some((Joined::And, _))) {
                break;
            }
            self.pass(next);
            in_front = Some(match in_front {
                Some(before) => self.join(Joined::And, before, tree)?,
                None => tree,
            });
        }
        while let Some((how, word)) = self.joint() {
            self.pass(Some((how, word)));
            let right = self.term(nested)?;
            tree = self.join(how, tree, right)?;
        }
        match in_front {
            Some(before) => self.join(Joined::And, before, tree),
            None => Ok(tree),
        }
    }

    /// How the next condition is joined, and whether a word says so; `None` at the end of the list.
    fn joint(&self) -> Option<(Joined, bool)> {
        match self.lexer.peek().0? {
            Token::Close => None,
            Token::And => Some((Joined::And, true)),
            Token::Or => Some((Joined::Or, true)),
            Token::Word(w) if w.eq_ignore_ascii_case("and") => Some((Joined::And, true)),
            Token::Word(w) if w.eq_ignore_ascii_case("or") => Some((Joined::Or, true)),
            _ => Some((Joined::And, false)),
        }
    }

    fn pass(&mut self, joint: Option<(Joined, bool)>) {
        if let Some((_, true)) = joint {
            self.lexer.skip();
        }
    }

    fn join(&self, how: Joined, left: Sub, right: Sub) -> Result<Sub> {
        let within = |sub: &Sub| match (&sub.expr, how) {
            (Expr::And(_), Joined::And) | (Expr::Or(_), Joined::Or) => sub.depth,
            _ => sub.depth + 1,
        };
        let depth = within(&left).max(within(&right));
        if depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let expr = match how {
            Joined::And => left.expr.and(right.expr),
            Joined::Or => left.expr.or(right.expr),
        };
        Ok(Sub { expr, depth })
    }

    fn too_deep(&self) -> FilterError {
        let at = self.lexer.peek().1;
        FilterError::new(at, format!("nested deeper than {MAX_DEPTH} (changes between and and or count)"))
    }

    fn term(&mut self, nested: usize) -> Result<Sub> {
        let (token, at) = self.lexer.peek();
        let word = match token {
            Some(Token::Open) => return self.parenthesis(nested, at),
            Some(Token::Not) => return self.not(nested),
            Some(Token::Word(word)) => word,
            None => return Err(FilterError::new(at, "expected a condition here")),
            Some(Token::Close) => {
                return Err(FilterError::new(at, "expected a condition before this parenthesis"));
            }
            Some(_) => return Err(FilterError::new(at, "expected a condition, not an operator")),
        };
        match begins(&word) {
            Some(Begins::Not) => self.not(nested),
            Some(Begins::State | Begins::Exclude) => {
                self.states().map(|is| Sub { expr: Expr::Is(is), depth: 1 })
            }
            Some(begins) => {
                self.lexer.skip();
                Ok(Sub { expr: Expr::Is(self.condition(begins)?), depth: 1 })
            }
            None => {
                let what = "expected a condition, such as dst, sport, state or pid";
                Err(FilterError::new(at, what).nearest(&word, keywords()))
            }
        }
    }

    fn parenthesis(&mut self, nested: usize, open: Range<usize>) -> Result<Sub> {
        if nested >= MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.lexer.skip();
        let inner = self.list(nested + 1)?;
        match self.lexer.peek() {
            (Some(Token::Close), _) => {
                self.lexer.skip();
                Ok(inner)
            }
            (_, at) => {
                let what = format!("expected ) for the ( at character {}", open.start + 1);
                Err(FilterError::new(at, what))
            }
        }
    }

    fn not(&mut self, nested: usize) -> Result<Sub> {
        if nested >= MAX_DEPTH {
            return Err(self.too_deep());
        }
        self.lexer.skip();
        let inner = self.term(nested + 1)?;
        if inner.depth >= MAX_DEPTH {
            return Err(self.too_deep());
        }
        Ok(Sub { expr: inner.expr.negated(), depth: inner.depth + 1 })
    }

    /// A sequence of `state NAME` and `exclude NAME`, read as ss reads it: the first `state` begins with none, the first
    /// `exclude` with all.
    fn states(&mut self) -> Result<Is> {
        let mut mask = None;
        while let Some(Token::Word(word)) = self.lexer.peek().0 {
            let add = match begins(&word) {
                Some(Begins::State) => true,
                Some(Begins::Exclude) => false,
                _ => break,
            };
            self.lexer.skip();
            // `state = NAME` is how one would expect to write it.
            if self.lexer.peek().0 == Some(Token::Compare(Op::Eq)) {
                self.lexer.skip();
            }
            let (name, at) = self.lexer.value(Reach::Operator);
            let Some(named) = states(&name) else {
                let what = "expected the name of a state, such as established, time-wait or listening";
                return Err(FilterError::new(at, what).nearest(&name, state_words()));
            };
            mask = Some(if add { mask.unwrap_or(0) | named } else { mask.unwrap_or(ALL_STATES) & !named });
        }
        Ok(Is::State(mask.unwrap_or(ALL_STATES)))
    }

    fn condition(&mut self, begins: Begins) -> Result<Is> {
        match begins {
            Begins::Host(side) => {
                let not = self.equality()?;
                self.host(side, not)
            }
            Begins::Port(side) => {
                let (op, _) = self.comparison();
                self.port(side, op)
            }
            Begins::Device => {
                let not = self.equality()?;
                self.device(not)
            }
            Begins::Mark => {
                let not = self.equality()?;
                self.mark(not)
            }
            Begins::Cgroup => {
                let not = self.equality()?;
                let (path, at) = self.text("expected the path of a cgroup")?;
                let id = self.lookup.cgroup(&path);
                let id =
                    id.ok_or_else(|| FilterError::new(at, "there is no such cgroup in the v2 hierarchy"))?;
                Ok(Is::Cgroup(path, id, not))
            }
            Begins::Number(field) => {
                let (op, _) = self.comparison();
                self.number(field, op)
            }
            Begins::User => {
                let (op, _) = self.comparison();
                self.user(op)
            }
            Begins::Text(word) => {
                let not = self.equality()?;
                let expected = match word {
                    Word::Comm => "expected the name of a command",
                    Word::Netns => "expected the name or inode of a network namespace",
                    Word::Container => "expected the name or id of a container",
                };
                Ok(Is::Text(word, self.text(expected)?.0, not))
            }
            Begins::Keepalive => {
                let not = self.equality()?;
                let known = [("on", Keepalive::On), ("off", Keepalive::Off), ("unknown", Keepalive::Unknown)];
                Ok(Is::Keepalive(self.one_of("expected on, off or unknown", &known)?, not))
            }
            Begins::Timer => {
                let not = self.equality()?;
                self.timer(not)
            }
            Begins::Family => {
                let not = self.equality()?;
                let known = [("inet", Label::Inet), ("inet6", Label::Inet6)];
                Ok(Is::Family(self.one_of("expected inet or inet6", &known)?, not))
            }
            Begins::Autobound => Ok(Is::Autobound),
            Begins::State | Begins::Exclude | Begins::Not => self.states(),
        }
    }

    /// The comparison in front of a value; `=` if there is none.
    fn comparison(&mut self) -> (Op, Range<usize>) {
        let (token, at) = self.lexer.peek();
        let op = match token {
            Some(Token::Compare(op)) => Some(op),
            Some(Token::Word(w)) => COMPARISONS.iter().find(|(name, _)| *name == &*w).map(|(_, op)| *op),
            _ => None,
        };
        if op.is_some() {
            self.lexer.skip();
        }
        (op.unwrap_or(Op::Eq), at)
    }

    /// A comparison that can only be equal (`false`) or not.
    fn equality(&mut self) -> Result<bool> {
        match self.comparison() {
            (Op::Eq, _) => Ok(false),
            (Op::Ne, _) => Ok(true),
            (_, at) => Err(FilterError::new(at, "expected = or != here: this has no order")),
        }
    }

    fn text(&mut self, expected: &str) -> Result<(Box<str>, Range<usize>)> {
        let (text, at) = self.lexer.value(Reach::Space);
        if at.is_empty() {
            return Err(FilterError::new(at, expected));
        }
        Ok((text.into(), at))
    }

    fn one_of<T: Copy>(&mut self, expected: &str, known: &[(&'static str, T)]) -> Result<T> {
        let (word, at) = self.lexer.value(Reach::Operator);
        match known.iter().find(|(name, _)| name.eq_ignore_ascii_case(&word)) {
            Some((_, value)) => Ok(*value),
            None => Err(FilterError::new(at, expected).nearest(&word, known.iter().map(|(name, _)| *name))),
        }
    }

    fn note(&mut self, at: Range<usize>, what: impl Into<String>) {
        self.notes.push(Note { at, what: what.into() });
    }

    /// Remarks on a port that no socket has.
    fn note_port(&mut self, at: &Range<usize>, port: Option<i32>) {
        if port.is_some_and(|n| u16::try_from(n).is_err()) {
            self.note(at.clone(), "ports go from 0 to 65535");
        }
    }

    /// Takes `inet:` and the like off the front.
    fn family(value: &str) -> (Option<Label>, &str) {
        const ALL: [Label; 6] =
            [Label::Inet, Label::Inet6, Label::Unix, Label::Link, Label::Netlink, Label::Vsock];
        ALL.into_iter()
            .find_map(|label| Some((Some(label), value.strip_prefix(label.name())?.strip_prefix(':')?)))
            .unwrap_or((None, value))
    }

    /// A condition on sockets that are not shown here, which `ss` leaves out too when it is asked for TCP or UDP.
    fn beyond(&mut self, at: Range<usize>, side: Side, how: Beyond, family: Label, text: &str) -> Is {
        self.note(
            at,
            format!("{} sockets are neither TCP nor UDP: nothing matches, as in ss", family.name()),
        );
        Is::Beyond(side, how, family, text.into())
    }

    fn host(&mut self, side: Side, not: bool) -> Result<Is> {
        let (text, at) = self.lexer.value(Reach::Operator);
        if at.is_empty() {
            return Err(FilterError::new(at, "expected an address, such as 10.0.0.0/8, [::1]:443 or *:80"));
        }
        let (family, rest) = Self::family(&text);
        if let Some(family) = family.filter(|f| !f.is_here()) {
            return Ok(self.beyond(at, side, Beyond::At(not), family, rest));
        }
        let skipped = text.len() - rest.len();
        let host = value::host(rest, family, self.lookup).map_err(|e| {
            // Backslashes and quotes make positions inside the value unsure.
            let exact = text.len() == at.len();
            let inside = at.start + skipped + e.part.start..at.start + skipped + e.part.end;
            let place = if exact && !inside.is_empty() { inside } else { at.clone() };
            let part = rest.get(e.part.clone()).unwrap_or(rest);
            match e.kind {
                HostErrorKind::Port(kind) => port_error(place, part, &kind),
                HostErrorKind::Address => FilterError::new(
                    place,
                    "expected an IP address, a network such as 10.0.0.0/8, or a name that resolves",
                ),
                HostErrorKind::NoBracket => FilterError::new(place, "expected ] at the end of the address"),
            }
        })?;
        self.note_port(&at, host.port);
        Ok(Is::At(side, not, host))
    }

    fn port(&mut self, side: Side, op: Op) -> Result<Is> {
        let (text, at) = self.lexer.value(Reach::Operator);
        if at.is_empty() {
            return Err(FilterError::new(at, "expected a port: a number or the name of a service"));
        }
        let (family, rest) = Self::family(&text);
        if let Some(family) = family.filter(|f| !f.is_here()) {
            return Ok(self.beyond(at, side, Beyond::Port(op), family, rest));
        }
        let name = rest.strip_prefix(':').unwrap_or(rest);
        let port = value::port(name, self.lookup).map_err(|kind| port_error(at.clone(), name, &kind))?;
        self.note_port(&at, port);
        match (port, op, Compared::new(op, port)) {
            (Some(_), ..) | (_, Op::Eq | Op::Ne, _) => {}
            (None, _, Compared::With(..)) => self.note(at, "as in ss, 65535 alone is at least any port"),
            (None, _, Compared::Constant(_)) => self.note(at, "as in ss, no port is above or below any port"),
        }
        Ok(Is::Port(side, op, family, port))
    }

    fn device(&mut self, not: bool) -> Result<Is> {
        let (name, at) = self.text("expected an interface")?;
        // An interface without a name is shown as if7.
        let number = || value::number(name.strip_prefix("if").unwrap_or(&name));
        let index = self.lookup.interface(&name).or_else(|| number().and_then(|n| u32::try_from(n).ok()));
        match index {
            Some(index) => Ok(Is::Device(name, index, not)),
            None => Err(FilterError::new(at, "there is no such interface")),
        }
    }

    fn mark(&mut self, not: bool) -> Result<Is> {
        let (text, at) = self.lexer.value(Reach::Operator);
        let expected = "expected a mark, such as 0x1, or a mark and a mask, such as 0x1/0x3";
        let (value, mask, exact) =
            value::mark(&text).ok_or_else(|| FilterError::new(at.clone(), expected))?;
        let is = Is::Mark { value, mask, not };
        if !exact {
            self.note(at, format!("read as {is}, as in ss"));
        }
        Ok(is)
    }

    fn number(&mut self, field: Field, op: Op) -> Result<Is> {
        let (text, at) = self.lexer.value(Reach::Operator);
        let (n, expected) = match field {
            Field::Idle | Field::Age => {
                (value::duration(&text, 1_000_000), "expected a duration, such as 30s, 5m or 1h30m")
            }
            Field::Rtt => (value::duration(&text, 1_000), "expected a duration, such as 200ms"),
            Field::RecvQ | Field::SendQ => (value::size(&text), "expected a size in bytes, such as 0 or 64k"),
            Field::Pid | Field::Uid | Field::Retrans => (value::number(&text), "expected a number"),
        };
        n.map(|n| Is::Number(field, op, n)).ok_or_else(|| FilterError::new(at, expected))
    }

    fn user(&mut self, op: Op) -> Result<Is> {
        let (text, at) = self.text("expected a user, by name or number")?;
        let uid = value::number(&text).or_else(|| self.lookup.user(&text).map(u64::from));
        uid.map(|uid| Is::Number(Field::Uid, op, uid))
            .ok_or_else(|| FilterError::new(at, "there is no such user"))
    }

    fn timer(&mut self, not: bool) -> Result<Is> {
        if let (Some(Token::Word(word)), _) = self.lexer.peek()
            && let Some(n) = value::number(&word).and_then(|n| u8::try_from(n).ok())
        {
            self.lexer.skip();
            return Ok(Is::Timer(n, not));
        }
        let expected = "expected none, retransmit, keepalive, time_wait, fin_timeout, probe or delayed_ack";
        Ok(Is::Timer(self.one_of(expected, TIMERS)?, not))
    }
}

fn port_error(at: Range<usize>, given: &str, kind: &PortError) -> FilterError {
    /// What is most often meant; the whole of `/etc/services` would suggest nonsense.
    const COMMON: &[&str] = &[
        "ssh",
        "http",
        "https",
        "domain",
        "smtp",
        "imap",
        "imaps",
        "pop3",
        "ftp",
        "telnet",
        "ldap",
        "ldaps",
        "nfs",
        "mysql",
        "postgresql",
        "redis",
        "ntp",
        "rsync",
        "sunrpc",
    ];
    match kind {
        PortError::TooLarge => FilterError::new(at, "a port is at most 65535"),
        PortError::Unknown => FilterError::new(at, "expected a port: a number or the name of a service")
            .nearest(given, COMMON.iter().copied()),
    }
}
