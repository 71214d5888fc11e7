//! One line of text with a cursor: the filter, the palette, the reason of a kill.

use crate::term::input::Key;
use termina::event::{KeyCode, Modifiers};

/// The longest text of a field, in characters.
const MAX_CHARS: usize = 400;

/// A text field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LineEdit {
    text: Vec<char>,
    cursor: usize,
}

impl LineEdit {
    pub(crate) fn text(&self) -> String {
        self.text.iter().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Replaces the text; the cursor goes to its end.
    pub(crate) fn set(&mut self, text: &str) {
        self.clear();
        self.insert(text);
    }

    /// Inserts text as if typed; control characters and line breaks become spaces.
    pub(crate) fn insert(&mut self, text: &str) {
        for c in fusebox_domain::clean_line(text, MAX_CHARS).chars() {
            if self.text.len() < MAX_CHARS {
                self.text.insert(self.cursor, c);
                self.cursor += 1;
            }
        }
    }

    /// Takes a key; whether the text changed, `None` if the key means nothing here.
    pub(crate) fn key(&mut self, key: Key) -> Option<bool> {
        if let Some(c) = key.typed() {
            self.insert(&c.to_string());
            return Some(true);
        }
        let control = key.mods == Modifiers::CONTROL;
        match key.code {
            KeyCode::Backspace if self.cursor > 0 => {
                self.cursor -= 1;
                self.text.remove(self.cursor);
                return Some(true);
            }
            KeyCode::Delete if self.cursor < self.text.len() => {
                self.text.remove(self.cursor);
                return Some(true);
            }
            KeyCode::Char('u') if control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
                return Some(true);
            }
            KeyCode::Char('w') if control => {
                let head = self.text.get(..self.cursor).unwrap_or_default();
                let words = head.iter().rposition(|c| *c != ' ').unwrap_or(0);
                let start = head
                    .get(..words)
                    .unwrap_or_default()
                    .iter()
                    .rposition(|c| *c == ' ');
                let start = start.map_or(0, |at| at + 1);
                self.text.drain(start..self.cursor);
                self.cursor = start;
                return Some(true);
            }
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Backspace | KeyCode::Delete => {}
            _ => return None,
        }
        Some(false)
    }

    /// What fits into `width` cells around the cursor, and the cursor's cell in it.
    pub(crate) fn window(&self, width: usize) -> (String, usize) {
        let start = (self.cursor + 1).saturating_sub(width.max(1));
        let shown: String = self.text.iter().skip(start).take(width).collect();
        (shown, self.cursor - start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(edit: &mut LineEdit, codes: &[KeyCode]) {
        for code in codes {
            edit.key((*code).into());
        }
    }

    #[test]
    fn typing_moving_and_erasing() {
        let mut edit = LineEdit::default();
        edit.insert("rogue order");
        keys(
            &mut edit,
            &[KeyCode::Home, KeyCode::Char('a'), KeyCode::Delete],
        );
        assert_eq!(edit.text(), "aogue order");
        keys(&mut edit, &[KeyCode::End, KeyCode::Backspace]);
        assert_eq!(edit.text(), "aogue orde");
        edit.key(Key::new(KeyCode::Char('w'), Modifiers::CONTROL));
        assert_eq!(edit.text(), "aogue ");
        edit.key(Key::new(KeyCode::Char('u'), Modifiers::CONTROL));
        assert!(edit.is_empty());
        assert_eq!(edit.key(KeyCode::Enter.into()), None);
    }

    #[test]
    fn pasted_controls_are_harmless_and_length_is_bounded() {
        let mut edit = LineEdit::default();
        edit.insert("a\x1b[31m\nb");
        assert_eq!(edit.text(), "a·[31m b");
        edit.insert(&"x".repeat(5_000));
        assert!(edit.text().chars().count() <= MAX_CHARS);
        let (shown, at) = edit.window(10);
        assert!(shown.chars().count() <= 10 && at <= 10);
    }
}
