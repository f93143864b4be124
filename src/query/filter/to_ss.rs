//! A view as the command of `ss` that shows the same.

use super::ast::{ALL_STATES, Beyond, Expr, Field, Is, Op, Word};
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
        let (front, rest) = split(expr);
        if let Some(mask) = front {
            command = format!("{command} {}", in_front(mask));
        }
        if let Some(rest) = rest.and_then(|rest| weaker(&rest, &mut notes)) {
            // A quote in a name must not end the shell's.
            let rest = rest.to_string().replace('\'', r"'\''");
            command = format!("{command} '{rest}'");
        }
        let bound = front.is_none_or(|mask| mask & TcpState::BoundInactive.bit() != 0);
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

/// What ss can say of an expression that holds wherever the expression does; `None` for nothing.
fn weaker(expr: &Expr, notes: &mut Vec<String>) -> Option<Expr> {
    match expr {
        Expr::And(all) => all.iter().filter_map(|e| weaker(e, notes)).reduce(Expr::and),
        // One that cannot be said leaves nothing of the others; all are looked at for their notes.
        Expr::Or(all) => {
            let any: Vec<Option<Expr>> = all.iter().map(|e| weaker(e, notes)).collect();
            any.into_iter().collect::<Option<Vec<_>>>()?.into_iter().reduce(Expr::or)
        }
        Expr::Not(inner) => {
            let mut unsaid = Vec::new();
            // The opposite of something weaker would be stronger.
            let same = weaker(inner, &mut unsaid).filter(|_| unsaid.is_empty());
            notes.append(&mut unsaid);
            same.map(Expr::negated)
        }
        Expr::Is(is) => match foreign(is) {
            Some(word) => {
                notes.push(format!("ss has no {word}; left out: {is}"));
                None
            }
            None => Some(said(is)),
        },
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
        assert_eq!(either.notes, ["ss has no idle; left out: idle > 5m"]);
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
