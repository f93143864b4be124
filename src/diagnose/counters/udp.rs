//! Datagrams without room.

use rustc_hash::FxHashMap;

use super::moved::{Movement, Movements, Watch};
use crate::diagnose::finding::{Confidence, Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::model::{Endpoint, ForeignText, Owners, UdpDrops};

/// The rule's id.
pub const ID: &str = "udp-buffer-errors";

const RECEIVE: [&str; 2] = ["Udp.RcvbufErrors", "Udp6.RcvbufErrors"];
const SEND: [&str; 2] = ["Udp.SndbufErrors", "Udp6.SndbufErrors"];
const MEMORY: [&str; 2] = ["Udp.MemErrors", "Udp6.MemErrors"];

/// How many sockets are named, those first that dropped most.
const NAMED: usize = 20;

/// `RcvbufErrors` or `SndbufErrors` move: a program does not read its datagrams fast enough, or sends faster than the
/// device takes them (`__udp_enqueue_schedule_skb` in `net/ipv4/udp.c`). The sockets that dropped are named by their own
/// counts.
#[derive(Default)]
pub struct UdpBufferErrors {
    watch: Watch,
    /// Drops of each socket at the last look, by inode and local address.
    known: Option<FxHashMap<(u32, Endpoint), u64>>,
    /// What each address dropped while the counters moved: count, sockets, an inode.
    dropped: FxHashMap<(Endpoint, Endpoint), (u64, u32)>,
}

impl UdpBufferErrors {
    /// Adds what the sockets dropped since the last look.
    fn follow(&mut self, sockets: &[UdpDrops]) {
        if let Some(known) = &self.known {
            for s in sockets {
                let before = known.get(&(s.inode, s.local)).copied().unwrap_or_default();
                let delta = s.drops.saturating_sub(before);
                if delta > 0 {
                    let entry = self.dropped.entry((s.local, s.peer)).or_insert((0, s.inode));
                    entry.0 += delta;
                    entry.1 = s.inode;
                }
            }
        }
        self.known = Some(sockets.iter().map(|s| ((s.inode, s.local), s.drops)).collect());
    }
}

fn most<'a>(moved: &'a Movements, names: &[&str]) -> Option<&'a Movement> {
    names.iter().filter_map(|n| moved.get(n)).max_by_key(|m| (m.keeps, m.delta))
}

fn holder(owners: Option<&Owners>, inode: u32) -> Option<ForeignText> {
    let owners = owners?;
    let process = owners.process(*owners.holders(inode).first()?)?;
    Some(ForeignText::from(format!("{}[{}]", process.comm.raw(), process.pid).as_str()))
}

impl Rule for UdpBufferErrors {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let names = [RECEIVE, SEND, MEMORY].concat();
        let moved = self.watch.named(context, &names);
        let facts = &context.snapshot.sample.facts;
        self.follow(facts.udp_drops.known().map_or(&[], |s| s));
        let moved = match moved {
            Ok(moved) => moved,
            Err(verdict) => {
                self.dropped.clear();
                return verdict;
            }
        };
        let receive = most(&moved, &RECEIVE);
        if receive.is_none() {
            self.dropped.clear();
        }
        let mut drafts = Vec::new();
        if let Some(errors) = receive {
            drafts.extend(self.of_sockets(context, errors));
            if drafts.is_empty() {
                drafts.push(of_host(&[errors], "receive"));
            }
        }
        let others: Vec<&Movement> =
            [most(&moved, &SEND), most(&moved, &MEMORY)].into_iter().flatten().collect();
        if !others.is_empty() && drafts.iter().all(|d| d.subject != Subject::Host) {
            drafts.push(of_host(&others, if most(&moved, &SEND).is_some() { "send" } else { "memory" }));
        }
        Verdict::of(drafts)
    }
}

impl UdpBufferErrors {
    fn of_sockets(&self, context: &Context<'_>, errors: &Movement) -> Vec<Draft> {
        let mut sockets: Vec<_> = self.dropped.iter().collect();
        sockets.sort_by(|(a, (of_a, _)), (b, (of_b, _))| of_b.cmp(of_a).then(a.cmp(b)));
        let draft = |(&(local, peer), &(drops, inode)): (&(Endpoint, Endpoint), &(u64, u32))| {
            let file = if local.addr.is_v4() { "/proc/net/udp drops" } else { "/proc/net/udp6 drops" };
            let mut evidence = vec![
                Evidence::new("dropped", Value::Count(drops), Source::File(file.into())),
                errors.evidence("receive_errors"),
                errors.rate(),
            ];
            if let Some(process) = holder(context.owners, inode) {
                evidence.push(Evidence::new("process", Value::Text(process), Source::Observed));
            }
            let subject = Subject::Socket { cookie: 0, local, peer };
            let mut draft = Draft::new(errors.severity(), subject, evidence);
            draft.variant = Some("socket");
            draft
        };
        sockets.into_iter().take(NAMED).map(draft).collect()
    }
}

