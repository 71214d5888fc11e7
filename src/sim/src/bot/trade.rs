//! One trade with its orders, and freqtrade's arithmetic over them: amounts, average rates, fees and profit.
//!
//! Pure. Money is decimal here and becomes a float only in the database and the REST answers, where freqtrade has
//! floats. The formulas are those by which freqtrade's own databases add up (checked against rows it wrote).

use rust_decimal::{Decimal, RoundingStrategy};

/// Maker fee assumed until the exchange has told the real one.
const DEFAULT_FEE: Decimal = Decimal::from_parts(2, 0, 0, false, 4);

/// freqtrade's words for an order that ended without its doing: empty, …
pub(super) const CANCELLED_ELSEWHERE: &str = "cancelled on exchange";
/// … and after a part was filled.
const CANCELLED_IN_PART: &str = "cancelled on exchange, partially filled";

/// What an order is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Entry,
    Exit,
    Stop,
}

/// Where an order stands, in freqtrade's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    Closed,
    Canceled,
}

impl Standing {
    pub(super) fn word(self) -> &'static str {
        match self {
            Standing::Open => "open",
            Standing::Closed => "closed",
            Standing::Canceled => "canceled",
        }
    }

    pub(super) fn parse(word: &str) -> Self {
        match word {
            "closed" => Standing::Closed,
            "canceled" => Standing::Canceled,
            _ => Standing::Open,
        }
    }
}

/// What the exchange says of an order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) standing: Standing,
    pub(super) filled: Decimal,
    pub(super) average: Option<Decimal>,
    /// Fee paid so far, USDT; negative is a rebate.
    pub(super) fee: Decimal,
    pub(super) updated_us: i64,
}

/// One row of `orders`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Order {
    /// Row number; 0 until stored.
    pub(super) id: i64,
    pub(super) purpose: Purpose,
    pub(super) buy: bool,
    pub(super) standing: Standing,
    pub(super) order_id: String,
    pub(super) market: bool,
    pub(super) requested: Decimal,
    /// The limit, or for market orders the rate seen when it was placed.
    pub(super) requested_price: Decimal,
    pub(super) stop_price: Option<Decimal>,
    pub(super) amount: Decimal,
    pub(super) filled: Decimal,
    pub(super) average: Option<Decimal>,
    pub(super) fee: Decimal,
    pub(super) cancel_reason: Option<String>,
    pub(super) tag: Option<String>,
    pub(super) placed_us: i64,
    pub(super) filled_us: Option<i64>,
    pub(super) updated_us: i64,
}

impl Order {
    pub(super) fn is_open(&self) -> bool {
        self.standing == Standing::Open
    }

    pub(super) fn remaining(&self) -> Decimal {
        self.amount - self.filled
    }

    /// The price to reckon with: the average fill, else what was asked.
    pub(super) fn safe_price(&self) -> Decimal {
        self.average
            .or(self.stop_price)
            .unwrap_or(self.requested_price)
    }

    pub(super) fn cost(&self) -> Decimal {
        self.filled * self.average.unwrap_or_default()
    }

    pub(super) fn side(&self) -> &'static str {
        if self.buy { "buy" } else { "sell" }
    }
}

/// What a change of an order meant for its trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// More of the entry is filled, or its order is done: position and stop may have to follow.
    Entered,
    /// An exit or stop is done and something is left.
    Reduced,
    /// Nothing is left: the trade is closed.
    Closed,
    /// An order ended without a fill.
    Void,
}

/// One row of `trades` with its orders, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trade {
    /// Row number; 0 until stored.
    pub(super) id: i64,
    /// Exchange symbol, `BTCUSDT`.
    pub(super) symbol: String,
    /// Base coin, `BTC`.
    pub(super) base: String,
    pub(super) is_short: bool,
    pub(super) is_open: bool,
    pub(super) leverage: Decimal,
    pub(super) tick: Decimal,
    pub(super) step: Decimal,
    pub(super) fee_open: Decimal,
    pub(super) fee_close: Decimal,
    pub(super) fee_close_cost: Option<Decimal>,
    pub(super) open_rate: Decimal,
    pub(super) open_rate_requested: Decimal,
    pub(super) close_rate: Option<Decimal>,
    pub(super) close_rate_requested: Option<Decimal>,
    pub(super) realized_profit: Decimal,
    pub(super) close_profit: Option<Decimal>,
    pub(super) close_profit_abs: Option<Decimal>,
    pub(super) stake_amount: Decimal,
    pub(super) max_stake_amount: Option<Decimal>,
    pub(super) amount: Decimal,
    pub(super) amount_requested: Decimal,
    pub(super) open_us: i64,
    pub(super) close_us: Option<i64>,
    /// Stop-loss as freqtrade states it: loss of the stake, leverage included; zero is none.
    pub(super) stop_loss_ratio: Decimal,
    pub(super) stop_loss: Decimal,
    pub(super) max_rate: Option<Decimal>,
    pub(super) min_rate: Option<Decimal>,
    pub(super) exit_reason: Option<String>,
    pub(super) enter_tag: String,
    pub(super) liquidation_price: Option<Decimal>,
    pub(super) orders: Vec<Order>,
}

