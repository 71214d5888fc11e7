//! Positions and orders. A missing stop is a word, not an empty cell; an order that the bot did
//! not place is an incident and stands among the positions.

use super::View;
use super::paint::{Canvas, Row, Text, left, right};
use crate::app::Pane;
use crate::fmt;
use crate::store::Link;
use crate::theme::Role;
use fusebox_domain::{Decimal, Fresh, OrderKind, Position};
use fusebox_wire::feed::OpenOrder;
use ratatui::layout::Rect;

/// A column: caption, width, and its rank when there is no room for all.
struct Column {
    caption: &'static str,
    width: usize,
    rank: usize,
    cell: fn(&View<'_>, &Position) -> (String, Role),
}

/// In the order of the screen; what matters least at 3 a.m. has the highest rank and goes first.
const COLUMNS: &[Column] = &[
    Column {
        caption: "SIZE",
        width: 7,
        rank: 3,
        cell: |_, p| (fmt::size(p.size), Role::Text),
    },
    Column {
        caption: "ENTRY",
        width: 10,
        rank: 5,
        cell: |_, p| (fmt::price(p.entry_price), Role::Muted),
    },
    Column {
        caption: "MARK",
        width: 10,
        rank: 2,
        cell: mark,
    },
    Column {
        caption: "LIQ",
        width: 10,
        rank: 4,
        cell: liquidation,
    },
    Column {
        caption: "uPnL",
        width: 9,
        rank: 0,
        cell: profit,
    },
    Column {
        caption: "STOP",
        width: 9,
        rank: 1,
        cell: stop,
    },
    Column {
        caption: "AGE",
        width: 5,
        rank: 6,
        cell: age,
    },
];

/// Pointer, symbol, side with leverage.
const FRONT: usize = 19;

/// The columns that fit into `width` cells.
fn columns(width: usize) -> impl Iterator<Item = &'static Column> {
    let needs = |rank: usize| {
        FRONT
            + COLUMNS
                .iter()
                .filter(|c| c.rank < rank)
                .map(|c| c.width)
                .sum::<usize>()
    };
    let fits = (1..=COLUMNS.len())
        .rev()
        .find(|rank| needs(*rank) <= width)
        .unwrap_or(0);
    COLUMNS.iter().filter(move |c| c.rank < fits)
}

/// Rule, captions, one line each.
pub(super) fn height(view: &View<'_>) -> u16 {
    let positions = view.store.positions.as_ref().map_or(0, |p| p.value.len());
    let foreign = view.store.orders.iter().filter(|o| o.foreign).count();
    u16::try_from(2 + (positions + foreign).max(1)).unwrap_or(u16::MAX)
}

pub(super) fn positions(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>, corner: &str) {
    let focused = view.focused(Pane::Positions);
    let fresh = view.store.positions_fresh(view.now);
    let count = view
        .store
        .positions
        .as_ref()
        .map(|p| format!("Positions {}", p.value.len()));
    let title = Text::new().add(
        count.unwrap_or_else(|| "Positions".to_owned()),
        Role::Strong,
    );
    canvas.edge(area, focused);
    canvas.rule(area, corner, &title, &age_note(canvas, fresh), focused);
    let inside = canvas.inside(area);
    // The pointer stands between the edge and the symbol.
    let body = Rect::new(
        area.x.saturating_add(1),
        inside.y,
        inside.width.saturating_add(1).min(area.width),
        inside.height,
    );
    let Some(positions) = &view.store.positions else {
        return canvas.row(body, body.y, &unknown(view).into());
    };
    let width = usize::from(body.width);
    canvas.row(body, body.y, &captions(width).into());
    let cursor = view.cursor(Pane::Positions);
    let mut rows: Vec<Row> = Vec::new();
    for position in &positions.value {
        rows.push(Row::from(position_line(
            canvas,
            view,
            position,
            width,
            fresh,
            focused && rows.len() == cursor,
        )));
    }
    for order in view.store.orders.iter().filter(|o| o.foreign) {
        rows.push(foreign_line(canvas, order, focused && rows.len() == cursor));
    }
    if rows.is_empty() {
        rows.push(
            Text::new()
                .add("  flat: no open position", Role::Muted)
                .into(),
        );
    }
    if let Some(row) = rows.get_mut(cursor).filter(|_| focused) {
        row.selected = true;
    }
    let list = Rect::new(
        body.x,
        body.y + 1,
        body.width,
        body.height.saturating_sub(1),
    );
    canvas.list(list, &rows, cursor);
}

fn unknown(view: &View<'_>) -> Text {
    let why = match &view.store.feed {
        Link::Down { error, .. } => format!("unknown: {error}"),
        _ => "waiting for the breaker".to_owned(),
    };
    Text::new().add(format!(" {why}"), Role::Muted)
}

pub(super) fn age_note(canvas: &Canvas<'_>, fresh: Fresh) -> Text {
    let (role, words) = match fresh {
        Fresh::Live { age_ms } => (Role::Ok, fmt::age(age_ms)),
        Fresh::Aging { age_ms } => (Role::Warn, fmt::age(age_ms)),
        Fresh::Stale { age_ms } => (Role::Danger, format!("{} old, not live", fmt::age(age_ms))),
        Fresh::Never => (Role::Muted, "never received".to_owned()),
    };
    Text::new().add(format!("{}{words}", canvas.theme.glyph(role)), role)
}

fn captions(width: usize) -> Text {
    let mut text = Text::new().add(" SYMBOL   SIDE     ", Role::Muted);
    for column in columns(width) {
        text.push(right(column.caption, column.width), Role::Muted);
    }
    text
}

