//! One helper for each thing that a test does: start a world, put a fault into it, run a command,
//! wait for something on the feed, touch.

use clap::Parser;
use fusebox_authenticator::{Offer, SoftKey};
use fusebox_demo::{Args, Bins, World};
use fusebox_touch::Assertion;
use fusebox_wire::feed::{Message, Section};
use fusebox_wire::operator::{Challenge, Refused, Reply, Report, Request, RunSummary, Wish};
use fusebox_wire::{Component, Frames, connect};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

/// How often something is looked at that does not call by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

fn dir() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fusebox")).parent().unwrap()
}

pub fn program(name: &str) -> PathBuf {
    dir().join(name)
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Exit code and standard error of a command that ends by itself.
pub fn ends(command: &mut Command) -> (i32, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    (status.code().unwrap_or(-1), stderr)
}

/// A world as the demo starts it, with the demo's own options.
pub async fn world(options: &[&str]) -> World {
    let args = Args::parse_from(["fusebox-demo", "--headless"].iter().chain(options));
    World::start(&args, &Bins::at(dir())).await.unwrap()
}

/// Puts a fault into the simulated world.
pub async fn fault(world: &World, fault: Value) {
    control(world, "faults", fault).await;
}

/// Posts to the simulator's control API.
pub async fn control(world: &World, what: &str, body: Value) {
    let url = format!("{}/{what}", world.control());
    let post = reqwest::Client::new().post(url).body(body.to_string());
    let answer = post.send().await.unwrap();
    let ok = answer.status().is_success();
    assert!(ok, "{what}: {}", answer.text().await.unwrap());
}

/// Asks the simulator's control API: `state`, `log`.
pub async fn look(world: &World, what: &str) -> Value {
    let answer = reqwest::get(format!("{}/{what}", world.control())).await;
    let text = answer.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Runs an operator's command: exit code and the JSON that it printed.
pub async fn fusebox(world: &World, verb: &[&str]) -> (i32, Value) {
    let mut command = tokio::process::Command::new(program("fusebox"));
    command
        .arg("--config")
        .arg(world.console_config())
        .args(verb)
        .arg("--json")
        .envs(world.console_env())
        .stdin(std::process::Stdio::null());
    let output = command.output().await.unwrap();
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        panic!("fusebox {verb:?}: {e}: {stderr}")
    });
    (output.status.code().unwrap_or(-1), value)
}

/// Every row of the journal, oldest first.
pub async fn journal(world: &World) -> Vec<Value> {
    let (code, list) = fusebox(world, &["journal", "list", "--limit", "1000"]).await;
    assert_eq!(code, 0, "{list}");
    list["entries"].as_array().unwrap().clone()
}

/// Whether the journal verifies.
pub async fn verifies(world: &World) -> bool {
    let (code, verified) = fusebox(world, &["journal", "verify"]).await;
    code == 0 && verified["ok"] == true
}

/// Asks again and again until the answer is what was wanted.
pub async fn eventually<T>(
    limit_s: u64,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let watch = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => sleep(LOOK_AGAIN).await,
            }
        }
    };
    let found = timeout(Duration::from_secs(limit_s), watch).await;
    found.unwrap_or_else(|_| panic!("{what}: not within {limit_s} s"))
}

/// Reads the feed until `wanted` says what it was waiting for.
pub async fn until<T>(
    world: &World,
    limit_s: u64,
    what: &str,
    mut wanted: impl FnMut(&Section) -> Option<T>,
) -> T {
    let watch = async {
        loop {
            let mut feed = dial(&world.feed_socket(), Component::Breaker).await;
            while let Ok(message) = feed.recv::<Message>().await {
                if let Some(found) = wanted(&message.section) {
                    return found;
                }
            }
        }
    };
    let found = timeout(Duration::from_secs(limit_s), watch).await;
    found.unwrap_or_else(|_| panic!("{what}: not within {limit_s} s"))
}

/// A connection to a daemon, as soon as it answers.
pub async fn dial(socket: &Path, daemon: Component) -> Frames<UnixStream> {
    eventually(30, "an answer from a daemon", async || {
        let me = match daemon {
            Component::Revoker if socket.ends_with("breaker.sock") => Component::Breaker,
            _ => Component::Console,
        };
        connect(socket, me, daemon, None).await.ok()
    })
    .await
}

/// Waits until the breaker has a base and fresh data.
pub async fn armed(world: &World) {
    until(world, 30, "armed", |section| match section {
        Section::Account(account) if account.armed => Some(()),
        _ => None,
    })
    .await;
}

/// An operator at the revoker's socket, with the demo's key.
pub struct Operator {
    frames: Frames<UnixStream>,
    key: SoftKey,
}

impl Operator {
    pub async fn of(world: &World) -> Self {
        Self {
            frames: dial(&world.operator_socket(), Component::Revoker).await,
            key: SoftKey::open(&world.root().join("console/demo.key")).unwrap(),
        }
    }

    async fn ask(&mut self, request: &Request) -> Option<Reply> {
        self.frames.send(request).await.ok()?;
        self.frames.recv().await.ok()
    }

    /// Bytes to sign; `None` when the revoker is gone.
    pub async fn challenge(&mut self, wish: Wish) -> Option<Challenge> {
        match self.ask(&Request::Challenge { wish }).await? {
            Reply::Challenge(challenge) => Some(challenge),
            other => panic!("{other:?}"),
        }
    }

    /// The runs that the revoker knows.
    pub async fn runs(&mut self) -> Vec<RunSummary> {
        match self.ask(&Request::Status).await {
            Some(Reply::Status(status)) => status.runs,
            other => panic!("{other:?}"),
        }
    }

    pub fn touch(&mut self, challenge: &Challenge) -> Assertion {
        let offers = challenge.credentials.iter().map(|c| Offer {
            application: c.application,
            credential_id: c.id.clone(),
            public_key: c.public_key.clone(),
        });
        let offers: Vec<_> = offers.collect();
        self.key.sign(&challenge.document, &offers).unwrap()
    }

    /// Sends a request that leads to a run, and waits for the result; `None` when the revoker
    /// is gone before there is one.
    pub async fn run(&mut self, request: &Request) -> Option<Result<Report, Refused>> {
        self.frames.send(request).await.ok()?;
        loop {
            match self.frames.recv::<Reply>().await.ok()? {
                Reply::Result { report } => return Some(Ok(report.peek().unwrap())),
                Reply::Refused(refused) => return Some(Err(refused)),
                _ => {}
            }
        }
    }
}

pub fn kill() -> Wish {
    Wish::Kill {
        account: None,
        total: false,
        flatten: false,
        key_theft: false,
        reason: "test".to_owned(),
    }
}
