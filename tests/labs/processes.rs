//! Who holds a socket, when that is not simple: right, or unknown with the reason.

use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde_json::{Value, json};
use tcptop::engine::Looker;
use tcptop::lab::Host;
use tcptop::source::{Live, LiveOptions};

use crate::harness::{lab, skip, wait_for};
use crate::observer::{NOBODY, program_for_everyone};
use crate::tool::{self, Listed};

/// Tells a child that is this same program what to do.
const ROLE: &str = "TCPTOP_LAB_HOLDER";

/// A child that ends with the test.
pub struct Holder(pub Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program whose standard input is the socket, so that it holds it without further ado.
pub fn hold(host: &Host, command: &mut Command, socket: &impl AsFd) -> Holder {
    let socket: OwnedFd = socket.as_fd().try_clone_to_owned().unwrap();
    command.stdin(Stdio::from(socket)).stdout(Stdio::null()).stderr(Stdio::null());
    let child = host.run(|| command.spawn()).unwrap().unwrap();
    // The command would go on holding the socket.
    command.stdin(Stdio::null());
    Holder(child)
}

pub fn sleep() -> Command {
    let mut command = Command::new("sleep");
    command.arg("60");
    command
}

/// This test program in a role of [`holder`].
fn actor(role: &str) -> Command {
    actor_at(&env::current_exe().unwrap(), role)
}

/// The same, copied to where every user may run it.
pub fn actor_at(program: &Path, role: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["processes::holder", "--exact", "--nocapture"]).env(ROLE, role);
    command
}

/// What children do instead of a test.
#[test]
fn holder() {
    let Ok(role) = env::var(ROLE) else { return };
    match role.as_str() {
        "protected" => {
            rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).unwrap();
        }
        "thread" => return in_a_thread_of_its_own(),
        other => panic!("no role {other}"),
    }
    let _ = std::io::stdin().read(&mut [0]);
}

/// Moves the socket into the descriptor table of one thread and closes it in that of all others.
#[expect(unsafe_code, reason = "leaving the shared descriptor table is the point")]
fn in_a_thread_of_its_own() {
    let (ready, go) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        // SAFETY: this thread uses no descriptor that another one opens or closes from here on.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FILES) }.unwrap();
        ready.send(()).unwrap();
        let _ = std::io::stdin().read(&mut [0]);
    });
    go.recv().unwrap();
    // SAFETY: nobody in this process reads standard input through the shared table afterwards.
    drop(unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(0) });
    thread.join().unwrap();
}

pub fn cookie(socket: &impl AsFd) -> u64 {
    rustix::net::sockopt::socket_cookie(socket).unwrap()
}

fn listener(host: &Host) -> TcpListener {
    host.run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap().unwrap()
}

/// Both ends of a connection.
pub fn connection(host: &Host) -> (TcpStream, TcpStream) {
    let listener = listener(host);
    let near = host.run(|| TcpStream::connect(listener.local_addr().unwrap())).unwrap().unwrap();
    (near, listener.accept().unwrap().0)
}

/// The processes that hold a socket as (pid, comm); `None` where that is unknown.
fn holders(listed: &Listed, cookie: u64) -> Option<Vec<(u32, String)>> {
    let of = |p: &Value| {
        (u32::try_from(p["pid"].as_u64().unwrap()).unwrap(), p["comm"].as_str().unwrap().to_owned())
    };
    Some(listed.rows[&cookie]["processes"].as_array()?.iter().map(of).collect())
}

fn wait_for_holders(host: &Host, cookie: u64, wanted: impl Fn(&[(u32, String)]) -> bool) {
    wait_for("holders", || {
        let held = holders(&tool::list(host, &[]), cookie);
        if held.as_deref().is_some_and(&wanted) { Ok(()) } else { Err(format!("{held:?}")) }
    });
}

#[test]
fn a_prefork_server_has_several_owners() {
    lab(|| {
        let host = Host::new().unwrap();
        let listener = listener(&host);
        let id = cookie(&listener);
        let workers: Vec<_> = (0..3).map(|_| hold(&host, &mut sleep(), &listener)).collect();
        let mut pids: Vec<_> = workers.iter().map(|w| (w.0.id(), "sleep".to_owned())).collect();
        pids.sort_unstable();
        let ours = std::process::id();
        wait_for_holders(&host, id, |held| held.len() == 4 && held.iter().any(|(pid, _)| *pid == ours));
        // Closed by who opened it, it lives on where it was inherited.
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        wait_for_holders(&host, id, |held| held == pids);
        let text = tool::list_text(&host, &["--text", "--columns", "local,process"]);
        let (first, _) = &pids[0];
        assert!(text.contains(&format!("127.0.0.1:{port}  sleep[{first}]+2")), "{text}");
        // A report does not wait for the processes on a busy machine: then it says null.
        wait_for("the listener's processes", || {
            let held = &tool::report(&host, &[])["listeners"][0]["processes"];
            if held.as_array().is_some_and(|p| p.len() == 3) { Ok(()) } else { Err(held.to_string()) }
        });
    });
}

