//! The list as CSV: a header with the names of the contract, then a line a socket.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::rows::List;
use crate::model::TcpInfo;
use crate::query::Column as _;

/// Writes the list. What is absent or unknown is an empty field; with details, each `tcp_info` field that any kernel
/// known to us sends has a column of its own, `tcp_info.rtt`.
///
/// # Errors
/// Those of the writer.
pub fn write_csv(mut list: List<'_>, out: impl Write) -> io::Result<()> {
    let mut csv = csv::WriterBuilder::new().flexible(false).from_writer(out);
    let info_names: Vec<&str> = if list.detail.is_some() { TcpInfo::names().collect() } else { Vec::new() };
    for column in list.shown() {
        csv.write_field(column.spec().name).map_err(into_io)?;
    }
    let mut field = String::new();
    for name in &info_names {
        field.clear();
        let _ = write!(field, "tcp_info.{name}");
        csv.write_field(&field).map_err(into_io)?;
    }
    csv.write_record(None::<&[u8]>).map_err(into_io)?;
    for id in &list.view.order {
        for cell in list.cells(*id) {
            field.clear();
            // A String takes whatever is written to it.
            let _ = write!(field, "{}", cell.plain());
            csv.write_field(&field).map_err(into_io)?;
        }
        if list.detail.is_some() {
            let info = list.ask(*id).and_then(|d| d.info);
            let mut sent = info.iter().flat_map(TcpInfo::iter).peekable();
            for name in &info_names {
                field.clear();
                if let Some((_, value)) = sent.next_if(|(n, _)| n == name) {
                    let _ = write!(field, "{value}");
                }
                csv.write_field(&field).map_err(into_io)?;
            }
        }
        csv.write_record(None::<&[u8]>).map_err(into_io)?;
    }
    csv.flush()
}

/// Keeps the kind, so that a closed pipe is still known as one.
fn into_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(e) => e,
        other => io::Error::other(format!("{other:?}")),
    }
}
