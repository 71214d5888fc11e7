//! Dialog, editor and clipboard: how they are opened, and what their own actions do.

use super::{App, Effect, Pane};
use crate::action::Action;
use crate::dialog::{Answer, Choice, Command, Dialog, Stage, Subject};
use crate::editor::{About, Editor, Kind};
use crate::fmt;
use crate::theme::Role;
use fusebox_wire::feed::RungState;
use std::time::Instant;

impl App {
    pub(super) fn latched(&self) -> Vec<Choice> {
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

    pub(super) fn open_dialog(&mut self, subject: Subject, now: Instant) {
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

    pub(super) fn act_dialog(&mut self, action: Action, now: Instant) {
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

    pub(super) fn copy(&mut self, now: Instant) {
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

    pub(super) fn edit(&mut self, kind: Kind, now: Instant) {
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

    pub(super) fn act_editor(&mut self, action: Action, now: Instant) {
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
