//! Every touch of the operating system, and no interpretation. The only place with `unsafe` code.

pub mod bpf;
mod counters;
pub mod destroy;
pub mod diag;
mod host;
mod kernel_log;
pub mod memory;
pub mod names;
pub mod netfilter;
pub mod netns;
pub mod netns_find;
mod proc_facts;
mod proc_file;
pub mod processes;
mod procfs_table;
pub mod rtnl;
mod socket_options;
pub mod sockopt;

pub use host::{
    current_netns, kernel_ticks_per_second, read_host, several_processors, user_ids_are_the_kernels,
};
pub use kernel_log::KernelLog;
pub use proc_facts::{FactsReader, read_facts};
pub use procfs_table::{read_procfs_table, read_procfs_udp};
pub use socket_options::Prober;
