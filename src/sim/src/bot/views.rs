//! The bot's state as freqtrade's REST API shows it: the field names and spellings of real answers.
//!
//! Weak: of `/profit` the statistical ratios (Sharpe and the like) are left out, and a position's funding is zero.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::book::Book;
use super::store::float;
use super::trade::{Order, Purpose, Trade, ratio};
use crate::ids::format_ms;

/// Open trades at most, as `show_config` and `count` say.
const MAX_OPEN: usize = 4;

fn num(value: Decimal) -> Value {
    json!(float(value.round_dp(8)))
}

fn maybe(value: Option<Decimal>) -> Value {
    value.map_or(Value::Null, num)
}

fn percent(value: Decimal) -> Value {
    json!(float((value * Decimal::ONE_HUNDRED).round_dp(2)))
}

fn date(at_us: i64) -> String {
    format_ms(at_us / 1000, "%Y-%m-%d %H:%M:%S")
}

fn iso(at_us: i64) -> String {
    jiff::Timestamp::from_microsecond(at_us)
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
        .unwrap_or_default()
}

/// `/health`; an error that stopped the bot is added to what freqtrade shows.
pub(super) fn health(book: &Book) -> Value {
    let mut health = json!({
        "last_process": iso(book.last_beat_us), "last_process_ts": book.last_beat_us / 1_000_000,
        "bot_start": iso(book.started_us), "bot_start_ts": book.started_us / 1_000_000,
        "bot_startup": iso(book.started_us), "bot_startup_ts": book.started_us / 1_000_000,
    });
    if let (Some(error), Some(fields)) = (&book.last_error, health.as_object_mut()) {
        fields.insert("last_error".to_owned(), json!(error));
    }
    health
}

/// `/logs`
pub(super) fn logs(book: &Book) -> Value {
    let lines: Vec<Value> = book
        .log
        .iter()
        .map(|line| {
            json!([
                date(line.at_us),
                line.at_us / 1000,
                "freqtrade.freqtradebot",
                line.level,
                line.text
            ])
        })
        .collect();
    json!({"log_count": lines.len(), "logs": lines})
}

/// `/show_config`
pub(super) fn show_config(book: &Book) -> Value {
    json!({
        "version": super::VERSION, "strategy_version": null, "api_version": 2.5, "dry_run": false,
        "trading_mode": "futures", "margin_mode": "cross", "short_allowed": true, "stake_currency": "USDT",
        "stake_amount": "unlimited", "available_capital": null, "stake_currency_decimals": 3,
        "max_open_trades": MAX_OPEN as f64, "minimal_roi": {"0": 0.05}, "stoploss": -1.25,
        "stoploss_on_exchange": true, "trailing_stop": false, "trailing_stop_positive": null,
        "trailing_stop_positive_offset": 0.0, "trailing_only_offset_is_reached": false,
        "unfilledtimeout": {"entry": 2, "exit": 2, "unit": "seconds", "exit_timeout_count": 0},
        "order_types": {
            "entry": "limit", "exit": "limit", "emergency_exit": "market", "force_exit": "limit",
            "force_entry": "limit", "stoploss": "market", "stoploss_on_exchange": true,
            "stoploss_on_exchange_interval": 60,
        },
        "use_custom_stoploss": false, "timeframe": "1m", "timeframe_ms": 60_000, "timeframe_min": 1,
        "exchange": "bybit", "demo_trading": false, "strategy": super::STRATEGY, "force_entry_enable": true,
        "exit_pricing": {"price_side": "other", "use_order_book": true, "order_book_top": 1},
        "entry_pricing": {
            "price_side": "same", "use_order_book": true, "order_book_top": 1, "price_last_balance": 0.0,
            "check_depth_of_market": {"enabled": false, "bids_to_ask_delta": 1},
        },
        "bot_name": "fusebox-sim", "state": book.run.word(), "runmode": "live",
        "position_adjustment_enable": false, "max_entry_position_adjustment": -1,
    })
}

