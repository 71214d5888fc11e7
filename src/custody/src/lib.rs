//! Secrets in memory, and where to get them.
//!
//! A [`Secret`] is zeroed when dropped, prints as `***`, compares in constant time and has no
//! `Serialize`. Configuration files hold only a [`Source`]: `file:/path` (mode 0400 or 0600, own
//! user), `credential:NAME` (systemd's `LoadCredential`), or `vault:PATH#FIELD`.
//!
//! It must never write a secret anywhere, put one into an error, or change a secret's store: that
//! is the revoker's alone.
//!
//! Weak spots: an HTTP client copies headers into buffers of its own, which are not zeroed; pages
//! are not locked yet, so a host with swap should encrypt it.
#![forbid(unsafe_code)]

mod secret;
mod source;
mod vault;

pub use secret::Secret;
pub use source::{Error, Source};
pub use vault::{VaultError, VaultReader, VaultSecret};
