//! Child processes that cannot outlive the demo: the other end of each one's standard input is
//! held here, and closes with this process, however it ends.

use crate::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// How long a process may take to serve its socket.
pub(crate) const READY_LIMIT: Duration = Duration::from_secs(20);
/// How long a child may take to end when its lifeline is cut.
const END_LIMIT: Duration = Duration::from_secs(5);
/// How long after a death a daemon is started again, as systemd would (`RestartSec`).
const RESTART_AFTER: Duration = Duration::from_secs(2);

/// How a process is started, so that it can be started again.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) log: PathBuf,
    /// A socket that exists once the process is ready.
    pub(crate) ready: Option<PathBuf>,
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    spec: Spec,
    child: Child,
}

impl Spec {
    /// Starts the process, with piped stdout if the caller wants to read it.
    pub(crate) fn start(&self, read_stdout: bool) -> Result<Process, Error> {
        let log = File::options().append(true).create(true).open(&self.log);
        let log = log.map_err(Error::io(format!("opening {}", self.log.display())))?;
        let stdout = if read_stdout {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        let child = Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(log)
            .kill_on_drop(true)
            // Its own group: Ctrl-C at the terminal is the console's, not the daemons'.
            .process_group(0)
            .spawn()
            .map_err(Error::io(format!("starting {}", self.name)))?;
        Ok(Process {
            spec: self.clone(),
            child,
        })
    }
}

impl Process {
    pub(crate) fn name(&self) -> &'static str {
        self.spec.name
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub(crate) fn stdout(&mut self) -> Option<tokio::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until the socket of the process exists.
    pub(crate) async fn ready(&mut self) -> Result<(), Error> {
        let Some(socket) = self.spec.ready.clone() else {
            return Ok(());
        };
        let limit = READY_LIMIT;
        let deadline = Instant::now() + limit;
        while !socket.exists() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Error::Died {
                    name: self.spec.name,
                    status: status.to_string(),
                    log: self.log_tail(),
                });
            }
            if Instant::now() > deadline {
                let limit_s = limit.as_secs();
                return Err(Error::NotReady {
                    name: self.spec.name,
                    limit_s,
                    log: self.log_tail(),
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Starts the process again if it died a while ago.
    async fn keep_alive(&mut self) {
        let Ok(Some(_)) = self.child.try_wait() else {
            return;
        };
        tokio::time::sleep(RESTART_AFTER).await;
        if let Ok(again) = self.spec.start(false) {
            self.child = again.child;
        }
    }

    /// Ends the process as a crash would, and waits until it is gone.
    pub(crate) async fn crash(&mut self) -> Result<(), Error> {
        // It may have gone by itself meanwhile: that is what was wanted.
        let _ = self.child.start_kill();
        self.ended().await
    }

    /// Waits until the process is gone.
    pub(crate) async fn ended(&mut self) -> Result<(), Error> {
        let name = self.name();
        let ended = self.child.wait().await;
        ended
            .map(drop)
            .map_err(Error::io(format!("waiting for the end of {name}")))
    }

    /// Starts a process that has ended again, below the command `wrapper` if one is given.
    pub(crate) async fn start_again(&mut self, wrapper: &[&str]) -> Result<(), Error> {
        if let Some(socket) = &self.spec.ready {
            // Left behind by a crash; the new process is ready when the socket is there again.
            let _ = std::fs::remove_file(socket);
        }
        let mut spec = self.spec.clone();
        if let [program, args @ ..] = wrapper {
            let inner = std::mem::replace(&mut spec.program, PathBuf::from(program));
            let outer = args.iter().map(|arg| (*arg).to_owned());
            let inner = [inner.to_string_lossy().into_owned()];
            spec.args = outer.chain(inner).chain(spec.args).collect();
        }
        self.child = spec.start(false)?.child;
        self.ready().await
    }

    /// Cuts the lifeline and waits for the end; a child that does not end is killed.
    async fn end(&mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(END_LIMIT, self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
    }

    /// Resident memory, KiB, as the kernel says.
    pub(crate) fn rss_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    pub(crate) fn log_tail(&self) -> String {
        tail(&self.spec.log)
    }
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(8)..)
        .unwrap_or_default()
        .join("\n")
}

/// All processes of the demo, in the order in which they were started.
#[derive(Debug, Default)]
pub(crate) struct Processes(Vec<Process>);

impl Processes {
    pub(crate) fn add(&mut self, process: Process) {
        self.0.push(process);
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Result<&mut Process, Error> {
        let found = self.0.iter_mut().find(|p| p.name() == name);
        found.ok_or_else(|| Error::NoProcess(name.to_owned()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Process> {
        self.0.iter()
    }

    /// Restarts daemons that died, for ever. The simulator is not restarted: the world it held
    /// is gone with it, and the console should show that.
    pub(crate) async fn supervise(&mut self) {
        loop {
            for process in self.0.iter_mut().filter(|p| p.name() != "fusebox-sim") {
                process.keep_alive().await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Ends all, the last started first.
    pub(crate) async fn end(&mut self) {
        for process in self.0.iter_mut().rev() {
            process.end().await;
        }
    }
}
