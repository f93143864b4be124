//! Every key, once: what it does, where it is live, what the footer and the help say of it.

mod table;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::screen::Screen;
use super::theme::Glyphs;

pub use table::KEYMAP;

/// What the user means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each is explained by its line of the keymap")]
pub enum Action {
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Left,
    Right,
    Open,
    Pane,
    Back,
    SortLeft,
    SortRight,
    Reverse,
    Group,
    Go(Screen),
    NextScreen,
    PreviousScreen,
    Freeze,
    Slower,
    Faster,
    Filter,
    Mark,
    Close,
    Command,
    CloseThem,
    CloseListeners,
    CloseOwnSession,
    CloseAll,
    LineTake,
    LineGiveUp,
    LineComplete,
    LineCompleteBack,
    LineOlder,
    LineNewer,
    Udp,
    Names,
    NextNetns,
    PreviousNetns,
    Probe,
    Help,
    Redraw,
    Suspend,
    Quit,
}

/// Where the user is, as far as keys are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A table of peers.
    Peers,
    /// A table of processes.
    Processes,
    /// The sysctls or the counters.
    Kernel,
    /// Any other table.
    Table,
    /// The detail of a socket.
    Detail,
    /// Keepalive of many connections.
    Keepalive,
    /// The findings of the first screen.
    Pane,
    /// A finding.
    Finding,
    /// A sysctl or a counter.
    Topic,
    /// The help.
    Help,
    /// What is shown, as a command of `ss`.
    Command,
    /// Connections that are shown before they are closed.
    AskToClose,
    /// What became of them.
    Closed,
    /// The line in which a filter is typed: characters are text there.
    FilterLine,
}

impl Place {
    /// Whether it is a table.
    #[must_use]
    pub const fn is_table(self) -> bool {
        matches!(self, Self::Peers | Self::Processes | Self::Kernel | Self::Table)
    }
}

/// A place, and whether something lies under it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// The place.
    pub place: Place,
    /// There is a way back.
    pub deep: bool,
}

/// Where a key is live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Everywhere, where text is typed, too.
    Everywhere,
    /// Everywhere but where text is typed.
    Always,
    /// Where there is a way back.
    Deep,
    /// Everywhere but in a text that lies over everything.
    Outside,
    /// In tables.
    Tables,
    /// In tables of peers.
    Peers,
    /// In tables of processes.
    Processes,
    /// Where something is chosen that could be closed: in tables, the detail of a socket, and a finding.
    Rows,
    /// While connections are shown before they are closed.
    AskToClose,
    /// While a filter is typed.
    FilterLine,
    /// In the tables of the kernel.
    Kernel,
    /// Where there is something to open.
    Openable,
    /// In the detail of a socket.
    Detail,
    /// Where connections can be asked for their keepalive.
    Connections,
}

impl When {
    /// Whether a key is live here.
    #[must_use]
    pub const fn is_live(self, Context { place, deep }: Context) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Always => !matches!(place, Place::FilterLine),
            Self::Deep => deep && !matches!(place, Place::FilterLine),
            Self::Outside => {
                place.is_table()
                    || matches!(place, Place::Pane | Place::Detail | Place::Keepalive)
                    || matches!(place, Place::Finding | Place::Topic)
            }
            Self::Rows => place.is_table() || matches!(place, Place::Detail | Place::Finding),
            Self::AskToClose => matches!(place, Place::AskToClose),
            Self::Tables => place.is_table(),
            Self::Peers => matches!(place, Place::Peers),
            Self::Processes => matches!(place, Place::Processes),
            Self::FilterLine => matches!(place, Place::FilterLine),
            Self::Kernel => matches!(place, Place::Kernel),
            Self::Openable => place.is_table() || matches!(place, Place::Pane | Place::Finding),
            Self::Detail => matches!(place, Place::Detail),
            Self::Connections => {
                matches!(place, Place::Peers | Place::Processes | Place::Table | Place::Keepalive)
            }
        }
    }
}

/// A key with its modifiers. Shift is part of the character.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key(KeyCode, KeyModifiers);

impl Key {
    const fn code(code: KeyCode) -> Self {
        Self(code, KeyModifiers::NONE)
    }

    const fn char(c: char) -> Self {
        Self::code(KeyCode::Char(c))
    }

    const fn ctrl(c: char) -> Self {
        Self(KeyCode::Char(c), KeyModifiers::CONTROL)
    }

