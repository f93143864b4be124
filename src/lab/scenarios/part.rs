//! The programs of a scenario: processes of their own, with a name, that do one thing wrong.
//!
//! A program is this executable again, started inside the near host with its [`Role`] as an argument. It lives until the
//! pipe to its standard input closes, which happens when the lab ends, however it ends.

use std::ffi::CString;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::lab::{Opt, connect, listen, start_connect};

/// What a program says when its work is set up.
pub const READY: &str = "ready";

/// How often a program that has something to do by itself does it.
const TICK: Duration = Duration::from_millis(50);

/// An answer that fills two packets on any ordinary way, and begins a third.
const PAGE: usize = 4000;

/// A program: its name and what it does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Role {
    /// Its `comm`, at most 15 bytes.
    pub name: String,
    /// `RLIMIT_NOFILE`; as many as there may be if not given.
    pub descriptors: Option<u64>,
    /// Its work.
    pub part: Part,
}

/// What a program does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Part {
    /// Listens, and treats every connection the same way.
    Serve {
        /// Where.
        at: SocketAddr,
        /// The number for `listen()`.
        backlog: i32,
        /// Options of the listener, most of which connections inherit.
        opts: Vec<Opt>,
        /// What becomes of a connection.
        conduct: Conduct,
    },
    /// Makes connections and treats them all the same way.
    Call {
        /// Whom, in turn.
        to: Vec<SocketAddr>,
        /// From which address; with a port, from that port on upwards.
        from: Option<SocketAddr>,
        /// How many connections; fewer when the ports run out.
        times: u32,
        /// Whether to wait for each connection to be made.
        wait: bool,
        /// Options of the sockets.
        opts: Vec<Opt>,
        /// What becomes of a connection.
        conduct: Conduct,
    },
    /// Binds a UDP socket and never reads from it.
    Deaf {
        /// Where.
        at: SocketAddr,
        /// `SO_RCVBUF`, bytes.
        buffer: usize,
    },
}

/// What a program does with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Conduct {
    /// Does not even accept it.
    NeverAccept,
    /// Holds it and never looks again.
    Ignore,
    /// The same, and leaves it to the kernel to say goodbye when the program dies.
    Abandon,
    /// The same, after taking back most of its receive buffer.
    Cramp,
    /// Reads whatever comes, after taking back most of its receive buffer.
    CrampAndRead,
    /// Reads to the end and never closes.
    ReadAndForget,
    /// Sends back what comes and closes at the end.
    Answer,
    /// Sends back what comes first, and closes.
    AnswerOnce,
    /// Answers whatever comes with a page, and goes on.
    Deliver,
    /// Closes at once.
    Close,
    /// Closes for writing and holds it.
    HalfClose,
    /// Writes as much as there is room for.
    Pour,
    /// Writes a few bytes all the time.
    Trickle,
}

