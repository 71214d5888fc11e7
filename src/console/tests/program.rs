//! The console as a program of its own, for the tests in a pseudo-terminal.

fn main() -> std::process::ExitCode {
    fusebox_console::main()
}
