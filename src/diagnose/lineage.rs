//! Findings whose subject became better known: the sockets of a peer turn out to be those of a process, three peers to be
//! one network. It is the same finding going on, and not one that ended and one that began.

use std::collections::BTreeMap;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::finding::{Draft, Finding, Status, Subject};
use super::judge::{Drafts, Key};

/// How many former subjects of a finding are remembered.
const NAMES: usize = 8;

/// Gives what is found now the past of the findings about the same sockets that are found no more, and takes those out.
pub(super) fn inherit(findings: &mut BTreeMap<Key, Finding>, drafts: &Drafts, now: Duration) {
    let found: FxHashSet<(&str, &Subject)> = drafts.iter().map(|(rule, d)| (*rule, &d.subject)).collect();
    let mut taken = FxHashSet::default();
    for (rule, draft) in drafts {
        let key = (*rule, draft.subject.clone());
        if findings.contains_key(&key) {
            continue;
        }
        let sockets: FxHashSet<u64> = cookies(draft).collect();
        let before = findings.iter().filter(|((of, subject), finding)| {
            let ended = of == rule && !found.contains(&(*of, subject));
            ended && cookies(&finding.draft).any(|cookie| sockets.contains(&cookie))
        });
        let before: Vec<Key> = before.map(|(key, _)| key.clone()).collect();
        let parts: Vec<&Finding> = before.iter().filter_map(|key| findings.get(key)).collect();
        let Some(main) = parts.iter().max_by_key(|f| f.draft.proof.total) else { continue };
        let went_on = parts.iter().filter(|f| !matches!(f.status, Status::Clearing(_)));
        let finding = Finding {
            rule,
            draft: draft.clone(),
            since: went_on.map(|f| f.since).min().unwrap_or(now),
            status: Status::Firing,
            history: main.history.clone(),
            explained: Vec::new(),
            formerly: names(&parts, &draft.subject),
        };
        findings.insert(key, finding);
        taken.extend(before);
    }
    findings.retain(|key, _| !taken.contains(key));
}

/// Whom these findings are about, and were about before that.
fn names(parts: &[&Finding], now: &Subject) -> Vec<Subject> {
    let mut names: Vec<Subject> = parts.iter().map(|f| f.draft.subject.clone()).collect();
    names.extend(parts.iter().flat_map(|f| f.formerly.iter().cloned()));
    let mut seen = FxHashSet::default();
    names.retain(|subject| subject != now && seen.insert(subject.clone()));
    names.truncate(NAMES);
    names
}

/// The sockets that prove it, as far as they can be told apart.
fn cookies(draft: &Draft) -> impl Iterator<Item = u64> + '_ {
    draft.proof.cookies.iter().copied().filter(|cookie| *cookie != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::finding::{Evidence, Severity, Source, Value};
    use crate::diagnose::judge::{Judge, Judgement};
    use crate::testkit::endpoint;

    fn draft(subject: Subject, sockets: &[u64]) -> (&'static str, Draft) {
        let evidence = vec![Evidence::new("n", Value::Count(sockets.len() as u64), Source::SockDiag)];
        let draft = Draft::new(Severity::Warning, subject, evidence);
        ("leak", Draft { proof: sockets.iter().copied().collect(), ..draft })
    }

    fn peer(text: &str) -> Subject {
        Subject::Peer { addr: endpoint(text).addr, prefix: None }
    }

    fn process() -> Subject {
        Subject::Process { pid: 7, comm: "java".into() }
    }

    /// What is shown after each of these looks, a second apart: about whom, since when, whether it holds.
    fn looks<const N: usize>(drafts: [Drafts; N]) -> Vec<(Subject, u64, bool)> {
        let mut judge = Judge::new(std::iter::empty());
        let mut last = Judgement::default();
        for (at, drafts) in (0..).zip(drafts) {
            last = judge.conclude(Duration::from_secs(at), drafts, Judgement::default());
        }
        let short = |f: Finding| (f.draft.subject, f.since.as_secs(), f.status == Status::Firing);
        last.findings.into_iter().map(short).collect()
    }

    #[test]
    fn a_finding_whose_process_gets_known_goes_on() {
        let by_peer = || vec![draft(peer("192.0.2.10:0"), &[1, 2, 3])];
        let named = || vec![draft(process(), &[2, 3, 4])];
        assert_eq!(looks([by_peer(), by_peer(), named()]), [(process(), 0, true)]);
        let back = [(peer("192.0.2.10:0"), 0, true)];
        assert_eq!(looks([by_peer(), named(), by_peer()]), back, "and so when it is not known any more");
    }

    #[test]
    fn several_that_turn_out_to_be_one_are_that_one_since_the_first_of_them() {
        let first = || draft(peer("192.0.2.10:0"), &[1]);
        let both = vec![first(), draft(peer("192.0.2.11:0"), &[2])];
        assert_eq!(
            looks([vec![first()], both, vec![draft(process(), &[1, 2])]]),
            [(process(), 0, true)],
            "nothing is over"
        );
    }

    #[test]
    fn what_is_of_other_sockets_begins_and_what_had_ended_does_not_go_on() {
        let here = || vec![draft(peer("192.0.2.10:0"), &[1, 2])];
        let other = vec![draft(process(), &[3])];
        assert_eq!(looks([here(), other]), [(process(), 1, true), (peer("192.0.2.10:0"), 0, false)]);
        assert_eq!(looks([here(), Vec::new(), vec![draft(process(), &[1])]]), [(process(), 2, true)]);
        let unknown = || vec![draft(peer("192.0.2.10:0"), &[0])];
        let told = looks([unknown(), vec![draft(process(), &[0])]]);
        assert_eq!(told.len(), 2, "without cookies sockets cannot be told apart");
    }

    #[test]
    fn one_that_is_still_found_keeps_its_past() {
        let of_peer = || draft(peer("192.0.2.10:0"), &[1, 2]);
        let told = looks([vec![of_peer()], vec![of_peer(), draft(process(), &[2])]]);
        assert_eq!(told, [(peer("192.0.2.10:0"), 0, true), (process(), 1, true)]);
    }

    #[test]
    fn it_can_be_asked_for_by_its_former_subjects() {
        let mut judge = Judge::new(std::iter::empty());
        let subjects = [peer("192.0.2.10:0"), Subject::Host, process()];
        let mut last = Judgement::default();
        for (at, subject) in (0..).zip(&subjects) {
            let found = vec![draft(subject.clone(), &[1])];
            last = judge.conclude(Duration::from_secs(at), found, Judgement::default());
        }
        let finding = &last.findings[0];
        assert!(subjects.iter().all(|s| finding.concerns(s)), "{finding:?}");
        assert_eq!((finding.formerly.len(), finding.history.len()), (2, 3));
    }
}
