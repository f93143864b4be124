//! What can stand at a place of an expression: words of the language, and values that are seen in a world.

use std::collections::HashMap;
use std::ops::Range;

use super::ast::{Field, Side, Word};
use super::lexer::{Lexer, Reach, Token};
use super::print::Quoted;
use super::words::{Begins, COMPARISONS, TIMERS, begins, keywords, state_words};
use crate::analysis::World;
use crate::model::{Ip, SocketRow, is_unprintable};
use crate::query::container;

/// How many words are offered.
const MOST: usize = 32;

/// How many different values are counted; of what comes later only the number is lost.
const DISTINCT: usize = 65_536;

/// Words that may stand at a place of a text.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Completion {
    /// The bytes of the text that a word would replace.
    pub at: Range<usize>,
    /// The words, the likeliest first: those of the language in its order, values by how often they are seen. None of
    /// them has a character that a terminal could take for a command.
    pub words: Vec<String>,
}

/// What may stand at byte `cursor` of `text` instead of the word that ends there. Values are those of `world`.
#[must_use]
pub fn complete(text: &str, cursor: usize, world: Option<&World>) -> Completion {
    let Some(before) = text.get(..cursor) else { return Completion::default() };
    let (place, start) = place(before);
    let begun = before.get(start..).unwrap_or("");
    let mut words = match place {
        Place::Condition => keywords().map(str::to_owned).collect(),
        Place::Joint => ["and", "or"].into_iter().chain(keywords()).map(str::to_owned).collect(),
        Place::Value(what, compared) => values(what, compared, begun, world),
    };
    let same = |word: &String| {
        word.get(..begun.len()).is_some_and(|w| w.eq_ignore_ascii_case(begun)) && word.len() > begun.len()
    };
    words.retain(|word| same(word) && !word.contains(is_unprintable));
    words.truncate(MOST);
    Completion { at: start..cursor, words }
}

/// Where in an expression a text ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// A condition has to follow.
    Condition,
    /// The expression could end, or go on.
    Joint,
    /// The value of a condition, and whether a comparison stands before it.
    Value(Begins, bool),
}

/// The place of the last word of a text, and where that begins: at the end if there is none yet.
fn place(text: &str) -> (Place, usize) {
    let mut lexer = Lexer::new(text);
    let mut place = Place::Condition;
    loop {
        let (token, at) = lexer.peek();
        if let (Place::Value(what, _), Some(Token::Word(word))) = (place, &token)
            && !COMPARISONS.iter().any(|(name, _)| name == word)
        {
            let reach = match what {
                Begins::Cgroup | Begins::Device | Begins::User | Begins::Text(_) => Reach::Space,
                _ => Reach::Operator,
            };
            let (_, at) = lexer.value(reach);
            if at.end == text.len() {
                return (place, at.start);
            }
            place = Place::Joint;
            continue;
        }
        lexer.skip();
        place = match token {
            None => return (place, text.len()),
            Some(Token::Word(_)) if at.end == text.len() => return (place, at.start),
            Some(Token::Word(word)) => match (place, begins(&word)) {
                (Place::Value(what, _), _) => Place::Value(what, true),
                (_, Some(Begins::Autobound)) => Place::Joint,
                (_, Some(Begins::Not) | None) => Place::Condition,
                (_, Some(what)) => Place::Value(what, false),
            },
            Some(Token::Compare(_)) => match place {
                Place::Value(what, _) => Place::Value(what, true),
                other => other,
            },
            Some(Token::Close) => Place::Joint,
            Some(Token::Open | Token::Not | Token::And | Token::Or) => Place::Condition,
        };
    }
}

fn values(what: Begins, compared: bool, begun: &str, world: Option<&World>) -> Vec<String> {
    let fixed = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    // What is rarely asked for without an order comes with one.
    let ordered = |words: &[&str]| {
        words.iter().map(|w| if compared { (*w).to_owned() } else { format!("> {w}") }).collect()
    };
    match what {
        Begins::State | Begins::Exclude => state_words().map(str::to_owned).collect(),
        Begins::Keepalive => fixed(&["on", "off", "unknown"]),
        Begins::Timer => TIMERS.iter().map(|(name, _)| (*name).to_owned()).collect(),
        Begins::Family => fixed(&["inet", "inet6"]),
        Begins::Number(Field::Idle | Field::Age) => ordered(&["10s", "1m", "5m", "1h", "1d"]),
        Begins::Number(Field::Rtt) => ordered(&["10ms", "100ms", "200ms", "1s"]),
        Begins::Number(Field::RecvQ | Field::SendQ) => ordered(&["0", "64k", "1M"]),
        Begins::Number(Field::Retrans) => ordered(&["0", "2", "5"]),
        Begins::Autobound | Begins::Not => Vec::new(),
        _ => world.map(|world| seen(what, begun, world)).unwrap_or_default(),
    }
}

