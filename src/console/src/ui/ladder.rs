//! The ladder: four rungs, where we are against the worse of calendar and rolling basis, how much
//! room is left in money and per cent, and what happens there.

use super::View;
use super::paint::{Canvas, Row, Text, fit, left, right};
use crate::app::Pane;
use crate::fmt;
use crate::store::age_of;
use crate::theme::Role;
use fusebox_wire::feed::{Rung, RungState};
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

/// Cells of a line before and after the bar.
const BEFORE: usize = 17;
const NOW: usize = 13;
const ROOM: usize = 10;
const PERCENT: usize = 8;
const THEN: usize = 17;
const ROLLING: usize = 14;

/// Which columns fit, and how long the bar may be.
struct Columns {
    bar: usize,
    rolling: bool,
    then: bool,
}

impl Columns {
    fn of(width: usize) -> Self {
        let rolling = width >= 100;
        let fixed = BEFORE + 1 + NOW + ROOM + PERCENT + if rolling { ROLLING } else { 0 };
        // Narrow columns give up the words at the end before the figures.
        match width.checked_sub(fixed + THEN) {
            Some(bar) if bar >= 8 => Self {
                bar: bar.min(40),
                rolling,
                then: true,
            },
            _ => Self {
                bar: width.saturating_sub(fixed).clamp(4, 40),
                rolling,
                then: false,
            },
        }
    }
}

/// What the columns are, in the rule above them.
fn captions(canvas: &mut Canvas<'_>, body: Rect, y: u16) {
    let columns = Columns::of(usize::from(body.width));
    let bar_end = BEFORE + columns.bar + 1;
    let room_end = bar_end + NOW + if columns.rolling { ROLLING } else { 0 } + ROOM;
    let mut captions = vec![
        (BEFORE, " used ".to_owned()),
        (bar_end + NOW - 8, " now ".to_owned()),
        (room_end.saturating_sub(10), " left USDT".to_owned()),
        (room_end + PERCENT - 2, " % ".to_owned()),
    ];
    if columns.rolling {
        captions.push((bar_end + NOW + ROLLING - 8, " rolling".to_owned()));
    }
    if columns.then {
        captions.push((room_end + PERCENT + 1, " then ".to_owned()));
    }
    for (at, caption) in captions {
        let x = body.x.saturating_add(u16::try_from(at).unwrap_or(u16::MAX));
        canvas.put(
            Rect::new(body.x, y, body.width, 1),
            x,
            y,
            &caption,
            Role::Muted,
        );
    }
}

/// Rule, four rungs, the line about the next reset.
pub(super) fn height(view: &View<'_>) -> u16 {
    let ladder = view.store.ladder.as_ref();
    let extra = ladder.map_or(0, |l| {
        usize::from(l.value.blind.is_some() || !l.value.integrity.is_empty())
    });
    6 + u16::try_from(extra).unwrap_or(0)
}

pub(super) fn ladder(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, corner: &str) {
    let focused = view.focused(Pane::Ladder);
    let fresh = view.store.ladder_fresh(view.now);
    let notes = match fresh.is_usable() {
        true => Text::new(),
        false => match age_of(fresh) {
            Some(age) => Text::new().add(
                format!("no fresh verdict for {}", fmt::age(age)),
                Role::Danger,
            ),
            None => Text::new().add("no verdict yet", Role::Muted),
        },
    };
    canvas.edge(area, focused);
    canvas.rule(
        area,
        corner,
        &Text::new().add("Ladder", Role::Strong),
        &notes,
        focused,
    );
    let body = canvas.inside(area);
    let width = usize::from(body.width);
    if fresh.is_usable() {
        captions(canvas, body, area.y);
    }
    let mut rows: Vec<Row> = Vec::new();
    match &view.store.ladder {
        Some(ladder) => {
            let cursor = view.cursor(Pane::Ladder);
            for (n, rung) in ladder.value.rungs.iter().enumerate() {
                let usable = fresh.is_usable() && rung.state != RungState::Unknown;
                let mut row = line(view, rung, usable, width);
                row.selected = focused && n == cursor;
                rows.push(row);
            }
            if let Some(blind) = &ladder.value.blind {
                rows.push(
                    Text::new()
                        .add(
                            format!(
                                "{blind}: blind, no fresh agreeing sample; entries stop, then zero"
                            ),
                            Role::Danger,
                        )
                        .into(),
                );
            }
            if !ladder.value.integrity.is_empty() {
                let why = ladder.value.integrity.join("; ");
                rows.push(
                    Text::new()
                        .add(
                            format!("X: {}", fusebox_domain::clean_line(&why, 300)),
                            Role::Danger,
                        )
                        .into(),
                );
            }
            let mut last = after(
                ladder.value.next_reset_ms,
                ladder.value.after_reset.as_deref(),
                fresh.is_usable(),
            );
            if fresh.is_usable() {
                last.right = agreement(view);
            }
            rows.push(last);
        }
        None => rows.push(unknown(view).into()),
    }
    canvas.list(body, &rows, 0);
}

