//! On databases that freqtrade itself wrote, where they are at hand, and on a small one of our own
//! with what those lack: partial exits, added entries, orders that are still open.

use super::*;
use crate::Error;
use crate::ingest::ingest;
use fusebox_journal::{Draft, Filter, Reader, Table};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

const NOW_MS: i64 = 1_795_300_000_000;

/// Freqtrade's tables as far as they matter here, with the types that freqtrade gives them.
const SCHEMA: &str = "
    CREATE TABLE trades (id INTEGER PRIMARY KEY, pair VARCHAR(25) NOT NULL, is_open BOOLEAN NOT NULL,
        is_short BOOLEAN NOT NULL, leverage FLOAT, open_rate FLOAT NOT NULL, close_rate FLOAT,
        amount FLOAT NOT NULL, stake_amount FLOAT NOT NULL, realized_profit FLOAT, close_profit_abs FLOAT,
        stop_loss FLOAT, open_date DATETIME NOT NULL, close_date DATETIME, exit_reason VARCHAR(255),
        enter_tag VARCHAR(255), strategy VARCHAR(100));
    CREATE TABLE orders (id INTEGER PRIMARY KEY, ft_trade_id INTEGER NOT NULL, ft_order_side VARCHAR(25) NOT NULL,
        ft_is_open BOOLEAN NOT NULL, order_id VARCHAR(255) NOT NULL, status VARCHAR(255), amount FLOAT,
        filled FLOAT, average FLOAT, price FLOAT, ft_order_tag VARCHAR(255),
        order_filled_date DATETIME, order_date DATETIME);";

/// One open long of 10 with half of it gone, one short closed by its stop.
const ROWS: &str = "
    INSERT INTO trades VALUES
        (1, 'ETH/USDT:USDT', 1, 0, 3.0, 3010.5, NULL, 6.0, 6020.9, 12.25, NULL, 2900.0,
         '2026-11-20 10:00:00.000000', NULL, NULL, 'dip', 'Lab'),
        (2, 'BTC/USDT:USDT', 0, 1, 5.0, 60000.1, 61000.2, 0.01, 120.0, -10.0, -10.00123456, 61000.0,
         '2026-11-20 11:00:00.000000', '2026-11-20 12:00:00.000000', 'stoploss_on_exchange', 'peak', 'Lab');
    INSERT INTO orders VALUES
        (1, 1, 'buy', 0, 'e1', 'closed', 5.0, 5.0, 3000.0, 3000.0, 'dip', '2026-11-20 10:00:01.000000', '2026-11-20 10:00:00.000000'),
        (2, 1, 'stoploss', 0, 's1', 'canceled', 5.0, 0.0, NULL, 2900.0, NULL, NULL, '2026-11-20 10:00:02.000000'),
        (3, 1, 'buy', 0, 'e2', 'canceled', 6.0, 5.0, 3021.0, 3021.0, 'more', '2026-11-20 10:05:00.000000', '2026-11-20 10:04:00.000000'),
        (4, 1, 'sell', 0, 'x1', 'closed', 4.0, 4.0, 3050.0, 3050.0, 'reduce', '2026-11-20 10:30:00.000000', '2026-11-20 10:30:00.000000'),
        (5, 1, 'sell', 1, 'x2', 'open', 6.0, 2.0, 3060.0, 3060.0, 'roi', NULL, '2026-11-20 10:40:00.000000'),
        (6, 2, 'sell', 0, 'e3', 'closed', 0.01, 0.01, 60000.1, 60000.1, 'peak', '2026-11-20 11:00:00.000000', '2026-11-20 11:00:00.000000'),
        (7, 2, 'stoploss', 0, 's2', 'closed', 0.01, 0.01, 61000.2, 61000.0, NULL, '2026-11-20 12:00:00.000000', '2026-11-20 11:00:01.000000');";

struct Bot {
    dir: tempfile::TempDir,
}

impl Bot {
    fn new() -> Self {
        let bot = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        bot.run(SCHEMA);
        bot.run(ROWS);
        bot
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("tradesv3.sqlite")
    }

    fn run(&self, sql: &str) {
        Connection::open(self.path())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }

    fn drafts(&self) -> Vec<Draft> {
        drafts("trading-1", &read(&self.path()).unwrap())
    }

    /// `trade event order amount@price`, in order.
    fn told(&self) -> Vec<String> {
        self.drafts().iter().map(tell).collect()
    }
}

fn tell(draft: &Draft) -> String {
    let field = |name: &str| draft.body.get(name).and_then(|v| v.as_str()).unwrap_or("-");
    format!(
        "{} {} {} {}@{}",
        field("trade_id"),
        field("event"),
        field("order_id"),
        field("amount"),
        field("price")
    )
}

#[test]
fn entries_additions_partial_exits_and_closes_are_one_row_each() {
    let bot = Bot::new();
    assert_eq!(
        bot.told(),
        [
            "1 opened e1 5@3000",
            "1 added e2 5@3021",
            "1 partial_exit x1 4@3050",
            "2 opened e3 0.01@60000.1",
            "2 closed s2 0.01@61000.2",
        ],
        "an order that is open or unfilled is no event yet"
    );
    let drafts = bot.drafts();
    let close = &drafts[4].body;
    assert_eq!(close["side"], "short");
    assert_eq!(close["leverage"], "5");
    assert_eq!(close["realized_profit"], "-10.00123456");
    assert_eq!(close["exit_reason"], "stoploss_on_exchange");
    assert_eq!(drafts[2].body["realized_profit"], "12.25");
    assert_eq!(drafts[1].body["open_rate"], "3010.5");
    assert!(drafts.iter().all(|d| d.body["opening_order"] != "s1"));
}

#[test]
fn an_exit_counts_once_the_trade_knows_it_and_the_last_one_closes() {
    let bot = Bot::new();
    // x2 fills: first the order alone is updated, then the trade. In between it is no event.
    bot.run(
        "UPDATE orders SET ft_is_open = 0, status = 'closed', filled = 6.0 WHERE order_id = 'x2'",
    );
    assert!(!bot.told().iter().any(|event| event.contains("x2")));
    bot.run("UPDATE trades SET is_open = 0, close_rate = 3060.0, close_date = '2026-11-20 13:00:00.000000', close_profit_abs = 99.5 WHERE id = 1");
    assert_eq!(bot.told().last().unwrap(), "1 closed x2 6@3060");
    assert_eq!(bot.told().len(), 6);
    // Had only 2 of 6 been sold, the trade's amount would say so.
    let bot = Bot::new();
    bot.run("UPDATE orders SET ft_is_open = 0, status = 'canceled' WHERE order_id = 'x2'");
    assert!(!bot.told().iter().any(|event| event.contains("x2")));
    bot.run("UPDATE trades SET amount = 4.0 WHERE id = 1");
    assert!(bot.told().contains(&"1 partial_exit x2 2@3060".to_owned()));
    assert!(bot.told().contains(&"1 partial_exit x1 4@3050".to_owned()));
}

#[test]
fn trades_without_orders_still_open_and_close() {
    let bot = Bot::new();
    bot.run("DELETE FROM orders WHERE ft_trade_id = 2");
    let told = bot.told();
    assert!(
        told.contains(&"2 opened - 0.01@60000.1".to_owned()),
        "{told:?}"
    );
    assert!(
        told.contains(&"2 closed - 0.01@61000.2".to_owned()),
        "{told:?}"
    );
}

#[test]
fn ingesting_twice_adds_nothing_and_later_changes_add_only_themselves() {
    let bot = Bot::new();
    let journal = bot.dir.path().join("journal.db");
    let run = || ingest(&bot.path(), &journal, "trading-1", NOW_MS).unwrap();
    assert_eq!((run().new, run().new), (5, 0));
    bot.run("UPDATE trades SET is_open = 0, close_rate = 3060.0, close_date = '2026-11-20 13:00:00', close_profit_abs = 99.5 WHERE id = 1; UPDATE orders SET ft_is_open = 0, status = 'closed', filled = 6.0 WHERE order_id = 'x2'");
    let report = run();
    assert_eq!((report.trades, report.rows, report.new), (2, 6, 1));
    let reader = Reader::open(&journal).unwrap();
    let rows = reader.table(Table::SwingTrades, 10).unwrap();
    let cells: Vec<Vec<&str>> = rows
        .iter()
        .map(|row| row.iter().map(|(_, cell)| cell.as_str()).collect())
        .collect();
    assert_eq!(
        cells,
        [
            ["1", "ETH/USDT:USDT", "3010.5", "3060", "", ""],
            ["2", "BTC/USDT:USDT", "60000.1", "61000.2", "", ""],
        ]
    );
    assert_eq!(reader.verify([]).unwrap().1, None);
}

