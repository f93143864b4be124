//! A finding in JSON and in words, for every document that has findings.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::address::{Address, Text};
use super::summary::Called;
use crate::diagnose::knowledge::title;
use crate::diagnose::{self, Judged, Status, Value};
use crate::model::Netns;

/// How long ago a finding may have held to count as one that holds: several looks make one answer, and what moved in
/// the second before it is not over.
const STILL: Duration = Duration::from_secs(1);

/// A finding with the namespace that it is of.
pub(super) struct Of<'a> {
    pub(super) finding: &'a diagnose::Finding,
    pub(super) netns: &'a Netns,
    pub(super) severity: diagnose::Severity,
}

/// Every finding of a judged look, the worst first. What no longer holds happened once: that is information.
pub(super) fn all(judged: &Judged) -> Vec<Of<'_>> {
    let mut found: Vec<Of<'_>> = Vec::new();
    for (judgement, snapshot) in judged.judgements.iter().zip(&judged.world.snapshots) {
        for finding in &judgement.findings {
            let severity = match finding.status {
                Status::Clearing(since) if snapshot.observed.saturating_sub(since) >= STILL => {
                    diagnose::Severity::Info
                }
                _ => finding.draft.severity,
            };
            found.push(Of { finding, netns: &snapshot.sample.netns, severity });
        }
    }
    // The order within a severity is that of the judge.
    found.sort_by_key(|f| std::cmp::Reverse(f.severity));
    found
}

/// A finding as the contract has it.
#[derive(Serialize)]
pub(super) struct Finding<'a> {
    rule: &'static str,
    severity: &'static str,
    subject: Subject<'a>,
    /// Present where more than one namespace was examined.
    #[serde(skip_serializing_if = "Option::is_none")]
    netns: Option<&'a str>,
    title: String,
    evidence: Vec<Evidence<'a>>,
    confidence: &'static str,
    /// Rules whose findings have the same cause.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    explains: &'a [&'static str],
}

/// The findings of a judged look, in JSON.
pub(super) fn findings<'a>(judged: &'a Judged, called: &Called<'a>) -> Vec<Finding<'a>> {
    let several = judged.world.snapshots.len() > 1;
    all(judged)
        .into_iter()
        .map(|f| Finding {
            rule: f.finding.rule,
            severity: f.severity.name(),
            subject: Subject::of(&f.finding.draft.subject, called),
            netns: several.then(|| f.netns.name.raw()),
            title: title(f.finding),
            evidence: f.finding.draft.evidence.iter().map(Evidence::from).collect(),
            confidence: f.finding.draft.confidence.name(),
            explains: &f.finding.explained,
        })
        .collect()
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Subject<'a> {
    Host,
    Process {
        pid: u32,
        comm: &'a str,
    },
    Peer {
        addr: Text,
        #[serde(skip_serializing_if = "Option::is_none")]
        prefix: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
    },
    Listener {
        local: Address<'a>,
        cookie: u64,
    },
    Destination {
        #[serde(skip_serializing_if = "Option::is_none")]
        local_addr: Option<Text>,
        peer: Address<'a>,
    },
    Socket {
        cookie: u64,
        local: Address<'a>,
        peer: Address<'a>,
    },
    Sysctl {
        name: &'a str,
    },
    Interface {
        name: &'a str,
    },
    Namespace {
        inode: u64,
    },
}

impl<'a> Subject<'a> {
    fn of(subject: &'a diagnose::Subject, called: &Called<'a>) -> Self {
        use diagnose::Subject as S;
        match subject {
            S::Host => Self::Host,
            S::Process { pid, comm } => Self::Process { pid: *pid, comm: comm.raw() },
            S::Peer { addr, prefix } => Self::Peer {
                addr: Text(*addr),
                prefix: *prefix,
                name: prefix.is_none().then(|| called.name(*addr)).flatten(),
            },
            S::Listener { local, cookie } => {
                Self::Listener { local: called.address(*local), cookie: *cookie }
            }
            S::Destination { local, peer } => {
                Self::Destination { local_addr: local.map(Text), peer: called.address(*peer) }
            }
            S::Socket { cookie, local, peer } => {
                Self::Socket { cookie: *cookie, local: called.address(*local), peer: called.address(*peer) }
            }
            S::Sysctl { name } => Self::Sysctl { name },
            S::Interface { name } => Self::Interface { name: name.raw() },
            S::Namespace { inode } => Self::Namespace { inode: *inode },
        }
    }
}

#[derive(Serialize)]
struct Evidence<'a> {
    name: &'static str,
    value: Number<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
    source: &'a str,
    scope: &'static str,
}

impl<'a> From<&'a diagnose::Evidence> for Evidence<'a> {
    fn from(e: &'a diagnose::Evidence) -> Self {
        Self {
            name: e.name,
            value: Number(&e.value),
            unit: match e.value {
                Value::Ratio(_) => Some("ratio"),
                Value::Time(_) => Some("seconds"),
                Value::PerSecond(_) => Some("per_second"),
                Value::PerMinute(_) => Some("per_minute"),
                Value::Bytes(_) => Some("bytes"),
                Value::Count(_) | Value::Number(_) | Value::Text(_) | Value::Unknown => None,
            },
            source: e.source.name(),
            scope: e.scope.name(),
        }
    }
}

/// A value without its unit.
struct Number<'a>(&'a Value);

impl Serialize for Number<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // To the thousandth: more would be noise.
        let rounded = |x: f64| (x * 1000.0).round() / 1000.0;
        match self.0 {
            Value::Count(n) | Value::Bytes(n) => serializer.serialize_u64(*n),
            Value::Number(n) => serializer.serialize_i64(*n),
            Value::Time(t) if t.subsec_millis() == 0 => serializer.serialize_u64(t.as_secs()),
            Value::Time(t) => serializer.serialize_f64(rounded(t.as_secs_f64())),
            Value::Ratio(x) | Value::PerSecond(x) | Value::PerMinute(x) => {
                serializer.serialize_f64(rounded(*x))
            }
            Value::Text(text) => serializer.serialize_str(text.raw()),
            Value::Unknown => serializer.serialize_none(),
        }
    }
}
