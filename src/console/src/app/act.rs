//! What input does: paste, focus, mouse, keys through the keymap, and one function per group of
//! actions. An action that cannot be done says why.

use super::palette::Palette;
use super::{App, Effect, GUARD, Pane};
use crate::action::{Action, Danger, Mode};
use crate::dialog::{Answer, Choice, Command, Dialog, Stage, Subject};
use crate::editor::{About, Editor, Kind};
use crate::fmt;
use crate::keymap::Lookup;
use crate::term::guard;
use crate::term::input::{Input, Key};
use crate::theme::Role;
use fusebox_wire::feed::RungState;
use std::time::Instant;
use termina::event::{KeyCode, MouseEventKind};

/// Lines of a page, for the cursor.
const PAGE: usize = 10;

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

    fn want(&mut self) {
        self.ui.selected = None;
        self.effects.push(Effect::Want(self.ui.filter.text()));
    }

    /// Why an action cannot be done now; `None` if it can.
    pub(crate) fn refusal(&self, action: Action) -> Option<&'static str> {
        let nothing_runs = || self.ui.dialog.is_none();
        match action {
            Action::Acknowledge
                if self.store.open_review().is_none() && self.alert_at_cursor().is_none() =>
            {
                Some("no review is open")
            }
            Action::Resume if nothing_runs() && self.latched().is_empty() => {
                Some("no rung is latched")
            }
            Action::Rotate if nothing_runs() && self.store.keys.is_none() => {
                Some("the revoker's key registry is not known yet")
            }
            Action::Copy if self.selected_entry().is_none() => Some("nothing is selected"),
            _ => None,
        }
    }

    /// Does an action, or says why not.
    pub(crate) fn act(&mut self, action: Action, now: Instant) {
        let danger = action.spec().map_or(Danger::None, |spec| spec.danger);
        if danger == Danger::Touch && self.ui.guarded_until.is_some_and(|until| now < until) {
            return self.tell(
                "ignored: too soon after a paste, Esc or a change of focus; press it again",
                Role::Warn,
                now,
            );
        }
        if let Some(why) = self.refusal(action) {
            return self.tell(why, Role::Warn, now);
        }
        match action {
            Action::Kill => self.open_dialog(Subject::Kill, now),
            Action::Rotate => self.open_dialog(Subject::Rotate, now),
            Action::Resume => self.open_dialog(Subject::Resume, now),
            Action::Acknowledge => {
                let alert = self.alert_at_cursor().or_else(|| self.store.open_review());
                self.effects.extend(alert.map(Effect::Acknowledge));
            }
            Action::Thesis => self.edit(Kind::Thesis, now),
            Action::Lesson => self.edit(Kind::Lesson, now),
            Action::Note => self.edit(Kind::Note, now),
            Action::Up => self.walk(false, 1),
            Action::Down => self.walk(true, 1),
            Action::PageUp => self.walk(false, PAGE),
            Action::PageDown => self.walk(true, PAGE),
            Action::Top => self.walk(false, usize::MAX),
            Action::Bottom => self.walk(true, usize::MAX),
            Action::Quit => self.effects.push(Effect::Quit),
            Action::Suspend => self.effects.push(Effect::Suspend),
            Action::Redraw => self.effects.push(Effect::Repaint),
            Action::Palette => self.ui.palette = Some(Palette::default()),
            Action::Help => self.ui.help = Some(0),
            _ if action.spec().is_some_and(|spec| spec.mode == Mode::Editor) => {
                self.act_editor(action, now)
            }
            _ if action.spec().is_some_and(|spec| spec.mode == Mode::Dialog) => {
                self.act_dialog(action, now)
            }
            _ => self.act_view(action, now),
        }
    }

    fn act_view(&mut self, action: Action, now: Instant) {
        match action {
            Action::Open if self.ui.focus == Pane::Journal => {
                self.ui.entry_scroll = 0;
                self.ui.opened = !self.ui.opened;
            }
            // Elsewhere a line is whole already; the pane is not.
            Action::Open => self.ui.zoom = !self.ui.zoom,
            Action::Back => {
                if self.ui.opened {
                    self.ui.opened = false;
                } else if !self.ui.filter.is_empty() {
                    self.ui.filter.clear();
                    self.want();
                } else {
                    self.ui.zoom = false;
                }
            }
            Action::Filter => {
                self.focus(Pane::Journal);
                self.ui.opened = false;
                self.ui.filtering = true;
            }
            Action::Copy => self.copy(now),
            Action::NextPane => self.focus(self.ui.focus.step(true)),
            Action::PreviousPane => self.focus(self.ui.focus.step(false)),
            Action::Ladder => self.focus(Pane::Ladder),
            Action::Positions => self.focus(Pane::Positions),
            Action::Journal => self.focus(Pane::Journal),
            Action::Chart => self.focus(Pane::Chart),
            Action::Keys => self.focus(Pane::Keys),
            Action::Alerts => self.focus(Pane::Alerts),
            Action::Health => self.focus(Pane::Health),
            Action::Zoom => self.ui.zoom = !self.ui.zoom,
            Action::Freeze => {
                self.ui.frozen = match self.ui.frozen.take() {
                    Some(_) => None,
                    None => Some((Box::new(self.store.clone()), now)),
                };
            }
            Action::Theme => {
                self.theme = self.theme.next(self.no_color);
                let name = self.theme.name.clone();
                self.tell(format!("theme {name}"), Role::Muted, now);
                self.effects.push(Effect::Repaint);
            }
            Action::Mouse => {
                self.ui.mouse = !self.ui.mouse;
                self.effects
                    .push(Effect::Raw(guard::mouse(self.ui.mouse).to_vec()));
                let word = if self.ui.mouse {
                    "on: the wheel scrolls"
                } else {
                    "off: select text as usual"
                };
                self.tell(format!("mouse {word}"), Role::Muted, now);
            }
            _ => {}
        }
    }

    pub(super) fn focus(&mut self, pane: Pane) {
        self.ui.focus = pane;
        self.ui.opened = false;
        if !matches!(pane, Pane::Ladder | Pane::Positions) {
            self.ui.slot = pane;
        }
    }

    /// How many lines the focused pane's cursor can stand on.
    fn lines(&self, pane: Pane) -> usize {
        let store = self.shown();
        match pane {
            Pane::Ladder => store.ladder.as_ref().map_or(0, |l| l.value.rungs.len()),
            Pane::Positions => {
                let foreign = store.orders.iter().filter(|o| o.foreign).count();
                store.positions.as_ref().map_or(0, |p| p.value.len()) + foreign
            }
            Pane::Journal => store.page.rows.len(),
            Pane::Chart => 0,
            Pane::Keys => store.keys.as_ref().map_or(0, |k| k.value.keys.len()),
            Pane::Alerts => store.alerts.len() + store.actions.len(),
            Pane::Health => {
                store.health.as_ref().map_or(0, |h| h.value.len())
                    + store.sources.as_ref().map_or(0, |s| s.value.len())
                    + 4
            }
        }
    }

    fn walk(&mut self, down: bool, by: usize) {
        let step = |at: usize, last: usize| {
            if down {
                at.saturating_add(by).min(last)
            } else {
                at.saturating_sub(by)
            }
        };
        if let Some(dialog) = self.ui.dialog.as_mut().filter(|d| !d.hidden) {
            return dialog.walk(down);
        }
        if self.ui.opened && self.ui.focus == Pane::Journal {
            self.ui.entry_scroll = step(self.ui.entry_scroll, 1_000);
            return;
        }
        let last = self.lines(self.ui.focus).saturating_sub(1);
        if self.ui.focus == Pane::Journal {
            let rows = &self.shown().page.rows;
            let at = self
                .ui
                .selected
                .and_then(|seq| rows.iter().position(|row| row.seq <= seq));
            let at = step(at.unwrap_or(0), last);
            // The top line follows what is new.
            self.ui.selected = if at == 0 {
                None
            } else {
                rows.get(at).map(|row| row.seq)
            };
        } else if let Some(cursor) = self.ui.cursors.get_mut(self.ui.focus as usize) {
            *cursor = step((*cursor).min(last), last);
        }
    }

    fn cursor(&self, pane: Pane) -> usize {
        self.ui.cursors.get(pane as usize).copied().unwrap_or(0)
    }

    fn alert_at_cursor(&self) -> Option<String> {
        if self.ui.focus != Pane::Alerts {
            return None;
        }
        // Newest first, as drawn; actions follow.
        let newest_first = self
            .store
            .alerts
            .iter()
            .rev()
            .nth(self.cursor(Pane::Alerts));
        newest_first
            .filter(|a| !a.acknowledged)
            .map(|a| a.id.clone())
    }

    fn latched(&self) -> Vec<Choice> {
        let rungs = self.store.ladder.iter().flat_map(|l| &l.value.rungs);
        let latched = rungs.filter(|r| r.state == RungState::Latched);
        latched
            .map(|r| {
                let since = r
                    .since_ms
                    .map(|ms| format!(" since {}Z", fmt::clock_short(ms)));
                Choice {
                    id: r.rung.clone(),
                    text: format!(
                        "{} {}{}: {}",
                        r.rung,
                        r.basis,
                        since.unwrap_or_default(),
                        r.action
                    ),
                    picked: false,
                }
            })
            .collect()
    }

    fn open_dialog(&mut self, subject: Subject, now: Instant) {
        if let Some(dialog) = &mut self.ui.dialog {
            if dialog.subject == subject || dialog.is_running() {
                dialog.hidden = false;
                return;
            }
            self.ui.dialog = None;
        }
        self.dialogs += 1;
        let account = self.store.account.as_ref().map(|a| a.account.clone());
        let accounts = self
            .store
            .status
            .as_ref()
            .map(|s| s.value.accounts.clone())
            .unwrap_or_default();
        let account = account.or_else(|| accounts.first().filter(|_| accounts.len() == 1).cloned());
        let mut dialog = Dialog::new(self.dialogs, subject, account);
        if let Some(account) = &self.store.account {
            dialog.config_hash.clone_from(&account.config_hash);
        }
        let first = match subject {
            Subject::Kill => match self.unfinished_kill() {
                Some(run) => {
                    dialog.stage = Stage::Running { since: now };
                    Some(Command::Attach(run))
                }
                None => Some(Command::Plan(dialog.wish())),
            },
            Subject::Rotate => self.rotate_first(&mut dialog),
            Subject::Resume => {
                dialog.choices = self.latched();
                dialog.stage = Stage::Choose;
                None
            }
        };
        self.effects
            .extend(first.map(|command| Effect::Run(dialog.id, command)));
        self.ui.dialog = Some(dialog);
    }

    /// A kill that runs already, whoever began it: it is shown, not begun a second time.
    fn unfinished_kill(&self) -> Option<String> {
        let runs = &self.store.status.as_ref()?.value.runs;
        let running = runs
            .iter()
            .rev()
            .find(|r| r.action == "kill" && r.outcome.is_none());
        running.map(|r| r.run.clone())
    }

    fn rotate_first(&self, dialog: &mut Dialog) -> Option<Command> {
        let keys = self.store.keys.iter().flat_map(|k| &k.value.keys);
        let revocable = keys.filter(|k| k.role.is_some_and(fusebox_domain::KeyRole::is_revocable));
        let at_cursor = (self.ui.focus == Pane::Keys)
            .then(|| {
                self.store
                    .keys
                    .as_ref()?
                    .value
                    .keys
                    .get(self.cursor(Pane::Keys))
            })
            .flatten();
        dialog.choices = revocable
            .map(|k| {
                let due = match k.rotation_due_days {
                    Some(days) if days < 0 => format!("overdue {} d", -days),
                    Some(days) => format!("due in {days} d"),
                    None => "no rotation date".to_owned(),
                };
                let age = k
                    .age_days
                    .map(|d| format!("{d} d old, "))
                    .unwrap_or_default();
                let role = k.role.map(|r| r.as_str()).unwrap_or_default();
                Choice {
                    id: k.name.as_str().to_owned(),
                    text: format!("{:<16} {role:<6} {age}{due}", k.name.as_str()),
                    picked: k.rotation_due_days.is_some_and(|days| days < 0)
                        || at_cursor.is_some_and(|c| c.name == k.name),
                }
            })
            .collect();
        dialog.cursor = dialog.choices.iter().position(|c| c.picked).unwrap_or(0);
        dialog.stage = Stage::Choose;
        None
    }

    fn act_dialog(&mut self, action: Action, now: Instant) {
        let Some(dialog) = &mut self.ui.dialog else {
            return;
        };
        let answer = match action {
            Action::Confirm => dialog.confirm(),
            Action::CloseDialog => dialog.back(),
            Action::Touch => dialog.touch(),
            Action::Flatten => dialog.toggle(|d| &mut d.flatten),
            Action::Total => dialog.toggle(|d| &mut d.total),
            Action::Pick => {
                dialog.pick();
                Answer::Nothing
            }
            Action::DialogUp | Action::DialogDown => {
                dialog.walk(action == Action::DialogDown);
                Answer::Nothing
            }
            Action::CopyProof => return self.copy_proof(now),
            Action::ShowEntry => return self.show_run(),
            _ => Answer::Nothing,
        };
        let id = dialog.id;
        match answer {
            Answer::Nothing => {}
            Answer::Send(command) => self.effects.push(Effect::Run(id, command)),
            Answer::Close => self.ui.dialog = None,
            Answer::Hide => self.tell(
                "the run goes on; its key brings the dialog back",
                Role::Accent,
                now,
            ),
            Answer::Tell(text) => self.tell(text, Role::Warn, now),
        }
    }

    fn copy_proof(&mut self, now: Instant) {
        let finished = self.ui.dialog.as_ref().and_then(|d| d.finished.as_ref());
        let Some(finished) = finished else {
            return self.tell("there is no proof yet", Role::Warn, now);
        };
        let text = serde_json::to_string(&finished.signed).unwrap_or_default();
        self.clip(&text, "the signed report", now);
    }

    fn show_run(&mut self) {
        let run = self.ui.dialog.as_ref().and_then(|d| d.run.clone());
        let Some(run) = run else { return };
        if let Some(dialog) = &mut self.ui.dialog {
            match dialog.is_running() {
                true => dialog.hidden = true,
                false => self.ui.dialog = None,
            }
        }
        self.focus(Pane::Journal);
        self.ui.filter.set(&run);
        self.want();
    }

    fn copy(&mut self, now: Instant) {
        let Some(entry) = self.selected_entry() else {
            return;
        };
        let text = format!(
            "{} {} {} {}\n{}",
            entry.seq,
            fmt::date_time(entry.time_ms),
            entry.kind,
            entry.author,
            entry.body
        );
        let what = format!("entry {}", entry.seq);
        self.clip(&text, &what, now);
    }

    fn clip(&mut self, text: &str, what: &str, now: Instant) {
        use base64::Engine as _;
        let coded = base64::engine::general_purpose::STANDARD.encode(text);
        self.effects
            .push(Effect::Raw(format!("\x1b]52;c;{coded}\x07").into_bytes()));
        self.tell(
            format!("{what}: sent to your terminal's clipboard"),
            Role::Ok,
            now,
        );
    }

    fn edit(&mut self, kind: Kind, now: Instant) {
        let about = self.about(kind);
        let kind = if about.trade_id.is_empty() {
            Kind::Note
        } else {
            kind
        };
        let editor = Editor::open(kind, about, self.dirs.state.as_deref());
        if editor.restored {
            self.tell("your draft is back", Role::Accent, now);
        }
        self.ui.editor = Some(editor);
    }

    /// The trade that a text would be about: of the selected row, of the selected position, else
    /// the newest one that lacks such a text.
    fn about(&self, kind: Kind) -> About {
        let account = self
            .store
            .account
            .as_ref()
            .map(|a| a.account.to_string())
            .unwrap_or_default();
        let trades = &self.store.page.trades;
        let text = |field: &str| {
            let value = self.selected_entry().and_then(|e| e.body.get(field));
            value
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let position = self
            .store
            .positions
            .iter()
            .flat_map(|p| &p.value)
            .nth(self.cursor(Pane::Positions));
        let of_row = || match self.ui.focus {
            Pane::Journal if !text("trade_id").is_empty() => {
                trades.iter().find(|t| t.trade_id == text("trade_id"))
            }
            _ => None,
        };
        let of_position = || {
            let symbol = position.filter(|_| kind == Kind::Thesis)?.symbol.as_str();
            trades.iter().find(|t| t.open && t.is_of(symbol))
        };
        let lacking = || match kind {
            Kind::Thesis => trades.iter().find(|t| t.open && !t.has_thesis),
            Kind::Lesson => trades.iter().find(|t| !t.open && !t.has_lesson),
            Kind::Note => None,
        };
        match kind {
            Kind::Note => None,
            _ => of_row().or_else(of_position).or_else(lacking),
        }
        .map_or(
            About {
                account,
                trade_id: String::new(),
                title: "no trade".to_owned(),
            },
            |t| About {
                account: t.account.clone(),
                trade_id: t.trade_id.clone(),
                title: format!(
                    "trade {} {} {}",
                    t.trade_id,
                    t.pair.split(':').next().unwrap_or_default(),
                    t.side
                ),
            },
        )
    }

    fn act_editor(&mut self, action: Action, now: Instant) {
        let Some(editor) = &mut self.ui.editor else {
            return;
        };
        match action {
            Action::Send if editor.text().trim().is_empty() => {
                self.tell("there is nothing to send", Role::Warn, now);
            }
            Action::Send if editor.sending => {}
            Action::Send => {
                editor.save(now, true);
                editor.sending = true;
                let (draft, body) = (editor.name(), editor.body());
                self.effects.push(Effect::Append { draft, body });
            }
            Action::CloseEditor => {
                editor.save(now, true);
                let kept = !editor.text().trim().is_empty();
                self.ui.editor = None;
                if kept {
                    self.tell("the draft is kept", Role::Muted, now);
                }
            }
            Action::External => self.effects.push(Effect::External),
            Action::SwitchKind => editor.switch(now),
            Action::Discard => editor.discard(now),
            _ => {}
        }
    }
}