/// Runs a program until its standard input closes.
///
/// # Errors
/// It could not begin: what the sockets said.
pub fn play(role: &str) -> io::Result<()> {
    let role: Role = serde_json::from_str(role)?;
    rustix::thread::set_name(&CString::new(role.name)?)?;
    thread::Builder::new().name("life line".into()).spawn(|| {
        // Whatever ends the pipe ends the program.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    })?;
    allow_descriptors(role.descriptors)?;
    match role.part {
        Part::Serve { at, backlog, opts, conduct } => {
            let listener = listen(at, backlog, &opts)?;
            Attendance { listener: Some(listener), connections: Vec::new(), conduct }.go_on()
        }
        Part::Call { to, from, times, wait, opts, conduct } => {
            let mut attendance = Attendance { listener: None, connections: Vec::new(), conduct };
            for (n, to) in (0..times).zip(to.iter().cycle()) {
                let from = from.map(|a| SocketAddr::new(a.ip(), if a.port() == 0 { 0 } else { port(a, n) }));
                let made = if wait { connect(from, *to, &opts) } else { start_connect(from, *to, &opts) };
                match made {
                    Ok(stream) => attendance.take(stream)?,
                    // What a client sees when its ports are used up: it is part of the scenario.
                    Err(e) if e.kind() == io::ErrorKind::AddrNotAvailable => break,
                    Err(e) => return Err(e),
                }
            }
            attendance.go_on()
        }
        Part::Deaf { at, buffer } => {
            let socket = UdpSocket::bind(at)?;
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, buffer)?;
            say_ready()?;
            loop {
                thread::park();
            }
        }
    }
}

fn port(first: SocketAddr, n: u32) -> u16 {
    first.port().saturating_add(u16::try_from(n).unwrap_or(u16::MAX))
}

/// Sets the limit of descriptors; the highest that this process may have if none is given.
pub(super) fn allow_descriptors(wanted: Option<u64>) -> io::Result<()> {
    let now = getrlimit(Resource::Nofile);
    let limit = match wanted {
        Some(n) => Rlimit { current: Some(n), maximum: Some(n) },
        None => Rlimit { current: now.maximum, maximum: now.maximum },
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}

fn say_ready() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{READY}")?;
    out.flush()
}

/// A connection, and whether there is still something to learn from reading it.
struct Connection {
    stream: TcpStream,
    watched: bool,
}

/// A listener and connections that are all treated alike.
struct Attendance {
    listener: Option<TcpListener>,
    connections: Vec<Connection>,
    conduct: Conduct,
}

impl Attendance {
    fn take(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        match self.conduct {
            Conduct::Close => return Ok(()),
            Conduct::Cramp | Conduct::CrampAndRead => {
                rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 1)?;
            }
            Conduct::HalfClose => stream.shutdown(std::net::Shutdown::Write)?,
            _ => {}
        }
        if !matches!(self.conduct, Conduct::Abandon | Conduct::Answer | Conduct::AnswerOnce) {
            // When the program ends nothing shall be left that still wants to say goodbye.
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        }
        let watched = matches!(
            self.conduct,
            Conduct::ReadAndForget
                | Conduct::CrampAndRead
                | Conduct::Answer
                | Conduct::AnswerOnce
                | Conduct::Deliver
        );
        self.connections.push(Connection { stream, watched });
        Ok(())
    }

    fn go_on(mut self) -> io::Result<()> {
        say_ready()?;
        let mut next = Instant::now();
        loop {
            self.wait()?;
            self.accept()?;
            self.read();
            if Instant::now() >= next {
                self.write();
                next = Instant::now() + TICK;
            }
        }
    }

    /// Waits until there is something to do, a tick at most.
    fn wait(&self) -> io::Result<()> {
        let mut fds: Vec<PollFd<'_>> = Vec::new();
        let accepts = self.conduct != Conduct::NeverAccept;
        fds.extend(
            self.listener
                .iter()
                .filter(|_| accepts)
                .map(|l| PollFd::from_borrowed_fd(l.as_fd(), PollFlags::IN)),
        );
        let watched = self.connections.iter().filter(|c| c.watched);
        fds.extend(watched.map(|c| PollFd::from_borrowed_fd(c.stream.as_fd(), PollFlags::IN)));
        let tick = Timespec::try_from(TICK).map_err(io::Error::other)?;
        poll(&mut fds, Some(&tick))?;
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        if self.conduct == Conduct::NeverAccept {
            return Ok(());
        }
        loop {
            let Some(listener) = &self.listener else { return Ok(()) };
            match listener.accept() {
                Ok((stream, _)) => self.take(stream)?,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => {
                    // No descriptor is left (EMFILE): like many a server it tries again for ever.
                    thread::sleep(TICK);
                    return Ok(());
                }
            }
        }
    }

    fn read(&mut self) {
        let once = self.conduct == Conduct::AnswerOnce;
        let answers = once || self.conduct == Conduct::Answer;
        let delivers = self.conduct == Conduct::Deliver;
        let mut buffer = [0; 16 << 10];
        self.connections.retain_mut(|c| {
            if !c.watched {
                return true;
            }
            loop {
                match c.stream.read(&mut buffer) {
                    Ok(0) => {
                        c.watched = false;
                        return !answers;
                    }
                    Ok(n) if answers => {
                        // Whoever does not take its answer loses it.
                        let _ = buffer.get(..n).map(|b| c.stream.write(b));
                        if once {
                            return false;
                        }
                    }
                    Ok(_) if delivers => {
                        let _ = c.stream.write(&[b'.'; PAGE]);
                    }
                    Ok(_) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return true,
                    Err(_) => return !answers,
                }
            }
        });
    }

    fn write(&mut self) {
        let (bytes, most) = match self.conduct {
            Conduct::Pour => (&[b'.'; 16 << 10][..], 1024),
            Conduct::Trickle => (&b"tick\n"[..], 1),
            _ => return,
        };
        for c in &mut self.connections {
            for _ in 0..most {
                if c.stream.write(bytes).is_err() {
                    break;
                }
            }
        }
    }
}
