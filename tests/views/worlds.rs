//! Hand-made machines, looked at several times, derived by the real analysis.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tcptop::analysis::{Analyzer, World};
use tcptop::model::{
    Capability, Conntrack, Endpoint, Facts, FileNr, Host, Origin, Owners, Privileges, Process, Reading,
    RowFlags, Sample, SocketRow, Sockstat, Sysctls, TcpState, sysctl,
};
use tcptop::testkit;

/// The database whose ports run out.
pub const DATABASE: &str = "10.0.4.2:3306";

/// A table under construction. A socket's cookie is made from its addresses, so that it is the same at every look.
struct Rows {
    rows: Vec<SocketRow>,
}

impl Rows {
    fn add(&mut self, state: TcpState, local: &str, peer: &str) -> &mut SocketRow {
        let mut row = testkit::socket(state, local, peer);
        let hash = |e: Endpoint| {
            e.addr.octets().iter().fold(u32::from(e.port), |h, b| h.wrapping_mul(31) + u32::from(*b))
        };
        row.set_cookie(hash(row.local_endpoint()), hash(row.peer_endpoint()));
        self.rows.push(row);
        self.rows.last_mut().unwrap()
    }

    fn listen(&mut self, local: &str, queue: u32, backlog: u32) {
        let row = self.add(TcpState::Listen, local, "");
        (row.recv_q, row.send_q) = (queue, backlog);
    }
}

/// The sockets of a busy web server, `second` seconds after the first look.
fn busy_rows(second: u32) -> Vec<SocketRow> {
    let mut t = Rows { rows: Vec::new() };
    t.listen("0.0.0.0:22", 0, 128);
    t.listen("0.0.0.0:80", 0, 511);
    t.listen("0.0.0.0:443", 3, 511);
    t.listen("127.0.0.1:9000", 97, 128);
    t.listen("[::]:443", 0, 511);
    for n in 0..26 {
        t.listen(&format!("127.0.0.1:{}", 7000 + n), 0, 128);
    }
    // Clients of the server: one of them holds far more than the others, and the program does not close.
    for n in 0..200_u32 {
        t.add(TcpState::Established, "10.0.0.5:443", &format!("10.0.9.9:{}", 40_000 + n));
    }
    for n in 0..212_u32 + second * 9 {
        let row = t.add(TcpState::CloseWait, "10.0.0.5:443", &format!("10.0.9.9:{}", 50_000 + n));
        row.recv_q = 1;
    }
    for n in 0..7_500_u32 {
        let [_, _, c, d] = (n * 7 + 300).to_be_bytes();
        let row = t.add(TcpState::Established, "10.0.0.5:443", &format!("10.1.{c}.{d}:{}", 20_000 + n));
        match n % 5 {
            0 => {}
            1 => (row.timer_raw, row.expires_ms, row.retrans, row.send_q) = (1, 200 + n % 800, 0, 1448),
            _ => (row.timer_raw, row.expires_ms) = (2, 1000 * (n % 7200)),
        }
    }
    for n in 0..12_u32 {
        let peer = format!("[2001:db8:9:{n:x}::17]:{}", 51_000 + n);
        t.add(TcpState::Established, "[2001:db8::5]:443", &peer);
    }
    let mapped = t.add(TcpState::Established, "10.0.0.5:443", "192.0.2.77:61000");
    mapped.flags = RowFlags::V6.with(RowFlags::MAPPED).with(RowFlags::FULL);
    (mapped.timer_raw, mapped.expires_ms, mapped.retrans, mapped.send_q) = (1, 6_400, 7, 29_200);
    // The server as a client of its database: nearly every port is in use.
    for n in 0..400_u32 {
        t.add(TcpState::Established, &format!("10.0.0.5:{}", 32_768 + n), DATABASE);
    }
    for n in 400..3_846 + second * 3 {
        let row = t.add(TcpState::TimeWait, &format!("10.0.0.5:{}", 32_768 + n), DATABASE);
        row.expires_ms = 60_000 - (n * 13) % 60_000;
    }
    for n in 0..130_u32 {
        t.add(TcpState::Established, &format!("10.0.0.5:{}", 32_768 + n), "10.0.4.9:6379");
    }
    for n in 0..422_u32 {
        let [_, _, c, d] = (n + 300).to_be_bytes();
        t.add(TcpState::TimeWait, "10.0.0.5:80", &format!("10.2.{c}.{d}:33000"));
    }
    for n in 0..88_u32 {
        let row = t.add(TcpState::FinWait2, "10.0.0.5:443", &format!("10.3.0.{}:{}", n % 9 + 1, 30_000 + n));
        if n % 2 == 0 {
            (row.timer_raw, row.expires_ms, row.inode) = (3, 41_000, 0);
        }
    }
    for n in 0..10_u32 {
        let row = t.add(TcpState::SynRecv, "10.0.0.5:443", &format!("198.51.100.{n}:4000"));
        row.retrans = 3;
    }
    t.add(TcpState::LastAck, "10.0.0.5:443", "10.3.0.3:1025").inode = 0;
    // Some come and go between two looks.
    for n in 0..31 {
        t.add(TcpState::Established, "10.0.0.5:80", &format!("10.5.5.5:{}", 10_000 + second * 31 + n));
    }
    t.rows
}

