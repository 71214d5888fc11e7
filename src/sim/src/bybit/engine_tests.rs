//! The engine as its users see it: orders in, positions, wallet, ledger and messages out; time passed in.

use serde_json::{Value, json};

use super::*;
use crate::bybit::args::Args;
use crate::bybit::error::ApiError;

const UID: u64 = 100_001;
const NOW: i64 = 1_790_000_000_000;

struct Bench {
    state: State,
    now: i64,
}

fn bench() -> Bench {
    Bench {
        state: State::new(1, 1, 3, NOW),
        now: NOW,
    }
}

impl Bench {
    /// Places an order of BTC (unless the fields name another) and lets it take effect.
    fn order(&mut self, fields: Value) -> Result<String, ApiError> {
        let mut all =
            json!({"symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.1"});
        for (name, value) in fields.as_object().unwrap() {
            all[name] = value.clone();
        }
        let (id, _) = self
            .state
            .accept_order(UID, "test", &Args::from_value(all), self.now)?;
        self.pass(50);
        Ok(id)
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms;
        self.state.step(self.now);
    }

    fn mark(&mut self, mark: i64) {
        self.now += 1;
        self.state
            .set_mark("BTCUSDT", Decimal::from(mark), self.now);
    }

    fn account(&self) -> &crate::bybit::account::Account {
        self.state.account(UID).unwrap()
    }

    fn size(&self) -> Decimal {
        self.account().position("BTCUSDT").size
    }

    /// Status and reason of any order, open or closed.
    fn status(&self, id: &str) -> (&'static str, &'static str, &'static str) {
        let account = self.account();
        let order = account
            .orders
            .iter()
            .chain(&account.closed_orders)
            .find(|o| o.id == id)
            .unwrap();
        (
            order.status.as_str(),
            order.cancel_type,
            order.reject_reason,
        )
    }

    fn code(&mut self, fields: Value) -> i64 {
        self.order(fields).map_or_else(|e| e.code, |_| 0)
    }
}

#[test]
fn an_order_is_accepted_first_and_takes_effect_later() {
    let mut b = bench();
    let fields = json!({"symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.1"});
    b.state
        .accept_order(UID, "test", &Args::from_value(fields), b.now)
        .unwrap();
    b.pass(1);
    assert!(b.size().is_zero());
    b.pass(50);
    assert_eq!(b.size(), Decimal::new(1, 1));
}

#[test]
fn wallet_ledger_and_equity_agree_after_a_round_trip() {
    let mut b = bench();
    b.order(json!({})).unwrap();
    b.mark(66_000);
    b.order(json!({"side": "Sell", "reduceOnly": true}))
        .unwrap();
    let account = b.account();
    assert!(b.size().is_zero());
    let rows = account
        .ledger
        .list(UID, b.now, (0, i64::MAX), Some("TRADE"));
    let figure = |row: &Value, name: &str| row[name].as_str().unwrap().parse::<Decimal>().unwrap();
    let changes: Decimal = rows.iter().map(|(_, row)| figure(row, "change")).sum();
    assert_eq!(account.wallet, Decimal::from(4_000) + changes);
    assert_eq!(figure(&rows[0].1, "cashBalance"), account.wallet);
    assert_eq!(account.equity(&b.state.markets), account.wallet);
    // Bought near 65 000, sold near 66 000: about 100 less fees of 7.2 and slips.
    assert!(
        (Decimal::from(85)..Decimal::from(93)).contains(&changes),
        "{changes}"
    );
    let closed = account.closed_pnl.back().unwrap();
    let pnl: Decimal = closed.row["closedPnl"].as_str().unwrap().parse().unwrap();
    assert_eq!(pnl, changes.round_dp(8));
}

