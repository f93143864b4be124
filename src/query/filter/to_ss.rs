//! A view as the command of `ss` that shows the same.

use super::ast::{ALL_STATES, Beyond, Expr, Field, Is, Op, Place, Side, Word};
use super::print::states;
use crate::model::{Protocol, TcpState};

/// A command for a shell, and what it does not say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SsCommand {
    /// `ss -tanoe …`
    pub command: String,
    /// What `ss` cannot express, in sentences for people.
    pub notes: Vec<String>,
}

/// The command of `ss` for the sockets of a protocol that match an expression. Conditions that `ss` does not have are left out where that shows
/// more sockets, never fewer, and are told; so is an order other than that of the kernel.
#[must_use]
pub fn to_ss(expr: Option<&Expr>, protocol: Protocol, sorted_by: Option<&str>) -> SsCommand {
    let mut notes = Vec::new();
    // UDP has no timers, and its drops stand among the buffers.
    let options = match protocol {
        Protocol::Tcp => "-tanoe",
        Protocol::Udp => "-uanme",
    };
    let mut command = format!("ss {options}");
    if let Some(expr) = expr {
        let expr = &spread(expr);
        let (front, rest) = split(expr);
        if let Some(mask) = front {
            command = format!("{command} {}", in_front(mask));
        }
        if let Some(rest) = rest.and_then(|rest| weaker(&rest, &mut notes)) {
            // A quote in a name must not end the shell's.
            let rest = rest.to_string().replace('\'', r"'\''");
            command = format!("{command} '{rest}'");
        }
        let bound = front.is_none_or(|mask| mask & TcpState::BoundInactive.bit() != 0) && !wants_peer(expr);
        if bound && protocol == Protocol::Tcp {
            notes.push("ss shows bound sockets that are not connected from version 6.8 on only".to_owned());
        }
    }
    if let Some(column) = sorted_by {
        notes.push(format!("ss does not sort; this view is sorted by {column}"));
    }
    notes.dedup();
    SsCommand { command, notes }
}

/// The states in words that every version of ss knows, where that is possible.
fn in_front(mask: u32) -> String {
    let bound = TcpState::BoundInactive.bit();
    let [whole, known] = [states(mask), states(mask & !bound)];
    if whole.contains("bound-inactive") && mask != bound { known } else { whole }
}

/// The states that go in front, where alone ss takes them, and the rest.
fn split(expr: &Expr) -> (Option<u32>, Option<Expr>) {
    match expr {
        Expr::Is(Is::State(mask)) => (Some(*mask), None),
        Expr::And(all) => {
            let mut mask = None;
            let mut rest: Option<Expr> = None;
            for part in all {
                match part {
                    Expr::Is(Is::State(m)) => mask = Some(mask.unwrap_or(ALL_STATES) & m),
                    part => {
                        rest = Some(match rest {
                            Some(before) => before.and(part.clone()),
                            None => part.clone(),
                        });
                    }
                }
            }
            (mask, rest)
        }
        other => (None, Some(other.clone())),
    }
}

/// The same with negations only where ss has them, as far as that lets more be said: the states, which go in front, and
/// the parts of a conjunction, of which any can be left out.
fn spread(expr: &Expr) -> Expr {
    match expr {
        Expr::And(all) => all_of(all.iter().map(spread)),
        Expr::Or(all) => one_of(all.iter().map(spread)),
        Expr::Not(inner) => opposite(inner),
        Expr::Is(is) => Expr::Is(is.clone()),
    }
}

fn opposite(expr: &Expr) -> Expr {
    match expr {
        Expr::Is(Is::State(mask)) => Expr::Is(Is::State(ALL_STATES & !mask)),
        Expr::Not(inner) => spread(inner),
        Expr::And(all) if !strange(expr).is_empty() => one_of(all.iter().map(opposite)),
        Expr::Or(all) if !strange(expr).is_empty() => all_of(all.iter().map(opposite)),
        other => other.clone().negated(),
    }
}

fn all_of(parts: impl Iterator<Item = Expr>) -> Expr {
    parts.reduce(Expr::and).unwrap_or(Expr::Is(Is::State(ALL_STATES)))
}

