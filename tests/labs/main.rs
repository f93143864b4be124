//! The real kernel, in network namespaces that the tests make for themselves.
//!
//! Where no namespace can be made a test says SKIPPED and why; with `TCPTOP_LABS=require` that is a failure.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests, helpers included")]

mod cleanup;
mod counters;
mod facts;
mod filter;
mod harness;
mod healthy;
mod info;
mod keepalive;
mod kill;
mod memory;
mod namespaces;
mod observer;
mod oracle;
mod ports;
mod probe;
mod processes;
mod processes_table;
mod resolve;
mod scenarios;
mod scenarios_command;
mod screen;
mod ss;
mod states;
#[path = "../pty/harness.rs"]
#[expect(dead_code, reason = "the tests of the terminal use the rest")]
mod terminal;
mod tool;
mod udp;
