//! The console: the full-screen terminal interface and the same verbs as commands.

/// Runs the program and returns its exit code.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
