//! The demo: the whole of Fusebox on a simulated world, in one command.
//!
//! It starts the simulator and the daemons as the separate processes that they are, each with its
//! own directory, credentials and sockets below one temporary directory, and opens the console on
//! them. With `--headless` it plays a scenario without a terminal, kills by script through the
//! same command an operator would use, and prints what happened as one JSON object.
//!
//! It must never be more than a starter: whatever it shows was done by the real components. Each
//! of them ends when the pipe on its standard input ends, so that not even SIGKILL of the demo
//! leaves one behind.
//!
//! The end-to-end tests start the same [`World`] and put faults into it.
//!
//! Weak spot: all components run as one user here, so the sockets' owner checks prove little.
#![forbid(unsafe_code)]

mod args;
mod build;
mod config;
mod error;
mod expect;
mod headless;
mod process;
mod report;
mod terminal;
mod watch;
mod world;

pub use args::{Args, Scenario};
pub use build::Bins;
pub use error::Error;
pub use world::World;

use clap::Parser;
use std::process::ExitCode;

/// Runs the demo and returns its exit code: 0 if everything in it happened.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match play(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("fusebox-demo: {e}");
            ExitCode::FAILURE
        }
    }
}

fn play(args: &Args) -> Result<bool, Error> {
    let bins = build::siblings(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting"))?;
    runtime.block_on(async {
        match args.headless {
            true => headless::play(args, bins).await,
            false => terminal::play(args, bins).await,
        }
    })
}
