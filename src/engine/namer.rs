//! The thread that learns for the screen what addresses are called. It asks and remembers; nobody waits for it.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::mailbox::Mailbox;
use crate::enrich::{Resolver, service_names};
use crate::model::{Ip, Names, Services};

/// How often is looked for answers while some are on their way.
const STEP: Duration = Duration::from_millis(50);

/// Starts the thread. For each list of addresses it posts the names that are known at once, and again when there are more
/// of them, until a newer list comes. Nobody is asked before the first list. It ends when `wanted` is closed.
///
/// # Errors
/// When no thread can be made.
pub fn start(wanted: Arc<Mailbox<Vec<Ip>>>, names: Arc<Mailbox<Names>>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("namer".into()).spawn(move || {
        if let Some(first) = wanted.wait() {
            answer(&Resolver::system(), &service_names(), first, &wanted, &names);
        }
    })
}

fn answer(
    resolver: &Resolver,
    services: &Arc<Services>,
    mut addresses: Vec<Ip>,
    wanted: &Mailbox<Vec<Ip>>,
    names: &Mailbox<Names>,
) {
    let mut posted = None;
    loop {
        resolver.ask(addresses.iter().copied());
        let on_their_way = resolver.wait(Instant::now()) > 0;
        let hosts = resolver.names(addresses.iter().copied());
        if posted.replace(hosts.len()) != Some(hosts.len()) {
            drop(names.post(Names { hosts, services: Arc::clone(services) }));
        }
        let newer = if on_their_way { wanted.wait_for(STEP) } else { wanted.wait() };
        match newer {
            Some(newer) => (addresses, posted) = (newer, None),
            None if wanted.is_closed() => return,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn names_come_as_they_are_known_and_the_newest_question_counts() {
        let (gate, go) = channel::<()>();
        let go = Mutex::new(go);
        let slow = Ip::from_v4_octets([10, 0, 0, 9]);
        let quick = Ip::from_v4_octets([10, 0, 0, 1]);
        let resolver = Resolver::new(move |ip| {
            if ip == slow {
                let _ = go.lock().map(|g| g.recv());
            }
            Some(format!("host-{ip}").as_str().into())
        });
        let (wanted, names) = (Arc::new(Mailbox::new()), Arc::new(Mailbox::new()));
        let (inbox, outbox) = (Arc::clone(&wanted), Arc::clone(&names));
        let thread = thread::spawn(move || {
            let services = Arc::default();
            answer(&resolver, &services, vec![slow, quick], &inbox, &outbox);
        });
        let until = |has: &dyn Fn(&Names) -> bool| {
            let deadline = Instant::now() + Duration::from_secs(30);
            loop {
                assert!(Instant::now() < deadline, "no such names came");
                if names.wait_for(Duration::from_secs(1)).is_some_and(|n| has(&n)) {
                    return;
                }
            }
        };
        until(&|n| n.host(quick).is_some() && n.host(slow).is_none());
        wanted.post(vec![quick]);
        until(&|n| n.hosts.len() == 1);
        wanted.post(vec![slow, quick]);
        gate.send(()).unwrap();
        until(&|n| n.host(slow).is_some_and(|name| name.raw() == "host-10.0.0.9"));
        wanted.close();
        thread.join().unwrap();
    }
}
