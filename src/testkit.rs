//! Hand-made worlds for tests and benchmarks. No part of the program.

use std::sync::Arc;
use std::time::Duration;

use crate::analysis::{Analyzer, Snapshot, World};
use crate::model::{
    Completeness, Endpoint, Facts, ForeignText, Host, Ip, Netns, Owners, Privileges, Process, Protocol,
    Reading, RowFlags, Sample, SocketRow, Table, TableSource, Taken, TcpState, Unexamined,
};

/// An endpoint from `10.0.0.1:80` or `[::1]:80`.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn endpoint(text: &str) -> Endpoint {
    let parsed: std::net::SocketAddr = text.parse().expect("an address and a port");
    Endpoint { addr: parsed.ip().into(), port: parsed.port() }
}

/// A socket with a file; a listener or an unconnected one if `peer` is empty. Give it a cookie where identity matters.
///
/// # Panics
/// When an address is none.
#[must_use]
pub fn socket(state: TcpState, local: &str, peer: &str) -> SocketRow {
    let local = endpoint(local);
    let peer = if peer.is_empty() {
        Endpoint { addr: if local.addr.is_v4() { Ip::V4_ANY } else { Ip::V6_ANY }, port: 0 }
    } else {
        endpoint(peer)
    };
    let mut row = SocketRow::new(state, local, peer);
    if !local.addr.is_v4() {
        row.flags = RowFlags::V6;
    }
    match state {
        TcpState::TimeWait => (row.timer_raw, row.expires_ms) = (3, 59_000),
        TcpState::SynRecv => (row.timer_raw, row.expires_ms) = (1, 1_000),
        _ => {
            row.inode = 1 + u32::from(local.port) + u32::from(peer.port);
            row.flags = row.flags.with(RowFlags::FULL);
        }
    }
    row
}

/// Sockets of a busy server, always the same ones.
#[must_use]
pub fn many(count: u32) -> Vec<SocketRow> {
    (0..count)
        .map(|i| {
            // A multiplicative generator: spread, and the same on every run.
            let spread = i.wrapping_mul(2_654_435_769);
            let [a, b, c, d] = spread.to_be_bytes();
            let state = match a % 16 {
                0..10 => TcpState::Established,
                10..14 => TcpState::TimeWait,
                14 => TcpState::CloseWait,
                _ => TcpState::FinWait2,
            };
            let local = Endpoint { addr: Ip::from_v4_octets([10, 0, 0, d % 4]), port: 443 };
            let peer = Endpoint {
                addr: Ip::from_v4_octets([10, 1, b % 32, c]),
                port: 1024 + u16::from_be_bytes([c, d]) % 60_000,
            };
            let mut row = SocketRow::new(state, local, peer);
            row.set_cookie(i + 1, 0);
            row.recv_q = u32::from(b) * u32::from(c);
            row.send_q = u32::from(d) * 100;
            if state == TcpState::TimeWait {
                (row.timer_raw, row.expires_ms) = (3, spread % 60_000);
            } else {
                row.inode = i + 1;
                row.flags = RowFlags::FULL;
                if b % 2 == 0 {
                    (row.timer_raw, row.expires_ms) = (2, spread % 7_200_000);
                }
            }
            row
        })
        .collect()
}

/// A sample of these sockets, complete, with nothing else known.
#[must_use]
pub fn sample(rows: Vec<SocketRow>) -> Sample {
    let mut table = Table::default();
    table.intern(crate::model::Origin::default());
    table.rows = rows;
    Sample {
        netns: Netns { inode: 4_026_531_840, name: "init".into() },
        taken: Taken { wall: Duration::from_secs(1_795_197_600), mono: Duration::from_secs(1) },
        dump_time: Duration::from_millis(6),
        protocol: Protocol::Tcp,
        table,
        memory: Vec::new(),
        udp: None,
        listener_drops: Vec::new(),
        completeness: Completeness { source: TableSource::SockDiagLegacy, gaps: Vec::new(), duplicates: 0 },
        facts: Facts::default(),
    }
}

/// The first snapshot of a sample.
#[must_use]
pub fn snapshot(sample: Sample) -> Snapshot {
    Arc::unwrap_or_clone(Analyzer::default().derive(sample))
}

/// The machine of the hand-made worlds.
#[must_use]
pub fn host() -> Host {
    Host {
        hostname: ForeignText::from("web-07"),
        kernel: ForeignText::from("6.18.44"),
        privileges: Privileges::default(),
        page_size: 4096,
        memory_bytes: 8 << 30,
    }
}

/// A world of these namespaces.
#[must_use]
pub fn world(snapshots: Vec<Snapshot>) -> World {
    World {
        generation: 1,
        host: Arc::new(host()),
        snapshots: snapshots.into_iter().map(Arc::new).collect(),
        unexamined: Vec::new(),
        own_cpu: None,
    }
}

/// A namespace that could not be looked into.
#[must_use]
pub fn unexamined(name: &str, reason: &str) -> Unexamined {
    Unexamined { netns: Netns { inode: 7, name: name.into() }, reason: reason.into() }
}

/// A world of one namespace with these sockets.
#[must_use]
pub fn world_of(rows: Vec<SocketRow>) -> World {
    world(vec![snapshot(sample(rows))])
}

/// A process of user 1000 with sockets of these inodes and descriptors, 64 of 1024 descriptors in use.
#[must_use]
pub fn process(pid: u32, comm: &str, sockets: &[(u32, u32)]) -> Process {
    let mut inodes: Vec<u32> = sockets.iter().map(|(inode, _)| *inode).collect();
    inodes.sort_unstable();
    inodes.dedup();
    Process {
        pid,
        start_time: 1,
        comm: comm.into(),
        uid: 1000,
        ppid: 1,
        state: 'S',
        cgroup: Reading::Absent,
        netns: Reading::Known(4_026_531_840),
        fds: Reading::Known(64),
        fd_limit: Reading::Known(1024),
        sockets: Reading::Known(inodes.into()),
        unlisted: Reading::Known(0),
    }
}

/// A process for [`owners`]: pid, name, and its sockets as (inode, descriptor).
pub type Holding<'a> = (u32, &'a str, &'a [(u32, u32)]);

/// Processes and what they hold.
#[must_use]
pub fn owners(processes: &[Holding<'_>]) -> Owners {
    let held = processes.iter().flat_map(|(pid, _, s)| s.iter().map(|(inode, fd)| (*inode, *pid, *fd)));
    Owners::new(processes.iter().map(|(pid, comm, s)| process(*pid, comm, s)).collect(), held)
}

/// A world of one namespace with these sockets and these owners.
#[must_use]
pub fn world_owned(rows: Vec<SocketRow>, owners: Owners) -> World {
    let snapshot = Analyzer::default().derive_owned(sample(rows), Some(Arc::new(owners)));
    world(vec![Arc::unwrap_or_clone(snapshot)])
}
