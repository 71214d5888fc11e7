//! The breaker: measures, runs the ladder, acts, publishes.

/// Runs the program and returns its exit code.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
