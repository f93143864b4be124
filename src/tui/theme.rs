//! How the screen looks: styles by role, and the characters that a terminal can draw.
//!
//! A screen asks for a role, never for a colour. Sixteen colours and text attributes are all that the built-in themes
//! use, so that the user's own palette decides; nothing is said by colour alone.

use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};

use crate::model::has_utf8;

macro_rules! roles {
    ($($(#[$doc:meta])* $role:ident = $name:literal),* $(,)?) => {
        /// What a piece of text is.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Role {
            $($(#[$doc])* $role),*
        }

        impl Role {
            /// Every role.
            pub const ALL: &[Self] = &[$(Self::$role),*];

            /// The name in a theme file.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$role => $name),* }
            }
        }
    };
}

roles! {
    /// Ordinary text.
    Text = "text",
    /// Less important text: units, zeros, explanations.
    Dim = "dim",
    /// Names of values.
    Label = "label",
    /// What the eye should find first: addresses, totals.
    Strong = "strong",
    /// Frames.
    Border = "border",
    /// Titles of frames.
    Title = "title",
    /// Column headers.
    Header = "header",
    /// The column header that is sorted by.
    Sorted = "sorted",
    /// The selected row.
    Selected = "selected",
    /// A row whose socket is gone.
    Gone = "gone",
    /// Keys in the footer and the help.
    Key = "key",
    /// The screen that is open.
    Tab = "tab",
    /// Bars of counts.
    Bar = "bar",
    /// Sparklines.
    Spark = "spark",
    /// More than before.
    Up = "up",
    /// Less than before.
    Down = "down",
    /// Nothing to worry about.
    Good = "good",
    /// Worth knowing.
    Notice = "notice",
    /// Something is going wrong.
    Warning = "warning",
    /// Something is wrong.
    Critical = "critical",
}

/// A theme file that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ThemeError {
    /// Not TOML, or not a table of strings.
    #[error("the theme is not a table of styles: {0}")]
    Syntax(String),
    /// A role that does not exist.
    #[error("no role is called {0:?}; roles: {1}")]
    UnknownRole(String, String),
    /// A word that is neither a colour nor an attribute.
    #[error("{role}: {word:?} is neither a colour nor one of bold, dim, italic, underline, reverse")]
    UnknownWord {
        /// The role.
        role: String,
        /// The word.
        word: String,
    },
}

/// The look of the program on one terminal.
#[derive(Clone, Debug)]
pub struct Theme {
    styles: Vec<Style>,
    /// The characters of bars, frames and marks.
    pub glyphs: &'static Glyphs,
}

/// The themes that come with the program.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Builtin {
    /// For dark backgrounds.
    #[default]
    Dark,
    /// For light backgrounds.
    Light,
    /// Without any colour (`NO_COLOR`).
    Mono,
}

impl Builtin {
    /// Every built-in theme.
    pub const ALL: [Self; 3] = [Self::Dark, Self::Light, Self::Mono];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Mono => "mono",
        }
    }

    /// The theme of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|b| b.name() == name)
    }

    const fn source(self) -> &'static str {
        match self {
            Self::Dark => include_str!("../../assets/themes/dark.toml"),
            Self::Light => include_str!("../../assets/themes/light.toml"),
            Self::Mono => include_str!("../../assets/themes/mono.toml"),
        }
    }
}

impl Theme {
    /// A built-in theme, without colours if the terminal shall not get any.
    #[must_use]
    pub fn builtin(which: Builtin, glyphs: &'static Glyphs) -> Self {
        // A test proves that every built-in theme can be read; a plain screen is better than none.
        Self::parse(which.source(), glyphs)
            .unwrap_or_else(|_| Self { styles: vec![Style::default(); Role::ALL.len()], glyphs })
    }

