//! What stops the recorder, in the operator's words.

use std::path::{Path, PathBuf};

/// Everything that the recorder reports.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The journal itself.
    #[error(transparent)]
    Journal(#[from] fusebox_journal::Error),
    /// A socket.
    #[error(transparent)]
    Wire(#[from] fusebox_wire::Error),
    /// The exchange.
    #[error(transparent)]
    Venue(#[from] fusebox_venue::Error),
    /// A secret.
    #[error(transparent)]
    Secret(#[from] fusebox_custody::Error),
    /// Freqtrade's database cannot be read now; it is tried again and nothing is lost.
    #[error(
        "freqtrade's database {path} cannot be read ({reason}); it is tried again, nothing is lost", path = .path.display()
    )]
    BotDatabase {
        /// The file.
        path: PathBuf,
        /// In words.
        reason: String,
    },
    /// Freqtrade's database is of a version that lacks something needed.
    #[error(
        "freqtrade's database {path} has no {missing}: it is older than this program can read. Start the current freqtrade once on a copy, which brings it up to date", path = .path.display()
    )]
    OlderSchema {
        /// The file.
        path: PathBuf,
        /// `column trades.x` or `table orders`.
        missing: String,
    },
    /// A file of the recorder's own.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The writer is gone: the recorder is stopping.
    #[error("the recorder is stopping; send the row again later")]
    Stopping,
}

impl Error {
    /// Freqtrade's database, with what SQLite says put into words where it is known.
    pub(crate) fn bot_db(path: &Path, error: &dyn std::fmt::Display) -> Self {
        let text = error.to_string();
        let known = [
            ("locked", "locked by its writer"),
            ("not a database", "not an SQLite database"),
            ("malformed", "half-written or damaged"),
            ("No such file", "it is missing"),
            (
                "unable to open",
                "it is missing, or its directory is closed to this user",
            ),
        ];
        let reason = known
            .iter()
            .find(|(sign, _)| text.contains(sign))
            .map_or(text.clone(), |(_, words)| format!("{words}: {text}"));
        Self::BotDatabase {
            path: path.to_owned(),
            reason,
        }
    }

    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
