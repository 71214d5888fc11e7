//! The keys that the revoker knows: their secrets in memory, and what the exchange
//! listed last. Plans name keys; here names become keys.

use crate::config::{Config, Key};
use fusebox_custody::{Secret, Source, VaultReader};
use fusebox_domain::{ApiKeyId, KeyName, KeyRole, ObservedKey, Uid};
use fusebox_venue::{Endpoints, Reader, Signer, Urls};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Replaced keys kept in memory.
const REPLACED_KEPT: usize = 16;

/// A declared key with its secret.
pub(crate) struct HeldKey {
    pub name: KeyName,
    pub role: KeyRole,
    pub uid: Uid,
    pub api_key: ApiKeyId,
    /// One per host of the exchange, the preferred first.
    readers: Vec<Arc<Reader>>,
    /// Which host answered last; moved on when it does not.
    host: AtomicUsize,
}

impl HeldKey {
    /// Reads and signs as this key, at the host that last answered.
    pub(crate) fn reader(&self) -> Option<Arc<Reader>> {
        let at = self.host.load(Ordering::Relaxed) % self.readers.len().max(1);
        self.readers.get(at).cloned()
    }

    /// The host did not answer: the next call goes to another, if there is one.
    pub(crate) fn other_host(&self) {
        self.host.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps a connection open, so that a kill need not make one.
    pub(crate) async fn warm(&self) {
        if let Some(reader) = self.reader()
            && reader.server_time().await.is_err()
        {
            self.other_host();
        }
    }

    /// Asks the exchange about this key, as this key; success is the positive control.
    pub(crate) async fn control(&self) -> Result<(), String> {
        let reader = self.reader().ok_or("no host")?;
        match reader.own_key().await {
            Ok(_) => Ok(()),
            Err(e) => {
                if e.code().is_none() {
                    self.other_host();
                }
                Err(e.to_string())
            }
        }
    }
}

/// All keys: declared ones by name, and what the exchange listed last.
pub(crate) struct Registry {
    held: RwLock<BTreeMap<KeyName, Arc<HeldKey>>>,
    /// Keys that a rotation replaced: still needed to prove them dead.
    replaced: Mutex<Vec<Arc<HeldKey>>>,
    observed: Mutex<BTreeMap<Uid, Observed>>,
    /// Keys that were proven dead: nothing more is expected of them.
    buried: Mutex<BTreeSet<ApiKeyId>>,
    /// Names that a kill left without a key.
    vacant: Mutex<BTreeSet<KeyName>>,
}

/// A complete listing of one account's keys.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub at_ms: i64,
    pub keys: Vec<ObservedKey>,
}

impl Registry {
    pub(crate) fn empty() -> Self {
        Self {
            held: RwLock::default(),
            replaced: Mutex::default(),
            observed: Mutex::default(),
            buried: Mutex::default(),
            vacant: Mutex::default(),
        }
    }

