//! The editor over the journal column: the position stays in view while its thesis is written.

use super::View;
use super::paint::{Canvas, Row, Text};
use crate::theme::Role;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::widgets::Widget;

pub(super) fn editor(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, corner: &str) {
    let Some(editor) = &view.app.ui.editor else {
        return;
    };
    let title = Text::new()
        .add(editor.kind.word().to_uppercase(), Role::Strong)
        .add(format!("  {}", editor.about.title), Role::Accent);
    let notes = match (&editor.unkept, editor.sending, editor.is_saved()) {
        (Some(_), _, _) => Text::new().add("draft NOT kept", Role::Danger),
        (_, true, _) => Text::new().add("sending …", Role::Warn),
        _ if editor.area.is_empty() => Text::new(),
        (_, _, true) => Text::new().add("draft kept", Role::Muted),
        _ => Text::new().add("…", Role::Muted),
    };
    canvas.edge(area, true);
    canvas.rule(area, corner, &title, &notes, true);
    let inner = Rect::new(
        area.x + 2,
        area.y + 1,
        area.width.saturating_sub(3),
        area.height.saturating_sub(1),
    )
    .intersection(canvas.buffer.area);
    if inner.is_empty() {
        return;
    }
    let (text, status) = match inner.height {
        0..4 => (inner, None),
        _ => (
            Rect {
                height: inner.height - 1,
                ..inner
            },
            Some(Rect {
                y: inner.bottom() - 1,
                height: 1,
                ..inner
            }),
        ),
    };
    let mut textarea = editor.area.clone();
    textarea.set_style(canvas.style(Role::Text));
    textarea.set_cursor_line_style(Style::default());
    textarea.set_cursor_style(Style::default().add_modifier(Modifier::REVERSED));
    textarea.set_selection_style(canvas.style(Role::Selection));
    textarea.set_placeholder_text(match editor.kind {
        crate::editor::Kind::Thesis => "Why is this trade on? What would prove it wrong?",
        crate::editor::Kind::Lesson => "What did this trade teach?",
        crate::editor::Kind::Note => "A note for the journal.",
    });
    textarea.set_placeholder_style(canvas.style(Role::Muted));
    (&textarea).render(text, canvas.buffer);
    if let Some(status) = status {
        let words = editor.text().split_whitespace().count();
        let left = match &editor.unkept {
            Some(why) => Text::new().add(why.clone(), Role::Danger),
            None => Text::new().add(
                "an entry cannot be changed once sent; a later one supersedes it",
                Role::Muted,
            ),
        };
        let right = Text::new().add(format!("{words} words"), Role::Muted);
        canvas.row(
            status,
            status.y,
            &Row {
                left,
                right,
                selected: false,
            },
        );
    }
}
