//! The value of a column, typed, and how people and programs read it.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use crate::analysis::Age;
use crate::diagnose::{AuditVerdict, Severity};
use crate::model::{Bytes, Endpoint, ForeignText, Grouped, Ip, Percent, Span, TimerKind, thousandths};

/// A value of a table. Its `Display` is for people and is safe for a terminal; [`Cell::plain`] is for programs.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell<'a> {
    /// Does not apply here.
    Absent,
    /// Applies, and could not be known.
    Unknown,
    /// A word of ours.
    Word(&'static str),
    /// A word of ours that people know by another name than programs: `UNCONN` and `CLOSE`.
    Named {
        /// What people say.
        people: &'static str,
        /// The word of the contract.
        programs: &'static str,
    },
    /// A text of ours.
    Text(Cow<'a, str>),
    /// A text that someone else chose.
    Foreign(&'a ForeignText),
    /// An address.
    Addr(Ip),
    /// The network of an address: its first address and its length in bits.
    Network(Ip, u8),
    /// Address and port.
    Endpoint(Endpoint),
    /// A number: of things, or an identity.
    Count(u64),
    /// A sum in which some could not be counted.
    AtLeast(u64),
    /// A number in hexadecimal.
    Hex(u64),
    /// An amount of memory or data.
    Bytes(u64),
    /// A time span in milliseconds.
    Millis(u32),
    /// A time span in seconds.
    Seconds(f64),
    /// A time span in whole seconds.
    Whole(u64),
    /// How long something has been seen.
    Age(Age),
    /// A change per unit of time.
    Rate(f64),
    /// A part of a whole, 1 for all of it.
    Ratio(f64),
    /// The used part of a limit, 1 for all of it: a [`Cell::Ratio`] that is worth a bar where there is room.
    Gauge(f64),
    /// How bad a finding is, and whether it is over; nothing for what could not be judged.
    Severity(Option<Severity>, bool),
    /// Something per second.
    PerSecond(f64),
    /// A number at the last looks, oldest first: a line of heights where it is drawn.
    Past(&'a [f32]),
    /// What to think of a sysctl's value; nothing for one that is not there.
    Verdict(Option<AuditVerdict>),
    /// A network interface by its number.
    Interface(u32, Option<&'a ForeignText>),
    /// Address and port of a socket that is bound to an interface: its index, and its name if that is known.
    Bound(Endpoint, u32, Option<&'a ForeignText>),
    /// A process that holds a socket, and how many others do.
    Process {
        /// Its name.
        name: &'a ForeignText,
        /// Its process id.
        pid: u32,
        /// Other processes that hold the same socket.
        others: u32,
    },
    /// What is pending on a socket.
    Timer {
        /// Which timer.
        kind: TimerKind,
        /// It is `tcp_fin_timeout` that runs under this kind.
        fin_timeout: bool,
        /// Time until it fires, milliseconds.
        expires_ms: u32,
        /// Repetitions, or probes without an answer.
        retrans: u8,
    },
}

impl Cell<'_> {
    /// The value as programs read it: numbers whole, in bytes, milliseconds or seconds; nothing where there is none.
    #[must_use]
    pub const fn plain(&self) -> Plain<'_> {
        Plain(self)
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("-"),
            Self::Unknown => f.write_str("?"),
            Self::Word(word) | Self::Named { people: word, .. } => f.write_str(word),
            Self::Text(text) => f.write_str(text),
            Self::Foreign(text) => write!(f, "{text}"),
            Self::Addr(ip) => write!(f, "{ip}"),
            Self::Network(ip, len) => write!(f, "{ip}/{len}"),
            Self::Endpoint(e) => write!(f, "{e}"),
            Self::Count(n) => write!(f, "{n}"),
            Self::AtLeast(n) => write!(f, "≥{n}"),
            Self::Hex(n) => write!(f, "{n:#x}"),
            Self::Bytes(n) => write!(f, "{}", Bytes(*n)),
            Self::Millis(ms) => write!(f, "{}", Span::from_millis(u64::from(*ms))),
            Self::Seconds(s) => write!(f, "{}", Span::from_seconds(*s)),
            Self::Whole(s) => write!(f, "{}", Span::from_millis(s.saturating_mul(1000))),
            Self::Age(age) => {
                if age.at_least {
                    f.write_char('≥')?;
                }
                write!(f, "{}", Span::from_seconds(age.seen.as_secs_f64()))
            }
            Self::Rate(r) if r.abs() < 0.05 => f.write_str("0"),
            Self::Rate(r) if r.abs() < 10.0 => write!(f, "{r:+.1}"),
            Self::Rate(r) => write!(f, "{r:+.0}"),
            Self::Ratio(r) | Self::Gauge(r) => write!(f, "{}", Percent(*r)),
            Self::Past(past) => {
                let numbers: Vec<String> = past.iter().map(|x| format!("{x:.1}")).collect();
                f.write_str(&numbers.join(" "))
            }
            Self::Severity(None, _) => f.write_char('?'),
            Self::Severity(_, true) => f.write_str("over"),
            Self::Severity(Some(severity), false) => f.write_str(severity.name()),
            Self::PerSecond(r) if *r < 9.95 => write!(f, "{r:.1}"),
            Self::PerSecond(r) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "saturates at the ends"
                )]
                let whole = r.round() as u64;
                write!(f, "{}", Grouped(whole))
            }
            Self::Verdict(verdict) => f.write_str(verdict.map_or("not there", AuditVerdict::name)),
            Self::Interface(n, name) => write!(f, "{}", Interface(*n, *name)),
            Self::Bound(at, n, name) => {
                let at = at.to_string();
                let (addr, port) = at.rsplit_once(':').unwrap_or((&at, "0"));
                write!(f, "{addr}%{}:{port}", Interface(*n, *name))
            }
            Self::Process { name, pid, others } => {
                write!(f, "{name}[{pid}]")?;
                if *others > 0 {
                    write!(f, "+{others}")?;
                }
                Ok(())
            }
            Self::Timer { kind, fin_timeout, expires_ms, retrans } => {
                match (kind, fin_timeout) {
                    (TimerKind::None, _) => return f.write_char('-'),
                    (TimerKind::Other(n), _) => write!(f, "timer {n}")?,
                    (_, true) => f.write_str("fin_timeout")?,
                    (kind, false) => f.write_str(kind.name())?,
                }
                write!(f, " {}", Span::from_millis(u64::from(*expires_ms)))?;
                if *retrans > 0 {
                    write!(f, " ×{retrans}")?;
                }
                Ok(())
            }
        }
    }
}

