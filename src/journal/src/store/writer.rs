use super::{APPLICATION_ID, VERSION, check_version, sibling};
use crate::body::KEY;
use crate::verify::{Fault, Reason};
use crate::{Chain, Draft, Error, Hash, Reader, Row};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const SCHEMA: &str = include_str!("schema.sql");

/// A row that reached the journal longer than this after it happened says so.
const LATE_MS: i64 = 60_000;
/// Rows at the end that are checked before the store takes a row.
const TAIL_ROWS: u64 = 1000;

/// What became of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The row's number.
    pub seq: u64,
    /// The row's hash.
    pub hash: Hash,
    /// It was there before, under the same key; nothing was written.
    pub duplicate: bool,
}

/// The one writer.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    chain: Chain,
    last_ms: i64,
    path: PathBuf,
    _lock: File,
}

impl Store {
    /// Opens or creates the journal, takes the writer's lock (`<file>.lock`), and checks the end
    /// of the chain.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Version`], [`Error::Broken`] when the last rows do not verify,
    /// [`Error::Io`], [`Error::Database`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let lock_path = sibling(path, ".lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(Error::io(&lock_path))?;
        crate::log::lock(&lock, path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags)?;
        configure(&db)?;
        if is_empty(&db)? {
            create(&mut db)?;
            crate::log::sync_directory(path).map_err(Error::io(path))?;
        }
        check_version(&db, path)?;
        let mut store = Self {
            db,
            chain: Chain::default(),
            last_ms: i64::MIN,
            path: path.to_owned(),
            _lock: lock,
        };
        store.adopt_tail()?;
        Ok(store)
    }

    /// Verifies the last rows and continues behind them.
    fn adopt_tail(&mut self) -> Result<(), Error> {
        let reader = Reader::on(&self.db);
        let last = reader.last_seq()?;
        self.chain = reader.verify_from(last.saturating_sub(TAIL_ROWS))?;
        self.last_ms = reader
            .get(self.chain.size)?
            .map_or(i64::MIN, |row| row.time_ms);
        Ok(())
    }

    /// Writes drafts in one transaction and returns when they are on the disk. `now_ms` is the
    /// wall clock; the rows' times never run backwards.
    ///
    /// # Errors
    /// [`Error::DiskFull`], [`Error::TooLong`], [`Error::NotAnObject`], [`Error::Broken`] when the
    /// file's end is not where this writer left it, [`Error::Database`]. Then none is written.
    pub fn append(&mut self, now_ms: i64, drafts: &[Draft]) -> Result<Vec<Appended>, Error> {
        let time_ms = now_ms.max(self.last_ms);
        let mut chain = self.chain;
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        check_end(&tx, chain)?;
        let mut appended = Vec::with_capacity(drafts.len());
        for draft in drafts {
            if let Some(found) = draft.key().map(|key| find(&tx, key)).transpose()?.flatten() {
                appended.push(found);
                continue;
            }
            let row = chain.seal(
                time_ms,
                draft.kind.as_str(),
                &draft.author,
                final_body(draft, time_ms),
            )?;
            insert(&tx, &row)?;
            appended.push(Appended {
                seq: row.seq,
                hash: row.hash,
                duplicate: false,
            });
        }
        tx.commit()?;
        if chain != self.chain {
            (self.chain, self.last_ms) = (chain, time_ms);
        }
        Ok(appended)
    }

    /// Where the journal ends.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Pages of 4 KiB in the database.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn pages(&self) -> Result<u32, Error> {
        Ok(self
            .db
            .pragma_query_value(None, "page_count", |row| row.get(0))?)
    }

    /// Sets how large the database may grow; rows beyond that are refused as on a full disk.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn limit_pages(&self, pages: u32) -> Result<(), Error> {
        self.db
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        Ok(())
    }

    /// A reader on the writer's own connection.
    pub fn reader(&self) -> Reader<'_> {
        Reader::on(&self.db)
    }

    /// Moves what the WAL holds into the database. For idle moments: it may take a while, and
    /// gives up (without harm) where a reader is in the way.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn checkpoint_wal(&self) -> Result<(), Error> {
        self.db
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// Closes cleanly: afterwards the file stands alone, without `-wal`, unless a reader is
    /// still there.
    ///
    /// # Errors
    /// [`Error::Database`]; the rows are safe either way.
    pub fn close(self) -> Result<(), Error> {
        self.db.close().map_err(|(_, error)| Error::from(error))
    }
}

/// Settings of the writing connection. FULL syncs the WAL at every commit; recursive triggers
/// make REPLACE meet the DELETE trigger.
fn configure(db: &Connection) -> Result<(), Error> {
    db.busy_timeout(std::time::Duration::from_secs(2))?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "recursive_triggers", "ON")?;
    db.pragma_update(None, "trusted_schema", "OFF")?;
    db.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    Ok(())
}

fn is_empty(db: &Connection) -> Result<bool, Error> {
    let objects: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let application: i64 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(objects == 0 && application == 0)
}

/// Creates the layout in one transaction: a crash leaves an empty file or a journal.
fn create(db: &mut Connection) -> Result<(), Error> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(SCHEMA)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()?;
    Ok(())
}

/// Somebody else wrote to the file, or it was exchanged: then this writer's chain is not its end.
fn check_end(db: &Connection, chain: Chain) -> Result<(), Error> {
    let end = db
        .prepare_cached("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get_ref(1)?.as_blob()?.to_vec()))
        })
        .optional()?;
    let same = match &end {
        None => chain.size == 0,
        Some((seq, hash)) => {
            u64::try_from(*seq) == Ok(chain.size) && hash == chain.head.as_bytes().as_slice()
        }
    };
    if same {
        return Ok(());
    }
    Err(Error::Broken(Fault {
        bad_seq: chain.size.max(1),
        reason: Reason::Forked,
    }))
}

fn find(db: &Connection, key: &str) -> Result<Option<Appended>, Error> {
    let found = db
        .prepare_cached("SELECT seq, hash FROM entries WHERE json_extract(body, '$.key') = ?1")?
        .query_row([key], |row| {
            Ok(Appended {
                seq: u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(),
                hash: Hash::from_bytes(row.get_ref(1)?.as_blob()?).unwrap_or(Hash::ZERO),
                duplicate: true,
            })
        })
        .optional()?;
    Ok(found)
}

fn insert(db: &Connection, row: &Row) -> Result<(), Error> {
    let seq = i64::try_from(row.seq).unwrap_or(i64::MAX);
    db.prepare_cached(
        "INSERT INTO entries (seq, time, kind, author, body, prev, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(rusqlite::params![
        seq,
        row.time_ms,
        row.kind,
        row.author,
        row.body,
        row.prev.as_bytes(),
        row.hash.as_bytes(),
    ])?;
    Ok(())
}

/// The draft's body with what only the writer knows: when it happened beside when it was
/// written, and how late that is.
fn final_body(draft: &Draft, time_ms: i64) -> String {
    let mut body = draft.body.clone();
    body.insert("happened_ms".to_owned(), Value::from(draft.happened_ms));
    let late_ms = time_ms.saturating_sub(draft.happened_ms);
    if late_ms > LATE_MS {
        body.insert("late_ms".to_owned(), Value::from(late_ms));
    }
    debug_assert!(draft.key().is_none() || body.contains_key(KEY));
    Value::Object(body).to_string()
}
