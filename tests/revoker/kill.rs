use crate::support::{Guard, kill_wish, report, revocable, verdict};
use fusebox_wire::operator::{Outcome, Reply, Request, Verdict, Wish};
use serde_json::json;

/// For every key called dead, the exchange's own log has its deletion, then a listing, and its
/// own refused probe. Nine keys need more than a second of deletions, and none is refused for
/// coming too fast.
#[tokio::test(flavor = "multi_thread")]
async fn every_key_called_dead_was_listed_and_refused_after_its_deletion() {
    let guard = Guard::start(&["--keys", "9"]).await;
    let report = guard.run(kill_wish()).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:#?}");
    assert_eq!(revocable(&report).count(), 9);
    assert!(report.touch_to_dead_ms.is_some());
    assert_eq!(verdict(&report, "eye-revoker-1"), Some(Verdict::Kept));
    assert_eq!(verdict(&report, "manager"), Some(Verdict::Kept));

    let log = guard.log().await;
    assert!(log.iter().all(|call| call.code != 10006), "{log:?}");
    let last_delete = log
        .iter()
        .rposition(|c| c.path == "/v5/user/delete-sub-api")
        .unwrap();
    assert!(
        log[last_delete..]
            .iter()
            .any(|c| c.path == "/v5/user/sub-apikeys" && c.code == 0)
    );
    for key in revocable(&report) {
        let refused = |c: &&crate::support::Call| {
            c.path == "/v5/user/query-api" && c.key == key.name.as_str() && c.code == 10003
        };
        assert!(log.iter().any(|c| refused(&c)), "{} in {log:?}", key.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_lies_about_deletion_leaves_nothing_dead() {
    let guard = Guard::start(&[]).await;
    let lie = json!({"service": "bybit", "path": "/v5/user/delete-sub-api", "kind": "lie"});
    guard.control("faults", lie).await;
    let report = guard.run(kill_wish()).await;
    assert_eq!(report.outcome, Outcome::Partial);
    assert_eq!(report.touch_to_dead_ms, None);
    assert!(
        revocable(&report).all(|k| k.verdict == Verdict::Alive),
        "{report:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_does_not_answer_makes_the_outcome_unknown_and_holds_no_key_up() {
    let guard = Guard::start(&[]).await;
    guard.control("vault", json!({"sealed": true})).await;
    let report = guard.run(kill_wish()).await;
    assert_eq!(report.outcome, Outcome::Unknown, "{report:#?}");
    assert!(revocable(&report).all(|k| k.verdict == Verdict::Dead));
    assert!(report.touch_to_dead_ms.unwrap() < 5_000);
}

/// A key made behind our back dies with the others, and without its secret nobody can say more
/// than that it is absent.
#[tokio::test(flavor = "multi_thread")]
async fn an_undeclared_key_is_deleted_too_but_never_called_dead() {
    let guard = Guard::start(&[]).await;
    let made = json!({"account": "trading-1", "scopes": ["trade"], "ips": []});
    guard.control("key", made).await;
    let report = guard.run(kill_wish()).await;
    assert_eq!(report.outcome, Outcome::Unknown, "{report:#?}");
    let undeclared: Vec<_> = revocable(&report)
        .filter(|k| k.name.as_str().starts_with("undeclared"))
        .collect();
    assert_eq!(undeclared.len(), 1);
    assert_eq!(undeclared[0].verdict, Verdict::Unknown);
    assert_eq!(undeclared[0].proofs, ["absent"]);
}

/// K10, and the two ways to misuse a touch.
#[tokio::test(flavor = "multi_thread")]
async fn a_touch_is_worth_one_run_of_one_plan() {
    let guard = Guard::start(&[]).await;
    let mut frames = guard.operator().await;
    let execute = guard.touch(&mut frames, kill_wish()).await;

    // On another connection the challenge is not pending: nothing starts.
    let stolen = guard.ask(&execute).await;
    assert!(matches!(stolen, Reply::Refused(r) if r.code == "no_challenge"));
    // A changed signature is refused, and the challenge is spent with it.
    let Request::Execute { nonce, assertion } = execute.clone() else {
        unreachable!()
    };
    let mut forged = assertion.clone();
    forged.signature[0] ^= 1;
    frames
        .send(&Request::Execute {
            nonce,
            assertion: forged,
        })
        .await
        .unwrap();
    let refused = frames.recv::<Reply>().await.unwrap();
    assert!(matches!(refused, Reply::Refused(r) if r.code == "signature"));
    assert_eq!(guard.recorded_run(), None);

    // A good one runs; the same again, from anywhere, finds its run and starts nothing.
    let execute = guard.touch(&mut frames, kill_wish()).await;
    frames.send(&execute).await.unwrap();
    let first = report(&mut frames).await;
    let mut other = guard.operator().await;
    other.send(&execute).await.unwrap();
    let again = report(&mut other).await;
    assert_eq!(first.id, again.id);
    let intents = guard.record();
    assert_eq!(intents.iter().filter(|r| r["event"] == "intent").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_supported_is_refused_and_not_pretended() {
    let guard = Guard::start(&[]).await;
    let total = Wish::Kill {
        account: None,
        total: true,
        flatten: false,
        key_theft: false,
        reason: String::new(),
    };
    let reply = guard.ask(&Request::Challenge { wish: total }).await;
    assert!(matches!(reply, Reply::Refused(r) if r.code == "not_supported"));
}
