//! SIGKILL from outside, at chosen moments and at chosen system calls: what was begun is ended,
//! once; what was written is there, once.

use crate::support::{
    Operator, armed, dial, eventually, fusebox, journal, kill, look, until, verifies, world,
};
use fusebox_demo::World;
use fusebox_wire::feed::{ActionState, RungState, Section};
use fusebox_wire::operator::{Outcome, Report, Request, Verdict};
use fusebox_wire::{Component, append};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(30);

/// Waits until the action of a rung is in one of these states.
async fn action(world: &World, rung: &str, states: &[ActionState]) {
    let what = format!("the action of {rung} {states:?}");
    until(world, 90, &what, |section| match section {
        Section::Actions(actions) => {
            let mut of_rung = actions.iter().filter(|a| a.rung == rung);
            of_rung.find(|a| states.contains(&a.state)).map(|_| ())
        }
        _ => None,
    })
    .await;
}

/// Since when R1 is in force.
async fn r1_since(world: &World) -> Option<i64> {
    until(world, 90, "R1 in force", |section| match section {
        Section::Ladder(ladder) => {
            let r1 = ladder.rungs.iter().find(|r| r.rung == "R1")?;
            (r1.state == RungState::Latched).then_some(r1.since_ms)
        }
        _ => None,
    })
    .await
}

/// Value of the open positions at the price of their entry, USDT: a falling price is no halving.
async fn exposure(world: &World) -> f64 {
    let state = look(world, "state").await;
    let mut accounts = state["accounts"].as_array().unwrap().iter();
    let account = accounts.find(|a| a["name"] == "trading-1").unwrap();
    let positions = account["positions"].as_array().unwrap().iter();
    let figure = |p: &Value, name: &str| p[name].as_str().unwrap().parse::<f64>().unwrap();
    let values = positions.map(|p| figure(p, "size") * figure(p, "avgPrice"));
    values.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_that_dies_forgets_nothing_and_does_nothing_twice() {
    let mut world = world(&["--scenario", "slide", "--speed", "8"]).await;
    armed(&world).await;
    let since = r1_since(&world).await;
    world.crash("fusebox-breaker").await.unwrap();
    world.start_again("fusebox-breaker", &[]).await.unwrap();
    assert_eq!(r1_since(&world).await, since, "R1 is the same R1");

    // Again while it halves: a half of a half would be a quarter.
    let before = exposure(&world).await;
    let begun = [
        ActionState::Pending,
        ActionState::Running,
        ActionState::Done,
    ];
    action(&world, "R2", &begun).await;
    world.crash("fusebox-breaker").await.unwrap();
    world.start_again("fusebox-breaker", &[]).await.unwrap();
    action(&world, "R2", &[ActionState::Done]).await;
    let left = exposure(&world).await / before;
    assert!((0.4..0.6).contains(&left), "{left} of the exposure is left");

    // Its rows wait in its outbox for the recorder.
    eventually(30, "R1 and R2 in the journal", async || {
        let rows = journal(&world).await;
        let halts = rows.iter().filter(|row| row["kind"] == "halt");
        let rungs: Vec<_> = halts.map(|row| row["body"]["rung"].clone()).collect();
        assert!(rungs.len() <= 2, "{rungs:?}");
        (rungs == [json!("R1"), json!("R2")]).then_some(())
    })
    .await;
    assert!(verifies(&world).await);
    world.end().await;
}

/// Puts the revoker below a tracer that ends it at the `n`th of a kind of system call: of those
/// on its intent log, or of all.
async fn doomed(world: &mut World, calls: &str, n: u32, on_intents: bool) {
    let intents = world.root().join("revoker/state/intents.jsonl");
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:signal=SIGKILL:when={n}");
    let mut strace = vec!["strace", "-f", "-qq", "-o", "/dev/null"];
    strace.extend(["-e", &trace, "-e", &inject]);
    if on_intents {
        strace.extend(["-P", intents.to_str().unwrap()]);
    }
    world.crash("fusebox-revoker").await.unwrap();
    let started = world.start_again("fusebox-revoker", &strace).await;
    started.unwrap();
}

fn no_strace() -> bool {
    let missing = std::process::Command::new("strace")
        .arg("-V")
        .output()
        .is_err();
    if missing {
        println!("skipped: strace is not installed");
    }
    missing
}

/// One kill, interrupted, ends by itself: done, every key dead, one run.
async fn a_kill_survives(calls: &str, n: u32, on_intents: bool) {
    let mut world = world(&["--scenario", "calm"]).await;
    doomed(&mut world, calls, n, on_intents).await;
    let report = interrupted(&mut world).await;
    let at = format!("{calls} {n}");
    assert_eq!(report.outcome, Outcome::Done, "{at}: {report:#?}");
    let dead = report.keys.iter().filter(|k| k.verdict == Verdict::Dead);
    assert_eq!(dead.count(), 3, "{at}: {report:#?}");
    let record = std::fs::read_to_string(world.root().join("revoker/state/intents.jsonl"));
    let intents = record
        .unwrap()
        .matches("\\\"event\\\":\\\"intent\\\"")
        .count();
    assert_eq!(intents, 1, "{at}");
    // The journal has copies. One that was on its way when the revoker died may be lost, none is
    // there twice; the intent is written again when it is resumed.
    eventually(30, "the result in the journal", async || {
        let rows = journal(&world).await;
        let of_run = rows.iter().map(|row| &row["body"]);
        let of_run = of_run.filter(|body| body["plan_id"] == report.id);
        let events: Vec<_> = of_run.map(|body| body["event"].clone()).collect();
        let count = |event: &str| events.iter().filter(|e| **e == event).count();
        assert!(count("intent") <= 1 && count("result") <= 1, "{events:?}");
        (count("result") == 1 && count("intent") + count("resumed") >= 1).then_some(())
    })
    .await;
    assert!(verifies(&world).await, "{at}");
    world.end().await;
}

/// A touched request for a kill; `None` when the revoker is gone before there is one.
async fn touched(operator: &mut Operator) -> Option<Request> {
    let challenge = operator.challenge(kill()).await?;
    Some(Request::Execute {
        nonce: challenge.document.nonce,
        assertion: operator.touch(&challenge),
    })
}

/// Asks for a kill, sees the revoker die, starts it without the tracer and waits for the result.
async fn interrupted(world: &mut World) -> Report {
    let mut operator = Operator::of(world).await;
    let touch = touched(&mut operator).await;
    if let Some(touch) = &touch {
        let answer = operator.run(touch).await;
        assert!(answer.is_none(), "the revoker lives: {answer:?}");
    }
    let ended = world.ended("fusebox-revoker");
    timeout(LIMIT, ended).await.unwrap().unwrap();
    world.start_again("fusebox-revoker", &[]).await.unwrap();

    let mut operator = Operator::of(world).await;
    let request = match &operator.runs().await[..] {
        // Begun: it goes on without a new touch.
        [run] => Request::Attach {
            run: run.run.clone(),
        },
        // It died before the intent was durable. Nothing was begun, so a person asks again, and
        // the old touch is worth nothing.
        [] => {
            if let Some(touch) = &touch {
                let refused = operator.run(touch).await.unwrap().unwrap_err();
                assert_eq!(refused.code, "no_challenge");
            }
            touched(&mut operator).await.unwrap()
        }
        more => panic!("one run, not {more:?}"),
    };
    operator.run(&request).await.unwrap().unwrap()
}

/// Before the intent is written, before it is durable, and with more and more of the run begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_survives_the_revokers_death_at_its_record() {
    if no_strace() {
        return;
    }
    for (calls, n) in [
        ("write", 1),
        ("fdatasync,fsync", 1),
        ("write", 2),
        ("write", 24),
        ("write", 34),
    ] {
        a_kill_survives(calls, n, true).await;
    }
}

