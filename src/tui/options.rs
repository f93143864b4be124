//! What the detail of a socket says of its options: what asking does, before the first time; then what they are, and what
//! follows from them.

use crate::analysis::{IdleTimeout, forgotten_by, noticed_idle, noticed_sending};
use crate::model::{Probed, SocketOptions, SocketRow, Sysctls, TcpState};
use crate::query::Span;

use super::text::{Line, VALUE_AT, entry, title, wrap};
use super::theme::Role;

/// Whether the user knows what asking sockets for their options does, and wants it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Consent {
    /// It has to be said first.
    #[default]
    Missing,
    /// It was said, and sockets may be asked.
    Given,
}

/// How far asking for options has come; of a single socket, where nothing else is said.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Asking<A = Option<Probed>> {
    /// Nobody wants to know.
    #[default]
    Not,
    /// It was said what asking does; the next key says whether to.
    Offered,
    /// The answer is on its way.
    Asked,
    /// The answer; `None` for a single socket that has no options to ask for.
    Answered(A),
}

impl Asking {
    /// The options, if they are known.
    #[must_use]
    pub const fn known(&self) -> Option<&SocketOptions> {
        match self {
            Self::Answered(Some(Ok(options))) => Some(options),
            _ => None,
        }
    }
}

/// What asking does, said before the first time.
pub(super) const OFFER: &str = "Keepalive, user timeout and linger are in no table of the kernel: tcptop takes a duplicate of the program's \
    descriptor (pidfd_getfd), reads them and closes it at once. In those microseconds a close of the program would wait. On \
    hosts that use the cgroup v1 controllers net_cls or net_prio the socket would get tcptop's network class; there it \
    is refused. Press o again to ask, any other key to leave it.";

/// The lines about the options; none while nobody wants to know.
#[must_use]
pub fn lines(asking: &Asking, row: &SocketRow, sysctls: &Sysctls, width: u16) -> Vec<Line> {
    let said =
        |text: &str, role| wrap(text, width).into_iter().map(move |l| vec![(l, role)]).collect::<Vec<_>>();
    let below = match asking {
        Asking::Not => return Vec::new(),
        Asking::Offered => said(OFFER, Role::Warning),
        Asking::Asked => said("asking the socket", Role::Dim),
        Asking::Answered(None) => said(
            "it has no options of TCP to read: a UDP socket, or what the kernel keeps of a connection that is closed",
            Role::Dim,
        ),
        Asking::Answered(Some(Err(why))) => said(&format!("not known: {why}"), Role::Warning),
        Asking::Answered(Some(Ok(options))) => known(options, row, sysctls, width),
    };
    let head = if matches!(asking, Asking::Offered) {
        "Ask the socket for its options?"
    } else {
        "Options, read from the socket"
    };
    let mut lines = vec![title(head)];
    lines.extend(below);
    lines.push(Vec::new());
    lines
}

/// Keepalive and its times.
pub(super) fn keepalive_said(options: &SocketOptions) -> String {
    if !options.keepalive {
        return "off: an idle connection sends nothing".to_owned();
    }
    let SocketOptions { idle, interval, probes, .. } = *options;
    let (idle, interval) = (Span::from(idle), Span::from(interval));
    format!("on: a probe after {idle} of silence, then every {interval}, {probes} in all")
}

/// When it is noticed that the peer is gone.
pub(super) fn noticed_said(options: &SocketOptions) -> String {
    match noticed_idle(options) {
        None => "never noticed while the connection is idle: it stays ESTABLISHED for ever".to_owned(),
        Some(t) => format!("noticed after {} while the connection is idle", Span::from(t)),
    }
}

fn known(options: &SocketOptions, row: &SocketRow, sysctls: &Sysctls, width: u16) -> Vec<Line> {
    let span = |d: std::time::Duration| Span::from(d);
    let mut lines = Vec::new();
    let mut say = |name: &str, text: String| lines.extend(entry(name, VALUE_AT, &text, Role::Label, width));
    say("keepalive", keepalive_said(options));
    say("user timeout", options.user_timeout.map_or("not set".to_owned(), |t| span(t).to_string()));
    say(
        "linger",
        match options.linger {
            None => "off: close returns at once, the kernel sends the rest".to_owned(),
            Some(t) if t.is_zero() => {
                "0 s: close throws away what was not sent and resets the connection".to_owned()
            }
            Some(t) => format!("close waits up to {} for the rest to be acknowledged", span(t)),
        },
    );
    if row.state == TcpState::Listen {
        say(
            "so",
            "the connections that it accepts have the same, unless their program changes it".to_owned(),
        );
        return lines;
    }
    say("peer gone", noticed_said(options));
    say(
        "in flight",
        match (noticed_sending(options, sysctls), options.user_timeout) {
            (Some(t), Some(_)) => {
                format!("with unacknowledged data it is given up after {}, the user timeout", span(t))
            }
            (Some(t), None) => {
                format!(
                    "with unacknowledged data it is given up after {} at least, by tcp_retries2; keepalive waits",
                    span(t)
                )
            }
            (None, _) => {
                "with unacknowledged data it is given up by tcp_retries2, which is not known".to_owned()
            }
        },
    );
    let forgetful: Vec<&IdleTimeout> = forgotten_by(options).collect();
    say(
        "forgotten by",
        if forgetful.is_empty() {
            "none of the common NATs, load balancers and firewalls before its first probe".to_owned()
        } else {
            let before = if options.keepalive { "before its first probe" } else { "when it is idle" };
            let names = forgetful.iter().map(|t| format!("{} ({})", t.of, span(t.after())));
            format!("{before}, where one is in between: {}", names.collect::<Vec<_>>().join(", "))
        },
    );
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Unprobed;
    use crate::testkit::socket;

    fn text(asking: &Asking, state: TcpState) -> String {
        let row = socket(state, "10.0.0.1:80", "10.9.9.9:5000");
        let lines = lines(asking, &row, &Sysctls::default(), 500);
        lines.into_iter().flatten().map(|(text, _)| text + "\n").collect()
    }

    #[test]
    fn what_follows_is_said_of_each() {
        let on = SocketOptions {
            keepalive: true,
            idle: Duration::from_secs(300),
            interval: Duration::from_secs(10),
            probes: 3,
            user_timeout: None,
            linger: Some(Duration::ZERO),
        };
        let of = |options, state| text(&Asking::Answered(Some(Ok(options))), state);
        let said = of(on, TcpState::Established);
        assert!(
            said.contains("noticed after 5m30s") && said.contains("Azure Load Balancer (4m00s)\n"),
            "{said}"
        );
        assert!(
            said.contains("resets the connection") && said.contains("tcp_retries2, which is not known"),
            "{said}"
        );
        let said = of(SocketOptions { keepalive: false, ..on }, TcpState::Established);
        assert!(said.contains("never noticed") && said.contains("Linux conntrack (5d"), "{said}");
        let said = of(SocketOptions { idle: Duration::from_secs(60), ..on }, TcpState::Established);
        assert!(said.contains("none of the common"), "{said}");
        let said = of(on, TcpState::Listen);
        assert!(said.contains("the connections that it accepts") && !said.contains("peer gone"), "{said}");
    }

    #[test]
    fn it_is_said_what_asking_does_and_why_there_is_no_answer() {
        assert!(text(&Asking::Offered, TcpState::Established).contains("net_cls"));
        let why = Asking::Answered(Some(Err(Unprobed::OldKernel)));
        assert!(text(&why, TcpState::Established).contains("Linux 5.6"));
        assert_eq!(text(&Asking::Not, TcpState::Established), "");
    }
}
