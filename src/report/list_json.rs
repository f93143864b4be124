//! The list as JSON (`assets/schema/list.schema.json`). Rows are written as they come; nothing is collected.

use std::cell::RefCell;
use std::io::{self, Write};

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::address::{Address, Text};
use super::options::KeepaliveOptions;
use super::process::Processes;
use super::rows::List;
use super::{SCHEMA, incomplete, time};
use crate::analysis::Snapshot;
use crate::diagnose::{AuditVerdict, Severity};
use crate::model::{Names, Protocol, RowFlags, SocketRow, TcpInfo, TimerKind};
use crate::query::{Cell, Column as _, ColumnId, RowId, cell, held_by};

use ColumnId as C;

/// What a socket has when no columns were asked for.
pub const USUAL: [ColumnId; 17] = [
    C::Proto,
    C::Family,
    C::State,
    C::Local,
    C::Peer,
    C::RecvQ,
    C::SendQ,
    C::Uid,
    C::Inode,
    C::Cookie,
    C::Timer,
    C::Keepalive,
    C::Drops,
    C::RcvBuf,
    C::SndBuf,
    C::Process,
    C::Cgroup,
];

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    taken_at: Option<String>,
    netns: Option<&'a str>,
    complete: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<String>,
    sockets: Sockets<'a>,
}

/// Writes the list.
///
/// # Errors
/// Those of the writer.
pub fn write_json(list: List<'_>, mut out: impl Write) -> io::Result<()> {
    let first = list.world.snapshots.first();
    let samples = || list.world.snapshots.iter().map(|s| &s.sample);
    let keys = keys(&list);
    let several = list.world.has_several();
    let document = Document {
        schema: SCHEMA,
        taken_at: first.and_then(|s| time::rfc3339(s.sample.taken.wall)),
        netns: if several { Some("all") } else { first.map(|s| s.sample.netns.name.raw()) },
        complete: list.world.unexamined.is_empty() && samples().all(|s| s.completeness.is_complete()),
        gaps: samples()
            .flat_map(incomplete::gaps)
            .chain(first.into_iter().flat_map(|s| incomplete::owners(s)))
            .chain(incomplete::unexamined(list.world))
            .collect(),
        sockets: Sockets { keys, list: RefCell::new(list) },
    };
    serde_json::to_writer(&mut out, &document)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes a line of JSON for each socket, the same object as in [`write_json`]. Says nothing of what is missing.
///
/// # Errors
/// Those of the writer.
pub fn write_lines(mut list: List<'_>, mut out: impl Write) -> io::Result<()> {
    let keys = keys(&list);
    for id in &list.view.order {
        let Some((snapshot, row)) = list.socket(*id) else { continue };
        let info = Info::of(&mut list, *id);
        serde_json::to_writer(
            &mut out,
            &Socket { keys: &keys, snapshot, row, at: id.row as usize, names: list.names, info },
        )?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// The keys of the columns, each once.
fn keys(list: &List<'_>) -> Vec<ColumnId> {
    let mut keys: Vec<ColumnId> = Vec::new();
    for key in list.columns.unwrap_or(&USUAL).iter().map(|c| whole(*c)) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if list.world.has_several() && list.columns.is_none() {
        keys.push(C::Netns);
    }
    keys
}

/// The key that holds a column: parts of an address and of a timer are in one object.
const fn whole(column: ColumnId) -> ColumnId {
    match column {
        C::LocalAddr | C::LocalPort => C::Local,
        C::PeerAddr | C::PeerPort => C::Peer,
        C::ExpiresMs | C::Retrans => C::Timer,
        C::KeepInterval | C::KeepProbes | C::UserTimeout | C::Linger | C::DeadPeer | C::Unprobed => {
            C::KeepIdle
        }
        other => other,
    }
}

/// The name of a key. Durations say their unit, and an interface is known by its number only.
fn key_name(column: ColumnId) -> &'static str {
    match column {
        C::Interface => "ifindex",
        C::Process => "processes",
        C::Age => "age_s",
        C::KeepIdle => "keepalive_options",
        C::DropGrowth => "drops_per_min",
        other => other.spec().name,
    }
}

struct Sockets<'a> {
    keys: Vec<ColumnId>,
    // Serializing takes `&self`, asking the kernel for details takes `&mut`.
    list: RefCell<List<'a>>,
}

impl Serialize for Sockets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = self.list.borrow_mut();
        let order = &list.view.order;
        let mut rows = serializer.serialize_seq(Some(order.len()))?;
        for id in order {
            let Some((snapshot, row)) = list.socket(*id) else { continue };
            let info = Info::of(&mut list, *id);
            rows.serialize_element(&Socket {
                keys: &self.keys,
                snapshot,
                row,
                at: id.row as usize,
                names: list.names,
                info,
            })?;
        }
        rows.end()
    }
}

