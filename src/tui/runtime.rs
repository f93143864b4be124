//! The loop of the drawing thread: messages in, frames and effects out.
//!
//! It waits on one bell for everything: keys and signals, worlds, answers, details, and the tick. Between it and the
//! other threads are one-slot mailboxes; only keys and signals, of which none may be lost, wait in a short queue whose
//! writer blocks.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::crossterm::clipboard::CopyToClipboard;
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::Size;
use rustix::process::{Signal as ProcessSignal, getpid, kill_current_process_group, kill_process};

use crate::analysis::World;
use crate::engine::closer::{self, Answered, Order};
use crate::engine::mailbox::{Bell, Mailbox};
use crate::engine::{Collector, Detailed, Look, Options, SystemNames, namer};
use crate::model::{Ip, Names, Origin, SocketRow};
use crate::query::filter::Needs;
use crate::query::{RowId, Selection};

use super::app::App;
use super::filter::FilterState;
use super::filter::reader::Readers;
use super::index::{self, Asker, Question};
use super::msg::{Effect, Msg, Signal};
use super::names::Naming;
use super::page::{Page, TablePage};
use super::side::Side;
use super::terminal::{self, Guard};
use super::theme::Theme;
use super::update::update;
use super::view::view;

/// Not more than thirty frames a second.
const FRAME: Duration = Duration::from_millis(33);

/// How long a frame waits for the rows that belong to it.
const PATIENCE: Duration = Duration::from_millis(60);

/// How long keys wait for the rows that they are meant for, on a page that has just been opened.
const HOLD: Duration = Duration::from_millis(500);

/// How often time is looked at when nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// Keys and signals that may wait.
const QUEUE: usize = 64;

/// What the screen gets from the engine. The engine posts into the mailboxes and closes them when it ends.
#[derive(Clone, Debug)]
pub struct Feed {
    bell: Arc<Bell>,
    /// Looks at the machine.
    pub looks: Arc<Mailbox<Look>>,
    /// Answers to [`Control::ask`].
    pub details: Arc<Mailbox<Detailed>>,
    /// Answers to [`Control::probe`] and [`Control::probe_those`].
    pub options: Arc<Mailbox<Options>>,
}

impl Default for Feed {
    fn default() -> Self {
        let bell = Arc::new(Bell::default());
        Self {
            looks: Arc::new(Mailbox::with_bell(Arc::clone(&bell))),
            details: Arc::new(Mailbox::with_bell(Arc::clone(&bell))),
            options: Arc::new(Mailbox::with_bell(Arc::clone(&bell))),
            bell,
        }
    }
}

/// What the screen can ask of the engine. Nothing here may block.
pub trait Control {
    /// Look this often from now on.
    fn set_interval(&self, interval: Duration);
    /// Look at the UDP sockets as well from now on, or no longer.
    fn watch_udp(&self, yes: bool);
    /// Ask the kernel about one socket; the answer comes through [`Feed::details`].
    fn ask(&self, row: SocketRow, origin: Origin);
    /// Ask the socket of a row for its options; the answer comes through [`Feed::options`].
    fn probe(&self, world: Arc<World>, row: RowId);
    /// Ask the connections that are selected for their keepalive, likewise.
    fn probe_those(&self, world: Arc<World>, select: Selection);
    /// What a filter has to know of each look from the next one on.
    fn need(&self, needs: Needs);
    /// Someone who asks for `tcp_info`, for the index thread; `None` where nobody can be asked.
    fn asker(&self) -> Option<Asker>;
}

impl Control for Collector {
    fn set_interval(&self, interval: Duration) {
        Self::set_interval(self, interval);
    }

    fn watch_udp(&self, yes: bool) {
        Self::watch_udp(self, yes);
    }

    fn ask(&self, row: SocketRow, origin: Origin) {
        Self::ask(self, row, origin);
    }

    fn probe(&self, world: Arc<World>, row: RowId) {
        Self::probe(self, world, row);
    }

    fn probe_those(&self, world: Arc<World>, select: Selection) {
        Self::probe_those(self, world, select);
    }

    fn need(&self, needs: Needs) {
        Self::need(self, needs);
    }

