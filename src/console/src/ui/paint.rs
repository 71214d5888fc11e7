//! The few strokes that every pane is made of: text in a role, lines with a left and a right end,
//! rules with a title. Everything is clipped; nothing here can draw outside its area.

use crate::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A piece of text in a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bit {
    pub(crate) text: String,
    pub(crate) role: Role,
}

/// Text in several roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Vec<Bit>);

impl Text {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Appends.
    #[must_use]
    pub(crate) fn add(mut self, text: impl Into<String>, role: Role) -> Self {
        self.push(text, role);
        self
    }

    pub(crate) fn push(&mut self, text: impl Into<String>, role: Role) {
        self.0.push(Bit {
            text: text.into(),
            role,
        });
    }

    /// Appends blanks until the text is `width` cells wide.
    #[must_use]
    pub(crate) fn to(self, width: usize) -> Self {
        let gap = width.saturating_sub(self.width());
        self.add(" ".repeat(gap), Role::Text)
    }

    pub(crate) fn width(&self) -> usize {
        self.0.iter().map(|bit| bit.text.width()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|bit| bit.text.is_empty())
    }

    /// The same words, all in one role.
    #[must_use]
    pub(crate) fn all(mut self, role: Role) -> Self {
        for bit in &mut self.0 {
            bit.role = role;
        }
        self
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new().add(text, Role::Text)
    }
}

/// A line: what stands left, what stands right, and whether the cursor is on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) left: Text,
    pub(crate) right: Text,
    pub(crate) selected: bool,
}

impl From<Text> for Row {
    fn from(left: Text) -> Self {
        Self {
            left,
            ..Self::default()
        }
    }
}

/// `text` in `width` cells, cut with `…`.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > width {
            break;
        }
        used += w;
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// `text` at the right end of `width` cells.
pub(crate) fn right(text: &str, width: usize) -> String {
    let gap = width.saturating_sub(text.width());
    " ".repeat(gap) + text
}

/// `text` at the left end of `width` cells, cut if it must be.
pub(crate) fn left(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let gap = width.saturating_sub(text.width());
    text + &" ".repeat(gap)
}

/// Breaks text into lines of at most `width` cells, at blanks where it can.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let gap = usize::from(!line.is_empty());
            if line.width() + gap + word.width() > width && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            let mut word = word.to_owned();
            while word.width() > width {
                let mut head = String::new();
                while let Some(c) = word.chars().next() {
                    if head.width() + c.width().unwrap_or(0) > width {
                        break;
                    }
                    head.push(word.remove(0));
                }
                if head.is_empty() {
                    break;
                }
                lines.push(head);
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        lines.push(line);
    }
    lines
}

/// Where panes draw.
#[derive(Debug)]
pub(crate) struct Canvas<'a> {
    pub(crate) buffer: &'a mut Buffer,
    pub(crate) theme: &'a Theme,
}

