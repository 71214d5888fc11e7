//! The breaker: measures, runs the ladder, acts, publishes.

pub mod replay;

/// Runs the program and returns its exit code.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