/// `/count`
pub(super) fn count(book: &Book) -> Value {
    let open = book.trades.iter().filter(|trade| trade.is_open);
    let stake: Decimal = open.clone().map(|trade| trade.stake_amount).sum();
    json!({"current": open.count(), "max": MAX_OPEN, "total_stake": num(stake)})
}

/// `/balance`
pub(super) fn balance(book: &Book) -> Value {
    let open: Vec<&Trade> = book
        .trades
        .iter()
        .filter(|trade| trade.is_open && trade.entered())
        .collect();
    let used: Decimal = open.iter().map(|trade| trade.stake_amount).sum();
    let free = book.equity - used;
    let mut currencies = vec![json!({
        "currency": "USDT", "free": num(free), "balance": num(book.equity), "used": num(used),
        "bot_owned": num(book.equity), "est_stake": num(free), "est_stake_bot": num(free), "stake": "USDT",
        "side": "long", "is_position": false, "position": 0.0, "is_bot_managed": true,
    })];
    currencies.extend(open.iter().map(|trade| {
        json!({
            "currency": trade.pair(), "free": 0.0, "balance": 0.0, "used": 0.0, "bot_owned": null,
            "est_stake": num(trade.stake_amount), "est_stake_bot": num(trade.stake_amount), "stake": "USDT",
            "side": side(trade), "is_position": true, "position": num(trade.amount), "is_bot_managed": true,
        })
    }));
    json!({
        "currencies": currencies, "total": num(book.equity), "total_bot": num(book.equity), "symbol": "",
        "value": 0.0, "value_bot": 0.0, "stake": "USDT", "note": "",
    })
}

fn side(trade: &Trade) -> &'static str {
    if trade.is_short { "short" } else { "long" }
}

/// `/profit`
pub(super) fn profit(book: &Book) -> Value {
    let closed: Vec<&Trade> = book.trades.iter().filter(|trade| !trade.is_open).collect();
    let won = |trade: &&&Trade| trade.realized_profit >= Decimal::ZERO;
    let closed_abs: Decimal = closed.iter().map(|trade| trade.realized_profit).sum();
    let open_abs: Decimal = book
        .trades
        .iter()
        .filter(|trade| trade.is_open)
        .map(|trade| trade.realized_profit + open_profit(book, trade).1)
        .sum();
    let volume: Decimal = book
        .trades
        .iter()
        .flat_map(|trade| &trade.orders)
        .map(Order::cost)
        .sum();
    let all = closed_abs + open_abs;
    let of_equity = |value: Decimal| ratio(value, book.equity - all);
    let (winning, total) = (closed.iter().filter(won).count(), closed.len());
    let first = book.trades.first().map_or(0, |trade| trade.open_us);
    let latest = book.trades.last().map_or(0, |trade| trade.open_us);
    json!({
        "profit_closed_coin": num(closed_abs), "profit_closed_percent": percent(of_equity(closed_abs)),
        "profit_closed_ratio": num(of_equity(closed_abs)), "profit_closed_fiat": 0.0,
        "profit_all_coin": num(all), "profit_all_percent": percent(of_equity(all)),
        "profit_all_ratio": num(of_equity(all)), "profit_all_fiat": 0.0,
        "trade_count": book.trades.len(), "closed_trade_count": total,
        "first_trade_date": date(first), "first_trade_timestamp": first / 1000,
        "latest_trade_date": date(latest), "latest_trade_timestamp": latest / 1000,
        "winning_trades": winning, "losing_trades": total - winning,
        "winrate": if total == 0 { 0.0 } else { winning as f64 / total as f64 },
        "trading_volume": num(volume),
        "bot_start_timestamp": book.started_us / 1000, "bot_start_date": date(book.started_us),
    })
}

fn open_profit(book: &Book, trade: &Trade) -> (Decimal, Decimal) {
    let rate = rate_of(book, trade);
    trade.profit(rate, trade.amount)
}

