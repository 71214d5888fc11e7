//! The breaker: measures, runs the ladder, acts, publishes.
//!
//! It reads one account with a key that can only read, by REST and by WebSocket, computes equity
//! twice from independent sources, runs the ladder on it at 1 Hz, and acts by itself: alert, halve
//! the bot's trades, scale the bot to zero, ask the revoker for the kill.
//!
//! | layer | modules |
//! |---|---|
//! | pure | `equity`, `flows`, `foreign`, `plan`, `money` |
//! | one owner of the state | `engine` |
//! | the world | `edge`, `poll`, `store`, `signing` |
//!
//! It must never place or cancel an order on the exchange, loosen a limit, or scale up: there is
//! no code for either in this crate. A latch is released only by a certificate that the revoker
//! signed after a touch. Whatever else is down — revoker, recorder, bot, cluster, alerts — the
//! rest goes on, and the feed says so.
//!
//! Weak spots: corrected history (a flow listed minutes late) is applied at its arrival, not by a
//! re-run; latches are read from its own database only, not from the journal; one account per
//! process.
#![forbid(unsafe_code)]

mod config;
mod edge;
mod engine;
mod equity;
mod error;
mod flows;
mod foreign;
mod money;
mod plan;
mod poll;
pub mod replay;
mod signing;
mod start;
mod store;

pub(crate) use error::Error;
pub use start::main;

/// The two clocks of a decision, milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// This machine's: for pauses and for display.
    pub(crate) wall_ms: i64,
    /// The exchange's: for samples, periods and ages.
    pub(crate) exchange_ms: i64,
}

/// This machine's clock, milliseconds since 1970.
pub(crate) fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
