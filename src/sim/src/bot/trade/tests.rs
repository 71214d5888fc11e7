use super::*;

pub(crate) fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn wish(symbol: &str, is_short: bool, amount: &str, rate: &str, leverage: &str) -> Wish {
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

pub(crate) fn order(trade: &Trade, purpose: Purpose, id: &str, amount: &str, price: &str) -> Order {
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
    assert_eq!(
        t.orders[1].cancel_reason.as_deref(),
        Some(CANCELLED_ELSEWHERE)
    );
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