fn position_line(
    canvas: &Canvas<'_>,
    view: &View<'_>,
    position: &Position,
    width: usize,
    fresh: Fresh,
    at_cursor: bool,
) -> Text {
    let pointer = if at_cursor {
        canvas.theme.glyph(Role::Selection).to_owned()
    } else {
        " ".to_owned()
    };
    let leverage = position
        .leverage
        .map(|l| format!(" {}×", l.normalize()))
        .unwrap_or_default();
    let side = format!("{}{leverage}", position.side.position_word());
    let mut text = Text::new()
        .add(pointer, Role::Accent)
        .add(left(position.symbol.as_str(), 9), Role::Strong)
        .add(left(&side, 9), Role::Text);
    for column in columns(width) {
        let (cell, role) = (column.cell)(view, position);
        let cell = if fresh.is_usable() || cell == "–" {
            cell
        } else {
            format!("~{cell}")
        };
        text.push(right(&cell, column.width), role);
    }
    if fresh.is_usable() {
        text
    } else {
        text.all(Role::Stale)
    }
}

fn liquidation(_: &View<'_>, position: &Position) -> (String, Role) {
    let price = position
        .liquidation_price
        .map_or_else(|| "–".to_owned(), fmt::price);
    (price, Role::Muted)
}

fn mark(_: &View<'_>, position: &Position) -> (String, Role) {
    match position.mark_price {
        Some(price) => (fmt::price(price), Role::Text),
        None => ("unknown".to_owned(), Role::Warn),
    }
}

fn profit(_: &View<'_>, position: &Position) -> (String, Role) {
    match position.unrealised_usdt {
        Some(value) if value.is_sign_negative() => (fmt::signed_money(value), Role::Loss),
        Some(value) => (fmt::signed_money(value), Role::Gain),
        None => ("unknown".to_owned(), Role::Warn),
    }
}

/// How far the stop is from the mark, or NONE.
fn stop(_: &View<'_>, position: &Position) -> (String, Role) {
    let Some(price) = position.stop_price else {
        return ("NONE".to_owned(), Role::Danger);
    };
    let reference = position.mark_price.unwrap_or(position.entry_price);
    let distance = price
        .checked_sub(reference)
        .and_then(|d| d.checked_mul(Decimal::from(10_000)))
        .and_then(|d| d.checked_div(reference))
        .map(|bp| i64::try_from(bp.trunc().mantissa()).unwrap_or(0));
    match distance {
        Some(bp) => {
            let sign = if bp < 0 { "−" } else { "+" };
            let bp = bp.unsigned_abs();
            (
                format!("{sign}{}.{} %", bp / 100, bp % 100 / 10),
                Role::Text,
            )
        }
        None => (fmt::price(price), Role::Text),
    }
}

fn age(view: &View<'_>, position: &Position) -> (String, Role) {
    let now = view.store.sent_ms.unwrap_or(position.updated_ms);
    let lived = position
        .opened_ms
        .map(|opened| fmt::lived(u64::try_from(now - opened).unwrap_or(0)));
    (lived.unwrap_or_else(|| "–".to_owned()), Role::Muted)
}

fn order_words(order: &OpenOrder) -> String {
    let o = &order.order;
    let price = match (o.price, o.trigger_price) {
        (_, Some(trigger)) => format!(" trigger {}", fmt::price(trigger)),
        (Some(price), None) => format!(" limit {}", fmt::price(price)),
        (None, None) => " market".to_owned(),
    };
    format!("{} {}{price}", o.side.order_word(), fmt::size(o.qty))
}

fn foreign_line(canvas: &Canvas<'_>, order: &OpenOrder, at_cursor: bool) -> Row {
    let pointer = if at_cursor {
        canvas.theme.glyph(Role::Selection).to_owned()
    } else {
        " ".to_owned()
    };
    let left = Text::new()
        .add(pointer, Role::Accent)
        .add("FOREIGN  ", Role::Danger)
        .add(
            format!("{} {}", order.order.symbol, order_words(order)),
            Role::Text,
        )
        .add("  not placed by the bot", Role::Muted);
    Row {
        left,
        right: Text::new().add("incident ", Role::Danger),
        selected: false,
    }
}

/// Open orders, for the wide layout.
pub(super) fn orders(canvas: &mut Canvas<'_>, area: Rect, view: &View<'_>) {
    let orders = &view.store.orders;
    canvas.edge(area, false);
    let title = Text::new().add(format!("Orders {}", orders.len()), Role::Strong);
    canvas.rule(
        area,
        "├",
        &title,
        &age_note(canvas, view.store.positions_fresh(view.now)),
        false,
    );
    let body = canvas.inside(area);
    let mut rows: Vec<Row> = orders.iter().map(order_row).collect();
    if rows.is_empty() {
        let words = if view.store.positions.is_some() {
            "no open order"
        } else {
            "unknown"
        };
        rows.push(Text::new().add(words, Role::Muted).into());
    }
    canvas.list(body, &rows, 0);
}

fn order_row(order: &OpenOrder) -> Row {
    let kind = match order.order.kind {
        OrderKind::Entry => "entry",
        OrderKind::Exit => "exit",
        OrderKind::ProtectiveStop => "stop",
        OrderKind::ConditionalEntry => "conditional entry",
    };
    let mut end = Text::new();
    if order.foreign {
        end = end.add("FOREIGN: incident", Role::Danger);
    } else if order.not_post_only {
        end = end.add("not PostOnly", Role::Warn);
    }
    Row {
        left: Text::new()
            .add(left(order.order.symbol.as_str(), 10), Role::Strong)
            .add(left(kind, 18), Role::Muted)
            .add(order_words(order), Role::Text),
        right: end,
        selected: false,
    }
}