/// One of these; states alone are states.
fn one_of(parts: impl Iterator<Item = Expr>) -> Expr {
    let joined = parts.reduce(|a, b| match (a, b) {
        (Expr::Is(Is::State(a)), Expr::Is(Is::State(b))) => Expr::Is(Is::State(a | b)),
        (a, b) => a.or(b),
    });
    joined.unwrap_or(Expr::Is(Is::State(0)))
}

/// The words in an expression that ss does not have, each once.
fn strange(expr: &Expr) -> Vec<&'static str> {
    let mut words = Vec::new();
    for word in expr.conditions().filter_map(foreign) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// What ss can say of an expression that holds wherever the expression does; `None` for nothing.
fn weaker(expr: &Expr, notes: &mut Vec<String>) -> Option<Expr> {
    let left_out = || format!("ss has no {}; left out: {expr}", strange(expr).join(", no "));
    match expr {
        Expr::And(all) => all.iter().filter_map(|e| weaker(e, notes)).reduce(Expr::and),
        // One that cannot be said leaves nothing of the others.
        Expr::Or(all) => {
            let mut inner = Vec::new();
            let any: Option<Vec<Expr>> = all.iter().map(|e| weaker(e, &mut inner)).collect();
            notes.extend(if any.is_some() { inner } else { vec![left_out()] });
            any?.into_iter().reduce(Expr::or)
        }
        // The opposite of something weaker would be stronger.
        Expr::Not(inner) => {
            let mut unsaid = Vec::new();
            let same = weaker(inner, &mut unsaid).filter(|_| unsaid.is_empty());
            notes.extend(same.is_none().then(left_out));
            same.map(Expr::negated)
        }
        Expr::Is(is) => {
            notes.extend(foreign(is).map(|_| left_out()));
            foreign(is).is_none().then(|| said(is))
        }
    }
}

/// Whether it holds for sockets with a peer alone, and so for none that is only bound.
fn wants_peer(expr: &Expr) -> bool {
    match expr {
        Expr::And(all) => all.iter().any(wants_peer),
        Expr::Or(all) => all.iter().all(wants_peer),
        Expr::Is(Is::At(Side::Peer, false, host)) => {
            let place = matches!(&host.place, Place::In(n) if n.len > 0 && !n.addr.is_unspecified());
            place || host.port.is_some_and(|port| port > 0)
        }
        Expr::Is(Is::Port(Side::Peer, Op::Eq, _, Some(1..))) => true,
        Expr::Is(_) | Expr::Not(_) => false,
    }
}

/// The word of a condition that ss does not have, or not there.
fn foreign(is: &Is) -> Option<&'static str> {
    match is {
        Is::State(_) => Some("state inside an expression"),
        Is::Number(field, ..) => Some(match field {
            Field::Uid => "user",
            other => other.name(),
        }),
        Is::Text(Word::Comm, ..) => Some("comm"),
        Is::Text(Word::Netns, ..) => Some("netns inside a filter (see its option -N)"),
        Is::Text(Word::Container, ..) => Some("container"),
        // ss cuts the number to 16 bits in its question to the kernel.
        Is::Port(_, Op::Lt | Op::Le | Op::Gt | Op::Ge, _, port)
            if port.is_none_or(|n| u16::try_from(n).is_err()) =>
        {
            Some("order of what is no port")
        }
        Is::Keepalive(..) => Some("keepalive"),
        Is::Timer(..) => Some("timer"),
        Is::Family(..) => Some("family inside a filter (see its options -4 and -6)"),
        _ => None,
    }
}

