//! What a view selects, in the words of a filter, so that it can be said to `ss`.

use super::ast::{Expr, Field, Host, Is, Network, Op, Place, Side, Word};
use super::words;
use std::collections::BTreeSet;

use crate::model::{Endpoint, Ip, SocketRow};
use crate::query::{ProcessKey, Selection};

/// A selection as an expression, and what that does not say.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Said {
    /// The sockets; `None` for all.
    pub expr: Option<Expr>,
    /// What is missing, in sentences for people.
    pub notes: Vec<String>,
}

impl From<Is> for Said {
    fn from(is: Is) -> Self {
        Self { expr: Some(Expr::Is(is)), notes: Vec::new() }
    }
}

/// Every state of a connection.
#[must_use]
pub fn connections() -> Expr {
    Expr::Is(Is::State(words::states("connected").unwrap_or(super::ast::ALL_STATES)))
}

/// Every listener.
#[must_use]
pub fn listeners() -> Expr {
    Expr::Is(Is::State(crate::model::TcpState::Listen.bit()))
}

fn at(side: Side, addr: Ip, lens: Option<(u8, u8)>, port: Option<u16>) -> Is {
    let network = Network::host(addr, !addr.is_v4());
    let len = lens.map_or(network.len, |(v4, v6)| if network.v6 { v6 } else { v4 });
    Is::At(
        side,
        false,
        Host { family: None, place: Place::In(Network { len, ..network }), port: port.map(i32::from) },
    )
}

/// The socket with these ends; a listener has one.
#[must_use]
pub fn socket(local: Endpoint, peer: Option<Endpoint>) -> Expr {
    let end = |side, end: Endpoint| Expr::Is(at(side, end.addr, None, Some(end.port)));
    let local = end(Side::Local, local);
    peer.map_or(local.clone(), |peer| local.and(end(Side::Peer, peer)))
}

/// How many addresses a command names at most.
const FEW: usize = 8;

/// These sockets, by their addresses if those are few, else by their peers.
#[must_use]
pub fn sockets<'a>(rows: impl Iterator<Item = &'a SocketRow>) -> Said {
    let rows: Vec<&SocketRow> = rows.collect();
    let states = rows.iter().fold(0, |mask, row| mask | row.state.bit());
    let one_of = |parts: Vec<Expr>| parts.into_iter().reduce(Expr::or);
    let (ends, notes) = if rows.len() <= FEW {
        let ends = |row: &&SocketRow| {
            socket(row.local_endpoint(), row.state.has_peer().then(|| row.peer_endpoint()))
        };
        (one_of(rows.iter().map(ends).collect()), Vec::new())
    } else {
        let peers: BTreeSet<Ip> =
            rows.iter().filter(|row| row.state.has_peer()).map(|row| row.peer).collect();
        let all = rows.iter().all(|row| row.state.has_peer()) && peers.len() <= FEW;
        let peers = peers.into_iter().map(|peer| Expr::Is(at(Side::Peer, peer, None, None)));
        let note = "ss cannot choose by cookie: all that are in these states with these peers are shown";
        (all.then(|| one_of(peers.collect())).flatten(), vec![note.to_owned()])
    };
    match ends {
        Some(ends) => Said { expr: Some(Expr::Is(Is::State(states)).and(ends)), notes },
        None => unsaid("cookie"),
    }
}

/// What a selection stands for.
#[must_use]
pub fn selection(selection: &Selection) -> Said {
    match *selection {
        Selection::All => Said::default(),
        Selection::Peer { addr, v4_len, v6_len } => at(Side::Peer, addr, Some((v4_len, v6_len)), None).into(),
        Selection::Listener { local, .. } if local.addr.is_unspecified() => Said {
            expr: Some(Expr::Is(Is::Port(Side::Local, Op::Eq, None, Some(local.port.into())))),
            notes: vec![format!(
                "ss does not say through which listener a connection came in: all on port {} are shown",
                local.port
            )],
        },
        Selection::Listener { local, .. } => at(Side::Local, local.addr, None, Some(local.port)).into(),
        Selection::Destination { local, peer, .. } => Said {
            expr: Some(Expr::Is(at(Side::Local, local, None, None)).and(Expr::Is(at(
                Side::Peer,
                peer.addr,
                None,
                Some(peer.port),
            )))),
            notes: Vec::new(),
        },
        Selection::States(mask) => Is::State(mask).into(),
        Selection::Processes(ref key) => processes(key),
        Selection::Cookies { .. } => unsaid("cookie"),
    }
}

fn unsaid(what: &str) -> Said {
    Said { expr: None, notes: vec![format!("ss cannot choose by {what}; left out")] }
}

