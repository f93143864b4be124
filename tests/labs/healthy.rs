//! No false findings: what is busy, idle, half-closed or bursting and healthy stays below warning for the whole observation.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tcptop::lab::scenarios::{ACTOR, Conduct, Part, Role};
use tcptop::lab::{Host, Lab, NEAR_V4, Opt, accept, connect, listen, start_connect};

use crate::harness::{lab, labs_are_required};
use crate::scenarios::{check, is_serious};

/// How long each is observed by itself.
const SECONDS: u32 = 8;
/// How long they are observed side by side where labs are required: growth, `TIME_WAIT`, keepalive and what is old after a
/// minute take as long as that.
const LONG: u32 = 75;
const SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(NEAR_V4), 8080);
const MILLI: Duration = Duration::from_millis(1);

/// A program on the near host; it ends with this.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn program(host: &Host, name: &str, part: Part) -> Program {
    let role = serde_json::to_string(&Role { name: name.into(), descriptors: None, part }).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcptop"));
    command.args([ACTOR, &role]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = host.run(|| command.spawn()).unwrap().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "ready");
    Program(child)
}

fn server(lab: &Lab, conduct: Conduct, opts: Vec<Opt>) -> Program {
    program(lab.near(), "server", Part::Serve { at: SERVICE, backlog: 128, opts, conduct })
}

/// A peer who does something again and again until this is dropped. It fails the test when it could not.
struct Peer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<u32>>>,
}

