//! What every table says about its columns, and how a sort is named.

use std::fmt;

/// On which side of its column a cell stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Everything about a column that is not its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spec {
    /// The name in the contract: `--columns`, `--sort`, the header of CSV.
    pub name: &'static str,
    /// Other names that are understood.
    pub aliases: &'static [&'static str],
    /// The header on the screen.
    pub title: &'static str,
    /// The narrowest useful width, in cells of the terminal.
    pub min_width: u16,
    /// The width that shows nearly every value whole.
    pub ideal_width: u16,
    /// Where a value stands.
    pub align: Align,
    /// Whether the largest comes first when the column is chosen for sorting.
    pub descending: bool,
    /// When the screen is narrow the column with the highest number goes first; 0 stays.
    pub drop: u8,
    /// One line for the help.
    pub help: &'static str,
}

impl Spec {
    /// A column of text, ascending, that stays.
    pub(super) const fn text(name: &'static str, title: &'static str, min: u16, ideal: u16) -> Self {
        Self {
            name,
            aliases: &[],
            title,
            min_width: min,
            ideal_width: ideal,
            align: Align::Left,
            descending: false,
            drop: 0,
            help: "",
        }
    }

    /// A column of numbers, largest first, that stays.
    pub(super) const fn number(name: &'static str, title: &'static str, min: u16, ideal: u16) -> Self {
        Self { align: Align::Right, descending: true, ..Self::text(name, title, min, ideal) }
    }

    pub(super) const fn help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }

    pub(super) const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    pub(super) const fn drop(self, drop: u8) -> Self {
        Self { drop, ..self }
    }

    pub(super) const fn ascending(self) -> Self {
        Self { descending: false, ..self }
    }

    pub(super) const fn descending(self) -> Self {
        Self { descending: true, ..self }
    }
}

/// The columns of one table.
pub trait Column: Copy + Eq + fmt::Debug + 'static {
    /// Every column, in the order of the help.
    fn all() -> &'static [Self];

    /// What is known of the column.
    fn spec(self) -> Spec;

    /// The column of a name or alias; case, `-` and `_` make no difference.
    ///
    /// # Errors
    /// When no column is called so.
    fn from_name(name: &str) -> Result<Self, UnknownColumn> {
        let wanted = folded(name);
        Self::all()
            .iter()
            .copied()
            .find(|c| {
                let spec = c.spec();
                std::iter::once(&spec.name).chain(spec.aliases).any(|n| folded(n) == wanted)
            })
            .ok_or_else(|| UnknownColumn::new::<Self>(name))
    }
}

fn folded(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace('-', "_")
}

/// Nobody knows a column of this name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct UnknownColumn {
    given: String,
    nearest: Option<&'static str>,
    valid: Vec<&'static str>,
}

impl UnknownColumn {
    fn new<C: Column>(given: &str) -> Self {
        let specs = || C::all().iter().map(|c| c.spec());
        let names = specs().flat_map(|s| std::iter::once(s.name).chain(s.aliases.iter().copied()));
        let like = nearest(&folded(given), names);
        Self {
            given: given.to_owned(),
            nearest: like.and_then(|l| C::from_name(l).ok()).map(|c| c.spec().name),
            valid: specs().map(|s| s.name).collect(),
        }
    }
}

impl fmt::Display for UnknownColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no column is called {:?}", self.given)?;
        if let Some(nearest) = self.nearest {
            write!(f, "; did you mean {nearest}?")?;
        }
        write!(f, "\n  columns: {}", self.valid.join(", "))
    }
}

/// The candidate that is most like `given`, if any is like it at all.
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(given, c), c))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

/// By which column, in which direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sort<C> {
    /// The column.
    pub column: C,
    /// Largest first.
    pub descending: bool,
}

impl<C: Column> Sort<C> {
    /// In the column's usual direction.
    #[must_use]
    pub fn by(column: C) -> Self {
        Self { column, descending: column.spec().descending }
    }

    /// The other way round.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { column: self.column, descending: !self.descending }
    }

    /// Reads `COL`, `COL:asc` or `COL:desc`.
    ///
    /// # Errors
    /// When the column or the direction is unknown; the message names what is valid.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((name, direction)) = text.split_once(':') else {
            return C::from_name(text).map(Self::by).map_err(|e| e.to_string());
        };
        let column = C::from_name(name).map_err(|e| e.to_string())?;
        match direction {
            "asc" => Ok(Self { column, descending: false }),
            "desc" => Ok(Self { column, descending: true }),
            other => Err(format!("{other:?} is no direction; say {name}:asc or {name}:desc")),
        }
    }
}
