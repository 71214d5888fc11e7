//! Drawing: a function of the state and the time, into a buffer. No I/O, no clock, no lock.
//!
//! Four layouts: wide (from 120×40), normal (80×24 is the size that must be perfect), tiny (down
//! to 20×4), and below that one sentence. A figure is drawn with its age or not at all.

mod chart;
mod dialog;
mod editor;
mod entry;
mod head;
mod health;
mod help;
mod journal;
mod ladder;
pub(crate) mod paint;
mod panes;
mod positions;
mod report;
#[cfg(test)]
mod tests;

use crate::app::{App, Pane};
use paint::Canvas;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use std::time::Instant;

/// What a pane draws from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) app: &'a App,
    pub(crate) store: &'a crate::store::Store,
    pub(crate) now: Instant,
}

impl View<'_> {
    fn focused(&self, pane: Pane) -> bool {
        self.app.ui.focus == pane && self.app.ui.editor.is_none()
    }

    fn cursor(&self, pane: Pane) -> usize {
        self.app.ui.cursors.get(pane as usize).copied().unwrap_or(0)
    }
}

/// Draws everything; returns where the terminal's cursor belongs, if a text field has it.
pub(crate) fn draw(app: &App, area: Rect, buffer: &mut Buffer, now: Instant) -> Option<Position> {
    let view = View {
        app,
        store: app.shown(),
        now,
    };
    let mut canvas = Canvas {
        buffer,
        theme: &app.theme,
    };
    canvas.clear(area);
    match (area.width, area.height) {
        (..20, _) | (_, ..4) => {
            head::too_small(&mut canvas, area);
            return None;
        }
        (..60, _) | (_, ..16) => return tiny(&mut canvas, area, &view),
        (120.., 40..) => wide(&mut canvas, area, &view),
        _ => normal(&mut canvas, area, &view),
    }
    over(&mut canvas, area, &view)
}

/// The head, the bottom line, and what is between.
fn split(area: Rect) -> (Rect, Rect, Rect) {
    let head = Rect { height: 2, ..area };
    let foot = Rect::new(area.x, area.bottom() - 1, area.width, 1);
    let body = Rect::new(area.x, area.y + 2, area.width, area.height - 3);
    (head, body, foot)
}

fn normal(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    let (top, body, foot) = split(area);
    head::head(canvas, top, view);
    head::foot(canvas, foot, view);
    if view.app.ui.zoom && view.app.ui.editor.is_none() {
        return pane(canvas, body, view, view.app.ui.focus, "┌");
    }
    let ladder = take(body, ladder::height(view).min(body.height / 2));
    ladder::ladder(canvas, ladder.0, view, "┌");
    let wanted = positions::height(view)
        .min(ladder.1.height.saturating_sub(7))
        .max(3);
    let positions = take(ladder.1, wanted);
    positions::positions(canvas, positions.0, view, "├");
    let rest = positions.1;
    let whole = view.app.ui.slot == Pane::Health || view.app.ui.editor.is_some();
    if whole || rest.height < 5 {
        return lower(canvas, rest, view);
    }
    let lines = health::line_count(view, rest.width).min(rest.height.saturating_sub(4));
    let (slot, health) = take(rest, rest.height - 1 - lines);
    lower(canvas, slot, view);
    health::brief_strip(canvas, health, view);
}

/// The lower part of the normal layout: the editor, or the pane that was chosen last.
fn lower(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    if view.app.ui.editor.is_some() {
        return editor::editor(canvas, area, view, "├");
    }
    pane(canvas, area, view, view.app.ui.slot, "├");
}

fn pane(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, which: Pane, corner: &str) {
    match which {
        Pane::Ladder => ladder::ladder(canvas, area, view, corner),
        Pane::Positions => positions::positions(canvas, area, view, corner),
        Pane::Journal if view.app.ui.opened => entry::entry(canvas, area, view, corner),
        Pane::Journal => journal::journal(canvas, area, view, corner),
        Pane::Chart => chart::chart(canvas, area, view, corner),
        Pane::Keys => panes::keys(canvas, area, view, corner),
        Pane::Alerts => panes::alerts(canvas, area, view, corner),
        Pane::Health => health::health(canvas, area, view, corner),
    }
}

