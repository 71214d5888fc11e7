//! The ladder as its users see it: scripts of readings, and what must come out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod examples;
mod properties;
mod script;
mod signed;
