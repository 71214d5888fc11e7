//! The `fusebox-breaker` binary: everything it does is in `src/breaker`.

fn main() -> std::process::ExitCode {
    fusebox_breaker::main()
}
