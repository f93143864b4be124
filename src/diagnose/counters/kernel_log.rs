//! What the kernel itself said.

use std::collections::VecDeque;
use std::time::Duration;

use super::moved::known;
use crate::analysis::Snapshot;
use crate::diagnose::finding::{Confidence, Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::model::{KernelMessage, Reading};

/// The rule's id.
pub const ID: &str = "kernel-log";

/// The kernel repeats itself rarely: most of these are said once every five seconds at most, one once a listener.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How many messages are quoted, newest first.
const QUOTED: usize = 5;
const MOST: usize = 1000;

/// A message of the kernel.
#[derive(Debug)]
struct Known {
    /// What it contains, in lower case.
    text: &'static str,
    /// The name of its text in the document.
    kind: &'static str,
    /// The rule that says the same and more.
    rule: &'static str,
}

const fn message(text: &'static str, kind: &'static str, rule: &'static str) -> Known {
    Known { text, kind, rule }
}

const SAID: &[Known] = &[
    // nf_conntrack_core.c __nf_conntrack_alloc
    message("nf_conntrack: table full", "conntrack", "conntrack-full"),
    // tcp_input.c tcp_syn_flood_action
    message("possible syn flooding on port", "syn_flood", "syn-recv-pileup"),
    // tcp.c tcp_check_oom
    message("out of memory -- consider tuning tcp_mem", "memory", "tcp-memory"),
    message("too many orphaned sockets", "orphans", "orphan-limit"),
    // file_table.c alloc_empty_file
    message("vfs: file-max limit", "files", "fd-exhaustion"),
    // neighbour.c neigh_alloc, in both spellings
    message("neighbor table overflow", "neighbours", "neighbour-table-full"),
    message("neighbour table overflow", "neighbours", "neighbour-table-full"),
];

/// Whether a message is about the namespace that is examined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    /// About the whole host.
    Host,
    /// It names what this namespace has.
    Here,
    /// It names what this namespace does not have.
    Elsewhere,
    /// It does not tell.
    Unknown,
}

#[derive(Debug)]
struct Said {
    at: Duration,
    known: &'static Known,
    whose: Whose,
    message: KernelMessage,
}

/// The kernel log, read while we look. What it said before is not ours to judge.
#[derive(Default)]
pub struct KernelLog {
    said: VecDeque<Said>,
}

fn known_message(text: &str) -> Option<&'static Known> {
    let text = text.to_ascii_lowercase();
    SAID.iter().find(|known| text.contains(known.text))
}

fn whose(kind: &str, text: &str, s: &Snapshot) -> Whose {
    match kind {
        "memory" | "orphans" | "files" | "neighbours" => Whose::Host,
        // Linux 6.18 names the namespace: "table full in netns 4026531840, dropping packet".
        "conntrack" => match text.split_once("netns ").and_then(|(_, rest)| leading_number(rest)) {
            Some(inode) if inode == s.sample.netns.inode => Whose::Here,
            Some(_) => Whose::Elsewhere,
            None => Whose::Unknown,
        },
        // "Possible SYN flooding on port 80." or, since 6.0, "on port 0.0.0.0:80."
        _ => match text.split_once("port ").and_then(|(_, rest)| port(rest)) {
            Some(port) if s.listeners.iter().any(|l| l.local.port == port) => Whose::Here,
            Some(_) => Whose::Elsewhere,
            None => Whose::Unknown,
        },
    }
}

fn leading_number(text: &str) -> Option<u64> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The port of `80. Sending cookies.`, `0.0.0.0:80.` or `[::]:80.`.
fn port(text: &str) -> Option<u16> {
    let word = text.split_ascii_whitespace().next()?.trim_end_matches('.');
    word.rsplit(':').next()?.parse().ok()
}

impl Rule for KernelLog {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let s = context.snapshot;
        let messages = match &s.sample.facts.kernel_log {
            Reading::Absent => {
                return Verdict::NotExamined("there is no /dev/kmsg, as in most containers".into());
            }
            log => match known(log, "/dev/kmsg") {
                Ok(messages) => messages,
                Err(why) => return Verdict::NotExamined(why),
            },
        };
        for message in messages.iter() {
            if let Some(known) = known_message(message.text.raw()) {
                let whose = whose(known.kind, message.text.raw(), s);
                self.said.push_back(Said { at: s.observed, known, whose, message: message.clone() });
            }
        }
        while self.said.len() > MOST
            || self.said.front().is_some_and(|m| s.observed.saturating_sub(m.at) >= REMEMBERED)
        {
            self.said.pop_front();
        }
        let Some(newest) = self.said.iter().rev().find(|m| m.whose != Whose::Elsewhere).or(self.said.back())
        else {
            return if s.elapsed.is_none() {
                Verdict::AskAgain("a while in which the kernel may say something")
            } else {
                Verdict::Quiet
            };
        };
        Verdict::Fires(vec![self.draft(newest, s.observed)])
    }
}

