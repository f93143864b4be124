//! Faults of services on the near host.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::stage::Side;
use super::{Conduct, Fault, Part};
use crate::lab::{Doing, NEAR_V4, Opt, Result, connect, start_connect};

const MILLI: Duration = Duration::from_millis(1);

/// What peers do once they are connected.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Hold,
    HangUp,
    AskAndHangUp,
    /// Asks, and hangs up after the service has.
    HearOut,
    Reset,
}

/// Peers call `service` one after the other, `times` in all; the first `at_once` without a pause.
fn callers(
    f: &mut Fault,
    from: Vec<IpAddr>,
    service: SocketAddr,
    (at_once, times): (usize, usize),
    every: Duration,
    then: Then,
) -> Result<()> {
    let mut held: Vec<TcpStream> = Vec::new();
    let mut made = 0;
    let mut calls = from.into_iter().cycle();
    let mut call = move || {
        let Some(from) = calls.next().filter(|_| made < times) else { return Ok(false) };
        let opts: &[Opt] = if then == Then::Hold || then == Then::Reset { &[Opt::Linger(0)] } else { &[] };
        let stream = connect(Some(SocketAddr::new(from, 0)), service, opts)?;
        match then {
            Then::Hold => held.push(stream),
            Then::HangUp | Then::Reset => drop(stream),
            Then::AskAndHangUp => (&stream).write_all(b"GET / HTTP/1.0\r\n\r\n")?,
            Then::HearOut => {
                (&stream).write_all(b"GET / HTTP/1.0\r\n\r\n")?;
                (&stream).read_to_end(&mut Vec::new())?;
            }
        }
        made += 1;
        Ok(true)
    };
    f.lab.far().run(|| (0..at_once).try_for_each(|_| call().map(|_| ())))?.doing("calling a service")?;
    f.habit(Side::Far, every, call)
}

/// A server that reads the end of the stream and never closes.
pub(super) fn close_wait_read(f: &mut Fault) -> Result<()> {
    let service = f.serve("leaky-api", 8080, 128, Conduct::ReadAndForget)?;
    let from = f.peers_new(3)?;
    callers(f, from, service, (40, 400), 100 * MILLI, Then::AskAndHangUp)?;
    f.tell("leaky-api on port 8080 reads every request to its end and never closes; clients come and go, 10 a second, 400 at most");
    Ok(())
}

/// A server that does not look at its connections at all.
pub(super) fn close_wait_unread(f: &mut Fault) -> Result<()> {
    let service = f.serve("stuck-worker", 8080, 128, Conduct::Ignore)?;
    let from = f.peers_new(3)?;
    callers(f, from, service, (40, 400), 100 * MILLI, Then::HangUp)?;
    f.tell("stuck-worker on port 8080 accepts and never reads; clients give up and hang up, 10 a second, 400 at most");
    Ok(())
}

/// Clients gave up while they waited to be accepted.
pub(super) fn close_wait_unaccepted(f: &mut Fault) -> Result<()> {
    let service = f.serve("hung-server", 8080, 64, Conduct::NeverAccept)?;
    let from = f.peers_new(3)?;
    callers(f, from, service, (48, 48), MILLI, Then::HangUp)?;
    f.tell("hung-server on port 8080 does not accept; 48 clients hung up in its accept queue of 64");
    Ok(())
}

/// A server that ends its side of every connection and waits for the other for ever.
pub(super) fn fin_wait2_held(f: &mut Fault) -> Result<()> {
    let service = f.serve("half-closer", 8080, 128, Conduct::HalfClose)?;
    let from = f.peers_new(2)?;
    callers(f, from, service, (120, 400), 100 * MILLI, Then::Hold)?;
    f.tell("half-closer on port 8080 shuts down for writing and holds on; its clients never close either");
    Ok(())
}

