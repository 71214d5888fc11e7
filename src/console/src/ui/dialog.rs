//! The kill, rotate and resume dialog. One box; what is in it changes by step.

use super::View;
use super::help::centred;
use super::paint::{Canvas, Row, Text, left, wrap};
use super::report::{done_rows, run_rows};
use crate::action::Action;
use crate::dialog::{Dialog, Stage, Subject};
use crate::theme::Role;
use fusebox_wire::operator::Plan;
use ratatui::layout::{Position, Rect};

/// What the dialog shows: lines that scroll, lines that stay below them, the keys.
struct Content {
    rows: Vec<Row>,
    pinned: Vec<Row>,
    /// Which of the pinned lines is the reason field.
    field: Option<usize>,
    keys: Text,
}

pub(super) fn dialog(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) -> Option<Position> {
    let dialog = view.app.ui.dialog.as_ref()?;
    let width = area.width.min(if area.width >= 120 { 96 } else { 80 });
    let inside = usize::from(width.saturating_sub(4));
    let content = content(canvas, view, dialog, inside);
    let lines = content.rows.len() + content.pinned.len();
    let wanted = u16::try_from(lines).unwrap_or(u16::MAX).saturating_add(4);
    // Its top line stays where it is while the steps change.
    let top = area.y + if area.height > 36 { 4 } else { 0 };
    let room = area.bottom().saturating_sub(top);
    let area = Rect {
        y: top,
        ..centred(area, width, wanted.min(room))
    };
    let (title, notes) = caption(view, dialog);
    let role = if dialog.subject == Subject::Kill {
        Role::Danger
    } else {
        Role::Accent
    };
    let inner = canvas.frame(area, &title, &notes, role);
    if inner.is_empty() {
        return None;
    }
    let keys = Rect {
        y: inner.bottom() - 1,
        height: 1,
        ..inner
    };
    let below = u16::try_from(content.pinned.len())
        .unwrap_or(0)
        .min(inner.height - 1);
    let body = Rect {
        height: inner.height - 1 - below,
        ..inner
    };
    let height = usize::from(body.height);
    let most = content.rows.len().saturating_sub(height);
    let follow = dialog.is_running() && !dialog.held;
    let from = if follow {
        most
    } else {
        dialog.scroll.min(most)
    };
    for (n, row) in content.rows.iter().skip(from).take(height).enumerate() {
        canvas.row(body, body.y + u16::try_from(n).unwrap_or(0), row);
    }
    for (n, row) in content.pinned.iter().take(usize::from(below)).enumerate() {
        canvas.row(inner, body.bottom() + u16::try_from(n).unwrap_or(0), row);
    }
    let mut foot = Row::from(content.keys);
    if most > 0 {
        foot.right = Text::new().add(
            format!("↑↓ {}/{}", from + height, content.rows.len()),
            Role::Muted,
        );
    }
    canvas.row(keys, keys.y, &foot);
    let line = content.field.filter(|line| *line < usize::from(below))?;
    let (_, at) = dialog.reason.window(inside.saturating_sub(FIELD + 2));
    let x = inner.x + u16::try_from(FIELD + 1 + at).unwrap_or(0);
    let y = body.bottom() + u16::try_from(line).unwrap_or(0);
    (x < inner.right()).then(|| Position::new(x, y))
}

/// Cells before the reason field.
const FIELD: usize = 9;

fn caption(view: &View<'_>, dialog: &Dialog) -> (Text, Text) {
    let who = dialog
        .account
        .as_ref()
        .map_or("all accounts", |a| a.as_str());
    let role = if dialog.subject == Subject::Kill {
        Role::Alarm
    } else {
        Role::Focus
    };
    let title = Text::new().add(format!(" {} {who} ", dialog.subject.word()), role);
    let place = match (&view.store.account, &dialog.plan) {
        (Some(account), _) => format!(" {} {} ", account.venue, account.environment),
        (None, Some(plan)) => format!(" {} ", plan.environment),
        _ => String::new(),
    };
    let esc = match dialog.stage {
        Stage::Running { .. } => " esc leaves it running ",
        Stage::Touch { .. } => " esc cancel ",
        Stage::Done | Stage::Failed { .. } => " esc close ",
        _ => " esc back ",
    };
    (
        title,
        Text::new().add(place, Role::Muted).add(esc, Role::Key),
    )
}

