//! The command palette: finds an action by its name, its description or its key.

use crate::action::{ACTIONS, Mode, Spec};
use crate::keymap::Keymap;
use crate::line_edit::LineEdit;
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

/// An open palette.
#[derive(Debug, Default)]
pub(crate) struct Palette {
    pub(crate) query: LineEdit,
    pub(crate) cursor: usize,
}

impl Palette {
    /// The actions that match, best first; all of them for an empty query.
    pub(crate) fn matches(&self, keymap: &Keymap) -> Vec<&'static Spec> {
        let all = ACTIONS.iter().filter(|spec| spec.mode == Mode::Normal);
        let query = self.query.text();
        if query.trim().is_empty() {
            return all.collect();
        }
        let pattern = Pattern::parse(&query, CaseMatching::Smart, Normalization::Smart);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut buffer = Vec::new();
        let mut score = |text: &str| {
            pattern
                .score(Utf32Str::new(text, &mut buffer), &mut matcher)
                .unwrap_or(0)
        };
        let mut found: Vec<(u32, &Spec)> = all
            .map(|spec| {
                // A name counts more than a description, an exact key most of all.
                let keys = keymap.keys_of(spec.action);
                let exact = keys.split(", ").any(|key| key == query);
                let points = (score(spec.title) * 3)
                    .max(score(spec.id) * 3)
                    .max(score(spec.doc))
                    .max(if exact { 10_000 } else { 0 });
                (points, spec)
            })
            .filter(|(points, _)| *points > 0)
            .collect();
        found.sort_by_key(|(points, _)| std::cmp::Reverse(*points));
        found.into_iter().map(|(_, spec)| spec).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;

    #[test]
    fn names_descriptions_and_keys_are_found() {
        let (keymap, _) = Keymap::load(None);
        let best = |query: &str| {
            let mut palette = Palette::default();
            palette.query.set(query);
            palette.matches(&keymap).first().map(|spec| spec.action)
        };
        assert_eq!(best("kill"), Some(Action::Kill));
        assert_eq!(best("rot"), Some(Action::Rotate));
        assert_eq!(best("OSC 52"), Some(Action::Copy));
        assert_eq!(best("?"), Some(Action::Help));
        assert_eq!(best("zzzzqq"), None);
    }
}
