//! What comes from the keyboard: text fields first, then the keymap; paste, focus and mouse.
//! A paste is text, never keys.

use super::act::PAGE;
use super::{App, Effect, GUARD};
use crate::action::{Action, Mode};
use crate::dialog::Dialog;
use crate::keymap::Lookup;
use crate::term::input::{Input, Key};
use crate::theme::Role;
use std::time::Instant;
use termina::event::{KeyCode, MouseEventKind};

impl App {
    /// Takes one piece of input.
    pub(crate) fn input(&mut self, input: Input, now: Instant) {
        match input {
            Input::Key(key) => self.key(key, now),
            Input::Paste { text, cut } => self.paste(&text, cut, now),
            Input::Focus(_) => self.ui.guarded_until = Some(now + GUARD),
            Input::Mouse(mouse) => match mouse.kind {
                MouseEventKind::ScrollUp => self.walk(false, 3),
                MouseEventKind::ScrollDown => self.walk(true, 3),
                _ => {}
            },
        }
    }

    fn paste(&mut self, text: &str, cut: bool, now: Instant) {
        self.ui.guarded_until = Some(now + GUARD);
        self.ui.pending.clear();
        if let Some(palette) = &mut self.ui.palette {
            palette.query.insert(text);
        } else if let Some(dialog) = self.ui.dialog.as_mut().filter(|d| !d.hidden) {
            if dialog.is_typing() {
                dialog.reason.insert(text);
                dialog.typed(now);
            }
        } else if let Some(editor) = &mut self.ui.editor {
            editor.paste(text, now);
        } else if self.ui.filtering {
            self.ui.filter.insert(text);
            self.want();
        } else {
            self.tell("a paste does nothing here", Role::Muted, now);
        }
        if cut {
            self.tell(
                "the paste was longer than 64 KiB: its end is missing",
                Role::Warn,
                now,
            );
        }
    }

    fn mode(&self) -> Mode {
        if self.ui.dialog.as_ref().is_some_and(|d| !d.hidden) {
            Mode::Dialog
        } else if self.ui.editor.is_some() {
            Mode::Editor
        } else {
            Mode::Normal
        }
    }

    fn key(&mut self, key: Key, now: Instant) {
        if self
            .ui
            .toast
            .as_ref()
            .is_some_and(|(_, _, until)| *until > now + super::TOAST)
        {
            self.ui.toast = None;
        }
        if key.code == KeyCode::Escape {
            self.ui.guarded_until = Some(now + GUARD);
            if !self.ui.pending.is_empty() {
                self.ui.pending.clear();
                return;
            }
        }
        if self.ui.palette.is_some() {
            return self.palette_key(key, now);
        }
        if self.ui.filtering {
            return self.filter_key(key);
        }
        if let Some(scroll) = self.ui.help {
            return self.help_key(key, scroll);
        }
        let mode = self.mode();
        // A text field takes what types or edits; the rest goes to the keymap.
        let typing = mode == Mode::Dialog && self.ui.dialog.as_ref().is_some_and(Dialog::is_typing);
        if typing && self.ui.pending.is_empty() {
            let is_option = matches!(
                self.keymap.lookup(mode, &[key]),
                Lookup::Run(Action::Flatten | Action::Total)
            );
            let dialog = self.ui.dialog.as_mut().filter(|_| !is_option);
            let taken = dialog.and_then(|dialog| {
                let changed = dialog.reason.key(key)?;
                if changed {
                    dialog.typed(now);
                }
                Some(())
            });
            if taken.is_some() {
                return;
            }
        }
        self.ui.pending.push(key);
        let pending = self.ui.pending.clone();
        match self.keymap.lookup(mode, &pending) {
            Lookup::Pending => {}
            Lookup::Run(action) => {
                self.ui.pending.clear();
                self.act(action, now);
            }
            Lookup::Nothing => {
                self.ui.pending.clear();
                if let (Mode::Editor, [only], Some(editor)) =
                    (mode, pending.as_slice(), &mut self.ui.editor)
                {
                    editor.key(*only, now);
                }
            }
        }
    }

    fn palette_key(&mut self, key: Key, now: Instant) {
        let Some(palette) = &mut self.ui.palette else {
            return;
        };
        let last = palette.matches(&self.keymap).len().saturating_sub(1);
        match key.code {
            KeyCode::Escape => self.ui.palette = None,
            KeyCode::Up => palette.cursor = palette.cursor.saturating_sub(1),
            KeyCode::Down | KeyCode::Tab => palette.cursor = (palette.cursor + 1).min(last),
            KeyCode::Enter => {
                let chosen = palette
                    .matches(&self.keymap)
                    .get(palette.cursor)
                    .map(|spec| spec.action);
                self.ui.palette = None;
                if let Some(action) = chosen {
                    self.act(action, now);
                }
            }
            _ => {
                if palette.query.key(key) == Some(true) {
                    palette.cursor = 0;
                }
            }
        }
    }

    fn filter_key(&mut self, key: Key) {
        match key.code {
            KeyCode::Escape => {
                self.ui.filtering = false;
                self.ui.filter.clear();
                self.want();
            }
            KeyCode::Enter => self.ui.filtering = false,
            _ => {
                if self.ui.filter.key(key) == Some(true) {
                    self.want();
                }
            }
        }
    }

    fn help_key(&mut self, key: Key, scroll: usize) {
        self.ui.help = match (key.code, self.keymap.lookup(Mode::Normal, &[key])) {
            (_, Lookup::Run(Action::Down)) => Some(scroll + 1),
            (_, Lookup::Run(Action::Up)) => Some(scroll.saturating_sub(1)),
            (_, Lookup::Run(Action::PageDown)) => Some(scroll + PAGE),
            (_, Lookup::Run(Action::PageUp)) => Some(scroll.saturating_sub(PAGE)),
            _ => None,
        };
    }

    pub(super) fn want(&mut self) {
        self.ui.selected = None;
        self.effects.push(Effect::Want(self.ui.filter.text()));
    }
}
