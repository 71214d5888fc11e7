//! Rotation: a new key for an old one, and at every moment a record of which is current.
//!
//! ```text
//! make (unique note) → prove → store in Vault → current → refresh, restart → delete old, prove
//! ```
//!
//! The secret of a new key is told once and is in no record. So until Vault has it, the old key
//! is current and a crash deletes the new one by its note; from then on the new one is current
//! and a crash goes on with the old one's deletion.

use crate::exchange::NewKey;
use crate::plan::{Rotate, RotatedKey};
use crate::run::{End, Run};
use crate::told::Told;
use crate::world::{World, now_ms};
use crate::{intents::Entry, kill, outcome::Fact, outcome::outcome, registry};
use fusebox_domain::{ApiKeyId, KeyName};
use fusebox_notify::{Field, Level};
use fusebox_venue::Reaction;
use fusebox_wire::operator::{Outcome, REPORT, Residual, StepState, Verdict};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

const PAUSE: Duration = Duration::from_millis(200);

/// Runs the plan, one key after the other: a mistake must not reach the second key.
pub(crate) async fn rotate(world: &World, plan: &Rotate, run: &Run) {
    let mut ended = Vec::new();
    for key in &plan.keys {
        let fact = one(world, plan, run, key).await;
        ended.push(fact);
        if fact != Fact::Holds {
            break;
        }
    }
    let left = plan.keys.len().saturating_sub(ended.len());
    ended.extend(std::iter::repeat_n(Fact::Unobserved, left));
    finish(world, run, outcome(true, ended));
}

/// After a crash: orphans are deleted and made anew, stored ones are carried on with.
pub(crate) async fn resume(world: &World, plan: &Rotate, run: &Run, made: &[(KeyName, ApiKeyId)]) {
    for key in &plan.keys {
        let known: Vec<&ApiKeyId> = made
            .iter()
            .filter(|(name, _)| *name == key.old.name)
            .map(|(_, id)| id)
            .collect();
        let held = world.registry.held(&key.old.name);
        let stored = held.filter(|h| h.api_key != key.old.api_key && known.contains(&&h.api_key));
        let fact = match stored {
            // What Vault has is what the registry loaded at the start: the new key is current.
            Some(held) => {
                find_old_secret(world, key).await;
                retire(world, plan, run, key, &held.api_key).await
            }
            None => {
                forget_orphans(world, run, key).await;
                one(world, plan, run, key).await
            }
        };
        if fact != Fact::Holds {
            return finish(world, run, outcome(true, [fact]));
        }
    }
    finish(world, run, Outcome::Done);
}

/// The version before the current one is the old key: its secret proves it dead.
async fn find_old_secret(world: &World, key: &RotatedKey) {
    let Some((vault, path)) = world.vault.as_ref().zip(key.old.vault_path.as_ref()) else {
        return;
    };
    let Some((api_key, secret)) = vault.previous_key(path).await else {
        return;
    };
    if api_key == key.old.api_key
        && let Ok(held) = hold(world, key, &api_key, &secret)
    {
        world.registry.keep_replaced(held);
    }
}

fn finish(world: &World, run: &Run, ended: Outcome) {
    let report = run.report(ended, Residual::default());
    match world.sign(REPORT, &report) {
        Ok(signed) => run.finish(&report, signed),
        Err(error) => tracing::error!(%error, "the report could not be signed"),
    }
    let level = match ended {
        Outcome::Done => Level::Info,
        Outcome::Partial | Outcome::Unknown | Outcome::Refused => Level::Critical,
    };
    world.pager.page(
        level,
        "ROTATE",
        run.plan.subject(),
        "rotation ended",
        vec![Field::Outcome(format!("{ended:?}, run {}", run.id))],
    );
    run.close(ended, "rotation ended".to_owned());
}

/// One key. Whatever fails before `store` leaves the old key current and deletes the new one.
async fn one(world: &World, plan: &Rotate, run: &Run, key: &RotatedKey) -> Fact {
    run.key(key.old.proof(Verdict::Alive));
    if world.kills.load(Ordering::SeqCst) > 0 {
        let why = "a kill runs: no key is made any more";
        run.ended(&format!("make {}", key.old.name), End::refused(why));
        return Fact::Fails;
    }
    let Some(new) = make(world, run, key).await else {
        return Fact::Fails;
    };
    let proven = prove_new(world, run, key, &new).await;
    let killing = world.kills.load(Ordering::SeqCst) > 0;
    if killing || proven != StepState::Done || store(world, run, key, &new).await != StepState::Done
    {
        forget_orphans(world, run, key).await;
        return Fact::Fails;
    }
    let api_key = new.api_key.clone();
    if let Err(why) = take_over(world, key, new) {
        tracing::error!(key = %key.old.name, why, "the new key could not be taken over");
        return Fact::Fails;
    }
    retire(world, plan, run, key, &api_key).await
}

