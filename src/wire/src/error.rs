use std::path::PathBuf;

/// What can go wrong between two components, in words for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The other side closed the connection between two frames.
    #[error("the other side closed the connection")]
    Closed,
    /// The connection ended inside a frame.
    #[error(
        "the connection ended inside a message ({got} of {want} bytes); the message is discarded"
    )]
    Truncated {
        /// Bytes that arrived.
        got: usize,
        /// Bytes announced.
        want: usize,
    },
    /// A frame over the limit; nothing of it is read.
    #[error(
        "a message of {len} bytes is over the limit of {} bytes; the connection is closed",
        super::MAX_FRAME
    )]
    TooLong {
        /// Announced length in bytes.
        len: usize,
    },
    /// The bytes are not UTF-8.
    #[error("a message is not UTF-8 (first wrong byte at {at})")]
    NotUtf8 {
        /// Offset of the first wrong byte.
        at: usize,
    },
    /// JSON that is broken, nested too deeply, of an unknown type or with a missing field.
    #[error("a message was not understood: {0}")]
    NotUnderstood(#[source] serde_json::Error),
    /// A value that does not become JSON.
    #[error("a message could not be written as JSON: {0}")]
    NotWritable(#[source] serde_json::Error),
    /// The first message was not a greeting of this protocol.
    #[error(
        "the other side speaks protocol {theirs}, this program speaks {}; use components of one release",
        super::PROTOCOL
    )]
    Version {
        /// The version it named.
        theirs: u32,
    },
    /// Another component than expected answered.
    #[error(
        "expected the {expected} at this socket, but the {found} answered; check the socket paths in the configuration"
    )]
    WrongComponent {
        /// Whom the caller wanted.
        expected: super::Component,
        /// Who said hello.
        found: super::Component,
    },
    /// The peer's uid is not on the socket's list.
    #[error("uid {uid} (pid {pid:?}) may not use {path}; add it to the socket's uids if it should", path = .path.display())]
    PeerRefused {
        /// The peer's uid.
        uid: u32,
        /// The peer's process, where the kernel tells.
        pid: Option<i32>,
        /// The socket.
        path: PathBuf,
    },
    /// No socket there.
    #[error("{path} does not exist: is the daemon running?", path = .path.display())]
    Missing {
        /// The socket.
        path: PathBuf,
    },
    /// The socket belongs to somebody unexpected.
    #[error("{path} belongs to uid {uid}, expected uid {expected}; it is not used", path = .path.display())]
    ForeignOwner {
        /// The socket.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Whom the caller expected.
        expected: u32,
    },
    /// The path is a file of another kind.
    #[error("{path} is not a socket; it is left alone", path = .path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Somebody else serves this path already.
    #[error("{path} is already served by another process", path = .path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
