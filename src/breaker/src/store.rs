//! The breaker's own database: the ladder, the plans, the outbox, counters that only rise.
//!
//! Everything is durable (WAL, `synchronous=FULL`) before the caller goes on. One connection, one
//! owner.

use crate::Error;
use crate::flows::Ledger;
use crate::plan::Plan;
use fusebox_wire::append::Draft;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};

/// Rows that wait for the recorder; more are dropped, oldest first, and counted.
const OUTBOX_ROWS: i64 = 100_000;

/// Finished plans kept for the screen.
const PLANS_KEPT: i64 = 50;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS value (name TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS plan (id TEXT PRIMARY KEY, started_ms INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL) STRICT;
";

/// The database.
pub(crate) struct Store {
    db: Connection,
    path: PathBuf,
}

/// What the ladder knew when it was last saved.
#[derive(Debug, PartialEq)]
pub(crate) struct Saved {
    /// [`fusebox_ladder::Ladder::to_bytes`].
    pub(crate) ladder: Vec<u8>,
    /// The flows it has taken in.
    pub(crate) ledger: Ledger,
}

impl Store {
    /// Opens or makes the database.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Database {
            path: path.to_owned(),
            source,
        };
        let db = Connection::open(path).map_err(failed)?;
        db.execute_batch(SCHEMA).map_err(failed)?;
        Ok(Self {
            db,
            path: path.to_owned(),
        })
    }

    /// The ladder as saved; `Ok(None)` at the very first start. Bytes that cannot be understood
    /// are an error in words: the caller must not begin anew as if nothing had been.
    pub(crate) fn saved(&self) -> Result<Option<Result<Saved, String>>, Error> {
        let (Some(ladder), Some(ledger)) = (self.value("ladder")?, self.value("ledger")?) else {
            return Ok(None);
        };
        Ok(Some(
            serde_json::from_slice(&ledger)
                .map(|ledger| Saved { ladder, ledger })
                .map_err(|e| format!("the saved ledger is damaged: {e}")),
        ))
    }

    /// Saves ladder and ledger together, and with them the plans that the ladder's change began:
    /// a latch is durable with its plan before the plan's first effect.
    pub(crate) fn save(&mut self, saved: &Saved, plans: &[&Plan]) -> Result<(), Error> {
        let ledger = serde_json::to_vec(&saved.ledger).unwrap_or_default();
        self.transaction(|tx| {
            put(tx, "ladder", &saved.ladder)?;
            put(tx, "ledger", &ledger)?;
            plans.iter().try_for_each(|plan| put_plan(tx, plan))
        })
    }

    /// Writes a plan's state.
    pub(crate) fn save_plan(&mut self, plan: &Plan) -> Result<(), Error> {
        self.transaction(|tx| put_plan(tx, plan))
    }

    /// All plans kept, oldest first.
    pub(crate) fn plans(&self) -> Result<Vec<Plan>, Error> {
        let run = || {
            let mut query = self
                .db
                .prepare("SELECT body FROM plan ORDER BY started_ms, id")?;
            let rows = query.query_map([], |row| row.get::<_, String>(0))?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        let bodies = run().map_err(|e| self.failed(e))?;
        Ok(bodies
            .iter()
            .filter_map(|body| serde_json::from_str(body).ok())
            .collect())
    }

    /// The next number of a counter, durable before it is returned.
    pub(crate) fn next(&mut self, name: &str) -> Result<u64, Error> {
        let last: i64 = self
            .db
            .query_row(
                "INSERT INTO counter VALUES (?1, 1)
                 ON CONFLICT (name) DO UPDATE SET last = last + 1 RETURNING last",
                [name],
                |row| row.get(0),
            )
            .map_err(|e| self.failed(e))?;
        Ok(last.unsigned_abs())
    }

    /// Raises a counter to `to`; `false` if it is there or beyond already.
    pub(crate) fn raise(&mut self, name: &str, to: u64) -> Result<bool, Error> {
        let to = i64::try_from(to).unwrap_or(i64::MAX);
        let changed = self
            .db
            .execute(
                "INSERT INTO counter VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET last = ?2 WHERE last < ?2",
                params![name, to],
            )
            .map_err(|e| self.failed(e))?;
        Ok(changed == 1)
    }

    /// Puts a row into the outbox and returns its number.
    pub(crate) fn push(&mut self, draft: &Draft) -> Result<u64, Error> {
        let body = serde_json::to_string(draft).unwrap_or_default();
        let mut seq = 0;
        self.transaction(|tx| {
            tx.execute("INSERT INTO outbox (body) VALUES (?1)", [&body])?;
            seq = tx.last_insert_rowid();
            tx.execute("DELETE FROM outbox WHERE seq <= ?1", [seq - OUTBOX_ROWS])?;
            Ok(())
        })?;
        Ok(seq.unsigned_abs())
    }

    /// The oldest row of the outbox.
    pub(crate) fn peek(&self) -> Result<Option<(u64, Draft)>, Error> {
        let row: Option<(i64, String)> = self
            .db
            .query_row(
                "SELECT seq, body FROM outbox ORDER BY seq LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(|e| self.failed(e))?;
        Ok(row
            .and_then(|(seq, body)| Some((seq.unsigned_abs(), serde_json::from_str(&body).ok()?))))
    }

    /// Removes a row that the recorder has.
    pub(crate) fn delivered(&mut self, seq: u64) -> Result<(), Error> {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        self.db
            .execute("DELETE FROM outbox WHERE seq = ?1", [seq])
            .map(|_| ())
            .map_err(|e| self.failed(e))
    }

    /// Rows that wait.
    pub(crate) fn waiting(&self) -> Result<u64, Error> {
        let count: i64 = self
            .db
            .query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
            .map_err(|e| self.failed(e))?;
        Ok(count.unsigned_abs())
    }

    fn value(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.db
            .query_row("SELECT body FROM value WHERE name = ?1", [name], |row| {
                row.get(0)
            })
            .optional()
            .map_err(|e| self.failed(e))
    }

    fn transaction(
        &mut self,
        work: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), Error> {
        let run = |db: &mut Connection| {
            let tx = db.transaction()?;
            work(&tx)?;
            tx.commit()
        };
        run(&mut self.db).map_err(|source| Error::Database {
            path: self.path.clone(),
            source,
        })
    }

    fn failed(&self, source: rusqlite::Error) -> Error {
        Error::Database {
            path: self.path.clone(),
            source,
        }
    }
}

fn put(tx: &rusqlite::Transaction<'_>, name: &str, body: &[u8]) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO value VALUES (?1, ?2)",
        params![name, body],
    )
    .map(|_| ())
}

