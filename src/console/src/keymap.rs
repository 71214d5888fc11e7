//! Keys to actions: `assets/keymap.toml`, with the operator's own file laid over it.
//!
//! It must never let a bare key reach an action that leads to a touch, whatever the file says.

use crate::action::{Action, Danger, Mode};
use crate::config::{Problem, toml_problem};
use crate::term::input::Key;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;
use termina::event::{KeyCode, Modifiers};
use toml::Spanned;

const DEFAULT: &str = include_str!("../../../assets/keymap.toml");
/// The longest chord.
const MAX_CHORD: usize = 4;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    normal: Section,
    editor: Section,
    dialog: Section,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    bind: Vec<Bind>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bind {
    on: Spanned<String>,
    run: Spanned<String>,
}

/// What the keys pressed so far mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    Run(Action),
    /// The beginning of a chord.
    Pending,
    Nothing,
}

/// All bindings.
#[derive(Debug, Clone)]
pub(crate) struct Keymap {
    binds: HashMap<Mode, Vec<(Vec<Key>, Action)>>,
}

impl Keymap {
    /// The shipped keys, then those of `path`. What is wrong in the file is told; the rest of it
    /// is used.
    pub(crate) fn load(path: Option<&Path>) -> (Self, Vec<Problem>) {
        let mut map = Self {
            binds: HashMap::new(),
        };
        let mut problems = map.lay_over(DEFAULT, Path::new("assets/keymap.toml"));
        if let Some(path) = path {
            match std::fs::read_to_string(path) {
                Ok(text) => problems.extend(map.lay_over(&text, path)),
                Err(e) => problems.push(Problem::unreadable(path, &e)),
            }
        }
        (map, problems)
    }

    fn lay_over(&mut self, text: &str, path: &Path) -> Vec<Problem> {
        let file: File = match toml::from_str(text) {
            Ok(file) => file,
            Err(e) => return vec![toml_problem(path, text, &e)],
        };
        let sections = [
            (Mode::Normal, file.normal),
            (Mode::Editor, file.editor),
            (Mode::Dialog, file.dialog),
        ];
        let mut problems = Vec::new();
        for (mode, section) in sections {
            for bind in section.bind {
                if let Err((at, message)) = self.bind(mode, &bind) {
                    problems.push(Problem::at(path, text, at, message));
                }
            }
        }
        problems
    }

    fn bind(&mut self, mode: Mode, bind: &Bind) -> Result<(), (usize, String)> {
        let keys = parse_chord(bind.on.get_ref()).map_err(|e| (bind.on.span().start, e))?;
        let binds = self.binds.entry(mode).or_default();
        let run = bind.run.get_ref().as_str();
        let at = bind.run.span().start;
        if run.is_empty() {
            binds.retain(|(on, _)| *on != keys);
            return Ok(());
        }
        let spec = Action::parse(run).ok_or_else(|| (at, format!("there is no action `{run}`")))?;
        if spec.mode != mode {
            let place = spec.mode.as_str();
            return Err((at, format!("`{run}` belongs into [{place}]")));
        }
        let guarded = |key: &Key| key.mods.intersects(Modifiers::CONTROL | Modifiers::ALT);
        if spec.danger == Danger::Touch && (keys.len() < 2 || !keys.first().is_some_and(guarded)) {
            return Err((
                bind.on.span().start,
                format!("`{run}` needs at least two keys, the first with ctrl or alt"),
            ));
        }
        let shadow = binds.iter().find(|(on, _)| {
            *on != keys && (on.starts_with(keys.as_slice()) || keys.starts_with(on.as_slice()))
        });
        if let Some((on, _)) = shadow {
            return Err((
                bind.on.span().start,
                format!("hides `{}`, which begins the same way", show_chord(on)),
            ));
        }
        binds.retain(|(on, _)| *on != keys);
        binds.push((keys, spec.action));
        Ok(())
    }

    /// What `keys` mean in `mode`.
    pub(crate) fn lookup(&self, mode: Mode, keys: &[Key]) -> Lookup {
        let binds = self.binds.get(&mode).map(Vec::as_slice).unwrap_or_default();
        if let Some((_, action)) = binds.iter().find(|(on, _)| on == keys) {
            return Lookup::Run(*action);
        }
        match binds.iter().any(|(on, _)| on.starts_with(keys)) {
            true => Lookup::Pending,
            false => Lookup::Nothing,
        }
    }

