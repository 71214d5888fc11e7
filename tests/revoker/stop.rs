use crate::support::{Guard, kill_wish, revocable};
use fusebox_wire::operator::{Outcome, Verdict};
use fusebox_wire::stop::{Reply, StopKind};
use serde_json::json;

fn code(reply: &Reply) -> &str {
    match reply {
        Reply::Refused { code, .. } => code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_a_replayed_and_an_unfounded_request_revoke_nothing() {
    let guard = Guard::start(&[]).await;
    let forged = guard.stop(StopKind::Kill, 1, true).await;
    assert_eq!(code(&forged), "signature");
    // Signed by the breaker, but the own ladder sees no loss: contained, not revoked.
    let unfounded = guard.stop(StopKind::Kill, 2, false).await;
    assert_eq!(code(&unfounded), "not_confirmed");
    let replayed = guard.stop(StopKind::Kill, 2, false).await;
    assert_eq!(code(&replayed), "replayed");
    let log = guard.log().await;
    assert!(log.iter().all(|c| c.path != "/v5/user/delete-sub-api"));
    assert_eq!(guard.recorded_run(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_cancelled_on_the_signature_alone() {
    let guard = Guard::start(&[]).await;
    let reply = guard.stop(StopKind::CancelEntries, 1, false).await;
    assert!(
        matches!(reply, Reply::Cancelled { remaining: 0, .. }),
        "{reply:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_after_the_operators_kill_proves_again_and_starts_no_second_plan() {
    let mut guard = Guard::start(&[]).await;
    let report = guard.run(kill_wish()).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:#?}");
    assert!(revocable(&report).all(|k| k.verdict == Verdict::Dead));
    let reply = guard.stop(StopKind::Kill, 1, false).await;
    let dead = Reply::AlreadyDead { run: report.id };
    assert_eq!(reply, dead);
    // After a restart the secrets are gone from Vault, and the record still knows.
    guard.crash();
    guard.resume().await;
    assert_eq!(guard.stop(StopKind::Kill, 2, false).await, dead);
}

/// A loss that both see: the request is followed.
#[tokio::test(flavor = "multi_thread")]
async fn r4_that_the_own_ladder_confirms_kills() {
    let guard = Guard::start(&[]).await;
    // The exchange takes a fifth away without a transfer: a loss, whatever it is called.
    let loss =
        json!({"account": "trading-1", "coin": "USDT", "amount": "-900", "type": "FEE_REFUND"});
    guard.control("transfer", loss).await;
    let reply = guard.stop(StopKind::Kill, 1, false).await;
    let Reply::Started { run } = reply else {
        panic!("{reply:?}");
    };
    let report = guard.attach(&run).await;
    assert_eq!(
        (report.trigger.as_str(), report.outcome),
        ("ladder", Outcome::Done)
    );
}
