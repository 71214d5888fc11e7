//! Vault behind its port.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Vault, VaultCall};
use crate::clock::Clock;
use crate::http::{Reply, Request, Service};
use crate::kubernetes::Fetched;

/// The secret store as a [`Service`] and as the source of the cluster's ExternalSecrets.
pub(crate) struct VaultService {
    vault: Mutex<Vault>,
    clock: Clock,
}

impl VaultService {
    /// Serves a store that is already filled.
    pub(crate) fn new(vault: Vault, clock: Clock) -> Self {
        Self {
            vault: Mutex::new(vault),
            clock,
        }
    }

    /// Seals or unseals (control API).
    pub(crate) fn set_sealed(&self, sealed: bool) {
        self.lock().set_sealed(sealed);
    }

    /// What the ExternalSecret operator finds at a path.
    pub(crate) fn fetch(&self, path: &str) -> Fetched {
        let vault = self.lock();
        if vault.sealed {
            return Fetched::Unreachable;
        }
        vault.fields(path).map_or(Fetched::Absent, Fetched::Found)
    }

    fn lock(&self) -> MutexGuard<'_, Vault> {
        self.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn token(request: &Request) -> Option<&str> {
    request
        .header("x-vault-token")
        .or_else(|| request.header("authorization")?.strip_prefix("Bearer "))
}

impl Service for VaultService {
    fn name(&self) -> &'static str {
        "vault"
    }

    fn caller(&self, request: &Request) -> Option<String> {
        let now_ms = self.clock.wall_ms();
        self.lock().caller(token(request)?, now_ms)
    }

    fn state(&self) -> Value {
        self.lock().state()
    }

    fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
        let now_ms = self.clock.wall_ms();
        let call = VaultCall {
            method: &request.method,
            path: &request.path,
            query: &request.query,
            token: token(&request),
            body: &request.body,
        };
        let mut vault = self.lock();
        let (status, body) = if request.lie {
            // The copy answers as the real one would, and is then forgotten.
            vault.clone().call(now_ms, &call)
        } else {
            vault.call(now_ms, &call)
        };
        let reply = match body {
            Some(body) => Reply::json(status, &body),
            None => Reply::empty(status),
        };
        Box::pin(std::future::ready(reply))
    }
}
