//! The two head lines, the bottom line, and the layouts that are too small for more.

use super::View;
use super::paint::{Canvas, Row, Text, wrap};
use crate::action::{Action, Mode};
use crate::dialog::Stage;
use crate::fmt;
use crate::store::age_of;
use crate::theme::Role;
use fusebox_domain::{Environment, Fresh};
use fusebox_wire::feed::{Rung, RungState};
use ratatui::layout::Rect;

/// ` FUSEBOX  trading-1  bybit testnet   ARMED 2 keys  auto-kill on  12:04:31Z` and the equity.
pub(super) fn head(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    let line = Rect::new(area.x, area.y, area.width.saturating_sub(1), 1);
    canvas.row(
        line,
        area.y,
        &Row {
            left: identity(view),
            right: standing(view),
            selected: false,
        },
    );
    let line = Rect {
        y: area.y + 1,
        ..line
    };
    let freshness = freshness(canvas, view);
    let row = Row {
        left: equity(
            view,
            usize::from(line.width).saturating_sub(freshness.width() + 1),
        ),
        right: freshness,
        selected: false,
    };
    canvas.row(line, area.y + 1, &row);
}

fn identity(view: &View<'_>) -> Text {
    let mut text = Text::new().add(" FUSEBOX", Role::Strong);
    if let Some(label) = &view.app.label {
        text.push(
            format!("  {}", fusebox_domain::clean_line(label, 20)),
            Role::Accent,
        );
    }
    match &view.store.account {
        Some(account) => {
            text.push(format!("  {}", account.account), Role::Strong);
            text.push(format!("  {} ", account.venue), Role::Text);
            match account.environment {
                Environment::Mainnet => text.push("MAINNET", Role::Warn),
                Environment::Sim => text.push("sim", Role::Text),
                other => text.push(other.as_str(), Role::Text),
            }
        }
        None => text.push("  no account yet", Role::Muted),
    }
    let sim = view
        .store
        .account
        .as_ref()
        .is_none_or(|a| a.environment == Environment::Sim);
    if view.app.demo && sim {
        text.push("  DEMO", Role::Warn);
    }
    text
}

/// Right end of the first line: a run, armed, auto-kill, the time or the age.
fn standing(view: &View<'_>) -> Text {
    let fresh = view.store.fresh(view.now);
    let mut text = Text::new();
    let hidden = view.app.ui.dialog.as_ref().filter(|d| d.hidden);
    if let Some((dialog, Stage::Running { since })) = hidden.map(|d| (d, &d.stage)) {
        let ran = view.now.saturating_duration_since(*since).as_secs();
        text.push(
            format!(" {} RUNS {ran} s ", dialog.subject.word()),
            Role::Alarm,
        );
        text.push("  ", Role::Text);
    }
    match &view.store.status {
        Some(status) if view.store.revoker.is_live() => {
            let devices = status.value.devices.len();
            let keys = if devices == 1 { "key" } else { "keys" };
            match status.value.armed {
                true => text.push(format!("ARMED {devices} {keys}"), Role::Armed),
                false => text.push(
                    format!("NOT ARMED: {devices} {keys} enrolled"),
                    Role::Danger,
                ),
            }
        }
        _ => text.push("NOT ARMED: no revoker", Role::Danger),
    }
    if let Some(at_ms) = killed(view) {
        text.push(
            format!("   KILLED {}Z", fmt::clock_short(at_ms)),
            Role::Danger,
        );
    } else if let Some(account) = view.store.account.as_ref().filter(|_| fresh.is_usable()) {
        let (word, role) = match account.auto_revoke.as_str() {
            "on" => ("on", Role::Ok),
            "page_first" => ("page first", Role::Warn),
            _ => ("off", Role::Warn),
        };
        text.push("   auto-kill ", Role::Muted);
        text.push(word, role);
    }
    text.push("  ", Role::Text);
    match fresh {
        Fresh::Stale { age_ms } => text.push(format!(" DATA {} OLD ", words(age_ms)), Role::Alarm),
        Fresh::Never => text.push(" NO DATA ", Role::Alarm),
        _ => {
            let time = view.store.sent_ms.map(fmt::clock).unwrap_or_default();
            match view.app.ui.frozen {
                Some(_) => text.push("FROZEN", Role::Warn),
                None => text.push(format!("{time}Z"), Role::Text),
            }
        }
    }
    text
}

