//! The console's state and what keys and messages do to it. One task owns it (`run`); everything
//! else sends values. `update` is synchronous and does no I/O: it returns effects.

mod act;
mod input;
mod open;
pub(crate) mod palette;
pub(crate) mod run;

use crate::client::Event;
use crate::config::{Dirs, Problem};
use crate::dialog::{Command, Dialog};
use crate::editor::Editor;
use crate::keymap::Keymap;
use crate::line_edit::LineEdit;
use crate::store::{Entry, Store};
use crate::term::input::Key;
use crate::theme::{Role, Theme};
use palette::Palette;
use std::time::{Duration, Instant};

/// Actions that lead to a touch are dead for so long after a paste, an Escape or a new focus.
pub(crate) const GUARD: Duration = Duration::from_millis(300);
/// How long a message stays in the bottom line.
const TOAST: Duration = Duration::from_secs(6);

/// The panes, in the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pane {
    Ladder,
    Positions,
    Journal,
    Chart,
    Keys,
    Alerts,
    Health,
}

impl Pane {
    pub(crate) const ALL: [Self; 7] = [
        Self::Ladder,
        Self::Positions,
        Self::Journal,
        Self::Chart,
        Self::Keys,
        Self::Alerts,
        Self::Health,
    ];

    fn step(self, forward: bool) -> Self {
        let n = Self::ALL.len();
        let at = Self::ALL.iter().position(|p| *p == self).unwrap_or(0);
        let next = if forward { at + 1 } else { at + n - 1 };
        Self::ALL.get(next % n).copied().unwrap_or(Self::Journal)
    }
}

/// What the loop is to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Quit,
    Suspend,
    /// Clear and draw everything.
    Repaint,
    /// Bytes for the terminal that are no frame.
    Raw(Vec<u8>),
    Run(u64, Command),
    Acknowledge(String),
    Append {
        draft: String,
        body: serde_json::Value,
    },
    /// What the journal should show.
    Want(String),
    /// `$EDITOR` on the draft.
    External,
}

/// What the operator is looking at.
#[derive(Debug)]
pub(crate) struct Ui {
    pub(crate) focus: Pane,
    /// What the lower part shows where only one pane fits.
    pub(crate) slot: Pane,
    pub(crate) zoom: bool,
    /// Cursors of the panes, by number.
    pub(crate) cursors: [usize; 7],
    /// The journal's selected row; `None` follows the newest.
    pub(crate) selected: Option<u64>,
    /// An opened entry is shown whole.
    pub(crate) opened: bool,
    pub(crate) entry_scroll: usize,
    pub(crate) filter: LineEdit,
    pub(crate) filtering: bool,
    pub(crate) palette: Option<Palette>,
    pub(crate) help: Option<usize>,
    pub(crate) editor: Option<Editor>,
    pub(crate) dialog: Option<Dialog>,
    /// A chord that was begun.
    pub(crate) pending: Vec<Key>,
    pub(crate) guarded_until: Option<Instant>,
    pub(crate) toast: Option<(String, Role, Instant)>,
    /// The picture held still.
    pub(crate) frozen: Option<(Box<Store>, Instant)>,
    pub(crate) mouse: bool,
}

impl Default for Ui {
    fn default() -> Self {
        Self {
            focus: Pane::Journal,
            slot: Pane::Journal,
            zoom: false,
            cursors: [0; 7],
            selected: None,
            opened: false,
            entry_scroll: 0,
            filter: LineEdit::default(),
            filtering: false,
            palette: None,
            help: None,
            editor: None,
            dialog: None,
            pending: Vec::new(),
            guarded_until: None,
            toast: None,
            frozen: None,
            mouse: false,
        }
    }
}

/// The console.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) ui: Ui,
    pub(crate) theme: Theme,
    pub(crate) keymap: Keymap,
    pub(crate) label: Option<String>,
    /// The demo's software key stands in for a real one.
    pub(crate) demo: bool,
    pub(crate) no_color: bool,
    pub(crate) dirs: Dirs,
    pub(crate) effects: Vec<Effect>,
    dialogs: u64,
}