fn processes(key: &ProcessKey) -> Said {
    let text = |word, text: &str| Is::Text(word, text.into(), false).into();
    match key {
        ProcessKey::Pid(pid) => Is::Number(Field::Pid, Op::Eq, (*pid).into()).into(),
        ProcessKey::User(uid) => Is::Number(Field::Uid, Op::Eq, (*uid).into()).into(),
        ProcessKey::Command(comm) => text(Word::Comm, comm.raw()),
        ProcessKey::Container(Some(name)) => text(Word::Container, name.raw()),
        ProcessKey::Container(None) => unsaid("being in no container"),
        ProcessKey::Unit(_) => unsaid("systemd unit"),
        ProcessKey::Nobody(_) => unsaid("being held by nobody"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::to_ss;
    use super::*;
    use crate::model::Protocol;
    use crate::model::TcpState;
    use crate::testkit::{self, endpoint};

    fn command(said: &Said) -> String {
        to_ss(said.expr.as_ref(), Protocol::Tcp, None).command
    }

    #[test]
    fn selections_are_said_in_the_words_of_ss() {
        let peer = |addr: &str, v4_len, v6_len| {
            selection(&Selection::Peer { addr: endpoint(addr).addr, v4_len, v6_len })
        };
        assert_eq!(command(&peer("10.9.9.9:1", 32, 128)), "ss -tanoe 'dst 10.9.9.9'");
        assert_eq!(command(&peer("10.9.9.0:1", 24, 64)), "ss -tanoe 'dst 10.9.9.0/24'");
        assert_eq!(command(&peer("[2001:db8::]:1", 24, 64)), "ss -tanoe 'dst [2001:db8::/64]'");
        let listener = |local: &str| selection(&Selection::Listener { netns: 1, local: endpoint(local) });
        assert_eq!(command(&listener("10.0.0.1:443")), "ss -tanoe 'src 10.0.0.1:443'");
        assert_eq!(command(&listener("0.0.0.0:443")), "ss -tanoe 'sport = :443'");
        assert_eq!(listener("0.0.0.0:443").notes.len(), 1);
        let to = Selection::Destination {
            netns: 1,
            local: endpoint("10.0.0.1:1").addr,
            peer: endpoint("10.0.0.2:80"),
        };
        assert_eq!(command(&selection(&to)), "ss -tanoe 'src 10.0.0.1 and dst 10.0.0.2:80'");
        assert_eq!(to_ss(Some(&connections()), Protocol::Tcp, None).command, "ss -tanoe state connected");
        assert_eq!(to_ss(Some(&listeners()), Protocol::Tcp, None).command, "ss -tanoe state listening");
        let one = socket(endpoint("10.0.0.1:80"), Some(endpoint("10.9.9.9:5000")));
        assert_eq!(
            to_ss(Some(&one), Protocol::Tcp, None).command,
            "ss -tanoe 'src 10.0.0.1:80 and dst 10.9.9.9:5000'"
        );
    }

    #[test]
    fn sockets_are_said_by_their_addresses_where_those_are_few_else_by_their_peers() {
        let row = |n: u16, peer: &str| testkit::socket(TcpState::CloseWait, &format!("10.0.0.1:{n}"), peer);
        let many =
            |count, peer: fn(u16) -> String| (0..count).map(|n| row(1000 + n, &peer(n))).collect::<Vec<_>>();
        let two = many(2, |_| "10.9.9.9:80".into());
        assert_eq!(
            command(&sockets(two.iter())),
            "ss -tanoe state close-wait \
             '( src 10.0.0.1:1000 and dst 10.9.9.9:80 ) or ( src 10.0.0.1:1001 and dst 10.9.9.9:80 )'"
        );
        let of_one = many(9, |_| "10.9.9.9:80".into());
        let said = sockets(of_one.iter());
        assert_eq!(command(&said), "ss -tanoe state close-wait 'dst 10.9.9.9'");
        assert_eq!(said.notes.len(), 1);
        let of_many = many(9, |n| format!("10.9.9.{n}:80"));
        assert_eq!(sockets(of_many.iter()), unsaid("cookie"));
        assert_eq!(sockets(std::iter::empty()), unsaid("cookie"));
    }

    #[test]
    fn what_ss_cannot_choose_by_is_left_out_and_told() {
        let said = |key| selection(&Selection::Processes(key));
        let pid = said(ProcessKey::Pid(7));
        assert_eq!(command(&pid), "ss -tanoe");
        assert_eq!(
            to_ss(pid.expr.as_ref(), Protocol::Tcp, None).notes[0],
            "ss has no pid; left out: pid = 7"
        );
        assert_eq!(said(ProcessKey::Unit(None)).notes, ["ss cannot choose by systemd unit; left out"]);
    }
}
