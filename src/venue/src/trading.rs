//! Positions, orders and executions, as rows of REST and of the private stream.

use crate::Error;
use crate::fields::Row;
use fusebox_domain::{
    Decimal, Execution, Order, OrderKind, OrderStatus, Position, Side, Symbol, TimeInForce,
};

/// What one row says of one place where a position can be (a symbol, and in hedge mode a side).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionRow {
    /// The instrument.
    pub symbol: Symbol,
    /// 0 one-way, 1 hedge long, 2 hedge short.
    pub idx: i64,
    /// The exchange's sequence number; orders the rows of one symbol.
    pub seq: i64,
    /// Last change, exchange time in milliseconds.
    pub updated_ms: i64,
    /// The position; `None`: empty now.
    pub position: Option<Position>,
}

/// One row of `position/list` (`avgPrice`) or of the `position` topic (`entryPrice`).
pub(crate) fn position(row: &Row<'_>) -> Result<PositionRow, Error> {
    let symbol = Symbol::new(row.need_text("symbol")?);
    let size = row.need_decimal("size")?;
    let updated_ms = row.integer("updatedTime")?.unwrap_or(0);
    let seq = row.integer("seq")?.unwrap_or(-1);
    let position = match row.text("side") {
        _ if size.is_zero() => None,
        None | Some("None") => {
            return Err(row.wrong("side", "is empty although the size is not zero"));
        }
        Some(_) => Some(Position {
            symbol: symbol.clone(),
            side: side(row)?,
            size: size.abs(),
            entry_price: match row.decimal("avgPrice")? {
                Some(price) => price,
                None => row.need_decimal("entryPrice")?,
            },
            mark_price: positive(row, "markPrice")?,
            liquidation_price: positive(row, "liqPrice")?,
            leverage: positive(row, "leverage")?,
            unrealised_usdt: row.decimal("unrealisedPnl")?,
            stop_price: positive(row, "stopLoss")?,
            opened_ms: row.integer("openTime")?.filter(|t| *t > 0),
            updated_ms,
            seq,
        }),
    };
    Ok(PositionRow {
        symbol,
        idx: row.integer("positionIdx")?.unwrap_or(0),
        seq,
        updated_ms,
        position,
    })
}

/// A price where `"0"`, `"0.00"` and `""` all mean none.
fn positive(row: &Row<'_>, name: &str) -> Result<Option<Decimal>, Error> {
    Ok(row.decimal(name)?.filter(|price| *price > Decimal::ZERO))
}

fn side(row: &Row<'_>) -> Result<Side, Error> {
    match row.need_text("side")? {
        "Buy" => Ok(Side::Buy),
        "Sell" => Ok(Side::Sell),
        _ => Err(row.wrong("side", "is neither Buy nor Sell")),
    }
}

/// One row of `order/realtime` or of the `order` topic.
pub(crate) fn order(row: &Row<'_>) -> Result<Order, Error> {
    let trigger_price = positive(row, "triggerPrice")?;
    let reducing =
        row.flag("reduceOnly")? == Some(true) || row.flag("closeOnTrigger")? == Some(true);
    let status_word = row.need_text("orderStatus")?;
    // A triggered conditional order rests like any other, so only a waiting one counts as such.
    let conditional = trigger_price.is_some() && status_word == "Untriggered";
    Ok(Order {
        order_id: row.need_text("orderId")?.to_owned(),
        link_id: row.text("orderLinkId").map(str::to_owned),
        symbol: Symbol::new(row.need_text("symbol")?),
        side: side(row)?,
        kind: match (conditional, reducing) {
            (true, true) => OrderKind::ProtectiveStop,
            (true, false) => OrderKind::ConditionalEntry,
            (false, true) => OrderKind::Exit,
            (false, false) => OrderKind::Entry,
        },
        time_in_force: match row.text("timeInForce") {
            Some("GTC") => Some(TimeInForce::Gtc),
            Some("IOC") => Some(TimeInForce::Ioc),
            Some("FOK") => Some(TimeInForce::Fok),
            Some("PostOnly") => Some(TimeInForce::PostOnly),
            Some("RPI") => Some(TimeInForce::Rpi),
            _ => None,
        },
        qty: row.need_decimal("qty")?,
        price: positive(row, "price")?,
        trigger_price,
        status: match status_word {
            "Filled" => OrderStatus::Filled,
            "Cancelled" | "PartiallyFilledCanceled" | "Rejected" | "Deactivated" => {
                OrderStatus::Gone
            }
            // `New`, `PartiallyFilled`, `Untriggered`, `Triggered`, and any word to come: an
            // order of unknown state may still trade.
            _ => OrderStatus::Open,
        },
        created_ms: row.integer("createdTime")?.unwrap_or(0),
        updated_ms: row.integer("updatedTime")?.unwrap_or(0),
    })
}

