//! Bytes to values: netlink framing, `inet_diag`, the text of `/proc`.
//!
//! Pure: nothing here opens a file or asks the kernel, nothing allocates per socket, and no bytes can make it panic.
//! What is valid is kept, what is not is counted.
#![deny(clippy::indexing_slicing)]

mod bpf;
mod btf;
pub mod bytecode;
mod cgroup_path;
pub mod inet_diag;
pub mod netlink;
mod proc_cgroups;
mod proc_conntrack;
mod proc_counters;
mod proc_dev;
mod proc_file_nr;
mod proc_kmsg;
mod proc_neighbours;
mod proc_pid;
mod proc_sockstat;
mod proc_softnet;
mod proc_tcp;
mod proc_text;
mod proc_udp;
pub mod request;
pub mod table_walk;

pub use cgroup_path::cgroup;
pub use proc_cgroups::hierarchies;
pub use proc_conntrack::conntrack_stats;
pub use proc_counters::{TakeCounter, header_pairs, snmp6};
pub use proc_dev::interfaces;
pub use proc_file_nr::file_nr;
pub use proc_kmsg::kernel_message;
pub use proc_neighbours::neighbours;
pub use proc_pid::{PidStat, cgroup_path, passwd, pid_stat, soft_nofile, user_ids};
pub use proc_sockstat::sockstat;
pub use proc_softnet::softnet;
pub use proc_tcp::tcp_line;
pub use proc_text::Parsed;
pub use proc_udp::{udp_drops, udp_line};
