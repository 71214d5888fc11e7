//! The one task that owns everything: wait for one thing, take what else is there, draw at most
//! once. There is no tick; with nothing to show, nothing runs.

use super::{App, Effect};
use crate::client::run::{Tell, Trust};
use crate::client::{self, Address, Event, journal::Wanted};
use crate::config::{Config, Loaded};
use crate::dialog::Command;
use crate::keymap::Keymap;
use crate::term::guard::{self, Guard, Scoped};
use crate::term::input::{Framer, Input};
use crate::term::writer::FrameWriter;
use crate::theme::{Role, Theme};
use crate::{Error, ui};
use fusebox_wire::{Component, append, feed};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Between two frames when data comes, and after a key.
const FRAME: Duration = Duration::from_millis(33);
const KEY_FRAME: Duration = Duration::from_millis(8);
/// Messages that are taken in one round before the keyboard is looked at again.
const ROUND: usize = 512;
/// Events that may wait.
const QUEUE: usize = 1_024;

/// Where everything is, for the tasks that the loop starts.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) feed: Address,
    pub(crate) revoker: Address,
    pub(crate) recorder: Address,
    pub(crate) journal: PathBuf,
    pub(crate) trust: Trust,
    pub(crate) demo_key: Option<PathBuf>,
}

impl Places {
    pub(crate) fn new(config: &Config) -> Self {
        let at = |path: &PathBuf, component| Address::new(path, component, config.socket_owner);
        let feed = at(&config.feed_socket, Component::Breaker);
        Self {
            revoker: at(&config.operator_socket, Component::Revoker),
            recorder: at(&config.append_socket, Component::Recorder),
            journal: config.journal.clone(),
            trust: Trust {
                key: config.pinned_key(),
                feed: feed.clone(),
            },
            demo_key: config.demo_key.clone(),
            feed,
        }
    }
}

/// Runs the console until it is quit.
pub(crate) fn run(loaded: &Loaded, parent_bound: bool) -> Result<(), Error> {
    if parent_bound {
        bind_to_parent()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting the runtime"))?;
    let result = runtime.block_on(console(loaded));
    // A question that nobody will answer any more must not hold the exit.
    runtime.shutdown_background();
    result
}

/// Ends with the parent, even if that is killed.
fn bind_to_parent() -> Result<(), Error> {
    let parent = rustix::process::getppid();
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|e| Error::io("binding to the parent process")(e.into()))?;
    // It may have died before the line above.
    if rustix::process::getppid() != parent {
        return Err(Error::io("binding to the parent process")(
            std::io::ErrorKind::BrokenPipe.into(),
        ));
    }
    Ok(())
}

async fn console(loaded: &Loaded) -> Result<(), Error> {
    let mut app = prepare(loaded);
    let (events, inbox) = mpsc::channel(QUEUE);
    let guard = Guard::enter().map_err(|_| Error::NoTerminal)?;
    let _scope = Scoped(guard.clone());
    guard.hook_panics();
    let screen = Screen::open(guard)?;
    let places = Places::new(&loaded.config);
    let journal = start_clients(&places, &events)?;
    if loaded.config.mouse {
        app.ui.mouse = true;
        screen.writer.raw(guard::mouse(true));
    }
    Loop {
        app,
        screen,
        inbox,
        events,
        places,
        journal,
        talks: HashMap::new(),
        framer: Framer::default(),
        dirty: true,
        urgent: true,
        drawn: None,
    }
    .turn()
    .await
}

fn prepare(loaded: &Loaded) -> App {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    // Without this, crossterm replaces every colour by a reset under NO_COLOR and wipes
    // highlights with it; colours are the theme's business.
    crossterm::style::force_color_output(true);
    let name = loaded.config.theme.as_deref().unwrap_or("default");
    let (theme, mut problems) = Theme::load(name, loaded.dirs.config.as_deref(), no_color);
    let (keymap, wrong_keys) = Keymap::load(loaded.keymap_path().as_deref());
    problems.splice(0..0, loaded.problems.iter().cloned());
    problems.extend(wrong_keys);
    let mut app = App::new(theme, keymap, loaded.dirs.clone());
    app.no_color = no_color;
    app.label.clone_from(&loaded.config.label);
    app.demo = loaded.config.demo_key.is_some();
    app.problems(&problems, Instant::now());
    app
}