    /// Reads a theme: one line a role, `role = "colour on colour attribute…"`. Roles that are not named look like
    /// ordinary text.
    ///
    /// # Errors
    /// When the text is not TOML, or names a role, colour or attribute that does not exist.
    pub fn parse(text: &str, glyphs: &'static Glyphs) -> Result<Self, ThemeError> {
        let table: toml::Table = toml::from_str(text).map_err(|e| ThemeError::Syntax(e.to_string()))?;
        let mut styles = vec![Style::default(); Role::ALL.len()];
        for (name, value) in table {
            let Some(at) = Role::ALL.iter().position(|r| r.name() == name) else {
                let roles = Role::ALL.iter().map(|r| r.name()).collect::<Vec<_>>().join(", ");
                return Err(ThemeError::UnknownRole(name, roles));
            };
            let words = value.as_str().ok_or_else(|| ThemeError::Syntax(format!("{name} is not a text")))?;
            if let Some(style) = styles.get_mut(at) {
                *style = parse_style(&name, words)?;
            }
        }
        Ok(Self { styles, glyphs })
    }

    /// The style of a role.
    #[must_use]
    pub fn style(&self, role: Role) -> Style {
        self.styles.get(role as usize).copied().unwrap_or_default()
    }
}

fn parse_style(role: &str, words: &str) -> Result<Style, ThemeError> {
    let mut style = Style::default();
    let mut background = false;
    for word in words.split_whitespace() {
        let attribute = match word {
            "on" => {
                background = true;
                continue;
            }
            "bold" => Some(Modifier::BOLD),
            "dim" => Some(Modifier::DIM),
            "italic" => Some(Modifier::ITALIC),
            "underline" => Some(Modifier::UNDERLINED),
            "reverse" => Some(Modifier::REVERSED),
            _ => None,
        };
        if let Some(attribute) = attribute {
            style = style.add_modifier(attribute);
            continue;
        }
        let color = Color::from_str(word)
            .map_err(|_| ThemeError::UnknownWord { role: role.to_owned(), word: word.to_owned() })?;
        style = if background { style.bg(color) } else { style.fg(color) };
        background = false;
    }
    Ok(style)
}