/// When the keys were killed, while no key that can trade or move money is listed since.
fn killed(view: &View<'_>) -> Option<i64> {
    let status = &view.store.status.as_ref()?.value;
    let kill = status
        .runs
        .iter()
        .rev()
        .find(|r| r.action == "kill" && r.outcome.is_some())?;
    let keys = &view.store.keys.as_ref()?.value.keys;
    let revocable = |k: &&fusebox_wire::operator::RegisteredKey| {
        k.role.is_some_and(fusebox_domain::KeyRole::is_revocable)
    };
    let gone = keys.iter().filter(revocable).all(|k| k.observed.is_none());
    gone.then_some(kill.started_ms)
}

/// An age of at least seconds, in words.
fn words(age_ms: u64) -> String {
    match age_ms {
        ..9_950 => format!("{} s", age_ms / 1000),
        _ => fmt::age(age_ms),
    }
}

/// How much of the equity line is said.
#[derive(Clone, Copy)]
struct Detail {
    gap: &'static str,
    rate: bool,
    next: bool,
    percent: bool,
}

/// The equity line as full as `width` allows; equity and day are always there.
fn equity(view: &View<'_>, width: usize) -> Text {
    let detail = |gap, rate, next, percent| Detail {
        gap,
        rate,
        next,
        percent,
    };
    let variants = [
        detail("   ", true, true, true),
        detail("  ", true, true, true),
        detail("  ", true, true, false),
        detail("  ", false, true, true),
        detail("  ", false, true, false),
        detail("  ", true, false, false),
    ];
    let texts = variants
        .into_iter()
        .map(|variant| equity_text(view, variant));
    let mut fitting = texts.filter(|text| text.width() <= width);
    fitting
        .next()
        .unwrap_or_else(|| equity_text(view, detail("  ", false, false, false)))
}

fn equity_text(view: &View<'_>, detail: Detail) -> Text {
    let gap = detail.gap;
    let fresh = view.store.equity_fresh(view.now);
    let usable = fresh.is_usable() && view.store.voice(view.now).is_usable();
    let mut text = Text::new().add(" Equity  ", Role::Muted);
    let Some(amount) = view.store.equity_usdt() else {
        return match &view.store.feed {
            crate::store::Link::Down { error, .. } => text
                .add("unknown: ", Role::Warn)
                .add(error.clone(), Role::Muted),
            _ => text.add(
                "unknown: waiting for the breaker's first picture",
                Role::Muted,
            ),
        };
    };
    let tilde = if usable { "" } else { "~" };
    let strong = if usable { Role::Strong } else { Role::Stale };
    text.push(format!("{tilde}{} USDT", fmt::money(amount)), strong);
    if let Some(day) = rung(view, "day").and_then(|r| r.change_bp) {
        let role = match day.signum() {
            -1 => Role::Loss,
            1 => Role::Gain,
            _ => Role::Text,
        };
        text.push(format!("{gap}day "), Role::Muted);
        text.push(
            format!("{tilde}{}", fmt::percent(day)),
            if usable { role } else { Role::Stale },
        );
    }
    let per_hour = view
        .store
        .equity
        .as_ref()
        .and_then(|e| e.value.per_hour_usdt);
    if let Some(rate) = per_hour.filter(|rate| usable && detail.rate && !rate.is_zero()) {
        let role = if rate.is_sign_negative() {
            Role::Loss
        } else {
            Role::Gain
        };
        text.push(format!("{gap}{}/h", fmt::compact(rate)), role);
    }
    if detail.next {
        text.0.extend(next(view, gap, detail.percent).0);
    }
    text
}

