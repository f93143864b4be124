//! Many real connections in a namespace of the benchmark's own.
//!
//! The descriptor limit of one process is lower than the number of sockets wanted, so worker processes hold them: this
//! same program, started again inside the namespace with [`ROLE`] in its environment.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tcptop::lab::Host;

const ROLE: &str = "TCPTOP_BENCH_WORKER";
/// Connections a worker; each is two sockets.
const PER_WORKER: usize = 9_000;

/// A namespace with many established connections over loopback. Ends with this value.
pub struct Crowd {
    /// The namespace.
    pub host: Host,
    workers: Vec<Child>,
}

/// What a started worker does instead of the benchmark: opens connections, says so, holds them until its input ends.
/// Returns whether this process was one.
pub fn worked() -> bool {
    let Ok(role) = std::env::var(ROLE) else { return false };
    let (number, connections) = role.split_once(':').unwrap();
    let number: u8 = number.parse().unwrap();
    let connections: usize = connections.parse().unwrap();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum },
    )
    .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 1, number + 1), 5000)).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut held = Vec::with_capacity(connections * 2);
    for _ in 0..connections {
        held.push(TcpStream::connect(addr).unwrap());
        held.push(listener.accept().unwrap().0);
    }
    std::io::stdout().write_all(b"ready\n").unwrap();
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    true
}

impl Crowd {
    /// Opens about `sockets` sockets.
    pub fn new(sockets: usize) -> Self {
        let host = Host::new().unwrap();
        let mut left = sockets / 2;
        let mut workers = Vec::new();
        while left > 0 {
            let connections = left.min(PER_WORKER);
            left -= connections;
            let number = workers.len();
            let child = host.run(|| {
                Command::new(std::env::current_exe().unwrap())
                    .env(ROLE, format!("{number}:{connections}"))
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap()
            });
            workers.push(child.unwrap());
        }
        for worker in &mut workers {
            let mut said = [0; 6];
            worker.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        }
        Self { host, workers }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            drop(worker.stdin.take());
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}
