//! Subjects and values as people read them.

use std::fmt;
use std::time::Duration;

use super::finding::{Subject, Value};

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("this machine"),
            Self::Process { pid, comm } => write!(f, "{comm}[{pid}]"),
            Self::Peer { addr, prefix: None } => write!(f, "{addr}"),
            Self::Peer { addr, prefix: Some(len) } => write!(f, "{addr}/{len}"),
            Self::Listener { local, .. } => write!(f, "{local}"),
            Self::Destination { local: None, peer } => write!(f, "{peer}"),
            Self::Destination { local: Some(local), peer } => write!(f, "{local} → {peer}"),
            Self::Socket { local, peer, .. } => write!(f, "{local} → {peer}"),
            Self::Sysctl { name } => f.write_str(name),
            Self::Interface { name } => write!(f, "{name}"),
            Self::Namespace { inode } => write!(f, "net:[{inode}]"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(n) => write!(f, "{n}"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Ratio(r) => write!(f, "{:.1} %", r * 100.0),
            Self::Time(t) if *t < Duration::from_secs(10) => write!(f, "{:.1} s", t.as_secs_f64()),
            Self::Time(t) => write!(f, "{} s", t.as_secs()),
            Self::PerSecond(x) => write!(f, "{x:.1}/s"),
            Self::PerMinute(x) => write!(f, "{x:.1}/min"),
            Self::Bytes(n) => write!(f, "{n} bytes"),
            Self::Text(text) => write!(f, "{text}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ForeignText;
    use crate::testkit::endpoint;

    #[test]
    fn whom_a_finding_is_about_is_said_without_what_a_terminal_obeys() {
        let comm = ForeignText::from("ja\u{1b}va");
        assert_eq!(Subject::Process { pid: 7, comm }.to_string(), "ja\\u{1b}va[7]");
        let peer = endpoint("10.0.4.2:3306");
        let local = Some(endpoint("10.0.0.5:1").addr);
        assert_eq!(Subject::Destination { local, peer }.to_string(), "10.0.0.5 → 10.0.4.2:3306");
        assert_eq!(Subject::Peer { addr: peer.addr, prefix: Some(24) }.to_string(), "10.0.4.2/24");
    }
}
