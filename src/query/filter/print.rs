//! The tree as text that reads back as the same tree.

use std::fmt::{self, Display, Formatter};

use super::ast::{ALL_STATES, Beyond, Expr, Field, Host, Is, Label, Network, Place, Side, Word};
use super::value::{Duration, Size};
use super::words::{STATES, TIMERS};
use crate::model::TcpState;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(all) => list(f, all, " and "),
            Self::Or(all) => list(f, all, " or "),
            Self::Not(inner) => {
                f.write_str("not ")?;
                part(f, inner)
            }
            Self::Is(is) => is.fmt(f),
        }
    }
}

fn list(f: &mut Formatter<'_>, all: &[Expr], between: &str) -> fmt::Result {
    for (n, expr) in all.iter().enumerate() {
        if n > 0 {
            f.write_str(between)?;
        }
        part(f, expr)?;
    }
    Ok(())
}

fn part(f: &mut Formatter<'_>, expr: &Expr) -> fmt::Result {
    match expr {
        Expr::And(_) | Expr::Or(_) => write!(f, "( {expr} )"),
        Expr::Not(_) | Expr::Is(_) => expr.fmt(f),
    }
}

const fn end(side: Side, local: &'static str, peer: &'static str) -> &'static str {
    match side {
        Side::Local => local,
        Side::Peer => peer,
    }
}

const fn equal(not: bool) -> &'static str {
    if not { "!=" } else { "=" }
}

impl Display for Is {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(mask) => f.write_str(&states(*mask)),
            Self::At(side, not, host) => {
                write!(f, "{} {}{host}", end(*side, "src", "dst"), if *not { "!= " } else { "" })
            }
            Self::Port(side, op, family, port) => {
                write!(f, "{} {} {}", end(*side, "sport", "dport"), op.symbol(), prefixed(*family))?;
                match port {
                    Some(port) => write!(f, ":{port}"),
                    None => f.write_str("*"),
                }
            }
            Self::Beyond(side, Beyond::At(not), family, text) => {
                let not = if *not { "!= " } else { "" };
                write!(f, "{} {not}{}{}", end(*side, "src", "dst"), prefixed(Some(*family)), Rest(text))
            }
            Self::Beyond(side, Beyond::Port(op), family, text) => {
                let (word, op) = (end(*side, "sport", "dport"), op.symbol());
                write!(f, "{word} {op} {}{}", prefixed(Some(*family)), Rest(text))
            }
            Self::Device(name, _, not) => write!(f, "dev {} {}", equal(*not), Quoted(name)),
            Self::Mark { value, mask, not } => {
                write!(f, "fwmark {} {value:#x}", equal(*not))?;
                if *mask == u32::MAX { Ok(()) } else { write!(f, "/{mask:#x}") }
            }
            Self::Cgroup(path, _, not) => write!(f, "cgroup {} {}", equal(*not), Quoted(path)),
            Self::Autobound => f.write_str("autobound"),
            Self::Number(field, op, n) => {
                let (name, op) = (field.name(), op.symbol());
                match field {
                    Field::Idle | Field::Age | Field::Rtt => write!(f, "{name} {op} {}", Duration(*n)),
                    Field::RecvQ | Field::SendQ => write!(f, "{name} {op} {}", Size(*n)),
                    Field::Pid | Field::Uid | Field::Retrans => write!(f, "{name} {op} {n}"),
                }
            }
            Self::Text(word, text, not) => write!(f, "{} {} {}", word.name(), equal(*not), Quoted(text)),
            Self::Keepalive(k, not) => write!(f, "keepalive {} {}", equal(*not), k.name()),
            Self::Timer(n, not) => {
                write!(f, "timer {} ", equal(*not))?;
                match TIMERS.iter().find(|(_, number)| number == n) {
                    Some((name, _)) => f.write_str(name),
                    None => write!(f, "{n}"),
                }
            }
            Self::Family(family, not) => write!(f, "family {} {}", equal(*not), family.name()),
        }
    }
}

impl Field {
    /// The word of the language.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Uid => "uid",
            Self::Idle => "idle",
            Self::Age => "age",
            Self::RecvQ => "recvq",
            Self::SendQ => "sendq",
            Self::Retrans => "retrans",
            Self::Rtt => "rtt",
        }
    }
}

impl Word {
    /// The word of the language.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Comm => "comm",
            Self::Netns => "netns",
            Self::Container => "container",
        }
    }
}

/// The states of a mask in words: one name if there is one, else whichever of `state` and `exclude` is shorter.
pub(super) fn states(mask: u32) -> String {
    if let Some((name, _)) = STATES.iter().find(|(_, m)| *m == mask) {
        return format!("state {name}");
    }
    if mask & ALL_STATES == 0 {
        return "exclude all".to_owned();
    }
    let (word, mask) = if mask.count_ones() > ALL_STATES.count_ones() / 2 {
        ("exclude", ALL_STATES & !mask)
    } else {
        ("state", mask)
    };
    let names: Vec<String> = TcpState::ALL
        .iter()
        .filter(|s| s.bit() & mask != 0)
        .filter_map(|s| STATES.iter().find(|(_, m)| *m == s.bit()))
        .map(|(name, _)| format!("{word} {name}"))
        .collect();
    names.join(" ")
}

fn prefixed(family: Option<Label>) -> &'static str {
    match family {
        Some(Label::Inet) => "inet:",
        Some(Label::Inet6) => "inet6:",
        Some(Label::Unix) => "unix:",
        Some(Label::Link) => "link:",
        Some(Label::Netlink) => "netlink:",
        Some(Label::Vsock) => "vsock:",
        None => "",
    }
}

impl Display for Host {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(prefixed(self.family))?;
        match &self.place {
            Place::Any => f.write_str("*")?,
            Place::In(network) => network.fmt(f)?,
            Place::Named(name, _) => write!(f, "{}", Quoted(name))?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl Display for Network {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let width = Self::host(self.addr, self.v6).len;
        let open = if self.v6 { "[" } else { "" };
        write!(f, "{open}")?;
        if self.v6 {
            write!(f, "{}", std::net::Ipv6Addr::from(self.addr.octets()))?;
        } else {
            write!(f, "{}", self.addr)?;
        }
        if self.len != width {
            write!(f, "/{}", self.len)?;
        }
        f.write_str(if self.v6 { "]" } else { "" })
    }
}

/// A text with backslashes before what would end it.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("\"\"") } else { Rest(self.0).fmt(f) }
    }
}

/// The same behind something else, where nothing needs no quotes.
struct Rest<'a>(&'a str);

impl Display for Rest<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for c in self.0.chars() {
            if c.is_ascii_whitespace()
                || matches!(c, '\\' | '"' | '\'' | '(' | ')' | '!' | '&' | '|' | '=' | '<' | '>')
            {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        Ok(())
    }
}
