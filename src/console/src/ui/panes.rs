//! Keys and alerts, and what panes have in common.

use super::View;
use super::paint::{Canvas, Row, Text, left};
use crate::app::Pane;
use crate::fmt;
use crate::store::{Link, Peer};
use crate::theme::Role;
use fusebox_domain::KeyRole;
use fusebox_wire::feed::{ActionState, Severity};
use fusebox_wire::operator::RegisteredKey;
use ratatui::layout::Rect;

pub(super) fn begin(
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
pub(super) fn outage(view: &View<'_>, peer: Peer) -> Option<Text> {
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
    let mark = match role {
        Role::Muted => "– ".to_owned(),
        role => canvas.mark(role),
    };
    let mut text = Text::new()
        .add(mark, role)
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