    /// The first key of an action, as text: `^K k`.
    pub(crate) fn key_of(&self, action: Action) -> Option<String> {
        let binds = self.binds.get(&action.spec()?.mode)?;
        let (on, _) = binds.iter().find(|(_, bound)| *bound == action)?;
        Some(show_chord(on))
    }

    /// Every key of an action, separated by commas.
    pub(crate) fn keys_of(&self, action: Action) -> String {
        let mode = action.spec().map(|spec| spec.mode);
        let binds = mode.and_then(|mode| self.binds.get(&mode));
        let all = binds.into_iter().flatten();
        let keys = all
            .filter(|(_, bound)| *bound == action)
            .map(|(on, _)| show_chord(on));
        keys.collect::<Vec<_>>().join(", ")
    }

    /// What may follow a begun chord: (key, action).
    pub(crate) fn continuations(&self, mode: Mode, keys: &[Key]) -> Vec<(String, Action)> {
        let binds = self.binds.get(&mode).map(Vec::as_slice).unwrap_or_default();
        let longer = binds.iter().filter_map(|(on, action)| {
            let rest = on.strip_prefix(keys)?;
            Some((show_chord(rest), *action))
        });
        longer.collect()
    }
}

/// Reads `ctrl-k k`.
fn parse_chord(text: &str) -> Result<Vec<Key>, String> {
    let keys: Vec<Key> = text
        .split_whitespace()
        .map(parse_key)
        .collect::<Result<_, _>>()?;
    match keys.len() {
        0 => Err("expected at least one key".to_owned()),
        n if n > MAX_CHORD => Err(format!("expected at most {MAX_CHORD} keys")),
        _ => Ok(keys),
    }
}

const NAMES: &[(&str, &str, KeyCode)] = &[
    ("enter", "Enter", KeyCode::Enter),
    ("esc", "Esc", KeyCode::Escape),
    ("tab", "Tab", KeyCode::Tab),
    ("backspace", "Backspace", KeyCode::Backspace),
    ("delete", "Del", KeyCode::Delete),
    ("insert", "Ins", KeyCode::Insert),
    ("up", "↑", KeyCode::Up),
    ("down", "↓", KeyCode::Down),
    ("left", "←", KeyCode::Left),
    ("right", "→", KeyCode::Right),
    ("home", "Home", KeyCode::Home),
    ("end", "End", KeyCode::End),
    ("pageup", "PgUp", KeyCode::PageUp),
    ("pagedown", "PgDn", KeyCode::PageDown),
    ("space", "Space", KeyCode::Char(' ')),
];

fn parse_key(word: &str) -> Result<Key, String> {
    let mut mods = Modifiers::NONE;
    let mut rest = word;
    while let Some((head, tail)) = rest
        .split_once('-')
        .filter(|(h, t)| !h.is_empty() && !t.is_empty())
    {
        mods |= match head {
            "ctrl" => Modifiers::CONTROL,
            "alt" => Modifiers::ALT,
            "shift" => Modifiers::SHIFT,
            other => {
                return Err(format!(
                    "`{other}-` is no modifier: expected ctrl-, alt- or shift-"
                ));
            }
        };
        rest = tail;
    }
    let mut chars = rest.chars();
    let code = match (chars.next(), chars.next()) {
        (Some(c), None) => KeyCode::Char(c),
        _ => match NAMES.iter().find(|(name, _, _)| *name == rest) {
            Some((_, _, code)) => *code,
            None => rest
                .strip_prefix('f')
                .and_then(|n| n.parse().ok())
                .filter(|n| (1..=24).contains(n))
                .map(KeyCode::Function)
                .ok_or_else(|| format!("`{rest}` is no key: expected a character, f1 … f24, or one of enter, esc, tab, space, up …"))?,
        },
    };
    Ok(Key::new(code, mods))
}

/// `^K k`, `Shift-Tab`, `?`.
pub(crate) fn show_chord(keys: &[Key]) -> String {
    keys.iter()
        .map(|key| show_key(*key))
        .collect::<Vec<_>>()
        .join(" ")
}

