//! The `fusebox-revoker` binary: everything it does is in `src/revoker`.

fn main() -> std::process::ExitCode {
    fusebox_revoker::main()
}
