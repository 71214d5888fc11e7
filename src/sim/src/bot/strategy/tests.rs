use super::*;
use crate::bot::trade::tests::d;
use crate::bot::trade::{Event, Seen};

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
    let mut order = crate::bot::trade::tests::order(trade, purpose, id, "1", "1");
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
        d("45000.0"),
        "a quarter below a bid of 59999.9, on the next tick up"
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
