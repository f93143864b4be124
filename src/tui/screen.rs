//! The screens, by the numbers that open them.

/// A screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Screen {
    /// States, limits, ports and peers at one glance.
    Overview,
    /// Connections by peer.
    Peers,
    /// The socket table.
    Sockets,
    /// Listening sockets and their queues.
    Listeners,
    /// Who holds the sockets.
    Processes,
    /// Ephemeral ports by destination.
    Ports,
    /// What is wrong.
    Findings,
    /// Sysctls with verdicts, and counters with rates.
    Kernel,
}

impl Screen {
    /// Every screen, in the order of the tabs.
    pub const ALL: [Self; 8] = [
        Self::Overview,
        Self::Peers,
        Self::Sockets,
        Self::Listeners,
        Self::Processes,
        Self::Ports,
        Self::Findings,
        Self::Kernel,
    ];

    /// The key that opens it. Numbers stay the same when screens are added between.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Overview => 1,
            Self::Peers => 2,
            Self::Sockets => 3,
            Self::Listeners => 4,
            Self::Processes => 5,
            Self::Ports => 6,
            Self::Findings => 7,
            Self::Kernel => 8,
        }
    }

    /// The name.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Peers => "Peers",
            Self::Sockets => "Sockets",
            Self::Listeners => "Listeners",
            Self::Processes => "Processes",
            Self::Ports => "Ports",
            Self::Findings => "Findings",
            Self::Kernel => "Kernel",
        }
    }

    /// The name where there is little room.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::Listeners => "Listen",
            Self::Processes => "Procs",
            other => other.title(),
        }
    }

    /// Its place in [`Screen::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The next or the previous screen, around the end.
    #[must_use]
    pub const fn step(self, forward: bool) -> Self {
        let by = if forward { 1 } else { Self::ALL.len() - 1 };
        Self::ALL[(self.index() + by) % Self::ALL.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabs_go_round_in_both_directions() {
        for (at, screen) in Screen::ALL.into_iter().enumerate() {
            assert_eq!(screen.index(), at);
            assert_eq!(screen.step(true).step(false), screen);
        }
        assert_eq!(Screen::Kernel.step(true), Screen::Overview);
    }
}
