//! From a wish to a plan: names become frozen key ids, or the wish is refused with a reason.

use crate::config::{Account, Key};
use crate::exchange::Grant;
use crate::plan::{Contain, Head, Plan, PlannedAccount, PlannedKey, Resume, Rotate, RotatedKey};
use crate::random;
use crate::registry::Observed;
use crate::world::{World, now_ms};
use fusebox_custody::Source;
use fusebox_domain::{AccountName, ApiKeyId, KeyName, KeyRole, ObservedKey, Scope, clean_line};
use fusebox_wire::operator::{Refused, Wish};

/// Longest reason that becomes part of a plan.
const REASON_CHARS: usize = 200;
/// How long a plan waits for a fresh listing.
const LIST_LIMIT: std::time::Duration = std::time::Duration::from_secs(1);

pub(crate) fn refused(code: &str, message: impl Into<String>) -> Refused {
    Refused {
        code: code.to_owned(),
        message: message.into(),
    }
}

/// Turns a wish into a plan. Nothing outside is changed by this.
pub(crate) async fn plan(world: &World, wish: &Wish) -> Result<Plan, Refused> {
    match wish {
        Wish::Kill { total: true, .. } => Err(refused(
            "not_supported",
            "TOTAL is not supported yet: nothing was done; kill without --total keeps only read keys and the manager, then delete those on the exchange's web page",
        )),
        Wish::Kill { flatten: true, .. } => Err(refused(
            "not_supported",
            "--flatten is not supported yet: nothing was done; close positions in the exchange's app, or kill without it (stops are kept)",
        )),
        Wish::Kill {
            account,
            key_theft,
            reason,
            ..
        } => {
            list_now(world).await;
            contain(world, account.as_ref(), *key_theft, reason).map(Plan::Contain)
        }
        Wish::Rotate { keys, due, reason } => rotate(world, keys, *due, reason).await,
        Wish::Resume {
            account,
            rung,
            release,
            config_hash,
            reason,
        } => resume(world, account, rung, release, config_hash, reason),
    }
}

/// Lists the keys anew, so that the plan has what stands there now; a silent exchange does not
/// hold the plan up.
pub(crate) async fn list_now(world: &World) {
    let accounts = world.config.accounts.iter();
    let listings = accounts.map(|a| world.lister.listing(world, &a.uid));
    let all = futures_util::future::join_all(listings);
    if tokio::time::timeout(LIST_LIMIT, all).await.is_err() {
        tracing::warn!("the plan is made from an older listing: the exchange does not answer");
    }
}

fn head(world: &World, reason: &str) -> Head {
    Head {
        version: 1,
        host_id: world.config.host_id.clone(),
        environment: world.config.environment,
        reason: clean_line(reason, REASON_CHARS),
    }
}

/// The kill of one account, or of all.
pub(crate) fn contain(
    world: &World,
    account: Option<&AccountName>,
    key_theft: bool,
    reason: &str,
) -> Result<Contain, Refused> {
    let chosen: Vec<&Account> = world
        .config
        .accounts
        .iter()
        .filter(|a| account.is_none_or(|name| a.name == *name))
        .collect();
    if chosen.is_empty() {
        let message = "no such account is configured; ask for Status to see the names";
        return Err(refused("unknown_account", message));
    }
    let mut plan = Contain {
        head: head(world, reason),
        key_theft,
        accounts: chosen.iter().map(|a| planned_account(a)).collect(),
        delete: Vec::new(),
        keep: Vec::new(),
        unresolved: Vec::new(),
        secret: None,
        external_secret: None,
        lease_prefixes: Vec::new(),
    };
    for key in &world.config.keys {
        let mine = chosen.iter().any(|a| Some(&a.name) == key.account.as_ref());
        if !mine && key.role != KeyRole::Manage {
            continue;
        }
        match planned_key(world, key) {
            None if world.registry.is_vacant(&key.name) => {} // a kill proved it dead
            None if key.role.is_revocable() => plan.unresolved.push(key.name.clone()),
            None => {}
            Some(planned) if key.role.is_revocable() => plan.delete.push(planned),
            Some(planned) => plan.keep.push(planned),
        }
    }
    for account in &chosen {
        plan.delete.extend(undeclared(world, account));
    }
    if let Some(kubernetes) = &world.config.kubernetes {
        plan.secret = kubernetes.secret.clone();
        plan.external_secret = kubernetes.external_secret.clone();
    }
    if let Some(vault) = &world.config.vault {
        plan.lease_prefixes = vault.lease_prefixes.clone();
    }
    Ok(plan)
}

fn planned_account(account: &Account) -> PlannedAccount {
    PlannedAccount {
        name: account.name.clone(),
        uid: account.uid.clone(),
        read_key: account.read_key.clone(),
        cancel_key: account.cancel_key.clone(),
        deployment: account.deployment.clone(),
    }
}

/// A declared key with its id frozen; `None` while its id is not known.
fn planned_key(world: &World, key: &Key) -> Option<PlannedKey> {
    let held = world.registry.held(&key.name)?;
    Some(PlannedKey {
        name: key.name.clone(),
        role: key.role,
        account: key.account.clone(),
        uid: held.uid.clone(),
        api_key: held.api_key.clone(),
        undeclared: false,
        vault_path: key.vault_path.clone(),
    })
}

/// Keys of the account that can write and that nobody declared: a kill takes them too.
pub(crate) fn undeclared(world: &World, account: &Account) -> Vec<PlannedKey> {
    let declared: Vec<ApiKeyId> = world
        .registry
        .all()
        .iter()
        .map(|k| k.api_key.clone())
        .collect();
    let listed = world.registry.observed(&account.uid);
    let listed = listed.map(|o: Observed| o.keys).unwrap_or_default();
    listed
        .into_iter()
        .filter(|k| k.can_write() && !declared.contains(&k.api_key))
        .map(|k| PlannedKey {
            name: KeyName::new(format!("undeclared {}", k.api_key.short())),
            role: role_of(&k),
            account: Some(account.name.clone()),
            uid: account.uid.clone(),
            api_key: k.api_key,
            undeclared: true,
            vault_path: None,
        })
        .collect()
}

