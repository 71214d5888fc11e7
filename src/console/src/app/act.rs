//! What actions do: one function per group. An action that cannot be done says why.

use super::palette::Palette;
use super::{App, Effect, Pane};
use crate::action::{Action, Danger, Mode};
use crate::dialog::Subject;
use crate::editor::Kind;
use crate::term::guard;
use crate::theme::Role;
use std::time::Instant;

/// Lines of a page, for the cursor.
pub(super) const PAGE: usize = 10;

impl App {
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

    pub(super) fn walk(&mut self, down: bool, by: usize) {
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

    pub(super) fn cursor(&self, pane: Pane) -> usize {
        self.ui.cursors.get(pane as usize).copied().unwrap_or(0)
    }

    pub(super) fn alert_at_cursor(&self) -> Option<String> {
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
}