/// Nobody can be named: the socket is gone, or the counter does not say whose.
fn of_host(moved: &[&Movement], variant: &'static str) -> Draft {
    let severity = moved.iter().map(|m| m.severity()).max().unwrap_or(Severity::Info);
    let mut evidence: Vec<Evidence> = moved.iter().map(|m| m.evidence("errors")).collect();
    evidence.extend(moved.first().map(|m| m.rate()));
    let mut draft = Draft::new(severity, Subject::Host, evidence);
    draft.variant = Some(variant);
    draft.confidence = Confidence::Medium;
    draft
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::{Bench, fired};
    use crate::model::Reading;
    use crate::testkit::endpoint;

    fn set(b: &mut Bench, errors: u64, drops: &[(u32, u64)]) {
        b.set_counter(RECEIVE[0], errors);
        let peer = endpoint("0.0.0.0:0");
        let socket = |(inode, drops): &(u32, u64)| {
            let local = endpoint(&format!("127.0.0.1:{inode}"));
            UdpDrops { local, peer, inode: *inode, drops: *drops }
        };
        b.facts.udp_drops = Reading::Known(drops.iter().map(socket).collect());
    }

    fn subject(port: u32) -> Subject {
        let local = endpoint(&format!("127.0.0.1:{port}"));
        Subject::Socket { cookie: 0, local, peer: endpoint("0.0.0.0:0") }
    }

    #[test]
    fn the_sockets_that_dropped_since_are_named_and_not_those_that_did_before() {
        let (mut b, mut rule) = (Bench::new(), UdpBufferErrors::default());
        set(&mut b, 50, &[(514, 40), (53, 10)]);
        assert!(matches!(b.judge(&mut rule), Verdict::AskAgain(_)));
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        set(&mut b, 57, &[(514, 47), (53, 10)]);
        let drafts = fired(&b.judge(&mut rule));
        assert_eq!(drafts.len(), 1);
        assert_eq!((drafts[0].severity, &drafts[0].subject), (Severity::Info, &subject(514)));
        assert_eq!(drafts[0].evidence[0].value, Value::Count(7));
        set(&mut b, 60, &[(514, 47), (53, 10), (99, 3)]);
        let drafts = fired(&b.judge(&mut rule));
        let got: Vec<_> = drafts.iter().map(|d| (d.severity, &d.subject)).collect();
        assert_eq!(got, [(Severity::Warning, &subject(514)), (Severity::Warning, &subject(99))]);
    }

    #[test]
    fn a_socket_that_is_gone_and_the_send_side_are_the_hosts() {
        let (mut b, mut rule) = (Bench::new(), UdpBufferErrors::default());
        set(&mut b, 50, &[]);
        b.set_counter(SEND[0], 3);
        b.judge(&mut rule);
        set(&mut b, 51, &[]);
        let drafts = fired(&b.judge(&mut rule));
        assert_eq!((&drafts[0].subject, drafts[0].variant), (&Subject::Host, Some("receive")));
        let (mut b, mut rule) = (Bench::new(), UdpBufferErrors::default());
        b.set_counter(SEND[0], 3);
        b.judge(&mut rule);
        b.set_counter(SEND[0], 4);
        assert_eq!(fired(&b.judge(&mut rule))[0].variant, Some("send"));
    }

    #[test]
    fn it_forgets_when_the_counters_rest_and_cannot_judge_without_them() {
        let (mut b, mut rule) = (Bench::new(), UdpBufferErrors::default());
        assert!(matches!(b.judge(&mut rule), Verdict::NotExamined(_)));
        set(&mut b, 50, &[(514, 40)]);
        b.judge(&mut rule);
        set(&mut b, 51, &[(514, 41)]);
        assert_eq!(fired(&b.judge(&mut rule)).len(), 1);
        for _ in 0..10 {
            b.judge(&mut rule);
        }
        assert_eq!(b.judge(&mut rule), Verdict::Quiet);
        set(&mut b, 52, &[(514, 42)]);
        assert_eq!(fired(&b.judge(&mut rule))[0].evidence[0].value, Value::Count(1), "not the old one too");
    }
}
