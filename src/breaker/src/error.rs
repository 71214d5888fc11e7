//! What can stop the breaker.

use std::path::PathBuf;

/// Why the breaker does not start, or stopped. Whatever fails later is shown as health and
/// retried: a running breaker does not end because something else did.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A value of the configuration that the types alone do not exclude.
    #[error("the configuration is refused: {0}")]
    Config(String),
    /// A secret could not be had.
    #[error("the breaker cannot start without its secret: {0}")]
    Secret(#[from] fusebox_custody::Error),
    /// The exchange's client or hosts.
    #[error(transparent)]
    Venue(#[from] fusebox_venue::Error),
    /// An HTTP client could not be made.
    #[error("the HTTP client for {what} could not be made: {why}")]
    Client {
        /// Which.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// The alert channel's client.
    #[error(transparent)]
    Telegram(#[from] fusebox_notify::TelegramError),
    /// A socket could not be served.
    #[error(transparent)]
    Wire(#[from] fusebox_wire::Error),
    /// The state database.
    #[error(
        "the state database {path}: {source}; latches cannot be made durable, so the breaker does not run; entries should be stopped by hand",
        path = .path.display()
    )]
    Database {
        /// The file.
        path: PathBuf,
        /// SQLite's answer.
        source: rusqlite::Error,
    },
    /// The signing key.
    #[error("the signing key {path}: {why}", path = .path.display())]
    SigningKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Its answer.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
