//! The screen without its threads: messages go in, effects are carried out at once, frames come out as text.

use std::sync::Arc;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Size;
use tcptop::analysis::World;
use tcptop::diagnose::{Finding, Judged, Judgement};
use tcptop::query::filter::Numbers;
use tcptop::tui::app::App;
use tcptop::tui::filter::reader::{Reading, read};
use tcptop::tui::index::Index;
use tcptop::tui::msg::{Effect, Msg};
use tcptop::tui::theme::{Builtin, Theme, UNICODE};
use tcptop::tui::update::update;
use tcptop::tui::view::view;

pub struct Rig {
    pub app: App,
    pub theme: Theme,
    index: Index,
    /// Texts of filters that are not read yet, where a test wants to be slow.
    pub unread: Option<Vec<Reading>>,
    /// What was not carried out here.
    pub effects: Vec<Effect>,
}

impl Rig {
    pub fn new(width: u16, height: u16) -> Self {
        Self {
            app: App::new(Size { width, height }, Duration::from_secs(1)),
            theme: Theme::builtin(Builtin::Dark, &UNICODE),
            index: Index::default(),
            unread: None,
            effects: Vec::new(),
        }
    }

    /// A screen that shows a world.
    pub fn showing(width: u16, height: u16, world: &Arc<World>) -> Self {
        let mut rig = Self::new(width, height);
        rig.look(world);
        rig
    }

    pub fn send(&mut self, msg: Msg) {
        for effect in update(&mut self.app, msg) {
            match effect {
                Effect::Ask(question) => {
                    let answer = self.index.answer(question);
                    self.send(Msg::Answer(answer));
                }
                Effect::Read(reading) => match &mut self.unread {
                    Some(unread) => unread.push(reading),
                    None => self.send(Msg::Read(read(&reading, &Numbers))),
                },
                other => self.effects.push(other),
            }
        }
    }

    pub fn look(&mut self, world: &Arc<World>) {
        let judged = Judged { world: Arc::clone(world), judgements: Vec::new() };
        self.send(Msg::Look(Ok(Arc::new(judged))));
    }

    /// A look with what the rules found.
    pub fn judged(&mut self, world: &Arc<World>, findings: Vec<Finding>) {
        self.judgement(world, Judgement { findings, ..Judgement::default() });
    }

    /// A look with everything that the rules said.
    pub fn judgement(&mut self, world: &Arc<World>, judgement: Judgement) {
        let judged = Judged { world: Arc::clone(world), judgements: vec![judgement] };
        self.send(Msg::Look(Ok(Arc::new(judged))));
    }

    pub fn key(&mut self, code: KeyCode) {
        self.send(Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }

    /// Types characters.
    pub fn keys(&mut self, text: &str) {
        text.chars().for_each(|c| self.key(KeyCode::Char(c)));
    }

    pub fn mouse(&mut self, kind: MouseEventKind, column: u16, row: u16) {
        self.send(Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
    }

    pub fn click(&mut self, column: u16, row: u16) {
        self.mouse(MouseEventKind::Down(MouseButton::Left), column, row);
    }

    /// The frame, to look at its cells.
    pub fn frame(&self) -> Terminal<TestBackend> {
        let Size { width, height } = self.app.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view(&self.app, &self.theme, frame)).unwrap();
        terminal
    }

    /// The frame as lines, without the blanks at their ends.
    pub fn lines(&self) -> Vec<String> {
        let terminal = self.frame();
        let buffer = terminal.backend().buffer();
        let width = usize::from(buffer.area.width.max(1));
        let mut lines = Vec::new();
        for row in buffer.content().chunks(width) {
            let mut line = String::new();
            let mut skip = 0;
            for cell in row {
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                line.push_str(cell.symbol());
                skip = unicode_width::UnicodeWidthStr::width(cell.symbol()).saturating_sub(1);
            }
            lines.push(line.trim_end().to_owned());
        }
        lines
    }

    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The line that holds `text`.
    pub fn line_with(&self, text: &str) -> String {
        let lines = self.lines();
        let found = lines.iter().find(|l| l.contains(text));
        found.unwrap_or_else(|| panic!("{text:?} is nowhere in\n{}", lines.join("\n"))).clone()
    }

    /// The line that the cursor is on.
    pub fn cursor_line(&self) -> String {
        let cursor = self.theme.glyphs.cursor;
        let lines = self.lines();
        let found = lines.iter().find(|l| l.trim_start_matches(['│', '|']).starts_with(cursor));
        found.unwrap_or_else(|| panic!("no cursor in\n{}", lines.join("\n"))).clone()
    }
}
