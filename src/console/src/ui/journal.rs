//! The journal: newest first, filtered as one types.

use super::View;
use super::paint::{Canvas, Row, Text, fit, left};
use super::panes::{begin, outage};
use crate::app::Pane;
use crate::fmt;
use crate::store::{Entry, Peer};
use crate::theme::Role;
use ratatui::layout::{Position, Rect};
use unicode_width::UnicodeWidthStr;

pub(super) fn journal(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, corner: &str) {
    let ui = &view.app.ui;
    let page = &view.store.page;
    let focused = view.focused(Pane::Journal);
    let mut title = Text::new().add("Journal", Role::Strong);
    if page.total > 0 {
        title = title.add(format!(" {}", fmt::count(page.total)), Role::Text);
    }
    let checkpoint = view
        .store
        .recorded
        .as_ref()
        .and_then(|r| r.value.checkpoint_ms);
    if let Some(at) = checkpoint.filter(|_| area.width >= 60) {
        title = title.add(
            format!("  checkpoint {}Z", fmt::clock_short(at)),
            Role::Muted,
        );
    }
    if page.stopped {
        title = title.add("  recorder stopped: a still", Role::Warn);
    } else if !view.store.recorder.is_live() {
        title = title.add("  recorder does not answer", Role::Warn);
    }
    let notes = match (ui.filtering, page.filter.is_empty()) {
        (true, _) => Text::new(),
        (false, true) => Text::new().add("/ ", Role::Key).add("filter", Role::Muted),
        (false, false) => Text::new()
            .add(format!("/ {}", fit(&page.filter, 30)), Role::Accent)
            .add("  Esc clears", Role::Muted),
    };
    let inner = begin(canvas, area, corner, "", &notes, focused);
    canvas.rule(area, corner, &title, &notes, focused);
    if ui.filtering {
        filter_field(canvas, area, view);
    }
    if let (Some(text), true) = (outage(view, Peer::Journal), page.rows.is_empty()) {
        return canvas.row(inner, inner.y, &text.into());
    }
    if page.rows.is_empty() {
        let words = if page.filter.is_empty() {
            "no entries yet"
        } else {
            "nothing matches the filter"
        };
        return canvas.row(inner, inner.y, &Text::new().add(words, Role::Muted).into());
    }
    let cursor = match ui.selected {
        Some(seq) => page
            .rows
            .iter()
            .position(|row| row.seq <= seq)
            .unwrap_or(page.rows.len() - 1),
        None => 0,
    };
    let rows: Vec<Row> = page
        .rows
        .iter()
        .enumerate()
        .map(|(n, entry)| entry_row(entry, focused && n == cursor, usize::from(inner.width)))
        .collect();
    canvas.list(inner, &rows, cursor);
}

/// How a kind of row is coloured.
pub(super) fn kind_role(kind: &str) -> Role {
    match kind {
        "halt" | "incident" | "plan" => Role::Danger,
        "alert" => Role::Warn,
        "annotation" | "ack" => Role::Accent,
        _ => Role::Text,
    }
}

fn entry_row(entry: &Entry, selected: bool, width: usize) -> Row {
    let left = Text::new()
        .add(format!("{} ", fmt::clock(entry.time_ms)), Role::Muted)
        .add(left(&entry.kind, 11), kind_role(&entry.kind))
        .add(entry.summary.clone(), Role::Text);
    let tail = fit(&entry.tail, 24);
    // In a narrow column the sentence comes first.
    let fits = left.width() + tail.width() < width;
    let tail = if width >= 70 || fits {
        tail
    } else {
        String::new()
    };
    Row {
        left,
        right: Text::new().add(tail, Role::Muted),
        selected,
    }
}

/// The filter stands at the right end of the journal's rule.
const FILTER: u16 = 34;

fn filter_field(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    let width = FILTER.min(area.width.saturating_sub(12));
    let x = area.right().saturating_sub(width);
    let (shown, _) = view
        .app
        .ui
        .filter
        .window(usize::from(width.saturating_sub(4)));
    let after = canvas.put(area, x, area.y, " / ", Role::Key);
    canvas.put(
        area,
        after,
        area.y,
        &left(&shown, usize::from(width.saturating_sub(3))),
        Role::Input,
    );
}

/// Where the cursor stands while the filter is typed: found again on the drawn rule.
pub(super) fn filter_cursor(area: Rect, view: &View<'_>) -> Option<Position> {
    let rule = journal_rule(area, view)?;
    let width = FILTER.min(rule.width.saturating_sub(12));
    let (_, at) = view
        .app
        .ui
        .filter
        .window(usize::from(width.saturating_sub(4)));
    let x = rule.right().saturating_sub(width) + 3 + u16::try_from(at).unwrap_or(0);
    (x < rule.right()).then_some(Position::new(x, rule.y))
}

/// Where the journal's rule is, in each layout.
fn journal_rule(area: Rect, view: &View<'_>) -> Option<Rect> {
    let top = area.y + 2;
    if view.app.ui.zoom {
        return Some(Rect::new(area.x, top, area.width, 1));
    }
    if area.width >= 120 && area.height >= 40 {
        let left = if area.width >= 180 {
            144
        } else {
            81.min(area.width * 2 / 3 + 1)
        };
        return Some(Rect::new(area.x + left, top, area.width - left, 1));
    }
    let body = area.height.saturating_sub(3);
    let ladder = super::ladder::height(view).min(body / 2);
    let positions = super::positions::height(view)
        .min((body - ladder).saturating_sub(7))
        .max(3);
    Some(Rect::new(area.x, top + ladder + positions, area.width, 1))
}