fn sysctls(values: &[(&str, &str)]) -> Sysctls {
    let value = |name| values.iter().find(|(n, _)| *n == name).map(|(_, v)| Box::from(*v));
    Sysctls::new(
        sysctl::SPECS.iter().map(|s| value(s.name).map_or(Reading::Absent, Reading::Known)).collect(),
    )
}

fn facts() -> Facts {
    Facts {
        sockstat: Reading::Known(Sockstat {
            tcp_tw: Some(3_902),
            tcp_orphan: Some(45),
            tcp_mem_pages: Some(9_120),
            ..Sockstat::default()
        }),
        conntrack: Reading::Known(Conntrack { count: 30_100, max: 262_144, buckets: None, stats: None }),
        file_nr: Reading::Known(FileNr { allocated: 14_208, max: i64::MAX as u64 }),
        sysctls: sysctls(&[
            ("net.ipv4.ip_local_port_range", "32768 36767"),
            ("net.ipv4.tcp_max_tw_buckets", "262144"),
            ("net.ipv4.tcp_max_orphans", "65536"),
            ("net.ipv4.tcp_mem", "188319 251093 376638"),
        ]),
        ..Facts::default()
    }
}

/// A sample of these sockets, `second` seconds after the first.
pub fn sample(rows: Vec<SocketRow>, second: u32) -> Sample {
    let mut sample = testkit::sample(rows);
    sample.table.intern(Origin { uid: 33, ..Origin::default() });
    sample.taken.mono += Duration::from_secs(second.into());
    sample.taken.wall += Duration::from_secs(second.into());
    sample.facts = facts();
    sample
}

fn host() -> Host {
    let privileges = Privileges { effective: 1 << Capability::NetAdmin as u8, euid: 0 };
    Host { privileges, ..testkit::host() }
}

/// A web server in two processes that share its listeners, and its application, which is near its descriptor limit.
fn owners(rows: &[SocketRow]) -> Owners {
    let process = |pid, comm: &str, fds, limit| Process {
        pid,
        start_time: 1,
        comm: comm.into(),
        uid: 33,
        ppid: 1,
        state: 'S',
        cgroup: Reading::Absent,
        netns: Reading::Known(4_026_531_840),
        fds: Reading::Known(fds),
        fd_limit: Reading::Known(limit),
        sockets: Reading::Absent,
        unlisted: Reading::Absent,
    };
    let processes = vec![
        process(616, "nginx", 8_400, 65_536),
        process(617, "nginx", 90, 65_536),
        process(2211, "java", 3_410, 4_096),
        process(701, "sshd", 9, 1_024),
    ];
    let held = rows.iter().filter(|r| r.inode != 0).flat_map(|row| {
        let pids: &[u32] = match (row.local_port, row.state) {
            (80 | 443, TcpState::Listen) => &[616, 617],
            (80 | 443, _) => &[616],
            (22, _) => &[701],
            _ => &[2211],
        };
        pids.iter().map(|pid| (row.inode, *pid, 7))
    });
    Owners::new(processes, held)
}

/// Looks at a machine once a second.
pub struct Machine {
    analyzer: Analyzer,
    second: u32,
    pub host: Host,
}

impl Machine {
    pub fn new() -> Self {
        Self { analyzer: Analyzer::default(), second: 0, host: host() }
    }

    pub fn look(&mut self, rows: Vec<SocketRow>) -> Arc<World> {
        self.look_at(rows, |_| {})
    }

    /// A look at a sample that is not as usual.
    pub fn look_at(&mut self, rows: Vec<SocketRow>, change: impl FnOnce(&mut Sample)) -> Arc<World> {
        let mut sample = sample(rows, self.second);
        change(&mut sample);
        let owners = owners(&sample.table.rows);
        self.look_owned(sample, owners)
    }

    /// A look at a sample of which somebody else holds the sockets.
    pub fn look_owned(&mut self, sample: Sample, owners: Owners) -> Arc<World> {
        self.second += 1;
        let snapshot = self.analyzer.derive_owned(sample, Some(Arc::new(owners)));
        Arc::new(World {
            generation: self.second.into(),
            host: Arc::new(self.host.clone()),
            snapshots: vec![snapshot],
            unexamined: Vec::new(),
            own_cpu: Some(0.004),
        })
    }
}

/// The busy server at its first 40 looks.
fn busy_looks() -> &'static [Arc<World>] {
    static LOOKS: OnceLock<Vec<Arc<World>>> = OnceLock::new();
    LOOKS.get_or_init(|| {
        let mut machine = Machine::new();
        (0..40).map(|second| machine.look(busy_rows(second))).collect()
    })
}

/// The busy server after `looks` looks.
pub fn busy(looks: usize) -> Arc<World> {
    Arc::clone(&busy_looks()[looks - 1])
}

/// Connections of some peers: `10.9.0.N` has as many as it is told.
pub fn peers(counts: &[(u8, u32)]) -> Vec<SocketRow> {
    let mut rows = Vec::new();
    for (peer, count) in counts {
        for n in 0..*count {
            let mut row =
                testkit::socket(TcpState::Established, "10.0.0.1:80", &format!("10.9.0.{peer}:{}", 1000 + n));
            row.set_cookie(u32::from(*peer), n + 1);
            rows.push(row);
        }
    }
    rows
}
