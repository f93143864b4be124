//! Plain data: what the layers hand to each other.
//!
//! Nothing here reads, decides or draws; a type only keeps its own invariants.

mod addr;
mod asked;
mod cgroup;
mod counters;
mod names;
mod options;
mod owners;
mod reading;
mod row;
mod sample;
mod spare;
mod state;
pub mod sysctl;
mod tcp_info;
mod text;
mod units;

pub use addr::{Endpoint, Ip};
pub use asked::{Asked, Condition};
pub use cgroup::{Cgroup, Container, Runtime};
pub use counters::{
    Conntrack, ConntrackStats, CounterTable, Facts, FileNr, InterfaceRow, InterfaceRpFilter, KernelMessage,
    NeighbourTable, Neighbours, Sockstat, SoftnetRow, UdpDrops,
};
pub use names::{HostNames, Names, Services};
pub use options::{Probed, Refusal, SocketOptions, Unlisted, Unprobed};
pub use owners::{Blindness, Holder, InNoTable, Owners, Process};
pub use reading::{Reading, Scope};
pub use row::{Keepalive, KeepaliveSeen, Origin, RowFlags, SocketRow, Table, TimerKind};
pub use sample::{
    Capability, Completeness, Gap, Host, ListenerDrops, Netns, Privileges, Protocol, Protocols, Sample,
    TableSource, Taken, Unexamined,
};
pub use state::{StateCounts, TcpState};
pub use sysctl::Sysctls;
pub use tcp_info::{SkMemInfo, SocketDetail, TcpInfo};
pub use text::{ForeignText, has_utf8, is_unprintable};
pub use units::{Bytes, Grouped, Percent, Span, plural, thousandths};
