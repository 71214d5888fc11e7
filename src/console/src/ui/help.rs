//! Help and palette: both are the table of actions, seen twice.

use super::View;
use super::paint::{Canvas, Row, Text, left, wrap};
use crate::action::{ACTIONS, Danger, Mode};
use crate::app::palette::Palette;
use crate::theme::Role;
use ratatui::layout::{Position, Rect};
use unicode_width::UnicodeWidthStr;

pub(super) fn help(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, scroll: usize) {
    let area = centred(area, 84, area.height.saturating_sub(2));
    let title = Text::new().add(" Help ", Role::Focus);
    let notes = Text::new().add(" ↑↓ scroll  any other key closes ", Role::Muted);
    let inner = canvas.frame(area, &title, &notes, Role::Focus);
    let mut rows: Vec<Row> = Vec::new();
    for mode in Mode::ALL {
        if !rows.is_empty() {
            rows.push(Row::default());
        }
        rows.push(Text::new().add(mode.title(), Role::Strong).into());
        for spec in ACTIONS.iter().filter(|spec| spec.mode == mode) {
            let keys = view.app.keymap.keys_of(spec.action);
            let role = if spec.danger == Danger::Touch {
                Role::Danger
            } else {
                Role::Text
            };
            let mut text = Text::new()
                .add(left(&keys, 16), Role::Key)
                .add(spec.title, role);
            let fits = text.width() + 2 + spec.doc.width() <= usize::from(inner.width);
            if fits {
                text.push(format!("  {}", spec.doc), Role::Muted);
            }
            let mut row = Row::from(text);
            if let Some(why) = view.app.refusal(spec.action) {
                row.right = Text::new().add(format!("now: {why}"), Role::Warn);
            }
            rows.push(row);
            if !fits {
                let room = usize::from(inner.width).saturating_sub(16);
                let doc = wrap(spec.doc, room).into_iter();
                rows.extend(doc.map(|line| {
                    Row::from(
                        Text::new()
                            .add(" ".repeat(16), Role::Text)
                            .add(line, Role::Muted),
                    )
                }));
            }
        }
    }
    for line in [
        "",
        "Figures: ~ is stale, UNKNOWN is not zero. Room is cut, never rounded up.",
        "A red bar and TRIPPED: the rung is in force until the ladder or a touch releases it.",
    ] {
        rows.push(Text::new().add(line, Role::Muted).into());
    }
    let most = rows.len().saturating_sub(usize::from(inner.height));
    for (n, row) in rows
        .iter()
        .skip(scroll.min(most))
        .take(usize::from(inner.height))
        .enumerate()
    {
        canvas.row(inner, inner.y + u16::try_from(n).unwrap_or(0), row);
    }
}

pub(super) fn palette(
    canvas: &mut Canvas<'_>,
    area: Rect,
    view: &View<'_>,
    palette: &Palette,
) -> Option<Position> {
    let area = centred(area, 76, 16);
    let title = Text::new().add(" Command ", Role::Focus);
    let notes = Text::new().add(" Enter runs  Esc closes ", Role::Muted);
    let inner = canvas.frame(area, &title, &notes, Role::Focus);
    let width = usize::from(inner.width).saturating_sub(2);
    let (shown, at) = palette.query.window(width);
    canvas.put(inner, inner.x, inner.y, ": ", Role::Key);
    canvas.put(
        inner,
        inner.x + 2,
        inner.y,
        &left(&shown, width),
        Role::Input,
    );
    let list = Rect::new(
        inner.x,
        inner.y + 1,
        inner.width,
        inner.height.saturating_sub(1),
    );
    let mut rows: Vec<Row> = Vec::new();
    for (n, spec) in palette.matches(&view.app.keymap).into_iter().enumerate() {
        let why = view.app.refusal(spec.action);
        let role = match (why, spec.danger) {
            (Some(_), _) => Role::Muted,
            (None, Danger::Touch) => Role::Danger,
            _ => Role::Text,
        };
        let mut text = Text::new().add(spec.title, role);
        if let Some(why) = why {
            text.push(format!("  {why}"), Role::Warn);
        }
        rows.push(Row {
            left: text,
            right: Text::new().add(view.app.keymap.keys_of(spec.action), Role::Key),
            selected: n == palette.cursor,
        });
    }
    if rows.is_empty() {
        rows.push(Text::new().add("no action matches", Role::Muted).into());
    }
    canvas.list(list, &rows, palette.cursor);
    let x = inner.x + 2 + u16::try_from(at).unwrap_or(0);
    (x < inner.right()).then_some(Position::new(x, inner.y))
}

/// A box of at most this size in the middle.
pub(super) fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let width = width.min(area.width);
    let height = height.min(area.height);
    Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    )
}
