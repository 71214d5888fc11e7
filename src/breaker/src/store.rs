//! The breaker's own database: the ladder, the plans, the outbox, counters that only rise.
//!
//! Everything is durable (WAL, `synchronous=FULL`) before the caller goes on; if the disk takes
//! nothing any more, the caller goes on all the same and [`Store::trouble`] says so: what only
//! stops must not wait for a disk (K12). A release is refused then. One connection, one owner.

use crate::Error;
use crate::flows::Ledger;
use crate::plan::Plan;
use fusebox_wire::append::Draft;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Rows that wait for the recorder; more are dropped, oldest first.
const OUTBOX_ROWS: i64 = 100_000;

/// Rows kept in memory while the disk takes none.
const OVERFLOW_ROWS: usize = 1_000;

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
    counters: BTreeMap<String, u64>,
    /// Rows that the disk did not take yet.
    overflow: VecDeque<Draft>,
    trouble: Option<String>,
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
        let open = || {
            let db = Connection::open(path)?;
            // One owner: whoever else holds it must not hold up a decision.
            db.busy_timeout(Duration::from_millis(50))?;
            db.execute_batch(SCHEMA)?;
            let counters = {
                let mut query = db.prepare("SELECT name, last FROM counter")?;
                let rows = query.query_map([], |row| {
                    Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
                })?;
                rows.collect::<Result<_, _>>()?
            };
            Ok(Self {
                db,
                path: path.to_owned(),
                counters,
                overflow: VecDeque::new(),
                trouble: None,
            })
        };
        open().map_err(|source| Error::Database {
            path: path.to_owned(),
            source,
        })
    }

    /// Why the last write did not become durable; `None` while all is well.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
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

    /// All plans kept, oldest first.
    pub(crate) fn plans(&self) -> Result<Vec<Plan>, Error> {
        let read = || {
            let mut query = self
                .db
                .prepare("SELECT body FROM plan ORDER BY started_ms, id")?;
            let rows = query.query_map([], |row| row.get::<_, String>(0))?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        let bodies = read().map_err(|e| self.failed(e))?;
        Ok(bodies
            .iter()
            .filter_map(|body| serde_json::from_str(body).ok())
            .collect())
    }

    /// Saves ladder and ledger together, and with them the plans that the ladder's change began:
    /// a latch is durable with its plan before the plan's first effect.
    pub(crate) fn save(&mut self, saved: &Saved, plans: &[&Plan]) {
        let ledger = serde_json::to_vec(&saved.ledger).unwrap_or_default();
        let done = self.transaction(|tx| {
            put(tx, "ladder", &saved.ladder)?;
            put(tx, "ledger", &ledger)?;
            plans.iter().try_for_each(|plan| put_plan(tx, plan))
        });
        self.note(done);
    }

    /// Writes a plan's state.
    pub(crate) fn save_plan(&mut self, plan: &Plan) {
        let done = self.transaction(|tx| put_plan(tx, plan));
        self.note(done);
    }

    /// The next number of a counter, durable before it is returned, or at least never returned
    /// twice by this process.
    pub(crate) fn next(&mut self, name: &str) -> u64 {
        let next = self.counters.get(name).map_or(1, |last| last + 1);
        self.counters.insert(name.to_owned(), next);
        let done = self.transaction(|tx| put_counter(tx, name, next));
        self.note(done);
        next
    }

    /// Raises a counter to `to`; `false` if it is there or beyond already. What only stops may go
    /// on without a disk; this guards a release, so here a failure refuses.
    pub(crate) fn raise(&mut self, name: &str, to: u64) -> Result<bool, Error> {
        if self.counters.get(name).is_some_and(|last| *last >= to) {
            return Ok(false);
        }
        self.transaction(|tx| put_counter(tx, name, to))
            .map_err(|e| self.failed(e))?;
        self.counters.insert(name.to_owned(), to);
        Ok(true)
    }

    /// Puts a row into the outbox.
    pub(crate) fn push(&mut self, draft: Draft) {
        if self.overflow.len() == OVERFLOW_ROWS {
            self.overflow.pop_front();
        }
        self.overflow.push_back(draft);
        let waiting: Vec<String> = self
            .overflow
            .iter()
            .map(|draft| serde_json::to_string(draft).unwrap_or_default())
            .collect();
        let done = self.transaction(|tx| {
            for body in &waiting {
                tx.execute("INSERT INTO outbox (body) VALUES (?1)", [body])?;
            }
            let newest = tx.last_insert_rowid();
            tx.execute("DELETE FROM outbox WHERE seq <= ?1", [newest - OUTBOX_ROWS])
                .map(|_| ())
        });
        if done.is_ok() {
            self.overflow.clear();
        }
        self.note(done);
    }

    /// The oldest row of the outbox. One that cannot be read any more is dropped: it must not hold
    /// up the others.
    pub(crate) fn peek(&mut self) -> Option<(u64, Draft)> {
        let first = "SELECT seq, body FROM outbox ORDER BY seq LIMIT 1";
        loop {
            let row: Option<(i64, String)> = self
                .db
                .query_row(first, [], |row| Ok((row.get(0)?, row.get(1)?)))
                .ok();
            let (seq, body) = row?;
            let seq = seq.unsigned_abs();
            match serde_json::from_str(&body) {
                Ok(draft) => return Some((seq, draft)),
                Err(error) => {
                    tracing::error!(%error, seq, "a row of the outbox is damaged and dropped");
                    self.delivered(seq);
                    if self.trouble.is_some() {
                        return None;
                    }
                }
            }
        }
    }

    /// Removes a row that the recorder has.
    pub(crate) fn delivered(&mut self, seq: u64) {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let done = self.transaction(|tx| {
            tx.execute("DELETE FROM outbox WHERE seq = ?1", [seq])
                .map(|_| ())
        });
        self.note(done);
    }

    /// Rows that wait.
    pub(crate) fn waiting(&self) -> u64 {
        let count: i64 = self
            .db
            .query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
            .unwrap_or(0);
        count.unsigned_abs() + self.overflow.len() as u64
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
    ) -> rusqlite::Result<()> {
        let tx = self.db.transaction()?;
        work(&tx)?;
        tx.commit()
    }

    fn note(&mut self, done: rusqlite::Result<()>) {
        let trouble = done.err().map(|error| error.to_string());
        if let (Some(why), None) = (&trouble, &self.trouble) {
            tracing::error!(why, path = %self.path.display(), "state is not durable");
        }
        self.trouble = trouble;
    }

    fn failed(&self, source: rusqlite::Error) -> Error {
        Error::Database {
            path: self.path.clone(),
            source,
        }
    }
}