/// A server that closes, and clients that never do: orphans until `tcp_fin_timeout`.
pub(super) fn fin_wait2_orphaned(f: &mut Fault) -> Result<()> {
    f.sysctl("net.ipv4.tcp_max_tw_buckets", "400")?;
    let service = f.serve("impatient-api", 8080, 128, Conduct::Close)?;
    let from = f.peers_new(2)?;
    callers(f, from, service, (360, 380), 150 * MILLI, Then::Hold)?;
    f.tell("impatient-api on port 8080 closes first, its clients never do: orphans for 60 s each, with room for 400 (tcp_max_tw_buckets)");
    Ok(())
}

/// More connections than `TIME_WAIT` has buckets for.
pub(super) fn time_wait_overflow(f: &mut Fault) -> Result<()> {
    f.sysctl("net.ipv4.tcp_max_tw_buckets", "50")?;
    let service = f.serve("http10-server", 8080, 128, Conduct::AnswerOnce)?;
    let from = f.peers_new(2)?;
    callers(f, from, service, (60, 100_000), 50 * MILLI, Then::HearOut)?;
    f.tell("http10-server on port 8080 closes first, 20 connections a second, with tcp_max_tw_buckets = 50");
    Ok(())
}

/// `TIME_WAIT` near its limit.
pub(super) fn time_wait_pileup(f: &mut Fault) -> Result<()> {
    f.sysctl("net.ipv4.tcp_max_tw_buckets", "500")?;
    let service = f.serve("http10-server", 8080, 128, Conduct::AnswerOnce)?;
    let from = f.peers_new(2)?;
    callers(f, from, service, (450, 450), MILLI, Then::HearOut)?;
    f.tell("http10-server on port 8080 closed 450 connections first, with tcp_max_tw_buckets = 500");
    Ok(())
}

/// The server hangs and its accept queue is full.
pub(super) fn accept_queue_hang(f: &mut Fault) -> Result<()> {
    let service = f.serve("hung-server", 8080, 16, Conduct::NeverAccept)?;
    queue_up(f, service, 40)?;
    f.tell("hung-server on port 8080 does not accept; 40 clients for an accept queue of 16");
    Ok(())
}

/// The server has no descriptors left, so it cannot accept.
pub(super) fn accept_queue_fds(f: &mut Fault) -> Result<()> {
    let at = SocketAddr::new(NEAR_V4.into(), 8080);
    let part = Part::Serve { at, backlog: 16, opts: vec![], conduct: Conduct::Ignore };
    f.cast_with("low-limits", Some(48), part)?;
    f.note_service(at);
    queue_up(f, at, 90)?;
    f.tell("low-limits on port 8080 may have 48 descriptors (RLIMIT_NOFILE); 90 clients want a connection");
    Ok(())
}

/// Clients connect and do not wait for it.
fn queue_up(f: &mut Fault, service: SocketAddr, count: usize) -> Result<()> {
    for from in f.peers_new(4)?.into_iter().cycle().take(count) {
        let from = Some(SocketAddr::new(from, 0));
        let call =
            f.lab.far().run(|| start_connect(from, service, &[Opt::Linger(0)]))?.doing("connecting")?;
        f.keep(call);
    }
    Ok(())
}

/// Nobody accepts, but the queue is far from full.
pub(super) fn listener_without_acceptor(f: &mut Fault) -> Result<()> {
    let service = f.serve("fork-holder", 8080, 128, Conduct::NeverAccept)?;
    let from = f.peers_new(2)?;
    callers(f, from, service, (20, 20), MILLI, Then::Hold)?;
    f.tell(
        "fork-holder has the listener on port 8080 and does not accept; 20 clients wait in a queue of 128",
    );
    Ok(())
}

