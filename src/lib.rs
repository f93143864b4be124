#![doc = "What is wrong with TCP on this machine, why, and what to do."]
//!
//! Data flows one way, one folder a layer:
//!
//! kernel bytes → [`wire`] → [`model::Sample`] → [`analysis::Snapshot`] → [`query`] → [`tui`] or [`report`]
//!
//! [`sys`] is the only place that touches the operating system and the only one with `unsafe` code;
//! [`source`] turns it into samples, [`engine`] gives each job its thread, [`cli`] is the command line.

pub mod analysis;
pub mod cli;
pub mod diagnose;
pub mod engine;
pub mod enrich;
pub mod lab;
pub mod model;
pub mod query;
pub mod report;
pub mod source;
pub mod sys;
#[doc(hidden)]
pub mod testkit;
pub mod tui;
pub mod wire;
