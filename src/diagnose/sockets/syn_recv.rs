//! Half-open connections at listeners.

use rustc_hash::{FxHashMap, FxHashSet};

use super::accept_queue::{UNTOLD, subject};
use super::common::{float, grouped, numbers, sockets};
use crate::diagnose::counters::moved::{Movement, Watch};
use crate::diagnose::finding::{Draft, Evidence, Severity, Subject, Value};
use crate::diagnose::rule::{Context, Levels, Rule, Verdict};
use crate::diagnose::thresholds::{ThresholdError, Thresholds};

/// The rule's id.
pub const ID: &str = "syn-recv-pileup";

const SYNCOOKIES: &str = "net.ipv4.tcp_syncookies";

/// Cookies sent, and what the kernel does when a request queue is full (`tcp_syn_flood_action` in `net/ipv4/tcp_input.c`).
const SENT: &str = "TcpExt.SyncookiesSent";
const COUNTERS: [(&str, &str); 3] = [
    ("cookies_sent", SENT),
    ("cookies_full", "TcpExt.TCPReqQFullDoCookies"),
    (REFUSED, "TcpExt.TCPReqQFullDrop"),
];
/// What is counted when there are no cookies, and the rule that says so of the setting.
const REFUSED: &str = "dropped";
const NO_COOKIES: &str = "sysctl-syncookies-off";

numbers! { warning_ratio: f64, flood_peers: u32 }

/// A listener's queue of requests fills up. With syncookies the kernel keeps no more requests than the backlog, so the
/// counters tell what the table cannot.
pub struct SynRecvPileup {
    numbers: Numbers,
    /// Listeners whose queue was that full at the previous look, by cookie.
    full: FxHashSet<u64>,
    watch: Watch,
}

impl SynRecvPileup {
    /// The rule with its thresholds.
    pub fn new(thresholds: &Thresholds) -> Result<Self, ThresholdError> {
        Ok(Self { numbers: thresholds.section(ID)?, full: FxHashSet::default(), watch: Watch::default() })
    }

    /// Counters that say that a request queue overflows, how bad that is by itself, or why they say nothing.
    fn moving(&mut self, context: &Context<'_>) -> Result<(Option<Severity>, Vec<Evidence>), Verdict> {
        // With 2 every SYN gets a cookie, full or not.
        let always = context.snapshot.sample.facts.sysctls.number(SYNCOOKIES) == Some(2);
        let moved = self.watch.named(context, &COUNTERS.map(|(_, counter)| counter))?;
        let counts = || {
            COUNTERS
                .iter()
                .filter(|(_, counter)| !(always && *counter == SENT))
                .filter_map(|(name, counter)| Some((*name, moved.get(counter)?)))
        };
        let evidence = counts().map(|(name, m)| m.evidence(name)).collect();
        Ok((counts().map(|(_, m)| Movement::severity(m)).max(), evidence))
    }

    fn draft(
        &self,
        context: &Context<'_>,
        about: Subject,
        rows: &[u32],
        backlog: Option<u32>,
        capped: bool,
    ) -> Draft {
        let peers = context.peers(rows);
        let sources = if let Value::Count(n) = peers[0].value { n } else { 0 };
        // Where no more are kept, as many sources as requests are all that can be seen of many.
        let many = sources >= u64::from(self.numbers.flood_peers) || (capped && sources == rows.len() as u64);
        let mut evidence = vec![sockets("syn_recv", rows.len())];
        evidence.extend(backlog.map(|b| sockets("backlog", b as usize)));
        evidence.extend(peers);
        Draft {
            variant: (!rows.is_empty()).then_some(if many { "many" } else { "few" }),
            proof: context.proof(rows),
            ..Draft::new(Severity::Warning, about, evidence)
        }
    }
}