impl App {
    pub(crate) fn new(theme: Theme, keymap: Keymap, dirs: Dirs) -> Self {
        Self {
            store: Store::default(),
            ui: Ui::default(),
            theme,
            keymap,
            label: None,
            demo: false,
            no_color: false,
            dirs,
            effects: Vec::new(),
            dialogs: 0,
        }
    }

    /// What was wrong in the operator's files, in the bottom line until a key is pressed.
    pub(crate) fn problems(&mut self, problems: &[Problem], now: Instant) {
        if let Some(first) = problems.first() {
            let more = match problems.len() {
                1 => String::new(),
                n => format!(" (and {} more; `fusebox doctor` lists them)", n - 1),
            };
            let text = format!("{first}{more}; defaults are used");
            let until = now + Duration::from_secs(3600);
            self.ui.toast = Some((text, Role::Warn, until));
        }
    }

    pub(crate) fn tell(&mut self, text: impl Into<String>, role: Role, now: Instant) {
        let text = fusebox_domain::clean_line(&text.into(), 300);
        self.ui.toast = Some((text, role, now + TOAST));
    }

    /// A component said something. Returns whether the screen may have changed.
    pub(crate) fn hear(&mut self, event: Event, now: Instant) -> bool {
        match event {
            Event::Link(peer, link) => return self.store.link(peer, link),
            Event::Feed(message) => {
                return self.store.feed(*message, now) && self.ui.frozen.is_none();
            }
            Event::Revoker(status, keys) => self.store.revoker(*status, keys.map(|k| *k), now),
            Event::Recorder(status) => {
                self.store.recorded = Some(crate::store::Sample {
                    value: status,
                    at: now,
                });
            }
            Event::Page(page) => self.store.page = page,
            Event::Run(id, event) => {
                if let Some(dialog) = self.ui.dialog.as_mut().filter(|d| d.id == id) {
                    dialog.hear(*event, now);
                }
            }
            Event::Appended { seq, draft } => {
                if let Some(mut editor) = self.ui.editor.take_if(|e| e.name() == draft) {
                    editor.sent();
                    self.focus(Pane::Journal);
                    self.ui.selected = Some(seq);
                    self.tell(
                        format!("written to the journal as entry {seq}"),
                        Role::Ok,
                        now,
                    );
                }
            }
            Event::NotAppended(why) => {
                if let Some(editor) = &mut self.ui.editor {
                    editor.sending = false;
                }
                self.tell(
                    format!("not written: {why}; the draft is kept"),
                    Role::Danger,
                    now,
                );
            }
            Event::Note(text) => self.tell(text, Role::Accent, now),
        }
        true
    }

    /// The picture to draw: the frozen one, if any. Its ages go on.
    pub(crate) fn shown(&self) -> &Store {
        self.ui
            .frozen
            .as_ref()
            .map_or(&self.store, |(store, _)| store)
    }

    /// The journal's selected row.
    pub(crate) fn selected_entry(&self) -> Option<&Entry> {
        let rows = &self.shown().page.rows;
        match self.ui.selected {
            Some(seq) => rows.iter().find(|row| row.seq <= seq).or(rows.last()),
            None => rows.first(),
        }
    }

    /// The next moment at which something changes by itself.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let toast = self.ui.toast.as_ref().map(|(_, _, until)| *until);
        let draft = self.ui.editor.as_ref().and_then(Editor::deadline);
        let second = |shows: bool| shows.then(|| now + Duration::from_secs(1));
        let dialog = self.ui.dialog.as_ref();
        let counting = dialog.is_some_and(|d| d.left_ms(now).is_some_and(|left| left > 0));
        let replan = dialog.and_then(|d| d.replan_at);
        let ageing = self.shown().next_ageing(now);
        [toast, draft, second(counting), replan, ageing]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time has passed. Returns whether something on screen is over.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        if self
            .ui
            .toast
            .as_ref()
            .is_some_and(|(_, _, until)| now >= *until)
        {
            self.ui.toast = None;
        }
        if let Some(editor) = &mut self.ui.editor {
            editor.save(now, false);
        }
        if let Some(dialog) = &mut self.ui.dialog {
            let id = dialog.id;
            self.effects
                .extend(dialog.replan(now).map(|command| Effect::Run(id, command)));
        }
        true
    }
}
