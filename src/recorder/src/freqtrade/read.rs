//! One consistent picture of freqtrade's database.

use crate::Error;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that the database says about trades at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Picture {
    /// Trades with their orders, by number.
    pub trades: Vec<Trade>,
    /// The exchange's ids of all orders that could be read, also of trades left out.
    pub order_ids: Vec<String>,
    /// Trades and orders that could not be understood, each in words; the others count.
    pub problems: Vec<String>,
}

/// A row of `trades`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Trade {
    pub id: i64,
    pub pair: String,
    pub is_open: bool,
    pub is_short: bool,
    pub leverage: Option<Decimal>,
    pub open_rate: Option<Decimal>,
    pub close_rate: Option<Decimal>,
    pub amount: Option<Decimal>,
    pub stake_amount: Option<Decimal>,
    pub realized_profit: Option<Decimal>,
    pub close_profit_abs: Option<Decimal>,
    pub stop_loss: Option<Decimal>,
    pub open_ms: i64,
    pub close_ms: Option<i64>,
    pub exit_reason: Option<String>,
    pub enter_tag: Option<String>,
    pub strategy: Option<String>,
    /// By row number, which is the order in which freqtrade made them.
    pub orders: Vec<Order>,
}

/// A row of `orders`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Order {
    pub trade_id: i64,
    /// `buy`, `sell` or `stoploss`.
    pub purpose: String,
    pub is_open: bool,
    pub order_id: String,
    pub filled: Decimal,
    pub price: Option<Decimal>,
    pub tag: Option<String>,
    pub filled_ms: Option<i64>,
}

/// A column that is looked for under its names, newest first.
struct Column {
    names: &'static [&'static str],
    required: bool,
}

const fn must(names: &'static [&'static str]) -> Column {
    Column {
        names,
        required: true,
    }
}

const fn may(names: &'static [&'static str]) -> Column {
    Column {
        names,
        required: false,
    }
}

/// Columns of `trades` in the order in which [`trade`] reads them. Names changed over the years;
/// what is optional came later or may be empty.
const TRADE: &[Column] = &[
    must(&["id"]),
    must(&["pair"]),
    must(&["is_open"]),
    may(&["is_short"]),
    may(&["leverage"]),
    must(&["open_rate"]),
    must(&["close_rate"]),
    must(&["amount"]),
    must(&["stake_amount"]),
    may(&["realized_profit"]),
    may(&["close_profit_abs"]),
    may(&["stop_loss"]),
    must(&["open_date"]),
    must(&["close_date"]),
    may(&["exit_reason", "sell_reason"]),
    may(&["enter_tag", "buy_tag"]),
    may(&["strategy"]),
];

/// Columns of `orders` in the order in which [`order`] reads them.
const ORDER: &[Column] = &[
    must(&["ft_trade_id"]),
    must(&["ft_order_side"]),
    must(&["ft_is_open"]),
    must(&["order_id"]),
    must(&["status"]),
    must(&["amount"]),
    must(&["filled"]),
    may(&["average"]),
    may(&["price"]),
    may(&["ft_price"]),
    may(&["ft_order_tag"]),
    may(&["order_filled_date"]),
    may(&["order_date"]),
];

/// Reads the database once.
pub(crate) fn read(path: &Path) -> Result<Picture, Error> {
    let db = open(path)?.db;
    check_whole(&db, path)?;
    picture(&db, path)
}

/// Reads the database again whenever it has changed.
#[derive(Debug)]
pub(crate) struct Watcher {
    path: PathBuf,
    open: Option<Open>,
    /// What the file looked like at the last successful reading.
    seen: Option<Stamp>,
}

#[derive(Debug)]
struct Open {
    db: Connection,
    /// Opened as a still, since nobody has it open: it must be opened again to see a change.
    still: bool,
    inode: u64,
}

/// What changes when somebody has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    /// SQLite's own count of changes by others.
    data_version: i64,
    /// For a still: size and time of the file.
    file: Option<(u64, i64, i64)>,
}

