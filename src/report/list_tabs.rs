//! The list for other programs of a pipe: a header with the names of the contract, then a line a socket, tabs between the
//! values and nothing to align them. No value holds a tab or the end of a line: what others chose is escaped.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::rows::List;
use crate::model::TcpInfo;
use crate::query::{Cell, Column as _};

/// Writes the list. What does not apply is `-` and what could not be known is `?`, so that no field is empty; with details,
/// each `tcp_info` field that any kernel known to us sends has a column of its own, `tcp_info.rtt`.
///
/// # Errors
/// Those of the writer.
pub fn write_tabs(mut list: List<'_>, mut out: impl Write) -> io::Result<()> {
    let info_names: Vec<&str> = if list.detail.is_some() { TcpInfo::names().collect() } else { Vec::new() };
    let columns = list.shown().iter().map(|c| c.spec().name.to_owned());
    let header: Vec<String> = columns.chain(info_names.iter().map(|n| format!("tcp_info.{n}"))).collect();
    writeln!(out, "{}", header.join("\t"))?;
    let mut line = String::new();
    for id in &list.view.order {
        line.clear();
        // A String takes whatever is written to it.
        for cell in list.cells(*id) {
            let _ = match cell {
                Cell::Absent | Cell::Unknown => write!(line, "{cell}\t"),
                cell => write!(line, "{}\t", cell.plain()),
            };
        }
        if list.detail.is_some() {
            let info = list.ask(*id).and_then(|d| d.info);
            let mut sent = info.iter().flat_map(TcpInfo::iter).peekable();
            for name in &info_names {
                let _ = match sent.next_if(|(n, _)| n == name) {
                    Some((_, value)) => write!(line, "{value}\t"),
                    None => write!(line, "-\t"),
                };
            }
        }
        line.pop();
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Netns, TcpState};
    use crate::query::{ColumnId as C, Selection, SocketQuery, Sort, sockets};
    use crate::testkit::{self, socket};

    #[test]
    fn every_line_has_every_field_whatever_somebody_else_chose() {
        let mut kept = socket(TcpState::Established, "10.0.0.1:443", "192.168.100.200:51514");
        (kept.timer_raw, kept.expires_ms, kept.recv_q) = (2, 59_000, 2_000_000);
        let rows = vec![kept, socket(TcpState::Listen, "[::]:443", "")];
        let mut sample = testkit::sample(rows);
        sample.netns = Netns { inode: 1, name: "a\tb\n\u{1b}[2J".into() };
        let world = testkit::world(vec![testkit::snapshot(sample)]);
        let query = SocketQuery { select: Selection::All, sort: Sort::by(C::State), want: 9 };
        let view = sockets(&world, &query);
        let columns = [C::State, C::Peer, C::RecvQ, C::Timer, C::ExpiresMs, C::Cookie, C::Netns];
        let mut out = Vec::new();
        write_tabs(
            List { world: &world, view: &view, columns: Some(&columns), names: None, detail: None },
            &mut out,
        )
        .unwrap();
        let netns = "a\\tb\\n\\u{1b}[2J";
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "state\tpeer\trecv_q\ttimer\texpires_ms\tcookie\tnetns\n\
                 ESTABLISHED\t192.168.100.200:51514\t2000000\tkeepalive\t59000\t?\t{netns}\n\
                 LISTEN\t-\t0\t-\t-\t?\t{netns}\n"
            )
        );
    }
}
