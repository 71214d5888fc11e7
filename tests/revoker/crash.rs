//! SIGKILL from outside, at the moments when the record has so many rows.

use crate::support::{Guard, kill_wish, report, revocable, rotate_wish, until};
use fusebox_wire::operator::{Outcome, Request, Verdict};

/// Whatever the moment: one intent, one result, every key dead.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_kill_is_finished_without_a_new_touch() {
    for rows in [1, 12, 25, 45] {
        let mut guard = Guard::start(&["--latency-ms", "30", "--keys", "4"]).await;
        let mut frames = guard.operator().await;
        let execute = guard.touch(&mut frames, kill_wish()).await;
        frames.send(&execute).await.unwrap();
        until("so many rows", || guard.record().len() >= rows).await;
        guard.crash();
        let run = guard.recorded_run().unwrap();
        guard.resume().await;
        let report = guard.attach(&run).await;
        assert_eq!(
            report.outcome,
            Outcome::Done,
            "after {rows} rows: {report:#?}"
        );
        assert!(revocable(&report).all(|k| k.verdict == Verdict::Dead));
        let record = guard.record();
        assert_eq!(record.iter().filter(|r| r["event"] == "intent").count(), 1);
    }
}

/// A torn last line was never promised: the log opens, and what stands before it counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_row_does_not_stop_the_revoker() {
    use std::io::Write as _;
    let mut guard = Guard::start(&[]).await;
    let id = guard.run(kill_wish()).await.id;
    guard.crash();
    let path = guard.path("state").join("intents.jsonl");
    let mut log = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    log.write_all(b"{\"seq\":99,\"tim").unwrap();
    guard.resume().await;
    assert_eq!(guard.attach(&id).await.id, id);
}

/// At every moment of a rotation: afterwards one key of that name lives, it is the one that
/// Vault has, and no unfinished one is left.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_rotation_ends_with_one_known_key() {
    for step in ["make", "prove new", "store", "restart on", "delete old"] {
        let mut guard = Guard::start(&["--latency-ms", "20"]).await;
        let mut frames = guard.operator().await;
        let execute = guard.touch(&mut frames, rotate_wish("skim-1")).await;
        frames.send(&execute).await.unwrap();
        let begun = format!("{step} skim-1");
        until(&begun, || {
            guard.record().iter().any(|r| r["step"]["step"] == begun)
        })
        .await;
        guard.crash();
        let run = guard.recorded_run().unwrap();
        guard.resume().await;
        let ended = guard.attach(&run).await;
        assert_eq!(ended.outcome, Outcome::Done, "after {step}: {ended:#?}");

        let keys = match guard.ask(&Request::Keys).await {
            fusebox_wire::operator::Reply::Keys(keys) => keys.keys,
            other => panic!("{other:?}"),
        };
        let undeclared: Vec<_> = keys.iter().filter(|k| k.role.is_none()).collect();
        assert!(undeclared.is_empty(), "after {step}: {undeclared:?}");
        // A kill proves that what the revoker holds is what lives: with a wrong key it could not.
        let mut frames = guard.operator().await;
        let execute = guard.touch(&mut frames, kill_wish()).await;
        frames.send(&execute).await.unwrap();
        let killed = report(&mut frames).await;
        assert_eq!(killed.outcome, Outcome::Done, "after {step}: {killed:#?}");
    }
}
