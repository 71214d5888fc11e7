//! The demo without a terminal: watch, kill by script, collect the evidence.

use crate::build::Bins;
use crate::expect::{Expectation, Killer, judge};
use crate::report::{Coverage, Journal, ProcessRow, Report};
use crate::watch::Watch;
use crate::world::World;
use crate::{Args, Error};
use fusebox_wire::operator::{self, Reply, Request};
use fusebox_wire::{Component, append, connect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

/// The whole run, the start of the processes included, ends within this time.
const RUN_LIMIT: Duration = Duration::from_secs(78);

/// What became of the kill: its record, or why there is none.
pub(crate) type Kill = Option<Result<operator::Report, String>>;

/// Plays the scenario and prints the report; true if everything in it happened.
pub(crate) async fn play(args: &Args, bins: Bins) -> Result<bool, Error> {
    let started = Instant::now();
    let expected = Expectation::of(args);
    let mut world = World::start(args, &bins).await?;
    let mut watch = Watch::new(world.feed_socket(), started);
    let kill = run(&world, &bins, expected, &mut watch, started + RUN_LIMIT).await;
    let report = collect(args, &world, &bins, expected, watch, kill, started).await;
    world.end().await;
    let ok = report.ok;
    println!("{}", serde_json::to_string(&report).map_err(Error::Report)?);
    Ok(ok)
}

/// Watches until the expected has happened and nothing else follows; kills when it is time to.
async fn run(
    world: &World,
    bins: &Bins,
    expected: Expectation,
    watch: &mut Watch,
    deadline: Instant,
) -> Kill {
    let mut kill = None;
    let mut complete_since: Option<Instant> = None;
    while Instant::now() < deadline {
        let _ = timeout(Duration::from_millis(200), watch.next()).await;
        let due = expected.killer == Killer::Operator && watch.has_fired(expected.kill_after);
        if due && kill.is_none() {
            let verb = ["kill", "--reason", "headless demo", "--json"];
            let command = command::<operator::Report>(world, bins, &verb);
            tokio::pin!(command);
            // The feed is read on, so that what fires meanwhile is seen when it fires.
            kill = loop {
                tokio::select! {
                    outcome = &mut command => break Some(outcome),
                    () = watch.next() => {}
                }
            };
        }
        if watch.armed && expected.is_complete(watch) {
            let since = *complete_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= expected.quiet {
                break;
            }
        }
    }
    match expected.killer(watch) {
        Killer::Ladder => Some(ladder_kill(world).await),
        Killer::Operator | Killer::Nobody => kill,
    }
}

/// The record of the kill that the ladder started, asked from the revoker.
async fn ladder_kill(world: &World) -> Result<operator::Report, String> {
    let socket = world.operator_socket();
    let ask = async {
        let mut revoker = connect(&socket, Component::Console, Component::Revoker, None).await?;
        revoker.send(&Request::Status).await?;
        let Reply::Status(status) = revoker.recv().await? else {
            return Ok(None);
        };
        let mut runs = status.runs.into_iter().rev();
        let Some(run) = runs.find(|run| run.action == "kill") else {
            return Ok(None);
        };
        revoker.send(&Request::Attach { run: run.run }).await?;
        loop {
            match revoker.recv::<Reply>().await? {
                Reply::Result { report } => return Ok(report.peek().ok()),
                Reply::Refused(_) => return Ok(None),
                _ => {}
            }
        }
    };
    match timeout(Duration::from_secs(5), ask).await {
        Ok(Ok(Some(report))) => Ok(report),
        Ok(Ok(None)) => Err("the revoker knows no finished kill".to_owned()),
        Ok(Err(e)) => Err(fusebox_wire::Error::to_string(&e)),
        Err(_) => Err("the kill had no result within 5 s".to_owned()),
    }
}

/// Runs the operator's own command and reads its JSON.
async fn command<T: DeserializeOwned>(
    world: &World,
    bins: &Bins,
    verb: &[&str],
) -> Result<T, String> {
    let output = Command::new(bins.path("fusebox"))
        .arg("--config")
        .arg(world.console_config())
        .args(verb)
        .envs(world.console_env())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = match timeout(Duration::from_secs(45), output).await {
        Ok(Ok(output)) => output,
        Ok(Err(e)) => return Err(e.to_string()),
        Err(_) => {
            return Err(format!(
                "fusebox {} did not end within 45 s",
                verb.join(" ")
            ));
        }
    };
    serde_json::from_slice(&output.stdout).map_err(|e| {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        format!(
            "fusebox {}: {e}: {} {}",
            verb.join(" "),
            stdout.trim(),
            stderr.trim()
        )
    })
}

/// What `fusebox journal verify --json` prints.
#[derive(Deserialize)]
struct Verified {
    ok: bool,
    entries: u64,
    head: String,
}

async fn collect(
    args: &Args,
    world: &World,
    bins: &Bins,
    expected: Expectation,
    watch: Watch,
    kill: Kill,
    started: Instant,
) -> Report {
    let mut failures = judge(expected, &watch, &kill);
    let coverage = ["journal", "coverage", "--json"];
    let coverage = command::<append::Coverage>(world, bins, &coverage).await;
    let db = world.journal_db();
    let db = db.to_string_lossy();
    let verify = ["journal", "verify", "--db", &db, "--json"];
    let verified = command::<Verified>(world, bins, &verify).await;
    failures.extend(match &coverage {
        Ok(c) if c.missing.is_empty() && c.doubts.is_empty() && c.exchange == c.journal => None,
        Ok(c) => Some(format!("the journal does not cover the exchange: {c:?}")),
        Err(e) => Some(e.clone()),
    });
    failures.extend(match &verified {
        Ok(v) if v.ok => None,
        Ok(_) => Some("the journal does not verify".to_owned()),
        Err(e) => Some(e.clone()),
    });
    let kill = kill.and_then(Result::ok);
    if let Some(kill) = &kill {
        failures.extend(world.unproven_deaths(kill).await);
    }
    let verified = verified.ok();
    let processes = world.processes.iter().map(|p| ProcessRow {
        name: p.name(),
        pid: p.pid(),
        rss_kib: p.rss_kib(),
    });
    Report {
        schema: 1,
        ok: failures.is_empty(),
        scenario: args.scenario.as_str(),
        seed: args.seed,
        speed: args.speed(),
        failures,
        rungs: watch.fired,
        kill,
        journal: Journal {
            entries: verified.as_ref().map_or(0, |v| v.entries),
            verified: verified.as_ref().is_some_and(|v| v.ok),
            head: verified.map(|v| v.head).unwrap_or_default(),
            coverage: coverage.ok().map(|c| Coverage {
                exchange: c.exchange,
                journal: c.journal,
                missing: c.missing.len(),
            }),
        },
        processes: processes.collect(),
        shortened: world.shortened(),
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}
