//! Freqtrade's own database, read and never written: every trade opened, added to, partly
//! closed or closed becomes exactly one row.
//!
//! `read` takes one consistent picture of the database and copes with what can be wrong with it
//! (locked, missing, older layout, half-written); `events` is pure and says which rows that
//! picture demands. Each row's key is made of account, trade, order and event, so that the same
//! picture read again, or a later one, adds only what is new.
//!
//! Weak spots: freqtrade keeps money as binary floats, so the rows hold the shortest decimals that
//! read back as the same float, which may show a float's last digits. A trade that freqtrade
//! deletes again (an entry that was never filled) never becomes a row.

mod events;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use events::drafts;
pub(crate) use read::{Picture, Watcher, read};
