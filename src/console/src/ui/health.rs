//! Components, services and feeds: who answers, and how old what they say is.

use super::View;
use super::paint::{Canvas, Row, Text, fit, left};
use super::panes::begin;
use crate::app::Pane;
use crate::fmt;
use crate::store::{Link, Peer};
use crate::theme::Role;
use fusebox_domain::Fresh;
use fusebox_wire::feed::Up;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

/// Name, state and words of everything that can be up or down.
fn components(view: &View<'_>) -> Vec<(String, Role, String)> {
    let mut out = Vec::new();
    for (name, link, peer) in [
        ("breaker", &view.store.feed, Peer::Feed),
        ("recorder", &view.store.recorder, Peer::Recorder),
        ("revoker", &view.store.revoker, Peer::Revoker),
    ] {
        let silent =
            peer == Peer::Feed && link.is_live() && !view.store.voice(view.now).is_usable();
        let (role, words) = match link {
            Link::Live if silent => (Role::Danger, "connected, but silent".to_owned()),
            Link::Live => (Role::Ok, "answers".to_owned()),
            Link::Connecting => (Role::Stale, "connecting".to_owned()),
            Link::Down { error, .. } => (Role::Danger, error.clone()),
        };
        out.push((name.to_owned(), role, words));
    }
    let usable = view.store.voice(view.now).is_usable();
    for health in view.store.health.iter().flat_map(|h| &h.value) {
        // Our own connection to a component is nearer evidence than the breaker's.
        if let Some(own) = out.iter_mut().find(|(name, _, _)| *name == health.name) {
            if own.1 == Role::Ok && !health.detail.is_empty() {
                own.2.clone_from(&health.detail);
            }
            continue;
        }
        let role = match (usable, health.up) {
            (false, _) | (_, Up::Unknown) => Role::Stale,
            (_, Up::Up) => Role::Ok,
            (_, Up::Degraded) => Role::Warn,
            (_, Up::Down) => Role::Danger,
        };
        out.push((health.name.clone(), role, health.detail.clone()));
    }
    let seen = view
        .store
        .status
        .iter()
        .filter(|_| view.store.revoker.is_live())
        .flat_map(|s| &s.value.services);
    for (name, words) in seen {
        if !out.iter().any(|(known, _, _)| known == name) {
            let role = if words.starts_with("ok") {
                Role::Ok
            } else {
                Role::Warn
            };
            out.push((fusebox_domain::clean_line(name, 20), role, words.clone()));
        }
    }
    out
}

/// How a source of the breaker stands, with its age.
fn sources(view: &View<'_>) -> Vec<(String, Fresh, String, u32)> {
    let Some(sources) = &view.store.sources else {
        return Vec::new();
    };
    let since = u64::try_from(view.now.saturating_duration_since(sources.at).as_millis())
        .unwrap_or(u64::MAX);
    let all = sources.value.iter().map(|s| {
        let fresh = s
            .limits
            .judge(s.age_ms.map(|age| age.saturating_add(since)));
        (s.name.clone(), fresh, s.link.clone(), s.reconnects)
    });
    all.collect()
}

