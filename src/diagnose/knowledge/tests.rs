//! What holds of every document.

use std::collections::BTreeSet;
use std::time::Duration;

use super::places::places;
use super::words::{OF_PROCESSES, names_of_subject};
use super::*;
use crate::analysis::LimitId;
use crate::diagnose::{Draft, Evidence, Finding, Severity, Source, Status, Subject, Value, all};
use crate::model::TcpState;
use crate::model::sysctl::SPECS;
use crate::testkit::endpoint;

fn english() -> impl Iterator<Item = &'static Document> {
    documents(ENGLISH)
}

#[test]
fn every_file_is_in_the_list_and_can_be_read() {
    let mut listed = BTreeSet::new();
    for document in catalogue::read() {
        let d = document.unwrap();
        assert!(listed.insert(format!("{}/{}.md", d.lang, d.id)), "{} stands twice in the list", d.id);
    }
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/knowledge");
    let mut files = BTreeSet::new();
    for lang in std::fs::read_dir(root).unwrap() {
        let lang = lang.unwrap();
        for file in std::fs::read_dir(lang.path()).unwrap() {
            let name = |n: std::ffi::OsString| n.into_string().unwrap();
            files.insert(format!("{}/{}", name(lang.file_name()), name(file.unwrap().file_name())));
        }
    }
    assert_eq!(listed, files);
}

#[test]
fn rules_and_nothing_else_have_titles_and_subjects() {
    for d in english() {
        let is_rule = d.kind == Kind::Rule;
        assert_eq!(d.titles.contains_key("default"), is_rule, "{}", d.id);
        assert_eq!(d.subjects.is_empty(), !is_rule, "{}", d.id);
    }
}

#[test]
fn nothing_is_without_an_explanation() {
    let of = |name: &str| document(name).unwrap_or_else(|| panic!("{name} has no document"));
    for rule in all() {
        assert_eq!((of(rule.id).id, of(rule.id).kind), (rule.id, Kind::Rule));
    }
    for state in TcpState::ALL {
        let d = find(ENGLISH, state.name()).unwrap();
        assert_eq!((d.kind, d.name.as_str()), (Kind::State, state.name()));
    }
    for limit in LIMITS {
        let id = format!("limit-{}", limit.name().replace('_', "-"));
        assert_eq!(of(&id).kind, Kind::Limit);
    }
    for sysctl in SPECS {
        let d = of(sysctl.name);
        assert!(d.names().any(|n| n == sysctl.name), "{}", sysctl.name);
    }
}