impl Watcher {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            open: None,
            seen: None,
        }
    }

    /// The database's picture, or `None` when nothing changed since the last.
    pub(crate) fn poll(&mut self) -> Result<Option<Picture>, Error> {
        let result = self.try_poll();
        if result.is_err() {
            // Begin anew next time: the file may have been exchanged or repaired.
            (self.open, self.seen) = (None, None);
        }
        result
    }

    fn try_poll(&mut self) -> Result<Option<Picture>, Error> {
        let meta = std::fs::metadata(&self.path).map_err(|e| Error::bot_db(&self.path, &e))?;
        let reuse = self
            .open
            .take()
            .filter(|open| !open.still && open.inode == meta.ino());
        let fresh = reuse.is_none();
        let open = match reuse {
            Some(open) => open,
            None => open(&self.path)?,
        };
        let stamp = Stamp {
            inode: open.inode,
            data_version: match open.still {
                true => 0,
                false => open
                    .db
                    .pragma_query_value(None, "data_version", |row| row.get(0))
                    .map_err(|e| Error::bot_db(&self.path, &e))?,
            },
            file: open
                .still
                .then(|| (meta.len(), meta.mtime(), meta.mtime_nsec())),
        };
        if self.seen == Some(stamp) {
            self.open = Some(open);
            return Ok(None);
        }
        if fresh {
            check_whole(&open.db, &self.path)?;
        }
        let picture = picture(&open.db, &self.path)?;
        (self.open, self.seen) = (Some(open), Some(stamp));
        Ok(Some(picture))
    }
}

/// Opens read-only. A database in WAL mode that nobody has open is opened as immutable: an
/// ordinary reader would have to create files beside it, and the bot's volume is not ours.
fn open(path: &Path) -> Result<Open, Error> {
    let fail = |e: &dyn std::fmt::Display| Error::bot_db(path, e);
    let meta = std::fs::metadata(path).map_err(|e| fail(&e))?;
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let still = uses_wal(path).map_err(|e| fail(&e))? && !Path::new(&wal).exists();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let uri = fusebox_journal::sqlite_uri(path, still);
    let db = Connection::open_with_flags(uri, flags).map_err(|e| fail(&e))?;
    db.busy_timeout(Duration::from_millis(500))
        .map_err(|e| fail(&e))?;
    Ok(Open {
        db,
        still,
        inode: meta.ino(),
    })
}

/// Whether the header says WAL (bytes 18 and 19 of an SQLite file).
fn uses_wal(path: &Path) -> std::io::Result<bool> {
    use std::io::Read as _;
    let mut header = [0; 20];
    let mut file = std::fs::File::open(path)?;
    let read = file.read(&mut header)?;
    Ok(read == header.len() && header.ends_with(&[2, 2]))
}

/// A file that was copied half has pages of nothing, which read as empty rows. SQLite's own check
/// sees that; it is made once per opening, since it reads everything.
fn check_whole(db: &Connection, path: &Path) -> Result<(), Error> {
    let fail = |e: &dyn std::fmt::Display| Error::bot_db(path, e);
    let verdict: String = db
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|e| fail(&e))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        found => Err(fail(&format!("malformed, {}", found.replace('\n', " ")))),
    }
}