fn rate_of(book: &Book, trade: &Trade) -> Decimal {
    book.quotes
        .get(&trade.symbol)
        .map_or(trade.open_rate, |quote| quote.last)
}

/// `/status`: the open trades.
pub(super) fn status(book: &Book) -> Value {
    book.trades
        .iter()
        .filter(|trade| trade.is_open)
        .map(|trade| trade_view(book, trade))
        .collect()
}

/// `/trades`: all trades, `limit` from `offset` on.
pub(super) fn trades(book: &Book, limit: usize, offset: usize) -> Value {
    let page: Vec<Value> = book
        .trades
        .iter()
        .filter(|trade| !trade.is_open)
        .skip(offset)
        .take(limit)
        .map(|trade| trade_view(book, trade))
        .collect();
    let total = book.trades.iter().filter(|trade| !trade.is_open).count();
    json!({"trades": page, "trades_count": page.len(), "offset": offset, "total_trades": total})
}

/// One trade by its row number.
pub(super) fn trade(book: &Book, id: i64) -> Option<Value> {
    let trade = book.trades.iter().find(|trade| trade.id == id)?;
    Some(trade_view(book, trade))
}

fn trade_view(book: &Book, trade: &Trade) -> Value {
    let mut view = basics(trade);
    let more = if trade.is_open {
        open_part(book, trade)
    } else {
        closed_part(trade)
    };
    if let (Some(fields), Value::Object(more)) = (view.as_object_mut(), more) {
        fields.extend(more);
    }
    view
}

fn basics(trade: &Trade) -> Value {
    let filled = |entry: bool| {
        trade.orders.iter().filter(move |order| {
            (order.purpose == Purpose::Entry) == entry && order.filled_us.is_some()
        })
    };
    let first_fill = filled(true).find_map(|order| order.filled_us);
    let stop_ratio = -trade.stop_loss_ratio;
    let orders: Vec<Value> = trade.orders.iter().map(|o| order_view(trade, o)).collect();
    json!({
        "trade_id": trade.id, "pair": trade.pair(), "base_currency": trade.base, "quote_currency": "USDT",
        "is_open": trade.is_open, "is_short": trade.is_short, "exchange": "bybit", "amount": num(trade.amount),
        "amount_requested": num(trade.amount_requested), "stake_amount": num(trade.stake_amount),
        "max_stake_amount": maybe(trade.max_stake_amount), "strategy": super::STRATEGY,
        "enter_tag": trade.enter_tag, "timeframe": 1, "fee_open": num(trade.fee_open),
        "fee_open_cost": maybe(trade.fee_open_cost()),
        "fee_open_currency": trade.max_stake_amount.map(|_| "USDT"), "fee_close": num(trade.fee_close),
        "fee_close_cost": maybe(trade.fee_close_cost),
        "fee_close_currency": trade.fee_close_cost.map(|_| "USDT"), "open_date": date(trade.open_us),
        "open_timestamp": trade.open_us / 1000, "open_fill_date": first_fill.map(date),
        "open_fill_timestamp": first_fill.map(|at| at / 1000), "open_rate": num(trade.open_rate),
        "open_rate_requested": num(trade.open_rate_requested),
        "open_trade_value": num(trade.open_value(trade.amount)), "close_date": trade.close_us.map(date),
        "close_timestamp": trade.close_us.map(|at| at / 1000), "close_rate": maybe(trade.close_rate),
        "close_rate_requested": maybe(trade.close_rate_requested), "close_profit": maybe(trade.close_profit),
        "close_profit_pct": trade.close_profit.map_or(Value::Null, percent),
        "close_profit_abs": maybe(trade.close_profit_abs), "profit_fiat": null,
        "realized_profit": num(trade.realized_profit), "realized_profit_ratio": maybe(trade.close_profit),
        "exit_reason": trade.exit_reason, "exit_order_status": trade.close_us.map(|_| "closed"),
        "stop_loss_abs": num(trade.stop_loss), "stop_loss_ratio": num(stop_ratio),
        "stop_loss_pct": percent(stop_ratio), "stoploss_last_update": null,
        "stoploss_last_update_timestamp": null, "initial_stop_loss_abs": num(trade.stop_loss),
        "initial_stop_loss_ratio": num(stop_ratio), "initial_stop_loss_pct": percent(stop_ratio),
        "min_rate": maybe(trade.min_rate), "max_rate": maybe(trade.max_rate),
        "nr_of_successful_entries": filled(true).count(), "nr_of_successful_exits": filled(false).count(),
        "has_open_orders": trade.open_order(Purpose::Entry).is_some() || trade.open_order(Purpose::Exit).is_some(),
        "orders": orders, "leverage": num(trade.leverage), "interest_rate": 0.0,
        "liquidation_price": maybe(trade.liquidation_price), "funding_fees": 0.0, "trading_mode": "futures",
        "amount_precision": num(trade.step), "price_precision": num(trade.tick), "precision_mode": 4,
    })
}

