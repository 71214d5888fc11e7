#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! `wide` (384-bit integers) ← `nav` (exact ratios) ← `window`, `rolling` (bounded memory) ←
//! `ladder` (the order of a sample), `latches` (what is in force) ← `codec` (saving). Beside them:
//! `rung` is the table of rungs, `calendar` the periods, `verdict` what comes out. Rule numbers
//! L1–L22 are those of the precise rules of the project.
//!
//! The crate must never: use floating point, read a clock, allocate for a sample, panic, or do
//! anything in the outside world. It is weak where its input is: a deposit stamped with the wrong
//! sample (L6) is a wrong NAV.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod calendar;
mod codec;
mod ladder;
mod latches;
mod nav;
mod rolling;
mod rung;
mod verdict;
mod wide;
mod window;

pub use codec::DecodeError;
pub use ladder::{Ladder, MAX_EQUITY_E8, Sample};
pub use latches::{Rebase, Refusal};
pub use nav::Nav;
pub use rung::{Action, Basis, Config, ConfigError, Rule, Rung, Rungs};
pub use verdict::{Latch, Reading, References, Verdict};
pub use window::Confirmed;