fn picture(db: &Connection, path: &Path) -> Result<Picture, Error> {
    let fail = |e: rusqlite::Error| Error::bot_db(path, &e);
    // One transaction, so that trades and orders belong together.
    let tx = db.unchecked_transaction().map_err(fail)?;
    let (trades_sql, orders_sql) = (
        select(&tx, path, "trades", TRADE)?,
        select(&tx, path, "orders", ORDER)?,
    );
    let mut picture = Picture::default();
    let mut trades = BTreeMap::new();
    let mut statement = tx.prepare(&trades_sql).map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        match trade(row) {
            Ok(trade) => drop(trades.insert(trade.id, trade)),
            Err(problem) => picture.problems.push(format!("trade {problem}")),
        }
    }
    let mut statement = tx.prepare(&orders_sql).map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        match order(row) {
            Ok(order) => {
                picture.order_ids.push(order.order_id.clone());
                if let Some(trade) = trades.get_mut(&order.trade_id) {
                    trade.orders.push(order);
                }
            }
            // A trade that lacks an order would look like another trade: leave it out whole.
            Err((Some(trade_id), problem)) => {
                trades.remove(&trade_id);
                let problem = format!("trade {trade_id}: an order: {problem}");
                picture.problems.push(problem);
            }
            Err((None, problem)) => {
                return Err(Error::bot_db(
                    path,
                    &format!("malformed: an order: {problem}"),
                ));
            }
        }
    }
    picture.trades = trades.into_values().collect();
    Ok(picture)
}

/// The SELECT for a table as this database has it.
fn select(db: &Connection, path: &Path, table: &str, columns: &[Column]) -> Result<String, Error> {
    let mut statement = db
        .prepare("SELECT name FROM pragma_table_info(?1)")
        .map_err(|e| Error::bot_db(path, &e))?;
    let there: Vec<String> = statement
        .query_map([table], |row| row.get(0))
        .and_then(Iterator::collect)
        .map_err(|e| Error::bot_db(path, &e))?;
    let older = |missing: String| Error::OlderSchema {
        path: path.to_owned(),
        missing,
    };
    if there.is_empty() {
        return Err(older(format!("table {table}")));
    }
    let mut chosen = Vec::with_capacity(columns.len());
    for column in columns {
        let found = column.names.iter().find(|n| there.iter().any(|t| t == *n));
        match (found, column.names.first()) {
            (Some(name), _) => chosen.push(*name),
            (None, Some(name)) if column.required => {
                return Err(older(format!("column {table}.{name}")));
            }
            _ => chosen.push("NULL"),
        }
    }
    Ok(format!(
        "SELECT {} FROM {table} ORDER BY id",
        chosen.join(", ")
    ))
}

/// Reads the columns of a row one after the other, in the order of its table above.
struct Cursor<'a> {
    row: &'a rusqlite::Row<'a>,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn next(&mut self) -> Result<ValueRef<'a>, String> {
        let at = self.at;
        self.at += 1;
        self.row.get_ref(at).map_err(|e| e.to_string())
    }

    fn text(&mut self) -> Result<Option<String>, String> {
        match self.next()? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(bytes) => Ok(Some(String::from_utf8_lossy(bytes).into_owned())),
            _ => Err(format!("column {} is not text", self.at)),
        }
    }

    fn integer(&mut self) -> Result<Option<i64>, String> {
        match self.next()? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(number) => Ok(Some(number)),
            _ => Err(format!("column {} is not an integer", self.at)),
        }
    }

    fn flag(&mut self) -> Result<bool, String> {
        Ok(self.integer()?.unwrap_or(0) != 0)
    }

    fn number(&mut self) -> Result<Option<Decimal>, String> {
        match self.next()? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(number) => Ok(Some(number.into())),
            ValueRef::Real(number) => exact(number)
                .map(Some)
                .ok_or_else(|| format!("column {}: {number} is no amount", self.at)),
            _ => Err(format!("column {} is not a number", self.at)),
        }
    }

    fn time_ms(&mut self) -> Result<Option<i64>, String> {
        let at = self.at + 1;
        let Some(text) = self.text()? else {
            return Ok(None);
        };
        utc_ms(&text)
            .map(Some)
            .ok_or_else(|| format!("column {at}: {text:?} is no date"))
    }

    fn need<T>(&self, value: Option<T>) -> Result<T, String> {
        value.ok_or_else(|| format!("column {} is empty", self.at))
    }
}