fn content(canvas: &Canvas<'_>, view: &View<'_>, dialog: &Dialog, width: usize) -> Content {
    let mut rows: Vec<Row> = Vec::new();
    let mut pinned: Vec<Row> = Vec::new();
    let mut field = None;
    let mut keys = Text::new();
    let key = |action: Action| view.app.keymap.key_of(action).unwrap_or_default();
    match &dialog.stage {
        Stage::Choose => {
            rows.push(
                Text::new()
                    .add(choose_title(dialog.subject), Role::Text)
                    .into(),
            );
            rows.push(Row::default());
            for (n, choice) in dialog.choices.iter().enumerate() {
                let tick = if choice.picked { "[x] " } else { "[ ] " };
                let mut row = Row::from(
                    Text::new()
                        .add(format!(" {tick}"), Role::Key)
                        .add(choice.text.clone(), Role::Text),
                );
                row.selected = n == dialog.cursor;
                rows.push(row);
            }
            if dialog.choices.is_empty() {
                rows.push(Text::new().add("nothing to choose from", Role::Warn).into());
            }
            keys = keys
                .add(key(Action::Confirm), Role::Key)
                .add(" shows the plan   ", Role::Text)
                .add(key(Action::Pick), Role::Key)
                .add(" picks", Role::Text);
        }
        Stage::Asking(what) => {
            if let Some(plan) = &dialog.plan {
                plan_rows(&mut rows, view, dialog, plan, width);
                rows.push(Row::default());
            }
            rows.push(
                Text::new()
                    .add(format!("asking the revoker for the {what} …"), Role::Warn)
                    .into(),
            );
        }
        Stage::Plan => {
            if let Some(plan) = &dialog.plan {
                plan_rows(&mut rows, view, dialog, plan, width);
                pinned.push(Row::default());
                pinned.extend(plan_words(
                    plan,
                    if dialog.is_current() {
                        Words::Shown
                    } else {
                        Words::Following
                    },
                ));
            }
            field = Some(pinned.len());
            pinned.push(reason(dialog, width));
            keys = keys
                .add(key(Action::Confirm), Role::Key)
                .add(": ask for the touch", Role::Strong);
            if dialog.subject == Subject::Kill {
                let (flatten, total) = (on(dialog.flatten), on(dialog.total));
                keys = keys
                    .add(format!("   {}", key(Action::Flatten)), Role::Key)
                    .add(format!(" close positions first{flatten}"), Role::Text)
                    .add(format!("   {}", key(Action::Total)), Role::Key)
                    .add(format!(" total{total}"), Role::Text);
            }
        }
        Stage::Touch { demo, signing, .. } => {
            if let Some(plan) = &dialog.plan {
                rows.push(Text::new().add(purpose(dialog), Role::Text).into());
                rows.push(Row::default());
                rows.extend(plan_words(plan, Words::Told));
            }
            rows.push(Row::default());
            keys = touch_rows(&mut rows, view, dialog, *demo, *signing);
        }
        Stage::Running { since } => {
            run_rows(canvas, &mut rows, dialog, width);
            let ran = view.now.saturating_duration_since(*since).as_secs();
            keys = keys
                .add(
                    format!("running {ran} s, {} steps open", dialog.open_steps()),
                    Role::Warn,
                )
                .add("   the run goes on without this console", Role::Muted);
        }
        Stage::Done => {
            done_rows(canvas, &mut rows, dialog, width);
            keys = keys
                .add(key(Action::ShowEntry), Role::Key)
                .add(" journal   ", Role::Text)
                .add(key(Action::CopyProof), Role::Key)
                .add(" copy the signed report", Role::Text);
        }
        Stage::Failed { message, next } => {
            run_rows(canvas, &mut rows, dialog, width);
            for line in wrap(message, width) {
                rows.push(Text::new().add(line, Role::Danger).into());
            }
            rows.push(Row::default());
            for line in wrap(next, width) {
                rows.push(Text::new().add(line, Role::Text).into());
            }
        }
    }
    Content {
        rows,
        pinned,
        field,
        keys,
    }
}