#[test]
fn a_name_leads_to_one_document() {
    let mut names: Vec<&str> = english().flat_map(Document::names).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn headings_are_complete_and_in_order_and_none_is_empty() {
    for d in english() {
        let blocks = render(d, Live::nothing());
        let headings: Vec<_> = blocks
            .iter()
            .filter_map(|b| if let Block::Heading(h) = b { Some(h.as_str()) } else { None })
            .collect();
        assert_eq!(headings, HEADINGS, "{}", d.id);
        let empty = blocks.windows(2).any(|w| matches!(w, [Block::Heading(_), Block::Heading(_)]));
        assert!(!empty && !matches!(blocks.last(), Some(Block::Heading(_))), "{}: an empty section", d.id);
    }
}

#[test]
fn every_placeholder_exists() {
    for d in english() {
        let of_subjects = |name: &str| {
            !d.subjects.is_empty() && d.subjects.iter().all(|s| names_of_subject(s).contains(&name))
        };
        let of_any_subject = |name: &str| d.subjects.iter().any(|s| names_of_subject(s).contains(&name));
        for subject in &d.subjects {
            assert!(!names_of_subject(subject).is_empty(), "{}: there is no subject {subject}", d.id);
        }
        for (variant, title) in &d.titles {
            for name in places(title) {
                // A variant is for some of the subjects only.
                let of_its = if variant == "default" { of_subjects(name) } else { of_any_subject(name) };
                let known = d.evidence.contains_key(name) || of_its;
                assert!(known, "{}: {{{name}}} in {title:?}", d.id);
            }
        }
        for name in places(d.body) {
            let known = match name.split_once(':') {
                Some(("sysctl", n)) => SPECS.iter().any(|s| s.name == n),
                Some(("limit", n)) => LIMITS.iter().any(|l| l.name() == n),
                Some(("counter", n)) => n.split_once('.').is_some_and(|(table, counter)| {
                    table.starts_with(|c: char| c.is_ascii_uppercase()) && !counter.is_empty()
                }),
                Some(("table", n)) => n == live::IDLE_TIMEOUTS_TABLE,
                Some(_) => false,
                // In a command, a name that no finding fills stays to be replaced.
                None if name == "pid" && OF_PROCESSES.iter().any(|of| d.evidence.contains_key(*of)) => true,
                None => d.kind != Kind::Rule || d.evidence.contains_key(name) || of_any_subject(name),
            };
            assert!(known, "{}: {{{name}}}", d.id);
        }
    }
}

const LIMITS: [LimitId; 8] = [
    LimitId::EphemeralPorts,
    LimitId::Conntrack,
    LimitId::TimeWaitBuckets,
    LimitId::Orphans,
    LimitId::TcpMemory,
    LimitId::OpenFiles,
    LimitId::AcceptQueue,
    LimitId::ProcessFds,
];

#[test]
fn switches_name_features_and_are_closed() {
    for d in catalogue::all() {
        let mut open = false;
        for line in d.body.lines().filter(|l| l.starts_with("::")) {
            match line.split_once(' ') {
                Some(("::when", name)) => {
                    assert!(FEATURES.iter().any(|f| f.name == name), "{}: {line}", d.id);
                    assert!(!std::mem::replace(&mut open, true), "{}: {line} inside another", d.id);
                }
                None if line == "::else" => assert!(open, "{}: {line}", d.id),
                None if line == "::end" => assert!(std::mem::take(&mut open), "{}: {line}", d.id),
                _ => panic!("{}: {line}", d.id),
            }
        }
        assert!(!open, "{}: a switch is not closed", d.id);
    }
}

#[test]
fn code_can_be_pasted_and_lines_are_not_too_long() {
    for d in english() {
        for line in d.body.lines() {
            assert!(line.chars().count() <= 130, "{}: {line}", d.id);
            assert!(!line.contains('\t') && line.trim_end() == line, "{}: {line:?}", d.id);
        }
        for block in render(d, Live::nothing()) {
            if let Block::Code(line) = block {
                assert!(line.is_ascii(), "{}: {line}", d.id);
                assert!(line.len() <= 76, "{}: {line} would not fit 80 columns", d.id);
                let prompt = line.starts_with(['$', '#', '>', '%']);
                assert!(!prompt && !line.trim().is_empty(), "{}: {line}", d.id);
            }
        }
    }
}

#[test]
fn an_address_in_a_command_is_as_ss_takes_it() {
    let pasted = |addr: &str, prefix| {
        let subject = Subject::Peer { addr: endpoint(addr).addr, prefix };
        let f = finding("dead-peer", subject, Vec::new());
        let blocks = render(document("dead-peer").unwrap(), Live::nothing().with(&f));
        let lines =
            blocks.iter().filter_map(|b| if let Block::Code(line) = b { Some(line.as_str()) } else { None });
        lines.filter_map(|l| l.strip_prefix("ss -tK dst ")).map(str::to_owned).next().unwrap()
    };
    assert_eq!(pasted("10.0.9.9:0", None), "10.0.9.9");
    assert_eq!(pasted("10.0.9.0:0", Some(24)), "10.0.9.0/24");
    assert_eq!(pasted("[2001:db8::9]:0", None), "'[2001:db8::9]'");
    assert_eq!(pasted("[2001:db8::]:0", Some(64)), "'[2001:db8::/64]'");
}

#[test]
fn summaries_are_one_sentence() {
    for d in english() {
        let s = &d.summary;
        assert!(s.ends_with('.') && s.matches(". ").count() == 0, "{}: {s}", d.id);
        assert!(s.len() <= 120 && !s.contains('\n'), "{}: {s}", d.id);
        assert!(!d.name.is_empty() && d.name.len() <= 60, "{}", d.id);
    }
}

fn finding(rule: &'static str, subject: Subject, evidence: Vec<Evidence>) -> Finding {
    Finding {
        rule,
        draft: Draft::new(Severity::Warning, subject, evidence),
        since: Duration::ZERO,
        status: Status::Firing,
        history: Vec::new(),
        explained: Vec::new(),
        formerly: Vec::new(),
    }
}

fn java(comm: &str, close_wait: Value) -> Finding {
    let subject = Subject::Process { pid: 2211, comm: comm.into() };
    finding("close-wait-leak", subject, vec![Evidence::new("close_wait", close_wait, Source::SockDiag)])
}

#[test]
fn a_title_is_filled_and_what_is_missing_is_a_question_mark() {
    let count = Value::Count(12_418);
    assert_eq!(title(&java("java", count)), "java[2211] holds 12 418 connections that the peer has closed");
    assert_eq!(
        title(&java("java", Value::Unknown)),
        "java[2211] holds ? connections that the peer has closed"
    );
    assert!(!title(&java("\u{1b}[2J", Value::Count(1))).contains('\u{1b}'));
    let unheard = finding("no-such-rule", Subject::Host, Vec::new());
    assert_eq!(title(&unheard), "no-such-rule: this machine");
}

#[test]
fn commands_carry_the_subject_and_never_what_a_shell_would_obey() {
    let d = document("close-wait-leak").unwrap();
    let code = |live: Live<'_>| -> String {
        render(d, live)
            .into_iter()
            .filter_map(|b| if let Block::Code(c) = b { Some(c + "\n") } else { None })
            .collect()
    };
    assert!(code(Live::nothing()).contains("/proc/PID/"));
    assert!(code(Live::nothing().with(&java("java", Value::Unknown))).contains("/proc/2211/"));
    let named = |name: &str| {
        let mut f = java("x", Value::Unknown);
        f.draft.subject = Subject::Interface { name: name.into() };
        Live::nothing().with(&f).code("interface")
    };
    assert_eq!(named("eth0.7"), "eth0.7");
    for hostile in ["a;reboot", "$(id)", "`id`", "-rf", "a b", "", "\n"] {
        assert_eq!(named(hostile), "INTERFACE", "{hostile:?}");
    }
}

