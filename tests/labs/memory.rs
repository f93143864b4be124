//! The table read from the kernel's memory against the one that `sock_diag` tells, at the same moment.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};

use rustix::net::{AddressFamily, Ipv4Addr, SocketAddrV4, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tcptop::lab::Lab;
use tcptop::model::{Asked, Origin, RowFlags, Sample, SocketRow, Table, TableSource, TcpState};
use tcptop::source::direct::{Direct, Unsaid};
use tcptop::source::intake::Intake;
use tcptop::source::{Live, LiveOptions, Source};
use tcptop::sys::diag::DiagSocket;
use tcptop::sys::read_host;
use tcptop::sys::sockopt::IntOption;
use tcptop::wire::request::Dump;

use crate::harness::{lab, wait_for};
use crate::states::zoo;

/// Connections by cookie; the milliseconds of timers apart, which go on.
type Rows = BTreeMap<u64, (String, Origin, u32)>;

fn connections(table: &Table) -> Rows {
    let connection = |r: &&SocketRow| !matches!(r.state, TcpState::Listen | TcpState::BoundInactive);
    let rows = table.rows.iter().filter(connection).map(|r| {
        let mut row = *r;
        (row.expires_ms, row.origin) = (0, 0);
        (r.cookie(), (format!("{row:?}"), table.origin(r), r.expires_ms))
    });
    rows.collect()
}

fn dumped(socket: &mut DiagSocket) -> Rows {
    let mut intake = Intake::new(0);
    socket.dump(|seq| Dump::WHOLE.message(seq), |reply| intake.take(reply)).unwrap();
    connections(&intake.table)
}

/// What the kernel's memory says; `None` where this process may not read it or this kernel is not known.
fn direct() -> Option<Direct> {
    match Direct::open(&read_host()) {
        Ok(direct) => Some(direct),
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::NotFound
            ) =>
        {
            None
        }
        Err(e) => panic!("the program was refused: {e}"),
    }
}

#[test]
fn the_kernels_memory_says_of_every_state_what_a_dump_says() {
    lab(|| {
        let (lab, _specimens) = zoo();
        lab.near()
            .run(|| {
                let Some(mut direct) = direct() else { return };
                let mut socket = DiagSocket::open().unwrap();
                let listener = TcpListener::bind("[::1]:7000").unwrap();
                let mut client = TcpStream::connect("[::1]:7000").unwrap();
                let _ = IntOption::Mark.set(&client, 77);
                client.write_all(b"unread").unwrap();
                let _served = listener.accept().unwrap();
                let mut seen = Vec::new();
                wait_for("agreement of both", || {
                    let mut intake = Intake::new(0);
                    direct.walk(&mut socket, &mut intake).map_err(|e| format!("{e:?}"))?;
                    let (memory, dump) = (connections(&intake.table), dumped(&mut socket));
                    assert_eq!(intake.malformed, 0);
                    let alike = |(cookie, (row, origin, expires)): (&u64, &(String, Origin, u32))| {
                        let (other, whose, then) = dump.get(cookie).ok_or("a socket that a dump has not")?;
                        if row != other || origin != whose || expires.abs_diff(*then) > 1000 {
                            return Err(format!("\n{row}\n{other}\n{origin:?}\n{whose:?}\n{expires} {then}"));
                        }
                        Ok(())
                    };
                    memory.iter().try_for_each(alike)?;
                    seen = intake.table.rows.iter().map(|r| (r.state, r.timer_raw, r.flags)).collect();
                    if memory.len() == dump.len() {
                        Ok(())
                    } else {
                        Err(format!("{} of {}", memory.len(), dump.len()))
                    }
                });
                for state in TcpState::ALL {
                    let expected =
                        !matches!(state, TcpState::Listen | TcpState::BoundInactive | TcpState::Close);
                    assert_eq!(seen.iter().any(|(s, ..)| *s == state), expected, "{state:?}");
                }
                for timer in 0..=4 {
                    assert!(seen.iter().any(|(_, t, _)| *t == timer), "timer {timer}");
                }
                for flag in
                    [RowFlags::V6, RowFlags::MAPPED, RowFlags::SHUT_RCV, RowFlags::SHUT_SND, RowFlags::FULL]
                {
                    assert!(seen.iter().any(|(.., f)| f.has(flag)), "{flag:?}");
                }
            })
            .unwrap();
    });
}

/// More connections than from which on the kernel's memory is read.
const MANY: usize = 1200;