fn on(flag: bool) -> &'static str {
    if flag { " ON" } else { "" }
}

fn choose_title(subject: Subject) -> &'static str {
    match subject {
        Subject::Kill => "Which account?",
        Subject::Rotate => "Which keys get a successor? The old one dies when the new one works.",
        Subject::Resume => "Which rung is released? It stays latched if it would trip at once.",
    }
}

fn purpose(dialog: &Dialog) -> &'static str {
    match (dialog.subject, dialog.total) {
        (Subject::Kill, false) => {
            "Revokes what can trade or move money; keeps protective stops and read keys"
        }
        (Subject::Kill, true) => {
            "TOTAL: revokes every key, at last the read keys too; nothing can look after it"
        }
        (Subject::Rotate, _) => {
            "Makes the new key, proves it, stores it, restarts the bot, kills the old key"
        }
        (Subject::Resume, _) => {
            "Signs a certificate for this rung; the breaker still tests before it releases"
        }
    }
}

fn plan_rows(rows: &mut Vec<Row>, view: &View<'_>, dialog: &Dialog, plan: &Plan, width: usize) {
    let role = if dialog.total {
        Role::Danger
    } else {
        Role::Text
    };
    rows.push(Text::new().add(purpose(dialog), role).into());
    rows.push(Row::default());
    let keys: Vec<String> = plan
        .keys
        .iter()
        .filter(|k| k.effect != "keep")
        .map(|k| {
            // No-break spaces keep a key's name, tail and role together.
            let tail = k.short.trim_start_matches('·');
            format!("{}\u{a0}···{tail}\u{a0}({})", k.name, k.role.as_str())
        })
        .collect();
    let kept: Vec<String> = plan
        .keys
        .iter()
        .filter(|k| k.effect == "keep")
        .map(|k| k.name.to_string())
        .collect();
    let mut keys_lines = if keys.is_empty() {
        Vec::new()
    } else {
        vec![keys.join("  ")]
    };
    if !kept.is_empty() {
        keys_lines.push(format!("kept: {}", kept.join(", ")));
    }
    for (name, lines, role) in [
        ("keys", &keys_lines, Role::Strong),
        ("orders", &plan.orders, Role::Text),
        ("bot", &plan.workload, Role::Text),
        ("secrets", &grouped(&plan.secrets), Role::Text),
        ("leaves", &plan.leaves, Role::Warn),
    ] {
        paragraph(rows, name, lines, role, width);
    }
    if !view.store.positions_fresh(view.now).is_usable() {
        paragraph(
            rows,
            "",
            &["the positions on screen are NOT live".to_owned()],
            Role::Danger,
            width,
        );
    }
}

/// `name   text`, wrapped under itself.
pub(super) fn paragraph(
    rows: &mut Vec<Row>,
    name: &str,
    lines: &[String],
    role: Role,
    width: usize,
) {
    let mut head = name;
    for line in lines {
        for part in wrap(line, width.saturating_sub(FIELD)) {
            rows.push(
                Text::new()
                    .add(left(head, FIELD), Role::Muted)
                    .add(part, role)
                    .into(),
            );
            head = "";
        }
    }
}

/// How far the plan's six words are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    /// A reason was typed that this plan does not have yet.
    Following,
    Shown,
    /// The challenge is out: the revoker has told them on its own ways.
    Told,
}

/// The six words, and where else they are.
fn plan_words(plan: &Plan, state: Words) -> [Row; 2] {
    let (words, role) = match state {
        Words::Following => ("… the reason is part of the plan".to_owned(), Role::Muted),
        Words::Shown | Words::Told => (plan.words.join(" · "), Role::Strong),
    };
    let note = match state {
        Words::Following => "its six words follow",
        Words::Shown => "the revoker logs and sends the same six words when the touch is asked for",
        Words::Told => "the same six words are in the revoker's log and in Telegram",
    };
    let words = Text::new().add(words, role);
    let mut first = Text::new().add(left("plan", FIELD), Role::Muted);
    first.0.extend(words.0);
    [
        first.into(),
        Text::new()
            .add(left("", FIELD), Role::Muted)
            .add(note, Role::Muted)
            .into(),
    ]
}

