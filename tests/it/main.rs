//! The program and its readers on this machine as it is, without any privilege.
#![expect(clippy::unwrap_used, reason = "tests, helpers included")]

mod facts;
