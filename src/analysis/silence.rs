//! When the silence of a peer is noticed, by the options of a socket; and who forgets the connection before that.

use std::time::Duration;

use crate::model::{SocketOptions, Sysctls};

/// Shortest time before a segment is sent again (`TCP_RTO_MIN` in `include/net/tcp.h`).
const RTO_MIN: Duration = Duration::from_millis(200);
/// Longest, where the sysctl `tcp_rto_max_ms` does not say otherwise (`TCP_RTO_MAX`).
const RTO_MAX: Duration = Duration::from_secs(120);

/// How long a NAT, a load balancer or a firewall remembers a connection on which nothing moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdleTimeout {
    /// Who forgets it.
    pub of: &'static str,
    /// Usually after so long, seconds.
    pub seconds: u32,
    /// What can be set; empty where nothing can.
    pub range: &'static str,
}

impl IdleTimeout {
    /// The time after which the connection is forgotten.
    #[must_use]
    pub const fn after(self) -> Duration {
        Duration::from_secs(self.seconds as u64)
    }
}

/// The idle timeouts that are met most often, as their vendors document them, shortest first.
pub const IDLE_TIMEOUTS: &[IdleTimeout] = &[
    IdleTimeout { of: "Azure Load Balancer", seconds: 240, range: "4 to 100 min" },
    IdleTimeout { of: "AWS Network Load Balancer", seconds: 350, range: "60 to 6000 s for TCP" },
    IdleTimeout { of: "AWS NAT gateway and VPC endpoint", seconds: 350, range: "" },
    IdleTimeout { of: "OCI Network Load Balancer", seconds: 360, range: "" },
    IdleTimeout { of: "Google Cloud VPC firewall", seconds: 600, range: "" },
    IdleTimeout { of: "Google Cloud NAT", seconds: 1200, range: "settable" },
    IdleTimeout { of: "Linux conntrack", seconds: 432_000, range: "nf_conntrack_tcp_timeout_established" },
];

/// When the silence of a peer ends an idle connection; `None`: never. Probes go out after `idle`, then every `interval`;
/// with `TCP_USER_TIMEOUT` it is that time and not their number that ends it, looked at after each interval
/// (`tcp_keepalive_timer` in `net/ipv4/tcp_timer.c`).
#[must_use]
pub fn noticed_idle(options: &SocketOptions) -> Option<Duration> {
    if !options.keepalive {
        return None;
    }
    let intervals = match options.user_timeout {
        None => u128::from(options.probes),
        Some(limit) => {
            let rest = limit.saturating_sub(options.idle).as_millis();
            rest.div_ceil(options.interval.as_millis().max(1)).max(1)
        }
    };
    let probing = options.interval.saturating_mul(u32::try_from(intervals).unwrap_or(u32::MAX));
    Some(options.idle.saturating_add(probing))
}

/// When the silence of a peer ends a connection with data that it has not acknowledged: after `TCP_USER_TIMEOUT`, else
/// after `tcp_retries2` repetitions (`tcp_write_timeout` and `tcp_model_timeout` in `net/ipv4/tcp_timer.c`), at least; a
/// longer round trip takes longer. Keepalive does not run meanwhile. `None`: the sysctl is not known.
#[must_use]
pub fn noticed_sending(options: &SocketOptions, sysctls: &Sysctls) -> Option<Duration> {
    if let Some(limit) = options.user_timeout {
        return Some(limit);
    }
    let number = |name| sysctls.number(name).and_then(|n| u32::try_from(n).ok());
    let longest = number("net.ipv4.tcp_rto_max_ms").map_or(RTO_MAX, |ms| Duration::from_millis(ms.into()));
    Some(repeating(number("net.ipv4.tcp_retries2")?, longest.max(RTO_MIN)))
}

/// The time that `retries` repetitions take: each doubles, from [`RTO_MIN`] up to `longest`.
fn repeating(retries: u32, longest: Duration) -> Duration {
    let doublings = (longest.as_millis() / RTO_MIN.as_millis()).max(1).ilog2();
    let doubled = RTO_MIN.saturating_mul((2_u32 << retries.min(doublings).min(30)) - 1);
    doubled.saturating_add(longest.saturating_mul(retries.saturating_sub(doublings)))
}

