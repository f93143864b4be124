//! Every touch of the operating system, and no interpretation.

pub mod diag;
