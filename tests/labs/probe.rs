//! The options of sockets, read from the sockets themselves: right, or unknown with the reason, and nobody's close is held.

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs};

use rustix::net::sockopt;
use serde_json::{Value, json};
use tcptop::analysis::noticed_idle;
use tcptop::engine::{Looker, keepalive_share, with_options};
use tcptop::lab::{Host, Lab};
use tcptop::model::{TcpState, Unlisted, Unprobed};
use tcptop::query::{ColumnId, ProcessKey, Selection, SocketQuery, Sort, sockets};
use tcptop::source::{Live, LiveOptions};
use tcptop::sys::Prober;
use tcptop::testkit::endpoint;

use crate::harness::{lab, skip, wait_for};
use crate::observer::{NOBODY, program_for_everyone};
use crate::processes::{Holder, actor_at, connection, cookie, hold, sleep};
use crate::tool;

/// Tells a child that is this same program which socket to ask for: pid, descriptor, cookie.
const TARGET: &str = "TCPTOP_LAB_TARGET";

fn fd(socket: &impl AsFd) -> u32 {
    u32::try_from(socket.as_fd().as_raw_fd()).unwrap()
}

fn probed(host: &Host, filter: &str, cookie: u64) -> Value {
    tool::list(host, &["--probe-options", filter]).rows.remove(&cookie).unwrap()
}

#[test]
fn what_another_timer_hides_is_known() {
    lab(|| {
        let mut lab = Lab::new().unwrap();
        let masked = [
            lab.keepalive_masked_by_retransmission().unwrap(),
            lab.keepalive_masked_by_zero_window().unwrap(),
        ];
        let seen = tool::list(lab.near(), &[]);
        let asked = tool::list(lab.near(), &["--probe-options", "state", "connected"]);
        for specimen in &masked {
            let (cookie, _) = specimen.identity().unwrap().unwrap();
            assert_eq!(seen.rows[&cookie]["keepalive"], "unknown", "{}", specimen.name);
            let row = &asked.rows[&cookie];
            assert_eq!(row["keepalive"], "on", "{}", specimen.name);
            let options = &row["keepalive_options"];
            assert_eq!((&options["idle_s"], &options["interval_s"]), (&json!(300), &json!(30)), "{row}");
            assert_eq!((&options["probes"], &options["noticed_idle_s"]), (&json!(4), &json!(420)), "{row}");
            // 300 s is after the shortest of the known idle timeouts only.
            assert_eq!(options["forgotten_by"].as_array().unwrap().len(), 1, "{row}");
        }
        let quiet = lab.established().unwrap();
        let row = probed(lab.near(), "state connected", cookie(&quiet.socket().unwrap()));
        assert_eq!((&row["keepalive"], &row["keepalive_options"]["enabled"]), (&json!("off"), &json!(false)));
        assert!(row["keepalive_options"].get("noticed_idle_s").is_none(), "{row}");
    });
}

/// The formula of the kernel, by the kernel: with a user timeout the connection outlives its only probe, and ends when that
/// time is over.
#[test]
fn a_user_timeout_counts_instead_of_the_probes() {
    lab(|| {
        let mut lab = Lab::new().unwrap();
        let specimen = lab.keepalive_unanswered().unwrap();
        let socket = specimen.socket().unwrap();
        sockopt::set_tcp_keepcnt(socket, 1).unwrap();
        sockopt::set_tcp_user_timeout(socket, 4_000).unwrap();
        let begun = Instant::now();
        let cookie = cookie(&socket);
        let row = probed(lab.near(), "state established", cookie);
        assert_eq!(row["keepalive_options"]["user_timeout_ms"], 4_000, "{row}");
        let mut prober = Prober::new();
        let options = prober.probe(std::process::id(), fd(&socket), cookie).unwrap();
        assert_eq!(noticed_idle(&options), Some(Duration::from_secs(4)));
        // Without the timeout the second unanswered probe would have ended it after two.
        let ended = wait_for("end of the connection", || match sockopt::socket_error(socket).unwrap() {
            Ok(()) => Err("it lives".into()),
            Err(e) => Ok(e),
        });
        assert_eq!(ended, rustix::io::Errno::TIMEDOUT);
        assert!(begun.elapsed() > Duration::from_millis(2_500), "{:?}", begun.elapsed());
    });
}

/// The leak that leaves every table: the connection was reset, and the program keeps the descriptor.
#[test]
fn a_dead_socket_that_is_not_closed_is_listed_and_tells_its_state() {
    lab(|| {
        let host = Host::new().unwrap();
        let (near, far) = connection(&host);
        let at = near.local_addr().unwrap();
        let holder = hold(&host, &mut sleep(), &near);
        drop(near);
        sockopt::set_socket_linger(&far, Some(Duration::ZERO)).unwrap();
        drop(far);
        let pid = holder.0.id();
        let share = host
            .run(|| {
                let mut looker = Looker::new(Live::open(LiveOptions::default())).with_owners(None);
                wait_for("a socket in no table", || {
                    let look = looker.look().unwrap();
                    let owners = look.world.owners().unwrap();
                    if owners.in_no_table.contains_key(&pid) { Ok(look) } else { Err("none yet".into()) }
                })
            })
            .map(|look| keepalive_share(&look.world, &Selection::Processes(ProcessKey::Pid(pid))))
            .unwrap();
        let [dead] = share.in_no_table.as_slice() else { panic!("{share:?}") };
        assert_eq!((dead.pid, dead.which.fd, share.connections), (pid, 0, 0));
        let told = dead.told.clone().unwrap();
        assert_eq!(told, Unlisted { state: TcpState::Close, local: Some(endpoint(&at.to_string())) });
    });
}

