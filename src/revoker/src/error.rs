/// Why the revoker does not start, or could not do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The configuration contradicts itself.
    #[error("configuration: {0}")]
    Config(String),
    /// A file of its own state.
    #[error("{what}: {why}; the revoker does not start without its state, mend it and start again")]
    State {
        /// What was tried.
        what: String,
        /// The system's answer.
        why: String,
    },
    /// Key material of its own that is broken.
    #[error(
        "the signing key {path} is not an Ed25519 key in PKCS#8; restore it from a backup, or remove it and pin the new public key in every console"
    )]
    SigningKey {
        /// The file.
        path: String,
    },
    /// Sockets.
    #[error(transparent)]
    Wire(#[from] fusebox_wire::Error),
    /// Its own record.
    #[error(
        "the intent log does not verify: {0}; nothing is resumed from a record that was changed: keep the file for the investigation, and start with an empty state directory"
    )]
    Intents(#[from] fusebox_journal::Error),
    /// The exchange's client.
    #[error(transparent)]
    Venue(#[from] fusebox_venue::Error),
}

impl Error {
    pub(crate) fn state(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |why| Self::State {
            what,
            why: why.to_string(),
        }
    }
}
