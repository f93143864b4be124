//! The screen on a lab's host: what its filters have to ask the kernel for.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use tcptop::lab::Host;

use crate::harness::lab;
use crate::terminal::{Term, shell};

#[test]
fn a_filter_of_the_screen_asks_the_kernel_for_what_the_table_does_not_say() {
    lab(|| {
        let host = Host::new().unwrap();
        let ends = host.run(|| {
            let listener = TcpListener::bind("127.0.0.1:40000").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            // Data that is acknowledged gives the connection a round-trip time.
            client.write_all(b"x").unwrap();
            server.read_exact(&mut [0]).unwrap();
            (listener, client, server)
        });
        let _ends = ends.unwrap();
        let start = || Term::start(shell("exec $0 state established and rtt \\< 10s"), 100, 30);
        let mut term = host.run(start).unwrap();
        term.until("both ends, by their round-trip times", |s| s.contents().contains("2 of 3 sockets"));
        let header = |s: &vt100::Screen, text: &str| s.contents().lines().next().unwrap().contains(text);
        for (filter, matching) in [("idle > 1h", "0 of 3"), ("not idle > 1h and state connected", "2 of 3")] {
            term.send(&format!("/\x15{filter}\r"));
            term.until(filter, |s| header(s, matching) && !s.contents().contains("left out"));
        }
        // The port of the listener is one that the kernel may choose, but the program chose it: the table alone cannot tell.
        for (filter, matching) in [("autobound and state listening", "0 of 3"), ("autobound", "2 of 3")] {
            term.send(&format!("/\x15{filter}\r"));
            term.until(filter, |s| header(s, &format!("filter {filter}")) && header(s, matching));
        }
        term.send("q");
        assert!(term.ended().success());
    });
}