fn start_clients(
    places: &Places,
    events: &client::Events,
) -> Result<std::sync::mpsc::SyncSender<Wanted>, Error> {
    tokio::spawn(client::feed::follow(places.feed.clone(), events.clone()));
    tokio::spawn(client::revoker::follow(
        places.revoker.clone(),
        events.clone(),
    ));
    tokio::spawn(client::recorder::follow(
        places.recorder.clone(),
        events.clone(),
    ));
    client::journal::start(places.journal.clone(), events.clone())
        .map_err(Error::io("starting the journal's reader"))
}

/// The terminal as the loop uses it.
struct Screen {
    guard: Guard,
    /// The terminal opened anew for reading: non-blocking without touching the shell's flags. A
    /// pipe's receiver is tokio's safe reader of any pollable file.
    keyboard: pipe::Receiver,
    writer: FrameWriter,
    terminal: Terminal<CrosstermBackend<FrameWriter>>,
}

impl Screen {
    fn open(guard: Guard) -> Result<Self, Error> {
        let tty = guard::open_tty().map_err(Error::io("opening the terminal"))?;
        let writer =
            FrameWriter::start(tty).map_err(Error::io("starting the terminal's writer"))?;
        let terminal = Terminal::new(CrosstermBackend::new(writer.clone()))
            .map_err(Error::io("asking the terminal's size"))?;
        let keyboard = pipe::OpenOptions::new()
            .unchecked(true)
            .open_receiver(guard::TTY);
        Ok(Self {
            guard,
            keyboard: keyboard.map_err(Error::io("opening the keyboard"))?,
            writer,
            terminal,
        })
    }

    /// Waits for bytes. Empty means that the terminal is gone.
    async fn read(&self) -> Result<Vec<u8>, Error> {
        loop {
            self.keyboard
                .readable()
                .await
                .map_err(Error::io("waiting for the keyboard"))?;
            let mut buffer = [0; 4096];
            match self.keyboard.try_read(&mut buffer) {
                Ok(n) => return Ok(buffer.get(..n).unwrap_or_default().to_vec()),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(e) => return Err(Error::io("reading the keyboard")(e)),
            }
        }
    }

    fn draw(&mut self, app: &App, now: Instant) -> Result<(), Error> {
        self.terminal
            .draw(|frame| {
                let area = frame.area();
                let cursor = ui::draw(app, area, frame.buffer_mut(), now);
                if let Some(cursor) = cursor {
                    frame.set_cursor_position(cursor);
                }
            })
            .map_err(Error::io("drawing"))?;
        self.writer.commit();
        Ok(())
    }

    /// Forgets what the terminal shows. (`Terminal::clear` would ask it for its cursor, and the
    /// answer would come through our own input.)
    fn forget(&mut self) -> Result<(), Error> {
        let size = self
            .terminal
            .size()
            .map_err(Error::io("asking the terminal's size"))?;
        self.terminal
            .resize(ratatui::layout::Rect::new(0, 0, size.width, size.height))
            .map_err(Error::io("clearing the terminal"))
    }
}

struct Loop {
    app: App,
    screen: Screen,
    inbox: mpsc::Receiver<Event>,
    events: client::Events,
    places: Places,
    journal: std::sync::mpsc::SyncSender<Wanted>,
    /// The open conversations with the revoker, by dialog.
    talks: HashMap<u64, mpsc::Sender<Command>>,
    framer: Framer,
    dirty: bool,
    /// A key was pressed: draw sooner.
    urgent: bool,
    drawn: Option<Instant>,
}