/// The characters that the screens draw with.
#[derive(PartialEq, Eq, Debug)]
pub struct Glyphs {
    /// Parts of a full cell from left to right, emptiest first.
    pub bar: &'static [&'static str],
    /// The empty part of a gauge.
    pub track: &'static str,
    /// Heights, lowest first.
    pub spark: &'static [&'static str],
    /// Frame: top left, top right, bottom left, bottom right, horizontal, vertical.
    pub frame: [&'static str; 6],
    /// Sorted downwards.
    pub descending: &'static str,
    /// Sorted upwards.
    pub ascending: &'static str,
    /// What was cut off.
    pub ellipsis: &'static str,
    /// A negative sign.
    pub minus: &'static str,
    /// Nothing.
    pub none: &'static str,
    /// Towards.
    pub arrow: &'static str,
    /// The selected row.
    pub cursor: &'static str,
    /// A marked row.
    pub mark: &'static str,
    /// Critical.
    pub critical: &'static str,
    /// Warning.
    pub warning: &'static str,
    /// Worth knowing.
    pub notice: &'static str,
    /// At least.
    pub at_least: &'static str,
    /// Between two notes.
    pub dot: &'static str,
    /// The Enter key.
    pub enter: &'static str,
    /// The scroll bar: track and thumb.
    pub scroll: [&'static str; 2],
    /// Columns are hidden to the left, to the right.
    pub more: [&'static str; 2],
}

/// For a terminal with a Unicode font.
pub static UNICODE: Glyphs = Glyphs {
    bar: &["▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"],
    track: "·",
    spark: &["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    frame: ["╭", "╮", "╰", "╯", "─", "│"],
    descending: "▾",
    ascending: "▴",
    ellipsis: "…",
    minus: "−",
    none: "–",
    arrow: "→",
    cursor: "▌",
    mark: "◆",
    critical: "✖",
    warning: "▲",
    notice: "•",
    at_least: "≥",
    dot: "·",
    enter: "⏎",
    scroll: ["│", "┃"],
    more: ["‹", "›"],
};

/// For the Linux console, a serial line, or a locale that is not UTF-8.
pub static ASCII: Glyphs = Glyphs {
    bar: &["-", "#"],
    track: ".",
    spark: &["_", ".", "-", "=", "+", "*", "%", "#"],
    frame: ["+", "+", "+", "+", "-", "|"],
    descending: "v",
    ascending: "^",
    ellipsis: "~",
    minus: "-",
    none: "-",
    arrow: "->",
    cursor: ">",
    mark: "+",
    critical: "X",
    warning: "!",
    notice: "*",
    at_least: ">",
    dot: "|",
    enter: "Enter",
    scroll: ["|", "#"],
    more: ["<", ">"],
};

/// What the user asked for; what is `None` is found out from the environment.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct LookOptions {
    /// Colours, or none.
    pub color: Option<bool>,
    /// Only ASCII characters.
    pub ascii: Option<bool>,
    /// The theme.
    pub theme: Builtin,
}

impl Theme {
    /// The look for a terminal, from what was asked for and the environment (`NO_COLOR`, `TERM`, the locale).
    #[must_use]
    pub fn choose(options: &LookOptions, env: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| env(name).filter(|v| !v.is_empty());
        let term = var("TERM").unwrap_or_default();
        let utf8 = has_utf8(&env);
        let ascii = options.ascii.unwrap_or(!utf8 || matches!(term.as_str(), "linux" | "dumb" | ""));
        let color = options.color.unwrap_or(var("NO_COLOR").is_none() && term != "dumb");
        let theme = if color { options.theme } else { Builtin::Mono };
        Self::builtin(theme, if ascii { &ASCII } else { &UNICODE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(vars: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
    }

    #[test]
    fn every_builtin_theme_names_every_role_and_stays_within_sixteen_colours() {
        for which in Builtin::ALL {
            let table: toml::Table = toml::from_str(which.source()).unwrap();
            let named: Vec<&str> = table.keys().map(String::as_str).collect();
            for role in Role::ALL {
                assert!(named.contains(&role.name()), "{} in {}", role.name(), which.name());
            }
            let theme = Theme::parse(which.source(), &UNICODE).unwrap();
            for role in Role::ALL {
                for color in [theme.style(*role).fg, theme.style(*role).bg].into_iter().flatten() {
                    assert!(!matches!(color, Color::Rgb(..) | Color::Indexed(_)), "{}", role.name());
                    assert_ne!(which, Builtin::Mono, "{} is coloured", role.name());
                }
            }
        }
    }

    #[test]
    fn what_calls_for_attention_differs_without_colour_too() {
        let theme = Theme::builtin(Builtin::Mono, &ASCII);
        assert_ne!(theme.style(Role::Selected), theme.style(Role::Text));
        assert_ne!(theme.style(Role::Sorted), theme.style(Role::Header));
        assert_ne!(theme.style(Role::Critical), theme.style(Role::Text));
    }

    #[test]
    fn a_theme_that_cannot_be_used_says_where() {
        let wrong = |text| Theme::parse(text, &UNICODE).unwrap_err().to_string();
        assert!(wrong("text = \"mauve\"").contains("mauve"));
        assert!(wrong("txt = \"red\"").contains("roles: text"));
        assert!(wrong("text = 3").contains("not a text"));
        assert!(wrong("text").contains("table of styles"));
        let own = Theme::parse("bar = \"#102030 on black bold\"", &UNICODE).unwrap();
        let style = own.style(Role::Bar);
        assert_eq!((style.fg, style.bg), (Some(Color::Rgb(16, 32, 48)), Some(Color::Black)));
    }

    #[test]
    fn the_environment_decides_what_was_not_asked_for() {
        let look = |o: &LookOptions, vars: &[(&str, &str)]| {
            let theme = Theme::choose(o, env(vars));
            (theme.style(Role::Critical).fg.is_some(), theme.glyphs == &UNICODE)
        };
        let auto = LookOptions::default();
        let utf8 = ("LANG", "en_US.UTF-8");
        let xterm = ("TERM", "xterm");
        assert_eq!(look(&auto, &[utf8, xterm]), (true, true));
        assert_eq!(look(&auto, &[utf8, xterm, ("NO_COLOR", "1")]), (false, true));
        assert_eq!(look(&auto, &[utf8, xterm, ("NO_COLOR", "")]), (true, true));
        assert_eq!(look(&auto, &[utf8, ("TERM", "linux")]), (true, false));
        assert_eq!(look(&auto, &[utf8, ("TERM", "dumb")]), (false, false));
        assert_eq!(look(&auto, &[("LC_ALL", "C"), utf8, xterm]), (true, false));
        let asked = LookOptions { color: Some(true), ascii: Some(false), ..auto };
        assert_eq!(look(&asked, &[("NO_COLOR", "1")]), (true, true));
    }
}
