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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Netns, TcpState};
    use crate::query::{ColumnId, Selection, SocketQuery, Sort, sockets};
    use crate::testkit::{self, socket};

    struct Pipe(usize);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn write(
        rows: Vec<crate::model::SocketRow>,
        netns: &str,
        columns: &[ColumnId],
        out: impl Write,
    ) -> io::Result<()> {
        let mut sample = testkit::sample(rows);
        sample.netns = Netns { inode: 1, name: netns.into() };
        let world = testkit::world(vec![testkit::snapshot(sample)]);
        let query = SocketQuery { select: Selection::All, sort: Sort::by(columns[0]), want: usize::MAX };
        let view = sockets(&world, &query);
        write_csv(List { world: &world, view: &view, columns: Some(columns), names: None, detail: None }, out)
    }

    #[test]
    fn names_that_someone_else_chose_stay_in_their_field_and_cannot_steer_a_terminal() {
        let mut out = Vec::new();
        let row = socket(TcpState::Listen, "0.0.0.0:80", "");
        let columns = [ColumnId::Netns, ColumnId::State, ColumnId::Peer];
        write(vec![row], "a,\"b\"\n\u{1b}[2J", &columns, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "netns,state,peer\n\"a,\"\"b\"\"\\n\\u{1b}[2J\",LISTEN,\n");
    }

    #[test]
    fn a_closed_pipe_is_told_as_one() {
        for room in [0, 100, 60_000] {
            let error = write(testkit::many(20_000), "init", ColumnId::USUAL, Pipe(room)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
