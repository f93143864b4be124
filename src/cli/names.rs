//! `--resolve` of the commands that look once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::complain;
use crate::enrich::{Resolver, hosts, service_names};
use crate::model::{Ip, Names, Services};

/// How long a look waits for names.
const WITHIN: Duration = Duration::from_secs(2);

/// Knows what addresses and ports are called.
pub(super) struct Namer {
    resolver: Resolver,
    services: Arc<Services>,
}

impl Namer {
    /// One that asks this machine.
    pub(super) fn system() -> Self {
        Self { resolver: Resolver::system(), services: service_names() }
    }

    /// What these addresses are called. Says how many of them nobody answered for in time.
    pub(super) fn of(&self, mut addresses: Vec<Ip>) -> Names {
        addresses.sort_unstable_by_key(|ip| ip.bits());
        addresses.dedup();
        self.resolver.ask(addresses.iter().copied());
        let late = self.resolver.wait(Instant::now() + WITHIN);
        if late > 0 {
            let (n, s) = (addresses.len(), WITHIN.as_secs());
            complain(format_args!("{late} of {n} addresses stay numbers: no answer within {s} s"));
        }
        if addresses.len() > hosts::WAITING {
            let most = hosts::WAITING;
            complain(format_args!(
                "only {most} of {} addresses were asked for; the others stay numbers",
                addresses.len()
            ));
        }
        Names { hosts: self.resolver.names(addresses), services: Arc::clone(&self.services) }
    }
}
