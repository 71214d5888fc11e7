//! The bot's database: freqtrade's schema, freqtrade's spellings of times and numbers, WAL as a running bot has.
//!
//! Weak: of freqtrade's tables only `trades`, `orders` and `KeyValueStore` are filled; an exit that was replaced keeps
//! its row, as in freqtrade.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive as _, ToPrimitive as _};

use super::trade::{Order, Purpose, Standing, Trade};

const SCHEMA: &str = include_str!("schema.sql");

/// The database file of one bot.
pub(super) struct Store {
    db: Connection,
}

impl Store {
    /// Opens or makes the file; freqtrade's own files are accepted.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        Self::ready(db)
    }

    fn ready(db: Connection) -> rusqlite::Result<Self> {
        let made: Option<i64> = db
            .query_row(
                "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'trades'",
                [],
                |row| row.get(0),
            )
            .optional()?;
        if made.is_none() {
            db.execute_batch(SCHEMA)?;
        }
        Ok(Self { db })
    }

    /// Notes the start of a process, as freqtrade does.
    pub(super) fn note_start(&self, now_us: i64) -> rusqlite::Result<()> {
        let now = stamp(now_us);
        for (key, once) in [("bot_start_time", true), ("startup_time", false)] {
            let known: Option<i64> = self
                .db
                .query_row(
                    "SELECT id FROM KeyValueStore WHERE \"key\" = ?1",
                    [key],
                    |row| row.get(0),
                )
                .optional()?;
            match known {
                Some(_) if once => {}
                Some(id) => {
                    self.db.execute(
                        "UPDATE KeyValueStore SET datetime_value = ?2 WHERE id = ?1",
                        params![id, now],
                    )?;
                }
                None => {
                    self.db.execute(
                        "INSERT INTO KeyValueStore (\"key\", value_type, datetime_value) VALUES (?1, 'datetime', ?2)",
                        params![key, now],
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Every trade with its orders, oldest first.
    pub(super) fn load(&self) -> rusqlite::Result<Vec<Trade>> {
        let mut trades: Vec<Trade> = self
            .db
            .prepare("SELECT * FROM trades ORDER BY id")?
            .query_map([], read_trade)?
            .collect::<Result<_, _>>()?;
        let mut orders = self
            .db
            .prepare("SELECT * FROM orders WHERE ft_trade_id = ?1 ORDER BY id")?;
        for trade in &mut trades {
            trade.orders = orders
                .query_map([trade.id], |row| read_order(row, trade.is_short))?
                .collect::<Result<_, _>>()?;
        }
        Ok(trades)
    }

    /// Writes a trade and its orders; new ones get their row numbers.
    pub(super) fn save(&mut self, trade: &mut Trade) -> rusqlite::Result<()> {
        let tx = self.db.transaction()?;
        write_trade(&tx, trade)?;
        if trade.id == 0 {
            trade.id = tx.last_insert_rowid();
        }
        let (trade_id, pair) = (trade.id, trade.pair());
        for order in &mut trade.orders {
            write_order(&tx, order, trade_id, &pair)?;
            if order.id == 0 {
                order.id = tx.last_insert_rowid();
            }
        }
        tx.commit()
    }

    /// Forgets a trade whose entry never filled, as freqtrade does.
    pub(super) fn delete(&mut self, trade_id: i64) -> rusqlite::Result<()> {
        let tx = self.db.transaction()?;
        tx.execute("DELETE FROM orders WHERE ft_trade_id = ?1", [trade_id])?;
        tx.execute("DELETE FROM trades WHERE id = ?1", [trade_id])?;
        tx.commit()
    }
}

fn write_trade(db: &Connection, trade: &Trade) -> rusqlite::Result<()> {
    let closed = trade.close_us.is_some();
    db.execute(
        "INSERT OR REPLACE INTO trades VALUES (
            :id, 'bybit', :pair, :base, 'USDT', :is_open, :fee_open, :fee_open_cost, :fee_open_currency,
            :fee_close, :fee_close_cost, :fee_close_currency, :open_rate, :open_rate_requested, :open_trade_value,
            :close_rate, :close_rate_requested, :realized_profit, :close_profit, :close_profit_abs, :stake_amount,
            :max_stake_amount, :amount, :amount_requested, :open_date, :close_date, :stop_loss, :stop_loss_pct,
            :stop_loss, :stop_loss_pct, 0, :max_rate, :min_rate, :exit_reason, :exit_order_status, :strategy,
            :enter_tag, 1, 'FUTURES', :amount_precision, :price_precision, 4, 4, 1.0, :leverage, :is_short,
            :liquidation_price, 0.0, 0.0, 0.0, 2)",
        named_params! {
            ":id": (trade.id != 0).then_some(trade.id),
            ":pair": trade.pair(),
            ":base": trade.base,
            ":is_open": trade.is_open,
            ":fee_open": float(trade.fee_open),
            ":fee_open_cost": trade.fee_open_cost().map(float),
            ":fee_open_currency": trade.max_stake_amount.map(|_| "USDT"),
            ":fee_close": float(trade.fee_close),
            ":fee_close_cost": trade.fee_close_cost.map(float),
            ":fee_close_currency": trade.fee_close_cost.map(|_| "USDT"),
            ":open_rate": float(trade.open_rate),
            ":open_rate_requested": float(trade.open_rate_requested),
            ":open_trade_value": float(trade.open_value(trade.amount)),
            ":close_rate": trade.close_rate.map(float),
            ":close_rate_requested": trade.close_rate_requested.map(float),
            ":realized_profit": float(trade.realized_profit),
            ":close_profit": trade.close_profit.map(float),
            ":close_profit_abs": trade.close_profit_abs.map(float),
            ":stake_amount": float(trade.stake_amount),
            ":max_stake_amount": trade.max_stake_amount.map(float),
            ":amount": float(trade.amount),
            ":amount_requested": float(trade.amount_requested),
            ":open_date": stamp(trade.open_us),
            ":close_date": trade.close_us.map(stamp),
            ":stop_loss": float(trade.stop_loss),
            ":stop_loss_pct": -float(trade.stop_loss_ratio),
            ":max_rate": trade.max_rate.map(float),
            ":min_rate": trade.min_rate.map(float),
            ":exit_reason": trade.exit_reason,
            ":exit_order_status": closed.then_some("closed"),
            ":strategy": super::STRATEGY,
            ":enter_tag": trade.enter_tag,
            ":amount_precision": float(trade.step),
            ":price_precision": float(trade.tick),
            ":leverage": float(trade.leverage),
            ":is_short": trade.is_short,
            ":liquidation_price": trade.liquidation_price.map(float),
        },
    )?;
    Ok(())
}

fn write_order(db: &Connection, order: &Order, trade_id: i64, pair: &str) -> rusqlite::Result<()> {
    let side = if order.purpose == Purpose::Stop {
        "stoploss"
    } else {
        order.side()
    };
    // freqtrade shows no price for a stop that rests, and the average for a market order that is done.
    let price = match order.purpose {
        Purpose::Stop => None,
        _ if order.market => order.average.or(Some(order.requested_price)),
        _ => Some(order.requested_price),
    };
    db.execute(
        "INSERT OR REPLACE INTO orders VALUES (
            :id, :trade, :ft_side, :pair, :is_open, :ft_amount, :ft_price, :cancel_reason, :order_id, :status, :pair,
            :type, :side, :price, :average, :amount, :filled, :remaining, :cost, :stop_price, :order_date,
            :filled_date, :update_date, :funding_fee, NULL, :tag)",
        named_params! {
            ":id": (order.id != 0).then_some(order.id),
            ":trade": trade_id,
            ":ft_side": side,
            ":pair": pair,
            ":is_open": order.is_open(),
            ":ft_amount": float(order.requested),
            ":ft_price": float(order.stop_price.unwrap_or(order.requested_price)),
            ":cancel_reason": order.cancel_reason,
            ":order_id": order.order_id,
            ":status": order.standing.word(),
            ":type": if order.market { "market" } else { "limit" },
            ":side": order.side(),
            ":price": price.map(float),
            ":average": order.average.map(float),
            ":amount": float(order.amount),
            ":filled": float(order.filled),
            ":remaining": float(order.remaining()),
            ":cost": float(order.cost()),
            ":stop_price": order.stop_price.map(float),
            ":order_date": stamp(order.placed_us),
            ":filled_date": order.filled_us.map(stamp),
            ":update_date": stamp(order.updated_us),
            ":funding_fee": order.filled_us.map(|_| 0.0),
            ":tag": order.tag,
        },
    )?;
    Ok(())
}

fn read_trade(row: &Row<'_>) -> rusqlite::Result<Trade> {
    let base: String = row.get("base_currency")?;
    Ok(Trade {
        id: row.get("id")?,
        symbol: format!("{base}USDT"),
        base,
        is_short: row.get("is_short")?,
        is_open: row.get("is_open")?,
        leverage: decimal(row, "leverage")?.unwrap_or(Decimal::ONE),
        tick: decimal(row, "price_precision")?.unwrap_or_default(),
        step: decimal(row, "amount_precision")?.unwrap_or_default(),
        fee_open: decimal(row, "fee_open")?.unwrap_or_default(),
        fee_close: decimal(row, "fee_close")?.unwrap_or_default(),
        fee_close_cost: decimal(row, "fee_close_cost")?,
        open_rate: decimal(row, "open_rate")?.unwrap_or_default(),
        open_rate_requested: decimal(row, "open_rate_requested")?.unwrap_or_default(),
        close_rate: decimal(row, "close_rate")?,
        close_rate_requested: decimal(row, "close_rate_requested")?,
        realized_profit: decimal(row, "realized_profit")?.unwrap_or_default(),
        close_profit: decimal(row, "close_profit")?,
        close_profit_abs: decimal(row, "close_profit_abs")?,
        stake_amount: decimal(row, "stake_amount")?.unwrap_or_default(),
        max_stake_amount: decimal(row, "max_stake_amount")?,
        amount: decimal(row, "amount")?.unwrap_or_default(),
        amount_requested: decimal(row, "amount_requested")?.unwrap_or_default(),
        open_us: micros(row, "open_date")?.unwrap_or_default(),
        close_us: micros(row, "close_date")?,
        stop_loss_ratio: decimal(row, "stop_loss_pct")?.unwrap_or_default().abs(),
        stop_loss: decimal(row, "stop_loss")?.unwrap_or_default(),
        max_rate: decimal(row, "max_rate")?,
        min_rate: decimal(row, "min_rate")?,
        exit_reason: row.get("exit_reason")?,
        enter_tag: row
            .get::<_, Option<String>>("enter_tag")?
            .unwrap_or_default(),
        liquidation_price: decimal(row, "liquidation_price")?,
        orders: Vec::new(),
    })
}

fn read_order(row: &Row<'_>, is_short: bool) -> rusqlite::Result<Order> {
    let ft_side: String = row.get("ft_order_side")?;
    let side: String = row.get("side")?;
    let order_type: String = row.get("order_type")?;
    let status: String = row.get("status")?;
    let (filled, average) = (
        decimal(row, "filled")?.unwrap_or_default(),
        decimal(row, "average")?,
    );
    Ok(Order {
        id: row.get("id")?,
        purpose: match (ft_side.as_str(), side == "buy") {
            ("stoploss", _) => Purpose::Stop,
            (_, buy) if buy != is_short => Purpose::Entry,
            _ => Purpose::Exit,
        },
        buy: side == "buy",
        standing: Standing::parse(&status),
        order_id: row.get("order_id")?,
        market: order_type == "market",
        requested: decimal(row, "ft_amount")?.unwrap_or_default(),
        requested_price: decimal(row, "ft_price")?.unwrap_or_default(),
        stop_price: decimal(row, "stop_price")?,
        amount: decimal(row, "amount")?.unwrap_or_default(),
        filled,
        average,
        fee: Decimal::ZERO,
        cancel_reason: row.get("ft_cancel_reason")?,
        tag: row.get("ft_order_tag")?,
        placed_us: micros(row, "order_date")?.unwrap_or_default(),
        filled_us: micros(row, "order_filled_date")?,
        updated_us: micros(row, "order_update_date")?.unwrap_or_default(),
    })
}

/// The nearest float; every number of the venue has one.
pub(super) fn float(value: Decimal) -> f64 {
    value.to_f64().unwrap_or_default()
}

fn decimal(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Decimal>> {
    let value: Option<f64> = row.get(column)?;
    Ok(value.and_then(Decimal::from_f64))
}

/// `2026-11-21 06:21:42.588576`, UTC, as SQLAlchemy writes times into SQLite.
fn stamp(at_us: i64) -> String {
    jiff::Timestamp::from_microsecond(at_us)
        .map(|at| at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string())
        .unwrap_or_default()
}

fn micros(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<i64>> {
    let text: Option<String> = row.get(column)?;
    Ok(text
        .and_then(|text| text.parse::<jiff::civil::DateTime>().ok())
        .and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|at| at.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::super::trade::tests::{d, filled, order, wish};
    use super::*;

    fn memory() -> Store {
        Store::ready(Connection::open_in_memory().unwrap()).unwrap()
    }

    fn sample() -> Trade {
        let mut trade = Trade::new(
            &wish("BTCUSDT", true, "0.005", "59201.1", "3"),
            1_795_242_102_588_576,
        );
        trade.add_order(order(&trade, Purpose::Entry, "e", "0.005", "59201.1"));
        trade.apply(
            "e",
            &filled("0.005", "59201.6", "0.00055"),
            1_795_242_106_676_159,
        );
        trade.add_order(order(&trade, Purpose::Stop, "s", "0.005", "61174.9"));
        trade
    }

    #[test]
    fn rows_look_as_freqtrade_writes_them() {
        let mut store = memory();
        let mut trade = sample();
        store.save(&mut trade).unwrap();
        let text = |sql: &str| -> String { store.db.query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!(
            text("SELECT open_date FROM trades"),
            "2026-11-21 06:21:42.588576"
        );
        assert_eq!(
            text("SELECT pair || base_currency || trading_mode FROM trades"),
            "BTC/USDT:USDTBTCFUTURES"
        );
        assert_eq!(
            text("SELECT order_date FROM orders WHERE id = 1"),
            "2026-11-21 06:21:42.586000"
        );
        assert_eq!(
            text(
                "SELECT ft_order_side || status || order_type || side || filled FROM orders WHERE id = 1"
            ),
            "sellclosedlimitsell0.005"
        );
        assert_eq!(
            text(
                "SELECT ft_order_side || status || side || stop_price || coalesce(price, 'null') FROM orders WHERE id = 2"
            ),
            "stoplossopenbuy61174.9null"
        );
        let value: f64 = store
            .db
            .query_row("SELECT open_trade_value FROM trades", [], |r| r.get(0))
            .unwrap();
        assert!((value - 295.8451956).abs() < 1e-9);
    }

    #[test]
    fn what_is_saved_is_loaded_again_and_saved_twice_is_one_row() {
        let mut store = memory();
        let mut trade = sample();
        store.save(&mut trade).unwrap();
        store.save(&mut trade).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(loaded[0].orders.len(), 2);
        assert_eq!(loaded[0].amount, d("0.005"));
        assert_eq!(loaded[0].orders[1].purpose, Purpose::Stop);
        assert_eq!(loaded[0].open_us, trade.open_us);
        assert_eq!(loaded[0].orders[0].placed_us, trade.orders[0].placed_us);
        store.delete(trade.id).unwrap();
        assert!(store.load().unwrap().is_empty());
    }

    #[test]
    fn an_exit_is_still_an_exit_after_a_restart() {
        let mut store = memory();
        let mut trade = sample();
        trade.add_order(order(&trade, Purpose::Exit, "x", "0.002", "59000"));
        store.save(&mut trade).unwrap();
        let mut loaded = store.load().unwrap().remove(0);
        assert_eq!(
            loaded
                .open_order(Purpose::Exit)
                .map(|o| o.order_id.as_str()),
            Some("x")
        );
        loaded.apply("x", &filled("0.002", "59000", "0.00055"), 1);
        assert_eq!(loaded.amount, d("0.003"));
    }
}
