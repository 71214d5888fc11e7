//! Steps, proofs and what is left: the dialog's running and final lines.

use super::dialog::paragraph;
use super::paint::{Canvas, Row, Text, left, wrap};
use crate::dialog::Dialog;
use crate::fmt;
use crate::theme::Role;
use fusebox_wire::operator::{KeyProof, Outcome, Step, StepState, Verdict};

/// Newest information last, one line a step; keys have their own lines with verdict and proofs.
pub(super) fn run_rows(canvas: &Canvas<'_>, rows: &mut Vec<Row>, dialog: &Dialog, width: usize) {
    for step in &dialog.steps {
        // A key's own line says more than the steps that made it.
        rows.push(step_row(canvas, step));
    }
    if !dialog.keys.is_empty() {
        rows.push(Row::default());
        for key in &dialog.keys {
            rows.push(key_row(canvas, key, width, dialog.is_running()));
        }
    }
    if !rows.is_empty() {
        rows.push(Row::default());
    }
}

fn step_row(canvas: &Canvas<'_>, step: &Step) -> Row {
    let (mark, role) = match step.state {
        StepState::Done => ("✓ ".to_owned(), Role::Ok),
        StepState::Pending => ("· ".to_owned(), Role::Muted),
        StepState::Sent => ("… ".to_owned(), Role::Warn),
        StepState::Refused => (canvas.mark(Role::Danger), Role::Danger),
        StepState::Unknown => ("? ".to_owned(), Role::Danger),
        StepState::Skipped => ("– ".to_owned(), Role::Muted),
    };
    let time = step.ended_ms.map(fmt::seconds).unwrap_or_default();
    let words = match step.state {
        StepState::Unknown => format!("UNKNOWN  {}", step.detail),
        StepState::Refused => format!("REFUSED  {}", step.detail),
        _ => step.detail.clone(),
    };
    let name = fusebox_domain::clean_line(&step.step, 40);
    Row {
        left: Text::new()
            .add(mark, role)
            .add(left(&name, 24), Role::Text)
            .add(words, if role == Role::Ok { Role::Muted } else { role }),
        right: Text::new().add(time, Role::Muted),
        selected: false,
    }
}

fn key_row(canvas: &Canvas<'_>, key: &KeyProof, width: usize, running: bool) -> Row {
    let (mark, word, role) = match key.verdict {
        Verdict::Dead => ("✓ ".to_owned(), "DEAD", Role::Ok),
        // While the run goes on, a key that is not dead yet is no finding.
        Verdict::Alive if running => ("… ".to_owned(), "alive", Role::Muted),
        Verdict::Unknown if running => ("… ".to_owned(), "proving", Role::Warn),
        Verdict::Alive => (canvas.mark(Role::Danger), "ALIVE", Role::Alarm),
        Verdict::Unknown => ("? ".to_owned(), "UNKNOWN", Role::Danger),
        Verdict::Kept => ("– ".to_owned(), "kept", Role::Muted),
    };
    let short = key.short.trim_start_matches('·');
    let short = if short.is_empty() {
        String::new()
    } else {
        format!("···{short}")
    };
    let words = |proof: &String| match proof.as_str() {
        "absent" => "absent from list".to_owned(),
        "refused" => "login refused".to_owned(),
        other => fusebox_domain::clean_line(other, 40),
    };
    let proofs: Vec<String> = key.proofs.iter().map(words).collect();
    let proof = match key.verdict {
        Verdict::Dead => proofs.join(", "),
        _ if key.detail.is_empty() => proofs.join(", "),
        _ => key.detail.clone(),
    };
    let name_width = if width >= 70 { 15 } else { 12 };
    Row {
        left: Text::new()
            .add(mark, role)
            .add(left(key.name.as_str(), name_width), Role::Strong)
            .add(left(&short, 9), Role::Muted)
            .add(word, role)
            .add(" ".repeat(9usize.saturating_sub(word.len())), Role::Text)
            .add(proof, Role::Muted),
        right: Text::new().add(
            key.proven_ms.map(fmt::seconds).unwrap_or_default(),
            Role::Muted,
        ),
        selected: false,
    }
}

