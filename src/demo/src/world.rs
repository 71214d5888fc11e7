//! The demo's world: a directory for each component, the simulator's endpoints, and the
//! processes in the order in which they need each other.

use crate::build::Bins;
use crate::config::{self, Endpoints, Layout};
use crate::process::{Processes, READY_LIMIT, Spec};
use crate::{Args, Error};
use fusebox_authenticator::SoftKey;
use fusebox_wire::operator::{Report, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Everything that runs, and where it is.
#[derive(Debug)]
pub struct World {
    pub(crate) processes: Processes,
    root: PathBuf,
    layout: Layout,
    endpoints: Endpoints,
    /// Removed with everything in it when the demo ends, unless it was to be kept.
    _dir: Option<tempfile::TempDir>,
}

impl World {
    /// Starts every process and waits until each serves its socket.
    ///
    /// # Errors
    /// [`Error`] with the end of the log of the process that did not start.
    pub async fn start(args: &Args, bins: &Bins) -> Result<Self, Error> {
        fusebox_daemon::install_crypto();
        let (root, dir) = root(args.keep.as_deref())?;
        let layout = Layout::new(&root)?;
        let mut processes = Processes::default();
        let endpoints = start_sim(args, bins, &layout, &mut processes).await?;
        for fault in &args.fault {
            put_fault(&endpoints, fault).await?;
        }
        let keys = [
            SoftKey::create(&layout.demo_key())?,
            SoftKey::create(&layout.spare_key())?,
        ];
        config::write(&layout, &endpoints, &keys)?;

        let daemon = |name, ready: PathBuf, config: PathBuf| Spec {
            name,
            program: bins.path(name),
            args: vec![
                "--config".to_owned(),
                config.to_string_lossy().into_owned(),
                "--lifeline".to_owned(),
            ],
            log: layout.log(name),
            ready: Some(ready),
        };
        let recorder = daemon(
            "fusebox-recorder",
            layout.append_socket("operator"),
            layout.config("recorder"),
        );
        let breaker = daemon(
            "fusebox-breaker",
            layout.socket("feed"),
            layout.config("breaker"),
        );
        let revoker = daemon(
            "fusebox-revoker",
            layout.socket("operator"),
            layout.config("revoker"),
        );
        for spec in [recorder, breaker] {
            let mut process = spec.start(false)?;
            process.ready().await?;
            processes.add(process);
        }
        // The revoker must know its breakers' public keys, and the console the revoker's.
        config::write_revoker(&layout, &endpoints)?;
        let mut process = revoker.start(false)?;
        process.ready().await?;
        processes.add(process);
        config::write_console(&layout)?;
        Ok(Self {
            processes,
            root,
            layout,
            endpoints,
            _dir: dir,
        })
    }

    /// The directory of everything: `run/` has the sockets, `log/` the logs, and each component
    /// one with its configuration (`breaker/breaker.toml`) and state.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The breaker's feed.
    pub fn feed_socket(&self) -> PathBuf {
        self.layout.socket("feed")
    }

    /// The revoker's socket for operators.
    pub fn operator_socket(&self) -> PathBuf {
        self.layout.socket("operator")
    }

    /// The journal.
    pub fn journal_db(&self) -> PathBuf {
        self.layout.journal_db()
    }

    /// The console's configuration.
    pub fn console_config(&self) -> PathBuf {
        self.layout.config("console")
    }

    /// The operator's own directories stay out of it.
    pub fn console_env(&self) -> Vec<(&'static str, PathBuf)> {
        let home = self.layout.of("console");
        vec![
            ("XDG_CONFIG_HOME", home.join("config")),
            ("XDG_STATE_HOME", home.join("state")),
            ("XDG_CACHE_HOME", home.join("cache")),
        ]
    }

    /// Limits that the demo shortens, for the report.
    pub(crate) fn shortened(&self) -> Value {
        json!({
            "blind_ms": config::BLIND_MS,
            "reduce_verify_ms": config::REDUCE_VERIFY_MS,
            "watch_ms": config::WATCH_MS,
        })
    }

    /// For every key that the report calls dead, the simulator's own log must show a later
    /// inventory list and that key's own refused probe. Returns what it does not show.
    pub(crate) async fn unproven_deaths(&self, kill: &Report) -> Vec<String> {
        let log = match self.request_log().await {
            Ok(log) => log,
            Err(e) => return vec![format!("the simulator's log could not be read: {e}")],
        };
        let dead = kill.keys.iter().filter(|k| k.verdict == Verdict::Dead);
        let unproven = dead.filter(|k| !is_proven(&log, k.name.as_str()));
        unproven
            .map(|k| format!("the simulator's log does not prove the death of {}", k.name))
            .collect()
    }

    async fn request_log(&self) -> Result<Vec<Request>, Error> {
        let url = format!("{}/log", self.endpoints.control);
        let body = reqwest::get(url).await?.bytes().await?;
        serde_json::from_slice::<RequestLog>(&body)
            .map(|log| log.log)
            .map_err(Error::Endpoints)
    }

    /// The simulator's control API.
    pub fn control(&self) -> &str {
        &self.endpoints.control
    }

    /// The process id of a daemon, while it runs.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.processes.iter().find(|p| p.name() == name)?.pid()
    }

    /// Ends a process with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// [`Error`] when there is no such process or the system refuses.
    pub async fn crash(&mut self, name: &str) -> Result<(), Error> {
        self.processes.get_mut(name)?.crash().await
    }

    /// Waits until a process has ended by itself or by somebody else's hand.
    ///
    /// # Errors
    /// [`Error`] when there is no such process.
    pub async fn ended(&mut self, name: &str) -> Result<(), Error> {
        self.processes.get_mut(name)?.ended().await
    }

    /// Starts a daemon that has ended again and waits until it serves its socket; below a
    /// `wrapper` such as a tracer, if one is given.
    ///
    /// # Errors
    /// [`Error`] with the end of its log when it does not start.
    pub async fn start_again(&mut self, name: &str, wrapper: &[&str]) -> Result<(), Error> {
        self.processes.get_mut(name)?.start_again(wrapper).await
    }

    /// Restarts daemons that die, as systemd would. Never ends by itself.
    pub async fn supervise(&mut self) {
        self.processes.supervise().await;
    }

    /// Ends every process; the directory goes with the value.
    pub async fn end(&mut self) {
        self.processes.end().await;
    }
}