/// Who forgets an idle connection with these options before the first probe would remind them.
pub fn forgotten_by(options: &SocketOptions) -> impl Iterator<Item = &'static IdleTimeout> {
    forgotten_before(options.keepalive.then_some(options.idle))
}

/// Who forgets a connection that is idle until the first probe; all of them where none comes.
pub fn forgotten_before(first_probe: Option<Duration>) -> impl Iterator<Item = &'static IdleTimeout> {
    IDLE_TIMEOUTS.iter().filter(move |t| first_probe.is_none_or(|at| at >= t.after()))
}

/// After how long an idle connection is forgotten by each of [`IDLE_TIMEOUTS`] but those that remember it for days.
#[must_use]
pub fn forgotten_by_all() -> Duration {
    let day = Duration::from_secs(86_400);
    IDLE_TIMEOUTS.iter().map(|t| t.after()).filter(|t| *t < day).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Reading, sysctl::SPECS};

    const S: fn(u64) -> Duration = Duration::from_secs;

    fn options(idle: u64, interval: u64, probes: u32, user_timeout: Option<u64>) -> SocketOptions {
        SocketOptions {
            keepalive: true,
            idle: S(idle),
            interval: S(interval),
            probes,
            user_timeout: user_timeout.map(S),
            linger: None,
        }
    }

    #[test]
    fn an_idle_peer_is_missed_after_the_last_probe() {
        assert_eq!(noticed_idle(&options(7200, 75, 9, None)), Some(S(7875)));
        assert_eq!(noticed_idle(&options(3, 2, 4, None)), Some(S(11)));
        let off = SocketOptions { keepalive: false, ..options(3, 2, 4, Some(5)) };
        assert_eq!(noticed_idle(&off), None, "a user timeout alone sends no probe");
    }

    #[test]
    fn a_user_timeout_counts_instead_of_the_probes_and_is_looked_at_once_an_interval() {
        assert_eq!(noticed_idle(&options(3, 2, 4, Some(5))), Some(S(5)));
        assert_eq!(noticed_idle(&options(3, 2, 4, Some(60))), Some(S(61)), "beyond the four probes");
        assert_eq!(
            noticed_idle(&options(60, 10, 3, Some(5))),
            Some(S(70)),
            "not before a probe is unanswered"
        );
    }

    #[test]
    fn data_in_flight_ends_by_repetitions_or_by_the_user_timeout() {
        let sysctls = |retries: &str| {
            let value = |name| match name {
                "net.ipv4.tcp_retries2" => Reading::Known(retries.into()),
                _ => Reading::Absent,
            };
            Sysctls::new(SPECS.iter().map(|s| value(s.name)).collect())
        };
        let plain = options(7200, 75, 9, None);
        assert_eq!(noticed_sending(&plain, &sysctls("15")), Some(Duration::from_millis(924_600)));
        assert_eq!(noticed_sending(&plain, &sysctls("8")), Some(Duration::from_millis(102_200)));
        assert_eq!(noticed_sending(&plain, &Sysctls::default()), None);
        assert_eq!(noticed_sending(&options(7200, 75, 9, Some(4)), &Sysctls::default()), Some(S(4)));
        assert_eq!(repeating(u32::MAX, RTO_MIN), RTO_MIN.saturating_mul(u32::MAX).saturating_add(RTO_MIN));
    }

    #[test]
    fn what_comes_before_the_first_probe_forgets() {
        let of = |o: &SocketOptions| forgotten_by(o).count();
        assert_eq!(of(&options(60, 10, 3, None)), 0);
        assert_eq!(of(&options(300, 10, 3, None)), 1);
        assert_eq!(of(&options(7200, 75, 9, None)), IDLE_TIMEOUTS.len() - 1);
        let off = SocketOptions { keepalive: false, ..options(60, 10, 3, None) };
        assert_eq!(of(&off), IDLE_TIMEOUTS.len());
        assert!(IDLE_TIMEOUTS.is_sorted_by_key(|t| t.seconds));
        assert_eq!(forgotten_before(Some(forgotten_by_all())).count(), IDLE_TIMEOUTS.len() - 1);
    }
}
