//! `journal.db`: the chain in SQLite. One [`Store`] writes, any number of [`Reader`]s look.
//!
//! WAL with `synchronous = FULL`, so that an appended row has been synced when the append
//! returns. Triggers refuse UPDATE and DELETE; they stop accidents, the chain shows the rest.
//! Checkpoints of the WAL are made between appends, never inside one.
//!
//! Weak spots: SQLite's WAL needs all readers on the writer's host. The views are plain SQL in
//! the file: whoever can write the file can change them, and only `entries` is chained.

mod reader;
mod writer;

pub use reader::{Filter, Reader, Report, Table, sqlite_uri, verify_file};
pub use writer::{Appended, Store};

/// `PRAGMA user_version` of this layout.
pub(crate) const VERSION: i64 = 1;
/// `PRAGMA application_id`: "Fbxj".
pub(crate) const APPLICATION_ID: i64 = 0x4662_786a;

/// Checks that an open database is a journal of this layout.
fn check_version(db: &rusqlite::Connection, path: &std::path::Path) -> Result<(), crate::Error> {
    let number = |pragma: &str| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    if (application, version) == (APPLICATION_ID, VERSION) {
        return Ok(());
    }
    let found = match application {
        APPLICATION_ID => format!("a journal of layout {version}"),
        _ => format!("some other database (application {application}, version {version})"),
    };
    Err(crate::Error::Version {
        path: path.display().to_string(),
        found,
        expected: format!("a journal of layout {VERSION}"),
    })
}

/// `path` with `ending` appended to its whole name, as SQLite names its own side files.
fn sibling(path: &std::path::Path, ending: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
