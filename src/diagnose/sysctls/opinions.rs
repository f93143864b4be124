//! What is wrong with a value. Each function says of one sysctl when it is doubtful or harmful, and why in a line; the
//! documents say it at length.

use super::audit::AuditVerdict::{Doubtful, Harmful};
use super::audit::{Machine, Opinion, Own};

/// The one number of a value.
fn one(n: &[i64]) -> Option<i64> {
    n.first().copied()
}

/// Any value can be right.
pub(super) fn fine(_: &Machine<'_>, _: &[i64], _: Option<&Own>) -> Opinion {
    None
}

/// Removed in 4.12. It let one client behind a NAT in and dropped the SYNs of the others (`tcp_conn_request` up to 4.11).
pub(super) fn tw_recycle(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    (one(n)? != 0).then_some((Harmful, "the SYNs of all clients behind a NAT but one are dropped"))
}

pub(super) fn timestamps(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    (one(n)? == 0).then_some((Harmful, "no protection from old segments, no reuse of TIME_WAIT"))
}

pub(super) fn tw_buckets(_: &Machine<'_>, n: &[i64], own: Option<&Own>) -> Opinion {
    let value = one(n)?;
    own?.exceeds(0, value).then_some((Harmful, "connections beyond it close without TIME_WAIT"))
}

/// Above 60 an orphan waits twice the time beyond 60, which is shorter than 60 up to 90 (`__tcp_close`,
/// `tcp_keepalive_timer` in `net/ipv4/tcp_timer.c`).
pub(super) fn fin_timeout(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    match one(n)? {
        ..10 => Some((Harmful, "peers that still send are reset in the middle")),
        61..65 => Some((Harmful, "above 60 the kernel waits twice the excess: a few seconds")),
        65..120 => Some((Doubtful, "above 60 the kernel waits twice the excess, not this time")),
        _ => None,
    }
}

pub(super) fn synack_retries(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    match one(n)? {
        ..1 => Some((Harmful, "one lost packet and the handshake is given up after a second")),
        1 => Some((Doubtful, "two lost packets and the handshake is given up after three seconds")),
        _ => None,
    }
}

pub(super) fn syn_retries(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    (one(n)? < 3)
        .then_some((Doubtful, "connects give up after a few seconds; a program's own timeout is better"))
}

pub(super) fn syncookies(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    match one(n)? {
        0 => Some((Harmful, "a full queue of half-open connections turns clients away")),
        2 => Some((Doubtful, "cookies for every connection lose its options; meant for testing")),
        _ => None,
    }
}

pub(super) fn somaxconn(_: &Machine<'_>, n: &[i64], own: Option<&Own>) -> Opinion {
    let value = one(n)?;
    if value < 128 {
        return Some((Harmful, "accept queues overflow in ordinary bursts"));
    }
    own?.exceeds(0, value).then_some((Doubtful, "shorter accept queues than this kernel gives by itself"))
}

pub(super) fn abort_on_overflow(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    (one(n)? != 0).then_some((Harmful, "a short burst is answered with resets where waiting would do"))
}

const KEEPALIVE_TIME: &str = "net.ipv4.tcp_keepalive_time";

fn keepalive_short(seconds: i64) -> bool {
    seconds < 30
}

pub(super) fn keepalive_time(m: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    let time = one(n)?;
    if !keepalive_short(time) {
        return None;
    }
    let wait = m.number("net.ipv4.tcp_keepalive_intvl").zip(m.number("net.ipv4.tcp_keepalive_probes"));
    let dead = wait.map_or(time, |(interval, probes)| time.saturating_add(interval.saturating_mul(probes)));
    Some(if dead < 30 {
        (Harmful, "a hiccup of seconds kills idle connections, and all of them probe all the time")
    } else {
        (Doubtful, "every idle connection is probed all the time")
    })
}

/// A short interval, unless the time before it is the matter already.
pub(super) fn keepalive_intvl(m: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    let short = one(n)? < 5 && !m.number(KEEPALIVE_TIME).is_some_and(keepalive_short);
    short.then_some((Doubtful, "probes follow each other faster than a network recovers"))
}

