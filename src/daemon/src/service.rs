use crate::{config, exit, notify};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The command line that all daemons share.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the configuration and exit.
    #[arg(long)]
    pub check: bool,
    /// End when standard input ends: for a starter that wants to leave nothing behind.
    #[arg(long)]
    pub lifeline: bool,
}

/// Why a daemon stopped, in words for the operator.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The daemon's side of signals, readiness and reload.
#[derive(Debug, Clone)]
pub struct Service {
    stop: watch::Receiver<bool>,
    reload: watch::Receiver<u64>,
    config_path: PathBuf,
}

impl Service {
    /// Tells systemd that the daemon works now; `status` is shown by `systemctl status`.
    pub fn ready(&self, status: &str) {
        notify::send(&format!("READY=1\nSTATUS={status}"));
        tracing::info!(status, "ready");
    }

    /// Completes when the daemon shall stop (SIGTERM, SIGINT, or the lifeline ended).
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // An error means that the sender is gone, which is a reason to stop as well.
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Whether the daemon shall stop.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Completes when a reload was asked for (SIGHUP).
    pub async fn reload_asked(&mut self) {
        if self.reload.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads the configuration again.
    ///
    /// # Errors
    /// The mistake with its place; the daemon should go on with what it has.
    pub fn reload<C: DeserializeOwned>(&self) -> Result<C, config::ConfigError> {
        config::load(&self.config_path)
    }
}

/// The whole life of a daemon: configuration, logs, TLS provider, runtime, signals, `body`, end.
pub fn run_with<C, F>(args: &Args, body: impl FnOnce(C, Service) -> F) -> ExitCode
where
    C: DeserializeOwned,
    F: Future<Output = Result<(), Failure>>,
{
    crate::init_logs();
    crate::install_crypto();
    let config: C = match config::load(&args.config) {
        Ok(config) => config,
        Err(e) => return fail("configuration", &e, exit::USAGE),
    };
    if args.check {
        println!("{}: ok", args.config.display());
        return ExitCode::from(exit::DONE);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => return fail("runtime", &e, exit::FAILED),
    };
    let outcome = runtime.block_on(async {
        let service = watch_process(&args.config, args.lifeline)?;
        body(config, service).await
    });
    notify::send("STOPPING=1");
    // Blocking tasks (a read of stdin) must not hold up the end.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(e) => fail("stopped", e.as_ref(), exit::FAILED),
    }
}

fn fail(what: &str, error: &dyn std::error::Error, code: u8) -> ExitCode {
    tracing::error!(%error, "{what}");
    ExitCode::from(code)
}

/// Starts the tasks that listen to the outside of the process.
fn watch_process(config: &Path, lifeline: bool) -> Result<Service, Failure> {
    let (stop_tx, stop) = watch::channel(false);
    let (reload_tx, reload) = watch::channel(0);
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let ended = async {
            match lifeline {
                true => stdin_ended().await,
                false => std::future::pending().await,
            }
        };
        tokio::pin!(ended);
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                () = &mut ended => break,
                _ = hup.recv() => reload_tx.send_modify(|n| *n += 1),
            }
        }
        tracing::info!("stopping");
        let _ = stop_tx.send(true);
        // The senders live until the process ends, so that nobody mistakes their end for a signal.
        std::future::pending::<()>().await;
    });
    if let Some(interval) = notify::watchdog_interval() {
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(interval);
            loop {
                tick.tick().await;
                notify::send("WATCHDOG=1");
            }
        });
    }
    Ok(Service {
        stop,
        reload,
        config_path: config.to_owned(),
    })
}

/// Completes at the end of standard input, whatever was written there before.
async fn stdin_ended() {
    let mut stdin = tokio::io::stdin();
    let mut scratch = [0; 64];
    while let Ok(1..) = stdin.read(&mut scratch).await {}
}
