//! How many connections have keepalive, and with which times, as far as they were asked.

use super::{IDLE_TIMEOUTS, IdleTimeout, forgotten_by};
use crate::model::{InNoTable, Keepalive, Probed, SocketOptions, Unlisted, Unprobed};

/// Keepalive of many connections.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct KeepaliveShare {
    /// How many connections there are that can have keepalive.
    pub connections: usize,
    /// Sockets beside them: listeners, `TIME_WAIT` and others that the kernel keeps after a close, half-open connections.
    /// A listener on its own page is not one of them.
    pub others: usize,
    /// How many of the connections were asked.
    pub asked: usize,
    /// Those asked that have it.
    pub with: usize,
    /// Those asked that are without.
    pub without: usize,
    /// Those asked of which neither their answer nor the table tells.
    pub unknown: usize,
    /// Different settings with the number of connections that have them, most frequent first.
    pub settings: Vec<(SocketOptions, usize)>,
    /// Why connections could not be read, each reason by its first example with the number of those alike.
    pub unread: Vec<(Unprobed, usize)>,
    /// Of a selection by process: TCP sockets in no table, as far as it is known which, with what they told.
    pub in_no_table: Vec<DeadOrUnbound>,
    /// The listener that all came in through, if they have one that was asked.
    pub listener: Option<Probed>,
}

/// A TCP socket of a process that no table lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadOrUnbound {
    /// Whose.
    pub pid: u32,
    /// Which descriptor, and the inode.
    pub which: InNoTable,
    /// What it told.
    pub told: Result<Unlisted, Unprobed>,
}

impl KeepaliveShare {
    /// Counts one connection: what came of asking it, and what the table shows of its keepalive.
    pub fn add(&mut self, probed: &Probed, seen: Option<Keepalive>) {
        self.asked += 1;
        let keepalive = match probed {
            Ok(options) if options.keepalive => Some(Keepalive::On),
            Ok(_) => Some(Keepalive::Off),
            Err(_) => seen,
        };
        match keepalive {
            Some(Keepalive::On) => self.with += 1,
            Some(Keepalive::Off) => self.without += 1,
            Some(Keepalive::Unknown) | None => self.unknown += 1,
        }
        match probed {
            Ok(options) => {
                let setting = deciding(options);
                match self.settings.iter_mut().find(|(s, _)| *s == setting) {
                    Some((_, n)) => *n += 1,
                    None => self.settings.push((setting, 1)),
                }
            }
            Err(why) => match self.unread.iter_mut().find(|(w, _)| w.is_like(why)) {
                Some((_, n)) => *n += 1,
                None => self.unread.push((why.clone(), 1)),
            },
        }
    }

    /// Puts what is most frequent first.
    pub fn finish(&mut self) {
        let times = |o: &SocketOptions| (o.keepalive, o.idle, o.interval, o.probes, o.user_timeout);
        self.settings.sort_by_key(|(o, n)| (std::cmp::Reverse(*n), times(o)));
        self.unread.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    }

    /// How many connections were read.
    #[must_use]
    pub fn read(&self) -> usize {
        self.settings.iter().map(|(_, n)| n).sum()
    }

    /// Who forgets idle connections, shortest time first, with the number of those read that they forget before the first
    /// probe would remind them.
    pub fn forgotten(&self) -> impl Iterator<Item = (&'static IdleTimeout, usize)> + '_ {
        let forgets = |t: &IdleTimeout, o: &SocketOptions| forgotten_by(o).any(|f| f.of == t.of);
        IDLE_TIMEOUTS.iter().map(move |t| {
            let those = self.settings.iter().filter(|(o, _)| forgets(t, o));
            (t, those.map(|(_, n)| n).sum())
        })
    }
}

/// The options that decide when silence is noticed: without keepalive its times mean nothing, and linger is of the close.
fn deciding(options: &SocketOptions) -> SocketOptions {
    let options = SocketOptions { linger: None, ..*options };
    if options.keepalive {
        return options;
    }
    let zero = std::time::Duration::ZERO;
    SocketOptions { idle: zero, interval: zero, probes: 0, ..options }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Refusal;

    fn options(keepalive: bool, idle: u64) -> SocketOptions {
        SocketOptions {
            keepalive,
            idle: Duration::from_secs(idle),
            interval: Duration::from_secs(75),
            probes: 9,
            user_timeout: None,
            linger: Some(Duration::from_secs(idle)),
        }
    }

    #[test]
    fn like_settings_and_like_reasons_are_counted_together() {
        let mut share = KeepaliveShare::default();
        let denied = |pid, why| Err(Unprobed::NotPermitted { pid, fd: 3, why });
        for (probed, seen) in [
            (Ok(options(true, 300)), Some(Keepalive::Off)),
            (Ok(options(false, 7200)), None),
            (Ok(options(false, 60)), Some(Keepalive::On)),
            (denied(1, Refusal::OtherUser), Some(Keepalive::Unknown)),
            (denied(2, Refusal::OtherUser), Some(Keepalive::On)),
            (denied(3, Refusal::NotDumpable), Some(Keepalive::Off)),
        ] {
            share.add(&probed, seen);
        }
        share.finish();
        assert_eq!((share.asked, share.with, share.without, share.unknown), (6, 2, 3, 1));
        let settings: Vec<_> = share.settings.iter().map(|(o, n)| (o.keepalive, *n)).collect();
        assert_eq!(settings, [(false, 2), (true, 1)], "what differs only in what means nothing is one");
        assert_eq!(share.unread.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(share.read(), 3);
        // 300 s is after the shortest of the known idle timeouts only.
        assert_eq!(share.forgotten().map(|(_, n)| n).collect::<Vec<_>>(), [3, 2, 2, 2, 2, 2, 2]);
    }
}
