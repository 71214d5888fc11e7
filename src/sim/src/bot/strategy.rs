//! What the bot decides: a pure function of its trades, the prices and the time, with chance from the seed.
//!
//! Shortly after its start it enters three positions with post-only limits at the touch (net long about 1.6 times
//! equity), re-prices what does not fill and crosses the spread when nothing else helps. It keeps a stop on the
//! exchange for every position except one, and now and then trades a fourth pair in small size, so that the journal
//! lives. Paused it enters nothing. Weak: there is no signal in it; it trades to be watched, not to earn.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::exchange::{Instrument, Quote};
use super::trade::{CANCELLED_ELSEWHERE, Order, Purpose, Standing, Trade, Wish, ratio, to_step};
use crate::rng::Rng;

/// `freqtrade`'s word for an order replaced by one at a fresh price.
const REPLACED: &str = "cancelled to be replaced by new limit order";
/// Its word for an entry given up.
const GIVEN_UP: &str = "fully cancelled";

const SECOND_US: i64 = 1_000_000;
/// A fresh process waits this long before it trades.
const WARM_UP_US: i64 = SECOND_US;
/// An order unfilled for this long is re-priced.
const PATIENCE_US: i64 = 2 * SECOND_US;
/// Post-only attempts before the bot pays the spread.
const MAKER_ATTEMPTS: usize = 3;
/// Entry orders of one trade before it is given up.
const ENTRY_ATTEMPTS: usize = 10;
/// After the exchange refused an order.
const COOL_DOWN_US: i64 = 3 * SECOND_US;
/// Price distance of the stops, in hundredths.
const STOP_PERCENT: i64 = 25;
const LEVERAGE: i64 = 5;

/// A position that the bot wants from its start.
struct Leg {
    base: &'static str,
    is_short: bool,
    /// Position value in hundredths of equity.
    percent_of_equity: i64,
    tag: &'static str,
    stop: bool,
}

/// Net long 100 + 70 − 10 = 160 % of equity; the short is the one without a stop.
const LEGS: [Leg; 3] = [
    Leg {
        base: "BTC",
        is_short: false,
        percent_of_equity: 100,
        tag: "ema_cross",
        stop: true,
    },
    Leg {
        base: "ETH",
        is_short: false,
        percent_of_equity: 70,
        tag: "breakout",
        stop: true,
    },
    Leg {
        base: "XRP",
        is_short: true,
        percent_of_equity: 10,
        tag: "rsi_peak",
        stop: false,
    },
];

/// The pair of the small trades and their size in hundredths of equity.
const SCALP_BASE: &str = "SOL";
const SCALP_PERCENT: i64 = 4;

/// What the bot may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunState {
    Running,
    /// No new entries; exits and stops go on.
    Paused,
    /// Nothing at all.
    Stopped,
}

impl RunState {
    pub(super) fn word(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Paused => "paused",
            RunState::Stopped => "stopped",
        }
    }
}

/// What the decision is made from.
pub(super) struct View<'a> {
    pub(super) now_us: i64,
    pub(super) started_us: i64,
    pub(super) run: RunState,
    pub(super) trades: &'a [Trade],
    pub(super) quotes: &'a BTreeMap<String, Quote>,
    pub(super) instruments: &'a BTreeMap<String, Instrument>,
    pub(super) equity: Decimal,
}

/// One thing to do; `trade` is a row number.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// A new trade and its first order.
    Open(Wish),
    /// Another entry order for what is left of a trade's entry.
    Enter { trade: i64, post_only: bool },
    /// Cancel an order.
    Cancel {
        trade: i64,
        order_id: String,
        reason: Option<&'static str>,
    },
    /// A reduce-only order.
    Exit {
        trade: i64,
        amount: Decimal,
        reason: String,
    },
    /// A stop on the exchange for what is open.
    Protect { trade: i64 },
    /// Forget a trade that never filled.
    Forget { trade: i64 },
}

/// The bot's own memory: chance and when to act next.
pub(super) struct Strategy {
    rng: Rng,
    next_scalp_us: Option<i64>,
    scalp_exit_us: Option<i64>,
    quiet_until_us: i64,
}