/// The more dangerous reading of what an undeclared key may do.
pub(crate) fn role_of(key: &ObservedKey) -> KeyRole {
    let only_trades = key.scopes.iter().all(|scope| *scope == Scope::Trade);
    match only_trades {
        true => KeyRole::Trade,
        false => KeyRole::Move,
    }
}

async fn rotate(
    world: &World,
    names: &[KeyName],
    due: bool,
    reason: &str,
) -> Result<Plan, Refused> {
    let chosen: Vec<&Key> = world
        .config
        .keys
        .iter()
        .filter(|k| match due {
            true => is_due(world, k),
            false => names.contains(&k.name),
        })
        .collect();
    if let Some(unknown) = names
        .iter()
        .find(|name| !world.config.keys.iter().any(|k| k.name == **name))
    {
        let message = format!("no key is called {unknown}; ask for Keys to see the names");
        return Err(refused("unknown_key", message));
    }
    if chosen.is_empty() {
        return Err(refused(
            "nothing_to_do",
            "no key is due for rotation; name one to rotate it anyway",
        ));
    }
    let mut keys = Vec::new();
    for key in chosen {
        keys.push(rotated(world, key).await?);
    }
    Ok(Plan::Rotate(Rotate {
        head: head(world, reason),
        keys,
        external_secret: world
            .config
            .kubernetes
            .as_ref()
            .and_then(|k| k.external_secret.clone()),
    }))
}

async fn rotated(world: &World, key: &Key) -> Result<RotatedKey, Refused> {
    // Where the new key is stored must be where it is read from at the next start.
    let stored = match (&key.secret, &key.vault_path) {
        (Source::Vault { path, .. }, Some(vault_path)) => path == vault_path,
        _ => false,
    };
    if !stored || key.role == KeyRole::Manage {
        let message = format!(
            "{} is not read from its vault_path, so a new key could not be taken up: rotate it by hand and change its source",
            key.name
        );
        return Err(refused("not_supported", message));
    }
    let old = planned_key(world, key).ok_or_else(|| {
        let message = format!("{}: its present key is not known; check Vault", key.name);
        refused("unreadable", message)
    })?;
    let grant = grant(world, &old).await?;
    let id = random::id().map_err(|e| refused("randomness", e))?;
    let account = world
        .config
        .accounts
        .iter()
        .find(|a| Some(&a.name) == key.account.as_ref());
    // Only the bot's own key lives in the bot's secret; the others are used by nobody's pod.
    let is_bots = key.role == KeyRole::Trade
        && account.is_some_and(|a| a.cancel_key.as_ref() != Some(&key.name));
    Ok(RotatedKey {
        note: format!("{} {id}", key.name),
        grant,
        deployment: account
            .and_then(|a| a.deployment.clone())
            .filter(|_| is_bots),
        old,
    })
}

async fn grant(world: &World, key: &PlannedKey) -> Result<Grant, Refused> {
    let unreadable = |why: String| {
        let message = format!(
            "{}: its scopes cannot be read ({why}); nothing was done",
            key.name
        );
        refused("unreadable", message)
    };
    let manager = world.manager().map_err(|e| unreadable(e.to_string()))?;
    let grant = world.hands.grant(&manager, &key.uid, &key.api_key).await;
    grant
        .map_err(|e| unreadable(e.to_string()))?
        .ok_or_else(|| unreadable("the exchange does not list it".to_owned()))
}

/// Whether a key is older than it may become.
fn is_due(world: &World, key: &Key) -> bool {
    rotation_due_days(world, key).is_some_and(|days| days <= 0)
}

/// Days until a key is due; negative is overdue, `None` when it has no limit or no known age.
pub(crate) fn rotation_due_days(world: &World, key: &Key) -> Option<i64> {
    let limit = i64::from(key.rotate_days?);
    let held = world.registry.held(&key.name)?;
    let listed = world.registry.observed(&held.uid)?;
    let observed = listed.keys.iter().find(|k| k.api_key == held.api_key)?;
    Some(limit.saturating_sub(age_days(observed, now_ms())?))
}

/// Age of a key in whole days, from the exchange's own time of its making.
pub(crate) fn age_days(key: &ObservedKey, now_ms: i64) -> Option<i64> {
    let made: jiff::Timestamp = key.created_at.as_ref()?.parse().ok()?;
    Some(now_ms.saturating_sub(made.as_millisecond()) / 86_400_000)
}

fn resume(
    world: &World,
    account: &AccountName,
    rung: &str,
    release: &str,
    config_hash: &str,
    reason: &str,
) -> Result<Plan, Refused> {
    if !world.config.accounts.iter().any(|a| a.name == *account) {
        let message = "no such account is configured; ask for Status to see the names";
        return Err(refused("unknown_account", message));
    }
    if !["R1", "R2", "R3", "R4", "B3"].contains(&rung) {
        return Err(refused("unknown_rung", "expected R1, R2, R3, R4 or B3"));
    }
    if !["release", "rebase_month", "rebase_peak"].contains(&release) {
        let message = "expected release, rebase_month or rebase_peak";
        return Err(refused("unknown_release", message));
    }
    Ok(Plan::Resume(Resume {
        head: head(world, reason),
        account: account.clone(),
        rung: rung.to_owned(),
        release: release.to_owned(),
        config_hash: clean_line(config_hash, 64),
    }))
}