impl Canvas<'_> {
    pub(crate) fn style(&self, role: Role) -> Style {
        self.theme.style(role)
    }

    /// A role's glyph and a blank.
    pub(crate) fn mark(&self, role: Role) -> String {
        format!("{} ", self.theme.glyph(role))
    }

    /// Text at a cell; returns the cell after it.
    pub(crate) fn put(&mut self, area: Rect, x: u16, y: u16, text: &str, role: Role) -> u16 {
        let area = area.intersection(self.buffer.area);
        if y < area.top() || y >= area.bottom() || x < area.left() || x >= area.right() {
            return x;
        }
        // Whatever stood there before leaves nothing of its look.
        let style = Style::reset().patch(self.style(role));
        let room = usize::from(area.right() - x);
        self.buffer.set_stringn(x, y, text, room, style).0
    }

    /// One line of `area`: left text, and right text that wins if they meet.
    pub(crate) fn row(&mut self, area: Rect, y: u16, row: &Row) {
        let width = usize::from(area.width);
        let right_width = row.right.width().min(width);
        let gap = usize::from(right_width > 0);
        let mut room = width.saturating_sub(right_width + gap);
        let mut x = area.x;
        for bit in &row.left.0 {
            let shown = fit(&bit.text, room);
            room = room.saturating_sub(shown.width());
            x = self.put(area, x, y, &shown, bit.role);
        }
        let mut x = area
            .right()
            .saturating_sub(u16::try_from(right_width).unwrap_or(area.width));
        for bit in &row.right.0 {
            x = self.put(area, x, y, &bit.text, bit.role);
        }
        if row.selected {
            let line = Rect::new(area.x, y, area.width, 1).intersection(self.buffer.area);
            let style = self.style(Role::Selection);
            for x in line.left()..line.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    // A reversed line of many colours would be a patchwork.
                    cell.set_fg(style.fg.unwrap_or_default());
                    cell.set_style(style);
                }
            }
        }
    }

    /// Paints an area over, before something is drawn above it.
    pub(crate) fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        let style = self.style(Role::Text);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                    cell.set_style(style);
                }
            }
        }
    }

    /// `┌ Title ───── notes`, the top of a pane; the focused one is marked.
    pub(crate) fn rule(
        &mut self,
        area: Rect,
        corner: &str,
        title: &Text,
        notes: &Text,
        focused: bool,
    ) {
        if area.height == 0 {
            return;
        }
        let line = Rect::new(area.x, area.y, area.width, 1);
        let dashes = "─".repeat(usize::from(area.width));
        let role = if focused { Role::Focus } else { Role::Rule };
        self.put(line, area.x, area.y, &dashes, role);
        let x = self.put(line, area.x, area.y, corner, role);
        let x = self.put(line, x, area.y, " ", Role::Text);
        let mut x = x;
        for bit in &title.0 {
            let role = if focused && bit.role == Role::Strong {
                Role::Focus
            } else {
                bit.role
            };
            x = self.put(line, x, area.y, &bit.text, role);
        }
        self.put(line, x, area.y, " ", Role::Text);
        if notes.is_empty() {
            return;
        }
        // A neighbour's edge keeps its distance.
        let gap = if area.right() < self.buffer.area.right() {
            3
        } else {
            1
        };
        let width = u16::try_from(notes.width())
            .unwrap_or(u16::MAX)
            .saturating_add(gap);
        let mut at = area.right().saturating_sub(width);
        if at <= x {
            return;
        }
        at = self.put(line, at, area.y, " ", Role::Text);
        for bit in &notes.0 {
            at = self.put(line, at, area.y, &bit.text, bit.role);
        }
        self.put(line, at, area.y, " ", Role::Text);
    }

    /// What is inside of a pane below its rule: one cell off the edge, and off a neighbour.
    pub(crate) fn inside(&self, area: Rect) -> Rect {
        let gap = if area.right() < self.buffer.area.right() {
            3
        } else {
            2
        };
        Rect::new(
            area.x.saturating_add(2),
            area.y.saturating_add(1),
            area.width.saturating_sub(gap),
            area.height.saturating_sub(1),
        )
    }

    /// The left edge of a pane's body.
    pub(crate) fn edge(&mut self, area: Rect, focused: bool) {
        let role = if focused { Role::Focus } else { Role::Rule };
        for y in area.top()..area.bottom() {
            self.put(area, area.x, y, "│", role);
        }
    }

    /// A whole box with a title in its top line; returns the inside.
    pub(crate) fn frame(&mut self, area: Rect, title: &Text, notes: &Text, role: Role) -> Rect {
        self.clear(area);
        if area.width < 2 || area.height < 2 {
            return Rect::new(area.x, area.y, 0, 0);
        }
        let across = "─".repeat(usize::from(area.width) - 2);
        self.put(area, area.x, area.y, &format!("┌{across}┐"), role);
        self.put(
            area,
            area.x,
            area.bottom() - 1,
            &format!("└{across}┘"),
            role,
        );
        for y in area.top() + 1..area.bottom() - 1 {
            self.put(area, area.x, y, "│", role);
            self.put(area, area.right() - 1, y, "│", role);
        }
        let top = Rect::new(area.x + 1, area.y, area.width - 2, 1);
        let mut x = top.x;
        for bit in &title.0 {
            x = self.put(top, x, area.y, &bit.text, bit.role);
        }
        let start = top
            .right()
            .saturating_sub(u16::try_from(notes.width()).unwrap_or(u16::MAX));
        if start > x {
            let mut at = start;
            for bit in &notes.0 {
                at = self.put(top, at, area.y, &bit.text, bit.role);
            }
        }
        Rect::new(
            area.x + 2,
            area.y + 1,
            area.width.saturating_sub(4),
            area.height - 2,
        )
    }

    /// A list with a cursor, kept in view around the middle.
    pub(crate) fn list(&mut self, area: Rect, rows: &[Row], cursor: usize) {
        let height = usize::from(area.height);
        let from = cursor
            .saturating_sub(height / 2)
            .min(rows.len().saturating_sub(height));
        for (n, row) in rows.iter().skip(from).take(height).enumerate() {
            let y = area.y.saturating_add(u16::try_from(n).unwrap_or(u16::MAX));
            self.row(area, y, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_fitted_by_cells_not_by_bytes() {
        assert_eq!(fit("漢字かな", 5), "漢字…");
        assert_eq!(fit("abc", 3), "abc");
        assert_eq!(fit("abcd", 0), "");
        assert_eq!(right("−5 %", 6), "  −5 %");
        assert_eq!(left("abcdef", 4), "abc…");
    }

    #[test]
    fn wrapping_keeps_every_word() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(wrap("a\n\nb", 9), ["a", "", "b"]);
        assert_eq!(wrap("漢字", 1), ["漢字"]);
    }
}
