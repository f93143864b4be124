//! The columns of the socket table that tell its options, where the sockets were asked.

use std::borrow::Cow;

use super::cell::Cell;
use super::columns::ColumnId;
use super::key::Key;
use crate::analysis::{Snapshot, noticed_idle};
use crate::model::{SocketOptions, SocketRow, Unprobed};

use ColumnId as C;

/// What `--probe-options` adds to the columns.
pub const OPTION_COLUMNS: [ColumnId; 7] =
    [C::KeepIdle, C::KeepInterval, C::KeepProbes, C::UserTimeout, C::Linger, C::DeadPeer, C::Unprobed];

fn known<'a>(
    snapshot: &'a Snapshot,
    row: &SocketRow,
    cell: impl FnOnce(&SocketOptions) -> Cell<'a>,
) -> Cell<'a> {
    match snapshot.options_of(row) {
        None => Cell::Absent,
        Some(Err(_)) => Cell::Unknown,
        Some(Ok(options)) => cell(options),
    }
}

/// The value of a column that tells an option of the socket of `row`.
pub(super) fn cell<'a>(column: ColumnId, snapshot: &'a Snapshot, row: &SocketRow) -> Cell<'a> {
    let of = |cell: fn(&SocketOptions) -> Cell<'a>| known(snapshot, row, cell);
    match column {
        // Without keepalive its three settings mean nothing.
        C::KeepIdle => of(|o| if o.keepalive { Cell::Whole(o.idle.as_secs()) } else { Cell::Absent }),
        C::KeepInterval => of(|o| if o.keepalive { Cell::Whole(o.interval.as_secs()) } else { Cell::Absent }),
        C::KeepProbes => of(|o| if o.keepalive { Cell::Count(o.probes.into()) } else { Cell::Absent }),
        C::UserTimeout => of(|o| {
            let ms = o.user_timeout.and_then(|t| u32::try_from(t.as_millis()).ok());
            ms.map_or(Cell::Absent, Cell::Millis)
        }),
        C::Linger => of(|o| o.linger.map_or(Cell::Absent, |t| Cell::Whole(t.as_secs()))),
        C::DeadPeer if !row.state.has_peer() => Cell::Absent,
        C::DeadPeer => of(|o| noticed_idle(o).map_or(Cell::Word("never"), |t| Cell::Whole(t.as_secs()))),
        _ => match snapshot.options_of(row) {
            Some(Err(why)) => Cell::Text(said(why)),
            _ => Cell::Absent,
        },
    }
}

fn said(why: &Unprobed) -> Cow<'static, str> {
    why.to_string().into()
}

/// What such a column sorts by.
pub(super) fn key(column: ColumnId, snapshot: &Snapshot, row: &SocketRow) -> Key {
    let options = match (column, snapshot.options_of(row)) {
        (C::Unprobed, Some(Err(why))) => return Key::text(&why.to_string()),
        (_, Some(Ok(options))) => options,
        _ => return Key::MISSING,
    };
    let on = |n: u64| options.keepalive.then_some(n);
    let millis = |t: std::time::Duration| u64::try_from(t.as_millis()).unwrap_or(u64::MAX);
    let number = match column {
        C::KeepIdle => on(millis(options.idle)),
        C::KeepInterval => on(millis(options.interval)),
        C::KeepProbes => on(options.probes.into()),
        C::UserTimeout => options.user_timeout.map(millis),
        C::Linger => options.linger.map(millis),
        C::DeadPeer if !row.state.has_peer() => None,
        // Never is later than any time.
        C::DeadPeer => Some(noticed_idle(options).map_or(u64::MAX, millis)),
        _ => None,
    };
    Key::optional(number.map(Key::number))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::model::TcpState;
    use crate::query::{Selection, SocketQuery, values};
    use crate::query::{Sort, sockets};
    use crate::testkit::{self, socket};

    fn probed(options: &[(u32, crate::model::Probed)]) -> crate::analysis::World {
        let rows = options.iter().map(|(cookie, _)| {
            let mut row =
                socket(TcpState::Established, "10.0.0.1:80", &format!("10.9.9.9:{}", 5000 + cookie));
            row.timer_raw = 1;
            row.set_cookie(*cookie, 0);
            row
        });
        let mut world = testkit::world_of(rows.collect());
        let found = options.iter().map(|(cookie, p)| (u64::from(*cookie), p.clone())).collect();
        Arc::make_mut(&mut world.snapshots[0]).options = Arc::new(found);
        world
    }

    const ON: SocketOptions = SocketOptions {
        keepalive: true,
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        probes: 3,
        user_timeout: Some(Duration::from_millis(30_500)),
        linger: None,
    };

    #[test]
    fn what_was_read_is_certain_and_what_was_not_is_unknown() {
        let off = SocketOptions { keepalive: false, user_timeout: None, ..ON };
        let world = probed(&[(1, Ok(ON)), (2, Ok(off)), (3, Err(Unprobed::OldKernel))]);
        let shown = |at| {
            let all = std::iter::once(C::Keepalive).chain(OPTION_COLUMNS);
            all.map(|c| values::cell(c, &world.snapshots[0], at).to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(0), "on 1m00s 10s 3 30s - 1m10s -");
        assert_eq!(shown(1), "off - - - - - never -");
        assert!(shown(2).starts_with("unknown ? ? ? ? ? ? this kernel has no pidfd_getfd"), "{}", shown(2));
    }

    #[test]
    fn never_is_later_than_any_time_and_unknown_comes_last() {
        let off = SocketOptions { keepalive: false, ..ON };
        let world = probed(&[(1, Err(Unprobed::OldKernel)), (2, Ok(ON)), (3, Ok(off))]);
        let sort = Sort { column: C::DeadPeer, descending: true };
        let view = sockets(&world, &SocketQuery { select: Selection::All, sort, want: 9 });
        assert_eq!(view.order.iter().map(|id| id.row).collect::<Vec<_>>(), [2, 1, 0]);
    }
}
