//! Threads, mailboxes, cadence: gives each job its thread and never decides what anything means.

pub mod mailbox;