/// The simulator's log of requests, as far as proofs need it.
#[derive(Deserialize)]
struct RequestLog {
    log: Vec<Request>,
}

#[derive(Deserialize)]
struct Request {
    t_ms: i64,
    path: String,
    key: Option<String>,
    code: i64,
}

/// A probe of the key that was refused as unknown, and after the delete before it a complete
/// listing.
fn is_proven(log: &[Request], key: &str) -> bool {
    let answers = |path: &'static str, code: i64| {
        log.iter().filter(move |r| r.path == path && r.code == code)
    };
    let mut refused =
        answers("/v5/user/query-api", 10003).filter(|r| r.key.as_deref() == Some(key));
    let Some(probe) = refused.next() else {
        return false;
    };
    let deletes = answers("/v5/user/delete-sub-api", 0).filter(|r| r.t_ms <= probe.t_ms);
    let Some(delete_ms) = deletes.map(|r| r.t_ms).max() else {
        return false;
    };
    answers("/v5/user/sub-apikeys", 0).any(|r| r.t_ms >= delete_ms)
}

async fn put_fault(endpoints: &Endpoints, fault: &str) -> Result<(), Error> {
    let url = format!("{}/faults", endpoints.control);
    let post = reqwest::Client::new().post(url).body(fault.to_owned());
    let answer = post.send().await?;
    if answer.status().is_success() {
        return Ok(());
    }
    Err(Error::Fault {
        fault: fault.to_owned(),
        why: answer.text().await?,
    })
}

/// The directory of the demo: a temporary one, or the one to keep.
fn root(keep: Option<&Path>) -> Result<(PathBuf, Option<tempfile::TempDir>), Error> {
    let Some(keep) = keep else {
        let dir = tempfile::Builder::new().prefix("fusebox-demo-").tempdir();
        let dir = dir.map_err(Error::io("making a temporary directory"))?;
        return Ok((dir.path().to_owned(), Some(dir)));
    };
    std::fs::create_dir_all(keep).map_err(Error::io(format!("making {}", keep.display())))?;
    let mut entries =
        std::fs::read_dir(keep).map_err(Error::io(format!("reading {}", keep.display())))?;
    if entries.next().is_some() {
        return Err(Error::NotEmpty(keep.to_owned()));
    }
    let keep = keep
        .canonicalize()
        .map_err(Error::io(format!("finding {}", keep.display())))?;
    Ok((keep, None))
}

async fn start_sim(
    args: &Args,
    bins: &Bins,
    layout: &Layout,
    processes: &mut Processes,
) -> Result<Endpoints, Error> {
    let mut arguments: Vec<String> = ["--listen", "127.0.0.1:0", "--print-endpoints", "--lifeline"]
        .map(str::to_owned)
        .into();
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("--scenario", args.scenario.as_str().to_owned());
    option("--seed", args.seed.to_string());
    option("--speed", args.speed().to_string());
    option("--latency-ms", args.latency_ms.to_string());
    option("--accounts", args.accounts.to_string());
    option("--keys", args.keys.to_string());
    option("--bot-db", layout.bot_db().to_string_lossy().into_owned());
    if let Some(candles) = &args.candles {
        option("--candles", candles.to_string_lossy().into_owned());
    }
    let spec = Spec {
        name: "fusebox-sim",
        program: bins.path("fusebox-sim"),
        args: arguments,
        log: layout.log("fusebox-sim"),
        ready: None,
    };
    let mut process = spec.start(true)?;
    let stdout = process.stdout();
    let mut line = String::new();
    if let Some(stdout) = stdout {
        let mut stdout = BufReader::new(stdout);
        let read = stdout.read_line(&mut line);
        let _ = tokio::time::timeout(READY_LIMIT, read).await;
    }
    let endpoints = serde_json::from_str(&line);
    let log = process.log_tail();
    processes.add(process);
    match endpoints {
        Ok(endpoints) => Ok(endpoints),
        Err(_) if line.is_empty() => Err(Error::NotReady {
            name: "fusebox-sim",
            limit_s: READY_LIMIT.as_secs(),
            log,
        }),
        Err(e) => Err(Error::Endpoints(e)),
    }
}
