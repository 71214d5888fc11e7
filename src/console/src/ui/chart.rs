//! Equity over time, with the rungs as lines and the automatic actions on the time axis.
//!
//! Figures become floats here and only here, to find a dot's place; nothing is decided by them.

use super::View;
use super::paint::{Canvas, Text, fit, right};
use crate::app::Pane;
use crate::fmt;
use crate::theme::Role;
use fusebox_domain::Decimal;
use fusebox_wire::feed::{Point, RungState};
use ratatui::layout::Rect;

/// Cells of the scale at the right.
const SCALE: u16 = 13;
/// Dots of a braille cell, by column and row.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

pub(super) fn chart(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, corner: &str) {
    let focused = view.focused(Pane::Chart);
    canvas.edge(area, focused);
    let points = &view.store.history;
    let span = match (points.front(), points.back()) {
        (Some(first), Some(last)) => fmt::lived(u64::try_from(last.t_ms - first.t_ms).unwrap_or(0)),
        _ => String::new(),
    };
    let usable = view.store.equity_fresh(view.now).is_usable();
    let notes = match usable {
        true => Text::new().add(format!("USDT, last {span}"), Role::Muted),
        false => Text::new().add("not live", Role::Danger),
    };
    canvas.rule(
        area,
        corner,
        &Text::new().add("Equity", Role::Strong),
        &notes,
        focused,
    );
    let inner = canvas.inside(area);
    let plot = Rect::new(
        inner.x,
        inner.y,
        inner.width.saturating_sub(SCALE),
        inner.height.saturating_sub(1),
    );
    let values: Vec<f64> = points
        .iter()
        .filter_map(|p| number(p.equity_usdt?))
        .collect();
    if plot.width < 8 || plot.height < 2 || values.len() < 2 {
        return canvas.row(
            inner,
            inner.y,
            &Text::new().add("no history yet", Role::Muted).into(),
        );
    }
    let axes = Axes::new(view, plot, &values);
    rungs(canvas, view, &axes, inner);
    line(canvas, points, &axes, usable);
    marks(canvas, view, points, &axes, inner);
}

fn number(value: Decimal) -> Option<f64> {
    value.to_string().parse().ok()
}

/// Where a value and a time are in the plot.
struct Axes {
    plot: Rect,
    low: f64,
    high: f64,
    from_ms: i64,
    to_ms: i64,
}

impl Axes {
    fn new(view: &View<'_>, plot: Rect, values: &[f64]) -> Self {
        let mut low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let mut high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // The nearest rung below belongs into the picture: where does it stop?
        let rungs = view.store.ladder.iter().flat_map(|l| &l.value.rungs);
        let levels = rungs.filter_map(|r| number(r.trips_at_usdt?));
        if let Some(nearest) = levels.filter(|level| *level < low).reduce(f64::max) {
            low = low.min(nearest);
        }
        let margin = ((high - low) * 0.06).max(high.abs() * 0.0005).max(0.01);
        low -= margin;
        high += margin;
        let points = &view.store.history;
        let from_ms = points.front().map_or(0, |p| p.t_ms);
        let to_ms = points.back().map_or(1, |p| p.t_ms).max(from_ms + 1);
        Self {
            plot,
            low,
            high,
            from_ms,
            to_ms,
        }
    }

    /// Dot row from the top; four a cell.
    fn dot_y(&self, value: f64) -> Option<usize> {
        let dots = f64::from(self.plot.height) * 4.0 - 1.0;
        let share = (self.high - value) / (self.high - self.low);
        (0.0..=1.0).contains(&share).then(|| to_usize(share * dots))
    }

    /// Dot column; two a cell.
    fn dot_x(&self, t_ms: i64) -> usize {
        let dots = f64::from(self.plot.width) * 2.0 - 1.0;
        let gone = to_f64(t_ms - self.from_ms);
        let all = to_f64(self.to_ms - self.from_ms);
        to_usize((gone / all).clamp(0.0, 1.0) * dots)
    }
}

#[allow(clippy::cast_precision_loss, reason = "a place on the screen")]
fn to_f64(n: i64) -> f64 {
    n as f64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a dot within the plot"
)]
fn to_usize(x: f64) -> usize {
    x.round().max(0.0) as usize
}

fn at(origin: u16, cells: usize) -> u16 {
    origin.saturating_add(u16::try_from(cells).unwrap_or(u16::MAX))
}