#[test]
fn a_live_look_at_many_sockets_reads_the_memory_and_misses_nothing() {
    lab(|| {
        let lab = Lab::new().unwrap();
        lab.near()
            .run(|| {
                room_for(4 * MANY as u64);
                let listener = TcpListener::bind("127.0.0.1:7000").unwrap();
                let pair = || (TcpStream::connect("127.0.0.1:7000").unwrap(), listener.accept().unwrap());
                let pairs: Vec<_> = (0..MANY).map(|_| pair()).collect();
                let mut live = Live::open(LiveOptions { bpf: true, ..LiveOptions::default() });
                let mut look = || live.look().unwrap().remove(0);
                let source = |sample: &Sample| sample.completeness.source;
                if direct().is_none() {
                    assert!((0..4).all(|_| source(&look()) != TableSource::Memory), "it cannot be read");
                    return;
                }
                assert_ne!(source(&look()), TableSource::Memory, "somebody waits for the first");
                wait_for("the memory proven and read", || {
                    let sample = look();
                    if source(&sample) == TableSource::Memory {
                        Ok(())
                    } else {
                        Err(format!("{:?}", source(&sample)))
                    }
                });

                // What nobody has asked for yet has no cookie.
                let fresh: Vec<_> = (0..20).map(|_| pair()).collect();
                let sample = look();
                for (client, _) in &fresh {
                    let port = client.local_addr().unwrap().port();
                    let rows: Vec<_> = sample.table.rows.iter().filter(|r| r.local_port == port).collect();
                    assert!(matches!(rows[..], [row] if row.cookie() != 0), "{rows:?}");
                }

                // A bound socket comes some looks later, is there in each look from then on, and once when it has connected.
                let bound = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
                rustix::net::bind(&bound, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7100)).unwrap();
                let mut states = || {
                    let sample = look();
                    assert_eq!(sample.completeness.duplicates, 0);
                    let of = |r: &&SocketRow| r.local_port == 7100;
                    sample.table.rows.iter().filter(of).map(|r| r.state).collect::<Vec<_>>()
                };
                let waited = (0..TableSource::BOUND_EVERY).take_while(|_| states().is_empty()).count();
                assert!(waited < TableSource::BOUND_EVERY as usize);
                for _ in 0..=TableSource::BOUND_EVERY {
                    assert_eq!(states(), [TcpState::BoundInactive]);
                }
                rustix::net::connect(&bound, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7000)).unwrap();
                for _ in 0..=TableSource::BOUND_EVERY {
                    assert_eq!(states(), [TcpState::Established]);
                }

                // What was kept does not outlive a time in which something else was asked for.
                let late = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
                rustix::net::bind(&late, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7200)).unwrap();
                let has_late = |sample: &Sample| sample.table.rows.iter().any(|r| r.local_port == 7200);
                live.ask_for(Asked { states: TcpState::Established.bit(), ..Asked::default() });
                assert!(!has_late(&live.look().unwrap()[0]));
                live.ask_for(Asked::default());
                assert!(has_late(&live.look().unwrap()[0]));
                let mut look = || live.look().unwrap().remove(0);

                // Too many that are new are dumped at once, and so for some looks more.
                let new: Vec<_> = (0..400).map(|_| pair()).collect();
                let sample = look();
                assert_ne!(source(&sample), TableSource::Memory);
                let count = sample.table.rows.iter().filter(|r| r.state == TcpState::Established).count();
                assert_eq!(
                    count,
                    2 * (pairs.len() + fresh.len() + new.len()) + 1 + 1,
                    "and the bound one's pair"
                );
                drop((pairs, fresh, new));
            })
            .unwrap();
    });
}

#[test]
fn another_namespace_is_not_taken_for_the_one_that_is_looked_at() {
    lab(|| {
        let lab = Lab::new().unwrap();
        let Some(mut direct) = lab.near().run(direct).unwrap() else { return };
        let mut walk = || {
            let mut socket = DiagSocket::open().unwrap();
            direct.walk(&mut socket, &mut Intake::new(0))
        };
        assert_eq!(walk(), Err(Unsaid::Refused));
        assert_eq!(lab.near().run(walk).unwrap(), Ok(()));
    });
}

/// Lets this process have so many descriptors, as far as it may.
fn room_for(descriptors: u64) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(descriptors, |most| most.min(descriptors));
    if limit.current.is_some_and(|now| now < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }).unwrap();
    }
}
