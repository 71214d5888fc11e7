//! A world that says one thing and does another: what is not observed is never called done.

use crate::support::{armed, control, fault, fusebox, until, world};
use fusebox_wire::feed::{ActionState, RungState, Section};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_only_says_success_leaves_no_key_called_dead() {
    let mut world = world(&["--scenario", "calm"]).await;
    armed(&world).await;
    fault(
        &world,
        json!({"service": "bybit", "path": "/v5/user/delete-sub-api", "kind": "lie"}),
    )
    .await;
    let (code, kill) = fusebox(&world, &["kill", "--reason", "test"]).await;
    assert_eq!(code, 3, "{kill:#}");
    assert_eq!(kill["touch_to_dead_ms"], json!(null));
    for key in kill["keys"].as_array().unwrap() {
        assert_ne!(key["verdict"], "dead", "{key}");
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
                let reduce = actions
                    .iter()
                    .find(|a| a.rung == "R2" && a.action == "reduce");
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

/// A source that repeats itself is as blind as one that is silent.
async fn is_noticed(path: &str, kind: &str, source: &str) {
    let mut world = world(&["--scenario", "calm"]).await;
    armed(&world).await;
    fault(
        &world,
        json!({"service": "bybit", "path": path, "kind": kind}),
    )
    .await;
    until(
        &world,
        40,
        &format!("{source} seen as stale"),
        |section| match section {
            Section::Sources(sources) => sources
                .iter()
                .find(|s| {
                    s.name.contains(source) && s.age_ms.is_none_or(|age| age >= s.limits.stale_ms)
                })
                .map(|_| ()),
            _ => None,
        },
    )
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_repeats_itself_is_noticed() {
    is_noticed("/v5/account/wallet-balance", "stale", "wallet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickers_that_fall_silent_are_noticed() {
    is_noticed("/v5/public/linear", "ws_silent", "tickers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_the_exchange_drops_is_missed_by_the_coverage_check() {
    let mut world = world(&["--scenario", "calm"]).await;
    armed(&world).await;
    // Enough executions for more than one page, while the recorder sees none of them.
    fault(
        &world,
        json!({"service": "bybit", "path": "/v5/execution/list", "kind": "drop_page"}),
    )
    .await;
    control(
        &world,
        "price",
        json!({"symbol": "BTCUSDT", "mark": "60000"}),
    )
    .await;
    let (code, coverage) = fusebox(&world, &["journal", "coverage"]).await;
    assert_ne!(code, 0, "{coverage:#}");
    let missing = coverage["missing"].as_array().map_or(0, Vec::len);
    let doubts = coverage["doubts"].as_array().map_or(0, Vec::len);
    assert!(missing + doubts > 0, "{coverage:#}");
    world.end().await;
}