/// A program that starts another one in its place and forgot to close: the socket is that one's now.
#[test]
fn a_socket_that_was_kept_over_an_exec_belongs_to_what_the_process_has_become() {
    lab(|| {
        let host = Host::new().unwrap();
        let (near, mut far) = connection(&host);
        let inode = u32::try_from(rustix::fs::fstat(&near).unwrap().st_ino).unwrap();
        let child = hold(&host, Command::new("sh").args(["-c", "read line; exec sleep 60"]), &near);
        drop(near);
        let pid = child.0.id();
        host.run(|| {
            let mut looker = Looker::new(Live::open(LiveOptions::default())).with_owners(None);
            let mut is_held_by = |name: &str| {
                wait_for(name, || {
                    let look = looker.look().unwrap();
                    let owners = look.world.owners().unwrap();
                    let held = owners.holders(inode).iter().filter_map(|h| owners.process(*h));
                    let held: Vec<_> = held.map(|p| (p.pid, p.comm.raw().to_owned())).collect();
                    if held == [(pid, name.to_owned())] { Ok(()) } else { Err(format!("{held:?}")) }
                });
            };
            is_held_by("sh");
            std::io::Write::write_all(&mut far, b"\n").unwrap();
            is_held_by("sleep");
        })
        .unwrap();
    });
}

#[test]
fn a_socket_in_flight_belongs_to_no_process() {
    lab(|| {
        let host = Host::new().unwrap();
        let (near, _far) = connection(&host);
        let id = cookie(&near);
        let (here, there) = UnixStream::pair().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        let fds = [near.as_fd()];
        assert!(rights.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&here, &[IoSlice::new(b"x")], &mut rights, SendFlags::empty()).unwrap();
        drop(near);
        wait_for("socket in flight", || {
            let listed = tool::list(&host, &[]);
            match &listed.rows[&id]["processes"] {
                Value::Array(held) if held.is_empty() => Ok(()),
                Value::Null if says_why(&listed) => Ok(()),
                other => Err(other.to_string()),
            }
        });
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        recvmsg(&there, &mut [IoSliceMut::new(&mut [0])], &mut rights, RecvFlags::CMSG_CLOEXEC).unwrap();
        let arrived: Vec<OwnedFd> = rights
            .drain()
            .flat_map(|m| match m {
                RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
                _ => Vec::new(),
            })
            .collect();
        assert_eq!(arrived.len(), 1);
        wait_for_holders(&host, id, |held| held.iter().map(|h| h.0).eq([std::process::id()]));
    });
}

/// Whether the list says that processes could not be looked into.
fn says_why(listed: &Listed) -> bool {
    let gaps = listed.head.get("gaps").and_then(Value::as_array);
    gaps.is_some_and(|gaps| gaps.iter().any(|g| g.as_str().is_some_and(|g| g.starts_with("processes: "))))
}

#[test]
fn a_thread_with_descriptors_of_its_own_is_looked_into() {
    lab(|| {
        let host = Host::new().unwrap();
        let (near, _far) = connection(&host);
        let id = cookie(&near);
        let child = hold(&host, &mut actor("thread"), &near);
        drop(near);
        let pid = child.0.id();
        // The main thread has closed it: only the directory of the other one still has it.
        wait_for("move into the thread", || {
            let main = fs::read_link(format!("/proc/{pid}/fd/0"))
                .is_ok_and(|t| t.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
            if main { Err("still in the main thread".into()) } else { Ok(()) }
        });
        wait_for_holders(&host, id, |held| held.iter().map(|h| h.0).eq([pid]));
    });
}

#[test]
fn processes_of_other_namespaces_are_found() {
    lab(|| {
        let host = Host::new().unwrap();
        // A PID namespace, a user namespace, a mount namespace.
        for flags in [&["--pid", "--fork", "--kill-child"][..], &["--user", "--map-root-user"], &["--mount"]]
        {
            let works = Command::new("unshare").args(flags).arg("true").status().is_ok_and(|s| s.success());
            if !works {
                skip(
                    "processes::processes_of_other_namespaces_are_found",
                    &format!("unshare {flags:?} fails"),
                );
                continue;
            }
            let (near, _far) = connection(&host);
            let id = cookie(&near);
            let _child = hold(&host, Command::new("unshare").args(flags).args(["sleep", "60"]), &near);
            drop(near);
            wait_for_holders(&host, id, |held| held.iter().any(|(_, comm)| comm == "sleep"));
        }
    });
}

#[test]
fn inside_a_pid_namespace_what_is_outside_is_unknown() {
    lab(|| {
        let host = Host::new().unwrap();
        let (near, _far) = connection(&host);
        let mut inside = Command::new("unshare");
        inside.args(["--pid", "--fork", "--mount-proc", env!("CARGO_BIN_EXE_tcptop"), "list", "--json"]);
        let output = host.run(|| inside.output()).unwrap().unwrap();
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return skip("processes::inside_a_pid_namespace_what_is_outside_is_unknown", &why);
        }
        let listed = Listed::new(serde_json::from_slice(&output.stdout).unwrap());
        assert_eq!(listed.rows[&cookie(&near)]["processes"], Value::Null);
        assert!(listed.head["gaps"].to_string().contains("PID namespace"), "{}", listed.head);
    });
}

