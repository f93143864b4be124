use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::linux::fs::MetadataExt;

use super::*;

fn inode(socket: &impl AsRawFd) -> u32 {
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    u32::try_from(std::fs::metadata(path).unwrap().st_ino()).unwrap()
}

fn listed(sockets: &[u32]) -> Listed {
    let netns = std::fs::metadata("/proc/self/ns/net").unwrap().st_ino();
    let uid = rustix::process::geteuid().as_raw();
    Listed {
        sockets: sockets.iter().map(|inode| (*inode, uid)).collect(),
        netns: vec![netns],
        cgroup_ids: Vec::new(),
    }
}

fn holder(owners: &Owners, inode: u32) -> Vec<(u32, u32)> {
    owners.holders(inode).iter().map(|h| (owners.process(*h).unwrap().pid, h.fd)).collect()
}

#[test]
fn a_socket_is_found_and_a_new_one_in_the_next_round() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut scanner = Scanner::open().unwrap();
    assert!(scanner.scan_all(|| false));
    let first = inode(&socket);
    let owners = scanner.round(&listed(&[first]), None);
    let me = (std::process::id(), u32::try_from(socket.as_raw_fd()).unwrap());
    assert!(holder(&owners, first).contains(&me));
    assert!(owners.unheld.is_empty() && !owners.partial);

    let later = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    let owners = scanner.round(&listed(&[first, inode(&later)]), None);
    assert_eq!(holder(&owners, inode(&later)).first().map(|h| h.0), Some(me.0));
    assert_eq!(owners.generation, 3);
}

#[test]
fn the_map_of_sockets_is_made_anew_only_for_other_sockets_or_other_processes() {
    let mut scanner = Scanner::open().unwrap();
    scanner.round(&listed(&[]), None);
    let renewed = |scanner: &mut Scanner| {
        let owners = Arc::new(scanner.owners(&listed(&[]), false));
        let before = scanner.newest.replace(Arc::clone(&owners)).unwrap();
        (!before.has_holders_of(&owners)).then_some(owners)
    };
    assert!(renewed(&mut scanner).is_none(), "nothing was looked at in between");
    let me = std::process::id();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(scanner.scan_one(me, &|| false));
    let owners = renewed(&mut scanner).unwrap();
    assert_eq!(holder(&owners, inode(&socket)).first().map(|h| h.0), Some(me));
    assert!(renewed(&mut scanner).is_none());
    scanner.entries.remove(&me);
    let owners = renewed(&mut scanner).unwrap();
    assert!(holder(&owners, inode(&socket)).iter().all(|h| h.0 != me), "the places of processes are others");
}

#[test]
fn many_sockets_that_stay_the_same_are_read_again_later_and_others_are_not() {
    let mut scanner = Scanner::open().unwrap();
    scanner.round(&listed(&[]), None);
    let me = std::process::id();
    let entry = scanner.entries.get_mut(&me).unwrap();
    let sockets = |n: u32| (0..n).map(|n| (n, n)).collect();
    let ages = |entry: &mut Entry| {
        entry.found(false);
        [false, true, true, true].map(|same| {
            entry.found(same);
            entry.sockets_age().as_secs() / SOCKETS_AGE.as_secs()
        })
    };
    entry.holds = sockets(999);
    assert_eq!(ages(entry), [1; 4]);
    entry.holds = sockets(1000);
    assert_eq!(ages(entry), [1, 2, 4, 4]);
    // Those are not the sockets of this process.
    assert!(scanner.scan_one(me, &|| false));
    let entry = scanner.entries.get_mut(&me).unwrap();
    entry.holds = sockets(1000);
    assert_eq!(entry.sockets_age(), SOCKETS_AGE);
}

#[test]
fn threads_of_the_kernel_are_not_read_again_unless_they_became_a_program() {
    let mut scanner = Scanner::open().unwrap();
    scanner.round(&listed(&[]), None);
    let entry = scanner.entries.get_mut(&std::process::id()).unwrap();
    assert!(entry.has_texts());
    entry.kernel_thread = true;
    assert!(entry.has_texts(), "it has descriptors");
    entry.gate.fds = Some(0);
    assert!(!entry.has_texts());
    entry.gate.fds = None;
    assert!(entry.has_texts(), "before Linux 6.2 nobody counts them");
}

#[test]
fn what_nobody_holds_is_said_to_be_unheld_and_forgotten_with_its_socket() {
    let mut scanner = Scanner::open().unwrap();
    let nobody = u32::MAX;
    let owners = scanner.round(&listed(&[nobody]), None);
    assert!(owners.unheld.contains(&nobody));
    assert!(!scanner.round(&listed(&[]), None).unheld.contains(&nobody));
}

#[test]
fn without_time_nothing_is_claimed() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut scanner = Scanner::open().unwrap();
    let owners = scanner.round(&listed(&[inode(&socket)]), Some(Duration::ZERO));
    assert!(owners.partial && holder(&owners, inode(&socket)).is_empty());
    assert!(!owners.unheld.contains(&inode(&socket)), "it was not looked for everywhere");
}

#[test]
fn this_process_is_described_as_it_is() {
    let mut scanner = Scanner::open().unwrap();
    assert!(scanner.scan_all(|| false));
    let owners = scanner.round(&listed(&[]), None);
    let me = owners.by_pid(std::process::id()).unwrap();
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    assert_eq!(me.comm.raw(), comm.trim_end_matches('\n'));
    assert_eq!(me.uid, rustix::process::geteuid().as_raw());
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    assert_eq!(me.fd_limit.known().copied(), limit);
    assert!(me.fds.known().is_some_and(|n| *n > 0));
    assert_eq!(me.netns.known(), listed(&[]).netns.first());
    assert!(me.cgroup.known().is_some() && me.start_time > 0);
    assert!(owners.processes.iter().all(|p| p.ppid != 2), "kernel threads are left out");
}

#[test]
fn a_tcp_socket_in_no_table_counts_once_it_was_confirmed() {
    let never_bound =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None);
    let never_bound = never_bound.unwrap();
    let inode = inode(&never_bound);
    let mut scanner = Scanner::open().unwrap();
    let unlisted = |o: &Owners| o.by_pid(std::process::id()).unwrap().unlisted.known().copied();
    assert_eq!(unlisted(&scanner.round(&listed(&[]), None)), None);
    assert_eq!(unlisted(&scanner.round(&listed(&[]), None)), None);
    assert!(unlisted(&scanner.round(&listed(&[]), None)) >= Some(1));
    let (tcp, since) = scanner.unlisted[&inode];
    assert!(tcp && since == 1);
    scanner.round(&listed(&[inode]), None);
    assert!(!scanner.unlisted.contains_key(&inode), "a table lists it now");
}

#[test]
fn a_scan_that_was_stopped_claims_nothing() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut scanner = Scanner::open().unwrap();
    assert!(!scanner.scan_all(|| true));
    let owners = scanner.round(&listed(&[inode(&socket)]), Some(Duration::ZERO));
    assert!(owners.partial && owners.unheld.is_empty() && holder(&owners, inode(&socket)).is_empty());
    let owners = scanner.round(&listed(&[inode(&socket)]), None);
    assert!(!owners.partial && !holder(&owners, inode(&socket)).is_empty(), "and it goes on where it was");
}
