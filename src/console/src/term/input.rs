//! Bytes from the terminal become events, and only whole ones do.
//!
//! Over SSH an arrow key can arrive as `ESC` and, a packet later, `[A`. A reader that takes the
//! first byte for the Escape key then reports `[` and `A`, and in a console where letters mean
//! something that is a hazard. So the bytes are framed first (this file), and only a complete
//! sequence is handed to `termina` for its meaning. What termina does not know is dropped whole.
//!
//! Weak spot: a lone `ESC` is an Escape after [`ESC_LIMIT`]; a line that delays the rest of a
//! sequence longer than that yields an Escape *and* the key, never letters.

use std::time::{Duration, Instant};
use termina::event::{KeyCode, KeyEvent, KeyEventKind, Modifiers, MouseEvent};

/// After this long without a further byte, `ESC` was the Escape key.
pub(crate) const ESC_LIMIT: Duration = Duration::from_millis(25);
/// For this long after such an Escape, `[` and `O` still begin a sequence.
const LATE: Duration = Duration::from_millis(200);
/// A sequence that is not complete after this long is dropped.
const SEQUENCE_LIMIT: Duration = Duration::from_secs(1);
/// A paste that stalls this long is taken as complete.
const PASTE_LIMIT: Duration = Duration::from_secs(5);
/// The longest sequence that is kept; a longer one is read to its end and dropped.
const MAX_SEQUENCE: usize = 4096;
/// The longest paste; the rest is dropped, and the event says so.
pub(crate) const MAX_PASTE: usize = 64 * 1024;
const PASTE_END: &[u8] = b"\x1b[201~";

/// A key with its modifiers. Of a character, Shift is part of the character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) code: KeyCode,
    pub(crate) mods: Modifiers,
}

impl Key {
    pub(crate) fn new(code: KeyCode, mods: Modifiers) -> Self {
        let mut mods = mods & (Modifiers::SHIFT | Modifiers::ALT | Modifiers::CONTROL);
        if matches!(code, KeyCode::Char(_)) {
            mods.remove(Modifiers::SHIFT);
        }
        let (code, mods) = match code {
            KeyCode::BackTab => (KeyCode::Tab, mods | Modifiers::SHIFT),
            // Terminals send ^H for Ctrl-Backspace or Backspace; both erase.
            KeyCode::Char('h') if mods == Modifiers::CONTROL => {
                (KeyCode::Backspace, Modifiers::NONE)
            }
            other => (other, mods),
        };
        Self { code, mods }
    }

    /// The character that this key types into a text field.
    pub(crate) fn typed(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if (self.mods & !Modifiers::SHIFT).is_empty() => Some(c),
            _ => None,
        }
    }
}

impl From<KeyCode> for Key {
    fn from(code: KeyCode) -> Self {
        Self::new(code, Modifiers::NONE)
    }
}

/// What the terminal told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    Key(Key),
    /// Text that was pasted in brackets; `cut` if it was over [`MAX_PASTE`].
    Paste {
        text: String,
        cut: bool,
    },
    Mouse(MouseEvent),
    Focus(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    /// A character of several bytes; how many are missing.
    Utf8(u8),
    Esc,
    Csi,
    /// `ESC [ M`: three more bytes, whatever they are. `ESC [ [`: one.
    Raw(u8),
    Ss3,
    /// OSC, DCS, APC, PM, SOS: until BEL or ST.
    Text,
    TextEsc,
    Paste,
}

/// Frames bytes into events.
#[derive(Debug)]
pub(crate) struct Framer {
    state: State,
    buffer: Vec<u8>,
    overflow: bool,
    last: Option<Instant>,
    escaped: Option<Instant>,
    out: Vec<Input>,
}

impl Default for Framer {
    fn default() -> Self {
        Self {
            state: State::Ground,
            buffer: Vec::with_capacity(64),
            overflow: false,
            last: None,
            escaped: None,
            out: Vec::new(),
        }
    }
}

impl Framer {
    /// Takes bytes that arrived at `now`; returns what became complete.
    pub(crate) fn feed(&mut self, bytes: &[u8], now: Instant) -> Vec<Input> {
        self.expire(now);
        self.last = Some(now);
        for byte in bytes {
            self.step(*byte, now);
        }
        std::mem::take(&mut self.out)
    }

