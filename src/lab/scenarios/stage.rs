//! Where a scenario plays: the lab, its programs, and what keeps the fault going.

use std::any::Any;
use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::part::{Part, READY, Role, allow_descriptors};
use super::{ACTOR, Conduct};
use crate::lab::{Doing, Host, Lab, NEAR_V4, Opt, Result, Router, listen};
use crate::model::TcpState;
use crate::sys::netfilter::Netfilter;

/// A program of a scenario, running on the near host. It ends when this is dropped.
pub struct Program {
    /// Its name (`comm`).
    pub name: String,
    /// Its process id.
    pub pid: u32,
    child: Child,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, and only its record is taken.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name, self.pid)
    }
}

/// Something done again and again on a thread of its own, until this is dropped.
struct Habit {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Habit {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A habit that panicked has ended as well.
            let _ = thread.join();
        }
    }
}

/// Which of the two hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Near,
    Far,
}

/// What takes a change of the host back.
type Undo = Box<dyn FnOnce(&mut Lab) -> Result<()> + Send>;

/// A fault that is being made, and then held until this is dropped.
pub struct Fault {
    // In the order in which they have to go: first what acts, last the ground it stands on.
    habits: Vec<Habit>,
    programs: Vec<Program>,
    kept: Vec<Box<dyn Any + Send>>,
    undo: Vec<Undo>,
    made: Vec<String>,
    services: Vec<SocketAddr>,
    peers: Vec<IpAddr>,
    executable: PathBuf,
    router: Option<Router>,
    pub(super) lab: Lab,
}

impl Fault {
    /// An empty stage. `executable` is this program, which its own programs are made of.
    pub(super) fn new(executable: &Path) -> Result<Self> {
        // Thousands of sockets are on our side of the cable.
        allow_descriptors(None).doing("raising the limit of descriptors")?;
        Ok(Self {
            habits: Vec::new(),
            programs: Vec::new(),
            kept: Vec::new(),
            undo: Vec::new(),
            made: Vec::new(),
            services: Vec::new(),
            peers: Vec::new(),
            executable: executable.to_owned(),
            router: None,
            lab: Lab::new()?,
        })
    }

    /// The host that has the fault.
    #[must_use]
    pub const fn host(&self) -> &Host {
        self.lab.near()
    }

    /// The host of its peers.
    #[must_use]
    pub const fn peer_host(&self) -> &Host {
        self.lab.far()
    }

    /// The router between them, where there is one.
    #[must_use]
    pub const fn router_host(&self) -> Option<&Host> {
        match &self.router {
            Some(router) => Some(router.host()),
            None => None,
        }
    }

    /// What was made, line by line.
    #[must_use]
    pub fn made(&self) -> &[String] {
        &self.made
    }

    /// The programs on the host.
    #[must_use]
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The services on the host that its peers call, or on the peers that the host calls.
    #[must_use]
    pub fn services(&self) -> &[SocketAddr] {
        &self.services
    }

    /// The addresses of its peers.
    #[must_use]
    pub fn peers(&self) -> &[IpAddr] {
        &self.peers
    }

    /// Ends the fault and keeps the host: the programs die, the callers hang up, cables are healed, sysctls are as
    /// before.
    ///
    /// # Errors
    /// A cable could not be healed, a sysctl not be set.
    pub fn end(&mut self) -> Result<()> {
        self.habits.clear();
        for undo in std::mem::take(&mut self.undo) {
            undo(&mut self.lab)?;
        }
        self.router.as_mut().map_or(Ok(()), Router::heal)?;
        self.programs.clear();
        self.kept.clear();
        Ok(())
    }

    /// Ends the programs alone.
    pub(super) fn crash_programs(&mut self) {
        self.programs.clear();
    }

    /// Sets a sysctl of the near host; the end of the fault sets it back.
    pub(super) fn sysctl(&mut self, name: &'static str, value: &str) -> Result<()> {
        let before = self.lab.near().read_sysctl(name)?;
        self.lab.near().sysctl(name, value)?;
        self.undo.push(Box::new(move |lab| lab.near().sysctl(name, &before)));
        Ok(())
    }

    /// The end of the fault empties the connection tracking table.
    pub(super) fn forget_connections_after(&mut self) {
        self.undo.push(Box::new(|lab| {
            lab.near().run(|| Netfilter::open()?.forget_connections())?.doing("forgetting connections")
        }));
    }

    /// Notes an address that the fault is about.
    pub(super) fn note_service(&mut self, at: SocketAddr) {
        self.services.push(at);
    }

    /// Notes a peer that the fault is about.
    pub(super) fn note_peer(&mut self, addr: IpAddr) {
        self.peers.push(addr);
    }

    /// The router between the hosts, made at the first call; the end of the fault heals it.
    pub(super) fn router(&mut self) -> Result<&mut Router> {
        if self.router.is_none() {
            self.router = Some(self.lab.add_router()?);
        }
        self.router.as_mut().ok_or(io::ErrorKind::NotFound).doing("making a router")
    }

    /// Gives the far host an address that the near host has no way to.
    pub(super) fn far_alias(&mut self, addr: IpAddr) -> Result<()> {
        self.peers.push(addr);
        self.lab.far_alias(addr)
    }

