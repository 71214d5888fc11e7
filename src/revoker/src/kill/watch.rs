//! W: after the result, look again (K13, K15, K16). Controllers scale back, a deleted key may
//! appear again, an order may come from somewhere nobody knows.

use super::gates::Gates;
use super::{judge, keys, orders, workload};
use crate::plan::Contain;
use crate::run::Run;
use crate::world::World;
use fusebox_domain::OrderKind;
use fusebox_notify::{Field, Level};
use fusebox_wire::operator::{Outcome, Verdict};
use futures_util::future::join_all;
use std::time::Duration;

/// Sleeps to each re-check, looks, and writes the `closed` row.
pub(super) async fn watch(world: &World, plan: &Contain, run: &Run, result: Outcome) {
    let mut findings = Vec::new();
    let died_ms = run.now_ms();
    let mut waited_ms = 0;
    for at_ms in &world.config.limits.watch_ms {
        let pause = at_ms.saturating_sub(waited_ms);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        waited_ms = waited_ms.max(*at_ms);
        findings.extend(look(world, plan, run, died_ms).await);
    }
    // A run ends no better than its result; what was found later can make it worse.
    let ended = match judge(plan, run) {
        Outcome::Done => result,
        worse => worse,
    };
    let detail = match findings.is_empty() {
        true => format!("nothing moved in {waited_ms} ms"),
        false => findings.join("; "),
    };
    if !findings.is_empty() {
        world.pager.page(
            Level::Critical,
            "KILL WATCH",
            run.plan.subject(),
            detail.as_str(),
            vec![Field::Outcome(format!("{ended:?}, run {}", run.id))],
        );
    }
    run.close(ended, detail);
}

async fn look(world: &World, plan: &Contain, run: &Run, died_ms: i64) -> Vec<String> {
    let mut findings = Vec::new();
    let looks = plan.delete.iter().map(|key| keys::look_at(world, run, key));
    let looks = join_all(looks).await;
    for (key, evidence) in plan.delete.iter().zip(looks) {
        match evidence.verdict() {
            Verdict::Alive => {
                findings.push(format!("{} is alive: {}", key.name, evidence.words()));
                keys::prove_again(world, run, key).await;
            }
            Verdict::Dead => keys::note(world, run, key, &evidence),
            // What was proven before is not forgotten because nobody answers now.
            Verdict::Unknown | Verdict::Kept => {}
        }
    }
    keys::strays(world, plan, run, &Gates::new(plan)).await;
    for account in &plan.accounts {
        findings.extend(new_orders(world, account, died_ms).await);
        let Some((cluster, deployment)) = world.cluster.as_ref().zip(account.deployment.as_ref())
        else {
            continue;
        };
        match cluster.pods(deployment).await {
            Ok(pods) if pods.is_empty() => {}
            Ok(pods) => {
                findings.push(format!("{deployment} has {} pods again", pods.len()));
                let end = workload::to_zero(world, deployment).await;
                run.ended(&workload::step(deployment), end);
            }
            Err(told) => findings.push(format!("{deployment} could not be looked at: {told:?}")),
        }
    }
    findings
}

/// An order made after the keys died: a key lives somewhere, or a person closes by hand.
async fn new_orders(
    world: &World,
    account: &crate::plan::PlannedAccount,
    died_ms: i64,
) -> Option<String> {
    let reader = world.registry.held(&account.read_key)?.reader()?;
    let offset = reader.exchange_now_ms().map_or(0, |exchange| {
        exchange.saturating_sub(crate::world::now_ms())
    });
    let open = orders::open_orders(world, &reader).await.ok()?;
    let new = open.iter().filter(|o| {
        o.kind != OrderKind::ProtectiveStop && o.created_ms > died_ms.saturating_add(offset)
    });
    let count = new.count();
    (count > 0).then(|| {
        format!(
            "{count} new orders on {} after the keys died: a key lives, or somebody closes by hand",
            account.name
        )
    })
}