    /// Time has passed without a byte; returns what that completes.
    pub(crate) fn idle(&mut self, now: Instant) -> Vec<Input> {
        self.expire(now);
        std::mem::take(&mut self.out)
    }

    /// When [`Framer::idle`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let limit = match self.state {
            State::Ground => return None,
            State::Esc => ESC_LIMIT,
            State::Paste => PASTE_LIMIT,
            _ => SEQUENCE_LIMIT,
        };
        self.last.map(|last| last + limit)
    }

    fn expire(&mut self, now: Instant) {
        if self.deadline().is_none_or(|at| now < at) {
            return;
        }
        match self.state {
            State::Esc => {
                self.out.push(Input::Key(KeyCode::Escape.into()));
                self.escaped = Some(now);
            }
            State::Paste => self.end_paste(),
            _ => {}
        }
        self.reset();
    }

    fn reset(&mut self) {
        self.state = State::Ground;
        self.buffer.clear();
        self.overflow = false;
    }

    fn step(&mut self, byte: u8, now: Instant) {
        let limit = match self.state {
            State::Paste => MAX_PASTE + PASTE_END.len(),
            _ => MAX_SEQUENCE,
        };
        if self.buffer.len() < limit {
            self.buffer.push(byte);
        } else {
            self.overflow = true;
        }
        match self.state {
            State::Ground => self.ground(byte, now),
            State::Utf8(1) => self.complete(),
            State::Utf8(n) if byte & 0xc0 == 0x80 => self.state = State::Utf8(n - 1),
            // Not a continuation: the character is broken, this byte begins anew.
            State::Utf8(_) => self.restart(byte, now),
            State::Esc => self.escape(byte, now),
            State::Csi => self.csi(byte),
            State::Raw(n) if n > 1 => self.state = State::Raw(n - 1),
            State::Raw(_) | State::Ss3 => self.complete(),
            State::Text => match byte {
                0x07 => self.complete(),
                0x1b => self.state = State::TextEsc,
                _ => {}
            },
            State::TextEsc => match byte {
                b'\\' => self.complete(),
                0x1b => {}
                _ => self.state = State::Text,
            },
            State::Paste => self.paste(byte),
        }
    }

    fn restart(&mut self, byte: u8, now: Instant) {
        self.reset();
        self.step(byte, now);
    }

    fn ground(&mut self, byte: u8, now: Instant) {
        let late = self.escaped.take().is_some_and(|at| now < at + LATE);
        self.state = match byte {
            0x1b => State::Esc,
            b'[' if late => {
                self.buffer.insert(0, 0x1b);
                State::Csi
            }
            b'O' if late => {
                self.buffer.insert(0, 0x1b);
                State::Ss3
            }
            0xc2..=0xdf => State::Utf8(1),
            0xe0..=0xef => State::Utf8(2),
            0xf0..=0xf4 => State::Utf8(3),
            _ => return self.complete(),
        };
    }

    fn escape(&mut self, byte: u8, now: Instant) {
        self.state = match byte {
            b'[' => State::Csi,
            b'O' => State::Ss3,
            b']' | b'P' | b'_' | b'^' | b'X' => State::Text,
            // Two Escapes: the first was the key, the second may begin a sequence.
            0x1b => {
                self.out.push(Input::Key(KeyCode::Escape.into()));
                return self.restart(byte, now);
            }
            // Alt and a character of several bytes: the character alone decides when it ends.
            0xc2..=0xdf => State::Utf8(1),
            0xe0..=0xef => State::Utf8(2),
            0xf0..=0xf4 => State::Utf8(3),
            _ => return self.complete(),
        };
    }

    fn csi(&mut self, byte: u8) {
        match (self.buffer.as_slice(), byte) {
            (b"\x1b[M", _) => self.state = State::Raw(3),
            (b"\x1b[[", _) => self.state = State::Raw(1),
            (b"\x1b[200~", _) => {
                self.buffer.clear();
                self.state = State::Paste;
            }
            // A new escape ends a broken sequence.
            (_, 0x1b) => {
                self.reset();
                self.buffer.push(byte);
                self.state = State::Esc;
            }
            (_, 0x40..=0x7e) => self.complete(),
            _ => {}
        }
    }

    fn paste(&mut self, byte: u8) {
        if self.overflow {
            // The buffer is full: keep only a window wide enough to see the end.
            let keep = MAX_PASTE.min(self.buffer.len());
            let tail = self.buffer.split_off(keep);
            let mut window: Vec<u8> = tail.into_iter().chain([byte]).collect();
            let surplus = window.len().saturating_sub(PASTE_END.len());
            window.drain(..surplus);
            self.buffer.append(&mut window);
        }
        if self.buffer.ends_with(PASTE_END) {
            let text = self.buffer.len() - PASTE_END.len();
            self.buffer.truncate(text);
            self.end_paste();
            self.reset();
        }
    }

    fn end_paste(&mut self) {
        let text = String::from_utf8_lossy(&self.buffer).replace("\r\n", "\n");
        self.out.push(Input::Paste {
            text: text.replace('\r', "\n"),
            cut: self.overflow,
        });
    }

    /// The buffer holds one whole sequence: ask termina what it means.
    fn complete(&mut self) {
        let in_sequence = !matches!(self.state, State::Ground | State::Esc | State::Utf8(_));
        if !self.overflow {
            let mut parser = termina::Parser::default();
            parser.parse(&self.buffer, false);
            let (event, second) = (parser.pop(), parser.pop());
            // A sequence that termina gives up on half-way leaves its rest as characters.
            let event = event.filter(|e| second.is_none() && !(in_sequence && is_typed(e)));
            self.out.extend(event.and_then(meaning));
        }
        self.reset();
    }
}

