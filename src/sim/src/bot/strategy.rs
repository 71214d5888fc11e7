//! What the bot decides: a pure function of its trades, the prices and the time, with chance from the seed.
//!
//! Shortly after its start it enters three positions with post-only limits at the touch (net long about 1.6 times
//! equity), re-prices what does not fill and crosses the spread when nothing else helps. It keeps a stop on the
//! exchange for every position except one, and now and then trades a fourth pair in small size, so that the journal
//! lives. Paused it enters nothing. Weak: there is no signal in it; it trades to be watched, not to earn.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::exchange::{Instrument, Quote};
use super::trade::{Order, Purpose, Standing, Trade, Wish, ratio, to_step};
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

/// What is left of an exit whose last order was cancelled to be re-priced.
fn unfinished_exit(trade: &Trade) -> Option<(Decimal, String)> {
    let last = trade
        .orders
        .iter()
        .rev()
        .find(|order| order.purpose != Purpose::Stop)?;
    let replaced = last.purpose == Purpose::Exit
        && last.standing != Standing::Open
        && last.cancel_reason.is_some()
        && last.remaining() > Decimal::ZERO;
    let reason = last.tag.clone().unwrap_or_else(|| "exit_signal".to_owned());
    replaced.then(|| (last.remaining().min(trade.amount), reason))
}

#[cfg(test)]
mod tests {
    use super::super::trade::tests::d;
    use super::super::trade::{Event, Seen};
    use super::*;

    /// A world of four instruments in which orders fill when the test says so.
    struct Desk {
        strategy: Strategy,
        trades: Vec<Trade>,
        quotes: BTreeMap<String, Quote>,
        instruments: BTreeMap<String, Instrument>,
        run: RunState,
        now_us: i64,
        orders: u32,
    }

    impl Desk {
        fn new() -> Self {
            let prices = [
                ("BTC", "60000", "0.001"),
                ("ETH", "3000", "0.01"),
                ("XRP", "0.6", "0.1"),
                ("SOL", "150", "0.1"),
            ];
            let mut quotes = BTreeMap::new();
            let mut instruments = BTreeMap::new();
            for (base, price, step) in prices {
                let price = d(price);
                let tick = price / d("60000") * d("0.1");
                quotes.insert(
                    format!("{base}USDT"),
                    Quote {
                        bid: price - tick,
                        ask: price + tick,
                        last: price,
                        mark: price,
                    },
                );
                instruments.insert(
                    format!("{base}USDT"),
                    Instrument {
                        base: base.to_owned(),
                        tick,
                        step: d(step),
                        min_amount: d(step),
                        min_value: d("5"),
                    },
                );
            }
            Self {
                strategy: Strategy::new(7, "1"),
                trades: Vec::new(),
                quotes,
                instruments,
                run: RunState::Running,
                now_us: 0,
                orders: 0,
            }
        }

        fn decide(&mut self) -> Vec<Action> {
            let view = View {
                now_us: self.now_us,
                started_us: 0,
                run: self.run,
                trades: &self.trades,
                quotes: &self.quotes,
                instruments: &self.instruments,
                equity: d("10000"),
            };
            self.strategy.decide(&view)
        }

        /// Carries actions out as the engine would; entries and exits fill when `fill`.
        fn step(&mut self, fill: bool) -> Vec<Action> {
            self.now_us += 500_000;
            let actions = self.decide();
            for action in &actions {
                self.orders += 1;
                let id = format!("o{}", self.orders);
                match action {
                    Action::Open(wish) => {
                        let mut trade = Trade::new(wish, self.now_us);
                        trade.id = self.trades.len() as i64 + 1;
                        place(&mut trade, Purpose::Entry, &id, wish.amount, self.now_us);
                        self.trades.push(trade);
                    }
                    Action::Enter { trade, .. } => {
                        let now = self.now_us;
                        let trade = self.find(*trade);
                        let left = trade.entry_left();
                        place(trade, Purpose::Entry, &id, left, now);
                    }
                    Action::Exit { trade, amount, .. } => {
                        let now = self.now_us;
                        place(self.find(*trade), Purpose::Exit, &id, *amount, now);
                    }
                    Action::Protect { trade } => {
                        let now = self.now_us;
                        let trade = self.find(*trade);
                        let amount = trade.amount;
                        place(trade, Purpose::Stop, &id, amount, now);
                    }
                    Action::Cancel {
                        trade,
                        order_id,
                        reason,
                    } => {
                        let trade = self.find(*trade);
                        for order in trade.orders.iter_mut().filter(|o| o.order_id == *order_id) {
                            order.cancel_reason = reason.map(str::to_owned);
                            order.standing = Standing::Canceled;
                        }
                    }
                    Action::Forget { trade } => {
                        let id = *trade;
                        self.trades.retain(|t| t.id != id);
                    }
                }
            }
            if fill {
                self.fill();
            }
            actions
        }

        fn fill(&mut self) {
            for trade in &mut self.trades {
                let open: Vec<Order> = trade
                    .orders
                    .iter()
                    .filter(|o| o.is_open() && o.purpose != Purpose::Stop)
                    .cloned()
                    .collect();
                for order in open {
                    let seen = Seen {
                        standing: Standing::Closed,
                        filled: order.amount,
                        average: Some(order.requested_price),
                        fee: d("0.01"),
                        updated_us: self.now_us,
                    };
                    assert_ne!(
                        trade.apply(&order.order_id, &seen, self.now_us),
                        Some(Event::Void)
                    );
                }
            }
        }

