//! The revoker: verifies a touch, runs kill, rotate and resume plans, proves the result.

/// Runs the program and returns its exit code.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