/// Each rung in range as a dashed line with its name and value on the scale.
fn rungs(canvas: &mut Canvas<'_>, view: &View<'_>, axes: &Axes, inner: Rect) {
    let mut used: Vec<u16> = Vec::new();
    let rungs = view.store.ladder.iter().flat_map(|l| &l.value.rungs);
    for rung in rungs {
        let Some(level) = rung.trips_at_usdt else {
            continue;
        };
        let Some(dot) = number(level).and_then(|v| axes.dot_y(v)) else {
            continue;
        };
        let y = at(axes.plot.y, dot / 4);
        let role = if rung.state == RungState::Latched {
            Role::Danger
        } else {
            Role::ChartRung
        };
        let dashes = "┄".repeat(usize::from(axes.plot.width));
        canvas.put(axes.plot, axes.plot.x, y, &dashes, role);
        if !used.contains(&y) {
            let label = format!(" {} {}", rung.rung, fmt::money(level));
            canvas.put(
                inner,
                axes.plot.right(),
                y,
                &fit(&label, usize::from(SCALE)),
                role,
            );
            used.push(y);
        }
    }
    let now = view.store.equity_usdt();
    let dot = now.and_then(number).and_then(|v| axes.dot_y(v));
    if let (Some(now), Some(dot)) = (now, dot) {
        let y = at(axes.plot.y, dot / 4);
        let label = format!("▸{}", right(&fmt::money(now), usize::from(SCALE) - 2));
        canvas.put(
            inner,
            axes.plot.right(),
            y,
            &fit(&label, usize::from(SCALE)),
            Role::Strong,
        );
    }
}

/// The curve. A missing sample is a gap, never a bridge.
fn line(
    canvas: &mut Canvas<'_>,
    points: &std::collections::VecDeque<Point>,
    axes: &Axes,
    usable: bool,
) {
    let columns = usize::from(axes.plot.width) * 2;
    let mut dots: Vec<Option<(usize, usize)>> = vec![None; columns];
    let mut before: Option<(usize, usize)> = None;
    for point in points {
        let here = point
            .equity_usdt
            .and_then(number)
            .and_then(|v| axes.dot_y(v));
        let Some(y) = here else {
            before = None;
            continue;
        };
        let x = axes.dot_x(point.t_ms);
        // Straight between two samples, a column at a time.
        let (x0, y0) = before.unwrap_or((x, y));
        for step in x0..=x {
            let share = if x > x0 {
                (step - x0) * 1000 / (x - x0)
            } else {
                1000
            };
            let mid = (y0 * (1000 - share) + y * share) / 1000;
            if let Some(slot) = dots.get_mut(step) {
                let (low, high) = slot.unwrap_or((mid, mid));
                *slot = Some((low.min(mid), high.max(mid)));
            }
        }
        before = Some((x, y));
    }
    let mut cells = std::collections::BTreeMap::<(usize, usize), u8>::new();
    let mut last: Option<(usize, usize)> = None;
    for (x, column) in dots.iter().enumerate() {
        let Some((mut low, mut high)) = *column else {
            last = None;
            continue;
        };
        // Join to the neighbour, so that a steep fall is a line.
        if let Some((before_low, before_high)) = last {
            if before_high < low {
                low = before_high + 1;
            } else if before_low > high {
                high = before_low - 1;
            }
        }
        last = *column;
        for y in low..=high {
            let bit = DOTS
                .get(x % 2)
                .and_then(|c| c.get(y % 4))
                .copied()
                .unwrap_or(0);
            *cells.entry((x / 2, y / 4)).or_default() |= bit;
        }
    }
    let role = if usable { Role::ChartLine } else { Role::Stale };
    for ((x, y), bits) in cells {
        let glyph = char::from_u32(0x2800 + u32::from(bits)).unwrap_or('·');
        canvas.put(
            axes.plot,
            at(axes.plot.x, x),
            at(axes.plot.y, y),
            &glyph.to_string(),
            role,
        );
    }
}

/// The time axis: begin and end, and what was done automatically.
fn marks(
    canvas: &mut Canvas<'_>,
    view: &View<'_>,
    points: &std::collections::VecDeque<Point>,
    axes: &Axes,
    inner: Rect,
) {
    let y = inner.bottom() - 1;
    let (Some(first), Some(last)) = (points.front(), points.back()) else {
        return;
    };
    canvas.put(
        inner,
        axes.plot.x,
        y,
        &format!("{}Z", fmt::clock_short(first.t_ms)),
        Role::Muted,
    );
    let label = axes.plot.right().saturating_sub(7);
    let mut label_free = true;
    for action in &view.store.actions {
        if (first.t_ms..=last.t_ms).contains(&action.started_ms)
            && action.rung.starts_with(['R', 'B'])
        {
            let x = at(axes.plot.x, axes.dot_x(action.started_ms) / 2)
                .min(axes.plot.right().saturating_sub(3));
            label_free &= x.saturating_add(4) < label;
            canvas.put(
                inner,
                x,
                y,
                &format!("▲{}", fit(&action.rung, 2)),
                Role::ChartMark,
            );
        }
    }
    if label_free {
        let end = format!("{}Z", fmt::clock_short(last.t_ms));
        canvas.put(inner, label + 1, y, &end, Role::Muted);
    }
}
