//! The list as JSON (`assets/schema/list.schema.json`). Rows are written as they come; nothing is collected.

use std::cell::RefCell;
use std::io::{self, Write};

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::address::{Address, Text};
use super::rows::List;
use super::{SCHEMA, incomplete, time};
use crate::analysis::Snapshot;
use crate::model::{RowFlags, SocketRow, TcpInfo, TimerKind};
use crate::query::{Cell, Column as _, ColumnId, RowId, cell};

use ColumnId as C;

/// What a socket has when no columns were asked for.
const USUAL: [ColumnId; 12] = [
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
    let mut keys: Vec<ColumnId> = Vec::new();
    for key in list.columns.unwrap_or(&USUAL).iter().map(|c| whole(*c)) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let document = Document {
        schema: SCHEMA,
        taken_at: first.and_then(|s| time::rfc3339(s.sample.taken.wall)),
        netns: first.map(|s| s.sample.netns.name.raw()),
        complete: samples().all(|s| s.completeness.is_complete()),
        gaps: samples().flat_map(incomplete::gaps).collect(),
        sockets: Sockets { keys, list: RefCell::new(list) },
    };
    serde_json::to_writer(&mut out, &document)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The key that holds a column: parts of an address and of a timer are in one object.
const fn whole(column: ColumnId) -> ColumnId {
    match column {
        C::LocalAddr | C::LocalPort => C::Local,
        C::PeerAddr | C::PeerPort => C::Peer,
        C::ExpiresMs | C::Retrans => C::Timer,
        other => other,
    }
}

/// The name of a key. Durations say their unit, and an interface is known by its number only.
fn key_name(column: ColumnId) -> &'static str {
    match column {
        C::Interface => "ifindex",
        C::Age => "age_s",
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
            rows.serialize_element(&Socket { keys: &self.keys, snapshot, row, at: id.row as usize, info })?;
        }
        rows.end()
    }
}

struct Socket<'a> {
    keys: &'a [ColumnId],
    snapshot: &'a Snapshot,
    row: &'a SocketRow,
    at: usize,
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
        if list.detail.is_none() {
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

impl Socket<'_> {
    fn entry<M: SerializeMap>(&self, column: ColumnId, map: &mut M) -> Result<(), M::Error> {
        let key = key_name(column);
        match cell(column, self.snapshot, self.at) {
            // A socket without a timer says so.
            Cell::Absent if column == C::Timer => map.serialize_entry(key, &Timer::of(self.row)),
            Cell::Absent => Ok(()),
            Cell::Unknown => map.serialize_entry(key, &()),
            Cell::Word(word) => {
                map.serialize_entry(key, word)?;
                if column == C::Family && self.row.flags.has(RowFlags::MAPPED) {
                    map.serialize_entry("mapped", &true)?;
                }
                Ok(())
            }
            Cell::Text(text) => map.serialize_entry(key, &*text),
            Cell::Foreign(text) => map.serialize_entry(key, text.raw()),
            Cell::Addr(ip) | Cell::Network(ip, _) => map.serialize_entry(key, &Text(ip)),
            Cell::Endpoint(endpoint) => map.serialize_entry(key, &Address::from(endpoint)),
            Cell::Count(n) | Cell::Hex(n) | Cell::Bytes(n) => map.serialize_entry(key, &n),
            Cell::Millis(n) | Cell::Interface(n) => map.serialize_entry(key, &n),
            Cell::Seconds(n) | Cell::Rate(n) | Cell::Ratio(n) => map.serialize_entry(key, &n),
            Cell::Age(age) => map.serialize_entry(key, &age.seen.as_secs()),
            Cell::Timer { .. } => map.serialize_entry(key, &Timer::of(self.row)),
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