/// What a new trade is to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wish {
    pub(super) symbol: String,
    pub(super) base: String,
    pub(super) is_short: bool,
    pub(super) amount: Decimal,
    pub(super) rate: Decimal,
    pub(super) leverage: Decimal,
    pub(super) stop_loss_ratio: Decimal,
    pub(super) tag: String,
    pub(super) tick: Decimal,
    pub(super) step: Decimal,
}

impl Trade {
    /// A trade whose first order is about to be placed.
    pub(super) fn new(wish: &Wish, now_us: i64) -> Self {
        let mut trade = Self {
            id: 0,
            symbol: wish.symbol.clone(),
            base: wish.base.clone(),
            is_short: wish.is_short,
            is_open: true,
            leverage: wish.leverage,
            tick: wish.tick,
            step: wish.step,
            fee_open: DEFAULT_FEE,
            fee_close: DEFAULT_FEE,
            fee_close_cost: None,
            open_rate: wish.rate,
            open_rate_requested: wish.rate,
            close_rate: None,
            close_rate_requested: None,
            realized_profit: Decimal::ZERO,
            close_profit: None,
            close_profit_abs: None,
            stake_amount: ratio(wish.amount * wish.rate, wish.leverage),
            max_stake_amount: None,
            amount: Decimal::ZERO,
            amount_requested: wish.amount,
            open_us: now_us,
            close_us: None,
            stop_loss_ratio: wish.stop_loss_ratio,
            stop_loss: Decimal::ZERO,
            max_rate: None,
            min_rate: None,
            exit_reason: None,
            enter_tag: wish.tag.clone(),
            liquidation_price: None,
            orders: Vec::new(),
        };
        trade.set_stop();
        trade
    }

    /// `BTC/USDT:USDT`.
    pub(super) fn pair(&self) -> String {
        format!("{}/USDT:USDT", self.base)
    }

    /// The side that reduces: selling a long, buying a short.
    pub(super) fn exit_is_buy(&self) -> bool {
        self.is_short
    }

    pub(super) fn open_order(&self, purpose: Purpose) -> Option<&Order> {
        self.orders
            .iter()
            .find(|order| order.is_open() && order.purpose == purpose)
    }

    pub(super) fn entered(&self) -> bool {
        self.amount > Decimal::ZERO
    }

    /// What is still wanted of the entry.
    pub(super) fn entry_left(&self) -> Decimal {
        let filled: Decimal = self
            .orders
            .iter()
            .filter(|order| order.purpose == Purpose::Entry)
            .map(|order| order.filled)
            .sum();
        self.amount_requested - filled
    }

    /// Entry orders placed so far.
    pub(super) fn entry_attempts(&self) -> usize {
        self.orders
            .iter()
            .filter(|order| order.purpose == Purpose::Entry)
            .count()
    }

    /// Fee of the entry in freqtrade's reckoning: the rate on the largest stake.
    pub(super) fn fee_open_cost(&self) -> Option<Decimal> {
        self.max_stake_amount.map(|stake| self.fee_open * stake)
    }

    /// Value of the position at its opening, fees included.
    pub(super) fn open_value(&self, amount: Decimal) -> Decimal {
        let value = amount * self.open_rate;
        let fee = value * self.fee_open;
        if self.is_short {
            value - fee
        } else {
            value + fee
        }
    }

    /// `(ratio of the stake, USDT)` won if `amount` were closed at `rate`.
    pub(super) fn profit(&self, rate: Decimal, amount: Decimal) -> (Decimal, Decimal) {
        let value = amount * rate;
        let fee = value * self.fee_close;
        let open = self.open_value(amount);
        let won = if self.is_short {
            open - (value + fee)
        } else {
            (value - fee) - open
        };
        // Eight places, as freqtrade states a profit before it adds it up.
        (ratio(won, open) * self.leverage, won.round_dp(8))
    }

    /// Notes a new order of this trade.
    pub(super) fn add_order(&mut self, order: Order) {
        if order.purpose == Purpose::Exit {
            self.close_rate_requested = Some(order.requested_price);
        }
        self.orders.push(order);
    }