impl KernelLog {
    fn draft(&self, newest: &Said, now: Duration) -> Draft {
        let elsewhere = newest.whose == Whose::Elsewhere;
        let of_kernel = |name, value| Evidence::new(name, value, Source::KernelLog).of_host();
        let quote = |m: &Said| of_kernel("message", Value::Text(m.message.text.clone()));
        let mut evidence = vec![
            of_kernel("messages", Value::Count(self.said.len() as u64)),
            quote(newest),
            of_kernel("since_boot", Value::Time(newest.message.since_boot)),
            Evidence::new("ago", Value::Time(now.saturating_sub(newest.at)), Source::Observed).of_host(),
        ];
        let others = self.said.iter().rev().filter(|m| m.message.text != newest.message.text);
        evidence.extend(others.take(QUOTED - 1).map(quote));
        let severity = if elsewhere { Severity::Info } else { Severity::Warning };
        let mut draft = Draft::new(severity, Subject::Host, evidence);
        draft.variant = Some(if elsewhere { "elsewhere" } else { newest.known.kind });
        draft.part_of = (!elsewhere).then_some(newest.known.rule);
        draft.confidence = match newest.whose {
            Whose::Host | Whose::Here => Confidence::High,
            // The ring is the host's: it may be about another namespace.
            Whose::Elsewhere | Whose::Unknown => Confidence::Low,
        };
        draft
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, fired};
    use crate::model::TcpState;
    use crate::testkit;

    fn say(b: &mut Bench, texts: &[&str]) {
        let message =
            |text: &&str| KernelMessage { seq: 1, since_boot: Duration::from_secs(5), text: (*text).into() };
        b.facts.kernel_log = Reading::Known(texts.iter().map(message).collect());
    }

    fn judge(b: &mut Bench, rule: &mut KernelLog, texts: &[&str]) -> Option<(Severity, &'static str)> {
        say(b, texts);
        fired(&b.judge(rule)).first().map(|d| (d.severity, d.variant.unwrap()))
    }

    #[test]
    fn every_sentence_of_the_kernel_is_understood() {
        for (text, variant) in [
            ("nf_conntrack: nf_conntrack: table full, dropping packet", "conntrack"),
            ("nf_conntrack: nf_conntrack: table full in netns 4026531840, dropping packet", "conntrack"),
            ("TCP: out of memory -- consider tuning tcp_mem", "memory"),
            ("TCP: too many orphaned sockets", "orphans"),
            ("VFS: file-max limit 1000 reached", "files"),
            ("neighbour: arp_cache: neighbor table overflow!", "neighbours"),
            (
                "TCP: request_sock_TCP: Possible SYN flooding on port 0.0.0.0:80. Sending cookies.",
                "syn_flood",
            ),
            (
                "TCP: request_sock_TCPv6: Possible SYN flooding on port [::]:80. Dropping request.",
                "syn_flood",
            ),
            (
                "TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.  Check SNMP counters.",
                "syn_flood",
            ),
        ] {
            let (mut b, mut rule) = (Bench::new(), KernelLog::default());
            b.rows = vec![testkit::socket(TcpState::Listen, "0.0.0.0:80", "")];
            assert_eq!(judge(&mut b, &mut rule, &[text]), Some((Severity::Warning, variant)), "{text}");
        }
    }

    #[test]
    fn what_names_another_namespace_is_labelled_so() {
        for text in [
            "nf_conntrack: nf_conntrack: table full in netns 4026531841, dropping packet",
            "TCP: request_sock_TCP: Possible SYN flooding on port 0.0.0.0:81. Sending cookies.",
        ] {
            let (mut b, mut rule) = (Bench::new(), KernelLog::default());
            b.rows = vec![testkit::socket(TcpState::Listen, "0.0.0.0:80", "")];
            assert_eq!(judge(&mut b, &mut rule, &[text]), Some((Severity::Info, "elsewhere")));
            let here = judge(&mut b, &mut rule, &["VFS: file-max limit 1 reached"]);
            assert_eq!(here, Some((Severity::Warning, "files")), "what concerns us comes first");
        }
    }

    #[test]
    fn it_holds_for_a_minute_after_the_last_message() {
        let (mut b, mut rule) = (Bench::new(), KernelLog::default());
        say(&mut b, &[]);
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        assert_eq!(judge(&mut b, &mut rule, &["usb 1-1: new device"]), None);
        assert!(judge(&mut b, &mut rule, &["TCP: too many orphaned sockets"]).is_some());
        for _ in 0..59 {
            assert!(judge(&mut b, &mut rule, &[]).is_some());
        }
        assert_eq!(judge(&mut b, &mut rule, &[]), None);
    }

    #[test]
    fn without_the_right_to_read_it_says_so() {
        let mut b = Bench::new();
        b.facts.kernel_log = Reading::Unreadable("opening /dev/kmsg: permission denied".into());
        let why = Verdict::NotExamined("opening /dev/kmsg: permission denied".into());
        assert_eq!(b.judge(&mut KernelLog::default()), why);
        assert!(matches!(Bench::new().judge(&mut KernelLog::default()), Verdict::NotExamined(_)));
    }
}
