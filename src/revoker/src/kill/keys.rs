//! Lane C and V: delete every key, then prove it dead by two looks that believe nobody.

use super::gates::Gates;
use crate::lister::is_current;
use crate::plan::{Contain, Plan, PlannedKey};
use crate::proof::{Evidence, Listing, Probe};
use crate::run::{End, Run};
use crate::world::World;
use fusebox_domain::{KeyName, KeyRole};
use fusebox_notify::{Field, Level};
use fusebox_venue::{Error, Reaction};
use fusebox_wire::operator::Verdict;
use futures_util::future::join_all;
use std::time::Duration;

/// Pauses between attempts to delete (study 5.3); after the last the fallback comes.
const PAUSES_MS: [u64; 3] = [200, 400, 800];
/// Between two looks while an answer is missing.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// How often a missing answer is asked for before the key is deleted once more: a little over a
/// second, in which a rate limit that somebody else used up is free again.
const LOOKS: u32 = 6;
/// How long a probe may take.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// How old a positive control may be at T0 (K5).
const CONTROL_MAX_MS: i64 = 24 * 3_600_000;

pub(super) fn step(key: &KeyName) -> String {
    format!("delete {key}")
}

pub(super) async fn lane(world: &World, plan: &Contain, run: &Run, gates: &Gates) {
    join_all(in_order(plan).into_iter().map(|key| async {
        gates.may_delete(plan, key).await;
        one(world, run, gates, key).await;
    }))
    .await;
    strays(world, plan, run, gates).await;
}

/// Whatever else can write on these accounts by now dies too: a key that a rotation or a thief
/// made after the plan was frozen. Two rounds, then the watch goes on with it.
pub(super) async fn strays(world: &World, plan: &Contain, run: &Run, gates: &Gates) {
    for _ in 0..2 {
        let found = find_strays(world, plan).await;
        if found.is_empty() {
            return;
        }
        for key in &found {
            world.pager.page(
                Level::Critical,
                "KILL",
                run.plan.subject(),
                "a key appeared after the plan was made and is deleted as well",
                vec![Field::Key(key.api_key.as_str().to_owned())],
            );
        }
        join_all(found.iter().map(|key| one(world, run, gates, key))).await;
    }
}

async fn find_strays(world: &World, plan: &Contain) -> Vec<PlannedKey> {
    let mut found = Vec::new();
    for account in &plan.accounts {
        let Ok(listed) = world.lister.listing(world, &account.uid).await else {
            continue;
        };
        let known = plan.delete.iter().chain(&plan.keep);
        let known: Vec<_> = known.map(|k| &k.api_key).collect();
        let strays = listed
            .iter()
            .filter(|k| k.can_write() && !known.contains(&&k.api_key));
        found.extend(strays.map(|k| PlannedKey {
            name: KeyName::new(format!("stray {}", k.api_key.short())),
            role: crate::planner::role_of(k),
            account: Some(account.name.clone()),
            uid: account.uid.clone(),
            api_key: k.api_key.clone(),
            undeclared: world.registry.by_id(&k.api_key).is_none(),
            vault_path: None,
        }));
    }
    found
}

/// Keys that move money first: they take the first slots of the pace.
fn in_order(plan: &Contain) -> Vec<&PlannedKey> {
    let mut keys: Vec<&PlannedKey> = plan.delete.iter().collect();
    keys.sort_by_key(|k| (k.role != KeyRole::Move, plan.is_cancel_key(k)));
    keys
}

