//! One trade with its orders, and freqtrade's arithmetic over them: amounts, average rates, fees and profit.
//!
//! Pure. Money is decimal here and becomes a float only in the database and the REST answers, where freqtrade has
//! floats. The formulas are those by which freqtrade's own databases add up (checked against rows it wrote).

use rust_decimal::{Decimal, RoundingStrategy};

/// Maker fee assumed until the exchange has told the real one.
const DEFAULT_FEE: Decimal = Decimal::from_parts(2, 0, 0, false, 4);

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
        if self.is_short {
            let won = open - (value + fee);
            (ratio(won, open) * self.leverage, won)
        } else {
            let won = (value - fee) - open;
            (ratio(won, open) * self.leverage, won)
        }
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
                order.cancel_reason = Some("cancelled on exchange, partially filled".to_owned());
            }
        }
        let (purpose, done, filled) = (order.purpose, !order.is_open(), order.filled);
        if !done {
            // freqtrade reckons with finished orders only.
            return None;
        }
        if filled.is_zero() {
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
        // Rounded away from the stop being hit early, as freqtrade does.
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
pub(super) mod tests {
    use super::*;

    pub(crate) fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    pub(crate) fn wish(
        symbol: &str,
        is_short: bool,
        amount: &str,
        rate: &str,
        leverage: &str,
    ) -> Wish {
        Wish {
            symbol: symbol.to_owned(),
            base: symbol.trim_end_matches("USDT").to_owned(),
            is_short,
            amount: d(amount),
            rate: d(rate),
            leverage: d(leverage),
            stop_loss_ratio: d("0.1"),
            tag: "ma_down".to_owned(),
            tick: d("0.1"),
            step: d("0.001"),
        }
    }

    pub(crate) fn order(
        trade: &Trade,
        purpose: Purpose,
        id: &str,
        amount: &str,
        price: &str,
    ) -> Order {
        Order {
            id: 0,
            purpose,
            buy: (purpose == Purpose::Entry) != trade.is_short,
            standing: Standing::Open,
            order_id: id.to_owned(),
            market: false,
            requested: d(amount),
            requested_price: d(price),
            stop_price: (purpose == Purpose::Stop).then(|| d(price)),
            amount: d(amount),
            filled: Decimal::ZERO,
            average: None,
            fee: Decimal::ZERO,
            cancel_reason: None,
            tag: None,
            placed_us: 1_795_242_102_586_000,
            filled_us: None,
            updated_us: 0,
        }
    }

    pub(crate) fn filled(amount: &str, price: &str, fee_rate: &str) -> Seen {
        Seen {
            standing: Standing::Closed,
            filled: d(amount),
            average: Some(d(price)),
            fee: d(amount) * d(price) * d(fee_rate),
            updated_us: 1_795_242_102_587_000,
        }
    }

    /// The first trade of a database that freqtrade itself wrote.
    #[test]
    fn a_short_adds_up_as_in_freqtrades_own_database() {
        let mut t = Trade::new(&wish("BTCUSDT", true, "0.005", "59201.1", "3"), 0);
        t.add_order(order(&t, Purpose::Entry, "e", "0.005", "59201.1"));
        assert_eq!(
            t.apply("e", &filled("0.005", "59201.6", "0.00055"), 1),
            Some(Event::Entered)
        );
        assert_eq!(t.open_value(t.amount), d("295.8451956"));
        assert_eq!(t.stake_amount.round_dp(8), d("98.66933333"));
        assert_eq!(t.fee_open_cost().unwrap().round_dp(10), d("0.0542681333"));
        assert_eq!(t.stop_loss, d("61174.9"));
        t.add_order(order(&t, Purpose::Exit, "x", "0.005", "59123.9"));
        assert_eq!(
            t.apply("x", &filled("0.005", "59123.9", "0.00055"), 2),
            Some(Event::Closed)
        );
        assert!(!t.is_open);
        assert_eq!(t.close_profit_abs, Some(d("0.06310488")));
        assert_eq!(t.realized_profit, d("0.06310488"));
        assert_eq!(t.close_profit.unwrap().round_dp(10), d("0.0006399112"));
        assert_eq!(t.amount, d("0.005"), "a closed trade keeps its last amount");
    }

    #[test]
    fn a_partial_exit_realizes_its_part_and_leaves_the_rest_at_the_same_rate() {
        let mut t = Trade::new(&wish("BTCUSDT", false, "0.010", "60000", "5"), 0);
        t.add_order(order(&t, Purpose::Entry, "e", "0.010", "60000"));
        t.apply("e", &filled("0.010", "60000", "0.0002"), 1);
        t.add_order(order(&t, Purpose::Exit, "x1", "0.005", "59000"));
        assert_eq!(
            t.apply("x1", &filled("0.005", "59000", "0.00055"), 2),
            Some(Event::Reduced)
        );
        assert!(t.is_open);
        assert_eq!((t.amount, t.open_rate), (d("0.005"), d("60000")));
        assert_eq!(t.stake_amount, d("60"));
        assert_eq!(t.max_stake_amount, Some(d("120")));
        // 5 lost, 0.06 paid to enter, 0.16225 to leave.
        assert_eq!(t.realized_profit, d("-5.22225"));
        t.add_order(order(&t, Purpose::Exit, "x2", "0.005", "61000"));
        assert_eq!(
            t.apply("x2", &filled("0.005", "61000", "0.00055"), 3),
            Some(Event::Closed)
        );
        assert_eq!(t.close_profit_abs, Some(t.realized_profit));
        assert!(t.realized_profit < Decimal::ZERO && t.realized_profit > d("-1"));
    }

    #[test]
    fn an_entry_is_repriced_without_losing_what_was_filled() {
        let mut t = Trade::new(&wish("BTCUSDT", false, "0.010", "60000", "5"), 0);
        t.add_order(order(&t, Purpose::Entry, "e1", "0.010", "60000"));
        let part = Seen {
            standing: Standing::Canceled,
            ..filled("0.004", "60000", "0.0002")
        };
        assert_eq!(t.apply("e1", &part, 1), Some(Event::Entered));
        assert_eq!((t.amount, t.entry_left()), (d("0.004"), d("0.006")));
        t.add_order(order(&t, Purpose::Entry, "e2", "0.006", "60010"));
        let none = Seen {
            standing: Standing::Canceled,
            filled: Decimal::ZERO,
            average: None,
            ..part
        };
        assert_eq!(t.apply("e2", &none, 2), Some(Event::Void));
        t.add_order(order(&t, Purpose::Entry, "e3", "0.006", "60020"));
        assert_eq!(
            t.apply("e3", &filled("0.006", "60020", "0.0002"), 3),
            Some(Event::Entered)
        );
        assert_eq!((t.amount, t.open_rate), (d("0.010"), d("60012")));
        assert_eq!(
            t.apply("e3", &filled("0.006", "60020", "0.0002"), 4),
            None,
            "told twice, counted once"
        );
    }

    #[test]
    fn a_stop_that_fires_closes_the_trade_and_says_so() {
        let mut t = Trade::new(&wish("BTCUSDT", false, "0.010", "60000", "5"), 0);
        t.add_order(order(&t, Purpose::Entry, "e", "0.010", "60000"));
        t.apply("e", &filled("0.010", "60000", "0.0002"), 1);
        t.add_order(order(&t, Purpose::Stop, "s", "0.010", "58800"));
        assert_eq!(
            t.apply("s", &filled("0.010", "58790", "0.00055"), 2),
            Some(Event::Closed)
        );
        assert_eq!(t.exit_reason.as_deref(), Some("stoploss_on_exchange"));
        assert_eq!(t.close_rate, Some(d("58790")));
    }

    #[test]
    fn steps_round_to_what_the_exchange_accepts() {
        assert_eq!(to_step(d("0.0057"), d("0.001"), false), d("0.005"));
        assert_eq!(to_step(d("59201.11"), d("0.1"), true), d("59201.2"));
        assert_eq!(to_step(d("5"), Decimal::ZERO, true), d("5"));
    }
}