    fn of(event: KeyEvent) -> Self {
        Self(event.code, event.modifiers.difference(KeyModifiers::SHIFT))
    }

    /// How the key is called.
    #[must_use]
    pub fn name(self, glyphs: &Glyphs) -> String {
        let ascii = glyphs.ellipsis.is_ascii();
        let arrow = |symbol: &str, word: &str| if ascii { word } else { symbol }.to_owned();
        let name = match self.0 {
            KeyCode::Char(' ') => "space".to_owned(),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::F(n) => format!("F{n}"),
            KeyCode::Up => arrow("↑", "Up"),
            KeyCode::Down => arrow("↓", "Down"),
            KeyCode::Left => arrow("←", "Left"),
            KeyCode::Right => arrow("→", "Right"),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::BackTab => "Shift-Tab".to_owned(),
            KeyCode::Enter => glyphs.enter.to_owned(),
            other => other.to_string(),
        };
        if self.1.contains(KeyModifiers::CONTROL) { format!("Ctrl-{}", name.to_uppercase()) } else { name }
    }
}

/// One line of the keymap.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// The keys; the first ones are those that the help and the footer show.
    pub keys: &'static [Key],
    /// What they do.
    pub action: Action,
    /// Where.
    pub when: When,
    /// The word in the footer; none for a key that everyone guesses.
    pub short: Option<&'static str>,
    /// The line in the help.
    pub help: &'static str,
}

const fn bind(keys: &'static [Key], action: Action, when: When, help: &'static str) -> Binding {
    Binding { keys, action, when, short: None, help }
}

impl Binding {
    const fn short(self, word: &'static str) -> Self {
        Self { short: Some(word), ..self }
    }
}

/// What a key means here.
#[must_use]
pub fn action(event: KeyEvent, context: Context) -> Option<Action> {
    let key = Key::of(event);
    KEYMAP.iter().find(|b| b.when.is_live(context) && b.keys.contains(&key)).map(|b| b.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts() -> impl Iterator<Item = Context> {
        [
            Place::Peers,
            Place::Processes,
            Place::Kernel,
            Place::Table,
            Place::Pane,
            Place::Detail,
            Place::Keepalive,
            Place::Finding,
            Place::Topic,
            Place::Help,
            Place::FilterLine,
        ]
        .into_iter()
        .flat_map(|place| [true, false].map(|deep| Context { place, deep }))
    }

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for context in contexts() {
            let live = KEYMAP.iter().filter(|b| b.when.is_live(context));
            let mut keys: Vec<Key> = live.flat_map(|b| b.keys.iter().copied()).collect();
            while let Some(key) = keys.pop() {
                assert!(!keys.contains(&key), "{key:?} in {context:?}");
            }
        }
    }

    #[test]
    fn every_screen_has_its_number() {
        for screen in Screen::ALL {
            let digit = char::from_digit(screen.number(), 10).unwrap();
            let event = KeyEvent::new(KeyCode::Char(digit), KeyModifiers::NONE);
            for context in contexts() {
                let typing = context.place == Place::FilterLine;
                assert_eq!(action(event, context), (!typing).then_some(Action::Go(screen)));
            }
        }
    }

    #[test]
    fn shifted_characters_are_found_with_and_without_the_modifier() {
        let here = Context { place: Place::Table, deep: false };
        for modifiers in [KeyModifiers::NONE, KeyModifiers::SHIFT] {
            let event = |c| KeyEvent::new(KeyCode::Char(c), modifiers);
            assert_eq!(action(event('G'), here), Some(Action::Bottom));
            assert_eq!(action(event('>'), here), Some(Action::SortRight));
            assert_eq!(action(event('?'), here), Some(Action::Help));
        }
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(action(ctrl_c, Context { place: Place::Help, deep: true }), Some(Action::Quit));
    }

    #[test]
    fn while_a_filter_is_typed_no_character_is_a_key() {
        let here = Context { place: Place::FilterLine, deep: true };
        for c in (' '..='~').chain(['é', '日']) {
            assert_eq!(action(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE), here), None, "{c}");
        }
        let esc = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);
        assert_eq!(action(esc, here), Some(Action::LineGiveUp));
    }

    #[test]
    fn escape_at_the_root_means_nothing() {
        let esc = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);
        assert_eq!(action(esc, Context { place: Place::Peers, deep: false }), None);
        assert_eq!(action(esc, Context { place: Place::Peers, deep: true }), Some(Action::Back));
    }
}
