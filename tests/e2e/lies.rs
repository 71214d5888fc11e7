//! A world that says one thing and does another: what is not observed is never called done.

use crate::support::{armed, fault, fusebox, look, until, world};
use fusebox_wire::feed::{ActionState, RungState, Section, Source};
use serde_json::{Value, json};

const DELETE: &str = "/v5/user/delete-sub-api";
const LIST: &str = "/v5/user/sub-apikeys";
const PROBE: &str = "/v5/user/query-api";
/// The exchange's word for a key that it does not know.
const UNKNOWN_KEY: i64 = 10003;

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_only_says_success_leaves_no_key_called_dead() {
    let mut world = world(&["--scenario", "calm"]).await;
    armed(&world).await;
    fault(
        &world,
        json!({"service": "bybit", "path": DELETE, "kind": "lie"}),
    )
    .await;
    let (code, kill) = fusebox(&world, &["kill", "--reason", "test"]).await;
    assert_eq!(code, 3, "{kill:#}");
    assert_eq!(kill["touch_to_dead_ms"], json!(null));
    let keys = kill["keys"].as_array().unwrap();
    assert!(!keys.is_empty());
    for key in keys {
        assert_ne!(key["verdict"], "dead", "{key}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exchange_itself_saw_the_proofs_of_every_key_called_dead() {
    let mut world = world(&["--scenario", "calm", "--keys", "5"]).await;
    armed(&world).await;
    let (code, kill) = fusebox(&world, &["kill", "--reason", "test"]).await;
    assert_eq!(code, 0, "{kill:#}");
    let log = look(&world, "log").await;
    let log = log["log"].as_array().unwrap();
    let at = |path: &str, code: i64, key: Option<&str>| {
        let rows = log.iter().enumerate().filter(move |(_, row)| {
            row["path"] == path && row["code"] == code && key.is_none_or(|k| row["key"] == k)
        });
        rows.map(|(at, _)| at).collect::<Vec<_>>()
    };
    let deletes = at(DELETE, 0, None);
    let (first, last) = (deletes[0], deletes[deletes.len() - 1]);
    assert!(at(LIST, 0, None).iter().any(|list| *list > last));
    let is_dead = |key: &&Value| key["verdict"] == "dead";
    let dead: Vec<_> = kill["keys"].as_array().unwrap().iter().collect();
    assert_eq!(dead.iter().copied().filter(is_dead).count(), 5, "{kill:#}");
    for key in dead.into_iter().filter(is_dead) {
        let name = key["name"].as_str();
        let refused = at(PROBE, UNKNOWN_KEY, name);
        assert!(refused.iter().any(|probe| *probe > first), "{key}");
        // Before that it answered: the probe is one that can tell.
        let control = at(PROBE, 0, name);
        assert!(control.iter().any(|probe| *probe < first), "{key}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reduction_that_only_says_success_becomes_a_stop() {
    let mut world = world(&["--scenario", "slide", "--speed", "8"]).await;
    armed(&world).await;
    fault(
        &world,
        json!({"service": "freqtrade", "path": "/api/v1/forceexit", "kind": "lie"}),
    )
    .await;
    let mut reduced = None;
    until(
        &world,
        90,
        "R2 seen as not done, then R3",
        |section| match section {
            Section::Actions(actions) => {
                let mut of_r2 = actions.iter().filter(|a| a.rung == "R2");
                let reduce = of_r2.find(|a| a.action == "reduce");
                reduced = reduce.map(|a| a.state).or(reduced);
                None
            }
            Section::Ladder(ladder) => {
                let r3 = ladder.rungs.iter().find(|r| r.rung == "R3")?;
                (r3.state == RungState::Latched && reduced == Some(ActionState::Failed))
                    .then_some(())
            }
            _ => None,
        },
    )
    .await;
    world.end().await;
}

fn is_stale(source: &Source) -> bool {
    source
        .age_ms
        .is_none_or(|age| age >= source.limits.stale_ms)
}

/// A source that repeats itself is as blind as one that is silent, and the others stay fresh.
async fn is_noticed(path: &str, kind: &str, blind: &str, seeing: &str) {
    let mut world = world(&["--scenario", "calm"]).await;
    armed(&world).await;
    let is = |sources: &[Source], name: &str, stale: bool| {
        let mut named = sources.iter().filter(|s| s.name.contains(name));
        named.any(|source| is_stale(source) == stale)
    };
    let limit_s = 40;
    let all_fresh = format!("{blind} and {seeing} fresh");
    until(&world, limit_s, &all_fresh, |section| match section {
        Section::Sources(s) => (is(s, blind, false) && is(s, seeing, false)).then_some(()),
        _ => None,
    })
    .await;
    fault(
        &world,
        json!({"service": "bybit", "path": path, "kind": kind}),
    )
    .await;
    let one_stale = format!("{blind} stale, {seeing} fresh");
    until(&world, limit_s, &one_stale, |section| match section {
        Section::Sources(s) => (is(s, blind, true) && is(s, seeing, false)).then_some(()),
        _ => None,
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_repeats_itself_is_noticed() {
    is_noticed("/v5/account/wallet-balance", "stale", "wallet", "tickers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickers_that_fall_silent_are_noticed() {
    is_noticed("/v5/public/linear", "ws_silent", "tickers", "wallet").await;
}
