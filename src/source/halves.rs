//! Two walks at the same time, each for a part of the connections.
//!
//! The kernel fills a dump in the context of whoever receives it, so two sockets use two processors. It lets them: since
//! Linux 6.9 no lock is held over a dump (`inet_diag_lock_handler` in `net/ipv4/inet_diag.c` took a mutex before). Who
//! belongs to which part is decided by port, for that is all that a condition can ask for.

use std::panic::resume_unwind;
use std::thread;

use super::intake::Intake;
use super::walker::{Errand, Walker};
use crate::model::{Condition, Gap};
use crate::sys::diag::DumpReport;

/// Ports are dealt out in stripes of this many: narrow enough that the ephemeral ports of any system, and the long runs of
/// them that connects to one address take, fall into both parts alike, and few enough that the kernel decides quickly.
const STRIPE: u16 = 1 << 11;

/// From here on a port is most likely ephemeral: the end of a connection that differs from one to the next.
const EPHEMERAL: u16 = 1 << 15;

/// Every other stripe from a port on, the highest first.
fn striped(peer: bool, from: u16) -> Condition {
    let stripes = (from / STRIPE..=u16::MAX / STRIPE).rev().filter(|n| n % 2 == 0).map(|n| {
        let low = n * STRIPE;
        Condition::All(vec![Condition::AtLeast(peer, low), Condition::AtMost(peer, low + (STRIPE - 1))])
    });
    Condition::Any(stripes.collect())
}

/// About half of the connections of a client as of a server: by the local port where that looks ephemeral, else by the
/// peer's.
fn part() -> Condition {
    Condition::Any(vec![
        Condition::All(vec![Condition::AtLeast(false, EPHEMERAL), striped(false, EPHEMERAL)]),
        Condition::All(vec![Condition::AtMost(false, EPHEMERAL - 1), striped(true, 0)]),
    ])
}

/// Walks for both parts at the same time. `None`, with nothing taken in, when the kernel takes no such request or there is
/// no thread to be had. The conditions of both walkers are those of the parts afterwards.
pub fn walk(
    first: &mut Walker,
    second: &mut Walker,
    errand: Errand,
    intake: &mut Intake,
) -> Option<DumpReport> {
    first.ask_for(Some(&part()));
    second.ask_for(Some(&Condition::Not(Box::new(part()))));
    let before = intake.len();
    let mut other = Intake::new(intake.room() / 2);
    let (one, two) = thread::scope(|scope| {
        let beside = thread::Builder::new()
            .name("dump".into())
            .spawn_scoped(scope, || second.walk_as_known(errand, &mut other))
            .ok()?;
        let one = first.walk_as_known(errand, intake);
        Some((one, beside.join().unwrap_or_else(|panic| resume_unwind(panic))))
    })?;
    if one.is_err() && two.is_err() && intake.len() == before && other.len() == 0 {
        return None;
    }
    intake.absorb(other);
    let mut report = DumpReport::default();
    for half in [one, two] {
        match half {
            Ok(half) => half.gaps.into_iter().for_each(|gap| report.add(gap)),
            Err(e) => report.add(Gap::DumpFailed { what: "connections", errno: e.errno() }),
        }
    }
    Some(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bytecode::program;

    fn holds(c: &Condition, ports: [u16; 2]) -> bool {
        match c {
            Condition::All(all) => all.iter().all(|c| holds(c, ports)),
            Condition::Any(any) => any.iter().any(|c| holds(c, ports)),
            Condition::AtLeast(peer, port) => ports[usize::from(*peer)] >= *port,
            Condition::AtMost(peer, port) => ports[usize::from(*peer)] <= *port,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_kernel_can_be_asked_for_either_part() {
        assert!(program(&part()).is_some() && program(&Condition::Not(Box::new(part()))).is_some());
    }

    #[test]
    fn a_busy_server_or_client_is_divided() {
        let first = part();
        // Linux, and what the IANA says, which Windows and macOS follow.
        for range in [32768..=60999u16, 49152..=65535] {
            for service in [22, 443, 5000, 32000] {
                let of = |ports: [u16; 2]| usize::from(holds(&first, ports));
                let count = range.len() / 100;
                let server: usize = range.clone().map(|port| of([service, port])).sum();
                let client: usize = range.clone().map(|port| of([port, service])).sum();
                for part in [server / count, client / count] {
                    assert!((47..=53).contains(&part), "{part} % of {range:?} to {service}");
                }
            }
        }
    }
}