/// The condition in the words of ss, which has no != for addresses.
fn said(is: &Is) -> Expr {
    match is {
        Is::At(side, true, host) => Expr::Is(Is::At(*side, false, host.clone())).negated(),
        Is::Beyond(side, Beyond::At(true), family, text) => {
            Expr::Is(Is::Beyond(*side, Beyond::At(false), *family, text.clone())).negated()
        }
        is => Expr::Is(is.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Numbers, parse};
    use super::*;

    fn ss(text: &str) -> SsCommand {
        to_ss(parse(text, &Numbers).unwrap().as_ref(), Protocol::Tcp, None)
    }

    #[test]
    fn what_ss_can_say_is_said() {
        assert_eq!(ss("").command, "ss -tanoe");
        assert_eq!(ss("state established dport 443").command, "ss -tanoe state established 'dport = :443'");
        assert_eq!(
            ss("exclude listening and ( dst != 10.0.0.0/8 or sport > 1024 )").command,
            "ss -tanoe exclude listening 'not dst 10.0.0.0/8 or sport > :1024'"
        );
        assert_eq!(ss("state time-wait").notes, [] as [&str; 0]);
    }

    #[test]
    fn udp_has_options_of_its_own() {
        let expr = parse("sport = :53 and keepalive on", &Numbers).unwrap();
        let udp = to_ss(expr.as_ref(), Protocol::Udp, Some("drops"));
        assert_eq!(udp.command, "ss -uanme 'sport = :53'");
        let [keepalive, sort] = &udp.notes[..] else { panic!("{:?}", udp.notes) };
        assert!(keepalive.contains("ss has no keepalive") && sort.contains("sorted by drops"));
    }

    #[test]
    fn a_negation_is_said_part_by_part() {
        let not = ss("not ( dst 127.0.0.0/8 or state listening )");
        assert_eq!(not.command, "ss -tanoe exclude listening 'not dst 127.0.0.0/8'");
        assert!(not.notes.iter().all(|note| !note.contains("left out")), "{:?}", not.notes);
        let known = ss("not ( dport 443 or pid 7 or state time-wait )");
        assert_eq!(known.command, "ss -tanoe exclude time-wait 'not dport = :443'");
        assert_eq!(known.notes[0], "ss has no pid; left out: not pid = 7");
        assert_eq!(
            ss("state established or state syn-sent").command,
            ss("state established state syn-sent").command
        );
        assert_eq!(
            ss("not ( dport 443 or dport 80 )").command,
            "ss -tanoe 'not ( dport = :443 or dport = :80 )'"
        );
    }

    #[test]
    fn what_has_a_peer_is_not_only_bound() {
        let told = |text| ss(text).notes.iter().any(|note| note.contains("6.8"));
        for peer in ["dst 10.0.0.0/8", "dport = 443", "dst 10.0.0.1 or dst [::1]:80", "dst 10.0.0.1 sport 80"]
        {
            assert!(!told(peer), "{peer}");
        }
        for any in
            ["dst 0.0.0.0/0", "sport 80", "not dst 10.0.0.1", "dst 10.0.0.1 or sport 80", "dst 0.0.0.0"]
        {
            assert!(told(any), "{any}");
        }
    }

    #[test]
    fn a_name_cannot_leave_the_quotes_of_the_shell() {
        let expr = Expr::Is(Is::Device("x'; reboot; '".into(), 7, false));
        let command = to_ss(Some(&expr), Protocol::Tcp, None).command;
        let shell = command.replace(r"'\''", "");
        assert_eq!(command.matches(r"'\''").count(), 2, "{command}");
        assert_eq!(shell.matches('\'').count(), 2, "the quotes around the whole alone are left: {command}");
    }

    #[test]
    fn what_it_cannot_say_is_left_out_and_told() {
        let both = ss("state established dport 443 and pid 7");
        assert_eq!(both.command, "ss -tanoe state established 'dport = :443'");
        assert_eq!(both.notes, ["ss has no pid; left out: pid = 7"]);
        let either = ss("state established and ( dport 443 or idle > 5m )");
        assert_eq!(either.command, "ss -tanoe state established");
        assert_eq!(
            either.notes,
            ["ss has no idle; left out: dport = :443 or idle > 5m"],
            "everything that went"
        );
        let less = ss("sport < 70000");
        assert_eq!(
            (&*less.command, &*less.notes[0]),
            ("ss -tanoe", "ss has no order of what is no port; left out: sport < :70000")
        );
        assert_eq!(ss("sport = 70000").command, "ss -tanoe 'sport = :70000'");
        assert_eq!(
            ss("state established not ( dport 443 and pid 7 )").command,
            "ss -tanoe state established"
        );
        let sorted = to_ss(None, Protocol::Tcp, Some("recv_q"));
        assert_eq!(sorted.notes, ["ss does not sort; this view is sorted by recv_q"]);
    }
}