/// One key to its end: delete, look, again while it lives, and the fallback if it still does.
async fn one(world: &World, run: &Run, gates: &Gates, key: &PlannedKey) {
    let step = step(&key.name);
    if run.verdict(&key.name) == Some(Verdict::Dead) {
        // Proven before a crash; its secret may be destroyed since.
        gates.tried(&key.name);
        return gates.settled(&key.name);
    }
    run.sent(&step);
    let mut pauses = PAUSES_MS.into_iter();
    let mut said;
    loop {
        let answer = delete(world, key).await;
        gates.tried(&key.name);
        said = match &answer {
            Ok(()) => "the exchange says deleted".to_owned(),
            Err(error) => error.to_string(),
        };
        let evidence = look(world, run, key).await;
        note(world, run, key, &evidence);
        if evidence.verdict() == Verdict::Dead || settled_without_secret(key, &evidence) {
            run.ended(&step, End::done(said));
            return gates.settled(&key.name);
        }
        let hopeless = matches!(&answer, Err(e) if e.reaction() == Reaction::Never);
        match pauses.next() {
            Some(pause) if !hopeless => jittered(pause).await,
            _ => break,
        }
    }
    let evidence = match run.verdict(&key.name) {
        Some(Verdict::Alive) => {
            run.ended(&step, End::refused(format!("{said}, but the key lives")));
            fall_back(world, run, key).await
        }
        _ => {
            run.ended(&step, End::unknown(said));
            keep_looking(world, run, key).await
        }
    };
    note(world, run, key, &evidence);
    gates.settled(&key.name);
}

/// An undeclared key cannot be probed; absence is all there is, and its verdict stays unknown.
fn settled_without_secret(key: &PlannedKey, evidence: &Evidence) -> bool {
    key.undeclared && evidence.listing == Listing::Absent
}

async fn delete(world: &World, key: &PlannedKey) -> Result<(), Error> {
    let manager = world.manager()?;
    for _ in 0..3 {
        world.pace_delete.slot().await;
        let answer = world.hands.delete_key(&manager, &key.api_key).await;
        match answer.as_ref().map_err(Error::reaction) {
            // Our clock is off: any signed reading sets it right, then at once again.
            Err(Reaction::Resync) => drop(manager.own_key().await),
            Err(Reaction::WaitUntil { until_ms, pause_ms }) => {
                let wait = until_ms
                    .zip(manager.exchange_now_ms())
                    .map_or(pause_ms, |(until, now)| {
                        u64::try_from(until.saturating_sub(now)).unwrap_or(0)
                    });
                // Never longer than the longest pause: the run has 30 s in all.
                jittered(wait.min(2_000)).await;
            }
            Err(Reaction::Ambiguous) => {
                world.manager_elsewhere();
                return answer;
            }
            _ => return answer,
        }
    }
    world.hands.delete_key(&manager, &key.api_key).await
}

