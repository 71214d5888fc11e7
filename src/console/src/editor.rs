//! The thesis, lesson and note editor: a text area whose draft survives a crash, a lost SSH line
//! and a closed console. What was typed is on disk half a second later.
//!
//! A journal entry cannot be changed after it was sent; a later one supersedes it.

use crate::term::input::Key;
use ratatui_textarea::{CursorMove, Input, TextArea, WrapMode};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use termina::event::{KeyCode, Modifiers};

/// How long after a keystroke the draft is written.
const SAVE_AFTER: Duration = Duration::from_millis(400);
/// The longest text, in bytes: with JSON around it, it must fit a frame and a row.
pub(crate) const MAX_TEXT: usize = 16 * 1024;

/// What the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Thesis,
    Lesson,
    Note,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Thesis => "thesis",
            Self::Lesson => "lesson",
            Self::Note => "note",
        }
    }

    fn next(self, has_trade: bool) -> Self {
        match (self, has_trade) {
            (Self::Thesis, true) => Self::Lesson,
            (Self::Lesson, true) => Self::Note,
            (Self::Note, true) => Self::Thesis,
            (_, false) => Self::Note,
        }
    }
}

/// What the text is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct About {
    pub(crate) account: String,
    /// Empty for a free note.
    pub(crate) trade_id: String,
    /// For the title: `ETH/USDT long`.
    pub(crate) title: String,
}

/// How the draft stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saved {
    Yes,
    /// Changed; to be written at this moment.
    At(Instant),
}

/// The editor.
#[derive(Debug)]
pub(crate) struct Editor {
    pub(crate) kind: Kind,
    pub(crate) about: About,
    pub(crate) area: TextArea<'static>,
    dir: Option<PathBuf>,
    saved: Saved,
    /// Sent, waiting for the recorder.
    pub(crate) sending: bool,
    /// The draft came from disk.
    pub(crate) restored: bool,
    /// Why the draft cannot be kept.
    pub(crate) unkept: Option<String>,
}

impl Editor {
    /// Opens the editor with the draft of this text, if there is one.
    pub(crate) fn open(kind: Kind, about: About, state_dir: Option<&Path>) -> Self {
        let mut editor = Self {
            kind,
            about,
            area: TextArea::default(),
            dir: state_dir.map(|dir| dir.join("drafts")),
            saved: Saved::Yes,
            sending: false,
            restored: false,
            unkept: None,
        };
        editor.load();
        editor
    }

    fn load(&mut self) {
        let text = self
            .path()
            .and_then(|path| std::fs::read_to_string(path).ok());
        self.restored = text.as_ref().is_some_and(|text| !text.is_empty());
        self.set(&text.unwrap_or_default());
        self.saved = Saved::Yes;
    }

    /// The draft's name: also how an answer of the recorder finds its editor.
    pub(crate) fn name(&self) -> String {
        let plain = |text: &str| -> String {
            text.chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() || c == '-' {
                        c
                    } else {
                        '_'
                    }
                })
                .take(60)
                .collect()
        };
        match self.about.trade_id.is_empty() {
            true => format!("{}-{}", plain(&self.about.account), self.kind.word()),
            false => format!(
                "{}-{}-{}",
                plain(&self.about.account),
                plain(&self.about.trade_id),
                self.kind.word()
            ),
        }
    }

    /// The draft's file.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.dir
            .as_ref()
            .map(|dir| dir.join(format!("{}.md", self.name())))
    }

    pub(crate) fn text(&self) -> String {
        self.area.lines().join("\n")
    }

    /// Replaces the text (a draft, or what `$EDITOR` left).
    pub(crate) fn set(&mut self, text: &str) {
        let clean = fusebox_domain::clean(&text.replace('\t', "    "), MAX_TEXT);
        self.area = TextArea::new(
            clean
                .trim_end_matches('\n')
                .split('\n')
                .map(str::to_owned)
                .collect(),
        );
        self.area.set_wrap_mode(WrapMode::WordOrGlyph);
        self.area.set_max_histories(200);
        self.area.move_cursor(CursorMove::Bottom);
        self.area.move_cursor(CursorMove::End);
    }

    /// What `$EDITOR` left.
    pub(crate) fn replace(&mut self, text: &str, now: Instant) {
        self.set(text);
        self.saved = Saved::At(now);
    }

    /// A key that no editor action took.
    pub(crate) fn key(&mut self, key: Key, now: Instant) {
        if self.sending {
            return;
        }
        let full = self.text().len() >= MAX_TEXT;
        if full && (key.typed().is_some() || key.code == KeyCode::Enter) {
            return;
        }
        if self.area.input(input_of(key)) {
            self.saved = Saved::At(now + SAVE_AFTER);
        }
    }

    /// Pasted text goes in as text.
    pub(crate) fn paste(&mut self, text: &str, now: Instant) {
        if self.sending {
            return;
        }
        let room = MAX_TEXT.saturating_sub(self.text().len());
        let clean = fusebox_domain::clean(&text.replace('\t', "    "), room);
        if self.area.insert_str(clean) {
            self.saved = Saved::At(now + SAVE_AFTER);
        }
    }

    /// Empties the text; undo brings it back while the editor is open.
    pub(crate) fn discard(&mut self, now: Instant) {
        self.area.select_all();
        self.area.cut();
        self.saved = Saved::At(now);
    }

    /// The next kind; each has its own draft.
    pub(crate) fn switch(&mut self, now: Instant) {
        self.save(now, true);
        self.kind = self.kind.next(!self.about.trade_id.is_empty());
        self.load();
    }

    /// When the draft wants to be written.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.saved {
            Saved::At(at) => Some(at),
            Saved::Yes => None,
        }
    }

    /// Writes the draft if it is time, or now.
    pub(crate) fn save(&mut self, now: Instant, force: bool) {
        let due = self.deadline().is_some_and(|at| force || now >= at);
        if !due {
            return;
        }
        self.saved = Saved::Yes;
        let Some(path) = self.path() else {
            self.unkept = Some("no state directory: the draft is in memory only".to_owned());
            return;
        };
        let text = self.text();
        let written = match text.trim().is_empty() {
            true => forget(&path),
            false => keep(&path, &text),
        };
        self.unkept = written.err().map(|e| format!("the draft is not kept: {e}"));
    }

    /// The recorder has it: the draft is no longer needed.
    pub(crate) fn sent(&mut self) {
        self.saved = Saved::Yes;
        if let Some(path) = self.path() {
            let _ = forget(&path);
        }
    }

    /// Whether every keystroke is on disk.
    pub(crate) fn is_saved(&self) -> bool {
        self.saved == Saved::Yes && self.unkept.is_none()
    }

    /// The body of the journal row.
    pub(crate) fn body(&self) -> serde_json::Value {
        let mut body = serde_json::Map::new();
        let mut put = |field: &str, value: &str| {
            if !value.is_empty() {
                body.insert(field.to_owned(), value.into());
            }
        };
        put("account", &self.about.account);
        put("trade_id", &self.about.trade_id);
        put(self.kind.word(), self.text().trim());
        body.into()
    }
}

