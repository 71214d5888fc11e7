//! Looks as data: `themes/*.toml` give each role a foreground, background, modifiers and a glyph.
//! Code names roles, never colours. With `NO_COLOR` every colour falls away and modifiers and
//! glyphs carry the meaning; a state is never told by colour alone.

use crate::config::{Problem, toml_problem};
use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;
use std::path::Path;
use std::str::FromStr;
use toml::Spanned;

/// The shipped themes, in the order in which `T` walks through them.
const SHIPPED: &[(&str, &str)] = &[
    ("default", include_str!("../../../themes/default.toml")),
    ("dark", include_str!("../../../themes/dark.toml")),
    ("light", include_str!("../../../themes/light.toml")),
    (
        "colour-blind",
        include_str!("../../../themes/colour-blind.toml"),
    ),
    ("mono", include_str!("../../../themes/mono.toml")),
];

macro_rules! roles {
    ($($variant:ident $name:literal)*) => {
        /// What something on screen means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Role { $($variant,)* }

        const ROLES: &[(Role, &str)] = &[$((Role::$variant, $name),)*];
    };
}

roles! {
    Text "text"
    Muted "muted"
    Strong "strong"
    Accent "accent"
    Rule "rule"
    Ok "ok"
    Warn "warn"
    Danger "danger"
    Alarm "alarm"
    Armed "armed"
    Stale "stale"
    Focus "focus"
    Selection "selection"
    Key "key"
    Bar "bar"
    Input "input"
    Loss "loss"
    Gain "gain"
    ChartLine "chart.line"
    ChartRung "chart.rung"
    ChartNext "chart.next"
    ChartMark "chart.mark"
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    fg: Option<Spanned<String>>,
    bg: Option<Spanned<String>>,
    #[serde(default)]
    modifiers: Vec<Spanned<String>>,
    #[serde(default)]
    glyph: String,
}

/// A role's style and glyph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Look {
    style: Style,
    glyph: String,
}

/// One theme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Theme {
    pub(crate) name: String,
    looks: Vec<Look>,
}

impl Theme {
    /// The style of a role.
    pub(crate) fn style(&self, role: Role) -> Style {
        self.look(role)
            .map_or_else(Style::default, |look| look.style)
    }

    /// The glyph of a role, empty where it has none.
    pub(crate) fn glyph(&self, role: Role) -> &str {
        self.look(role).map_or("", |look| look.glyph.as_str())
    }

    fn look(&self, role: Role) -> Option<&Look> {
        self.looks.get(role as usize)
    }

    /// The theme of this name: a file in the operator's `themes/`, else a shipped one. What is
    /// wrong is told; the default theme stands in.
    pub(crate) fn load(
        name: &str,
        config_dir: Option<&Path>,
        no_color: bool,
    ) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let own = config_dir.map(|dir| dir.join("themes").join(format!("{name}.toml")));
        let mut found = None;
        if let Some(path) = own.filter(|path| path.exists() && !name.contains('/')) {
            match std::fs::read_to_string(&path) {
                Ok(text) => match Self::parse(name, &text, &path) {
                    Ok(theme) => found = Some(theme),
                    Err(problem) => problems.push(problem),
                },
                Err(e) => problems.push(Problem::unreadable(&path, &e)),
            }
        } else if !SHIPPED.iter().any(|(shipped, _)| *shipped == name) {
            let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "there is no theme `{name}`: expected one of {}",
                names.join(", ")
            );
            problems.push(Problem::at(Path::new("theme"), "", 0, message));
        }
        let mut theme = found.unwrap_or_else(|| Self::shipped(name));
        if no_color {
            theme.drop_colours();
        }
        (theme, problems)
    }

    fn shipped(name: &str) -> Self {
        let at = SHIPPED.iter().position(|(shipped, _)| *shipped == name);
        let (name, text) = SHIPPED
            .get(at.unwrap_or(0))
            .copied()
            .unwrap_or(("none", ""));
        Self::parse(name, text, Path::new(name)).unwrap_or_else(|_| Self {
            name: name.to_owned(),
            looks: Vec::new(),
        })
    }

    /// The next of the shipped themes.
    pub(crate) fn next(&self, no_color: bool) -> Self {
        let at = SHIPPED.iter().position(|(name, _)| *name == self.name);
        let next = at.map_or(0, |at| (at + 1) % SHIPPED.len());
        let name = SHIPPED.get(next).map_or("default", |(name, _)| *name);
        let mut theme = Self::shipped(name);
        if no_color {
            theme.drop_colours();
        }
        theme
    }

    fn parse(name: &str, text: &str, path: &Path) -> Result<Self, Problem> {
        let table: toml::Table = toml::from_str(text).map_err(|e| toml_problem(path, text, &e))?;
        let known = |key: &String| ROLES.iter().any(|(_, name)| name == key);
        if let Some(stranger) = table.keys().find(|key| !known(key)) {
            let at = text.find(&format!("\n{stranger}")).map_or(0, |at| at + 1);
            return Err(Problem::at(
                path,
                text,
                at,
                format!("unknown role `{stranger}`"),
            ));
        }
        let entries: std::collections::HashMap<String, Entry> =
            toml::from_str(text).map_err(|e| toml_problem(path, text, &e))?;
        let looks = ROLES.iter().map(|(_, role)| match entries.get(*role) {
            Some(entry) => entry
                .look()
                .map_err(|(at, message)| Problem::at(path, text, at, message)),
            None => Err(Problem::at(
                path,
                text,
                text.len(),
                format!("missing role `{role}`"),
            )),
        });
        Ok(Self {
            name: name.to_owned(),
            looks: looks.collect::<Result<_, _>>()?,
        })
    }

    /// For `NO_COLOR`: the default theme's colours go, its modifiers stay; what only a colour
    /// told is told by the mono theme's modifiers.
    fn drop_colours(&mut self) {
        self.looks = Self::shipped("mono").looks;
    }
}

