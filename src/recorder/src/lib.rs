//! The recorder: the one writer of the journal.
//!
//! | module | what it does |
//! |---|---|
//! | `writer` | the one thread that appends to `journal.db` and signs checkpoints |
//! | `append` | the sockets on which breaker, revoker and console have rows written |
//! | `bot`, `freqtrade` | follows freqtrade's database, read-only |
//! | `exchange` | follows executions and ledger with a read-only key; notices foreign orders |
//! | `coverage` | compares the exchange's executions with the journal, on request |
//! | `key` | the checkpoint key and the files beside the journal |
//!
//! It must never execute anything, update or delete a row, or take the author of a row from a
//! message. It does its job with every other component dead; they spool while it is.
//!
//! Weak spots: what freqtrade or the exchange never shows cannot be recorded. Whoever owns the
//! journal's file can rewrite everything after the last checkpoint that left the machine.
#![forbid(unsafe_code)]

mod append;
mod bot;
mod config;
mod coverage;
mod error;
mod exchange;
mod freqtrade;
mod ingest;
mod key;
mod run;
mod status;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use error::Error;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "fusebox-recorder",
    version,
    about = "The one writer of the journal"
)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(flatten)]
    daemon: Option<fusebox_daemon::Args>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Take the trades of a freqtrade database into a journal that has no recorder running.
    Ingest {
        /// Freqtrade's database.
        #[arg(long, value_name = "FILE")]
        db: PathBuf,
        /// The journal; created when it is not there.
        #[arg(long, value_name = "FILE")]
        journal: PathBuf,
        /// The account that the bot traded.
        #[arg(long, default_value = "trading-1")]
        account: String,
    },
}

/// Runs the program and returns its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match (cli.command, cli.daemon) {
        (
            Some(Command::Ingest {
                db,
                journal,
                account,
            }),
            _,
        ) => match ingest::ingest(&db, &journal, &account, now_ms()) {
            Ok(report) => {
                println!("{report}");
                ExitCode::from(match report.complete() {
                    true => fusebox_daemon::exit::DONE,
                    false => fusebox_daemon::exit::UNKNOWN,
                })
            }
            Err(error) => {
                eprintln!("fusebox-recorder: {error}");
                ExitCode::from(fusebox_daemon::exit::FAILED)
            }
        },
        (None, Some(args)) => fusebox_daemon::run_with(&args, |config, service| async move {
            Ok(run::run(config, service).await?)
        }),
        (None, None) => ExitCode::from(fusebox_daemon::exit::USAGE),
    }
}

/// The wall clock, UTC milliseconds. Only the edges of this crate ask for it.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