impl Strategy {
    pub(super) fn new(seed: u64, account: &str) -> Self {
        Self {
            rng: Rng::new(seed, &format!("bot/{account}")),
            next_scalp_us: None,
            scalp_exit_us: None,
            quiet_until_us: 0,
        }
    }

    /// The exchange refused an order: no new one for a moment.
    pub(super) fn refused(&mut self, now_us: i64) {
        self.quiet_until_us = now_us + COOL_DOWN_US;
    }

    /// What to do now.
    pub(super) fn decide(&mut self, view: &View<'_>) -> Vec<Action> {
        if view.run == RunState::Stopped || view.now_us < self.quiet_until_us {
            return Vec::new();
        }
        let mut actions: Vec<Action> = view
            .trades
            .iter()
            .flat_map(|trade| tend(trade, view))
            .collect();
        actions.extend(self.end_scalp(view));
        if view.run == RunState::Running && view.now_us >= view.started_us + WARM_UP_US {
            actions.extend(LEGS.iter().filter_map(|leg| open_leg(leg, view)));
            actions.extend(self.start_scalp(view));
        }
        actions
    }

    fn start_scalp(&mut self, view: &View<'_>) -> Option<Action> {
        let rng = &mut self.rng;
        let due = *self
            .next_scalp_us
            .get_or_insert_with(|| view.started_us + seconds_between(rng, 12, 20));
        let open = view
            .trades
            .iter()
            .any(|trade| trade.is_open && trade.base == SCALP_BASE);
        if open || view.now_us < due {
            return None;
        }
        self.next_scalp_us = Some(view.now_us + seconds_between(&mut self.rng, 25, 50));
        self.scalp_exit_us = Some(view.now_us + seconds_between(&mut self.rng, 10, 22));
        let is_short = self.rng.below(2) == 1;
        let tags = if is_short {
            ["ema_cross_s", "breakdown"]
        } else {
            ["rsi_dip", "ema_cross"]
        };
        let tag = tags.into_iter().nth(usize::from(self.rng.below(2) == 1))?;
        let leg = Leg {
            base: SCALP_BASE,
            is_short,
            percent_of_equity: SCALP_PERCENT,
            tag,
            stop: true,
        };
        wish(&leg, view).map(Action::Open)
    }

    fn end_scalp(&mut self, view: &View<'_>) -> Option<Action> {
        let trade = view.trades.iter().find(|trade| {
            trade.is_open
                && trade.base == SCALP_BASE
                && trade.entered()
                && trade.open_order(Purpose::Exit).is_none()
                && unfinished_exit(trade).is_none()
        })?;
        let due = *self
            .scalp_exit_us
            .get_or_insert(view.now_us + 10 * SECOND_US);
        if view.now_us < due {
            return None;
        }
        let rate = view.quotes.get(&trade.symbol)?.last;
        let (won, _) = trade.profit(rate, trade.amount);
        let reason = if won > Decimal::new(5, 3) {
            "roi"
        } else if won > Decimal::ZERO && self.rng.below(2) == 1 {
            "trailing_stop_loss"
        } else {
            "exit_signal"
        };
        Some(Action::Exit {
            trade: trade.id,
            amount: trade.amount,
            reason: reason.to_owned(),
        })
    }
}

/// `seconds` at random in a range, in µs.
fn seconds_between(rng: &mut Rng, from: i64, to: i64) -> i64 {
    let span = u64::try_from((to - from) * 1000).unwrap_or(1);
    from * SECOND_US + i64::try_from(rng.below(span)).unwrap_or(0) * 1000
}

fn open_leg(leg: &Leg, view: &View<'_>) -> Option<Action> {
    let done = view
        .trades
        .iter()
        .any(|trade| trade.base == leg.base && (trade.is_open || trade.open_us >= view.started_us));
    if done {
        return None;
    }
    wish(leg, view).map(Action::Open)
}