/// Two looks beside each other, both begun now: after the last attempt to delete.
async fn look(world: &World, run: &Run, key: &PlannedKey) -> Evidence {
    let control = had_control(world, run, key);
    let mut evidence = Evidence::none(control);
    for round in 0..LOOKS {
        if round > 0 {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        (evidence.listing, evidence.probe) = tokio::join!(listing(world, key), probe(world, key));
        if evidence.verdict() != Verdict::Unknown || evidence.is_complete() {
            break;
        }
        if settled_without_secret(key, &evidence) {
            break;
        }
    }
    evidence
}

/// The same look for a key that nobody deletes now: R4 after a kill, the watch.
pub(crate) async fn look_at(world: &World, run: &Run, key: &PlannedKey) -> Evidence {
    look(world, run, key).await
}

/// Deletes a key that was seen alive again, and looks.
pub(crate) async fn prove_again(world: &World, run: &Run, key: &PlannedKey) -> Verdict {
    let answer = delete(world, key).await;
    let evidence = look(world, run, key).await;
    if let Err(error) = answer {
        tracing::warn!(key = %key.name, %error, "a key seen alive again could not be deleted");
    }
    note(world, run, key, &evidence);
    evidence.verdict()
}

/// K5: the probe of this key worked on this host, at most 24 h before T0.
fn had_control(world: &World, run: &Run, key: &PlannedKey) -> bool {
    let oldest_ms = run.started_ms.saturating_sub(CONTROL_MAX_MS);
    let at = world.controls.last_ms(&key.api_key);
    at.is_some_and(|at| at >= oldest_ms)
}

async fn listing(world: &World, key: &PlannedKey) -> Listing {
    match world.lister.listing(world, &key.uid).await {
        Ok(keys) if keys.iter().any(|k| k.api_key == key.api_key) => Listing::Present,
        Ok(_) => Listing::Absent,
        Err(why) => Listing::Silent(why),
    }
}

async fn probe(world: &World, key: &PlannedKey) -> Probe {
    let Some(held) = world.registry.by_id(&key.api_key) else {
        return Probe::NotAsked;
    };
    let Some(reader) = held.reader() else {
        return Probe::NotAsked;
    };
    let asked_ms = reader.exchange_now_ms();
    let Ok(answer) = tokio::time::timeout(PROBE_LIMIT, reader.own_key()).await else {
        held.other_host();
        return Probe::Silent("no answer in 2 s".to_owned());
    };
    match answer {
        Ok(own) if is_current(asked_ms, own.at_ms) => Probe::Code(0),
        Ok(_) => Probe::Silent("the answer is older than the question".to_owned()),
        Err(error) => match error.code() {
            Some(code) => Probe::Code(code.0),
            None => {
                held.other_host();
                Probe::Silent(error.to_string())
            }
        },
    }
}

/// Deletion did not work: take its rights and bind it to nobody's address. It stays `alive` (K6);
/// a person must finish the work.
async fn fall_back(world: &World, run: &Run, key: &PlannedKey) -> Evidence {
    let name = format!("demote {}", key.name);
    run.step(&name, async {
        let Ok(manager) = world.manager() else {
            return End::unknown("no host");
        };
        match world.hands.demote_key(&manager, &key.api_key).await {
            Ok(()) => End::done("the exchange says read-only and bound to an unused address"),
            Err(e) => End::refused(e.to_string()),
        }
    })
    .await;
    let by_hand = format!(
        "delete it by hand: exchange web page, Account, API, sub-account {}",
        key.uid
    );
    world.pager.page(
        Level::Critical,
        "KEY ALIVE",
        run.plan.subject(),
        format!("{} could not be deleted", key.name),
        vec![
            Field::Key(key.api_key.as_str().to_owned()),
            Field::Next(by_hand),
        ],
    );
    look(world, run, key).await
}

/// Nobody knows: look until somebody does, or the run's time is over.
async fn keep_looking(world: &World, run: &Run, key: &PlannedKey) -> Evidence {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let evidence = look(world, run, key).await;
        note(world, run, key, &evidence);
        if evidence.is_complete() || evidence.verdict() == Verdict::Alive {
            return evidence;
        }
        if evidence.listing == Listing::Present {
            let _ = delete(world, key).await;
        }
    }
}

/// Writes down what was seen of a key.
pub(super) fn note(world: &World, run: &Run, key: &PlannedKey, evidence: &Evidence) {
    let mut proof = key.proof(evidence.verdict());
    proof.proofs = evidence.proofs();
    proof.detail = evidence.words();
    if proof.verdict == Verdict::Dead {
        world.registry.bury(&key.api_key);
        if matches!(run.plan, Plan::Contain(_)) {
            world.registry.vacate(&key.name);
        }
    }
    run.key(proof);
}

/// A pause with up to a quarter more, so that retries of many keys do not meet again.
async fn jittered(pause_ms: u64) {
    let quarter = (pause_ms / 4).max(1);
    let jitter = crate::random::below(quarter);
    tokio::time::sleep(Duration::from_millis(pause_ms.saturating_add(jitter))).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::contain;

    #[test]
    fn keys_that_move_money_take_the_first_slots_and_the_cancel_key_the_last() {
        let mut plan = contain();
        plan.delete.reverse();
        let names: Vec<&str> = in_order(&plan).iter().map(|k| k.name.as_str()).collect();
        assert_eq!(names, ["skim-1", "freqtrade-1", "rescue-1"]);
    }
}
