//! The outside world on loopback: Bybit V5, Vault, Kubernetes, Telegram and a small trading bot.
//!
//! `fusebox-sim` serves each of them on a port of its own, prints where, drives prices by a scenario and injects
//! faults on demand, so that the demo and the tests meet the world as it is, without an account. Must never: be
//! linked into another component, listen on anything but loopback, or hold a secret that is not invented. Weak:
//! what Bybit does not document is guessed; each guess is marked `Assumption` where it is made.
#![forbid(unsafe_code)]

mod clock;
mod faults;
mod gate;
mod http;
mod ids;
mod rng;

/// Runs the program and returns its exit code.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
