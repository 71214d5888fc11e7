//! The `fusebox` binary: everything it does is in `src/console`.

fn main() -> std::process::ExitCode {
    fusebox_console::main()
}
