//! The revoker: verifies a touch, runs kill, rotate and resume plans, proves the result, and
//! watches the keys. It is why Fusebox exists, and the only component that changes the world.
//!
//! ```text
//! operator.sock ─▶ operator ─▶ planner ─▶ plan ──touch──▶ judge ─▶ authorization ─▶ runs ─▶ kill, rotate, resume
//! breaker.sock ──▶ breaker ──own ladder (eye)───────────────────▶ authorization ─┘
//! inventory ──undeclared key────────────────────────────────────▶ authorization ─┘
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | `kill/` | the kill, lane by lane, in the order of the plan |
//! | `rotate`, `resume` | a new key for an old one; a certificate for the breaker |
//! | `plan`, `planner` | what would be done, as a value; from a wish to that value |
//! | `proof`, `outcome` | what answers prove of a key; how a run ended. Pure |
//! | `authorization`, `touches` | the right to act; security keys, counters, spent nonces |
//! | `intents`, `run`, `runs` | the record, one run, all runs and what resumes after a crash |
//! | `exchange`, `vault`, `cluster`, `bot` | every call that changes something outside |
//! | `told` | how the last three are asked, and what they said |
//! | `operator`, `breaker` | the two sockets |
//! | `inventory`, `eye` | the watch over the keys; the own ladder |
//! | `registry`, `controls`, `lister`, `pace` | keys in memory, positive controls, shared listings, rate limits |
//! | `outbox`, `pager` | copies for the journal; messages to people |
//!
//! It must never: act without an `authorization` value; accept keys, paths
//! or addresses from a caller; answer with a secret; listen on TCP; call a key dead because the
//! exchange says that it deleted it; scale anything up.
//!
//! The roster of security keys is read at every challenge; every other change of the configuration
//! needs a restart.
//!
//! Weak spots: TOTAL, flatten and drill are refused; an undeclared key has no secret to probe it
//! with and stays `unknown`; memory is locked only where the limit on locked memory is unlimited
//! (systemd: `LimitMEMLOCK=infinity`); the age of an intent after a crash is measured by the wall
//! clock, not by the exchange's.
#![forbid(unsafe_code)]

mod authorization;
mod bot;
mod breaker;
mod cluster;
mod config;
mod controls;
mod daemon;
mod error;
mod exchange;
mod eye;
mod intents;
mod inventory;
mod kill;
mod lister;
mod operator;
mod outbox;
mod outcome;
mod pace;
mod pager;
mod plan;
mod planner;
mod proof;
mod random;
mod registry;
mod resume;
mod rotate;
mod run;
mod runs;
mod told;
mod touches;
mod vault;
mod world;

use clap::{Args as _, FromArgMatches as _};
use config::Config;
use error::Error;
use fusebox_daemon::exit;
use std::process::ExitCode;

/// Runs the daemon and returns its exit code.
pub fn main() -> ExitCode {
    let command = fusebox_daemon::Args::augment_args(
        clap::Command::new("fusebox-revoker")
            .about("Verifies a touch, revokes keys, proves that they are dead")
            .version(env!("CARGO_PKG_VERSION")),
    );
    let args = match fusebox_daemon::Args::from_arg_matches(&command.get_matches()) {
        Ok(args) => args,
        Err(e) => e.exit(),
    };
    harden();
    // What TOML cannot say is checked before anything starts, with --check and without.
    if let Ok(config) = fusebox_daemon::load::<Config>(&args.config)
        && let Err(error) = config.check()
    {
        fusebox_daemon::init_logs();
        tracing::error!(path = %args.config.display(), %error, "configuration");
        return ExitCode::from(exit::USAGE);
    }
    fusebox_daemon::run_with(&args, |config: Config, service| async move {
        daemon::run(config, service).await.map_err(Into::into)
    })
}

/// Nobody may look into the memory that holds the secrets: no core, no ptrace by our own user.
fn harden() {
    use rustix::mm::{MlockAllFlags, mlockall};
    use rustix::process::{
        DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
    };
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
    // Pages are locked as they are touched, but only where that cannot run into a limit: an
    // allocation that fails would end the process.
    if getrlimit(Resource::Memlock).current.is_none() {
        let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    }
}
