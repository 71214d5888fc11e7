//! Messages and framing between the components, and who is at the other end of a socket.
//!
//! Every local socket speaks the same way: a frame is a big-endian `u32` length and that many
//! bytes of JSON, at most [`MAX_FRAME`]; the first message each way is a [`Hello`]. A reader
//! refuses what it does not understand with a named [`Error`] and never panics.
//!
//! | socket | who asks | who answers | module |
//! |---|---|---|---|
//! | `feed.sock` | console | breaker | [`feed`] |
//! | `operator.sock` | console | revoker | [`operator`] |
//! | `breaker.sock` | breaker | revoker | [`stop`] |
//! | `append-*.sock` | console, breaker, revoker | recorder | [`append`] |
//!
//! It must never decide anything: what a caller may say is judged by whoever owns the socket,
//! from the socket and the peer's uid, never from the message.
//!
//! Weak spot: JSON costs more than a binary form would; at ten frames a second nobody notices.
#![forbid(unsafe_code)]

pub mod append;
mod error;
pub mod feed;
mod frame;
pub mod operator;
mod signed;
mod socket;
pub mod stop;

pub use error::Error;
pub use frame::{Frames, MAX_FRAME};
pub use signed::{Signed, SignedError};
pub use socket::{Component, Hello, Listener, PROTOCOL, Peer, Pending, connect};
