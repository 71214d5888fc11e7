//! Journal, keys, alerts and health.

use super::View;
use super::paint::{Canvas, Row, Text, fit, left};
use crate::app::Pane;
use crate::fmt;
use crate::store::{Entry, Link, Peer};
use crate::theme::Role;
use fusebox_domain::{Fresh, KeyRole};
use fusebox_wire::feed::{ActionState, Severity, Up};
use fusebox_wire::operator::RegisteredKey;
use ratatui::layout::{Position, Rect};
use unicode_width::UnicodeWidthStr;

fn begin(
    canvas: &mut Canvas<'_>,
    area: Rect,
    corner: &str,
    title: &str,
    notes: &Text,
    focused: bool,
) -> Rect {
    canvas.edge(area, focused);
    canvas.rule(
        area,
        corner,
        &Text::new().add(title, Role::Strong),
        notes,
        focused,
    );
    canvas.inside(area)
}

/// What is wrong with a connection, in words; empty when it lives.
fn outage(view: &View<'_>, peer: Peer) -> Option<Text> {
    let (link, name) = match peer {
        Peer::Feed => (&view.store.feed, "breaker"),
        Peer::Revoker => (&view.store.revoker, "revoker"),
        Peer::Recorder => (&view.store.recorder, "recorder"),
        Peer::Journal => (&view.store.journal, "journal"),
    };
    match link {
        Link::Live => None,
        Link::Connecting => Some(Text::new().add(format!("waiting for the {name}"), Role::Muted)),
        Link::Down { error } => Some(
            Text::new()
                .add(format!("{name} away: "), Role::Danger)
                .add(error.clone(), Role::Muted),
        ),
    }
}

pub(super) fn journal(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, corner: &str) {
    let ui = &view.app.ui;
    let page = &view.store.page;
    let focused = view.focused(Pane::Journal);
    let mut title = Text::new().add("Journal", Role::Strong);
    if page.total > 0 {
        title = title.add(format!(" {}", fmt::count(page.total)), Role::Text);
    }
    let checkpoint = view
        .store
        .recorded
        .as_ref()
        .and_then(|r| r.value.checkpoint_ms);
    if let Some(at) = checkpoint.filter(|_| area.width >= 60) {
        title = title.add(
            format!("  checkpoint {}Z", fmt::clock_short(at)),
            Role::Muted,
        );
    }
    if page.stopped {
        title = title.add("  recorder stopped: a still", Role::Warn);
    } else if !view.store.recorder.is_live() {
        title = title.add("  recorder does not answer", Role::Warn);
    }
    let notes = match (ui.filtering, page.filter.is_empty()) {
        (true, _) => Text::new(),
        (false, true) => Text::new().add("/ ", Role::Key).add("filter", Role::Muted),
        (false, false) => Text::new()
            .add(format!("/ {}", fit(&page.filter, 30)), Role::Accent)
            .add("  Esc clears", Role::Muted),
    };
    let inner = begin(canvas, area, corner, "", &notes, focused);
    canvas.rule(area, corner, &title, &notes, focused);
    if ui.filtering {
        filter_field(canvas, area, view);
    }
    if let (Some(text), true) = (outage(view, Peer::Journal), page.rows.is_empty()) {
        return canvas.row(inner, inner.y, &text.into());
    }
    if page.rows.is_empty() {
        let words = if page.filter.is_empty() {
            "no entries yet"
        } else {
            "nothing matches the filter"
        };
        return canvas.row(inner, inner.y, &Text::new().add(words, Role::Muted).into());
    }
    let cursor = match ui.selected {
        Some(seq) => page
            .rows
            .iter()
            .position(|row| row.seq <= seq)
            .unwrap_or(page.rows.len() - 1),
        None => 0,
    };
    let rows: Vec<Row> = page
        .rows
        .iter()
        .enumerate()
        .map(|(n, entry)| entry_row(entry, focused && n == cursor, usize::from(inner.width)))
        .collect();
    canvas.list(inner, &rows, cursor);
}

/// How a kind of row is coloured.
pub(super) fn kind_role(kind: &str) -> Role {
    match kind {
        "halt" | "incident" | "plan" => Role::Danger,
        "alert" => Role::Warn,
        "annotation" | "ack" => Role::Accent,
        _ => Role::Text,
    }
}

fn entry_row(entry: &Entry, selected: bool, width: usize) -> Row {
    let left = Text::new()
        .add(format!("{} ", fmt::clock(entry.time_ms)), Role::Muted)
        .add(left(&entry.kind, 11), kind_role(&entry.kind))
        .add(entry.summary.clone(), Role::Text);
    let tail = fit(&entry.tail, 24);
    // In a narrow column the sentence comes first.
    let fits = left.width() + tail.width() < width;
    let tail = if width >= 70 || fits {
        tail
    } else {
        String::new()
    };
    Row {
        left,
        right: Text::new().add(tail, Role::Muted),
        selected,
    }
}