/// Values of a world, the most frequent first.
fn seen(what: Begins, begun: &str, world: &World) -> Vec<String> {
    match what {
        Begins::Host(Side::Peer) => {
            let mut peers = Counts::default();
            for peer in world.snapshots.iter().flat_map(|s| &s.peers) {
                peers.add(peer.addr, peer.counts.total() as usize);
            }
            peers.words(written)
        }
        Begins::Host(Side::Local) => counted(world, |row| Some(row.local)).words(written),
        Begins::Port(side) => {
            let colon = if begun.starts_with(':') { ":" } else { "" };
            let port = |row: &SocketRow| if side == Side::Local { row.local_port } else { row.peer_port };
            counted(world, |row| Some(port(row)).filter(|p| *p != 0)).words(|p| format!("{colon}{p}"))
        }
        Begins::Number(Field::Pid) => {
            let mut pids = Counts::default();
            for process in world.snapshots.iter().flat_map(|s| &s.processes) {
                pids.add(process.pid, process.tally.counts.total() as usize);
            }
            pids.words(|pid| pid.to_string())
        }
        Begins::Text(Word::Comm) => holders(world, |p| Some(p.comm.raw())).words(pattern),
        Begins::Text(Word::Container) => holders(world, |p| container(p).map(crate::model::ForeignText::raw))
            .words(|name| Quoted(name).to_string()),
        Begins::Text(Word::Netns) => {
            let names = world.snapshots.iter().map(|s| s.sample.netns.name.raw());
            names.map(|name| Quoted(name).to_string()).collect()
        }
        Begins::User | Begins::Number(_) => users(world),
        Begins::Device => {
            let rows = world.snapshots.iter().filter_map(|s| s.sample.facts.interfaces.known()).flatten();
            rows.map(|i| Quoted(i.name.raw()).to_string()).collect()
        }
        Begins::Mark => {
            let mut marks = Counts::default();
            for origin in world.snapshots.iter().flat_map(|s| &s.sample.table.origins) {
                marks.add(origin.mark.unwrap_or(0), 1);
            }
            marks.words(|mark| format!("{mark:#x}"))
        }
        Begins::Cgroup => {
            let paths = world.owners().into_iter().flat_map(|o| o.cgroups.values());
            let mut paths: Vec<_> = paths.map(|c| Quoted(c.path.raw()).to_string()).collect();
            paths.sort();
            paths
        }
        _ => Vec::new(),
    }
}

/// How often each of some values is there.
struct Counts<T>(HashMap<T, usize>);

impl<T> Default for Counts<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: std::hash::Hash + Ord + Copy> Counts<T> {
    fn add(&mut self, value: T, n: usize) {
        if self.0.len() < DISTINCT || self.0.contains_key(&value) {
            *self.0.entry(value).or_default() += n;
        }
    }

    /// The values as words, the most frequent first.
    fn words(self, word: impl Fn(T) -> String) -> Vec<String> {
        let mut all: Vec<_> = self.0.into_iter().collect();
        all.sort_by_key(|(value, n)| (std::cmp::Reverse(*n), *value));
        all.into_iter().map(|(value, _)| word(value)).collect()
    }
}

fn counted<T: std::hash::Hash + Ord + Copy>(
    world: &World,
    value: impl Fn(&SocketRow) -> Option<T>,
) -> Counts<T> {
    let mut counts = Counts::default();
    let rows = world.snapshots.iter().flat_map(|s| &s.sample.table.rows);
    rows.filter_map(value).for_each(|value| counts.add(value, 1));
    counts
}

/// Names of the processes that hold sockets, by how many.
fn holders<'w>(
    world: &'w World,
    name: impl Fn(&'w crate::model::Process) -> Option<&'w str>,
) -> Counts<&'w str> {
    let mut counts = Counts::default();
    let Some(owners) = world.owners() else { return counts };
    for held in world.snapshots.iter().flat_map(|s| &s.processes) {
        if let Some(name) = owners.by_pid(held.pid).and_then(&name) {
            counts.add(name, held.tally.counts.total() as usize);
        }
    }
    counts
}

