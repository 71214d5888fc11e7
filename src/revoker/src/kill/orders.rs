//! Lane B: no entry order rests any more. Protective stops stay (K3).
//!
//! A cancel-all is accepted, not done, and takes at most 500 orders at random; so what counts are
//! two empty complete listings, never the answer to the cancel.

use super::gates::Gates;
use crate::plan::{Contain, PlannedAccount};
use crate::run::{End, Run};
use crate::world::World;
use fusebox_domain::{Order, OrderKind, OrderStatus};
use fusebox_venue::Reader;
use futures_util::future::join_all;
use std::time::Duration;

/// Between two rounds while something still rests.
const ROUND_PAUSE: Duration = Duration::from_millis(50);
/// How long a cancel may still take when the listings are there and something rests.
const CANCEL_GRACE: Duration = Duration::from_millis(500);

pub(super) fn first(account: &PlannedAccount) -> String {
    format!("sweep {}", account.name)
}

pub(super) fn last(account: &PlannedAccount) -> String {
    format!("sweep again {}", account.name)
}

pub(super) async fn lane(world: &World, plan: &Contain, run: &Run, gates: &Gates) {
    join_all(plan.accounts.iter().map(|account| async {
        run.step(&first(account), sweep(world, account)).await;
        gates.swept(&account.name);
        // An order that was accepted just before its key died may rest only now (K1).
        gates.others_tried(plan, &account.name).await;
        run.step(&last(account), sweep(world, account)).await;
        gates.swept_again(&account.name);
    }))
    .await;
}

/// Cancels until two listings are empty, at most 3 s. The first pair of listings travels beside
/// the first cancel: on an account without orders the sweep takes one round trip.
pub(crate) async fn sweep(world: &World, account: &PlannedAccount) -> End {
    let limit = Duration::from_millis(world.config.limits.sweep_ms);
    let mut last_seen = None;
    let rounds = async {
        loop {
            let (seen, cancelled) =
                look_and_cancel(world, account, last_seen.as_deref().unwrap_or_default()).await;
            match seen {
                Ok(seen) if seen.is_empty() => {
                    return End::done("two complete listings without an entry order");
                }
                Ok(seen) if account.cancel_key.is_none() => {
                    return End::refused(format!(
                        "{} entry orders rest, and there is no cancel key",
                        seen.len()
                    ));
                }
                Ok(seen) => last_seen = Some(seen),
                Err(why) => {
                    tracing::warn!(account = %account.name, why, ?cancelled, "sweep");
                }
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    };
    match tokio::time::timeout(limit, rounds).await {
        Ok(end) => end,
        Err(_) => match last_seen {
            Some(orders) => End::refused(format!(
                "{} entry orders still rest after {} ms",
                orders.len(),
                limit.as_millis()
            )),
            None => End::unknown(format!(
                "no complete listing within {} ms",
                limit.as_millis()
            )),
        },
    }
}

/// How many entry orders rest now.
pub(crate) async fn resting(world: &World, account: &PlannedAccount) -> Result<usize, String> {
    Ok(entries(world, account).await?.len())
}

/// Cancels and lists beside each other. Two empty listings do not wait for the cancel's answer.
async fn look_and_cancel(
    world: &World,
    account: &PlannedAccount,
    seen: &[Order],
) -> (Result<Vec<Order>, String>, Option<String>) {
    let looks = async {
        let (one, other) = tokio::join!(entries(world, account), entries(world, account));
        let (one, other) = (one?, other?);
        Ok(if one.is_empty() { other } else { one })
    };
    let cancelling = cancel(world, account, seen);
    tokio::pin!(looks, cancelling);
    tokio::select! {
        words = &mut cancelling => (looks.await, Some(words)),
        seen = &mut looks => match seen {
            Ok(rest) if rest.is_empty() => (Ok(rest), None),
            seen => {
                let words = tokio::time::timeout(CANCEL_GRACE, cancelling).await;
                (seen, words.ok())
            }
        }
    }
}

/// Cancels everything that rests, and conditional entries by id; in words what came of it.
async fn cancel(world: &World, account: &PlannedAccount, seen: &[Order]) -> String {
    let Some(key) = account
        .cancel_key
        .as_ref()
        .and_then(|name| world.registry.held(name)?.reader())
    else {
        return "no cancel key".to_owned();
    };
    let coins = world.config.exchange.settle_coins.iter();
    let all = join_all(coins.map(|coin| world.hands.cancel_all(&key, coin)));
    let conditional = seen
        .iter()
        .filter(|o| o.kind == OrderKind::ConditionalEntry);
    let single = join_all(conditional.map(|o| world.hands.cancel(&key, &o.symbol, &o.order_id)));
    let (all, single) = tokio::join!(all, single);
    let failed = all.into_iter().chain(single).find_map(Result::err);
    failed.map_or_else(|| "accepted".to_owned(), |e| e.to_string())
}

/// Entry orders that rest, conditional ones included, from complete listings.
async fn entries(world: &World, account: &PlannedAccount) -> Result<Vec<Order>, String> {
    let held = world
        .registry
        .held(&account.read_key)
        .ok_or("the read key is not loaded")?;
    let reader = held.reader().ok_or("no host")?;
    let orders = open_orders(world, &reader).await;
    if orders.is_err() {
        held.other_host();
    }
    Ok(orders?.into_iter().filter(must_go).collect())
}

pub(super) async fn open_orders(world: &World, reader: &Reader) -> Result<Vec<Order>, String> {
    let coins = world.config.exchange.settle_coins.iter();
    let pages = join_all(coins.map(|coin| reader.open_orders(coin))).await;
    let mut all = Vec::new();
    for page in pages {
        all.extend(page.map_err(|e| e.to_string())?.value);
    }
    Ok(all)
}

/// K3: only reduce-only conditional orders stay. A resting exit without a bot behind it goes too:
/// cancel-all takes it, and nobody would move it any more.
fn must_go(order: &Order) -> bool {
    order.status == OrderStatus::Open && order.kind != OrderKind::ProtectiveStop
}
