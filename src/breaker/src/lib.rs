//! The breaker: measures, runs the ladder, acts, publishes.
#![forbid(unsafe_code)]

mod config;
mod equity;
mod flows;
mod foreign;
mod money;
mod plan;
pub mod replay;

/// Runs the program and returns its exit code.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