/// The filter stands at the right end of the journal's rule.
const FILTER: u16 = 34;

fn filter_field(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    let width = FILTER.min(area.width.saturating_sub(12));
    let x = area.right().saturating_sub(width);
    let (shown, _) = view
        .app
        .ui
        .filter
        .window(usize::from(width.saturating_sub(4)));
    let after = canvas.put(area, x, area.y, " / ", Role::Key);
    canvas.put(
        area,
        after,
        area.y,
        &left(&shown, usize::from(width.saturating_sub(3))),
        Role::Input,
    );
}

/// Where the cursor stands while the filter is typed: found again on the drawn rule.
pub(super) fn filter_cursor(area: Rect, view: &View<'_>) -> Option<Position> {
    let rule = journal_rule(area, view)?;
    let width = FILTER.min(rule.width.saturating_sub(12));
    let (_, at) = view
        .app
        .ui
        .filter
        .window(usize::from(width.saturating_sub(4)));
    let x = rule.right().saturating_sub(width) + 3 + u16::try_from(at).unwrap_or(0);
    (x < rule.right()).then_some(Position::new(x, rule.y))
}

/// Where the journal's rule is, in each layout.
fn journal_rule(area: Rect, view: &View<'_>) -> Option<Rect> {
    let top = area.y + 2;
    if view.app.ui.zoom {
        return Some(Rect::new(area.x, top, area.width, 1));
    }
    if area.width >= 120 && area.height >= 40 {
        let left = if area.width >= 180 {
            144
        } else {
            81.min(area.width * 2 / 3 + 1)
        };
        return Some(Rect::new(area.x + left, top, area.width - left, 1));
    }
    let body = area.height.saturating_sub(3);
    let ladder = super::ladder::height(view).min(body / 2);
    let positions = super::positions::height(view)
        .min((body - ladder).saturating_sub(7))
        .max(3);
    Some(Rect::new(area.x, top + ladder + positions, area.width, 1))
}

pub(super) fn keys(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, corner: &str) {
    let focused = view.focused(Pane::Keys);
    let keys = view.store.keys.as_ref();
    let listing = keys.and_then(|k| {
        let since =
            u64::try_from(view.now.saturating_duration_since(k.at).as_millis()).unwrap_or(u64::MAX);
        k.value.listing_age_ms.map(|age| age.saturating_add(since))
    });
    let notes = match listing {
        Some(age) if age < 120_000 => Text::new().add(
            format!(
                "{}listed {} ago",
                canvas.theme.glyph(Role::Ok),
                fmt::age(age)
            ),
            Role::Ok,
        ),
        Some(age) => Text::new().add(
            format!(
                "{}listed {} ago",
                canvas.theme.glyph(Role::Warn),
                fmt::age(age)
            ),
            Role::Warn,
        ),
        None => Text::new().add("never listed", Role::Muted),
    };
    let title = keys.map_or_else(
        || "Keys".to_owned(),
        |k| format!("Keys {}", k.value.keys.len()),
    );
    let inner = begin(canvas, area, corner, &title, &notes, focused);
    let Some(keys) = keys else {
        let text = outage(view, Peer::Revoker)
            .unwrap_or_else(|| Text::new().add("the revoker shows no registry", Role::Muted));
        return canvas.row(inner, inner.y, &text.into());
    };
    let cursor = view.cursor(Pane::Keys);
    let width = usize::from(inner.width);
    let mut rows: Vec<Row> = Vec::new();
    for (n, key) in keys.value.keys.iter().enumerate() {
        let mut row = key_row(canvas, key, width);
        row.selected = focused && n == cursor;
        rows.push(row);
    }
    for spot in &keys.value.blind_spots {
        rows.push(
            Text::new()
                .add(
                    format!("not observable: {}", fusebox_domain::clean_line(spot, 200)),
                    Role::Muted,
                )
                .into(),
        );
    }
    canvas.list(inner, &rows, cursor);
}

fn key_row(canvas: &Canvas<'_>, key: &RegisteredKey, width: usize) -> Row {
    let (role, word) = match (&key.role, &key.observed) {
        (None, _) => (Role::Danger, "undeclared".to_owned()),
        (Some(role), Some(_)) => (Role::Ok, role.as_str().to_owned()),
        // A master key cannot be listed by itself (K7).
        (Some(role @ KeyRole::Manage), None) => (Role::Muted, role.as_str().to_owned()),
        (Some(role), None) => (Role::Warn, format!("{} gone", role.as_str())),
    };
    let role = if key.excess.is_empty() && key.findings.is_empty() {
        role
    } else {
        Role::Danger
    };
    let short = key
        .observed
        .as_ref()
        .map(|o| o.api_key.short())
        .unwrap_or_default();
    let mut text = Text::new()
        .add(canvas.mark(role), role)
        .add(left(key.name.as_str(), 15), Role::Strong)
        .add(left(&short, 9), Role::Muted)
        .add(left(&word, if width < 50 { 11 } else { 12 }), role);
    if width >= 56 {
        let age = key
            .age_days
            .map(|d| format!("{d} d old"))
            .unwrap_or_default();
        text.push(left(&age, 10), Role::Muted);
    }
    if let Some(finding) = key.findings.first() {
        text.push(finding.clone(), Role::Danger);
    }
    let due = match key.rotation_due_days {
        Some(days) if days < 0 => Text::new().add(format!("overdue {} d", -days), Role::Danger),
        Some(days) if days < 14 => Text::new().add(format!("due in {days} d"), Role::Warn),
        Some(days) => Text::new().add(format!("due in {days} d"), Role::Muted),
        None => Text::new(),
    };
    Row {
        left: text,
        right: due,
        selected: false,
    }
}