async fn make(world: &World, run: &Run, key: &RotatedKey) -> Option<NewKey> {
    let step = format!("make {}", key.old.name);
    run.sent(&step);
    let Ok(manager) = world.manager() else {
        run.ended(&step, End::refused("the manager key is not loaded"));
        return None;
    };
    match create(world, &manager, key).await {
        Ok(new) => {
            let (run_id, name) = (run.id.clone(), key.old.name.clone());
            let made = Entry::Made {
                run: run_id,
                key: name,
                api_key: new.api_key.clone(),
            };
            if !run.write_durably(made).await {
                run.ended(
                    &step,
                    End::refused("made, but the record is not durable; it is deleted again"),
                );
                forget_orphans(world, run, key).await;
                return None;
            }
            run.ended(&step, End::done(new.api_key.short()));
            Some(new)
        }
        Err(e) => {
            run.ended(&step, End::refused(e.to_string()));
            // A timeout may have made it: by its note it is found.
            forget_orphans(world, run, key).await;
            None
        }
    }
}

/// Nothing was made when the exchange says that we came too fast (a restart forgets the pace).
async fn create(
    world: &World,
    manager: &fusebox_venue::Reader,
    key: &RotatedKey,
) -> Result<NewKey, fusebox_venue::Error> {
    for _ in 0..3 {
        world.pace_create.slot().await;
        let made = world
            .hands
            .create_key(manager, &key.old.uid, &key.note, &key.grant)
            .await;
        match made {
            Err(e) if matches!(e.reaction(), Reaction::WaitUntil { .. }) => {}
            other => return other,
        }
    }
    world
        .hands
        .create_key(manager, &key.old.uid, &key.note, &key.grant)
        .await
}

/// A fresh key fails now and then before it works: several successes in a row, then it counts.
async fn prove_new(world: &World, run: &Run, key: &RotatedKey, new: &NewKey) -> StepState {
    let step = format!("prove new {}", key.old.name);
    let wanted = world.config.limits.rotation_successes;
    run.step(&step, async {
        let held = match hold(world, key, &new.api_key, &new.secret) {
            Ok(held) => held,
            Err(why) => return End::refused(why),
        };
        let (mut row, mut last) = (0, String::new());
        for _ in 0..wanted.saturating_mul(10) {
            match held.control().await {
                Ok(()) => row += 1,
                Err(why) => (row, last) = (0, why),
            }
            if row >= wanted {
                return End::done(format!("{wanted} answers in a row"));
            }
            tokio::time::sleep(PAUSE).await;
        }
        End::refused(format!("it does not work: {last}"))
    })
    .await
}

/// Check-and-set: somebody else's write in between is not overwritten.
async fn store(world: &World, run: &Run, key: &RotatedKey, new: &NewKey) -> StepState {
    let step = format!("store {}", key.old.name);
    run.step(&step, async {
        let (Some(vault), Some(reader), Some(path)) =
            (&world.vault, &world.vault_reader, &key.old.vault_path)
        else {
            return End::refused("no [vault] in the configuration");
        };
        let version = match reader.read(path).await {
            Ok(secret) => secret.version,
            Err(fusebox_custody::VaultError::Refused { status: 404, .. }) => 0,
            Err(e) => return End::refused(e.to_string()),
        };
        let told = vault
            .write_key(path, version, new.api_key.as_str(), &new.secret)
            .await;
        match told {
            Told::Yes => {}
            // No answer is not "not written": what stands there decides.
            other => tracing::warn!(?other, path, "vault did not confirm the write"),
        }
        match reader.field(path, "secret").await {
            Ok(stored) if stored.matches(new.secret.expose()) => {}
            Ok(_) => return End::refused("Vault has another secret than the one written"),
            Err(e) => return End::unknown(e.to_string()),
        }
        let current = Entry::Current {
            run: run.id.clone(),
            key: key.old.name.clone(),
            api_key: new.api_key.clone(),
        };
        match run.write_durably(current).await {
            true => End::done(format!("version {}", version.saturating_add(1))),
            false => End::refused("stored, but the record is not durable"),
        }
    })
    .await
}

