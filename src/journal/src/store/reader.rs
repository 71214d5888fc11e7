use super::{check_version, sibling};
use crate::verify::{Fault, Found, Reason, Verifier};
use crate::{Chain, Checkpoint, Error, Hash, Kind, Row, VerifierKey};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Most rows that one page may ask for.
const MAX_PAGE: u32 = 10_000;

/// A connection that looks and never writes: opened read-only, or lent by the writer.
#[derive(Debug)]
pub struct Reader<'a> {
    db: Handle<'a>,
    /// The file of a still; `None` on a live connection.
    still: Option<PathBuf>,
}

#[derive(Debug)]
enum Handle<'a> {
    Own(Connection),
    Lent(&'a Connection),
}

impl std::ops::Deref for Handle<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Self::Own(db) => db,
            Self::Lent(db) => db,
        }
    }
}

/// Which rows a page shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these kinds; empty is all.
    pub kinds: Vec<Kind>,
    /// Only rows whose body or author contains this, letter case aside (ASCII).
    pub text: String,
}

/// The seed's tables, which are views here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `swing_trades(trade_id, pair, entry, exit, thesis, lesson)`
    SwingTrades,
    /// `capital_movements(direction, amount, status, confirm_txn)`
    CapitalMovements,
    /// `halt_events(reason, trigger_value, resolved_at)`
    HaltEvents,
    /// `config_changes(service, field, old_value, new_value)`
    ConfigChanges,
    /// `incidents(type, severity, mitigated_at)`
    Incidents,
}

impl Table {
    /// Every view.
    pub const ALL: &[Self] = &[
        Self::SwingTrades,
        Self::CapitalMovements,
        Self::HaltEvents,
        Self::ConfigChanges,
        Self::Incidents,
    ];

    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::SwingTrades => "swing_trades",
            Self::CapitalMovements => "capital_movements",
            Self::HaltEvents => "halt_events",
            Self::ConfigChanges => "config_changes",
            Self::Incidents => "incidents",
        }
    }
}

impl Reader<'static> {
    /// Opens a journal to look at. Beside a running recorder this is an ordinary read-only
    /// connection. After a clean stop there is no `-wal`, and a reader who may not write the
    /// directory could not open the file at all: then it is opened as immutable, and
    /// [`Reader::is_stopped`] says that what is seen is a still.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no such file, [`Error::Version`], [`Error::Database`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        std::fs::metadata(path).map_err(Error::io(path))?;
        let stopped = !wal_path(path).exists();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(sqlite_uri(path, stopped), flags)?;
        db.busy_timeout(std::time::Duration::from_secs(2))?;
        db.pragma_update(None, "trusted_schema", "OFF")?;
        check_version(&db, path)?;
        Ok(Self {
            db: Handle::Own(db),
            still: stopped.then(|| path.to_owned()),
        })
    }
}

impl<'a> Reader<'a> {
    pub(super) fn on(db: &'a Connection) -> Self {
        Self {
            db: Handle::Lent(db),
            still: None,
        }
    }

    /// The file was opened as a still, since no recorder had it open.
    pub fn is_stopped(&self) -> bool {
        self.still.is_some()
    }

    /// A recorder has opened the file since this still was taken: open it again.
    pub fn is_outdated(&self) -> bool {
        self.still
            .as_deref()
            .is_some_and(|path| wal_path(path).exists())
    }

