//! The `fusebox-sim` binary: everything it does is in `src/sim`.

fn main() -> std::process::ExitCode {
    fusebox_sim::main()
}
