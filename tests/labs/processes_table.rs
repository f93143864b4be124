//! The processes table on the real kernel: a leak, and what is nobody's.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use tcptop::engine::Looker;
use tcptop::lab::Host;
use tcptop::model::TcpState;
use tcptop::query::{
    ProcessColumn, ProcessGrouping, ProcessKey, ProcessQuery, ProcessRow, ProcessView, Selection,
    SocketQuery, Sort, process_cell, processes, sockets,
};
use tcptop::source::{Live, LiveOptions};

use crate::harness::{lab, wait_for};

/// Connections that are never closed.
const LEAKED: u32 = 5;

fn find<'a>(view: &'a ProcessView, name: &str) -> Option<&'a ProcessRow> {
    view.rows.iter().find(|r| process_cell(ProcessColumn::Name, r).to_string() == name)
}

#[test]
fn a_leaking_process_is_found_with_what_it_holds_and_what_is_nobodys_is_named() {
    lab(|| {
        let host = Host::new().unwrap();
        let listener = host.run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap().unwrap();
        let at = listener.local_addr().unwrap();
        let connect = || host.run(|| TcpStream::connect(at)).unwrap().unwrap();
        let clients: Vec<_> = (0..LEAKED).map(|_| connect()).collect();
        let leaked: Vec<_> = clients.iter().map(|_| listener.accept().unwrap().0).collect();
        // They hang up, and the server does not notice; another one waits to be accepted.
        drop(clients);
        let waiting = connect();
        let pid = std::process::id();
        wait_for("leak in the table", || {
            let look = || {
                let mut looker = Looker::new(Live::open(LiveOptions::default())).with_owners(None);
                looker.look().map(|judged| judged.world.clone()).map_err(|e| e.to_string())
            };
            let world = host.run(look).unwrap()?;
            let view = |group| {
                processes(&world, &ProcessQuery { group, sort: Sort::by(ProcessColumn::Total), want: 99 })
            };
            let each = view(ProcessGrouping::Process);
            let ours = each.rows.iter().find(|r| r.pid == Some(pid)).ok_or("not found")?;
            let counts = &ours.tally.counts;
            if counts[TcpState::CloseWait] != LEAKED {
                return Err(format!("{counts:?}"));
            }
            // The listener, the leaked ones, and the client that waits.
            assert_eq!(counts.total(), 1 + LEAKED + 1);
            assert_eq!((ours.tally.no_keepalive, ours.tally.peers), (LEAKED + 1, 1));
            assert!(ours.fds.unwrap() >= u64::from(counts.total()) && ours.fd_limit > ours.fds);
            assert!(ours.fd_ratio.unwrap() > 0.0);
            let total = |name| find(&each, name).map(|r| r.tally.counts.total());
            assert_eq!((total("(orphan)"), total("(not accepted)")), (Some(LEAKED), Some(1)), "{each:?}");
            // The same sockets, put together otherwise and opened.
            let uid = rustix::process::geteuid().as_raw();
            let users = view(ProcessGrouping::User);
            let user = users.rows.iter().find(|r| r.key == ProcessKey::User(uid)).ok_or("no user")?;
            assert_eq!(user.tally.counts[TcpState::CloseWait], LEAKED);
            for row in each.rows.iter().chain(&users.rows) {
                let select = Selection::Processes(row.key.clone());
                let query = SocketQuery { select, sort: Sort::by(tcptop::query::ColumnId::Local), want: 99 };
                let opened = sockets(&world, &query).matching;
                assert_eq!(opened, row.tally.counts.total() as usize, "{row:?}");
            }
            Ok(())
        });
        drop((leaked, waiting));
    });
}