    pub(crate) fn held(&self, name: &KeyName) -> Option<Arc<HeldKey>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(name).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<HeldKey>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.values().cloned().collect()
    }

    /// The key with this id, current or replaced.
    pub(crate) fn by_id(&self, id: &ApiKeyId) -> Option<Arc<HeldKey>> {
        let replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.all().into_iter().chain(replaced.iter().cloned());
        all.find(|key| key.api_key == *id)
    }

    /// Makes a key the current one of its name.
    pub(crate) fn insert(&self, key: HeldKey) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = held.insert(key.name.clone(), Arc::new(key)) {
            let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
            if replaced.len() == REPLACED_KEPT {
                replaced.remove(0);
            }
            replaced.push(old);
        }
    }

    /// Keeps a key that is not current any more, to prove it dead.
    pub(crate) fn keep_replaced(&self, key: HeldKey) {
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        replaced.push(Arc::new(key));
    }

    pub(crate) fn bury(&self, key: &ApiKeyId) {
        let mut buried = self.buried.lock().unwrap_or_else(PoisonError::into_inner);
        buried.insert(key.clone());
    }

    /// A kill proved the key of this name dead: nothing is to be found under it any more.
    pub(crate) fn vacate(&self, name: &KeyName) {
        let mut vacant = self.vacant.lock().unwrap_or_else(PoisonError::into_inner);
        vacant.insert(name.clone());
    }

    pub(crate) fn is_vacant(&self, name: &KeyName) -> bool {
        let vacant = self.vacant.lock().unwrap_or_else(PoisonError::into_inner);
        vacant.contains(name)
    }

    pub(crate) fn is_buried(&self, key: &ApiKeyId) -> bool {
        let buried = self.buried.lock().unwrap_or_else(PoisonError::into_inner);
        buried.contains(key)
    }

    pub(crate) fn observe(&self, uid: &Uid, at_ms: i64, keys: Vec<ObservedKey>) {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        observed.insert(uid.clone(), Observed { at_ms, keys });
    }

    pub(crate) fn observed(&self, uid: &Uid) -> Option<Observed> {
        let observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        observed.get(uid).cloned()
    }

    /// The age of the oldest of the last complete listings of `uids`; `None` while one is missing.
    pub(crate) fn listing_age_ms<'a>(
        &self,
        uids: impl Iterator<Item = &'a Uid>,
        now_ms: i64,
    ) -> Option<u64> {
        let ages: Option<Vec<u64>> = uids
            .map(|uid| {
                let at_ms = self.observed(uid)?.at_ms;
                u64::try_from(now_ms.saturating_sub(at_ms)).ok()
            })
            .collect();
        ages?.into_iter().max()
    }
}

/// Fetches both halves of a declared key. Where the secret is in Vault, the public half beside it
/// is the true one: a rotation writes both, and the configuration may name an older key.
pub(crate) async fn load(
    config: &Config,
    key: &Key,
    vault: Option<&VaultReader>,
) -> Result<HeldKey, String> {
    let (secret, beside) = match (&key.secret, vault) {
        (Source::Vault { path, field }, Some(vault)) => {
            let mut fields = vault.read(path).await.map_err(|e| e.to_string())?.fields;
            let secret = fields.remove(field);
            let missing = || format!("{path} has no field {field}");
            (secret.ok_or_else(missing)?, fields.remove("api_key"))
        }
        (source, vault) => {
            let secret = source.fetch(vault).await;
            (secret.map_err(|e| e.to_string())?, None)
        }
    };
    let api_key = match (beside, Source::try_from(key.api_key.clone())) {
        (Some(beside), _) => ApiKeyId::new(beside.expose()),
        (None, Ok(source)) => {
            let text = source.fetch(vault).await.map_err(|e| e.to_string())?;
            ApiKeyId::new(text.expose())
        }
        (None, Err(_)) => ApiKeyId::new(key.api_key.clone()),
    };
    hold(config, key, api_key, secret)
}

/// A declared key with these halves: at start, and after a rotation.
pub(crate) fn hold(
    config: &Config,
    key: &Key,
    api_key: ApiKeyId,
    secret: Secret,
) -> Result<HeldKey, String> {
    let account = config
        .accounts
        .iter()
        .find(|a| Some(&a.name) == key.account.as_ref());
    Ok(HeldKey {
        name: key.name.clone(),
        role: key.role,
        uid: account.map_or_else(|| Uid::new("master"), |a| a.uid.clone()),
        readers: readers(config, &api_key, &secret)?,
        api_key,
        host: AtomicUsize::new(0),
    })
}

fn readers(
    config: &Config,
    api_key: &ApiKeyId,
    secret: &Secret,
) -> Result<Vec<Arc<Reader>>, String> {
    let reader = |rest: &String| {
        let urls = Urls {
            rest: rest.clone(),
            ws_public: None,
            ws_private: None,
        };
        let endpoints = Endpoints::new(config.environment, Some(&urls))?;
        let signer = Signer::new(api_key.clone(), secret.clone());
        Reader::new(endpoints, signer).map(Arc::new)
    };
    config
        .exchange
        .rest
        .iter()
        .map(|rest| reader(rest).map_err(|e| e.to_string()))
        .collect()
}