/// The nearest rung that has not tripped.
fn next(view: &View<'_>, gap: &str, with_percent: bool) -> Text {
    let rungs = || view.store.ladder.iter().flat_map(|l| &l.value.rungs);
    let unknown = rungs().any(|r| r.state == RungState::Unknown);
    if unknown || !view.store.ladder_fresh(view.now).is_usable() {
        return Text::new().add(format!("{gap}ladder UNKNOWN"), Role::Warn);
    }
    let open = rungs().filter(|r| r.state == RungState::Clear && r.room_usdt.is_some());
    let Some(nearest) = open.min_by_key(|r| r.room_usdt) else {
        return match rungs().any(|r| r.state == RungState::Latched) {
            true => Text::new().add(format!("{gap}no rung left"), Role::Danger),
            false => Text::new(),
        };
    };
    let room = nearest.room_usdt.map(fmt::money).unwrap_or_default();
    let percent = nearest
        .room_bp
        .filter(|_| with_percent)
        .map(|bp| format!(" ({})", short(bp)))
        .unwrap_or_default();
    let role = match nearest.room_bp {
        Some(..100) => Role::Danger,
        Some(..300) => Role::Warn,
        _ => Role::Text,
    };
    Text::new()
        .add(format!("{gap}next: "), Role::Muted)
        .add(nearest.rung.clone(), Role::Strong)
        .add(" in ", Role::Muted)
        .add(format!("{room}{percent}"), role)
}

/// `1.8 %`.
fn short(bp: i64) -> String {
    format!("{}.{} %", bp / 100, bp % 100 / 10)
}

fn freshness(canvas: &Canvas<'_>, view: &View<'_>) -> Text {
    let fresh = view.store.fresh(view.now);
    let age = age_of(fresh)
        .map(fmt::age)
        .unwrap_or_else(|| "never".to_owned());
    let role = match fresh {
        Fresh::Live { .. } => Role::Ok,
        Fresh::Aging { .. } => Role::Warn,
        Fresh::Stale { .. } | Fresh::Never => Role::Danger,
    };
    Text::new().add(format!("{}{age}", canvas.theme.glyph(role)), role)
}

fn rung<'a>(view: &View<'a>, basis: &str) -> Option<&'a Rung> {
    view.store
        .ladder
        .as_ref()?
        .value
        .rungs
        .iter()
        .find(|r| r.basis == basis)
}

/// The bottom line: a begun chord, a message, or the keys of this place.
pub(super) fn foot(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    let ui = &view.app.ui;
    let mode = match (&ui.dialog, &ui.editor) {
        (Some(dialog), _) if !dialog.hidden => Mode::Dialog,
        (_, Some(_)) => Mode::Editor,
        _ => Mode::Normal,
    };
    let mut text = Text::new().add(" ", Role::Text);
    if !ui.pending.is_empty() {
        text.push(crate::keymap::show_chord(&ui.pending), Role::Key);
        text.push(" …", Role::Muted);
        for (key, action) in view.app.keymap.continuations(mode, &ui.pending) {
            text = hint(text, &key, action.spec().map_or("", |spec| spec.short));
        }
        text = hint(text, "Esc", "nothing");
    } else if let Some((message, role, _)) = &ui.toast {
        text.push(message.clone(), *role);
    } else {
        let wanted: &[Action] = match mode {
            Mode::Normal if ui.opened => &[
                Action::Back,
                Action::Copy,
                Action::Up,
                Action::Down,
                Action::Kill,
                Action::Help,
            ],
            Mode::Normal => &[
                Action::Kill,
                Action::Rotate,
                Action::Thesis,
                Action::NextPane,
                Action::Filter,
                Action::Palette,
                Action::Help,
                Action::Zoom,
                Action::Acknowledge,
                Action::Copy,
                Action::Freeze,
                Action::Theme,
                Action::Quit,
            ],
            Mode::Editor => &[
                Action::Send,
                Action::CloseEditor,
                Action::SwitchKind,
                Action::External,
                Action::Discard,
            ],
            Mode::Dialog => &[],
        };
        for action in wanted {
            let key = view.app.keymap.key_of(*action).unwrap_or_default();
            let word = action.spec().map_or("", |spec| spec.short);
            let longer = hint(text.clone(), &key, word);
            if longer.width() > usize::from(area.width) {
                break;
            }
            text = longer;
        }
    }
    canvas.row(area, area.y, &text.into());
}

