//! A Kubernetes cluster on loopback: one namespace with the bot's Deployments, their pods, Secrets and ExternalSecrets.
//!
//! Serves as much of the API as the components, `kubectl get|scale|patch|delete` and a person with curl need, with
//! bearer tokens and rules for each. Terminating is honest: a pod scaled away stays listed, and its bot alive, for its
//! grace period; only deletion with grace 0 is at once (K13). Pure state: [`Cluster::call`] answers a request,
//! [`Cluster::tick`] lets the controllers run; both are given the time.
//!
//! For the start-up code:
//!
//! - [`Cluster::new`]`(seed)`, then [`Cluster::add_bot`]`("freqtrade", "freqtrade-keys", "trading/freqtrade-1", now_ms)`.
//! - [`Cluster::token`] gives the two bearer tokens to print.
//! - [`KubernetesService::new`]`(cluster, vault, clock)` is the [`crate::http::Service`]; [`KubernetesService::step`]
//!   lets time pass and is called about ten times a second.
//!
//! It must never be taken for an API server: no watch, no server-side apply, no protobuf, no admission. Weak: the
//! strategic merge patch is an ordinary merge patch; of the Deployment's strategies only Recreate exists.

mod api;
mod controllers;
mod objects;
mod patch;
mod rbac;
mod service;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::ids::Ids;
pub(crate) use api::ApiCall;
use controllers::PodLife;
use objects::{Kind, set_meta};
pub(crate) use patch::merge_patch;
pub(crate) use rbac::Account;
pub(crate) use service::KubernetesService;

/// The one namespace.
pub(crate) const NAMESPACE: &str = "trading";
/// `terminationGracePeriodSeconds` of the shipped Deployment.
const GRACE_S: u64 = 5;

/// What the ExternalSecret operator found in Vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// The current fields of the secret.
    Found(BTreeMap<String, String>),
    /// Vault has no such secret, or it is deleted.
    Absent,
    /// Vault did not answer or is sealed.
    Unreachable,
}

/// A pod as the machine room sees it: whether its bot runs, and with what key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workload {
    /// The pod's name: another name is another process.
    pub(crate) pod: String,
    /// Asked to stop (SIGTERM), not yet gone.
    pub(crate) terminating: bool,
    /// The Secret's fields as they were when the container started.
    pub(crate) env: BTreeMap<String, String>,
}

/// All objects and what their controllers remember.
#[derive(Clone)]
pub(crate) struct Cluster {
    ids: Ids,
    version: u64,
    objects: BTreeMap<(Kind, String), Value>,
    pods: BTreeMap<String, PodLife>,
    /// When each ExternalSecret is reconciled next.
    syncs: BTreeMap<String, i64>,
    /// ExternalSecrets whose last reconciliation failed.
    failed: BTreeSet<String>,
    /// Secrets to be collected, and when.
    garbage: BTreeMap<String, i64>,
    tokens: Vec<(String, Account)>,
}

impl Cluster {
    /// An empty namespace with two service accounts.
    pub(crate) fn new(seed: u64) -> Self {
        let mut ids = Ids::new(seed, "kubernetes");
        let tokens = [Account::Breaker, Account::Revoker]
            .map(|account| (format!("k8s-{}", ids.token(32)), account))
            .to_vec();
        Self {
            ids,
            version: 100,
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            syncs: BTreeMap::new(),
            failed: BTreeSet::new(),
            garbage: BTreeMap::new(),
            tokens,
        }
    }

    /// A Deployment whose one pod reads `secret`, which an ExternalSecret of the same name copies from `vault_path`.
    pub(crate) fn add_bot(
        &mut self,
        deployment: &str,
        secret: &str,
        vault_path: &str,
        now_ms: i64,
    ) {
        let external = objects::external_secret(secret, vault_path);
        self.create(Kind::ExternalSecret, secret, external, now_ms);
        let object = objects::deployment(deployment, secret, GRACE_S);
        self.create(Kind::Deployment, deployment, object, now_ms);
    }

    /// The bearer token of a service account.
    pub(crate) fn token(&self, account: Account) -> &str {
        self.tokens
            .iter()
            .find(|(_, owner)| *owner == account)
            .map_or("", |(token, _)| token.as_str())
    }

    /// Whose token this is.
    pub(crate) fn account(&self, token: &str) -> Option<Account> {
        self.tokens
            .iter()
            .find(|(known, _)| known == token)
            .map(|(_, account)| *account)
    }

    /// The pod whose process is to run for a Deployment: the started one that is not terminating, else the one that is.
    pub(crate) fn workload(&self, deployment: &str) -> Option<Workload> {
        let object = self
            .objects
            .get(&(Kind::Deployment, deployment.to_owned()))?;
        let mut started: Vec<Workload> = self
            .pods_of(object)
            .iter()
            .filter_map(|pod| {
                let name = objects::name_of(pod);
                Some(Workload {
                    pod: name.to_owned(),
                    terminating: objects::terminating(pod),
                    env: self.pods.get(name)?.env.clone()?,
                })
            })
            .collect();
        started.sort_by_key(|workload| workload.terminating);
        started.into_iter().next()
    }

    /// What the control API shows.
    pub(crate) fn state(&self) -> Value {
        let pods: Vec<Value> = self
            .list(Kind::Pod)
            .map(|pod| {
                json!({
                    "name": objects::name_of(pod), "phase": objects::text(pod, "/status/phase"),
                    "terminating": objects::terminating(pod),
                })
            })
            .collect();
        let deployments: Vec<Value> = self
            .list(Kind::Deployment)
            .map(|object| json!({"name": objects::name_of(object), "replicas": controllers::replicas(object)}))
            .collect();
        json!({
            "deployments": deployments, "pods": pods, "secrets": self.names(Kind::Secret),
            "externalsecrets": self.names(Kind::ExternalSecret),
        })
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        self.list(kind)
            .map(|object| objects::name_of(object).to_owned())
            .collect()
    }

    fn list(&self, kind: Kind) -> impl Iterator<Item = &Value> {
        self.objects
            .iter()
            .filter(move |((of, _), _)| *of == kind)
            .map(|(_, object)| object)
    }

    fn create(&mut self, kind: Kind, name: &str, mut object: Value, now_ms: i64) {
        let uid = self.ids.uuid();
        objects::stamp(&mut object, &uid, now_ms);
        self.put(kind, name, object);
    }

    fn edit(&mut self, kind: Kind, name: &str, change: impl FnOnce(&mut Value)) {
        if let Some(mut object) = self.objects.get(&(kind, name.to_owned())).cloned() {
            change(&mut object);
            self.put(kind, name, object);
        }
    }

    fn put(&mut self, kind: Kind, name: &str, mut object: Value) {
        self.version += 1;
        set_meta(
            &mut object,
            "resourceVersion",
            json!(self.version.to_string()),
        );
        self.objects.insert((kind, name.to_owned()), object);
    }

    fn remove(&mut self, kind: Kind, name: &str) -> Option<Value> {
        self.version += 1;
        self.objects.remove(&(kind, name.to_owned()))
    }
}