    fn asker(&self) -> Option<Asker> {
        let mut inquirer = self.inquirer();
        Some(Box::new(move |wanted| inquirer.ask(wanted)))
    }
}

/// Where keys and signals go.
#[derive(Clone, Debug)]
pub struct Sender {
    queue: SyncSender<Msg>,
    bell: Arc<Bell>,
}

impl Sender {
    /// Puts a message into the queue, waiting while it is full. `false` when nobody reads it any more.
    #[must_use]
    pub fn send(&self, msg: Msg) -> bool {
        let sent = self.queue.send(msg).is_ok();
        self.bell.ring();
        sent
    }

    /// Puts a message into the queue if there is room.
    pub fn offer(&self, msg: Msg) {
        // Full or closed: the drawing thread hangs or has ended, and the sender has its own way out.
        let _ = self.queue.try_send(msg);
        self.bell.ring();
    }
}

/// Everything that the drawing thread listens to and talks to.
pub struct Wires<'a, C> {
    feed: Feed,
    inbox: Receiver<Msg>,
    questions: Arc<Mailbox<Question>>,
    answers: Arc<Mailbox<index::Answer>>,
    readers: Readers,
    orders: Arc<Mailbox<Order>>,
    answered: Arc<Mailbox<Answered>>,
    nameless: Arc<Mailbox<Vec<Ip>>>,
    names: Arc<Mailbox<Names>>,
    control: &'a C,
    feed_ended: bool,
}

/// The screen cannot be shown any longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no terminal, or it does not answer.
    #[error("using the terminal: {0}")]
    Terminal(io::Error),
    /// A thread of ours panicked.
    #[error("the {0} thread ended unexpectedly")]
    ThreadEnded(&'static str),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Terminal(error)
    }
}

impl<'a, C: Control> Wires<'a, C> {
    /// Connects a feed, and starts the index thread and those that read filters.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn new(feed: Feed, control: &'a C) -> io::Result<(Self, Sender)> {
        let (queue, inbox) = sync_channel(QUEUE);
        let sender = Sender { queue, bell: Arc::clone(&feed.bell) };
        let questions = Arc::new(Mailbox::new());
        let answers = Arc::new(Mailbox::with_bell(Arc::clone(&feed.bell)));
        index::start(control.asker(), Arc::clone(&questions), Arc::clone(&answers))?;
        let readers = Readers::start(&SystemNames, || Mailbox::with_bell(Arc::clone(&feed.bell)))?;
        let orders = Arc::new(Mailbox::new());
        let answered = Arc::new(Mailbox::with_bell(Arc::clone(&feed.bell)));
        closer::start(Arc::clone(&orders), Arc::clone(&answered))?;
        let nameless = Arc::new(Mailbox::new());
        let names = Arc::new(Mailbox::with_bell(Arc::clone(&feed.bell)));
        namer::start(Arc::clone(&nameless), Arc::clone(&names))?;
        let wires = Self {
            feed,
            inbox,
            questions,
            answers,
            readers,
            orders,
            answered,
            nameless,
            names,
            control,
            feed_ended: false,
        };
        Ok((wires, sender))
    }

    /// What has come since the last call. Input comes first and one at a time: a key may open a page that the next key
    /// is meant for.
    fn messages(&mut self, with_input: bool) -> Result<Vec<Msg>, Error> {
        let mut messages: Vec<Msg> = self.inbox.try_iter().take(usize::from(with_input)).collect();
        messages.extend(self.feed.looks.take().map(Msg::Look));
        messages.extend(self.answers.take().map(Msg::Answer));
        messages.extend(self.readers.take().map(Msg::Read));
        messages.extend(self.answered.take().map(Msg::Answered));
        messages.extend(self.names.take().map(Msg::Names));
        messages.extend(self.feed.details.take().map(Msg::Detail));
        messages.extend(self.feed.options.take().map(Msg::Options));
        if !self.feed_ended && self.feed.looks.is_closed() {
            self.feed_ended = true;
            messages.push(Msg::FeedEnded);
        }
        if self.answers.is_closed() {
            return Err(Error::ThreadEnded("index"));
        }
        Ok(messages)
    }
}

