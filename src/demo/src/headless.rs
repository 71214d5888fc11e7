//! The demo without a terminal: watch, kill by script, collect the evidence.

use crate::build::Bins;
use crate::expect::{Expectation, Killer};
use crate::report::{Journal, ProcessRow, Report};
use crate::watch::Watch;
use crate::world::World;
use crate::{Args, Error};
use fusebox_wire::operator::{Reply, Request};
use fusebox_wire::{Component, connect};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::Instant;

/// The whole run, the start of the processes included, ends within this time.
const RUN_LIMIT: Duration = Duration::from_secs(80);

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
    println!(
        "{}",
        serde_json::to_string(&report)
            .unwrap_or_else(|e| format!("{{\"ok\":false,\"error\":\"{e}\"}}"))
    );
    Ok(ok)
}

/// Watches until the expected has happened and nothing else follows; kills when it is time to.
async fn run(
    world: &World,
    bins: &Bins,
    expected: Expectation,
    watch: &mut Watch,
    deadline: Instant,
) -> Value {
    let mut kill = Value::Null;
    let mut complete_since: Option<Instant> = None;
    while Instant::now() < deadline {
        let pause = Duration::from_millis(200);
        let _ = tokio::time::timeout(pause, watch.next()).await;
        if kill.is_null()
            && expected.killer == Killer::Operator
            && watch.has_fired(expected.kill_after)
        {
            let command = operator_command(
                world,
                bins,
                &["kill", "--reason", "headless demo", "--json"],
            );
            tokio::pin!(command);
            // The feed is read on, so that what fires meanwhile is seen when it fires.
            kill = loop {
                tokio::select! {
                    outcome = &mut command => break outcome,
                    () = watch.next() => {}
                }
            };
        }
        let fired = expected.rungs.iter().all(|rung| watch.has_fired(rung));
        let done = expected.done.iter().all(|rung| watch.is_done(rung));
        if watch.armed && fired && done {
            let since = *complete_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= expected.quiet {
                break;
            }
        }
    }
    match expected.killer {
        Killer::Ladder => attached(world).await.unwrap_or(Value::Null),
        Killer::Operator | Killer::Nobody => kill,
    }
}

/// The record of the kill that the ladder started, asked from the revoker.
async fn attached(world: &World) -> Option<Value> {
    let mut revoker = connect(
        &world.operator_socket(),
        Component::Console,
        Component::Revoker,
        None,
    )
    .await
    .ok()?;
    revoker.send(&Request::Status).await.ok()?;
    let Reply::Status(status) = revoker.recv().await.ok()? else {
        return None;
    };
    let run = status
        .runs
        .into_iter()
        .rev()
        .find(|run| run.action == "kill")?
        .run;
    revoker.send(&Request::Attach { run }).await.ok()?;
    let ended = async {
        loop {
            match revoker.recv::<Reply>().await.ok()? {
                Reply::Result { report } => return report.peek::<Value>().ok(),
                Reply::Refused(_) => return None,
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(35), ended)
        .await
        .ok()?
}

/// Runs the operator's own command and reads its JSON.
async fn operator_command(world: &World, bins: &Bins, verb: &[&str]) -> Value {
    let output = Command::new(bins.path("fusebox"))
        .arg("--config")
        .arg(world.console_config())
        .args(verb)
        .envs(world.console_env())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(Duration::from_secs(60), output).await {
        Ok(Ok(output)) => serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| json!({"error": String::from_utf8_lossy(&output.stderr).trim()})),
        Ok(Err(e)) => json!({"error": e.to_string()}),
        Err(_) => json!({"error": "no answer within 60 s"}),
    }
}

async fn collect(
    args: &Args,
    world: &World,
    bins: &Bins,
    expected: Expectation,
    watch: Watch,
    kill: Value,
    started: Instant,
) -> Report {
    let coverage = operator_command(world, bins, &["journal", "coverage", "--json"]).await;
    let db = world.journal_db();
    let verified = operator_command(
        world,
        bins,
        &["journal", "verify", "--db", &db.to_string_lossy(), "--json"],
    )
    .await;
    let journal = Journal {
        entries: verified["entries"].as_u64().unwrap_or(0),
        verified: verified["ok"].as_bool().unwrap_or(false),
        head: verified["head"].as_str().unwrap_or_default().to_owned(),
        coverage: json!({
            "exchange": coverage["exchange"],
            "journal": coverage["journal"],
            "missing": coverage["missing"].as_array().map(Vec::len),
        }),
    };
    let mut failures = judge(expected, &watch, &kill, &journal);
    if !kill.is_null() {
        failures.extend(world.unproven_deaths(&kill).await);
    }
    let processes = world.processes.iter();
    Report {
        schema: 1,
        ok: failures.is_empty(),
        scenario: args.scenario.as_str(),
        seed: args.seed,
        failures,
        rungs: watch.fired,
        kill,
        journal,
        processes: processes
            .map(|p| ProcessRow {
                name: p.name(),
                pid: p.pid(),
                rss_kib: p.rss_kib(),
            })
            .collect(),
        shortened: world.shortened(),
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// Compares what happened with what had to; one sentence for each difference.
fn judge(expected: Expectation, watch: &Watch, kill: &Value, journal: &Journal) -> Vec<String> {
    let mut failures = Vec::new();
    let fired: Vec<_> = watch.fired.iter().map(|f| f.rung.as_str()).collect();
    if fired != expected.rungs {
        failures.push(format!(
            "rungs fired: {fired:?}, expected {:?}",
            expected.rungs
        ));
    }
    for rung in expected.done.iter().filter(|rung| !watch.is_done(rung)) {
        let seen: Vec<_> = watch
            .actions
            .iter()
            .filter(|a| a.rung == **rung)
            .map(|a| format!("{} {:?}: {}", a.action, a.state, a.detail))
            .collect();
        failures.push(format!("the action of {rung} did not end well: {seen:?}"));
    }
    let trigger = kill["trigger"].as_str();
    match expected.killer {
        Killer::Nobody if !kill.is_null() => {
            failures.push("there was a kill, and none was expected".to_owned())
        }
        Killer::Operator if trigger != Some("operator") => {
            failures.push(format!("the operator's kill did not run: {kill}"))
        }
        Killer::Ladder if trigger != Some("ladder") => {
            failures.push(format!("the ladder's kill did not run: {kill}"))
        }
        _ => {}
    }
    if !kill.is_null() {
        if kill["outcome"] != "done" {
            failures.push(format!("the kill ended as {}", kill["outcome"]));
        }
        for key in kill["keys"].as_array().into_iter().flatten() {
            if !matches!(key["verdict"].as_str(), Some("dead" | "kept")) {
                failures.push(format!("key {} is {}", key["name"], key["verdict"]));
            }
        }
    }
    if !journal.verified {
        failures.push("the journal does not verify".to_owned());
    }
    if journal.coverage["missing"] != 0 {
        failures.push(format!(
            "the journal does not cover the exchange: {}",
            journal.coverage
        ));
    }
    failures
}
