//! What happens in the cluster by itself: Deployments make and remove pods, pods start and stop, the ExternalSecret
//! operator copies from Vault, owned Secrets are collected. Pure: one step is a function of the objects and the time.

use std::collections::BTreeMap;

use ring::digest;
use serde_json::{Value, json};

use super::objects::{self, Kind, name_of, set_field, set_meta, terminating, text};
use super::{Cluster, Fetched};
use crate::ids::rfc3339_s;

/// From scheduled to running: image present, container created.
const POD_START_MS: i64 = 700;
/// From a change that the operator sees to its next reconciliation.
const SYNC_DELAY_MS: i64 = 150;
/// From a failed reconciliation to the next.
const SYNC_RETRY_MS: i64 = 5_000;
/// `refreshInterval` of the shipped ExternalSecret.
const SYNC_INTERVAL_MS: i64 = 3_600_000;
/// From an owner's deletion to the collection of what it owns.
const COLLECT_DELAY_MS: i64 = 150;
/// Grace of a pod whose spec names none.
const DEFAULT_GRACE_S: i64 = 30;

/// What the kubelet knows of a pod.
#[derive(Debug, Clone, Default)]
pub(super) struct PodLife {
    start_at_ms: i64,
    gone_at_ms: Option<i64>,
    /// Environment from the Secret, read when the container started.
    pub(super) env: Option<BTreeMap<String, String>>,
}

impl Cluster {
    /// Lets everything happen that is due at `now_ms`. `source` reads a secret of Vault.
    pub(crate) fn tick(&mut self, now_ms: i64, source: &dyn Fn(&str) -> Fetched) {
        self.collect_garbage(now_ms);
        self.sync_external_secrets(now_ms, source);
        self.stop_pods(now_ms);
        for name in self.names(Kind::Deployment) {
            self.reconcile(&name, now_ms);
        }
        self.start_pods(now_ms);
        for name in self.names(Kind::Deployment) {
            self.report_status(&name);
        }
    }

    /// Begins a pod's deletion: gone at once with grace 0, else listed as terminating until its grace is over.
    pub(super) fn terminate(&mut self, name: &str, grace_s: Option<i64>, now_ms: i64) {
        let Some(pod) = self.objects.get(&(Kind::Pod, name.to_owned())) else {
            return;
        };
        let shipped = pod
            .pointer("/spec/terminationGracePeriodSeconds")
            .and_then(Value::as_i64)
            .unwrap_or(DEFAULT_GRACE_S);
        let grace_s = grace_s.unwrap_or(shipped).max(0);
        let gone_at_ms = now_ms + grace_s * 1000;
        let life = self.pods.entry(name.to_owned()).or_default();
        // A second deletion may shorten the grace, never lengthen it.
        let gone_at_ms = life.gone_at_ms.map_or(gone_at_ms, |at| at.min(gone_at_ms));
        life.gone_at_ms = Some(gone_at_ms);
        if grace_s == 0 {
            self.remove_pod(name);
            return;
        }
        self.edit(Kind::Pod, name, |pod| {
            set_meta(pod, "deletionTimestamp", json!(rfc3339_s(gone_at_ms)));
            set_meta(pod, "deletionGracePeriodSeconds", json!(grace_s));
        });
    }

    /// Notes that an ExternalSecret is to be reconciled soon.
    pub(super) fn sync_soon(&mut self, name: &str, now_ms: i64) {
        let due = now_ms + SYNC_DELAY_MS;
        let at = self.syncs.entry(name.to_owned()).or_insert(due);
        *at = (*at).min(due);
    }

    /// Notes that the Secrets owned by a deleted object are to be collected.
    pub(super) fn orphan(&mut self, owner_uid: &str, now_ms: i64) {
        for name in self.names(Kind::Secret) {
            let owned = self
                .objects
                .get(&(Kind::Secret, name.clone()))
                .is_some_and(|secret| text(secret, "/metadata/ownerReferences/0/uid") == owner_uid);
            if owned && !owner_uid.is_empty() {
                self.garbage.insert(name, now_ms + COLLECT_DELAY_MS);
            }
        }
    }

