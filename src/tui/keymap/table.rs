//! The one table of keys.

use ratatui::crossterm::event::KeyCode;

use super::{Action, Binding, Key, When, bind};
use crate::tui::screen::Screen;

/// Every key. What comes first is shown first.
pub const KEYMAP: &[Binding] = &[
    bind(&[Key::char('y')], Action::CloseThem, When::AskToClose, "close the connections that are shown")
        .short("close them"),
    bind(&[Key::char('n')], Action::Back, When::AskToClose, "close nothing").short("close nothing"),
    bind(
        &[Key::char('l')],
        Action::CloseListeners,
        When::AskToClose,
        "close listeners, too, or leave them alone",
    )
    .short("listeners, too"),
    bind(
        &[Key::char('o')],
        Action::CloseOwnSession,
        When::AskToClose,
        "close the connection that this session runs over, too, or leave it alone",
    )
    .short("own session, too"),
    bind(&[Key::char('a')], Action::CloseAll, When::AskToClose, "all that match the filter instead")
        .short("all that match"),
    bind(&[Key::char('?'), Key::code(KeyCode::F(1))], Action::Help, When::Always, "this help").short("help"),
    bind(&[Key::char('p')], Action::Group, When::Kernel, "the sysctls, or the counters that have moved")
        .short("sysctls/counters"),
    bind(&[Key::char('f'), Key::char('7')], Action::Go(Screen::Findings), When::Always, "Findings")
        .short("findings"),
    bind(&[Key::char('q')], Action::Quit, When::Always, "quit").short("quit"),
    bind(&[Key::ctrl('c')], Action::Quit, When::Everywhere, "quit, from the filter line, too"),
    bind(
        &[Key::code(KeyCode::Enter)],
        Action::LineTake,
        When::FilterLine,
        "take the filter; an empty one shows every socket",
    )
    .short("take"),
    bind(
        &[Key::code(KeyCode::Esc)],
        Action::LineGiveUp,
        When::FilterLine,
        "give it up: what was in force before stays",
    )
    .short("give up"),
    bind(
        &[Key::code(KeyCode::Tab)],
        Action::LineComplete,
        When::FilterLine,
        "the next word that can stand here: of the language, or a value that is seen",
    )
    .short("complete"),
    bind(&[Key::code(KeyCode::BackTab)], Action::LineCompleteBack, When::FilterLine, "the word before"),
    bind(&[Key::code(KeyCode::Up), Key::ctrl('p')], Action::LineOlder, When::FilterLine, "the filter before")
        .short("history"),
    bind(
        &[Key::code(KeyCode::Down), Key::ctrl('n')],
        Action::LineNewer,
        When::FilterLine,
        "the filter after",
    )
    .short("history"),
    bind(
        &[Key::char('/')],
        Action::Filter,
        When::Outside,
        "filter: only the sockets that match, on every screen, in the language of ss",
    )
    .short("filter"),
    bind(
        &[Key::code(KeyCode::Esc), Key::code(KeyCode::Backspace)],
        Action::Back,
        When::Deep,
        "back to where you came from, on the same row",
    )
    .short("back"),
    bind(
        &[Key::code(KeyCode::Enter)],
        Action::Open,
        When::Openable,
        "open: the sockets of a row, a socket, a finding, the sockets that prove it",
    )
    .short("open"),
    bind(
        &[Key::char('F')],
        Action::Pane,
        When::Peers,
        "the cursor into the findings of the first screen, as up from its first row does, and Esc back",
    ),
    bind(&[Key::char('<')], Action::SortLeft, When::Tables, "sort by the column to the left").short("sort"),
    bind(&[Key::char('>')], Action::SortRight, When::Tables, "sort by the column to the right").short("sort"),
    bind(&[Key::char('r')], Action::Reverse, When::Tables, "reverse the order").short("reverse"),
    bind(&[Key::char('p')], Action::Group, When::Peers, "peers by address, or by network (/24, /64)")
        .short("networks"),
    bind(
        &[Key::char('p')],
        Action::Group,
        When::Processes,
        "put together by process, command, user, systemd unit or container",
    )
    .short("group"),
    bind(
        &[Key::char('o')],
        Action::Probe,
        When::Detail,
        "read keepalive, user timeout and linger from the socket itself; says first what that does",
    )
    .short("options"),
    bind(&[Key::char(' ')], Action::Freeze, When::Outside, "freeze the screen; looking goes on behind it")
        .short("freeze"),
    bind(
        &[Key::char('y')],
        Action::Command,
        When::Rows,
        "what is shown here as a command of ss, also to the clipboard",
    )
    .short("ss"),
    bind(
        &[Key::char('K')],
        Action::Close,
        When::Rows,
        "close the connections of this row, or of those that are marked; they are shown first",
    )
    .short("close"),
    bind(
        &[Key::char('t'), Key::code(KeyCode::Insert)],
        Action::Mark,
        When::Tables,
        "mark a row to be closed, or take its mark away",
    )
    .short("mark"),
    bind(
        &[Key::char('u')],
        Action::Udp,
        When::Outside,
        "the UDP sockets with their drops, and back; they are looked at only while they are shown",
    )
    .short("UDP"),
    bind(
        &[Key::char('o')],
        Action::Probe,
        When::Connections,
        "how many connections of this row, or of this table, have keepalive; says first what asking does",
    )
    .short("keepalive"),
    bind(
        &[Key::char('R')],
        Action::Names,
        When::Rows,
        "names instead of addresses and ports, from this machine's resolver, and back",
    )
    .short("names"),
    bind(&[Key::code(KeyCode::Up), Key::char('k')], Action::Up, When::Always, "up"),
    bind(&[Key::code(KeyCode::Down), Key::char('j')], Action::Down, When::Always, "down"),
    bind(&[Key::code(KeyCode::PageUp), Key::ctrl('b')], Action::PageUp, When::Always, "a page up"),
    bind(&[Key::code(KeyCode::PageDown), Key::ctrl('f')], Action::PageDown, When::Always, "a page down"),
    bind(
        &[Key::code(KeyCode::Home), Key::char('g')],
        Action::Top,
        When::Always,
        "to the top, and stay there",
    ),
    bind(&[Key::code(KeyCode::End), Key::char('G')], Action::Bottom, When::Always, "to the end"),
    bind(&[Key::code(KeyCode::Left), Key::char('h')], Action::Left, When::Tables, "columns to the left"),
    bind(&[Key::code(KeyCode::Right), Key::char('l')], Action::Right, When::Tables, "columns to the right"),
    bind(&[Key::char('1')], Action::Go(Screen::Overview), When::Always, "Overview"),
    bind(&[Key::char('2')], Action::Go(Screen::Peers), When::Always, "Peers"),
    bind(&[Key::char('3')], Action::Go(Screen::Sockets), When::Always, "Sockets"),
    bind(&[Key::char('4')], Action::Go(Screen::Listeners), When::Always, "Listeners"),
    bind(&[Key::char('5')], Action::Go(Screen::Processes), When::Always, "Processes"),
    bind(&[Key::char('6')], Action::Go(Screen::Ports), When::Always, "Ports: use of the ephemeral ports"),
    bind(&[Key::char('8')], Action::Go(Screen::Kernel), When::Always, "Kernel: sysctls and counters"),
    bind(&[Key::code(KeyCode::Tab)], Action::NextScreen, When::Always, "next screen"),
    bind(&[Key::code(KeyCode::BackTab)], Action::PreviousScreen, When::Always, "previous screen"),
    bind(
        &[Key::char('n')],
        Action::NextNetns,
        When::Outside,
        "the next network namespace alone, and after the last one all together (with --netns all)",
    ),
    bind(&[Key::char('N')], Action::PreviousNetns, When::Outside, "the previous network namespace"),
    bind(&[Key::char('+'), Key::char('=')], Action::Slower, When::Outside, "look less often"),
    bind(&[Key::char('-')], Action::Faster, When::Outside, "look more often"),
    bind(&[Key::ctrl('l')], Action::Redraw, When::Everywhere, "draw the screen anew"),
    bind(&[Key::ctrl('z')], Action::Suspend, When::Everywhere, "stop; fg brings it back"),
];