/// A flood of SYNs from addresses that never answer.
fn syn_flood(f: &mut Fault, cookies: bool) -> Result<()> {
    f.sysctl("net.ipv4.tcp_syncookies", if cookies { "1" } else { "0" })?;
    let service = f.serve("web", 8080, 64, Conduct::Answer)?;
    let from = f.peers_new(150)?;
    f.cut_all()?;
    let mut calls: Vec<TcpStream> = Vec::new();
    let mut sources = from.into_iter().cycle();
    f.habit(Side::Far, 100 * MILLI, move || {
        for from in sources.by_ref().take(20) {
            calls.push(start_connect(Some(SocketAddr::new(from, 0)), service, &[Opt::Linger(0)])?);
        }
        let old = calls.len().saturating_sub(400);
        calls.drain(..old);
        Ok(true)
    })?;
    f.tell(format!(
        "200 SYNs a second to web on port 8080 (backlog 64) from 150 addresses that never answer; tcp_syncookies = {}",
        u8::from(cookies)
    ));
    Ok(())
}

pub(super) fn syn_flood_cookies(f: &mut Fault) -> Result<()> {
    syn_flood(f, true)
}

pub(super) fn syn_flood_no_cookies(f: &mut Fault) -> Result<()> {
    syn_flood(f, false)
}

/// Syncookies were sent while the accept queue filled up: clients that the server has never heard of.
pub(super) fn ghost_connection(f: &mut Fault) -> Result<()> {
    f.sysctl("net.ipv4.tcp_syncookies", "2")?;
    let service = f.serve("hung-server", 8080, 2, Conduct::NeverAccept)?;
    // A client with TCP_DEFER_ACCEPT delays its last ACK, as a long way would (tcp_rcv_synsent_state_process).
    let opts = vec![Opt::DeferAccept(1), Opt::Linger(0)];
    let (to, from) = (vec![service], Some(SocketAddr::new(NEAR_V4.into(), 0)));
    f.cast("client", Part::Call { to, from, times: 20, wait: false, opts, conduct: Conduct::Ignore })?;
    f.tell("20 clients of hung-server on the same host were answered with syncookies before its accept queue of 2 was full");
    Ok(())
}

/// A thousand idle connections that nobody probes.
pub(super) fn no_keepalive(f: &mut Fault) -> Result<()> {
    let service = f.serve("ftpd", 21, 1024, Conduct::Answer)?;
    let from = f.peers_new(100)?;
    callers(f, from, service, (1000, 1000), MILLI, Then::Hold)?;
    f.tell("1000 idle connections from 100 peers to ftpd on port 21, none with keepalive");
    Ok(())
}

/// One client of many opens connections and forgets them.
pub(super) fn one_leaking_client(f: &mut Fault) -> Result<()> {
    let service = f.serve("database", 5432, 1024, Conduct::Answer)?;
    let others = f.peers_new(30)?;
    callers(f, others, service, (90, 90), MILLI, Then::Hold)?;
    let leaking = f.peer()?;
    callers(f, vec![leaking], service, (250, 800), 200 * MILLI, Then::Hold)?;
    f.tell(format!("30 clients hold 3 connections each to database on port 5432; {leaking} holds 250 and opens 5 more a second, 800 at most"));
    Ok(())
}

/// A program that stopped reading what its peers send.
pub(super) fn stopped_reader(f: &mut Fault) -> Result<()> {
    let service = f.serve("slow-consumer", 9092, 128, Conduct::Ignore)?;
    for from in f.peers_new(4)?.into_iter().cycle().take(12) {
        let mut call = f.far_call(from, service)?;
        call.set_nonblocking(true).doing("sending")?;
        rustix::net::sockopt::set_socket_linger(&call, Some(Duration::ZERO)).doing("sending")?;
        // Bounded by the buffers of both ends.
        while call.write(&[b'.'; 16 << 10]).is_ok() {}
        f.keep(call);
    }
    f.tell("slow-consumer on port 9092 stopped reading; 12 producers have filled its receive buffers");
    Ok(())
}

/// Connections die while their program holds on to the descriptors.
pub(super) fn sockets_in_no_table(f: &mut Fault) -> Result<()> {
    let service = f.serve("fd-leaker", 8080, 128, Conduct::Ignore)?;
    let from = f.peers_new(2)?;
    // One that lives, so that the program has a socket in the table beside its listener.
    callers(f, from.clone(), service, (1, 1), MILLI, Then::Hold)?;
    callers(f, from, service, (60, 600), 100 * MILLI, Then::Reset)?;
    f.tell("fd-leaker on port 8080 keeps the descriptors of connections that its clients have reset, 10 a second, 600 at most");
    Ok(())
}

