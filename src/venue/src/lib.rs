//! Bybit V5, read-only: signing, reading by REST, streaming by WebSocket.
//!
//! [`Reader`] makes every reading call that the components need and turns the answers into the
//! vocabulary of `fusebox-domain`; [`stream`] keeps the two WebSockets alive and tells what it
//! sees. [`Signer`], [`ServerClock`] and [`Answer`] are public because the revoker signs the few
//! calls that change something by itself.
//!
//! It must never make a call that changes anything: there is no POST in this crate. It must never
//! take a missing number for zero: an empty or absent field is `None`, an absent field that is
//! needed is [`Error::NotUnderstood`] with its name, and an unknown field is ignored (real answers
//! gain and lose fields every month).
//!
//! Weak spots: only USDT-settled linear contracts are read by default; secrets for HMAC only, no
//! RSA keys yet; a regional host must be on the list in `endpoints.rs`.
#![forbid(unsafe_code)]

mod account;
mod answer;
mod clock;
mod endpoints;
mod error;
mod fields;
mod keys;
mod market;
mod rest;
#[cfg(test)]
mod samples;
mod signer;
pub mod stream;
mod trading;

pub use account::{CoinBalance, WalletReading, ledger_kind};
pub use answer::{Answer, Stamped};
pub use clock::ServerClock;
pub use endpoints::{Endpoints, Urls};
pub use error::{Error, Reaction, RetCode};
pub use keys::{OwnKey, SubMember};
pub use market::Instrument;
pub use rest::Reader;
pub use signer::Signer;
pub use trading::PositionRow;