#[test]
fn a_position_can_flip() {
    let mut b = bench();
    b.order(json!({})).unwrap();
    b.order(json!({"side": "Sell", "qty": "0.3"})).unwrap();
    let position = b.account().position("BTCUSDT");
    assert_eq!(position.size, Decimal::new(-2, 1));
    assert!(position.entry < Decimal::from(65_000));
    b.mark(64_000);
    assert!(b.account().unrealised(&b.state.markets) > Decimal::from(195));
}

#[test]
fn a_limit_order_rests_and_fills_as_maker_when_the_mark_reaches_it() {
    let mut b = bench();
    let id = b
        .order(json!({"orderType": "Limit", "price": "64000"}))
        .unwrap();
    assert_eq!(b.status(&id).0, "New");
    b.mark(64_001);
    assert_eq!(b.status(&id).0, "New");
    b.mark(63_990);
    assert_eq!(b.status(&id).0, "Filled");
    let execution = b.account().executions.back().unwrap();
    assert!(execution.is_maker && execution.price == Decimal::from(64_000));
}

#[test]
fn post_only_never_takes() {
    let mut b = bench();
    let id = b
        .order(json!({"orderType": "Limit", "price": "65100", "timeInForce": "PostOnly"}))
        .unwrap();
    assert_eq!(
        b.status(&id),
        ("Cancelled", "CancelByUser", "EC_PostOnlyWillTakeLiquidity")
    );
    let id = b
        .order(json!({"orderType": "Limit", "price": "64900", "timeInForce": "PostOnly"}))
        .unwrap();
    assert_eq!(b.status(&id).0, "New");
    let id = b
        .order(json!({"orderType": "Limit", "price": "64900", "timeInForce": "IOC"}))
        .unwrap();
    assert_eq!(b.status(&id).2, "EC_NoImmediateQtyToFill");
}

#[test]
fn reduce_only_reduces_at_most_to_zero() {
    let mut b = bench();
    assert_eq!(b.code(json!({"side": "Sell", "reduceOnly": true})), 110017);
    b.order(json!({})).unwrap();
    assert_eq!(b.code(json!({"side": "Buy", "reduceOnly": true})), 110017);
    let resting =
        json!({"side": "Sell", "orderType": "Limit", "price": "66000", "reduceOnly": true});
    let resting = b.order(resting).unwrap();
    b.order(json!({"side": "Sell", "qty": "5", "reduceOnly": true}))
        .unwrap();
    assert!(b.size().is_zero());
    assert_eq!(
        b.status(&resting),
        ("Cancelled", "CancelByReduceOnly", "EC_PerCancelRequest")
    );
}

#[test]
fn quantity_zero_closes_everything() {
    let mut b = bench();
    b.order(json!({"qty": "0.123"})).unwrap();
    b.order(json!({"side": "Sell", "qty": "0", "reduceOnly": true, "closeOnTrigger": true}))
        .unwrap();
    assert!(b.size().is_zero());
    assert_eq!(b.code(json!({"qty": "0"})), 10001);
}

#[test]
fn a_stop_triggers_when_the_mark_falls_through_it() {
    let mut b = bench();
    b.order(json!({})).unwrap();
    let stop =
        json!({"side": "Sell", "triggerPrice": "63000", "triggerDirection": 2, "reduceOnly": true});
    let id = b.order(stop).unwrap();
    assert_eq!(b.status(&id).0, "Untriggered");
    b.mark(63_500);
    assert_eq!(b.status(&id).0, "Untriggered");
    b.mark(62_900);
    assert_eq!(b.status(&id).0, "Filled");
    assert!(b.size().is_zero());
}

#[test]
fn a_trigger_on_the_wrong_side_is_refused() {
    let mut b = bench();
    let order =
        |direction: i32, price: &str| json!({"triggerPrice": price, "triggerDirection": direction});
    assert_eq!(b.code(order(1, "64000")), 110092);
    assert_eq!(b.code(order(2, "66000")), 110093);
    assert_eq!(b.code(json!({"triggerPrice": "64000"})), 10001);
}

