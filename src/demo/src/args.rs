use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Fusebox on a simulated exchange, secrets manager and cluster: no account, no key, no risk.
#[derive(Debug, Clone, Parser)]
#[command(name = "fusebox-demo", version)]
pub struct Args {
    /// What happens to the account.
    #[arg(long, value_enum, default_value_t = Scenario::Crash)]
    pub scenario: Scenario,
    /// How many times faster the price moves; blind and watch limits stay in real time.
    #[arg(long)]
    pub speed: Option<f64>,
    /// Seed of everything invented.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Price path from a file (time_ms,open,high,low,close,volume) instead of the scenario's.
    #[arg(long, value_name = "FILE")]
    pub candles: Option<PathBuf>,
    /// Delay of every simulated answer, in milliseconds.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub latency_ms: u64,
    /// Simulated trading accounts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub accounts: u32,
    /// Simulated keys that can trade or move money.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub keys: u32,
    /// A fault in the simulated world from before anything else starts, as the simulator's
    /// `POST /faults` takes it; may be given again.
    #[arg(long, value_name = "JSON")]
    pub fault: Vec<String>,
    /// Play without a terminal, kill by script, print a report.
    #[arg(long)]
    pub headless: bool,
    /// Nobody touches a key: the ladder must kill by itself (headless only).
    #[arg(long, requires = "headless")]
    pub hands_off: bool,
    /// Print the report as JSON (headless; it is always JSON, this keeps the line for scripts).
    #[arg(long)]
    pub json: bool,
    /// Keep the demo's files in this directory, which must be empty or not exist.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Do not build the other binaries first, even under cargo.
    #[arg(long)]
    pub no_build: bool,
}

/// The scenarios of the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Nothing happens.
    Calm,
    /// A slow loss through the first two rungs.
    Slide,
    /// Through all four rungs.
    Crash,
    /// Somebody else trades with the bot's key.
    Rogue,
    /// The exchange stops answering the breaker.
    Blind,
}

impl Scenario {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Slide => "slide",
            Self::Crash => "crash",
            Self::Rogue => "rogue",
            Self::Blind => "blind",
        }
    }
}

/// The slowest price path that still fits a headless run.
const HEADLESS_MIN: f64 = 4.0;

impl Args {
    /// Speed of the price. A headless run ends within 90 seconds whatever is asked, so it is never
    /// slower than [`HEADLESS_MIN`].
    pub(crate) fn speed(&self) -> f64 {
        match (self.headless, self.speed) {
            (true, asked) => asked.unwrap_or(6.0).max(HEADLESS_MIN),
            (false, asked) => asked.unwrap_or(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headless_run_is_never_too_slow_for_its_limit() {
        let speed = |line: &[&str]| Args::parse_from(["fusebox-demo"].iter().chain(line)).speed();
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(speed(&["--headless", "--speed", "1"]), HEADLESS_MIN));
        assert!(close(speed(&["--headless", "--speed", "20"]), 20.0));
        assert!(close(speed(&["--speed", "0.5"]), 0.5));
    }
}
