//! End-to-end tests: the real processes on the simulated world, with faults put into it.
//!
//! One test per promise. Nothing here waits for a fixed time: each test watches the feed, a
//! command's answer or the simulator's log until what it waits for is there, with a limit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod config;
mod crash;
mod headless;
mod journal;
mod lies;
mod lifeline;
mod sockets;
mod support;
