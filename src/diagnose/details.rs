//! Answers to exact questions about single sockets, from look to look.

use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::model::{SocketDetail, TcpInfo};

/// The answers to the questions of the rules, by cookie.
#[derive(Clone, Default, Debug)]
pub struct Details {
    entries: FxHashMap<u64, DetailEntry>,
    marks: Marks,
}

/// A bit for every cookie that may be known: most rows that a rule goes through were not asked about.
#[derive(Clone, Debug)]
struct Marks(Box<[u64]>);

impl Marks {
    /// Cookies are handed out in sequence, so their low bits spread by themselves.
    fn place(cookie: u64) -> (usize, u64) {
        (usize::try_from(cookie / 64 % 1024).unwrap_or(0), 1 << (cookie % 64))
    }

    #[inline]
    fn may_have(&self, cookie: u64) -> bool {
        let (word, bit) = Self::place(cookie);
        self.0.get(word).is_some_and(|w| w & bit != 0)
    }

    fn set(&mut self, cookie: u64) {
        let (word, bit) = Self::place(cookie);
        if let Some(w) = self.0.get_mut(word) {
            *w |= bit;
        }
    }
}

impl Default for Marks {
    fn default() -> Self {
        Self(vec![0; 1024].into())
    }
}

/// What is known of one socket from exact questions.
#[derive(Clone, Debug)]
pub struct DetailEntry {
    /// When it was first asked in this series, time after the first sample.
    pub first_asked: Duration,
    /// When it was last asked.
    pub asked: Duration,
    /// What came back last.
    pub detail: SocketDetail,
    /// Since when `bytes_acked` has had its present value.
    pub acked_since: Duration,
    /// Since when `bytes_received` has had its present value.
    pub received_since: Duration,
    /// Since when the receive queue has not become shorter.
    pub unread_since: Duration,
    /// How many segments the socket has dropped since it was asked before.
    pub dropped: u32,
}

impl DetailEntry {
    /// `tcp_info`; mini-sockets have none.
    #[must_use]
    pub const fn info(&self) -> Option<&TcpInfo> {
        self.detail.info.as_ref()
    }

    /// How long nothing was acknowledged, as far as it was watched; `None` where the kernel does not count.
    #[must_use]
    pub fn nothing_acked_for(&self) -> Option<Duration> {
        self.info()?.bytes_acked()?;
        Some(self.asked.saturating_sub(self.acked_since))
    }

    /// How long nothing was received, as far as it was watched; `None` where the kernel does not count.
    #[must_use]
    pub fn nothing_received_for(&self) -> Option<Duration> {
        self.info()?.bytes_received()?;
        Some(self.asked.saturating_sub(self.received_since))
    }

    /// How long the socket has been watched.
    #[must_use]
    pub fn watched(&self) -> Duration {
        self.asked.saturating_sub(self.first_asked)
    }

    /// A field of `tcp_info` in milliseconds, as a time.
    #[must_use]
    pub fn time(&self, field: impl FnOnce(&TcpInfo) -> Option<u64>) -> Option<Duration> {
        self.info().and_then(field).map(Duration::from_millis)
    }
}

impl Details {
    /// What is known of a socket.
    #[must_use]
    pub fn get(&self, cookie: u64) -> Option<&DetailEntry> {
        if self.marks.may_have(cookie) { self.entries.get(&cookie) } else { None }
    }

    /// Whether nothing is known of any socket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes the answers of one look. A socket that was not asked this time is forgotten: a series has no holes.
    pub fn renew(&mut self, at: Duration, answers: impl Iterator<Item = (u64, SocketDetail)>) {
        let mut old = std::mem::take(&mut self.entries);
        self.marks = Marks::default();
        for (cookie, detail) in answers {
            let was = old.remove(&cookie);
            let since = |field: fn(&TcpInfo) -> Option<u64>, since: fn(&DetailEntry) -> Duration| {
                let same =
                    |w: &&DetailEntry| w.info().and_then(field) == detail.info.as_ref().and_then(field);
                was.as_ref().filter(same).map_or(at, since)
            };
            let entry = DetailEntry {
                first_asked: was.as_ref().map_or(at, |w| w.first_asked),
                asked: at,
                acked_since: since(TcpInfo::bytes_acked, |w| w.acked_since),
                received_since: since(TcpInfo::bytes_received, |w| w.received_since),
                unread_since: was
                    .as_ref()
                    .filter(|w| w.detail.row.recv_q <= detail.row.recv_q)
                    .map_or(at, |w| w.unread_since),
                dropped: was.as_ref().map_or(0, |w| drops(&detail).saturating_sub(drops(&w.detail))),
                detail,
            };
            self.marks.set(cookie);
            self.entries.insert(cookie, entry);
        }
    }
}

/// What a socket has dropped since it was made; 0 where the kernel does not tell.
fn drops(detail: &SocketDetail) -> u32 {
    detail.mem.and_then(|mem| mem.drops).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testing::detail;
    use crate::model::TcpState;
    use crate::testkit;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_series_knows_since_when_nothing_moved_and_has_no_holes() {
        let row = testkit::socket(TcpState::Established, "10.0.0.1:1", "10.0.0.2:2");
        let answer = |acked: u64, received: u64| {
            (7, detail(row, &[("bytes_acked", acked), ("bytes_received", received)]))
        };
        let mut d = Details::default();
        for (at, acked, received) in [(0, 5, 9), (1, 5, 9), (2, 6, 9), (4, 6, 9)] {
            d.renew(S(at), std::iter::once(answer(acked, received)));
        }
        let e = d.get(7).unwrap();
        assert_eq!(e.nothing_acked_for(), Some(S(2)));
        assert_eq!((e.nothing_received_for(), e.watched()), (Some(S(4)), S(4)));
        d.renew(S(5), std::iter::empty());
        assert!(d.get(7).is_none());
        d.renew(S(6), std::iter::once(answer(6, 9)));
        assert_eq!(d.get(7).unwrap().watched(), S(0));
    }
}
