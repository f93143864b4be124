//! The part of a filter that the kernel can decide.

use super::ast::{Compared, Expr, Host, Is, Op, Place, Side};
use super::compile::Filter;
use crate::model::{Asked, Condition, TcpState};

impl Filter {
    /// What to ask the kernel for: every matching socket is in the answer, and as few others as can be told. A row that
    /// the kernel leaves out costs it a twentieth of one that it hands over.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked {
            states: self.states(),
            condition: necessary(self.expr(), false),
            autobound: self.needs().autobound,
        }
    }
}

impl Filter {
    /// The same with every listener: it takes them to tell a connection that waits to be accepted from one of the kernel's.
    #[must_use]
    pub fn asked_with_listeners(&self) -> Asked {
        let asked = self.asked();
        // A listener has no peer, and no other condition of the kernel's tells it from a connection.
        let no_peer = Condition::AtMost(true, 0);
        let condition = asked.condition.map(|c| Condition::Any(vec![c, no_peer]));
        Asked { states: asked.states | TcpState::Listen.bit(), condition, ..asked }
    }
}

/// A condition that holds wherever the expression (or its opposite) holds; `None` if nothing can be said.
fn necessary(expr: &Expr, negated: bool) -> Option<Condition> {
    match (expr, negated) {
        (Expr::Not(inner), _) => necessary(inner, !negated),
        // What cannot be decided is left out of a conjunction, and spoils a disjunction.
        (Expr::And(all), false) | (Expr::Or(all), true) => {
            several(all.iter().filter_map(|e| necessary(e, negated)).collect(), Condition::All)
        }
        (Expr::Or(all), false) | (Expr::And(all), true) => {
            let any: Option<Vec<_>> = all.iter().map(|e| necessary(e, negated)).collect();
            several(any?, Condition::Any)
        }
        (Expr::Is(is), _) => {
            let condition = condition(is)?;
            Some(if negated { Condition::Not(Box::new(condition)) } else { condition })
        }
    }
}

fn several(mut all: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Option<Condition> {
    if all.len() > 1 { Some(join(all)) } else { all.pop() }
}

/// The condition in the kernel's terms, exactly; `None` for one that it cannot decide.
fn condition(is: &Is) -> Option<Condition> {
    let not = |c| Condition::Not(Box::new(c));
    match is {
        Is::At(side, negated, host) => {
            let at = place(*side, host)?;
            Some(if *negated { not(at) } else { at })
        }
        Is::Port(side, op, _, port) => {
            let peer = *side == Side::Peer;
            let Compared::With(op, port) = Compared::new(*op, *port) else { return None };
            let equal = Condition::At { peer, network: None, port: Some(port) };
            Some(match op {
                Op::Eq => equal,
                Op::Ne => not(equal),
                Op::Ge => Condition::AtLeast(peer, port),
                Op::Le => Condition::AtMost(peer, port),
                Op::Gt => not(Condition::AtMost(peer, port)),
                Op::Lt => not(Condition::AtLeast(peer, port)),
            })
        }
        _ => None,
    }
}

fn place(side: Side, host: &Host) -> Option<Condition> {
    let peer = side == Side::Peer;
    // A port that cannot be is no question for the kernel.
    let port = host.port.map(u16::try_from).transpose().ok()?;
    let at = |network| Condition::At { peer, network, port };
    match &host.place {
        Place::Any => port.map(|_| at(None)),
        Place::In(n) => Some(at(Some((n.addr, n.len, n.v6)))),
        Place::Named(_, all) => {
            several(all.iter().map(|n| at(Some((n.addr, n.len, n.v6)))).collect(), Condition::Any)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Numbers, parse};
    use super::*;

    fn asked(text: &str) -> Asked {
        Filter::new(parse(text, &Numbers).unwrap().unwrap()).asked()
    }

    fn port(port: u16) -> Condition {
        Condition::At { peer: true, network: None, port: Some(port) }
    }

    #[test]
    fn what_the_kernel_cannot_decide_is_left_to_us() {
        assert_eq!(asked("dport 80 and pid 7").condition, Some(port(80)));
        assert_eq!(asked("dport 80 or pid 7").condition, None);
        assert_eq!(asked("dport 80 or dport 81").condition, Some(Condition::Any(vec![port(80), port(81)])));
        assert_eq!(asked("not ( dport 80 and pid 7 )").condition, None);
        let not = |c| Condition::Not(Box::new(c));
        assert_eq!(asked("not ( dport 80 or pid 7 )").condition, Some(not(port(80))));
        assert_eq!(asked("dport > 80").condition, Some(not(Condition::AtMost(true, 80))));
        for constant in ["dport 70000", "dport < 70000", "dst *:70000", "dst 10.0.0.1:70000", "dport < *"] {
            assert_eq!(asked(constant).condition, None, "{constant}");
            assert_eq!(asked(&format!("{constant} and dport 80")).condition, Some(port(80)), "{constant}");
            assert_eq!(asked(&format!("{constant} or dport 80")).condition, None, "{constant}");
        }
        assert_eq!(asked("dport >= *").condition, Some(Condition::AtLeast(true, u16::MAX)));
        assert_eq!(asked("autobound dst any"), Asked { autobound: true, states: 0x2ffe, condition: None });
    }
}