impl<C> Drop for Wires<'_, C> {
    fn drop(&mut self) {
        self.questions.close();
        self.orders.close();
        self.nameless.close();
    }
}

/// The terminal, as far as the loop is concerned.
pub trait Terminal {
    /// Its size.
    ///
    /// # Errors
    /// When it does not tell.
    fn size(&self) -> io::Result<Size>;
    /// Shows a frame; with `wipe` nothing of the one before is relied on.
    ///
    /// # Errors
    /// When it cannot be written to.
    fn draw(&mut self, wipe: bool, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()>;
    /// Sends SIGTSTP to the whole job. `false` when nobody could continue it.
    fn stop_job(&mut self) -> bool;
    /// Gives the terminal back and stops the process. `false` when nobody could continue it.
    fn suspend(&mut self) -> bool;
    /// Takes the terminal over again.
    ///
    /// # Errors
    /// When its modes cannot be set.
    fn retake(&mut self) -> io::Result<()>;
    /// Puts a text into the terminal's clipboard, if it lets programs do that.
    ///
    /// # Errors
    /// When it cannot be written to.
    fn copy(&mut self, text: &str) -> io::Result<()>;
    /// Whether the terminal is still ours: a panic of another thread gives it back.
    fn is_ours(&self) -> bool;
}

/// Runs until the user, a signal or the terminal ends it.
///
/// # Errors
/// When the terminal cannot be drawn on, or a thread of ours ended.
pub fn run_loop<T: Terminal, C: Control>(
    app: &mut App,
    theme: &Theme,
    mut wires: Wires<'_, C>,
    terminal: &mut T,
) -> Result<(), Error> {
    let started = Instant::now();
    let mut drawn = None::<Instant>;
    // When the oldest question without an answer was asked.
    let mut asked = started;
    let mut stopped = false;
    let mut wipe = false;
    loop {
        let hold = (asked + HOLD).saturating_duration_since(Instant::now());
        let hold = if app.holds_keys() { hold } else { Duration::ZERO };
        let mut messages = wires.messages(hold.is_zero())?;
        let more_input = messages.first().is_some_and(Msg::is_input);
        messages.push(Msg::Tick(started.elapsed()));
        if app.redraw && !stopped {
            // The terminal may have changed before its event arrives: nothing is drawn for another size.
            let size = terminal.size()?;
            messages.extend((size != app.size).then_some(Msg::Resize(size)));
        }
        for msg in messages {
            let waiting = app.is_waiting();
            let taking = app.filter.is_taking();
            // A terminal that shrank and grew between two frames has lost what was drawn, at the size that it had.
            wipe |= matches!(msg, Msg::Resize(_));
            for effect in update(app, msg) {
                match effect {
                    Effect::Ask(question) => {
                        if !waiting {
                            asked = Instant::now();
                        }
                        wires.questions.post(question);
                    }
                    Effect::Read(reading) => {
                        if app.filter.is_taking() && !taking {
                            asked = Instant::now();
                        }
                        wires.readers.post(reading);
                    }
                    Effect::Copy(text) => terminal.copy(&text)?,
                    Effect::Need(needs) => wires.control.need(needs),
                    Effect::Order(order) => drop(wires.orders.post(order)),
                    Effect::Name(addresses) => drop(wires.nameless.post(addresses)),
                    Effect::Detail(row, origin) => wires.control.ask(row, origin),
                    Effect::WatchUdp(yes) => wires.control.watch_udp(yes),
                    Effect::Probe(world, row) => wires.control.probe(world, row),
                    Effect::ProbeThose(world, select) => wires.control.probe_those(world, select),
                    Effect::SetInterval(interval) => wires.control.set_interval(interval),
                    Effect::StopJob if terminal.stop_job() => {}
                    Effect::StopJob => {
                        app.notice = Some("there is no shell to stop for");
                        app.redraw = true;
                    }
                    Effect::Suspend => stopped |= terminal.suspend(),
                    Effect::Retake => {
                        terminal.retake()?;
                        stopped = false;
                        wipe = true;
                        app.redraw = true;
                    }
                    Effect::Quit => return Ok(()),
                }
            }
        }
        let now = Instant::now();
        let mut next = now + TICK;
        if app.redraw && !stopped {
            let due = drawn.map_or(now, |d| d + FRAME);
            let due = if app.is_waiting() { due.max(asked + PATIENCE) } else { due };
            if due <= now {
                if !terminal.is_ours() {
                    return Err(Error::ThreadEnded("helper"));
                }
                terminal.draw(std::mem::take(&mut wipe), |frame| view(app, theme, frame))?;
                app.redraw = false;
                drawn = Some(now);
            } else {
                next = next.min(due);
            }
        }
        if app.holds_keys() && asked + HOLD > now {
            next = next.min(asked + HOLD);
        } else if more_input || !hold.is_zero() {
            // There may be more in the queue, for which the bell has rung already.
            continue;
        }
        wires.feed.bell.wait_until(Some(next));
    }
}

impl Terminal for Guard {
    fn size(&self) -> io::Result<Size> {
        self.screen.size()
    }