fn show_key(key: Key) -> String {
    let name = match key.code {
        KeyCode::Char(c) if key.mods.contains(Modifiers::CONTROL) && c != ' ' => {
            let alt = if key.mods.contains(Modifiers::ALT) {
                "Alt-"
            } else {
                ""
            };
            return format!("{alt}^{}", c.to_ascii_uppercase());
        }
        KeyCode::Char(c) if c != ' ' => c.to_string(),
        KeyCode::Function(n) => format!("F{n}"),
        code => {
            let found = NAMES.iter().find(|(_, _, named)| *named == code);
            found.map_or("?", |(_, shown, _)| shown).to_owned()
        }
    };
    let mut out = String::new();
    for (flag, word) in [
        (Modifiers::CONTROL, "^"),
        (Modifiers::ALT, "Alt-"),
        (Modifiers::SHIFT, "Shift-"),
    ] {
        if key.mods.contains(flag) {
            out.push_str(word);
        }
    }
    out + &name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::ACTIONS;

    fn with(text: &str) -> (Keymap, Vec<String>) {
        let (mut map, problems) = Keymap::load(None);
        assert!(problems.is_empty(), "{problems:?}");
        let problems = map.lay_over(text, Path::new("k.toml"));
        (map, problems.iter().map(ToString::to_string).collect())
    }

    fn look(map: &Keymap, mode: Mode, keys: &str) -> Lookup {
        map.lookup(mode, &parse_chord(keys).unwrap())
    }

    #[test]
    fn the_shipped_keys_are_sound_and_reach_every_action() {
        let (map, problems) = Keymap::load(None);
        assert!(problems.is_empty(), "{problems:?}");
        for spec in ACTIONS {
            assert!(map.key_of(spec.action).is_some(), "{} has no key", spec.id);
        }
    }

    #[test]
    fn a_chord_is_pending_until_it_is_whole() {
        let (map, _) = Keymap::load(None);
        assert_eq!(look(&map, Mode::Normal, "ctrl-k"), Lookup::Pending);
        assert_eq!(
            look(&map, Mode::Normal, "ctrl-k k"),
            Lookup::Run(Action::Kill)
        );
        assert_eq!(look(&map, Mode::Normal, "ctrl-k x"), Lookup::Nothing);
        assert_eq!(look(&map, Mode::Editor, "k"), Lookup::Nothing);
        let next: Vec<String> = map
            .continuations(Mode::Normal, &parse_chord("ctrl-k").unwrap())
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(next, ["k", "r", "u"]);
        assert_eq!(map.key_of(Action::Kill).unwrap(), "^K k");
        assert_eq!(map.keys_of(Action::PreviousPane), "Shift-Tab");
    }

    #[test]
    fn no_file_can_put_a_touch_on_a_bare_key() {
        for on in ["k", "ctrl-k", "k k", "shift-k k"] {
            let (map, problems) = with(&format!(
                "[normal]\nbind = [\n  {{ on = \"{on}\", run = \"kill.open\" }},\n]\n"
            ));
            assert_eq!(problems.len(), 1, "{on}");
            assert!(
                problems[0].starts_with("k.toml:3:10: `kill.open` needs at least two keys"),
                "{problems:?}"
            );
            assert_eq!(
                look(&map, Mode::Normal, "ctrl-k k"),
                Lookup::Run(Action::Kill)
            );
        }
    }

    #[test]
    fn a_file_adds_replaces_removes_and_is_told_its_mistakes() {
        let (map, problems) = with(
            "[normal]\nbind = [{ on = \"x\", run = \"app.quit\" }, { on = \"q\", run = \"\" }]\n",
        );
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(look(&map, Mode::Normal, "x"), Lookup::Run(Action::Quit));
        assert_eq!(look(&map, Mode::Normal, "q"), Lookup::Nothing);
        for (text, expected) in [
            (
                "[normal]\nbind = [{ on = \"x\", run = \"app.quitt\" }]",
                "k.toml:2:27: there is no action `app.quitt`",
            ),
            (
                "[normal]\nbind = [{ on = \"hyper-x\", run = \"app.quit\" }]",
                "k.toml:2:16: `hyper-` is no modifier",
            ),
            (
                "[normal]\nbind = [{ on = \"ctrl-k\", run = \"app.quit\" }]",
                "k.toml:2:16: hides `^K k`",
            ),
            (
                "[editor]\nbind = [{ on = \"x\", run = \"app.quit\" }]",
                "k.toml:2:27: `app.quit` belongs into [normal]",
            ),
            (
                "[normal]\nbimd = []",
                "k.toml:2:1: unknown field `bimd`, expected `bind`",
            ),
        ] {
            let (_, problems) = with(text);
            assert!(
                problems.len() == 1 && problems[0].starts_with(expected),
                "{problems:?} for {text}"
            );
        }
    }
}
