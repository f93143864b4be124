//! Where everything stands: one function, which drawing, the mouse and scrolling share.

use ratatui::layout::{Position, Rect, Size};

use crate::analysis::Snapshot;
use crate::model::TcpState;

use super::app::App;
use super::findings;
use super::keymap::Place;
use super::overview;
use super::page::TablePage;
use super::paint;
use super::screen::Screen;
use super::text;

/// Below this the frames go and only the most important is left.
const ROOMY: Size = Size { width: 60, height: 16 };

/// The most lines for what has to be said above a table, and the lines that are left for the table in any case.
const REMARK_MOST: u16 = 3;
const REMARK_LEAVES: u16 = 4;

/// From this width on three panes stand side by side.
const WIDE: u16 = 160;

/// A table: its frame, its line of headers, its rows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TableArea {
    /// The frame; empty where there is none.
    pub frame: Rect,
    /// What has to be said above the rows; empty where nothing has.
    pub remark: Rect,
    /// The headers.
    pub head: Rect,
    /// The rows.
    pub rows: Rect,
}

/// The tab of a screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tab {
    /// Which.
    pub screen: Screen,
    /// Its name, as long as there is room for.
    pub label: &'static str,
    /// Where it stands.
    pub area: Rect,
}

/// Where everything stands. What has no room is empty.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Layout {
    /// No frames.
    pub compact: bool,
    /// Who, how many, how often.
    pub header: Rect,
    /// States, with their frame.
    pub states: Rect,
    /// Limits, with their frame.
    pub limits: Rect,
    /// The fullest destinations, with their frame.
    pub ports: Rect,
    /// What is wrong, with its frame; empty where nothing is.
    pub findings: Rect,
    /// The table.
    pub table: TableArea,
    /// Text that can be scrolled: the detail of a socket, the help.
    pub text: Rect,
    /// The frame of the text.
    pub text_frame: Rect,
    /// The tabs.
    pub tabs: Vec<Tab>,
    /// The line in which a filter is typed, and what there is to say about it.
    pub filter_line: Rect,
    /// Keys and notes.
    pub footer: Rect,
}

/// Takes lines off the top of an area.
fn take(area: &mut Rect, height: u16) -> Rect {
    let height = height.min(area.height);
    let top = Rect { height, ..*area };
    area.y += height;
    area.height -= height;
    top
}

/// The height of the pane of findings in an area, its frame included. What stands below it keeps the lines that it `needs`,
/// but half of the area at most.
fn findings_height(app: &App, area: Rect, needs: impl Fn(&Snapshot) -> usize) -> u16 {
    let world = app.world_shown();
    let below = world.and_then(|w| w.snapshots.first()).map_or(usize::MAX, |snapshot| needs(snapshot));
    let below = u16::try_from(below).unwrap_or(u16::MAX).saturating_add(2);
    let most = area.height.saturating_sub(below).max(area.height / 2).max(3) - 2;
    match findings::wanted(app, area.width.saturating_sub(2), usize::from(most)) {
        0 => 0,
        lines => u16::try_from(lines).unwrap_or(u16::MAX).min(most) + 2,
    }
}

/// What a frame encloses.
#[must_use]
pub fn inside(frame: Rect) -> Rect {
    Rect {
        x: frame.x.saturating_add(1).min(frame.right()),
        y: frame.y.saturating_add(1).min(frame.bottom()),
        width: frame.width.saturating_sub(2),
        height: frame.height.saturating_sub(2),
    }
}

impl Layout {
    /// The layout of what is open now.
    #[must_use]
    pub fn of(app: &App) -> Self {
        let mut rest = Rect { x: 0, y: 0, width: app.size.width, height: app.size.height };
        let compact = rest.width < ROOMY.width || rest.height < ROOMY.height;
        let mut layout = Self { compact, header: take(&mut rest, 1), ..Self::default() };
        if rest.height > 4 {
            rest.height -= 1;
            layout.footer = Rect { y: rest.bottom(), height: 1, ..rest };
        }
        if app.filter.line.is_some() {
            // The text itself has room wherever anything has.
            let height = if rest.height > 3 { 2 } else { rest.height.min(1) };
            rest.height -= height;
            layout.filter_line = Rect { y: rest.bottom(), height, ..rest };
        }
        match app.below_the_line() {
            Place::Detail
            | Place::Keepalive
            | Place::Finding
            | Place::Topic
            | Place::Help
            | Place::Command
            | Place::AskToClose
            | Place::Closed => {
                (layout.text_frame, layout.text) =
                    if compact { (Rect::ZERO, rest) } else { (rest, inside(rest)) };
                if !compact {
                    // A cell of air beside the frame.
                    layout.text.x += 1;
                    layout.text.width = layout.text.width.saturating_sub(2);
                }
                layout.place_tabs(rest);
            }
            Place::Peers
            | Place::Processes
            | Place::Kernel
            | Place::Table
            | Place::Pane
            | Place::FilterLine => {
                if app.trail.is_empty() && app.screen == Screen::Overview {
                    layout.overview(&mut rest, app);
                }
                layout.table(rest, app.table().and_then(TablePage::remark).as_deref());
            }
        }
        layout
    }