/// An interface by its name, else by its index.
struct Interface<'a>(u32, Option<&'a ForeignText>);

impl fmt::Display for Interface<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(name) => write!(f, "{name}"),
            None => write!(f, "if{}", self.0),
        }
    }
}

/// A cell as programs read it; see [`Cell::plain`].
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(&'a Cell<'a>);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Cell::Absent | Cell::Unknown => Ok(()),
            Cell::Bytes(n) | Cell::AtLeast(n) => write!(f, "{n}"),
            Cell::Millis(ms) => write!(f, "{ms}"),
            Cell::Seconds(s) => write!(f, "{s:.1}"),
            Cell::Whole(s) => write!(f, "{s}"),
            Cell::Age(age) => write!(f, "{}", age.seen.as_secs()),
            Cell::Rate(r) | Cell::PerSecond(r) => write!(f, "{r:.3}"),
            Cell::Ratio(r) | Cell::Gauge(r) => write!(f, "{:.3}", thousandths(*r)),
            Cell::Timer { kind, .. } => f.write_str(kind.name()),
            Cell::Named { programs, .. } => f.write_str(programs),
            other => write!(f, "{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_read_as_people_say_them() {
        let timer = |kind, expires_ms, retrans| {
            Cell::Timer { kind, fin_timeout: false, expires_ms, retrans }.to_string()
        };
        assert_eq!(timer(TimerKind::Keepalive, 59_000, 0), "keepalive 59s");
        assert_eq!(timer(TimerKind::Retransmit, 1200, 3), "retransmit 1.2s ×3");
        assert_eq!(timer(TimerKind::None, 0, 0), "-");
        assert_eq!(timer(TimerKind::Other(9), 100, 0), "timer 9 100ms");
    }

    #[test]
    fn programs_get_whole_numbers_and_people_get_the_doubt() {
        let age = Cell::Age(Age { seen: Duration::from_millis(75_400), at_least: true });
        assert_eq!((age.to_string().as_str(), age.plain().to_string().as_str()), ("≥1m15s", "75"));
        assert_eq!(Cell::Unknown.plain().to_string(), "");
        assert_eq!(Cell::Bytes(2_000_000).plain().to_string(), "2000000");
        let hostile = ForeignText::from("a\u{1b}[2J");
        assert!(!Cell::Foreign(&hostile).to_string().contains('\u{1b}'));
    }
}
