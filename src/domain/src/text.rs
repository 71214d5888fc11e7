//! Text that came from outside (pair names, bot messages, notes on keys) before it reaches a
//! terminal or a log: control characters, escape sequences and bidirectional overrides are how
//! such text lies on a screen (study T20).

use unicode_width::UnicodeWidthChar;

/// Whether a character may reach a terminal: printable, with a width, and no direction override.
fn is_safe(c: char) -> bool {
    let bidi = matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !bidi && c.width().is_some_and(|w| w > 0)
}

/// Replaces whatever could steer a terminal by `·`, keeps line breaks, and cuts at `max_chars`
/// with `…`.
pub fn clean(text: &str, max_chars: usize) -> String {
    cut(
        text.chars()
            .map(|c| if c == '\n' || is_safe(c) { c } else { '·' }),
        max_chars,
    )
}

/// The same for text that must stay on one line: line breaks become spaces.
pub fn clean_line(text: &str, max_chars: usize) -> String {
    let on_one_line = text.chars().map(|c| match c {
        '\n' | '\r' | '\t' => ' ',
        c if is_safe(c) => c,
        _ => '·',
    });
    cut(on_one_line, max_chars)
}

fn cut(chars: impl Iterator<Item = char>, max_chars: usize) -> String {
    let mut out = String::new();
    for (n, c) in chars.enumerate() {
        if n == max_chars {
            out.push('…');
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_overrides_become_dots() {
        assert_eq!(
            clean_line("BTC\x1b]52;c;aGk=\x07USDT", 40),
            "BTC·]52;c;aGk=·USDT"
        );
        assert_eq!(clean_line("a\u{202e}b\u{0300}c\u{9b}31m", 40), "a·b·c·31m");
        assert_eq!(clean("one\ntwo\r", 40), "one\ntwo·");
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(clean_line("abcdef", 3), "abc…");
        assert_eq!(clean_line("abc", 3), "abc");
    }
}