/// One row of `execution/list` or of the `execution` topic.
pub(crate) fn execution(row: &Row<'_>) -> Result<Execution, Error> {
    Ok(Execution {
        exec_id: row.need_text("execId")?.to_owned(),
        order_id: row.text("orderId").unwrap_or_default().to_owned(),
        link_id: row.text("orderLinkId").map(str::to_owned),
        symbol: Symbol::new(row.need_text("symbol")?),
        side: side(row)?,
        exec_type: row.text("execType").unwrap_or("Trade").to_owned(),
        qty: row.need_decimal("execQty")?,
        price: row.need_decimal("execPrice")?,
        fee_usdt: row.decimal("execFee")?.unwrap_or_default(),
        maker: row.flag("isMaker")?.unwrap_or(false),
        time_ms: row.need_integer("execTime")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn base() -> Value {
        json!({"symbol": "BTCUSDT", "side": "Buy", "size": "0.1", "avgPrice": "100",
               "stopLoss": "0.00", "liqPrice": "", "updatedTime": "5", "seq": 9})
    }

    fn read(value: &Value) -> Result<PositionRow, Error> {
        position(&Row::top("x", value).unwrap())
    }

    #[test]
    fn no_stop_has_three_spellings_and_no_liquidation_price_is_not_zero() {
        for none in ["", "0", "0.00"] {
            let mut value = base();
            value["stopLoss"] = none.into();
            let position = read(&value).unwrap().position.unwrap();
            assert_eq!(
                (position.stop_price, position.liquidation_price),
                (None, None)
            );
        }
    }

    #[test]
    fn an_empty_place_is_a_row_without_a_position() {
        let mut value = base();
        value["size"] = "0".into();
        value["side"] = "".into();
        assert_eq!(read(&value).unwrap().position, None);
        value["size"] = "1".into();
        assert!(read(&value).is_err(), "a size without a side is refused");
    }

    #[test]
    fn a_size_that_is_absent_is_an_error_and_not_flat() {
        let mut value = base();
        value.as_object_mut().unwrap().remove("size");
        assert!(
            read(&value)
                .unwrap_err()
                .to_string()
                .contains("size is missing")
        );
    }

    #[test]
    fn orders_are_told_apart_as_a_kill_must() {
        let order_of = |trigger: &str, status: &str, reduce: bool, close: bool| {
            let value = json!({"orderId": "1", "symbol": "X", "side": "Sell", "qty": "1",
                "orderStatus": status, "triggerPrice": trigger, "reduceOnly": reduce,
                "closeOnTrigger": close});
            order(&Row::top("x", &value).unwrap()).unwrap().kind
        };
        assert_eq!(order_of("", "New", false, false), OrderKind::Entry);
        assert_eq!(order_of("0.00", "New", true, false), OrderKind::Exit);
        assert_eq!(
            order_of("9", "Untriggered", false, true),
            OrderKind::ProtectiveStop
        );
        assert_eq!(
            order_of("9", "Untriggered", false, false),
            OrderKind::ConditionalEntry
        );
        assert_eq!(order_of("9", "New", false, false), OrderKind::Entry);
    }

    #[test]
    fn an_order_of_unknown_state_may_still_trade() {
        let value = json!({"orderId": "1", "symbol": "X", "side": "Sell", "qty": "1",
            "orderStatus": "SomethingNew"});
        let order = order(&Row::top("x", &value).unwrap()).unwrap();
        assert_eq!(order.status, OrderStatus::Open);
    }
}