#[test]
fn what_is_hidden_from_an_ordinary_user_is_unknown_with_what_would_help() {
    lab(|| {
        let Some((_dir, program)) = program_for_everyone() else {
            return skip("processes::what_is_hidden…", "one user only in this user namespace");
        };
        let host = Host::new().unwrap();
        let (ours, protected) = connection(&host);
        let (theirs, other) = connection(&host);
        let holder = program.with_file_name("holder");
        fs::copy(env::current_exe().unwrap(), &holder).unwrap();
        let child = hold(&host, actor_at(&holder, "protected").uid(NOBODY).gid(NOBODY), &protected);
        let open = hold(&host, sleep().uid(NOBODY).gid(NOBODY), &theirs);
        let ids = [&ours, &theirs, &protected].map(cookie);
        drop((theirs, protected));
        // Root sees them all.
        wait_for_holders(&host, ids[2], |held| held.iter().map(|h| h.0).eq([child.0.id()]));
        wait_for("an ordinary user's view", || {
            let seen = tool::list_as(&host, NOBODY, &program, &[]);
            let held = |id| seen.rows[&id]["processes"].clone();
            let mine = json!([{"pid": open.0.id(), "comm": "sleep", "fd": 0}]);
            // Another user's, his own, and his own that is not dumpable.
            if [held(ids[0]), held(ids[1]), held(ids[2])] == [Value::Null, mine, Value::Null] {
                assert!(seen.head["gaps"].to_string().contains("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"));
                return Ok(());
            }
            Err(format!("{} {} {}", held(ids[0]), held(ids[1]), held(ids[2])))
        });
        drop(other);
    });
}

#[test]
fn hostile_names_reach_no_terminal() {
    lab(|| {
        let host = Host::new().unwrap();
        let (near, _far) = connection(&host);
        let id = cookie(&near);
        // Sets its own name, says so by it, and waits for the connection to end. $0 is a command line of 4 KiB.
        let script = r"printf '\033[2J\n\007)(' > /proc/$$/comm; read x";
        let mut shell = Command::new("sh");
        let child = hold(&host, shell.args(["-c", script, &"\u{1b}]0;x\u{7}".repeat(700)]), &near);
        drop(near);
        let cgroup = HostileCgroup::around(child.0.id());
        wait_for_holders(&host, id, |held| held.iter().any(|(_, comm)| comm == "\u{1b}[2J\n\u{7})("));
        let columns = ["--columns", "local,process,comm,cgroup,unit,container,user"];
        let texts = [
            tool::list_text(&host, &columns),
            tool::list_text(&host, &[&columns[..], &["--csv"]].concat()),
            tool::list_text(&host, &[&columns[..], &["--text"]].concat()),
            tool::list_text(&host, &[&columns[..], &["--sort", "process"]].concat()),
            tool::report_text(&host, &[]),
        ];
        for text in texts {
            // Tabs and line ends are of the format: a name cannot bring one.
            let obeyed = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
            assert_eq!(obeyed, None, "{text:?}");
            assert!(!text.contains('\u{1b}'));
        }
        let shown = tool::list_text(&host, &columns);
        assert!(shown.contains("\\u{1b}[2J\\n\\u{7})("), "{shown}");
        let pid = child.0.id();
        let listed = tool::list(&host, &["--columns", "cookie,process,cgroup"]);
        let row = &listed.rows[&id];
        assert_eq!(row["processes"][0], json!({"pid": pid, "comm": "\u{1b}[2J\n\u{7})(", "fd": 0}));
        match &cgroup {
            Some(cgroup) => assert_eq!(row["cgroup"], json!(format!("/{}", cgroup.name()))),
            None => skip("processes::hostile_names_reach_no_terminal", "no cgroup can be made"),
        }
    });
}

/// A cgroup whose name a terminal would obey, with one process in it.
struct HostileCgroup(std::path::PathBuf);

impl HostileCgroup {
    /// `None` where no cgroup can be made.
    fn around(pid: u32) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().find(|l| l.split(' ').nth(2) == Some("cgroup2"))?.split(' ').nth(1)?;
        // A line end would break the lines of /proc/PID/cgroup, and the kernel refuses it (`cgroup_mkdir` in
        // kernel/cgroup/cgroup.c).
        let refused = fs::create_dir(Path::new(mount).join("tcptop\nx")).unwrap_err();
        assert!(refused.kind() != std::io::ErrorKind::AlreadyExists, "{refused}");
        let made = Self(Path::new(mount).join(format!("tcptop\u{1b}[31m{pid}.service")));
        fs::create_dir(&made.0).ok()?;
        fs::write(made.0.join("cgroup.procs"), pid.to_string()).ok()?;
        Some(made)
    }

    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }
}

impl Drop for HostileCgroup {
    fn drop(&mut self) {
        // Its process moves out first, which only fails if it has ended.
        let up = self.0.parent().unwrap().join("cgroup.procs");
        for pid in fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = fs::write(&up, pid);
        }
        let _ = fs::remove_dir(&self.0);
    }
}