fn forget(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Beside it, synced, then renamed: a crash leaves the old draft or the new one.
fn keep(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
    }
    let beside = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    std::fs::rename(&beside, path)
}

fn input_of(key: Key) -> Input {
    use ratatui_textarea::Key as K;
    let code = match key.code {
        KeyCode::Char(c) => K::Char(c),
        KeyCode::Enter => K::Enter,
        KeyCode::Backspace => K::Backspace,
        KeyCode::Delete => K::Delete,
        KeyCode::Tab => K::Tab,
        KeyCode::Left => K::Left,
        KeyCode::Right => K::Right,
        KeyCode::Up => K::Up,
        KeyCode::Down => K::Down,
        KeyCode::Home => K::Home,
        KeyCode::End => K::End,
        KeyCode::PageUp => K::PageUp,
        KeyCode::PageDown => K::PageDown,
        _ => K::Null,
    };
    Input {
        key: code,
        ctrl: key.mods.contains(Modifiers::CONTROL),
        alt: key.mods.contains(Modifiers::ALT),
        shift: key.mods.contains(Modifiers::SHIFT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            account: "trading-1".into(),
            trade_id: "../7".into(),
            title: "ETH/USDT long".into(),
        }
    }

    fn type_in(editor: &mut Editor, text: &str, now: Instant) {
        for c in text.chars() {
            let code = if c == '\n' {
                KeyCode::Enter
            } else {
                KeyCode::Char(c)
            };
            editor.key(code.into(), now);
        }
    }

    #[test]
    fn what_was_typed_survives_without_being_closed() {
        let dir = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut editor = Editor::open(Kind::Thesis, about(), Some(dir.path()));
        type_in(&mut editor, "first\nsecond", now);
        editor.save(now, false);
        assert!(!editor.is_saved(), "debounced");
        editor.save(now + SAVE_AFTER, false);
        assert!(editor.is_saved());
        // The console dies here.
        let again = Editor::open(Kind::Thesis, about(), Some(dir.path()));
        assert!(again.restored);
        assert_eq!(again.text(), "first\nsecond");
        assert!(again.path().unwrap().starts_with(dir.path().join("drafts")));
        // Another text of the same trade has its own draft.
        assert!(!Editor::open(Kind::Lesson, about(), Some(dir.path())).restored);
    }

    #[test]
    fn a_sent_text_leaves_no_draft_and_becomes_a_body() {
        let dir = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut editor = Editor::open(Kind::Lesson, about(), Some(dir.path()));
        type_in(&mut editor, "size down\n", now);
        editor.save(now, true);
        assert!(editor.path().unwrap().exists());
        let body = editor.body();
        assert_eq!(body["lesson"], "size down");
        assert_eq!(body["trade_id"], "../7");
        editor.sent();
        assert!(!editor.path().unwrap().exists());
    }

    #[test]
    fn undo_brings_back_what_was_discarded() {
        let now = Instant::now();
        let mut editor = Editor::open(Kind::Note, About::default(), None);
        type_in(&mut editor, "keep me", now);
        editor.discard(now);
        assert_eq!(editor.text(), "");
        editor.key(Key::new(KeyCode::Char('u'), Modifiers::CONTROL), now);
        assert_eq!(editor.text(), "keep me");
        editor.save(now, true);
        assert!(
            !editor.is_saved(),
            "without a directory nothing is kept, and it says so"
        );
    }

    #[test]
    fn a_paste_is_text_and_bounded() {
        let now = Instant::now();
        let mut editor = Editor::open(Kind::Note, About::default(), None);
        editor.paste("a\x1b[A\nb\x0bk", now);
        assert_eq!(editor.text(), "a·[A\nb·k");
        editor.paste(&"x".repeat(100_000), now);
        assert!(editor.text().len() <= MAX_TEXT + 4);
    }
}