/// `^K k kill`, after what stands there already.
fn hint(text: Text, key: &str, word: &str) -> Text {
    let gap = if text.width() > 1 { "   " } else { "" };
    text.add(gap, Role::Bar)
        .add(key, Role::Key)
        .add(format!(" {word}"), Role::Bar)
}

/// Down to 20×4: equity and day, nearest rung, freshness, the chord. Figures before words.
pub(super) fn tiny(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    let narrow = area.width < 36;
    let mut lines = Vec::new();
    if area.height > 6 {
        lines.push(identity(view));
        let mut standing = standing(view);
        standing.0.insert(
            0,
            super::paint::Bit {
                text: " ".to_owned(),
                role: Role::Text,
            },
        );
        lines.push(standing);
    }
    // The rung has a line of its own.
    let mut money = equity(view, usize::from(area.width).min(44));
    let mut nearest = next(view, " ", true);
    if narrow {
        money.0.retain(|bit| bit.role != Role::Muted);
        nearest.0.retain(|bit| !bit.text.contains("next"));
        for bit in money.0.iter_mut().chain(&mut nearest.0) {
            bit.text = format!(" {}", bit.text.replace(" USDT", "").trim());
        }
    }
    lines.push(money);
    lines.push(match nearest.is_empty() {
        true => Text::new().add(" ladder not known", Role::Muted),
        false => nearest,
    });
    lines.push(match view.store.fresh(view.now) {
        Fresh::Stale { age_ms } => {
            Text::new().add(format!(" DATA {} OLD", words(age_ms)), Role::Danger)
        }
        Fresh::Never => Text::new().add(" NO DATA", Role::Danger),
        fresh => Text::new().add(
            format!(" data {}", age_of(fresh).map(fmt::age).unwrap_or_default()),
            Role::Ok,
        ),
    });
    lines.push(tiny_keys(view));
    for (n, line) in lines.into_iter().enumerate() {
        let y = area.y + u16::try_from(n).unwrap_or(0);
        canvas.row(area, y, &line.into());
    }
}

fn tiny_keys(view: &View<'_>) -> Text {
    if view.app.ui.dialog.as_ref().is_some_and(|d| !d.hidden) {
        return Text::new().add(" enlarge to 40×8 to see the dialog", Role::Alarm);
    }
    if !view.app.ui.pending.is_empty() {
        let begun = crate::keymap::show_chord(&view.app.ui.pending);
        return Text::new().add(format!(" {begun} …"), Role::Key);
    }
    let chord = view.app.keymap.key_of(Action::Kill).unwrap_or_default();
    hint(Text::new().add(" ", Role::Text), &chord, "kill")
}

/// Below 20×4.
pub(super) fn too_small(canvas: &mut Canvas<'_>, area: Rect) {
    let text = format!("need 20×4, have {}×{}", area.width, area.height);
    for (n, line) in wrap(&text, usize::from(area.width)).iter().enumerate() {
        let y = area.y.saturating_add(u16::try_from(n).unwrap_or(u16::MAX));
        canvas.row(area, y, &Text::new().add(line.clone(), Role::Text).into());
    }
}