    /// Number of the last row, 0 while there is none; this is also the number of rows.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn last_seq(&self) -> Result<u64, Error> {
        let last: Option<i64> = self
            .db
            .prepare_cached("SELECT max(seq) FROM entries")?
            .query_row([], |row| row.get(0))?;
        Ok(last.and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0))
    }

    /// The row of this number.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn get(&self, seq: u64) -> Result<Option<Row>, Error> {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let row = self
            .db
            .prepare_cached(
                "SELECT seq, time, kind, author, body, prev, hash FROM entries WHERE seq = ?1",
            )?
            .query_row([seq], to_row)
            .optional()?;
        Ok(row)
    }

    /// Rows before `before_seq` (`None`: from the end), newest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn page_back(
        &self,
        before_seq: Option<u64>,
        filter: &Filter,
        limit: u32,
    ) -> Result<Vec<Row>, Error> {
        let before = before_seq.and_then(|seq| i64::try_from(seq).ok());
        self.page(
            "seq < ?1",
            "DESC",
            before.unwrap_or(i64::MAX),
            filter,
            limit,
        )
    }

    /// Rows after `after_seq`, oldest first: what came since the last look.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn page_on(&self, after_seq: u64, filter: &Filter, limit: u32) -> Result<Vec<Row>, Error> {
        let after = i64::try_from(after_seq).unwrap_or(i64::MAX);
        self.page("seq > ?1", "ASC", after, filter, limit)
    }

    fn page(
        &self,
        range: &str,
        order: &str,
        seq: i64,
        filter: &Filter,
        limit: u32,
    ) -> Result<Vec<Row>, Error> {
        // Kinds are words of our own enum; everything from outside is bound.
        let kinds: Vec<String> = filter.kinds.iter().map(|k| format!("'{k}'")).collect();
        let kinds = match kinds.is_empty() {
            true => String::new(),
            false => format!("AND kind IN ({})", kinds.join(",")),
        };
        let sql = format!(
            "SELECT seq, time, kind, author, body, prev, hash FROM entries
             WHERE {range} {kinds}
               AND (?2 = '' OR body LIKE ?3 ESCAPE '\\' OR author LIKE ?3 ESCAPE '\\')
             ORDER BY seq {order} LIMIT ?4"
        );
        let limit = limit.min(MAX_PAGE);
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map(
            rusqlite::params![seq, filter.text, like(&filter.text), limit],
            to_row,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many rows there are of each kind.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn counts(&self) -> Result<Vec<(String, u64)>, Error> {
        let mut statement = self
            .db
            .prepare_cached("SELECT kind, count(*) FROM entries GROUP BY kind ORDER BY kind")?;
        let rows = statement.query_map([], |row| {
            let count: i64 = row.get(1)?;
            Ok((row.get(0)?, u64::try_from(count).unwrap_or_default()))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The row with this idempotency key.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn by_key(&self, key: &str) -> Result<Option<Row>, Error> {
        let row = self
            .db
            .prepare_cached(
                "SELECT seq, time, kind, author, body, prev, hash FROM entries
                 WHERE json_extract(body, '$.key') = ?1",
            )?
            .query_row([key], to_row)
            .optional()?;
        Ok(row)
    }

    /// The last parts of all keys that begin with `prefix` (`execution/trading-1/` gives the
    /// execution ids that the journal has).
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn keys_with_prefix(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let mut statement = self.db.prepare_cached(
            "SELECT substr(json_extract(body, '$.key'), length(?1) + 1) FROM entries
             WHERE json_extract(body, '$.key') >= ?1
               AND json_extract(body, '$.key') < ?1 || char(0x10ffff)",
        )?;
        let rows = statement.query_map([prefix], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest `limit` rows of one of the seed's tables, oldest first, as (column, text).
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn table(&self, table: Table, limit: u32) -> Result<Vec<Vec<(String, String)>>, Error> {
        let mut statement = self
            .db
            .prepare_cached(&format!("SELECT * FROM {}", table.name()))?;
        let columns: Vec<String> = statement.column_names().map(Into::into).collect();
        let rows = statement.query_map([], |row| {
            columns
                .iter()
                .enumerate()
                .map(|(at, column)| Ok((column.clone(), text_of(row.get_ref(at)?))))
                .collect()
        })?;
        let mut all = rows.collect::<Result<Vec<_>, _>>()?;
        let surplus = all.len().saturating_sub(limit as usize);
        Ok(all.split_off(surplus))
    }

    /// Verifies every row against its neighbours and the given chain ends.
    ///
    /// # Errors
    /// The inner [`Fault`]; the outer error when the database cannot be queried at all.
    pub fn verify(
        &self,
        remembered: impl IntoIterator<Item = Chain>,
    ) -> Result<(Chain, Option<Fault>), Error> {
        let mut verifier = Verifier::new(remembered);
        if let Some(fault) = self.feed(&mut verifier, 0)? {
            return Ok((verifier.so_far(), Some(fault)));
        }
        let so_far = verifier.so_far();
        Ok((so_far, verifier.finish().err()))
    }

    /// Verifies the rows after `seq`, taking the hash of row `seq` as given.
    pub(super) fn verify_from(&self, seq: u64) -> Result<Chain, Error> {
        let start = match self.get(seq)? {
            Some(row) => Chain {
                size: row.seq,
                head: row.hash,
            },
            None => Chain::default(),
        };
        let mut verifier = Verifier::resume(start);
        match self.feed(&mut verifier, start.size)? {
            Some(fault) => Err(fault.into()),
            None => Ok(verifier.so_far()),
        }
    }

    fn feed(&self, verifier: &mut Verifier, after: u64) -> Result<Option<Fault>, Error> {
        // A whole check takes every row there is, even one whose seq is no number. NOT INDEXED:
        // the table itself is read, whatever an index claims.
        let range = if after == 0 { "" } else { "WHERE seq > ?1" };
        let mut statement = self.db.prepare(&format!(
            "SELECT seq, time, kind, author, body, prev, hash FROM entries NOT INDEXED
             {range} ORDER BY seq"
        ))?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let mut rows = match range.is_empty() {
            true => statement.query([])?,
            false => statement.query([after])?,
        };
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(None),
                Err(_) => {
                    return Ok(Some(Fault {
                        bad_seq: verifier.so_far().size.saturating_add(1),
                        reason: Reason::Unreadable,
                    }));
                }
            };
            let found = Found {
                seq: integer(row.get_ref(0)?),
                time_ms: integer(row.get_ref(1)?),
                kind: text(row.get_ref(2)?),
                author: text(row.get_ref(3)?),
                body: text(row.get_ref(4)?),
                prev: hash(row.get_ref(5)?),
                hash: hash(row.get_ref(6)?),
            };
            if let Err(fault) = verifier.push(found) {
                return Ok(Some(fault));
            }
        }
    }
}

/// What `fusebox journal verify` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Every row is as it was sealed, and the checkpoint, if one was given, is met.
    pub ok: bool,
    /// Rows that verified, from the first on.
    pub entries: u64,
    /// Hash of the last of these.
    pub head: Hash,
    /// The first bad row.
    pub bad_seq: Option<u64>,
    /// Why it is bad, or why the file could not be checked.
    pub reason: Option<String>,
    /// Of the checkpoint given: `verified`, or `unchecked` when no `<journal>.vkey` is there.
    pub signature: Option<&'static str>,
}

/// Verifies a journal file, against a checkpoint note if one is named. The note's signature is
/// checked with the public key in `<journal>.vkey`, which the recorder leaves there; who keeps
/// checkpoints elsewhere keeps the key with them.
pub fn verify_file(path: &Path, checkpoint: Option<&Path>) -> Report {
    let mut signature = None;
    let verified = checkpoint
        .map(|note| read_checkpoint(path, note, &mut signature))
        .transpose()
        .and_then(|remembered| Reader::open(path)?.verify(remembered));
    let (chain, bad_seq, reason) = match verified {
        Ok((chain, None)) => (chain, None, None),
        Ok((chain, Some(fault))) => (
            chain,
            Some(fault.bad_seq),
            Some(fault.reason.as_str().to_owned()),
        ),
        Err(error) => (Chain::default(), None, Some(error.to_string())),
    };
    Report {
        ok: reason.is_none(),
        entries: chain.size,
        head: chain.head,
        bad_seq,
        reason,
        signature,
    }
}

fn read_checkpoint(
    db: &Path,
    note: &Path,
    signature: &mut Option<&'static str>,
) -> Result<Chain, Error> {
    let text = std::fs::read_to_string(note).map_err(Error::io(note))?;
    let key = match std::fs::read_to_string(sibling(db, ".vkey")) {
        Ok(key) => VerifierKey::parse(&key)?,
        Err(_) => {
            *signature = Some("unchecked");
            return Ok(Checkpoint::read_unchecked(&text)?.chain);
        }
    };
    let checkpoint = Checkpoint::open(&text, &key)?;
    *signature = Some("verified");
    Ok(checkpoint.chain)
}

fn wal_path(path: &Path) -> PathBuf {
    sibling(path, "-wal")
}

/// A `file:` URI for opening a database read-only, with everything escaped that means something
/// in a URI. `immutable` is for a file that nobody writes: SQLite then makes no files beside it.
pub fn sqlite_uri(path: &Path, immutable: bool) -> String {
    let mut uri = "file:".to_owned();
    for byte in std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()) {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri.push_str(if immutable {
        "?immutable=1"
    } else {
        "?mode=ro"
    });
    uri
}

/// A LIKE pattern that means exactly `text`, anywhere.
fn like(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

fn integer(value: ValueRef<'_>) -> Option<i64> {
    value.as_i64().ok()
}

fn text(value: ValueRef<'_>) -> Option<&str> {
    value.as_str().ok()
}

fn hash(value: ValueRef<'_>) -> Option<Hash> {
    value.as_blob().ok().and_then(Hash::from_bytes)
}

/// What a view's cell shows: text and numbers as they are, NULL as nothing.
fn text_of(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => hex::encode(bytes),
    }
}

/// A row for showing. A column of a wrong type is an error here; the verifier says which row.
fn to_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let blob = |at| {
        hash(row.get_ref(at)?).ok_or_else(|| {
            rusqlite::Error::InvalidColumnType(at, "hash".to_owned(), rusqlite::types::Type::Blob)
        })
    };
    Ok(Row {
        seq: u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(),
        time_ms: row.get(1)?,
        kind: row.get(2)?,
        author: row.get(3)?,
        body: row.get(4)?,
        prev: blob(5)?,
        hash: blob(6)?,
    })
}