/// A socket with the keys of its columns.
pub(super) struct Socket<'a> {
    keys: &'a [ColumnId],
    snapshot: &'a Snapshot,
    row: &'a SocketRow,
    at: usize,
    names: Option<&'a Names>,
    info: Info,
}

/// What came of asking for `tcp_info`.
enum Info {
    NotAsked,
    /// The socket has ended since the look.
    Ended,
    /// Mini-sockets have none.
    NotThere,
    There(TcpInfo),
}

impl Info {
    fn of(list: &mut List<'_>, id: RowId) -> Self {
        let udp = list.socket(id).is_some_and(|(s, _)| s.sample.protocol == Protocol::Udp);
        if list.detail.is_none() || udp {
            return Self::NotAsked;
        }
        match list.ask(id).map(|d| d.info) {
            None => Self::Ended,
            Some(None) => Self::NotThere,
            Some(Some(info)) => Self::There(info),
        }
    }
}

impl Serialize for Socket<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for column in self.keys {
            self.entry(*column, &mut map)?;
        }
        match &self.info {
            Info::NotAsked | Info::NotThere => {}
            Info::Ended => map.serialize_entry("tcp_info", &())?,
            Info::There(info) => map.serialize_entry("tcp_info", &Fields(info))?,
        }
        map.end()
    }
}

impl<'a> Socket<'a> {
    /// The socket in row `at`, as in a list without columns of one's own.
    pub(super) fn usual(snapshot: &'a Snapshot, at: usize, names: Option<&'a Names>) -> Option<Self> {
        let row = snapshot.sample.table.rows.get(at)?;
        Some(Self { keys: &USUAL, snapshot, row, at, names, info: Info::NotAsked })
    }
}

impl Socket<'_> {
    fn entry<M: SerializeMap>(&self, column: ColumnId, map: &mut M) -> Result<(), M::Error> {
        let key = key_name(column);
        if column == C::Process {
            return match held_by(self.snapshot, self.row) {
                None => Ok(()),
                Some(Err(_)) => map.serialize_entry(key, &()),
                Some(Ok(held)) => map.serialize_entry(key, &Processes(&held)),
            };
        }
        if column == C::KeepIdle {
            return match self.snapshot.options_of(self.row) {
                None => Ok(()),
                Some(Ok(options)) => {
                    let sysctls = &self.snapshot.sample.facts.sysctls;
                    map.serialize_entry(key, &KeepaliveOptions::new(options, self.row, sysctls))
                }
                Some(Err(why)) => {
                    map.serialize_entry(key, &())?;
                    map.serialize_entry("keepalive_options_unknown", &why.to_string())
                }
            };
        }
        match cell(column, self.snapshot, self.at) {
            // A socket without a timer says so.
            Cell::Absent if column == C::Timer && self.snapshot.sample.protocol == Protocol::Tcp => {
                map.serialize_entry(key, &Timer::of(self.row))
            }
            Cell::Absent | Cell::Process { .. } => Ok(()),
            Cell::Unknown => map.serialize_entry(key, &()),
            Cell::Word(word) => {
                map.serialize_entry(key, word)?;
                if column == C::Family && self.row.flags.has(RowFlags::MAPPED) {
                    map.serialize_entry("mapped", &true)?;
                }
                Ok(())
            }
            Cell::Named { programs, .. } => map.serialize_entry(key, programs),
            Cell::Text(text) => map.serialize_entry(key, &*text),
            Cell::Foreign(text) => map.serialize_entry(key, text.raw()),
            Cell::Addr(ip) | Cell::Network(ip, _) => map.serialize_entry(key, &Text(ip)),
            Cell::Endpoint(endpoint) | Cell::Bound(endpoint, ..) => {
                let named = self.names.map(|names| {
                    let ephemeral = self.snapshot.sample.facts.sysctls.port_range();
                    Address::named(endpoint, names, self.snapshot.sample.protocol, ephemeral.as_ref())
                });
                map.serialize_entry(key, &named.unwrap_or_else(|| Address::from(endpoint)))
            }
            Cell::Count(n) | Cell::AtLeast(n) | Cell::Hex(n) | Cell::Bytes(n) | Cell::Whole(n) => {
                map.serialize_entry(key, &n)
            }
            Cell::Millis(n) => map.serialize_entry(key, &n),
            Cell::Interface(n, name) => {
                if let Some(name) = name {
                    map.serialize_entry("interface", name.raw())?;
                }
                map.serialize_entry(key, &n)
            }
            Cell::Seconds(n) | Cell::Rate(n) | Cell::Ratio(n) | Cell::Gauge(n) => {
                map.serialize_entry(key, &n)
            }
            Cell::Age(age) => map.serialize_entry(key, &age.seen.as_secs()),
            Cell::Timer { .. } => map.serialize_entry(key, &Timer::of(self.row)),
            Cell::Past(past) => map.serialize_entry(key, past),
            Cell::PerSecond(n) => map.serialize_entry(key, &n),
            Cell::Verdict(verdict) => map.serialize_entry(key, &verdict.map(AuditVerdict::name)),
            Cell::Severity(severity, _) => map.serialize_entry(key, &severity.map(Severity::name)),
        }
    }
}

