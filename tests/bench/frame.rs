//! A frame of the screen with a million sockets: what the drawing thread does, and what the index thread does for it.
//!
//! `cargo bench --bench frame`. A look with its answer, a key, and a change of the order have to stay under 16 ms each
//! on the drawing thread; the figures of the index thread are for information.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark stops at the first thing that is wrong")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Size;
use tcptop::diagnose::Judged;
use tcptop::testkit;
use tcptop::tui::app::App;
use tcptop::tui::index::{Answer, answer};
use tcptop::tui::msg::{Effect, Msg};
use tcptop::tui::theme::{Builtin, Theme, UNICODE};
use tcptop::tui::update::update;
use tcptop::tui::view::view;

const SOCKETS: u32 = 1_000_000;
const SIZE: Size = Size { width: 200, height: 50 };

struct Screen {
    app: App,
    theme: Theme,
    terminal: Terminal<TestBackend>,
}

impl Screen {
    fn new() -> Self {
        Self {
            app: App::new(SIZE, Duration::from_secs(1)),
            theme: Theme::builtin(Builtin::Dark, &UNICODE),
            terminal: Terminal::new(TestBackend::new(SIZE.width, SIZE.height)).unwrap(),
        }
    }

    fn send(&mut self, msg: Msg) -> Vec<Effect> {
        update(&mut self.app, msg)
    }

    /// Carries out what the screen asks the index thread.
    fn ask(effects: Vec<Effect>) -> Option<Answer> {
        effects.into_iter().find_map(|e| if let Effect::Ask(q) = e { Some(answer(q)) } else { None })
    }

    fn settle(&mut self, msg: Msg) {
        let mut effects = self.send(msg);
        while let Some(answer) = Self::ask(effects) {
            effects = self.send(Msg::Answer(answer));
        }
    }

    fn draw(&mut self) {
        self.terminal.draw(|frame| view(&self.app, &self.theme, frame)).unwrap();
    }
}

fn key(code: KeyCode) -> Msg {
    Msg::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn frames(c: &mut Criterion) {
    let world = Arc::new(testkit::world_of(testkit::many(SOCKETS)));
    let look = || Msg::Look(Ok(Arc::new(Judged { world: Arc::clone(&world), judgements: Vec::new() })));
    for (name, tab) in [("overview", '1'), ("peers", '2'), ("sockets", '3')] {
        let mut screen = Screen::new();
        screen.settle(look());
        screen.settle(key(KeyCode::Char(tab)));
        c.bench_function(&format!("frame/{name}/look"), |b| {
            b.iter_custom(|rounds| {
                let mut taken = Duration::ZERO;
                for _ in 0..rounds {
                    let begun = std::time::Instant::now();
                    let effects = screen.send(look());
                    taken += begun.elapsed();
                    // The index thread's work is not the drawing thread's.
                    let answer = Screen::ask(effects).unwrap();
                    let begun = std::time::Instant::now();
                    black_box(screen.send(Msg::Answer(answer)));
                    screen.draw();
                    taken += begun.elapsed();
                }
                taken
            });
        });
        c.bench_function(&format!("frame/{name}/key"), |b| {
            let mut down = true;
            b.iter(|| {
                down = !down;
                black_box(screen.send(key(if down { KeyCode::Down } else { KeyCode::Up })));
                screen.draw();
            });
        });
        c.bench_function(&format!("frame/{name}/order"), |b| {
            b.iter(|| {
                black_box(screen.send(key(KeyCode::Char('r'))));
                screen.draw();
            });
        });
    }
    let mut screen = Screen::new();
    screen.settle(look());
    screen.settle(key(KeyCode::Char('3')));
    screen.settle(key(KeyCode::End));
    c.bench_function("frame/sockets, at the end of all/key", |b| {
        let mut down = true;
        b.iter(|| {
            down = !down;
            black_box(screen.send(key(if down { KeyCode::Down } else { KeyCode::Up })));
            screen.draw();
        });
    });
}

fn index(c: &mut Criterion) {
    let world = Arc::new(testkit::world_of(testkit::many(SOCKETS)));
    let mut group = c.benchmark_group("index");
    group.sample_size(10);
    for (name, tab, end) in [("peers", '2', false), ("sockets", '3', false), ("all sockets", '3', true)] {
        let mut screen = Screen::new();
        let judged = Judged { world: Arc::clone(&world), judgements: Vec::new() };
        screen.settle(Msg::Look(Ok(Arc::new(judged))));
        let mut effects = screen.send(key(KeyCode::Char(tab)));
        if end {
            let answer = Screen::ask(effects).unwrap();
            screen.send(Msg::Answer(answer));
            effects = screen.send(key(KeyCode::End));
        }
        let question = effects.into_iter().find_map(|e| if let Effect::Ask(q) = e { Some(q) } else { None });
        let question = question.unwrap();
        group.bench_function(name, |b| b.iter(|| black_box(answer(question.clone()))));
    }
    group.finish();
}

criterion_group!(benches, frames, index);
criterion_main!(benches);