    fn collect_garbage(&mut self, now_ms: i64) {
        let due: Vec<String> = self
            .garbage
            .iter()
            .filter(|(_, at)| **at <= now_ms)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.garbage.remove(&name);
            self.remove(Kind::Secret, &name);
        }
    }

    fn sync_external_secrets(&mut self, now_ms: i64, source: &dyn Fn(&str) -> Fetched) {
        for name in self.names(Kind::ExternalSecret) {
            let target = self.target_of(&name);
            let missing = !self.objects.contains_key(&(Kind::Secret, target));
            let retrying = self
                .syncs
                .get(&name)
                .is_some_and(|at| *at > now_ms + SYNC_DELAY_MS)
                && self.failed.contains(&name);
            if missing && !retrying {
                // The operator watches the Secrets it owns and makes them again.
                self.sync_soon(&name, now_ms);
            }
            if self.syncs.get(&name).is_none_or(|at| *at <= now_ms) {
                self.sync(&name, now_ms, source);
            }
        }
        let live = self.names(Kind::ExternalSecret);
        self.syncs.retain(|name, _| live.contains(name));
        self.failed.retain(|name| live.contains(name));
    }

    fn target_of(&self, name: &str) -> String {
        self.objects
            .get(&(Kind::ExternalSecret, name.to_owned()))
            .map(|external| text(external, "/spec/target/name").to_owned())
            .filter(|target| !target.is_empty())
            .unwrap_or_else(|| name.to_owned())
    }

    fn sync(&mut self, name: &str, now_ms: i64, source: &dyn Fn(&str) -> Fetched) {
        let Some(external) = self
            .objects
            .get(&(Kind::ExternalSecret, name.to_owned()))
            .cloned()
        else {
            return;
        };
        let target = self.target_of(name);
        let fetched = source(text(&external, "/spec/dataFrom/0/extract/key"));
        let (status, reason, message) = match fetched {
            Fetched::Found(fields) => {
                self.write_secret(&target, &fields, &external, now_ms);
                ("True", "SecretSynced", "secret synced")
            }
            Fetched::Absent if text(&external, "/spec/target/deletionPolicy") == "Delete" => {
                self.remove(Kind::Secret, &target);
                (
                    "True",
                    "SecretDeleted",
                    "secret deleted due to DeletionPolicy",
                )
            }
            Fetched::Absent => (
                "False",
                "SecretSyncedError",
                "error processing spec.dataFrom[0].extract, err: Secret does not exist",
            ),
            Fetched::Unreachable => (
                "False",
                "SecretSyncedError",
                "error processing spec.dataFrom[0].extract, err: Vault is sealed",
            ),
        };
        let wait_ms = if status == "True" {
            self.failed.remove(name);
            SYNC_INTERVAL_MS
        } else {
            self.failed.insert(name.to_owned());
            SYNC_RETRY_MS
        };
        self.syncs.insert(name.to_owned(), now_ms + wait_ms);
        self.edit(Kind::ExternalSecret, name, |external| {
            set_field(
                external,
                "status",
                json!({
                    "refreshTime": rfc3339_s(now_ms), "binding": {"name": target},
                    "conditions": [{
                        "type": "Ready", "status": status, "reason": reason, "message": message,
                        "lastTransitionTime": rfc3339_s(now_ms),
                    }],
                }),
            );
        });
    }

    fn write_secret(
        &mut self,
        name: &str,
        fields: &BTreeMap<String, String>,
        external: &Value,
        now_ms: i64,
    ) {
        let owned = text(external, "/spec/target/creationPolicy") != "Orphan";
        let fresh = objects::secret(name, fields, owned.then_some(external));
        match self.objects.get(&(Kind::Secret, name.to_owned())) {
            Some(old) if old.get("data") == fresh.get("data") => {}
            Some(_) => {
                let data = fresh.get("data").cloned().unwrap_or(Value::Null);
                self.edit(Kind::Secret, name, |secret| set_field(secret, "data", data));
            }
            None => self.create(Kind::Secret, name, fresh, now_ms),
        }
    }

    fn stop_pods(&mut self, now_ms: i64) {
        let gone: Vec<String> = self
            .pods
            .iter()
            .filter(|(_, life)| life.gone_at_ms.is_some_and(|at| at <= now_ms))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.remove_pod(&name);
        }
    }

    fn remove_pod(&mut self, name: &str) {
        self.pods.remove(name);
        self.remove(Kind::Pod, name);
    }

    /// One Deployment with the strategy Recreate: all old pods are gone before the first of a new template starts.
    fn reconcile(&mut self, name: &str, now_ms: i64) {
        let Some(deployment) = self
            .objects
            .get(&(Kind::Deployment, name.to_owned()))
            .cloned()
        else {
            return;
        };
        let wanted = replicas(&deployment);
        let hash = template_hash(&deployment);
        let pods = self.pods_of(&deployment);
        let of_template = |pod: &Value| text(pod, "/metadata/labels/pod-template-hash") == hash;
        let old: Vec<&Value> = pods.iter().filter(|pod| !of_template(pod)).collect();
        for pod in &old {
            if !terminating(pod) {
                self.terminate(name_of(pod), None, now_ms);
            }
        }
        let active: Vec<&Value> = pods
            .iter()
            .filter(|pod| of_template(pod) && !terminating(pod))
            .collect();
        for pod in active.iter().skip(wanted) {
            self.terminate(name_of(pod), None, now_ms);
        }
        if old.is_empty() {
            for _ in active.len()..wanted {
                let pod_name = format!("{name}-{hash}-{}", self.ids.pod_suffix(5));
                let pod = objects::pod(&pod_name, &deployment, &hash, now_ms);
                self.create(Kind::Pod, &pod_name, pod, now_ms);
                let life = PodLife {
                    start_at_ms: now_ms + POD_START_MS,
                    ..PodLife::default()
                };
                self.pods.insert(pod_name, life);
            }
        }
    }

    fn start_pods(&mut self, now_ms: i64) {
        for name in self.names(Kind::Pod) {
            let Some(pod) = self.objects.get(&(Kind::Pod, name.clone())) else {
                continue;
            };
            let due = self
                .pods
                .get(&name)
                .is_some_and(|life| life.env.is_none() && life.start_at_ms <= now_ms);
            if !due || terminating(pod) {
                continue;
            }
            let wanted = text(pod, "/spec/containers/0/envFrom/0/secretRef/name").to_owned();
            let env = self
                .objects
                .get(&(Kind::Secret, wanted.clone()))
                .map(objects::decoded);
            let status = match &env {
                Some(_) => running_status(now_ms),
                None => waiting_status(&wanted),
            };
            if let Some(life) = self.pods.get_mut(&name) {
                life.env = env;
            }
            let changed = self
                .objects
                .get(&(Kind::Pod, name.clone()))
                .is_some_and(|pod| pod.get("status") != Some(&status));
            if changed {
                self.edit(Kind::Pod, &name, |pod| set_field(pod, "status", status));
            }
        }
    }

    fn report_status(&mut self, name: &str) {
        let Some(deployment) = self.objects.get(&(Kind::Deployment, name.to_owned())) else {
            return;
        };
        let hash = template_hash(deployment);
        // Pods that are terminating no longer count, although they are still listed and may still trade.
        let active: Vec<Value> = self
            .pods_of(deployment)
            .into_iter()
            .filter(|pod| !terminating(pod))
            .collect();
        let ready = active
            .iter()
            .filter(|pod| text(pod, "/status/phase") == "Running")
            .count();
        let updated = active
            .iter()
            .filter(|pod| text(pod, "/metadata/labels/pod-template-hash") == hash)
            .count();
        let wanted = replicas(deployment);
        let available = if ready >= wanted { "True" } else { "False" };
        let mut status = json!({
            "observedGeneration": deployment.pointer("/metadata/generation"),
            "conditions": [{"type": "Available", "status": available}, {"type": "Progressing", "status": "True"}],
        });
        for (field, count) in [
            ("replicas", active.len()),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", ready),
            ("unavailableReplicas", wanted.saturating_sub(ready)),
        ] {
            if count > 0 {
                // The API server leaves zero counts out.
                set_field(&mut status, field, json!(count));
            }
        }
        if deployment.get("status") != Some(&status) {
            self.edit(Kind::Deployment, name, |deployment| {
                set_field(deployment, "status", status);
            });
        }
    }

    /// All pods of a Deployment, terminating ones included, oldest first.
    pub(super) fn pods_of(&self, deployment: &Value) -> Vec<Value> {
        let app = text(deployment, "/spec/selector/matchLabels/app");
        let mut pods: Vec<Value> = self
            .list(Kind::Pod)
            .filter(|pod| text(pod, "/metadata/labels/app") == app)
            .cloned()
            .collect();
        pods.sort_by_key(|pod| {
            self.pods
                .get(name_of(pod))
                .map_or(0, |life| life.start_at_ms)
        });
        pods
    }
}

