//! The list for people: aligned columns, a line a socket.

use std::fmt::Write as _;
use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::rows::List;
use super::table::write_cell;
use crate::query::{Align, Column as _};

/// Writes the list. The rows are read twice, once for the widths, so that nothing is kept of them. With details, a
/// second line holds the `tcp_info` fields that are not 0.
///
/// # Errors
/// Those of the writer.
pub fn write_text(mut list: List<'_>, mut out: impl Write) -> io::Result<()> {
    let specs: Vec<_> = list.shown().iter().map(|c| c.spec()).collect();
    let mut widths: Vec<usize> = specs.iter().map(|s| s.title.width()).collect();
    let mut text = String::new();
    for id in &list.view.order {
        for (width, cell) in widths.iter_mut().zip(list.cells(*id)) {
            text.clear();
            // A String takes whatever is written to it.
            let _ = write!(text, "{cell}");
            *width = text.width().max(*width);
        }
    }
    let end = specs.len().saturating_sub(1);
    let line = |at: usize, text: &str, align: Align, out: &mut dyn Write| {
        let width = widths.get(at).copied().unwrap_or_default();
        write_cell(out, text, width, align, at == end)
    };
    for (at, spec) in specs.iter().enumerate() {
        line(at, spec.title, spec.align, &mut out)?;
    }
    for id in &list.view.order {
        for (at, (spec, cell)) in specs.iter().zip(list.cells(*id)).enumerate() {
            text.clear();
            let _ = write!(text, "{cell}");
            line(at, &text, spec.align, &mut out)?;
        }
        if list.detail.is_some() {
            out.write_all(b"   ")?;
            match list.ask(*id).and_then(|d| d.info) {
                None => out.write_all(b" -")?,
                Some(info) => {
                    for (name, value) in info.iter().filter(|(_, value)| *value > 0) {
                        write!(out, " {name}:{value}")?;
                    }
                }
            }
            out.write_all(b"\n")?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TcpState;
    use crate::query::{ColumnId as C, Selection, SocketQuery, Sort, sockets};
    use crate::testkit::{self, socket};

    #[test]
    fn columns_are_as_wide_as_their_widest_value() {
        let mut kept = socket(TcpState::Established, "10.0.0.1:443", "192.168.100.200:51514");
        (kept.timer_raw, kept.expires_ms) = (2, 59_000);
        let rows = vec![
            socket(TcpState::Listen, "[::]:443", ""),
            kept,
            socket(TcpState::Established, "10.0.0.1:443", "10.0.0.2:9"),
        ];
        let world = testkit::world_of(rows);
        let sort = Sort { column: C::Peer, descending: true };
        let view = sockets(&world, &SocketQuery { select: Selection::All, sort, want: 9 });
        let columns = [C::State, C::Peer, C::LocalPort, C::Timer, C::Keepalive];
        let mut out = Vec::new();
        write_text(
            List { world: &world, view: &view, columns: Some(&columns), names: None, detail: None },
            &mut out,
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
STATE        PEER                   LPORT  TIMER          KEEPALIVE
ESTABLISHED  192.168.100.200:51514    443  keepalive 59s  on
ESTABLISHED  10.0.0.2:9               443  -              off
LISTEN       -                        443  -              -
"
        );
    }
}