fn open_part(book: &Book, trade: &Trade) -> Value {
    let rate = rate_of(book, trade);
    let (won_ratio, won) = open_profit(book, trade);
    let total = won + trade.realized_profit;
    let mut part = json!({
        "profit_ratio": num(won_ratio), "profit_pct": percent(won_ratio), "profit_abs": num(won),
        "current_rate": num(rate), "total_profit_abs": num(total), "total_profit_fiat": null,
        "total_profit_ratio": maybe(trade.max_stake_amount.map(|stake| ratio(total, stake))),
    });
    if let Some(fields) = part.as_object_mut()
        && !trade.stop_loss.is_zero()
    {
        let distance = trade.stop_loss - rate;
        let (at_stop, lost) = trade.profit(trade.stop_loss, trade.amount);
        for (name, value) in [
            ("stoploss_current_dist", num(distance)),
            ("stoploss_current_dist_pct", percent(ratio(distance, rate))),
            ("stoploss_current_dist_ratio", num(ratio(distance, rate))),
            ("stoploss_entry_dist", num(lost)),
            ("stoploss_entry_dist_ratio", num(at_stop)),
        ] {
            fields.insert(name.to_owned(), value);
        }
    }
    part
}

fn closed_part(trade: &Trade) -> Value {
    let held_us = trade.close_us.map_or(0, |at| at - trade.open_us);
    json!({
        "profit_ratio": maybe(trade.close_profit), "profit_abs": maybe(trade.close_profit_abs),
        "profit_pct": trade.close_profit.map_or(Value::Null, percent),
        "trade_duration_s": held_us / 1_000_000, "trade_duration": held_us / 60_000_000,
        "precision_mode_price": 4, "contract_size": 1.0,
    })
}

fn order_view(trade: &Trade, order: &Order) -> Value {
    let side = match order.purpose {
        Purpose::Stop => "stoploss",
        _ => order.side(),
    };
    json!({
        "pair": trade.pair(), "order_id": order.order_id, "status": order.standing.word(),
        "remaining": num(order.remaining()), "amount": num(order.amount), "safe_price": num(order.safe_price()),
        "cost": num(order.cost()), "filled": num(order.filled), "ft_order_side": side,
        "ft_is_entry": order.purpose == Purpose::Entry,
        "order_type": if order.market { "market" } else { "limit" }, "is_open": order.is_open(),
        "average": maybe(order.average), "price": num(order.requested_price),
        "order_date": date(order.placed_us), "order_timestamp": order.placed_us / 1000,
        "order_filled_date": order.filled_us.map(date),
        "order_filled_timestamp": order.filled_us.map(|at| at / 1000), "ft_fee_base": null,
        "funding_fee": 0.0, "ft_order_tag": order.tag,
    })
}