        fn find(&mut self, id: i64) -> &mut Trade {
            self.trades.iter_mut().find(|t| t.id == id).unwrap()
        }
    }

    fn place(trade: &mut Trade, purpose: Purpose, id: &str, amount: Decimal, now_us: i64) {
        let price = trade.open_rate;
        let mut order = super::super::trade::tests::order(trade, purpose, id, "1", "1");
        order.amount = amount;
        order.requested = amount;
        order.requested_price = price;
        order.placed_us = now_us;
        trade.add_order(order);
    }

    #[test]
    fn three_positions_net_long_sixteen_tenths_of_equity_and_one_without_a_stop() {
        let mut desk = Desk::new();
        for _ in 0..6 {
            desk.step(true);
        }
        let value = |t: &Trade| t.amount * t.open_rate * if t.is_short { d("-1") } else { d("1") };
        let net: Decimal = desk.trades.iter().map(value).sum();
        assert!((net - d("16000")).abs() < d("100"), "net {net}");
        let stops: Vec<(&str, bool)> = desk
            .trades
            .iter()
            .map(|t| (t.base.as_str(), t.open_order(Purpose::Stop).is_some()))
            .collect();
        assert_eq!(stops, [("BTC", true), ("ETH", true), ("XRP", false)]);
        assert_eq!(
            desk.trades[0].stop_loss,
            d("44999.9"),
            "a quarter below a bid of 59999.9, on a tick"
        );
    }

    #[test]
    fn an_unfilled_entry_is_repriced_as_maker_and_then_pays_the_spread() {
        let mut desk = Desk::new();
        let mut attempts = Vec::new();
        for _ in 0..40 {
            for action in desk.step(false) {
                if let Action::Enter {
                    trade: 1,
                    post_only,
                } = action
                {
                    attempts.push(post_only);
                }
            }
        }
        assert_eq!(&attempts[..3], [true, true, false]);
        assert!(desk.trades[0].orders[0].cancel_reason.as_deref() == Some(REPLACED));
    }

    #[test]
    fn paused_it_enters_nothing_and_gives_unfilled_entries_up() {
        let mut desk = Desk::new();
        for _ in 0..4 {
            desk.step(false);
        }
        assert_eq!(desk.trades.len(), 3);
        desk.run = RunState::Paused;
        for _ in 0..4 {
            let actions = desk.step(false);
            assert!(
                !actions
                    .iter()
                    .any(|a| matches!(a, Action::Open(_) | Action::Enter { .. })),
                "{actions:?}"
            );
        }
        assert!(desk.trades.is_empty());
        desk.now_us += 600 * SECOND_US;
        assert_eq!(desk.step(true), []);
    }

    #[test]
    fn stopped_it_does_nothing_at_all() {
        let mut desk = Desk::new();
        desk.step(true);
        desk.run = RunState::Stopped;
        for _ in 0..100 {
            assert_eq!(desk.step(true), []);
        }
    }

    #[test]
    fn the_stop_follows_a_partial_exit_and_goes_with_the_last() {
        let mut desk = Desk::new();
        for _ in 0..6 {
            desk.step(true);
        }
        desk.run = RunState::Paused;
        let now = desk.now_us;
        let half = to_step(desk.trades[0].amount / d("2"), d("0.001"), false);
        place(&mut desk.trades[0], Purpose::Exit, "half", half, now);
        desk.fill();
        for _ in 0..3 {
            desk.step(true);
        }
        let trade = &desk.trades[0];
        assert_eq!(
            trade.open_order(Purpose::Stop).map(|o| o.amount),
            Some(trade.amount)
        );
        let rest = trade.amount;
        place(&mut desk.trades[0], Purpose::Exit, "rest", rest, now);
        desk.fill();
        desk.step(true);
        assert!(!desk.trades[0].is_open);
        assert!(desk.trades[0].open_order(Purpose::Stop).is_none());
    }

    #[test]
    fn an_exit_that_does_not_fill_is_repriced_until_it_does() {
        let mut desk = Desk::new();
        for _ in 0..6 {
            desk.step(true);
        }
        desk.run = RunState::Paused;
        let (now, all) = (desk.now_us, desk.trades[2].amount);
        place(&mut desk.trades[2], Purpose::Exit, "x", all, now);
        let mut exits = 0;
        for _ in 0..12 {
            exits += desk
                .step(false)
                .iter()
                .filter(|a| matches!(a, Action::Exit { trade: 3, .. }))
                .count();
        }
        assert!(exits >= 2, "{exits}");
        desk.step(true);
        desk.step(true);
        assert!(!desk.trades[2].is_open);
    }

    #[test]
    fn small_trades_come_and_go_with_a_reason() {
        let mut desk = Desk::new();
        let mut reasons = Vec::new();
        for _ in 0..600 {
            for action in desk.step(true) {
                if let Action::Exit { reason, .. } = action {
                    reasons.push(reason);
                }
            }
        }
        assert!(reasons.len() >= 4, "{reasons:?}");
        assert!(
            desk.trades
                .iter()
                .filter(|t| t.base == "SOL" && !t.is_open)
                .count()
                >= 4
        );
        assert_eq!(
            desk.trades.iter().filter(|t| t.base == "BTC").count(),
            1,
            "legs are entered once"
        );
    }
}
