//! Which journal rows a picture of freqtrade's database demands. Pure.

use super::Picture;
use super::read::{Order, Trade};
use fusebox_journal::{Draft, Trade as Body};
use rust_decimal::Decimal;

/// What happened to a trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Opened,
    Added,
    PartialExit,
    Closed,
}

impl Event {
    fn word(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Added => "added",
            Self::PartialExit => "partial_exit",
            Self::Closed => "closed",
        }
    }
}

/// Every row that the picture demands, in the order in which things happened.
pub(crate) fn drafts(account: &str, picture: &Picture) -> Vec<Draft> {
    let mut all: Vec<Draft> = picture
        .trades
        .iter()
        .flat_map(|trade| {
            happened(trade)
                .into_iter()
                .map(|(event, order)| draft(account, trade, event, order))
        })
        .collect();
    // Stable: within a trade the order of its orders stays, even when two bear one time.
    all.sort_by_key(|draft| draft.happened_ms);
    all
}

/// The events of one trade and the order behind each.
fn happened(trade: &Trade) -> Vec<(Event, Option<&Order>)> {
    let filled = |order: &&Order| !order.is_open && !order.filled.is_zero();
    let is_entry = |order: &&Order| order.purpose == entry_side(trade);
    let entries: Vec<&Order> = trade
        .orders
        .iter()
        .filter(filled)
        .filter(is_entry)
        .collect();
    let mut exits: Vec<&Order> = trade
        .orders
        .iter()
        .filter(filled)
        .filter(|order| !is_entry(order))
        .collect();
    // A stop is made early and may fill last.
    exits.sort_by_key(|order| order.filled_ms);

    let mut events = Vec::new();
    for (n, entry) in entries.iter().enumerate() {
        let event = if n == 0 { Event::Opened } else { Event::Added };
        events.push((event, Some(*entry)));
    }
    // A database from before orders were kept, or mended by hand: the trade's own row speaks.
    if entries.is_empty() && (!trade.is_open || trade.orders.is_empty()) {
        events.push((Event::Opened, None));
    }
    let mut left: Decimal = entries.iter().map(|order| order.filled).sum();
    for (n, exit) in exits.iter().enumerate() {
        let is_last = n.saturating_add(1) == exits.len();
        if is_last && !trade.is_open {
            events.push((Event::Closed, Some(*exit)));
        } else if !trade.is_open || trade_knows(trade, left, exit.filled) {
            events.push((Event::PartialExit, Some(*exit)));
        }
        left -= exit.filled;
    }
    if !trade.is_open && exits.is_empty() {
        events.push((Event::Closed, None));
    }
    events
}

/// Whether the trade's row already counts this exit. Freqtrade fills the order first and the
/// trade a moment later; in between nobody can tell whether it closes the trade. `left` is what
/// was open before the exit; half of the exit is room for fees taken from the coin.
fn trade_knows(trade: &Trade, left: Decimal, exit: Decimal) -> bool {
    let two = Decimal::TWO;
    let amount = trade.amount.unwrap_or_default();
    left > exit && amount * two < left * two - exit
}

fn entry_side(trade: &Trade) -> &'static str {
    if trade.is_short { "sell" } else { "buy" }
}

fn draft(account: &str, trade: &Trade, event: Event, order: Option<&Order>) -> Draft {
    let text = |number: Option<Decimal>| number.map(|n| n.to_string());
    let order_id = order.map(|o| o.order_id.clone());
    let opening_order = trade
        .orders
        .iter()
        .find(|o| o.purpose == entry_side(trade) && !o.is_open && !o.filled.is_zero())
        .map_or_else(|| format!("none/{}", trade.open_ms), |o| o.order_id.clone());
    let closed = event == Event::Closed;
    let order_price = order.and_then(|o| o.price);
    let (price, happened_ms) = match event {
        Event::Closed => (order_price.or(trade.close_rate), trade.close_ms),
        Event::Opened => (order_price.or(trade.open_rate), None),
        Event::Added | Event::PartialExit => (order_price, None),
    };
    let happened_ms = happened_ms
        .or(order.and_then(|o| o.filled_ms))
        .unwrap_or(trade.open_ms);
    // Later entries move the average in the trade's row; the first event shows its own.
    let open_rate = match event {
        Event::Opened => price,
        _ => trade.open_rate,
    };
    let body = Body {
        event: event.word().to_owned(),
        trade_id: trade.id.to_string(),
        account: account.to_owned(),
        pair: trade.pair.clone(),
        side: if trade.is_short { "short" } else { "long" }.to_owned(),
        leverage: text(trade.leverage),
        amount: text(order.map(|o| o.filled).or(trade.amount)),
        price: text(price),
        open_rate: text(open_rate),
        close_rate: text(trade.close_rate.or(price).filter(|_| closed)),
        realized_profit: match event {
            Event::Closed => text(trade.close_profit_abs.or(trade.realized_profit)),
            Event::PartialExit if trade.is_open => text(trade.realized_profit),
            _ => None,
        },
        stake_amount: text(trade.stake_amount.filter(|_| !closed)),
        stop_loss: text(trade.stop_loss.filter(|_| trade.is_open)),
        opening_order: opening_order.clone(),
        enter_tag: match event {
            Event::Opened => trade.enter_tag.clone(),
            Event::Added => order.and_then(|o| o.tag.clone()),
            Event::PartialExit | Event::Closed => None,
        },
        exit_reason: match event {
            Event::Closed => trade.exit_reason.clone(),
            Event::PartialExit => order.and_then(|o| o.tag.clone()),
            Event::Opened | Event::Added => None,
        },
        strategy: trade.strategy.clone(),
        order_id: order_id.clone(),
        ..Body::default()
    };
    let key = format!(
        "trade/{account}/{}/{}/{}",
        trade.id,
        order_id.unwrap_or(opening_order),
        event.word()
    );
    Draft::new(happened_ms, "recorder", &body).with_key(key)
}
