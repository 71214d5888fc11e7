//! The `fusebox-recorder` binary: everything it does is in `src/recorder`.

fn main() -> std::process::ExitCode {
    fusebox_recorder::main()
}