#[test]
fn stops_that_come_with_an_order_belong_to_its_position() {
    let mut b = bench();
    b.order(json!({"stopLoss": "62000", "takeProfit": "70000"}))
        .unwrap();
    let row = b
        .account()
        .position_row(b.state.market("BTCUSDT").unwrap(), &b.state.markets);
    assert_eq!(
        (&row["stopLoss"], &row["takeProfit"]),
        (&json!("62000.00"), &json!("70000.00"))
    );
    // A second purchase is covered too: the stop is for the whole position.
    b.order(json!({})).unwrap();
    b.mark(61_900);
    assert!(b.size().is_zero());
    assert!(b.account().orders.is_empty());
    let profit = b
        .account()
        .closed_orders
        .iter()
        .find(|o| o.stop == StopKind::TakeProfit)
        .unwrap();
    assert_eq!(
        (profit.status.as_str(), profit.cancel_type),
        ("Deactivated", "CancelByTpSlTsClear")
    );
}

#[test]
fn a_conditional_entry_opens_a_position() {
    let mut b = bench();
    let entry = json!({"orderType": "Limit", "price": "66100", "triggerPrice": "66000", "triggerDirection": 1});
    let id = b.order(entry).unwrap();
    b.mark(66_050);
    assert_eq!(b.status(&id).0, "Filled");
    assert_eq!(b.size(), Decimal::new(1, 1));
}

#[test]
fn filters_and_limits_refuse() {
    let mut b = bench();
    assert_eq!(b.code(json!({"symbol": "DOGEUSDT"})), 10001);
    assert_eq!(b.code(json!({"qty": "0.0005"})), 10001);
    assert_eq!(
        b.code(json!({"orderType": "Limit", "price": "64000.05"})),
        10001
    );
    assert_eq!(
        b.code(json!({"orderType": "Limit", "price": "4000", "qty": "0.001"})),
        110094
    );
    assert_eq!(b.code(json!({"qty": "1"})), 110007);
    assert_eq!(b.code(json!({"positionIdx": 1})), 10001);
    assert_eq!(b.code(json!({"orderLinkId": "one"})), 0);
    assert_eq!(b.code(json!({"orderLinkId": "one"})), 110072);
}

#[test]
fn a_symbol_holds_five_hundred_active_orders_and_ten_conditional_ones() {
    let mut b = bench();
    let tiny = json!({"orderType": "Limit", "price": "6000", "qty": "0.001"});
    for _ in 0..500 {
        b.order(tiny.clone()).unwrap();
    }
    assert_eq!(b.code(tiny), 110020);
    let stop =
        json!({"side": "Sell", "triggerPrice": "6000", "triggerDirection": 2, "qty": "0.001"});
    for _ in 0..10 {
        b.order(stop.clone()).unwrap();
    }
    assert_eq!(b.code(stop), 110009);
}

#[test]
fn an_order_event_brings_a_position_message_each_time() {
    let mut b = bench();
    let id = b
        .order(json!({"orderType": "Limit", "price": "64000"}))
        .unwrap();
    b.state.outbox.clear();
    let args = Args::from_value(json!({"symbol": "BTCUSDT", "orderId": id}));
    b.state.accept_cancel(UID, &args, b.now).unwrap();
    b.pass(50);
    let topics: Vec<&str> = b.state.outbox.iter().map(|e| e.topic).collect();
    assert_eq!(topics, ["order", "position"]);
    assert_eq!(
        b.state.accept_cancel(UID, &args, b.now).unwrap_err().code,
        110001
    );
    b.state.outbox.clear();
    b.order(json!({})).unwrap();
    let topics: Vec<&str> = b.state.outbox.iter().map(|e| e.topic).collect();
    assert_eq!(topics, ["execution", "order", "position", "wallet"]);
}