    /// Makes the near host's interface take smaller frames, with the peers knowing nothing of it.
    pub(super) fn shrink_near_mtu(&mut self, mtu: u32) -> Result<()> {
        self.lab.set_near_mtu(mtu)?;
        self.undo.push(Box::new(|lab| lab.set_near_mtu(1500)));
        Ok(())
    }

    pub(super) fn tell(&mut self, line: impl Into<String>) {
        self.made.push(line.into());
    }

    pub(super) fn keep(&mut self, what: impl Send + 'static) {
        self.kept.push(Box::new(what));
    }

    /// A new peer.
    pub(super) fn peer(&mut self) -> Result<IpAddr> {
        let peer = self.lab.far_v4()?;
        self.peers.push(peer);
        Ok(peer)
    }

    /// New peers.
    pub(super) fn peers_new(&mut self, count: usize) -> Result<Vec<IpAddr>> {
        (0..count).map(|_| self.peer()).collect()
    }

    /// Starts a program on the near host.
    pub(super) fn cast(&mut self, name: &str, part: Part) -> Result<()> {
        self.cast_with(name, None, part)
    }

    /// The same with a limit of descriptors.
    pub(super) fn cast_with(&mut self, name: &str, descriptors: Option<u64>, part: Part) -> Result<()> {
        const STARTING: &str = "starting a program";
        let role = Role { name: name.into(), descriptors, part };
        let role = serde_json::to_string(&role).doing(STARTING)?;
        let mut command = Command::new(&self.executable);
        // Ctrl-C at the terminal is for the screen, not for the programs that it looks at.
        command.args([ACTOR, &role]).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = self.lab.near().run(|| command.spawn())?.doing(STARTING)?;
        let said = child.stdout.take();
        let program = Program { name: name.into(), pid: child.id(), child };
        let mut line = String::new();
        if let Some(said) = said {
            BufReader::new(said).read_line(&mut line).doing(STARTING)?;
        }
        if line.trim_end() != READY {
            return Err(io::Error::other(format!("{name} ended early"))).doing(STARTING);
        }
        self.programs.push(program);
        Ok(())
    }

    /// Starts a server on the near host.
    pub(super) fn serve(
        &mut self,
        name: &str,
        port: u16,
        backlog: i32,
        conduct: Conduct,
    ) -> Result<SocketAddr> {
        let at = SocketAddr::new(NEAR_V4.into(), port);
        self.services.push(at);
        self.cast(name, Part::Serve { at, backlog, opts: vec![], conduct })?;
        Ok(at)
    }

    /// A listener on the near host that nobody serves.
    pub(super) fn near_listener(&mut self, at: SocketAddr, backlog: i32) -> Result<()> {
        let listener = self.lab.near().run(|| listen(at, backlog, &[]))?.doing("listening")?;
        self.services.push(at);
        self.keep(listener);
        Ok(())
    }

    /// A listener at a peer. Its kernel makes connections and takes data by itself; nobody has to accept them.
    pub(super) fn far_service(&mut self, peer: IpAddr, port: u16, opts: &[Opt]) -> Result<SocketAddr> {
        let at = SocketAddr::new(peer, port);
        let listener = self.far_listener(at, opts)?;
        self.keep(listener);
        Ok(at)
    }

    /// The same, for somebody who accepts.
    pub(super) fn far_listener(&mut self, at: SocketAddr, opts: &[Opt]) -> Result<TcpListener> {
        self.services.push(at);
        self.lab.far().run(|| listen(at, 4096, opts))?.doing("listening")
    }

    /// Waits until so many connections of a near service are open.
    pub(super) fn near_settles(&self, service: SocketAddr, count: usize) -> Result<()> {
        self.lab.near().wait_until("waiting for connections", |rows| {
            rows.iter().filter(|r| r.local == service && r.state == TcpState::Established).count() == count
        })
    }

    /// Makes a connection from a peer to the near host.
    pub(super) fn far_call(&self, from: IpAddr, to: SocketAddr) -> Result<TcpStream> {
        self.lab.call_in(from, to)
    }

    /// Does `act` every `every` on one of the hosts, until it says that it is done or cannot go on.
    pub(super) fn habit(
        &mut self,
        side: Side,
        every: Duration,
        mut act: impl FnMut() -> io::Result<bool> + Send + 'static,
    ) -> Result<()> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let host = match side {
            Side::Near => self.lab.near(),
            Side::Far => self.lab.far(),
        };
        let run = move || {
            while !stopped.load(Ordering::Relaxed) && act().unwrap_or(false) {
                thread::park_timeout(every);
            }
            // What it holds stays held until the fault ends.
            while !stopped.load(Ordering::Relaxed) {
                thread::park();
            }
        };
        // A thread is born in the namespace of the one that starts it.
        let thread = host
            .run(|| thread::Builder::new().name("habit".into()).spawn(run))?
            .doing("starting a thread")?;
        self.habits.push(Habit { stop, thread: Some(thread) });
        Ok(())
    }

    /// Cuts the cable towards all peers; the end of the fault heals it.
    pub(super) fn cut_all(&mut self) -> Result<()> {
        let peers = self.peers.clone();
        for peer in &peers {
            self.lab.cut(*peer)?;
        }
        self.undo.push(Box::new(move |lab| peers.iter().try_for_each(|peer| lab.heal(*peer))));
        Ok(())
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("made", &self.made)
            .field("programs", &self.programs)
            .finish_non_exhaustive()
    }
}