/// Lines "A: what" and "B: what" as one "A, B: what".
fn grouped(lines: &[String]) -> Vec<String> {
    let mut groups: Vec<(String, &str)> = Vec::new();
    for line in lines {
        let (who, what) = line.split_once(": ").unwrap_or((line, ""));
        match groups
            .iter_mut()
            .find(|(_, known)| *known == what && !what.is_empty())
        {
            Some((all, _)) => {
                // "Vault kv/a, kv/b", not "Vault kv/a, Vault kv/b".
                let kind = who.split(' ').next().unwrap_or_default();
                let same = all.split(' ').next() == Some(kind) && who.contains(' ');
                let name = if same {
                    who.get(kind.len() + 1..).unwrap_or(who)
                } else {
                    who
                };
                all.push_str(", ");
                all.push_str(name);
            }
            None => groups.push((who.to_owned(), what)),
        }
    }
    let joined = |(who, what): (String, &str)| match what {
        "" => who,
        what => format!("{who}: {what}"),
    };
    groups.into_iter().map(joined).collect()
}

fn reason(dialog: &Dialog, width: usize) -> Row {
    let room = width.saturating_sub(FIELD + 2);
    let (shown, _) = dialog.reason.window(room);
    Text::new()
        .add(left("reason", FIELD), Role::Muted)
        .add("[", Role::Muted)
        .add(left(&shown, room), Role::Input)
        .add("]", Role::Muted)
        .into()
}

fn touch_rows(
    rows: &mut Vec<Row>,
    view: &View<'_>,
    dialog: &Dialog,
    demo: bool,
    signing: bool,
) -> Text {
    let left_ms = dialog.left_ms(view.now).unwrap_or(0);
    let count = Text::new().add(
        format!(" {} s ", left_ms.div_ceil(1000)),
        if left_ms < 15_000 {
            Role::Danger
        } else {
            Role::Strong
        },
    );
    let needs_pin = dialog.plan.as_ref().is_some_and(|p| p.needs_pin);
    if left_ms == 0 {
        rows.push(
            Text::new()
                .add(
                    "The challenge is over; nothing was approved. Esc, then ask again.",
                    Role::Danger,
                )
                .into(),
        );
        return Text::new();
    }
    if demo {
        let key = view.app.keymap.key_of(Action::Touch).unwrap_or_default();
        let prompt = match signing {
            false => Text::new()
                .add(" DEMO ", Role::Alarm)
                .add("  press ", Role::Strong)
                .add(key, Role::Key)
                .add(" to touch the demo key", Role::Strong),
            true => Text::new()
                .add(" DEMO ", Role::Alarm)
                .add("  touched: the software key is signing", Role::Strong),
        };
        rows.push(Row {
            left: prompt,
            right: count,
            selected: false,
        });
        rows.push(Row::default());
        for line in [
            "A software key on this machine stands in for the YubiKey in your laptop.",
            "It is enrolled like any other, and refused by every revoker outside the demo.",
        ] {
            rows.push(Text::new().add(line, Role::Muted).into());
        }
        return Text::new();
    }
    let prompt = if needs_pin {
        " TOUCH THE KEY IN YOUR LAPTOP, AND ITS PIN "
    } else {
        " TOUCH THE KEY IN YOUR LAPTOP "
    };
    let role = if dialog.subject == Subject::Kill {
        Role::Alarm
    } else {
        Role::Focus
    };
    rows.push(Row {
        left: Text::new()
            .add(prompt, role)
            .add("  it blinks; the agent shows no prompt", Role::Text),
        right: count,
        selected: false,
    });
    let devices: Vec<&str> = dialog
        .challenge
        .iter()
        .flat_map(|c| &c.credentials)
        .map(|c| c.label.as_str())
        .collect();
    rows.push(Row::default());
    let names = fusebox_domain::clean_line(&devices.join(", "), 200);
    rows.push(
        Text::new()
            .add(format!("accepted: {names}"), Role::Muted)
            .into(),
    );
    Text::new()
}