#[test]
fn bad_databases_are_named_and_lose_nothing() {
    let reason = |path: &Path| read(path).unwrap_err().to_string();
    let bot = Bot::new();
    let dir = bot.dir.path();
    assert!(reason(&dir.join("none.sqlite")).contains("it is missing"));
    let text = dir.join("text.sqlite");
    std::fs::write(
        &text,
        "not a database at all, but long enough for a header ".repeat(20),
    )
    .unwrap();
    assert!(reason(&text).contains("not an SQLite database"));
    let empty = dir.join("empty.sqlite");
    std::fs::write(&empty, "").unwrap();
    assert!(reason(&empty).contains("no table trades"));

    // Half-written: cut anywhere, it is refused or read, but never misread.
    let whole = std::fs::read(bot.path()).unwrap();
    let good = read(&bot.path()).unwrap();
    let cut = dir.join("cut.sqlite");
    for len in (0..whole.len()).step_by(512) {
        std::fs::write(&cut, &whole[..len]).unwrap();
        if let Ok(picture) = read(&cut) {
            assert_eq!(picture, good, "cut at {len}");
        }
    }

    // Locked by a writer, then free again.
    let mut watcher = Watcher::new(bot.path());
    let writer = Connection::open(bot.path()).unwrap();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert!(watcher.poll().unwrap_err().to_string().contains("locked"));
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(watcher.poll().unwrap(), Some(good));
}

#[test]
fn an_older_schema_is_read_as_far_as_it_goes_or_named() {
    let bot = Bot::new();
    bot.run("ALTER TABLE trades DROP COLUMN leverage; ALTER TABLE trades DROP COLUMN is_short; ALTER TABLE trades RENAME COLUMN enter_tag TO buy_tag; ALTER TABLE trades RENAME COLUMN exit_reason TO sell_reason; ALTER TABLE trades DROP COLUMN realized_profit;");
    let drafts = bot.drafts();
    assert_eq!(drafts[0].body["enter_tag"], "dip");
    assert!(!drafts[0].body.contains_key("leverage"));
    bot.run("ALTER TABLE orders DROP COLUMN ft_order_side");
    let error = read(&bot.path()).unwrap_err();
    assert!(
        matches!(&error, Error::OlderSchema { missing, .. } if missing == "column orders.ft_order_side")
    );
    bot.run("DROP TABLE orders");
    assert!(
        read(&bot.path())
            .unwrap_err()
            .to_string()
            .contains("no table orders")
    );
}

#[test]
fn one_row_that_is_not_understood_does_not_hide_the_others() {
    let bot = Bot::new();
    bot.run("UPDATE trades SET open_date = 'soon' WHERE id = 1; UPDATE orders SET filled = 'all' WHERE order_id = 's2'");
    let picture = read(&bot.path()).unwrap();
    assert!(picture.trades.is_empty());
    assert_eq!(
        picture.problems,
        [
            "trade 1: column 13: \"soon\" is no date",
            "trade 2: an order: column 7 is not a number"
        ]
    );
    bot.run("UPDATE orders SET filled = 0.01 WHERE order_id = 's2'");
    assert_eq!(
        bot.told(),
        ["2 opened e3 0.01@60000.1", "2 closed s2 0.01@61000.2"]
    );
}