    /// Takes over what the exchange says of an order; `None` when it changes nothing.
    pub(super) fn apply(&mut self, order_id: &str, seen: &Seen, now_us: i64) -> Option<Event> {
        let order = self.orders.iter_mut().find(|o| o.order_id == order_id)?;
        if !order.is_open() || (order.standing == seen.standing && order.filled == seen.filled) {
            return None;
        }
        order.filled = seen.filled;
        order.average = seen.average.filter(|_| seen.filled > Decimal::ZERO);
        order.fee = seen.fee;
        order.standing = seen.standing;
        order.updated_us = now_us;
        if seen.filled > Decimal::ZERO && seen.standing != Standing::Open {
            order.filled_us = Some(seen.updated_us);
            order.cancel_reason = None;
            // A cancelled order with a fill counts as done: its rest will never come.
            if seen.standing == Standing::Canceled {
                order.standing = Standing::Closed;
                order.cancel_reason = Some(CANCELLED_IN_PART.to_owned());
            }
        }
        let (purpose, done, filled) = (order.purpose, !order.is_open(), order.filled);
        if !done {
            // freqtrade reckons with finished orders only.
            return None;
        }
        if filled.is_zero() {
            if purpose != Purpose::Stop {
                order
                    .cancel_reason
                    .get_or_insert(CANCELLED_ELSEWHERE.to_owned());
            }
            return Some(Event::Void);
        }
        self.learn_fees(order_id);
        let left = self.left();
        if purpose == Purpose::Entry {
            self.recalculate(false);
            return Some(Event::Entered);
        }
        if left > Decimal::ZERO {
            self.recalculate(false);
            self.exit_reason = None;
            return Some(Event::Reduced);
        }
        if purpose == Purpose::Stop {
            self.exit_reason = Some("stoploss_on_exchange".to_owned());
        }
        self.close(order_id);
        Some(Event::Closed)
    }

    /// Entries filled less exits filled.
    fn left(&self) -> Decimal {
        self.orders
            .iter()
            .filter(|order| !order.is_open())
            .map(|order| match order.purpose {
                Purpose::Entry => order.filled,
                Purpose::Exit | Purpose::Stop => -order.filled,
            })
            .sum()
    }

    fn learn_fees(&mut self, order_id: &str) {
        let Some(order) = self.orders.iter().find(|o| o.order_id == order_id) else {
            return;
        };
        let rate = ratio(order.fee, order.cost());
        if order.purpose == Purpose::Entry {
            self.fee_open = rate;
            self.fee_close = rate;
        } else {
            self.fee_close = rate;
            self.fee_close_cost = Some(order.fee);
        }
    }

    fn close(&mut self, order_id: &str) {
        if let Some(order) = self.orders.iter().find(|o| o.order_id == order_id) {
            self.close_rate = Some(order.safe_price());
            self.close_us = order.filled_us;
        }
        self.is_open = false;
        self.recalculate(true);
    }

    /// Walks the finished orders as freqtrade does: average rate of entries, profit of each exit.
    fn recalculate(&mut self, closing: bool) {
        let (mut amount, mut stake, mut average) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
        let (mut entered_value, mut entered, mut profit) =
            (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
        let mut last = None;
        let done: Vec<Order> = self
            .orders
            .iter()
            .filter(|order| !order.is_open() && order.filled > Decimal::ZERO)
            .cloned()
            .collect();
        for order in &done {
            let price = order.safe_price();
            if order.purpose == Purpose::Entry {
                amount += order.filled;
                stake += price * order.filled;
                average = ratio(stake, amount);
                self.open_rate = average;
                entered += price * order.filled;
                entered_value += self.open_value(order.filled);
            } else {
                amount -= order.filled;
                stake -= average * order.filled;
                let (_, won) = self.profit(price, order.filled);
                profit += won;
                last = Some(won);
            }
        }
        self.max_stake_amount = Some(ratio(entered, self.leverage));
        if let Some(last) = last {
            self.close_profit = Some(ratio(profit, entered_value) * self.leverage);
            self.realized_profit = profit.round_dp(8);
            self.close_profit_abs = Some(if closing { profit } else { last }.round_dp(8));
        }
        if amount > Decimal::ZERO {
            self.amount = amount;
            self.stake_amount = ratio(stake, self.leverage);
            self.set_stop();
        }
    }

    fn set_stop(&mut self) {
        if self.stop_loss_ratio.is_zero() {
            return;
        }
        let distance = ratio(self.stop_loss_ratio, self.leverage);
        // Rounded towards the rate, as freqtrade does: the loss is never larger than asked for.
        self.stop_loss = if self.is_short {
            to_step(self.open_rate * (Decimal::ONE + distance), self.tick, false)
        } else {
            to_step(self.open_rate * (Decimal::ONE - distance), self.tick, true)
        };
    }

    /// Remembers the extremes that the rate reached while open.
    pub(super) fn watch(&mut self, rate: Decimal) {
        self.max_rate = Some(self.max_rate.map_or(rate, |max| max.max(rate)));
        self.min_rate = Some(self.min_rate.map_or(rate, |min| min.min(rate)));
    }
}

/// `value` as a multiple of `step`, rounded down or up.
pub(super) fn to_step(value: Decimal, step: Decimal, up: bool) -> Decimal {
    if step.is_zero() {
        return value;
    }
    let steps = ratio(value, step);
    let whole = if up {
        steps.round_dp_with_strategy(0, RoundingStrategy::ToPositiveInfinity)
    } else {
        steps.round_dp_with_strategy(0, RoundingStrategy::ToNegativeInfinity)
    };
    (whole * step).normalize()
}

/// A quotient; zero over zero is zero.
pub(super) fn ratio(over: Decimal, under: Decimal) -> Decimal {
    over.checked_div(under).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests;