impl Loop {
    async fn turn(mut self) -> Result<(), Error> {
        let listen = |kind| signal(kind).map_err(Error::io("listening for signals"));
        let mut term = listen(SignalKind::terminate())?;
        let mut hup = listen(SignalKind::hangup())?;
        let mut int = listen(SignalKind::interrupt())?;
        let mut size = listen(SignalKind::window_change())?;
        let mut cont = listen(SignalKind::from_raw(Signal::CONT.as_raw()))?;
        let mut stop = listen(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
        loop {
            if self.frame_due(Instant::now()) {
                self.screen.draw(&self.app, Instant::now())?;
                self.drawn = Some(Instant::now());
                (self.dirty, self.urgent) = (false, false);
            }
            let deadline = self.deadline(Instant::now());
            tokio::select! {
                biased;
                _ = term.recv() => return self.end(),
                _ = hup.recv() => return self.end(),
                _ = int.recv() => return self.end(),
                // Also if the size is the old one again: the terminal may have lost what it showed.
                _ = size.recv() => {
                    self.screen.forget()?;
                    self.mark(true);
                }
                _ = stop.recv() => self.suspend()?,
                // Continued from outside while we did not stop ourselves.
                _ = cont.recv() => self.repaint()?,
                bytes = self.screen.read() => {
                    let bytes = match bytes {
                        Ok(bytes) if !bytes.is_empty() => bytes,
                        // The terminal is gone: there is nobody to tell.
                        _ => return self.end(),
                    };
                    let input = self.framer.feed(&bytes, Instant::now());
                    self.take(input);
                }
                Some(event) = self.inbox.recv() => self.hear(event),
                () = self.screen.writer.left(), if !self.screen.writer.is_idle() => {}
                () = sleep_until(deadline), if deadline.is_some() => self.tick(),
            }
            if self.effects().await? {
                return self.end();
            }
        }
    }

    fn mark(&mut self, urgent: bool) {
        self.dirty = true;
        self.urgent |= urgent;
    }

    fn frame_due(&self, now: Instant) -> bool {
        self.dirty && self.screen.writer.is_idle() && self.next_frame().is_none_or(|at| now >= at)
    }

    fn next_frame(&self) -> Option<Instant> {
        let gap = if self.urgent { KEY_FRAME } else { FRAME };
        self.drawn.map(|at| at + gap)
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        // A blocked terminal is waited for, not for a time.
        let frame = match self.dirty && self.screen.writer.is_idle() {
            true => self.next_frame(),
            false => None,
        };
        let sooner = [frame, self.framer.deadline(), self.app.deadline(now)];
        sooner.into_iter().flatten().min()
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let input = self.framer.idle(now);
        self.take(input);
        if self
            .app
            .deadline(now)
            .is_some_and(|at| at <= now + Duration::from_millis(1))
            || !self.dirty
        {
            let changed = self.app.expire(now);
            self.dirty |= changed;
        }
    }

    fn take(&mut self, input: Vec<Input>) {
        for one in input {
            self.app.input(one, Instant::now());
            self.mark(true);
        }
    }

    /// One message, and what else is there.
    fn hear(&mut self, event: Event) {
        let now = Instant::now();
        let mut next = Some(event);
        for _ in 0..ROUND {
            let Some(event) = next else { break };
            self.dirty |= self.app.hear(event, now);
            next = self.inbox.try_recv().ok();
        }
        if let Some(event) = next {
            self.dirty |= self.app.hear(event, now);
        }
    }

    fn suspend(&mut self) -> Result<(), Error> {
        self.screen
            .guard
            .suspend()
            .map_err(Error::io("suspending"))?;
        self.repaint()
    }

    fn repaint(&mut self) -> Result<(), Error> {
        self.screen
            .guard
            .resume()
            .map_err(Error::io("returning to the terminal"))?;
        if self.app.ui.mouse {
            self.screen.writer.raw(guard::mouse(true));
        }
        self.screen.forget()?;
        self.drawn = None;
        self.mark(true);
        Ok(())
    }

    /// Keeps what must be kept.
    fn end(mut self) -> Result<(), Error> {
        if let Some(editor) = &mut self.app.ui.editor {
            editor.save(Instant::now(), true);
        }
        Ok(())
    }

    /// Does what `update` asked for. Returns whether to quit.
    async fn effects(&mut self) -> Result<bool, Error> {
        for effect in std::mem::take(&mut self.app.effects) {
            match effect {
                Effect::Quit => return Ok(true),
                Effect::Suspend => self.suspend()?,
                Effect::Repaint => {
                    self.screen.forget()?;
                    self.mark(true);
                }
                Effect::Raw(bytes) => self.screen.writer.raw(&bytes),
                Effect::Run(id, command) => self.command(id, command),
                Effect::Acknowledge(alert) => self.acknowledge(alert),
                Effect::Append { draft, body } => self.append(draft, body),
                Effect::Want(filter) => {
                    let _ = self.journal.try_send(Wanted { filter });
                }
                Effect::External => self.external().await?,
            }
        }
        Ok(false)
    }

    fn command(&mut self, id: u64, command: Command) {
        self.talks.retain(|_, talk| !talk.is_closed());
        let places = &self.places;
        let events = &self.events;
        let talk = self.talks.entry(id).or_insert_with(|| {
            let (send, receive) = mpsc::channel(8);
            tokio::spawn(client::run::drive(
                places.clone(),
                receive,
                Tell::new(id, events.clone()),
            ));
            send
        });
        if talk.try_send(command).is_err() {
            self.app.tell(
                "the revoker is still busy with the last question",
                Role::Warn,
                Instant::now(),
            );
        }
    }

    fn acknowledge(&self, alert: String) {
        let (address, events) = (self.places.feed.clone(), self.events.clone());
        tokio::spawn(async move {
            let text = match client::feed::request(&address, &feed::Request::Acknowledge { alert })
                .await
            {
                Ok(reply) => reply.detail,
                Err(e) => format!("not acknowledged: {e}"),
            };
            let _ = events.send(Event::Note(text)).await;
        });
    }

    fn append(&self, draft: String, body: serde_json::Value) {
        let (address, events) = (self.places.recorder.clone(), self.events.clone());
        let row = append::Draft {
            kind: "annotation".to_owned(),
            body,
            happened_ms: crate::wall_ms(),
            outbox: None,
        };
        tokio::spawn(async move {
            let event = match client::recorder::append(&address, row).await {
                Ok(Ok(seq)) => Event::Appended { seq, draft },
                Ok(Err(refused)) => Event::NotAppended(refused),
                Err(e) => Event::NotAppended(e.to_string()),
            };
            let _ = events.send(event).await;
        });
    }

    /// Hands the terminal to `$VISUAL` or `$EDITOR` and takes back what it wrote.
    async fn external(&mut self) -> Result<(), Error> {
        let program = ["VISUAL", "EDITOR"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.trim().is_empty()));
        let (Some(program), Some(editor)) = (program, &mut self.app.ui.editor) else {
            self.app.tell(
                "neither $VISUAL nor $EDITOR is set",
                Role::Warn,
                Instant::now(),
            );
            return Ok(());
        };
        // The draft is on disk now, or there is no directory for it.
        editor.replace(&editor.text(), Instant::now());
        editor.save(Instant::now(), true);
        let Some(path) = editor.path() else {
            return Ok(());
        };
        if !path.exists() && std::fs::write(&path, "").is_err() {
            self.app.tell(
                "the draft's file cannot be written",
                Role::Warn,
                Instant::now(),
            );
            return Ok(());
        }
        self.screen.guard.leave();
        // Through the shell, since the variable may carry arguments; the path is an argument.
        let ended = tokio::process::Command::new("sh")
            .args(["-c", &format!("{program} \"$1\""), "sh"])
            .arg(&path)
            .status()
            .await;
        self.repaint()?;
        let text = std::fs::read_to_string(&path);
        match (ended, text, &mut self.app.ui.editor) {
            (Ok(status), Ok(text), Some(editor)) if status.success() => {
                editor.replace(&text, Instant::now())
            }
            (ended, _, _) => {
                let why = ended.map_or_else(|e| e.to_string(), |status| status.to_string());
                self.app.tell(
                    format!("{program}: {why}; the draft is as it was"),
                    Role::Warn,
                    Instant::now(),
                );
            }
        }
        Ok(())
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