    fn draw(&mut self, wipe: bool, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        // Terminals that know synchronized updates show the frame at once, wiped or not.
        queue!(self.screen.backend_mut(), BeginSynchronizedUpdate)?;
        if wipe {
            self.wipe()?;
        }
        self.screen.draw(render)?;
        execute!(self.screen.backend_mut(), EndSynchronizedUpdate)
    }

    fn stop_job(&mut self) -> bool {
        terminal::can_be_resumed() && kill_current_process_group(ProcessSignal::TSTP).is_ok()
    }

    fn suspend(&mut self) -> bool {
        if !terminal::can_be_resumed() {
            return false;
        }
        terminal::leave();
        // SIGTSTP itself is ours: only SIGSTOP stops.
        kill_process(getpid(), ProcessSignal::STOP).is_ok()
    }

    fn retake(&mut self) -> io::Result<()> {
        terminal::enter()
    }

    fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(self.screen.backend_mut(), CopyToClipboard::to_clipboard_from(text))
    }

    fn is_ours(&self) -> bool {
        terminal::is_entered()
    }
}

/// Passes keys, clicks and sizes on. Ends with the process: a thread that waits for a key cannot be stopped.
fn read_input(sender: &Sender) {
    loop {
        let msg = match event::read() {
            Ok(Event::Key(key)) => Msg::Key(key),
            Ok(Event::Mouse(mouse)) => Msg::Mouse(mouse),
            Ok(Event::Resize(width, height)) => Msg::Resize(Size { width, height }),
            Ok(_) => continue,
            Err(_) => Msg::Signal(Signal::End),
        };
        let last = matches!(msg, Msg::Signal(_));
        if !sender.send(msg) || last {
            return;
        }
    }
}

/// How the screen begins.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Which sockets are shown.
    pub filter: FilterState,
    /// Nothing may be changed.
    pub read_only: bool,
    /// With the UDP sockets.
    pub udp: bool,
    /// With names instead of addresses.
    pub names: bool,
}

/// Shows the screen on the real terminal until it is quit.
///
/// # Errors
/// When there is no terminal, when it fails, or when a thread of ours ended unexpectedly.
pub fn run<C: Control>(
    feed: Feed,
    control: &C,
    theme: &Theme,
    interval: Duration,
    start: Start,
) -> Result<(), Error> {
    let tty = terminal::open_tty()?;
    let (wires, sender) = Wires::new(feed, control)?;
    let side = Side::start(sender.clone(), tty)?;
    let mut terminal = Guard::take()?;
    thread::Builder::new().name("input".into()).spawn(move || read_input(&sender))?;
    let Start { filter, read_only, udp, names } = start;
    control.need(filter.in_force.as_ref().map(|f| f.needs()).unwrap_or_default());
    let mut app =
        App { filter, read_only, naming: Naming::new(names), ..App::new(terminal.size()?, interval) };
    if udp {
        app.trail.push(Page::Table(Box::new(TablePage::udp(Selection::All))));
    }
    let ended = run_loop(&mut app, theme, wires, &mut terminal);
    drop(terminal);
    drop(side);
    ended
}
