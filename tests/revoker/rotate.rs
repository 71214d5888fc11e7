use crate::support::{Guard, rotate_wish, verdict};
use fusebox_wire::operator::{Outcome, StepState, Verdict};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_works_and_the_old_one_is_proven_dead() {
    let guard = Guard::start(&[]).await;
    let report = guard.run(rotate_wish("skim-1")).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:#?}");
    assert_eq!(verdict(&report, "skim-1"), Some(Verdict::Dead));
    let proof = report.keys.iter().find(|k| k.name.as_str() == "skim-1");
    assert_eq!(proof.unwrap().proofs, ["absent", "refused"]);
}

/// The new key cannot be stored: the old one stays, the new one is deleted again.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_stored_is_not_left_behind() {
    let guard = Guard::start(&[]).await;
    let refused = json!({"service": "vault", "path": "/v1/kv/data/trading/skim-1", "kind": "http", "status": 503});
    let wish = rotate_wish("skim-1");
    guard.control("faults", refused).await;
    let report = guard.run(wish).await;
    assert_eq!(report.outcome, Outcome::Partial, "{report:#?}");
    let step = |name: &str| {
        let found = report.steps.iter().find(|s| s.step == name);
        found.map(|s| s.state)
    };
    assert_eq!(step("forget unfinished skim-1"), Some(StepState::Done));
    assert_eq!(step("delete old skim-1"), None);
    guard.control("faults/clear", json!({})).await;
    let again = guard.run(rotate_wish("skim-1")).await;
    assert_eq!(again.outcome, Outcome::Done, "{again:#?}");
}
