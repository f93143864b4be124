//! Findings in words.

use super::places::{Piece, pieces};
use super::{ENGLISH, document_in};
use crate::diagnose::finding::{Draft, Finding, Subject, Value};
use crate::model::Ip;

/// What stands in a title for a value that could not be known.
const UNKNOWN: &str = "?";

/// The title of a finding, in English.
#[must_use]
pub fn title(finding: &Finding) -> String {
    title_in(ENGLISH, finding)
}

/// The title of a finding, from the document of its rule. Safe for a terminal.
#[must_use]
pub fn title_in(lang: &str, finding: &Finding) -> String {
    let draft = &finding.draft;
    let pattern = document_in(lang, finding.rule).and_then(|d| {
        let variant = draft.variant.and_then(|v| d.titles.get(v));
        variant.or_else(|| d.titles.get("default"))
    });
    let Some(pattern) = pattern else { return format!("{}: {}", finding.rule, draft.subject) };
    let mut words = String::with_capacity(pattern.len());
    let mut one = false;
    for piece in pieces(pattern) {
        match piece {
            Piece::Text(text) => number(text, one, &mut words),
            Piece::Place(name) => {
                let value = value_of(draft, name).unwrap_or_else(|| UNKNOWN.into());
                one = value == "1";
                words.push_str(&value);
            }
        }
    }
    words
}

/// The text of a title: of `[connection waits|connections wait]` the first where the number before it is one, else the second.
fn number(text: &str, one: bool, words: &mut String) {
    let mut rest = text;
    while let Some((before, choice)) = rest.split_once('[') {
        let Some(((singular, plural), after)) =
            choice.split_once(']').and_then(|(choice, after)| Some((choice.split_once('|')?, after)))
        else {
            break;
        };
        words.push_str(before);
        words.push_str(if one { singular } else { plural });
        rest = after;
    }
    words.push_str(rest);
}

/// The words for a placeholder: a piece of evidence, else a part of the subject.
pub(super) fn value_of(draft: &Draft, name: &str) -> Option<String> {
    let pid = || (name == "pid").then(|| the_process(draft)).flatten();
    evidence_text(draft, name).or_else(|| of_subject(&draft.subject, name)).or_else(pid)
}

/// The evidence that names processes, as `name[pid]` after each other.
pub(super) const OF_PROCESSES: [&str; 2] = ["processes", "holders"];

/// The processes that the evidence names.
pub(super) fn processes(draft: &Draft) -> Option<String> {
    OF_PROCESSES.iter().find_map(|name| evidence_text(draft, name))
}

/// The id of the process that the evidence names, if it is one. A comma may be a part of a name, and is taken for more.
fn the_process(draft: &Draft) -> Option<String> {
    let named = processes(draft).filter(|named| !named.contains(','))?;
    let (pid, _) = named.rsplit_once('[')?.1.split_once(']')?;
    pid.parse::<u32>().ok().map(|pid| pid.to_string())
}

/// The label of a piece of evidence of a rule; its name where the document has none.
#[must_use]
pub fn label(rule: &str, evidence: &str) -> String {
    let label = super::document(rule).and_then(|d| d.evidence.get(evidence).cloned());
    label.unwrap_or_else(|| evidence.replace('_', " "))
}

/// The part of a subject that a placeholder names.
fn of_subject(subject: &Subject, name: &str) -> Option<String> {
    Some(match (name, subject) {
        ("subject", _) | ("addr", Subject::Peer { .. }) => subject.to_string(),
        ("pid", Subject::Process { pid, .. }) => pid.to_string(),
        ("comm", Subject::Process { comm, .. }) => comm.to_string(),
        ("addr", Subject::Destination { peer, .. } | Subject::Socket { peer, .. }) => peer.addr.to_string(),
        ("addr", Subject::Listener { local, .. }) => local.addr.to_string(),
        ("port", Subject::Destination { peer, .. } | Subject::Socket { peer, .. }) => peer.port.to_string(),
        ("port", Subject::Listener { local, .. }) => local.port.to_string(),
        ("local", Subject::Destination { local: Some(local), .. }) => local.to_string(),
        ("local", Subject::Socket { local, .. }) => local.to_string(),
        ("peer", Subject::Peer { addr, prefix }) => for_ss(*addr, *prefix),
        ("peer", Subject::Destination { peer, .. } | Subject::Socket { peer, .. }) => for_ss(peer.addr, None),
        ("interface", Subject::Interface { name }) => name.to_string(),
        _ => return None,
    })
}

/// An address as `ss` takes it: it would cut a bare IPv6 address at its last colon.
fn for_ss(addr: Ip, prefix: Option<u8>) -> String {
    let prefix = prefix.map_or_else(String::new, |len| format!("/{len}"));
    if addr.is_v4() { format!("{addr}{prefix}") } else { format!("[{addr}{prefix}]") }
}

/// The names that [`of_subject`] knows for a kind of subject.
#[cfg(test)]
pub(super) fn names_of_subject(kind: &str) -> &'static [&'static str] {
    match kind {
        "process" => &["subject", "pid", "comm"],
        "peer" => &["subject", "addr", "peer"],
        "destination" | "socket" => &["subject", "addr", "peer", "port", "local"],
        "listener" => &["subject", "addr", "port"],
        "interface" => &["subject", "interface"],
        "host" | "sysctl" | "namespace" => &["subject"],
        _ => &[],
    }
}

/// The value of the evidence of a name, if it is known.
fn evidence_text(draft: &Draft, name: &str) -> Option<String> {
    let evidence = draft.evidence.iter().find(|e| e.name == name)?;
    (evidence.value != Value::Unknown).then(|| evidence.value.to_string())
}

/// What the title of a rule's document would miss in a draft: placeholders that nothing fills, evidence without a label, a
/// subject of another kind.
#[cfg(test)]
pub(super) fn missing(document: &super::Document, draft: &Draft) -> Vec<String> {
    let variant = draft.variant.and_then(|v| document.titles.get(v));
    let title = variant.or_else(|| document.titles.get("default")).map_or("", String::as_str);
    let given = |name: &str| {
        draft.evidence.iter().any(|e| e.name == name) || of_subject(&draft.subject, name).is_some()
    };
    let unfilled = super::places::places(title).filter(|name| !given(name)).map(|name| format!("{{{name}}}"));
    let unlabelled =
        draft.evidence.iter().map(|e| e.name).filter(|name| !document.evidence.contains_key(*name));
    let kind = draft.subject.kind();
    let stranger =
        (!document.subjects.iter().any(|s| s == kind)).then(|| format!("a subject of kind {kind}"));
    unfilled.chain(unlabelled.map(|name| format!("{name} has no label"))).chain(stranger).collect()
}