fn put_plan(tx: &rusqlite::Transaction<'_>, plan: &Plan) -> rusqlite::Result<()> {
    let body = serde_json::to_string(plan).unwrap_or_default();
    tx.execute(
        "INSERT OR REPLACE INTO plan VALUES (?1, ?2, ?3)",
        params![plan.id, plan.started_ms, body],
    )?;
    tx.execute(
        "DELETE FROM plan WHERE json_extract(body, '$.ended_ms') IS NOT NULL AND id NOT IN
         (SELECT id FROM plan ORDER BY started_ms DESC, id DESC LIMIT ?1)",
        [PLANS_KEPT],
    )
    .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fusebox_ladder::Rung;

    fn store() -> Store {
        Store::open(Path::new(":memory:")).unwrap()
    }

    fn draft(kind: &str) -> Draft {
        Draft {
            kind: kind.into(),
            body: serde_json::json!({}),
            happened_ms: 1,
            outbox: None,
        }
    }

    #[test]
    fn what_was_saved_comes_back_and_the_first_start_has_nothing() {
        let mut store = store();
        assert_eq!(store.saved().unwrap(), None);
        let saved = Saved {
            ladder: vec![1, 2, 3],
            ledger: Ledger::default(),
        };
        let plan = Plan::new("p".into(), Rung::R3, "why".into(), 5, 6);
        store.save(&saved, &[&plan]).unwrap();
        assert_eq!(store.saved().unwrap(), Some(Ok(saved)));
        assert_eq!(store.plans().unwrap(), [plan]);
    }

    #[test]
    fn damaged_state_is_told_and_is_not_nothing() {
        let mut store = store();
        let saved = Saved {
            ladder: vec![],
            ledger: Ledger::default(),
        };
        store.save(&saved, &[]).unwrap();
        store
            .db
            .execute("UPDATE value SET body = x'00' WHERE name = 'ledger'", [])
            .unwrap();
        assert!(matches!(store.saved(), Ok(Some(Err(_)))));
    }

    #[test]
    fn counters_only_rise() {
        let mut store = store();
        assert_eq!(
            (store.next("stop").unwrap(), store.next("stop").unwrap()),
            (1, 2)
        );
        assert!(store.raise("certificate", 7).unwrap());
        assert!(!store.raise("certificate", 7).unwrap());
        assert!(!store.raise("certificate", 3).unwrap());
        assert!(store.raise("certificate", 8).unwrap());
    }

    #[test]
    fn the_outbox_gives_rows_in_order_until_they_are_delivered() {
        let mut store = store();
        assert!(store.push(&draft("halt")).unwrap() < store.push(&draft("alert")).unwrap());
        let (seq, first) = store.peek().unwrap().unwrap();
        assert_eq!((first.kind.as_str(), store.waiting().unwrap()), ("halt", 2));
        store.delivered(seq).unwrap();
        assert_eq!(store.peek().unwrap().unwrap().1.kind, "alert");
        assert!(
            store.peek().unwrap().unwrap().0 > seq,
            "numbers are not used again"
        );
    }

    #[test]
    fn old_finished_plans_go_and_open_ones_stay() {
        let mut store = store();
        for n in 0..60 {
            let rung = if n == 0 { Rung::R3 } else { Rung::R1 };
            let plan = Plan::new(format!("p{n:02}"), rung, String::new(), 0, n);
            store.save_plan(&plan).unwrap();
        }
        let plans = store.plans().unwrap();
        assert_eq!(plans.len(), 51);
        assert_eq!(plans[0].id, "p00", "R3 is open");
    }
}