fn unknown(view: &View<'_>) -> Text {
    let why = match &view.store.feed {
        crate::store::Link::Down { error, .. } => error.clone(),
        _ => "waiting for the breaker".to_owned(),
    };
    Text::new()
        .add("UNKNOWN  ", Role::Warn)
        .add(why, Role::Muted)
}

/// `ws+rest agree 0.02 %`.
fn agreement(view: &View<'_>) -> Text {
    let Some(equity) = &view.store.equity else {
        return Text::new();
    };
    let bp = equity.value.disagreement_bp.unwrap_or(0).unsigned_abs();
    let percent = format!("{}.{:02} %", bp / 100, bp % 100);
    match equity.value.agree {
        Some(true) => Text::new().add(format!("ws+rest agree {percent}"), Role::Muted),
        Some(false) => Text::new().add(format!("ws and rest DISAGREE {percent}"), Role::Danger),
        None => Text::new().add("one source only", Role::Warn),
    }
}

fn after(at_ms: Option<i64>, text: Option<&str>, usable: bool) -> Row {
    let at = at_ms
        .map(|ms| format!(" {}Z", fmt::clock_short(ms)))
        .unwrap_or_default();
    let what = text
        .map(|t| fusebox_domain::clean_line(t, 200))
        .unwrap_or_else(|| "nothing changes".to_owned());
    match usable {
        true => Text::new()
            .add(format!("after{at}: "), Role::Muted)
            .add(what, Role::Text)
            .into(),
        false => Text::new()
            .add(
                format!("after{at}: unknown without fresh data"),
                Role::Muted,
            )
            .into(),
    }
}

fn line(view: &View<'_>, rung: &Rung, usable: bool, width: usize) -> Row {
    let latched = rung.state == RungState::Latched;
    let basis = match rung.basis.as_str() {
        "hwm" => "peak",
        other => other,
    };
    let mut text = Text::new()
        .add(left(&rung.rung, 3), Role::Strong)
        .add(left(basis, 6), Role::Text)
        .add(
            right(&fmt::percent_short(-i64::from(rung.threshold_bp)), 6),
            Role::Text,
        )
        .to(BEFORE);
    let columns = Columns::of(width);
    let bar = columns.bar;
    if !usable {
        text.push("·".repeat(bar) + "│", Role::Rule);
        text.push(" UNKNOWN", Role::Warn);
        if latched {
            text.push("  latched before", Role::Danger);
        }
        return Row {
            left: text,
            right: stale_figures(rung),
            selected: false,
        };
    }
    let change = worst(rung);
    let (filled, rest, role) = fill(rung, change, bar);
    text.push(filled, role);
    text.push(rest, Role::Rule);
    if latched {
        text.push("┫", Role::Danger);
        let since = rung
            .since_ms
            .map(|ms| format!(" {}", fmt::clock_short(ms)))
            .unwrap_or_default();
        text.push(format!(" TRIPPED{since}  "), Role::Danger);
        let done = rung.done.clone().unwrap_or_else(|| rung.action.clone());
        let mut end = Text::new();
        if rung.review.is_some() {
            let key = view
                .app
                .keymap
                .key_of(crate::action::Action::Acknowledge)
                .unwrap_or_default();
            end = end.add("review open ", Role::Warn).add(key, Role::Key);
        }
        let room = width.saturating_sub(text.width() + end.width() + 2);
        text.push(newest(&done, room), Role::Text);
        return Row {
            left: text,
            right: end,
            selected: false,
        };
    }
    text.push("│", Role::Rule);
    text = now(text, rung, change);
    if columns.rolling {
        let rolling = rung
            .rolling_change_bp
            .map(|bp| format!("{} {}", window(basis), fmt::percent(bp)));
        text.push(right(&rolling.unwrap_or_default(), ROLLING), Role::Muted);
    }
    let money = rung.room_usdt.map_or_else(|| "–".to_owned(), fmt::money);
    let percent = rung
        .room_bp
        .map(|bp| format!("{}.{} %", bp / 100, bp % 100 / 10));
    text.push(right(&money, ROOM), near(rung));
    text.push(right(&percent.unwrap_or_default(), PERCENT), near(rung));
    if columns.then {
        text.push(format!("  {}", fit(&rung.action, THEN - 2)), Role::Muted);
    }
    text.into()
}