/// The decimal that the shortest text of the float means. This is where freqtrade's floats end;
/// nothing is computed with them.
fn exact(number: f64) -> Option<Decimal> {
    // A float's Display is the shortest text that reads back the same, without an exponent.
    number
        .is_finite()
        .then(|| number.to_string().parse().ok())?
}

/// Freqtrade writes naive UTC, `2026-11-07 20:25:00.000000`.
fn utc_ms(text: &str) -> Option<i64> {
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

fn trade(row: &rusqlite::Row<'_>) -> Result<Trade, String> {
    let mut c = Cursor { row, at: 0 };
    let id = c.integer()?;
    let id = c.need(id)?;
    let mut read = || {
        Ok(Trade {
            id,
            pair: {
                let pair = c.text()?;
                c.need(pair)?
            },
            is_open: c.flag()?,
            is_short: c.flag()?,
            leverage: c.number()?,
            open_rate: c.number()?,
            close_rate: c.number()?,
            amount: c.number()?,
            stake_amount: c.number()?,
            realized_profit: c.number()?,
            close_profit_abs: c.number()?,
            stop_loss: c.number()?,
            open_ms: {
                let opened = c.time_ms()?;
                c.need(opened)?
            },
            close_ms: c.time_ms()?,
            exit_reason: c.text()?,
            enter_tag: c.text()?,
            strategy: c.text()?,
            orders: Vec::new(),
        })
    };
    read().map_err(|problem: String| format!("{id}: {problem}"))
}

/// An order, or what is wrong with it and which trade it belongs to, where that can be told.
fn order(row: &rusqlite::Row<'_>) -> Result<Order, (Option<i64>, String)> {
    let mut c = Cursor { row, at: 0 };
    let trade_id = c
        .integer()
        .and_then(|id| c.need(id))
        .map_err(|problem| (None, problem))?;
    order_of(trade_id, &mut c).map_err(|problem| (Some(trade_id), problem))
}

fn order_of(trade_id: i64, c: &mut Cursor<'_>) -> Result<Order, String> {
    let purpose = c.text()?;
    let purpose = c.need(purpose)?;
    let is_open = c.flag()?;
    let order_id = c.text()?;
    let order_id = c.need(order_id)?;
    let status = c.text()?;
    let (amount, filled) = (c.number()?, c.number()?);
    // Old databases leave `filled` empty in a closed order: all of it was.
    let filled = match (filled, status.as_deref()) {
        (None, Some("closed")) => amount,
        (filled, _) => filled,
    };
    let (average, price, ft_price) = (c.number()?, c.number()?, c.number()?);
    let tag = c.text()?;
    let (filled_at, placed_at) = (c.time_ms()?, c.time_ms()?);
    Ok(Order {
        trade_id,
        purpose,
        is_open,
        order_id,
        filled: filled.unwrap_or_default(),
        price: average.or(price).or(ft_price),
        tag,
        filled_ms: filled_at.or(placed_at),
    })
}

#[cfg(test)]
mod units {
    use super::*;

    #[test]
    fn floats_become_the_shortest_decimals_that_read_back_the_same() {
        for (float, text) in [
            (60951.5, "60951.5"),
            (0.6105, "0.6105"),
            (2.0, "2"),
            (-0.025172578173124297, "-0.025172578173124297"),
            (301.64106000000004, "301.64106000000004"),
            (1e-7, "0.0000001"),
            (0.0, "0"),
        ] {
            assert_eq!(exact(float).unwrap().to_string(), text);
        }
        for float in [f64::NAN, f64::INFINITY, f64::MAX] {
            assert_eq!(exact(float), None);
        }
    }

    #[test]
    fn freqtrades_dates_are_naive_utc() {
        assert_eq!(utc_ms("1970-01-01 00:00:01.500000"), Some(1500));
        assert_eq!(utc_ms("2026-11-07 20:25:00"), Some(1_794_083_100_000));
        assert_eq!(utc_ms("yesterday"), None);
    }
}
