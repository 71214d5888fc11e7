//! The `fusebox-demo` binary: everything it does is in `src/demo`.

fn main() -> std::process::ExitCode {
    fusebox_demo::main()
}
