//! Positions: listing, leverage, stops, closed profits.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::super::args::{nth, page};
use super::super::error::ApiError;
use super::super::intake::{check_price, check_qty};
use super::super::order::{Side, StopKind};
use super::super::state::State;
use super::{Answer, Call};

/// This exchange has linear contracts only.
pub(super) fn linear(call: &Call) -> Result<(), ApiError> {
    match call.args.need("category")?.as_str() {
        "linear" => Ok(()),
        "spot" | "inverse" | "option" => Err(ApiError::params(
            "this simulated account trades linear contracts only",
        )),
        _ => Err(ApiError::params("category invalid")),
    }
}

pub(super) fn list(state: &mut State, call: &Call) -> Answer {
    let args = &call.args;
    let category = args.need("category")?;
    let account = state.account(call.uid()?)?;
    let held = |s: &str| !account.position(s).size.is_zero();
    // With a symbol also an empty position is listed, with a settle coin only held ones.
    let symbols: Vec<&str> = match (
        category.as_str(),
        args.text("symbol"),
        args.text("settleCoin"),
    ) {
        ("linear", Some(symbol), _) => vec![state.market(&symbol)?.instrument.symbol],
        ("linear", None, Some(coin)) if coin == "USDT" => {
            state.markets.keys().copied().filter(|s| held(s)).collect()
        }
        ("linear", None, None) => return Err(ApiError::params("symbol or settleCoin is required")),
        _ => Vec::new(),
    };
    let rows: Vec<Value> = symbols
        .iter()
        .filter_map(|s| Some(account.position_row(state.markets.get(s)?, &state.markets)))
        .collect();
    let rows = rows
        .into_iter()
        .enumerate()
        .map(|(i, row)| (nth(i), row))
        .collect();
    let (list, cursor) = page(rows, args, 20, 200)?;
    Ok(json!({"category": category, "list": list, "nextPageCursor": cursor}))
}

pub(super) fn closed_pnl(state: &mut State, call: &Call) -> Answer {
    let args = &call.args;
    let (start, end) = args.window(call.now_ms, 7)?;
    let symbol = args.text("symbol");
    let rows = state
        .account(call.uid()?)?
        .closed_pnl
        .iter()
        .rev()
        .filter(|p| (start..=end).contains(&p.time_ms))
        .filter(|p| {
            symbol
                .as_deref()
                .is_none_or(|s| p.row.get("symbol").is_some_and(|r| r == s))
        })
        .map(|p| ((p.time_ms, p.seq), p.row.clone()))
        .collect();
    let (list, cursor) = page(rows, args, 50, 100)?;
    Ok(json!({"category": "linear", "list": list, "nextPageCursor": cursor}))
}

pub(super) fn set_leverage(state: &mut State, call: &Call) -> Answer {
    linear(call)?;
    let args = &call.args;
    let instrument = state.market(&args.need("symbol")?)?.instrument.clone();
    let leverage = args
        .decimal("buyLeverage")?
        .ok_or_else(|| ApiError::params("buyLeverage is missing"))?;
    if args.decimal("sellLeverage")? != Some(leverage) {
        return Err(ApiError::params("buy leverage not equal sell leverage"));
    }
    if leverage < Decimal::ONE || leverage > instrument.max_leverage {
        return Err(ApiError::params("leverage invalid"));
    }
    let account = state.account_mut(call.uid()?)?;
    if account.leverage_of(instrument.symbol) == leverage {
        return Err(ApiError::known(110043));
    }
    account.leverage.insert(instrument.symbol, leverage);
    state.emit_position(call.uid()?, instrument.symbol, call.now_ms);
    Ok(json!({}))
}

pub(super) fn switch_mode(_: &mut State, call: &Call) -> Answer {
    linear(call)?;
    match call.args.int("mode")? {
        Some(0) => Ok(json!({})),
        Some(3) => Err(ApiError::params(
            "this simulated account has one-way mode only",
        )),
        _ => Err(ApiError::params("mode invalid")),
    }
}

pub(super) fn trading_stop(state: &mut State, call: &Call) -> Answer {
    linear(call)?;
    let (args, uid) = (&call.args, call.uid()?);
    let instrument = state.market(&args.need("symbol")?)?.instrument.clone();
    let position = state.account(uid)?.position(instrument.symbol);
    if position.size.is_zero() {
        return Err(ApiError::new(
            10001,
            "can not set tp/sl/ts for zero position",
        ));
    }
    if args.decimal("trailingStop")?.is_some_and(|t| !t.is_zero()) {
        return Err(ApiError::params("trailing stops are not simulated"));
    }
    let partial = args.text("tpslMode").is_some_and(|m| m == "Partial");
    let mark = state.market(instrument.symbol)?.mark;
    let above = Side::of(position.size) == Side::Buy;
    let mut changes = Vec::new();
    for (name, size, full, part, profit) in [
        (
            "takeProfit",
            "tpSize",
            StopKind::TakeProfit,
            StopKind::PartialTakeProfit,
            true,
        ),
        (
            "stopLoss",
            "slSize",
            StopKind::StopLoss,
            StopKind::PartialStopLoss,
            false,
        ),
    ] {
        let Some(price) = args.decimal(name)? else {
            continue;
        };
        let old = state
            .account(uid)?
            .orders
            .iter()
            .find(|o| o.symbol == instrument.symbol && o.stop == full);
        let unchanged = old
            .and_then(|o| o.trigger)
            .map_or(Decimal::ZERO, |t| t.price)
            == price;
        if !partial && unchanged {
            continue;
        }
        let (price, qty) = match price.is_zero() {
            true => (None, None),
            false => {
                if (price > mark) != (profit == above) {
                    return Err(ApiError::params(format_args!(
                        "{name} would trigger at once"
                    )));
                }
                let qty = args
                    .decimal(size)?
                    .filter(|_| partial)
                    .map(|q| check_qty(&instrument, q))
                    .transpose()?;
                (Some(check_price(&instrument, price, name)?), qty)
            }
        };
        changes.push((if partial { part } else { full }, price, qty));
    }
    if changes.is_empty() {
        return Err(ApiError::known(34040));
    }
    for (stop, price, qty) in changes {
        state.set_position_stop(uid, instrument.symbol, stop, price, qty, call.now_ms);
    }
    Ok(json!({}))
}