fn wide(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    let (top, body, foot) = split(area);
    head::head(canvas, top, view);
    head::foot(canvas, foot, view);
    if view.app.ui.zoom && view.app.ui.editor.is_none() {
        return pane(canvas, body, view, view.app.ui.focus, "┌");
    }
    let below = (body.height / 4).clamp(9, 14);
    let (upper, lower) = take(body, body.height - below);
    if area.width >= 180 {
        let left = Rect { width: 62, ..upper };
        let middle = Rect {
            x: left.right(),
            width: 82,
            ..upper
        };
        let right = Rect {
            x: middle.right(),
            width: upper.right() - middle.right(),
            ..upper
        };
        left_column(canvas, left, view);
        middle_column(canvas, middle, view, "┬");
        right_column(canvas, right, view);
    } else {
        let width = 81.min(upper.width * 2 / 3 + 1);
        let left = Rect { width, ..upper };
        let right = Rect {
            x: left.right(),
            width: upper.width - width,
            ..upper
        };
        let (top, rest) = take(left, ladder::height(view));
        ladder::ladder(canvas, top, view, "┌");
        let (positions, chart) = take(rest, positions::height(view).max(5).min(rest.height / 2));
        positions::positions(canvas, positions, view, "├");
        chart::chart(canvas, chart, view, "├");
        right_column(canvas, right, view);
    }
    lower_strip(canvas, lower, view, area.width < 180);
}

fn left_column(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    let (ladder, chart) = take(area, ladder::height(view));
    ladder::ladder(canvas, ladder, view, "┌");
    chart::chart(canvas, chart, view, "├");
}

fn middle_column(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, corner: &str) {
    let most = area.height / 2;
    let (positions, rest) = take(area, (positions::height(view) + 1).clamp(5, most.max(5)));
    positions::positions(canvas, positions, view, corner);
    let orders = u16::try_from(view.store.orders.len()).unwrap_or(u16::MAX);
    let (orders, alerts) = take(
        rest,
        orders.saturating_add(2).clamp(4, (rest.height / 2).max(4)),
    );
    positions::orders(canvas, orders, view);
    panes::alerts(canvas, alerts, view, "├");
}

fn right_column(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    if view.app.ui.editor.is_some() {
        return editor::editor(canvas, area, view, "┬");
    }
    let (journal, opened) = take(area, area.height * 3 / 5);
    journal::journal(canvas, journal, view, "┬");
    entry::entry(canvas, opened, view, "├");
}

/// Health and keys; the alerts too, where no column above has them.
fn lower_strip(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, with_alerts: bool) {
    let parts = if with_alerts { 3 } else { 2 };
    let width = area.width / parts;
    let left = Rect { width, ..area };
    let right = Rect {
        x: area.x + width * (parts - 1),
        width: area.width - width * (parts - 1),
        ..area
    };
    health::health(canvas, left, view, "├");
    if with_alerts {
        let middle = Rect {
            x: left.right(),
            width,
            ..area
        };
        panes::alerts(canvas, middle, view, "┬");
    }
    panes::keys(canvas, right, view, "┬");
}

/// The first `height` lines, and the rest.
fn take(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    let first = Rect { height, ..area };
    let rest = Rect {
        y: area.y + height,
        height: area.height - height,
        ..area
    };
    (first, rest)
}

fn tiny(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) -> Option<Position> {
    let dialog = view.app.ui.dialog.as_ref().is_some_and(|d| !d.hidden);
    if dialog && area.width >= 40 && area.height >= 8 {
        return dialog::dialog(canvas, area, view);
    }
    head::tiny(canvas, area, view);
    None
}

/// What lies above the panes: dialog, palette, help.
fn over(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) -> Option<Position> {
    let ui = &view.app.ui;
    if let Some(scroll) = ui.help {
        help::help(canvas, area, view, scroll);
        return None;
    }
    if let Some(palette) = &ui.palette {
        return help::palette(canvas, area, view, palette);
    }
    if ui.dialog.as_ref().is_some_and(|d| !d.hidden) {
        // The equity line stays in sight.
        let (_, body, _) = split(area);
        return dialog::dialog(canvas, body, view);
    }
    if ui.filtering {
        return journal::filter_cursor(area, view);
    }
    None
}