pub(super) fn health(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, corner: &str) {
    let focused = view.focused(Pane::Health);
    let notes = match view.store.gaps {
        0 => Text::new(),
        n => Text::new().add(format!("{n} messages lost"), Role::Warn),
    };
    let inner = begin(canvas, area, corner, "Health", &notes, focused);
    let mut rows: Vec<Row> = Vec::new();
    for (name, role, words) in components(view) {
        let text = Text::new()
            .add(canvas.mark(role), role)
            .add(left(&name, 14), Role::Strong)
            .add(
                words,
                if role == Role::Ok {
                    Role::Muted
                } else {
                    Role::Text
                },
            );
        rows.push(text.into());
    }
    for (name, fresh, link, reconnects) in sources(view) {
        let (role, age) = match fresh {
            Fresh::Live { age_ms } => (Role::Ok, fmt::age(age_ms)),
            Fresh::Aging { age_ms } => (Role::Warn, fmt::age(age_ms)),
            Fresh::Stale { age_ms } => (Role::Danger, format!("{} OLD", fmt::age(age_ms))),
            Fresh::Never => (Role::Stale, "never".to_owned()),
        };
        let again = if reconnects > 0 {
            format!("{reconnects} reconnects  ")
        } else {
            String::new()
        };
        rows.push(Row {
            left: Text::new()
                .add(canvas.mark(role), role)
                .add(left(&name, 14), Role::Text)
                .add(link, Role::Muted),
            right: Text::new().add(again, Role::Muted).add(age, role),
            selected: false,
        });
    }
    let cursor = view.cursor(Pane::Health).min(rows.len().saturating_sub(1));
    let height = usize::from(inner.height);
    if rows.len() > height && inner.width < 90 {
        // What is not well comes first where not everything fits.
        rows.sort_by_key(is_well);
    }
    if inner.width >= 90 && rows.len() > height {
        // Two columns, so that nothing is out of sight.
        let width = inner.width / 2 - 1;
        let first = Rect { width, ..inner };
        let second = Rect {
            x: inner.x + width + 2,
            ..first
        };
        let rest = rows.split_off(rows.len().div_ceil(2));
        canvas.list(first, &rows, 0);
        return canvas.list(second, &rest, 0);
    }
    canvas.list(inner, &rows, if focused { cursor } else { 0 });
}

/// Whether the line's mark is the good one.
fn is_well(row: &Row) -> bool {
    row.left.0.first().is_some_and(|bit| bit.role == Role::Ok)
}

/// The components on as many lines as they need.
fn brief(canvas: &Canvas<'_>, view: &View<'_>, width: u16) -> Vec<Text> {
    let width = usize::from(width.saturating_sub(2));
    let mut lines = vec![Text::new()];
    let mut add = |text: Text| {
        let full = lines
            .last()
            .is_some_and(|line| !line.is_empty() && line.width() + text.width() > width + 2);
        if full {
            lines.push(Text::new());
        }
        if let Some(line) = lines.last_mut() {
            line.0.extend(text.0);
        }
    };
    for (name, role, words) in components(view) {
        let why = match role {
            Role::Ok => String::new(),
            Role::Stale => " ?".to_owned(),
            _ => format!(" {}", fit(&words, 24)),
        };
        let why = if why.width() > 1 && role == Role::Danger && words.contains("does not exist") {
            " down".to_owned()
        } else {
            why
        };
        add(Text::new()
            .add(format!("{name} "), Role::Text)
            .add(canvas.theme.glyph(role), role)
            .add(why, role)
            .add("  ", Role::Text));
    }
    for (name, fresh, _, _) in sources(view) {
        if !fresh.is_usable() {
            let age = crate::store::age_of(fresh).map_or_else(
                || "never".to_owned(),
                |age| format!("{} old", fmt::age(age)),
            );
            add(Text::new()
                .add(format!("{name} "), Role::Text)
                .add(
                    format!("{} {age}", canvas.theme.glyph(Role::Danger)),
                    Role::Danger,
                )
                .add("  ", Role::Text));
        }
    }
    lines
}

/// How many lines [`brief_strip`] wants below its rule, at most two.
pub(super) fn line_count(view: &View<'_>, width: u16) -> u16 {
    let canvas = Canvas {
        buffer: &mut ratatui::buffer::Buffer::empty(Rect::ZERO),
        theme: &view.app.theme,
    };
    u16::try_from(brief(&canvas, view, width).len().min(2)).unwrap_or(1)
}

pub(super) fn brief_strip(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    let inner = begin(
        canvas,
        area,
        "├",
        "Health",
        &Text::new(),
        view.focused(Pane::Health),
    );
    let lines = brief(canvas, view, inner.width + 2);
    for (n, line) in lines
        .into_iter()
        .take(usize::from(inner.height))
        .enumerate()
    {
        let y = inner.y + u16::try_from(n).unwrap_or(0);
        canvas.row(inner, y, &line.into());
    }
}
