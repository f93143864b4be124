//! Datagrams without room.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use super::moved::{Movement, Movements, Watch};
use crate::diagnose::finding::{Confidence, Draft, Evidence, Severity, Source, Subject, Value};
use crate::diagnose::rule::{Context, Rule, Verdict};
use crate::model::{Endpoint, ForeignText, Owners, Process, UdpDrops};

/// The rule's id.
pub const ID: &str = "udp-buffer-errors";

const RECEIVE: [&str; 2] = ["Udp.RcvbufErrors", "Udp6.RcvbufErrors"];
const SEND: [&str; 2] = ["Udp.SndbufErrors", "Udp6.SndbufErrors"];
const MEMORY: [&str; 2] = ["Udp.MemErrors", "Udp6.MemErrors"];

/// How many findings there are at most, those first that dropped most.
const NAMED: usize = 20;

/// From so many sockets of one process on, it is the process that drops.
const SEVERAL: usize = 3;

/// How many of its sockets are named.
const QUOTED: usize = 5;

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

fn holder(owners: Option<&Owners>, inode: u32) -> Option<&Process> {
    let owners = owners?;
    owners.process(*owners.holders(inode).first()?)
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
            drafts.extend(self.of_sockets(context, &moved));
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

/// A socket that dropped datagrams while the counters moved.
#[derive(Clone, Copy)]
struct Dropping {
    local: Endpoint,
    peer: Endpoint,
    drops: u64,
    inode: u32,
}

impl UdpBufferErrors {
    /// A finding for each socket that dropped, but one for a process of which several did: it is what reads too slowly.
    fn of_sockets(&self, context: &Context<'_>, moved: &Movements) -> Vec<Draft> {
        let socket = |(&(local, peer), &(drops, inode)): (&(Endpoint, Endpoint), &(u64, u32))| Dropping {
            local,
            peer,
            drops,
            inode,
        };
        let mut sockets: Vec<Dropping> = self.dropped.iter().map(socket).collect();
        sockets.sort_by_key(|s| (Reverse(s.drops), s.local, s.peer));
        let mut groups: Vec<(Option<&Process>, Vec<Dropping>)> = Vec::new();
        for socket in sockets {
            let process = holder(context.owners, socket.inode);
            let is_it = |of: Option<&Process>| process.is_some_and(|p| of.is_some_and(|o| o.pid == p.pid));
            match groups.iter_mut().find(|(of, _)| is_it(*of)) {
                Some((_, sockets)) => sockets.push(socket),
                None => groups.push((process, vec![socket])),
            }
        }
        let drafts = groups.into_iter().flat_map(|(process, sockets)| match process {
            Some(process) if sockets.len() >= SEVERAL => vec![of_process(process, &sockets, moved)],
            _ => sockets.iter().filter_map(|socket| of_socket(socket, process, moved)).collect(),
        });
        drafts.take(NAMED).collect()
    }
}

fn of_socket(socket: &Dropping, process: Option<&Process>, moved: &Movements) -> Option<Draft> {
    let v4 = socket.local.addr.is_v4();
    let (file, [first, second]) = if v4 {
        ("/proc/net/udp drops", RECEIVE)
    } else {
        // What reaches it over IPv4 is counted there (udp_queue_rcv_one_skb in net/ipv4/udp.c).
        ("/proc/net/udp6 drops", [RECEIVE[1], RECEIVE[0]])
    };
    let errors = moved.get(first).or_else(|| moved.get(second))?;
    let mut evidence = vec![
        Evidence::new("dropped", Value::Count(socket.drops), Source::File(file.into())),
        errors.evidence("receive_errors"),
        errors.rate(),
    ];
    if let Some(process) = process {
        let name = ForeignText::from(format!("{}[{}]", process.comm.raw(), process.pid).as_str());
        evidence.push(Evidence::new("process", Value::Text(name), Source::Observed));
    }
    let subject = Subject::Socket { cookie: 0, local: socket.local, peer: socket.peer };
    let mut draft = Draft::new(errors.severity(), subject, evidence);
    draft.variant = Some("socket");
    Some(draft)
}

/// `sockets` are those of one process, the worst first.
fn of_process(process: &Process, sockets: &[Dropping], moved: &Movements) -> Draft {
    let all: u64 = sockets.iter().map(|s| s.drops).sum();
    let worst = sockets.iter().take(QUOTED).map(|s| format!("{} ({})", s.local, s.drops));
    let worst = ForeignText::from(worst.collect::<Vec<_>>().join(", ").as_str());
    let file = || Source::File("/proc/net/udp, udp6 drops".into());
    let mut evidence = vec![
        Evidence::new("dropped", Value::Count(all), file()),
        Evidence::new("sockets", Value::Count(sockets.len() as u64), file()),
        Evidence::new("top_sockets", Value::Text(worst), file()),
    ];
    let errors: Vec<&Movement> = RECEIVE.iter().filter_map(|name| moved.get(name)).collect();
    for errors in &errors {
        evidence.extend([errors.evidence("receive_errors"), errors.rate()]);
    }
    let severity = errors.iter().map(|m| m.severity()).max().unwrap_or(Severity::Info);
    let subject = Subject::Process { pid: process.pid, comm: process.comm.clone() };
    let mut draft = Draft::new(severity, subject, evidence);
    draft.variant = Some("process");
    draft
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
    use crate::model::{Reading, TcpState};
    use crate::testkit::{self, endpoint};

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
    fn several_sockets_of_one_process_are_its_finding() {
        let judged = |sockets: u32| {
            let (mut b, mut rule) = (Bench::new(), UdpBufferErrors::default());
            let drops = |each: u64| (1..=sockets).map(|n| (n, each * u64::from(n))).collect::<Vec<_>>();
            let rows: Vec<_> = drops(0)
                .iter()
                .map(|(inode, _)| {
                    let mut row = testkit::socket(TcpState::Close, &format!("127.0.0.1:{inode}"), "");
                    row.inode = *inode;
                    row
                })
                .collect();
            b.owners = Some(crate::diagnose::testing::owners(7, "rtpproxy", 1024, &rows));
            set(&mut b, 0, &drops(0));
            b.judge(&mut rule);
            set(&mut b, 60, &drops(10));
            fired(&b.judge(&mut rule))
        };
        let two: Vec<_> = judged(2).into_iter().map(|d| d.subject).collect();
        assert_eq!(two, [subject(2), subject(1)]);
        let [three] = &judged(3)[..] else { panic!("one finding") };
        assert_eq!(three.subject, Subject::Process { pid: 7, comm: "rtpproxy".into() });
        let value = |name: &str| three.evidence.iter().find(|e| e.name == name).map(|e| e.value.to_string());
        assert_eq!(value("dropped").as_deref(), Some("60"));
        assert_eq!(value("sockets").as_deref(), Some("3"));
        let top = "127.0.0.1:3 (30), 127.0.0.1:2 (20), 127.0.0.1:1 (10)";
        assert_eq!(value("top_sockets").as_deref(), Some(top));
    }

    #[test]
    fn a_socket_of_ipv6_is_shown_beside_the_counter_of_ipv6() {
        let (mut b, mut rule) = (Bench::new(), UdpBufferErrors::default());
        let look = |b: &mut Bench, udp: u64, udp6: u64| {
            set(b, udp, &[]);
            b.set_counter(RECEIVE[1], udp6);
            let (local, peer) = (endpoint("[::1]:53"), endpoint("[::]:0"));
            b.facts.udp_drops = Reading::Known([UdpDrops { local, peer, inode: 5, drops: udp6 }].into());
        };
        look(&mut b, 1000, 10);
        b.judge(&mut rule);
        look(&mut b, 3000, 17);
        let found = fired(&b.judge(&mut rule));
        let errors = found[0].evidence.iter().find(|e| e.name == "receive_errors").unwrap();
        assert_eq!((errors.source.name(), &errors.value), ("Udp6.RcvbufErrors", &Value::Count(7)));
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