impl Peer {
    fn new(lab: &Lab, every: Duration, mut act: impl FnMut() -> io::Result<()> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            let mut times = 0;
            while !stopped.load(Ordering::Relaxed) {
                act()?;
                times += 1;
                thread::sleep(every);
            }
            Ok(times)
        };
        // A thread is born in the namespace of the one that starts it.
        let thread = lab.far().run(|| thread::spawn(run)).unwrap();
        Self { stop, thread: Some(thread) }
    }

    /// How often it was done.
    fn end(mut self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap().unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn call(from: IpAddr, opts: &[Opt]) -> io::Result<TcpStream> {
    connect(Some(SocketAddr::new(from, 0)), SERVICE, opts)
}

fn calls(lab: &Lab, from: &[IpAddr], count: usize) -> Vec<TcpStream> {
    let all = || from.iter().cycle().take(count).map(|a| call(*a, &[Opt::Linger(0)]).unwrap()).collect();
    lab.far().run(all).unwrap()
}

fn peers(lab: &mut Lab, count: usize) -> Vec<IpAddr> {
    (0..count).map(|_| lab.far_v4().unwrap()).collect()
}

fn ask(mut stream: &TcpStream) -> io::Result<()> {
    stream.write_all(b"question")?;
    stream.read_exact(&mut [0; 8])
}

/// Observes the near host.
fn assert_healthy(lab: &Lab, seconds: u32) {
    let mut found = check(lab.near(), seconds, &[]);
    found.retain(is_serious);
    assert!(found.is_empty(), "nothing is wrong here: {found:#?}");
}

fn a_busy_server_with_thousands_of_time_wait(seconds: u32) {
    let mut lab = Lab::new().unwrap();
    let from = lab.far_v4().unwrap();
    let server = server(&lab, Conduct::AnswerOnce, vec![]);
    let visit = move || {
        let mut stream = call(from, &[])?;
        stream.write_all(b"question")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    };
    // A few hundred first, so that the observation begins in the middle of it.
    lab.far().run(|| (0..1500).try_for_each(|_| visit())).unwrap().unwrap();
    let clients = [4 * MILLI, 4 * MILLI, 8 * MILLI].map(|every| Peer::new(&lab, every, visit));
    assert_healthy(&lab, seconds);
    let visits: u32 = clients.into_iter().map(Peer::end).sum();
    assert!(visits > 1000, "{visits} are no busy server");
    drop(server);
}

fn a_proxy(seconds: u32) {
    let mut lab = Lab::new().unwrap();
    let (balancer, others, backend) = (peers(&mut lab, 1), peers(&mut lab, 20), lab.far_v4().unwrap());
    let behind = SocketAddr::new(backend, 9000);
    let listener = lab.far().run(|| listen(behind, 1024, &[])).unwrap().unwrap();
    let server = server(&lab, Conduct::Answer, vec![]);
    let part = Part::Call {
        to: vec![behind],
        from: None,
        times: 150,
        wait: true,
        opts: vec![],
        conduct: Conduct::Trickle,
    };
    let proxy = program(lab.near(), "proxy", part);
    let upstream: Vec<_> = (0..150).map(|_| accept(&listener).unwrap()).collect();
    let drain = move || upstream.iter().try_for_each(|mut stream| stream.read(&mut [0; 4096]).map(drop));
    let mut open = calls(&lab, &balancer, 300);
    open.extend(calls(&lab, &others, 40));
    let talk = move || open.iter().try_for_each(ask);
    let work = [Peer::new(&lab, 10 * MILLI, drain), Peer::new(&lab, 100 * MILLI, talk)];
    assert_healthy(&lab, seconds);
    assert!(work.into_iter().map(Peer::end).all(|rounds| rounds > 5));
    drop((server, proxy));
}

fn idle_connections_with_keepalive(seconds: u32) {
    let mut lab = Lab::new().unwrap();
    let from = peers(&mut lab, 50);
    let server = server(&lab, Conduct::Answer, vec![Opt::Keepalive { idle: 60, interval: 15, count: 4 }]);
    let open = calls(&lab, &from, 400);
    assert_healthy(&lab, seconds);
    drop((server, open));
}

fn half_closed_tunnels_that_are_still_served(seconds: u32) {
    let mut lab = Lab::new().unwrap();
    let from = peers(&mut lab, 3);
    let server = server(&lab, Conduct::Trickle, vec![]);
    let mut tunnels = calls(&lab, &from, 40);
    for tunnel in &tunnels {
        tunnel.shutdown(Shutdown::Write).unwrap();
    }
    let mut round = 0;
    let serve = move || {
        round += 1;
        if round % 20 == 0 {
            // And they become more.
            let more = call(from[0], &[Opt::Linger(0)])?;
            more.shutdown(Shutdown::Write)?;
            tunnels.push(more);
        }
        tunnels.iter().try_for_each(|mut t| t.read(&mut [0; 4096]).map(drop))
    };
    let users = Peer::new(&lab, 20 * MILLI, serve);
    assert_healthy(&lab, seconds);
    assert!(users.end() > 20);
    drop(server);
}

fn health_checks(seconds: u32) {
    let mut lab = Lab::new().unwrap();
    let from = peers(&mut lab, 2);
    let server = server(&lab, Conduct::AnswerOnce, vec![]);
    let (http, tcp) = (from[0], from[1]);
    let by_http = move || {
        let mut stream = call(http, &[])?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    };
    // As load balancers do: connected is healthy, and a reset is cheaper than a goodbye.
    let by_tcp = move || call(tcp, &[Opt::Linger(0)]).map(drop);
    let checks = [Peer::new(&lab, 1000 * MILLI, by_http), Peer::new(&lab, 30 * MILLI, by_tcp)];
    assert_healthy(&lab, seconds);
    assert!(checks.into_iter().map(Peer::end).all(|times| times > 3));
    drop(server);
}

fn a_database_pool_with_turnover(seconds: u32) {
    let mut lab = Lab::new().unwrap();
    let database = SocketAddr::new(lab.far_v4().unwrap(), 5432);
    let listener = lab.far().run(|| listen(database, 1024, &[])).unwrap().unwrap();
    let opts = vec![Opt::Keepalive { idle: 60, interval: 10, count: 6 }];
    let part =
        Part::Call { to: vec![database], from: None, times: 60, wait: true, opts, conduct: Conduct::Answer };
    let pool = program(lab.near(), "pool", part);
    let mut sessions: Vec<_> = (0..60).map(|_| accept(&listener).unwrap()).collect();
    let mut round = 0;
    let serve = move || {
        round += 1;
        if round % 5 == 0 && sessions.len() > 20 {
            // The database ends a session; the pool notices and closes its side.
            drop(sessions.pop());
        }
        sessions.iter().try_for_each(ask)
    };
    let database = Peer::new(&lab, 100 * MILLI, serve);
    assert_healthy(&lab, seconds);
    assert!(database.end() > 5);
    drop(pool);
}

fn a_burst_that_ends(seconds: u32) {
    let mut lab = Lab::new().unwrap();
    let from = peers(&mut lab, 10);
    let server = server(&lab, Conduct::Answer, vec![]);
    let mut round = 0;
    let mut open = Vec::new();
    let burst = move || {
        round += 1;
        match round % 40 {
            10 => {
                // In waves that fit into half of the queue, however slow the machine is at the moment.
                for _ in 0..6 {
                    for addr in from.iter().cycle().take(60) {
                        open.push(call(*addr, &[])?);
                    }
                    open.iter().try_for_each(ask)?;
                }
                Ok(())
            }
            30 => {
                open.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    };
    let clients = Peer::new(&lab, 100 * MILLI, burst);
    assert_healthy(&lab, seconds);
    assert!(clients.end() > 10);
    drop(server);
}

fn one_burst_that_did_not_fit_into_the_queue(seconds: u32) {
    let mut lab = Lab::new().unwrap();
    let from = lab.far_v4().unwrap();
    let server = server(&lab, Conduct::Answer, vec![]);
    let pid = Pid::from_child(&server.0);
    // Late enough to be remembered at the end.
    let when = (seconds - 6) * 10;
    let mut round = 0;
    let mut open = Vec::new();
    let burst = move || {
        round += 1;
        if round == when {
            // While the server is away for a moment: 51 find no room and come back a second later.
            kill_process(pid, Signal::STOP)?;
            for _ in 0..180 {
                open.push(start_connect(Some(SocketAddr::new(from, 0)), SERVICE, &[Opt::Linger(0)])?);
            }
            kill_process(pid, Signal::CONT)?;
        }
        Ok(())
    };
    let clients = Peer::new(&lab, 100 * MILLI, burst);
    let found = check(lab.near(), seconds, &[]);
    assert!(clients.end() > 20);
    assert!(found.iter().any(|f| f["rule"] == "accept-queue-full"), "the burst was to be seen: {found:#?}");
    assert!(!found.iter().any(is_serious), "and it is over: {found:#?}");
    drop(server);
}

macro_rules! healthy {
    ($($name:ident)*) => {
        /// Each by itself.
        mod each {
            $(
                #[test]
                fn $name() {
                    crate::harness::lab(|| super::$name(super::SECONDS));
                }
            )*
        }

        const ALL: &[(&str, fn(u32))] = &[$((stringify!($name), $name)),*];
    };
}

healthy! {
    a_busy_server_with_thousands_of_time_wait
    a_proxy
    idle_connections_with_keepalive
    half_closed_tunnels_that_are_still_served
    health_checks
    a_database_pool_with_turnover
    a_burst_that_ends
    one_burst_that_did_not_fit_into_the_queue
}

#[test]
fn all_of_them_for_longer_than_a_minute() {
    lab(|| {
        let seconds = if labs_are_required() { LONG } else { SECONDS };
        thread::scope(|scope| {
            for (name, run) in ALL {
                let world = thread::Builder::new().name((*name).to_owned());
                world.spawn_scoped(scope, move || run(seconds)).unwrap();
            }
        });
    });
}
