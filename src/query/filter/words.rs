//! The words of the language.

use super::ast::{ALL_STATES, Field, Op, Side, Word};
use crate::model::TcpState;

/// What a word begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begins {
    State,
    Exclude,
    Host(Side),
    Port(Side),
    Device,
    Mark,
    Cgroup,
    Autobound,
    Number(Field),
    User,
    Text(Word),
    Keepalive,
    Timer,
    Family,
    Not,
}

use Begins as B;

const CONDITIONS: &[(&str, Begins)] = &[
    ("state", B::State),
    ("exclude", B::Exclude),
    ("excl", B::Exclude),
    ("src", B::Host(Side::Local)),
    ("dst", B::Host(Side::Peer)),
    ("sport", B::Port(Side::Local)),
    ("dport", B::Port(Side::Peer)),
    ("dev", B::Device),
    ("fwmark", B::Mark),
    ("cgroup", B::Cgroup),
    ("autobound", B::Autobound),
    ("pid", B::Number(Field::Pid)),
    ("comm", B::Text(Word::Comm)),
    ("uid", B::User),
    ("user", B::User),
    ("keepalive", B::Keepalive),
    ("timer", B::Timer),
    ("idle", B::Number(Field::Idle)),
    ("age", B::Number(Field::Age)),
    ("recvq", B::Number(Field::RecvQ)),
    ("sendq", B::Number(Field::SendQ)),
    ("retrans", B::Number(Field::Retrans)),
    ("rtt", B::Number(Field::Rtt)),
    ("netns", B::Text(Word::Netns)),
    ("container", B::Text(Word::Container)),
    ("family", B::Family),
    ("not", B::Not),
];

/// The words that a condition can begin with, for completion.
pub fn keywords() -> impl Iterator<Item = &'static str> {
    CONDITIONS.iter().map(|(word, _)| *word)
}

pub(super) fn begins(word: &str) -> Option<Begins> {
    CONDITIONS.iter().find(|(w, _)| w.eq_ignore_ascii_case(word)).map(|(_, b)| *b)
}

/// Operators in words.
pub(super) const COMPARISONS: &[(&str, Op)] = &[
    ("eq", Op::Eq),
    ("ne", Op::Ne),
    ("neq", Op::Ne),
    ("lt", Op::Lt),
    ("le", Op::Le),
    ("leq", Op::Le),
    ("gt", Op::Gt),
    ("ge", Op::Ge),
    ("geq", Op::Ge),
];

const fn without(states: &[TcpState]) -> u32 {
    let mut mask = ALL_STATES;
    let mut at = 0;
    while at < states.len() {
        mask &= !states[at].bit();
        at += 1;
    }
    mask
}

const BUCKETS: u32 = TcpState::SynRecv.bit() | TcpState::TimeWait.bit();

/// Groups and states by the names of ss(8). A bound socket that is not connected is in no group of connected ones, though
/// newer versions of `ss` count it there.
pub(super) const STATES: &[(&str, u32)] = &[
    ("all", ALL_STATES),
    ("connected", without(&[TcpState::Listen, TcpState::Close, TcpState::BoundInactive])),
    (
        "synchronized",
        without(&[TcpState::Listen, TcpState::Close, TcpState::BoundInactive, TcpState::SynSent]),
    ),
    ("bucket", BUCKETS),
    ("big", ALL_STATES & !BUCKETS),
    ("established", TcpState::Established.bit()),
    ("syn-sent", TcpState::SynSent.bit()),
    ("syn-recv", TcpState::SynRecv.bit()),
    ("fin-wait-1", TcpState::FinWait1.bit()),
    ("fin-wait-2", TcpState::FinWait2.bit()),
    ("time-wait", TcpState::TimeWait.bit()),
    ("closed", TcpState::Close.bit()),
    ("close-wait", TcpState::CloseWait.bit()),
    ("last-ack", TcpState::LastAck.bit()),
    ("listening", TcpState::Listen.bit()),
    ("closing", TcpState::Closing.bit()),
    ("bound-inactive", TcpState::BoundInactive.bit()),
];

/// More spellings, without hyphens and underscores.
const MORE_STATES: &[(&str, TcpState)] = &[
    ("estab", TcpState::Established),
    ("synrcv", TcpState::SynRecv),
    ("close", TcpState::Close),
    ("unconnected", TcpState::Close),
    ("listen", TcpState::Listen),
];

/// The names of states and of groups of them, for completion.
pub fn state_words() -> impl Iterator<Item = &'static str> {
    STATES.iter().map(|(word, _)| *word)
}

/// The states of a name: ss's, or the contract's with underscores.
pub(super) fn states(name: &str) -> Option<u32> {
    let plain =
        |s: &str| s.chars().filter(|c| !matches!(c, '-' | '_')).collect::<String>().to_ascii_lowercase();
    let name = plain(name);
    let known = STATES.iter().find(|(word, _)| plain(word) == name).map(|(_, mask)| *mask);
    known.or_else(|| MORE_STATES.iter().find(|(word, _)| *word == name).map(|(_, s)| s.bit()))
}

/// Timers by the contract's names and by those that `ss -o` shows, with the kernel's numbers.
pub(super) const TIMERS: &[(&str, u8)] = &[
    ("none", 0),
    ("retransmit", 1),
    ("keepalive", 2),
    ("time_wait", 3),
    ("probe", 4),
    ("delayed_ack", 5),
    ("off", 0),
    ("on", 1),
    ("timewait", 3),
    ("persist", 4),
    ("fin_timeout", FIN_TIMEOUT),
];

/// No timer of the kernel: what limits a `FIN_WAIT2` without a file runs under the numbers of keepalive and `TIME_WAIT`.
pub(super) const FIN_TIMEOUT: u8 = u8::MAX;
