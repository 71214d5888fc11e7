//! Lane D: the dead keys' secrets are destroyed, each after its key's proofs or after 10 s (K4).

use super::gates::Gates;
use crate::plan::{Contain, PlannedKey};
use crate::run::{End, Run};
use crate::told::Told;
use crate::world::World;
use futures_util::future::join_all;
use std::time::Duration;

/// How long a destruction waits for the record of the proofs before it. A stuck disk stops nothing.
const RECORDED_WITHIN: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(500);
/// How often a silent or sealed store is asked again.
const TRIES: u32 = 10;

fn vault_step(key: &PlannedKey) -> Option<String> {
    key.vault_path
        .as_ref()
        .map(|path| format!("destroy vault {path}"))
}

/// Every required step of this lane.
pub(super) fn steps(plan: &Contain) -> Vec<String> {
    let vault = plan.delete.iter().filter_map(vault_step);
    let leases = plan
        .lease_prefixes
        .iter()
        .map(|p| format!("revoke leases {p}"));
    let external = plan
        .external_secret
        .iter()
        .map(|n| format!("delete externalsecret {n}"));
    let secret = plan.secret.iter().map(|n| format!("delete secret {n}"));
    vault.chain(leases).chain(external).chain(secret).collect()
}

pub(super) async fn lane(world: &World, plan: &Contain, run: &Run, gates: &Gates) {
    let limit = Duration::from_millis(world.config.limits.secret_wait_ms);
    let vault = join_all(plan.delete.iter().map(|key| async move {
        let (Some(step), Some(path)) = (vault_step(key), &key.vault_path) else {
            return;
        };
        // Our own copy probes the key; the store's is destroyed when that is over.
        let _ = tokio::time::timeout(limit, gates.key_settled(&key.name)).await;
        // After a crash nothing could probe the key any more: its proof must be on record by now.
        if !world.intents.caught_up(RECORDED_WITHIN).await {
            tracing::error!(key = %key.name, "its proof may not be on record, its secret is destroyed");
        }
        run.step(&step, destroy(world, path)).await;
    }));
    let leases = join_all(plan.lease_prefixes.iter().map(|prefix| async move {
        let step = format!("revoke leases {prefix}");
        run.step(&step, revoke(world, prefix)).await;
    }));
    tokio::join!(vault, leases, kubernetes(world, plan, run));
}

async fn destroy(world: &World, path: &str) -> End {
    let Some(vault) = &world.vault else {
        return End::unknown("no [vault] in the configuration");
    };
    persist(|| vault.destroy(path)).await
}

async fn revoke(world: &World, prefix: &str) -> End {
    let Some(vault) = &world.vault else {
        return End::unknown("no [vault] in the configuration");
    };
    persist(|| vault.revoke_prefix(prefix)).await
}

/// The ExternalSecret first: it would make the Secret again.
async fn kubernetes(world: &World, plan: &Contain, run: &Run) {
    let Some(cluster) = &world.cluster else {
        return;
    };
    if let Some(name) = &plan.external_secret {
        let step = format!("delete externalsecret {name}");
        run.step(&step, persist(|| cluster.destroy_external_secret(name)))
            .await;
    }
    if let Some(name) = &plan.secret {
        let step = format!("delete secret {name}");
        run.step(&step, persist(|| cluster.destroy_secret(name)))
            .await;
    }
}

/// Asks again while nobody answers; a refusal is final.
async fn persist<F: Future<Output = Told>>(ask: impl Fn() -> F) -> End {
    let mut last = End::unknown("not asked");
    for round in 0..TRIES {
        if round > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        match ask().await {
            Told::Yes => return End::done("confirmed"),
            Told::Absent => return End::done("gone: a read answers 404"),
            Told::No(why) => last = End::refused(why),
            Told::Unknown(why) => last = End::unknown(why),
        }
    }
    last
}
