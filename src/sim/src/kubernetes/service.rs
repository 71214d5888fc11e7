//! The cluster behind its port.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::{Account, ApiCall, Cluster, Fetched, Workload};
use crate::clock::Clock;
use crate::http::{Reply, Request, Service};
use crate::vault::VaultService;

/// The API server and, through [`KubernetesService::step`], its controllers.
pub(crate) struct KubernetesService {
    cluster: Mutex<Cluster>,
    vault: Arc<VaultService>,
    clock: Clock,
}

impl KubernetesService {
    /// `vault` is what the ExternalSecret operator reads.
    pub(crate) fn new(cluster: Cluster, vault: Arc<VaultService>, clock: Clock) -> Self {
        Self {
            cluster: Mutex::new(cluster),
            vault,
            clock,
        }
    }

    /// Lets the controllers run once; to be called about ten times a second.
    pub(crate) fn step(&self) {
        let now_ms = self.clock.wall_ms();
        self.lock().tick(now_ms, &|path| self.fetch(path));
    }

    /// The bearer token of a service account.
    pub(crate) fn token(&self, account: Account) -> String {
        self.lock().token(account).to_owned()
    }

    /// The pod whose process is to run for a Deployment.
    pub(crate) fn workload(&self, deployment: &str) -> Option<Workload> {
        self.lock().workload(deployment)
    }

    /// The cluster's lock is taken before Vault's, never after.
    fn fetch(&self, path: &str) -> Fetched {
        self.vault.fetch(path)
    }

    fn lock(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization")?.strip_prefix("Bearer ")
}

impl Service for KubernetesService {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn caller(&self, request: &Request) -> Option<String> {
        let account = self.lock().account(bearer(request)?)?;
        Some(account.name().to_owned())
    }

    fn state(&self) -> Value {
        self.lock().state()
    }

    fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
        let now_ms = self.clock.wall_ms();
        let call = ApiCall {
            method: &request.method,
            path: &request.path,
            query: request.params(),
            token: bearer(&request),
            content_type: request.header("content-type").unwrap_or_default(),
            body: &request.body,
        };
        let mut cluster = self.lock();
        let (status, body) = if request.lie {
            cluster.clone().call(now_ms, &call)
        } else {
            let answer = cluster.call(now_ms, &call);
            cluster.tick(now_ms, &|path| self.fetch(path));
            answer
        };
        let reply = Reply::json(status, &body);
        Box::pin(std::future::ready(reply))
    }
}