pub(super) fn alerts(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, corner: &str) {
    let focused = view.focused(Pane::Alerts);
    let open = view
        .store
        .alerts
        .iter()
        .filter(|a| !a.acknowledged && a.ack_by_ms.is_some())
        .count();
    let notes = match open {
        0 => Text::new().add("no review open", Role::Muted),
        n => Text::new().add(format!("{n} to acknowledge"), Role::Warn),
    };
    let inner = begin(canvas, area, corner, "Alerts and actions", &notes, focused);
    let cursor = view.cursor(Pane::Alerts);
    let mut rows: Vec<Row> = view
        .store
        .alerts
        .iter()
        .rev()
        .map(|a| alert_row(canvas, view, a))
        .collect();
    rows.extend(
        view.store
            .actions
            .iter()
            .rev()
            .map(|a| action_row(canvas, a)),
    );
    if rows.is_empty() {
        let quiet = Text::new().add("nothing was done and nobody was told", Role::Muted);
        rows.push(outage(view, Peer::Feed).unwrap_or(quiet).into());
    }
    if let Some(row) = rows.get_mut(cursor).filter(|_| focused) {
        row.selected = true;
    }
    canvas.list(inner, &rows, cursor);
}

fn alert_row(canvas: &Canvas<'_>, view: &View<'_>, alert: &fusebox_wire::feed::Alert) -> Row {
    let role = match alert.severity {
        Severity::Info => Role::Accent,
        Severity::Warn => Role::Warn,
        Severity::Critical => Role::Danger,
    };
    let told: Vec<String> = alert
        .channels
        .iter()
        .map(|(channel, answer)| format!("{channel} {answer}"))
        .collect();
    let state = match (alert.acknowledged, alert.ack_by_ms) {
        (true, _) => Text::new().add("acknowledged", Role::Ok),
        (false, Some(by)) => {
            let key = view
                .app
                .keymap
                .key_of(crate::action::Action::Acknowledge)
                .unwrap_or_default();
            Text::new()
                .add(format!("ack by {} ", fmt::clock_short(by)), Role::Warn)
                .add(key, Role::Key)
        }
        (false, None) => Text::new(),
    };
    Row {
        left: Text::new()
            .add(canvas.mark(role), role)
            .add(format!("{} ", fmt::clock(alert.raised_ms)), Role::Muted)
            .add(alert.title.clone(), Role::Text)
            .add(format!("  {}", told.join(", ")), Role::Muted),
        right: state,
        selected: false,
    }
}

fn action_row(canvas: &Canvas<'_>, action: &fusebox_wire::feed::Action) -> Row {
    let (role, word) = match action.state {
        ActionState::Pending => (Role::Warn, "pending"),
        ActionState::Running => (Role::Warn, "running"),
        ActionState::Done => (Role::Ok, "done"),
        ActionState::Failed => (Role::Danger, "FAILED"),
        ActionState::Unknown => (Role::Stale, "UNKNOWN"),
    };
    Row {
        left: Text::new()
            .add(canvas.mark(role), role)
            .add(format!("{} ", fmt::clock(action.started_ms)), Role::Muted)
            .add(
                format!("{} {} ", action.rung, action.action.replace('_', " ")),
                Role::Strong,
            )
            .add(action.detail.clone(), Role::Text),
        right: Text::new().add(word, role),
        selected: false,
    }
}

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
        rows.sort_by_key(|row| is_well(row));
    }
    if inner.width >= 90 && rows.len() > height {
        // Two columns, so that nothing is out of sight.
        let width = inner.width / 2 - 1;
        let first = Rect { width, ..inner };
        let second = Rect {
            x: inner.x + width + 2,
            ..first
        };
        let rest = rows.split_off(height.min(rows.len()));
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

/// How many lines [`health_brief`] wants below its rule, at most two.
pub(super) fn health_line_count(view: &View<'_>, width: u16) -> u16 {
    let canvas = Canvas {
        buffer: &mut ratatui::buffer::Buffer::empty(Rect::ZERO),
        theme: &view.app.theme,
    };
    u16::try_from(brief(&canvas, view, width).len().min(2)).unwrap_or(1)
}

pub(super) fn health_brief(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
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
