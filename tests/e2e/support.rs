//! One helper for each thing that a test does: start a world, put a fault into it, run a command,
//! wait for something on the feed.

use clap::Parser;
use fusebox_demo::{Args, Bins, World};
use fusebox_wire::feed::{Message, Section};
use fusebox_wire::{Component, Frames, connect};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

pub fn bins() -> Bins {
    Bins::at(dir())
}

fn dir() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fusebox")).parent().unwrap()
}

pub fn program(name: &str) -> PathBuf {
    dir().join(name)
}

/// A world as the demo starts it, with the demo's own options.
pub async fn world(options: &[&str]) -> World {
    let args = Args::parse_from(["fusebox-demo", "--headless"].iter().chain(options));
    World::start(&args, &bins()).await.unwrap()
}

/// Puts a fault into the simulated world.
pub async fn fault(world: &World, fault: Value) {
    control(world, "faults", fault).await;
}

/// Posts to the simulator's control API.
pub async fn control(world: &World, what: &str, body: Value) {
    let url = format!("{}/{what}", world.control());
    let answer = reqwest::Client::new()
        .post(url)
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert!(
        answer.status().is_success(),
        "{what}: {}",
        answer.text().await.unwrap()
    );
}

/// Runs an operator's command: exit code and the JSON that it printed.
pub async fn fusebox(world: &World, verb: &[&str]) -> (i32, Value) {
    let output = tokio::process::Command::new(program("fusebox"))
        .arg("--config")
        .arg(world.console_config())
        .args(verb)
        .arg("--json")
        .envs(world.console_env())
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap();
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        panic!("fusebox {verb:?}: {e}: {stderr}")
    });
    (output.status.code().unwrap_or(-1), value)
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
            let mut feed = subscribe(world).await;
            while let Ok(message) = feed.recv::<Message>().await {
                if let Some(found) = wanted(&message.section) {
                    return found;
                }
            }
        }
    };
    let limit = Duration::from_secs(limit_s);
    tokio::time::timeout(limit, watch)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {limit_s} s"))
}

async fn subscribe(world: &World) -> Frames<UnixStream> {
    loop {
        let socket = world.feed_socket();
        match connect(&socket, Component::Console, Component::Breaker, None).await {
            Ok(feed) => return feed,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Waits until the breaker has a base and fresh data.
pub async fn armed(world: &World) {
    until(world, 30, "armed", |section| match section {
        Section::Account(account) if account.armed => Some(()),
        _ => None,
    })
    .await;
}