/// In the midst of what it sends and keeps. A call is counted per thread, of which two take
/// turns: no two runs of this test die at quite the same place.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_survives_the_revokers_death_at_any_call() {
    if no_strace() {
        return;
    }
    for (calls, n) in [
        ("writev", 10),
        ("writev", 18),
        ("sendto", 14),
        ("sendto", 24),
    ] {
        a_kill_survives(calls, n, false).await;
    }
}

/// Rows are sent, the recorder is killed again and again, what was not acknowledged is sent once
/// more under its number.
#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_that_dies_loses_no_row_and_doubles_none() {
    const ROWS: u64 = 60;
    let mut world = world(&["--scenario", "calm"]).await;
    let acknowledged = AtomicU64::new(0);
    let socket = world.root().join("run/append-operator.sock");
    let kill = async {
        for rows in [1, 15, 16, 40] {
            eventually(60, "rows acknowledged", async || {
                (acknowledged.load(SeqCst) >= rows).then_some(())
            })
            .await;
            world.crash("fusebox-recorder").await.unwrap();
            world.start_again("fusebox-recorder", &[]).await.unwrap();
        }
    };
    tokio::join!(kill, send(&socket, ROWS, &acknowledged));
    let rows = journal(&world).await;
    let notes = rows.iter().filter(|row| row["kind"] == "annotation");
    let notes: Vec<_> = notes.map(|row| row["body"]["note"].clone()).collect();
    let wanted: Vec<_> = (1..=ROWS).map(|n| json!(format!("row {n}"))).collect();
    assert_eq!(notes, wanted);
    assert!(verifies(&world).await);
    eventually(30, "a journal that lacks no execution", async || {
        let (code, coverage) = fusebox(&world, &["journal", "coverage"]).await;
        (code == 0 && coverage["exchange"].as_u64() > Some(0)).then_some(())
    })
    .await;
    world.end().await;
}

async fn send(socket: &Path, rows: u64, acknowledged: &AtomicU64) {
    let mut next = 1;
    while next <= rows {
        let mut frames = dial(socket, Component::Recorder).await;
        while next <= rows {
            let draft = append::Draft {
                kind: "annotation".to_owned(),
                body: json!({"note": format!("row {next}")}),
                happened_ms: 1,
                outbox: Some(next),
            };
            if frames.send(&append::Request::Append(draft)).await.is_err() {
                break;
            }
            match frames.recv().await {
                Ok(append::Reply::Appended { .. }) => {
                    acknowledged.store(next, SeqCst);
                    next += 1;
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => break,
            }
        }
    }
}
