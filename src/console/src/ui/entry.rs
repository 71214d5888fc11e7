//! One journal entry, whole: what it says, who wrote it, and its place in the chain.

use super::View;
use super::paint::{Canvas, Row, Text, left, wrap};
use crate::app::Pane;
use crate::fmt;
use crate::store::Entry;
use crate::theme::Role;
use ratatui::layout::Rect;
use serde_json::Value;

pub(super) fn entry(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, corner: &str) {
    let focused = view.focused(Pane::Journal) && view.app.ui.opened;
    canvas.edge(area, focused);
    let inner = canvas.inside(area);
    let Some(entry) = view.app.selected_entry() else {
        canvas.rule(
            area,
            corner,
            &Text::new().add("Entry", Role::Strong),
            &Text::new(),
            focused,
        );
        return canvas.row(
            inner,
            inner.y,
            &Text::new().add("none selected", Role::Muted).into(),
        );
    };
    let title = Text::new()
        .add(format!("Entry {}", fmt::count(entry.seq)), Role::Strong)
        .add(format!("  {}", fmt::date_time(entry.time_ms)), Role::Muted);
    let notes = Text::new().add(entry.kind.clone(), super::journal::kind_role(&entry.kind));
    canvas.rule(area, corner, &title, &notes, focused);
    let rows = lines(entry, usize::from(inner.width));
    let most = rows.len().saturating_sub(usize::from(inner.height));
    let from = if focused {
        view.app.ui.entry_scroll.min(most)
    } else {
        0
    };
    for (n, row) in rows
        .iter()
        .skip(from)
        .take(usize::from(inner.height))
        .enumerate()
    {
        canvas.row(inner, inner.y + u16::try_from(n).unwrap_or(0), row);
    }
}

fn lines(entry: &Entry, width: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    field(&mut rows, "author", &entry.author, width);
    match &entry.body {
        Value::Object(fields) => {
            for (name, value) in fields {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Object(_) | Value::Array(_) => {
                        serde_json::to_string_pretty(value).unwrap_or_default()
                    }
                    other => other.to_string(),
                };
                field(&mut rows, name, &text, width);
            }
        }
        other => field(&mut rows, "body", &other.to_string(), width),
    }
    field(&mut rows, "hash", &entry.hash, width);
    field(&mut rows, "after", &entry.prev, width);
    rows
}

fn field(rows: &mut Vec<Row>, name: &str, text: &str, width: usize) {
    let caption = 14;
    let text = fusebox_domain::clean(text, 8_000);
    for (n, line) in wrap(&text, width.saturating_sub(caption))
        .into_iter()
        .enumerate()
    {
        let head = if n == 0 {
            fusebox_domain::clean_line(name, 40)
        } else {
            String::new()
        };
        let row = Text::new()
            .add(left(&head, caption), Role::Muted)
            .add(line, Role::Text);
        rows.push(row.into());
    }
}