impl Rule for SynRecvPileup {
    fn judge(&mut self, context: &Context<'_>) -> Verdict {
        let s = context.snapshot;
        // A request without a repeated SYN-ACK is either young or held back by TCP_DEFER_ACCEPT, which repeats nothing.
        let repeated = context.rows(&context.survey.syn_recv.rows).filter(|(_, row)| row.retrans > 0);
        let of = |(at, row)| Some((context.survey.listener_of(s, row)?, at));
        let mut groups = grouped(repeated.filter_map(of));
        let mut backlogs: FxHashMap<u32, Option<u32>> = FxHashMap::default();
        for (l, at) in s.listeners.iter().zip(0u32..) {
            let of_all = backlogs.entry(l.shares_with.unwrap_or(at)).or_insert(Some(0));
            *of_all = of_all.zip(l.backlog).map(|(sum, n)| sum.saturating_add(n));
        }
        let (overflows, moving, blind) = match self.moving(context) {
            Ok((severity, moving)) => (severity, moving, None),
            Err(verdict) => (None, Vec::new(), Some(verdict)),
        };
        let levels = Levels { warning: Some(self.numbers.warning_ratio), ..Levels::default() };
        let mut full = FxHashSet::default();
        let mut untold = false;
        let mut drafts = Vec::new();
        groups.retain(|(at, rows)| {
            let Some(l) = s.listeners.get(*at as usize) else { return false };
            let Some(backlog) = backlogs.get(at).copied().unwrap_or(l.backlog) else {
                untold = true;
                return false;
            };
            let ratio = float(rows.len()) / float(backlog.max(1) as usize);
            levels.grade(ratio, context.held.severity(ID, &subject(l))).is_some() && full.insert(l.cookie)
        });
        for (at, rows) in &groups {
            let Some(l) = s.listeners.get(*at as usize) else { continue };
            if self.full.contains(&l.cookie) || overflows.is_some() {
                drafts.push(self.draft(
                    context,
                    subject(l),
                    rows,
                    backlogs.get(at).copied().flatten(),
                    overflows.is_some(),
                ));
            }
        }
        if let Some(severity) = overflows.filter(|_| drafts.is_empty()) {
            // Whose queue it was is not told; the requests that are there belong to the likely one.
            let waiting = &context.survey.syn_recv.rows;
            let likely = grouped(context.rows(waiting).filter_map(of));
            let (about, backlog) = match likely.iter().map(|(at, _)| at).collect::<Vec<_>>()[..] {
                [at] => (s.listeners.get(*at as usize).map(subject), backlogs.get(at).copied().flatten()),
                _ => (None, None),
            };
            let draft = self.draft(context, about.unwrap_or(Subject::Host), waiting, backlog, true);
            drafts.push(Draft { severity, ..draft });
        }
        let refused = moving.iter().any(|e| e.name == REFUSED);
        for d in &mut drafts {
            d.evidence.extend(moving.clone());
            // That clients are turned away is what is wrong with having no cookies.
            d.explains.extend(refused.then(|| (NO_COOKIES, Subject::Sysctl { name: SYNCOOKIES.into() })));
        }
        self.full = full;
        if drafts.is_empty() && untold {
            return Verdict::NotExamined(UNTOLD.into());
        }
        if drafts.is_empty() && !groups.is_empty() {
            return Verdict::AskAgain("whether a queue of half-open connections stays half full");
        }
        match blind {
            Some(verdict) if drafts.is_empty() => verdict,
            _ => Verdict::of(drafts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::judge::Judge;
    use crate::diagnose::testing::{Bench, built, drafts};
    use crate::model::{Ip, TableSource, TcpState};
    use crate::testkit::socket;

    fn rule() -> SynRecvPileup {
        SynRecvPileup::new(&Thresholds::defaults().unwrap()).unwrap()
    }

    /// Requests with so many repeats, from as many peers as `peers` or fewer, at a listener with a backlog of 100.
    fn bench(count: u8, repeats: u8, peers: u8) -> Bench {
        let mut b = Bench::new();
        let mut l = socket(TcpState::Listen, "0.0.0.0:80", "");
        l.send_q = 100;
        l.set_cookie(1, 0);
        b.rows.push(l);
        for n in 0..count {
            let mut r = socket(TcpState::SynRecv, "10.0.0.1:80", "10.0.9.9:999");
            r.peer = Ip::from_v4_octets([10, 9, 9, n % peers]);
            r.retrans = repeats;
            r.set_cookie(100 + u32::from(n), 0);
            b.rows.push(r);
        }
        for (_, counter) in COUNTERS {
            b.set_counter(counter, 5);
        }
        b
    }

    #[test]
    fn half_of_the_backlog_at_two_looks_is_a_warning() {
        let mut b = bench(50, 1, 50);
        let mut r = rule();
        assert!(matches!(b.judge(&mut r), Verdict::AskAgain(_)));
        let found = drafts(b.judge(&mut r));
        assert_eq!((found[0].severity, found[0].variant), (Severity::Warning, Some("many")));
        assert!(matches!(found[0].subject, Subject::Listener { cookie: 1, .. }));
        let mut b = bench(49, 1, 50);
        let mut r = rule();
        b.judge(&mut r);
        assert_eq!(b.judge(&mut r), Verdict::Quiet);
    }

    #[test]
    fn a_backlog_that_is_not_told_is_no_small_one() {
        let mut b = bench(3, 1, 3);
        b.rows[0].send_q = 0;
        b.source = TableSource::Procfs;
        let mut r = rule();
        b.judge(&mut r);
        assert!(matches!(b.judge(&mut r), Verdict::NotExamined(why) if why.contains("backlog")));
        b.set_counter(SENT, 9);
        let found = drafts(b.judge(&mut r));
        assert!(found[0].evidence.iter().all(|e| e.name != "backlog"), "{:?}", found[0].evidence);
    }

    #[test]
    fn few_sources_are_told_from_many() {
        let mut b = bench(60, 2, 2);
        let mut r = rule();
        b.judge(&mut r);
        assert_eq!(drafts(b.judge(&mut r))[0].variant, Some("few"));
        // With cookies the table shows no more than the backlog.
        let mut b = bench(20, 1, 20);
        b.rows[0].send_q = 20;
        let mut r = rule();
        b.judge(&mut r);
        b.set_counter(SENT, 9);
        assert_eq!(drafts(b.judge(&mut r))[0].variant, Some("many"));
    }

    #[test]
    fn requests_held_back_by_defer_accept_repeat_nothing_and_are_no_fault() {
        let mut b = bench(100, 0, 100);
        let mut r = rule();
        b.judge(&mut r);
        assert_eq!(b.judge(&mut r), Verdict::Quiet);
    }

    #[test]
    fn moving_counters_prove_a_flood_that_the_table_cannot_show() {
        for (_, counter) in COUNTERS {
            let mut b = bench(0, 0, 1);
            let mut r = rule();
            assert!(matches!(b.judge(&mut r), Verdict::AskAgain(_)));
            assert_eq!(b.judge(&mut r), Verdict::Quiet, "what happened before is history");
            b.set_counter(counter, 6);
            let found = drafts(b.judge(&mut r));
            assert_eq!((&found[0].subject, found[0].severity), (&Subject::Host, Severity::Info), "{counter}");
            b.set_counter(counter, 7);
            assert_eq!(drafts(b.judge(&mut r))[0].severity, Severity::Warning, "{counter}");
        }
    }

    #[test]
    fn a_setting_that_turns_clients_away_is_part_of_the_flood_that_shows_it() {
        let judged = |counter| {
            let mut b = bench(60, 2, 60);
            b.set_sysctl(SYNCOOKIES, "0");
            let mut judge = Judge::new(built(&[ID, NO_COOKIES]));
            b.judged(&mut judge);
            b.set_counter(counter, 9);
            let found = b.judged(&mut judge).findings;
            found.into_iter().map(|f| (f.rule, f.explained)).collect::<Vec<_>>()
        };
        assert_eq!(judged("TcpExt.TCPReqQFullDrop"), [(ID, vec![NO_COOKIES])]);
        assert_eq!(judged("TcpExt.TCPTimeouts").len(), 2, "nobody was turned away");
    }

    #[test]
    fn with_cookies_for_every_syn_their_number_says_nothing() {
        let mut b = bench(0, 0, 1);
        b.set_sysctl(SYNCOOKIES, "2");
        let mut r = rule();
        b.judge(&mut r);
        b.set_counter(SENT, 999);
        assert_eq!(b.judge(&mut r), Verdict::Quiet);
    }

    #[test]
    fn counters_that_are_missing_or_went_back_are_not_examined() {
        let mut b = bench(0, 0, 1);
        let mut r = rule();
        b.judge(&mut r);
        b.set_counter(SENT, 1);
        assert!(matches!(b.judge(&mut r), Verdict::NotExamined(_)));
        let mut bare = Bench::new();
        assert!(matches!(bare.judge(&mut r), Verdict::NotExamined(_)));
    }
}
