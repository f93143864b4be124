//! Subjects and values as people read them.

use std::fmt;

use super::finding::{Subject, Value};
use crate::model::{Bytes, Grouped, Percent, Span};

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
        let rate = |x: &f64| usize::from(x.abs() < 9.95 && *x != 0.0);
        match self {
            Self::Count(n) => write!(f, "{}", Grouped(*n)),
            Self::Number(n) => write!(f, "{n}"),
            Self::Ratio(r) if r.is_finite() => {
                write!(f, "{:#}", Percent(*r))
            }
            Self::Time(t) => write!(f, "{}", Span::from_seconds(t.as_secs_f64())),
            Self::PerSecond(x) if x.is_finite() => write!(f, "{x:.*}/s", rate(x)),
            Self::PerMinute(x) if x.is_finite() => write!(f, "{x:.*}/min", rate(x)),
            // Sizes of segments are exact, sizes of queues are read at a glance.
            Self::Bytes(n) if (10_000..1_000_000).contains(n) => write!(f, "{}KiB", (n + 512) / 1024),
            Self::Bytes(n) => write!(f, "{}B", Bytes(*n)),
            Self::Text(text) => write!(f, "{text}"),
            Self::Unknown | Self::Ratio(_) | Self::PerSecond(_) | Self::PerMinute(_) => {
                f.write_str("unknown")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    #[test]
    fn values_have_their_units() {
        let shown = [
            Value::Count(1234),
            Value::Number(-3),
            Value::Ratio(0.967),
            Value::Ratio(0.031),
            Value::Ratio(f64::NAN),
            Value::Time(Duration::from_secs(2460)),
            Value::PerSecond(31.4),
            Value::PerMinute(9.0),
            Value::PerSecond(0.0),
            Value::Bytes(1448),
            Value::Bytes(663_024),
            Value::Bytes(6 << 20),
            Value::Text(ForeignText::from("a\nb")),
            Value::Unknown,
        ]
        .map(|v| v.to_string());
        let want = [
            "1 234", "-3", "96%", "3.1%", "unknown", "41m00s", "31/s", "9.0/min", "0/s", "1448B", "647KiB",
            "6.0MiB", "a\\nb", "unknown",
        ];
        assert_eq!(shown, want);
    }
}