#[derive(Serialize)]
struct Timer {
    kind: &'static str,
    /// The kernel's number of a timer that has no name here.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retransmits: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unanswered: Option<u8>,
}

impl Timer {
    fn of(row: &SocketRow) -> Self {
        let kind = row.timer();
        Self {
            kind: kind.name(),
            number: if let TimerKind::Other(n) = kind { Some(n) } else { None },
            expires_ms: (kind != TimerKind::None).then_some(row.expires_ms),
            retransmits: matches!(kind, TimerKind::Retransmit | TimerKind::Probe).then_some(row.retrans),
            unanswered: (kind == TimerKind::Keepalive).then_some(row.retrans),
        }
    }
}

/// `tcp_info` by the kernel's names.
struct Fields<'a>(&'a TcpInfo);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::World;
    use crate::model::{Endpoint, Gap, Netns, Origin, SocketDetail, TcpState};
    use crate::query::{Selection, SocketQuery, Sort, sockets};
    use crate::report::Detail;
    use crate::testkit::{self, socket};

    fn written(world: &World, columns: Option<&[ColumnId]>, detail: Option<&mut Detail<'_>>) -> Value {
        let sort = Sort::by(C::Cookie);
        let view = sockets(world, &SocketQuery { select: Selection::All, sort, want: usize::MAX });
        let mut out = Vec::new();
        // Each lifetime is shortened on its own.
        let detail = detail.map(|d| d as &mut Detail<'_>);
        write_json(List { world, view: &view, columns, names: None, detail }, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    fn timer(kind: u8, state: TcpState) -> Value {
        let mut row = socket(state, "10.0.0.1:80", "10.0.0.2:5000");
        (row.timer_raw, row.expires_ms, row.retrans) = (kind, 1500, 3);
        written(&testkit::world_of(vec![row]), None, None)["sockets"][0]["timer"].take()
    }

    #[test]
    fn a_list_without_the_sockets_of_a_namespace_is_not_complete() {
        let mut world = testkit::world_of(Vec::new());
        assert_eq!(written(&world, None, None)["complete"], json!(true));
        world.unexamined = vec![testkit::unexamined("web", "operation not permitted")];
        let said = written(&world, None, None);
        assert_eq!(said["complete"], json!(false));
        assert_eq!(said["gaps"], json!(["netns web: operation not permitted"]));
    }

    #[test]
    fn each_kind_of_timer_has_what_applies_to_it() {
        let open = TcpState::Established;
        assert_eq!(timer(0, open), json!({"kind": "none"}));
        assert_eq!(timer(1, open), json!({"kind": "retransmit", "expires_ms": 1500, "retransmits": 3}));
        assert_eq!(timer(2, open), json!({"kind": "keepalive", "expires_ms": 1500, "unanswered": 3}));
        assert_eq!(timer(3, TcpState::TimeWait), json!({"kind": "time_wait", "expires_ms": 1500}));
        assert_eq!(timer(4, open), json!({"kind": "probe", "expires_ms": 1500, "retransmits": 3}));
        assert_eq!(timer(5, open), json!({"kind": "delayed_ack", "expires_ms": 1500}));
        assert_eq!(timer(99, open), json!({"kind": "other", "number": 99, "expires_ms": 1500}));
    }

    #[test]
    fn null_is_not_known_and_absent_does_not_apply() {
        // An open connection without a file, from a source without cookies; a mini-socket; a listener.
        let mut unaccepted = socket(TcpState::Established, "10.0.0.1:80", "10.0.0.2:5000");
        unaccepted.inode = 0;
        let mut mini = socket(TcpState::TimeWait, "10.0.0.1:80", "10.0.0.2:5001");
        mini.set_cookie(1, 0);
        let mut listener = socket(TcpState::Listen, "0.0.0.0:80", "");
        listener.set_cookie(2, 0);
        let world = testkit::world_of(vec![unaccepted, mini, listener]);
        let list = written(&world, None, None);
        let [mini, listener, unaccepted] = &list["sockets"].as_array().unwrap()[..] else { panic!("three") };
        assert_eq!(
            (unaccepted.get("uid"), unaccepted.get("cookie")),
            (Some(&Value::Null), Some(&Value::Null))
        );
        assert_eq!((unaccepted.get("inode"), &unaccepted["keepalive"]), (None, &json!("off")));
        assert_eq!((mini.get("uid"), mini.get("keepalive")), (None, None));
        assert_eq!((listener.get("peer"), listener.get("keepalive")), (None, None));
    }

    #[test]
    fn what_may_be_missing_is_said() {
        let mut sample = testkit::sample(Vec::new());
        sample.completeness.gaps = vec![Gap::Interrupted];
        let list = written(&testkit::world(vec![testkit::snapshot(sample)]), None, None);
        assert_eq!(list["complete"], false);
        assert_eq!(list["gaps"], json!(["the table changed under the dump"]));
        let whole = written(&testkit::world_of(Vec::new()), None, None);
        assert_eq!((&whole["complete"], whole.get("gaps")), (&json!(true), None));
    }

    #[test]
    fn columns_become_keys_once_and_in_their_order() {
        let row = socket(TcpState::Established, "10.0.0.1:80", "10.0.0.2:5000");
        let mut sample = testkit::sample(vec![row]);
        sample.netns = Netns { inode: 1, name: "a\n\u{1b}[2Jb".into() };
        sample.table.rows[0].origin =
            sample.table.intern(Origin { ifindex: 4, mark: Some(16), ..Origin::default() });
        let world = testkit::world(vec![testkit::snapshot(sample)]);
        let columns = [C::PeerPort, C::Mark, C::Peer, C::Interface, C::Retrans, C::CgroupId, C::Netns];
        let list = written(&world, Some(&columns), None);
        let want = json!({"peer": {"addr": "10.0.0.2", "port": 5000}, "mark": 16, "ifindex": 4,
            "timer": {"kind": "none"}, "cgroup_id": null, "netns": "a\n\u{1b}[2Jb"});
        assert_eq!(list["sockets"][0], want);
        let keys: Vec<_> = list["sockets"][0].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["peer", "mark", "ifindex", "timer", "cgroup_id", "netns"]);
    }

    #[test]
    fn tcp_info_is_there_or_null_for_what_has_ended_or_absent_for_what_has_none() {
        let rows: Vec<_> = (1..=3)
            .map(|n| {
                let mut row = socket(TcpState::Established, "10.0.0.1:80", &format!("10.0.0.2:{n}"));
                row.set_cookie(n, 0);
                row
            })
            .collect();
        let mut info = vec![0; 104];
        info[68..72].copy_from_slice(&25_000u32.to_ne_bytes());
        let mut detail = |_: &Snapshot, row: &SocketRow| {
            let peer = Endpoint { port: row.peer_port, ..row.peer_endpoint() };
            let info = (peer.port == 1).then(|| TcpInfo::new(&info));
            let (mem, congestion, ulp, origin) = (None, None, None, Origin::default());
            (peer.port < 3).then_some(SocketDetail { row: *row, origin, info, mem, congestion, ulp })
        };
        let list = written(&testkit::world_of(rows), Some(&[C::State]), Some(&mut detail));
        let infos: Vec<_> = list["sockets"].as_array().unwrap().iter().map(|s| s.get("tcp_info")).collect();
        assert_eq!(infos[0].unwrap()["rtt"], 25_000);
        assert!(infos[0].unwrap().get("bytes_acked").is_none(), "this kernel does not send it");
        assert_eq!((infos[1], infos[2]), (None, Some(&Value::Null)));
    }
}