fn wish(leg: &Leg, view: &View<'_>) -> Option<Wish> {
    let symbol = format!("{}USDT", leg.base);
    let instrument = view.instruments.get(&symbol)?;
    let rate = touch(view.quotes.get(&symbol)?, !leg.is_short, true);
    let value = view.equity * Decimal::new(leg.percent_of_equity, 2);
    let amount = to_step(ratio(value, rate), instrument.step, false);
    let leverage = Decimal::from(LEVERAGE);
    (amount >= instrument.min_amount && amount * rate >= instrument.min_value).then(|| Wish {
        symbol,
        base: leg.base.to_owned(),
        is_short: leg.is_short,
        amount,
        rate,
        leverage,
        stop_loss_ratio: if leg.stop {
            Decimal::new(STOP_PERCENT, 2) * leverage
        } else {
            Decimal::ZERO
        },
        tag: leg.tag.to_owned(),
        tick: instrument.tick,
        step: instrument.step,
    })
}

/// The price to quote at: the own side of the book as a maker, the other side to be filled at once.
pub(super) fn touch(quote: &Quote, buy: bool, maker: bool) -> Decimal {
    if buy == maker { quote.bid } else { quote.ask }
}

/// What one trade needs: re-pricing, its stop, the rest of an exit.
fn tend(trade: &Trade, view: &View<'_>) -> Option<Action> {
    let waited = |order: &Order| view.now_us - order.placed_us > PATIENCE_US;
    if !trade.is_open {
        return cancel(trade, trade.open_order(Purpose::Stop)?, None);
    }
    if let Some(order) = trade.open_order(Purpose::Exit) {
        return (!order.market && waited(order))
            .then(|| cancel(trade, order, Some(REPLACED)))
            .flatten();
    }
    if let Some((amount, reason)) = unfinished_exit(trade) {
        return Some(Action::Exit {
            trade: trade.id,
            amount,
            reason,
        });
    }
    let running = view.run == RunState::Running;
    if let Some(order) = trade.open_order(Purpose::Entry) {
        let reason = if running { REPLACED } else { GIVEN_UP };
        return (waited(order) || !running)
            .then(|| cancel(trade, order, Some(reason)))
            .flatten();
    }
    if let Some(action) = enter_rest(trade, view, running) {
        return Some(action);
    }
    protect(trade)
}

fn enter_rest(trade: &Trade, view: &View<'_>, running: bool) -> Option<Action> {
    let exited = trade
        .orders
        .iter()
        .any(|order| order.purpose != Purpose::Entry && order.filled > Decimal::ZERO);
    let instrument = view.instruments.get(&trade.symbol)?;
    let wanted = running
        && !exited
        && trade.entry_attempts() < ENTRY_ATTEMPTS
        && trade.entry_left() >= instrument.min_amount;
    if wanted {
        return Some(Action::Enter {
            trade: trade.id,
            post_only: trade.entry_attempts() < MAKER_ATTEMPTS,
        });
    }
    (!trade.entered()).then_some(Action::Forget { trade: trade.id })
}

/// The stop follows the position: none yet, or one of another size, is replaced.
fn protect(trade: &Trade) -> Option<Action> {
    match trade.open_order(Purpose::Stop) {
        Some(stop) if stop.amount != trade.amount => cancel(trade, stop, None),
        None if !trade.stop_loss_ratio.is_zero() && trade.entered() => {
            Some(Action::Protect { trade: trade.id })
        }
        _ => None,
    }
}

fn cancel(trade: &Trade, order: &Order, reason: Option<&'static str>) -> Option<Action> {
    Some(Action::Cancel {
        trade: trade.id,
        order_id: order.order_id.clone(),
        reason,
    })
}

/// What is left of an exit whose last order was cancelled to be re-priced, or filled in part only. One that somebody
/// else cancelled is not placed again.
fn unfinished_exit(trade: &Trade) -> Option<(Decimal, String)> {
    let last = trade
        .orders
        .iter()
        .rev()
        .find(|order| order.purpose != Purpose::Stop)?;
    let replaced = last.purpose == Purpose::Exit
        && last.standing != Standing::Open
        && last
            .cancel_reason
            .as_deref()
            .is_some_and(|reason| reason != CANCELLED_ELSEWHERE)
        && last.remaining() > Decimal::ZERO;
    let reason = last.tag.clone().unwrap_or_else(|| "exit_signal".to_owned());
    replaced.then(|| (last.remaining().min(trade.amount), reason))
}

#[cfg(test)]
mod tests;
