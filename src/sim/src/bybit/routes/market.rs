//! Public data.

use serde_json::{Value, json};

use super::super::args::{nth, page};
use super::super::error::ApiError;
use super::super::instruments::FUNDING_RATE;
use super::super::market::{Market, next_funding_ms};
use super::super::state::State;
use super::{Answer, Call};

/// The real exchange refuses more rows than this.
const KLINE_LIMIT: i64 = 1_000;
const EIGHT_HOURS_MS: i64 = 8 * 3_600_000;

pub(super) fn time(_: &mut State, call: &Call) -> Answer {
    Ok(
        json!({"timeSecond": (call.now_ms / 1_000).to_string(), "timeNano": format!("{}000000", call.now_ms)}),
    )
}

/// The markets a public listing asks for; other categories exist but are empty here.
fn asked<'s>(state: &'s State, call: &Call) -> Result<Vec<&'s Market>, ApiError> {
    if call.args.need("category")? != "linear" {
        return Ok(Vec::new());
    }
    if let Some(symbol) = call.args.text("symbol") {
        return Ok(vec![state.market(&symbol)?]);
    }
    let base = call.args.text("baseCoin");
    Ok(state
        .markets
        .values()
        .filter(|m| base.as_ref().is_none_or(|b| *b == m.instrument.base))
        .collect())
}

pub(super) fn instruments_info(state: &mut State, call: &Call) -> Answer {
    let trading = call.args.text("status").is_none_or(|s| s == "Trading");
    let markets = if trading {
        asked(state, call)?
    } else {
        Vec::new()
    };
    let rows = markets
        .iter()
        .enumerate()
        .map(|(i, m)| (nth(i), m.info()))
        .collect();
    let (list, cursor) = page(rows, &call.args, 500, 1_000)?;
    Ok(json!({"category": call.args.need("category")?, "list": list, "nextPageCursor": cursor}))
}

pub(super) fn tickers(state: &mut State, call: &Call) -> Answer {
    let list: Vec<Value> = asked(state, call)?
        .iter()
        .map(|m| m.ticker_row(call.now_ms))
        .collect();
    Ok(json!({"category": call.args.need("category")?, "list": list}))
}

pub(super) fn kline(state: &mut State, call: &Call) -> Answer {
    klines(state, call, true)
}

pub(super) fn mark_price_kline(state: &mut State, call: &Call) -> Answer {
    klines(state, call, false)
}

fn klines(state: &State, call: &Call, with_volume: bool) -> Answer {
    let args = &call.args;
    let market = state.market(&args.need("symbol")?)?;
    let interval = args.need("interval")?;
    let minutes = minutes_of(&interval).ok_or_else(|| ApiError::params("interval invalid"))?;
    let limit = args.int("limit")?.unwrap_or(200).clamp(1, KLINE_LIMIT);
    let (start, end) = (
        args.int("start")?.unwrap_or(0),
        args.int("end")?.unwrap_or(i64::MAX),
    );
    let candles = market.candles(minutes, start, end, usize::try_from(limit).unwrap_or(1));
    Ok(json!({
        "symbol": market.instrument.symbol, "category": "linear", "list": market.kline_rows(&candles, with_volume),
    }))
}

/// Length of a candle by Bybit's name for it, minutes.
pub(crate) fn minutes_of(interval: &str) -> Option<i64> {
    match interval {
        "1" | "3" | "5" | "15" | "30" | "60" | "120" | "240" | "360" | "720" => {
            interval.parse().ok()
        }
        "D" => Some(1_440),
        "W" => Some(10_080),
        "M" => Some(43_200),
        _ => None,
    }
}

pub(super) fn orderbook(state: &mut State, call: &Call) -> Answer {
    Ok(state.market(&call.args.need("symbol")?)?.book(call.now_ms))
}

pub(super) fn risk_limit(state: &mut State, call: &Call) -> Answer {
    let row = |m: &&Market| {
        json!({
            "id": 1, "symbol": m.instrument.symbol, "riskLimitValue": "2000000", "maintenanceMargin": "0.005",
            "initialMargin": "0.01", "isLowestRisk": 1, "maxLeverage": format!("{}.00", m.instrument.max_leverage),
            "mmDeduction": "",
        })
    };
    let list: Vec<Value> = asked(state, call)?.iter().map(row).collect();
    Ok(json!({"category": call.args.need("category")?, "list": list, "nextPageCursor": ""}))
}

pub(super) fn funding_history(state: &mut State, call: &Call) -> Answer {
    let args = &call.args;
    let symbol = state.market(&args.need("symbol")?)?.instrument.symbol;
    let end = args.int("endTime")?.unwrap_or(i64::MAX).min(call.now_ms);
    let start = args.int("startTime")?.unwrap_or(0);
    let limit = usize::try_from(args.int("limit")?.unwrap_or(200))
        .unwrap_or(0)
        .min(200);
    let last = next_funding_ms(end) - EIGHT_HOURS_MS;
    let list: Vec<Value> = (0..)
        .map(|n| last - n * EIGHT_HOURS_MS)
        .take_while(|at| *at >= start)
        .take(limit)
        .map(|at| json!({"symbol": symbol, "fundingRate": FUNDING_RATE.to_string(), "fundingRateTimestamp": at.to_string()}))
        .collect();
    Ok(json!({"category": "linear", "list": list}))
}

pub(super) fn system_status(_: &mut State, _: &Call) -> Answer {
    Ok(json!({"list": []}))
}
