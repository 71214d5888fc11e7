//! What can go wrong with a journal, in the operator's words.

use crate::verify::Fault;

/// Everything that this crate refuses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A row is over a limit.
    #[error("a journal row's {what} has {bytes} bytes and may have {limit}; nothing was written")]
    TooLong {
        /// `kind`, `author` or `body`.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The body is something else than a JSON object.
    #[error("a journal row's body must be one JSON object; nothing was written")]
    NotAnObject,
    /// Text that should be a hash, a key, a checkpoint or a row is not.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The signature does not belong to the text and the key.
    #[error("the checkpoint's signature does not match the key {0}; do not trust this checkpoint")]
    BadSignature(String),
    /// The journal does not verify, so nothing is added to it.
    #[error(
        "the journal does not verify: {0}; nothing was appended. Keep the file as evidence, compare it with the last off-box checkpoint, and start a new one"
    )]
    Broken(#[from] Fault),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Another process holds the writer's lock.
    #[error("{0} already has a writer; stop the other process first")]
    Locked(String),
    /// Not a journal, or one of another version.
    #[cfg(feature = "store")]
    #[error("{path} is not a journal this program can use: {found}; expected {expected}")]
    Version {
        /// The file.
        path: String,
        /// What it is.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// The disk is full or the file system is read-only: nothing was written.
    #[cfg(feature = "store")]
    #[error(
        "the journal's disk takes no more data ({0}); the row was refused, its sender keeps it"
    )]
    DiskFull(String),
    /// SQLite said no.
    #[cfg(feature = "store")]
    #[error("the journal database failed: {0}")]
    Database(#[source] rusqlite::Error),
}

impl Error {
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { path, source }
    }
}

#[cfg(feature = "store")]
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DiskFull, ReadOnly, SystemIoFailure};
        match error.sqlite_error_code() {
            Some(DiskFull | ReadOnly | SystemIoFailure) => Self::DiskFull(error.to_string()),
            _ => Self::Database(error),
        }
    }
}