#[test]
fn people_find_what_they_mean() {
    let found = |said: &str| find(ENGLISH, said).map(|d| d.id);
    for said in ["close-wait-leak", "CLOSE-WAIT-LEAK", "close_wait_leak", " close-wait-leak"] {
        assert_eq!(found(said), Ok("close-wait-leak"), "{said}");
    }
    for said in ["CLOSE_WAIT", "close-wait", "state-close-wait", "Close_Wait"] {
        assert_eq!(found(said), Ok("state-close-wait"), "{said}");
    }
    for said in ["tcp_fin_timeout", "net.ipv4.tcp_fin_timeout", "fin-timeout", "sysctl-fin-timeout"] {
        assert_eq!(found(said), Ok("sysctl-fin-timeout"), "{said}");
    }
    assert_eq!(found("conntrack"), Ok("limit-conntrack"));
    assert_eq!(found("tcp_wmem"), Ok("net.ipv4.tcp_rmem"));
    let near = found("close-wait-leek").unwrap_err();
    assert_eq!((near.len(), near[0]), (1, "close-wait-leak"));
    assert_eq!(found("nosuch"), Err(Vec::new()), "nothing is like it");
    assert!(find(ENGLISH, "").is_err());
}

#[test]
fn another_language_falls_back_to_english() {
    assert_eq!(document_in("xx", "close-wait-leak").unwrap().lang, ENGLISH);
    assert_eq!(documents("xx").count(), english().count());
}

#[test]
fn one_connection_waits_and_two_wait() {
    let listener = Subject::Listener { local: endpoint("10.0.0.1:80"), cookie: 1 };
    let waiting = |n| vec![Evidence::new("queue", Value::Count(n), Source::SockDiag)];
    let said = |n| title(&finding("accept-queue-full", listener.clone(), waiting(n)));
    assert!(said(1).starts_with("10.0.0.1:80: 1 connection waits to be"), "{}", said(1));
    assert!(said(2).starts_with("10.0.0.1:80: 2 connections wait to be"), "{}", said(2));
    let java = finding("close-wait-leak", Subject::Process { pid: 1, comm: "a[b|c]".into() }, Vec::new());
    assert!(
        title(&java).starts_with("a[b|c][1] holds ? connections"),
        "a name is no choice: {}",
        title(&java)
    );
}

/// A number in a title is followed by a word that agrees with it: both are there.
#[test]
fn what_is_counted_in_a_title_agrees_with_one_and_with_many() {
    const COUNTED: [&str; 9] = [
        "connections",
        "packets",
        "segments",
        "sockets",
        "peers",
        "buffers",
        "listeners",
        "datagrams",
        "times",
    ];
    for d in english() {
        for title in d.titles.values() {
            let words: Vec<&str> = title.split_ascii_whitespace().collect();
            for pair in words.windows(2) {
                let bare =
                    pair[0].starts_with('{') && COUNTED.contains(&pair[1].trim_end_matches([',', ':']));
                assert!(!bare, "{}: {title:?} is wrong for 1", d.id);
            }
        }
    }
}

#[test]
fn a_command_names_the_one_process_and_says_which_where_there_are_several() {
    let listener = Subject::Listener { local: endpoint("10.0.0.1:80"), cookie: 1 };
    let shown = |names: &str| {
        let value = Value::Text(names.into());
        let evidence = vec![Evidence::new("processes", value, Source::Observed)];
        let found = finding("accept-queue-full", listener.clone(), evidence);
        let blocks = render(document("accept-queue-full").unwrap(), Live::nothing().with(&found));
        format!("{blocks:?}")
    };
    let one = shown("nginx[616]");
    assert!(one.contains("prlimit --pid 616 --nofile") && one.contains("/proc/616/fd"), "{one}");
    assert!(!one.contains("PID is one of"));
    let two = shown("nginx[616], nginx[617]");
    assert!(
        two.contains("prlimit --pid PID") && two.contains("PID is one of: nginx[616], nginx[617]."),
        "{two}"
    );
    assert!(shown("x[1]y[77]").contains("--pid 77 "), "a name does not choose the process");
}