pub(super) fn done_rows(canvas: &Canvas<'_>, rows: &mut Vec<Row>, dialog: &Dialog, width: usize) {
    let Some(finished) = &dialog.finished else {
        return;
    };
    let report = &finished.report;
    let (word, role) = match report.outcome {
        Outcome::Done => ("DONE", Role::Ok),
        Outcome::Partial => ("PARTIAL", Role::Danger),
        Outcome::Unknown => ("UNKNOWN", Role::Danger),
        Outcome::Refused => ("REFUSED", Role::Danger),
    };
    let mut head = Text::new().add(format!("{word}  "), role);
    if let Some(ms) = report.touch_to_dead_ms {
        head.push(
            format!("touch → every trade and move key dead {}", fmt::seconds(ms)),
            Role::Strong,
        );
    }
    rows.push(Row {
        left: head,
        right: Text::new().add(fusebox_domain::clean_line(&report.id, 40), Role::Muted),
        selected: false,
    });
    match &finished.untrusted {
        Some(why) => {
            for line in wrap(&format!("UNTRUSTED: {why}"), width) {
                rows.push(Text::new().add(line, Role::Alarm).into());
            }
        }
        None => rows.push(
            Text::new()
                .add("signed by the pinned revoker key", Role::Muted)
                .into(),
        ),
    }
    if let Some(released) = &finished.released {
        for line in wrap(&format!("breaker: {}", released.detail), width) {
            rows.push(Text::new().add(line, Role::Text).into());
        }
    }
    rows.push(Row::default());
    for key in &report.keys {
        rows.push(key_row(canvas, key, width, dialog.is_running()));
    }
    rows.push(Row::default());
    residual_rows(rows, dialog, width);
    rows.push(Row::default());
    for step in &report.steps {
        rows.push(step_row(canvas, step));
    }
}

fn residual_rows(rows: &mut Vec<Row>, dialog: &Dialog, width: usize) {
    let Some(finished) = &dialog.finished else {
        return;
    };
    if finished.report.action != "kill" {
        return; // only a kill leaves something unmanaged
    }
    let residual = &finished.report.residual;
    let equity = residual
        .equity_usdt
        .map(|e| format!("   equity {} USDT", fmt::money(e)))
        .unwrap_or_default();
    let head = format!(
        "entries resting {}   stops kept {}{equity}   {}",
        residual.resting_entries, residual.stops_kept, residual.seen
    );
    paragraph(
        rows,
        "left",
        &[fusebox_domain::clean_line(&head, 300)],
        Role::Text,
        width,
    );
    for p in &residual.positions {
        let stop = match (p.stop_price, p.at_risk_usdt) {
            (Some(stop), Some(risk)) => {
                format!("stop {} risks {} USDT", fmt::price(stop), fmt::money(risk))
            }
            (Some(stop), None) => format!("stop {}", fmt::price(stop)),
            (None, _) => "NO STOP".to_owned(),
        };
        let liquidation = p
            .liquidation_bp
            .map(|bp| format!(", liquidation {} away", fmt::percent_short(bp.abs())))
            .unwrap_or_default();
        let line = format!(
            "{} {} {}   {stop}{liquidation}",
            p.symbol,
            p.side,
            fmt::size(p.size)
        );
        let role = if p.stop_price.is_none() {
            Role::Danger
        } else {
            Role::Text
        };
        paragraph(
            rows,
            "",
            &[fusebox_domain::clean_line(&line, 300)],
            role,
            width,
        );
    }
    let notes: Vec<String> = residual
        .notes
        .iter()
        .map(|n| fusebox_domain::clean_line(n, 300))
        .collect();
    paragraph(rows, "", &notes, Role::Muted, width);
}