/// Keepalive of what a listener accepted: of accepted connections by asking, of one that waits by its timers.
#[test]
fn the_share_of_a_listener_is_that_of_its_connections() {
    lab(|| {
        let host = Host::new().unwrap();
        let (listener, mut held) = host
            .run(|| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                sockopt::set_socket_keepalive(&listener, true).unwrap();
                let to = listener.local_addr().unwrap();
                let connect = || TcpStream::connect(to).unwrap();
                let held: Vec<_> = (0..5).map(|_| (connect(), listener.accept().unwrap().0)).collect();
                (listener, held)
            })
            .unwrap();
        let to = listener.local_addr().unwrap();
        let waiting = host.run(|| TcpStream::connect(to).unwrap()).unwrap();
        for (at, (_, accepted)) in held.iter_mut().enumerate() {
            // What is accepted has the keepalive of its listener.
            assert!(sockopt::socket_keepalive(&*accepted).unwrap());
            if at < 2 {
                sockopt::set_socket_keepalive(&*accepted, false).unwrap();
            } else {
                sockopt::set_tcp_keepidle(&*accepted, Duration::from_secs(300)).unwrap();
            }
        }
        let look = || Looker::new(Live::open(LiveOptions::default())).with_owners(None).look().unwrap();
        let look = host.run(look).unwrap();
        let netns = look.world.snapshots[0].sample.netns.inode;
        let select = Selection::Listener { netns, local: endpoint(&to.to_string()) };
        let share = keepalive_share(&look.world, &select);
        assert_eq!((share.connections, share.others, share.asked), (6, 0, 6), "{share:?}");
        assert_eq!((share.with, share.without, share.unknown), (4, 2, 0), "{share:?}");
        let settings: Vec<_> =
            share.settings.iter().map(|(o, n)| (o.keepalive, o.idle.as_secs(), *n)).collect();
        assert_eq!(settings, [(true, 300, 3), (false, 0, 2)]);
        let [(why, 1)] = share.unread.as_slice() else { panic!("{share:?}") };
        assert!(why.to_string().contains("accept()"), "{why}");
        assert!(share.listener.unwrap().unwrap().keepalive);
        drop(waiting);
    });
}

#[test]
fn a_number_that_stands_for_another_socket_meanwhile_is_found_out() {
    lab(|| {
        let host = Host::new().unwrap();
        let (near, far) = connection(&host);
        sockopt::set_socket_keepalive(&far, true).unwrap();
        let (id, mut near) = (cookie(&near), OwnedFd::from(near));
        let kept = near.try_clone().unwrap();
        let look = || Looker::new(Live::open(LiveOptions::default())).with_owners(None).look().unwrap();
        let look = host.run(look).unwrap();
        // Both descriptors of the socket go to others after the look.
        rustix::io::dup2(&far, &mut near).unwrap();
        let number = fd(&kept);
        let moved = kept.try_clone().unwrap();
        drop(kept);
        let query =
            SocketQuery { select: Selection::All, sort: Sort::by(ColumnId::Cookie), want: usize::MAX };
        let asked = with_options(&look.world, &sockets(&look.world, &query).order);
        let why = asked.snapshots[0].options[&id].clone().unwrap_err();
        let pid = std::process::id();
        let gone = [
            Unprobed::AnotherSocket { pid, fd: fd(&near) },
            Unprobed::AnotherSocket { pid, fd: number },
            Unprobed::DescriptorGone { pid, fd: number },
        ];
        assert!(gone.contains(&why), "{why}");
        assert_eq!(Prober::new().probe(pid, fd(&near), id), Err(gone[0].clone()));
        assert!(Prober::new().probe(pid, fd(&moved), id).is_ok());
    });
}