fn users(world: &World) -> Vec<String> {
    let mut uids = Counts::default();
    for origin in world.snapshots.iter().flat_map(|s| &s.sample.table.origins) {
        uids.add(origin.uid, 1);
    }
    let names = world.owners().map(|o| &o.users);
    uids.words(|uid| match names.and_then(|names| names.get(&uid)) {
        Some(name) => Quoted(name.raw()).to_string(),
        None => uid.to_string(),
    })
}

fn written(addr: Ip) -> String {
    if addr.is_v4() { addr.to_string() } else { format!("[{addr}]") }
}

/// The name of a process as a pattern: what could command a terminal is any character.
fn pattern(name: &str) -> String {
    let safe: String = name.chars().map(|c| if is_unprintable(c) { '?' } else { c }).collect();
    Quoted(&safe).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TcpState;
    use crate::testkit::{self, socket};

    fn world() -> World {
        let mut rows = vec![
            socket(TcpState::Listen, "0.0.0.0:443", ""),
            socket(TcpState::Established, "10.0.0.1:443", "10.9.9.1:5000"),
            socket(TcpState::Established, "10.0.0.1:443", "10.9.9.2:5000"),
            socket(TcpState::Established, "10.0.0.1:443", "10.9.9.2:5001"),
            socket(TcpState::Established, "[2001:db8::1]:443", "[2001:db8::2]:5000"),
        ];
        for (row, n) in rows.iter_mut().zip(1..) {
            row.set_cookie(n, 0);
        }
        let owners = testkit::owners(&[
            (7, "web server", &[(rows[1].inode, 3), (rows[2].inode, 4)]),
            (8, "\u{1b}[2Jx", &[(rows[3].inode, 3)]),
        ]);
        testkit::world_owned(rows, owners)
    }

    fn words(text: &str) -> Vec<String> {
        complete(text, text.len(), Some(&world())).words
    }

    #[test]
    fn words_of_the_language_follow_the_place() {
        assert_eq!(words("dp"), ["dport"]);
        assert_eq!(words("dst 10.0.0.1 an"), ["and"]);
        assert_eq!(words("dst 10.0.0.1 and an"), [] as [&str; 0], "two in a row are none");
        assert_eq!(words("( not KEEP"), ["keepalive"]);
        assert_eq!(words("state est"), ["established"]);
        assert_eq!(words("state = time-w"), ["time-wait"]);
        assert_eq!(words("keepalive != "), ["on", "off", "unknown"]);
        assert_eq!(words("autobound o"), ["or"]);
        assert_eq!(words("idle ")[0], "> 10s");
        assert_eq!(words("idle ge ")[0], "10s");
        assert_eq!(complete("dst 1 sta", 9, None).at, 6..9);
        assert_eq!(complete("sta dst 1", 3, None).words, ["state"], "what follows does not matter");
        assert_eq!(complete("日本", 1, None), Completion::default(), "not inside a character");
    }

    #[test]
    fn values_are_those_that_are_seen_the_most_frequent_first() {
        assert_eq!(words("dst "), ["10.9.9.2", "10.9.9.1", "[2001:db8::2]"]);
        assert_eq!(words("dst 10.9.9.1"), [] as [&str; 0], "nothing is left to be added");
        assert_eq!(words("src [2"), ["[2001:db8::1]"]);
        assert_eq!(words("dport = :5"), [":5000", ":5001"]);
        assert_eq!(words("sport ge "), ["443"]);
        assert_eq!(words("pid "), ["7", "8"]);
        assert_eq!(words("netns i"), ["init"]);
        assert_eq!(words("user "), ["0"]);
    }

    #[test]
    fn names_that_others_chose_are_quoted_and_harmless() {
        assert_eq!(words("comm "), ["web\\ server", "?[2Jx"]);
        let text = "comm web\\ server and comm ";
        assert_eq!(complete(text, text.len(), Some(&world())).words.len(), 2);
        let read = super::super::parse("comm web\\ server", &super::super::Numbers).unwrap().unwrap();
        assert_eq!(read.to_string(), "comm = web\\ server");
    }
}
