//! Everything a run needs, made once at the start and then only read: configuration, keys, hands.

use crate::bot::Bot;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::controls::Controls;
use crate::exchange::Hands;
use crate::intents::Intents;
use crate::lister::Lister;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::pager::Pager;
use crate::registry::Registry;
use crate::vault::Vault;
use fusebox_custody::VaultReader;
use fusebox_domain::{AccountName, AutoRevoke};
use fusebox_venue::{Error as VenueError, Reader};
use fusebox_wire::{Signed, SignedError};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bybit's limits for one master: 5 deletions, 10 listings, 1 creation a second.
pub(crate) const DELETES_PER_S: usize = 5;
pub(crate) const LISTS_PER_S: usize = 10;
pub(crate) const CREATIONS_PER_S: usize = 1;

pub(crate) struct World {
    pub config: Config,
    pub registry: Registry,
    pub controls: Controls,
    pub hands: Hands,
    pub vault: Option<Vault>,
    pub vault_reader: Option<VaultReader>,
    pub cluster: Option<Cluster>,
    pub bots: BTreeMap<AccountName, Bot>,
    pub pace_delete: Pace,
    pub pace_list: Pace,
    pub pace_create: Pace,
    pub lister: Lister,
    pub pager: Pager,
    pub outbox: Outbox,
    pub intents: Intents,
    pub signing: Ed25519KeyPair,
    /// Kills that run or are watched: meanwhile no rotation makes another key.
    pub kills: AtomicUsize,
}

impl World {
    /// Signs and reads as the manager.
    pub(crate) fn manager(&self) -> Result<Arc<Reader>, VenueError> {
        self.registry
            .held(&self.config.manager)
            .and_then(|key| key.reader())
            .ok_or_else(|| VenueError::Client("the manager key is not loaded".to_owned()))
    }

    /// The exchange's host did not answer: the manager's next call goes to another.
    pub(crate) fn manager_elsewhere(&self) {
        if let Some(key) = self.registry.held(&self.config.manager) {
            key.other_host();
        }
    }

    pub(crate) fn sign<T: Serialize>(
        &self,
        purpose: &str,
        body: &T,
    ) -> Result<Signed, SignedError> {
        Signed::sign(purpose, body, &self.signing)
    }

    /// Its public key, hex: consoles and breakers pin it.
    pub(crate) fn public_key(&self) -> String {
        hex::encode(self.signing.public_key().as_ref())
    }

    pub(crate) fn auto_revoke(&self) -> AutoRevoke {
        self.config.auto_revoke
    }

    /// Notes an incident in the journal.
    pub(crate) fn incident(&self, id: &str, account: &str, kind: &str, severity: u8, detail: &str) {
        let body = serde_json::json!({
            "id": id, "account": account, "type": kind, "severity": severity, "detail": detail,
        });
        self.outbox.row(now_ms(), "incident", body);
    }
}

/// The wall clock, milliseconds since 1970 UTC. The one place where the revoker reads it.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