fn hold(
    world: &World,
    key: &RotatedKey,
    api_key: &ApiKeyId,
    secret: &fusebox_custody::Secret,
) -> Result<registry::HeldKey, String> {
    let declared = world
        .config
        .keys
        .iter()
        .find(|k| k.name == key.old.name)
        .ok_or("the key is not declared any more")?;
    registry::hold(&world.config, declared, api_key.clone(), secret.clone())
}

fn take_over(world: &World, key: &RotatedKey, new: NewKey) -> Result<(), String> {
    world
        .registry
        .insert(hold(world, key, &new.api_key, &new.secret)?);
    world
        .controls
        .note(std::slice::from_ref(&new.api_key), now_ms())
        .map_err(|e| e.to_string())
}

/// The new key is current: bring the bot to it, then the old key dies and is proven dead.
async fn retire(world: &World, plan: &Rotate, run: &Run, key: &RotatedKey, new: &ApiKeyId) -> Fact {
    let moved = move_bot(world, plan, run, key, new).await;
    if moved != StepState::Done && moved != StepState::Skipped {
        return Fact::from(moved);
    }
    delete_old(world, run, key).await
}

/// Refresh, restart, and wait until the bot's pods run again.
async fn move_bot(
    world: &World,
    plan: &Rotate,
    run: &Run,
    key: &RotatedKey,
    new: &ApiKeyId,
) -> StepState {
    let step = format!("restart on {}", key.old.name);
    run.step(&step, async {
        let Some((cluster, deployment)) = world.cluster.as_ref().zip(key.deployment.as_ref())
        else {
            return End::skipped("no workload uses this key");
        };
        let mark = format!("{} {}", new.short(), now_ms());
        if let Some(external) = &plan.external_secret {
            match cluster.refresh(external, &mark).await {
                Told::Yes => {}
                other => return End::unknown(format!("{external} was not refreshed: {other:?}")),
            }
        }
        match cluster.restart(deployment, &mark).await {
            Told::Yes => {}
            other => return End::unknown(format!("{deployment} was not restarted: {other:?}")),
        }
        runs_again(world, cluster, deployment).await
    })
    .await
}

async fn runs_again(world: &World, cluster: &crate::cluster::Cluster, deployment: &str) -> End {
    let limit = Duration::from_millis(world.config.limits.rotation_restart_ms);
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        match cluster.replicas(deployment).await {
            // Scaled to zero by a rung or a person: there is nothing to wait for, and nothing
            // here may scale it up.
            Ok((0, _)) => return End::done("scaled to zero; it will start on the new key"),
            Ok((wanted, ready)) if ready >= wanted => {
                return End::done(format!("{ready} of {wanted} ready"));
            }
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
    End::unknown(format!(
        "not ready within {} ms; the old key is kept",
        limit.as_millis()
    ))
}

/// Deletes the old key and proves it dead with the secret that the registry keeps of it.
async fn delete_old(world: &World, run: &Run, key: &RotatedKey) -> Fact {
    let step = format!("delete old {}", key.old.name);
    run.sent(&step);
    let verdict = kill::prove_again(world, run, &key.old).await;
    let end = match verdict {
        Verdict::Dead => End::done("absent and refused"),
        Verdict::Alive => End::refused("the old key lives"),
        _ => End::unknown("not observed well enough"),
    };
    Fact::from(run.ended(&step, end))
}

/// Deletes every key with this rotation's note that is not the current one.
async fn forget_orphans(world: &World, run: &Run, key: &RotatedKey) {
    let step = format!("forget unfinished {}", key.old.name);
    run.step(&step, async {
        let Ok(manager) = world.manager() else {
            return End::unknown("the manager key is not loaded");
        };
        let listed = match world.lister.listing(world, &key.old.uid).await {
            Ok(listed) => listed,
            Err(why) => return End::unknown(why),
        };
        let orphans: Vec<ApiKeyId> = listed
            .iter()
            .filter(|k| k.note == key.note && k.api_key != key.old.api_key)
            .map(|k| k.api_key.clone())
            .collect();
        for orphan in &orphans {
            world.pace_delete.slot().await;
            if let Err(e) = world.hands.delete_key(&manager, orphan).await {
                tracing::warn!(error = %e, key = orphan.short(), "an unfinished key");
            }
        }
        match world.lister.listing(world, &key.old.uid).await {
            Ok(now) if now.iter().any(|k| orphans.contains(&k.api_key)) => {
                End::refused("an unfinished key is still listed; delete it by hand")
            }
            Ok(_) => End::done(format!("{} deleted", orphans.len())),
            Err(why) => End::unknown(why),
        }
    })
    .await;
}
