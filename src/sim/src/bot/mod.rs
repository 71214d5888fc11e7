//! A small trading bot that looks like freqtrade: same database, same REST API, a real client of the exchange.
//!
//! It runs while its Deployment has a running pod, with the key that the pod's Secret held when it started; a pod that
//! is told to stop stops trading, a pod that is gone takes the bot with it, without a farewell. It signs its requests
//! like any client; when the exchange no longer accepts its key it stops, says so in `/api/v1/health` and `/logs`, and
//! goes on answering. Its REST port resets every connection while there is no pod.
//!
//! For the start-up code:
//!
//! - [`BotService::new`]`(BotSettings { .. }, kubernetes, clock)` is the [`crate::http::Service`] `freqtrade`, one for
//!   each account; [`BotService::run`] is its life, to be spawned once.
//! - [`USER`] and [`PASSWORD`] open the REST API; [`BotSettings::db`] is the file to print as `bot_db`.
//!
//! It must never place an order after its pod is gone, nor use a key other than its pod's. Weak: it holds no opinion on
//! the market (see `strategy`), and one pod restart within one second of another is seen as one.

mod book;
mod engine;
mod exchange;
mod force;
mod rest;
mod service;
mod store;
mod strategy;
mod trade;
mod views;

#[cfg(test)]
mod tests;

pub(crate) use rest::{PASSWORD, USER};
pub(crate) use service::{BotService, BotSettings};

/// The freqtrade version that it looks like.
const VERSION: &str = "2026.9";
/// The name of its strategy in rows and answers.
const STRATEGY: &str = "DemoStrategy";
/// The pairs it may trade.
const WHITELIST: [&str; 4] = [
    "BTC/USDT:USDT",
    "ETH/USDT:USDT",
    "SOL/USDT:USDT",
    "XRP/USDT:USDT",
];
