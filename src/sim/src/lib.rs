//! The outside world on loopback: Bybit V5, Vault, Kubernetes, Telegram and a small trading bot.
//!
//! `fusebox-sim` serves each of them on a port of its own, prints where, drives prices by a scenario and injects
//! faults on demand, so that the demo and the tests meet the world as it is, without an account. Must never: be
//! linked into another component, listen on anything but loopback, or hold a secret that is not invented. Weak:
//! what Bybit does not document is guessed; each guess is marked `Assumption` where it is made.
#![forbid(unsafe_code)]
// The rows of the exchange have more fields than `json!` unrolls by default.
#![recursion_limit = "256"]

mod bot;
mod bybit;
mod candles;
mod clock;
mod control;
mod faults;
mod gate;
mod http;
mod ids;
mod kubernetes;
mod rng;
mod scenario;
mod telegram;
mod vault;
mod world;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use scenario::Scenario;
use world::{Plan, SimError};

/// The outside world on loopback, for the demo and for tests.
#[derive(Debug, Parser)]
#[command(name = "fusebox-sim", version)]
struct Flags {
    /// Loopback address; with port 0 every service gets a free port, else this one and those after it.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Print one JSON line with the base URLs and the invented keys, then serve.
    #[arg(long)]
    print_endpoints: bool,
    /// Keys, ids and price noise repeat with it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Compresses the price path; real-time minimums of the scenarios stay.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    speed: f64,
    /// What happens.
    #[arg(long, value_enum, default_value = "calm")]
    scenario: Scenario,
    /// CSV of time_ms,open,high,low,close,volume that drives BTC: one candle a second times --speed.
    #[arg(long)]
    candles: Option<PathBuf>,
    /// Added to every request, both ways together.
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Sub-accounts, each with 4000 USDT.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
    accounts: u8,
    /// Trade and move keys in all; every account has at least one.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=200))]
    keys: u8,
    /// The bot's database file [default: in a directory that goes with the simulator].
    #[arg(long)]
    bot_db: Option<PathBuf>,
    /// End when stdin ends.
    #[arg(long)]
    lifeline: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed > 0.0 => Ok(speed),
        _ => Err("a speed is a number above 0".to_owned()),
    }
}

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let flags = Flags::parse();
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing else can be done about a closed stderr.
            let _ = writeln!(std::io::stderr(), "fusebox-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), SimError> {
    let failed = |doing| move |source| SimError::System { doing, source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed("start its runtime"))?;
    let plan = Plan {
        listen: flags.listen,
        seed: flags.seed,
        speed: flags.speed,
        scenario: flags.scenario,
        candles: flags.candles.clone(),
        latency_ms: flags.latency_ms,
        accounts: usize::from(flags.accounts),
        keys: usize::from(flags.keys),
        bot_db: flags.bot_db.clone(),
    };
    let ended = runtime.block_on(async {
        let mut terminate =
            signal(SignalKind::terminate()).map_err(failed("listen for SIGTERM"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("listen for SIGINT"))?;
        let world = world::start(&plan).await?;
        if flags.print_endpoints {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", world.endpoints)
                .and_then(|()| out.flush())
                .map_err(failed("print its endpoints"))?;
        }
        tokio::select! {
            () = world.run() => {}
            () = stdin_ends(), if flags.lifeline => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    });
    // A read of stdin may still be under way; it must not hold the end up.
    runtime.shutdown_background();
    ended
}

/// Waits for the end of stdin: whoever started us holds its other end.
async fn stdin_ends() {
    let mut stdin = tokio::io::stdin();
    // An error means that there is nothing to wait for any more, too.
    let _ = tokio::io::copy(&mut stdin, &mut tokio::io::sink()).await;
}
