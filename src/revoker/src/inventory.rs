//! Watches the keys themselves: declared beside observed, every 30 s. A key that nobody declared,
//! a scope beyond the role, a lost address are incidents (threats T42, T43).

use crate::authorization::Authorization;
use crate::config::Key;
use crate::daemon::Revoker;
use crate::plan::Plan;
use crate::world::{World, now_ms};
use crate::{planner, runs};
use fusebox_domain::{ApiKeyId, AutoRevoke, KeyRole, ObservedKey, Scope};
use fusebox_notify::{Field, Level};
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Scopes beyond what the role needs. An unknown scope is one.
pub(crate) fn excess(role: KeyRole, key: &ObservedKey) -> Vec<Scope> {
    if key.read_only {
        return Vec::new();
    }
    let fits = |scope: &&Scope| match (role, scope) {
        (KeyRole::Trade, Scope::Trade) | (KeyRole::Move, Scope::Transfer) => true,
        // The exchange wants a transfer scope on the key that deletes others.
        (KeyRole::Manage, Scope::Transfer) => true,
        _ => false,
    };
    key.scopes.iter().filter(|s| !fits(s)).cloned().collect()
}

/// What is wrong with a declared key, worst first; empty is well.
pub(crate) fn findings(world: &World, key: &Key, observed: Option<&ObservedKey>) -> Vec<String> {
    let mut findings = Vec::new();
    let Some(observed) = observed else {
        let held = world.registry.held(&key.name);
        if held.is_some_and(|h| world.registry.is_buried(&h.api_key)) {
            return findings; // revoked and proven dead: it shall not be listed
        }
        let listed = world
            .registry
            .held(&key.name)
            .is_some_and(|h| world.registry.observed(&h.uid).is_some());
        if listed && key.role != KeyRole::Manage {
            findings.push("the exchange does not list it".to_owned());
        }
        return findings;
    };
    let excess = excess(key.role, observed);
    if !excess.is_empty() {
        findings.push(format!("may do more than {}: {excess:?}", key.role));
    }
    if key.role == KeyRole::Read && !observed.read_only {
        findings.push("declared read, but it is not read-only".to_owned());
    }
    let lost: Vec<&String> = key
        .ips
        .iter()
        .filter(|ip| !observed.ips.contains(ip))
        .collect();
    if !lost.is_empty() {
        findings.push(format!("not bound to {lost:?} any more"));
    }
    if planner::rotation_due_days(world, key).is_some_and(|days| days <= 0) {
        findings.push("rotation is due".to_owned());
    }
    findings
}