#[test]
fn a_live_database_in_wal_mode_is_followed_and_left_alone() {
    let bot = Bot::new();
    bot.run("PRAGMA journal_mode = WAL");
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(bot.dir.path())
            .unwrap()
            .map(|f| f.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = files();
    let mut watcher = Watcher::new(bot.path());
    assert_eq!(watcher.poll().unwrap().unwrap().trades.len(), 2);
    assert_eq!(watcher.poll().unwrap(), None);
    assert_eq!(
        files(),
        before,
        "a stopped bot's directory gets no new file"
    );
    let running = Connection::open(bot.path()).unwrap();
    running
        .execute_batch("UPDATE trades SET amount = 5.5 WHERE id = 1")
        .unwrap();
    let amount = |picture: Picture| picture.trades[0].amount.unwrap().to_string();
    assert_eq!(amount(watcher.poll().unwrap().unwrap()), "5.5");
    assert_eq!(watcher.poll().unwrap(), None);
    running
        .execute_batch("UPDATE trades SET amount = 5.25 WHERE id = 1")
        .unwrap();
    assert_eq!(amount(watcher.poll().unwrap().unwrap()), "5.25");
    drop(running);
    assert_eq!(
        watcher.poll().unwrap().map(amount).unwrap_or("5.25".into()),
        "5.25"
    );
}

/// Databases that freqtrade itself wrote; not in the repository.
fn real(name: &str) -> Option<PathBuf> {
    let shared = match std::env::var_os("FUSEBOX_SHARED") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let path = shared.join("data/freqtrade").join(name);
    if !path.exists() {
        println!(
            "skipped: {} is not on this machine (FUSEBOX_SHARED names the directory)",
            path.display()
        );
        return None;
    }
    Some(path)
}

/// Counts by event, straight from SQL, without the code under test.
fn count(db: &Path, sql: &str) -> usize {
    let db = Connection::open_with_flags(
        fusebox_journal::sqlite_uri(db, false),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI,
    )
    .unwrap();
    db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as usize
}

#[test]
fn databases_written_by_freqtrade_are_taken_in_whole_and_once() {
    for (name, trades) in [("tradesv3.sqlite", 31), ("tradesv3.live.sqlite", 10)] {
        let Some(db) = real(name) else { continue };
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal.db");
        let run = || ingest(&db, &journal, "trading-1", NOW_MS).unwrap();
        let first = run();
        assert_eq!((first.trades, first.problems.len()), (trades, 0));
        let closed = count(&db, "SELECT count(*) FROM trades WHERE NOT is_open");
        assert_eq!(
            first.new,
            trades + closed,
            "{name}: each opened once, each closed once"
        );
        assert_eq!(run().new, 0, "{name}: nothing twice");

        let reader = Reader::open(&journal).unwrap();
        let rows = reader.page_on(0, &Filter::default(), 1000).unwrap();
        assert!(
            rows.windows(2)
                .all(|w| w[0].happened_ms() <= w[1].happened_ms())
        );
        let bodies: Vec<_> = rows.iter().map(fusebox_journal::Row::fields).collect();
        let of = |event: &str| bodies.iter().filter(|b| b["event"] == event).count();
        assert_eq!((of("opened"), of("closed")), (trades, closed));
        let shorts = bodies
            .iter()
            .filter(|b| b["event"] == "opened" && b["side"] == "short");
        assert_eq!(
            shorts.count(),
            count(&db, "SELECT count(*) FROM trades WHERE is_short")
        );
        for body in &bodies {
            let of_trade = |column: &str| {
                let id = body["trade_id"].as_str().unwrap();
                let sql = format!(
                    "SELECT CAST(round({column} * 10000) AS INTEGER) FROM trades WHERE id = {id}"
                );
                count(&db, &sql)
            };
            let in_row = |field: &str| {
                let number: rust_decimal::Decimal = body[field].as_str().unwrap().parse().unwrap();
                use rust_decimal::prelude::ToPrimitive as _;
                (number * rust_decimal::Decimal::from(10_000))
                    .to_usize()
                    .unwrap()
            };
            assert_eq!(in_row("leverage"), of_trade("leverage"));
            assert_eq!(in_row("open_rate"), of_trade("open_rate"));
            assert_eq!(in_row("amount"), of_trade("amount"));
            if body["event"] == "closed" {
                assert_eq!(in_row("close_rate"), of_trade("close_rate"));
            }
        }
        assert_eq!(reader.verify([]).unwrap().1, None);
        assert_eq!(
            reader.table(Table::SwingTrades, 1000).unwrap().len(),
            trades
        );
    }
}
