//! The terminal: its modes, its input, its output. Nothing here knows what the console shows.
//!
//! Output goes through ratatui's crossterm backend; input does not go through crossterm, which
//! turns an escape sequence that arrives in two packets into single keypresses.

pub(crate) mod guard;
pub(crate) mod input;
pub(crate) mod writer;
