//! Alerts: what is told to whom, how often, and what happens when nobody answers.
//!
//! [`Desk`] is the pure part: it keeps the open alerts, swallows repetitions for half an hour per
//! (rule, subject) unless they got worse, and says when an unacknowledged one must be told again.
//! [`Notice`] is a message made of allow-listed fields, so that no balance, key or address can
//! slip into a channel (study T26). [`Telegram`] sends it and can do nothing else.
//!
//! It must never receive commands: a chat is an output (T09). Delivery is best effort and said as
//! such; nothing may wait for it.
//!
//! Weak spot: one chat per process, no e-mail yet.
#![forbid(unsafe_code)]

mod desk;
mod notice;
mod telegram;

pub use desk::{Desk, Open, Raised};
pub use notice::{Field, Level, Notice};
pub use telegram::{Telegram, TelegramError};