/// The last words of a program that crashed never arrive.
pub(super) fn last_ack_pileup(f: &mut Fault) -> Result<()> {
    let service = f.serve("crashed", 8080, 256, Conduct::Abandon)?;
    let mut calls = Vec::new();
    let from = f.peer()?;
    for _ in 0..160 {
        calls.push(f.far_call(from, service)?);
    }
    f.near_settles(service, 160)?;
    f.cut_all()?;
    for call in &calls {
        call.shutdown(Shutdown::Write).doing("hanging up")?;
    }
    f.crash_programs();
    for call in calls {
        f.keep(call);
    }
    f.tell("160 clients hung up and vanished, then their server crashed: nobody acknowledges its FINs");
    Ok(())
}

/// Calls to a port where nobody listens, in bursts.
pub(super) fn reset_storm(f: &mut Fault) -> Result<()> {
    let from = f.peers_new(4)?;
    let mut sources = from.into_iter().cycle();
    let mut tick = 0_u32;
    let closed = SocketAddr::new(NEAR_V4.into(), 8081);
    f.habit(Side::Far, 50 * MILLI, move || {
        tick += 1;
        // Three seconds of silence, three seconds of storm: a steady rate would be a health check.
        if tick % 120 >= 60 {
            for from in sources.by_ref().take(20) {
                // Refused is what it is for.
                let _ = connect(Some(SocketAddr::new(from, 0)), closed, &[]);
            }
        }
        Ok(true)
    })?;
    f.tell("every other three seconds 400 calls a second to port 8081, where nobody listens");
    Ok(())
}

/// A program makes its receive buffers small when its peers have already been promised more room.
pub(super) fn receive_drops(f: &mut Fault) -> Result<()> {
    cramped(f, "tiny-buffer", Conduct::CrampAndRead)?;
    f.tell("tiny-buffer on port 8080 reads what comes, and shrinks the receive buffer of every connection to the least");
    Ok(())
}

/// The same, by a program that does not read either: one fault, of which the drops are the proof.
pub(super) fn stopped_reader_drops(f: &mut Fault) -> Result<()> {
    cramped(f, "tiny-consumer", Conduct::Cramp)?;
    f.tell("tiny-consumer on port 8080 shrinks the receive buffer of every connection to the least, and does not read");
    Ok(())
}

/// A client that sends more than fits, over one connection after the other.
fn cramped(f: &mut Fault, name: &str, conduct: Conduct) -> Result<()> {
    let service = f.serve(name, 8080, 128, conduct)?;
    let from = f.peer()?;
    let mut calls: Vec<TcpStream> = Vec::new();
    f.habit(Side::Far, 200 * MILLI, move || {
        if let Some(call) = calls.last_mut() {
            // As much as the window has room for.
            let _ = call.write(&vec![b'.'; 48 << 10]);
        }
        let call = connect(Some(SocketAddr::new(from, 0)), service, &[Opt::Linger(0)])?;
        call.set_nonblocking(true)?;
        calls.push(call);
        Ok(calls.len() < 1000)
    })
}

/// Connections whose keepalive is slower than any middlebox is patient.
pub(super) fn keepalive_too_slow(f: &mut Fault) -> Result<()> {
    let at = SocketAddr::new(NEAR_V4.into(), 8080);
    let opts = vec![Opt::Keepalive { idle: 7200, interval: 75, count: 9 }];
    f.cast("chat", Part::Serve { at, backlog: 128, opts, conduct: Conduct::Answer })?;
    f.note_service(at);
    let from = f.peers_new(20)?;
    callers(f, from, at, (100, 100), MILLI, Then::Hold)?;
    f.tell("100 idle connections to chat on port 8080, with the keepalive of the defaults: 7200 s before the first probe");
    Ok(())
}
