//! The screen.
//!
//! What happens becomes a [`msg::Msg`]; [`update::update`] applies it to the [`app::App`] and returns what others have
//! to do; [`view::view`] draws the state and computes nothing. [`layout::Layout`] is shared by both. Sorting and
//! filtering happen on the [`index`] thread, reading the machine in the engine, and neither is ever waited for.
//!
//! Nothing here touches the kernel's socket tables, reads a clock while drawing, or blocks while the terminal is ours.

pub mod app;
mod backend;
pub mod closing;
pub mod columns;
pub mod command;
pub mod detail;
pub mod explain;
pub mod filter;
pub mod findings;
pub mod format;
pub mod header;
pub mod index;
pub mod keepalive;
pub mod kernel;
pub mod keymap;
pub mod layout;
pub mod msg;
pub mod names;
pub mod namespaces;
pub mod notes;
pub mod options;
pub mod overview;
pub mod page;
pub mod paint;
pub mod runtime;
pub mod screen;
pub mod side;
pub mod table;
pub mod terminal;
pub mod text;
pub mod theme;
pub mod topic;
pub mod udp;
pub mod update;
pub mod view;

pub use runtime::{Control, Error, Feed, Start, run};