/// Lists, renews positive controls, compares; keeps the connections of a kill warm on the way.
pub(crate) async fn watch(revoker: Arc<Revoker>) {
    let limits = &revoker.world.config.limits;
    let mut tick = tokio::time::interval(Duration::from_millis(limits.inventory_ms.max(100)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = BTreeSet::new();
    loop {
        tick.tick().await;
        // A kill has the rate limits for itself.
        if revoker.runs.is_busy() {
            continue;
        }
        revoker.load_missing().await;
        warm(&revoker.world).await;
        control(&revoker.world).await;
        look(&revoker, &mut told).await;
    }
}

async fn warm(world: &World) {
    let keys = world.registry.all();
    let keys = keys
        .iter()
        .filter(|k| !world.registry.is_buried(&k.api_key));
    let readers = join_all(keys.map(|key| key.warm()));
    let hands = async {
        if let Ok(manager) = world.manager() {
            world.hands.warm(&manager).await;
        }
    };
    tokio::join!(readers, hands);
}

/// Renews the positive control of every key whose last one is too old (K5).
pub(crate) async fn control(world: &World) {
    let now = now_ms();
    let age = i64::try_from(world.config.limits.control_ms).unwrap_or(i64::MAX);
    let due = world.registry.all().into_iter().filter(|key| {
        let last = world.controls.last_ms(&key.api_key);
        !world.registry.is_buried(&key.api_key)
            && last.is_none_or(|at| now.saturating_sub(at) >= age)
    });
    let asked = due.map(|key| async move {
        match key.control().await {
            Ok(()) => Some(key.api_key.clone()),
            Err(why) => {
                tracing::warn!(key = %key.name, why, "no positive control: a kill could not prove this key dead");
                None
            }
        }
    });
    let proven: Vec<ApiKeyId> = join_all(asked).await.into_iter().flatten().collect();
    if proven.is_empty() {
        return;
    }
    if let Err(error) = world.controls.note(&proven, now) {
        tracing::error!(%error, "positive controls");
    }
}

async fn look(revoker: &Arc<Revoker>, told: &mut BTreeSet<String>) {
    let world = &revoker.world;
    let accounts = &world.config.accounts;
    let listings = accounts.iter().map(|a| world.lister.listing(world, &a.uid));
    let failed = join_all(listings).await.into_iter().find_map(Result::err);
    revoker.health().exchange = failed.clone().unwrap_or_else(|| "ok".to_owned());
    if failed.is_some() {
        return;
    }
    for account in accounts {
        for key in planner::undeclared(world, account) {
            let finding = format!(
                "undeclared {} key {} on {}",
                key.role,
                key.api_key.short(),
                account.name
            );
            let id = format!("undeclared-{}", key.api_key.short());
            if told.insert(id.clone()) {
                world.incident(&id, account.name.as_str(), "undeclared-key", 1, &finding);
                on_undeclared(revoker, account, &finding).await;
            }
        }
    }
    for key in &world.config.keys {
        let observed = world.registry.held(&key.name).and_then(|held| {
            let listed = world.registry.observed(&held.uid)?;
            listed.keys.into_iter().find(|k| k.api_key == held.api_key)
        });
        for finding in findings(world, key, observed.as_ref()) {
            if told.insert(format!("{}: {finding}", key.name)) {
                let account = key.account.as_ref().map_or("", |a| a.as_str());
                let id = format!("key-{}-{}", key.name, told.len());
                let text = format!("{}: {finding}", key.name);
                world.incident(&id, account, "key-finding", 2, &text);
                tracing::warn!(finding = text, "inventory");
            }
        }
    }
}

/// The default is to call people: an undeclared key may be the operator's own new one.
async fn on_undeclared(revoker: &Arc<Revoker>, account: &crate::config::Account, finding: &str) {
    let world = &revoker.world;
    if world.config.inventory_revoke == AutoRevoke::Off {
        return;
    }
    world.pager.page(
        Level::Critical,
        "undeclared-key",
        account.name.as_str(),
        finding,
        vec![Field::Next("if it is not yours: fusebox kill".to_owned())],
    );
    if world.config.inventory_revoke != AutoRevoke::On {
        return;
    }
    let authorization = Authorization::inventory(finding);
    let plan = match planner::contain(world, Some(&account.name), true, finding) {
        Ok(plan) => Plan::Contain(plan),
        Err(refusal) => return tracing::error!(code = refusal.code, "inventory kill refused"),
    };
    if let Err(refusal) = runs::start(world, &revoker.runs, authorization, plan).await {
        tracing::error!(code = refusal.code, "inventory kill refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_beyond_the_role_is_named_and_a_read_only_key_has_none() {
        let key = |read_only, scopes: &[Scope]| ObservedKey {
            api_key: "k".into(),
            uid: "1".into(),
            note: String::new(),
            read_only,
            scopes: scopes.to_vec(),
            ips: Vec::new(),
            created_at: None,
            deadline_days: None,
        };
        let both = [Scope::Trade, Scope::Transfer];
        assert_eq!(
            excess(KeyRole::Trade, &key(false, &both)),
            [Scope::Transfer]
        );
        assert_eq!(excess(KeyRole::Move, &key(false, &both)), [Scope::Trade]);
        assert_eq!(excess(KeyRole::Read, &key(true, &both)), []);
        assert_eq!(excess(KeyRole::Read, &key(false, &both)), both);
        let odd = [Scope::Unknown("Lottery.Bet".into())];
        assert_eq!(excess(KeyRole::Trade, &key(false, &odd)), odd);
    }
}