impl Entry {
    fn look(&self) -> Result<Look, (usize, String)> {
        let colour = |text: &Option<Spanned<String>>| {
            let Some(text) = text else { return Ok(None) };
            Color::from_str(text.get_ref()).map(Some).map_err(|_| {
                let wrong = text.get_ref();
                (text.span().start, format!("`{wrong}` is no colour: expected a name (red, light-blue), #rrggbb or 0 to 255"))
            })
        };
        let mut style = Style {
            fg: colour(&self.fg)?,
            bg: colour(&self.bg)?,
            ..Style::default()
        };
        for word in &self.modifiers {
            let modifier = match word.get_ref().as_str() {
                "bold" => Modifier::BOLD,
                "dim" => Modifier::DIM,
                "italic" => Modifier::ITALIC,
                "underlined" => Modifier::UNDERLINED,
                "reversed" => Modifier::REVERSED,
                other => {
                    return Err((
                        word.span().start,
                        format!(
                            "`{other}` is no modifier: expected bold, dim, italic, underlined or reversed"
                        ),
                    ));
                }
            };
            style = style.add_modifier(modifier);
        }
        Ok(Look {
            style,
            glyph: self.glyph.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_theme_is_whole() {
        for (name, text) in SHIPPED {
            let theme = Theme::parse(name, text, Path::new(name));
            assert!(theme.is_ok(), "{name}: {theme:?}");
        }
    }

    #[test]
    fn dangers_differ_from_safety_without_colour_in_every_theme() {
        for (name, _) in SHIPPED {
            let theme = Theme::shipped(name);
            let glyphs = [Role::Ok, Role::Warn, Role::Danger, Role::Stale]
                .map(|r| theme.glyph(r).to_owned());
            for (at, glyph) in glyphs.iter().enumerate() {
                assert!(
                    !glyph.is_empty() && !glyphs[..at].contains(glyph),
                    "{name}: {glyphs:?}"
                );
            }
        }
    }

    #[test]
    fn without_colour_nothing_has_one_and_highlights_remain() {
        let (theme, _) = Theme::load("dark", None, true);
        assert!(
            theme
                .looks
                .iter()
                .all(|look| look.style.fg.is_none() && look.style.bg.is_none())
        );
        assert!(
            theme
                .style(Role::Selection)
                .add_modifier
                .contains(Modifier::REVERSED)
        );
        assert!(
            theme
                .style(Role::Alarm)
                .add_modifier
                .contains(Modifier::REVERSED)
        );
    }

    #[test]
    fn mistakes_in_a_theme_are_placed() {
        for (from, to, expected) in [
            ("fg = \"red\"", "fg = \"redd\"", "`redd` is no colour"),
            ("\"bold\"", "\"bald\"", "`bald` is no modifier"),
            ("[ok]", "[okay]", "unknown role `okay`"),
        ] {
            let text = SHIPPED[0].1.replacen(from, to, 1);
            let at = |t: &str| t.contains(from) || t.contains(to);
            assert!(at(&text), "{from}");
            let told = Theme::parse("x", &text, Path::new("x.toml"))
                .unwrap_err()
                .to_string();
            assert!(
                told.contains(expected) && told.starts_with("x.toml:"),
                "{told}"
            );
        }
        let (theme, problems) = Theme::load("nosuch", None, false);
        assert_eq!((theme.name.as_str(), problems.len()), ("default", 1));
    }
}
