//! The screens as text, each beside what it has to mean.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is not as it should be"
)]

mod behaviour;
mod closing;
mod command;
mod filter;
mod findings;
mod keepalive;
mod kernel;
mod names;
mod namespaces;
mod options;
mod pane;
mod picture;
mod processes;
mod rig;
mod screens;
mod the_loop;
mod udp;
mod worlds;