/// The change that binds, and whether it is the rolling one.
fn worst(rung: &Rung) -> Option<(i64, bool)> {
    match (rung.change_bp, rung.rolling_change_bp) {
        (Some(calendar), Some(rolling)) if rolling < calendar => Some((rolling, true)),
        (Some(calendar), _) => Some((calendar, false)),
        (None, rolling) => rolling.map(|bp| (bp, true)),
    }
}

/// Loss, gain, or neither.
fn signed(bp: i64) -> Role {
    match bp.signum() {
        -1 => Role::Loss,
        1 => Role::Gain,
        _ => Role::Text,
    }
}

/// The newest of several sentences that fits: what was done stands last.
fn newest(text: &str, room: usize) -> String {
    let mut shown = text;
    while shown.width() > room {
        match shown.split_once("; ") {
            Some((_, later)) => shown = later,
            None => break,
        }
    }
    fit(shown, room)
}

fn window(basis: &str) -> &'static str {
    match basis {
        "day" => "24h",
        "week" => "7d",
        "month" => "30d",
        _ => "",
    }
}

fn now(text: Text, rung: &Rung, change: Option<(i64, bool)>) -> Text {
    match change {
        Some((bp, rolling)) => {
            let role = signed(bp);
            let tail = if rolling { window(&rung.basis) } else { "" };
            text.add(right(&fmt::percent(bp), NOW - 4), role)
                .add(left(&format!(" {tail}"), 4), Role::Muted)
        }
        None => text
            .add(right("UNKNOWN", NOW - 4), Role::Warn)
            .add(" ".repeat(4), Role::Text),
    }
}

/// How much of the way to the rung is used.
fn used_percent(rung: &Rung, change: Option<(i64, bool)>) -> u64 {
    let loss = change.map_or(0, |(bp, _)| bp.min(0).unsigned_abs());
    let limit = u64::from(rung.threshold_bp).max(1);
    (loss * 100 / limit).min(100)
}

/// The used part of the bar, the rest of it, and how near that is.
fn fill(rung: &Rung, change: Option<(i64, bool)>, bar: usize) -> (String, String, Role) {
    if rung.state == RungState::Latched {
        return ("━".repeat(bar), String::new(), Role::Danger);
    }
    let used = used_percent(rung, change);
    // Half cells; never full before it trips.
    let halves = usize::try_from(used).unwrap_or(0) * bar * 2 / 100;
    let halves = halves.min(bar * 2 - 1);
    let mut out = "━".repeat(halves / 2);
    if halves % 2 == 1 {
        out.push('╸');
    }
    let rest = bar.saturating_sub(halves / 2 + halves % 2);
    (out, "·".repeat(rest), heat(used))
}

fn heat(used: u64) -> Role {
    match used {
        85.. => Role::Danger,
        60..85 => Role::Warn,
        _ => Role::Ok,
    }
}

fn near(rung: &Rung) -> Role {
    match used_percent(rung, worst(rung)) {
        85.. => Role::Danger,
        60..85 => Role::Warn,
        _ => Role::Text,
    }
}

/// What was known last, marked.
fn stale_figures(rung: &Rung) -> Text {
    let change = worst(rung).map(|(bp, _)| format!("~{}", fmt::percent(bp)));
    let room = rung
        .room_usdt
        .map(|room| format!("  ~{} left", fmt::money(room)));
    Text::new().add(
        change.unwrap_or_default() + &room.unwrap_or_default(),
        Role::Stale,
    )
}
