//! What is written once and read by people or programs: the report and the list, each in its formats.
//!
//! Everything here writes to an `impl Write` and knows no terminal. One file a format, with the structures of its JSON;
//! the contract is that of `assets/schema`.

mod address;
mod ascii;
mod check_json;
mod check_text;
mod explain;
mod finding;
mod host;
mod incomplete;
mod kill;
mod list_csv;
mod list_json;
mod list_tabs;
mod list_text;
mod options;
mod process;
mod rows;
mod summary;
mod summary_json;
mod summary_text;
mod table;
mod time;
mod unjudged;

pub use ascii::Signs;
pub use check_json::write_json as write_check_json;
pub use check_text::{Extent, Outcome, write_text as write_check_text};
pub use explain::{write_explained_names, write_explanation};
pub use incomplete::{unprobed, warnings};
pub use kill::{sockets, write_outcome, write_plan};
pub use list_csv::write_csv;
pub use list_json::{USUAL as JSON_COLUMNS, write_json as write_list_json, write_lines as write_json_lines};
pub use list_tabs::write_tabs;
pub use list_text::write_text as write_list_text;
pub use rows::{Detail, List};
pub use summary::{Summary, addresses};
pub use summary_json::write_json as write_report_json;
pub use summary_text::write_text as write_report_text;

/// The number of the contract that the JSON follows.
pub const SCHEMA: u32 = 1;