/// Of an MPTCP socket the table lists the TCP connections below it.
#[test]
fn the_connection_below_an_mptcp_socket_says_why_it_cannot_be_asked() {
    use rustix::net::{AddressFamily, Protocol, SocketType};
    lab(|| {
        let host = Host::new().unwrap();
        let mptcp = Protocol::from_raw(std::num::NonZero::new(262).unwrap());
        let open = || rustix::net::socket(AddressFamily::INET, SocketType::STREAM, Some(mptcp));
        let near = match host.run(open).unwrap() {
            Ok(socket) => socket,
            Err(e) => {
                let reason = format!("this kernel makes no MPTCP socket: {e}");
                return skip(
                    "probe::the_connection_below_an_mptcp_socket_says_why_it_cannot_be_asked",
                    &reason,
                );
            }
        };
        let listener = host.run(|| TcpListener::bind("127.0.0.1:0")).unwrap().unwrap();
        let to = listener.local_addr().unwrap();
        rustix::net::connect(&near, &to).unwrap();
        let _far = listener.accept().unwrap();
        let text = tool::list_text(&host, &["--probe-options", "--json", &format!("dport = {}", to.port())]);
        let listed: Value = serde_json::from_str(&text).unwrap();
        let row = &listed["sockets"][0];
        let why = row["keepalive_options_unknown"].as_str();
        assert!(why.is_some_and(|w| w.contains("MPTCP")), "{row}");
    });
}

/// While somebody asks without pause, the peer sees the end of the connection all the same.
#[test]
fn the_close_of_the_owner_is_not_held() {
    lab(|| {
        let host = Host::new().unwrap();
        let (near, mut far) = connection(&host);
        far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (id, number) = (cookie(&near), fd(&near));
        let asked = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let mut prober = Prober::new();
                while prober.probe(std::process::id(), number, id).is_ok() {
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                // The prober itself lives on: nothing of the socket may be left in it.
                prober
            });
            wait_for("questions", || {
                let n = asked.load(Ordering::Relaxed);
                if n > 100 { Ok(()) } else { Err(format!("{n} so far")) }
            });
            drop(near);
            assert_eq!(far.read(&mut [0]).unwrap(), 0);
            drop(asking.join().unwrap());
        });
    });
}

/// What a child does instead of a test: asks for a socket of another process, and says what came of it.
#[test]
fn asker() {
    let Ok(target) = env::var(TARGET) else { return };
    let mut numbers = target.split(' ').map(|n| n.parse::<u64>().unwrap());
    let mut next = || numbers.next().unwrap();
    let (pid, fd, cookie) = (u32::try_from(next()).unwrap(), u32::try_from(next()).unwrap(), next());
    let said = match Prober::new().probe(pid, fd, cookie) {
        Ok(_) => "known".to_owned(),
        Err(why) => why.to_string(),
    };
    writeln!(std::io::stderr(), "{said}").unwrap();
}

/// What nobody is told of a socket on the standard input of a process.
fn told(program: &Path, holder: &Holder, socket: &TcpStream) -> String {
    let mut command = Command::new(program);
    command.args(["probe::asker", "--exact", "--nocapture"]).uid(NOBODY).gid(NOBODY);
    let output = command
        .env(TARGET, format!("{} 0 {}", holder.0.id(), cookie(socket)))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn who_may_not_ask_is_told_why_and_what_would_help() {
    lab(|| {
        let Some((dir, _)) = program_for_everyone() else {
            return skip("probe", "one user only in this user namespace");
        };
        let this = dir.path().join("actor");
        fs::copy(env::current_exe().unwrap(), &this).unwrap();
        let host = Host::new().unwrap();
        let nobody = |mut c: Command| {
            c.uid(NOBODY).gid(NOBODY);
            c
        };
        let connections: Vec<_> = (0..3).map(|_| connection(&host)).collect();
        let others = hold(&host, &mut sleep(), &connections[0].0);
        let own = hold(&host, &mut nobody(sleep()), &connections[1].0);
        let protected = hold(&host, &mut nobody(actor_at(&this, "protected")), &connections[2].0);
        let of = |holder, at: usize| told(&this, holder, &connections[at].0);
        let denied = of(&others, 0);
        assert!(denied.contains("not permitted; it belongs to another user; run as root"), "{denied}");
        // An own process may be asked, where Yama does not forbid it.
        let yama = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").is_ok_and(|s| s.trim() != "0");
        let allowed = of(&own, 1);
        assert!(
            if yama { allowed.contains("ptrace_scope is") } else { allowed.contains("known") },
            "{allowed}"
        );
        wait_for("a process that is not dumpable", || {
            let denied = of(&protected, 2);
            let says = denied.contains("it is not dumpable") && denied.contains("CAP_SYS_PTRACE");
            if says { Ok(()) } else { Err(denied) }
        });
    });
}

#[test]
fn an_ordinary_user_gets_the_reason_with_each_socket() {
    lab(|| {
        let Some((_dir, program)) = program_for_everyone() else {
            return skip("probe", "one user only in this user namespace");
        };
        let host = Host::new().unwrap();
        let (near, _far) = connection(&host);
        let seen = tool::list_as(&host, NOBODY, &program, &["--probe-options", "state", "connected"]);
        let row = &seen.rows[&cookie(&near)];
        assert_eq!(row.get("keepalive_options"), Some(&Value::Null), "{row}");
        let why = row["keepalive_options_unknown"].as_str().unwrap();
        assert!(why.contains("run as root"), "{why}");
        // What the table shows of keepalive is known nevertheless.
        assert_eq!(row["keepalive"], "off");
    });
}