/// Whether an event is a key that types or controls, which no escape sequence of ours means.
fn is_typed(event: &termina::Event) -> bool {
    let termina::Event::Key(key) = event else {
        return false;
    };
    matches!(
        key.code,
        KeyCode::Char(_) | KeyCode::Enter | KeyCode::Tab | KeyCode::Backspace | KeyCode::Escape
    )
}

/// What the console makes of an event; answers to queries are none of its keys.
fn meaning(event: termina::Event) -> Option<Input> {
    match event {
        termina::Event::Key(KeyEvent {
            kind: KeyEventKind::Release,
            ..
        }) => None,
        termina::Event::Key(key) => Some(Input::Key(Key::new(key.code, key.modifiers))),
        termina::Event::Mouse(mouse) => Some(Input::Mouse(mouse)),
        termina::Event::FocusIn => Some(Input::Focus(true)),
        termina::Event::FocusOut => Some(Input::Focus(false)),
        termina::Event::Paste(text) => Some(Input::Paste { text, cut: false }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Feeds the parts `gap` apart and waits until nothing is pending.
    fn typed(parts: &[&[u8]], gap: Duration) -> Vec<Input> {
        let mut framer = Framer::default();
        let mut now = Instant::now();
        let mut got = Vec::new();
        for part in parts {
            got.extend(framer.feed(part, now));
            let next = now + gap;
            while let Some(at) = framer.deadline().filter(|at| *at <= next) {
                got.extend(framer.idle(at));
            }
            now = next;
        }
        while let Some(at) = framer.deadline() {
            got.extend(framer.idle(at));
        }
        got
    }

    fn key(code: KeyCode) -> Input {
        Input::Key(code.into())
    }

    #[test]
    fn an_arrow_is_an_arrow_wherever_the_packet_is_cut() {
        let whole = b"\x1b[1;5A";
        for cut in 1..whole.len() {
            let got = typed(&[&whole[..cut], &whole[cut..]], ms(10));
            let up = Input::Key(Key::new(KeyCode::Up, Modifiers::CONTROL));
            assert_eq!(got, [up], "cut at {cut}");
        }
    }

    #[test]
    fn a_very_late_rest_never_becomes_letters() {
        let got = typed(&[b"\x1b", b"[A"], ms(120));
        assert_eq!(got, [key(KeyCode::Escape), key(KeyCode::Up)]);
        let got = typed(&[b"\x1b", b"OP"], ms(120));
        assert_eq!(got, [key(KeyCode::Escape), key(KeyCode::Function(1))]);
        let got = typed(&[b"\x1b", b"[<0;10;5M"], ms(60));
        assert!(
            matches!(got.as_slice(), [e, Input::Mouse(_)] if *e == key(KeyCode::Escape)),
            "{got:?}"
        );
        // Much later it is what somebody typed.
        let got = typed(&[b"\x1b", b"["], ms(900));
        assert_eq!(got, [key(KeyCode::Escape), key(KeyCode::Char('['))]);
    }

    #[test]
    fn answers_and_unknown_sequences_are_dropped_whole() {
        for answer in [
            &b"\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\"[..],
            b"\x1b]11;rgb:1e1e/1e1e/2e2e\x07",
            b"\x1bP>|xterm(379)\x1b\\",
            b"\x1b[?62;4;22c",
            b"\x1b[>41;377;0c",
            b"\x1b[12;40R",
            b"\x1b[=1;2;3;4;5x",
            b"\x1b_Gi=1;OK\x1b\\",
        ] {
            for cut in 1..answer.len() {
                let got = typed(&[&answer[..cut], &answer[cut..], b"k"], ms(5));
                assert_eq!(
                    got,
                    [key(KeyCode::Char('k'))],
                    "{:?} cut at {cut}",
                    String::from_utf8_lossy(answer)
                );
            }
        }
    }

    #[test]
    fn escape_twice_and_escape_before_an_arrow() {
        assert_eq!(
            typed(&[b"\x1b\x1b"], ms(1)),
            [key(KeyCode::Escape), key(KeyCode::Escape)]
        );
        assert_eq!(
            typed(&[b"\x1b\x1b[A"], ms(1)),
            [key(KeyCode::Escape), key(KeyCode::Up)]
        );
    }

    #[test]
    fn alt_control_function_and_wide_characters() {
        assert_eq!(
            typed(&[b"\x1bk"], ms(1)),
            [Input::Key(Key::new(KeyCode::Char('k'), Modifiers::ALT))]
        );
        assert_eq!(
            typed(&[b"\x0b"], ms(1)),
            [Input::Key(Key::new(KeyCode::Char('k'), Modifiers::CONTROL))]
        );
        assert_eq!(typed(&["é".as_bytes()], ms(1)), [key(KeyCode::Char('é'))]);
        assert_eq!(
            typed(&[b"\xe6", b"\xbc", b"\xa2"], ms(10)),
            [key(KeyCode::Char('漢'))]
        );
        assert_eq!(typed(&[b"\xe6k"], ms(1)), [key(KeyCode::Char('k'))]);
        assert_eq!(typed(&[b"\x1b[15~"], ms(1)), [key(KeyCode::Function(5))]);
        assert_eq!(
            typed(&[b"\x1b[Z"], ms(1)),
            [Input::Key(Key::new(KeyCode::Tab, Modifiers::SHIFT))]
        );
    }

    #[test]
    fn a_paste_is_one_event_however_it_is_cut() {
        let whole = b"\x1b[200~k\x0b r\r\n\x1b[A\x1b[201~";
        for cut in 2..whole.len() {
            let got = typed(&[&whole[..cut], &whole[cut..]], ms(20));
            let text = "k\x0b r\n\x1b[A".to_owned();
            assert_eq!(got, [Input::Paste { text, cut: false }], "cut at {cut}");
        }
    }

    #[test]
    fn a_huge_paste_is_cut_and_ends() {
        let mut bytes = b"\x1b[200~".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', MAX_PASTE + 5000));
        bytes.extend(PASTE_END);
        bytes.push(b'q');
        let got = typed(&[&bytes], ms(1));
        assert_eq!(got.len(), 2);
        assert!(
            matches!(&got[0], Input::Paste { text, cut: true } if text.len() <= MAX_PASTE + 6 && text.len() >= MAX_PASTE - 6)
        );
        assert_eq!(got[1], key(KeyCode::Char('q')));
    }

    #[test]
    fn an_unfinished_sequence_is_forgotten() {
        assert_eq!(
            typed(&[b"\x1b[1;", b"k"], ms(1500)),
            [key(KeyCode::Char('k'))]
        );
    }
}