/// The replicas asked for; a Deployment without the field has one.
pub(super) fn replicas(deployment: &Value) -> usize {
    deployment
        .pointer("/spec/replicas")
        .and_then(Value::as_u64)
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(1)
}

fn template_hash(deployment: &Value) -> String {
    let template = deployment
        .pointer("/spec/template")
        .map(Value::to_string)
        .unwrap_or_default();
    hex::encode(digest::digest(&digest::SHA256, template.as_bytes()))
        .chars()
        .take(10)
        .collect()
}

fn running_status(now_ms: i64) -> Value {
    let at = rfc3339_s(now_ms);
    json!({
        "phase": "Running", "qosClass": "BestEffort", "hostIP": "127.0.0.1", "podIP": "127.0.0.1", "startTime": at,
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": at},
            {"type": "Ready", "status": "True", "lastTransitionTime": at},
        ],
        "containerStatuses": [{
            "name": "freqtrade", "image": "freqtradeorg/freqtrade:2026.9", "ready": true, "started": true,
            "restartCount": 0, "state": {"running": {"startedAt": at}},
        }],
    })
}

fn waiting_status(secret: &str) -> Value {
    json!({
        "phase": "Pending", "qosClass": "BestEffort",
        "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
        "containerStatuses": [{
            "name": "freqtrade", "image": "freqtradeorg/freqtrade:2026.9", "ready": false, "started": false,
            "restartCount": 0,
            "state": {"waiting": {
                "reason": "CreateContainerConfigError", "message": format!("secret \"{secret}\" not found"),
            }},
        }],
    })
}