#[test]
fn an_amended_order_moves() {
    let mut b = bench();
    let id = b
        .order(json!({"orderType": "Limit", "price": "64000"}))
        .unwrap();
    let args = Args::from_value(
        json!({"symbol": "BTCUSDT", "orderId": id, "price": "64500", "qty": "0.2"}),
    );
    b.state.accept_amend(UID, &args, b.now).unwrap();
    b.pass(50);
    b.mark(64_400);
    assert_eq!(b.size(), Decimal::new(2, 1));
}

#[test]
fn longs_pay_funding_every_eight_hours() {
    let mut b = bench();
    b.order(json!({})).unwrap();
    let before = b.account().wallet;
    let next = next_funding_ms(b.now);
    b.now = next;
    b.state.step(next);
    b.state.step(next + 10);
    let paid = before - b.account().wallet;
    assert_eq!(paid, Decimal::new(65, 2));
    let rows = b
        .account()
        .ledger
        .list(UID, next, (0, i64::MAX), Some("SETTLEMENT"));
    assert_eq!(
        (rows.len(), &rows[0].1["funding"], &rows[0].1["change"]),
        (1, &json!("-0.65"), &json!("-0.65"))
    );
    let execution = b.account().executions.back().unwrap().row();
    assert_eq!(
        (&execution["execType"], &execution["execFee"]),
        (&json!("Funding"), &json!("0.65"))
    );
}

#[test]
fn a_transfer_is_no_loss_and_its_row_may_come_late() {
    let mut b = bench();
    b.state
        .transfer(UID, "TRANSFER_OUT", Decimal::from(-1_000), 500, b.now)
        .unwrap();
    assert_eq!(b.account().wallet, Decimal::from(3_000));
    assert!(b.account().drawdown(&b.state.markets).is_zero());
    assert!(
        b.account()
            .ledger
            .list(UID, b.now, (0, i64::MAX), None)
            .is_empty()
    );
    let rows = b
        .account()
        .ledger
        .list(UID, b.now + 500, (0, i64::MAX), None);
    assert_eq!(rows[0].1["transactionTime"], json!(NOW.to_string()));
    assert_eq!(
        (&rows[0].1["change"], &rows[0].1["cashBalance"]),
        (&json!("-1000"), &json!("3000"))
    );
}

#[test]
fn a_transfer_row_may_come_before_the_balance() {
    let mut b = bench();
    b.state
        .transfer(UID, "TRANSFER_IN", Decimal::from(1_000), -500, b.now)
        .unwrap();
    assert_eq!(
        b.account()
            .ledger
            .list(UID, b.now, (0, i64::MAX), None)
            .len(),
        1
    );
    b.pass(499);
    assert_eq!(b.account().wallet, Decimal::from(4_000));
    b.pass(1);
    assert_eq!(b.account().wallet, Decimal::from(5_000));
}

#[test]
fn the_liquidation_price_is_where_the_position_is_taken() {
    let mut b = bench();
    b.order(json!({"qty": "0.5"})).unwrap();
    let market = b.state.market("BTCUSDT").unwrap();
    let row = b.account().position_row(market, &b.state.markets);
    let price: f64 = row["liqPrice"].as_str().unwrap().parse().unwrap();
    b.mark(price.ceil() as i64);
    b.pass(10);
    assert!(!b.size().is_zero(), "above {price}");
    b.mark(price.floor() as i64 - 1);
    b.pass(10);
    assert!(b.size().is_zero(), "below {price}");
    // A position that no price can ruin has none.
    b.order(json!({"qty": "0.001"})).unwrap();
    let market = b.state.market("BTCUSDT").unwrap();
    assert_eq!(
        b.account().position_row(market, &b.state.markets)["liqPrice"],
        ""
    );
}

#[test]
fn a_ruined_account_is_liquidated() {
    let mut b = bench();
    b.order(json!({"qty": "0.5"})).unwrap();
    b.mark(57_100);
    b.pass(10);
    assert!(b.size().is_zero());
    assert_eq!(b.account().executions.back().unwrap().kind, "BustTrade");
}