/// Few probes, unless the time before them is the matter already.
pub(super) fn keepalive_probes(m: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    let few = one(n)? < 3 && !m.number(KEEPALIVE_TIME).is_some_and(keepalive_short);
    few.then_some((Doubtful, "one or two lost probes kill an idle connection"))
}

/// RFC 1122 wants 100 s, which is 8.
pub(super) fn retries2(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    match one(n)? {
        ..5 => Some((Harmful, "a network that is away for seconds kills every connection in use")),
        5..8 => Some((Doubtful, "connections give up before the 100 s that RFC 1122 asks for")),
        _ => None,
    }
}

/// 0 means 8.
pub(super) fn orphan_retries(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    matches!(one(n)?, 1..5).then_some((Harmful, "the end of a response is thrown away after seconds"))
}

pub(super) fn max_orphans(_: &Machine<'_>, n: &[i64], own: Option<&Own>) -> Opinion {
    let value = one(n)?;
    own?.exceeds(0, value).then_some((Harmful, "closed connections that still send are reset sooner"))
}

/// Fewer ports than this are a handful of connections a second to one destination.
const FEW_PORTS: i64 = 1000;
pub(super) const SMALL_RANGE: i64 = 10_000;
/// Below stand the ports of most services.
pub(super) const SERVICES_BELOW: i64 = 10_000;

pub(super) fn port_range(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    let [low, high] = *n else { return None };
    let ports = high.saturating_sub(low).saturating_add(1);
    if ports < FEW_PORTS {
        Some((Harmful, "the ports to one destination run out at once"))
    } else if ports < SMALL_RANGE {
        Some((Doubtful, "few ports for each destination"))
    } else if low < SERVICES_BELOW {
        Some((Doubtful, "outgoing connections take the ports of services, which then cannot start"))
    } else {
        None
    }
}

/// Three ascending numbers of pages, no more than the machine has, no less than it needs.
pub(super) fn memory(m: &Machine<'_>, n: &[i64], own: Option<&Own>) -> Opinion {
    let [low, pressure, high] = *n else { return None };
    if low > pressure || pressure > high {
        return Some((Harmful, "the three numbers do not ascend"));
    }
    let bytes = u64::try_from(high).unwrap_or_default().saturating_mul(m.host.page_size);
    if m.host.memory_bytes > 0 && bytes / 3 > m.host.memory_bytes / 5 {
        return Some((Harmful, "socket buffers may take most of the machine's memory"));
    }
    let half = pressure.saturating_mul(2);
    own?.exceeds(1, half)
        .then_some((Harmful, "far below this kernel's own value: buffers are squeezed early"))
}

pub(super) fn sack(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    (one(n)? == 0).then_some((Doubtful, "several losses in a window need a timeout each"))
}

pub(super) fn window_scaling(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    (one(n)? == 0).then_some((Doubtful, "at most 64 KiB in flight on any connection"))
}

pub(super) fn conntrack_helper(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    (one(n)? != 0).then_some((Doubtful, "packets from outside can open ports; use the CT target"))
}

/// The largest idle time after which a middlebox may forget a connection without breaking programs that keep alive.
pub(super) fn conntrack_established(m: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    let value = one(n)?;
    if value < 600 {
        Some((Harmful, "idle connections are forgotten, and one end never learns"))
    } else if value < 3600 {
        Some((Doubtful, "connections that are idle for minutes are forgotten"))
    } else if m.number(KEEPALIVE_TIME).is_some_and(|time| value < time) {
        Some((Doubtful, "connections are forgotten before keepalive would probe them"))
    } else {
        None
    }
}

pub(super) fn conntrack_timeout(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    (one(n)? < 10).then_some((Harmful, "slow and half-closed flows, and repeated DNS queries, are cut off"))
}

/// Of a flow that was reset; nothing follows.
pub(super) fn conntrack_close(_: &Machine<'_>, n: &[i64], _: Option<&Own>) -> Opinion {
    (one(n)? < 5).then_some((Doubtful, "late segments of a reset flow are no longer recognised"))
}

pub(super) fn rp_filter(m: &Machine<'_>, _: &[i64], _: Option<&Own>) -> Opinion {
    let strict = crate::diagnose::counters::interfaces_filtering(m.facts, 1)?;
    (!strict.is_empty())
        .then_some((Doubtful, "packets that come by another way than the answer would go are dropped"))
}