fn put_counter(tx: &rusqlite::Transaction<'_>, name: &str, last: u64) -> rusqlite::Result<()> {
    let last = i64::try_from(last).unwrap_or(i64::MAX);
    tx.execute(
        "INSERT INTO counter VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET last = ?2",
        params![name, last],
    )
    .map(|_| ())
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
        store.save(&saved, &[&plan]);
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
        store.save(&saved, &[]);
        store
            .db
            .execute("UPDATE value SET body = x'00' WHERE name = 'ledger'", [])
            .unwrap();
        assert!(matches!(store.saved(), Ok(Some(Err(_)))));
    }

    #[test]
    fn counters_only_rise() {
        let mut store = store();
        assert_eq!((store.next("stop"), store.next("stop")), (1, 2));
        assert!(store.raise("certificate", 7).unwrap());
        assert!(!store.raise("certificate", 7).unwrap());
        assert!(!store.raise("certificate", 3).unwrap());
        assert!(store.raise("certificate", 8).unwrap());
    }

    #[test]
    fn the_outbox_gives_rows_in_order_until_they_are_delivered() {
        let mut store = store();
        store.push(draft("halt"));
        store.push(draft("alert"));
        let (seq, first) = store.peek().unwrap();
        assert_eq!((first.kind.as_str(), store.waiting()), ("halt", 2));
        store.delivered(seq);
        assert_eq!(store.peek().unwrap().1.kind, "alert");
        assert!(store.peek().unwrap().0 > seq, "numbers are not used again");
    }

    #[test]
    fn a_disk_that_takes_nothing_stops_nothing_but_a_release() {
        let mut store = store();
        store.db.execute_batch("PRAGMA query_only = ON").unwrap();
        let plan = Plan::new("p".into(), Rung::R3, String::new(), 0, 0);
        store.save_plan(&plan);
        assert!(store.trouble().is_some());
        assert_eq!((store.next("stop"), store.next("stop")), (1, 2));
        store.push(draft("halt"));
        assert_eq!(store.waiting(), 1, "kept in memory");
        assert!(store.raise("certificate", 1).is_err());
        store.db.execute_batch("PRAGMA query_only = OFF").unwrap();
        store.push(draft("alert"));
        assert_eq!(store.trouble(), None);
        assert_eq!(
            (store.waiting(), store.peek().unwrap().1.kind.as_str()),
            (2, "halt")
        );
        assert!(store.raise("certificate", 1).unwrap());
        assert_eq!(store.next("stop"), 3, "a number is not used twice");
    }

    #[test]
    fn old_finished_plans_go_and_open_ones_stay() {
        let mut store = store();
        for n in 0..60 {
            let rung = if n == 0 { Rung::R3 } else { Rung::R1 };
            let plan = Plan::new(format!("p{n:02}"), rung, String::new(), 0, n);
            store.save_plan(&plan);
        }
        let plans = store.plans().unwrap();
        assert_eq!(plans.len(), 51);
        assert_eq!(plans[0].id, "p00", "R3 is open");
    }
}
