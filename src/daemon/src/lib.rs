//! What every daemon does the same way: command line, configuration with the place of a mistake,
//! logs, signals, readiness for systemd, and an end when its starter is gone.
//!
//! ```no_run
//! # #[derive(serde::Deserialize)] struct Config;
//! fn main_of(args: fusebox_daemon::Args) -> std::process::ExitCode {
//!     fusebox_daemon::run_with(&args, |config: Config, service| async move {
//!         service.ready("watching trading-1");
//!         service.stopped().await;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! It must never know what a daemon is for.
//!
//! Weak spot: a reload (SIGHUP) is handed to the daemon as a new configuration; what it does with
//! the parts that need a restart is its own affair.
#![forbid(unsafe_code)]

mod config;
mod log;
mod notify;
mod service;

pub use config::{ConfigError, load, parse};
pub use log::init as init_logs;
pub use service::{Args, Failure, Service, run_with};

/// Exit codes of every program of Fusebox (design, "Command line").
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// Failed or refused.
    pub const FAILED: u8 = 1;
    /// Wrong use: command line or configuration.
    pub const USAGE: u8 = 2;
    /// Partly done, or not known.
    pub const UNKNOWN: u8 = 3;
}

/// Makes `ring` the TLS provider of this process. Every main calls it before its first request;
/// calling it again does nothing.
pub fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
