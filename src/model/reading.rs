//! A value that the kernel may not have, or may not tell us.

/// What came of asking for a value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Reading<T> {
    /// The kernel answered.
    Known(T),
    /// This kernel, or this namespace, does not have it.
    #[default]
    Absent,
    /// It is there and could not be read or understood; the text says the operation and the reason.
    Unreadable(String),
}

impl<T> Reading<T> {
    /// The value, if there is one.
    #[must_use]
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Known(v) => Some(v),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }

    /// Applies `f` to a known value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(v) => Reading::Known(f(v)),
            Self::Absent => Reading::Absent,
            Self::Unreadable(why) => Reading::Unreadable(why),
        }
    }
}

/// Which part of the machine a value speaks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// The network namespace that was examined.
    Namespace,
    /// The whole host, whatever namespace it was read in.
    Host,
}

impl Scope {
    /// The word on the screen and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Host => "host",
        }
    }
}