    fn overview(&mut self, rest: &mut Rect, app: &App) {
        let all_states = u16::try_from(TcpState::ALL.len()).unwrap_or(u16::MAX) + 2;
        if self.compact {
            let most = rest.height / 4;
            let lines = findings::wanted(app, rest.width, usize::from(most));
            self.findings = take(rest, u16::try_from(lines).unwrap_or(u16::MAX).min(most));
            let lines = rest.height;
            self.limits = take(rest, if lines >= 12 { 3 } else { 1 });
            self.states = take(rest, (lines / 4).min(3));
            return;
        }
        let top = take(rest, (rest.height / 2).min(all_states));
        let column = |x: u16, width: u16| Rect { x: top.x + x, width, ..top };
        if top.width >= WIDE {
            let states = (top.width * 7 / 25).min(64);
            let limits = ((top.width - states) / 2).min(84);
            self.states = column(0, states);
            self.limits = column(states, limits);
            let mut last = column(states + limits, top.width - states - limits);
            let height = findings_height(app, last, overview::lines_of_ports);
            self.findings = take(&mut last, height);
            self.ports = last;
        } else {
            let states = (top.width * 19 / 40).min(44);
            self.states = column(0, states);
            let mut right = column(states, top.width - states);
            let height = findings_height(app, right, overview::lines_of_limits);
            self.findings = take(&mut right, height);
            if right.height >= all_states {
                self.limits = take(&mut right, 10);
                self.ports = right;
            } else {
                self.limits = right;
            }
        }
    }

    /// `remark` is what has to be said above the rows.
    fn table(&mut self, area: Rect, remark: Option<&str>) {
        let mut inner = if self.compact { area } else { inside(area) };
        if !self.compact {
            self.table.frame = area;
            self.place_tabs(area);
        }
        if let Some(remark) = remark.filter(|_| inner.height > REMARK_LEAVES) {
            let lines = text::wrap(remark, inner.width.saturating_sub(2)).len();
            let most = (inner.height - REMARK_LEAVES).min(REMARK_MOST);
            self.table.remark = take(&mut inner, u16::try_from(lines).unwrap_or(u16::MAX).min(most));
        }
        self.table.head = take(&mut inner, 1);
        self.table.rows = inner;
    }

    /// The tabs stand in the lower edge of the last frame: with air around them where there is room, else with short names.
    fn place_tabs(&mut self, frame: Rect) {
        type Name = fn(Screen) -> &'static str;
        if self.compact || frame.height < 2 {
            return;
        }
        let styles: [(Name, u16); 3] = [(Screen::title, 4), (Screen::title, 3), (Screen::short, 3)];
        let room = frame.width.saturating_sub(4);
        let needs =
            |(name, air): (Name, u16)| Screen::ALL.iter().map(|s| paint::width(name(*s)) + air).sum::<u16>();
        let (name, air) = styles.into_iter().find(|s| needs(*s) <= room).unwrap_or((Screen::short, 3));
        let y = frame.bottom() - 1;
        let mut x = frame.x + 2;
        for screen in Screen::ALL {
            let label = name(screen);
            // " 1 Overview "
            let width = paint::width(label) + air;
            if x + width + 1 >= frame.right() {
                break;
            }
            self.tabs.push(Tab { screen, label, area: Rect { x, y, width, height: 1 } });
            x += width;
        }
    }

    /// The tab at a place of the terminal.
    #[must_use]
    pub fn tab_at(&self, at: Position) -> Option<Screen> {
        self.tabs.iter().find(|tab| tab.area.contains(at)).map(|tab| tab.screen)
    }

    /// How many lines of rows, or of text, there are.
    #[must_use]
    pub fn page_height(&self) -> usize {
        usize::from(self.table.rows.height.max(self.text.height))
    }
}
